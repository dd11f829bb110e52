//! What a WebSocket endpoint must do by itself: answer pings, close properly, say which rule the peer broke.
//!
//! Sans-I/O like everything here. The driver reads into [`space`](Protocol::space), takes messages out until there are
//! no more, writes [`outgoing`](Protocol::outgoing) as far as the socket takes it, and hangs up when
//! [`is_finished`](Protocol::is_finished).

use super::{ControlTooLong, Decoder, Encoder, Limits, MaskSource, Message, Role, WsError};

/// What could not be queued for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A close frame was queued already; nothing may follow it.
    #[error("connection is closing")]
    Closing,
    /// The peer does not read as fast as we write.
    #[error("outgoing queue would hold {bytes} bytes, over its ceiling of {limit}; the peer reads too slowly")]
    QueueFull {
        /// What it would have held.
        bytes: usize,
        /// The ceiling, [`Limits::outgoing_bytes_max`].
        limit: usize,
    },
    /// A ping of more than 125 bytes.
    #[error(transparent)]
    ControlTooLong(#[from] ControlTooLong),
}

/// One end of an open WebSocket.
#[derive(Debug)]
pub struct Protocol {
    decoder: Decoder,
    encoder: Encoder,
    /// Frames to send; the first `sent_bytes` of them are gone.
    outgoing: Vec<u8>,
    sent_bytes: usize,
    outgoing_bytes_max: usize,
    is_close_queued: bool,
    is_peer_done: bool,
    pongs_skipped: u64,
}

impl Protocol {
    /// The client's end. `masks` is seeded once per connection, by [`MaskSource::from_os`] outside of tests.
    pub fn client(limits: Limits, masks: MaskSource) -> Self {
        Self::new(Decoder::new(Role::Client, limits), Encoder::client(masks), limits)
    }

    /// The server's end.
    pub fn server(limits: Limits) -> Self {
        Self::new(Decoder::new(Role::Server, limits), Encoder::server(), limits)
    }

    fn new(decoder: Decoder, encoder: Encoder, limits: Limits) -> Self {
        Self {
            decoder,
            encoder,
            outgoing: Vec::with_capacity(OUTGOING_BYTES_FIRST),
            sent_bytes: 0,
            outgoing_bytes_max: limits.outgoing_bytes_max,
            is_close_queued: false,
            is_peer_done: false,
            pongs_skipped: 0,
        }
    }

