//! Kraken's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::fields::{decimal_of, level_decimals, levels, required, rfc3339, whole_text};
use crate::venue::json::{Json, JsonReader};
use crate::venue::message::{
    Answer, BookMessage, Kind, Market, Message, MessageDecimals, Notice, ParseError, Print, Route,
};
use crate::venue::symbols::{SymbolTable, named_in};
use crate::venue::wire::{ScalerTable, Wire};

use super::scan;

/// Reads frames of Kraken.
pub struct Parser {
    symbols: SymbolTable,
    scalers: ScalerTable,
    likely: SymbolId,
    json: JsonReader,
}

impl Wire for Parser {
    type Head = scan::Head;

    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        let symbols = SymbolTable::new(symbols);
        Self {
            scalers: ScalerTable::new(symbols.iter().count()),
            symbols,
            likely: SymbolId(0),
            json: JsonReader::new(),
        }
    }

    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        self.scalers.set(symbol, scale)
    }

    #[inline]
    fn route(&mut self, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
        match scan::head(frame, &self.symbols, self.likely) {
            Some(head) => {
                self.likely = head.symbol;
                Ok(Route::Market(Market::whole(head.symbol, head.kind, Some(head))))
            }
            None if scan::is_heartbeat(frame) => Ok(Route::Notice(Notice::Control)),
            None => self.route_slowly(frame),
        }
    }

    #[inline]
    fn scan(
        &mut self,
        frame: &[u8],
        head: &scan::Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        scan::body(frame, head, &self.symbols, &mut self.scalers, changes, prints)
    }

    #[cold]
    #[inline(never)]
    fn read_slowly(
        &mut self,
        frame: &[u8],
        _part: u16,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        let Self {
            symbols, scalers, json, ..
        } = self;
        json.read_with_numbers_as_text(frame, |json| match open(json, symbols)? {
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
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    fn decimals(&mut self, frame: &[u8], _part: u16) -> Result<MessageDecimals, ParseError> {
        let Self { symbols, json, .. } = self;
        json.read_with_numbers_as_text(frame, |json| {
            let mut printed = MessageDecimals::default();
            if let Content::Book { item, .. } = open(json, symbols)? {
                let [bids, asks] = item.get(["bids", "asks"]).ok_or(ParseError::Malformed)?;
                level_decimals(bids, level, &mut printed)?;
                level_decimals(asks, level, &mut printed)?;
            }
            Ok(printed)
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        named_in(frame, &self.symbols, b"\"symbol\":\"", b'"')
    }
}

impl Parser {
    #[cold]
    #[inline(never)]
    fn route_slowly(&mut self, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
        let Self { symbols, json, .. } = self;
        json.read_with_numbers_as_text(frame, |json| {
            let (symbol, kind) = match open(json, symbols)? {
                Content::Book {
                    symbol, is_snapshot, ..
                } if is_snapshot => (symbol, Kind::Snapshot),
                Content::Book { symbol, .. } => (symbol, Kind::Update),
                Content::Trades { first, .. } => (first, Kind::Trades),
                Content::Other(notice) => return Ok(Route::Notice(notice)),
            };
            Ok(Route::Market(Market::whole(symbol, kind, None)))
        })
        .unwrap_or(Err(ParseError::Malformed))
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
