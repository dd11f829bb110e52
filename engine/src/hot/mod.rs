//! The pinned thread: from readable socket to published signal, without a hand-off.
//!
//! [`Shard`] is the loop and the list of what can happen in it; [`PredictSink`] turns a book into a signal;
//! [`Lineup`] is who predicts and who takes over; [`HotMetrics`] are its cells in the region, with the flight recorder beside them; [`RingOutput`] is where signals leave;
//! [`Mailbox`] is its only way to and from the cold threads.

mod lineup;
mod mailbox;
mod metrics;
mod predict;
mod recorder;
mod ring;
mod shard;

pub use lineup::{Lineup, Member};
pub use mailbox::{
    CheckpointReply, ColdSide, FeedLine, HotEvent, HotNews, LINEUPS_MAX, LineOrder, Mailbox, MailboxSizes, Score,
    SnapshotOrder, SnapshotReply,
};
pub use metrics::{HotMetrics, MODEL_NAMES_MAX, ModelCells};
pub use predict::{Output, PredictSink, Prediction, SymbolOrigin};
pub use ring::{GENERATIONS_MAX, RingOutput};
pub use shard::{FeedSlot, Shard};
