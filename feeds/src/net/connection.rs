//! One WebSocket to a venue, as the hot thread uses it: non-blocking, no allocation once warm.
//!
//! A cold thread [dials](super::dial()) it; the hot thread then owns it alone:
//!
//! ```text
//! read()          one recvmsg ─▶ decrypt in place ─▶ decoder           (stamps: kernel, read, decrypted)
//! next_message()  until None: each borrows its payload from the decoder; pongs and the close echo are queued
//! flush()         queued frames ─▶ encrypt ─▶ socket, as far as it takes them
//! ```
//!
//! The messages must be taken out before the next read; that bounds what a peer can make us hold to one message and one
//! read.

use std::io;
use std::net::SocketAddr;

use mio::{Interest, Registry, Token};

use super::tcp::{TcpApplied, TcpRead};
use super::tls::TlsError;
use super::transport::{PLAIN_PER_READ_MAX, Transport, TransportError};
use crate::clock::{Clock, Ticks};
use crate::types::UnixNanos;
use crate::ws::{Message, Protocol, SendError, WsError};

/// An open WebSocket over TCP, with or without TLS.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    protocol: Protocol,
    read_bytes_max: usize,
    /// Bytes that came with the handshake and wait in the decoder.
    leftover_bytes: usize,
    last_read: Option<Ticks>,
    totals: ConnectionTotals,
    /// A close frame came, or a rule was broken: what follows is not read as frames.
    is_peer_done: bool,
    is_closed_by_frame: bool,
    is_write_closed: bool,
}

/// What [`Connection::read`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Bytes; perhaps whole messages.
    Bytes(BytesRead),
    /// Nothing has come.
    WouldBlock,
    /// The peer sends no more.
    Closed {
        /// It said so first: by a close frame or a TLS `close_notify`. Otherwise the line was cut.
        is_clean: bool,
    },
}

/// One read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesRead {
    /// Bytes off the wire, encrypted ones under TLS.
    pub n: usize,
    /// When the kernel took the last segment of them.
    pub kernel: Option<UnixNanos>,
    /// When the read returned.
    pub read: Ticks,
    /// When everything complete was decrypted; equal to `read` without TLS.
    pub decrypted: Ticks,
    /// The read filled the room it had: there may be more. After a shorter one the socket is empty.
    pub may_have_more: bool,
}

/// What went through a connection since it was dialled. Plain counts, to be published by their owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// Reads that brought bytes.
    pub reads: u64,
    /// Bytes off the wire.
    pub read_bytes: u64,
    /// Reads that carried no kernel stamp.
    pub unstamped_reads: u64,
    /// Messages, control frames included.
    pub messages: u64,
    /// Pings that got no answer because too many earlier answers were not sent yet.
    pub pongs_skipped: u64,
}

/// Whether [`Connection::flush`] got rid of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits.
    Done,
    /// The socket takes no more now; flush again when it is writable.
    Pending,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The socket failed: reset by the peer, unreachable, timed out.
    #[error("socket failed")]
    Io(#[from] io::Error),
    /// The peer broke TLS, or ended it with an alert.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The peer broke the WebSocket protocol.
    #[error(transparent)]
    Ws(#[from] WsError),
    /// Messages were left in the decoder until it was full: the caller must take them out before it reads again.
    #[error("decoder is full: messages were not taken out before the next read")]
    Undrained,
}

impl From<TransportError> for ConnectionError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Io(error) => Self::Io(error),
            TransportError::Tls(error) => Self::Tls(error),
        }
    }
}

impl Connection {
    pub(super) fn new(transport: Transport, protocol: Protocol, read_bytes_max: usize) -> Self {
        Self {
            leftover_bytes: protocol.decoder().unread_bytes(),
            transport,
            protocol,
            read_bytes_max: read_bytes_max.clamp(READ_BYTES_MIN, PLAIN_PER_READ_MAX),
            last_read: None,
            totals: ConnectionTotals::default(),
            is_peer_done: false,
            is_closed_by_frame: false,
            is_write_closed: false,
        }
    }

