//! Masking: what a client's payload is XORed with, and where the mask comes from.
//!
//! A mask must not be predictable by whoever chose the payload (RFC 6455, 10.3): it keeps a client from writing chosen
//! bytes to the wire that a careless proxy would take for HTTP. So masks come from a cipher, not from a counter.

use rand::rngs::{SysError, SysRng};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

/// Where a client's masks and its handshake key come from: ChaCha with twelve rounds, seeded once per connection.
#[derive(Clone)]
pub struct MaskSource {
    cipher: ChaCha12Rng,
}

impl MaskSource {
    /// Seeds from the operating system. Do it at connect: it is a system call.
    ///
    /// # Errors
    /// The system's generator could not be read.
    pub fn from_os() -> Result<Self, SysError> {
        ChaCha12Rng::try_from_rng(&mut SysRng).map(|cipher| Self { cipher })
    }

    /// A source that repeats itself, for tests, simulations and replays. Never for a real peer.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            cipher: ChaCha12Rng::from_seed(seed),
        }
    }

    /// The mask of the next frame.
    #[inline]
    pub fn next_mask(&mut self) -> [u8; 4] {
        self.cipher.next_u32().to_ne_bytes()
    }

    /// A key for [`ClientHandshake::new`](super::ClientHandshake::new).
    pub fn next_handshake_key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        self.cipher.fill_bytes(&mut key);
        key
    }
}

impl std::fmt::Debug for MaskSource {
    /// The state stays out of logs: it would give the masks away.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskSource").finish_non_exhaustive()
    }
}

/// XORs `payload` with `mask`; the first byte meets `mask[0]`. Masking and unmasking are the same operation.
#[inline]
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}
