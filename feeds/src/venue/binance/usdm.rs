//! Binance USDⓈ-M futures: diffs that each name the one before, spliced into a REST snapshot, the venue's own best bid
//! and ask as the second witness.
//!
//! The rule (venue documentation, "How to manage a local order book correctly" of the USDⓈ-M futures, read in November
//! 2026): keep the diffs while the snapshot is fetched; those that end before its `lastUpdateId` are dropped; the
//! first that is left must have `U` ≤ `lastUpdateId` ≤ `u`; from then on `pu` of each diff is `u` of the one before,
//! or the book is fetched anew. `U` proves nothing: in 6,392 of 6,551 recorded diffs it is not `pu` + 1. Quantities
//! are absolute, and deleting a level that is not there is normal.
//!
//! The chain says nothing of the book's content. A `bookTicker` with the update id of a diff does: where the two
//! disagree the book is not shown any more. Of the recording's tickers 573 stand next to the diff with their id, and
//! all agree.
//!
//! # What nothing can catch
//!
//! Between two checkpoints, a wrong level that is not the best one, until the market comes to it; without tops the best
//! one too. Levels beyond the 1,000 of the snapshot, which are not in the book until a diff brings them: once the price
//! has moved far the book has holes, which its horizon tells. Orders of the retail price improvement (RPI), which the
//! venue leaves out of these streams.
//!
//! # Addresses and limits
//!
//! Since March 2026 streams are served by route, and since 23 April one that is asked for on the wrong route stays
//! mute without a word. `/public` has `@depth`, `@bookTicker` and `@trade`, so that one connection carries all three.
//! `@trade` is not documented; it was recorded in August 2024, and captures of August and September 2026 have it on
//! this route. The documented `@aggTrade` is on `/market`: a second connection, whose order beside the book nobody
//! knows. Should the venue end `@trade`, books and tops go on and no trade comes any more, and nothing on the wire
//! says so.
//!
//! `@depth@0ms` is the stream without a pace. It is not documented either; `@depth@100ms`, which is, is read as well.
//!
//! A ping comes every 3 minutes and wants its pong within 10; a connection lives for 24 hours and may send 10 messages
//! per second; REST has 2,400 of weight per minute and address, since June 2026 together with the coin-margined
//! contracts.
//!
//! # Shapes
//!
//! Prices and quantities are printed with the same decimals always, 2 and 3 for BTCUSDT: these are the book's scale.
//! Since coin-margined contracts moved to the same hosts, on 30 June 2026, diffs and tops have `ps` (the pair) behind
//! the symbol, and all payloads end with `st` (1 for a contract of this product). Both shapes are hot. A trade says in
//! `X` what it was: `MARKET` and `RPI` are trades; anything else, as what the insurance fund took over or `NA` with a
//! price of zero, is no trade of the market and is told as control.

use std::time::Duration;

use crate::decimal;
use crate::event::LevelChange;
use crate::types::Scale;
use crate::venue::facts::{Facts, is_plain};
use crate::venue::fields::{text, whole};
use crate::venue::json::Json;
use crate::venue::levels::LevelScalers;
use crate::venue::message::{BookMessage, MessageDecimals, ParseError, Scalers, literal};
use crate::venue::rules::{Standing, Verdict};
use crate::venue::symbols::SYMBOL_BYTES_MAX;

use super::product::Product;
use super::scan::{self, boolean, number};

