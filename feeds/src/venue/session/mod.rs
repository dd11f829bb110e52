//! One connection's worth of a venue: whose frame it is, whether it continues the book, what to do when it does not.
//!
//! This is the same for every venue; what differs are its [`Rules`]. A book is shown ([`Phase::Live`]) only while the
//! venue's own proof holds. In doubt that symbol alone waits for a whole book: from the stream, after a new subscription,
//! or by REST.
//!
//! # Why everything waits for a REST snapshot
//!
//! The snapshot comes over another connection, at any moment. If a trade were told at once while updates wait, a replay
//! with a faster snapshot would tell another story. So all frames of a symbol wait with its updates, and the point from
//! which on they are told is set by ids alone: the first update that ends behind the snapshot's id. Everything of the
//! symbol before it in the stream is dropped ([`FeedEvent::Outdated`]), everything from it on is told, in the stream's
//! order. Where snapshots come in the stream nothing waits: what came before one is its content already.

mod apply;
mod checkpoint;
mod compare;
mod history;
mod horizon;
mod lines;
mod liveness;
mod recover;
mod rescale;
mod symbol;

use std::time::Duration;

use crate::Sink;
use crate::book::{Book, Level};
use crate::clock::Clock;
use crate::event::{FeedEvent, LevelChange, ResyncReason, SnapshotFault, Stamps};
use crate::types::{Instrument, Line, Quality, Scale, SymbolId, UnixNanos};

use super::budget::RequestBudget;
use super::message::{Kind, Market, Notice, ParseError, Print, Route};
use super::outbox::{Outbox, ReconnectReason};
use super::rest_book::RestBook;
use super::rules::{Request, Rules, Verb};
use super::wire::Wire;
use super::{SessionConfig, after};
use checkpoint::Checkpoints;
use horizon::SnapshotDepth;
pub use lines::LineStanding;
use lines::Lines;
use liveness::Liveness;
use symbol::{Phase, SymbolFeed};

/// One connection to one venue, or two that carry the same.
pub(super) struct VenueSession<R: Rules> {
    rules: R,
    wire: R::Wire,
    instruments: Vec<Instrument>,
    feeds: Vec<SymbolFeed>,
    /// What the book message at hand says.
    changes: Vec<LevelChange>,
    /// The trades at hand.
    prints: Vec<Print>,
    /// The book at hand while its mantissas get another scale.
    levels: Vec<Level>,
    budget: RequestBudget,
    snapshot_depth: SnapshotDepth,
    /// Memory for the next snapshot that is read here.
    spare_book: Option<RestBook>,
    checkpoints: Checkpoints,
    trades: bool,
    snapshot_timeout: Duration,
    subscription_timeout: Duration,
    book_silence: Duration,
    connection_silence: Option<Duration>,
    /// The silences of the whole feed, where the venue has no heartbeat.
    silences: Liveness,
    opened_at: Option<UnixNanos>,
    lines: Lines,
    sent_at: UnixNanos,
    /// The next resync may be sent from here on.
    send_after: UnixNanos,
    /// The next request's number.
    request_id: u64,
    /// The number that the next frame should have, where the venue counts them.
    next_sequence: Option<u64>,
}

/// What every step needs from outside.
struct Context<'a, S, C> {
    stamps: &'a mut Stamps,
    clock: C,
    sink: &'a mut S,
    out: &'a mut Outbox,
}

impl<S, C> Context<'_, S, C> {
    fn now(&self) -> UnixNanos {
        self.stamps.receive_time
    }
}

/// A frame's market, or `None` for a frame that names its symbol but cannot be read.
type Found<R> = Option<Market<<<R as Rules>::Wire as Wire>::Head>>;

impl<R: Rules> VenueSession<R> {
    /// `spellings` were checked by [`SessionConfig::check`].
    pub(super) fn new(config: &SessionConfig, spellings: Vec<String>) -> Self {
        let rules = R::new(config, &spellings);
        let spellings_count = spellings.len();
        let backlog_bytes = if R::SNAPSHOTS.splices() {
            config.backlog_bytes
        } else {
            0
        };
        Self {
            wire: R::Wire::new(spellings.iter().map(String::as_str)),
            feeds: spellings
                .iter()
                .map(|_| SymbolFeed::new(backlog_bytes, config.depth))
                .collect(),
            instruments: (0_u16..)
                .zip(spellings)
                .map(|(id, symbol)| Instrument {
                    id: SymbolId(id),
                    symbol,
                    scale: Scale::default(),
                })
                .collect(),
            changes: Vec::with_capacity(CHANGES_CAPACITY),
            prints: Vec::with_capacity(PRINTS_CAPACITY),
            levels: Vec::with_capacity(CHANGES_CAPACITY),
            checkpoints: Checkpoints::new(&rules, config, spellings_count),
            budget: RequestBudget::new(rules.snapshot_weight(), config.rest_weight_per_minute),
            snapshot_depth: SnapshotDepth::new(config),
            spare_book: None,
            rules,
            trades: config.trades,
            snapshot_timeout: config.snapshot_timeout,
            subscription_timeout: config.subscription_timeout,
            book_silence: config.book_silence,
            connection_silence: config.connection_silence,
            silences: Liveness::default(),
            opened_at: None,
            lines: Lines::default(),
            sent_at: UnixNanos(0),
            send_after: UnixNanos(0),
            request_id: 1,
            next_sequence: None,
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
            Some(feed) if feed.phase == Phase::Live => feed.quality,
            _ => Quality::Resyncing,
        }
    }

