//! The frames of a run, and a stream that hands them out from memory, one per read.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use boomnet::stream::ReadHint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::depth::{self, DepthUpdate, Wire};
use crate::rivals::{DepthBook, TreeBook};
use quantumflow_feeds::Side;

/// The messages of a run as a server sends them.
#[derive(Debug)]
pub struct Feed {
    /// Changes per side and message.
    pub levels: usize,
    /// WebSocket frames, unmasked, back to back.
    pub bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    pub ends: Vec<usize>,
    /// Length of the header of each frame.
    pub header_bytes: Vec<usize>,
    /// The update id before the first message: what a snapshot must carry.
    pub snapshot_id: u64,
    /// The book after all messages, bids and asks, best first, in cents and 10^-8.
    pub book: [Vec<(i64, i64)>; 2],
}

impl Feed {
    /// `count` messages of `levels` changes per side.
    pub fn new(levels: usize, count: usize, wire: Wire, seed: u64) -> Self {
        let messages = depth::updates(levels, count, seed);
        let mut feed = Self {
            levels,
            bytes: Vec::new(),
            ends: Vec::with_capacity(count),
            header_bytes: Vec::with_capacity(count),
            snapshot_id: messages.first().map_or(0, |message| message.first_id - 1),
            book: final_book(&messages),
        };
        for message in &messages {
            let payload = depth::json(message, wire);
            let start = feed.bytes.len();
            feed.bytes.push(0x81); // final, text
            match u16::try_from(payload.len()) {
                Ok(len) if len < 126 => feed.bytes.push(len as u8),
                Ok(len) => {
                    feed.bytes.push(126);
                    feed.bytes.extend_from_slice(&len.to_be_bytes());
                }
                Err(_) => {
                    feed.bytes.push(127);
                    feed.bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
                }
            }
            feed.header_bytes.push(feed.bytes.len() - start);
            feed.bytes.extend_from_slice(payload.as_bytes());
            feed.ends.push(feed.bytes.len());
        }
        feed
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A frame with its header.
    pub fn frame(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// The payload of a frame.
    pub fn payload(&self, index: usize) -> &[u8] {
        &self.frame(index)[self.header_bytes[index]..]
    }

    /// Mean payload, in bytes.
    pub fn payload_bytes_mean(&self) -> usize {
        (self.bytes.len() - self.header_bytes.iter().sum::<usize>()) / self.len().max(1)
    }
}

fn final_book(messages: &[DepthUpdate]) -> [Vec<(i64, i64)>; 2] {
    let mut book = TreeBook::default();
    for message in messages {
        message
            .bids
            .iter()
            .for_each(|&(price, quantity)| book.set(Side::Bid, price, quantity));
        message
            .asks
            .iter()
            .for_each(|&(price, quantity)| book.set(Side::Ask, price, quantity));
    }
    [book.levels(Side::Bid), book.levels(Side::Ask)]
}

/// A connection to a [`Feed`]: each read gives at most one frame, as a socket that is read faster than it is sent to.
#[derive(Debug)]
pub struct MemoryStream {
    feed: Rc<Feed>,
    index: usize,
    at: usize,
}

impl MemoryStream {
    /// A connection at its first frame.
    pub fn new(feed: Rc<Feed>) -> Self {
        Self { feed, index: 0, at: 0 }
    }

    fn next(&mut self, room: usize) -> &[u8] {
        let Some(&end) = self.feed.ends.get(self.index) else {
            return &[];
        };
        let start = self.at;
        self.at = end.min(start + room);
        if self.at == end {
            self.index += 1;
        }
        &self.feed.bytes[start..self.at]
    }
}

impl Read for MemoryStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len());
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadHint for MemoryStream {
    fn read_hint(&self) -> bool {
        true
    }
}

impl AsyncRead for MemoryStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = self.get_mut().next(buffer.remaining());
        if bytes.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
