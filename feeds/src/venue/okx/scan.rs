//! The scanner of OKX's hot shapes: book snapshot and update, trades.
//!
//! The same bargain as Binance's: exactly the bytes that the venue sends, or `None` and the slow road. Levels have four
//! parts, of which the third is a zero with no meaning any more and the fourth a count of orders that nobody asks for.

use crate::decimal::{ShapedScaler, power_of_ten, scan_u64};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::format::Head;
use crate::venue::levels::LevelScalers;
use crate::venue::message::{Kind, Message, Print, literal};
use crate::venue::symbols::SymbolTable;

use super::parse::BookFields;

/// Reads up to the first level or the first trade.
#[inline]
pub(super) fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
    let at = literal(frame, 0, b"{\"arg\":{\"channel\":\"")?;
    if let Some(at) = literal(frame, at, b"books\",\"instId\":\"") {
        let (symbol, len) = symbols.scan(&frame[at..], b'"', likely)?;
        let at = literal(frame, at + len, b"\"},\"action\":\"")?;
        let (kind, at) = match literal(frame, at, b"update\",\"data\":[{\"asks\":[") {
            Some(at) => (Kind::Update, at),
            None => (Kind::Snapshot, literal(frame, at, b"snapshot\",\"data\":[{\"asks\":[")?),
        };
        return Some(Head { symbol, kind, at });
    }
    let at = literal(frame, at, b"trades\",\"instId\":\"")?;
    let (symbol, len) = symbols.scan(&frame[at..], b'"', likely)?;
    let at = literal(frame, at + len, b"\"},\"data\":[{\"instId\":\"")?;
    Some(Head {
        symbol,
        kind: Kind::Trades,
        at,
    })
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
    let rest = frame.get(head.at..)?;
    match head.kind {
        Kind::Snapshot | Kind::Update => {
            let before = changes.len();
            let rest = levels(rest, Side::Ask, scalers, changes)?.strip_prefix(b",\"bids\":[")?;
            let rest = levels(rest, Side::Bid, scalers, changes)?;
            let (mut fields, rest) = numbers(rest)?;
            fields.is_snapshot = head.kind == Kind::Snapshot;
            fields.has_levels = changes.len() > before;
            (rest == b"}]}").then(|| fields.message(head.symbol))?.ok()
        }
        Kind::Trades => {
            let mut rest = rest;
            loop {
                rest = trade(rest, head.symbol, symbols, scalers, prints)?;
                match rest.strip_prefix(b",{\"instId\":\"") {
                    Some(next) => rest = next,
                    None => break,
                }
            }
            (rest == b"]}").then_some(Message::Trades { is_snapshot: false })
        }
        Kind::Top => None, // no such channel is asked for
    }
}

/// `["price","qty","0","orders"],…]` from behind the opening bracket.
#[inline(always)]
fn levels<'a>(
    rest: &'a [u8],
    side: Side,
    scalers: &mut LevelScalers,
    changes: &mut Vec<LevelChange>,
) -> Option<&'a [u8]> {
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some(rest);
    }
    let mut rest = rest;
    loop {
        let (price, behind_price) = decimal(rest.strip_prefix(b"[\"")?, &mut scalers.price, b"\",\"")?;
        let (qty, orders) = decimal(behind_price, &mut scalers.qty, b"\",\"0\",\"")?;
        changes.push(LevelChange {
            side,
            price: Price(price),
            qty: Qty(qty),
        });
        let (_, len) = scan_u64(orders)?;
        let next = orders.get(len..)?.strip_prefix(b"\"]")?;
        match next.split_first()? {
            (b',', level) => rest = level,
            (b']', behind) => return Some(behind),
            _ => return None,
        }
    }
}

/// A mantissa, and what is left behind the text that must follow. Without trailing zeros many numbers have no point: a
/// round price, a deletion, every size in contracts. The shaped reader bets on a point, so these go first.
#[inline(always)]
fn decimal<'a>(rest: &'a [u8], scaler: &mut ShapedScaler, behind: &[u8]) -> Option<(i64, &'a [u8])> {
    if let Some((whole, len)) = scan_u64(rest)
        && let Some(left) = rest[len..].strip_prefix(behind)
        && let (Ok(whole), Some(one)) = (i64::try_from(whole), power_of_ten(scaler.scaler().decimals()))
        && let Some(mantissa) = whole.checked_mul(one)
    {
        return Some((mantissa, left));
    }
    scaler.scan(rest, behind)
}

