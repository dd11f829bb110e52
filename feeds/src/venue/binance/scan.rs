//! The scanner of Binance's hot shapes: diff, trade and best bid/ask of each product, with and without the stream's
//! wrapper.
//!
//! It reads exactly the bytes that the venue sends: this order of keys, no spaces, no escapes. Anything else is `None`,
//! whatever the reason, and the frame goes to the slow road, which alone decides what is malformed. So the scanner can
//! be wrong in one way only, by accepting a frame with another meaning, and the tests hold it against that road.

use crate::decimal::scan_u64;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::levels::{self, LevelScalers, LevelText};
use crate::venue::message::{self, Message, Print, Ticker, literal};
use crate::venue::symbols::SymbolTable;

use super::front::DiffFront;
use super::parse::{DiffIds, diff};
use super::product::Product;

/// The part of a frame up to its numbers: enough to know whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub(super) symbol: SymbolId,
    kind: Kind,
    /// Whether the payload lies in `{"stream":…,"data":…}`.
    wrapped: bool,
    /// Where the rest starts.
    at: usize,
}

impl Head {
    pub(super) fn kind(&self) -> message::Kind {
        match self.kind {
            Kind::Diff { .. } => message::Kind::Update,
            Kind::Ticker { .. } => message::Kind::Top,
            Kind::Trade { .. } => message::Kind::Trades,
        }
    }

    /// The front of a diff that was not known: up to the bracket that opens the bids. `frame` is one that
    /// [`body`] has read.
    #[inline]
    pub(super) fn unknown_front<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let Kind::Diff { ids: None, .. } = self.kind else {
            return None;
        };
        let bids = frame.get(self.at..)?.iter().position(|&byte| byte == b'[')?;
        frame.get(..=self.at + bids)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `ids` are the first and the last, where the front was known and they were read with it.
    Diff {
        event_time_ms: u64,
        ids: Option<(u64, u64)>,
    },
    Trade {
        transaction_time_ms: u64,
    },
    Ticker {
        update_id: u64,
    },
}

/// The head of a diff of `symbol` whose front is known.
#[inline]
pub(super) fn known_head(frame: &[u8], front: &DiffFront, symbol: SymbolId) -> Option<Head> {
    let numbers = front.read(frame)?;
    Some(Head {
        symbol,
        kind: Kind::Diff {
            event_time_ms: numbers.event_time_ms,
            ids: Some((numbers.first_id, numbers.last_id)),
        },
        wrapped: front.is_wrapped(),
        at: front.len(),
    })
}

/// Whose stream the wrapper names; `None` also where there is none.
#[inline]
pub(super) fn stream_symbol(frame: &[u8], lower: &SymbolTable, likely: SymbolId) -> Option<SymbolId> {
    let stream = literal(frame, 0, STREAM)?;
    lower.scan(&frame[stream..], b'@', likely).map(|(symbol, _)| symbol)
}

/// Reads up to the symbol. `upper` and `lower` hold the same symbols, as in payloads and as in stream names.
#[inline]
pub(super) fn head<P: Product>(
    frame: &[u8],
    upper: &SymbolTable,
    lower: &SymbolTable,
    likely: SymbolId,
) -> Option<Head> {
    let Some(stream) = literal(frame, 0, STREAM) else {
        // Raw: the payload alone. The first key tells the kinds apart.
        return payload::<P>(frame, 0, None, upper, likely);
    };
    let (symbol, len) = lower.scan(&frame[stream..], b'@', likely)?;
    let name = stream + len + 1;
    let (at, named) = match frame.get(name)? {
        b'd' => (P::depth_stream(frame, name)?, Named::Depth),
        b'b' => (literal(frame, name, b"bookTicker\",\"data\":")?, Named::BookTicker),
        b't' => (literal(frame, name, b"trade\",\"data\":")?, Named::Trade),
        _ => return None,
    };
    payload::<P>(frame, at, Some(named), upper, symbol)
}

/// What the name of a stream promises.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Depth,
    BookTicker,
    Trade,
}

#[inline]
fn payload<P: Product>(
    frame: &[u8],
    at: usize,
    named: Option<Named>,
    upper: &SymbolTable,
    symbol: SymbolId,
) -> Option<Head> {
    let wrapped = named.is_some();
    // Within a wrapper the payload must be of the stream's symbol; alone, `symbol` is a guess.
    let symbol_at = |at: usize| -> Option<(SymbolId, usize)> {
        let bytes = frame.get(at..)?;
        match wrapped {
            true => upper.starts_with(symbol, bytes, b'"').map(|len| (symbol, at + len)),
            false => upper.scan(bytes, b'"', symbol).map(|(symbol, len)| (symbol, at + len)),
        }
    };
    let is = |kind: Named| named.is_none_or(|named| named == kind);
    if is(Named::Depth)
        && let Some(at) = literal(frame, at, b"{\"e\":\"depthUpdate\",\"E\":")
    {
        let (event_time_ms, at) = number(frame, at)?;
        let (_, at) = P::transaction_time(frame, at)?;
        let (symbol, at) = symbol_at(literal(frame, at, b",\"s\":\"")?)?;
        let at = literal(frame, P::behind_symbol(frame, at)?, b"\",\"U\":")?;
        return Some(Head {
            symbol,
            kind: Kind::Diff {
                event_time_ms,
                ids: None,
            },
            wrapped,
            at,
        });
    }
    if is(Named::BookTicker)
        && let Some(rest) = frame.get(at..)
        && rest.starts_with(P::TICKER_OPEN)
    {
        let (update_id, at) = number(frame, at + P::TICKER_OPEN.len())?;
        let (symbol, at) = symbol_at(literal(frame, at, b",\"s\":\"")?)?;
        let at = literal(frame, P::behind_symbol(frame, at)?, b"\",\"b\":\"")?;
        return Some(Head {
            symbol,
            kind: Kind::Ticker { update_id },
            wrapped,
            at,
        });
    }
    if is(Named::Trade)
        && let Some(at) = literal(frame, at, b"{\"e\":\"trade\",\"E\":")
    {
        let (_, at) = number(frame, at)?;
        let (transaction_time_ms, at) = P::transaction_time(frame, at)?;
        let (symbol, at) = symbol_at(literal(frame, at, b",\"s\":\"")?)?;
        let at = literal(frame, at, b"\",\"t\":")?;
        return Some(Head {
            symbol,
            kind: Kind::Trade { transaction_time_ms },
            wrapped,
            at,
        });
    }
    None
}

