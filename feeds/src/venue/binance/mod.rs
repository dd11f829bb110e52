//! Binance: [`spot`] and the futures settled in stablecoins, [`usdm`]. Each has a fact sheet of its own; one parser and
//! one scanner read both, with what differs filled in at compile time.

mod front;
mod parse;
mod product;
mod scan;
pub mod spot;
mod streams;
#[cfg(test)]
mod tests;
pub mod usdm;

use std::fmt::Write;
use std::marker::PhantomData;

use crate::types::{SymbolId, VenueId};

use super::message::BookMessage;
use super::outbox::Outbox;
use super::rules::{Request, Rules, SnapshotSource, Standing, Verb, Verdict};
use super::{SessionConfig, SessionConfigError};
use product::Product;
use spot::Spot;
use streams::Streams;
use usdm::Usdm;

/// Reads frames of Binance spot.
pub type Parser = parse::ProductParser<Spot>;

/// Reads frames of Binance USDⓈ-M futures.
pub type UsdmParser = parse::ProductParser<Usdm>;

/// The rules of a product of Binance.
pub(super) struct Binance<P> {
    streams: Streams,
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
        let rest_path =
            |depth: u32| move |symbol: &String| format!("{}?symbol={symbol}&limit={depth}", P::SNAPSHOT_PATH);
        Self {
            streams: Streams::new::<P>(config, symbols),
            rest_paths: symbols.iter().map(rest_path(depth)).collect(),
            checkpoint_paths: symbols.iter().map(rest_path(P::CHECKPOINT_DEPTH)).collect(),
            snapshot_weight: P::snapshot_weight(depth),
            product: PhantomData,
        }
    }

    fn websocket_path(&self) -> &str {
        &self.streams.path
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

    /// What found no room in the path. Nothing is subscribed anew later: the streams go on, and books come by REST.
    #[cold]
    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        if !request.is_opening || request.verb != Verb::Subscribe {
            return 0;
        }
        for (id, params) in (request.id..).zip(&self.streams.requests) {
            out.send(|text| {
                let _ = write!(text, "{{\"method\":\"SUBSCRIBE\",\"params\":[{params}],\"id\":{id}}}");
            });
        }
        self.streams.requests.len() as u64
    }

    #[inline]
    fn judge(&self, standing: Standing, diff: &BookMessage) -> Verdict {
        P::judge(standing, diff)
    }

    fn may_be_book(frame: &[u8]) -> bool {
        frame.windows(5).any(|window| window == b"depth")
    }
}

/// Whether the venue would take so many streams on one connection.
pub(super) fn check(config: &SessionConfig, symbols: &[String]) -> Result<(), SessionConfigError> {
    match config.venue {
        VenueId::BinanceUsdm => Streams::check::<Usdm>(config, symbols),
        _ => Streams::check::<Spot>(config, symbols),
    }
}
