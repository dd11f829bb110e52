//! The WebSocket protocol (RFC 6455), sans-I/O, both roles.
//!
//! Nothing here owns a socket, reads a clock or asks the system for randomness: bytes go in, messages and bytes come
//! out. The engine is the client, the exchange simulator the server, and both use the same rules:
//!
//! - [`Decoder`] owns the one linear buffer that a socket is read into and cuts messages out of it *in place*: an
//!   unfragmented frame is a range of that buffer, never a copy.
//! - [`encode_frame`] writes a frame into a buffer of the caller's; [`Encoder`] adds the masking rule of the role.
//! - [`ClientHandshake`] and [`ServerHandshake`] do the HTTP upgrade.
//! - [`Protocol`] puts decoder and encoder together and answers what the protocol itself must answer: pings, the close
//!   handshake, and the close code that tells the peer which rule it broke.
//!
//! ```
//! use quantumflow_feeds::ws::{Limits, MaskSource, Message, Protocol};
//!
//! let mut server = Protocol::server(Limits::default());
//! let mut client = Protocol::client(Limits::default(), MaskSource::from_seed([7; 32]));
//!
//! client.send_text(r#"{"method":"SUBSCRIBE"}"#)?;
//! let spare = server.space(client.outgoing().len()); // a socket would be read into this
//! spare[..client.outgoing().len()].copy_from_slice(client.outgoing());
//! server.commit(client.outgoing().len());
//! client.sent(client.outgoing().len());
//!
//! assert_eq!(server.next_message()?, Some(Message::Text(r#"{"method":"SUBSCRIBE"}"#)));
//! assert_eq!(server.next_message()?, None); // not yet: read again
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No extension is offered or accepted: `permessage-deflate` costs microseconds per message and the venues do not ask
//! for it.

mod decoder;
mod encoder;
mod error;
pub mod handshake;
mod mask;
mod protocol;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Limits, Message};
pub use encoder::{ControlTooLong, Encoder, encode_close, encode_frame};
pub use error::WsError;
pub use handshake::{
    Accepted, ClientHandshake, HandshakeError, Refusal, Request, ServerHandshake, UpgradeRequest, write_response,
};
pub use mask::MaskSource;
pub use protocol::{Protocol, SendError};

/// Which end of the connection this is. A client masks what it sends, a server does not (RFC 6455, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that opened the connection: the engine.
    Client,
    /// The end that accepted it: the simulator.
    Server,
}

/// What a frame carries (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next piece of a fragmented message.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The peer is leaving.
    Close = 0x8,
    /// The peer wants a pong with the same payload.
    Ping = 0x9,
    /// The answer to a ping, or a sign of life.
    Pong = 0xA,
}

impl Opcode {
    /// Frames about the connection itself: at most 125 bytes, never fragmented, allowed between fragments.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The close codes that this code sends or has an opinion about (RFC 6455, 7.4 and the IANA registry).
pub mod close_code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The endpoint goes away: a restart, a page left.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The peer sent a kind of message that cannot be accepted.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// The message breaks a policy of the endpoint.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// The message is larger than the endpoint's ceiling.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// The server met a condition that it did not expect.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The service restarts: reconnect after a random delay.
    pub const SERVICE_RESTART: u16 = 1012;
    /// The service is overloaded: reconnect later, or elsewhere.
    pub const TRY_AGAIN_LATER: u16 = 1013;

    /// Whether a peer may put `code` into a close frame. 1004 to 1006 and 1015 are reserved for what never goes over
    /// the wire; 1016 to 2999 are nobody's yet; 3000 to 4999 belong to libraries and applications.
    pub fn is_valid(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// A control frame's payload is at most this long (RFC 6455, 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