/// Reads the rest of a frame behind its head. Changes and trades are appended (also where the frame turns out not to fit
/// and `None` is returned).
#[inline]
pub(super) fn body<P: Product>(
    frame: &[u8],
    head: &Head,
    scalers: &mut LevelScalers,
    changes: &mut Vec<LevelChange>,
    prints: &mut Vec<Print>,
) -> Option<Message> {
    let symbol = head.symbol;
    let (message, rest) = match head.kind {
        Kind::Diff { event_time_ms, ids } => {
            let (first_id, last_id, previous_id, at) = match ids {
                Some((first_id, last_id)) => (first_id, last_id, None, head.at),
                None => {
                    let (first_id, at) = number(frame, head.at)?;
                    let (last_id, at) = number(frame, literal(frame, at, b",\"u\":")?)?;
                    let (previous_id, at) = P::previous_id(frame, at)?;
                    (first_id, last_id, previous_id, literal(frame, at, b",\"b\":[")?)
                }
            };
            let rest = frame.get(at..)?;
            let rest = levels::read::<Levels>(rest, Side::Bid, scalers, changes)?.strip_prefix(b",\"a\":[")?;
            let rest = levels::read::<Levels>(rest, Side::Ask, scalers, changes)?;
            let ids = DiffIds {
                first: first_id,
                last: last_id,
                previous: previous_id,
            };
            (diff(symbol, ids, event_time_ms).ok()?, rest)
        }
        Kind::Ticker { update_id } => {
            let (bid_price, rest) = scalers.price.scan(frame.get(head.at..)?, b"\",\"B\":\"")?;
            let (bid_qty, rest) = scalers.qty.scan(rest, b"\",\"a\":\"")?;
            let (ask_price, rest) = scalers.price.scan(rest, b"\",\"A\":\"")?;
            let (ask_qty, rest) = scalers.qty.scan(rest, b"\"")?;
            let bid = (Price(bid_price), Qty(bid_qty));
            let ask = (Price(ask_price), Qty(ask_qty));
            (
                Message::Top(Ticker {
                    symbol,
                    update_id,
                    bid,
                    ask,
                }),
                P::behind_ticker(rest)?,
            )
        }
        Kind::Trade { transaction_time_ms } => {
            let (trade_id, at) = number(frame, head.at)?;
            let rest = frame.get(literal(frame, at, b",\"p\":\"")?..)?;
            let (price, rest) = scalers.price.scan(rest, b"\",\"q\":\"")?;
            let (qty, rest) = scalers.qty.scan(rest, b"\"")?;
            let (trade_time_ms, buyer_is_maker, at) = P::trade_end(rest, transaction_time_ms)?;
            let aggressor = if buyer_is_maker { Side::Ask } else { Side::Bid };
            let exchange_time = UnixNanos::from_millis(trade_time_ms)?;
            let (price, qty) = (Price(price), Qty(qty));
            prints.push(Print {
                symbol,
                trade_id,
                price,
                qty,
                aggressor,
                exchange_time,
            });
            (Message::Trades { is_snapshot: false }, rest.get(at..)?)
        }
    };
    // Each of a known length: no call to compare two bytes.
    let rest = P::behind_payload(rest);
    let is_end = if head.wrapped { rest == b"}}" } else { rest == b"}" };
    is_end.then_some(message)
}

/// The body of a REST snapshot: `{"lastUpdateId":N,"bids":[…],"asks":[…]}`.
pub(super) fn snapshot<P: Product>(
    body: &[u8],
    scalers: &mut LevelScalers,
    levels_out: &mut Vec<LevelChange>,
) -> Option<u64> {
    let (last_update_id, at) = number(body, literal(body, 0, b"{\"lastUpdateId\":")?)?;
    let at = P::behind_snapshot_id(body, at)?;
    let rest = body.get(at..)?.strip_prefix(b",\"bids\":[")?;
    let rest = levels::read::<Levels>(rest, Side::Bid, scalers, levels_out)?.strip_prefix(b",\"asks\":[")?;
    (levels::read::<Levels>(rest, Side::Ask, scalers, levels_out)? == b"}").then_some(last_update_id)
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

/// How the wrapper starts.
const STREAM: &[u8; 11] = b"{\"stream\":\"";

#[inline(always)]
pub(super) fn number(frame: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, len) = scan_u64(frame.get(at..)?)?;
    Some((value, at + len))
}

#[inline(always)]
pub(super) fn boolean(frame: &[u8], at: usize) -> Option<(bool, usize)> {
    match literal(frame, at, b"true") {
        Some(at) => Some((true, at)),
        None => literal(frame, at, b"false").map(|at| (false, at)),
    }
}
