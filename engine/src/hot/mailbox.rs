//! The hot thread's only way to and from the cold ones: bounded queues that never wait.
//!
//! Everything that owns memory makes a round trip: a REST body or a dead connection goes back to the cold side to be
//! dropped there, so that the hot thread frees nothing either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use quantumflow_feeds::event::SnapshotFault;
use quantumflow_feeds::net::Connection;
use quantumflow_feeds::venue::{Checkpoint, SnapshotPurpose};
use quantumflow_feeds::{FeedEvent, SymbolId, UnixNanos};

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
    Connected,
    /// The connection is gone; a new one was ordered.
    Disconnected {
        /// A short name of why, as in the metric's label.
        reason: &'static str,
    },
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
    /// The body, or why there is none.
    pub body: Result<Vec<u8>, SnapshotFault>,
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

/// How many things each queue holds.
#[derive(Clone, Copy, Debug)]
pub struct MailboxSizes {
    /// Feeds of the shard: each has at most one connection and one checkpoint under way.
    pub feeds: usize,
    /// Instruments of the shard: each waits for at most one snapshot, and may have ordered the next.
    pub symbols: usize,
    /// Log events between two rounds of the housekeeping thread.
    pub events: usize,
}

/// What both sides share.
#[derive(Debug)]
struct Queues {
    connections: ArrayQueue<(u16, Box<Connection>)>,
    lost_connections: ArrayQueue<(u16, Option<Box<Connection>>)>,
    snapshot_orders: ArrayQueue<SnapshotOrder>,
    snapshot_replies: ArrayQueue<SnapshotReply>,
    spent_bodies: ArrayQueue<Vec<u8>>,
    checkpoint_orders: ArrayQueue<SnapshotOrder>,
    checkpoint_replies: ArrayQueue<CheckpointReply>,
    events: ArrayQueue<HotEvent>,
    dropped_events: AtomicU64,
    /// By feed. One writer, the hot thread.
    books_shown: Box<[AtomicU64]>,
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
        let queues = Arc::new(Queues {
            connections: ArrayQueue::new(sizes.feeds.max(1)),
            lost_connections: ArrayQueue::new(2 * sizes.feeds.max(1)),
            snapshot_orders: ArrayQueue::new(symbols),
            snapshot_replies: ArrayQueue::new(symbols),
            spent_bodies: ArrayQueue::new(symbols),
            checkpoint_orders: ArrayQueue::new(2 * sizes.feeds.max(1)),
            checkpoint_replies: ArrayQueue::new(2 * sizes.feeds.max(1)),
            events: ArrayQueue::new(sizes.events.max(1)),
            dropped_events: AtomicU64::new(0),
            books_shown: (0..sizes.feeds.max(1)).map(|_| AtomicU64::new(0)).collect(),
        });
        (Self(Arc::clone(&queues)), ColdSide(queues))
    }

    /// A connection that the dialler has made ready.
    #[inline]
    pub fn take_connection(&self) -> Option<(u16, Box<Connection>)> {
        self.0.connections.pop()
    }

    /// Orders a new connection and hands the old one back to be dropped. `false` where the order could not be taken:
    /// the caller keeps it in mind and tries again.
    #[must_use]
    pub fn return_connection(&self, feed: u16, connection: Option<Box<Connection>>) -> bool {
        self.0.lost_connections.push((feed, connection)).is_ok()
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

    /// Hands a spent body back to be dropped.
    pub fn return_body(&self, body: Vec<u8>) {
        // As many places as bodies can be under way; should it be full all the same, dropping here is only slow.
        drop(self.0.spent_bodies.push(body));
    }

    /// Says what happened, or counts that it could not be said.
    ///
    /// # Errors
    /// The queue is full; how many events were dropped by now.
    pub fn report(&self, event: HotEvent) -> Result<(), u64> {
        let pushed = self.0.events.push(event);
        pushed.map_err(|_| self.0.dropped_events.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A book of this feed is shown: its connection is of use.
    pub fn book_shown(&self, feed: u16) {
        if let Some(count) = self.0.books_shown.get(usize::from(feed)) {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed); // one writer: no need for a locked add
        }
    }

    /// How many events the queue holds.
    pub fn event_capacity(&self) -> u64 {
        self.0.events.capacity() as u64
    }
}

impl ColdSide {
    /// Hands over a ready connection; gives it back where the shard has not taken the last one yet.
    pub fn deliver_connection(&self, feed: u16, connection: Box<Connection>) -> Result<(), Box<Connection>> {
        self.0
            .connections
            .push((feed, connection))
            .map_err(|(_, connection)| connection)
    }

    /// A feed that wants a new connection. The old one is dropped by the caller.
    pub fn take_lost_connection(&self) -> Option<(u16, Option<Box<Connection>>)> {
        self.0.lost_connections.pop()
    }

    /// How often a book of this feed was shown after a wait.
    pub fn books_shown(&self, feed: usize) -> u64 {
        self.0
            .books_shown
            .get(feed)
            .map_or(0, |count| count.load(Ordering::Relaxed))
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

    /// Drops the bodies that the hot thread is done with.
    pub fn drop_spent_bodies(&self) {
        while self.0.spent_bodies.pop().is_some() {}
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
