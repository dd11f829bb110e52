//! What a session is made from, checked before anything is connected.

use std::time::Duration;

use crate::types::VenueId;

use super::symbols::SYMBOL_BYTES_MAX;
use super::{binance, bybit};

/// One connection's worth of one venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Which venue.
    pub venue: VenueId,
    /// The instruments, as the venue spells them in its messages: `BTCUSDT` (any case), `BTC/USD`.
    pub symbols: Vec<String>,
    /// Levels per side. Binance: how many the REST snapshot has (spot 100 to 5000, futures 50, 100, 500 or 1000; the
    /// book holds what the diffs bring on top; a book seeded with few levels has holes once the price has moved).
    /// Kraken: the subscribed depth (10, 25, 100, 500 or 1000); its checksum covers ten. Bybit: the subscribed depth (1,
    /// 50, 200 or 1000). OKX: 400. Coinbase: 0, it sends whole books.
    pub depth: u32,
    /// Subscribe to trades.
    pub trades: bool,
    /// Subscribe to the best bid and ask, which also check the book (Binance).
    pub tops: bool,
    /// Bytes of raw frames that one symbol may keep while it waits for its REST snapshot (Binance). Reserved at the
    /// start, for each symbol.
    pub backlog_bytes: usize,
    /// REST request weight that this session may use per minute. Binance spot allows 6,000 per address, and a snapshot of
    /// 5,000 levels costs 250; its futures allow 2,400, and 1,000 levels cost 20.
    pub rest_weight_per_minute: u32,
    /// How long a request for a snapshot may stay without a reply before it counts as failed.
    pub snapshot_timeout: Duration,
    /// How long a subscription may stay without an answer or without its first message.
    pub subscription_timeout: Duration,
    /// How long a shown book may stay without a message before it counts as stale, until the symbol's own silences are
    /// known. Then it is four times the longest of the last minutes, at least five seconds and at most ten minutes.
    pub book_silence: Duration,
    /// How long the whole connection may stay without a frame, heartbeats included, before it should be opened anew;
    /// `None` where the venue has no heartbeat that a session sees: then it is twelve times the longest silence of the
    /// last minutes, at least fifteen seconds, and three times `subscription_timeout` until those silences are known.
    pub connection_silence: Option<Duration>,
    /// How often each shown book is held against the venue's REST book, where the two have the same ids
    /// ([`Facts::has_checkpoints`](super::Facts)); `None` never asks.
    pub checkpoint_interval: Option<Duration>,
}

impl SessionConfig {
    /// The defaults of a venue.
    pub fn new<T: Into<String>>(venue: VenueId, symbols: impl IntoIterator<Item = T>) -> Self {
        let facts = venue.facts();
        Self {
            venue,
            symbols: symbols.into_iter().map(Into::into).collect(),
            depth: facts.default_depth,
            trades: true,
            tops: true,
            backlog_bytes: 8 << 20,
            rest_weight_per_minute: rest_weight_limit(venue) / 2,
            snapshot_timeout: Duration::from_secs(15),
            subscription_timeout: facts.subscription_timeout,
            book_silence: Duration::from_secs(30),
            connection_silence: facts.connection_silence,
            checkpoint_interval: None,
        }
    }

    /// Whether a session can be made of it, without the memory that a session takes.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, the first of it.
    pub fn verify(&self) -> Result<(), SessionConfigError> {
        self.check().map(drop)
    }

    /// The spellings as the venue's messages have them.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, the first of it.
    pub(super) fn check(&self) -> Result<Vec<String>, SessionConfigError> {
        let venue = self.venue;
        let facts = venue.facts();
        if self.symbols.is_empty() {
            return Err(SessionConfigError::NoSymbols { venue });
        }
        if self.symbols.len() > SYMBOLS_MAX {
            return Err(SessionConfigError::TooManySymbols {
                venue,
                count: self.symbols.len(),
            });
        }
        let mut spellings: Vec<String> = Vec::with_capacity(self.symbols.len());
        for symbol in &self.symbols {
            let spelling = (facts.spelling)(symbol);
            // These go into paths and JSON as they are.
            let known = (facts.is_symbol)(&spelling);
            if spelling.is_empty() || spelling.len() > SYMBOL_BYTES_MAX || !known {
                return Err(SessionConfigError::InvalidSymbol {
                    venue,
                    symbol: symbol.clone(),
                    example: facts.symbols[0],
                });
            }
            if spellings.contains(&spelling) {
                return Err(SessionConfigError::DuplicateSymbol {
                    venue,
                    symbol: spelling,
                });
            }
            spellings.push(spelling);
        }
        if !(facts.has_depth)(self.depth) {
            return Err(SessionConfigError::InvalidDepth {
                venue,
                depth: self.depth,
                allowed: facts.depths,
            });
        }
        let limits = [
            ("backlog_bytes", self.backlog_bytes as u64, 64 << 10, 1 << 30),
            (
                "rest_weight_per_minute",
                u64::from(self.rest_weight_per_minute),
                250,
                u64::from(rest_weight_limit(venue)),
            ),
            ("snapshot_timeout", self.snapshot_timeout.as_secs(), 1, 600),
            ("subscription_timeout", self.subscription_timeout.as_secs(), 1, 600),
            ("book_silence", self.book_silence.as_secs(), 1, 86_400),
            (
                "connection_silence",
                self.connection_silence.map_or(60, |silence| silence.as_secs()),
                3,
                3600,
            ),
            (
                "checkpoint_interval",
                self.checkpoint_interval.map_or(60, |interval| interval.as_secs()),
                1,
                86_400,
            ),
        ];
        for (name, value, least, most) in limits {
            if value < least || value > most {
                return Err(SessionConfigError::InvalidLimit {
                    name,
                    value,
                    least,
                    most,
                });
            }
        }
        match venue {
            VenueId::BinanceSpot | VenueId::BinanceUsdm => binance::check(self, &spellings)?,
            VenueId::BybitSpot | VenueId::BybitLinear => bybit::check(self, &spellings)?,
            // 64 kB of arguments have room for as many symbols as there may be.
            VenueId::OkxV5 => {}
            // These name no limit.
            VenueId::KrakenV2 | VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => {}
        }
        Ok(spellings)
    }
}

