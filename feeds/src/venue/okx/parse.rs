//! OKX's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId};
use crate::venue::fields::{
    decimal_of, decimals_of, level_decimals, levels, millis, required, text, whole, whole_book, whole_text,
};
use crate::venue::format::{Format, FormatReader, Head, Subject};
use crate::venue::json::Json;
use crate::venue::message::{Answer, BookMessage, Kind, Message, MessageDecimals, Notice, ParseError, Print, Scalers};
use crate::venue::symbols::{SymbolTable, named_in};
use crate::venue::wire::ScalerTable;

use super::{DEAD, scan};

/// Reads frames of OKX.
pub type Parser = FormatReader<OkxFormat>;

/// What stands in OKX's frames.
pub struct OkxFormat;

impl Format for OkxFormat {
    #[inline]
    fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
        scan::head(frame, symbols, likely)
    }

    #[inline]
    fn body(
        frame: &[u8],
        head: &Head,
        symbols: &SymbolTable,
        scalers: &mut ScalerTable,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        scan::body(frame, head, symbols, scalers.of(head.symbol), changes, prints)
    }

    fn known(frame: &[u8]) -> Option<Notice> {
        (frame == PONG).then_some(Notice::Control)
    }

    fn subject(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Subject, ParseError> {
        Ok(match open(json, symbols)? {
            Content::Book {
                symbol, is_snapshot, ..
            } => Subject::book(symbol, is_snapshot),
            Content::Trades { symbol, .. } => Subject::Market(symbol, Kind::Trades),
            Content::Other(notice) => Subject::Other(notice),
        })
    }

    fn read(
        json: Json<'_, '_>,
        symbols: &SymbolTable,
        scalers: &ScalerTable,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        match open(json, symbols)? {
            Content::Book {
                symbol,
                is_snapshot,
                item,
            } => read_book(symbol, is_snapshot, item, scalers.plain(symbol), changes),
            Content::Trades { symbol, data } => {
                for item in data.items().ok_or(ParseError::Malformed)? {
                    prints.push(read_trade(item, symbol, symbols, scalers.plain(symbol))?);
                }
                Ok(Message::Trades { is_snapshot: false })
            }
            Content::Other(notice) => Ok(Message::Notice(notice)),
        }
    }

    fn decimals(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<MessageDecimals, ParseError> {
        let mut printed = MessageDecimals::default();
        match open(json, symbols)? {
            Content::Book { item, .. } => {
                let [asks, bids] = item.get(["asks", "bids"]).ok_or(ParseError::Malformed)?;
                level_decimals(asks, level, &mut printed)?;
                level_decimals(bids, level, &mut printed)?;
            }
            Content::Trades { data, .. } => {
                for item in data.items().ok_or(ParseError::Malformed)? {
                    let [price, qty] = item.get(["px", "sz"]).ok_or(ParseError::Malformed)?;
                    printed.price = printed.price.max(decimals_of(price)?);
                    printed.qty = printed.qty.max(decimals_of(qty)?);
                }
            }
            Content::Other(_) => {}
        }
        Ok(printed)
    }

    fn rest_snapshot(json: Json<'_, '_>, out: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        let [code, data] = json.get(["code", "data"]).ok_or(ParseError::Malformed)?;
        if text(code)? != "0" {
            return Err(ParseError::Malformed);
        }
        let item = required(data)?.only_item().ok_or(ParseError::Malformed)?;
        let [bids, asks, last_id] = item.get(["bids", "asks", "seqId"]).ok_or(ParseError::Malformed)?;
        let scale = whole_book([bids, asks], level, |needed| Ok(needed.significant()), out)?;
        Ok((whole(last_id)?, scale))
    }

    fn symbol_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId> {
        named_in(frame, symbols, b"\"instId\":\"", b'"')
    }
}

/// A frame as JSON.
enum Content<'tape, 'text> {
    Book {
        symbol: SymbolId,
        is_snapshot: bool,
        item: Json<'tape, 'text>,
    },
    Trades {
        symbol: SymbolId,
        data: Json<'tape, 'text>,
    },
    Other(Notice),
}

fn open<'tape, 'text>(json: Json<'tape, 'text>, symbols: &SymbolTable) -> Result<Content<'tape, 'text>, ParseError> {
    let [event, arg, action, data] = json
        .get(["event", "arg", "action", "data"])
        .ok_or(ParseError::Malformed)?;
    if let Some(event) = event {
        let event = event.str().ok_or(ParseError::Malformed)?;
        return notice(event, json, arg, symbols).map(Content::Other);
    }
    let [channel, symbol] = required(arg)?.get(["channel", "instId"]).ok_or(ParseError::Malformed)?;
    let channel = text(channel)?;
    if !matches!(channel, "books" | "trades") {
        return Ok(Content::Other(Notice::Control));
    }
    let symbol = symbols
        .find(text(symbol)?.as_bytes())
        .ok_or(ParseError::UnknownSymbol)?;
    let data = required(data)?;
    if channel == "trades" {
        let is_empty = data.items().ok_or(ParseError::Malformed)?.next().is_none();
        return Ok(match is_empty {
            true => Content::Other(Notice::Control),
            false => Content::Trades { symbol, data },
        });
    }
    let is_snapshot = match text(action)? {
        "snapshot" => true,
        "update" => false,
        _ => return Err(ParseError::Malformed),
    };
    let item = data.only_item().ok_or(ParseError::Malformed)?;
    Ok(Content::Book {
        symbol,
        is_snapshot,
        item,
    })
}

/// What an `event` means.
fn notice(
    event: &str,
    json: Json<'_, '_>,
    arg: Option<Json<'_, '_>>,
    symbols: &SymbolTable,
) -> Result<Notice, ParseError> {
    let [code, message] = json.get(["code", "msg"]).ok_or(ParseError::Malformed)?;
    match event {
        "subscribe" | "unsubscribe" => {
            let [channel, symbol] = required(arg)?.get(["channel", "instId"]).ok_or(ParseError::Malformed)?;
            let spelling = symbol.and_then(Json::str).unwrap_or("");
            Ok(Notice::Answer(Answer {
                to_subscribe: event == "subscribe",
                symbol: symbols.find(spelling.as_bytes()),
                about_book: text(channel)? == "books",
                success: true,
                depth: None,
            }))
        }
        "error" => {
            let message = message.and_then(Json::str).unwrap_or("");
            Ok(Notice::Answer(refusal(message, symbols)))
        }
        "channel-conn-count-error" => Ok(Notice::Answer(Answer::REFUSED)),
        "notice" if code.and_then(Json::str) == Some(UPGRADE) => Ok(Notice::Shutdown),
        _ => Ok(Notice::Control),
    }
}

/// A refusal names what it is about in its text alone, if at all. The book is what matters: trades that were refused
/// leave it as it is.
fn refusal(message: &str, symbols: &SymbolTable) -> Answer {
    let named = message
        .split_once("channel:books,instId:")
        .and_then(|(_, rest)| rest.split([' ', ',']).next());
    let symbol = named.and_then(|spelling| symbols.find(spelling.as_bytes()));
    Answer {
        symbol,
        about_book: symbol.is_some(),
        ..Answer::REFUSED
    }
}

fn read_book(
    symbol: SymbolId,
    is_snapshot: bool,
    item: Json<'_, '_>,
    scalers: Scalers,
    changes: &mut Vec<LevelChange>,
) -> Result<Message, ParseError> {
    let [asks, bids, ts, checksum, last_id, previous_id] = item
        .get(["asks", "bids", "ts", "checksum", "seqId", "prevSeqId"])
        .ok_or(ParseError::Malformed)?;
    levels(asks, Side::Ask, scalers, level, changes)?;
    levels(bids, Side::Bid, scalers, level, changes)?;
    let signed = |value: Json<'_, '_>| value.i64().ok_or(ParseError::Malformed);
    BookFields {
        is_snapshot,
        has_levels: !changes.is_empty(),
        time_ms: whole_text(ts)?,
        checksum: checksum.map(signed).transpose()?,
        last_id: last_id.map(|last_id| whole(Some(last_id))).transpose()?,
        previous_id: previous_id.map(signed).transpose()?,
    }
    .message(symbol)
}

/// The fields of a book message as they came.
#[derive(Debug, Default)]
pub(super) struct BookFields {
    pub(super) is_snapshot: bool,
    pub(super) has_levels: bool,
    pub(super) time_ms: u64,
    pub(super) checksum: Option<i64>,
    pub(super) last_id: Option<u64>,
    pub(super) previous_id: Option<i64>,
}

impl BookFields {
    /// The message, if its ids and its checksum are such as the venue's rule knows.
    #[inline]
    pub(super) fn message(&self, symbol: SymbolId) -> Result<Message, ParseError> {
        // Signed on the wire.
        let checksum = match self.checksum.map(i32::try_from) {
            Some(Ok(checksum)) => Some(checksum.cast_unsigned()),
            Some(Err(_)) => return Err(ParseError::NumberOutOfRange),
            None => None,
        };
        let (last_id, previous_id) = match (self.last_id, self.previous_id) {
            (Some(last), Some(-1..)) if self.is_snapshot => (last, None),
            (Some(last), Some(previous)) => {
                let previous = u64::try_from(previous).map_err(|_| ParseError::Malformed)?;
                if last == previous && self.has_levels {
                    return Err(ParseError::Malformed); // a keep-alive that changes the book
                }
                (last, Some(previous))
            }
            // Before there were ids.
            (None, None) if checksum.is_some_and(|checksum| checksum != DEAD) => (0, None),
            _ => return Err(ParseError::Malformed),
        };
        Ok(Message::Book(BookMessage {
            symbol,
            is_snapshot: self.is_snapshot,
            first_id: last_id,
            last_id,
            previous_id,
            checksum,
            exchange_time: Some(millis(self.time_ms)?),
        }))
    }
}

fn read_trade(
    item: Json<'_, '_>,
    symbol: SymbolId,
    symbols: &SymbolTable,
    scalers: Scalers,
) -> Result<Print, ParseError> {
    let [spelling, trade_id, price, qty, side, ts] = item
        .get(["instId", "tradeId", "px", "sz", "side", "ts"])
        .ok_or(ParseError::Malformed)?;
    if symbols.find(text(spelling)?.as_bytes()) != Some(symbol) {
        return Err(ParseError::Malformed);
    }
    let aggressor = match text(side)? {
        "buy" => Side::Bid,
        "sell" => Side::Ask,
        _ => return Err(ParseError::Malformed),
    };
    Ok(Print {
        symbol,
        trade_id: whole_text(trade_id)?,
        price: Price(decimal_of(price, scalers.price.decimals())?),
        qty: Qty(decimal_of(qty, scalers.qty.decimals())?),
        aggressor,
        exchange_time: millis(whole_text(ts)?)?,
    })
}

/// A level as `["price","qty","0","orders"]`.
fn level<'tape, 'text>(level: Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]> {
    let mut parts = level.items()?;
    Some([Some(parts.next()?), Some(parts.next()?)])
}

/// The answer to a ping: no JSON.
const PONG: &[u8] = b"pong";

/// The code of the notice that a connection will be closed for an upgrade.
const UPGRADE: &str = "64008";
