//! One connection and its thread: TLS, HTTP, then WebSocket; reads and writes without ever blocking on either.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{Sender, sync_channel};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll, Token};

use super::super::exchange::{ClientKey, End, RestReply};
use super::super::stats::{Counters, MessageKind};
use super::hub::{Command, VenueClock};
use super::outbox::Outbox;
use super::writer::{Flushed, Writer, invalid_data};
use crate::net::{RecordBuffer, TlsServer, TlsServerConfig};
use crate::ws::{Limits, Message, Opcode, Protocol, Request, ServerHandshake, encode_frame, write_response};

/// What every connection shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) hub: Sender<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: VenueClock,
    pub(super) tls: Option<TlsServerConfig>,
    pub(super) ping_interval: Duration,
    pub(super) pong_timeout: Duration,
    pub(super) is_stopping: Arc<AtomicBool>,
}

pub(super) struct Connection {
    stream: TcpStream,
    poll: Poll,
    outbox: Arc<Outbox>,
    shared: Shared,
    tls: Option<Tls>,
    writer: Writer,
    stage: Stage,
    /// The end that was reached, or that the peer brought about.
    is_over: bool,
    /// Both sides have said good-bye.
    is_polite: bool,
    /// Nothing is written any more, by a fault.
    is_mute: bool,
    /// What comes is not read any more, or read and forgotten, by a fault.
    hearing: Hearing,
    /// When to hang up, whatever the peer still says.
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    Heard,
    Unread,
    Swallowed,
}

struct Tls {
    server: TlsServer,
    input: RecordBuffer,
}

enum Stage {
    Http(ServerHandshake),
    WebSocket(Box<WebSocket>),
}

struct WebSocket {
    key: ClientKey,
    protocol: Protocol,
    next_ping: Instant,
    /// The payload of the ping that waits for its pong, and since when.
    awaited: Option<(Vec<u8>, Instant)>,
}

