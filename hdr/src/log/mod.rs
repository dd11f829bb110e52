//! The HdrHistogram interval log, version 1.3: what is in such a file, and how it is written and read.
//!
//! ```text
//! #[Histogram log format version 1.3]
//! #[StartTime: 1763725440.123 (seconds since epoch), 2025-11-21T11:44:00Z]
//! #[BaseTime: 1763725440.123 (seconds since epoch)]
//! #[MaxValueDivisor: 1000.000]
//! #[Untagged: stage=total]
//! # values in nanoseconds, Interval_Max in microseconds
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! 0.000,1.000,41.983,HISTFAAA…                  seconds after BaseTime, seconds, largest value, histogram
//! Tag=stage=decrypt,0.000,1.000,8.191,HISTFAAA…
//! ```
//!
//! The histogram is HdrHistogram's V2 encoding (zig-zag LEB128 counts), deflated, in base64. `Untagged` is ours: it says
//! that the lines without a tag repeat those of a tag, for tools that read only lines without one. Other readers take it
//! for a comment.

mod codec;
mod reader;
mod writer;

pub(crate) use codec::COUNT_MAX;
pub use codec::{DecodeError, EncodeError, decode, encode};
pub use reader::{Header, Line, LogReader, ReadError, What};
pub(crate) use writer::comment_line;
pub use writer::{LogHeader, LogWriter, WriteError};

/// How the format's comment lines name their values.
pub(crate) mod key {
    pub(crate) const START_TIME: &str = "#[StartTime:";
    pub(crate) const BASE_TIME: &str = "#[BaseTime:";
    pub(crate) const MAX_VALUE_DIVISOR: &str = "#[MaxValueDivisor:";
    pub(crate) const UNTAGGED: &str = "#[Untagged:";
    pub(crate) const VERSION: &str = "#[Histogram log format version 1.3]";
    pub(crate) const LEGEND: &str =
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";
}
