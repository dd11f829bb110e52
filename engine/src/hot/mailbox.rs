//! The hot thread's only way to and from the cold ones: bounded queues that never wait.
//!
//! Everything that owns memory makes a round trip: a replaced book or a dead connection goes back to the cold side to be
//! dropped there, so that the hot thread frees nothing either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use quantumflow_feeds::event::SnapshotFault;
use quantumflow_feeds::net::Connection;
use quantumflow_feeds::venue::{Checkpoint, RestSnapshot, SnapshotPurpose};
use quantumflow_feeds::{FeedEvent, Line, SymbolId, UnixNanos};

use super::lineup::Lineup;
use crate::model::Prediction;

/// What happened on the hot thread, for the log. `Copy`: it passes through the queue without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct HotEvent {
    /// When.
    pub at: UnixNanos,
    /// On which feed, as an index into the configuration.
    pub feed: u16,
    /// What.
    pub news: HotNews,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum HotNews {
    /// The session reported it.
    Feed(FeedEvent),
    /// A ready connection was taken over.
    Connected {
        /// On which line of the feed.
        line: Line,
    },
    /// A connection is gone.
    Disconnected {
        /// On which line of the feed.
        line: Line,
        /// A short name of why, as in the metric's label.
        reason: &'static str,
        /// A new one was ordered.
        is_wanted: bool,
    },
}

/// One of the two connections that a feed may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLine {
    /// Of which feed, as an index into the configuration.
    pub feed: u16,
    /// Which one.
    pub line: Line,
}

impl FeedLine {
    /// Places that so many feeds need in a table of lines.
    pub const fn slots(feeds: usize) -> usize {
        feeds * Line::ALL.len()
    }

    /// Its place in such a table.
    #[inline]
    pub const fn slot(self) -> usize {
        self.feed as usize * Line::ALL.len() + self.line.index()
    }

    /// A line of the feed with that index.
    #[inline]
    pub(super) const fn of(feed: usize, line: Line) -> Self {
        Self {
            feed: feed as u16,
            line,
        }
    }

    /// The one at that place.
    #[inline]
    pub const fn at_slot(slot: usize) -> Self {
        Self::of(slot / Line::ALL.len(), Line::ALL[slot % Line::ALL.len()])
    }
}

/// What is to become of a line that has no connection any more, or none yet.
#[derive(Debug)]
pub struct LineOrder {
    /// Which one.
    pub at: FeedLine,
    /// The connection that it had, to be dropped.
    pub old: Option<Box<Connection>>,
    /// To be dialled; otherwise left alone until it is.
    pub dial: bool,
}

/// A REST snapshot that a session wants.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotOrder {
    /// For which feed.
    pub feed: u16,
    /// For which instrument.
    pub symbol: SymbolId,
    /// How often it was asked for before in this wait.
    pub attempt: u32,
    /// Not to be fetched before this time.
    pub not_before: UnixNanos,
    /// What it is for, and with it who fetches it.
    pub purpose: SnapshotPurpose,
}

/// What came of a [`SnapshotOrder`].
#[derive(Debug)]
pub struct SnapshotReply {
    /// For which feed.
    pub feed: u16,
    /// For which instrument.
    pub symbol: SymbolId,
    /// What came, or why nothing did.
    pub snapshot: Result<Box<RestSnapshot>, SnapshotFault>,
}

/// What came of a [`SnapshotOrder`] for a checkpoint. By value: there is nothing to give back.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointReply {
    /// For which feed.
    pub feed: u16,
    /// For which instrument.
    pub symbol: SymbolId,
    /// The venue's book, or why there is none.
    pub book: Result<Checkpoint, SnapshotFault>,
}

/// What a prediction comes to in one number, and when it was made. Passes from thread to thread in one word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The probability of up less that of down.
    pub lean: f32,
    /// Whole seconds since 1970.
    pub unix_s: u32,
}

impl Score {
    /// Of a prediction on a message that was read at that time.
    pub fn of(prediction: &Prediction, time: UnixNanos) -> Self {
        let [down, _, up] = prediction.probabilities;
        Self {
            lean: up - down,
            unix_s: u32::try_from(time.0 / 1_000_000_000).unwrap_or(u32::MAX),
        }
    }

    /// Not 0, which is for none: the time is never 0.
    fn pack(self) -> u64 {
        u64::from(self.lean.to_bits()) << 32 | u64::from(self.unix_s.max(1))
    }

