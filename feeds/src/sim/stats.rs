//! What was sent, by kind and by instrument: exact, so that a test can hold a client's counters against it.

use std::fmt;
use std::sync::atomic::AtomicU64;
// Counters have no order with anything else; the threads that write them are joined before a final reading.
use std::sync::atomic::Ordering::Relaxed;

use super::fault::FaultKind;

/// What a message is, whichever venue it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageKind {
    /// A change of a book: Binance `depthUpdate`, Kraken `book` update, Bybit `orderbook` delta.
    BookUpdate,
    /// A whole book on the socket: Kraken `book` snapshot, Bybit `orderbook` snapshot, Binance partial depth.
    BookSnapshot,
    /// The top of a book: Binance `bookTicker`.
    BookTicker,
    /// A trade or several.
    Trade,
    /// The answer to a request that was accepted.
    Acknowledgement,
    /// The answer to a request that was refused.
    Refusal,
    /// Kraken `status`, Binance `serverShutdown`.
    Status,
    /// Kraken `heartbeat`.
    Heartbeat,
    /// The answer to a `ping` request.
    MethodPong,
    /// Instruments, and whatever else a recording holds.
    Other,
    /// A frame that a fault sent and no venue would.
    Faulty,
    /// A WebSocket ping.
    Ping,
    /// A WebSocket pong.
    Pong,
    /// A WebSocket close.
    Close,
    /// A REST answer with a whole book.
    RestSnapshot,
    /// Any other REST answer.
    RestOther,
}

impl MessageKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::BookUpdate,
        Self::BookSnapshot,
        Self::BookTicker,
        Self::Trade,
        Self::Acknowledgement,
        Self::Refusal,
        Self::Status,
        Self::Heartbeat,
        Self::MethodPong,
        Self::Other,
        Self::Faulty,
        Self::Ping,
        Self::Pong,
        Self::Close,
        Self::RestSnapshot,
        Self::RestOther,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::BookUpdate => "book update",
            Self::BookSnapshot => "book snapshot",
            Self::BookTicker => "book ticker",
            Self::Trade => "trade",
            Self::Acknowledgement => "acknowledgement",
            Self::Refusal => "refusal",
            Self::Status => "status",
            Self::Heartbeat => "heartbeat",
            Self::MethodPong => "method pong",
            Self::Other => "other",
            Self::Faulty => "faulty",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Close => "close",
            Self::RestSnapshot => "rest snapshot",
            Self::RestOther => "rest other",
        }
    }

    /// Whether it carries the market: what load shapes pace and faults count.
    pub fn is_data(self) -> bool {
        matches!(
            self,
            Self::BookUpdate | Self::BookSnapshot | Self::BookTicker | Self::Trade
        )
    }

    /// Whether it is a text message on a WebSocket, as opposed to a control frame or a REST answer.
    pub fn is_text_message(self) -> bool {
        (self as u8) <= Self::Other as u8
    }
}

/// How much of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages, frames or answers.
    pub messages: u64,
    /// Their payloads, without the headers of frames.
    pub payload_bytes: u64,
}

/// Totals since the start. A message counts once all of its bytes were given to the system's socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// By [`MessageKind`].
    kinds: [Sent; MessageKind::ALL.len()],
    /// By instrument, in the order of the configuration, then by kind.
    symbols: Vec<(String, [Sent; MessageKind::ALL.len()])>,
    /// TCP connections taken.
    pub connections_accepted: u64,
    /// TCP connections open now.
    pub connections_open: u64,
    /// Connections that became WebSockets.
    pub websockets_opened: u64,
    /// Connections dropped because the client did not read.
    pub slow_clients_dropped: u64,
    /// Connections dropped because no pong came.
    pub silent_clients_dropped: u64,
    /// TLS handshakes that did not succeed.
    pub tls_failures: u64,
    /// Bytes written to sockets, everything included.
    pub wire_bytes: u64,
    /// Text messages received.
    pub messages_received: u64,
    /// Pongs received that answer a ping of ours.
    pub pongs_received: u64,
    /// Faults that were played.
    pub faults_fired: u64,
    /// By [`FaultKind`].
    faults: [u64; FaultKind::ALL.len()],
    /// Events of the generated market that have happened.
    pub market_events: u64,
}

impl SimStats {
    /// How much of one kind.
    pub fn sent(&self, kind: MessageKind) -> Sent {
        self.kinds[kind as usize]
    }

    /// How much of one kind for one instrument.
    pub fn sent_for(&self, symbol: &str, kind: MessageKind) -> Sent {
        let row = self.symbols.iter().find(|(name, _)| name == symbol);
        row.map_or_else(Sent::default, |(_, kinds)| kinds[kind as usize])
    }

