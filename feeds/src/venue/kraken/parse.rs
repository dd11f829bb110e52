//! Kraken's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::fields::{decimal_of, level_decimals, levels, required, rfc3339, whole_text};
use crate::venue::format::{Format, FormatReader, Head, Subject};
use crate::venue::json::Json;
use crate::venue::message::{Answer, BookMessage, Kind, Message, MessageDecimals, Notice, ParseError, Print};
use crate::venue::symbols::{SymbolTable, named_in};
use crate::venue::wire::ScalerTable;

use super::scan;

/// Reads frames of Kraken.
pub type Parser = FormatReader<KrakenFormat>;

/// What stands in Kraken's frames.
pub struct KrakenFormat;

impl Format for KrakenFormat {
    const HAS_BARE_NUMBERS: bool = true;

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
        scan::body(frame, head, symbols, scalers, changes, prints)
    }

    #[inline]
    fn known(frame: &[u8]) -> Option<Notice> {
        scan::is_heartbeat(frame).then_some(Notice::Control)
    }

    fn subject(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Subject, ParseError> {
        Ok(match open(json, symbols)? {
            Content::Book {
                symbol, is_snapshot, ..
            } => Subject::book(symbol, is_snapshot),
            Content::Trades { first, .. } => Subject::Market(first, Kind::Trades),
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
            } => {
                let own = scalers.plain(symbol);
                let [bids, asks, checksum, timestamp] = item
                    .get(["bids", "asks", "checksum", "timestamp"])
                    .ok_or(ParseError::Malformed)?;
                levels(bids, Side::Bid, own, level, changes)?;
                levels(asks, Side::Ask, own, level, changes)?;
                let exchange_time = match timestamp {
                    None if is_snapshot => None,
                    timestamp => Some(rfc3339(timestamp)?),
                };
                let checksum = u32::try_from(whole_text(checksum)?).map_err(|_| ParseError::NumberOutOfRange)?;
                Ok(book(symbol, is_snapshot, checksum, exchange_time))
            }
            Content::Trades { is_snapshot, data, .. } => {
                for item in data.items().ok_or(ParseError::Malformed)? {
                    prints.push(read_trade(item, symbols, scalers)?);
                }
                Ok(Message::Trades { is_snapshot })
            }
            Content::Other(notice) => Ok(Message::Notice(notice)),
        }
    }

    fn decimals(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<MessageDecimals, ParseError> {
        let mut printed = MessageDecimals::default();
        if let Content::Book { item, .. } = open(json, symbols)? {
            let [bids, asks] = item.get(["bids", "asks"]).ok_or(ParseError::Malformed)?;
            level_decimals(bids, level, &mut printed)?;
            level_decimals(asks, level, &mut printed)?;
        }
        Ok(printed)
    }

    fn symbol_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId> {
        named_in(frame, symbols, b"\"symbol\":\"", b'"')
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
        first: SymbolId,
        is_snapshot: bool,
        data: Json<'tape, 'text>,
    },
    Other(Notice),
}

fn open<'tape, 'text>(json: Json<'tape, 'text>, symbols: &SymbolTable) -> Result<Content<'tape, 'text>, ParseError> {
    let [channel, kind, data, method] = json
        .get(["channel", "type", "data", "method"])
        .ok_or(ParseError::Malformed)?;
    let text = |value: Option<Json<'_, 'text>>| value.and_then(Json::str);
    let is_snapshot = match text(kind) {
        Some("snapshot") => Some(true),
        Some("update") => Some(false),
        _ => None,
    };
    let symbol_of = |item: Json<'_, '_>| -> Result<SymbolId, ParseError> {
        let [symbol] = item.get(["symbol"]).ok_or(ParseError::Malformed)?;
        let spelling = required(symbol)?.str().ok_or(ParseError::Malformed)?;
        symbols.find(spelling.as_bytes()).ok_or(ParseError::UnknownSymbol)
    };
    match (text(channel), text(method)) {
        (Some("book"), None) => {
            let item = required(data)?.only_item().ok_or(ParseError::Malformed)?;
            let is_snapshot = required(is_snapshot)?;
            Ok(Content::Book {
                symbol: symbol_of(item)?,
                is_snapshot,
                item,
            })
        }
        (Some("trade"), None) => {
            let data = required(data)?;
            let Some(first) = data.items().ok_or(ParseError::Malformed)?.next() else {
                return Ok(Content::Other(Notice::Control));
            };
            Ok(Content::Trades {
                first: symbol_of(first)?,
                is_snapshot: required(is_snapshot)?,
                data,
            })
        }
        (None, Some(method @ ("subscribe" | "unsubscribe"))) => {
            let [result, symbol, success] = json.get(["result", "symbol", "success"]).ok_or(ParseError::Malformed)?;
            let success = required(success)?.bool().ok_or(ParseError::Malformed)?;
            let [channel, inner_symbol, depth] = match result {
                Some(result) => result
                    .get(["channel", "symbol", "depth"])
                    .ok_or(ParseError::Malformed)?,
                None => [None; 3],
            };
            let symbol = text(inner_symbol)
                .or(text(symbol))
                .and_then(|spelling| symbols.find(spelling.as_bytes()));
            let depth = depth.map(|depth| whole_text(Some(depth))).transpose()?;
            Ok(Content::Other(Notice::Answer(Answer {
                to_subscribe: method == "subscribe",
                symbol,
                about_book: text(channel) == Some("book"),
                success,
                depth: depth.and_then(|depth| u32::try_from(depth).ok()),
            })))
        }
        (Some(_), None) | (None, Some(_)) => Ok(Content::Other(Notice::Control)),
        _ => Err(ParseError::Malformed),
    }
}

/// A level as `{"price":…,"qty":…}`.
fn level<'tape, 'text>(level: Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]> {
    level.get(["price", "qty"])
}

pub(super) fn book(symbol: SymbolId, is_snapshot: bool, checksum: u32, exchange_time: Option<UnixNanos>) -> Message {
    Message::Book(BookMessage {
        symbol,
        is_snapshot,
        first_id: 0,
        last_id: 0,
        previous_id: None,
        checksum: Some(checksum),
        exchange_time,
    })
}

fn read_trade(item: Json<'_, '_>, symbols: &SymbolTable, scalers: &ScalerTable) -> Result<Print, ParseError> {
    let [symbol, side, price, qty, trade_id, timestamp] = item
        .get(["symbol", "side", "price", "qty", "trade_id", "timestamp"])
        .ok_or(ParseError::Malformed)?;
    let spelling = required(symbol)?.str().ok_or(ParseError::Malformed)?;
    let symbol = symbols.find(spelling.as_bytes()).ok_or(ParseError::UnknownSymbol)?;
    let own = scalers.plain(symbol);
    let aggressor = match required(side)?.str() {
        Some("buy") => Side::Bid,
        Some("sell") => Side::Ask,
        _ => return Err(ParseError::Malformed),
    };
    Ok(Print {
        symbol,
        trade_id: whole_text(trade_id)?,
        price: Price(decimal_of(price, own.price.decimals())?),
        qty: Qty(decimal_of(qty, own.qty.decimals())?),
        aggressor,
        exchange_time: rfc3339(timestamp)?,
    })
}