pub(in crate::venue) const FACTS: Facts = Facts {
    name: "binance_usdm",
    websocket_url: "wss://fstream.binance.com",
    rest_url: "https://fapi.binance.com",
    has_rest_snapshots: true,
    symbols: ["BTCUSDT", "ETHUSDT"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_plain(symbol, b"_"),
    has_depth: |depth| matches!(depth, 50 | 100 | 500 | 1000),
    depths: "50, 100, 500 or 1000",
    default_depth: 1000,
    has_checkpoints: |_| true,
    // Nobody answers, and a quiet contract may have no update for long.
    subscription_timeout: Duration::from_secs(60),
    connection_silence: None,
    shares_ids: true,
    connection_life: Some(Duration::from_secs(24 * 3600)),
};

/// The product.
pub enum Usdm {}

impl Product for Usdm {
    const STREAM_PATH: &'static str = "/public/stream";
    const DEPTH_STREAM: &'static str = "depth@0ms";
    const SNAPSHOT_PATH: &'static str = "/fapi/v1/depth";
    const CHECKPOINT_DEPTH: u32 = 50;
    const TICKER_EVENT: Option<&'static str> = Some("bookTicker");
    const HAS_PLAIN_FRONT: bool = false;
    const TICKER_OPEN: &'static [u8] = b"{\"e\":\"bookTicker\",\"u\":";

    /// Venue documentation, `GET /fapi/v1/depth`.
    fn snapshot_weight(depth: u32) -> u32 {
        match depth {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        }
    }

    #[inline]
    fn judge(standing: Standing, diff: &BookMessage) -> Verdict {
        let last_id = standing.last_id;
        if standing.is_held {
            return if diff.last_id < last_id {
                Verdict::Contained
            } else if diff.first_id > last_id {
                Verdict::Gap {
                    expected: last_id,
                    got: diff.first_id,
                }
            } else {
                Verdict::Continues
            };
        }
        match diff.previous_id {
            Some(previous_id) if previous_id != last_id => Verdict::Gap {
                expected: last_id,
                got: previous_id,
            },
            // It goes on from here and ends here, or before: it can say nothing new.
            _ if diff.last_id <= last_id => Verdict::Contained,
            _ => Verdict::Continues,
        }
    }

    #[inline(always)]
    fn depth_stream(frame: &[u8], at: usize) -> Option<usize> {
        match literal(frame, at, b"depth@0ms\",\"data\":") {
            Some(at) => Some(at),
            None => literal(frame, at, b"depth@100ms\",\"data\":"),
        }
    }

    fn is_depth_stream(name: &str) -> bool {
        matches!(name, "depth@0ms" | "depth@100ms" | "depth@500ms" | "depth")
    }

    #[inline(always)]
    fn transaction_time(frame: &[u8], at: usize) -> Option<(u64, usize)> {
        number(frame, literal(frame, at, b",\"T\":")?)
    }

    #[inline(always)]
    fn behind_symbol(frame: &[u8], at: usize) -> Option<usize> {
        let Some(pair) = literal(frame, at, b"\",\"ps\":\"") else {
            return Some(at);
        };
        let bytes = frame.get(pair..)?.iter().take(SYMBOL_BYTES_MAX);
        let is_spelling = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        Some(pair + bytes.take_while(is_spelling).count())
    }

    #[inline(always)]
    fn previous_id(frame: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
        let (previous_id, at) = number(frame, literal(frame, at, b",\"pu\":")?)?;
        Some((Some(previous_id), at))
    }

    #[inline(always)]
    fn behind_ticker(rest: &[u8]) -> Option<&[u8]> {
        let (_, at) = number(rest, literal(rest, 0, b",\"T\":")?)?;
        let (_, at) = number(rest, literal(rest, at, b",\"E\":")?)?;
        rest.get(at..)
    }

    #[inline(always)]
    fn trade_end(rest: &[u8], transaction_time_ms: u64) -> Option<(u64, bool, usize)> {
        let (buyer_is_maker, at) = boolean(rest, literal(rest, 0, b",\"X\":\"MARKET\",\"m\":")?)?;
        Some((transaction_time_ms, buyer_is_maker, at))
    }

    #[inline(always)]
    fn behind_payload(rest: &[u8]) -> &[u8] {
        rest.strip_prefix(b",\"st\":1").unwrap_or(rest)
    }

    #[inline(always)]
    fn behind_snapshot_id(body: &[u8], at: usize) -> Option<usize> {
        let (_, at) = number(body, literal(body, at, b",\"E\":")?)?;
        let (_, at) = number(body, literal(body, at, b",\"T\":")?)?;
        Some(at)
    }

    fn read_previous_id(diff: Json<'_, '_>) -> Result<Option<u64>, ParseError> {
        let [previous_id] = diff.get(["pu"]).ok_or(ParseError::Malformed)?;
        whole(previous_id).map(Some)
    }

    fn is_trade(trade: Json<'_, '_>) -> Result<bool, ParseError> {
        let [execution] = trade.get(["X"]).ok_or(ParseError::Malformed)?;
        Ok(matches!(text(execution)?, "MARKET" | "RPI"))
    }

    fn snapshot_scale(first: MessageDecimals, all: MessageDecimals) -> Scale {
        let (first, needed) = (first.wire(), all.significant());
        Scale {
            price: first.price.max(needed.price),
            qty: first.qty.max(needed.qty),
        }
    }

    fn scan_snapshot(body: &[u8], levels: &mut Vec<LevelChange>) -> Option<(u64, Scale)> {
        let scale = first_level_scale(body)?;
        let scalers = Scalers::new(scale)?;
        let last_update_id = scan::snapshot::<Self>(body, &mut LevelScalers::new(scalers), levels)?;
        Some((last_update_id, scale))
    }
}

/// The decimals that the best bid of a REST snapshot is printed with.
fn first_level_scale(body: &[u8]) -> Option<Scale> {
    let head = body.first_chunk::<256>()?;
    let open = b"\"bids\":[[\"";
    let at = head.windows(open.len()).position(|window| window == open)? + open.len();
    let mut strings = head.get(at..)?.split(|&byte| byte == b'"');
    let (price, _comma, qty) = (strings.next()?, strings.next()?, strings.next()?);
    strings.next()?; // without it the quantity is cut off
    Some(Scale {
        price: decimal::decimals(price).ok()?.wire,
        qty: decimal::decimals(qty).ok()?.wire,
    })
}