    /// How many faults of one kind were played.
    pub fn faults_of(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize]
    }

    /// All text messages on WebSockets: what a client that has read everything has received.
    pub fn text_messages(&self) -> Sent {
        MessageKind::ALL
            .into_iter()
            .filter(|kind| kind.is_text_message())
            .fold(Sent::default(), |sum, kind| {
                let sent = self.sent(kind);
                Sent {
                    messages: sum.messages + sent.messages,
                    payload_bytes: sum.payload_bytes + sent.payload_bytes,
                }
            })
    }
}

impl fmt::Display for SimStats {
    /// One line per kind that was sent, then one per kind of fault that was played.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in MessageKind::ALL {
            let sent = self.sent(kind);
            if sent.messages > 0 {
                writeln!(
                    f,
                    "{:<16} {:>12} messages {:>14} bytes",
                    kind.name(),
                    sent.messages,
                    sent.payload_bytes
                )?;
            }
        }
        for kind in FaultKind::ALL.into_iter().filter(|kind| self.faults_of(*kind) > 0) {
            writeln!(f, "{:<20} {:>8} faults", kind, self.faults_of(kind))?;
        }
        Ok(())
    }
}

/// The live counters: written by the threads of the connections, read by anyone.
#[derive(Debug)]
pub(super) struct Counters {
    kinds: Vec<Cell>,
    symbols: Vec<(String, Vec<Cell>)>,
    pub(super) connections_accepted: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) websockets_opened: AtomicU64,
    pub(super) slow_clients_dropped: AtomicU64,
    pub(super) silent_clients_dropped: AtomicU64,
    pub(super) tls_failures: AtomicU64,
    pub(super) wire_bytes: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) pongs_received: AtomicU64,
    pub(super) faults: [AtomicU64; FaultKind::ALL.len()],
    pub(super) market_events: AtomicU64,
}

#[derive(Debug, Default)]
struct Cell {
    messages: AtomicU64,
    payload_bytes: AtomicU64,
}

impl Cell {
    fn row() -> Vec<Self> {
        MessageKind::ALL.iter().map(|_| Self::default()).collect()
    }

    fn read(&self) -> Sent {
        Sent {
            messages: self.messages.load(Relaxed),
            payload_bytes: self.payload_bytes.load(Relaxed),
        }
    }
}

impl Counters {
    pub(super) fn new(symbols: &[String]) -> Self {
        Self {
            kinds: Cell::row(),
            symbols: symbols.iter().map(|symbol| (symbol.clone(), Cell::row())).collect(),
            connections_accepted: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            websockets_opened: AtomicU64::new(0),
            slow_clients_dropped: AtomicU64::new(0),
            silent_clients_dropped: AtomicU64::new(0),
            tls_failures: AtomicU64::new(0),
            wire_bytes: AtomicU64::new(0),
            messages_received: AtomicU64::new(0),
            pongs_received: AtomicU64::new(0),
            faults: [const { AtomicU64::new(0) }; FaultKind::ALL.len()],
            market_events: AtomicU64::new(0),
        }
    }

    /// One message has gone out.
    pub(super) fn count(&self, kind: MessageKind, symbol: Option<u16>, payload_bytes: u64) {
        let row = symbol
            .and_then(|symbol| self.symbols.get(usize::from(symbol)))
            .map(|(_, row)| row);
        for row in [Some(&self.kinds), row].into_iter().flatten() {
            row[kind as usize].messages.fetch_add(1, Relaxed);
            row[kind as usize].payload_bytes.fetch_add(payload_bytes, Relaxed);
        }
    }

    pub(super) fn read(&self) -> SimStats {
        let row = |cells: &[Cell]| {
            let mut sent = [Sent::default(); MessageKind::ALL.len()];
            for (sent, cell) in sent.iter_mut().zip(cells) {
                *sent = cell.read();
            }
            sent
        };
        let faults = std::array::from_fn(|kind| self.faults[kind].load(Relaxed));
        SimStats {
            kinds: row(&self.kinds),
            symbols: self
                .symbols
                .iter()
                .map(|(symbol, cells)| (symbol.clone(), row(cells)))
                .collect(),
            connections_accepted: self.connections_accepted.load(Relaxed),
            connections_open: self.connections_open.load(Relaxed),
            websockets_opened: self.websockets_opened.load(Relaxed),
            slow_clients_dropped: self.slow_clients_dropped.load(Relaxed),
            silent_clients_dropped: self.silent_clients_dropped.load(Relaxed),
            tls_failures: self.tls_failures.load(Relaxed),
            wire_bytes: self.wire_bytes.load(Relaxed),
            messages_received: self.messages_received.load(Relaxed),
            pongs_received: self.pongs_received.load(Relaxed),
            faults_fired: faults.iter().sum(),
            faults,
            market_events: self.market_events.load(Relaxed),
        }
    }
}
