//! Kraken spot, WebSocket API v2: snapshots and updates in one stream, proven by a checksum.
//!
//! The rule (venue documentation, "Spot WebSocket order book v2"): apply every level of a message in its order, delete
//! where the quantity is zero, cut each side back to the subscribed depth, then compare the CRC32 of the ten best
//! levels. There are no update ids: the checksum is the only detector of loss, and it is blind below the tenth level.
//! Cutting back is part of the rule, not tidiness: a client that never does it fails nine checksums in ten.
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

pub use parse::{Answer, BookMessage, Message, Parser};

use std::fmt::Write;
use std::time::Duration;

use crate::Sink;
use crate::book::Book;
use crate::clock::Clock;
use crate::event::{BookUpdate, FeedEvent, FrameFault, LevelChange, ResyncReason, SnapshotFault, Stamps};
use crate::types::{Instrument, Quality, Scale, Side, SymbolId, UnixNanos};

use super::budget::backoff;
use super::config::KRAKEN_DEPTHS;
use super::message::{ParseError, Print};
use super::outbox::{Outbox, ReconnectReason};
use super::{SessionConfig, after};
use checksum::Checksum;
use parse::Route;
use scan::Kind;

/// One connection to Kraken spot.
pub(super) struct KrakenSession {
    parser: Parser,
    instruments: Vec<Instrument>,
    feeds: Vec<SymbolFeed>,
    depth: u32,
    trades: bool,
    changes: Vec<LevelChange>,
    prints: Vec<Print>,
    subscription_timeout: Duration,
    book_silence: Duration,
    connection_silence: Option<Duration>,
    is_open: bool,
    frame_at: UnixNanos,
    sent_at: UnixNanos,
    /// The next resync may be sent from here on.
    send_after: UnixNanos,
    request_id: u64,
}

/// What is kept of one symbol.
struct SymbolFeed {
    phase: Phase,
    book: Book,
    checksum: Checksum,
    /// Levels per side: what was asked for, then what the venue's answer says.
    depth: usize,
    /// The scale of the last snapshot that was proven, which the sink knows; `None` before the first.
    scale: Option<Scale>,
    update_count: u64,
    exchange_time: UnixNanos,
    /// When to subscribe anew: at once, after a back-off, or because nothing came.
    resubscribe_at: Option<UnixNanos>,
    attempt: u32,
    touched_at: UnixNanos,
    stale: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not subscribed: the connection is closed, the venue refused, or a new subscription has yet to be sent.
    Idle,
    /// Subscribed: the answer and the snapshot are awaited.
    Awaiting,
    /// The book is shown.
    Live,
}

impl KrakenSession {
    /// `spellings` were checked by [`SessionConfig::check`].
    pub(super) fn new(config: &SessionConfig, spellings: Vec<String>) -> Self {
        let feed = || SymbolFeed {
            phase: Phase::Idle,
            book: Book::new(),
            checksum: Checksum::default(),
            depth: config.depth as usize,
            scale: None,
            update_count: 0,
            exchange_time: UnixNanos(0),
            resubscribe_at: None,
            attempt: 0,
            touched_at: UnixNanos(0),
            stale: false,
        };
        Self {
            parser: Parser::new(spellings.iter().map(String::as_str)),
            feeds: spellings.iter().map(|_| feed()).collect(),
            instruments: (0_u16..)
                .zip(spellings)
                .map(|(id, symbol)| Instrument {
                    id: SymbolId(id),
                    symbol,
                    scale: Scale::default(),
                })
                .collect(),
            depth: config.depth,
            trades: config.trades,
            changes: Vec::with_capacity(CHANGES_CAPACITY),
            prints: Vec::with_capacity(PRINTS_CAPACITY),
            subscription_timeout: config.subscription_timeout,
            book_silence: config.book_silence,
            connection_silence: config.connection_silence,
            is_open: false,
            frame_at: UnixNanos(0),
            sent_at: UnixNanos(0),
            send_after: UnixNanos(0),
            request_id: 0,
        }
    }

    pub(super) fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    pub(super) fn book(&self, symbol: SymbolId) -> Option<&Book> {
        self.feeds
            .get(symbol.index())
            .filter(|feed| feed.phase == Phase::Live)
            .map(|feed| &feed.book)
    }

    pub(super) fn quality(&self, symbol: SymbolId) -> Quality {
        match self.feeds.get(symbol.index()) {
            Some(feed) if feed.phase == Phase::Live && feed.stale => Quality::Stale,
            Some(feed) if feed.phase == Phase::Live => Quality::Verified,
            _ => Quality::Resyncing,
        }
    }

    pub(super) fn websocket_path(&self) -> &str {
        "/v2"
    }

    pub(super) fn rest_path(&self, _symbol: SymbolId) -> Option<&str> {
        None
    }