    fn unpack(word: u64) -> Option<Self> {
        (word != 0).then(|| Self {
            lean: f32::from_bits((word >> 32) as u32),
            unix_s: word as u32,
        })
    }
}

/// How many things each queue holds.
#[derive(Clone, Copy, Debug)]
pub struct MailboxSizes {
    /// Feeds of the shard: each line of them has at most one connection under way, and each of them one checkpoint.
    pub feeds: usize,
    /// Instruments of the shard: each waits for at most one snapshot, and may have ordered the next.
    pub symbols: usize,
    /// Log events between two rounds of the housekeeping thread.
    pub events: usize,
}

/// One waits for the hot thread, one rehearses, and one is on its way back.
pub const LINEUPS_MAX: usize = 3;

/// What both sides share.
#[derive(Debug)]
struct Queues {
    connections: ArrayQueue<(FeedLine, Box<Connection>)>,
    line_orders: ArrayQueue<LineOrder>,
    snapshot_orders: ArrayQueue<SnapshotOrder>,
    snapshot_replies: ArrayQueue<SnapshotReply>,
    spent_snapshots: ArrayQueue<Box<RestSnapshot>>,
    checkpoint_orders: ArrayQueue<SnapshotOrder>,
    checkpoint_replies: ArrayQueue<CheckpointReply>,
    lineups: ArrayQueue<Box<Lineup>>,
    spent_lineups: ArrayQueue<Box<Lineup>>,
    events: ArrayQueue<HotEvent>,
    dropped_events: AtomicU64,
    /// By line. One writer, the hot thread.
    books_shown: Box<[AtomicU64]>,
    /// By place in the shard; one writer, too.
    scores: Box<[AtomicU64]>,
}

/// The hot thread's end.
#[derive(Debug)]
pub struct Mailbox(Arc<Queues>);

/// The cold threads' end; cheap to clone.
#[derive(Clone, Debug)]
pub struct ColdSide(Arc<Queues>);

impl Mailbox {
    /// Both ends of a new mailbox.
    pub fn new(sizes: MailboxSizes) -> (Self, ColdSide) {
        let symbols = 2 * sizes.symbols.max(1);
        let lines = FeedLine::slots(sizes.feeds.max(1));
        let queues = Arc::new(Queues {
            connections: ArrayQueue::new(lines),
            line_orders: ArrayQueue::new(2 * lines),
            snapshot_orders: ArrayQueue::new(symbols),
            snapshot_replies: ArrayQueue::new(symbols),
            spent_snapshots: ArrayQueue::new(symbols),
            checkpoint_orders: ArrayQueue::new(2 * sizes.feeds.max(1)),
            checkpoint_replies: ArrayQueue::new(2 * sizes.feeds.max(1)),
            lineups: ArrayQueue::new(1),
            spent_lineups: ArrayQueue::new(LINEUPS_MAX),
            events: ArrayQueue::new(sizes.events.max(1)),
            dropped_events: AtomicU64::new(0),
            books_shown: (0..lines).map(|_| AtomicU64::new(0)).collect(),
            scores: (0..sizes.symbols).map(|_| AtomicU64::new(0)).collect(),
        });
        (Self(Arc::clone(&queues)), ColdSide(queues))
    }

    /// A connection that the dialler has made ready.
    #[inline]
    pub fn take_connection(&self) -> Option<(FeedLine, Box<Connection>)> {
        self.0.connections.pop()
    }

    /// Says what is to become of a line. `false` where the order could not be taken: the caller keeps it in mind and tries
    /// again.
    #[must_use]
    pub fn order_line(&self, order: LineOrder) -> bool {
        self.0.line_orders.push(order).is_ok()
    }

    /// Orders a snapshot; `false` where the queue is full and the session must ask again.
    #[must_use]
    pub fn order_snapshot(&self, order: SnapshotOrder) -> bool {
        let queue = match order.purpose {
            SnapshotPurpose::Book => &self.0.snapshot_orders,
            SnapshotPurpose::Checkpoint => &self.0.checkpoint_orders,
        };
        queue.push(order).is_ok()
    }

    /// A snapshot that came.
    #[inline]
    pub fn take_snapshot(&self) -> Option<SnapshotReply> {
        self.0.snapshot_replies.pop()
    }

    /// A checkpoint that came.
    pub fn take_checkpoint(&self) -> Option<CheckpointReply> {
        self.0.checkpoint_replies.pop()
    }

