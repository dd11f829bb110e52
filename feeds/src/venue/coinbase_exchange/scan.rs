//! The scanner of Coinbase Exchange's hot shapes: snapshot, update, trade.
//!
//! The same bargain as on other venues: exactly the bytes that the venue sends, or `None` and the slow road. Snapshots
//! were recorded with their asks first and are documented with their bids first: both are read.

use crate::decimal::scan_u64;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId};
use crate::venue::coinbase::products::{aggressor, flat_object, unquoted, whole};
use crate::venue::format::Head;
use crate::venue::levels::{self, LevelScalers, LevelText};
use crate::venue::message::{Kind, Message, Print, literal};
use crate::venue::symbols::SymbolTable;
use crate::venue::time::scan_rfc3339;

use super::parse::book;

/// Reads up to the symbol; a trade, where it stands near the end, to its end.
#[inline]
pub(super) fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
    let (kind, at) = match literal(frame, 0, b"{\"type\":\"l2update\",\"product_id\":\"") {
        Some(at) => (Kind::Update, at),
        None => match literal(frame, 0, b"{\"type\":\"snapshot\",\"product_id\":\"") {
            Some(at) => (Kind::Snapshot, at),
            None => {
                literal(frame, 0, b"{\"type\":\"match\",")?;
                let ([_, product], end) = flat_object(frame, 0, [b"type", b"product_id"])?;
                let symbol = symbols.find(unquoted(product)?)?;
                let kind = Kind::Trades;
                return (end == frame.len()).then_some(Head { symbol, kind, at: 0 });
            }
        },
    };
    let (symbol, len) = symbols.scan(&frame[at..], b'"', likely)?;
    let at = at + len + 1;
    Some(Head { symbol, kind, at })
}

/// Reads the rest of a frame behind its head; changes and trades are appended.
#[inline]
pub(super) fn body(
    frame: &[u8],
    head: &Head,
    own: &mut LevelScalers,
    changes: &mut Vec<LevelChange>,
    prints: &mut Vec<Print>,
) -> Option<Message> {
    let rest = frame.get(head.at..)?;
    match head.kind {
        Kind::Update => {
            let rest = changes_of(rest.strip_prefix(b",\"changes\":[")?, own, changes)?;
            let rest = rest.strip_prefix(b",\"time\":\"")?;
            let (exchange_time, len) = scan_rfc3339(rest)?;
            let book = book(head.symbol, false, Some(exchange_time));
            (rest.get(len..)? == b"\"}").then_some(book)
        }
        Kind::Snapshot => {
            let rest = match rest.strip_prefix(b",\"asks\":[") {
                Some(asks) => {
                    let rest = levels::read::<Levels>(asks, Side::Ask, own, changes)?;
                    let asks = changes.len();
                    let bids = rest.strip_prefix(b",\"bids\":[")?;
                    let rest = levels::read::<Levels>(bids, Side::Bid, own, changes)?;
                    changes.rotate_left(asks); // bids first, as on the slow road
                    rest
                }
                None => {
                    let rest = levels::read::<Levels>(rest.strip_prefix(b",\"bids\":[")?, Side::Bid, own, changes)?;
                    levels::read::<Levels>(rest.strip_prefix(b",\"asks\":[")?, Side::Ask, own, changes)?
                }
            };
            let (exchange_time, rest) = match rest.strip_prefix(b",\"time\":\"") {
                Some(time) => {
                    let (exchange_time, len) = scan_rfc3339(time)?;
                    (Some(exchange_time), time.get(len..)?.strip_prefix(b"\"")?)
                }
                None => (None, rest),
            };
            (rest == b"}").then_some(book(head.symbol, true, exchange_time))
        }
        Kind::Top => None, // no such channel is asked for
        Kind::Trades => {
            let keys: [&[u8]; 5] = [b"trade_id", b"price", b"size", b"side", b"time"];
            let ([trade_id, price, size, side, time], _) = flat_object(frame, 0, keys)?;
            let [price, size, side, time] = [unquoted(price)?, unquoted(size)?, unquoted(side)?, unquoted(time)?];
            let own = own.plain();
            prints.push(Print {
                symbol: head.symbol,
                trade_id: whole(scan_u64(trade_id), trade_id)?,
                price: Price(whole(own.price.scan(price).ok(), price)?),
                qty: Qty(whole(own.qty.scan(size).ok(), size)?),
                aggressor: aggressor(side)?,
                exchange_time: whole(scan_rfc3339(time), time)?,
            });
            Some(Message::Trades { is_snapshot: false })
        }
    }
}

/// Reads `["buy","P","Q"],…]` from behind its opening bracket to behind the closing one.
#[inline]
fn changes_of<'a>(mut rest: &'a [u8], own: &mut LevelScalers, changes: &mut Vec<LevelChange>) -> Option<&'a [u8]> {
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some(rest);
    }
    loop {
        let side = match rest.strip_prefix(b"[\"buy\",\"") {
            Some(behind) => {
                rest = behind;
                Side::Bid
            }
            None => {
                rest = rest.strip_prefix(b"[\"sell\",\"")?;
                Side::Ask
            }
        };
        let (price, behind) = own.price.scan(rest, b"\",\"")?;
        let (qty, behind) = own.qty.scan(behind, b"\"]")?;
        changes.push(LevelChange {
            side,
            price: Price(price),
            qty: Qty(qty),
        });
        match behind.split_first()? {
            (b',', behind) => rest = behind,
            (b']', behind) => return Some(behind),
            _ => return None,
        }
    }
}

/// `["P","Q"],…`
struct Levels;

impl LevelText for Levels {
    const OPEN: &'static [u8] = b"[\"";
    const BETWEEN: &'static [u8] = b"\",\"";
    const CLOSE: &'static [u8] = b"\"]";
    const NEXT: &'static [u8] = b"\"],[\"";
    const LAST: &'static [u8] = b"\"]]";
}