    /// Reads the socket once and decrypts every record that is complete. Then take the messages out with
    /// [`next_message`](Self::next_message).
    ///
    /// The first read after the dial may bring bytes that came together with the handshake; those carry no stamp.
    ///
    /// # Errors
    /// The connection is over. An alert that tells the peer why was sent if the socket took it.
    #[inline]
    pub fn read<C: Clock>(&mut self, clock: &C) -> Result<ReadOutcome, ConnectionError> {
        if self.is_peer_done || self.leftover_bytes > 0 {
            return self.read_special(clock);
        }
        match &self.transport.tls {
            None => self.read_plain(clock),
            Some(_) => self.read_tls(clock),
        }
    }

    /// The next message, or `None` when its bytes are not all there. Pings and closes are answered by themselves: the
    /// answers are queued and leave with the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// The peer broke a rule. The close frame that tells it is queued.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WsError> {
        let message = self.protocol.next_message();
        match &message {
            Ok(Some(message)) => {
                self.totals.messages += 1;
                if matches!(message, Message::Close { .. }) {
                    self.is_peer_done = true;
                    self.is_closed_by_frame = true;
                }
            }
            Ok(None) => {}
            Err(_) => self.is_peer_done = true,
        }
        message
    }

    /// Queues a text message; [`flush`](Self::flush) sends it.
    ///
    /// # Errors
    /// The connection is closing, or the peer reads too slowly. Nothing was queued.
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.protocol.send_text(text)
    }

    /// Queues a ping, for a venue that wants signs of life from its client.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text), or a payload over 125 bytes.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.protocol.send_ping(payload)
    }

    /// Begins the close handshake. Go on reading until the outcome is [`ReadOutcome::Closed`] or patience ends.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.protocol.close(code, reason);
    }

    /// Sends what is queued, as far as the socket takes it. Costs nothing when nothing is queued.
    ///
    /// # Errors
    /// The connection is over. Not once the peer has said its last word: then it may be gone before it hears ours.
    #[inline]
    pub fn flush(&mut self) -> Result<Flushed, ConnectionError> {
        if self.is_peer_done {
            return Ok(self.flush_goodbye());
        }
        Ok(self.flush_queue()?)
    }

    /// Whether frames wait to be sent.
    pub fn wants_write(&self) -> bool {
        !self.is_write_closed && (!self.protocol.outgoing().is_empty() || self.transport.has_queued())
    }

    /// Neither end has begun to close.
    pub fn is_open(&self) -> bool {
        self.protocol.is_open()
    }

    /// When bytes came last, by the clock that was given to [`read`](Self::read); `None` before the first read on this
    /// clock. Silence is for the owner to judge: venues differ in how long theirs may last.
    pub fn last_read(&self) -> Option<Ticks> {
        self.last_read
    }

    /// Whether nothing has come for `limit` ticks. A connection that never read counts from `since`, its hand-over.
    pub fn is_idle(&self, now: Ticks, since: Ticks, limit: u64) -> bool {
        now.since(self.last_read.unwrap_or(since)) > limit
    }

    /// What went through so far.
    pub fn totals(&self) -> ConnectionTotals {
        ConnectionTotals {
            pongs_skipped: self.protocol.pongs_skipped(),
            ..self.totals
        }
    }

    /// What the kernel made of the socket's options.
    pub fn tcp_applied(&self) -> TcpApplied {
        self.transport.tcp.applied()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.transport.tcp.peer_addr()
    }

    /// TLS version and cipher suite; `None` without TLS.
    pub fn tls_description(&self) -> Option<String> {
        self.transport.describe_tls()
    }

    /// Registers the socket, edge-triggered, for reading and writing. Treat it as readable at once: no edge tells of bytes
    /// that came with the handshake.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.transport.tcp, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes the socket out of a registry.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.transport.tcp)
    }

    #[inline]
    fn flush_queue(&mut self) -> Result<Flushed, TransportError> {
        while !self.protocol.outgoing().is_empty() {
            let n = self.transport.write(self.protocol.outgoing())?;
            if n == 0 {
                return Ok(Flushed::Pending);
            }
            self.protocol.sent(n);
        }
        match self.transport.flush()? {
            true => Ok(Flushed::Done),
            false => Ok(Flushed::Pending),
        }
    }

    /// The close frame that answers the peer's, then the end of TLS and of our half of the TCP stream.
    #[cold]
    fn flush_goodbye(&mut self) -> Flushed {
        if self.is_write_closed {
            return Flushed::Done;
        }
        let result = match self.flush_queue() {
            Ok(Flushed::Done) => self.transport.close_write(),
            Ok(Flushed::Pending) => Ok(false),
            Err(error) => Err(error),
        };
        match result {
            Ok(false) => Flushed::Pending,
            Ok(true) | Err(_) => {
                self.protocol.sent(self.protocol.outgoing().len()); // nobody is left to read the rest
                self.is_write_closed = true;
                Flushed::Done
            }
        }
    }

    #[inline]
    fn read_plain<C: Clock>(&mut self, clock: &C) -> Result<ReadOutcome, ConnectionError> {
        let space = self.protocol.space(READ_BYTES_MIN);
        let asked = space.len().min(self.read_bytes_max);
        if asked == 0 {
            return Err(ConnectionError::Undrained);
        }
        let result = self.transport.tcp.recv(&mut space[..asked])?;
        let read = clock.ticks();
        if let TcpRead::Bytes { n, .. } = result {
            self.protocol.commit(n);
        }
        Ok(self.outcome(result, asked, read, read))
    }

    #[inline]
    fn read_tls<C: Clock>(&mut self, clock: &C) -> Result<ReadOutcome, ConnectionError> {
        let Self {
            transport: Transport { tcp, tls: Some(tls) },
            protocol,
            ..
        } = self
        else {
            return Ok(ReadOutcome::WouldBlock);
        };
        if tls.peer_closed {
            return Ok(ReadOutcome::Closed { is_clean: true });
        }
        let (result, asked) = tls.recv(tcp, self.read_bytes_max)?;
        let read = clock.ticks();
        let mut decrypted = read;
        if matches!(result, TcpRead::Bytes { .. }) {
            let mut is_room = true;
            let outcome = tls.decrypt(|plain| is_room &= protocol.append(plain) == plain.len());
            decrypted = clock.ticks();
            if let Err(error) = outcome {
                return Err(self.fail(error));
            }
            if !is_room {
                return Err(ConnectionError::Undrained);
            }
        }
        Ok(self.outcome(result, asked, read, decrypted))
    }

    /// The first read, if bytes came with the handshake; or the reads after the peer's last frame, when whatever comes is
    /// thrown away and only the end counts.
    #[cold]
    fn read_special<C: Clock>(&mut self, clock: &C) -> Result<ReadOutcome, ConnectionError> {
        if self.leftover_bytes > 0 {
            let n = std::mem::take(&mut self.leftover_bytes);
            let read = clock.ticks();
            return Ok(self.outcome(TcpRead::Bytes { n, kernel: None }, n, read, read));
        }
        let mut scratch = [0; READ_BYTES_MIN];
        // A reset is one way to hang up.
        let result = self.transport.tcp.recv(&mut scratch).unwrap_or(TcpRead::Eof);
        let read = clock.ticks();
        Ok(self.outcome(result, scratch.len(), read, read))
    }

    #[inline]
    fn outcome(&mut self, result: TcpRead, asked: usize, read: Ticks, decrypted: Ticks) -> ReadOutcome {
        match result {
            TcpRead::Bytes { n, kernel } => {
                self.last_read = Some(read);
                self.totals.reads += 1;
                self.totals.read_bytes += n as u64;
                self.totals.unstamped_reads += u64::from(kernel.is_none());
                ReadOutcome::Bytes(BytesRead {
                    n,
                    kernel,
                    read,
                    decrypted,
                    may_have_more: n >= asked,
                })
            }
            TcpRead::WouldBlock => ReadOutcome::WouldBlock,
            TcpRead::Eof => ReadOutcome::Closed {
                is_clean: self.is_closed_by_frame,
            },
        }
    }

    #[cold]
    fn fail(&mut self, error: TlsError) -> ConnectionError {
        // The alert that says why, if the socket takes it; the connection is over either way.
        let _ = self.transport.flush();
        error.into()
    }
}

/// The least room to read into: the payload of a full TCP segment on any link, several of them on most.
const READ_BYTES_MIN: usize = 16 * 1024;