/// REST request weight that a venue allows one address per minute.
const fn rest_weight_limit(venue: VenueId) -> u32 {
    match venue {
        VenueId::BinanceUsdm => 2400,
        _ => 6000,
    }
}

/// Symbols of one connection, whatever the venue allows: they wait for each other, and a frame's symbol is found by a
/// scan.
const SYMBOLS_MAX: usize = 512;

/// Why no session can be made of a [`SessionConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionConfigError {
    /// Nothing to subscribe to.
    #[error("no symbols for {venue}: name at least one")]
    NoSymbols {
        /// For which venue.
        venue: VenueId,
    },
    /// More symbols than one connection should carry.
    #[error(
        "{count} symbols on one connection to {venue}: at most {SYMBOLS_MAX}, spread them over several connections"
    )]
    TooManySymbols {
        /// For which venue.
        venue: VenueId,
        /// How many were given.
        count: usize,
    },
    /// More than the venue takes on one connection.
    #[error(
        "{count} {what} for one connection to {venue}, which takes at most {most}: spread the symbols over several"
    )]
    TooMuchForVenue {
        /// For which venue.
        venue: VenueId,
        /// What it counts.
        what: &'static str,
        /// How much of that these symbols need.
        count: usize,
        /// How much is taken.
        most: usize,
    },
    /// Not a spelling of this venue.
    #[error("symbol {symbol:?} is not as {venue} spells it: write it like {example:?}")]
    InvalidSymbol {
        /// For which venue.
        venue: VenueId,
        /// As it was given.
        symbol: String,
        /// How one looks.
        example: &'static str,
    },
    /// The same symbol twice.
    #[error("symbol {symbol:?} is given twice for one connection to {venue}")]
    DuplicateSymbol {
        /// For which venue.
        venue: VenueId,
        /// Which.
        symbol: String,
    },
    /// A depth that the venue does not have.
    #[error("depth {depth} is not one of {venue}'s: {allowed}")]
    InvalidDepth {
        /// For which venue.
        venue: VenueId,
        /// As it was given.
        depth: u32,
        /// What would do.
        allowed: &'static str,
    },
    /// A limit out of its range (times in seconds).
    #[error("{name} = {value} is out of range: from {least} to {most}")]
    InvalidLimit {
        /// The field of [`SessionConfig`].
        name: &'static str,
        /// As it was given.
        value: u64,
        /// The least that works.
        least: u64,
        /// The most that makes sense.
        most: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_work_is_refused_by_name() {
        let binance = |symbols: &[&str]| SessionConfig::new(VenueId::BinanceSpot, symbols.iter().copied());
        let kraken = |symbols: &[&str]| SessionConfig::new(VenueId::KrakenV2, symbols.iter().copied());
        assert_eq!(binance(&["btcusdt"]).check(), Ok(vec!["BTCUSDT".to_owned()]));
        assert_eq!(kraken(&["BTC/USD"]).check(), Ok(vec!["BTC/USD".to_owned()]));

        let check = |config: SessionConfig, needle: &str| {
            let error = config.check().expect_err(needle).to_string();
            assert!(error.contains(needle), "{error}");
        };
        check(binance(&[]), "no symbols for binance");
        check(binance(&["BTCUSDT", "btcusdt"]), "given twice");
        check(binance(&["BTC/USDT"]), "\"BTC/USDT\" is not as binance spells it");
        check(kraken(&["BTCUSD"]), "like \"BTC/USD\"");
        check(kraken(&["BTC/USD\",\"x"]), "not as kraken spells it");
        check(kraken(&[""]), "not as kraken spells it");
        check(
            binance(&["A-SYMBOL-LONGER-THAN-ANY-VENUE-HAS"]),
            "not as binance spells it",
        );
        check(
            SessionConfig {
                depth: 20,
                ..binance(&["BTCUSDT"])
            },
            "100 to 5000",
        );
        check(
            SessionConfig {
                depth: 20,
                ..kraken(&["BTC/USD"])
            },
            "10, 25, 100, 500 or 1000",
        );
        check(
            SessionConfig {
                backlog_bytes: 1,
                ..binance(&["BTCUSDT"])
            },
            "backlog_bytes = 1",
        );
        let many: Vec<String> = (0..513).map(|n| format!("A{n}USDT")).collect();
        check(SessionConfig::new(VenueId::BinanceSpot, many), "513 symbols");
    }
}
