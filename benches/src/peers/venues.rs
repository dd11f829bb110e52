//! The books of every venue through other libraries: their typed messages, and two BTreeMaps.
//!
//! As a careful user of them writes it, and with a head start: which messages are of the book is told to it, so that nothing
//! else is parsed, and neither update ids nor checksums are looked at. Ours does all of that.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use quantumflow_feeds::Side;
use serde::Deserialize;
use simd_json::Buffers;

use super::parse::{Combined, fixed};
use super::receive::{Probe, Work};
use crate::rivals::{DepthBook, TreeBook};

/// A venue's book messages as a type.
pub trait Shape {
    /// Levels a side that the venue keeps; what falls behind them it never mentions again.
    const DEPTH: Option<usize> = None;
    /// The message.
    type Message<'a>: Deserialize<'a>;
    /// What it does to the book. Prices and quantities in 10^-8.
    fn apply(message: &Self::Message<'_>, book: &mut TreeBook);
}

type Pair<'a> = (&'a str, &'a str);

fn set(book: &mut TreeBook, side: Side, price: &str, quantity: &str) {
    book.set(side, fixed(price, 8), fixed(quantity, 8));
}

fn set_all<'a>(
    book: &mut TreeBook,
    bids: impl IntoIterator<Item = Pair<'a>>,
    asks: impl IntoIterator<Item = Pair<'a>>,
) {
    for (price, quantity) in bids {
        set(book, Side::Bid, price, quantity);
    }
    for (price, quantity) in asks {
        set(book, Side::Ask, price, quantity);
    }
}

/// Binance, spot and futures: combined streams.
#[derive(Debug)]
pub struct Binance;

impl Shape for Binance {
    type Message<'a> = Combined<'a>;

    fn apply(message: &Combined<'_>, book: &mut TreeBook) {
        let data = &message.data;
        set_all(book, data.bids.iter().copied(), data.asks.iter().copied());
    }
}

/// Bybit v5.
#[derive(Debug)]
pub struct Bybit;

/// One of [`Bybit`]'s.
#[derive(Debug, Deserialize)]
pub struct BybitMessage<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    data: BybitBook<'a>,
}

#[derive(Debug, Deserialize)]
struct BybitBook<'a> {
    #[serde(borrow, rename = "b")]
    bids: Vec<Pair<'a>>,
    #[serde(borrow, rename = "a")]
    asks: Vec<Pair<'a>>,
}

impl Shape for Bybit {
    const DEPTH: Option<usize> = Some(50);
    type Message<'a> = BybitMessage<'a>;

    fn apply(message: &BybitMessage<'_>, book: &mut TreeBook) {
        if message.kind == "snapshot" {
            *book = TreeBook::default();
        }
        set_all(
            book,
            message.data.bids.iter().copied(),
            message.data.asks.iter().copied(),
        );
    }
}

/// OKX v5.
#[derive(Debug)]
pub struct Okx;

/// One of [`Okx`]'s.
#[derive(Debug, Deserialize)]
pub struct OkxMessage<'a> {
    action: &'a str,
    #[serde(borrow)]
    data: Vec<OkxBook<'a>>,
}

/// Price, quantity, a field of the past, and the number of orders.
type OkxLevel<'a> = (&'a str, &'a str, &'a str, &'a str);

#[derive(Debug, Deserialize)]
struct OkxBook<'a> {
    #[serde(borrow)]
    bids: Vec<OkxLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<OkxLevel<'a>>,
}

impl Shape for Okx {
    type Message<'a> = OkxMessage<'a>;

    fn apply(message: &OkxMessage<'_>, book: &mut TreeBook) {
        if message.action == "snapshot" {
            *book = TreeBook::default();
        }
        for data in &message.data {
            for (side, levels) in [(Side::Bid, &data.bids), (Side::Ask, &data.asks)] {
                for (price, quantity, _, _) in levels {
                    set(book, side, price, quantity);
                }
            }
        }
    }
}

/// Coinbase Advanced Trade.
#[derive(Debug)]
pub struct CoinbaseAdvanced;

