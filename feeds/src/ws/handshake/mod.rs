//! The HTTP upgrade that opens a WebSocket (RFC 6455, 4), both sides.
//!
//! Both sides are fed whatever a socket gives and answer "not yet", the result, or a typed error. What follows the HTTP
//! head on the wire already belongs to the WebSocket: it stays in `leftover()` for the decoder.

mod client;
mod server;

pub use client::{Accepted, ClientHandshake, Refusal, UpgradeRequest};
pub use server::{Request, ServerHandshake, write_response};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// What should go into the request would break it in two: a line end, a space, a character that HTTP does not allow.
    #[error("{what} {value:?} cannot be put into an HTTP request")]
    InvalidRequest {
        /// Which part.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// A header that the handshake writes itself.
    #[error("header {name:?} belongs to the handshake and cannot be set")]
    ReservedHeader {
        /// The header's name.
        name: String,
    },
    /// These bytes are not HTTP.
    #[error("not HTTP")]
    Malformed(#[from] httparse::Error),
    /// The head did not end within the ceiling.
    #[error("HTTP head is over {limit} bytes")]
    HeadTooLong {
        /// The ceiling.
        limit: usize,
    },
    /// The peer closed before the handshake was over.
    #[error("connection closed after {received_bytes} bytes of the handshake")]
    ClosedEarly {
        /// What had come.
        received_bytes: usize,
    },
    /// HTTP/1.0, which knows no upgrade.
    #[error("HTTP/1.0 peer: a WebSocket needs HTTP/1.1")]
    OldHttp,
    /// The server answered with another status than 101.
    #[error("server answered {0}")]
    Refused(Box<Refusal>),
    /// 101, but without `Upgrade: websocket`.
    #[error("no `Upgrade: websocket` header")]
    MissingUpgrade,
    /// 101, but without `Connection: Upgrade`.
    #[error("no `Connection: Upgrade` header")]
    MissingConnection,
    /// The proof that the server understood the request is missing or wrong: something between us answered.
    #[error("`Sec-WebSocket-Accept` is {got:?}, expected {expected:?}: is there a proxy or a cache in the way?")]
    WrongAccept {
        /// What the key demands.
        expected: String,
        /// What came; empty if nothing did.
        got: String,
    },
    /// The server turned on an extension that was not offered: its frames could not be read.
    #[error("server turned on the extension {0:?}, which was not offered")]
    UnofferedExtension(String),
    /// The server chose a subprotocol that was not offered.
    #[error("server chose the subprotocol {0:?}, which was not offered")]
    UnofferedSubprotocol(String),
    /// A request that carries a body, which nothing here takes.
    #[error("HTTP request has a body")]
    UnexpectedBody,
    /// An upgrade by another method than GET.
    #[error("WebSocket upgrade by {0:?} instead of GET")]
    UpgradeByWrongMethod(String),
    /// An upgrade without a usable `Sec-WebSocket-Key`.
    #[error("`Sec-WebSocket-Key` is not 16 bytes in base64")]
    InvalidKey,
    /// An upgrade to a version other than 13.
    #[error("`Sec-WebSocket-Version` is {0:?}, only 13 is spoken here")]
    UnsupportedVersion(String),
    /// HTTP/1.1 demands exactly one `Host`.
    #[error("request has {count} `Host` headers instead of one")]
    WrongHost {
        /// How many there are.
        count: usize,
    },
}

impl HandshakeError {
    /// The HTTP status for a server to answer this fault with.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::HeadTooLong { .. } => 431,
            Self::Malformed(httparse::Error::TooManyHeaders) => 431,
            Self::OldHttp => 505,
            Self::UnexpectedBody => 413,
            Self::UpgradeByWrongMethod(_) => 405,
            Self::UnsupportedVersion(_) => 426,
            _ => 400,
        }
    }
}

/// What a server must answer to a key (RFC 6455, 4.2.2): base64 of SHA-1 of the key and a fixed string.
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Whether the comma-separated `list` has `token`, by ASCII case.
fn has_token(list: &str, token: &str) -> bool {
    tokens(list).any(|candidate| candidate.eq_ignore_ascii_case(token))
}

fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// Whether `name` is a token of RFC 9110, 5.6.2: what a header may be called.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether `value` can stand in a header line: printable ASCII, spaces and tabs.
fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// The values of a header that are text, in the order they came; others count as empty.
fn values<'a>(headers: &'a [httparse::Header<'_>], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
}

/// Received bytes up to a head's end, with a ceiling. Looks for the end only in what is new, so that a head that comes
/// byte by byte costs no more than one that comes at once.
#[derive(Debug, Default)]
struct HeadBuffer {
    bytes: Vec<u8>,
    scanned_bytes: usize,
}

impl HeadBuffer {
    /// Takes `bytes` in. True when a head may be complete: its empty line is there.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        let from = self.scanned_bytes.saturating_sub(3);
        self.scanned_bytes = self.bytes.len();
        let new = &self.bytes[from..];
        // A bare line feed ends a line as well, for httparse and for RFC 9112, 2.2.
        new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|triple| triple == b"\n\r\n")
    }

    fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.scanned_bytes = 0;
    }
}

/// The most headers that a head may have.
const HEADERS_MAX: usize = 64;

/// The most bytes that a head may have, on either side.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
