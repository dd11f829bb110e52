//! A venue to test against: real protocol, real sockets, recorded or generated market.
//!
//! [`Simulator::start`] opens one port that speaks Binance spot's, Kraken v2's or Bybit v5's WebSocket protocol and the REST calls
//! beside it, plain or over TLS. What it says comes from a generated [`market`] at the pace of a [`LoadShape`], or from
//! a recording; what goes wrong, from a plan of [`PlannedFault`]s
//! and from seeded [`Chaos`], until [`SimHandle::calm`]; what was sent is counted to the byte in [`SimStats`].
//! [`market_capture`] writes the same generated messages into a capture, without sockets.
//!
//! ```
//! use quantumflow_feeds::VenueId;
//! use quantumflow_feeds::sim::{Fault, LoadShape, PlannedFault, SimConfig, SimSource, Simulator};
//!
//! let mut config = SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 42);
//! config.faults.push(PlannedFault::new(Fault::SkipUpdate).symbol("BTCUSDT").after(100));
//! if let SimSource::Market { load, .. } = &mut config.source {
//!     *load = LoadShape::Steady { rate: 5_000.0 };
//! }
//! let mut simulator = Simulator::start(config)?;
//! println!("connect to {}/stream?streams=btcusdt@depth@100ms", simulator.ws_url());
//! let stats = simulator.stop();
//! assert_eq!(stats.connections_open, 0);
//! # Ok::<(), quantumflow_feeds::sim::SimError>(())
//! ```

mod capture;
mod config;
mod exchange;
mod fault;
mod load;
pub mod market;
mod server;
mod stats;
#[cfg(test)]
pub(crate) mod told;
mod wire;

pub use capture::{CaptureConfig, CaptureLength, CaptureSummary, CaptureWriteError, market_capture};
pub use config::{SimConfig, SimSource, SimTls};
pub use exchange::PlaybackPace;
pub use fault::{Chaos, Fault, FaultKind, PlannedFault, UnknownFaultKind};
pub use load::{HawkesConfig, LoadShape, arrival_times, densest_window};
pub use market::{MarketConfig, SymbolConfig};
pub use server::{SimError, SimHandle, Simulator};
pub use stats::{MessageKind, Sent, SimStats};
