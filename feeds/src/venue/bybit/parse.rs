//! Bybit's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId};
use crate::venue::fields::{decimal_of, level_decimals, levels, millis, pair, required, text, whole, whole_book};
use crate::venue::format::{Format, FormatReader, Head, Subject};
use crate::venue::json::Json;
use crate::venue::message::{Answer, BookMessage, Kind, Message, MessageDecimals, Notice, ParseError, Print};
use crate::venue::symbols::{SymbolTable, named_in};
use crate::venue::wire::ScalerTable;

use super::scan::{self, trade_id};

/// Reads frames of Bybit.
pub type Parser = FormatReader<BybitFormat>;

/// What stands in Bybit's frames.
pub struct BybitFormat;

impl Format for BybitFormat {
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
                data,
                time_ms,
            } => {
                let own = scalers.plain(symbol);
                let [bids, asks, id] = data.get(["b", "a", "u"]).ok_or(ParseError::Malformed)?;
                levels(bids, Side::Bid, own, pair, changes)?;
                levels(asks, Side::Ask, own, pair, changes)?;
                book(symbol, is_snapshot, whole(id)?, time_ms)
            }
            Content::Trades { symbol, data } => {
                for item in data.items().ok_or(ParseError::Malformed)? {
                    prints.push(read_trade(item, symbol, symbols, scalers)?);
                }
                Ok(Message::Trades { is_snapshot: false })
            }
            Content::Other(notice) => Ok(Message::Notice(notice)),
        }
    }

    fn decimals(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<MessageDecimals, ParseError> {
        let mut printed = MessageDecimals::default();
        match open(json, symbols)? {
            Content::Book { data, .. } => {
                let [bids, asks] = data.get(["b", "a"]).ok_or(ParseError::Malformed)?;
                level_decimals(bids, pair, &mut printed)?;
                level_decimals(asks, pair, &mut printed)?;
            }
            Content::Trades { data, .. } => {
                level_decimals(Some(data), price_and_qty, &mut printed)?;
            }
            Content::Other(_) => {}
        }
        Ok(printed)
    }

    fn rest_snapshot(json: Json<'_, '_>, out: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        let [code, result] = json.get(["retCode", "result"]).ok_or(ParseError::Malformed)?;
        if whole(code)? != 0 {
            return Err(ParseError::Malformed);
        }
        let [bids, asks, id] = required(result)?.get(["b", "a", "u"]).ok_or(ParseError::Malformed)?;
        let scale = whole_book([bids, asks], pair, |needed| Ok(needed.significant()), out)?;
        Ok((whole(id)?, scale))
    }

    fn symbol_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId> {
        named_in(frame, symbols, b".", b'"').or_else(|| named_in(frame, symbols, b"\"s\":\"", b'"'))
    }
}

/// A frame as JSON.
enum Content<'tape, 'text> {
    Book {
        symbol: SymbolId,
        is_snapshot: bool,
        data: Json<'tape, 'text>,
        /// The matching engine's time, or the message's where it has no other.
        time_ms: u64,
    },
    Trades {
        symbol: SymbolId,
        data: Json<'tape, 'text>,
    },
    Other(Notice),
}

fn open<'tape, 'text>(json: Json<'tape, 'text>, symbols: &SymbolTable) -> Result<Content<'tape, 'text>, ParseError> {
    let [topic, kind, ts, data, cts, op] = json
        .get(["topic", "type", "ts", "data", "cts", "op"])
        .ok_or(ParseError::Malformed)?;
    if topic.is_none() {
        return match op {
            Some(op) => answer(json, op, symbols).map(Content::Other),
            None => Err(ParseError::Malformed),
        };
    }
    let topic = text(topic)?;
    let is_snapshot = match text(kind)? {
        "snapshot" => true,
        "delta" => false,
        _ => return Err(ParseError::Malformed),
    };
    let data = required(data)?;
    let channel = Topic::of(topic, symbols);
    match channel.ok_or(ParseError::Malformed)? {
        Topic::Book(symbol) => {
            let symbol = symbol.ok_or(ParseError::UnknownSymbol)?;
            check_symbol(data, symbol, symbols)?;
            let ts = whole(ts)?;
            Ok(Content::Book {
                symbol,
                is_snapshot,
                data,
                time_ms: cts.map_or(Ok(ts), |cts| whole(Some(cts)))?,
            })
        }
        // What is new is called a snapshot here: trades of the past are never sent.
        Topic::Trades(symbol) if is_snapshot => Ok(Content::Trades {
            symbol: symbol.ok_or(ParseError::UnknownSymbol)?,
            data,
        }),
        Topic::Trades(_) => Err(ParseError::Malformed),
    }
}

