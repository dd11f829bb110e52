//! The client's side: one request, one answer that must prove that it is meant.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    HEAD_BYTES_MAX, HEADERS_MAX, HandshakeError, HeadBuffer, accept_of, has_token, is_field_value, is_token, tokens,
    values,
};

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeRequest<'a> {
    /// A name, an IPv4 address or an IPv6 address, with or without brackets; no port.
    pub host: &'a str,
    /// The port connected to. It goes into `Host` unless it is the default one: servers insist on both.
    pub port: u16,
    /// Whether the connection is TLS, whose default port is 443 instead of 80.
    pub is_tls: bool,
    /// Path and query, beginning with `/`. Any length.
    pub target: &'a str,
    /// More headers: `User-Agent`, `Origin`, an API key.
    pub headers: &'a [(&'a str, &'a str)],
    /// The subprotocols to offer, the dearest first. Usually none.
    pub subprotocols: &'a [&'a str],
}

/// The connection is a WebSocket now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The one of the offered subprotocols that the server chose.
    pub subprotocol: Option<String>,
}

/// The server answered something else than 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 429 asks to slow down, 451 says that the venue does not serve this place.
    pub status: u16,
    /// The words after the status, often empty.
    pub reason: String,
    /// `Retry-After`, if it is a number of seconds. As a date it is not understood.
    pub retry_after: Option<Duration>,
    /// `Location`, for a server that moved. It is not followed: a feed's address is configuration.
    pub location: Option<String>,
    /// The beginning of the body, at most 512 bytes, what is not printable replaced.
    pub excerpt: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if let Some(delay) = self.retry_after {
            write!(f, ", retry after {} s", delay.as_secs())?;
        }
        if let Some(location) = &self.location {
            write!(f, ", location {location}")?;
        }
        if !self.excerpt.is_empty() {
            write!(f, ": {}", self.excerpt)?;
        }
        Ok(())
    }
}

/// A request that was written, waiting for its answer.
#[derive(Debug)]
pub struct ClientHandshake {
    expected_accept: String,
    subprotocols: Vec<String>,
    received: HeadBuffer,
    /// A refusal whose body is still coming.
    refusal: Option<PendingRefusal>,
    accepted: Option<Accepted>,
}

#[derive(Debug)]
struct PendingRefusal {
    refusal: Refusal,
    /// Stop collecting here.
    excerpt_bytes: usize,
}

