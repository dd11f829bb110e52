//! A venue to test against: real protocol, real sockets, recorded or generated market.

mod capture;
mod exchange;
mod fault;
mod load;
pub mod market;
mod stats;
mod wire;

pub use capture::{CaptureConfig, CaptureLength, CaptureSummary, CaptureWriteError, market_capture};
pub use fault::{Fault, PlannedFault};
pub use load::LoadShape;
pub use market::{MarketConfig, SymbolConfig};
pub use stats::{MessageKind, Sent, SimStats};
