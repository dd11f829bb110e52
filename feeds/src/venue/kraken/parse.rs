//! Kraken's messages: the scanner first, the slow road for everything else, one result type.

use crate::decimal::{self, Decimals};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::json::{Json, JsonReader};
use crate::venue::levels::LevelScalers;
use crate::venue::message::{MessageDecimals, ParseError, Print, Scalers};
use crate::venue::symbols::SymbolTable;
use crate::venue::time::scan_rfc3339;

use super::scan;

/// One message. Its levels or trades lie in the buffers that were given to [`Parser::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A book, whole or changed.
    Book(BookMessage),
    /// Trades.
    Trades {
        /// Trades of the past, sent on subscribing.
        is_snapshot: bool,
    },
    /// An answer to a request for a subscription or for its end.
    Answer(Answer),
    /// A heartbeat, a status, a pong, a channel that was not asked for.
    Control,
}

/// The head of a book message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// Whose book.
    pub symbol: SymbolId,
    /// The whole book, not changes of it.
    pub is_snapshot: bool,
    /// CRC32 of the ten best levels of both sides after this message.
    pub checksum: u32,
    /// The venue's own time; a snapshot may have none.
    pub exchange_time: Option<UnixNanos>,
}

/// An answer to a `subscribe` or `unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To a `subscribe`, not to an `unsubscribe`.
    pub to_subscribe: bool,
    /// Which symbol it is about, where it says so and we know it.
    pub symbol: Option<SymbolId>,
    /// About the book; otherwise about trades, or it does not say.
    pub about_book: bool,
    /// Accepted.
    pub success: bool,
    /// The depth that the book will have.
    pub depth: Option<u32>,
}

/// Reads frames of one connection. Keeps every buffer: after the first messages it allocates nothing.
pub struct Parser {
    symbols: SymbolTable,
    scalers: Vec<LevelScalers>,
    likely: SymbolId,
    json: JsonReader,
}

/// Whose frame it is, found before its numbers are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route {
    /// A hot shape up to its numbers.
    Scanned(scan::Head),
    /// Another shape, about this symbol.
    Slow { symbol: SymbolId, kind: scan::Kind },
    /// About no symbol's market; read already.
    Unrouted(Message),
}

