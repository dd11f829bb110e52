//! OKX, WebSocket API v5: 400 levels per side, an unbroken chain of sequence ids, and a checksum that has died.
//!
//! The rule (venue documentation, order book channel, text of July 2026): each message names its own sequence id and the
//! one before it, per instrument; `prevSeqId` must be the id that the book stands at. The steps between ids are
//! irregular. Two messages look like gaps and are none: after a minute without a change comes a keep-alive, with empty
//! sides and `prevSeqId` equal to `seqId`, which says nothing of the book's content; after a maintenance the ids may
//! start again, with a `seqId` below its `prevSeqId`, and the book goes on from the new id. A message without
//! `prevSeqId` is malformed: zero is an id like any other.
//!
//! A whole book comes in the stream after a subscription (`prevSeqId` −1). The venue has announced that this will end,
//! so both ways are open: where an update comes first the book is fetched by REST and spliced by the ids: a snapshot
//! older than the first kept update's `prevSeqId` is fetched again, updates that it contains are dropped, the first that
//! is left must have its `prevSeqId` at or below the snapshot. After a gap the stream goes on, so REST repairs the book
//! without a word to the venue; a new subscription is tried when five REST snapshots were of no use.
//!
//! Until June 2026 each message carried a CRC32 of the 25 best levels; since then that field is 0. Zero is taken for
//! what it is, message by message: told once per connection ([`FeedEvent::ChecksumDead`](crate::FeedEvent)), with the
//! chain alone as the proof. Any other value is verified, so that an archive is judged by its own proof; one from before
//! there were ids has no other, and there a message without ids is accepted only with a living checksum.
//!
//! Limits: 480 subscriptions and unsubscriptions per hour and connection, three connections per second and address, 64
//! kB of arguments, fewer than 30 book channels per connection as a custom. A session sends one message on opening and
//! two per new subscription, of which it starts one in 15 s at most. REST allows 40 books per two seconds and address.
//!
//! Before a market opens its book may be crossed, rightly; it is not shown, and fetched again with a growing pause until
//! it is uncrossed. What nothing can detect: between two checkpoints, wrong content under right ids, the best level's
//! included, unless it crosses the book, now that the checksum is dead; and the newest trade, which a new subscription
//! repeats without marking it as old.

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
use crate::types::{Instrument, SymbolId};

use super::SessionConfig;
use super::facts::{Facts, is_plain};
use super::message::BookMessage;
use super::outbox::Outbox;
use super::rules::{Proof, Request, Rules, SnapshotSource, Standing, Verdict};
use checksum::Checksum;

