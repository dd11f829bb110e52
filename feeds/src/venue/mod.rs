//! What each venue sends and the rule by which its book stays right.
//!
//! A [`Session`] is one connection's worth of a venue: it is given frames, REST bodies and the time, calls the
//! [`Sink`], and leaves what it wants done in the [`Outbox`]. It never touches a socket.
//!
//! Frames of a hot shape go through the venue's own scanner; every other frame through `simd-json`. A book is shown only while the venue's own proof holds for it: an unbroken chain of update ids from a
//! spliced snapshot, or a checksum; where a venue has none it is [`Quality::Unverified`] at best. In doubt it is
//! [`Quality::Resyncing`], and only that symbol, unless nobody knows whose message was lost.
//!
//! # Order
//!
//! What the sink is told of one symbol is a function of that symbol's messages in the order of the stream, and of the
//! snapshot's content; when the snapshot arrived changes nothing. Calls for different symbols may interleave in another
//! way when their snapshots come at other moments.

mod backlog;
pub mod binance;
mod budget;
pub mod bybit;
mod checkpoint;
pub mod coinbase;
pub mod coinbase_exchange;
mod config;
mod facts;
mod fields;
mod format;
mod json;
pub mod kraken;
mod levels;
pub mod message;
#[cfg(test)]
mod mutants;
pub mod okx;
mod outbox;
mod rest_book;
#[cfg(test)]
mod roads;
mod rules;
mod session;
mod symbols;
mod time;
mod wire;

pub use checkpoint::Checkpoint;
pub use config::{SessionConfig, SessionConfigError};
pub use facts::Facts;
pub use outbox::{Outbox, ReconnectReason, SnapshotPurpose, SnapshotRequest};
pub use rest_book::{BookReader, RestBook, RestSnapshot};
pub use session::LineStanding;
pub use wire::Wire;

use crate::Sink;
use crate::book::Book;
use crate::clock::Clock;
use crate::event::{SnapshotFault, Stamps};
use crate::types::{Instrument, Line, Quality, SymbolId, UnixNanos, VenueId};
use session::VenueSession;

/// One connection's worth of one venue, without the connection.
///
/// Every method is given the time; frames are given whole, as text that was proven to be UTF-8. The caller empties the
/// [`Outbox`] after each call. All memory is reserved at the start; after the first messages nothing is allocated.
pub struct Session(Dialect);

enum Dialect {
    Binance(VenueSession<binance::Binance<binance::spot::Spot>>),
    Kraken(VenueSession<kraken::Kraken>),
    BybitSpot(VenueSession<bybit::Bybit>),
    BybitLinear(VenueSession<bybit::Bybit>),
    Okx(VenueSession<okx::Okx>),
    Coinbase(VenueSession<coinbase::Coinbase>),
    CoinbaseExchange(VenueSession<coinbase_exchange::CoinbaseExchange>),
    BinanceUsdm(VenueSession<binance::Binance<binance::usdm::Usdm>>),
}

macro_rules! each {
    ($session:expr, $dialect:ident => $call:expr) => {
        match $session {
            Dialect::Binance($dialect) => $call,
            Dialect::Kraken($dialect) => $call,
            Dialect::BybitSpot($dialect) => $call,
            Dialect::BybitLinear($dialect) => $call,
            Dialect::Okx($dialect) => $call,
            Dialect::Coinbase($dialect) => $call,
            Dialect::CoinbaseExchange($dialect) => $call,
            Dialect::BinanceUsdm($dialect) => $call,
        }
    };
}

