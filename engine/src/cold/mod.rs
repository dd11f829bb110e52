//! The threads that may block: dialling, REST snapshots, checkpoints, models, ranking, captures, housekeeping.
//!
//! They look into the [`ColdSide`](crate::hot::ColdSide) of the mailbox every few milliseconds: waking them would cost
//! the hot thread a system call.

mod breakers;
pub mod capture;
mod checkpoints;
mod dialler;
mod housekeeping;
mod models;
mod ranking;
mod snapshots;

use std::time::Duration;

pub use breakers::Breakers;
pub use checkpoints::CheckpointFetcher;
pub use dialler::{DialTarget, Dialler};
pub use housekeeping::{ColdCounts, Housekeeping};
pub use models::{LineupError, Models, Reload, log_loaded};
pub use ranking::Ranking;
pub use snapshots::{SnapshotFetcher, SnapshotSource};

/// How often a cold thread looks for work.
const LOOK_EVERY: Duration = Duration::from_millis(2);
