//! Damage to a good file, read from an input: where, how many bytes, which.

/// Each wound takes this many bytes of an input: an offset (little-endian, modulo the length of what is hurt), how many
/// bytes (modulo 8, plus one), and up to eight bytes.
pub const WOUND_BYTES: usize = 12;

/// One piece of damage.
#[derive(Clone, Copy, Debug)]
pub struct Wound {
    pub at: usize,
    bytes: [u8; 8],
    len: usize,
}

impl Wound {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The wounds of an input to something of `len` bytes, which are at least eight.
pub fn wounds(input: &[u8], len: usize) -> impl Iterator<Item = Wound> + Clone + '_ {
    input.as_chunks::<WOUND_BYTES>().0.iter().take(64).map(move |wound| {
        let [a, b, c, count, bytes @ ..] = *wound;
        Wound {
            at: u32::from_le_bytes([a, b, c, 0]) as usize % (len - 7),
            bytes,
            len: usize::from(count % 8) + 1,
        }
    })
}

/// The bytes of an input that hurts so.
pub fn input(wounds: &[(usize, &[u8])]) -> Vec<u8> {
    let mut input = Vec::new();
    for (at, bytes) in wounds {
        let mut wound = [0; WOUND_BYTES];
        wound[..3].copy_from_slice(&(*at as u32).to_le_bytes()[..3]);
        wound[3] = bytes.len() as u8 - 1;
        wound[4..4 + bytes.len()].copy_from_slice(bytes);
        input.extend_from_slice(&wound);
    }
    input
}

/// Gives the header of a region or a ring the checksum that it should have, where its length makes sense.
pub fn sign(bytes: &mut [u8]) {
    let len = u32::from_le_bytes(*bytes[16..].first_chunk().expect("a header")) as usize;
    if (256..=4096.min(bytes.len())).contains(&len) {
        bytes[20..24].fill(0);
        let crc = bytes[..len].iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }
            })
        });
        bytes[20..24].copy_from_slice(&(!crc).to_le_bytes());
    }
}
