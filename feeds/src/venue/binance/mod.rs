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
//!
//! # Why everything waits for the snapshot
//!
//! The snapshot comes over another connection, at any moment. If a trade were told at once while diffs wait, a replay
//! with a faster snapshot would tell another story. So all frames of a symbol wait with its diffs, and the point from
//! which on they are told is set by ids alone: the first diff that ends behind `lastUpdateId`. Everything of the symbol
//! before it in the stream is dropped ([`FeedEvent::Outdated`]), everything from it on is told, in the stream's order.

mod front;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::{Diff, Message, Parser, Ticker};

use std::time::Duration;

use crate::Sink;
use crate::book::{Book, Level};
use crate::clock::Clock;
use crate::decimal::power_of_ten;
use crate::event::{
    BookUpdate, FeedEvent, FrameFault, LevelChange, ResyncReason, SnapshotFault, Stamps, TopOfBook, Trade,
};
use crate::types::{Instrument, Price, Qty, Quality, Scale, Side, SymbolId, UnixNanos};

use super::backlog::Backlog;
use super::budget::{RequestBudget, backoff};
use super::message::{ParseError, Print};
use super::outbox::{Outbox, ReconnectReason, SnapshotRequest};
use super::{SessionConfig, after};
use parse::Route;

/// One connection to Binance spot.
pub(super) struct BinanceSession {
    parser: Parser,
    instruments: Vec<Instrument>,
    feeds: Vec<SymbolFeed>,
    websocket_path: String,
    rest_paths: Vec<String>,
    /// What the diff at hand says.
    changes: Vec<LevelChange>,
    /// The book at hand while its mantissas get another scale.
    levels: Vec<Level>,
    budget: RequestBudget,
    snapshot_timeout: Duration,
    subscription_timeout: Duration,
    book_silence: Duration,
    connection_silence: Option<Duration>,
    opened_at: Option<UnixNanos>,
    frame_at: UnixNanos,
}

/// What is kept of one symbol.
struct SymbolFeed {
    phase: Phase,
    book: Book,
    /// The update id that the book stands at: `lastUpdateId` of the snapshot, then `u` of the last diff.
    last_id: u64,
    /// The last `bookTicker`, whose diff may still come.
    last_top: Option<Ticker>,
    /// The mantissas have another scale than at the last update: the next one is told as a whole book.
    rebased: bool,
    /// The scale that the sink knows of; `None` before the first book was shown.
    told_scale: Option<Scale>,
    backlog: Backlog,
    /// When the request for a snapshot that is under way counts as failed.
    reply_due: Option<UnixNanos>,
    attempt: u32,
    /// A frame of it has come on this connection.
    seen: bool,
    mute_told: bool,
    touched_at: UnixNanos,
    stale: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No snapshot: all frames go into the backlog.
    Awaiting,
    /// The snapshot is in the book, the diff that continues it has not come.
    Held,
    /// The book is shown.
    Live,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Consumed,
    /// A diff that belongs to the next snapshot: the first frame of the new wait.
    Keep,
}

/// What every step needs from outside.
struct Context<'a, S, C> {
    stamps: &'a mut Stamps,
    clock: C,
    sink: &'a mut S,
    out: &'a mut Outbox,
}

