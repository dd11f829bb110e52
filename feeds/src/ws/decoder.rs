//! Messages out of a stream of bytes, in place.
//!
//! One linear buffer holds everything that was received and not yet consumed:
//!
//! ```text
//!  0        message_start   message_end        start               end          buffer.len()
//!  │ consumed │ fragments so far │ old headers   │ received, unread  │ space()      │
//! ```
//!
//! A socket reads straight into [`Decoder::space`]. The usual message, one unfragmented frame that is there as a whole,
//! is then a range of the buffer: header, length and UTF-8 are checked and nothing moves. A frame that is still
//! arriving, and the fragments of a message, are collected as their bytes come: moved down against what was collected
//! before, unmasked, and checked as text up to the last byte received. So a fault is reported with the byte that makes
//! it, and the whole message is one slice at the end.
//!
//! Whatever is left moves to the front only when that is cheap, or when the room runs out; the buffer grows by doubling
//! up to a ceiling that follows from the limits, and never shrinks. After that warm-up nothing is allocated.

use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, Role, WsError, close_code, mask};

/// Ceilings on what a peer may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload of one frame. A frame that announces more is refused before its payload is received.
    pub frame_bytes_max: usize,
    /// The longest message, all fragments together. Venues' snapshots reach about 5 MB.
    pub message_bytes_max: usize,
    /// The receive buffer at the start. It grows by doubling, up to `message_bytes_max` and some room to read into.
    pub buffer_bytes: usize,
    /// The most that [`Protocol`](super::Protocol) queues for a peer that does not read.
    pub outgoing_bytes_max: usize,
}

impl Default for Limits {
    /// 16 MiB per frame and per message, a first buffer of 64 KiB, 32 MiB outgoing.
    fn default() -> Self {
        Self {
            frame_bytes_max: 16 << 20,
            message_bytes_max: 16 << 20,
            buffer_bytes: 64 << 10,
            outgoing_bytes_max: 32 << 20,
        }
    }
}

/// What the peer said. Borrowed from the decoder's buffer until its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// Answer with a pong of the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping of ours, or an unasked sign of life.
    Pong(&'a [u8]),
    /// The peer leaves. It is the last message.
    Close {
        /// Why, as a [`close_code`]; `None` for an empty frame.
        code: Option<u16>,
        /// Why, in words; often empty.
        reason: &'a str,
    },
}

/// Cuts messages out of the bytes of one connection. Strict: every rule of RFC 6455 that a receiver can check.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    /// Initialised over its whole length; `start <= end <= buffer.len()`.
    buffer: Vec<u8>,
    buffer_bytes_max: usize,
    /// The first byte that no message was cut from yet.
    start: usize,
    /// The end of what was received.
    end: usize,
    /// The stream offset of `buffer[start]`, less `start`.
    base: u64,
    /// A data message that was not there as one whole frame.
    assembly: Option<Assembly>,
    over: Option<Over>,
}

/// A message whose bytes are still coming. Its payload so far is `buffer[message_start..message_end]`, and
/// `message_end <= start`.
#[derive(Debug)]
struct Assembly {
    is_text: bool,
    message_start: usize,
    message_end: usize,
    /// Everything before this is whole characters of valid UTF-8 (text only).
    checked_end: usize,
    /// The frame whose payload is coming; `None` between two fragments.
    frame: Option<Payload>,
}

/// The rest of a frame whose header was consumed.
#[derive(Clone, Copy, Debug)]
struct Payload {
    fin: bool,
    remaining_bytes: usize,
    /// Rotated so that its first byte meets the next byte of payload.
    mask: Option<[u8; 4]>,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug)]
enum Over {
    Closed,
    Failed(WsError),
}

/// A whole payload at `buffer[from..to]`, unmasked.
struct Found {
    opcode: Opcode,
    from: usize,
    to: usize,
}

impl Decoder {
    /// A decoder for the end that plays `role`, with its buffer allocated.
    pub fn new(role: Role, limits: Limits) -> Self {
        let buffer_bytes_max = limits
            .message_bytes_max
            .saturating_add(ROOM_BYTES)
            .max(limits.buffer_bytes);
        Self {
            role,
            limits,
            buffer: vec![0; limits.buffer_bytes],
            buffer_bytes_max,
            start: 0,
            end: 0,
            base: 0,
            assembly: None,
            over: None,
        }
    }

    /// Forgets the connection but keeps the buffer, grown as it is: for the reconnect.
    pub fn reset(&mut self) {
        (self.start, self.end, self.base) = (0, 0, 0);
        self.assembly = None;
        self.over = None;
    }