impl Session {
    /// A session that waits to be opened.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: &SessionConfig) -> Result<Self, SessionConfigError> {
        let spellings = config.check()?;
        Ok(Self(match config.venue {
            VenueId::BinanceSpot => Dialect::Binance(VenueSession::new(config, spellings)),
            VenueId::KrakenV2 => Dialect::Kraken(VenueSession::new(config, spellings)),
            VenueId::BybitSpot => Dialect::BybitSpot(VenueSession::new(config, spellings)),
            VenueId::BybitLinear => Dialect::BybitLinear(VenueSession::new(config, spellings)),
            VenueId::OkxV5 => Dialect::Okx(VenueSession::new(config, spellings)),
            VenueId::CoinbaseAdvanced => Dialect::Coinbase(VenueSession::new(config, spellings)),
            VenueId::CoinbaseExchange => Dialect::CoinbaseExchange(VenueSession::new(config, spellings)),
            VenueId::BinanceUsdm => Dialect::BinanceUsdm(VenueSession::new(config, spellings)),
        }))
    }

    /// Which venue it speaks.
    pub fn venue(&self) -> VenueId {
        match self.0 {
            Dialect::Binance(_) => VenueId::BinanceSpot,
            Dialect::Kraken(_) => VenueId::KrakenV2,
            Dialect::BybitSpot(_) => VenueId::BybitSpot,
            Dialect::BybitLinear(_) => VenueId::BybitLinear,
            Dialect::Okx(_) => VenueId::OkxV5,
            Dialect::Coinbase(_) => VenueId::CoinbaseAdvanced,
            Dialect::CoinbaseExchange(_) => VenueId::CoinbaseExchange,
            Dialect::BinanceUsdm(_) => VenueId::BinanceUsdm,
        }
    }

    /// The instruments, each at the index of its [`SymbolId`]. Their scales are settled by their first snapshots.
    pub fn instruments(&self) -> &[Instrument] {
        each!(&self.0, dialect => dialect.instruments())
    }

    /// The book of a symbol while it may be shown.
    pub fn book(&self, symbol: SymbolId) -> Option<&Book> {
        each!(&self.0, dialect => dialect.book(symbol))
    }

    /// How far the book of a symbol can be trusted at this moment; [`Quality::Resyncing`] also for a symbol that the
    /// session does not have. [`Quality::Stale`] is found by [`on_timer`](Self::on_timer).
    pub fn quality(&self, symbol: SymbolId) -> Quality {
        each!(&self.0, dialect => dialect.quality(symbol))
    }

    /// The path of the WebSocket handshake. Binance subscribes by it, as far as an address may be long;
    /// [`on_open`](Self::on_open) leaves in the outbox what is left, and on the other venues all subscriptions.
    pub fn websocket_path(&self) -> &str {
        each!(&self.0, dialect => dialect.websocket_path())
    }

    /// The path and query of the REST snapshot of a symbol; `None` where the venue sends snapshots in its stream.
    pub fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        each!(&self.0, dialect => dialect.rest_path(symbol))
    }

    /// Which line the next calls are about, of the two that may carry one feed at the same time: the one that opens,
    /// closes, or has brought a frame. Only where the venue's [`Facts::shares_ids`] is a second line of any use.
    #[inline]
    pub fn select(&mut self, line: Line) {
        each!(&mut self.0, dialect => dialect.select(line));
    }

    /// How far this line has come beside the other one.
    pub fn standing(&self, line: Line) -> LineStanding {
        each!(&self.0, dialect => dialect.standing(line))
    }

    /// The connection is open: every book waits for its snapshot, unless another line carries it already.
    pub fn on_open<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        each!(&mut self.0, dialect => dialect.on_open(now, sink, out));
    }

    /// One text frame. `stamps.receive_time` is the time; `parsed` and `booked` are set here.
    #[inline]
    pub fn on_frame<S: Sink, C: Clock>(
        &mut self,
        frame: &[u8],
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        each!(&mut self.0, dialect => dialect.on_frame(frame, stamps, clock, sink, out));
    }

    /// The answer to a [`SnapshotRequest`], read elsewhere, or why there is none. The book is exchanged for the one that
    /// the session had, and what the symbol's messages said since is told to the sink now, with these `stamps`.
    pub fn on_rest_book<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&mut RestBook, SnapshotFault>,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        each!(&mut self.0, dialect => dialect.on_rest_book(symbol, reply, stamps, clock, sink, out));
    }

    /// The same, with the body of the reply, which is read now: for whoever has one thread.
    pub fn on_snapshot<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&[u8], SnapshotFault>,
        stamps: &mut Stamps,
        clock: C,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        each!(&mut self.0, dialect => dialect.on_snapshot(symbol, reply, stamps, clock, sink, out));
    }

    /// The path and query of the REST book that the shown one of a symbol is held against; `None` where the two have no
    /// ids in common.
    pub fn checkpoint_path(&self, symbol: SymbolId) -> Option<&str> {
        each!(&self.0, dialect => dialect.checkpoint_path(symbol))
    }

    /// The answer to a [`SnapshotRequest`] for a [checkpoint](SnapshotPurpose::Checkpoint), read elsewhere, or why there
    /// is none. Allocates nothing. Compares at once, or when the stream has come to its update id.
    pub fn on_checkpoint<S: Sink>(
        &mut self,
        symbol: SymbolId,
        reply: Result<&Checkpoint, SnapshotFault>,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        each!(&mut self.0, dialect => dialect.on_checkpoint(symbol, reply, now, sink, out));
    }

    /// Time has passed: deadlines, pings, staleness. To be called a few times per second; a replay need not.
    pub fn on_timer<S: Sink>(&mut self, now: UnixNanos, sink: &mut S, out: &mut Outbox) {
        each!(&mut self.0, dialect => dialect.on_timer(now, sink, out));
    }

    /// The connection is gone: no book is shown any more, unless another line carries it.
    pub fn on_close<S: Sink>(&mut self, sink: &mut S) {
        each!(&mut self.0, dialect => dialect.on_close(sink));
    }

    /// Whether a REST snapshot of that symbol would be used if it came now.
    pub fn awaits_snapshot(&self, symbol: SymbolId) -> bool {
        each!(&self.0, dialect => dialect.awaits_snapshot(symbol))
    }
}

/// `time` later than `from` by a [`Duration`](std::time::Duration), without an overflow.
fn after(from: UnixNanos, wait: std::time::Duration) -> UnixNanos {
    UnixNanos(
        from.0
            .saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)),
    )
}
