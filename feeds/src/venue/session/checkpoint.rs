//! Shown books are held against the venue's REST books: one at a time, now and then, and at once where a book is silent.
//!
//! An order arms the session: from then on the messages of that symbol leave behind what they changed ([`History`]), and
//! after a moment, so that a REST book that lags behind the stream is still known, a cold thread asks. Its answer is
//! compared at its own update id: at once where the stream has passed it, else when the stream gets there. Then the
//! session is disarmed. On the hot path that is one comparison of a symbol for each message, and a store for each level
//! while an answer is awaited.
//!
//! A difference at the id of one of our states withdraws the book. One at an id inside a message does so when the next look
//! finds the same level different again: that nothing but the named levels moves inside a message is observed, not
//! promised. While nothing comes of a book, an answer tells a quiet market (the same levels) from a dead feed (others).

use std::time::Duration;

use crate::Sink;
use crate::event::{CheckpointMiss, FeedEvent, LevelDifference, ResyncReason, SnapshotFault};
use crate::types::{Price, Side, SymbolId, UnixNanos};
use crate::venue::budget::RequestBudget;
use crate::venue::checkpoint::Checkpoint;
use crate::venue::outbox::{Outbox, ReconnectReason, SnapshotPurpose, SnapshotRequest};
use crate::venue::rules::Rules;
use crate::venue::{SessionConfig, after};

use super::VenueSession;
use super::compare::{Comparer, Comparison};
use super::history::{History, Place};
use super::symbol::Phase;

/// The checkpoints of a connection.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// `None` where they are not wanted, or the venue has none.
    interval: Option<Duration>,
    /// What one costs of the budget.
    cost: Duration,
    reply_timeout: Duration,
    /// Whose messages are remembered; [`NOBODY`] most of the time.
    watched: SymbolId,
    pending: Option<Pending>,
    /// When each symbol is to be looked at again.
    due: Vec<UnixNanos>,
    /// A level that differed at an id inside a message, of the symbol that is looked at again.
    suspect: Option<(SymbolId, Side, Price)>,
    pub(super) history: History,
    /// How deep the watched book was known when that began. It has only become deeper since, or is another one.
    known_to: [Option<Price>; 2],
    comparer: Comparer,
}

/// The one that is under way.
#[derive(Debug)]
struct Pending {
    /// When waiting for the reply ends, or, after it, for the stream.
    deadline: UnixNanos,
    /// A reply that is newer than our book, and the id that ours stood at when it came.
    ahead: Option<(Checkpoint, u64)>,
}

impl Checkpoints {
    pub(super) fn new<R: Rules>(rules: &R, config: &SessionConfig, symbol_count: usize) -> Self {
        let has_checkpoints = rules.checkpoint_path(SymbolId(0)).is_some();
        let interval = config.checkpoint_interval.filter(|_| has_checkpoints);
        Self {
            interval,
            cost: RequestBudget::cost(rules.checkpoint_weight(), config.rest_weight_per_minute),
            reply_timeout: config.snapshot_timeout,
            watched: NOBODY,
            pending: None,
            due: vec![UnixNanos(u64::MAX); symbol_count],
            suspect: None,
            history: History::new(interval.is_some()),
            known_to: [None; 2],
            comparer: Comparer::new(interval.is_some()),
        }
    }

    /// A connection is new: what was under way is not answered any more, and the symbols take their turns.
    pub(super) fn begin(&mut self, now: UnixNanos) {
        self.stop();
        self.suspect = None;
        let Some(interval) = self.interval else { return };
        let count = self.due.len() as u32;
        for (index, due) in (1_u32..).zip(&mut self.due) {
            *due = after(now, interval * index / count);
        }
    }

    /// Whether the messages of a symbol have to be remembered.
    #[inline]
    pub(super) fn watches(&self, symbol: SymbolId) -> bool {
        self.watched == symbol
    }

    /// The book of a symbol is another one, or has another scale.
    pub(super) fn forget(&mut self, symbol: SymbolId) {
        if self.watches(symbol) {
            self.history.restart(u64::MAX); // no message begins there, so the next one begins anew
        }
    }

    /// Nothing comes of that symbol: its turn is now.
    pub(super) fn hurry(&mut self, symbol: SymbolId, now: UnixNanos) {
        if let (Some(due), Some(_)) = (self.due.get_mut(symbol.index()), self.interval) {
            *due = now;
        }
    }

    fn stop(&mut self) {
        self.watched = NOBODY;
        self.pending = None;
    }
}

impl<R: Rules> VenueSession<R> {
    pub(in crate::venue) fn checkpoint_path(&self, symbol: SymbolId) -> Option<&str> {
        self.rules.checkpoint_path(symbol)
    }

