//! What a peer can do wrong once the connection is a WebSocket.

use super::{Opcode, close_code};

/// The peer broke a rule of the protocol, or went over a ceiling. The connection is over: nothing that follows can be
/// trusted to start at a frame's border. Send [`close_code`](Self::close_code), close, and connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// A reserved bit is set although no extension was negotiated.
    #[error("frame has reserved bits {bits:#05b} set, but no extension was negotiated")]
    ReservedBits {
        /// RSV1, RSV2, RSV3, from the highest.
        bits: u8,
    },
    /// An opcode that the standard keeps for later.
    #[error("frame has the reserved opcode {opcode:#x}")]
    ReservedOpcode {
        /// The four bits received.
        opcode: u8,
    },
    /// A server's frame must not be masked.
    #[error("server sent a masked frame")]
    Masked,
    /// A client's frame must be masked.
    #[error("client sent an unmasked frame")]
    Unmasked,
    /// The length does not use the shortest of the three encodings.
    #[error("payload length {length} is encoded in {encoded_bits} bits, which is not the shortest form")]
    NonMinimalLength {
        /// The length announced.
        length: u64,
        /// 16 or 64.
        encoded_bits: u8,
    },
    /// The highest bit of a 64-bit length must be zero.
    #[error("payload length {length:#x} has its highest bit set")]
    LengthTopBit {
        /// The length announced.
        length: u64,
    },
    /// A ping, pong or close without FIN.
    #[error("{opcode:?} frame is fragmented")]
    FragmentedControl {
        /// Which control frame.
        opcode: Opcode,
    },
    /// A ping, pong or close of more than 125 bytes.
    #[error("{opcode:?} frame announces more than 125 bytes")]
    ControlTooLong {
        /// Which control frame.
        opcode: Opcode,
    },
    /// A continuation without a message to continue.
    #[error("continuation frame, but no fragmented message is open")]
    UnexpectedContinuation,
    /// A new message before the last fragment of the previous one.
    #[error("{opcode:?} frame inside a fragmented message: a continuation was expected")]
    ExpectedContinuation {
        /// The frame that came instead.
        opcode: Opcode,
    },
    /// A text message is not UTF-8. Found as soon as the offending byte is in, however the message is cut.
    #[error("text message is not UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// Bytes of the message before the offending sequence.
        offset: usize,
    },
    /// A close frame of one byte: too short for a code.
    #[error("close frame has a payload of one byte")]
    TruncatedCloseCode,
    /// A close code that must not be sent.
    #[error("close frame has the invalid code {code}")]
    InvalidCloseCode {
        /// The code received.
        code: u16,
    },
    /// A close reason that is not UTF-8.
    #[error("close reason is not UTF-8")]
    InvalidCloseReason,
    /// The frame announces more than [`Limits::frame_bytes_max`](super::Limits).
    #[error("frame of {length} bytes is over the ceiling of {limit}; raise the frame ceiling if the venue is right")]
    FrameTooLong {
        /// The length announced.
        length: u64,
        /// The ceiling.
        limit: usize,
    },
    /// The fragments announced so far make more than [`Limits::message_bytes_max`](super::Limits).
    #[error(
        "message of at least {length} bytes is over the ceiling of {limit}; raise the message ceiling if the venue is right"
    )]
    MessageTooLong {
        /// The length known so far.
        length: u64,
        /// The ceiling.
        limit: usize,
    },
}

impl WsError {
    /// The code to put into the close frame that answers this fault (RFC 6455, 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 { .. } | Self::InvalidCloseReason => close_code::INVALID_PAYLOAD,
            Self::FrameTooLong { .. } | Self::MessageTooLong { .. } => close_code::MESSAGE_TOO_BIG,
            _ => close_code::PROTOCOL_ERROR,
        }
    }
}
