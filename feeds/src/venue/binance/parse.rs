//! Binance's messages: the scanner first, the slow road for everything else, one result type.

use crate::decimal::{self, Decimals};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::json::{Json, JsonReader};
use crate::venue::levels::LevelScalers;
use crate::venue::message::{MessageDecimals, ParseError, Print, Scalers};
use crate::venue::symbols::SymbolTable;

use super::front::DiffFront;
use super::scan;

/// One message. The changes of a diff lie in the buffer that was given to [`Parser::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Changes of a book.
    Diff(Diff),
    /// The best bid and ask as the venue sees them.
    Ticker(Ticker),
    /// A trade.
    Trade(Print),
    /// An answer to a request, or another message that is not about a market.
    Control,
    /// An answer that refuses a request.
    Refused,
    /// The venue will close the connection.
    Shutdown,
}

/// The head of a `depthUpdate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Whose book.
    pub symbol: SymbolId,
    /// `U`: the first update id that it contains.
    pub first_id: u64,
    /// `u`: the last update id that it contains.
    pub last_id: u64,
    /// `E`: when the venue sent it.
    pub exchange_time: UnixNanos,
}

/// A `bookTicker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// Of which instrument.
    pub symbol: SymbolId,
    /// `u`: the update id of the state that it describes.
    pub update_id: u64,
    /// Best bid and what rests there.
    pub bid: (Price, Qty),
    /// Best ask and what rests there.
    pub ask: (Price, Qty),
}

/// Reads frames of one connection. Keeps every buffer: after the first messages it allocates nothing.
pub struct Parser {
    upper: SymbolTable,
    lower: SymbolTable,
    scalers: Vec<LevelScalers>,
    /// Of each symbol's diffs.
    fronts: Vec<DiffFront>,
    likely: SymbolId,
    json: JsonReader,
}

/// Whose frame it is, found before its numbers are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route {
    /// A hot shape up to its numbers.
    Scanned(scan::Head),
    /// Another shape, about this symbol.
    Slow { symbol: SymbolId, is_diff: bool },
    /// About no symbol; read already.
    Unrouted(Message),
}

