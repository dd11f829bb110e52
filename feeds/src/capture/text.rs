//! One capture file of a given name, written as text: for what is made, not received.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::{CaptureError, Compression};

/// A file that is compressed as its name says. Call [`finish`](Self::finish): what is only dropped may end in the middle.
pub struct CaptureText {
    path: PathBuf,
    out: Out,
}

enum Out {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl CaptureText {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Write {
            path: path.to_owned(),
            source,
        };
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let out = match Compression::of(path) {
            Compression::Plain => Out::Plain(file),
            Compression::Gzip => Out::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => Out::Zstd(zstd::Encoder::new(file, 0).map_err(failed)?),
        };
        Ok(Self {
            path: path.to_owned(),
            out,
        })
    }

    /// Writes the end of the compression and everything that waits.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<(), CaptureError> {
        let finished = match self.out {
            Out::Plain(file) => Ok(file),
            Out::Gzip(encoder) => encoder.finish(),
            Out::Zstd(encoder) => encoder.finish(),
        };
        let path = self.path;
        finished
            .and_then(|mut file| file.flush())
            .map_err(|source| CaptureError::Write { path, source })
    }
}

impl Write for CaptureText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Plain(file) => file.write(bytes),
            Out::Gzip(encoder) => encoder.write(bytes),
            Out::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Plain(file) => file.flush(),
            Out::Gzip(encoder) => encoder.flush(),
            Out::Zstd(encoder) => encoder.flush(),
        }
    }
}
