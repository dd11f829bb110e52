//! The words that every part of a feed shares, as types where a mix-up would cost money.

use std::fmt;

/// A price as an integer mantissa: the value is `self.0 / 10^scale.price` of the [`Instrument`] it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

/// A quantity as an integer mantissa: the value is `self.0 / 10^scale.qty` of the [`Instrument`]. Zero deletes a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qty(pub i64);

/// Nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// A time that a venue gave in milliseconds; `None` where it does not fit.
    pub fn from_millis(ms: u64) -> Option<Self> {
        ms.checked_mul(1_000_000).map(Self)
    }

    /// Nanoseconds from `earlier` to `self`, negative where the clocks disagree about the order.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }
}

/// The place of an instrument in its session's table: an index, never a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub u16);

impl SymbolId {
    /// The index into the session's table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One side of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Buyers; the best is the highest price.
    Bid,
    /// Sellers; the best is the lowest price.
    Ask,
}

/// How many decimals the mantissas of an instrument carry.
///
/// Learnt from the wire, never from a tick size: the two differ by a digit on some pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Decimals of a price.
    pub price: u8,
    /// Decimals of a quantity.
    pub qty: u8,
}

impl Scale {
    /// The most decimals that a scale may have: `10^18` is the largest power of ten in an `i64`.
    pub const MAX_DECIMALS: u8 = 18;
}

/// The venues that a session can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VenueId {
    /// Binance spot.
    BinanceSpot,
    /// Kraken spot, WebSocket API v2.
    KrakenV2,
    /// Bybit v5, spot.
    BybitSpot,
    /// Bybit v5, linear perpetuals and futures.
    BybitLinear,
    /// OKX, WebSocket API v5.
    OkxV5,
    /// Coinbase Advanced Trade.
    CoinbaseAdvanced,
    /// Coinbase Exchange, `level2_batch`.
    CoinbaseExchange,
    /// Binance USDⓈ-M futures.
    BinanceUsdm,
}

impl VenueId {
    /// Every venue, in the order of their wire numbers.
    pub const ALL: [Self; 8] = [
        Self::BinanceSpot,
        Self::KrakenV2,
        Self::BybitSpot,
        Self::BybitLinear,
        Self::OkxV5,
        Self::CoinbaseAdvanced,
        Self::CoinbaseExchange,
        Self::BinanceUsdm,
    ];

    /// The name in configuration files, metrics labels and captures.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The venue of that [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|venue| venue.name() == name)
    }
}

impl fmt::Display for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a session knows of one instrument. The scale is settled by its first snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its place in the session's table.
    pub id: SymbolId,
    /// The venue's own spelling, as in its messages: `BTCUSDT`, `BTC/USD`.
    pub symbol: String,
    /// The decimals of its prices and quantities.
    pub scale: Scale,
}

/// One of the two connections that may carry a feed at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Line {
    /// The first one. A feed that needs one connection has this one, until it is replaced.
    #[default]
    First,
    /// The second one: a copy, or the successor of the first.
    Second,
}

impl Line {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// Its place in a table of lines.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in metrics and captures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "1",
            Self::Second => "2",
        }
    }

    /// The line of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|line| line.name() == name)
    }

    /// The one beside it.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// How far a book can be trusted at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Quality {
    /// The venue's own proof holds for this very state: a checksum, or an unbroken chain from a spliced snapshot.
    Verified = 0,
    /// Plausible, without a proof for this state.
    Unverified = 1,
    /// Right when it was last touched; nothing has come for longer than the venue's silence allows.
    Stale = 2,
    /// Best bid at or above best ask.
    Crossed = 3,
    /// Not to be shown: a snapshot is awaited.
    Resyncing = 4,
}

impl Quality {
    /// The name in logs and metrics labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Stale => "stale",
            Self::Crossed => "crossed",
            Self::Resyncing => "resyncing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_negative_when_the_venue_clock_is_ahead() {
        assert_eq!(UnixNanos(1_000).since(UnixNanos(1_270)), -270);
    }

    #[test]
    fn venue_names_round_trip() {
        for venue in VenueId::ALL {
            assert_eq!(VenueId::from_name(venue.name()), Some(venue));
        }
        assert_eq!(VenueId::from_name("Binance"), None);
    }
}
