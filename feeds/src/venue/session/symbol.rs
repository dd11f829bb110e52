//! What is kept of one symbol.

use crate::Sink;
use crate::book::Book;
use crate::event::FeedEvent;
use crate::types::{Instrument, Quality, Scale, SymbolId, UnixNanos};
use crate::venue::backlog::Backlog;
use crate::venue::message::Ticker;
use crate::venue::rules::LEVELS_MAX;

use super::lines::Copies;
use super::liveness::Liveness;

pub(super) struct SymbolFeed {
    pub(super) phase: Phase,
    pub(super) book: Book,
    /// What the last message proved.
    pub(super) quality: Quality,
    /// The update id that the book stands at; a count of messages where the venue has no ids.
    pub(super) last_id: u64,
    /// The last top that was told, whose update may still come.
    pub(super) last_top: Option<Ticker>,
    /// The mantissas have another scale than at the last update: the next one is told as a whole book.
    pub(super) rebased: bool,
    /// The scale that the sink knows of; `None` before the first book was shown.
    pub(super) told_scale: Option<Scale>,
    pub(super) exchange_time: UnixNanos,
    pub(super) backlog: Backlog,
    /// When the request for a snapshot that is under way counts as failed.
    pub(super) reply_due: Option<UnixNanos>,
    /// When a REST snapshot in the book should have been continued.
    pub(super) continued_by: UnixNanos,
    /// When to subscribe anew: at once, after a back-off, or because nothing came.
    pub(super) resubscribe_at: Option<UnixNanos>,
    /// Attempts to get a whole book since the last one was of use.
    pub(super) attempt: u32,
    /// A frame of it has come on this connection.
    pub(super) seen: bool,
    pub(super) mute_told: bool,
    pub(super) liveness: Liveness,
    pub(super) stale: bool,
    pub(super) copies: Copies,
    /// Since the book last moved a message came that it seemed to contain.
    pub(super) passed_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Not subscribed: the connection is closed, the venue refused, or a new subscription has yet to be sent.
    Idle,
    /// Subscribed: a whole book is awaited.
    Awaiting,
    /// A REST snapshot is in the book, the update that continues it has not come.
    Held,
    /// The book is shown.
    Live,
}

impl SymbolFeed {
    /// With memory for a book of `depth` levels, up to what a book that is not sparse needs of any depth; 0 is a venue that
    /// sends whole books.
    pub(super) fn new(backlog_bytes: usize, depth: u32) -> Self {
        let reserved = match depth {
            0 => RESERVED_LEVELS_MAX,
            depth => (depth as usize).clamp(64, RESERVED_LEVELS_MAX),
        };
        Self {
            phase: Phase::Idle,
            book: Book::with_limits(LEVELS_MAX, reserved),
            quality: Quality::Resyncing,
            last_id: 0,
            last_top: None,
            rebased: false,
            told_scale: None,
            exchange_time: UnixNanos(0),
            backlog: Backlog::new(backlog_bytes),
            reply_due: None,
            continued_by: UnixNanos(0),
            resubscribe_at: None,
            attempt: 0,
            seen: false,
            mute_told: false,
            liveness: Liveness::default(),
            stale: false,
            copies: Copies::default(),
            passed_over: false,
        }
    }

    /// The connection is another one, or none.
    pub(super) fn forget_connection(&mut self) {
        self.start_wait(Phase::Idle);
        self.backlog.clear();
        self.reply_due = None;
        self.resubscribe_at = None;
        self.attempt = 0;
        self.seen = false;
        self.mute_told = false;
        self.copies = Copies::default();
    }

    /// The book is not shown from here on.
    pub(super) fn start_wait(&mut self, phase: Phase) {
        self.phase = phase;
        self.last_top = None;
        self.rebased = false;
        self.stale = false;
        self.passed_over = false;
    }

    /// What was kept is content of a whole book that has come, or of a subscription that has ended.
    #[cold]
    pub(super) fn outdate_backlog<S: Sink>(&mut self, symbol: SymbolId, sink: &mut S) {
        while !self.backlog.is_empty() {
            self.backlog.pop();
            sink.on_event(FeedEvent::Outdated { symbol });
        }
    }

    /// The book is shown from here on, whole, at `instrument`'s scale.
    #[cold]
    pub(super) fn show<S: Sink>(&mut self, instrument: &Instrument, sink: &mut S) {
        let (symbol, scale) = (instrument.id, instrument.scale);
        if self.told_scale.replace(scale).is_some_and(|told| told != scale) {
            sink.on_event(FeedEvent::Rescaled { symbol, scale });
        }
        if self.phase != Phase::Live {
            self.phase = Phase::Live;
            self.liveness.begin();
            self.resubscribe_at = None;
            sink.on_event(FeedEvent::ResyncFinished {
                symbol,
                update_id: self.last_id,
            });
        }
    }
}

/// Levels of a side for which memory is reserved at the start, wherever they lie: half a kilobyte each.
const RESERVED_LEVELS_MAX: usize = 512;