impl ClientHandshake {
    /// Appends the request to `out`. `key` is 16 fresh random bytes, from
    /// [`MaskSource::next_handshake_key`](crate::ws::MaskSource::next_handshake_key).
    ///
    /// # Errors
    /// A part of the request has characters that would break it, or is the handshake's own. Nothing was written.
    pub fn new(request: &UpgradeRequest<'_>, key: [u8; 16], out: &mut Vec<u8>) -> Result<Self, HandshakeError> {
        let host = request.host.trim_start_matches('[').trim_end_matches(']');
        let is_host_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:".contains(&byte);
        check(
            "host",
            request.host,
            !host.is_empty() && host.bytes().all(is_host_valid),
        )?;
        let target = request.target;
        check(
            "target",
            target,
            target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()),
        )?;
        for (name, value) in request.headers {
            check("header name", name, is_token(name))?;
            check("header value", value, is_field_value(value))?;
            if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return Err(HandshakeError::ReservedHeader {
                    name: (*name).to_owned(),
                });
            }
        }
        for subprotocol in request.subprotocols {
            check("subprotocol", subprotocol, is_token(subprotocol))?;
        }

        let key = STANDARD.encode(key);
        let default_port = if request.is_tls { 443 } else { 80 };
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: {open}{host}{close}");
        if request.port != default_port {
            head.push_str(&format!(":{}", request.port));
        }
        head.push_str("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
        head.push_str(&format!("Sec-WebSocket-Key: {key}\r\n"));
        if !request.subprotocols.is_empty() {
            head.push_str(&format!(
                "Sec-WebSocket-Protocol: {}\r\n",
                request.subprotocols.join(", ")
            ));
        }
        for (name, value) in request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());

        Ok(Self {
            expected_accept: accept_of(&key),
            subprotocols: request.subprotocols.iter().map(|&name| name.to_owned()).collect(),
            received: HeadBuffer::default(),
            refusal: None,
            accepted: None,
        })
    }

    /// Takes received bytes, all of them. `None`: read more. Once accepted, [`leftover`](Self::leftover) belongs to the
    /// decoder, and so does everything received later.
    ///
    /// # Errors
    /// There will be no WebSocket on this connection. A refusal waits for the beginning of its body, so give a time-out
    /// and call [`give_up`](Self::give_up).
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Accepted>, HandshakeError> {
        let may_be_complete = self.received.feed(bytes);
        if self.accepted.is_some() {
            return Ok(self.accepted.clone()); // the new bytes are the decoder's
        }
        if self.refusal.is_none() {
            if !may_be_complete {
                // A peer that does not speak HTTP at all is told from its first bytes.
                let front = &self.received.bytes[..self.received.bytes.len().min(HTTP_VERSION.len())];
                if !HTTP_VERSION.starts_with(front) {
                    return Err(HandshakeError::Malformed(httparse::Error::Version));
                }
                return self.check_ceiling().map(|()| None);
            }
            match self.parse_head()? {
                Some(accepted) => return Ok(Some(accepted)),
                None if self.refusal.is_none() => return self.check_ceiling().map(|()| None),
                None => {}
            }
        }
        match &self.refusal {
            Some(pending) if self.received.bytes.len() >= pending.excerpt_bytes => Err(self.give_up()),
            _ => Ok(None),
        }
    }

    /// What to report when the peer closed the connection, or time is up: the refusal as far as it came, or that the
    /// answer never did.
    pub fn give_up(&self) -> HandshakeError {
        match &self.refusal {
            Some(pending) => {
                let mut refusal = pending.refusal.clone();
                let body = &self.received.bytes[..self.received.bytes.len().min(EXCERPT_BYTES_MAX)];
                refusal.excerpt = printable(body);
                HandshakeError::Refused(Box::new(refusal))
            }
            None => HandshakeError::ClosedEarly {
                received_bytes: self.received.bytes.len(),
            },
        }
    }

    /// What came behind the answer: the first frames of the server.
    pub fn leftover(&self) -> &[u8] {
        if self.accepted.is_some() {
            &self.received.bytes
        } else {
            &[]
        }
    }

    /// Accepts, refuses, or notes a refusal whose body is still to come. `None` also if the head is not whole after all.
    fn parse_head(&mut self) -> Result<Option<Accepted>, HandshakeError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = response.parse(&self.received.bytes)? else {
            return Ok(None);
        };
        if head_bytes > HEAD_BYTES_MAX {
            return Err(HandshakeError::HeadTooLong { limit: HEAD_BYTES_MAX });
        }
        let status = response.code.unwrap_or(0);
        if status != 101 {
            let pending = PendingRefusal::new(status, &response);
            self.received.consume(head_bytes);
            self.refusal = Some(pending);
            return Ok(None);
        }
        if response.version != Some(1) {
            return Err(HandshakeError::OldHttp);
        }
        let subprotocol = self.check_accepted(response.headers)?;
        self.received.consume(head_bytes);
        let accepted = Accepted { subprotocol };
        self.accepted = Some(accepted.clone());
        Ok(Some(accepted))
    }

    /// The rules of RFC 6455, 4.1, for an answer of status 101. Returns the chosen subprotocol.
    fn check_accepted(&self, headers: &[httparse::Header<'_>]) -> Result<Option<String>, HandshakeError> {
        if !values(headers, "Upgrade").any(|value| has_token(value, "websocket")) {
            return Err(HandshakeError::MissingUpgrade);
        }
        if !values(headers, "Connection").any(|value| has_token(value, "upgrade")) {
            return Err(HandshakeError::MissingConnection);
        }
        let mut accepts = values(headers, "Sec-WebSocket-Accept");
        let (accept, second_accept) = (accepts.next().unwrap_or_default(), accepts.next());
        if accept != self.expected_accept || second_accept.is_some() {
            let got = second_accept.unwrap_or(accept).to_owned();
            return Err(HandshakeError::WrongAccept {
                expected: self.expected_accept.clone(),
                got,
            });
        }
        if let Some(extension) = values(headers, "Sec-WebSocket-Extensions").flat_map(tokens).next() {
            return Err(HandshakeError::UnofferedExtension(extension.to_owned()));
        }
        let mut chosen = values(headers, "Sec-WebSocket-Protocol").flat_map(tokens);
        let subprotocol = chosen.next();
        for name in subprotocol.into_iter().chain(chosen) {
            if Some(name) != subprotocol || !self.subprotocols.iter().any(|offered| offered == name) {
                return Err(HandshakeError::UnofferedSubprotocol(name.to_owned()));
            }
        }
        Ok(subprotocol.map(str::to_owned))
    }

    fn check_ceiling(&self) -> Result<(), HandshakeError> {
        if self.received.bytes.len() > HEAD_BYTES_MAX {
            return Err(HandshakeError::HeadTooLong { limit: HEAD_BYTES_MAX });
        }
        Ok(())
    }
}

impl PendingRefusal {
    fn new(status: u16, response: &httparse::Response<'_, '_>) -> Self {
        let first = |name| values(response.headers, name).next();
        // Without a length the body ends with the connection, or with a chunk: the beginning is all that is waited for.
        let excerpt_bytes = match first("Content-Length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => length.min(EXCERPT_BYTES_MAX),
            None if status / 100 == 1 || status == 204 || status == 304 => 0,
            None => EXCERPT_BYTES_MAX,
        };
        let refusal = Refusal {
            status,
            reason: response
                .reason
                .map(|reason| printable(reason.as_bytes()))
                .unwrap_or_default(),
            retry_after: first("Retry-After")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            location: first("Location").map(|location| printable(location.as_bytes())),
            excerpt: String::new(),
        };
        Self { refusal, excerpt_bytes }
    }
}

fn check(what: &'static str, value: &str, is_valid: bool) -> Result<(), HandshakeError> {
    if is_valid {
        Ok(())
    } else {
        Err(HandshakeError::InvalidRequest {
            what,
            value: value.to_owned(),
        })
    }
}

/// For a log line: one line, no control characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text
        .trim()
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character });
    text.collect()
}

const HTTP_VERSION: &[u8] = b"HTTP/1.";

/// How much of a refusal's body is worth a log line.
const EXCERPT_BYTES_MAX: usize = 512;

/// Headers that the request sets itself. `Sec-WebSocket-Extensions` is never offered.
const OWN_HEADERS: [&str; 9] = [
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
];
