//! HdrHistogram interval logs (`.hlog`) of the metrics region: written, read, compared, drawn.
//!
//! A region's histograms only ever grow. The [`Recorder`] is shown a snapshot now and then and writes what was added
//! since the one before, one line per series, in the format that the Java, JavaScript, Python, C and Rust tools of the
//! HdrHistogram family read. The buckets of a region at two or three digits are those of HdrHistogram, so a line holds
//! exactly the counts that the engine made ([`convert`]).
//!
//! - [`log`] is the format: header, line, codec, and a reader that takes every byte for a claim.
//! - [`Recorder`] writes logs from snapshots; [`Follower`] finds the engines of a directory and feeds one.
//! - [`cli`] is `quantumflow hdr`: record, summary, hgrm, merge, compare, plot, heatmap.
//!
//! Nothing here runs on a hot thread or in an engine's process: a recorder reads regions as the exporter does.

#![forbid(unsafe_code)]

pub mod cli;
mod compare;
pub mod convert;
mod distribution;
mod files;
mod follow;
pub mod log;
mod merge;
mod picture;
mod recorder;
mod rotate;
mod select;
mod tag;
mod time;

pub use compare::{Change, Verdict, compare};
pub use distribution::{Percentiles, write_hgrm};
pub use follow::{Follower, Tick};
pub use recorder::{Observed, RecordError, Recorder, RecorderOptions, RecorderTotals};
pub use select::{Selection, Tags, TooMuch};
pub use tag::{InvalidTag, Tag};
pub use time::rfc3339;