    /// Room to read into: at least `min` bytes, unless the ceiling of the buffer is reached. Then it is what is left;
    /// it is never empty if [`next_message`](Self::next_message) was called until it had no more.
    ///
    /// Tell [`commit`](Self::commit) how much was filled.
    #[inline]
    pub fn space(&mut self, min: usize) -> &mut [u8] {
        self.make_room(min);
        &mut self.buffer[self.end..]
    }

    /// The first `filled` bytes of the last [`space`](Self::space) were received.
    ///
    /// # Panics
    /// `filled` is more than `space` gave: a bug of the caller's.
    #[inline]
    pub fn commit(&mut self, filled: usize) {
        assert!(
            filled <= self.buffer.len() - self.end,
            "committed more than the space given"
        );
        self.end += filled;
    }

    /// Copies received bytes in, for those that come in a buffer of someone else's, and says how many were taken: fewer
    /// than given only at the buffer's ceiling. Then take the messages out and give the rest.
    #[must_use = "bytes that were not taken must be given again"]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let space = self.space(bytes.len());
        let taken = space.len().min(bytes.len());
        space[..taken].copy_from_slice(&bytes[..taken]);
        self.commit(taken);
        taken
    }

    /// The next message, or `None` when its bytes are not all there. Control frames come in the order of the wire, also
    /// from between the fragments of a message. After a close there is nothing more, whatever was received.
    ///
    /// # Errors
    /// The peer broke a rule or went over a ceiling. The same error comes again from then on.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WsError> {
        if let Some(over) = self.over {
            return self.nothing_more(over);
        }
        let found = match self.find() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return Err(fail(&mut self.over, error)),
        };
        let payload = &self.buffer[found.from..found.to];
        let message = match found.opcode {
            Opcode::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => Message::Text(text),
                Err(_) => return Err(fail(&mut self.over, invalid_utf8(payload))),
            },
            Opcode::Ping => Message::Ping(payload),
            Opcode::Pong => Message::Pong(payload),
            Opcode::Close => match parse_close(payload) {
                Ok(close) => {
                    self.over = Some(Over::Closed);
                    close
                }
                Err(error) => return Err(fail(&mut self.over, error)),
            },
            Opcode::Binary | Opcode::Continuation => Message::Binary(payload),
        };
        Ok(Some(message))
    }

    /// How many bytes of the stream were consumed, headers included: where in a capture the next unread byte is.
    pub fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Bytes received but not consumed. Zero between messages; after a drain, the piece of a header or control frame.
    pub fn unread_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Whether a data message has begun and not ended.
    pub fn is_inside_message(&self) -> bool {
        self.assembly.is_some()
    }

    /// What the buffer takes. It only grows, and never over the message ceiling plus 64 KiB and some bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Consumes frames until one of them completes a payload.
    #[inline]
    fn find(&mut self) -> Result<Option<Found>, WsError> {
        loop {
            if let Some(Assembly { frame: Some(_), .. }) = self.assembly {
                match self.collect()? {
                    Collected::Message(found) => return Ok(Some(found)),
                    Collected::Fragment => {}
                    Collected::Partial => return Ok(None),
                }
            }
            let unread = &self.buffer[self.start..self.end];
            let Some(header) = Header::parse(unread, self.role, &self.limits)? else {
                return Ok(None);
            };
            let from = self.start + header.header_bytes;
            let to = from.saturating_add(header.payload_bytes);
            if to <= self.end && header.fin && (self.assembly.is_none() || header.opcode.is_control()) {
                if header.opcode == Opcode::Continuation {
                    return Err(WsError::UnexpectedContinuation);
                }
                if let Some(mask) = header.mask {
                    mask::apply(&mut self.buffer[from..to], mask);
                }
                self.start = to;
                return Ok(Some(Found {
                    opcode: header.opcode,
                    from,
                    to,
                }));
            }
            if header.opcode.is_control() {
                return Ok(None);
            }
            self.begin_frame(&header, from)?;
        }
    }

    /// Consumes the header of a data frame that is not a whole message.
    #[cold]
    fn begin_frame(&mut self, header: &Header, payload_start: usize) -> Result<(), WsError> {
        let assembly = match (&mut self.assembly, header.opcode) {
            (None, Opcode::Continuation) => return Err(WsError::UnexpectedContinuation),
            (Some(assembly), Opcode::Continuation) => assembly,
            (Some(_), opcode) => return Err(WsError::ExpectedContinuation { opcode }),
            (none, opcode) => none.insert(Assembly {
                is_text: opcode == Opcode::Text,
                message_start: payload_start,
                message_end: payload_start,
                checked_end: payload_start,
                frame: None,
            }),
        };
        let length = (assembly.message_end - assembly.message_start) as u64 + header.payload_bytes as u64;
        if length > self.limits.message_bytes_max as u64 {
            return Err(WsError::MessageTooLong {
                length,
                limit: self.limits.message_bytes_max,
            });
        }
        assembly.frame = Some(Payload {
            fin: header.fin,
            remaining_bytes: header.payload_bytes,
            mask: header.mask,
        });
        self.start = payload_start;
        Ok(())
    }

    /// Moves what has come of the current frame's payload to the message.
    #[cold]
    fn collect(&mut self) -> Result<Collected, WsError> {
        let Some(Assembly {
            is_text,
            message_start,
            message_end,
            checked_end,
            frame: frame_slot,
        }) = &mut self.assembly
        else {
            return Ok(Collected::Fragment);
        };
        let Some(frame) = frame_slot else {
            return Ok(Collected::Fragment);
        };
        let taken = frame.remaining_bytes.min(self.end - self.start);
        if self.start != *message_end {
            self.buffer.copy_within(self.start..self.start + taken, *message_end);
        }
        if let Some(mask) = &mut frame.mask {
            mask::apply(&mut self.buffer[*message_end..*message_end + taken], *mask);
            mask.rotate_left(taken % 4);
        }
        *message_end += taken;
        self.start += taken;
        frame.remaining_bytes -= taken;

        let is_frame_complete = frame.remaining_bytes == 0;
        if is_frame_complete && frame.fin {
            let opcode = if *is_text { Opcode::Text } else { Opcode::Binary };
            let found = Found {
                opcode,
                from: *message_start,
                to: *message_end,
            };
            self.assembly = None;
            return Ok(Collected::Message(found)); // the text is checked as a whole by the caller
        }
        if is_frame_complete {
            *frame_slot = None;
        }
        if *is_text {
            match simdutf8::compat::from_utf8(&self.buffer[*checked_end..*message_end]) {
                Ok(_) => *checked_end = *message_end,
                // The last character is incomplete, and could still become a valid one.
                Err(error) if error.error_len().is_none() => *checked_end += error.valid_up_to(),
                Err(error) => {
                    let offset = *checked_end - *message_start + error.valid_up_to();
                    return Err(WsError::InvalidUtf8 { offset });
                }
            }
        }
        Ok(if is_frame_complete {
            Collected::Fragment
        } else {
            Collected::Partial
        })
    }

    #[inline]
    fn make_room(&mut self, min: usize) {
        let unread_bytes = self.end - self.start;
        let mut wanted = min;
        match &self.assembly {
            None if unread_bytes == 0 => {
                self.base += self.start as u64;
                (self.start, self.end) = (0, 0);
            }
            // Keep to the warm end of a buffer that has grown. This moves no more than was consumed since the last time.
            None if self.start >= COMPACT_AFTER_BYTES && unread_bytes <= self.start => self.compact(),
            // More is known to come: do not creep towards it in small reads.
            Some(Assembly { frame: Some(frame), .. }) => wanted = min.max(frame.remaining_bytes.min(ROOM_BYTES / 2)),
            _ => {}
        }
        if self.buffer.len() - self.end < wanted {
            self.make_more_room(wanted);
        }
    }

    #[cold]
    fn make_more_room(&mut self, wanted: usize) {
        self.compact();
        let length = self.buffer.len();
        if length - self.end < wanted {
            let grown = length
                .saturating_mul(2)
                .max(self.end.saturating_add(wanted))
                .min(self.buffer_bytes_max);
            if grown > length {
                self.buffer.reserve_exact(grown - length);
                self.buffer.resize(grown, 0);
            }
        }
    }

    /// Closes the gaps: before the message in assembly, and between it and what is unread.
    fn compact(&mut self) {
        let mut unread_start = 0;
        if let Some(assembly) = &mut self.assembly {
            let Assembly {
                message_start,
                message_end,
                checked_end,
                ..
            } = assembly;
            let shift = *message_start;
            if shift > 0 {
                self.buffer.copy_within(*message_start..*message_end, 0);
                *message_start = 0;
                *message_end -= shift;
                *checked_end -= shift;
            }
            unread_start = *message_end;
        }
        if self.start > unread_start {
            self.buffer.copy_within(self.start..self.end, unread_start);
            let shift = self.start - unread_start;
            self.base += shift as u64;
            self.start -= shift;
            self.end -= shift;
        }
    }

    /// After the end: bytes that still come are dropped.
    #[cold]
    fn nothing_more(&mut self, over: Over) -> Result<Option<Message<'_>>, WsError> {
        self.start = self.end;
        self.assembly = None;
        match over {
            Over::Closed => Ok(None),
            Over::Failed(error) => Err(error),
        }
    }
}

