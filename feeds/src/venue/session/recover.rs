//! When a book is in doubt: another whole one, soon, but not so often that the venue minds.

use crate::Sink;
use crate::clock::Clock;
use crate::event::{FeedEvent, ResyncReason, SnapshotFault, Stamps};
use crate::types::{SymbolId, UnixNanos};
use crate::venue::after;
use crate::venue::budget::backoff;
use crate::venue::message::{Answer, Kind, ParseError};
use crate::venue::outbox::{Outbox, ReconnectReason, SnapshotPurpose, SnapshotRequest};
use crate::venue::rest_book::RestBook;
use crate::venue::rules::{Request, Rules, Verb};
use crate::venue::wire::Wire;

use super::symbol::Phase;
use super::{Context, Step, VenueSession};

impl<R: Rules> VenueSession<R> {
    /// The book is not shown from here on, and a whole one is wanted: by a new subscription, now or when the pace allows
    /// it, or by REST, when the next update waits for it.
    #[cold]
    pub(super) fn resync<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reason: ResyncReason,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        if R::SNAPSHOTS.splices() {
            feed.start_wait(Phase::Awaiting);
            // Should nothing come any more for the snapshot to be spliced to.
            feed.resubscribe_at = R::SNAPSHOTS.streams().then(|| after(now, self.subscription_timeout));
            sink.on_event(FeedEvent::ResyncStarted { symbol, reason });
            return;
        }
        feed.start_wait(Phase::Idle);
        // The snapshot that failed may have brought other decimals. Trades go on at those that the sink knows.
        if let Some(scale) = feed.told_scale {
            let exists = self.wire.set_scale(symbol, scale);
            debug_assert!(exists, "a scale that was told exists");
            self.instruments[symbol.index()].scale = scale;
        }
        let due = after(now, backoff(feed.attempt));
        feed.resubscribe_at = Some(due);
        sink.on_event(FeedEvent::ResyncStarted { symbol, reason });
        if due <= now && self.send_after <= now {
            self.resubscribe(symbol, now, out);
        }
    }

    /// The same for every book that is shown.
    #[cold]
    pub(super) fn resync_all<S: Sink, C: Clock>(&mut self, reason: ResyncReason, context: &mut Context<'_, S, C>) {
        for index in 0..self.feeds.len() {
            if self.feeds[index].phase == Phase::Live {
                let symbol = self.instruments[index].id;
                self.resync(symbol, reason, context.now(), context.sink, context.out);
            }
        }
    }

    /// Whether nothing at all has come for so long that each connection may be dead, where the venue has no heartbeat: far
    /// longer than the feed is ever silent. A quiet market then loses nothing by a new connection; on a dead one nothing
    /// would ever come again.
    pub(super) fn is_feed_silent(&mut self, now: UnixNanos) -> bool {
        if self.connection_silence.is_some() {
            return false;
        }
        let [first, second] = self.lines.frame_at;
        self.silences.touch_once(first.max(second));
        self.silences.relax(now);
        self.silences.overdue(now, self.subscription_timeout) >= GIVEN_UP
    }

    /// A REST snapshot that all messages seem to precede, for so long, is of before the venue's ids started again.
    pub(super) fn give_up_snapshot<S: Sink>(
        &mut self,
        symbol: SymbolId,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &self.feeds[symbol.index()];
        if feed.phase == Phase::Held && feed.passed_over && now > feed.continued_by {
            self.resync(symbol, ResyncReason::Silent, now, sink, out);
        }
    }

    /// Tells once when a shown book is silent for too long. When that lasts, its subscription is made anew where that
    /// brings the whole book: a quiet market has lost nothing by it, and a dead one is alive again. By REST a book is
    /// fetched anew only if messages of it came that it seems to contain: ids that have started again look like that.
    pub(super) fn look_for_silence<S: Sink>(
        &mut self,
        symbol: SymbolId,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        feed.liveness.relax(now);
        let overdue = feed.liveness.overdue(now, self.book_silence);
        if overdue > 0 && !feed.stale {
            feed.stale = true;
            let silent_ns = feed.liveness.silent_ns(now);
            self.checkpoints.hurry(symbol, now);
            sink.on_event(FeedEvent::BookStale { symbol, silent_ns });
        }
        if overdue >= GIVEN_UP && (R::SNAPSHOTS.streams() || feed.passed_over) {
            self.resync(symbol, ResyncReason::Silent, now, sink, out);
        }
    }

    /// A frame of a symbol that cannot be used. If it could have been about the book that is in doubt at once.
    #[cold]
    pub(super) fn reject<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        frame: &[u8],
        kind: Option<Kind>,
        error: ParseError,
        context: &mut Context<'_, S, C>,
    ) -> Step {
        context
            .sink
            .on_event(FeedEvent::FrameRejected { reason: error.fault() });
        let is_book = match kind {
            Some(kind) => matches!(kind, Kind::Snapshot | Kind::Update),
            None => R::may_be_book(frame),
        };
        let is_shown = self.feeds[symbol.index()].phase == Phase::Live;
        if is_shown && self.lines.is_double() {
            return Step::Consumed; // the other line brings it whole
        }
        if is_book && (is_shown || kind == Some(Kind::Snapshot)) {
            self.resync(
                symbol,
                ResyncReason::Malformed,
                context.now(),
                context.sink,
                context.out,
            );
        }
        Step::Consumed
    }

    #[cold]
    pub(super) fn on_answer<S: Sink, C: Clock>(&mut self, answer: &Answer, context: &mut Context<'_, S, C>) {
        let refused = answer.to_subscribe && !answer.success;
        if refused {
            context
                .sink
                .on_event(FeedEvent::SubscriptionRefused { symbol: answer.symbol });
        }
        let (Some(symbol), true) = (answer.symbol, answer.about_book || !answer.success) else {
            if !refused {
                context.sink.on_event(FeedEvent::Control);
            }
            return;
        };
        if self.lines.current != self.lines.lead {
            // The successor's or the copy's: what it brings will show whether it was heard.
            context.sink.on_event(FeedEvent::Control);
            return;
        }
        let now = context.now();
        let feed = &mut self.feeds[symbol.index()];
        match (answer.to_subscribe, answer.success) {
            (true, true) => {
                if let Some(depth) = answer.depth {
                    self.rules.on_depth(symbol, depth);
                }
                if feed.phase == Phase::Awaiting && feed.reply_due.is_none() {
                    feed.resubscribe_at = Some(after(now, self.subscription_timeout));
                }
                context.sink.on_event(FeedEvent::Subscribed { symbol });
            }
            // A refusal of the trades may not name its channel; the book's snapshot then shows that all is well.
            (true, false) => {
                if feed.phase == Phase::Awaiting {
                    feed.start_wait(Phase::Idle);
                    feed.resubscribe_at = Some(after(now, REFUSED_RETRY));
                }
            }
            (false, _) => {
                context.sink.on_event(FeedEvent::Control);
                if answer.success {
                    feed.outdate_backlog(symbol, context.sink);
                }
                if answer.success && feed.phase == Phase::Live {
                    feed.start_wait(Phase::Awaiting);
                    feed.resubscribe_at = Some(after(now, self.subscription_timeout));
                    context.sink.on_event(FeedEvent::ResyncStarted {
                        symbol,
                        reason: ResyncReason::Start,
                    });
                }
            }
        }
    }

    pub(super) fn resubscribe_if_due<S: Sink>(
        &mut self,
        symbol: SymbolId,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        if feed.resubscribe_at.is_none_or(|due| now < due) {
            return;
        }
        if feed.phase == Phase::Awaiting && !feed.mute_told {
            // Asked for, perhaps accepted, and nothing came.
            feed.mute_told = true;
            sink.on_event(FeedEvent::SubscriptionMute { symbol });
            if feed.attempt >= ATTEMPTS_BEFORE_RECONNECT {
                out.want_reconnect(self.lines.lead, ReconnectReason::NotAcknowledged);
            }
        }
        if now >= self.send_after {
            self.resubscribe(symbol, now, out);
        }
    }

    fn resubscribe(&mut self, symbol: SymbolId, now: UnixNanos, out: &mut Outbox) {
        let feed = &mut self.feeds[symbol.index()];
        feed.phase = Phase::Awaiting;
        feed.mute_told = false;
        feed.resubscribe_at = Some(after(now, self.subscription_timeout));
        feed.attempt = feed.attempt.saturating_add(1);
        let index = symbol.index();
        for verb in [Verb::Unsubscribe, Verb::Subscribe] {
            self.request_id += self.rules.ask(
                &Request {
                    verb,
                    instruments: &self.instruments[index..=index],
                    books_only: true,
                    is_opening: false,
                    id: self.request_id,
                },
                out,
            );
        }
        self.sent_at = now;
        self.send_after = after(now, R::RESYNC_SPACING);
    }

    /// Puts a frame into the backlog and asks for the snapshot that it waits for.
    #[cold]
    pub(super) fn keep<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        frame: &[u8],
        kind: Option<Kind>,
        context: &mut Context<'_, S, C>,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        let line = self.lines.current;
        if !feed.backlog.push(line, frame) {
            // Half a backlog would be a gap: what is kept has to be whole from its first frame on.
            feed.backlog.clear();
            context.sink.on_event(FeedEvent::BacklogOverflow { symbol });
            feed.backlog.push(line, frame);
        }
        // Not before the first update: a snapshot that is older than it would be fetched in vain.
        if kind == Some(Kind::Update) {
            feed.resubscribe_at = None;
            self.request(symbol, context.now(), context.out);
        }
    }

    /// Asks for a REST snapshot unless one is under way.
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
            purpose: SnapshotPurpose::Book,
        });
        feed.attempt = feed.attempt.saturating_add(1);
    }

    pub(in crate::venue) fn on_snapshot<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&[u8], SnapshotFault>,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        if !self.awaits_snapshot(symbol) {
            return;
        }
        let mut rest = self.spare_book.take().unwrap_or_else(RestBook::new);
        let read = reply.and_then(|body| rest.read(&mut self.wire, body, &mut self.changes));
        self.on_rest_book(symbol, read.map(|()| &mut rest), stamps, clock, sink, out);
        self.spare_book = Some(rest);
    }

    pub(in crate::venue) fn on_rest_book<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&mut RestBook, SnapshotFault>,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        out.aim(self.lines.lead);
        if !self.awaits_snapshot(symbol) {
            return; // an answer to a request that was given up
        }
        self.feeds[symbol.index()].reply_due = None;
        match reply.and_then(|rest| self.take_over(symbol, rest)) {
            Ok(()) => {
                let mut context = Context {
                    stamps,
                    clock,
                    sink,
                    out,
                };
                self.drain(symbol, &mut context);
            }
            Err(reason) => self.reject_snapshot(symbol, reason, stamps.receive_time, sink, out),
        }
    }

    #[cold]
    pub(super) fn reject_snapshot<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reason: SnapshotFault,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        sink.on_event(FeedEvent::SnapshotRejected { symbol, reason });
        if !self.feeds[symbol.index()].backlog.is_empty() {
            self.request_again(symbol, reason, now, sink, out);
        }
    }

    /// The last snapshot was of no use. When that has happened often, and the stream has snapshots too, a new subscription
    /// is the way out. Where it has none and the snapshots are too old, what waits may be of before the venue's ids
    /// started again, and no snapshot will ever fit it: the wait begins anew with the next update.
    #[cold]
    fn request_again<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reason: SnapshotFault,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        let has_failed_often = feed.attempt >= REQUESTS_BEFORE_A_NEW_START;
        if has_failed_often && R::SNAPSHOTS.streams() {
            feed.outdate_backlog(symbol, sink);
            feed.start_wait(Phase::Idle);
            feed.resubscribe_at = Some(now);
        } else if has_failed_often && reason == SnapshotFault::TooOld {
            feed.outdate_backlog(symbol, sink);
        } else {
            self.request(symbol, now, out);
        }
    }

    /// Takes the snapshot for the book, and gives the old one back in its place; or refuses it and leaves everything as it
    /// was.
    fn take_over(&mut self, symbol: SymbolId, rest: &mut RestBook) -> Result<(), SnapshotFault> {
        if !self.wire.set_scale(symbol, rest.scale) {
            return Err(SnapshotFault::Malformed);
        }
        let feed = &mut self.feeds[symbol.index()];
        self.checkpoints.forget(symbol);
        std::mem::swap(&mut feed.book, &mut rest.book);
        if self.rules.scope(symbol) == usize::MAX {
            self.snapshot_depth.mark(&mut feed.book);
        }
        self.instruments[symbol.index()].scale = rest.scale;
        feed.last_id = rest.update_id;
        feed.phase = Phase::Held;
        Ok(())
    }

    /// Works through the backlog in the order of the stream, as far as the snapshot carries.
    #[cold]
    fn drain<S: Sink, C: Clock>(&mut self, symbol: SymbolId, context: &mut Context<'_, S, C>) {
        let current = self.lines.current;
        self.lines.is_draining = true;
        let mut backlog = std::mem::take(&mut self.feeds[symbol.index()].backlog);
        while matches!(self.feeds[symbol.index()].phase, Phase::Held | Phase::Live) {
            let Some((line, frame)) = backlog.first() else { break };
            self.lines.current = line;
            let market = match self.wire.route(frame) {
                Ok(crate::venue::message::Route::Market(market)) => Some(market),
                _ => None,
            };
            if self.process(symbol, frame, market, context) == Step::Consumed {
                backlog.pop();
            }
        }
        self.lines.current = current;
        self.lines.is_draining = false;
        let waits = !backlog.is_empty();
        let feed = &mut self.feeds[symbol.index()];
        feed.backlog = backlog;
        feed.passed_over = false;
        feed.continued_by = after(context.stamps.receive_time, self.snapshot_timeout);
        if waits {
            let now = context.now();
            self.request_again(symbol, SnapshotFault::TooOld, now, context.sink, context.out);
        }
    }
}

/// What was refused may be allowed later (maintenance); a wrong symbol stays refused, quietly.
const REFUSED_RETRY: std::time::Duration = std::time::Duration::from_secs(60);

/// When so many subscriptions in a row stay mute the connection itself is the suspect.
const ATTEMPTS_BEFORE_RECONNECT: u32 = 3;

/// As many REST snapshots may fail before what waits for one is given up: four seconds of back-off.
const REQUESTS_BEFORE_A_NEW_START: u32 = 5;

/// A silence is more than a sign of a quiet market when it is so many times too long.
const GIVEN_UP: u64 = 3;
