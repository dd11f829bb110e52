//! The writing half of a connection: chunks in order, encrypted or not, at the pace of a fault, counted as they leave.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use super::super::exchange::{Batch, End, Frame};
use super::super::stats::{Counters, MessageKind};
use super::outbox::Outbox;
use super::pace::Governor;
use crate::net::{TlsError, TlsServer};
use std::sync::atomic::Ordering::Relaxed;

/// What waits to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Writer {
    chunks: VecDeque<Chunk>,
    /// TLS records of what was taken from the front chunk, or of the handshake.
    records: Vec<u8>,
    records_written: usize,
    governor: Governor,
}

#[derive(Debug)]
struct Chunk {
    batch: Batch,
    /// Bytes given to the socket, or to TLS.
    taken: usize,
    /// Frames counted.
    counted: usize,
    /// It came through the outbox, which wants to know when it has left.
    is_from_outbox: bool,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left.
    All,
    /// The socket takes no more now, or the pace allows no more.
    Blocked,
    /// Everything up to this end has left.
    Ended(End),
}

impl Writer {
    /// Queues what the exchange said.
    pub(super) fn push_batch(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.chunks.push_back(Chunk {
                batch,
                taken: 0,
                counted: 0,
                is_from_outbox: true,
            });
        }
    }

    /// Queues something of our own: an HTTP answer, a control frame.
    pub(super) fn push(&mut self, bytes: Vec<u8>, counts_as: Option<(MessageKind, Option<u16>, usize)>) {
        let frame = counts_as.map(|(kind, symbol, payload_bytes)| Frame {
            end: bytes.len(),
            payload_bytes,
            kind,
            symbol,
        });
        let batch = Batch {
            bytes,
            frames: frame.into_iter().collect(),
            ..Batch::default()
        };
        self.chunks.push_back(Chunk {
            batch,
            taken: 0,
            counted: 0,
            is_from_outbox: false,
        });
    }

    /// Queues the end of the connection behind what waits.
    pub(super) fn push_end(&mut self, end: End) {
        let batch = Batch {
            end: Some(end),
            ..Batch::default()
        };
        self.chunks.push_back(Chunk {
            batch,
            taken: 0,
            counted: 0,
            is_from_outbox: false,
        });
    }

    /// TLS records that are not made from chunks: handshake, alerts.
    pub(super) fn records(&mut self) -> &mut Vec<u8> {
        &mut self.records
    }

    /// When to come again, whatever the socket says: what waits may wait for its pace.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let has_work = !self.chunks.is_empty() || !self.records.is_empty();
        self.governor.wake_at().filter(|_| has_work)
    }

    /// Writes until nothing is left, the socket is full, the pace allows no more, or an end is reached.
    pub(super) fn flush(
        &mut self,
        now: Instant,
        socket: &mut impl Write,
        mut tls: Option<&mut TlsServer>,
        outbox: &Outbox,
        counters: &Counters,
    ) -> io::Result<Flushed> {
        loop {
            while self.records_written < self.records.len() {
                let records = &self.records[self.records_written..];
                match write_some(socket, records, &mut self.governor, now, counters)? {
                    Some(written) => self.records_written += written,
                    None => return Ok(Flushed::Blocked),
                }
            }
            self.records.clear();
            self.records_written = 0;
            let Some(chunk) = self.chunks.front_mut() else {
                return Ok(Flushed::All);
            };
            // All that was taken from the chunk has left: with TLS its records have, without it was written at once.
            while let Some(frame) = chunk
                .batch
                .frames
                .get(chunk.counted)
                .filter(|frame| frame.end <= chunk.taken)
            {
                counters.count(frame.kind, frame.symbol, frame.payload_bytes as u64);
                chunk.counted += 1;
            }
            let turn = chunk.batch.turns.front().copied();
            if let Some(turn) = turn.filter(|turn| turn.at <= chunk.taken) {
                chunk.batch.turns.pop_front();
                self.governor.turn(turn.pace, now);
                continue;
            }
            let until = turn.map_or(chunk.batch.bytes.len(), |turn| turn.at);
            let rest = &chunk.batch.bytes[chunk.taken..until];
            if rest.is_empty() {
                let end = chunk.batch.end;
                self.chunks.pop_front();
                match end {
                    Some(end) => return Ok(Flushed::Ended(end)),
                    None => continue,
                }
            }
            let taken = match tls.as_deref_mut() {
                Some(tls) if tls.is_handshaking() => return Ok(Flushed::Blocked),
                Some(tls) => {
                    let piece = &rest[..rest.len().min(ENCRYPT_BYTES_MAX)];
                    tls.encrypt(piece, &mut self.records).map_err(invalid_data)?;
                    piece.len()
                }
                None => match write_some(socket, rest, &mut self.governor, now, counters)? {
                    Some(written) => written,
                    None => return Ok(Flushed::Blocked),
                },
            };
            chunk.taken += taken;
            if chunk.is_from_outbox {
                outbox.written(taken);
            }
        }
    }
}

/// `None` when the socket takes no more now, or the pace allows no more.
fn write_some(
    socket: &mut impl Write,
    bytes: &[u8],
    governor: &mut Governor,
    now: Instant,
    counters: &Counters,
) -> io::Result<Option<usize>> {
    let allowed = governor.allowance(now).min(bytes.len());
    if allowed == 0 {
        return Ok(None);
    }
    loop {
        match socket.write(&bytes[..allowed]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                governor.wrote(written, now);
                counters.wire_bytes.fetch_add(written as u64, Relaxed);
                return Ok(Some(written));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn invalid_data(error: TlsError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// What is encrypted at a time: some records, so that a large batch does not need its size again.
const ENCRYPT_BYTES_MAX: usize = 128 << 10;
