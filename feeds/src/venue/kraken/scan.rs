//! The scanner of Kraken's hot shapes: book snapshot and update, trades, the heartbeat.
//!
//! The same bargain as Binance's: exactly the bytes that the venue sends, or `None` and the slow road. Prices and
//! quantities are unquoted and are read from their digits.

use crate::decimal::scan_u64;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId};
use crate::venue::format::Head;
use crate::venue::levels::{self, LevelScalers, LevelText};
use crate::venue::message::{Kind, Message, Print, literal};
use crate::venue::symbols::SymbolTable;
use crate::venue::time::scan_rfc3339;
use crate::venue::wire::ScalerTable;

use super::parse::book;

/// Reads up to the symbol.
#[inline]
pub(super) fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
    let (kind, at) = match literal(frame, 0, b"{\"channel\":\"book\",\"type\":\"") {
        Some(at) => match literal(frame, at, b"update\",\"data\":[{\"symbol\":\"") {
            Some(at) => (Kind::Update, at),
            None => (
                Kind::Snapshot,
                literal(frame, at, b"snapshot\",\"data\":[{\"symbol\":\"")?,
            ),
        },
        None => (
            Kind::Trades,
            literal(
                frame,
                0,
                b"{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"",
            )?,
        ),
    };
    let (symbol, len) = symbols.scan(&frame[at..], b'"', likely)?;
    Some(Head {
        symbol,
        kind,
        at: at + len + 1,
    })
}

/// Whether the frame is the heartbeat.
#[inline]
pub(super) fn is_heartbeat(frame: &[u8]) -> bool {
    frame == b"{\"channel\":\"heartbeat\"}"
}

/// Reads the rest of a frame behind its head; changes and trades are appended.
#[inline]
pub(super) fn body(
    frame: &[u8],
    head: &Head,
    symbols: &SymbolTable,
    scalers: &mut ScalerTable,
    changes: &mut Vec<LevelChange>,
    prints: &mut Vec<Print>,
) -> Option<Message> {
    match head.kind {
        Kind::Snapshot | Kind::Update => {
            let own = scalers.of(head.symbol);
            let rest = frame.get(head.at..)?.strip_prefix(b",\"bids\":[")?;
            let rest = levels::read::<Levels>(rest, Side::Bid, own, changes)?.strip_prefix(b",\"asks\":[")?;
            let rest = levels::read::<Levels>(rest, Side::Ask, own, changes)?.strip_prefix(b",\"checksum\":")?;
            let (checksum, len) = scan_u64(rest)?;
            let rest = rest.get(len..)?.strip_prefix(b",\"timestamp\":\"")?;
            let (exchange_time, len) = scan_rfc3339(rest)?;
            let is_snapshot = head.kind == Kind::Snapshot;
            let book = book(
                head.symbol,
                is_snapshot,
                u32::try_from(checksum).ok()?,
                Some(exchange_time),
            );
            (rest.get(len..)? == b"\"}]}").then_some(book)
        }
        Kind::Top => None, // no such channel is asked for
        Kind::Trades => {
            let (mut symbol, mut at) = (head.symbol, head.at);
            loop {
                at = trade(frame, at, symbol, scalers.of(symbol), prints)?;
                match literal(frame, at, b",{\"symbol\":\"") {
                    Some(next) => {
                        let (other, len) = symbols.scan(&frame[next..], b'"', symbol)?;
                        (symbol, at) = (other, next + len + 1);
                    }
                    None => break,
                }
            }
            (frame.get(at..)? == b"]}").then_some(Message::Trades { is_snapshot: false })
        }
    }
}

/// `{"price":P,"qty":Q},…`
struct Levels;

impl LevelText for Levels {
    const OPEN: &'static [u8] = b"{\"price\":";
    const BETWEEN: &'static [u8] = b",\"qty\":";
    const CLOSE: &'static [u8] = b"}";
    const NEXT: &'static [u8] = b"},{\"price\":";
    const LAST: &'static [u8] = b"}]";
}

/// Reads one trade from behind its symbol to behind its closing brace.
#[inline]
fn trade(
    frame: &[u8],
    at: usize,
    symbol: SymbolId,
    scalers: &mut LevelScalers,
    prints: &mut Vec<Print>,
) -> Option<usize> {
    let at = literal(frame, at, b",\"side\":\"")?;
    let (aggressor, at) = match literal(frame, at, b"buy\"") {
        Some(at) => (Side::Bid, at),
        None => (Side::Ask, literal(frame, at, b"sell\"")?),
    };
    let rest = frame.get(literal(frame, at, b",\"price\":")?..)?;
    let (price, rest) = scalers.price.scan(rest, b",\"qty\":")?;
    let (qty, rest) = scalers.qty.scan(rest, b",\"ord_type\":\"")?;
    let rest = rest
        .strip_prefix(b"limit\"")
        .or_else(|| rest.strip_prefix(b"market\""))?;
    let at = frame.len() - rest.len();
    let at = literal(frame, at, b",\"trade_id\":")?;
    let (trade_id, len) = scan_u64(&frame[at..])?;
    let at = literal(frame, at + len, b",\"timestamp\":\"")?;
    let (exchange_time, len) = scan_rfc3339(&frame[at..])?;
    prints.push(Print {
        symbol,
        trade_id,
        price: Price(price),
        qty: Qty(qty),
        aggressor,
        exchange_time,
    });
    literal(frame, at + len, b"\"}")
}
