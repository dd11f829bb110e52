//! Shared pieces of the benches: messages from a seed, and what to compare with.

pub mod depth;
#[cfg(feature = "peers")]
pub mod peers;
pub mod rivals;
pub mod session;
pub mod upgrade;
