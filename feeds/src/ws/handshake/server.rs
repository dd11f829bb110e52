//! The server's side: requests come in, an upgrade or a plain HTTP answer goes out.
//!
//! One port serves both: the simulator answers REST snapshots where it answers WebSockets, as venues' test doubles do.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{HEAD_BYTES_MAX, HEADERS_MAX, HandshakeError, HeadBuffer, accept_of, has_token, tokens, values};

/// The head of one HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, and whatever else people try.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names as sent, and values, in order. A value that is not UTF-8 has its odd bytes replaced.
    pub headers: Vec<(String, String)>,
    /// What to answer to a WebSocket upgrade; `None` for a plain request.
    accept: Option<String>,
}

impl Request {
    /// The target up to the `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The target behind the `?`, empty if there is none. Not percent-decoded.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of the query parameter `name`, as sent.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    }

    /// The first header of that name, by ASCII case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether this asks for a WebSocket, and rightly so.
    pub fn is_websocket(&self) -> bool {
        self.accept.is_some()
    }

    /// The subprotocols that the client offers, the dearest first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offers = self
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
        offers.flat_map(|(_, value)| tokens(value))
    }

    /// Appends the answer that opens the WebSocket. `subprotocol` must be one of those offered. False, and nothing
    /// written, if the request was none for a WebSocket.
    #[must_use = "a request that is not for a WebSocket needs another answer"]
    pub fn write_accept(&self, subprotocol: Option<&str>, out: &mut Vec<u8>) -> bool {
        let Some(accept) = &self.accept else {
            return false;
        };
        let mut head =
            String::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        head.push_str(&format!("Sec-WebSocket-Accept: {accept}\r\n"));
        if let Some(subprotocol) = subprotocol {
            debug_assert!(
                self.subprotocols().any(|offered| offered == subprotocol),
                "only what was offered"
            );
            head.push_str(&format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"));
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        true
    }
}

/// Requests of one connection, until one of them makes it a WebSocket.
#[derive(Debug, Default)]
pub struct ServerHandshake {
    received: HeadBuffer,
}

impl ServerHandshake {
    /// Before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes received bytes and returns the next whole request. Several may have come at once: after a plain one was
    /// answered, call with nothing to see the next. Behind an accepted upgrade, [`leftover`](Self::leftover) belongs to
    /// the decoder.
    ///
    /// # Errors
    /// Answer with [`HandshakeError::http_status`] and hang up.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Request>, HandshakeError> {
        if !self.received.feed(bytes) {
            return self.check_ceiling().map(|()| None);
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = request.parse(&self.received.bytes)? else {
            return self.check_ceiling().map(|()| None);
        };
        if head_bytes > HEAD_BYTES_MAX {
            return Err(HandshakeError::HeadTooLong { limit: HEAD_BYTES_MAX });
        }
        let request = read_request(&request)?;
        self.received.consume(head_bytes);
        Ok(Some(request))
    }

    /// What came behind the last request.
    pub fn leftover(&self) -> &[u8] {
        &self.received.bytes
    }

    fn check_ceiling(&self) -> Result<(), HandshakeError> {
        if self.received.bytes.len() > HEAD_BYTES_MAX {
            return Err(HandshakeError::HeadTooLong { limit: HEAD_BYTES_MAX });
        }
        Ok(())
    }
}

fn read_request(request: &httparse::Request<'_, '_>) -> Result<Request, HandshakeError> {
    let headers = &*request.headers;
    let method = request.method.unwrap_or_default();
    if request.version != Some(1) {
        return Err(HandshakeError::OldHttp);
    }
    let host_count = values(headers, "Host").count();
    if host_count != 1 {
        return Err(HandshakeError::WrongHost { count: host_count });
    }
    let has_length = values(headers, "Content-Length").any(|length| length != "0");
    if has_length || values(headers, "Transfer-Encoding").next().is_some() {
        return Err(HandshakeError::UnexpectedBody);
    }
    let is_upgrade = values(headers, "Upgrade").any(|value| has_token(value, "websocket"));
    let accept = if is_upgrade {
        Some(check_upgrade(method, headers)?)
    } else {
        None
    };
    let owned = |header: &httparse::Header<'_>| {
        (
            header.name.to_owned(),
            String::from_utf8_lossy(header.value).trim().to_owned(),
        )
    };
    Ok(Request {
        method: method.to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        headers: headers.iter().map(owned).collect(),
        accept,
    })
}

/// The rules of RFC 6455, 4.2.1. Returns the value of `Sec-WebSocket-Accept`.
fn check_upgrade(method: &str, headers: &[httparse::Header<'_>]) -> Result<String, HandshakeError> {
    if method != "GET" {
        return Err(HandshakeError::UpgradeByWrongMethod(method.to_owned()));
    }
    if !values(headers, "Connection").any(|value| has_token(value, "upgrade")) {
        return Err(HandshakeError::MissingConnection);
    }
    let version = values(headers, "Sec-WebSocket-Version").next().unwrap_or_default();
    if version != "13" {
        return Err(HandshakeError::UnsupportedVersion(version.to_owned()));
    }
    let mut keys = values(headers, "Sec-WebSocket-Key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(HandshakeError::InvalidKey);
    };
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(accept_of(key)),
        _ => Err(HandshakeError::InvalidKey),
    }
}

/// Appends a plain HTTP/1.1 answer with its `Content-Length`. With a status that ends the connection, give
/// `("Connection", "close")` and hang up after it is written; for 426, `("Sec-WebSocket-Version", "13")` says why.
///
/// `headers` are trusted: they come from code, not from a peer.
pub fn write_response(status: u16, headers: &[(&str, &str)], body: &[u8], out: &mut Vec<u8>) {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n",
        reason_of(status),
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
