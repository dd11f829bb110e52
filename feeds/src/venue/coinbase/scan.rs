//! The scanner of Advanced Trade's hot shapes: one event of levels, one event of new trades, and the number of any frame.
//!
//! The same bargain as on other venues: exactly the bytes that the venue sends, or `None` and the slow road. A level has
//! its side and its time in front of its numbers, so it has a loop of its own. Its time is never used: text that could be
//! a time and nothing else is passed over.

use crate::decimal::scan_u64;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::levels::LevelScalers;
use crate::venue::message::{Kind, Message, Print, literal};
use crate::venue::symbols::SymbolTable;
use crate::venue::time::scan_rfc3339;
use crate::venue::wire::ScalerTable;

use super::parse::{Channel, book};
use super::products::{aggressor, flat_object, unquoted, whole};

/// What stands before the events of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Where the name of the channel ends; it starts at [`CHANNEL_AT`].
    channel_end: usize,
    exchange_time: UnixNanos,
    pub(super) sequence: u64,
    /// Behind the opening bracket of the events.
    at: usize,
}

/// The part of a frame up to its first symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub(super) symbol: SymbolId,
    pub(super) kind: Kind,
    exchange_time: UnixNanos,
    /// Books: behind the symbol's closing quote. Trades: at the first trade.
    at: usize,
}

/// Reads what every frame starts with, whatever its channel.
#[inline]
pub(super) fn envelope(frame: &[u8]) -> Option<Envelope> {
    let channel_at = literal(frame, 0, b"{\"channel\":\"")?;
    debug_assert_eq!(channel_at, CHANNEL_AT, "the length of that text");
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let channel_end = channel_at + frame[channel_at..].iter().position(|&byte| !is_name(byte))?;
    let time_at = literal(frame, channel_end, b"\",\"client_id\":\"\",\"timestamp\":\"")?;
    let (exchange_time, len) = scan_rfc3339(&frame[time_at..])?;
    let number_at = literal(frame, time_at + len, b"\",\"sequence_num\":")?;
    let (sequence, len) = scan_u64(&frame[number_at..])?;
    Some(Envelope {
        channel_end,
        exchange_time,
        sequence,
        at: literal(frame, number_at + len, b",\"events\":[")?,
    })
}

/// Reads on to the first symbol.
#[inline]
pub(super) fn head(frame: &[u8], envelope: &Envelope, symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
    let channel = match &frame[CHANNEL_AT..envelope.channel_end] {
        b"l2_data" => Channel::Book,
        b"market_trades" => Channel::Trades,
        _ => return None,
    };
    let at = literal(frame, envelope.at, b"{\"type\":\"")?;
    let (kind, symbol, at) = match channel {
        Channel::Book => {
            let (kind, at) = match literal(frame, at, b"update\",\"product_id\":\"") {
                Some(at) => (Kind::Update, at),
                None => (Kind::Snapshot, literal(frame, at, b"snapshot\",\"product_id\":\"")?),
            };
            let (symbol, len) = symbols.scan(&frame[at..], b'"', likely)?;
            (kind, symbol, at + len + 1)
        }
        Channel::Trades => {
            let at = literal(frame, at, b"update\",\"trades\":[")?;
            let ([product], _) = flat_object(frame, at, [b"product_id"])?;
            (Kind::Trades, symbols.find(unquoted(product)?)?, at)
        }
    };
    Some(Head {
        symbol,
        kind,
        exchange_time: envelope.exchange_time,
        at,
    })
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
            let rest = frame.get(head.at..)?.strip_prefix(b",\"updates\":[")?;
            let rest = levels(rest, scalers.of(head.symbol), changes)?;
            let book = book(head.symbol, head.kind == Kind::Snapshot, head.exchange_time);
            (rest == b"}]}").then_some(book)
        }
        Kind::Top => None, // no such channel is asked for
        Kind::Trades => {
            let mut at = head.at;
            loop {
                at = trade(frame, at, symbols, scalers, prints)?;
                match frame.get(at)? {
                    b',' => at += 1,
                    _ => break,
                }
            }
            (frame.get(at..)? == b"]}]}").then_some(Message::Trades { is_snapshot: false })
        }
    }
}

/// Reads levels from behind the opening bracket to behind the closing one.
#[inline]
fn levels<'a>(mut rest: &'a [u8], scalers: &mut LevelScalers, changes: &mut Vec<LevelChange>) -> Option<&'a [u8]> {
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some(rest);
    }
    // With its closing quote. Levels of one frame often have the same.
    let mut last_time: &[u8] = b"\"";
    loop {
        rest = rest.strip_prefix(b"{\"side\":\"")?;
        let side = match rest.strip_prefix(b"bid\"") {
            Some(behind) => {
                rest = behind;
                Side::Bid
            }
            None => {
                rest = rest.strip_prefix(b"offer\"")?;
                Side::Ask
            }
        };
        rest = rest.strip_prefix(b",\"event_time\":\"")?;
        rest = match rest.strip_prefix(last_time) {
            Some(behind) => behind,
            None => {
                let len = rest.iter().position(|&byte| !is_of_a_time(byte))?;
                let (time, behind) = rest.split_at_checked(len + 1)?;
                last_time = time;
                (time[len] == b'"').then_some(behind)?
            }
        };
        rest = rest.strip_prefix(b",\"price_level\":\"")?;
        let (price, behind) = scalers.price.scan(rest, b"\",\"new_quantity\"")?;
        rest = behind.strip_prefix(b":\"")?;
        let qty = match rest.strip_prefix(b"0\"}") {
            Some(behind) => {
                rest = behind;
                0
            }
            None => {
                let (qty, behind) = scalers.qty.scan(rest, b"\"}")?;
                rest = behind;
                qty
            }
        };
        changes.push(LevelChange {
            side,
            price: Price(price),
            qty: Qty(qty),
        });
        match rest.split_first()? {
            (b',', behind) => rest = behind,
            (b']', behind) => return Some(behind),
            _ => return None,
        }
    }
}

#[inline]
fn is_of_a_time(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'T' | b'Z')
}

/// Reads the trade at `at` to behind its closing brace.
#[inline]
fn trade(
    frame: &[u8],
    at: usize,
    symbols: &SymbolTable,
    scalers: &mut ScalerTable,
    prints: &mut Vec<Print>,
) -> Option<usize> {
    let keys: [&[u8]; 6] = [b"trade_id", b"product_id", b"price", b"size", b"side", b"time"];
    let (values, end) = flat_object(frame, at, keys)?;
    let [trade_id, product, price, size, side, time] = values.map(unquoted);
    let symbol = symbols.find(product?)?;
    let own = scalers.plain(symbol);
    prints.push(Print {
        symbol,
        trade_id: whole(scan_u64(trade_id?), trade_id?)?,
        price: Price(whole(own.price.scan(price?).ok(), price?)?),
        qty: Qty(whole(own.qty.scan(size?).ok(), size?)?),
        aggressor: aggressor(side?)?,
        exchange_time: whole(scan_rfc3339(time?), time?)?,
    });
    Some(end)
}

const CHANNEL_AT: usize = "{\"channel\":\"".len();
