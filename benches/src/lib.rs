//! Shared pieces of the benches: messages from a seed, and what to compare with.

pub mod depth;
#[cfg(feature = "peers")]
pub mod meter;
#[cfg(feature = "peers")]
pub mod peers;
#[cfg(any(feature = "peers", feature = "runtimes"))]
pub mod report;
pub mod rivals;
#[cfg(feature = "runtimes")]
pub mod runtimes;
pub mod session;
#[cfg(feature = "peers")]
pub mod tape;
pub mod upgrade;
