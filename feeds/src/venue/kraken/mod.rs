//! Kraken spot, WebSocket API v2: snapshots and updates in one stream, proven by a checksum.
//!
//! The rule (venue documentation, "Spot WebSocket order book v2"): apply every level of a message in its order, delete
//! where the quantity is zero, cut each side back to the subscribed depth, then compare the CRC32 of the ten best
//! levels. There are no update ids: the checksum is the only detector of loss, and it is blind below the tenth level.
//! It also holds for the earlier book: an update that comes behind its successor sets the quantity of before, so that the
//! book is that of before. So an update that is older than the one before it, by the venue's own time of it, is a gap. In
//! the recordings the times of a book go up with every message.
//!
//! Cutting back is part of the rule, not tidiness: a client that never does it fails nine checksums in ten.
//!
//! What nothing can catch: a wrong level below the tenth, or one that should have been cut away, as long as it stays
//! there. It is noticed when it rises among the ten. At depth 10 there is nothing below.
//!
//! When a checksum fails, that symbol alone is subscribed anew, and its book is not shown until the snapshot's own
//! checksum has held. Heartbeats show that the connection lives, never that a book does. A refused subscription is
//! visible only in its answer, and a subscription that was accepted and stays mute only to a timer.
//!
//! Messages to the venue stay below five per second: two subscriptions on opening, two messages per resync.

mod checksum;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::Parser;

use std::fmt::Write;
use std::time::Duration;

use crate::book::Book;
use crate::event::ResyncReason;
use crate::types::{Instrument, Scale, SymbolId, UnixNanos};

use super::SessionConfig;
use super::facts::{Facts, is_plain};
use super::message::{BookMessage, MessageDecimals};
use super::outbox::Outbox;
use super::rules::{Proof, Request, Rules, SnapshotSource, Standing, Verb, Verdict};
use checksum::Checksum;

pub(super) const FACTS: Facts = Facts {
    name: "kraken",
    websocket_url: "wss://ws.kraken.com",
    rest_url: "https://api.kraken.com",
    has_rest_snapshots: false,
    symbols: ["BTC/USD", "ETH/USD"],
    spelling: str::to_owned,
    is_symbol: |symbol| is_plain(symbol, b"/.-") && symbol.bytes().filter(|&byte| byte == b'/').count() == 1,
    has_depth: |depth| DEPTHS.contains(&depth),
    depths: "10, 25, 100, 500 or 1000",
    default_depth: 25,
    has_checkpoints: |_| false, // every message has a checksum
    subscription_timeout: Duration::from_secs(10),
    // A heartbeat comes every second.
    connection_silence: Some(Duration::from_secs(10)),
    shares_ids: false,
    connection_life: None,
};

/// The rules of Kraken spot.
pub(super) struct Kraken {
    /// Levels per side that are asked for.
    depth: u32,
    books: Vec<Asked>,
}

/// What is kept of one symbol.
#[derive(Debug)]
struct Asked {
    checksum: Checksum,
    /// Levels per side: what was asked for, then what the venue's answer says.
    depth: usize,
    /// The venue's time of the last message.
    time: UnixNanos,
}

impl Rules for Kraken {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Stream;
    const IS_CHAINED: bool = false;
    /// The venue drops a client that it has not heard of for a minute.
    const PING_INTERVAL: Option<Duration> = Some(Duration::from_secs(30));
    /// Two messages per resync at five per second.
    const RESYNC_SPACING: Duration = Duration::from_millis(400);
    /// The checksum is over the printed text: a number of other decimals is of another snapshot, or damaged.
    const RESCALES: bool = false;

    fn new(config: &SessionConfig, symbols: &[String]) -> Self {
        let asked = || Asked {
            checksum: Checksum::default(),
            depth: config.depth as usize,
            time: UnixNanos(0),
        };
        Self {
            depth: config.depth,
            books: symbols.iter().map(|_| asked()).collect(),
        }
    }

    fn websocket_path(&self) -> &str {
        "/v2"
    }

    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        self.ask_channel("book", request, request.id, out);
        if request.books_only {
            return 1;
        }
        self.ask_channel("trade", request, request.id + 1, out);
        2
    }

    fn ping(&self, id: u64, out: &mut Outbox) {
        out.send(|text| {
            let _ = write!(text, "{{\"method\":\"ping\",\"req_id\":{id}}}");
        });
    }

    fn scale(decimals: MessageDecimals) -> Scale {
        decimals.wire()
    }

    #[inline]
    fn judge(&self, _standing: Standing, _message: &BookMessage) -> Verdict {
        Verdict::Continues // there is nothing to judge by but the checksum
    }

    #[inline]
    fn prove(&mut self, instrument: &Instrument, book: &Book, message: &BookMessage) -> Result<Proof, ResyncReason> {
        let asked = &mut self.books[instrument.id.index()];
        let got = asked.checksum.of(book);
        let time = message.exchange_time.unwrap_or(asked.time);
        let before = std::mem::replace(&mut asked.time, time);
        match message.checksum {
            Some(expected) if expected != got => Err(ResyncReason::ChecksumMismatch { expected, got }),
            _ if time < before && !message.is_snapshot => Err(ResyncReason::SequenceGap {
                expected: before.0,
                got: time.0,
            }),
            _ => Ok(Proof::CHECKSUM),
        }
    }

    #[inline]
    fn levels_max(&self, symbol: SymbolId) -> usize {
        self.books[symbol.index()].depth
    }

    #[inline]
    fn scope(&self, symbol: SymbolId) -> usize {
        self.levels_max(symbol)
    }

    fn on_open(&mut self) {
        for book in &mut self.books {
            book.depth = self.depth as usize;
        }
    }

    fn on_depth(&mut self, symbol: SymbolId, depth: u32) {
        if DEPTHS.contains(&depth) {
            self.books[symbol.index()].depth = depth as usize;
        }
    }

    fn may_be_book(frame: &[u8]) -> bool {
        !frame.windows(7).any(|window| window == b"\"trade\"")
    }
}

impl Kraken {
    #[cold]
    fn ask_channel(&self, channel: &str, request: &Request<'_>, id: u64, out: &mut Outbox) {
        let (method, depth) = (request.verb.word(), self.depth);
        out.send(|text| {
            let _ = write!(
                text,
                "{{\"method\":\"{method}\",\"params\":{{\"channel\":\"{channel}\",\"symbol\":["
            );
            for (index, instrument) in request.instruments.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(text, "{comma}\"{}\"", instrument.symbol);
            }
            text.push(']');
            if channel == "book" {
                let _ = write!(text, ",\"depth\":{depth}");
            }
            if request.verb == Verb::Subscribe {
                // Trades of the past are not wanted, the whole book is.
                let _ = write!(text, ",\"snapshot\":{}", channel == "book");
            }
            let _ = write!(text, "}},\"req_id\":{id}}}");
        });
    }
}

/// The depths that the venue has.
const DEPTHS: [u32; 5] = [10, 25, 100, 500, 1000];