impl Parser {
    /// A parser of these symbols, spelled as the venue does (`BTC/USD`); their scales are zero decimals until they are
    /// set.
    pub fn new<'a>(symbols: impl Iterator<Item = &'a str>) -> Self {
        let symbols = SymbolTable::new(symbols);
        let zero = LevelScalers::new(Scalers::new(Scale::default()).expect("zero decimals are below the most"));
        Self {
            scalers: vec![zero; symbols.iter().count()],
            symbols,
            likely: SymbolId(0),
            json: JsonReader::new(),
        }
    }

    /// Settles the decimals of a symbol's mantissas; false where the symbol or the scale does not exist.
    pub fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        match (self.scalers.get_mut(symbol.index()), Scalers::new(scale)) {
            (Some(slot), Some(scalers)) => {
                *slot = LevelScalers::new(scalers);
                true
            }
            _ => false,
        }
    }

    /// Reads one frame. The buffers are emptied and get the levels of a book message, or the trades, in their order.
    ///
    /// # Errors
    /// [`ParseError`]; the buffers then mean nothing.
    #[inline]
    pub fn parse(
        &mut self,
        frame: &[u8],
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        match self.route(frame)? {
            Route::Scanned(head) => self.parse_behind(frame, &head, changes, prints),
            Route::Slow { .. } => self.parse_any(frame, changes, prints),
            Route::Unrouted(message) => {
                changes.clear();
                prints.clear();
                Ok(message)
            }
        }
    }

    /// The same through the slow road alone. Gives the same result for every frame that [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[cold]
    #[inline(never)]
    pub fn parse_any(
        &mut self,
        frame: &[u8],
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        changes.clear();
        prints.clear();
        let Self {
            symbols, scalers, json, ..
        } = self;
        json.read_with_numbers_as_text(frame, |json| match open(json, symbols)? {
            Content::Book {
                symbol,
                is_snapshot,
                item,
            } => {
                let own = scalers[symbol.index()].plain();
                let [bids, asks, checksum, timestamp] = item
                    .get(["bids", "asks", "checksum", "timestamp"])
                    .ok_or(ParseError::Malformed)?;
                read_levels(bids, Side::Bid, own, changes)?;
                read_levels(asks, Side::Ask, own, changes)?;
                let exchange_time = match timestamp {
                    None if is_snapshot => None,
                    timestamp => Some(time(timestamp)?),
                };
                let checksum = u32::try_from(whole(checksum)?).map_err(|_| ParseError::NumberOutOfRange)?;
                Ok(Message::Book(BookMessage {
                    symbol,
                    is_snapshot,
                    checksum,
                    exchange_time,
                }))
            }
            Content::Trades { is_snapshot, data, .. } => {
                for item in data.items().ok_or(ParseError::Malformed)? {
                    prints.push(read_trade(item, symbols, scalers)?);
                }
                Ok(Message::Trades { is_snapshot })
            }
            Content::Other(message) => Ok(message),
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    /// Finds whose frame it is.
    #[inline]
    pub(super) fn route(&mut self, frame: &[u8]) -> Result<Route, ParseError> {
        match scan::head(frame, &self.symbols, self.likely) {
            Some(head) => {
                self.likely = head.symbol;
                Ok(Route::Scanned(head))
            }
            None if scan::is_heartbeat(frame) => Ok(Route::Unrouted(Message::Control)),
            None => self.route_any(frame),
        }
    }

    #[cold]
    #[inline(never)]
    fn route_any(&mut self, frame: &[u8]) -> Result<Route, ParseError> {
        let Self { symbols, json, .. } = self;
        json.read_with_numbers_as_text(frame, |json| {
            Ok(match open(json, symbols)? {
                Content::Book {
                    symbol,
                    is_snapshot: true,
                    ..
                } => Route::Slow {
                    symbol,
                    kind: scan::Kind::Snapshot,
                },
                Content::Book { symbol, .. } => Route::Slow {
                    symbol,
                    kind: scan::Kind::Update,
                },
                Content::Trades {
                    first: Some(symbol), ..
                } => Route::Slow {
                    symbol,
                    kind: scan::Kind::Trades,
                },
                Content::Trades {
                    first: None,
                    is_snapshot,
                    ..
                } => Route::Unrouted(Message::Trades { is_snapshot }),
                Content::Other(message) => Route::Unrouted(message),
            })
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    /// Reads a frame whose head was scanned.
    #[inline]
    pub(super) fn parse_behind(
        &mut self,
        frame: &[u8],
        head: &scan::Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        changes.clear();
        prints.clear();
        match scan::body(frame, head, &self.symbols, &mut self.scalers, changes, prints) {
            Some(message) => Ok(message),
            None => self.parse_any(frame, changes, prints),
        }
    }

    /// The decimals with which a book message prints its numbers, whatever the scale is.
    #[cold]
    pub(super) fn book_decimals(&mut self, frame: &[u8]) -> Result<MessageDecimals, ParseError> {
        let Self { symbols, json, .. } = self;
        json.read_with_numbers_as_text(frame, |json| {
            let mut printed = MessageDecimals::default();
            if let Content::Book { item, .. } = open(json, symbols)? {
                let [bids, asks] = item.get(["bids", "asks"]).ok_or(ParseError::Malformed)?;
                for level in [bids, asks] {
                    for level in required(level)?.items().ok_or(ParseError::Malformed)? {
                        let [price, qty] = level.get(["price", "qty"]).ok_or(ParseError::Malformed)?;
                        printed.price = printed.price.max(decimals_of(price)?);
                        printed.qty = printed.qty.max(decimals_of(qty)?);
                    }
                }
            }
            Ok(printed)
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    /// The symbol that a frame of broken JSON names, if it names one in the way the venue would.
    #[cold]
    pub(super) fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        const KEY: &[u8] = b"\"symbol\":\"";
        let names = |symbol: &[u8]| {
            frame.windows(KEY.len() + symbol.len() + 1).any(|window| {
                window.starts_with(KEY) && window[KEY.len()..].starts_with(symbol) && window.last() == Some(&b'"')
            })
        };
        self.symbols
            .iter()
            .find(|(_, symbol)| names(symbol))
            .map(|(symbol, _)| symbol)
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
        first: Option<SymbolId>,
        is_snapshot: bool,
        data: Json<'tape, 'text>,
    },
    Other(Message),
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
            let first = data
                .items()
                .ok_or(ParseError::Malformed)?
                .next()
                .map(symbol_of)
                .transpose()?;
            Ok(Content::Trades {
                first,
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
            let depth = depth.map(|depth| whole(Some(depth))).transpose()?;
            Ok(Content::Other(Message::Answer(Answer {
                to_subscribe: method == "subscribe",
                symbol,
                about_book: text(channel) == Some("book"),
                success,
                depth: depth.and_then(|depth| u32::try_from(depth).ok()),
            })))
        }
        (Some(_), None) | (None, Some(_)) => Ok(Content::Other(Message::Control)),
        _ => Err(ParseError::Malformed),
    }
}

fn read_levels(
    json: Option<Json<'_, '_>>,
    side: Side,
    scalers: Scalers,
    changes: &mut Vec<LevelChange>,
) -> Result<(), ParseError> {
    for level in required(json)?.items().ok_or(ParseError::Malformed)? {
        let [price, qty] = level.get(["price", "qty"]).ok_or(ParseError::Malformed)?;
        let price = Price(decimal_of(price, scalers.price.decimals())?);
        let qty = Qty(decimal_of(qty, scalers.qty.decimals())?);
        changes.push(LevelChange { side, price, qty });
    }
    Ok(())
}

fn read_trade(item: Json<'_, '_>, symbols: &SymbolTable, scalers: &[LevelScalers]) -> Result<Print, ParseError> {
    let [symbol, side, price, qty, trade_id, timestamp] = item
        .get(["symbol", "side", "price", "qty", "trade_id", "timestamp"])
        .ok_or(ParseError::Malformed)?;
    let spelling = required(symbol)?.str().ok_or(ParseError::Malformed)?;
    let symbol = symbols.find(spelling.as_bytes()).ok_or(ParseError::UnknownSymbol)?;
    let own = scalers[symbol.index()].plain();
    let aggressor = match required(side)?.str() {
        Some("buy") => Side::Bid,
        Some("sell") => Side::Ask,
        _ => return Err(ParseError::Malformed),
    };
    Ok(Print {
        symbol,
        trade_id: whole(trade_id)?,
        price: Price(decimal_of(price, own.price.decimals())?),
        qty: Qty(decimal_of(qty, own.qty.decimals())?),
        aggressor,
        exchange_time: time(timestamp)?,
    })
}

fn required<T>(value: Option<T>) -> Result<T, ParseError> {
    value.ok_or(ParseError::Malformed)
}

fn decimal_of(json: Option<Json<'_, '_>>, decimals: u8) -> Result<i64, ParseError> {
    let text = required(json)?.str().ok_or(ParseError::Malformed)?;
    Ok(decimal::parse(text.as_bytes(), decimals)?)
}

fn decimals_of(json: Option<Json<'_, '_>>) -> Result<Decimals, ParseError> {
    let text = required(json)?.str().ok_or(ParseError::Malformed)?;
    Ok(decimal::decimals(text.as_bytes())?)
}

/// A whole number from its digits.
fn whole(json: Option<Json<'_, '_>>) -> Result<u64, ParseError> {
    let text = required(json)?.str().ok_or(ParseError::Malformed)?;
    match decimal::scan_u64(text.as_bytes()) {
        Some((value, len)) if len == text.len() => Ok(value),
        _ => Err(ParseError::Malformed),
    }
}

fn time(json: Option<Json<'_, '_>>) -> Result<UnixNanos, ParseError> {
    let text = required(json)?.str().ok_or(ParseError::Malformed)?;
    match scan_rfc3339(text.as_bytes()) {
        Some((time, len)) if len == text.len() => Ok(time),
        _ => Err(ParseError::Malformed),
    }
}
