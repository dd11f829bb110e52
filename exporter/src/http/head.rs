//! From the first bytes of a request to what it asks for, or to why it is refused.

use super::{Request, Response};

/// Most bytes of a request's head: request line and header lines.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// What the bytes so far hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head has not ended yet.
    Partial,
    /// A request that can be answered.
    Complete {
        /// The request.
        request: Request,
        /// Bytes of its head; the next request starts there.
        len: usize,
        /// The client wants to send another request on this connection.
        keep_alive: bool,
    },
    /// A request that cannot be answered; the connection must be closed after this response, because where the next
    /// request would start is not known.
    Refused(Response),
}

/// Reads a head from the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        Ok(_) if !bytes.iter().take(HEAD_BYTES_MAX).any(|&b| b == b'\n') => {
            return refuse(
                414,
                "the head of a request may have 8192 bytes, and its first line alone is longer",
            );
        }
        Ok(_) => return refuse(431, "the head of a request may have 8192 bytes"),
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "a request may have 64 header lines"),
        Err(httparse::Error::Version) => return refuse(505, "this server speaks HTTP/1.0 and HTTP/1.1"),
        Err(error) => return refuse(400, &format!("not an HTTP request: {error}")),
    };
    let version_1_1 = head.version == Some(1);
    let lines = match Lines::read(head.headers) {
        Ok(lines) => lines,
        Err(why) => return refuse(400, why),
    };
    if lines.hosts > 1 || (version_1_1 && lines.hosts == 0) {
        return refuse(400, "a request needs one Host header");
    }
    // A resource with side effects does not exist here, so the method is judged before the path; and before the body,
    // which a client of another method may rightly send.
    let method = head.method.unwrap_or_default();
    if method != "GET" && method != "HEAD" {
        let body = format!("method {method:?} is not allowed here: use GET or HEAD\n");
        return Parsed::Refused(Response::text(405, body).with_header("Allow", "GET, HEAD"));
    }
    if lines.body {
        return refuse(413, "a GET or HEAD request with a body is not accepted");
    }
    let Some(path) = path_of(head.path.unwrap_or_default()) else {
        return refuse(400, "the request target must be a path or an http URL");
    };
    let request = Request {
        path: path.to_owned(),
        query: query_of(head.path.unwrap_or_default()).to_owned(),
        headers: text_lines(head.headers),
        head_only: method == "HEAD",
    };
    let keep_alive = !lines.close && (version_1_1 || lines.keep_alive);
    Parsed::Complete {
        request,
        len,
        keep_alive,
    }
}

fn refuse(status: u16, why: &str) -> Parsed {
    Parsed::Refused(Response::text(status, format!("{why}\n")))
}

/// The header lines that matter here.
#[derive(Default)]
struct Lines {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    body: bool,
}

impl Lines {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, &'static str> {
        let mut lines = Self::default();
        let mut length: Option<u64> = None;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                lines.hosts += 1;
            } else if is("connection") {
                for option in header.value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    lines.close |= option.eq_ignore_ascii_case(b"close");
                    lines.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("transfer-encoding") {
                lines.body = true;
            } else if is("content-length") {
                // Digits alone: `parse` would accept a sign, and two readings of one length are how requests are
                // smuggled past a proxy.
                let text = header.value.trim_ascii();
                let value = str::from_utf8(text)
                    .ok()
                    .filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
                let value = value
                    .and_then(|t| t.parse().ok())
                    .ok_or("Content-Length is not a number")?;
                if length.is_some_and(|earlier| earlier != value) {
                    return Err("two Content-Length headers contradict each other");
                }
                length = Some(value);
            }
        }
        lines.body |= length.is_some_and(|bytes| bytes > 0);
        Ok(lines)
    }
}

/// Lines whose values are text; the others are nobody's here.
fn text_lines(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let line = |header: &httparse::Header<'_>| {
        let value = str::from_utf8(header.value).ok()?;
        Some((header.name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    headers.iter().filter_map(line).collect()
}

/// What follows the first question mark of a request target, without a fragment, which no client should send.
fn query_of(target: &str) -> &str {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split_once('#').map_or(query, |(query, _)| query)
}

/// The path of a request target in origin form (`/metrics?a=b`) or absolute form (`https://host/metrics`).
fn path_of(target: &str) -> Option<&str> {
    let path = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => &rest[at..],
            _ => "/",
        }
    };
    Some(path.split(['?', '#']).next().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &str) -> u16 {
        match parse(head.as_bytes()) {
            Parsed::Complete { .. } => 200,
            Parsed::Partial => 0,
            Parsed::Refused(response) => response.status,
        }
    }

    #[test]
    fn requests_are_understood() {
        for (head, path, head_only, keep_alive) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "/metrics", false, true),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n", "/metrics", true, true),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
                "/",
                false,
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", "/", false, false),
            (
                "GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\n\r\n",
                "/",
                false,
                true,
            ),
            (
                "GET http://host:9187/metrics?x HTTP/1.1\r\nHost: host:9187\r\n\r\n",
                "/metrics",
                false,
                true,
            ),
            ("GET https://host/a HTTP/1.1\r\nHost: host\r\n\r\n", "/a", false, true),
            ("GET HTTP://host HTTP/1.1\r\nHost: host\r\n\r\n", "/", false, true),
            (
                "GET http://host?x=/metrics HTTP/1.1\r\nHost: host\r\n\r\n",
                "/",
                false,
                true,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                "/",
                false,
                true,
            ),
        ] {
            let Parsed::Complete {
                request,
                len,
                keep_alive: alive,
            } = parse(head.as_bytes())
            else {
                panic!("{head:?} was not understood: {:?}", parse(head.as_bytes()));
            };
            assert_eq!(
                (request.path.as_str(), request.head_only, alive),
                (path, head_only, keep_alive),
                "{head:?}"
            );
            assert_eq!(len, head.len());
        }
    }

    #[test]
    fn refusals_name_the_fault() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
        let exact = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(HEAD_BYTES_MAX - 27));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        assert_eq!(exact.len(), HEAD_BYTES_MAX);
        for (head, status) in [
            ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            (
                "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                405,
            ),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 413),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("\u{16}\u{3}\u{1}\u{2}\u{0}", 400),
            ("GET ftp://host/a HTTP/1.1\r\nHost: host\r\n\r\n", 400),
            (long.as_str(), 414),
            (many.as_str(), 431),
            (exact.as_str(), 200),
        ] {
            assert_eq!(status_of(head), status, "{:?}", &head[..head.len().min(80)]);
        }
    }

    #[test]
    fn a_head_is_partial_until_its_last_byte() {
        let head = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..end]), Parsed::Partial, "at byte {end}");
        }
        assert_eq!(status_of(head), 200);
    }

    #[test]
    fn a_full_buffer_without_an_end_is_refused() {
        let mut endless = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        endless.resize(HEAD_BYTES_MAX, b'x');
        assert!(matches!(parse(&endless[..HEAD_BYTES_MAX - 1]), Parsed::Partial));
        assert!(matches!(parse(&endless), Parsed::Refused(Response { status: 431, .. })));
        let target = [b"GET /".as_slice(), &[b'a'; HEAD_BYTES_MAX]].concat();
        assert!(matches!(
            parse(&target[..HEAD_BYTES_MAX]),
            Parsed::Refused(Response { status: 414, .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            parse(&bytes);
        }

        #[test]
        fn no_damaged_request_panics(at in 0usize..60, byte in proptest::num::u8::ANY) {
            let mut head = b"GET http://a/metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec();
            head[at] = byte;
            parse(&head);
        }
    }
}