enum Collected {
    /// The message is whole.
    Message(Found),
    /// The frame is, the message is not.
    Fragment,
    /// Neither.
    Partial,
}

/// The front of a frame (RFC 6455, 5.2).
struct Header {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    header_bytes: usize,
    payload_bytes: usize,
}

impl Header {
    /// The header at the front of `unread`, `None` if it is not all there. What can be refused is refused with the first
    /// byte that shows it.
    #[inline(always)]
    fn parse(unread: &[u8], role: Role, limits: &Limits) -> Result<Option<Self>, WsError> {
        let [first, second, rest @ ..] = unread else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(WsError::ReservedBits { bits: first >> 4 & 0x7 });
        }
        let opcode = match first & 0x0F {
            0x1 => Opcode::Text,
            0x0 => Opcode::Continuation,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            opcode => return Err(WsError::ReservedOpcode { opcode }),
        };
        let is_masked = second & 0x80 != 0;
        if is_masked != (role == Role::Server) {
            return Err(if is_masked { WsError::Masked } else { WsError::Unmasked });
        }
        let short_length = second & 0x7F;
        if opcode.is_control() {
            if !fin {
                return Err(WsError::FragmentedControl { opcode });
            }
            if usize::from(short_length) > CONTROL_PAYLOAD_BYTES_MAX {
                return Err(WsError::ControlTooLong { opcode });
            }
        }
        let (length, length_bytes) = match short_length {
            126 => {
                let Some(bytes) = rest.first_chunk::<2>() else {
                    return Ok(None);
                };
                let length = u64::from(u16::from_be_bytes(*bytes));
                if length < 126 {
                    return Err(WsError::NonMinimalLength {
                        length,
                        encoded_bits: 16,
                    });
                }
                (length, 2)
            }
            127 => {
                let Some(bytes) = rest.first_chunk::<8>() else {
                    return Ok(None);
                };
                let length = u64::from_be_bytes(*bytes);
                if length >> 63 != 0 {
                    return Err(WsError::LengthTopBit { length });
                }
                if length <= 0xFFFF {
                    return Err(WsError::NonMinimalLength {
                        length,
                        encoded_bits: 64,
                    });
                }
                (length, 8)
            }
            short => (u64::from(short), 0),
        };
        let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if !opcode.is_control() {
            if payload_bytes > limits.frame_bytes_max {
                return Err(WsError::FrameTooLong {
                    length,
                    limit: limits.frame_bytes_max,
                });
            }
            if payload_bytes > limits.message_bytes_max {
                return Err(WsError::MessageTooLong {
                    length,
                    limit: limits.message_bytes_max,
                });
            }
        }
        let mask = if is_masked {
            let Some(mask) = rest[length_bytes..].first_chunk::<4>() else {
                return Ok(None);
            };
            Some(*mask)
        } else {
            None
        };
        let header_bytes = 2 + length_bytes + if is_masked { 4 } else { 0 };
        Ok(Some(Self {
            fin,
            opcode,
            mask,
            header_bytes,
            payload_bytes,
        }))
    }
}

