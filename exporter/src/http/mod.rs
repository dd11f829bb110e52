//! A small blocking HTTP/1.1 server for documents: GET and HEAD, a thread per connection, a ceiling on everything.
//!
//! A scrape target has few clients, short answers and one duty: a client that is slow, broken or hostile must not cost
//! the next scrape. So every wait has a deadline (a handshake or head that drips in byte by byte, an answer that nobody
//! reads), a head has a size, connections and streams have numbers of their own, and a request with a body is refused
//! instead of read.
//!
//! The parts: [`head`] turns bytes into a [`Request`] and knows no socket, [`connection`] speaks to one client over any
//! [`Transport`](connection::Transport), [`socket`] and [`tls`] are the two there are, [`table`] counts who is connected
//! and decides who gives way, [`server`] owns listeners and threads. `tiny_http` was the first choice and
//! meets none of the ceilings: version 0.12 sends an answer in several writes with Nagle's algorithm on (tens of
//! milliseconds per scrape on a kept-alive connection), sets no time-out, and reads a head of any size.

pub mod connection;
pub mod head;
pub mod server;
pub mod socket;
pub mod table;
pub mod tls;

use std::borrow::Cow;
use std::io::Write as _;
use std::time::SystemTime;

/// What a client asked for; the body is never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path without its query, as it was sent (no percent-decoding).
    pub path: String,
    /// What follows the path's question mark, as it was sent; empty where there is none.
    pub query: String,
    /// The header lines with values that are text, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// HEAD: the answer's head alone will be sent.
    pub head_only: bool,
}

impl Request {
    /// The value of the first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter();
        lines.find(|line| line.0 == name).map(|line| line.1.as_str())
    }
}

/// Answers requests. Called from many threads.
pub trait Handler: Send + Sync {
    /// The answer to `request`.
    fn answer(&self, request: &Request) -> Answer;

    /// The last word on an answer that the server gives by itself, to what never became a request or found no place:
    /// here header lines are added that every answer is to have.
    fn refusal(&self, response: Response) -> Response {
        response
    }
}

impl<F: Fn(&Request) -> Response + Send + Sync> Handler for F {
    fn answer(&self, request: &Request) -> Answer {
        Answer::Whole(self(request))
    }
}

/// What a client gets.
pub enum Answer {
    /// A document.
    Whole(Response),
    /// A head (its body is not sent), and then what the stream yields until it ends or the client leaves.
    Stream(Response, Box<dyn Stream>),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

/// Bytes that come by and by, such as server-sent events.
pub trait Stream: Send {
    /// The next bytes. Waits for them, for a second or two at most: a comment line keeps a silent stream alive and finds
    /// out whether the client is still there. `None` ends the answer.
    fn next(&mut self) -> Option<Vec<u8>>;
}

/// A whole answer, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Header lines beside those that every answer has. One of a name that every answer has replaces it.
    pub headers: Vec<HeaderLine>,
    /// The body, sent with its length unless the request was HEAD.
    pub body: Vec<u8>,
}

/// Name and value of a header line; neither may hold a line's end.
pub type HeaderLine = (Cow<'static, str>, Cow<'static, str>);

/// Plain text for people.
pub const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    /// A line or more of plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: TEXT,
            headers: Vec::new(),
            body: body.into().into_bytes(),
        }
    }

    /// The same with another line in the head.
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether it has a header line of this name.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|line| line.0.eq_ignore_ascii_case(name))
    }

    /// Head and body in one buffer, so that one write sends both.
    pub fn to_bytes(&self, head_only: bool, keep_alive: bool, now: SystemTime) -> Vec<u8> {
        let mut bytes = self.head(Some(self.body.len()), keep_alive, now);
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// The head of an answer that ends where the connection does.
    pub fn to_stream_head(&self, now: SystemTime) -> Vec<u8> {
        self.head(None, false, now)
    }

    fn head(&self, body_len: Option<usize>, keep_alive: bool, now: SystemTime) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512 + body_len.unwrap_or(0));
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let length = body_len.map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
        write!(
            bytes,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{length}Date: {}\r\nConnection: {connection}\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            httpdate::fmt_http_date(now),
        )
        .expect("writing to a Vec cannot fail");
        let everywhere = EVERYWHERE.iter().filter(|line| !self.has_header(line.0));
        for (name, value) in everywhere {
            write!(bytes, "{name}: {value}\r\n").expect("writing to a Vec cannot fail");
        }
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {value}\r\n").expect("writing to a Vec cannot fail");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// What is read here changes by the second, and is what its type says.
const EVERYWHERE: [(&str, &str); 2] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
