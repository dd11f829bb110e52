//! Binance spot: diffs spliced into a REST snapshot, an unbroken chain of update ids, the venue's own best bid and ask
//! as the second witness.
//!
//! The rule (venue documentation, "How to manage a local order book correctly", text of November 2025): keep the diffs
//! while the snapshot is fetched; a snapshot older than the first kept diff is fetched again; diffs that it contains
//! are dropped; the first that is left must continue it; from then on a diff that is contained already is dropped, one
//! that skips an id is a gap. Quantities are absolute, and deleting a level that is not there is normal.
//!
//! The venue has no checksum, and a chain of ids says nothing of the book's content. A `bookTicker` with the update id
//! of a diff does: where the two disagree the book is not shown any more.

mod front;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::Parser;

use std::time::Duration;

use crate::types::SymbolId;

use super::SessionConfig;
use super::facts::{Facts, is_plain};
use super::message::BookMessage;
use super::rules::{Rules, SnapshotSource, Standing, Verdict};

pub(super) const FACTS: Facts = Facts {
    name: "binance",
    websocket_url: "wss://stream.binance.com:9443",
    rest_url: "https://api.binance.com",
    has_rest_snapshots: true,
    symbols: ["BTCUSDT", "ETHUSDT"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_plain(symbol, b"-_."),
    has_depth: |depth| matches!(depth, 100..=5000),
    depths: "100 to 5000",
    default_depth: 5000,
    // Nobody answers, and a quiet pair may have no update for long.
    subscription_timeout: Duration::from_secs(60),
    connection_silence: None,
};

/// The rules of Binance spot.
pub(super) struct Binance {
    websocket_path: String,
    rest_paths: Vec<String>,
    snapshot_weight: u32,
}

impl Rules for Binance {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Rest;
    const IS_CHAINED: bool = true;

    fn new(config: &SessionConfig, symbols: &[String]) -> Self {
        let depth = config.depth;
        let mut streams = Vec::new();
        for symbol in symbols {
            let lower = symbol.to_ascii_lowercase();
            streams.push(format!("{lower}@depth@100ms"));
            if config.trades {
                streams.push(format!("{lower}@trade"));
            }
            if config.tops {
                streams.push(format!("{lower}@bookTicker"));
            }
        }
        let rest_path = |symbol: &String| format!("/api/v3/depth?symbol={symbol}&limit={depth}");
        Self {
            websocket_path: format!("/stream?streams={}", streams.join("/")),
            rest_paths: symbols.iter().map(rest_path).collect(),
            snapshot_weight: snapshot_weight(depth),
        }
    }

    fn websocket_path(&self) -> &str {
        &self.websocket_path
    }

    fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        self.rest_paths.get(symbol.index()).map(String::as_str)
    }

    fn snapshot_weight(&self) -> u32 {
        self.snapshot_weight
    }

    #[inline]
    fn judge(&self, standing: Standing, diff: &BookMessage) -> Verdict {
        let expected = standing.last_id.saturating_add(1);
        if diff.last_id < expected {
            Verdict::Contained
        } else if diff.first_id > expected {
            let got = diff.first_id;
            Verdict::Gap { expected, got }
        } else {
            Verdict::Continues
        }
    }

    fn may_be_book(frame: &[u8]) -> bool {
        frame.windows(5).any(|window| window == b"depth")
    }
}

/// What a REST snapshot of that many levels costs (venue documentation, `GET /api/v3/depth`).
fn snapshot_weight(depth: u32) -> u32 {
    match depth {
        0..=100 => 5,
        101..=500 => 25,
        501..=1000 => 50,
        _ => 250,
    }
}