/// What a topic is about; the symbol where we know it.
enum Topic {
    Book(Option<SymbolId>),
    Trades(Option<SymbolId>),
}

impl Topic {
    fn of(topic: &str, symbols: &SymbolTable) -> Option<Self> {
        match topic.split_once('.')? {
            ("publicTrade", symbol) => Some(Self::Trades(symbols.find(symbol.as_bytes()))),
            ("orderbook", rest) => match rest.split_once('.')? {
                ("1" | "50" | "200" | "1000", symbol) => Some(Self::Book(symbols.find(symbol.as_bytes()))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// An answer to a request. What it is about only our own `req_id` says; the text of a refusal may.
#[cold]
fn answer(json: Json<'_, '_>, op: Json<'_, '_>, symbols: &SymbolTable) -> Result<Notice, ParseError> {
    if op.str() != Some("subscribe") {
        return Ok(Notice::Control); // a pong, the end of a subscription, an op that we never send
    }
    let [success, id, reason] = json
        .get(["success", "req_id", "ret_msg"])
        .ok_or(ParseError::Malformed)?;
    let reason = reason.and_then(Json::str).unwrap_or_default();
    let named = |topic: &str| Topic::of(topic, symbols);
    let topic = id
        .and_then(Json::str)
        .and_then(named)
        .or_else(|| reason.split_once("topic:").and_then(|(_, topic)| named(topic)));
    let (symbol, about_book) = match topic {
        Some(Topic::Book(symbol)) => (symbol, true),
        Some(Topic::Trades(symbol)) => (symbol, false),
        None => (None, false),
    };
    Ok(Notice::Answer(Answer {
        to_subscribe: true,
        symbol,
        about_book,
        // Subscribed already is what was wanted, though no snapshot will come of it: the timer sees to that.
        success: required(success)?.bool().ok_or(ParseError::Malformed)?
            || reason.starts_with("error:already subscribed"),
        depth: None,
    }))
}

/// The payload has to be of the topic's symbol.
fn check_symbol(item: Json<'_, '_>, symbol: SymbolId, symbols: &SymbolTable) -> Result<(), ParseError> {
    let [spelling] = item.get(["s"]).ok_or(ParseError::Malformed)?;
    match symbols.find(text(spelling)?.as_bytes()) {
        Some(found) if found == symbol => Ok(()),
        _ => Err(ParseError::Malformed),
    }
}

/// A book message by its id and its time.
pub(super) fn book(symbol: SymbolId, is_snapshot: bool, id: u64, time_ms: u64) -> Result<Message, ParseError> {
    Ok(Message::Book(BookMessage {
        symbol,
        is_snapshot,
        first_id: id,
        last_id: id,
        previous_id: None,
        checksum: None,
        exchange_time: Some(millis(time_ms)?),
    }))
}

/// The numbers of a trade.
fn price_and_qty<'tape, 'text>(trade: Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]> {
    trade.get(["p", "v"])
}

fn read_trade(
    item: Json<'_, '_>,
    symbol: SymbolId,
    symbols: &SymbolTable,
    scalers: &ScalerTable,
) -> Result<Print, ParseError> {
    check_symbol(item, symbol, symbols)?;
    let [time, side, qty, price, id] = item.get(["T", "S", "v", "p", "i"]).ok_or(ParseError::Malformed)?;
    let own = scalers.plain(symbol);
    let aggressor = match text(side)? {
        "Buy" => Side::Bid,
        "Sell" => Side::Ask,
        _ => return Err(ParseError::Malformed),
    };
    let id = text(id)?.as_bytes();
    match trade_id(id) {
        Some((trade_id, len)) if len == id.len() => Ok(Print {
            symbol,
            trade_id,
            price: Price(decimal_of(price, own.price.decimals())?),
            qty: Qty(decimal_of(qty, own.qty.decimals())?),
            aggressor,
            exchange_time: millis(whole(time)?)?,
        }),
        _ => Err(ParseError::Malformed),
    }
}
