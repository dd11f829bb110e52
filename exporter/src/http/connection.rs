//! One client: requests in, answers out, until one side has had enough.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use super::head::{self, HEAD_BYTES_MAX, Parsed};
use super::{Answer, Handler, Response, Stream};

/// A byte stream whose waits can be bounded.
pub trait Transport: Read + Write {
    /// The next reads fail after `limit`.
    fn set_read_limit(&mut self, limit: Duration) -> io::Result<()>;
    /// The next writes fail after `limit`.
    fn set_write_limit(&mut self, limit: Duration) -> io::Result<()>;
    /// Tells the client that nothing more will come.
    fn finish_writing(&mut self) -> io::Result<()>;
    /// Whether the client has gone, as far as can be told without waiting.
    fn client_left(&mut self) -> bool;
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For its next request on a connection that is kept open. Longer than the usual scrape intervals.
    pub idle: Duration,
    /// From a head's first byte to its last; and from a connection's beginning to the end of its TLS handshake.
    pub head: Duration,
    /// To take an answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(90),
            head: Duration::from_secs(5),
            answer: Duration::from_secs(10),
        }
    }
}

/// Told how far a connection is, so that one at rest can be told from one at work. Each answer is whether it may go on.
pub trait Activity {
    /// The first byte of a request has arrived.
    fn begin(&self) -> bool;
    /// Its head is whole, and it will be answered.
    fn answering(&self) -> bool;
    /// Its answer is a stream. `false`: there are too many of them.
    fn streaming(&self) -> bool;
    /// Asked between the parts of a stream.
    fn goes_on(&self) -> bool;
    /// Its answer is out.
    fn end(&self) -> bool;
}

/// Serves requests until the client leaves, errs or is too slow.
pub fn serve<T: Transport>(stream: &mut T, handler: &dyn Handler, patience: &Patience, activity: &dyn Activity) {
    let mut input = Input {
        bytes: vec![0; HEAD_BYTES_MAX],
        filled: 0,
    };
    loop {
        let (request, len, keep_alive) = match input.read_head(stream, patience, activity) {
            Head::Gone => return,
            Head::Refused(response) => {
                refuse(stream, handler, response, patience.answer);
                return;
            }
            Head::Request {
                request,
                len,
                keep_alive,
            } => (request, len, keep_alive),
        };
        input.consume(len);
        if !activity.answering() {
            return;
        }
        let response = match handler.answer(&request) {
            Answer::Whole(response) => response,
            Answer::Stream(response, _) if request.head_only => {
                let _ = send(stream, &response.to_stream_head(SystemTime::now()), patience.answer);
                let _ = stream.finish_writing();
                return;
            }
            Answer::Stream(response, source) if activity.streaming() => {
                follow(stream, &response, source, patience, activity);
                return;
            }
            Answer::Stream(..) => {
                let refused = Response::text(503, "all streams are taken, try again later\n");
                handler.refusal(refused.with_header("Retry-After", "10"))
            }
        };
        let bytes = response.to_bytes(request.head_only, keep_alive, SystemTime::now());
        if send(stream, &bytes, patience.answer).is_err() || !activity.end() || !keep_alive {
            return;
        }
    }
}

/// Sends a stream's head and then what it yields, until it ends, the server does, or the client has gone or does not read.
fn follow<T: Transport>(
    stream: &mut T,
    response: &Response,
    mut source: Box<dyn Stream>,
    patience: &Patience,
    activity: &dyn Activity,
) {
    let mut bytes = Some(response.to_stream_head(SystemTime::now()));
    while let Some(part) = bytes {
        if stream.client_left() || !activity.goes_on() || send(stream, &part, patience.answer).is_err() {
            return;
        }
        bytes = source.next();
    }
    let _ = stream.finish_writing();
}

/// Sends a refusal, and gives the client time to read it.
pub fn refuse<T: Transport>(stream: &mut T, handler: &dyn Handler, response: Response, limit: Duration) {
    let bytes = handler.refusal(response).to_bytes(false, false, SystemTime::now());
    if send(stream, &bytes, limit).is_ok() {
        drain(stream);
    }
}

/// Sends a refusal to a client that got no thread of its own.
pub fn turn_away<T: Transport>(stream: &mut T, handler: &dyn Handler, response: Response) {
    let bytes = handler.refusal(response).to_bytes(false, false, SystemTime::now());
    // One write into an empty socket buffer does not wait; nothing is drained, because this runs on the accepting thread.
    let _ = send(stream, &bytes, Duration::from_millis(100));
    let _ = stream.finish_writing();
}

enum Head {
    Request {
        request: super::Request,
        len: usize,
        keep_alive: bool,
    },
    Refused(Response),
    Gone,
}

