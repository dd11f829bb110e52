//! Frames on their way to one connection, and what becomes of the connection on the way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sim::stats::MessageKind;
use crate::ws::Opcode;

/// One frame of a [`Batch`], for the totals.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Frame {
    /// Where it ends in the batch's bytes.
    pub(in crate::sim) end: usize,
    pub(in crate::sim) payload_bytes: usize,
    pub(in crate::sim) kind: MessageKind,
    pub(in crate::sim) symbol: Option<u16>,
}

/// What happens to a connection once its batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum End {
    /// The TCP connection ends at once.
    Cut,
    /// Nothing is read or written any more.
    Freeze,
    /// Nothing is written any more; what comes is read and forgotten.
    HalfOpen,
    /// A close frame was the last: wait a moment for the client's.
    Close,
}

/// From `at` on, a batch is written at another pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Turn {
    /// A place in the batch's bytes.
    pub(in crate::sim) at: usize,
    pub(in crate::sim) pace: Pace,
}

/// How a connection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Pace {
    /// Not at all, for a time.
    Stall { lasting: Duration },
    /// So many bytes a second, for a time.
    Slow { bytes_per_second: u32, lasting: Duration },
}

/// Frames for one connection, back to back.
#[derive(Debug, Default)]
pub(in crate::sim) struct Batch {
    pub(in crate::sim) bytes: Vec<u8>,
    pub(in crate::sim) frames: Vec<Frame>,
    /// Where the pace of writing changes, in the order of the bytes.
    pub(in crate::sim) turns: VecDeque<Turn>,
    pub(in crate::sim) end: Option<End>,
}

impl Batch {
    /// Appends a whole batch and leaves `other` empty.
    pub(in crate::sim) fn append(&mut self, other: &mut Self) {
        if self.is_empty() && self.frames.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let shift = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.frames.extend(other.frames.drain(..).map(|frame| Frame {
            end: frame.end + shift,
            ..frame
        }));
        self.turns.extend(other.turns.drain(..).map(|turn| Turn {
            at: turn.at + shift,
            ..turn
        }));
        self.end = self.end.or(other.end.take());
    }

    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.turns.is_empty() && self.end.is_none()
    }

    /// Forgets everything, and keeps the memory.
    pub(in crate::sim) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.turns.clear();
        self.end = None;
    }

    /// What comes from here on is written at this pace.
    pub(super) fn turn(&mut self, pace: Pace) {
        let at = self.bytes.len();
        self.turns.push_back(Turn { at, pace });
    }

    pub(super) fn push_text(&mut self, parts: &[&[u8]], kind: MessageKind, symbol: Option<u16>) {
        let payload_bytes = parts.iter().map(|part| part.len()).sum();
        let mut header = [0u8; 10];
        header[0] = 0x80 | Opcode::Text as u8;
        let header_bytes = length_into(&mut header, payload_bytes as u64);
        self.bytes.extend_from_slice(&header[..header_bytes]);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.note(payload_bytes, kind, symbol);
    }

    pub(super) fn note(&mut self, payload_bytes: usize, kind: MessageKind, symbol: Option<u16>) {
        self.frames.push(Frame {
            end: self.bytes.len(),
            payload_bytes,
            kind,
            symbol,
        });
    }
}

/// Writes the length of an unmasked frame behind its first byte, and returns the bytes of the header.
pub(super) fn length_into(header: &mut [u8; 10], payload_bytes: u64) -> usize {
    match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            2
        }
        126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&payload_bytes.to_be_bytes());
            10
        }
    }
}