    pub(super) fn awaits_snapshot(&self, _symbol: SymbolId) -> bool {
        false
    }

    pub(super) fn on_open<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        self.is_open = true;
        self.frame_at = now;
        let first_deadline = after(now, self.subscription_timeout);
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            feed.phase = Phase::Awaiting;
            feed.depth = self.depth as usize;
            feed.attempt = 0;
            feed.resubscribe_at = Some(first_deadline);
            sink.on_event(FeedEvent::ResyncStarted {
                symbol: instrument.id,
                reason: ResyncReason::Start,
            });
        }
        self.send_subscription("subscribe", "book", None, out);
        if self.trades {
            self.send_subscription("subscribe", "trade", None, out);
        }
        self.sent_at = now;
        self.send_after = after(now, RESYNC_SPACING);
    }

    #[inline]
    pub(super) fn on_frame<S: Sink, C: Clock>(
        &mut self,
        frame: &[u8],
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let now = stamps.receive_time;
        self.frame_at = now;
        let (symbol, kind, scanned) = match self.parser.route(frame) {
            Ok(Route::Scanned(head)) => (head.symbol, head.kind, Some(head)),
            Ok(Route::Slow { symbol, kind }) => (symbol, kind, None),
            Ok(Route::Unrouted(Message::Answer(answer))) => return self.on_answer(&answer, now, sink),
            Ok(Route::Unrouted(_)) => return sink.on_event(FeedEvent::Control),
            Err(error) => return self.on_wreckage(frame, error, now, sink, out),
        };
        match kind {
            Kind::Snapshot => {
                if let Err(error) = self.settle_scale(symbol, frame) {
                    return self.reject(symbol, error, now, sink, out);
                }
            }
            // Without a book yet, or between two: what came before the snapshot is its content already.
            Kind::Update if self.feeds[symbol.index()].phase != Phase::Live => {
                return sink.on_event(FeedEvent::Outdated { symbol });
            }
            Kind::Trades if self.feeds[symbol.index()].scale.is_none() => {
                return sink.on_event(FeedEvent::Outdated { symbol });
            }
            Kind::Update | Kind::Trades => {}
        }
        let parsed = match scanned {
            Some(head) => self
                .parser
                .parse_behind(frame, &head, &mut self.changes, &mut self.prints),
            None => self.parser.parse_any(frame, &mut self.changes, &mut self.prints),
        };
        stamps.parsed = clock.ticks();
        match parsed {
            Ok(Message::Book(message)) => self.on_book(&message, stamps, clock, sink, out),
            Ok(Message::Trades { is_snapshot: false }) => {
                stamps.booked = stamps.parsed;
                // A message may name several symbols; those without a proven scale wait for it.
                let known = |print: &&Print| self.feeds[print.symbol.index()].scale.is_some();
                for print in self.prints.iter().filter(known) {
                    sink.on_trade(&print.told(&self.instruments[print.symbol.index()]), stamps);
                }
            }
            // Trades of the past: they would be told again after every subscription.
            Ok(Message::Trades { is_snapshot: true }) => sink.on_event(FeedEvent::Outdated { symbol }),
            Ok(Message::Answer(_) | Message::Control) => sink.on_event(FeedEvent::Control),
            // A trade that cannot be read says nothing of the book.
            Err(error) if kind == Kind::Trades => sink.on_event(FeedEvent::FrameRejected { reason: error.fault() }),
            Err(error) => self.reject(symbol, error, now, sink, out),
        }
    }

    pub(super) fn on_snapshot<S: Sink, C: Clock>(
        &mut self,
        _symbol: SymbolId,
        _reply: Result<&[u8], SnapshotFault>,
        _stamps: &mut Stamps,
        _clock: C,
        _sink: &mut S,
        _out: &mut Outbox,
    ) {
        // Snapshots come in the stream; none was asked for.
    }

    pub(super) fn on_timer<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        if !self.is_open {
            return;
        }
        if self
            .connection_silence
            .is_some_and(|silence| now > after(self.frame_at, silence))
        {
            out.want_reconnect(ReconnectReason::Silent);
        }
        for index in 0..self.feeds.len() {
            let feed = &mut self.feeds[index];
            if feed.phase == Phase::Live {
                feed.stale = now > after(feed.touched_at, self.book_silence);
            }
            if feed.resubscribe_at.is_none_or(|due| now < due) || now < self.send_after {
                continue;
            }
            let symbol = self.instruments[index].id;
            if feed.phase == Phase::Awaiting {
                // Asked for, perhaps accepted, and nothing came.
                sink.on_event(FeedEvent::SubscriptionMute { symbol });
                if feed.attempt >= ATTEMPTS_BEFORE_RECONNECT {
                    out.want_reconnect(ReconnectReason::NotAcknowledged);
                }
            }
            self.resubscribe(symbol, now, out);
        }
        if now > after(self.sent_at, PING_INTERVAL) {
            self.sent_at = now;
            self.request_id += 1;
            let request_id = self.request_id;
            out.send(|text| {
                let _ = write!(text, "{{\"method\":\"ping\",\"req_id\":{request_id}}}");
            });
        }
    }

    pub(super) fn on_close<S: Sink>(&mut self, sink: &mut S) {
        self.is_open = false;
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            feed.resubscribe_at = None;
            if std::mem::replace(&mut feed.phase, Phase::Idle) == Phase::Live {
                let reason = ResyncReason::Disconnected;
                sink.on_event(FeedEvent::ResyncStarted {
                    symbol: instrument.id,
                    reason,
                });
            }
        }
    }

    #[inline]
    fn on_book<S: Sink, C: Clock>(
        &mut self,
        message: &BookMessage,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let symbol = message.symbol;
        let feed = &mut self.feeds[symbol.index()];
        if message.is_snapshot {
            feed.book.clear();
        }
        apply(&mut feed.book, &self.changes, feed.depth);
        let checksum = feed.checksum.of(&feed.book);
        let now = stamps.receive_time;
        if checksum != message.checksum {
            let reason = ResyncReason::ChecksumMismatch {
                expected: message.checksum,
                got: checksum,
            };
            return self.resync(symbol, reason, now, sink, out);
        }
        sink.on_event(FeedEvent::ChecksumVerified { symbol });
        if feed.book.is_crossed() {
            return self.resync(symbol, ResyncReason::Crossed, now, sink, out);
        }
        let instrument = &self.instruments[symbol.index()];
        feed.update_count += 1;
        feed.exchange_time = message.exchange_time.unwrap_or(feed.exchange_time);
        feed.touched_at = now;
        feed.stale = false;
        if feed.phase != Phase::Live {
            feed.phase = Phase::Live;
            feed.resubscribe_at = None;
            sink.on_event(FeedEvent::ResyncFinished {
                symbol,
                update_id: feed.update_count,
            });
        } else if !message.is_snapshot {
            feed.attempt = 0; // the subscription works
        }
        if message.is_snapshot {
            let scale = instrument.scale;
            if feed.scale.replace(scale).is_some_and(|told| told != scale) {
                sink.on_event(FeedEvent::Rescaled { symbol, scale });
            }
        }
        stamps.booked = clock.ticks();
        let update = BookUpdate {
            instrument,
            book: &feed.book,
            changes: if message.is_snapshot { &[] } else { &self.changes },
            update_id: feed.update_count,
            exchange_time: feed.exchange_time,
            quality: Quality::Verified,
            is_snapshot: message.is_snapshot,
        };
        sink.on_book(&update, stamps);
    }

    /// Takes the number of decimals from the text of a snapshot: the checksum is over that text.
    #[cold]
    fn settle_scale(&mut self, symbol: SymbolId, frame: &[u8]) -> Result<(), ParseError> {
        let scale = self.parser.book_decimals(frame)?.wire();
        if !self.parser.set_scale(symbol, scale) {
            return Err(ParseError::NumberOutOfRange);
        }
        self.instruments[symbol.index()].scale = scale;
        Ok(())
    }

    #[cold]
    fn on_answer<S: Sink>(&mut self, answer: &Answer, now: UnixNanos, sink: &mut S) {
        if answer.to_subscribe && !answer.success {
            sink.on_event(FeedEvent::SubscriptionRefused { symbol: answer.symbol });
        }
        let (Some(symbol), true) = (answer.symbol, answer.about_book || !answer.success) else {
            return sink.on_event(FeedEvent::Control);
        };
        let feed = &mut self.feeds[symbol.index()];
        match (answer.to_subscribe, answer.success) {
            (true, true) => {
                if let Some(depth) = answer.depth.filter(|depth| KRAKEN_DEPTHS.contains(depth)) {
                    feed.depth = depth as usize;
                }
                if feed.phase == Phase::Awaiting {
                    feed.resubscribe_at = Some(after(now, self.subscription_timeout));
                }
                sink.on_event(FeedEvent::Subscribed { symbol });
            }
            // A refusal of the trades does not name its channel; the book's snapshot then shows that all is well.
            (true, false) => {
                if feed.phase == Phase::Awaiting {
                    feed.phase = Phase::Idle;
                    feed.resubscribe_at = Some(after(now, REFUSED_RETRY));
                }
            }
            (false, _) => {
                sink.on_event(FeedEvent::Control);
                if answer.success && feed.phase == Phase::Live {
                    feed.phase = Phase::Awaiting;
                    feed.resubscribe_at = Some(after(now, self.subscription_timeout));
                    sink.on_event(FeedEvent::ResyncStarted {
                        symbol,
                        reason: ResyncReason::Start,
                    });
                }
            }
        }
    }

    /// A frame that cannot be routed. Below the tenth level no checksum would show that an update was lost, so whatever
    /// may have been one puts its book in doubt, and a frame of which nothing is known all of them.
    #[cold]
    fn on_wreckage<S: Sink>(
        &mut self,
        frame: &[u8],
        error: ParseError,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        sink.on_event(FeedEvent::FrameRejected { reason: error.fault() });
        if error == ParseError::UnknownSymbol || is_about_trades(frame) {
            return;
        }
        let named = self.parser.symbol_in_wreckage(frame);
        for index in 0..self.feeds.len() {
            let symbol = self.instruments[index].id;
            if named.is_none_or(|named| named == symbol) && self.feeds[index].phase == Phase::Live {
                self.resync(symbol, ResyncReason::Malformed, now, sink, out);
            }
        }
    }

    /// A book message of this symbol that cannot be used.
    #[cold]
    fn reject<S: Sink>(&mut self, symbol: SymbolId, error: ParseError, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        let reason: FrameFault = error.fault();
        sink.on_event(FeedEvent::FrameRejected { reason });
        self.resync(symbol, ResyncReason::Malformed, now, sink, out);
    }

    /// The book is not shown from here on, and its symbol is subscribed anew: now, or when the pace allows it.
    #[cold]
    fn resync<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reason: ResyncReason,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        feed.phase = Phase::Idle;
        feed.stale = false;
        // The snapshot that failed may have brought other decimals. Trades go on at those that the sink knows.
        if let Some(scale) = feed.scale {
            let exists = self.parser.set_scale(symbol, scale);
            debug_assert!(exists, "a proven scale exists");
            self.instruments[symbol.index()].scale = scale;
        }
        let due = after(now, backoff(feed.attempt));
        feed.resubscribe_at = Some(due);
        sink.on_event(FeedEvent::ResyncStarted { symbol, reason });
        if due <= now && self.send_after <= now {
            self.resubscribe(symbol, now, out);
        }
    }

    fn resubscribe(&mut self, symbol: SymbolId, now: UnixNanos, out: &mut Outbox) {
        let feed = &mut self.feeds[symbol.index()];
        feed.phase = Phase::Awaiting;
        feed.resubscribe_at = Some(after(now, self.subscription_timeout));
        feed.attempt = feed.attempt.saturating_add(1);
        self.send_subscription("unsubscribe", "book", Some(symbol), out);
        self.send_subscription("subscribe", "book", Some(symbol), out);
        self.sent_at = now;
        self.send_after = after(now, RESYNC_SPACING);
    }

    /// Writes a request about one symbol, or about all.
    #[cold]
    fn send_subscription(&mut self, method: &str, channel: &str, symbol: Option<SymbolId>, out: &mut Outbox) {
        self.request_id += 1;
        let (request_id, depth) = (self.request_id, self.depth);
        out.send(|text| {
            let _ = write!(
                text,
                "{{\"method\":\"{method}\",\"params\":{{\"channel\":\"{channel}\",\"symbol\":["
            );
            let of = self
                .instruments
                .iter()
                .filter(|instrument| symbol.is_none_or(|id| id == instrument.id));
            for (index, instrument) in of.enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(text, "{comma}\"{}\"", instrument.symbol);
            }
            text.push(']');
            if channel == "book" {
                let _ = write!(text, ",\"depth\":{depth}");
            }
            if method == "subscribe" {
                // Trades of the past are not wanted, the whole book is.
                let _ = write!(text, ",\"snapshot\":{}", channel == "book");
            }
            let _ = write!(text, "}},\"req_id\":{request_id}}}");
        });
    }
}

/// Applies every level in the order of the message, then cuts each side back to `depth`.
#[inline]
fn apply(book: &mut Book, changes: &[LevelChange], depth: usize) {
    for change in changes {
        book.set(change.side, change.price, change.qty);
    }
    for side in [Side::Bid, Side::Ask] {
        if book.level_count(side) > depth {
            book.truncate(side, depth);
        }
    }
}

fn is_about_trades(frame: &[u8]) -> bool {
    frame.windows(7).any(|window| window == b"\"trade\"")
}

/// Both sides of the deepest snapshot.
const CHANGES_CAPACITY: usize = 2_000;

const PRINTS_CAPACITY: usize = 1_024;

/// The venue drops a client that it has not heard of for a minute.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Two messages per resync at five per second.
const RESYNC_SPACING: Duration = Duration::from_millis(400);

/// What was refused may be allowed later (maintenance); a wrong symbol stays refused, quietly.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// When so many subscriptions in a row stay mute the connection itself is the suspect.
const ATTEMPTS_BEFORE_RECONNECT: u32 = 3;