/// One of [`CoinbaseAdvanced`]'s.
#[derive(Debug, Deserialize)]
pub struct CoinbaseMessage<'a> {
    #[serde(borrow)]
    events: Vec<CoinbaseEvent<'a>>,
}

#[derive(Debug, Deserialize)]
struct CoinbaseEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    updates: Vec<CoinbaseChange<'a>>,
}

#[derive(Debug, Deserialize)]
struct CoinbaseChange<'a> {
    side: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

impl Shape for CoinbaseAdvanced {
    type Message<'a> = CoinbaseMessage<'a>;

    fn apply(message: &CoinbaseMessage<'_>, book: &mut TreeBook) {
        for event in &message.events {
            if event.kind == "snapshot" {
                *book = TreeBook::default();
            }
            for change in &event.updates {
                let side = if change.side == "bid" { Side::Bid } else { Side::Ask };
                set(book, side, change.price_level, change.new_quantity);
            }
        }
    }
}

/// Coinbase Exchange.
#[derive(Debug)]
pub struct CoinbaseExchange;

/// One of [`CoinbaseExchange`]'s.
#[derive(Debug, Deserialize)]
pub struct ExchangeMessage<'a> {
    #[serde(borrow, default)]
    bids: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    asks: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    changes: Vec<(&'a str, &'a str, &'a str)>,
}

impl Shape for CoinbaseExchange {
    type Message<'a> = ExchangeMessage<'a>;

    fn apply(message: &ExchangeMessage<'_>, book: &mut TreeBook) {
        if !message.bids.is_empty() {
            *book = TreeBook::default();
        }
        set_all(book, message.bids.iter().copied(), message.asks.iter().copied());
        for (side, price, quantity) in &message.changes {
            let side = if *side == "buy" { Side::Bid } else { Side::Ask };
            set(book, side, price, quantity);
        }
    }
}

/// Kraken v2, whose numbers are numbers.
#[derive(Debug)]
pub struct Kraken;

/// One of [`Kraken`]'s.
#[derive(Debug, Deserialize)]
pub struct KrakenMessage<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    data: Vec<KrakenBook>,
}

#[derive(Debug, Deserialize)]
struct KrakenBook {
    bids: Vec<KrakenLevel>,
    asks: Vec<KrakenLevel>,
}

#[derive(Debug, Deserialize)]
struct KrakenLevel {
    price: f64,
    qty: f64,
}

impl Shape for Kraken {
    const DEPTH: Option<usize> = Some(10);
    type Message<'a> = KrakenMessage<'a>;

    fn apply(message: &KrakenMessage<'_>, book: &mut TreeBook) {
        if message.kind == "snapshot" {
            *book = TreeBook::default();
        }
        let full = |value: f64| (value * 1e8).round() as i64;
        for data in &message.data {
            for (side, levels) in [(Side::Bid, &data.bids), (Side::Ask, &data.asks)] {
                for level in levels {
                    book.set(side, full(level.price), full(level.qty));
                }
            }
        }
    }
}

