//! A venue's session on the connection that carries it, or on two.
//!
//! [`Feed::poll`] is what a hot thread calls when a socket may have something: it reads, cuts frames and gives them to
//! the session. [`Feed::settle`] then sends what the session wants sent. Making connections and fetching snapshots
//! block, so both are somebody else's work: the feed says that it wants them and is given the results.

mod succession;

use crate::clock::{Clock, Ticks};
use crate::event::{FeedEvent, FrameFault, Sink, SnapshotFault, Stamps};
use crate::net::{Connection, ConnectionError, Drained, Poller};
use crate::types::{Instrument, Line, SymbolId, UnixNanos};
use crate::venue::{Checkpoint, Outbox, ReconnectReason, RestSnapshot, Session, SnapshotRequest};
use crate::ws::{Message, SendError, WsError};

use succession::Succession;
pub use succession::{LinePlan, LineStep};

/// How many reads one [`Feed::poll`] does at the most, so that a burst on one connection cannot keep the others waiting.
const READS_PER_POLL: u32 = 16;

/// Takes the raw input of a feed, for a capture. Called on the hot thread: must not allocate, lock or wait.
pub trait Tap {
    /// What comes next is of this line.
    fn turn_to(&mut self, _line: Line) {}
    /// A connection was opened.
    fn opened(&mut self, _at: UnixNanos) {}
    /// It is gone.
    fn closed(&mut self, _at: UnixNanos) {}
    /// A text message came.
    fn frame(&mut self, _at: UnixNanos, _text: &[u8]) {}
    /// A REST snapshot came.
    fn snapshot(&mut self, _at: UnixNanos, _symbol: &str, _body: &[u8]) {}
    /// We sent a text message.
    fn sent(&mut self, _at: UnixNanos, _text: &str) {}
    /// Some time has passed: what was gathered may be handed on.
    fn flush(&mut self) {}
}

/// Nothing is captured.
impl Tap for () {}

impl<T: Tap> Tap for Option<T> {
    #[inline]
    fn turn_to(&mut self, line: Line) {
        if let Some(tap) = self {
            tap.turn_to(line);
        }
    }

    fn opened(&mut self, at: UnixNanos) {
        self.iter_mut().for_each(|tap| tap.opened(at));
    }

    fn closed(&mut self, at: UnixNanos) {
        self.iter_mut().for_each(|tap| tap.closed(at));
    }

    #[inline]
    fn frame(&mut self, at: UnixNanos, text: &[u8]) {
        if let Some(tap) = self {
            tap.frame(at, text);
        }
    }

    fn snapshot(&mut self, at: UnixNanos, symbol: &str, body: &[u8]) {
        self.iter_mut().for_each(|tap| tap.snapshot(at, symbol, body));
    }

    fn sent(&mut self, at: UnixNanos, text: &str) {
        self.iter_mut().for_each(|tap| tap.sent(at, text));
    }

    fn flush(&mut self) {
        self.iter_mut().for_each(Tap::flush);
    }
}

/// One connection's worth of a venue, carried by one line or by two.
pub struct Feed {
    session: Session,
    lines: [Option<Box<Connection>>; 2],
    succession: Succession,
    outbox: Outbox,
}

/// A line, and its slot in the poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSlot {
    /// Which line of the feed.
    pub line: Line,
    /// Where the poller has its connection.
    pub slot: usize,
}

impl LineSlot {
    /// The only line of the only feed.
    pub const ONLY: Self = Self {
        line: Line::First,
        slot: 0,
    };
}

/// What a poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages that were given to the session.
    pub frames: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// When the last read returned, by the wall clock; zero if nothing was read.
    pub last_read: UnixNanos,
}

/// Why a connection has to be replaced.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The peer closed it; cleanly, or by cutting the line.
    #[error("the venue closed the connection (cleanly: {is_clean})")]
    Closed {
        /// A close frame or a TLS `close_notify` said so first.
        is_clean: bool,
    },
    /// It failed.
    #[error(transparent)]
    Failed(#[from] ConnectionError),
    /// The peer broke the WebSocket protocol.
    #[error(transparent)]
    Protocol(#[from] WsError),
    /// Nothing more can be sent.
    #[error("cannot send")]
    Send(#[from] SendError),
    /// The session wants a new one.
    #[error("the session asked for a new connection: {0:?}")]
    Wanted(ReconnectReason),
    /// Its successor carries everything: it was replaced before the venue would have ended it.
    #[error("replaced by its successor")]
    Succeeded,
}

impl Lost {
    /// A short name, as in a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Closed { is_clean: true } => "closed",
            Self::Closed { is_clean: false } => "cut",
            Self::Failed(ConnectionError::Io(_)) => "io",
            Self::Failed(ConnectionError::Tls(_)) => "tls",
            Self::Failed(ConnectionError::Ws(_) | ConnectionError::Undrained) | Self::Protocol(_) => "protocol",
            Self::Send(_) => "send",
            Self::Wanted(ReconnectReason::ServerShutdown) => "server_shutdown",
            Self::Wanted(ReconnectReason::Silent) => "silent",
            Self::Wanted(ReconnectReason::NotAcknowledged) => "not_acknowledged",
            Self::Succeeded => "succeeded",
        }
    }

    /// Every [`reason`](Self::reason).
    pub const REASONS: [&str; 10] = [
        "closed",
        "cut",
        "io",
        "tls",
        "protocol",
        "send",
        "server_shutdown",
        "silent",
        "not_acknowledged",
        "succeeded",
    ];
}