    /// A new connection in the same buffers. The masks go on from where they were.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.outgoing.clear();
        self.sent_bytes = 0;
        self.is_close_queued = false;
        self.is_peer_done = false;
    }

    /// Room to read into, as [`Decoder::space`].
    #[inline]
    pub fn space(&mut self, min: usize) -> &mut [u8] {
        self.decoder.space(min)
    }

    /// So much of the space was filled, as [`Decoder::commit`].
    ///
    /// # Panics
    /// `filled` is more than `space` gave: a bug of the caller's.
    #[inline]
    pub fn commit(&mut self, filled: usize) {
        self.decoder.commit(filled);
    }

    /// Copies received bytes in, as [`Decoder::append`].
    #[must_use = "bytes that were not taken must be given again"]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        self.decoder.append(bytes)
    }

    /// The next message. Pings and closes are returned as well, their answers are queued already.
    ///
    /// # Errors
    /// The peer broke a rule. The close frame that tells it is queued: write [`outgoing`](Self::outgoing), then hang up.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WsError> {
        let unsent_bytes = self.outgoing.len() - self.sent_bytes;
        match self.decoder.next_message() {
            Ok(Some(Message::Ping(payload))) => {
                if self.is_close_queued {
                    // Nothing follows a close.
                } else if unsent_bytes < PONG_BACKLOG_BYTES_MAX
                    && self.encoder.pong(payload, &mut self.outgoing).is_ok()
                {
                    // Queued.
                } else {
                    self.pongs_skipped += 1;
                }
                Ok(Some(Message::Ping(payload)))
            }
            Ok(Some(Message::Close { code, reason })) => {
                self.is_peer_done = true;
                if !self.is_close_queued {
                    self.is_close_queued = true;
                    self.encoder.close(code, "", &mut self.outgoing);
                }
                Ok(Some(Message::Close { code, reason }))
            }
            Ok(message) => Ok(message),
            Err(error) => {
                self.is_peer_done = true;
                if !self.is_close_queued {
                    self.is_close_queued = true;
                    self.encoder.close(Some(error.close_code()), "", &mut self.outgoing);
                }
                Err(error)
            }
        }
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// The connection is closing, or the queue is full. Nothing was queued.
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.check_room(text.len())?;
        self.encoder.text(text, &mut self.outgoing);
        Ok(())
    }

    /// Queues a binary message.
    ///
    /// # Errors
    /// The connection is closing, or the queue is full. Nothing was queued.
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.check_room(bytes.len())?;
        self.encoder.binary(bytes, &mut self.outgoing);
        Ok(())
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// The connection is closing, the queue is full, or `payload` is over 125 bytes. Nothing was queued.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        Ok(self.encoder.ping(payload, &mut self.outgoing)?)
    }

    /// Queues a pong that nobody asked for: a sign of life that costs the peer nothing.
    ///
    /// # Errors
    /// The connection is closing, the queue is full, or `payload` is over 125 bytes. Nothing was queued.
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_room(payload.len())?;
        Ok(self.encoder.pong(payload, &mut self.outgoing)?)
    }

    /// Begins the close handshake, unless it has begun. Go on reading until the peer's close comes or patience ends.
    pub fn close(&mut self, code: u16, reason: &str) {
        if !self.is_close_queued {
            self.is_close_queued = true;
            self.encoder.close(Some(code), reason, &mut self.outgoing);
        }
    }

    /// The queue itself, for frames that [`encode_frame`](super::encode_frame) makes: a simulator that fragments its
    /// messages, or breaks a rule on purpose. No ceiling guards this door.
    pub fn outgoing_mut(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// What is to be written to the peer.
    #[inline]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent_bytes..]
    }

    /// The first `written` bytes of [`outgoing`](Self::outgoing) are written.
    ///
    /// # Panics
    /// `written` is more than there was: a bug of the caller's.
    pub fn sent(&mut self, written: usize) {
        self.sent_bytes += written;
        assert!(self.sent_bytes <= self.outgoing.len(), "more was sent than was queued");
        if self.sent_bytes == self.outgoing.len() {
            self.outgoing.clear();
            self.sent_bytes = 0;
        } else if self.sent_bytes >= self.outgoing.len() / 2 && self.sent_bytes >= OUTGOING_BYTES_FIRST {
            // Moves no more than was sent since the last time.
            self.outgoing.drain(..self.sent_bytes);
            self.sent_bytes = 0;
        }
    }

    /// No close was sent or received, and no rule was broken: data may be sent.
    pub fn is_open(&self) -> bool {
        !self.is_close_queued && !self.is_peer_done
    }

    /// Nothing is left to receive or to write. A server hangs up now; a client gives the server a moment to do so first
    /// (RFC 6455, 7.1.1), so that the waiting state of TCP is the server's.
    pub fn is_finished(&self) -> bool {
        self.is_peer_done && self.outgoing().is_empty()
    }

    /// Pings that got no answer because 64 KiB of earlier frames were not written yet.
    pub fn pongs_skipped(&self) -> u64 {
        self.pongs_skipped
    }

    /// The receiving half, to look at.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn check_room(&self, payload_bytes: usize) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closing);
        }
        let bytes = self
            .outgoing()
            .len()
            .saturating_add(payload_bytes)
            .saturating_add(HEADER_BYTES_MAX);
        if bytes > self.outgoing_bytes_max {
            return Err(SendError::QueueFull {
                bytes,
                limit: self.outgoing_bytes_max,
            });
        }
        Ok(())
    }
}

/// What the outgoing queue holds without allocating: subscriptions and pongs.
const OUTGOING_BYTES_FIRST: usize = 16 << 10;

/// A peer that pings without reading does not make us hold more answers than this. The standard allows to leave answers
/// out (RFC 6455, 5.5.3).
const PONG_BACKLOG_BYTES_MAX: usize = 64 << 10;

/// Two bytes, a 64-bit length, a mask.
const HEADER_BYTES_MAX: usize = 14;