/// `,"ts":"…","checksum":…,"seqId":…,"prevSeqId":…`, the ids in any order, what is not sent absent.
#[inline]
fn numbers(rest: &[u8]) -> Option<(BookFields, &[u8])> {
    let (time_ms, rest) = quoted(rest, b",\"ts\":\"")?;
    let mut fields = BookFields {
        time_ms,
        ..BookFields::default()
    };
    let mut rest = rest;
    if let Some(behind) = rest.strip_prefix(b",\"checksum\":") {
        let (checksum, behind) = signed(behind)?;
        fields.checksum = Some(checksum);
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(b",\"prevSeqId\":") {
        let (previous, behind) = signed(behind)?;
        fields.previous_id = Some(previous);
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(b",\"seqId\":") {
        let (last, len) = scan_u64(behind)?;
        fields.last_id = Some(last);
        rest = behind.get(len..)?;
    }
    if fields.previous_id.is_none()
        && let Some(behind) = rest.strip_prefix(b",\"prevSeqId\":")
    {
        let (previous, behind) = signed(behind)?;
        fields.previous_id = Some(previous);
        rest = behind;
    }
    Some((fields, rest))
}

/// Reads one trade from behind the quote that opens its symbol to behind its brace.
#[inline]
fn trade<'a>(
    rest: &'a [u8],
    symbol: SymbolId,
    symbols: &SymbolTable,
    scalers: &mut LevelScalers,
    prints: &mut Vec<Print>,
) -> Option<&'a [u8]> {
    let rest = rest.get(symbols.starts_with(symbol, rest, b'"')?..)?;
    let (trade_id, rest) = quoted(rest, b"\",\"tradeId\":\"")?;
    let (price, rest) = decimal(rest.strip_prefix(b",\"px\":\"")?, &mut scalers.price, b"\",\"sz\":\"")?;
    let (qty, rest) = decimal(rest, &mut scalers.qty, b"\",\"side\":\"")?;
    let (aggressor, rest) = match rest.strip_prefix(b"buy\"") {
        Some(rest) => (Side::Bid, rest),
        None => (Side::Ask, rest.strip_prefix(b"sell\"")?),
    };
    let (time_ms, mut rest) = quoted(rest, b",\"ts\":\"")?;
    // How many trades it stands for, where from, and a sequence of its own: today's additions.
    for key in [&b",\"count\":\""[..], b",\"source\":\""] {
        if rest.starts_with(key) {
            (_, rest) = quoted(rest, key)?;
        }
    }
    if let Some(sequence) = rest.strip_prefix(b",\"seqId\":") {
        let (_, len) = scan_u64(sequence)?;
        rest = sequence.get(len..)?;
    }
    prints.push(Print {
        symbol,
        trade_id,
        price: Price(price),
        qty: Qty(qty),
        aggressor,
        exchange_time: UnixNanos::from_millis(time_ms)?,
    });
    rest.strip_prefix(b"}")
}

/// A whole number behind `key` and before a quote.
#[inline(always)]
fn quoted<'a>(rest: &'a [u8], key: &[u8]) -> Option<(u64, &'a [u8])> {
    let rest = rest.strip_prefix(key)?;
    let (value, len) = scan_u64(rest)?;
    Some((value, rest.get(len..)?.strip_prefix(b"\"")?))
}

/// A whole number that may be negative.
#[inline(always)]
fn signed(rest: &[u8]) -> Option<(i64, &[u8])> {
    let digits = rest.strip_prefix(b"-");
    let (value, len) = scan_u64(digits.unwrap_or(rest))?;
    let value = i64::try_from(value).ok()?;
    match digits {
        Some(_) if value == 0 => None,
        Some(digits) => Some((-value, digits.get(len..)?)),
        None => Some((value, rest.get(len..)?)),
    }
}
