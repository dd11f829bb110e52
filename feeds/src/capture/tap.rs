//! From the hot thread to the disk without a wait: chunks of memory that change hands.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::types::{Line, UnixNanos};

use super::{CaptureError, CaptureWriter};

/// What a record of a tap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TapKind {
    /// A text frame that was received.
    Frame = 0,
    /// A frame that was sent.
    Sent = 1,
    /// The connection opened; the bytes say to where.
    Open = 2,
    /// The connection ended; the bytes say why.
    Close = 3,
    /// Records were lost; the bytes are their number, little-endian.
    Dropped = 4,
    /// A REST snapshot was received; the bytes are its symbol, a line break, and the body.
    Snapshot = 5,
    /// What comes next is of another line; the byte is its index.
    Line = 6,
}

/// Makes both ends: `chunk_count` chunks of `chunk_bytes` each go around between them, and one more is being filled.
/// A record with its head and the room for two marks (55 bytes together) has to fit one chunk.
pub fn capture_tap(chunk_bytes: usize, chunk_count: usize) -> (CaptureTap, CaptureDrain) {
    let (chunk_bytes, chunk_count) = (chunk_bytes.clamp(4 << 10, 1 << 30), chunk_count.max(1));
    let chunks = Arc::new(Chunks {
        filled: ArrayQueue::new(chunk_count + 1),
        free: ArrayQueue::new(chunk_count + 1),
    });
    for _ in 0..chunk_count {
        // The queue has a place for each of them.
        let _ = chunks.free.push(Vec::with_capacity(chunk_bytes));
    }
    let filling = Vec::with_capacity(chunk_bytes);
    let tap = CaptureTap {
        chunks: Arc::clone(&chunks),
        filling,
        chunk_bytes,
        dropped: 0,
        untold: 0,
        last_time: UnixNanos(0),
    };
    (tap, CaptureDrain { chunks })
}

/// The hot thread's end: copies a record and returns. Never waits, never allocates; when the cold thread lags behind by
/// all chunks it drops, counts, and leaves a mark where the records are missing.
pub struct CaptureTap {
    chunks: Arc<Chunks>,
    filling: Vec<u8>,
    chunk_bytes: usize,
    dropped: u64,
    /// Dropped since the last mark.
    untold: u64,
    last_time: UnixNanos,
}

/// The cold thread's end.
pub struct CaptureDrain {
    chunks: Arc<Chunks>,
}

struct Chunks {
    filled: ArrayQueue<Vec<u8>>,
    free: ArrayQueue<Vec<u8>>,
}

impl CaptureTap {
    /// Copies one record; false if it was dropped.
    #[inline]
    pub fn record(&mut self, kind: TapKind, time: UnixNanos, bytes: &[u8]) -> bool {
        self.record_parts(kind, time, [bytes])
    }

    /// Copies a REST snapshot; false if it was dropped.
    pub fn record_snapshot(&mut self, time: UnixNanos, symbol: &str, body: &[u8]) -> bool {
        self.record_parts(TapKind::Snapshot, time, [symbol.as_bytes(), b"\n", body])
    }

    #[inline]
    fn record_parts<const N: usize>(&mut self, kind: TapKind, time: UnixNanos, parts: [&[u8]; N]) -> bool {
        // Every chunk keeps room for two marks: for what was lost before this record, and so that the last chunk can
        // say what was lost behind it.
        let needed = HEAD_BYTES + parts.iter().map(|part| part.len()).sum::<usize>() + 2 * MARK_BYTES;
        if self.filling.len() + needed > self.chunk_bytes && (needed > self.chunk_bytes || !self.hand_over()) {
            return self.drop_record();
        }
        self.last_time = time;
        self.put_mark();
        self.put(kind, time, parts);
        true
    }

    /// Hands over what has been copied. To be called now and then, so that a quiet feed reaches the disk too.
    pub fn flush(&mut self) {
        if !self.filling.is_empty() {
            self.hand_over();
        }
    }