    /// Time has passed: orders the next checkpoint, or gives one up.
    pub(super) fn look_at_checkpoints<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        match &self.checkpoints.pending {
            Some(pending) if now <= pending.deadline => {}
            Some(pending) => match pending.ahead {
                Some((checkpoint, stood_at)) => self.on_silence(&checkpoint, stood_at, now, sink, out),
                None => self.miss(self.checkpoints.watched, CheckpointMiss::Unavailable, now, sink),
            },
            None => self.order_checkpoint(now, out),
        }
    }

    fn order_checkpoint(&mut self, now: UnixNanos, out: &mut Outbox) {
        let checkpoints = &mut self.checkpoints;
        if checkpoints.interval.is_none() {
            return;
        }
        let all = self.feeds.iter().zip(&checkpoints.due).enumerate();
        let due = all.filter(|(_, (feed, due))| feed.phase == Phase::Live && **due <= now);
        // Stale ones first, then whoever has waited longest: where there are too many, all are late alike.
        let Some((index, (feed, _))) = due.min_by_key(|(_, (feed, due))| (!feed.stale, **due)) else {
            return;
        };
        let symbol = self.instruments[index].id;
        let (is_stale, last_id) = (feed.stale, feed.last_id);
        let known_to = [Side::Bid, Side::Ask].map(|side| feed.book.horizon(side));
        if !self.budget.take_spare(now, checkpoints.cost) {
            return;
        }
        // Of a silent book there is nothing to remember first.
        let not_before = if is_stale { now } else { after(now, LEAD) };
        checkpoints.watched = symbol;
        checkpoints.known_to = known_to;
        checkpoints.history.restart(last_id);
        checkpoints.pending = Some(Pending {
            deadline: after(not_before, checkpoints.reply_timeout),
            ahead: None,
        });
        out.fetch(SnapshotRequest {
            symbol,
            attempt: 0,
            not_before,
            purpose: SnapshotPurpose::Checkpoint,
        });
    }

    pub(in crate::venue) fn on_checkpoint<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&Checkpoint, SnapshotFault>,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        out.aim(self.lines.lead);
        let pending = self.checkpoints.pending.as_mut();
        let Some(pending) = pending.filter(|_| self.checkpoints.watched == symbol) else {
            return; // an answer to an order that was given up
        };
        let last_id = self.feeds[symbol.index()].last_id;
        match reply {
            Ok(checkpoint) if checkpoint.update_id > last_id && pending.ahead.is_none() => {
                pending.ahead = Some((*checkpoint, last_id));
                pending.deadline = after(now, GRACE);
            }
            Ok(checkpoint) => self.hold_against(checkpoint, now, sink, out),
            Err(SnapshotFault::Malformed | SnapshotFault::TooOld) => {
                self.miss(symbol, CheckpointMiss::Malformed, now, sink);
            }
            Err(SnapshotFault::Unavailable) => self.miss(symbol, CheckpointMiss::Unavailable, now, sink),
        }
    }

    /// A message of the watched symbol was applied: perhaps it has come to the id of the REST book.
    #[cold]
    pub(super) fn catch_up<S: Sink>(&mut self, symbol: SymbolId, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        let last_id = self.feeds[symbol.index()].last_id;
        let pending = &mut self.checkpoints.pending;
        let ahead = pending.as_ref().and_then(|pending| pending.ahead.as_ref());
        if ahead.is_some_and(|(checkpoint, _)| checkpoint.update_id <= last_id)
            && let Some(Pending {
                ahead: Some((checkpoint, _)),
                ..
            }) = pending.take()
        {
            self.hold_against(&checkpoint, now, sink, out);
        }
    }

    /// Compares at an id that our book has reached.
    fn hold_against<S: Sink>(&mut self, checkpoint: &Checkpoint, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        let symbol = checkpoint.symbol;
        let feed = &self.feeds[symbol.index()];
        if feed.phase != Phase::Live {
            return self.miss(symbol, CheckpointMiss::NotShown, now, sink);
        }
        let is_present = checkpoint.update_id == feed.last_id;
        let Some(place) = self.checkpoints.history.find(checkpoint.update_id) else {
            return self.miss(symbol, CheckpointMiss::TooOld, now, sink);
        };
        match self.compare(checkpoint, place) {
            Comparison::Same => self.matched(symbol, checkpoint.update_id, is_present.then_some(now), now, sink),
            Comparison::Missed(reason) => self.miss(symbol, reason, now, sink),
            Comparison::Differs(difference) => {
                let level = (symbol, difference.side, difference.price);
                let is_sure = place.moving_to.is_none() || self.checkpoints.suspect == Some(level);
                if is_sure {
                    let update_id = difference.update_id;
                    self.differs(symbol, difference, now, sink);
                    let reason = ResyncReason::CheckpointDiffers { update_id };
                    self.resync(symbol, reason, now, sink, out);
                } else {
                    self.miss(symbol, CheckpointMiss::Unclear, now, sink);
                    self.checkpoints.suspect = Some(level);
                    self.checkpoints.hurry(symbol, now);
                }
            }
        }
    }

    fn compare(&mut self, checkpoint: &Checkpoint, place: Place) -> Comparison {
        let index = checkpoint.symbol.index();
        let (book, scale) = (&self.feeds[index].book, self.instruments[index].scale);
        let Checkpoints {
            history,
            comparer,
            known_to,
            ..
        } = &mut self.checkpoints;
        comparer.compare(checkpoint, book, *known_to, scale, history, place)
    }

    /// The stream had time to come to the id of the REST book and did not.
    #[cold]
    fn on_silence<S: Sink>(
        &mut self,
        checkpoint: &Checkpoint,
        stood_at: u64,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let symbol = checkpoint.symbol;
        let feed = &self.feeds[symbol.index()];
        if feed.phase != Phase::Live {
            return self.miss(symbol, CheckpointMiss::NotShown, now, sink);
        }
        let present = self.checkpoints.history.find(feed.last_id);
        let Some(place) = present.filter(|_| feed.last_id == stood_at) else {
            return self.miss(symbol, CheckpointMiss::Ahead, now, sink);
        };
        match self.compare(checkpoint, place) {
            // Ids may go on without a change that the stream would tell.
            Comparison::Same => self.matched(symbol, checkpoint.update_id, Some(now), now, sink),
            Comparison::Missed(reason) => self.miss(symbol, reason, now, sink),
            Comparison::Differs(difference) => {
                self.differs(symbol, difference, now, sink);
                self.resync(symbol, ResyncReason::Silent, now, sink, out);
                if !R::SNAPSHOTS.streams() {
                    // Streams that belong to the connection's address come back with another connection alone.
                    for line in self.lines.open() {
                        out.want_reconnect(line, ReconnectReason::Silent);
                    }
                }
            }
        }
    }

    /// `confirmed_at`: the present state is the venue's.
    fn matched<S: Sink>(
        &mut self,
        symbol: SymbolId,
        update_id: u64,
        confirmed_at: Option<UnixNanos>,
        now: UnixNanos,
        sink: &mut S,
    ) {
        let feed = &mut self.feeds[symbol.index()];
        if let Some(at) = confirmed_at {
            feed.liveness.confirm(at);
            feed.stale = false;
        }
        let quality = self.quality(symbol);
        sink.on_event(FeedEvent::CheckpointMatched {
            symbol,
            update_id,
            quality,
        });
        self.conclude(symbol, now);
    }

    fn differs<S: Sink>(&mut self, symbol: SymbolId, difference: LevelDifference, now: UnixNanos, sink: &mut S) {
        sink.on_event(FeedEvent::CheckpointDiffers { symbol, difference });
        self.conclude(symbol, now);
    }

    fn miss<S: Sink>(&mut self, symbol: SymbolId, reason: CheckpointMiss, now: UnixNanos, sink: &mut S) {
        sink.on_event(FeedEvent::CheckpointMissed { symbol, reason });
        self.conclude(symbol, now);
    }

    /// It is over: the symbol's next turn comes after the interval, sooner where it still is silent.
    fn conclude(&mut self, symbol: SymbolId, now: UnixNanos) {
        self.checkpoints.stop();
        self.checkpoints.suspect = self.checkpoints.suspect.filter(|(of, ..)| *of != symbol);
        let interval = self.checkpoints.interval.unwrap_or(Duration::MAX);
        let is_stale = self.feeds[symbol.index()].stale;
        let wait = if is_stale { interval.min(AGAIN) } else { interval };
        self.checkpoints.due[symbol.index()] = after(now, wait);
    }
}

/// No session has so many symbols.
const NOBODY: SymbolId = SymbolId(u16::MAX);

/// How long the stream is remembered before the request goes: a REST book may come out of a cache.
const LEAD: Duration = Duration::from_secs(1);

/// How long the stream may lag behind a REST book before it counts as silent. The slowest speaks once in 200 ms.
const GRACE: Duration = Duration::from_secs(5);

/// When a silent book is looked at again that could not be judged.
const AGAIN: Duration = Duration::from_secs(5);
