//! The pinned thread: from readable socket to published signal, without a hand-off.
//!
//! [`Shard`] is the loop and the list of what can happen in it; [`PredictSink`] turns a book into a signal;
//! [`HotMetrics`] are its cells in the region, with the flight recorder beside them; [`RingOutput`] is where signals leave;
//! [`Mailbox`] is its only way to and from the cold threads.

mod mailbox;
mod metrics;
mod predict;
mod recorder;
mod ring;
mod shard;

pub use mailbox::{
    CheckpointReply, ColdSide, FeedLine, HotEvent, HotNews, LineOrder, Mailbox, MailboxSizes, SnapshotOrder,
    SnapshotReply,
};
pub use metrics::HotMetrics;
pub use predict::{Output, PredictSink, Prediction, SymbolOrigin};
pub use ring::RingOutput;
pub use shard::{FeedSlot, Shard};
