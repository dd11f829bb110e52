//! In what the simulated products of Binance differ: addresses, limits, ids. Their texts are in
//! [`messages`](super::messages).

use crate::types::VenueId;

/// A product of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim::exchange) enum Product {
    Spot,
    /// USDⓈ-M futures, with the fields that payloads have since June 2026.
    Usdm,
}

impl Product {
    pub(in crate::sim::exchange) fn of(venue: VenueId) -> Self {
        match venue {
            VenueId::BinanceUsdm => Self::Usdm,
            _ => Self::Spot,
        }
    }

    /// What stands in front of the path of a WebSocket.
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Spot => "",
            Self::Usdm => "/public",
        }
    }

    /// What stands in front of the path of a REST request.
    pub(in crate::sim::exchange) fn rest_root(self) -> &'static str {
        match self {
            Self::Spot => "/api/v3",
            Self::Usdm => "/fapi/v1",
        }
    }

    /// The pace of a `@depth` stream that does not name one.
    pub(super) fn usual_interval_ms(self) -> u64 {
        match self {
            Self::Spot => 1_000,
            Self::Usdm => 250,
        }
    }

    /// Whether diffs come at that pace. On spot 0 is ours, for load; the futures have it.
    pub(super) fn has_interval(self, interval_ms: u64) -> bool {
        match self {
            Self::Spot => matches!(interval_ms, 0 | 100 | 1_000),
            Self::Usdm => matches!(interval_ms, 0 | 100 | 250 | 500),
        }
    }

    /// Messages from a client in a second.
    pub(super) fn messages_per_second_max(self) -> usize {
        match self {
            Self::Spot => 5,
            Self::Usdm => 10,
        }
    }

    /// REST weight from one address in a minute.
    pub(super) fn weight_per_minute_max(self) -> u32 {
        match self {
            Self::Spot => 6_000,
            Self::Usdm => 2_400,
        }
    }

    /// The levels of a whole book for a `limit`, and what that costs; `None` for one that is refused.
    pub(super) fn book_limit(self, limit: Option<usize>) -> Option<(usize, u32)> {
        match self {
            Self::Spot => {
                let limit = limit.unwrap_or(100).min(5_000);
                let weight = match limit {
                    0 => return None,
                    1..=100 => 5,
                    101..=500 => 25,
                    501..=1_000 => 50,
                    _ => 250,
                };
                Some((limit, weight))
            }
            Self::Usdm => {
                let limit = limit.unwrap_or(500);
                let weight = match limit {
                    5 | 10 | 20 | 50 => 2,
                    100 => 5,
                    500 => 10,
                    1_000 => 20,
                    _ => return None,
                };
                Some((limit, weight))
            }
        }
    }

    /// The id on the wire of an update of the market. The futures' ids are shared with other instruments, so that they
    /// have holes.
    pub(super) fn update_id(self, market_id: u64) -> u64 {
        match self {
            Self::Spot => market_id,
            Self::Usdm => 3 * market_id,
        }
    }

    /// The first id of a diff behind the update `told`.
    pub(super) fn first_id(self, told: u64) -> u64 {
        match self {
            Self::Spot => told + 1,
            Self::Usdm => 3 * told + 2,
        }
    }
}