/// A JSON library.
pub trait Json: Default {
    /// Reads a payload.
    fn read<S: Shape>(&mut self, payload: &[u8], to: impl FnOnce(&S::Message<'_>));
    /// Reads a payload that may be overwritten.
    #[inline]
    fn read_mut<S: Shape>(&mut self, payload: &mut [u8], to: impl FnOnce(&S::Message<'_>)) {
        self.read::<S>(payload, to);
    }
}

/// serde_json.
#[derive(Debug, Default)]
pub struct Serde;

impl Json for Serde {
    #[inline]
    fn read<S: Shape>(&mut self, payload: &[u8], to: impl FnOnce(&S::Message<'_>)) {
        to(&serde_json::from_slice(payload).expect("the venue's JSON"));
    }
}

/// sonic-rs.
#[derive(Debug, Default)]
pub struct Sonic;

impl Json for Sonic {
    #[inline]
    fn read<S: Shape>(&mut self, payload: &[u8], to: impl FnOnce(&S::Message<'_>)) {
        to(&sonic_rs::from_slice(payload).expect("the venue's JSON"));
    }
}

/// simd-json, buffers kept.
#[derive(Default)]
pub struct Simd {
    buffers: Buffers,
    scratch: Vec<u8>,
}

impl Json for Simd {
    #[inline]
    fn read<S: Shape>(&mut self, payload: &[u8], to: impl FnOnce(&S::Message<'_>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(payload);
        self.read_mut::<S>(&mut scratch, to);
        self.scratch = scratch;
    }

    #[inline]
    fn read_mut<S: Shape>(&mut self, payload: &mut [u8], to: impl FnOnce(&S::Message<'_>)) {
        to(&simd_json::serde::from_slice_with_buffers(payload, &mut self.buffers).expect("the venue's JSON"));
    }
}

/// The book of one symbol behind a WebSocket library.
pub struct VenueBook<S, J> {
    json: J,
    book: TreeBook,
    is_book: Arc<[bool]>,
    applied: usize,
    probe: Option<Probe>,
    shape: PhantomData<S>,
}

impl<S: Shape, J: Json> VenueBook<S, J> {
    /// `is_book`: by message, whether it is of the book.
    pub fn new(is_book: Arc<[bool]>) -> Self {
        Self {
            json: J::default(),
            book: TreeBook::default(),
            is_book,
            applied: 0,
            probe: None,
            shape: PhantomData,
        }
    }

    #[inline]
    fn next(&mut self, read: impl FnOnce(&mut J, &mut TreeBook)) {
        if self.is_book[self.applied] {
            read(&mut self.json, &mut self.book);
            if let Some(depth) = S::DEPTH {
                self.book.keep(depth);
            }
            if let Some(probe) = &mut self.probe {
                probe.applied(self.applied);
            }
        }
        self.applied += 1;
    }
}

impl<S: Shape, J: Json> Work for VenueBook<S, J> {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        self.next(|json, book| json.read::<S>(payload, |message| S::apply(message, book)));
    }

    #[inline]
    fn message_mut(&mut self, payload: &mut [u8]) {
        self.next(|json, book| json.read_mut::<S>(payload, |message| S::apply(message, book)));
    }

    #[inline]
    fn applied(&self) -> usize {
        self.applied
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        self.book.levels(side)
    }

    fn probe(&mut self) -> &mut Option<Probe> {
        &mut self.probe
    }
}

#[cfg(test)]
mod tests {
    use quantumflow_feeds::VenueId;
    use quantumflow_feeds::ws::{Decoder, Limits, Message, Role};

    use super::*;
    use crate::tape::Tape;

    fn ends_alike<S: Shape, J: Json>(tape: &Tape) {
        let mut work = VenueBook::<S, J>::new(tape.is_book.clone().into());
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let space = decoder.space(tape.bytes.len());
        space[..tape.bytes.len()].copy_from_slice(&tape.bytes);
        decoder.commit(tape.bytes.len());
        while let Some(message) = decoder.next_message().unwrap() {
            let Message::Text(text) = message else { continue };
            work.message(text.as_bytes());
        }
        assert_eq!(work.applied(), tape.ends.len());
        let top = [Side::Bid, Side::Ask].map(|side| work.levels(side).first().copied());
        assert_eq!(top, tape.top, "{}", tape.venue);
    }

    fn all<S: Shape>(venue: VenueId) {
        let tape = Tape::of_market(venue, 11, 1_500).unwrap();
        ends_alike::<S, Serde>(&tape);
        ends_alike::<S, Sonic>(&tape);
        ends_alike::<S, Simd>(&tape);
    }

    #[test]
    fn every_library_ends_with_the_book_of_ours() {
        all::<Binance>(VenueId::BinanceSpot);
        all::<Binance>(VenueId::BinanceUsdm);
        all::<Bybit>(VenueId::BybitSpot);
        all::<Bybit>(VenueId::BybitLinear);
        all::<Okx>(VenueId::OkxV5);
        all::<CoinbaseAdvanced>(VenueId::CoinbaseAdvanced);
        all::<CoinbaseExchange>(VenueId::CoinbaseExchange);
        all::<Kraken>(VenueId::KrakenV2);
    }
}
