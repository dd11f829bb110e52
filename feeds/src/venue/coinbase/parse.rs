//! Advanced Trade's messages: the scanner first, the slow road for everything else, one result type.

use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::fields::{decimal_of, decimals_of, required, rfc3339, text, whole, whole_text};
use crate::venue::json::{Json, JsonReader};
use crate::venue::message::{BookMessage, Kind, Market, Message, MessageDecimals, Notice, ParseError, Print, Route};
use crate::venue::symbols::SymbolTable;
use crate::venue::wire::{ScalerTable, Wire};

use super::products::{aggressor, only_product_in_wreckage, refusal};
use super::scan;

/// Reads frames of Coinbase Advanced Trade.
pub struct Parser {
    symbols: SymbolTable,
    scalers: ScalerTable,
    likely: SymbolId,
    json: JsonReader,
    /// Of the frame that was routed last.
    sequence: Option<u64>,
    /// The scanner has read that frame to its end, so that there is nothing behind its first part.
    is_read_whole: bool,
    /// Nobody knows whose the rest of it is.
    has_hidden_parts: bool,
}

impl Wire for Parser {
    type Head = scan::Head;

    const COUNTS_FRAMES: bool = true;

    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        let symbols = SymbolTable::new(symbols);
        Self {
            scalers: ScalerTable::new(symbols.iter().count()),
            symbols,
            likely: SymbolId(0),
            json: JsonReader::new(),
            sequence: None,
            is_read_whole: false,
            has_hidden_parts: false,
        }
    }

    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        self.scalers.set(symbol, scale)
    }

    #[inline]
    fn route(&mut self, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
        let envelope = scan::envelope(frame);
        self.sequence = envelope.map(|envelope| envelope.sequence);
        self.is_read_whole = false;
        self.has_hidden_parts = false;
        match envelope.and_then(|envelope| scan::head(frame, &envelope, &self.symbols, self.likely)) {
            Some(head) => {
                self.likely = head.symbol;
                Ok(Route::Market(Market {
                    // Nobody knows before the levels are read; a frame that the scanner reads has none.
                    has_more: true,
                    ..Market::whole(head.symbol, head.kind, Some(head))
                }))
            }
            None => self.route_slowly(frame),
        }
    }

    #[inline]
    fn part_behind(&mut self, frame: &[u8], part: u16) -> Option<Market<scan::Head>> {
        if self.is_read_whole {
            return None;
        }
        self.part_behind_slowly(frame, part)
    }

    #[inline]
    fn has_hidden_parts(&self) -> bool {
        self.has_hidden_parts
    }

    #[inline]
    fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    #[inline]
    fn scan(
        &mut self,
        frame: &[u8],
        head: &scan::Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        let message = scan::body(frame, head, &self.symbols, &mut self.scalers, changes, prints)?;
        self.is_read_whole = true;
        Some(message)
    }

    #[cold]
    #[inline(never)]
    fn read_slowly(
        &mut self,
        frame: &[u8],
        part: u16,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        let Self {
            symbols, scalers, json, ..
        } = self;
        json.read(frame, |json| {
            let parts = match open(json, symbols)? {
                Content::Market(parts) => parts,
                Content::Other(notice) => return Ok(Message::Notice(notice)),
            };
            let event = required(parts.nth(part))?;
            if parts.channel == Channel::Trades {
                for trade in event.list.items().ok_or(ParseError::Malformed)? {
                    prints.push(read_trade(trade, symbols, scalers)?);
                }
                return Ok(Message::Trades {
                    is_snapshot: event.is_snapshot,
                });
            }
            let own = scalers.plain(event.symbol);
            for level in event.list.items().ok_or(ParseError::Malformed)? {
                let [side, price, qty] = level
                    .get(["side", "price_level", "new_quantity"])
                    .ok_or(ParseError::Malformed)?;
                let side = match text(side)? {
                    "bid" => Side::Bid,
                    "offer" => Side::Ask,
                    _ => return Err(ParseError::Malformed),
                };
                let price = Price(decimal_of(price, own.price.decimals())?);
                let qty = Qty(decimal_of(qty, own.qty.decimals())?);
                changes.push(LevelChange { side, price, qty });
            }
            Ok(book(event.symbol, event.is_snapshot, parts.exchange_time))
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    fn decimals(&mut self, frame: &[u8], part: u16) -> Result<MessageDecimals, ParseError> {
        let Self { symbols, json, .. } = self;
        json.read(frame, |json| {
            let mut printed = MessageDecimals::default();
            let Content::Market(parts) = open(json, symbols)? else {
                return Ok(printed);
            };
            let event = required(parts.nth(part))?;
            let keys = match parts.channel {
                Channel::Book => ["price_level", "new_quantity"],
                Channel::Trades => ["price", "size"],
            };
            for item in event.list.items().ok_or(ParseError::Malformed)? {
                let [price, qty] = item.get(keys).ok_or(ParseError::Malformed)?;
                printed.price = printed.price.max(decimals_of(price)?);
                printed.qty = printed.qty.max(decimals_of(qty)?);
            }
            Ok(printed)
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        only_product_in_wreckage(frame, &self.symbols)
    }
}

impl Parser {
    #[cold]
    #[inline(never)]
    fn route_slowly(&mut self, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
        let Self {
            symbols,
            json,
            sequence,
            ..
        } = self;
        json.read(frame, |json| {
            // Also of a frame that is of no known shape: it was heard.
            if sequence.is_none() {
                *sequence = json.get(["sequence_num"]).and_then(|[number]| number?.u64());
            }
            Ok(match open(json, symbols)? {
                Content::Market(parts) => Route::Market(required(parts.market(0))?),
                Content::Other(notice) => Route::Notice(notice),
            })
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    #[inline(never)]
    fn part_behind_slowly(&mut self, frame: &[u8], part: u16) -> Option<Market<scan::Head>> {
        let Self { symbols, json, .. } = self;
        let part = part.checked_add(1)?;
        let next = json.read(frame, |json| match open(json, symbols) {
            Ok(Content::Market(parts)) => Some(parts.market(part)),
            _ => None,
        });
        // A damaged frame that names one product is that product's, and its reader has said so.
        self.has_hidden_parts = next.flatten().is_none() && only_product_in_wreckage(frame, &self.symbols).is_none();
        next??
    }
}

/// A frame as JSON.
enum Content<'tape, 'text> {
    Market(Parts<'tape, 'text>),
    Other(Notice),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Book,
    Trades,
}

/// The events of a frame, each of which is well-formed as far as to whose it is. Those of symbols that were not asked for
/// are passed over: a part is one of the others.
struct Parts<'tape, 'text> {
    channel: Channel,
    exchange_time: UnixNanos,
    events: Json<'tape, 'text>,
    symbols: &'tape SymbolTable,
}

struct Event<'tape, 'text> {
    symbol: SymbolId,
    is_snapshot: bool,
    /// Levels or trades.
    list: Json<'tape, 'text>,
}

impl<'tape, 'text> Parts<'tape, 'text> {
    fn known(&self) -> impl Iterator<Item = Event<'tape, 'text>> {
        let (channel, symbols) = (self.channel, self.symbols);
        let events = self.events.items().into_iter().flatten();
        events.filter_map(move |json| event(json, channel, symbols).ok().flatten())
    }

    fn nth(&self, part: u16) -> Option<Event<'tape, 'text>> {
        self.known().nth(usize::from(part))
    }

    fn market(&self, part: u16) -> Option<Market<scan::Head>> {
        let mut events = self.known().skip(usize::from(part));
        let event = events.next()?;
        let kind = match self.channel {
            Channel::Trades => Kind::Trades,
            Channel::Book if event.is_snapshot => Kind::Snapshot,
            Channel::Book => Kind::Update,
        };
        Some(Market {
            part,
            has_more: events.next().is_some(),
            ..Market::whole(event.symbol, kind, None)
        })
    }
}

fn open<'tape, 'text>(
    json: Json<'tape, 'text>,
    symbols: &'tape SymbolTable,
) -> Result<Content<'tape, 'text>, ParseError> {
    let [channel, kind, timestamp, sequence, events] = json
        .get(["channel", "type", "timestamp", "sequence_num", "events"])
        .ok_or(ParseError::Malformed)?;
    let channel = match (channel.map(|name| text(Some(name))).transpose()?, kind) {
        (Some("l2_data"), _) => Channel::Book,
        (Some("market_trades"), _) => Channel::Trades,
        (None, Some(kind)) if kind.str() == Some("error") => {
            return Ok(Content::Other(Notice::Answer(refusal(json, symbols)?)));
        }
        // New kinds of messages may come at any time and are to be ignored, the documentation says.
        (Some(_), _) | (None, Some(_)) => return Ok(Content::Other(Notice::Control)),
        (None, None) => return Err(ParseError::Malformed),
    };
    whole(sequence)?;
    let parts = Parts {
        channel,
        exchange_time: rfc3339(timestamp)?,
        events: required(events)?,
        symbols,
    };
    // All of them now, so that no later part of a frame turns out to be unreadable as to whose it is.
    let mut stranger = None;
    for json in parts.events.items().ok_or(ParseError::Malformed)? {
        match event(json, channel, symbols) {
            Err(error @ ParseError::UnknownSymbol) => stranger = Some(error),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    match (parts.nth(0), stranger) {
        (Some(_), _) => Ok(Content::Market(parts)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Content::Other(Notice::Control)),
    }
}

/// One event; `None` where it has no trade.
fn event<'tape, 'text>(
    json: Json<'tape, 'text>,
    channel: Channel,
    symbols: &SymbolTable,
) -> Result<Option<Event<'tape, 'text>>, ParseError> {
    let [kind, product, updates, trades] = json
        .get(["type", "product_id", "updates", "trades"])
        .ok_or(ParseError::Malformed)?;
    let is_snapshot = match text(kind)? {
        "snapshot" => true,
        "update" => false,
        _ => return Err(ParseError::Malformed),
    };
    let (product, list) = match channel {
        Channel::Book => (product, required(updates)?),
        Channel::Trades => {
            let list = required(trades)?;
            let Some(first) = list.items().ok_or(ParseError::Malformed)?.next() else {
                return Ok(None);
            };
            let [product] = first.get(["product_id"]).ok_or(ParseError::Malformed)?;
            (product, list)
        }
    };
    let symbol = symbols
        .find(text(product)?.as_bytes())
        .ok_or(ParseError::UnknownSymbol)?;
    Ok(Some(Event {
        symbol,
        is_snapshot,
        list,
    }))
}

pub(super) fn book(symbol: SymbolId, is_snapshot: bool, exchange_time: UnixNanos) -> Message {
    Message::Book(BookMessage {
        symbol,
        is_snapshot,
        first_id: 0,
        last_id: 0,
        previous_id: None,
        checksum: None,
        exchange_time: Some(exchange_time),
    })
}

fn read_trade(json: Json<'_, '_>, symbols: &SymbolTable, scalers: &ScalerTable) -> Result<Print, ParseError> {
    let [trade_id, product, price, size, side, time] = json
        .get(["trade_id", "product_id", "price", "size", "side", "time"])
        .ok_or(ParseError::Malformed)?;
    let symbol = symbols
        .find(text(product)?.as_bytes())
        .ok_or(ParseError::UnknownSymbol)?;
    let own = scalers.plain(symbol);
    Ok(Print {
        symbol,
        trade_id: whole_text(trade_id)?,
        price: Price(decimal_of(price, own.price.decimals())?),
        qty: Qty(decimal_of(size, own.qty.decimals())?),
        aggressor: required(aggressor(text(side)?.as_bytes()))?,
        exchange_time: rfc3339(time)?,
    })
}
