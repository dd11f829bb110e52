//! What one frame said, as plain values: the same for every venue, for the scanner of a hot shape and for the slow road.

use crate::book::Book;
use crate::decimal::{Decimals, Scaler};
use crate::event::{FrameFault, TopOfBook, Trade};
use crate::types::{Instrument, Price, Qty, Scale, Side, SymbolId, UnixNanos};

/// Whose frame it is, found before its numbers are read: the decimals to read them by may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<H> {
    /// A symbol's.
    Market(Market<H>),
    /// Nobody's market; read already.
    Notice(Notice),
}

/// A frame about the market of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market<H> {
    /// Whose. Trades may be of further symbols too; each says of which.
    pub symbol: SymbolId,
    /// What of it.
    pub kind: Kind,
    /// What the scanner has found so far; `None` for a frame of another than the hot shapes.
    pub head: Option<H>,
    /// Which part of the frame it is, where a venue packs the books of several symbols into one.
    pub part: u16,
    /// Whether there is another part.
    pub has_more: bool,
}

impl<H> Market<H> {
    /// A frame of one part.
    pub fn whole(symbol: SymbolId, kind: Kind, head: Option<H>) -> Self {
        Self {
            symbol,
            kind,
            head,
            part: 0,
            has_more: false,
        }
    }
}

/// What of a market a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole book.
    Snapshot,
    /// Changes of the book.
    Update,
    /// The best bid and ask.
    Top,
    /// Trades.
    Trades,
}

/// One message. The levels of a book and the trades lie in the buffers that were given to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A book, whole or changed.
    Book(BookMessage),
    /// The best bid and ask as the venue sees them.
    Top(Ticker),
    /// Trades.
    Trades {
        /// Trades of the past, sent on subscribing.
        is_snapshot: bool,
    },
    /// Not about a market.
    Notice(Notice),
}

/// The head of a book message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// Whose book.
    pub symbol: SymbolId,
    /// The whole book, not changes of it.
    pub is_snapshot: bool,
    /// The first update id that it contains; zero where the venue has none.
    pub first_id: u64,
    /// The last update id that it contains: where the book stands after it; zero where the venue has none.
    pub last_id: u64,
    /// The `last_id` of the message before it, where the venue says so.
    pub previous_id: Option<u64>,
    /// The venue's checksum of the book after this message.
    pub checksum: Option<u32>,
    /// The venue's own time; a snapshot may have none.
    pub exchange_time: Option<UnixNanos>,
}

/// The best bid and ask as the venue sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// Of which instrument.
    pub symbol: SymbolId,
    /// The update id of the state that it describes.
    pub update_id: u64,
    /// Best bid and what rests there.
    pub bid: (Price, Qty),
    /// Best ask and what rests there.
    pub ask: (Price, Qty),
}

impl Ticker {
    pub(super) fn agrees_with(&self, book: &Book) -> bool {
        let best = |side| book.best(side).map(|level| (level.price, level.qty));
        best(Side::Bid) == Some(self.bid) && best(Side::Ask) == Some(self.ask)
    }

    pub(super) fn told<'a>(&self, instrument: &'a Instrument, agrees: Option<bool>) -> TopOfBook<'a> {
        TopOfBook {
            instrument,
            update_id: self.update_id,
            bid: self.bid,
            ask: self.ask,
            agrees,
        }
    }
}

/// A message that is not about a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A heartbeat, a status, a pong, a channel that was not asked for.
    Control,
    /// An answer to a request for a subscription or for its end.
    Answer(Answer),
    /// The venue will close the connection.
    Shutdown,
}

/// An answer to a `subscribe` or `unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To a `subscribe`, not to an `unsubscribe`.
    pub to_subscribe: bool,
    /// Which symbol it is about, where it says so and we know it.
    pub symbol: Option<SymbolId>,
    /// About the book; otherwise about trades, or it does not say.
    pub about_book: bool,
    /// Accepted.
    pub success: bool,
    /// The depth that the book will have, where the venue says it.
    pub depth: Option<u32>,
}

impl Answer {
    /// A refusal that does not say of what.
    pub const REFUSED: Self = Self {
        to_subscribe: true,
        symbol: None,
        about_book: false,
        success: false,
        depth: None,
    };
}

/// Reads prices and quantities of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalers {
    /// For its prices.
    pub price: Scaler,
    /// For its quantities.
    pub qty: Scaler,
}

impl Scalers {
    /// Readers for `scale`; `None` above [`Scale::MAX_DECIMALS`].
    pub const fn new(scale: Scale) -> Option<Self> {
        match (Scaler::new(scale.price), Scaler::new(scale.qty)) {
            (Some(price), Some(qty)) => Some(Self { price, qty }),
            _ => None,
        }
    }
}

/// A trade as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// In which instrument.
    pub symbol: SymbolId,
    /// The venue's id of the trade.
    pub trade_id: u64,
    /// Its price.
    pub price: Price,
    /// How much.
    pub qty: Qty,
    /// [`Side::Bid`] when the buyer was the aggressor.
    pub aggressor: Side,
    /// The venue's own time of the trade.
    pub exchange_time: UnixNanos,
}

impl Print {
    pub(super) fn told<'a>(&self, instrument: &'a Instrument) -> Trade<'a> {
        let Self {
            price,
            qty,
            aggressor,
            trade_id,
            exchange_time,
            ..
        } = *self;
        Trade {
            instrument,
            price,
            qty,
            aggressor,
            trade_id,
            exchange_time,
        }
    }
}

/// Why a frame was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or JSON of no known shape.
    #[error("not JSON of a known shape")]
    Malformed,
    /// A symbol that was not subscribed.
    #[error("a symbol that was not subscribed")]
    UnknownSymbol,
    /// A number that does not fit its type at any scale.
    #[error("a number does not fit 64 bits")]
    NumberOutOfRange,
    /// A price or quantity with more decimals than the scale of its instrument holds.
    #[error("a number has more decimals than the scale of its instrument")]
    FinerThanScale,
}

impl ParseError {
    /// The fault that the caller of a session is told.
    pub fn fault(self) -> FrameFault {
        match self {
            Self::Malformed => FrameFault::Malformed,
            Self::UnknownSymbol => FrameFault::UnknownSymbol,
            Self::NumberOutOfRange | Self::FinerThanScale => FrameFault::NumberOutOfRange,
        }
    }
}

impl From<crate::decimal::DecimalError> for ParseError {
    fn from(error: crate::decimal::DecimalError) -> Self {
        use crate::decimal::DecimalError;
        match error {
            DecimalError::NotDecimal => Self::Malformed,
            DecimalError::FinerThanScale => Self::FinerThanScale,
            DecimalError::OutOfRange => Self::NumberOutOfRange,
        }
    }
}

/// The decimals that the prices and the quantities of one message need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageDecimals {
    /// Of its prices.
    pub price: Decimals,
    /// Of its quantities.
    pub qty: Decimals,
}

impl MessageDecimals {
    /// The scale that holds every number of the message without its trailing zeros.
    pub fn significant(self) -> Scale {
        Scale {
            price: self.price.significant,
            qty: self.qty.significant,
        }
    }

    /// The scale with as many decimals as were printed.
    pub fn wire(self) -> Scale {
        Scale {
            price: self.price.wire,
            qty: self.qty.wire,
        }
    }
}

/// Where `bytes` continue behind the literal at `at`; `None` where it does not stand there.
#[inline(always)]
pub(crate) fn literal<const N: usize>(bytes: &[u8], at: usize, literal: &[u8; N]) -> Option<usize> {
    (bytes.get(at..)?.first_chunk::<N>()? == literal).then_some(at + N)
}
