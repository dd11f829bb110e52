//! Receive paths: WebSocket decode, parse, book. The same code runs on a stream in memory and on a socket.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use boomnet::stream::ReadHint;
use boomnet::ws::{Websocket, WebsocketFrame};
use fastwebsockets::{OpCode, Role as FastRole, WebSocket};
use futures_util::StreamExt;
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::venue::{Outbox, Session};
use quantumflow_feeds::ws::{Decoder, Limits, Message, Role};
use quantumflow_feeds::{Side, Stamps, SymbolId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as TungsteniteRole;

use super::parse::Parse;
use crate::rivals::DepthBook;
use crate::session::{self, CountingSink};

/// When each message was sent, and how long it took to be in the book. Shared with the sender.
#[derive(Debug)]
pub struct Probe {
    /// The clock of both threads starts here.
    pub start: Instant,
    /// Nanoseconds since `start` at which each message was given to the kernel.
    pub sent_ns: Arc<[AtomicU64]>,
    /// From there to the book, nanoseconds, in the order of the messages.
    pub latency_ns: Vec<u64>,
    /// The first message that counts.
    pub from: usize,
}

impl Probe {
    /// The message of that place is in the book.
    #[inline]
    pub fn applied(&mut self, message: usize) {
        if message < self.from {
            return;
        }
        let now_ns = self.start.elapsed().as_nanos() as u64;
        // Acquire: pairs with the sender's Release, which comes before the bytes that were just read.
        let sent_ns = self.sent_ns[message].load(Ordering::Acquire);
        self.latency_ns.push(now_ns.saturating_sub(sent_ns));
    }
}

/// What is done with the payloads that a WebSocket library hands out.
pub trait Work {
    /// The next message.
    fn message(&mut self, payload: &[u8]);
    /// The next message, for parsers that work in place.
    fn message_mut(&mut self, payload: &mut [u8]);
    /// Messages that were handed out so far.
    fn applied(&self) -> usize;
    /// All levels, best first.
    fn levels(&self, side: Side) -> Vec<(i64, i64)>;
    /// Where latencies go, if they are asked for.
    fn probe(&mut self) -> &mut Option<Probe>;
}

/// Parser and book behind a WebSocket library.
#[derive(Default)]
pub struct Pipeline<P, B> {
    parser: P,
    book: B,
    applied: usize,
    probe: Option<Probe>,
}

impl<P: Parse, B: DepthBook> Pipeline<P, B> {
    #[inline]
    fn count(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.applied(self.applied);
        }
        self.applied += 1;
    }
}

impl<P: Parse, B: DepthBook> Work for Pipeline<P, B> {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        let book = &mut self.book;
        self.parser
            .parse(payload, |side, price, quantity| book.set(side, price, quantity));
        self.count();
    }

    #[inline]
    fn message_mut(&mut self, payload: &mut [u8]) {
        let book = &mut self.book;
        self.parser
            .parse_mut(payload, |side, price, quantity| book.set(side, price, quantity));
        self.count();
    }

    #[inline]
    fn applied(&self) -> usize {
        self.applied
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        self.book.levels(side)
    }

    fn probe(&mut self) -> &mut Option<Probe> {
        &mut self.probe
    }
}

/// One engine on one connection.
pub trait Receive {
    /// Reads until at least `target` messages are in the book, and returns how many are: a read may bring more.
    fn receive(&mut self, target: usize) -> usize;
    /// All levels, best first.
    fn levels(&self, side: Side) -> Vec<(i64, i64)>;
    /// Asks for latencies.
    fn set_probe(&mut self, probe: Probe);
    /// The probe back, with its latencies.
    fn take_probe(&mut self) -> Option<Probe>;
}

macro_rules! work_access {
    () => {
        fn levels(&self, side: Side) -> Vec<(i64, i64)> {
            self.work.levels(side)
        }

        fn set_probe(&mut self, probe: Probe) {
            *self.work.probe() = Some(probe);
        }

        fn take_probe(&mut self) -> Option<Probe> {
            self.work.probe().take()
        }
    };
}

