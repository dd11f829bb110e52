//! Binance: [`spot`] and the futures settled in stablecoins, [`usdm`]. Each has a fact sheet of its own; one parser and
//! one scanner read both, with what differs filled in at compile time.

mod front;
mod parse;
mod product;
mod scan;
pub mod spot;
#[cfg(test)]
mod tests;
pub mod usdm;

use std::marker::PhantomData;

use crate::types::SymbolId;

use super::SessionConfig;
use super::message::BookMessage;
use super::rules::{Rules, SnapshotSource, Standing, Verdict};
use product::Product;
use spot::Spot;
use usdm::Usdm;

/// Reads frames of Binance spot.
pub type Parser = parse::ProductParser<Spot>;

/// Reads frames of Binance USDⓈ-M futures.
pub type UsdmParser = parse::ProductParser<Usdm>;

/// The rules of a product of Binance.
pub(super) struct Binance<P> {
    websocket_path: String,
    rest_paths: Vec<String>,
    checkpoint_paths: Vec<String>,
    snapshot_weight: u32,
    product: PhantomData<P>,
}

impl<P: Product> Rules for Binance<P> {
    type Wire = parse::ProductParser<P>;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Rest;
    const IS_CHAINED: bool = true;

    fn new(config: &SessionConfig, symbols: &[String]) -> Self {
        let depth = config.depth;
        let mut streams = Vec::new();
        for symbol in symbols {
            let lower = symbol.to_ascii_lowercase();
            streams.push(format!("{lower}@{}", P::DEPTH_STREAM));
            if config.trades {
                streams.push(format!("{lower}@trade"));
            }
            if config.tops {
                streams.push(format!("{lower}@bookTicker"));
            }
        }
        let rest_path =
            |depth: u32| move |symbol: &String| format!("{}?symbol={symbol}&limit={depth}", P::SNAPSHOT_PATH);
        Self {
            websocket_path: format!("{}?streams={}", P::STREAM_PATH, streams.join("/")),
            rest_paths: symbols.iter().map(rest_path(depth)).collect(),
            checkpoint_paths: symbols.iter().map(rest_path(P::CHECKPOINT_DEPTH)).collect(),
            snapshot_weight: P::snapshot_weight(depth),
            product: PhantomData,
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

    fn checkpoint_path(&self, symbol: SymbolId) -> Option<&str> {
        self.checkpoint_paths.get(symbol.index()).map(String::as_str)
    }

    fn checkpoint_weight(&self) -> u32 {
        P::snapshot_weight(P::CHECKPOINT_DEPTH)
    }

    #[inline]
    fn judge(&self, standing: Standing, diff: &BookMessage) -> Verdict {
        P::judge(standing, diff)
    }

    fn may_be_book(frame: &[u8]) -> bool {
        frame.windows(5).any(|window| window == b"depth")
    }
}
