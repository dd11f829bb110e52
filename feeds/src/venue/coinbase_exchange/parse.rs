//! Coinbase Exchange's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, SymbolId, UnixNanos};
use crate::venue::coinbase::products::{aggressor, only_product_in_wreckage, refusal};
use crate::venue::fields::{decimal_of, decimals_of, level_decimals, levels, pair, required, rfc3339, text, whole};
use crate::venue::format::{Format, FormatReader, Head, Subject};
use crate::venue::json::Json;
use crate::venue::message::{BookMessage, Kind, Message, MessageDecimals, Notice, ParseError, Print, Scalers};
use crate::venue::symbols::SymbolTable;
use crate::venue::wire::ScalerTable;

use super::scan;

/// Reads frames of Coinbase Exchange.
pub type Parser = FormatReader<ExchangeFormat>;

/// What stands in Coinbase Exchange's frames.
pub struct ExchangeFormat;

impl Format for ExchangeFormat {
    #[inline]
    fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head> {
        scan::head(frame, symbols, likely)
    }

    #[inline]
    fn body(
        frame: &[u8],
        head: &Head,
        _symbols: &SymbolTable,
        scalers: &mut ScalerTable,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        scan::body(frame, head, scalers.of(head.symbol), changes, prints)
    }

    fn subject(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Subject, ParseError> {
        Ok(match open(json, symbols)? {
            Content::Market(symbol, shape) => Subject::Market(symbol, shape.kind()),
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
            Content::Market(symbol, shape) => {
                let own = scalers.plain(symbol);
                match shape {
                    Shape::Snapshot => read_snapshot(json, symbol, own, changes),
                    Shape::Update => read_update(json, symbol, own, changes),
                    Shape::Trade { is_past } => {
                        prints.push(read_trade(json, symbol, own)?);
                        Ok(Message::Trades { is_snapshot: is_past })
                    }
                }
            }
            Content::Other(notice) => Ok(Message::Notice(notice)),
        }
    }

    fn decimals(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<MessageDecimals, ParseError> {
        let mut printed = MessageDecimals::default();
        let Content::Market(_, shape) = open(json, symbols)? else {
            return Ok(printed);
        };
        match shape {
            Shape::Snapshot => {
                let [bids, asks] = json.get(["bids", "asks"]).ok_or(ParseError::Malformed)?;
                level_decimals(bids, pair, &mut printed)?;
                level_decimals(asks, pair, &mut printed)?;
            }
            Shape::Update => {
                let [changes] = json.get(["changes"]).ok_or(ParseError::Malformed)?;
                level_decimals(changes, |change| change_of(change).map(|(_, pair)| pair), &mut printed)?;
            }
            Shape::Trade { .. } => {
                let [price, size] = json.get(["price", "size"]).ok_or(ParseError::Malformed)?;
                printed.price = decimals_of(price)?;
                printed.qty = decimals_of(size)?;
            }
        }
        Ok(printed)
    }

    fn symbol_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId> {
        only_product_in_wreckage(frame, symbols)
    }
}

/// What a frame is.
enum Content {
    Market(SymbolId, Shape),
    Other(Notice),
}

enum Shape {
    Snapshot,
    Update,
    Trade {
        /// Before the subscription.
        is_past: bool,
    },
}

impl Shape {
    fn kind(&self) -> Kind {
        match self {
            Self::Snapshot => Kind::Snapshot,
            Self::Update => Kind::Update,
            Self::Trade { .. } => Kind::Trades,
        }
    }
}

fn open(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Content, ParseError> {
    let [kind, product] = json.get(["type", "product_id"]).ok_or(ParseError::Malformed)?;
    let shape = match text(kind)? {
        "l2update" => Shape::Update,
        "snapshot" => Shape::Snapshot,
        "match" => Shape::Trade { is_past: false },
        "last_match" => Shape::Trade { is_past: true },
        "error" => return Ok(Content::Other(Notice::Answer(refusal(json, symbols)?))),
        // Answers, heartbeats, channels that were not asked for, and what the venue may think of.
        _ => return Ok(Content::Other(Notice::Control)),
    };
    let symbol = symbols
        .find(text(product)?.as_bytes())
        .ok_or(ParseError::UnknownSymbol)?;
    Ok(Content::Market(symbol, shape))
}

fn read_snapshot(
    json: Json<'_, '_>,
    symbol: SymbolId,
    own: Scalers,
    changes: &mut Vec<LevelChange>,
) -> Result<Message, ParseError> {
    let [bids, asks, time] = json.get(["bids", "asks", "time"]).ok_or(ParseError::Malformed)?;
    levels(bids, Side::Bid, own, pair, changes)?;
    levels(asks, Side::Ask, own, pair, changes)?;
    let time = time.map(|time| rfc3339(Some(time))).transpose()?;
    Ok(book(symbol, true, time))
}

fn read_update(
    json: Json<'_, '_>,
    symbol: SymbolId,
    own: Scalers,
    changes: &mut Vec<LevelChange>,
) -> Result<Message, ParseError> {
    let [list, time] = json.get(["changes", "time"]).ok_or(ParseError::Malformed)?;
    for change in required(list)?.items().ok_or(ParseError::Malformed)? {
        let (side, [price, qty]) = change_of(change).ok_or(ParseError::Malformed)?;
        let side = match side {
            "buy" => Side::Bid,
            "sell" => Side::Ask,
            _ => return Err(ParseError::Malformed),
        };
        let price = Price(decimal_of(price, own.price.decimals())?);
        let qty = Qty(decimal_of(qty, own.qty.decimals())?);
        changes.push(LevelChange { side, price, qty });
    }
    Ok(book(symbol, false, Some(rfc3339(time)?)))
}

/// A change as `["buy","price","quantity"]`.
fn change_of<'tape, 'text>(change: Json<'tape, 'text>) -> Option<(&'text str, [Option<Json<'tape, 'text>>; 2])> {
    let mut items = change.items()?;
    let (side, price, qty) = (items.next()?.str()?, items.next()?, items.next()?);
    items.next().is_none().then_some((side, [Some(price), Some(qty)]))
}

fn read_trade(json: Json<'_, '_>, symbol: SymbolId, own: Scalers) -> Result<Print, ParseError> {
    let [trade_id, price, size, side, time] = json
        .get(["trade_id", "price", "size", "side", "time"])
        .ok_or(ParseError::Malformed)?;
    Ok(Print {
        symbol,
        trade_id: whole(trade_id)?,
        price: Price(decimal_of(price, own.price.decimals())?),
        qty: Qty(decimal_of(size, own.qty.decimals())?),
        aggressor: required(aggressor(text(side)?.as_bytes()))?,
        exchange_time: rfc3339(time)?,
    })
}

pub(super) fn book(symbol: SymbolId, is_snapshot: bool, exchange_time: Option<UnixNanos>) -> Message {
    Message::Book(BookMessage {
        symbol,
        is_snapshot,
        first_id: 0,
        last_id: 0,
        previous_id: None,
        checksum: None,
        exchange_time,
    })
}