impl Parser {
    /// A parser of these symbols, spelled as in payloads (`BTCUSDT`); their scales are zero decimals until they are set.
    pub fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        let lower: Vec<String> = symbols.clone().map(str::to_ascii_lowercase).collect();
        let zero = LevelScalers::new(Scalers::new(Scale::default()).expect("zero decimals are below the most"));
        Self {
            upper: SymbolTable::new(symbols),
            scalers: vec![zero; lower.len()],
            fronts: vec![DiffFront::default(); lower.len()],
            lower: SymbolTable::new(lower.iter().map(String::as_str)),
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

    /// Reads one frame. `changes` is emptied and gets the changes of a diff, in the order of the message.
    ///
    /// # Errors
    /// [`ParseError`]; `changes` then means nothing.
    #[inline]
    pub fn parse(&mut self, frame: &[u8], changes: &mut Vec<LevelChange>) -> Result<Message, ParseError> {
        match self.head(frame) {
            Some(head) => self.parse_behind(frame, &head, changes),
            None => self.parse_any(frame, changes),
        }
    }

    /// The head of a hot shape, by the front of the symbol's last diff if it is one more of them.
    #[inline]
    fn head(&mut self, frame: &[u8]) -> Option<scan::Head> {
        let known = |symbol: SymbolId| scan::known_head(frame, self.fronts.get(symbol.index())?, symbol);
        let last = self.likely;
        if let Some(head) = known(last) {
            return Some(head);
        }
        // One connection brings many symbols: the wrapper says early whose front to try.
        if let Some(symbol) = scan::stream_symbol(frame, &self.lower, last)
            && symbol != last
            && let Some(head) = known(symbol)
        {
            self.likely = symbol;
            return Some(head);
        }
        let head = scan::head(frame, &self.upper, &self.lower, last)?;
        self.likely = head.symbol;
        if head.symbol != last && head.is_diff() {
            return Some(known(head.symbol).unwrap_or(head));
        }
        Some(head)
    }

    /// The same through the slow road alone. Gives the same result for every frame that [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[cold]
    #[inline(never)]
    pub fn parse_any(&mut self, frame: &[u8], changes: &mut Vec<LevelChange>) -> Result<Message, ParseError> {
        changes.clear();
        let Self {
            upper,
            lower,
            scalers,
            json,
            ..
        } = self;
        json.read(frame, |json| {
            let envelope = Envelope::open(json)?;
            match envelope.route(upper, lower)? {
                Target::Market(symbol, payload) => payload.read(symbol, scalers[symbol.index()].plain(), changes),
                Target::Other(message) => Ok(message),
            }
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    /// Finds whose frame it is. `None` for a symbol in the error where even that is not known.
    #[inline]
    pub(super) fn route(&mut self, frame: &[u8]) -> Result<Route, ParseError> {
        match self.head(frame) {
            Some(head) => Ok(Route::Scanned(head)),
            None => self.route_any(frame),
        }
    }

    #[cold]
    #[inline(never)]
    fn route_any(&mut self, frame: &[u8]) -> Result<Route, ParseError> {
        let Self { upper, lower, json, .. } = self;
        json.read(frame, |json| {
            let envelope = Envelope::open(json)?;
            Ok(match envelope.route(upper, lower)? {
                Target::Market(symbol, payload) => Route::Slow {
                    symbol,
                    is_diff: matches!(payload, Payload::Diff { .. }),
                },
                Target::Other(message) => Route::Unrouted(message),
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
    ) -> Result<Message, ParseError> {
        changes.clear();
        match scan::body(frame, head, &mut self.scalers[head.symbol.index()], changes) {
            Some(message) => {
                if let Some(front) = head.unknown_front(frame) {
                    self.fronts[head.symbol.index()].learn(front);
                }
                Ok(message)
            }
            None => self.parse_any(frame, changes),
        }
    }

    /// The decimals that the numbers of a frame need, whatever the scale is.
    pub(super) fn decimals(&mut self, frame: &[u8]) -> Result<MessageDecimals, ParseError> {
        let Self { upper, lower, json, .. } = self;
        json.read(frame, |json| match Envelope::open(json)?.route(upper, lower)? {
            Target::Market(_, payload) => payload.decimals(),
            Target::Other(_) => Ok(MessageDecimals::default()),
        })
        .unwrap_or(Err(ParseError::Malformed))
    }

    /// Reads a REST snapshot: its `lastUpdateId`, the scale that holds its numbers without their trailing zeros, and its
    /// levels at that scale into `levels`, bids first, best first.
    pub(super) fn snapshot(&mut self, body: &[u8], levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        levels.clear();
        if let Some(last_update_id) = scan::snapshot(body, &mut LevelScalers::new(WIRE_SCALERS), levels) {
            return Ok((last_update_id, trim(levels)));
        }
        levels.clear();
        let read = self.json.read(body, |json| {
            let [last_update_id, bids, asks] = json
                .get(["lastUpdateId", "bids", "asks"])
                .ok_or(ParseError::Malformed)?;
            let mut needed = MessageDecimals::default();
            level_decimals(bids, &mut needed)?;
            level_decimals(asks, &mut needed)?;
            let scale = needed.significant();
            let scalers = Scalers::new(scale).ok_or(ParseError::NumberOutOfRange)?;
            read_levels(bids, Side::Bid, scalers, levels)?;
            read_levels(asks, Side::Ask, scalers, levels)?;
            Ok((whole(last_update_id)?, scale))
        });
        read.unwrap_or(Err(ParseError::Malformed))
    }

    /// The symbol that a frame of broken JSON names, if it names one in the way the venue would.
    #[cold]
    pub(super) fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        let names = |prefix: &[u8], symbol: &[u8], end: u8| {
            frame.windows(prefix.len() + symbol.len() + 1).any(|window| {
                window.starts_with(prefix) && window[prefix.len()..].starts_with(symbol) && window.last() == Some(&end)
            })
        };
        let upper = self.upper.iter().find(|(_, symbol)| names(b"\"s\":\"", symbol, b'"'));
        let lower = || {
            self.lower
                .iter()
                .find(|(_, symbol)| names(b"\"stream\":\"", symbol, b'@'))
        };
        upper.or_else(lower).map(|(symbol, _)| symbol)
    }
}

/// A frame as JSON: the payload, and the name of its stream where it is wrapped.
struct Envelope<'tape, 'text> {
    stream: Option<&'text str>,
    payload: Json<'tape, 'text>,
}

/// What an envelope turned out to be.
enum Target<'tape, 'text> {
    Market(SymbolId, Payload<'tape, 'text>),
    Other(Message),
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
    fn route(&self, upper: &SymbolTable, lower: &SymbolTable) -> Result<Target<'tape, 'text>, ParseError> {
        let payload = self.payload;
        let keys = ["e", "s", "u", "b", "B", "result", "id", "error", "code"];
        let [event, symbol, u, b, big_b, result, id, error, code] = payload.get(keys).ok_or(ParseError::Malformed)?;
        let target = match event
            .map(|event| event.str().ok_or(ParseError::Malformed))
            .transpose()?
        {
            Some("depthUpdate") => Payload::Diff(payload),
            Some("trade") => Payload::Trade(payload),
            Some("serverShutdown") => return Ok(Target::Other(Message::Shutdown)),
            Some(_) => return Err(ParseError::Malformed),
            None if u.is_some() && b.is_some() && big_b.is_some() => Payload::Ticker(payload),
            None if self.stream.is_none() && (error.is_some() || code.is_some()) => {
                return Ok(Target::Other(Message::Refused));
            }
            None if self.stream.is_none() && result.is_some() && id.is_some() => {
                return Ok(Target::Other(Message::Control));
            }
            None => return Err(ParseError::Malformed),
        };
        let spelling = required(symbol)?.str().ok_or(ParseError::Malformed)?;
        let symbol = upper.find(spelling.as_bytes()).ok_or(ParseError::UnknownSymbol)?;
        if let Some(stream) = self.stream {
            let (of, name) = stream.split_once('@').ok_or(ParseError::Malformed)?;
            let promised = match target {
                Payload::Diff(_) => matches!(name, "depth@100ms" | "depth"),
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
    fn read(&self, symbol: SymbolId, scalers: Scalers, changes: &mut Vec<LevelChange>) -> Result<Message, ParseError> {
        let price = |json| decimal_of(json, scalers.price.decimals()).map(Price);
        let qty = |json| decimal_of(json, scalers.qty.decimals()).map(Qty);
        match *self {
            Self::Diff(json) => {
                let [time, first, last, bids, asks] =
                    json.get(["E", "U", "u", "b", "a"]).ok_or(ParseError::Malformed)?;
                let diff = Diff {
                    symbol,
                    first_id: whole(first)?,
                    last_id: whole(last)?,
                    exchange_time: millis(time)?,
                };
                read_levels(bids, Side::Bid, scalers, changes)?;
                read_levels(asks, Side::Ask, scalers, changes)?;
                Ok(Message::Diff(diff))
            }
            Self::Ticker(json) => {
                let [update_id, bid, bid_qty, ask, ask_qty] =
                    json.get(["u", "b", "B", "a", "A"]).ok_or(ParseError::Malformed)?;
                Ok(Message::Ticker(Ticker {
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
                Ok(Message::Trade(Print {
                    symbol,
                    trade_id: whole(trade_id)?,
                    price: price(p)?,
                    qty: qty(q)?,
                    aggressor: if buyer_is_maker { Side::Ask } else { Side::Bid },
                    exchange_time: millis(time)?,
                }))
            }
        }
    }

    fn decimals(&self) -> Result<MessageDecimals, ParseError> {
        let mut needed = MessageDecimals::default();
        match *self {
            Self::Diff(json) => {
                let [bids, asks] = json.get(["b", "a"]).ok_or(ParseError::Malformed)?;
                level_decimals(bids, &mut needed)?;
                level_decimals(asks, &mut needed)?;
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

/// Takes the decimals off that are zero in every level, and says how many are left.
fn trim(levels: &mut [LevelChange]) -> Scale {
    let trailing_zeros = |mantissa: i64, most: u8| {
        let mut most = most;
        while most > 0 && mantissa % ONE_AT[usize::from(most)] != 0 {
            most -= 1;
        }
        most
    };
    let (mut price_zeros, mut qty_zeros) = (WIRE_DECIMALS, WIRE_DECIMALS);
    for level in levels.iter() {
        price_zeros = trailing_zeros(level.price.0, price_zeros);
        qty_zeros = trailing_zeros(level.qty.0, qty_zeros);
    }
    for level in levels {
        level.price.0 /= ONE_AT[usize::from(price_zeros)];
        level.qty.0 /= ONE_AT[usize::from(qty_zeros)];
    }
    Scale {
        price: WIRE_DECIMALS - price_zeros,
        qty: WIRE_DECIMALS - qty_zeros,
    }
}

fn read_levels(
    json: Option<Json<'_, '_>>,
    side: Side,
    scalers: Scalers,
    changes: &mut Vec<LevelChange>,
) -> Result<(), ParseError> {
    for level in required(json)?.items().ok_or(ParseError::Malformed)? {
        let (price, qty) = level.pair().ok_or(ParseError::Malformed)?;
        let price = Price(decimal_of(Some(price), scalers.price.decimals())?);
        let qty = Qty(decimal_of(Some(qty), scalers.qty.decimals())?);
        changes.push(LevelChange { side, price, qty });
    }
    Ok(())
}

fn level_decimals(json: Option<Json<'_, '_>>, needed: &mut MessageDecimals) -> Result<(), ParseError> {
    for level in required(json)?.items().ok_or(ParseError::Malformed)? {
        let (price, qty) = level.pair().ok_or(ParseError::Malformed)?;
        needed.price = needed.price.max(decimals_of(Some(price))?);
        needed.qty = needed.qty.max(decimals_of(Some(qty))?);
    }
    Ok(())
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

fn whole(json: Option<Json<'_, '_>>) -> Result<u64, ParseError> {
    required(json)?.u64().ok_or(ParseError::Malformed)
}

fn millis(json: Option<Json<'_, '_>>) -> Result<UnixNanos, ParseError> {
    UnixNanos::from_millis(whole(json)?).ok_or(ParseError::NumberOutOfRange)
}

/// The decimals that the venue prints, for every instrument so far.
const WIRE_DECIMALS: u8 = 8;

const WIRE_SCALERS: Scalers = Scalers::new(Scale {
    price: WIRE_DECIMALS,
    qty: WIRE_DECIMALS,
})
.expect("eight decimals are below the most");

const ONE_AT: [i64; WIRE_DECIMALS as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