impl BinanceSession {
    /// `spellings` were checked by [`SessionConfig::check`].
    pub(super) fn new(config: &SessionConfig, spellings: Vec<String>) -> Self {
        let depth = config.depth;
        let mut websocket_path = String::from("/stream?streams=");
        for (index, spelling) in spellings.iter().enumerate() {
            let lower = spelling.to_ascii_lowercase();
            if index > 0 {
                websocket_path.push('/');
            }
            websocket_path.push_str(&format!("{lower}@depth@100ms"));
            if config.trades {
                websocket_path.push_str(&format!("/{lower}@trade"));
            }
            if config.tops {
                websocket_path.push_str(&format!("/{lower}@bookTicker"));
            }
        }
        let rest_path = |symbol: &String| format!("/api/v3/depth?symbol={symbol}&limit={depth}");
        let feed = || SymbolFeed {
            phase: Phase::Awaiting,
            book: Book::new(),
            last_id: 0,
            last_top: None,
            rebased: false,
            told_scale: None,
            backlog: Backlog::new(config.backlog_bytes),
            reply_due: None,
            attempt: 0,
            seen: false,
            mute_told: false,
            touched_at: UnixNanos(0),
            stale: false,
        };
        Self {
            parser: Parser::new(spellings.iter().map(String::as_str)),
            feeds: spellings.iter().map(|_| feed()).collect(),
            websocket_path,
            rest_paths: spellings.iter().map(rest_path).collect(),
            instruments: (0_u16..)
                .zip(spellings)
                .map(|(id, symbol)| Instrument {
                    id: SymbolId(id),
                    symbol,
                    scale: Scale::default(),
                })
                .collect(),
            changes: Vec::with_capacity(CHANGES_CAPACITY),
            levels: Vec::with_capacity(CHANGES_CAPACITY),
            budget: RequestBudget::new(snapshot_weight(depth), config.rest_weight_per_minute),
            snapshot_timeout: config.snapshot_timeout,
            subscription_timeout: config.subscription_timeout,
            book_silence: config.book_silence,
            connection_silence: config.connection_silence,
            opened_at: None,
            frame_at: UnixNanos(0),
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
        &self.websocket_path
    }

    pub(super) fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        self.rest_paths.get(symbol.index()).map(String::as_str)
    }

    pub(super) fn awaits_snapshot(&self, symbol: SymbolId) -> bool {
        self.feeds
            .get(symbol.index())
            .is_some_and(|feed| feed.phase == Phase::Awaiting)
    }