    /// Hands a spent snapshot back to be dropped.
    pub fn return_snapshot(&self, snapshot: Box<RestSnapshot>) {
        // As many places as can be under way; should it be full all the same, dropping here is only slow.
        drop(self.0.spent_snapshots.push(snapshot));
    }

    /// Models that are to take over.
    pub fn take_lineup(&self) -> Option<Box<Lineup>> {
        self.0.lineups.pop()
    }

    /// Hands back what has been replaced, or was to replace something and came too late.
    pub fn return_lineup(&self, lineup: Box<Lineup>) {
        // As many places as can be under way: see deliver_lineup.
        drop(self.0.spent_lineups.push(lineup));
    }

    /// Says what happened, or counts that it could not be said.
    ///
    /// # Errors
    /// The queue is full; how many events were dropped by now.
    pub fn report(&self, event: HotEvent) -> Result<(), u64> {
        let pushed = self.0.events.push(event);
        pushed.map_err(|_| self.0.dropped_events.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A book of this feed is shown, or carried by one more line: its connections are of use.
    pub fn book_shown(&self, feed: u16) {
        for line in Line::ALL {
            if let Some(count) = self.0.books_shown.get(FeedLine { feed, line }.slot()) {
                count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed); // one writer: no need for a locked add
            }
        }
    }

    /// What the newest prediction of an instrument comes to, or that there is none any more.
    #[inline]
    pub fn score(&self, place: usize, score: Option<Score>) {
        if let Some(cell) = self.0.scores.get(place) {
            cell.store(score.map_or(0, Score::pack), Ordering::Relaxed);
        }
    }

    /// How many events the queue holds.
    pub fn event_capacity(&self) -> u64 {
        self.0.events.capacity() as u64
    }
}

impl ColdSide {
    /// Hands over a ready connection; gives it back where the shard has not taken the last one yet.
    pub fn deliver_connection(&self, at: FeedLine, connection: Box<Connection>) -> Result<(), Box<Connection>> {
        self.0
            .connections
            .push((at, connection))
            .map_err(|(_, connection)| connection)
    }

    /// What is to become of a line. The caller drops the old connection.
    pub fn take_line_order(&self) -> Option<LineOrder> {
        self.0.line_orders.pop()
    }

    /// How often a book of the line's feed was shown after a wait.
    pub fn books_shown(&self, at: FeedLine) -> u64 {
        self.0
            .books_shown
            .get(at.slot())
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// What the newest prediction of each instrument comes to, by its place in the shard.
    pub fn scores(&self) -> impl Iterator<Item = Option<Score>> {
        let cells = self.0.scores.iter();
        cells.map(|cell| Score::unpack(cell.load(Ordering::Relaxed)))
    }

    /// A snapshot to fetch.
    pub fn take_snapshot_order(&self) -> Option<SnapshotOrder> {
        self.0.snapshot_orders.pop()
    }

    /// Hands over what came of an order; gives it back where the queue is full.
    pub fn deliver_snapshot(&self, reply: SnapshotReply) -> Result<(), SnapshotReply> {
        self.0.snapshot_replies.push(reply)
    }

    /// A checkpoint to fetch.
    pub fn take_checkpoint_order(&self) -> Option<SnapshotOrder> {
        self.0.checkpoint_orders.pop()
    }

    /// Hands over what came of an order; false where the hot thread has not taken the last ones.
    pub fn deliver_checkpoint(&self, reply: CheckpointReply) -> bool {
        self.0.checkpoint_replies.push(reply).is_ok()
    }

    /// Hands over models that are to take over; gives them back where the hot thread has not taken the last ones. The caller
    /// takes care that no more than [`LINEUPS_MAX`] are away.
    pub fn deliver_lineup(&self, lineup: Box<Lineup>) -> Result<(), Box<Lineup>> {
        self.0.lineups.push(lineup)
    }

    /// A lineup that the hot thread is done with.
    pub fn take_spent_lineup(&self) -> Option<Box<Lineup>> {
        self.0.spent_lineups.pop()
    }

    /// Drops the snapshots that the hot thread is done with.
    pub fn drop_spent_snapshots(&self) {
        while self.0.spent_snapshots.pop().is_some() {}
    }

    /// Something to log.
    pub fn take_event(&self) -> Option<HotEvent> {
        self.0.events.pop()
    }

    /// How many events were never said, since the start.
    pub fn dropped_events(&self) -> u64 {
        self.0.dropped_events.load(Ordering::Relaxed)
    }
}