/// Bytes that were received and belong to no answered request yet.
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    fn read_head<T: Transport>(&mut self, stream: &mut T, patience: &Patience, activity: &dyn Activity) -> Head {
        let mut deadline = Instant::now() + patience.idle;
        let mut begun = false;
        loop {
            if self.filled > 0 {
                if !begun {
                    begun = true;
                    deadline = Instant::now() + patience.head;
                    if !activity.begin() {
                        return Head::Gone;
                    }
                }
                match head::parse(&self.bytes[..self.filled]) {
                    Parsed::Partial => {}
                    Parsed::Complete {
                        request,
                        len,
                        keep_alive,
                    } => {
                        return Head::Request {
                            request,
                            len,
                            keep_alive,
                        };
                    }
                    Parsed::Refused(response) => return Head::Refused(response),
                }
            }
            match read_before(stream, &mut self.bytes[self.filled..], deadline) {
                Ok(0) => return Head::Gone,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == ErrorKind::TimedOut && begun => {
                    return Head::Refused(Response::text(408, "the request's head took too long\n"));
                }
                Err(_) => return Head::Gone,
            }
        }
    }

    fn consume(&mut self, len: usize) {
        self.bytes.copy_within(len..self.filled, 0);
        self.filled -= len;
    }
}

/// Writes `bytes` with one call where the stream takes them at once.
fn send<T: Transport>(stream: &mut T, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !bytes.is_empty() {
        stream.set_write_limit(remaining(deadline)?)?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    stream.set_write_limit(remaining(deadline)?)?;
    stream.flush()
}

/// Lets a client that is still sending read its refusal: closing a socket with unread input resets the connection, and
/// the reset may overtake the answer.
fn drain<T: Transport>(stream: &mut T) {
    let deadline = Instant::now() + Duration::from_millis(500);
    let mut left = 64 * 1024_usize;
    let mut scrap = [0; 4096];
    if stream.finish_writing().is_err() {
        return;
    }
    while left > 0 {
        match read_before(stream, &mut scrap, deadline) {
            Ok(0) | Err(_) => return,
            Ok(n) => left = left.saturating_sub(n),
        }
    }
}

fn read_before<T: Transport>(stream: &mut T, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_limit(remaining(deadline)?)?;
        match stream.read(into) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // What a socket says when its time-out has passed depends on the platform.
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            other => return other,
        }
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;
    use std::cell::Cell;
    use std::collections::VecDeque;

    /// A client that was recorded beforehand: its reads come in the given pieces, every write is kept apart.
    #[derive(Default)]
    struct Script {
        pieces: VecDeque<Vec<u8>>,
        writes: Vec<Vec<u8>>,
        finished: bool,
        stall_at_end: bool,
    }

    impl Read for Script {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.pieces.pop_front() else {
                return if self.stall_at_end {
                    Err(ErrorKind::WouldBlock.into())
                } else {
                    Ok(0)
                };
            };
            let n = piece.len().min(into.len());
            into[..n].copy_from_slice(&piece[..n]);
            if n < piece.len() {
                self.pieces.push_front(piece.split_off(n));
            }
            Ok(n)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Transport for Script {
        fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
            assert!(!limit.is_zero(), "a zero time-out means none");
            Ok(())
        }

        fn set_write_limit(&mut self, limit: Duration) -> io::Result<()> {
            assert!(!limit.is_zero(), "a zero time-out means none");
            Ok(())
        }

        fn finish_writing(&mut self) -> io::Result<()> {
            self.finished = true;
            Ok(())
        }

        fn client_left(&mut self) -> bool {
            false
        }
    }

    struct Count {
        begun: Cell<u32>,
        ended: Cell<u32>,
        parts_left: Cell<u32>,
    }

    impl Default for Count {
        fn default() -> Self {
            Self {
                begun: Cell::default(),
                ended: Cell::default(),
                parts_left: Cell::new(4),
            }
        }
    }

    impl Activity for Count {
        fn begin(&self) -> bool {
            self.begun.set(self.begun.get() + 1);
            true
        }

        fn answering(&self) -> bool {
            assert_eq!(self.begun.get(), self.ended.get() + 1);
            true
        }

        fn streaming(&self) -> bool {
            true
        }

        fn goes_on(&self) -> bool {
            self.parts_left.set(self.parts_left.get() - 1);
            self.parts_left.get() > 0
        }

        fn end(&self) -> bool {
            self.ended.set(self.ended.get() + 1);
            true
        }
    }

    fn echo(request: &Request) -> Response {
        Response::text(200, format!("{}\n", request.path).repeat(4000))
    }

    fn run(pieces: &[&[u8]], stall_at_end: bool) -> Script {
        let mut script = Script {
            pieces: pieces.iter().map(|p| p.to_vec()).collect(),
            stall_at_end,
            ..Script::default()
        };
        serve(&mut script, &echo, &Patience::default(), &Count::default());
        script
    }

    #[test]
    fn an_answer_is_one_write() {
        let script = run(&[b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"], false);
        assert_eq!(script.writes.len(), 1);
        let answer = String::from_utf8(script.writes[0].clone()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert_eq!(body.len(), 4000 * "/metrics\n".len());
    }

    #[test]
    fn a_head_request_gets_the_length_and_no_body() {
        let script = run(&[b"HEAD /m HTTP/1.1\r\nHost: a\r\n\r\n"], false);
        let answer = String::from_utf8(script.writes[0].clone()).unwrap();
        assert!(
            answer.ends_with("\r\n\r\n") && answer.contains("Content-Length: 12000\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn requests_cut_at_every_byte_are_answered_in_order() {
        let stream = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for cut in 0..=stream.len() {
            let pieces: Vec<&[u8]> = [&stream[..cut], &stream[cut..]]
                .into_iter()
                .filter(|p| !p.is_empty())
                .collect();
            let script = run(&pieces, false);
            assert_eq!(script.writes.len(), 2, "cut at {cut}");
            assert!(
                script.writes[0].ends_with(b"/a\n") && script.writes[1].ends_with(b"/b\n"),
                "cut at {cut}"
            );
        }
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(run(&bytewise, false).writes.len(), 2);
    }

    #[test]
    fn a_refusal_closes_the_connection_and_lets_the_client_read_it() {
        let script = run(
            &[
                b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
                b"GET / HTTP/1.1\r\n",
            ],
            false,
        );
        assert_eq!(script.writes.len(), 1);
        let answer = String::from_utf8(script.writes[0].clone()).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\r\nConnection: close\r\n"));
        assert!(
            script.finished && script.pieces.is_empty(),
            "what the client still sent was read away"
        );
    }

    #[test]
    fn a_client_that_stops_inside_a_head_is_told_and_one_that_never_began_is_not() {
        let script = run(&[b"GET / HTTP/1.1\r\nHo"], true);
        assert!(script.writes[0].starts_with(b"HTTP/1.1 408 "));
        assert!(run(&[], true).writes.is_empty());
    }

    #[test]
    fn every_request_begins_and_ends_once() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut script = Script {
            pieces: [request.to_vec(), request.to_vec()].into(),
            ..Script::default()
        };
        let count = Count::default();
        serve(&mut script, &echo, &Patience::default(), &count);
        assert_eq!((count.begun.get(), count.ended.get()), (2, 2));
    }

    #[test]
    fn a_stream_ends_with_its_source_or_when_it_may_not_go_on() {
        struct Numbers(u32);
        impl Stream for Numbers {
            fn next(&mut self) -> Option<Vec<u8>> {
                self.0 = self.0.checked_sub(1)?;
                Some(format!("{}\n", self.0).into_bytes())
            }
        }
        struct Counting(u32);
        impl Handler for Counting {
            fn answer(&self, _: &Request) -> Answer {
                Answer::Stream(Response::text(200, ""), Box::new(Numbers(self.0)))
            }
        }
        for (method, parts, sent) in [("GET", 2, "1\n0\n"), ("GET", 100, "99\n98\n"), ("HEAD", 2, "")] {
            let mut script = Script {
                pieces: [format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()].into(),
                ..Script::default()
            };
            serve(&mut script, &Counting(parts), &Patience::default(), &Count::default());
            let answer = String::from_utf8(script.writes.concat()).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains("Connection: close") && !head.contains("Content-Length"),
                "{head}"
            );
            assert_eq!((body, script.finished), (sent, parts == 2), "{method} {parts}");
        }
    }

    #[test]
    fn a_head_that_drips_does_not_outlive_its_deadline() {
        struct Drip(Vec<Vec<u8>>);
        impl Read for Drip {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(2));
                into[0] = b'a';
                Ok(1)
            }
        }
        impl Write for Drip {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Transport for Drip {
            fn set_read_limit(&mut self, _: Duration) -> io::Result<()> {
                Ok(())
            }
            fn set_write_limit(&mut self, _: Duration) -> io::Result<()> {
                Ok(())
            }
            fn finish_writing(&mut self) -> io::Result<()> {
                Err(ErrorKind::NotConnected.into())
            }
            fn client_left(&mut self) -> bool {
                false
            }
        }
        let patience = Patience {
            head: Duration::from_millis(20),
            ..Patience::default()
        };
        let mut drip = Drip(Vec::new());
        serve(&mut drip, &echo, &patience, &Count::default());
        assert!(
            drip.0[0].starts_with(b"HTTP/1.1 408 "),
            "{:?}",
            String::from_utf8_lossy(&drip.0[0])
        );
    }
}