    pub(super) fn on_open<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, _out: &mut Outbox) {
        self.opened_at = Some(now);
        self.frame_at = now;
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            feed.start_wait();
            feed.backlog.clear();
            feed.reply_due = None;
            feed.attempt = 0;
            feed.seen = false;
            feed.mute_told = false;
            sink.on_event(FeedEvent::ResyncStarted {
                symbol: instrument.id,
                reason: ResyncReason::Start,
            });
        }
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
        let mut context = Context {
            stamps,
            clock,
            sink,
            out,
        };
        self.frame_at = context.stamps.receive_time;
        let Some((symbol, route)) = self.route(frame, &mut context) else {
            return;
        };
        let feed = &mut self.feeds[symbol.index()];
        if !feed.seen {
            feed.seen = true;
            context.sink.on_event(FeedEvent::Subscribed { symbol });
        }
        let step = match feed.phase {
            Phase::Awaiting => Step::Keep,
            Phase::Held | Phase::Live => self.process(symbol, frame, route, &mut context),
        };
        if step == Step::Keep {
            self.keep(symbol, frame, is_diff(route), &mut context);
        }
    }

    pub(super) fn on_snapshot<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&[u8], SnapshotFault>,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let Some(feed) = self.feeds.get_mut(symbol.index()) else {
            return;
        };
        if feed.phase != Phase::Awaiting {
            return; // an answer to a request that was given up
        }
        feed.reply_due = None;
        let mut context = Context {
            stamps,
            clock,
            sink,
            out,
        };
        match reply.and_then(|body| self.load(symbol, body)) {
            Ok(()) => self.drain(symbol, &mut context),
            Err(reason) => self.reject_snapshot(symbol, reason, context.stamps.receive_time, context.sink, context.out),
        }
    }

    pub(super) fn on_timer<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        let Some(opened_at) = self.opened_at else { return };
        if self
            .connection_silence
            .is_some_and(|silence| now > after(self.frame_at, silence))
        {
            out.want_reconnect(ReconnectReason::Silent);
        }
        for index in 0..self.feeds.len() {
            let symbol = self.instruments[index].id;
            let feed = &mut self.feeds[index];
            match feed.phase {
                Phase::Live => feed.stale = now > after(feed.touched_at, self.book_silence),
                Phase::Held => {}
                Phase::Awaiting => {
                    if feed.reply_due.is_some_and(|due| now > due) {
                        feed.reply_due = None;
                        self.reject_snapshot(symbol, SnapshotFault::Unavailable, now, sink, out);
                    }
                }
            }
            let feed = &mut self.feeds[index];
            if !feed.seen && !feed.mute_told && now > after(opened_at, self.subscription_timeout) {
                feed.mute_told = true;
                sink.on_event(FeedEvent::SubscriptionMute { symbol });
            }
        }
    }

    pub(super) fn on_close<S: Sink>(&mut self, sink: &mut S) {
        self.opened_at = None;
        for (feed, instrument) in self.feeds.iter_mut().zip(&self.instruments) {
            let was_shown = feed.phase == Phase::Live;
            feed.start_wait();
            feed.backlog.clear();
            feed.reply_due = None;
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
    ) -> Option<(SymbolId, Option<Route>)> {
        match self.parser.route(frame) {
            Ok(route @ Route::Scanned(head)) => Some((head.symbol, Some(route))),
            Ok(route @ Route::Slow { symbol, .. }) => Some((symbol, Some(route))),
            Ok(Route::Unrouted(message)) => {
                self.on_control(message, context);
                None
            }
            // What cannot be read but names its symbol takes its turn among the symbol's frames.
            Err(ParseError::Malformed) if self.parser.symbol_in_wreckage(frame).is_some() => {
                self.parser.symbol_in_wreckage(frame).map(|symbol| (symbol, None))
            }
            Err(error) => {
                context
                    .sink
                    .on_event(FeedEvent::FrameRejected { reason: error.fault() });
                None
            }
        }
    }

    #[cold]
    fn on_control<S: Sink, C: Clock>(&mut self, message: Message, context: &mut Context<'_, S, C>) {
        match message {
            Message::Refused => context.sink.on_event(FeedEvent::SubscriptionRefused { symbol: None }),
            Message::Shutdown => {
                context.sink.on_event(FeedEvent::ServerShutdown);
                context.out.want_reconnect(ReconnectReason::ServerShutdown);
            }
            _ => context.sink.on_event(FeedEvent::Control),
        }
    }

    /// Puts a frame into the backlog and asks for the snapshot that it waits for.
    #[cold]
    fn keep<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        frame: &[u8],
        is_diff: bool,
        context: &mut Context<'_, S, C>,
    ) {
        let backlog = &mut self.feeds[symbol.index()].backlog;
        if !backlog.push(frame) {
            // Half a backlog would be a gap: what is kept has to be whole from its first frame on.
            backlog.clear();
            context.sink.on_event(FeedEvent::BacklogOverflow { symbol });
            backlog.push(frame);
        }
        // Not before the first diff: a snapshot that is older than it would be fetched in vain.
        if is_diff {
            self.request(symbol, context.stamps.receive_time, context.out);
        }
    }

    /// Asks for a snapshot unless one is under way.
    fn request(&mut self, symbol: SymbolId, now: UnixNanos, out: &mut Outbox) {
        let feed = &mut self.feeds[symbol.index()];
        if feed.reply_due.is_some() {
            return;
        }
        let not_before = self.budget.take(after(now, backoff(feed.attempt)));
        feed.reply_due = Some(after(not_before, self.snapshot_timeout));
        out.fetch(SnapshotRequest {
            symbol,
            attempt: feed.attempt,
            not_before,
        });
        feed.attempt = feed.attempt.saturating_add(1);
    }

    #[cold]
    fn reject_snapshot<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reason: SnapshotFault,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        sink.on_event(FeedEvent::SnapshotRejected { symbol, reason });
        if !self.feeds[symbol.index()].backlog.is_empty() {
            self.request(symbol, now, out);
        }
    }

    /// Puts the snapshot into the book, or refuses it and leaves everything as it was.
    #[cold]
    fn load(&mut self, symbol: SymbolId, body: &[u8]) -> Result<(), SnapshotFault> {
        if body.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotFault::Malformed);
        }
        let (last_update_id, scale) = self
            .parser
            .snapshot(body, &mut self.changes)
            .map_err(|_| SnapshotFault::Malformed)?;
        let best = |side: Side| {
            self.changes
                .iter()
                .find(|level| level.side == side)
                .map(|level| level.price)
        };
        let crossed = matches!((best(Side::Bid), best(Side::Ask)), (Some(bid), Some(ask)) if bid >= ask);
        // An empty book is what a cut or mistaken reply looks like; a market without a single order can wait.
        let plausible = !self.changes.is_empty()
            && self.changes.len() <= 2 * LEVELS_MAX
            && self
                .changes
                .iter()
                .all(|level| level.qty > Qty(0) && level.price > Price(0));
        if crossed || !plausible || !self.parser.set_scale(symbol, scale) {
            return Err(SnapshotFault::Malformed);
        }
        let feed = &mut self.feeds[symbol.index()];
        feed.book.clear();
        // Worst first, so that a book that keeps its best levels last only ever appends.
        for level in self.changes.iter().rev() {
            feed.book.set(level.side, level.price, level.qty);
        }
        if feed.book.is_crossed() {
            return Err(SnapshotFault::Malformed); // not sorted as the venue sorts
        }
        self.instruments[symbol.index()].scale = scale;
        feed.last_id = last_update_id;
        feed.phase = Phase::Held;
        Ok(())
    }

    /// Works through the backlog in the order of the stream, as far as the snapshot carries.
    #[cold]
    fn drain<S: Sink, C: Clock>(&mut self, symbol: SymbolId, context: &mut Context<'_, S, C>) {
        let mut backlog = std::mem::take(&mut self.feeds[symbol.index()].backlog);
        while self.feeds[symbol.index()].phase != Phase::Awaiting {
            let Some(frame) = backlog.first() else { break };
            let step = match self.route(frame, context) {
                Some((_, route)) => self.process(symbol, frame, route, context),
                None => Step::Consumed,
            };
            if step == Step::Consumed {
                backlog.pop();
            }
        }
        let waits = !backlog.is_empty();
        self.feeds[symbol.index()].backlog = backlog;
        if waits {
            self.request(symbol, context.stamps.receive_time, context.out);
        }
    }

    /// One frame of a symbol that has a snapshot.
    #[inline]
    fn process<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        frame: &[u8],
        route: Option<Route>,
        context: &mut Context<'_, S, C>,
    ) -> Step {
        let parsed = match route {
            Some(Route::Scanned(head)) => self.parser.parse_behind(frame, &head, &mut self.changes),
            _ => self.parser.parse_any(frame, &mut self.changes),
        };
        let parsed = match parsed {
            Err(ParseError::FinerThanScale) => self.rescale_for(symbol, frame, context.sink),
            parsed => parsed,
        };
        context.stamps.parsed = context.clock.ticks();
        match parsed {
            Ok(Message::Diff(diff)) if diff.first_id <= diff.last_id => self.on_diff(&diff, context),
            Ok(Message::Ticker(ticker)) => {
                self.on_ticker(&ticker, context);
                Step::Consumed
            }
            Ok(Message::Trade(print)) => {
                self.on_trade(&print, context);
                Step::Consumed
            }
            Ok(_) => self.reject(symbol, frame, FrameFault::Malformed, context.sink),
            Err(error) => self.reject(symbol, frame, error.fault(), context.sink),
        }
    }

    #[inline]
    fn on_diff<S: Sink, C: Clock>(&mut self, diff: &Diff, context: &mut Context<'_, S, C>) -> Step {
        let symbol = diff.symbol;
        let feed = &mut self.feeds[symbol.index()];
        if diff.last_id <= feed.last_id {
            context.sink.on_event(FeedEvent::Outdated { symbol });
            return Step::Consumed;
        }
        if diff.first_id > feed.last_id.saturating_add(1) {
            return self.on_gap(diff, context);
        }
        for change in &self.changes {
            feed.book.set(change.side, change.price, change.qty);
        }
        for side in [Side::Bid, Side::Ask] {
            if feed.book.level_count(side) > LEVELS_MAX {
                feed.book.truncate(side, LEVELS_MAX);
            }
        }
        feed.last_id = diff.last_id;
        feed.touched_at = context.stamps.receive_time;
        feed.stale = false;
        if feed.book.is_crossed() {
            feed.start_wait();
            context.sink.on_event(FeedEvent::ResyncStarted {
                symbol,
                reason: ResyncReason::Crossed,
            });
            return Step::Consumed;
        }
        // A ticker that came before its diff.
        let awaited_top = feed.last_top.filter(|top| top.update_id == diff.last_id);
        if let Some(top) = awaited_top
            && !top.agrees_with(&feed.book)
        {
            self.on_disagreement(&top, context);
            return Step::Consumed;
        }
        let instrument = &self.instruments[symbol.index()];
        let is_splice = feed.phase == Phase::Held;
        if is_splice {
            feed.finish_wait(instrument, context.sink);
        }
        let is_snapshot = is_splice || feed.rebased;
        feed.rebased = false;
        context.stamps.booked = context.clock.ticks();
        let update = BookUpdate {
            instrument,
            book: &feed.book,
            changes: if is_snapshot { &[] } else { &self.changes },
            update_id: diff.last_id,
            exchange_time: diff.exchange_time,
            quality: Quality::Verified,
            is_snapshot,
        };
        context.sink.on_book(&update, context.stamps);
        if let Some(top) = awaited_top {
            context.sink.on_top(&top.told(instrument, Some(true)), context.stamps);
        }
        Step::Consumed
    }

    /// The diff does not continue the book: the snapshot was too old for it, or the venue skipped something.
    #[cold]
    fn on_gap<S: Sink, C: Clock>(&mut self, diff: &Diff, context: &mut Context<'_, S, C>) -> Step {
        let symbol = diff.symbol;
        let feed = &mut self.feeds[symbol.index()];
        let event = match feed.phase {
            Phase::Held => FeedEvent::SnapshotRejected {
                symbol,
                reason: SnapshotFault::TooOld,
            },
            _ => {
                let (expected, got) = (feed.last_id.saturating_add(1), diff.first_id);
                FeedEvent::ResyncStarted {
                    symbol,
                    reason: ResyncReason::SequenceGap { expected, got },
                }
            }
        };
        feed.start_wait();
        context.sink.on_event(event);
        Step::Keep
    }

    #[cold]
    fn on_disagreement<S: Sink, C: Clock>(&mut self, top: &Ticker, context: &mut Context<'_, S, C>) {
        let symbol = top.symbol;
        context.sink.on_top(
            &top.told(&self.instruments[symbol.index()], Some(false)),
            context.stamps,
        );
        self.feeds[symbol.index()].start_wait();
        let reason = ResyncReason::TopDisagrees {
            update_id: top.update_id,
        };
        context.sink.on_event(FeedEvent::ResyncStarted { symbol, reason });
    }

    #[inline]
    fn on_ticker<S: Sink, C: Clock>(&mut self, ticker: &Ticker, context: &mut Context<'_, S, C>) {
        let feed = &mut self.feeds[ticker.symbol.index()];
        if feed.phase != Phase::Live {
            context.sink.on_event(FeedEvent::Outdated { symbol: ticker.symbol });
            return;
        }
        let agrees = (ticker.update_id == feed.last_id).then(|| ticker.agrees_with(&feed.book));
        if agrees == Some(false) {
            self.on_disagreement(ticker, context);
            return;
        }
        feed.last_top = Some(*ticker);
        context.stamps.booked = context.stamps.parsed;
        context.sink.on_top(
            &ticker.told(&self.instruments[ticker.symbol.index()], agrees),
            context.stamps,
        );
    }

    #[inline]
    fn on_trade<S: Sink, C: Clock>(&mut self, print: &Print, context: &mut Context<'_, S, C>) {
        if self.feeds[print.symbol.index()].phase != Phase::Live {
            context.sink.on_event(FeedEvent::Outdated { symbol: print.symbol });
            return;
        }
        context.stamps.booked = context.stamps.parsed;
        context
            .sink
            .on_trade(&print.told(&self.instruments[print.symbol.index()]), context.stamps);
    }

    /// A frame of a symbol that cannot be used. If it could have been a diff the book is in doubt at once; the next
    /// diff's ids would say the same, but only then.
    #[cold]
    fn reject<S: Sink>(&mut self, symbol: SymbolId, frame: &[u8], reason: FrameFault, sink: &mut S) -> Step {
        sink.on_event(FeedEvent::FrameRejected { reason });
        let feed = &mut self.feeds[symbol.index()];
        let names_depth = frame.windows(5).any(|window| window == b"depth");
        if names_depth && feed.phase == Phase::Live {
            feed.start_wait();
            sink.on_event(FeedEvent::ResyncStarted {
                symbol,
                reason: ResyncReason::Malformed,
            });
        }
        Step::Consumed
    }

    /// Gives a symbol the scale that a frame needs, book included, and reads the frame again.
    #[cold]
    fn rescale_for<S: Sink>(&mut self, symbol: SymbolId, frame: &[u8], sink: &mut S) -> Result<Message, ParseError> {
        let needed = self.parser.decimals(frame)?.significant();
        let instrument = &mut self.instruments[symbol.index()];
        let feed = &mut self.feeds[symbol.index()];
        let old = instrument.scale;
        let new = Scale {
            price: old.price.max(needed.price),
            qty: old.qty.max(needed.qty),
        };
        let factor = |new: u8, old: u8| power_of_ten(new - old).ok_or(ParseError::NumberOutOfRange);
        let factors = (factor(new.price, old.price)?, factor(new.qty, old.qty)?);
        let scaled = |price: Price, qty: Qty| -> Result<(Price, Qty), ParseError> {
            match (price.0.checked_mul(factors.0), qty.0.checked_mul(factors.1)) {
                (Some(price), Some(qty)) => Ok((Price(price), Qty(qty))),
                _ => Err(ParseError::NumberOutOfRange),
            }
        };
        // All or nothing: a book of two scales would be worse than none.
        let mut bids = 0;
        self.levels.clear();
        for side in [Side::Bid, Side::Ask] {
            for level in feed.book.levels(side) {
                let (price, qty) = scaled(level.price, level.qty)?;
                self.levels.push(Level { price, qty });
            }
            if side == Side::Bid {
                bids = self.levels.len();
            }
        }
        let last_top = match feed.last_top {
            Some(top) => {
                let (bid, ask) = (scaled(top.bid.0, top.bid.1)?, scaled(top.ask.0, top.ask.1)?);
                Some(Ticker { bid, ask, ..top })
            }
            None => None,
        };
        if !self.parser.set_scale(symbol, new) {
            return Err(ParseError::NumberOutOfRange);
        }
        feed.book.clear();
        for (side, levels) in [(Side::Bid, &self.levels[..bids]), (Side::Ask, &self.levels[bids..])] {
            for level in levels.iter().rev() {
                feed.book.set(side, level.price, level.qty);
            }
        }
        feed.last_top = last_top;
        feed.rebased = true;
        instrument.scale = new;
        if feed.phase == Phase::Live {
            feed.told_scale = Some(new);
            sink.on_event(FeedEvent::Rescaled { symbol, scale: new });
        }
        self.parser.parse_any(frame, &mut self.changes)
    }
}

