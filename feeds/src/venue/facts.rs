//! What is fixed about a venue before anything is connected: its addresses, its spellings, its limits.

use std::time::Duration;

use crate::types::VenueId;

use super::{binance, bybit, coinbase, coinbase_exchange, kraken, okx};

/// The constants of a venue. Each stands at the top of the venue's own module.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The name in configuration files, metrics labels and captures.
    pub name: &'static str,
    /// Where its WebSocket is, without a path.
    pub websocket_url: &'static str,
    /// Where its REST API is, without a path.
    pub rest_url: &'static str,
    /// Whether its books are seeded by REST.
    pub has_rest_snapshots: bool,
    /// Two liquid instruments, as its messages spell them.
    pub symbols: [&'static str; 2],
    /// How its messages spell what a configuration says: in capitals, where it does not mind the case.
    pub spelling: fn(&str) -> String,
    /// Whether it could be a spelling of its own, that goes into paths and JSON without an escape.
    pub is_symbol: fn(&str) -> bool,
    /// Whether it has books of so many levels per side.
    pub has_depth: fn(u32) -> bool,
    /// The same in words.
    pub depths: &'static str,
    /// The depth that is asked for if nothing else was said.
    pub default_depth: u32,
    /// Whether a book of that depth can be held against the venue's REST book, because both are told the same update ids.
    pub has_checkpoints: fn(u32) -> bool,
    /// How long a subscription may stay without an answer or without its first message.
    pub subscription_timeout: Duration,
    /// How long the whole connection may stay without a frame, heartbeats included; `None` where the venue has no
    /// heartbeat that a session sees, so that its own silences have to tell.
    pub connection_silence: Option<Duration>,
    /// Whether the ids in its messages are the same on every connection, so that the copies of two connections are known
    /// by them: only then can one connection stand beside another, or take over from it.
    pub shares_ids: bool,
    /// How long the venue lets a connection live, where it sets a limit.
    pub connection_life: Option<Duration>,
}

impl VenueId {
    /// What is fixed about it.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::BinanceSpot => &binance::spot::FACTS,
            Self::KrakenV2 => &kraken::FACTS,
            Self::BybitSpot => &bybit::SPOT,
            Self::BybitLinear => &bybit::LINEAR,
            Self::OkxV5 => &okx::FACTS,
            Self::CoinbaseAdvanced => &coinbase::FACTS,
            Self::CoinbaseExchange => &coinbase_exchange::FACTS,
            Self::BinanceUsdm => &binance::usdm::FACTS,
        }
    }
}

/// Letters and digits, and such of the others as `others` has.
pub(super) fn is_plain(symbol: &str, others: &[u8]) -> bool {
    symbol
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