    /// How many records were dropped, ever.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Says how many records are missing here, if any.
    fn put_mark(&mut self) {
        if self.untold > 0 {
            let count = std::mem::take(&mut self.untold).to_le_bytes();
            self.put(TapKind::Dropped, self.last_time, [&count]);
        }
    }

    /// Copies a record for which there is room.
    #[inline]
    fn put<const N: usize>(&mut self, kind: TapKind, time: UnixNanos, parts: [&[u8]; N]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&time.0.to_le_bytes());
        head[8] = kind as u8;
        // Fits: no chunk has four gigabytes, and a record is no larger than a chunk.
        head[9..].copy_from_slice(&(len as u32).to_le_bytes());
        self.filling.extend_from_slice(&head);
        parts.iter().for_each(|part| self.filling.extend_from_slice(part));
    }

    /// Exchanges the chunk at hand for a free one; false where there is none.
    fn hand_over(&mut self) -> bool {
        let Some(free) = self.chunks.free.pop() else {
            return false;
        };
        let filled = std::mem::replace(&mut self.filling, free);
        // There are as many places as chunks.
        let _ = self.chunks.filled.push(filled);
        true
    }

    #[cold]
    fn drop_record(&mut self) -> bool {
        self.dropped += 1;
        self.untold += 1;
        false
    }
}

impl Drop for CaptureTap {
    fn drop(&mut self) {
        self.put_mark();
        // The last chunk needs no free one in exchange; the queue has a place for it.
        let _ = self.chunks.filled.push(std::mem::take(&mut self.filling));
    }
}

impl CaptureDrain {
    /// Writes everything that was handed over and returns how many records that were.
    ///
    /// # Errors
    /// The disk. The chunk at hand is lost with it, and goes around again.
    pub fn drain(&mut self, writer: &mut CaptureWriter) -> Result<u64, CaptureError> {
        let mut count = 0;
        while let Some(mut chunk) = self.chunks.filled.pop() {
            let written = write_chunk(&chunk, writer);
            chunk.clear();
            let _ = self.chunks.free.push(chunk);
            count += written?;
        }
        Ok(count)
    }

    /// Whether the other end is gone: after one more [`drain`](Self::drain) nothing will come.
    pub fn is_finished(&mut self) -> bool {
        // Acquires what the other end released by letting go, its last chunk included.
        Arc::get_mut(&mut self.chunks).is_some()
    }
}

fn write_chunk(mut chunk: &[u8], writer: &mut CaptureWriter) -> Result<u64, CaptureError> {
    let mut count = 0;
    while let Some((head, rest)) = chunk.split_first_chunk::<HEAD_BYTES>() {
        let [t0, t1, t2, t3, t4, t5, t6, t7, kind, l0, l1, l2, l3] = *head;
        let time = UnixNanos(u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]));
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some((bytes, rest)) = rest.split_at_checked(len) else {
            break;
        };
        match kind {
            kind if kind == TapKind::Frame as u8 => writer.frame(time, bytes)?,
            kind if kind == TapKind::Sent as u8 => writer.sent(time, bytes)?,
            kind if kind == TapKind::Open as u8 => writer.opened(time, bytes)?,
            kind if kind == TapKind::Close as u8 => writer.closed(time, bytes)?,
            kind if kind == TapKind::Line as u8 => {
                let is_second = bytes.first() == Some(&(Line::Second as u8));
                writer.turn_to(time, if is_second { Line::Second } else { Line::First })?;
            }
            kind if kind == TapKind::Snapshot as u8 => {
                let symbol_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
                let symbol = str::from_utf8(&bytes[..symbol_end]).unwrap_or_default();
                writer.snapshot(time, symbol, bytes.get(symbol_end + 1..).unwrap_or_default())?;
            }
            _ => writer.dropped(time, bytes.first_chunk().map_or(0, |count| u64::from_le_bytes(*count)))?,
        }
        chunk = rest;
        count += 1;
    }
    Ok(count)
}

/// Time, kind and length.
const HEAD_BYTES: usize = 13;

/// A record that says how many were dropped.
const MARK_BYTES: usize = HEAD_BYTES + 8;