pub(super) const FACTS: Facts = Facts {
    name: "okx",
    websocket_url: "wss://ws.okx.com:8443",
    rest_url: "https://www.okx.com",
    has_rest_snapshots: true,
    symbols: ["BTC-USDT", "ETH-USDT"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_plain(symbol, b"-_") && symbol.contains('-'),
    has_depth: |depth| depth == DEPTH,
    depths: "400",
    default_depth: DEPTH,
    has_checkpoints: |_| true,
    // An accepted subscription says something once a minute: its keep-alive.
    subscription_timeout: Duration::from_secs(75),
    // The answer to our ping.
    connection_silence: Some(Duration::from_secs(35)),
    shares_ids: true,
    connection_life: None,
};

/// The rules of OKX.
pub(super) struct Okx {
    rest_paths: Vec<String>,
    checkpoint_paths: Vec<String>,
    checksum: Checksum,
    is_checksum_dead: bool,
}

impl Rules for Okx {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::StreamOrRest;
    const IS_CHAINED: bool = true;
    /// The venue closes a connection on which nothing was said for 30 s.
    const PING_INTERVAL: Option<Duration> = Some(Duration::from_secs(25));
    /// Two messages per resync at 480 per hour.
    const RESYNC_SPACING: Duration = Duration::from_secs(15);

    fn new(_config: &SessionConfig, symbols: &[String]) -> Self {
        let rest_path =
            |depth: u32| move |symbol: &String| format!("/api/v5/market/books?instId={symbol}&sz={depth}&source=0");
        Self {
            rest_paths: symbols.iter().map(rest_path(DEPTH)).collect(),
            checkpoint_paths: symbols.iter().map(rest_path(CHECKPOINT_DEPTH)).collect(),
            checksum: Checksum::new(),
            is_checksum_dead: false,
        }
    }

    fn websocket_path(&self) -> &str {
        "/ws/v5/public"
    }

    fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        self.rest_paths.get(symbol.index()).map(String::as_str)
    }

    /// The venue counts requests: of the usual 3,000 per minute this leaves 1,000, below its 1,200.
    fn snapshot_weight(&self) -> u32 {
        3
    }

    fn checkpoint_path(&self, symbol: SymbolId) -> Option<&str> {
        self.checkpoint_paths.get(symbol.index()).map(String::as_str)
    }

    fn checkpoint_weight(&self) -> u32 {
        self.snapshot_weight()
    }

    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        let channels: &[&str] = if request.books_only {
            &["books"]
        } else {
            &["books", "trades"]
        };
        out.send(|text| {
            let _ = write!(
                text,
                "{{\"id\":\"{}\",\"op\":\"{}\",\"args\":[",
                request.id,
                request.verb.word()
            );
            let mut comma = "";
            for channel in channels {
                for instrument in request.instruments {
                    let symbol = &instrument.symbol;
                    let _ = write!(text, "{comma}{{\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}");
                    comma = ",";
                }
            }
            text.push_str("]}");
        });
        1
    }

    fn ping(&self, _id: u64, out: &mut Outbox) {
        out.send(|text| text.push_str("ping"));
    }

    fn update_id(last_id: u64, message: &BookMessage) -> u64 {
        match message.previous_id {
            None if !message.is_snapshot => last_id + 1, // of an archive without ids
            _ => message.last_id,
        }
    }

    #[inline]
    fn judge(&self, standing: Standing, message: &BookMessage) -> Verdict {
        let Standing { last_id, is_held } = standing;
        let gap = |got| Verdict::Gap { expected: last_id, got };
        match message.previous_id {
            Some(previous) if previous == last_id => match message.last_id == previous {
                true => Verdict::Contained,  // a keep-alive
                false => Verdict::Continues, // also where the ids start again
            },
            // The snapshot contains all of it, or its beginning.
            Some(previous) if is_held && previous < last_id => match message.last_id <= last_id {
                true => Verdict::Contained,
                false => Verdict::Continues,
            },
            Some(previous) => gap(previous),
            // Of an archive without ids: proven by its checksum, but nothing to splice by.
            None if is_held => gap(0),
            None => Verdict::Continues,
        }
    }

    fn prove(&mut self, instrument: &Instrument, book: &Book, message: &BookMessage) -> Result<Proof, ResyncReason> {
        let Some(expected) = message.checksum.filter(|checksum| *checksum != DEAD) else {
            let was_told = std::mem::replace(&mut self.is_checksum_dead, true);
            return Ok(Proof {
                is_checksum_dead: !was_told,
                ..Proof::CHAIN
            });
        };
        match self.checksum.of(book, instrument.scale) {
            got if got != expected => Err(ResyncReason::ChecksumMismatch { expected, got }),
            _ => Ok(Proof::CHECKSUM),
        }
    }

    /// The venue deletes what leaves its 400 levels and sends what comes into them: in the recording each side has 400
    /// after every message.
    fn scope(&self, _symbol: SymbolId) -> usize {
        DEPTH as usize
    }

    fn on_open(&mut self) {
        self.is_checksum_dead = false;
    }

    fn may_be_book(frame: &[u8]) -> bool {
        frame.windows(7).any(|window| window == b"\"books\"")
    }
}

/// Levels per side of the channel `books`.
const DEPTH: u32 = 400;

/// Levels per side of the REST book that a shown one is held against.
const CHECKPOINT_DEPTH: u32 = 50;

/// What stands where a checksum was.
const DEAD: u32 = 0;