/// What a WebSocket message means to us, free of the buffer that it stood in.
enum Heard {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close,
    Ignored,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, poll: Poll, outbox: Arc<Outbox>, shared: Shared) -> io::Result<Self> {
        let tls = match &shared.tls {
            Some(config) => {
                let server = TlsServer::new(config).map_err(invalid_data)?;
                Some(Tls {
                    server,
                    input: RecordBuffer::new(RecordBuffer::BYTES_MIN),
                })
            }
            None => None,
        };
        Ok(Self {
            stream,
            poll,
            outbox,
            shared,
            tls,
            writer: Writer::default(),
            stage: Stage::Http(ServerHandshake::new()),
            is_over: false,
            is_polite: false,
            is_mute: false,
            hearing: Hearing::Heard,
            deadline: Some(Instant::now() + REQUEST_TIMEOUT),
        })
    }

    /// Serves until either side ends it.
    pub(super) fn run(mut self) {
        if let Err(error) = self.serve()
            && error.kind() == ErrorKind::InvalidData
            && self.shared.tls.is_some()
        {
            self.shared.counters.tls_failures.fetch_add(1, Relaxed);
            // The alert that says why, if it fits.
            let _ = self.flush();
        }
        if let Stage::WebSocket(socket) = &self.stage {
            let _ = self.shared.hub.send(Command::Disconnect { key: socket.key });
        }
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        // The socket may be readable already: edges of before the registration are not told.
        self.read()?;
        while !self.is_over {
            let is_stopping = self.shared.is_stopping.load(Acquire);
            if is_stopping && (self.is_mute || matches!(self.stage, Stage::Http(_))) {
                break;
            }
            self.take_outbox()?;
            self.ping()?;
            let has_written_all = self.flush()?;
            if self.is_over || is_stopping && has_written_all && self.deadline.is_none() {
                break;
            }
            if is_stopping && self.deadline.is_none() {
                self.deadline = Some(Instant::now() + DRAIN_TIMEOUT);
            }
            let timeout = self.next_timer().map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            let is_socket_ready = events.iter().any(|event| event.token() == SOCKET);
            if is_socket_ready {
                self.read()?;
            }
            // A frozen connection reads nothing, but need not outlive a client that has gone.
            self.is_over |= self.hearing == Hearing::Unread && events.iter().any(|event| event.is_read_closed());
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<Instant> {
        let ping = match &self.stage {
            Stage::WebSocket(socket) if !self.is_mute => Some(match socket.awaited {
                Some((_, since)) => socket.next_ping.min(since + self.shared.pong_timeout),
                None => socket.next_ping,
            }),
            _ => None,
        };
        let pace = self.writer.wake_at().filter(|_| !self.is_mute);
        [ping, pace, self.deadline].into_iter().flatten().min()
    }

    fn take_outbox(&mut self) -> io::Result<()> {
        match self.outbox.take() {
            Some(batch) => self.writer.push_batch(batch),
            // It did not read, and what it missed cannot be made good.
            None => self.is_over = true,
        }
        Ok(())
    }

    /// True if nothing waits to be written.
    fn flush(&mut self) -> io::Result<bool> {
        if self.is_mute || self.is_over {
            return Ok(true);
        }
        let now = Instant::now();
        let tls = self.tls.as_mut().map(|tls| &mut tls.server);
        match self
            .writer
            .flush(now, &mut self.stream, tls, &self.outbox, &self.shared.counters)?
        {
            Flushed::All => return Ok(true),
            Flushed::Blocked => {}
            Flushed::Ended(End::Cut) => {
                if let Some(tls) = self.tls.as_mut().filter(|_| self.is_polite) {
                    tls.server.close(self.writer.records()).map_err(invalid_data)?;
                    self.writer.flush(
                        now,
                        &mut self.stream,
                        Some(&mut tls.server),
                        &self.outbox,
                        &self.shared.counters,
                    )?;
                }
                self.is_over = true;
            }
            Flushed::Ended(end @ (End::Freeze | End::HalfOpen)) => {
                self.is_mute = true;
                self.hearing = match end {
                    End::HalfOpen => Hearing::Swallowed,
                    _ => Hearing::Unread,
                };
                self.deadline = None;
            }
            Flushed::Ended(End::Close) => {
                // A server waits a moment for the client's close, then hangs up (RFC 6455, 7.1.1).
                self.deadline = Some(Instant::now() + FAREWELL_TIMEOUT);
                self.is_over = matches!(self.stage, Stage::Http(_));
            }
        }
        Ok(false)
    }

    /// Reads all that is there.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0u8; 16 << 10];
        while !self.is_over && self.hearing != Hearing::Unread {
            let is_swallowed = self.hearing == Hearing::Swallowed;
            let result = match &mut self.tls {
                Some(tls) if !is_swallowed => self.stream.read(tls.input.space()),
                _ => self.stream.read(&mut buffer),
            };
            match result {
                Ok(0) => self.is_over = true,
                Ok(_) if is_swallowed => {}
                Ok(count) => match &mut self.tls {
                    None => self.receive(&buffer[..count])?,
                    Some(tls) => {
                        tls.input.commit(count);
                        let mut plain = Vec::new();
                        let decrypted = tls.server.decrypt(&mut tls.input, self.writer.records(), |bytes| {
                            plain.extend_from_slice(bytes);
                        });
                        let peer_closed = decrypted.map_err(invalid_data)?.peer_closed;
                        self.receive(&plain)?;
                        self.is_over |= peer_closed;
                    }
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Plain bytes have come.
    fn receive(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Stage::Http(handshake) = &mut self.stage {
            let request = match handshake.feed(std::mem::take(&mut bytes)) {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.answer(error.http_status(), error.to_string().as_bytes());
                    self.writer.push_end(End::Close);
                    return Ok(());
                }
            };
            let leftover = handshake.leftover().to_vec();
            if request.is_websocket() {
                if self.upgrade(&request) {
                    return self.hear(&leftover);
                }
                return Ok(());
            }
            self.rest(&request);
        }
        self.hear(bytes)
    }

    /// True if the connection is a WebSocket now.
    fn upgrade(&mut self, request: &Request) -> bool {
        let (reply, answer) = sync_channel(1);
        let command = Command::Connect {
            target: request.target.clone(),
            outbox: Arc::clone(&self.outbox),
            reply,
        };
        let result = match self.shared.hub.send(command) {
            Ok(()) => answer.recv().unwrap_or(Err(503)),
            Err(_) => Err(503),
        };
        match result {
            Ok(key) => {
                let mut head = Vec::new();
                let is_written = request.write_accept(None, &mut head);
                debug_assert!(is_written, "asked only for an upgrade");
                self.writer.push(head, None);
                self.deadline = None;
                self.shared.counters.websockets_opened.fetch_add(1, Relaxed);
                let limits = Limits {
                    frame_bytes_max: REQUEST_BYTES_MAX,
                    message_bytes_max: REQUEST_BYTES_MAX,
                    ..Limits::default()
                };
                self.stage = Stage::WebSocket(Box::new(WebSocket {
                    key,
                    protocol: Protocol::server(limits),
                    next_ping: Instant::now() + self.shared.ping_interval,
                    awaited: None,
                }));
                true
            }
            Err(status) => {
                self.answer(status, b"{}");
                self.writer.push_end(End::Close);
                false
            }
        }
    }

    fn rest(&mut self, request: &Request) {
        if request.method != "GET" {
            return self.answer(405, b"{\"code\":-1000,\"msg\":\"only GET\"}");
        }
        let (reply, answer) = sync_channel(1);
        let command = Command::Rest {
            target: request.target.clone(),
            reply,
        };
        let Some(reply) = self.shared.hub.send(command).ok().and_then(|()| answer.recv().ok()) else {
            return self.answer(503, b"{}");
        };
        self.deadline = Some(Instant::now() + REQUEST_TIMEOUT);
        let kind = match reply.snapshot_of {
            Some(_) => MessageKind::RestSnapshot,
            None => MessageKind::RestOther,
        };
        let RestReply {
            status,
            headers,
            body,
            snapshot_of,
            cut,
        } = reply;
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut out = Vec::new();
        let kept = cut.map_or(body.len(), |(kept, _)| kept);
        match cut {
            Some((_, true)) => write_response(status, &headers, &body[..kept], &mut out),
            _ => {
                write_response(status, &headers, &body, &mut out);
                out.truncate(out.len() - (body.len() - kept));
            }
        }
        self.writer.push(out, Some((kind, snapshot_of, kept)));
        if cut.is_some_and(|(_, is_length_right)| !is_length_right) {
            self.writer.push_end(End::Cut);
        }
    }

    fn answer(&mut self, status: u16, body: &[u8]) {
        let mut out = Vec::new();
        write_response(status, &[("Content-Type", "application/json")], body, &mut out);
        self.writer.push(out, Some((MessageKind::RestOther, None, body.len())));
    }

    /// Bytes of the WebSocket have come.
    fn hear(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Stage::WebSocket(socket) = &mut self.stage else {
            return Ok(());
        };
        loop {
            let taken = socket.protocol.append(bytes);
            bytes = &bytes[taken..];
            loop {
                let heard = match socket.protocol.next_message() {
                    Ok(None) => break,
                    Ok(Some(Message::Text(text))) => Heard::Text(text.to_owned()),
                    Ok(Some(Message::Ping(_))) => Heard::Ping,
                    Ok(Some(Message::Pong(payload))) => Heard::Pong(payload.to_vec()),
                    Ok(Some(Message::Close { .. })) => Heard::Close,
                    Ok(Some(Message::Binary(_))) => Heard::Ignored,
                    // The close frame that tells the rule is queued.
                    Err(_) => Heard::Close,
                };
                let outgoing = socket.protocol.outgoing().to_vec();
                socket.protocol.sent(outgoing.len());
                match heard {
                    Heard::Text(text) => {
                        let _ = self.shared.hub.send(Command::Text { key: socket.key, text });
                    }
                    Heard::Ping => {
                        let payload_bytes = outgoing.len().saturating_sub(2);
                        if !outgoing.is_empty() {
                            self.writer
                                .push(outgoing, Some((MessageKind::Pong, None, payload_bytes)));
                        }
                    }
                    Heard::Pong(payload) => {
                        if socket.awaited.as_ref().is_some_and(|(awaited, _)| *awaited == payload) {
                            socket.awaited = None;
                            self.shared.counters.pongs_received.fetch_add(1, Relaxed);
                        }
                    }
                    Heard::Close => {
                        if self.deadline.is_none() {
                            let payload_bytes = outgoing.len().saturating_sub(2);
                            self.writer
                                .push(outgoing, Some((MessageKind::Close, None, payload_bytes)));
                        }
                        self.is_polite = true;
                        self.writer.push_end(End::Cut);
                        return Ok(());
                    }
                    Heard::Ignored => {}
                }
            }
            if bytes.is_empty() || taken == 0 {
                return Ok(());
            }
        }
    }

    /// Pings when it is time, and drops a client that does not answer.
    fn ping(&mut self) -> io::Result<()> {
        let Stage::WebSocket(socket) = &mut self.stage else {
            return Ok(());
        };
        let now = Instant::now();
        if self.is_mute || self.deadline.is_some() {
            return Ok(());
        }
        if socket
            .awaited
            .as_ref()
            .is_some_and(|(_, since)| now.duration_since(*since) >= self.shared.pong_timeout)
        {
            self.shared.counters.silent_clients_dropped.fetch_add(1, Relaxed);
            self.is_over = true;
        } else if now >= socket.next_ping {
            socket.next_ping = now + self.shared.ping_interval;
            let payload = (self.shared.clock.now().0 / 1_000_000).to_string().into_bytes();
            let mut frame = Vec::new();
            encode_frame(true, Opcode::Ping, &payload, None, &mut frame);
            self.writer.push(frame, Some((MessageKind::Ping, None, payload.len())));
            // A client may answer only the latest ping; the patience counts from the first that got no answer.
            let since = socket.awaited.as_ref().map_or(now, |(_, since)| *since);
            socket.awaited = Some((payload, since));
        }
        Ok(())
    }
}

/// The token of the socket in a connection's poll, and of the waker.
pub(super) const SOCKET: Token = Token(0);
pub(super) const WAKE: Token = Token(1);
/// A connection without a request for so long is closed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what was said before the simulator stops may take to be written.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a close waits for its answer.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest message that a client may send.
const REQUEST_BYTES_MAX: usize = 256 << 10;