/// tokio-tungstenite on a current-thread runtime.
pub struct Tungstenite<S, W> {
    runtime: Runtime,
    socket: WebSocketStream<S>,
    work: W,
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Work> Tungstenite<S, W> {
    /// On a connection after its handshake.
    pub fn new(runtime: Runtime, stream: S, work: W) -> Self {
        let socket = runtime.block_on(WebSocketStream::from_raw_socket(stream, TungsteniteRole::Client, None));
        Self { runtime, socket, work }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Work> Receive for Tungstenite<S, W> {
    fn receive(&mut self, target: usize) -> usize {
        let Self { runtime, socket, work } = self;
        runtime.block_on(async {
            while work.applied() < target {
                let message = socket
                    .next()
                    .await
                    .expect("the sender sends them all")
                    .expect("a frame of ours");
                if message.is_text() {
                    work.message(message.into_data().as_ref());
                }
            }
        });
        work.applied()
    }

    work_access!();
}

/// fastwebsockets on a current-thread runtime.
pub struct Fast<S, W> {
    runtime: Runtime,
    socket: WebSocket<S>,
    work: W,
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Work> Fast<S, W> {
    /// On a connection after its handshake.
    pub fn new(runtime: Runtime, stream: S, work: W) -> Self {
        let socket = WebSocket::after_handshake(stream, FastRole::Client);
        Self { runtime, socket, work }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Work> Receive for Fast<S, W> {
    fn receive(&mut self, target: usize) -> usize {
        let Self { runtime, socket, work } = self;
        runtime.block_on(async {
            while work.applied() < target {
                let mut frame = socket.read_frame().await.expect("a frame of ours");
                if frame.opcode == OpCode::Text {
                    work.message_mut(frame.payload.to_mut());
                }
            }
        });
        work.applied()
    }

    work_access!();
}

/// boomnet, polled without waiting.
pub struct Boomnet<S, W> {
    socket: Websocket<S>,
    work: W,
}

impl<S: Read + std::io::Write + ReadHint, W: Work> Boomnet<S, W> {
    /// On a connection after its handshake.
    pub fn new(stream: S, work: W) -> Self {
        Self {
            socket: Websocket::new_with_handshake_complete(stream),
            work,
        }
    }
}

impl<S: Read + std::io::Write + ReadHint, W: Work> Receive for Boomnet<S, W> {
    fn receive(&mut self, target: usize) -> usize {
        while self.work.applied() < target {
            let batch = self.socket.read_batch().expect("a read of ours");
            for frame in batch {
                if let WebsocketFrame::Text(_, payload) = frame.expect("a frame of ours") {
                    self.work.message(payload);
                }
            }
        }
        self.work.applied()
    }

    work_access!();
}

/// Ours, polled without waiting.
pub struct Own<S, W> {
    stream: S,
    decoder: Decoder,
    work: W,
}

impl<S: Read, W: Work> Own<S, W> {
    /// On a connection after its handshake.
    pub fn new(stream: S, work: W) -> Self {
        Self {
            stream,
            decoder: Decoder::new(Role::Client, Limits::default()),
            work,
        }
    }
}

/// The least room that a read is given.
const READ_BYTES_MIN: usize = 4 << 10;

impl<S: Read, W: Work> Receive for Own<S, W> {
    fn receive(&mut self, target: usize) -> usize {
        while self.work.applied() < target {
            match self.stream.read(self.decoder.space(READ_BYTES_MIN)) {
                Ok(0) => panic!("the sender hung up"),
                Ok(filled) => self.decoder.commit(filled),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("a read of ours failed: {error}"),
            }
            while let Some(message) = self.decoder.next_message().expect("a frame of ours") {
                if let Message::Text(text) = message {
                    self.work.message(text.as_bytes());
                }
            }
        }
        self.work.applied()
    }

    work_access!();
}

/// Ours as the engine runs it: the session checks the chain of update ids, keeps the book and calls a sink.
pub struct OwnSession<S> {
    stream: S,
    decoder: Decoder,
    session: Session,
    sink: CountingSink,
    outbox: Outbox,
    /// Messages that were shown before the first frame.
    shown_before: usize,
}

impl<S: Read> OwnSession<S> {
    /// On a connection after its handshake whose first diff follows `snapshot_id`.
    pub fn new(stream: S, snapshot_id: u64) -> Self {
        let (session, sink) = session::live(snapshot_id);
        Self {
            stream,
            decoder: Decoder::new(Role::Client, Limits::default()),
            session,
            shown_before: sink.books,
            sink,
            outbox: Outbox::new(),
        }
    }
}

impl<S: Read> Receive for OwnSession<S> {
    fn receive(&mut self, target: usize) -> usize {
        while self.sink.books - self.shown_before < target {
            match self.stream.read(self.decoder.space(READ_BYTES_MIN)) {
                Ok(0) => panic!("the sender hung up"),
                Ok(filled) => self.decoder.commit(filled),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert_eq!(self.sink.trouble, None);
                    continue;
                }
                Err(error) => panic!("a read of ours failed: {error}"),
            }
            while let Some(message) = self.decoder.next_message().expect("a frame of ours") {
                if let Message::Text(text) = message {
                    let mut stamps = Stamps::default();
                    let (sink, outbox) = (&mut self.sink, &mut self.outbox);
                    self.session
                        .on_frame(text.as_bytes(), &mut stamps, NoClock, sink, outbox);
                }
            }
        }
        self.sink.books - self.shown_before
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        let scale = self.session.instruments()[0].scale;
        let book = self.session.book(SymbolId(0)).expect("a live session shows its book");
        let cents = |price: i64| price * 100 / 10_i64.pow(scale.price.into());
        let lots = |qty: i64| qty * 10_i64.pow(8 - u32::from(scale.qty));
        book.levels(side)
            .map(|level| (cents(level.price.0), lots(level.qty.0)))
            .filter(|&(price, _)| price != session::SNAPSHOT_BID && price != session::SNAPSHOT_ASK)
            .collect()
    }

    fn set_probe(&mut self, _: Probe) {}

    fn take_probe(&mut self) -> Option<Probe> {
        None
    }
}
