//! Binance's messages: the scanner first, the slow road for everything else, one result type.

use std::marker::PhantomData;

use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId};
use crate::venue::fields::{
    decimal_of, decimals_of, level_decimals, levels, millis, pair, required, whole, whole_book,
};
use crate::venue::json::{Json, JsonReader};
use crate::venue::message::{
    Answer, BookMessage, Kind, Market, Message, MessageDecimals, Notice, ParseError, Print, Route, Scalers, Ticker,
};
use crate::venue::symbols::{SymbolTable, named_in};
use crate::venue::wire::{ScalerTable, Wire};

use super::front::DiffFront;
use super::product::Product;
use super::scan;

/// Reads frames of a product of Binance.
pub struct ProductParser<P> {
    upper: SymbolTable,
    lower: SymbolTable,
    scalers: ScalerTable,
    /// Of each symbol's diffs.
    fronts: Vec<DiffFront>,
    likely: SymbolId,
    json: JsonReader,
    product: PhantomData<P>,
}

impl<P: Product> Wire for ProductParser<P> {
    type Head = scan::Head;

    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        let lower: Vec<String> = symbols.clone().map(str::to_ascii_lowercase).collect();
        Self {
            upper: SymbolTable::new(symbols),
            scalers: ScalerTable::new(lower.len()),
            fronts: vec![DiffFront::default(); lower.len()],
            lower: SymbolTable::new(lower.iter().map(String::as_str)),
            likely: SymbolId(0),
            json: JsonReader::new(),
            product: PhantomData,
        }
    }

    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        self.scalers.set(symbol, scale)
    }

    #[inline]
    fn route(&mut self, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
        match head(self, frame) {
            Some(head) => Ok(Route::Market(Market::whole(head.symbol, head.kind(), Some(head)))),
            None => route_slowly(self, frame),
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
        let message = scan::body::<P>(frame, head, self.scalers.of(head.symbol), changes, prints)?;
        if P::HAS_PLAIN_FRONT
            && let Some(front) = head.unknown_front(frame)
        {
            self.fronts[head.symbol.index()].learn(front);
        }
        Some(message)
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
            upper,
            lower,
            scalers,
            json,
            ..
        } = self;
        json.read(frame, |json| {
            let envelope = Envelope::open(json)?;
            match envelope.route::<P>(upper, lower)? {
                Target::Market(symbol, payload) => payload.read::<P>(symbol, scalers.plain(symbol), changes, prints),
                Target::Other(notice) => Ok(Message::Notice(notice)),
            }
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    fn decimals(&mut self, frame: &[u8], _part: u16) -> Result<MessageDecimals, ParseError> {
        let Self { upper, lower, json, .. } = self;
        json.read(frame, |json| match Envelope::open(json)?.route::<P>(upper, lower)? {
            Target::Market(_, payload) => payload.decimals(),
            Target::Other(_) => Ok(MessageDecimals::default()),
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    fn rest_snapshot(&mut self, body: &[u8], out: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        out.clear();
        if let Some(read) = P::scan_snapshot(body, out) {
            return Ok(read);
        }
        out.clear();
        let read = self.json.read(body, |json| {
            let [last_update_id, bids, asks] = json
                .get(["lastUpdateId", "bids", "asks"])
                .ok_or(ParseError::Malformed)?;
            let scale_of = |needed| Ok(P::snapshot_scale(first_decimals(bids, asks)?, needed));
            let scale = whole_book([bids, asks], pair, scale_of, out)?;
            Ok((whole(last_update_id)?, scale))
        });
        read.unwrap_or(Err(ParseError::Malformed))
    }

    #[cold]
    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        named_in(frame, &self.upper, b"\"s\":\"", b'"').or_else(|| named_in(frame, &self.lower, b"\"stream\":\"", b'@'))
    }
}

/// The head of a hot shape, by the front of the symbol's last diff if it is one more of them.
#[inline]
fn head<P: Product>(parser: &mut ProductParser<P>, frame: &[u8]) -> Option<scan::Head> {
    let ProductParser {
        upper,
        lower,
        fronts,
        likely,
        ..
    } = parser;
    let last = *likely;
    if !P::HAS_PLAIN_FRONT {
        let head = scan::head::<P>(frame, upper, lower, last)?;
        *likely = head.symbol;
        return Some(head);
    }
    let known = |symbol: SymbolId| scan::known_head(frame, fronts.get(symbol.index())?, symbol);
    if let Some(head) = known(last) {
        return Some(head);
    }
    // One connection brings many symbols: the wrapper says early whose front to try.
    if let Some(symbol) = scan::stream_symbol(frame, lower, last)
        && symbol != last
        && let Some(head) = known(symbol)
    {
        *likely = symbol;
        return Some(head);
    }
    let head = scan::head::<P>(frame, upper, lower, last)?;
    *likely = head.symbol;
    if head.symbol != last && head.kind() == Kind::Update {
        return Some(known(head.symbol).unwrap_or(head));
    }
    Some(head)
}

/// Finds whose frame it is, by the slow road.
#[cold]
#[inline(never)]
fn route_slowly<P: Product>(parser: &mut ProductParser<P>, frame: &[u8]) -> Result<Route<scan::Head>, ParseError> {
    let ProductParser { upper, lower, json, .. } = parser;
    json.read(frame, |json| {
        let envelope = Envelope::open(json)?;
        Ok(match envelope.route::<P>(upper, lower)? {
            Target::Market(symbol, payload) => Route::Market(Market::whole(symbol, payload.kind(), None)),
            Target::Other(notice) => Route::Notice(notice),
        })
    })
    .unwrap_or(Err(ParseError::Malformed))
}

/// A frame as JSON: the payload, and the name of its stream where it is wrapped.
struct Envelope<'tape, 'text> {
    stream: Option<&'text str>,
    payload: Json<'tape, 'text>,
}

/// What an envelope turned out to be.
enum Target<'tape, 'text> {
    Market(SymbolId, Payload<'tape, 'text>),
    Other(Notice),
}

enum Payload<'tape, 'text> {
    Diff(Json<'tape, 'text>),
    Ticker(Json<'tape, 'text>),
    Trade(Json<'tape, 'text>),
}

impl<'tape, 'text> Envelope<'tape, 'text> {
    fn open(json: Json<'tape, 'text>) -> Result<Self, ParseError> {
        match json.get(["stream", "data"]).ok_or(ParseError::Malformed)? {
            [Some(stream), Some(data)] => Ok(Self {
                stream: Some(stream.str().ok_or(ParseError::Malformed)?),
                payload: data,
            }),
            [None, None] => Ok(Self {
                stream: None,
                payload: json,
            }),
            _ => Err(ParseError::Malformed),
        }
    }

    /// Says what the payload is and checks that the stream promised it.
    fn route<P: Product>(&self, upper: &SymbolTable, lower: &SymbolTable) -> Result<Target<'tape, 'text>, ParseError> {
        let payload = self.payload;
        let keys = ["e", "s", "u", "b", "B", "result", "id", "error", "code"];
        let [event, symbol, u, b, big_b, result, id, error, code] = payload.get(keys).ok_or(ParseError::Malformed)?;
        let target = match event
            .map(|event| event.str().ok_or(ParseError::Malformed))
            .transpose()?
        {
            Some("depthUpdate") => Payload::Diff(payload),
            Some("trade") => Payload::Trade(payload),
            Some("serverShutdown") => return Ok(Target::Other(Notice::Shutdown)),
            event if event == P::TICKER_EVENT && u.is_some() && b.is_some() && big_b.is_some() => {
                Payload::Ticker(payload)
            }
            Some(_) => return Err(ParseError::Malformed),
            None if self.stream.is_none() && (error.is_some() || code.is_some()) => {
                return Ok(Target::Other(Notice::Answer(Answer::REFUSED)));
            }
            None if self.stream.is_none() && result.is_some() && id.is_some() => {
                return Ok(Target::Other(Notice::Control));
            }
            None => return Err(ParseError::Malformed),
        };
        let spelling = required(symbol)?.str().ok_or(ParseError::Malformed)?;
        let symbol = upper.find(spelling.as_bytes()).ok_or(ParseError::UnknownSymbol)?;
        if let Some(stream) = self.stream {
            let (of, name) = stream.split_once('@').ok_or(ParseError::Malformed)?;
            let promised = match target {
                Payload::Diff(_) => P::is_depth_stream(name),
                Payload::Ticker(_) => name == "bookTicker",
                Payload::Trade(_) => name == "trade",
            };
            if !promised || lower.find(of.as_bytes()) != Some(symbol) {
                return Err(ParseError::Malformed);
            }
        }
        Ok(Target::Market(symbol, target))
    }
}

impl Payload<'_, '_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Diff(_) => Kind::Update,
            Self::Ticker(_) => Kind::Top,
            Self::Trade(_) => Kind::Trades,
        }
    }

    fn read<P: Product>(
        &self,
        symbol: SymbolId,
        scalers: Scalers,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        let price = |json| decimal_of(json, scalers.price.decimals()).map(Price);
        let qty = |json| decimal_of(json, scalers.qty.decimals()).map(Qty);
        match *self {
            Self::Diff(json) => {
                let [time, first, last, bids, asks] =
                    json.get(["E", "U", "u", "b", "a"]).ok_or(ParseError::Malformed)?;
                let ids = DiffIds {
                    first: whole(first)?,
                    last: whole(last)?,
                    previous: P::read_previous_id(json)?,
                };
                let diff = diff(symbol, ids, whole(time)?)?;
                levels(bids, Side::Bid, scalers, pair, changes)?;
                levels(asks, Side::Ask, scalers, pair, changes)?;
                Ok(diff)
            }
            Self::Ticker(json) => {
                let [update_id, bid, bid_qty, ask, ask_qty] =
                    json.get(["u", "b", "B", "a", "A"]).ok_or(ParseError::Malformed)?;
                Ok(Message::Top(Ticker {
                    symbol,
                    update_id: whole(update_id)?,
                    bid: (price(bid)?, qty(bid_qty)?),
                    ask: (price(ask)?, qty(ask_qty)?),
                }))
            }
            Self::Trade(json) => {
                let [trade_id, p, q, time, buyer_is_maker] =
                    json.get(["t", "p", "q", "T", "m"]).ok_or(ParseError::Malformed)?;
                let buyer_is_maker = required(buyer_is_maker)?.bool().ok_or(ParseError::Malformed)?;
                let print = Print {
                    symbol,
                    trade_id: whole(trade_id)?,
                    price: price(p)?,
                    qty: qty(q)?,
                    aggressor: if buyer_is_maker { Side::Ask } else { Side::Bid },
                    exchange_time: millis(whole(time)?)?,
                };
                if !P::is_trade(json)? {
                    return Ok(Message::Notice(Notice::Control));
                }
                prints.push(print);
                Ok(Message::Trades { is_snapshot: false })
            }
        }
    }

    fn decimals(&self) -> Result<MessageDecimals, ParseError> {
        let mut needed = MessageDecimals::default();
        match *self {
            Self::Diff(json) => {
                let [bids, asks] = json.get(["b", "a"]).ok_or(ParseError::Malformed)?;
                level_decimals(bids, pair, &mut needed)?;
                level_decimals(asks, pair, &mut needed)?;
            }
            Self::Ticker(json) => {
                let [bid, bid_qty, ask, ask_qty] = json.get(["b", "B", "a", "A"]).ok_or(ParseError::Malformed)?;
                needed.price = decimals_of(bid)?.max(decimals_of(ask)?);
                needed.qty = decimals_of(bid_qty)?.max(decimals_of(ask_qty)?);
            }
            Self::Trade(json) => {
                let [price, qty] = json.get(["p", "q"]).ok_or(ParseError::Malformed)?;
                needed.price = decimals_of(price)?;
                needed.qty = decimals_of(qty)?;
            }
        }
        Ok(needed)
    }
}

/// The decimals of the first level of a REST snapshot; none where it has no level.
fn first_decimals(bids: Option<Json<'_, '_>>, asks: Option<Json<'_, '_>>) -> Result<MessageDecimals, ParseError> {
    let first = |levels: Option<Json<'_, '_>>| -> Result<Option<MessageDecimals>, ParseError> {
        let Some(level) = required(levels)?.items().ok_or(ParseError::Malformed)?.next() else {
            return Ok(None);
        };
        let [price, qty] = pair(level).ok_or(ParseError::Malformed)?;
        Ok(Some(MessageDecimals {
            price: decimals_of(price)?,
            qty: decimals_of(qty)?,
        }))
    };
    Ok(first(bids)?.or(first(asks)?).unwrap_or_default())
}

/// The ids of a diff.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiffIds {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The last id of the diff before, where the product has it.
    pub(super) previous: Option<u64>,
}

/// A diff by its ids; one that ends before it begins is none.
pub(super) fn diff(symbol: SymbolId, ids: DiffIds, event_time_ms: u64) -> Result<Message, ParseError> {
    if ids.first > ids.last {
        return Err(ParseError::Malformed);
    }
    Ok(Message::Book(BookMessage {
        symbol,
        is_snapshot: false,
        first_id: ids.first,
        last_id: ids.last,
        previous_id: ids.previous,
        checksum: None,
        exchange_time: Some(millis(event_time_ms)?),
    }))
}