impl Feed {
    /// A feed without a connection. A plan for more than one line at a time has no effect where the venue's ids differ
    /// from connection to connection.
    pub fn new(session: Session, plan: LinePlan) -> Self {
        let plan = match session.venue().facts().shares_ids {
            true => plan,
            false => LinePlan::SINGLE,
        };
        Self {
            session,
            lines: [None, None],
            succession: Succession::new(plan),
            outbox: Outbox::new(),
        }
    }

    /// What the session knows and shows.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The instruments, in the order of their ids.
    pub fn instruments(&self) -> &[Instrument] {
        self.session.instruments()
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.lines.iter().any(Option::is_some)
    }

    /// How many connections there are.
    pub fn line_count(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    /// Takes over a ready connection, which the caller has added to its poller, and subscribes. This line has none
    /// before: [`detach`](Self::detach) comes first.
    pub fn attach(
        &mut self,
        line: Line,
        connection: Box<Connection>,
        now: UnixNanos,
        tap: &mut impl Tap,
        sink: &mut impl Sink,
    ) {
        debug_assert!(
            self.lines[line.index()].is_none(),
            "the old connection is detached first"
        );
        self.lines[line.index()] = Some(connection);
        self.succession.on_open(line, now);
        tap.turn_to(line);
        tap.opened(now);
        self.session.select(line);
        self.session.on_open(now, sink, &mut self.outbox);
    }

    /// Gives a connection up: unless the other line carries them, no book is shown until the next one has brought it
    /// back.
    pub fn detach(
        &mut self,
        line: Line,
        now: UnixNanos,
        tap: &mut impl Tap,
        sink: &mut impl Sink,
    ) -> Option<Box<Connection>> {
        let connection = self.lines[line.index()].take()?;
        self.succession.on_close(line);
        tap.turn_to(line);
        tap.closed(now);
        if !self.is_connected() {
            self.outbox.clear();
        }
        self.session.select(line);
        self.session.on_close(sink);
        Some(connection)
    }

    /// What is to be done about the lines themselves: a successor dialled, or one given up that has its successor. To be
    /// asked now and then, and done at once.
    pub fn next_step(&mut self, now: UnixNanos) -> Option<LineStep> {
        let session = &self.session;
        self.succession.next_step(now, |line| session.standing(line))
    }

    /// Whether this line is to be dialled again when it is lost.
    pub fn is_wanted(&self, line: Line) -> bool {
        self.succession.is_wanted(line)
    }

    /// Reads what the socket of a line, in this slot of the poller, has, within a budget, and works it off.
    ///
    /// `wall` turns a reading of `clock` into the wall-clock time of the read.
    ///
    /// # Errors
    /// The connection is over: detach it and order a new one. What came before the end was worked off.
    #[inline]
    pub fn poll<C: Clock, S: Sink>(
        &mut self,
        LineSlot { line, slot }: LineSlot,
        poller: &mut Poller,
        clock: C,
        wall: impl Fn(Ticks) -> UnixNanos,
        tap: &mut impl Tap,
        sink: &mut S,
    ) -> Result<Progress, (Progress, Lost)> {
        let mut progress = Progress::default();
        let Some(connection) = self.lines[line.index()].as_deref_mut() else {
            return Ok(progress);
        };
        let (session, outbox) = (&mut self.session, &mut self.outbox);
        session.select(line);
        tap.turn_to(line);
        let mut read_started = clock.ticks();
        let drained = poller.drain(slot, connection, &clock, READS_PER_POLL, |connection, read| {
            let receive_time = wall(read.read);
            progress.last_read = receive_time;
            let mut stamps = Stamps {
                kernel: read.kernel,
                receive_time,
                read_started,
                read: read.read,
                decrypted: read.decrypted,
                frame_started: read.decrypted,
                ..Stamps::default()
            };
            while let Some(message) = connection.next_message()? {
                match message {
                    Message::Text(text) => {
                        stamps.framed = clock.ticks();
                        progress.frames += 1;
                        progress.bytes += text.len() as u64;
                        tap.frame(receive_time, text.as_bytes());
                        session.on_frame(text.as_bytes(), &mut stamps, clock, sink, outbox);
                        stamps.frame_started = clock.ticks();
                    }
                    Message::Binary(bytes) => {
                        progress.frames += 1;
                        progress.bytes += bytes.len() as u64;
                        sink.on_event(FeedEvent::FrameRejected {
                            reason: FrameFault::Binary,
                        });
                    }
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Close { .. } => {
                        // The echo is on its way; whether it arrives is the peer's business.
                        let _ = connection.flush();
                        return Err(Lost::Closed { is_clean: true });
                    }
                }
            }
            read_started = clock.ticks();
            Ok(())
        });
        match drained {
            Ok(Drained::Empty | Drained::BudgetSpent) => Ok(progress),
            Ok(Drained::Closed { is_clean }) => Err((progress, Lost::Closed { is_clean })),
            Err(lost) => Err((progress, lost)),
        }
    }

    /// Gives the session the REST snapshot that it ordered, or the news that there is none. In the snapshot is then the
    /// book that was replaced.
    pub fn snapshot<C: Clock, S: Sink>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&mut RestSnapshot, SnapshotFault>,
        now: UnixNanos,
        clock: C,
        tap: &mut impl Tap,
        sink: &mut S,
    ) {
        if !self.is_connected() {
            return;
        }
        if let (Ok(snapshot), Some(instrument)) = (&reply, self.session.instruments().get(symbol.index())) {
            tap.snapshot(now, &instrument.symbol, &snapshot.body);
        }
        let book = reply.and_then(|snapshot| snapshot.book.as_mut().map_err(|fault| *fault));
        let at = clock.ticks();
        let mut stamps = Stamps {
            kernel: None,
            receive_time: now,
            read_started: at,
            read: at,
            decrypted: at,
            frame_started: at,
            framed: at,
            parsed: at,
            booked: at,
        };
        self.session
            .on_rest_book(symbol, book, &mut stamps, clock, sink, &mut self.outbox);
    }