    pub(super) fn websocket_path(&self) -> &str {
        self.rules.websocket_path()
    }

    pub(super) fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        self.rules.rest_path(symbol)
    }

    /// Which line the next calls are about: the one that opens, closes, or has brought a frame.
    #[inline]
    pub(super) fn select(&mut self, line: Line) {
        self.lines.current = line;
    }

    pub(super) fn awaits_snapshot(&self, symbol: SymbolId) -> bool {
        R::SNAPSHOTS.splices()
            && self
                .feeds
                .get(symbol.index())
                .is_some_and(|feed| feed.phase == Phase::Awaiting)
    }

    pub(super) fn on_open<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        out.aim(self.lines.current);
        if !self.lines.on_open(now) {
            self.on_second_line();
            self.ask_for_all(now, out);
            return;
        }
        self.opened_at = Some(now);
        self.silences.begin();
        self.next_sequence = None;
        self.rules.on_open();
        self.checkpoints.begin(now);
        let first_deadline = after(now, self.subscription_timeout);
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            feed.forget_connection();
            feed.phase = Phase::Awaiting;
            feed.resubscribe_at = R::SNAPSHOTS.streams().then_some(first_deadline);
            sink.on_event(FeedEvent::ResyncStarted {
                symbol: instrument.id,
                reason: ResyncReason::Start,
            });
        }
        self.ask_for_all(now, out);
        self.send_after = after(now, R::RESYNC_SPACING);
    }

    fn ask_for_all(&mut self, now: UnixNanos, out: &mut Outbox) {
        self.request_id += self.rules.ask(
            &Request {
                verb: Verb::Subscribe,
                instruments: &self.instruments,
                books_only: !self.trades,
                is_opening: true,
                id: self.request_id,
            },
            out,
        );
        self.sent_at = now;
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
        out.aim(self.lines.lead);
        let mut context = Context {
            stamps,
            clock,
            sink,
            out,
        };
        self.lines.frame_at[self.lines.current.index()] = context.now();
        let Some((symbol, market)) = self.route(frame, &mut context) else {
            return;
        };
        self.on_part(symbol, market, frame, &mut context);
        if let Some(mut market) = market.filter(|market| market.has_more) {
            while let Some(next) = self.wire.part_behind(frame, market.part) {
                self.on_part(next.symbol, Some(next), frame, &mut context);
                if !next.has_more {
                    break;
                }
                market = next;
            }
            if self.wire.has_hidden_parts() && !R::IS_CHAINED && R::may_be_book(frame) {
                self.resync_all(ResyncReason::Malformed, &mut context);
            }
        }
    }

    #[inline]
    fn on_part<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        market: Found<R>,
        frame: &[u8],
        context: &mut Context<'_, S, C>,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        if !feed.seen {
            feed.seen = true;
            if !R::SNAPSHOTS.streams() {
                // Nobody answers a subscription by the path: its first message does.
                context.sink.on_event(FeedEvent::Subscribed { symbol });
            }
        }
        let kind = market.map(|market| market.kind);
        let must_wait = R::SNAPSHOTS.splices() && feed.phase == Phase::Awaiting && kind != Some(Kind::Snapshot);
        let step = if must_wait {
            Step::Keep
        } else {
            self.process(symbol, frame, market, context)
        };
        if step == Step::Keep {
            self.keep(symbol, frame, kind, context);
        }
    }

    pub(super) fn on_timer<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        let Some(opened_at) = self.opened_at else { return };
        out.aim(self.lines.lead);
        let is_all_silent = self.is_feed_silent(now);
        for line in self.lines.open() {
            let frame_at = self.lines.frame_at[line.index()];
            let silence = self.connection_silence;
            let is_silent = silence.is_some_and(|silence| now > after(frame_at, silence));
            if is_all_silent || is_silent || self.lines.is_mute(line) {
                out.want_reconnect(line, ReconnectReason::Silent);
            }
        }
        for index in 0..self.feeds.len() {
            let symbol = self.instruments[index].id;
            let feed = &mut self.feeds[index];
            if matches!(feed.phase, Phase::Live | Phase::Held) {
                self.look_for_missing(symbol, now, sink, out);
            }
            if self.feeds[index].phase == Phase::Live {
                self.look_for_silence(symbol, now, sink, out);
            }
            self.give_up_snapshot(symbol, now, sink, out);
            let feed = &mut self.feeds[index];
            if feed.phase == Phase::Awaiting && feed.reply_due.is_some_and(|due| now > due) {
                feed.reply_due = None;
                self.reject_snapshot(symbol, SnapshotFault::Unavailable, now, sink, out);
            }
            if R::SNAPSHOTS.streams() {
                self.resubscribe_if_due(symbol, now, sink, out);
                continue;
            }
            let feed = &mut self.feeds[index];
            if !feed.seen && !feed.mute_told && now > after(opened_at, self.subscription_timeout) {
                feed.mute_told = true;
                sink.on_event(FeedEvent::SubscriptionMute { symbol });
            }
        }
        self.look_at_checkpoints(now, sink, out);
        if R::PING_INTERVAL.is_some_and(|interval| now > after(self.sent_at, interval)) {
            self.sent_at = now;
            for line in self.lines.open() {
                out.aim(line);
                self.rules.ping(self.request_id, out);
                self.request_id += 1;
            }
        }
    }

    pub(super) fn on_close<S: Sink>(&mut self, sink: &mut S) {
        if !self.lines.on_close() {
            self.on_line_lost();
            return;
        }
        self.opened_at = None;
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            let was_shown = feed.phase == Phase::Live;
            feed.forget_connection();
            if was_shown {
                let reason = ResyncReason::Disconnected;
                sink.on_event(FeedEvent::ResyncStarted {
                    symbol: instrument.id,
                    reason,
                });
            }
        }
    }

    /// Whose frame it is; `None` where that is nobody's and all has been said.
    #[inline]
    fn route<S: Sink, C: Clock>(
        &mut self,
        frame: &[u8],
        context: &mut Context<'_, S, C>,
    ) -> Option<(SymbolId, Found<R>)> {
        let route = self.wire.route(frame);
        if <R::Wire as Wire>::COUNTS_FRAMES {
            self.count_frame(context);
        }
        match route {
            Ok(Route::Market(market)) => Some((market.symbol, Some(market))),
            Ok(Route::Notice(notice)) => {
                self.on_notice(notice, context);
                None
            }
            Err(error) => self.on_wreckage(frame, error, context).map(|symbol| (symbol, None)),
        }
    }

    /// A frame of the connection is missing: nobody knows whose it was.
    fn count_frame<S: Sink, C: Clock>(&mut self, context: &mut Context<'_, S, C>) {
        let Some(got) = self.wire.sequence() else { return };
        let expected = self.next_sequence.replace(got.wrapping_add(1));
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            self.resync_all(ResyncReason::SequenceGap { expected, got }, context);
        }
    }

    #[cold]
    fn on_notice<S: Sink, C: Clock>(&mut self, notice: Notice, context: &mut Context<'_, S, C>) {
        match notice {
            Notice::Answer(answer) => self.on_answer(&answer, context),
            Notice::Shutdown => {
                context.sink.on_event(FeedEvent::ServerShutdown);
                let line = self.lines.current;
                context.out.want_reconnect(line, ReconnectReason::ServerShutdown);
            }
            Notice::Control => context.sink.on_event(FeedEvent::Control),
        }
    }

    /// A frame that cannot be routed; the symbol that it names, if it has to take its turn among that symbol's frames.
    ///
    /// Where nothing else shows that a message was lost, whatever may have been one puts its book in doubt, and a frame of
    /// which nothing is known all of them.
    #[cold]
    fn on_wreckage<S: Sink, C: Clock>(
        &mut self,
        frame: &[u8],
        error: ParseError,
        context: &mut Context<'_, S, C>,
    ) -> Option<SymbolId> {
        let named = match error {
            ParseError::UnknownSymbol => None,
            _ => self.wire.symbol_in_wreckage(frame),
        };
        if R::SNAPSHOTS.splices() && named.is_some() && error == ParseError::Malformed {
            return named;
        }
        context
            .sink
            .on_event(FeedEvent::FrameRejected { reason: error.fault() });
        if error == ParseError::UnknownSymbol || !R::may_be_book(frame) {
            return None;
        }
        match named {
            // The other line brings it whole.
            _ if self.lines.is_double() => {}
            Some(symbol) if self.feeds[symbol.index()].phase == Phase::Live => {
                self.resync(
                    symbol,
                    ResyncReason::Malformed,
                    context.now(),
                    context.sink,
                    context.out,
                );
            }
            None if !R::IS_CHAINED => self.resync_all(ResyncReason::Malformed, context),
            _ => {}
        }
        None
    }
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Consumed,
    /// An update that belongs to the next snapshot: the first frame of the new wait.
    Keep,
}

/// Both sides of the largest snapshot that is usual.
const CHANGES_CAPACITY: usize = 10_000;

const PRINTS_CAPACITY: usize = 1_024;