impl SymbolFeed {
    /// The book is not shown from here on.
    fn start_wait(&mut self) {
        self.phase = Phase::Awaiting;
        self.last_top = None;
        self.rebased = false;
        self.stale = false;
    }

    /// The book is shown from here on.
    #[cold]
    fn finish_wait<S: Sink>(&mut self, instrument: &Instrument, sink: &mut S) {
        self.phase = Phase::Live;
        self.attempt = 0;
        let symbol = instrument.id;
        if self
            .told_scale
            .replace(instrument.scale)
            .is_some_and(|told| told != instrument.scale)
        {
            sink.on_event(FeedEvent::Rescaled {
                symbol,
                scale: instrument.scale,
            });
        }
        sink.on_event(FeedEvent::ResyncFinished {
            symbol,
            update_id: self.last_id,
        });
    }
}

impl Ticker {
    fn agrees_with(&self, book: &Book) -> bool {
        let best = |side| book.best(side).map(|level| (level.price, level.qty));
        best(Side::Bid) == Some(self.bid) && best(Side::Ask) == Some(self.ask)
    }

    fn told<'a>(&self, instrument: &'a Instrument, agrees: Option<bool>) -> TopOfBook<'a> {
        TopOfBook {
            instrument,
            update_id: self.update_id,
            bid: self.bid,
            ask: self.ask,
            agrees,
        }
    }
}

impl Print {
    pub(super) fn told<'a>(&self, instrument: &'a Instrument) -> Trade<'a> {
        let Self {
            price,
            qty,
            aggressor,
            trade_id,
            exchange_time,
            ..
        } = *self;
        Trade {
            instrument,
            price,
            qty,
            aggressor,
            trade_id,
            exchange_time,
        }
    }
}

/// Whether a frame may be one that a snapshot is spliced into; what cannot be read may be anything.
fn is_diff(route: Option<Route>) -> bool {
    match route {
        Some(Route::Scanned(head)) => head.is_diff(),
        Some(Route::Slow { is_diff, .. }) => is_diff,
        _ => false,
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

/// Both sides of the largest snapshot.
const CHANGES_CAPACITY: usize = 10_000;

/// Levels that one side of a book may have: far above what the venue's price filters leave room for, so that a peer
/// that sends nothing but new prices cannot fill the memory. The worst are dropped.
const LEVELS_MAX: usize = 32_768;

/// A snapshot of 5,000 levels has about 350 kB.
const SNAPSHOT_BYTES_MAX: usize = 16 << 20;
