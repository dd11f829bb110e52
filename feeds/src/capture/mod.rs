//! Recorded sessions: one line a frame, as received.
//!
//! ```text
//! # 1723161253900000000 open wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms
//! # 1723161253900100000 sent {"method":"ping"}
//! 1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate",…}}
//! # 1723161254206652067 rest BTCUSDT
//! 1723161254206652067 {"lastUpdateId":50093239218,"bids":[…],"asks":[…]}
//! # 1723161280000000000 line 2
//! # 1723161299000000000 dropped 12
//! # 1723161300000000000 close the peer closed: 1001
//! ```
//!
//! A line is the receive time in nanoseconds UTC, a space and the frame's own bytes; a file holds one feed: one
//! connection, or two that carry the same, where `line` says of which of them everything is that follows. Lines
//! that start with `#` say what was sent, which frame is the body of a REST reply (the line behind `rest`), where the
//! recorder lost frames, and when the connection opened and closed; other `#` lines are remarks. Other tools of this field
//! write the same lines without the remarks, and [`CaptureReader`] reads those too.
//!
//! A file is plain, gzip or Zstandard by its name (`.gz`, `.zst`). [`CaptureWriter`] compresses blocks that can be read
//! each by itself, and writes beside the file an index of them (`.idx`), so that a reader can start in the middle of a day.
//!
//! A frame of these venues is JSON without line breaks. Where one occurs nevertheless it is white space between tokens
//! (JSON forbids it within strings), and the writer puts a space in its place, so that the line still says the same.
//!
//! The hot thread never writes: a [`CaptureTap`] copies frames into memory that a cold thread empties with a
//! [`CaptureDrain`], and counts what it had to drop.

mod index;
mod reader;
mod replay;
mod tap;
mod text;
mod writer;

pub use reader::{CaptureReader, Record, TruncatedTail};
pub use replay::{RealTime, ReplaySummary, replay, unpaced};
pub use tap::{CaptureDrain, CaptureTap, TapKind, capture_tap};
pub use text::CaptureText;
pub use writer::{CaptureOptions, CaptureWriter};

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with captures.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file could not be opened or created.
    #[error("failed to open capture {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read, or its compression is broken.
    #[error("failed to read capture {}:{line}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The line behind the last good one.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line that is not of the format. Reading may go on behind it.
    #[error("bad line in capture {}:{line}: {problem}", path.display())]
    BadLine {
        /// Which file.
        path: PathBuf,
        /// Which line, the first being 1.
        line: u64,
        /// What is wrong.
        problem: LineProblem,
    },
    /// A file could not be written.
    #[error("failed to write capture {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with a line of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// It does not start with a time.
    #[error("expected `<receive time, UTC ns> <frame>`")]
    NoTime,
    /// There is nothing behind the time.
    #[error("a time without a frame")]
    NoFrame,
    /// The frame is not UTF-8, so it cannot have been text.
    #[error("the frame is not UTF-8")]
    NotText,
    /// Longer than the ceiling.
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

/// The longest line that is read: several times the longest message of any venue.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// How a file is compressed; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// What the name of a file says.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}
