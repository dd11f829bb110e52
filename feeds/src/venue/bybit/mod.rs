//! Bybit v5, spot and linear perpetuals: snapshots and deltas in one stream, proven by an unbroken chain of update ids.
//!
//! The rule (venue documentation, "WebSocket public orderbook", as of 2026): a `snapshot` replaces the book, whenever it
//! comes; the one after a restart of the service has `u` = 1. A `delta` has absolute quantities, zero deletes, and its
//! `u` is the last one of that topic plus one. `seq` orders messages of different depths but skips numbers, so it proves
//! nothing. Depth 1 consists of snapshots alone, and repeats the last one, `u` included, when nothing has moved for three
//! seconds. `cts` is the time of the matching engine, the clock of the trades' `T`; `ts` is when the message was made.
//!
//! There is no checksum and no second witness: a delta whose content is wrong is found by a checkpoint (at depth 1000) or
//! not at all, only one that is missing is. A level that is wrong, the best one included, is noticed only if it crosses
//! the book.
//!
//! An id that goes back is a gap as well: a restart whose snapshot was lost would otherwise leave a book that only looks
//! quiet. On a gap that topic alone is subscribed anew.
//!
//! Each topic is asked for in a request of its own, whose `req_id` is the topic. An answer does not say what it is about
//! except by this id, and one topic that the venue does not have makes it refuse a whole request: alone it harms no
//! other. It also stays below the ten topics that a request may have on spot. An unsubscription's answer says nothing
//! that counts: only a resync sends one, and the answer may come behind the new snapshot.
//!
//! `GET /v5/market/orderbook` tells the `u` of the deepest stream (venue documentation), so a book of 1000 levels can be
//! held against it, and no other.
//!
//! The venue deletes what leaves the window of a depth; a book is cut to it all the same, so that nothing of which the
//! venue has stopped speaking stays. A replay therefore has to be given the depth of its recording.
//!
//! # Trade ids
//!
//! Spot numbers its trades; that number is the id. Linear trades have a UUID, of which the id is the first sixteen
//! digits: enough to be unique and to find the trade again, but without an order. (`seq` has an order but is the same for
//! all fills of one taker.) Block trades are told like all others.

mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::Parser;

use std::fmt::Write;
use std::time::Duration;

use crate::types::{SymbolId, VenueId};

use super::facts::{Facts, is_plain};
use super::message::BookMessage;
use super::outbox::Outbox;
use super::rules::{Request, Rules, SnapshotSource, Standing, Verdict};
use super::{SessionConfig, SessionConfigError};

