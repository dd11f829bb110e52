//! What one frame said, as plain values: the same for the scanner of a hot shape and for the slow road.

use crate::decimal::{Decimals, Scaler};
use crate::event::FrameFault;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};

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