fn parse_close(payload: &[u8]) -> Result<Message<'_>, WsError> {
    match payload {
        [] => Ok(Message::Close { code: None, reason: "" }),
        [_] => Err(WsError::TruncatedCloseCode),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close_code::is_valid(code) {
                return Err(WsError::InvalidCloseCode { code });
            }
            let reason = simdutf8::basic::from_utf8(reason).map_err(|_| WsError::InvalidCloseReason)?;
            Ok(Message::Close {
                code: Some(code),
                reason,
            })
        }
    }
}

#[cold]
fn fail(over: &mut Option<Over>, error: WsError) -> WsError {
    *over = Some(Over::Failed(error));
    error
}

#[cold]
fn invalid_utf8(payload: &[u8]) -> WsError {
    let offset = simdutf8::compat::from_utf8(payload)
        .err()
        .map_or(payload.len(), |error| error.valid_up_to());
    WsError::InvalidUtf8 { offset }
}

/// What is unread moves to the front when at least this much was consumed before it.
const COMPACT_AFTER_BYTES: usize = 32 << 10;

/// What the buffer's ceiling has over the longest message: room for a header or control frame that is not all there
/// (at most 139 bytes after a drain), and to read into.
const ROOM_BYTES: usize = (64 << 10) + 256;

const _: () = assert!(ROOM_BYTES / 2 >= 14 + CONTROL_PAYLOAD_BYTES_MAX);