pub(super) const SPOT: Facts = Facts {
    name: "bybit",
    websocket_url: "wss://stream.bybit.com",
    rest_url: "https://api.bybit.com",
    has_rest_snapshots: false,
    symbols: ["BTCUSDT", "ETHUSDT"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_plain(symbol, b"-"),
    has_depth: |depth| DEPTHS.contains(&depth),
    depths: "1, 50, 200 or 1000",
    default_depth: 50,
    has_checkpoints: |depth| depth == REST_DEPTH,
    subscription_timeout: Duration::from_secs(10),
    // The answer to a ping comes every twenty seconds: two have failed to come.
    connection_silence: Some(Duration::from_secs(45)),
    shares_ids: true,
    connection_life: None,
};

pub(super) const LINEAR: Facts = Facts {
    name: "bybit_linear",
    ..SPOT
};

/// The rules of Bybit v5. The products differ by the path and by the order of keys, which the scanner knows.
pub(super) struct Bybit {
    path: &'static str,
    /// Levels per side that are asked for.
    depth: u32,
    /// By instrument; none at a depth whose ids REST does not tell.
    checkpoint_paths: Vec<String>,
}

impl Rules for Bybit {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Stream;
    const IS_CHAINED: bool = true;
    /// Those of linear perpetuals have no order.
    const ARE_TRADES_ORDERED: bool = false;
    /// As often as the venue asks for it.
    const PING_INTERVAL: Option<Duration> = Some(Duration::from_secs(20));

    fn new(config: &SessionConfig, symbols: &[String]) -> Self {
        let category = match config.venue {
            VenueId::BybitLinear => "linear",
            _ => "spot",
        };
        let checkpoint_path = |symbol: &String| {
            format!("/v5/market/orderbook?category={category}&symbol={symbol}&limit={CHECKPOINT_DEPTH}")
        };
        let has_checkpoints = (SPOT.has_checkpoints)(config.depth);
        Self {
            path: match config.venue {
                VenueId::BybitLinear => "/v5/public/linear",
                _ => "/v5/public/spot",
            },
            depth: config.depth,
            checkpoint_paths: match has_checkpoints {
                true => symbols.iter().map(checkpoint_path).collect(),
                false => Vec::new(),
            },
        }
    }

    fn websocket_path(&self) -> &str {
        self.path
    }

    fn checkpoint_path(&self, symbol: SymbolId) -> Option<&str> {
        self.checkpoint_paths.get(symbol.index()).map(String::as_str)
    }

    #[cold]
    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        let op = request.verb.word();
        for instrument in request.instruments {
            let (depth, symbol) = (self.depth, &instrument.symbol);
            send(op, format_args!("orderbook.{depth}.{symbol}"), out);
            if !request.books_only {
                send(op, format_args!("publicTrade.{symbol}"), out);
            }
        }
        0 // the ids are the topics
    }

    fn ping(&self, _id: u64, out: &mut Outbox) {
        out.send(|text| text.push_str("{\"op\":\"ping\"}"));
    }

    #[inline]
    fn judge(&self, standing: Standing, delta: &BookMessage) -> Verdict {
        let expected = standing.last_id.saturating_add(1);
        match delta.last_id {
            got if got == expected => Verdict::Continues,
            got if got == standing.last_id => Verdict::Contained,
            got => Verdict::Gap { expected, got },
        }
    }

    #[inline]
    fn levels_max(&self, _symbol: SymbolId) -> usize {
        self.depth as usize
    }

    #[inline]
    fn scope(&self, symbol: SymbolId) -> usize {
        self.levels_max(symbol)
    }

    fn may_be_book(frame: &[u8]) -> bool {
        !frame.windows(11).any(|window| window == b"publicTrade")
    }
}

fn send(op: &str, topic: std::fmt::Arguments<'_>, out: &mut Outbox) {
    out.send(|text| {
        let _ = write!(
            text,
            "{{\"req_id\":\"{topic}\",\"op\":\"{op}\",\"args\":[\"{topic}\"]}}"
        );
    });
}

/// The depth whose `u` REST tells: the deepest.
const REST_DEPTH: u32 = 1000;

/// Levels per side of the REST book that a shown one is held against.
const CHECKPOINT_DEPTH: u32 = 50;

/// Whether the venue would take so many topics on one connection.
pub(super) fn check(config: &SessionConfig, symbols: &[String]) -> Result<(), SessionConfigError> {
    let bytes_of = |symbol: &String| {
        let trades = if config.trades {
            "publicTrade.".len() + symbol.len()
        } else {
            0
        };
        format!("orderbook.{}.{symbol}", config.depth).len() + trades
    };
    match symbols.iter().map(bytes_of).sum() {
        count if count > TOPICS_BYTES_MAX => Err(SessionConfigError::TooMuchForVenue {
            venue: config.venue,
            what: "characters of topics",
            count,
            most: TOPICS_BYTES_MAX,
        }),
        _ => Ok(()),
    }
}

/// Characters in the arguments of all subscriptions of a public connection (venue documentation, "Connect").
const TOPICS_BYTES_MAX: usize = 21_000;

/// The depths that the venue has.
const DEPTHS: [u32; 4] = [1, 50, 200, 1000];
