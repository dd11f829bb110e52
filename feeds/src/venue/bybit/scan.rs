//! The scanner of Bybit's hot shapes: book snapshot and delta, trades, each in the order of keys of spot and of linear.
//!
//! The same bargain as Binance's: exactly the bytes that the venue sends, or `None` and the slow road. Spot writes `ts`
//! before `type` and linear behind it; their trades have nothing but the names of their keys in common.

use crate::decimal::scan_u64;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::format::Head;
use crate::venue::levels::{self, LevelScalers, LevelText};
use crate::venue::message::{Kind, Message, Print, literal};
use crate::venue::symbols::SymbolTable;

use super::parse::book;

/// Reads up to the data.
#[inline]
pub(super) fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
    let at = literal(frame, 0, b"{\"topic\":\"")?;
    let (is_book, at) = match literal(frame, at, b"orderbook.") {
        Some(at) => (true, depth(frame, at)?),
        None => (false, literal(frame, at, b"publicTrade.")?),
    };
    let (symbol, len) = symbols.scan(frame.get(at..)?, b'"', likely)?;
    let at = at + len;
    let (is_snapshot, at) = match literal(frame, at, b"\",\"type\":\"") {
        Some(at) => {
            let (is_snapshot, at) = message_type(frame, at)?;
            let (_, at) = number(frame, literal(frame, at, b",\"ts\":")?)?;
            (is_snapshot, literal(frame, at, b",\"data\":")?)
        }
        None => {
            let (_, at) = number(frame, literal(frame, at, b"\",\"ts\":")?)?;
            let (is_snapshot, at) = message_type(frame, literal(frame, at, b",\"type\":\"")?)?;
            (is_snapshot, literal(frame, at, b",\"data\":")?)
        }
    };
    let kind = match (is_book, is_snapshot) {
        (true, true) => Kind::Snapshot,
        (true, false) => Kind::Update,
        (false, true) => Kind::Trades,
        (false, false) => return None,
    };
    Some(Head { symbol, kind, at })
}

/// Reads the rest of a frame behind its head; changes and trades are appended.
#[inline]
pub(super) fn body(
    frame: &[u8],
    head: &Head,
    symbols: &SymbolTable,
    scalers: &mut LevelScalers,
    changes: &mut Vec<LevelChange>,
    prints: &mut Vec<Print>,
) -> Option<Message> {
    let symbol = head.symbol;
    match head.kind {
        Kind::Snapshot | Kind::Update => {
            let at = own_symbol(frame, literal(frame, head.at, b"{\"s\":\"")?, symbol, symbols)?;
            let rest = frame.get(at..)?.strip_prefix(b",\"b\":[")?;
            let rest = levels::read::<Levels>(rest, Side::Bid, scalers, changes)?.strip_prefix(b",\"a\":[")?;
            let rest = levels::read::<Levels>(rest, Side::Ask, scalers, changes)?;
            let (id, at) = number(rest, literal(rest, 0, b",\"u\":")?)?;
            let (_, at) = number(rest, literal(rest, at, b",\"seq\":")?)?;
            let (time_ms, at) = number(rest, literal(rest, at, b"},\"cts\":")?)?;
            let book = book(symbol, head.kind == Kind::Snapshot, id, time_ms).ok()?;
            (rest.get(at..)? == b"}").then_some(book)
        }
        Kind::Top => None, // no such channel is asked for
        Kind::Trades => {
            let mut at = literal(frame, head.at, b"[")?;
            loop {
                at = match literal(frame, at, b"{\"T\":") {
                    Some(at) => linear_trade(frame, at, symbol, symbols, scalers, prints)?,
                    None => spot_trade(
                        frame,
                        literal(frame, at, b"{\"i\":\"")?,
                        symbol,
                        symbols,
                        scalers,
                        prints,
                    )?,
                };
                match literal(frame, at, b",") {
                    Some(next) => at = next,
                    None => break,
                }
            }
            (frame.get(at..)? == b"]}").then_some(Message::Trades { is_snapshot: false })
        }
    }
}

/// `["price","qty"],…`
struct Levels;

impl LevelText for Levels {
    const OPEN: &'static [u8] = b"[\"";
    const BETWEEN: &'static [u8] = b"\",\"";
    const CLOSE: &'static [u8] = b"\"]";
    const NEXT: &'static [u8] = b"\"],[\"";
    const LAST: &'static [u8] = b"\"]]";
}

