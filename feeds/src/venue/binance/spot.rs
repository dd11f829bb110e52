//! Binance spot: diffs spliced into a REST snapshot, an unbroken chain of update ids, the venue's own best bid and ask
//! as the second witness.
//!
//! The rule (venue documentation, "How to manage a local order book correctly", text of November 2025): keep the diffs
//! while the snapshot is fetched; a snapshot older than the first kept diff is fetched again; diffs that it contains
//! are dropped; the first that is left must continue it; from then on a diff that is contained already is dropped, one
//! that skips an id is a gap. Quantities are absolute, and deleting a level that is not there is normal.
//!
//! The venue has no checksum, and a chain of ids says nothing of the book's content. A `bookTicker` with the update id
//! of a diff does: where the two disagree the book is not shown any more.
//!
//! # What nothing can catch
//!
//! Between two checkpoints, a wrong level that is not the best one, until the market comes to it: the ticker speaks of
//! one level of each side, at the ids that it shares with a diff. Without tops a wrong best level as well, unless it
//! crosses the book. Levels beyond those of the snapshot, which are not in the book until a diff brings them.

use std::time::Duration;

use crate::event::LevelChange;
use crate::types::Scale;
use crate::venue::facts::{Facts, is_plain};
use crate::venue::json::Json;
use crate::venue::levels::LevelScalers;
use crate::venue::message::{BookMessage, MessageDecimals, ParseError, Scalers, literal};
use crate::venue::rules::{Standing, Verdict};

use super::product::Product;
use super::scan::{self, boolean, number};

pub(in crate::venue) const FACTS: Facts = Facts {
    name: "binance",
    websocket_url: "wss://stream.binance.com:9443",
    rest_url: "https://api.binance.com",
    has_rest_snapshots: true,
    symbols: ["BTCUSDT", "ETHUSDT"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_plain(symbol, b"-_."),
    has_depth: |depth| matches!(depth, 100..=5000),
    depths: "100 to 5000",
    default_depth: 5000,
    has_checkpoints: |_| true,
    // Nobody answers, and a quiet pair may have no update for long.
    subscription_timeout: Duration::from_secs(60),
    connection_silence: None,
    shares_ids: true,
    connection_life: Some(Duration::from_secs(24 * 3600)),
};

/// The product.
pub enum Spot {}

impl Product for Spot {
    const STREAM_PATH: &'static str = "/stream";
    const DEPTH_STREAM: &'static str = "depth@100ms";
    const SNAPSHOT_PATH: &'static str = "/api/v3/depth";
    const CHECKPOINT_DEPTH: u32 = 100;
    const TICKER_EVENT: Option<&'static str> = None;
    const HAS_PLAIN_FRONT: bool = true;
    const TICKER_OPEN: &'static [u8] = b"{\"u\":";

    /// Venue documentation, `GET /api/v3/depth`.
    fn snapshot_weight(depth: u32) -> u32 {
        match depth {
            0..=100 => 5,
            101..=500 => 25,
            501..=1000 => 50,
            _ => 250,
        }
    }

    #[inline]
    fn judge(standing: Standing, diff: &BookMessage) -> Verdict {
        let expected = standing.last_id.saturating_add(1);
        if diff.last_id < expected {
            Verdict::Contained
        } else if diff.first_id > expected {
            let got = diff.first_id;
            Verdict::Gap { expected, got }
        } else {
            Verdict::Continues
        }
    }

    #[inline(always)]
    fn depth_stream(frame: &[u8], at: usize) -> Option<usize> {
        match literal(frame, at, b"depth@100ms\",\"data\":") {
            Some(at) => Some(at),
            None => literal(frame, at, b"depth\",\"data\":"),
        }
    }

    fn is_depth_stream(name: &str) -> bool {
        matches!(name, "depth@100ms" | "depth")
    }

    #[inline(always)]
    fn transaction_time(_frame: &[u8], at: usize) -> Option<(u64, usize)> {
        Some((0, at))
    }

    #[inline(always)]
    fn behind_symbol(_frame: &[u8], at: usize) -> Option<usize> {
        Some(at)
    }

    #[inline(always)]
    fn previous_id(_frame: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
        Some((None, at))
    }

    #[inline(always)]
    fn behind_ticker(rest: &[u8]) -> Option<&[u8]> {
        Some(rest)
    }

    #[inline(always)]
    fn trade_end(rest: &[u8], _transaction_time_ms: u64) -> Option<(u64, bool, usize)> {
        let (trade_time_ms, at) = number(rest, literal(rest, 0, b",\"T\":")?)?;
        let (buyer_is_maker, at) = boolean(rest, literal(rest, at, b",\"m\":")?)?;
        let (_, at) = boolean(rest, literal(rest, at, b",\"M\":")?)?;
        Some((trade_time_ms, buyer_is_maker, at))
    }

    #[inline(always)]
    fn behind_payload(rest: &[u8]) -> &[u8] {
        rest
    }

    #[inline(always)]
    fn behind_snapshot_id(_body: &[u8], at: usize) -> Option<usize> {
        Some(at)
    }

    fn read_previous_id(_diff: Json<'_, '_>) -> Result<Option<u64>, ParseError> {
        Ok(None)
    }

    fn is_trade(_trade: Json<'_, '_>) -> Result<bool, ParseError> {
        Ok(true)
    }

    /// Every number is printed with eight decimals, so only those that are not zero say something.
    fn snapshot_scale(_first: MessageDecimals, all: MessageDecimals) -> Scale {
        all.significant()
    }

    fn scan_snapshot(body: &[u8], levels: &mut Vec<LevelChange>) -> Option<(u64, Scale)> {
        let last_update_id = scan::snapshot::<Self>(body, &mut LevelScalers::new(WIRE_SCALERS), levels)?;
        Some((last_update_id, trim(levels)))
    }
}

/// Takes the decimals off that are zero in every level, and says how many are left.
fn trim(levels: &mut [LevelChange]) -> Scale {
    let trailing_zeros = |mantissa: i64, most: u8| {
        let mut most = most;
        while most > 0 && mantissa % ONE_AT[usize::from(most)] != 0 {
            most -= 1;
        }
        most
    };
    let (mut price_zeros, mut qty_zeros) = (WIRE_DECIMALS, WIRE_DECIMALS);
    for level in levels.iter() {
        price_zeros = trailing_zeros(level.price.0, price_zeros);
        qty_zeros = trailing_zeros(level.qty.0, qty_zeros);
    }
    for level in levels {
        level.price.0 /= ONE_AT[usize::from(price_zeros)];
        level.qty.0 /= ONE_AT[usize::from(qty_zeros)];
    }
    Scale {
        price: WIRE_DECIMALS - price_zeros,
        qty: WIRE_DECIMALS - qty_zeros,
    }
}

/// The decimals that the venue prints, for every instrument so far.
const WIRE_DECIMALS: u8 = 8;

const WIRE_SCALERS: Scalers = Scalers::new(Scale {
    price: WIRE_DECIMALS,
    qty: WIRE_DECIMALS,
})
.expect("eight decimals are below the most");

const ONE_AT: [i64; WIRE_DECIMALS as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
