//! A busy market with faults, and clients that listen to it.

use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, PlannedFault, SimConfig, SimHandle, SimSource, Simulator};

use super::{Client, Got};

/// A busy market of two instruments, one diff per event.
pub fn start(venue: VenueId, faults: Vec<PlannedFault>) -> SimHandle {
    Simulator::start(config(venue, faults)).unwrap()
}

pub fn config(venue: VenueId, faults: Vec<PlannedFault>) -> SimConfig {
    let symbols: &[&str] = if venue == VenueId::KrakenV2 {
        &["BTC/USD", "ETH/USD"]
    } else {
        &["BTCUSDT", "ETHUSDT"]
    };
    let mut config = SimConfig {
        depth_interval_ms: Some(0),
        faults,
        ..SimConfig::market(venue, symbols, 1)
    };
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = LoadShape::Steady { rate: 1_000.0 };
    }
    config
}

/// The raw diffs of one instrument.
pub fn diffs(sim: &SimHandle) -> Client {
    let mut client = Client::connect(sim, "/ws/btcusdt@depth");
    client.patience(Duration::from_millis(1_500));
    client
}

/// Reads until something else than text comes; the texts, and that.
pub fn until_trouble(client: &mut Client, texts_max: usize) -> (Vec<String>, Option<Got>) {
    let mut texts = Vec::new();
    while texts.len() < texts_max {
        match client.next() {
            Got::Text(text) => texts.push(text),
            Got::Ping(_) => {}
            other => return (texts, Some(other)),
        }
    }
    (texts, None)
}

/// A book of Kraken; the next text is the acknowledgement.
pub fn kraken_book(sim: &SimHandle, depth: usize) -> Client {
    let mut client = Client::connect(sim, "/v2");
    client.patience(Duration::from_millis(1_500));
    client.text();
    let params = format!(r#"{{"channel":"book","symbol":["BTC/USD"],"depth":{depth}}}"#);
    client.send(&format!(r#"{{"method":"subscribe","params":{params}}}"#));
    client
}