/// Reads one trade of linear from behind `{"T":` to behind its closing brace.
#[inline]
fn linear_trade(
    frame: &[u8],
    at: usize,
    symbol: SymbolId,
    symbols: &SymbolTable,
    scalers: &mut LevelScalers,
    prints: &mut Vec<Print>,
) -> Option<usize> {
    let (time_ms, at) = number(frame, at)?;
    let at = own_symbol(frame, literal(frame, at, b",\"s\":\"")?, symbol, symbols)?;
    let (aggressor, at) = taker(frame, at)?;
    let rest = frame.get(literal(frame, at, b",\"v\":\"")?..)?;
    let (qty, rest) = scalers.qty.scan(rest, b"\",\"p\":\"")?;
    let (price, rest) = scalers.price.scan(rest, b"\",\"L\":\"")?;
    let at = frame.len() - rest.len();
    let at = literal(frame, at, b"Zero").unwrap_or(at);
    let at = literal(frame, at, b"PlusTick\"").or_else(|| literal(frame, at, b"MinusTick\""))?;
    let (trade_id, at) = id(frame, literal(frame, at, b",\"i\":\"")?)?;
    let at = flags(frame, at)?;
    let at = match literal(frame, at, b",\"seq\":") {
        Some(at) => number(frame, at)?.1,
        None => at,
    };
    prints.push(Print {
        symbol,
        trade_id,
        price: Price(price),
        qty: Qty(qty),
        aggressor,
        exchange_time: UnixNanos::from_millis(time_ms)?,
    });
    literal(frame, at, b"}")
}

/// Reads one trade of spot from behind `{"i":"` to behind its closing brace.
#[inline]
fn spot_trade(
    frame: &[u8],
    at: usize,
    symbol: SymbolId,
    symbols: &SymbolTable,
    scalers: &mut LevelScalers,
    prints: &mut Vec<Print>,
) -> Option<usize> {
    let (trade_id, at) = id(frame, at)?;
    let (time_ms, at) = number(frame, literal(frame, at, b",\"T\":")?)?;
    let rest = frame.get(literal(frame, at, b",\"p\":\"")?..)?;
    let (price, rest) = scalers.price.scan(rest, b"\",\"v\":\"")?;
    let (qty, rest) = scalers.qty.scan(rest, b"\"")?;
    let (aggressor, at) = taker(frame, frame.len() - rest.len())?;
    let at = match literal(frame, at, b",\"seq\":") {
        Some(at) => number(frame, at)?.1,
        None => at,
    };
    let at = own_symbol(frame, literal(frame, at, b",\"s\":\"")?, symbol, symbols)?;
    let at = flags(frame, at)?;
    prints.push(Print {
        symbol,
        trade_id,
        price: Price(price),
        qty: Qty(qty),
        aggressor,
        exchange_time: UnixNanos::from_millis(time_ms)?,
    });
    literal(frame, at, b"}")
}

/// The id of a trade at the start of `text`, and its length: a number, or the first sixteen digits of a UUID. The rest
/// of the UUID has to be one, too.
#[inline]
pub(super) fn trade_id(text: &[u8]) -> Option<(u64, usize)> {
    let Some(uuid) = text.first_chunk::<UUID_BYTES>().filter(|uuid| uuid[8] == b'-') else {
        return scan_u64(text);
    };
    let mut value = 0_u64;
    let mut digits = 0;
    for (at, byte) in uuid.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
            _ => return None,
        };
        if matches!(at, 8 | 13 | 18 | 23) {
            return None;
        }
        if digits < 16 {
            value = value << 4 | u64::from(digit);
            digits += 1;
        }
    }
    Some((value, UUID_BYTES))
}

/// An id and the quote behind it.
#[inline]
fn id(frame: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, len) = trade_id(frame.get(at..)?)?;
    Some((value, literal(frame, at + len, b"\"")?))
}

/// `50.` of a book's topic.
#[inline]
fn depth(frame: &[u8], at: usize) -> Option<usize> {
    literal(frame, at, b"50.")
        .or_else(|| literal(frame, at, b"200."))
        .or_else(|| literal(frame, at, b"1."))
        .or_else(|| literal(frame, at, b"1000."))
}

/// Whether it is a snapshot.
#[inline]
fn message_type(frame: &[u8], at: usize) -> Option<(bool, usize)> {
    match literal(frame, at, b"delta\"") {
        Some(at) => Some((false, at)),
        None => literal(frame, at, b"snapshot\"").map(|at| (true, at)),
    }
}

/// The symbol of the topic once more, and the quote behind it.
#[inline]
fn own_symbol(frame: &[u8], at: usize, symbol: SymbolId, symbols: &SymbolTable) -> Option<usize> {
    let len = symbols.starts_with(symbol, frame.get(at..)?, b'"')?;
    Some(at + len + 1)
}

#[inline]
fn taker(frame: &[u8], at: usize) -> Option<(Side, usize)> {
    match literal(frame, at, b",\"S\":\"Buy\"") {
        Some(at) => Some((Side::Bid, at)),
        None => literal(frame, at, b",\"S\":\"Sell\"").map(|at| (Side::Ask, at)),
    }
}

/// `"BT"`: a block trade. `"RPI"`: against an order for retail alone; recordings before 2025 do not have it.
#[inline]
fn flags(frame: &[u8], at: usize) -> Option<usize> {
    let at = boolean(frame, literal(frame, at, b",\"BT\":")?)?;
    match literal(frame, at, b",\"RPI\":") {
        Some(at) => boolean(frame, at),
        None => Some(at),
    }
}

#[inline(always)]
fn boolean(frame: &[u8], at: usize) -> Option<usize> {
    literal(frame, at, b"false").or_else(|| literal(frame, at, b"true"))
}

#[inline(always)]
fn number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, len) = scan_u64(bytes.get(at..)?)?;
    Some((value, at + len))
}

const UUID_BYTES: usize = 36;
