//! Pixels as a PNG file: a signature, the header, one deflated block of rows, the end (W3C PNG, third edition).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Three bytes a pixel, row by row from the top.
pub(super) fn encode(rgb: &[u8], (width, height): (u32, u32)) -> io::Result<Vec<u8>> {
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in rgb.chunks_exact(width as usize * 3) {
        // Each row is stored as it is (filter type 0): areas of one colour deflate to nothing.
        rows.write_all(&[0])?;
        rows.write_all(row)?;
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // Eight bits a channel, colours, deflate, filters by row, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    push_chunk(&mut png, b"IHDR", &header);
    push_chunk(&mut png, b"IDAT", &rows.finish()?);
    push_chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn push_chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let checked_from = png.len();
    png.extend(kind);
    png.extend(data);
    let crc = crc32fast::hash(&png[checked_from..]);
    png.extend(crc.to_be_bytes());
}