    /// Gives the session the REST book that it ordered to hold a shown one against, or the news that there is none.
    pub fn checkpoint(
        &mut self,
        symbol: SymbolId,
        reply: Result<&Checkpoint, SnapshotFault>,
        now: UnixNanos,
        sink: &mut impl Sink,
    ) {
        if self.is_connected() {
            self.session.on_checkpoint(symbol, reply, now, sink, &mut self.outbox);
        }
    }

    /// Lets time pass: retries, pings, subscriptions that were never answered.
    pub fn tick(&mut self, now: UnixNanos, sink: &mut impl Sink) {
        if self.is_connected() {
            self.session.on_timer(now, sink, &mut self.outbox);
        }
    }

    /// Sends what the session wants sent and what the protocol itself has queued, and passes on what it wants fetched.
    /// To be called after each of the other calls, until it finds nothing wrong. The time is asked for only where there is
    /// something to send.
    ///
    /// # Errors
    /// This line is over, or the session wants a new one in its place.
    #[inline]
    pub fn settle(
        &mut self,
        now: impl FnOnce() -> UnixNanos,
        tap: &mut impl Tap,
        order: impl FnMut(SnapshotRequest),
    ) -> Result<(), (Line, Lost)> {
        for line in Line::ALL {
            if let Some(connection) = self.lines[line.index()].as_deref_mut()
                && connection.wants_write()
            {
                connection.flush().map_err(|error| (line, error.into()))?;
            }
        }
        if self.outbox.is_empty() {
            return Ok(());
        }
        self.empty_outbox(now(), tap, order)
    }

    #[cold]
    fn empty_outbox(
        &mut self,
        now: UnixNanos,
        tap: &mut impl Tap,
        order: impl FnMut(SnapshotRequest),
    ) -> Result<(), (Line, Lost)> {
        self.outbox.snapshot_requests().iter().copied().for_each(order);
        let mut outcome = Ok(());
        for (line, text) in self.outbox.frames_by_line() {
            if let Some(connection) = self.lines[line.index()].as_deref_mut() {
                tap.turn_to(line);
                tap.sent(now, text);
                if let Err(error) = connection.send_text(text) {
                    outcome = outcome.and(Err((line, error.into())));
                }
            }
        }
        let wanted = Line::ALL.map(|line| self.outbox.reconnect_of(line));
        self.outbox.clear();
        for line in Line::ALL {
            let Some(connection) = self.lines[line.index()].as_deref_mut() else {
                continue;
            };
            if let Err(error) = connection.flush() {
                outcome = outcome.and(Err((line, error.into())));
            }
            match wanted[line.index()] {
                // It still carries the feed, for as long as the venue lets it.
                Some(ReconnectReason::ServerShutdown) if self.succession.leaves(line) => {}
                Some(reason) if outcome.is_ok() => outcome = Err((line, Lost::Wanted(reason))),
                // Said again when the line that is over now is gone.
                Some(reason) => self.outbox.want_reconnect(line, reason),
                None => {}
            }
        }
        outcome
    }
}
