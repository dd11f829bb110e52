//! Writes what a feed received: the cold end of its capture.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use quantumflow_feeds::capture::{
    CaptureDrain, CaptureError, CaptureOptions, CaptureTap, CaptureWriter, TapKind, capture_tap,
};
use quantumflow_feeds::feed::Tap;
use quantumflow_feeds::{Line, UnixNanos};

use super::LOOK_EVERY;

/// Chunks that go around between the two ends: while one is written the others are filled.
const CHUNKS: usize = 4;

/// The hot end, with counts that other threads may read.
pub struct FeedTap {
    tap: CaptureTap,
    address: String,
    counts: Arc<Counts>,
    frames: u64,
    bytes: u64,
    /// Of which line the records are, and of which the last one that was taken was.
    line: Line,
    told_line: Line,
}

/// What a capture has taken so far.
#[derive(Debug, Default)]
pub struct Counts {
    frames: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Frames, bytes, dropped records.
    pub fn read(&self) -> [u64; 3] {
        [&self.frames, &self.bytes, &self.dropped].map(|count| count.load(Ordering::Relaxed))
    }
}

/// The cold end.
pub struct CaptureThread {
    drain: CaptureDrain,
    writer: CaptureWriter,
}

/// Opens a capture of files that begin with `prefix`, for a connection to `address`, with about `buffer_bytes` of memory
/// between the two ends.
pub fn open(
    prefix: &Path,
    address: &str,
    buffer_bytes: usize,
) -> Result<(FeedTap, CaptureThread, Arc<Counts>), CaptureError> {
    let (tap, drain) = capture_tap(buffer_bytes / (CHUNKS + 1), CHUNKS);
    let writer = CaptureWriter::create(prefix, CaptureOptions::default())?;
    let counts = Arc::new(Counts::default());
    let tap = FeedTap {
        tap,
        address: address.to_owned(),
        counts: Arc::clone(&counts),
        frames: 0,
        bytes: 0,
        line: Line::First,
        told_line: Line::First,
    };
    Ok((tap, CaptureThread { drain, writer }, counts))
}

impl FeedTap {
    /// Says of which line the next record is, if it is of another one.
    #[inline]
    fn tell_line(&mut self, at: UnixNanos) {
        if self.line != self.told_line && self.tap.record(TapKind::Line, at, &[self.line as u8]) {
            self.told_line = self.line;
        }
    }
}

impl Tap for FeedTap {
    #[inline]
    fn turn_to(&mut self, line: Line) {
        self.line = line;
    }

    fn opened(&mut self, at: UnixNanos) {
        self.tell_line(at);
        self.tap.record(TapKind::Open, at, self.address.as_bytes());
    }

    fn closed(&mut self, at: UnixNanos) {
        self.tell_line(at);
        self.tap.record(TapKind::Close, at, b"");
        self.flush();
    }

    #[inline]
    fn frame(&mut self, at: UnixNanos, text: &[u8]) {
        self.tell_line(at);
        if self.tap.record(TapKind::Frame, at, text) {
            self.frames += 1;
            self.bytes += text.len() as u64;
        }
    }

    fn snapshot(&mut self, at: UnixNanos, symbol: &str, body: &[u8]) {
        self.tap.record_snapshot(at, symbol, body);
    }

    fn sent(&mut self, at: UnixNanos, text: &str) {
        self.tell_line(at);
        self.tap.record(TapKind::Sent, at, text.as_bytes());
    }

    fn flush(&mut self) {
        self.tap.flush();
        self.counts.frames.store(self.frames, Ordering::Relaxed);
        self.counts.bytes.store(self.bytes, Ordering::Relaxed);
        self.counts.dropped.store(self.tap.dropped(), Ordering::Relaxed);
    }
}

impl CaptureThread {
    /// Works until the hot end is gone and everything is on the disk. A disk that fails costs its blocks, not the feed.
    pub fn run(mut self, _stop: &AtomicBool) {
        loop {
            let is_last = self.drain.is_finished();
            let written = self.drain.drain(&mut self.writer).unwrap_or_else(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "capture lost a block");
                0
            });
            if is_last {
                break;
            }
            if written == 0 {
                thread::sleep(LOOK_EVERY);
            }
        }
        if let Err(error) = self.writer.flush() {
            tracing::error!(error = &error as &dyn std::error::Error, "capture lost its last block");
        }
    }
}
