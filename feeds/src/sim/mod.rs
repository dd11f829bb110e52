//! A venue to test against: real protocol, real sockets, recorded or generated market.

mod capture;
mod config;
mod exchange;
mod fault;
mod load;
pub mod market;
mod server;
mod stats;
mod wire;

pub use capture::{CaptureConfig, CaptureLength, CaptureSummary, CaptureWriteError, market_capture};
pub use config::{SimConfig, SimSource, SimTls};
pub use exchange::PlaybackPace;
pub use fault::{Fault, PlannedFault};
pub use load::LoadShape;
pub use market::{MarketConfig, SymbolConfig};
pub use server::{SimError, SimHandle, Simulator};
pub use stats::{MessageKind, Sent, SimStats};
