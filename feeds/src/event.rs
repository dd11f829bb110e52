//! What a session tells its caller, and the trait through which it does.
//!
//! The session calls the [`Sink`] synchronously, in the order of the venue's messages. Features and predictions must be
//! functions of these calls alone, without the [`Stamps`]: that is what makes a replay byte-identical.

use crate::book::Book;
use crate::clock::Ticks;
use crate::types::{Instrument, Line, Price, Qty, Quality, Scale, Side, SymbolId, UnixNanos};

/// When one frame passed the stages up to the book. Measured, so never an input to a feature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// When the kernel took the segment that completed the read, if it says so.
    pub kernel: Option<UnixNanos>,
    /// When the read returned, by the wall clock (derived from the counter, not from a system call).
    pub receive_time: UnixNanos,
    /// When the read was begun.
    pub read_started: Ticks,
    /// When the read returned.
    pub read: Ticks,
    /// When what was read was decrypted; equal to `read` without TLS.
    pub decrypted: Ticks,
    /// When cutting the frame out was begun: when the message before it in the same read was done with.
    pub frame_started: Ticks,
    /// When the frame was cut out.
    pub framed: Ticks,
    /// When the message was understood.
    pub parsed: Ticks,
    /// When the book was right again.
    pub booked: Ticks,
}

/// One level after a change. The quantity is absolute, zero deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange {
    /// The side it lies on.
    pub side: Side,
    /// Its price.
    pub price: Price,
    /// What rests there now.
    pub qty: Qty,
}

/// A book moved and may be shown.
#[derive(Clone, Copy, Debug)]
pub struct BookUpdate<'a> {
    /// Whose book.
    pub instrument: &'a Instrument,
    /// The book after the change: sorted, uncrossed, at `update_id`, known as deep as it [covers](Book::covers).
    pub book: &'a Book,
    /// What the message said, in its order; empty when `is_snapshot`.
    pub changes: &'a [LevelChange],
    /// The venue's id of this state; a count of the session's updates where the venue has none.
    pub update_id: u64,
    /// The venue's own time of the change.
    pub exchange_time: UnixNanos,
    /// How far the state can be trusted: [`Quality::Verified`] or [`Quality::Unverified`].
    pub quality: Quality,
    /// The whole book was replaced: differences to the state before mean nothing.
    pub is_snapshot: bool,
}

/// A trade, with the side that took liquidity.
#[derive(Clone, Copy, Debug)]
pub struct Trade<'a> {
    /// In which instrument.
    pub instrument: &'a Instrument,
    /// Its price.
    pub price: Price,
    /// How much.
    pub qty: Qty,
    /// [`Side::Bid`] when the buyer was the aggressor.
    pub aggressor: Side,
    /// The venue's id of the trade.
    pub trade_id: u64,
    /// The venue's own time of the trade.
    pub exchange_time: UnixNanos,
}

/// The venue's own word about the top of a book, compared with ours where both speak of the same update id.
///
/// A venue may publish the top before the diff that leads to it. Such a top is told twice: when it comes, with `agrees`
/// `None`, and once more, behind [`Sink::on_book`], when the book has reached its update id.
#[derive(Clone, Copy, Debug)]
pub struct TopOfBook<'a> {
    /// Of which instrument.
    pub instrument: &'a Instrument,
    /// The venue's id of the state it describes.
    pub update_id: u64,
    /// Best bid and what rests there.
    pub bid: (Price, Qty),
    /// Best ask and what rests there.
    pub ask: (Price, Qty),
    /// Whether our book at this id says the same; `None` where we have no book at this id.
    pub agrees: Option<bool>,
}

/// Trouble and milestones of a session: counted, logged by a cold thread, never on the hot one. `Copy`, so that it
/// passes through a bounded queue without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// The venue accepted the subscription of this instrument.
    Subscribed {
        /// Which instrument.
        symbol: SymbolId,
    },
    /// The venue refused the subscription; the socket may stay up and mute.
    SubscriptionRefused {
        /// Which instrument, where the refusal names one.
        symbol: Option<SymbolId>,
    },
    /// The book is not shown until a snapshot has been spliced in.
    ResyncStarted {
        /// Whose book.
        symbol: SymbolId,
        /// Why.
        reason: ResyncReason,
    },
    /// The book is shown again.
    ResyncFinished {
        /// Whose book.
        symbol: SymbolId,
        /// The id of the first state that is shown.
        update_id: u64,
    },
    /// A subscription was asked for, perhaps even accepted, and nothing has come since.
    SubscriptionMute {
        /// Which instrument.
        symbol: SymbolId,
    },
    /// Nothing has come of a shown book for much longer than its market is ever silent.
    BookStale {
        /// Whose book.
        symbol: SymbolId,
        /// For how long.
        silent_ns: u64,
    },
    /// A number came that the scale of the instrument could not hold: all its mantissas have more decimals from here
    /// on, and the next book update replaces the whole book.
    Rescaled {
        /// Which instrument.
        symbol: SymbolId,
        /// Its scale from here on.
        scale: Scale,
    },
    /// A REST snapshot was older than the stream's first kept update, truncated or malformed, and is asked for again.
    SnapshotRejected {
        /// Whose snapshot.
        symbol: SymbolId,
        /// What was wrong with it.
        reason: SnapshotFault,
    },
    /// A checksum of the venue held for our book.
    ChecksumVerified {
        /// Whose book.
        symbol: SymbolId,
    },
    /// The venue's checksums turn out to be a constant, or absent, and prove nothing: only the chain of update ids does
    /// on this connection. Said once per connection.
    ChecksumDead,
    /// A message was not understood and not applied.
    FrameRejected {
        /// What was wrong with it.
        reason: FrameFault,
    },
    /// A message that is not about a book or a trade: acknowledgement, heartbeat, status.
    Control,
    /// A message that repeats what the book already contains, dropped by the venue's own rule.
    Outdated {
        /// Whose message.
        symbol: SymbolId,
    },
    /// A message that the other of two lines has brought before, or will bring: dropped.
    Repeated {
        /// Whose message.
        symbol: SymbolId,
        /// The line that brought it.
        line: Line,
    },
    /// A message could not be kept while its book waits for a snapshot; the wait starts again.
    BacklogOverflow {
        /// Whose message.
        symbol: SymbolId,
    },
    /// The venue says that it will close the connection.
    ServerShutdown,
    /// The venue's REST book agreed with ours at the same update id, or while nothing came of ours.
    CheckpointMatched {
        /// Whose book.
        symbol: SymbolId,
        /// The id that both speak of.
        update_id: u64,
        /// How far the book can be trusted from here on: a stale one turned out to be quiet.
        quality: Quality,
    },
    /// The venue's REST book contradicts ours at the same update id, or has moved on while nothing came of ours. A resync
    /// or a new connection follows.
    CheckpointDiffers {
        /// Whose book.
        symbol: SymbolId,
        /// The best level that differs.
        difference: LevelDifference,
    },
    /// A REST book was asked for and nothing follows from it.
    CheckpointMissed {
        /// Whose book.
        symbol: SymbolId,
        /// Why.
        reason: CheckpointMiss,
    },
}

/// A level of which the venue's REST book says something else than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelDifference {
    /// The update id of the REST book.
    pub update_id: u64,
    /// The side it lies on.
    pub side: Side,
    /// Its price.
    pub price: Price,
    /// What our book shows there; zero is no level.
    pub shown: Qty,
    /// What the venue says; zero is no level.
    pub told: Qty,
}

/// Why a REST book could not be held against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointMiss {
    /// The request failed or timed out.
    Unavailable,
    /// Not the JSON of a book.
    Malformed,
    /// Older than what is remembered of our book.
    TooOld,
    /// Newer than our book, whose messages go on without having reached it.
    Ahead,
    /// Between two messages of which the second one touched most of it, or one that has to be looked at again.
    Unclear,
    /// Our book is not shown any more, or has other decimals.
    NotShown,
}

/// Why a book stopped being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResyncReason {
    /// The first snapshot of a connection or of a subscription is awaited.
    Start,
    /// The venue skipped update ids.
    SequenceGap {
        /// The id that should have come.
        expected: u64,
        /// The id that came.
        got: u64,
    },
    /// The venue's checksum does not hold for our book.
    ChecksumMismatch {
        /// The venue's.
        expected: u32,
        /// Ours.
        got: u32,
    },
    /// Best bid at or above best ask after an update.
    Crossed,
    /// The venue's own word about the top of the book contradicts ours at the same update id.
    TopDisagrees {
        /// The id that both speak of.
        update_id: u64,
    },
    /// The venue's REST book contradicts ours at the same update id.
    CheckpointDiffers {
        /// The id that both speak of.
        update_id: u64,
    },
    /// An update of this book could not be understood.
    Malformed,
    /// Nothing has come of this book for so long that its subscription may be dead.
    Silent,
    /// The connection ended.
    Disconnected,
}

impl ResyncReason {
    /// The name in logs and in a region's events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::SequenceGap { .. } => "sequence_gap",
            Self::ChecksumMismatch { .. } => "checksum_mismatch",
            Self::Crossed => "crossed",
            Self::TopDisagrees { .. } => "top_disagrees",
            Self::CheckpointDiffers { .. } => "checkpoint_differs",
            Self::Malformed => "malformed",
            Self::Silent => "silent",
            Self::Disconnected => "disconnected",
        }
    }
}

/// What is wrong with a REST snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFault {
    /// Older than the first update that was kept: the venue's cache lags, ask again.
    TooOld,
    /// Not the JSON of a snapshot: cut short, or an error message.
    Malformed,
    /// The request failed or timed out.
    Unavailable,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// Not JSON, or JSON of no known shape.
    Malformed,
    /// A number that does not fit its type.
    NumberOutOfRange,
    /// A symbol that was not subscribed.
    UnknownSymbol,
    /// A binary message where the venue sends text.
    Binary,
}

/// Takes what a session understood. Implemented by the engine; calls are monomorphised, nothing is boxed.
pub trait Sink {
    /// A book moved and may be shown.
    fn on_book(&mut self, update: &BookUpdate<'_>, stamps: &Stamps);

    /// A trade happened.
    fn on_trade(&mut self, trade: &Trade<'_>, stamps: &Stamps);

    /// The venue said what the top of a book is.
    fn on_top(&mut self, _top: &TopOfBook<'_>, _stamps: &Stamps) {}

    /// Trouble, or a milestone.
    fn on_event(&mut self, _event: FeedEvent) {}
}
