//! Both of Coinbase's feeds against half a minute of ten products, with books of ordered maps as the judge of every update.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::{BTreeMap, HashMap, VecDeque};

use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::event::{BookUpdate, FeedEvent, Stamps, Trade};
use quantumflow_feeds::venue::{Session, SessionConfig};
use quantumflow_feeds::{Quality, Side, Sink, SymbolId, VenueId};
use serde_json::Value;
use venue_support::{COINBASE_ADVANCED, COINBASE_EXCHANGE, COINBASE_PRODUCTS, frames, recordings};

/// A number at eight decimals, which is more than the recordings have.
fn eight(text: &Value) -> i64 {
    let (whole, fraction) = match text.as_str().unwrap().split_once('.') {
        Some(parts) => parts,
        None => (text.as_str().unwrap(), ""),
    };
    assert!(fraction.len() <= 8);
    format!("{whole}{fraction:0<8}").parse().unwrap()
}

/// One message about a book, in the words of neither feed.
struct Expected {
    product: String,
    is_snapshot: bool,
    /// Whether it is a bid, price, quantity.
    levels: Vec<(bool, i64, i64)>,
}

fn expected(frame: &Value) -> Option<Expected> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    if frame["channel"] == "l2_data" {
        let event = &frame["events"][0];
        let level = |level: &Value| {
            (
                level["side"] == "bid",
                eight(&level["price_level"]),
                eight(&level["new_quantity"]),
            )
        };
        return Some(Expected {
            product: text(&event["product_id"]),
            is_snapshot: event["type"] == "snapshot",
            levels: event["updates"].as_array().unwrap().iter().map(level).collect(),
        });
    }
    let mut levels = Vec::new();
    match frame["type"].as_str() {
        Some("snapshot") => {
            for key in ["bids", "asks"] {
                let side = frame[key].as_array().unwrap().iter();
                levels.extend(side.map(|level| (key == "bids", eight(&level[0]), eight(&level[1]))));
            }
        }
        Some("l2update") => {
            let changes = frame["changes"].as_array().unwrap().iter();
            levels.extend(changes.map(|change| (change[0] == "buy", eight(&change[1]), eight(&change[2]))));
        }
        _ => return None,
    }
    Some(Expected {
        product: text(&frame["product_id"]),
        is_snapshot: frame["type"] == "snapshot",
        levels,
    })
}

#[derive(Default)]
struct Maps {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

struct Judge {
    messages: VecDeque<Expected>,
    books: HashMap<String, Maps>,
    quality: Quality,
    count: usize,
    trades: Vec<(String, u64, Side)>,
    events: Vec<FeedEvent>,
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let message = self.messages.pop_front().expect("no more updates than messages");
        assert_eq!(update.instrument.symbol, message.product);
        assert!(update.is_snapshot || !message.is_snapshot);
        assert_eq!(update.quality, self.quality);
        let maps = self.books.entry(message.product).or_default();
        if message.is_snapshot {
            *maps = Maps::default();
        }
        for (is_bid, price, qty) in message.levels {
            let side = if is_bid { &mut maps.bids } else { &mut maps.asks };
            match qty {
                0 => side.remove(&price),
                qty => side.insert(price, qty),
            };
        }
        let scale = update.instrument.scale;
        let (price, qty) = (
            10_i64.pow(8 - u32::from(scale.price)),
            10_i64.pow(8 - u32::from(scale.qty)),
        );
        let levels = |side| {
            let levels = update.book.levels(side);
            levels.map(move |level| (level.price.0 * price, level.qty.0 * qty))
        };
        let product = &update.instrument.symbol;
        assert!(
            maps.bids
                .iter()
                .rev()
                .map(|(price, qty)| (*price, *qty))
                .eq(levels(Side::Bid)),
            "bids of {product}"
        );
        assert!(
            maps.asks
                .iter()
                .map(|(price, qty)| (*price, *qty))
                .eq(levels(Side::Ask)),
            "asks of {product}"
        );
        self.count += 1;
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        assert!(trade.price.0 > 0 && trade.qty.0 > 0);
        self.trades
            .push((trade.instrument.symbol.clone(), trade.trade_id, trade.aggressor));
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

/// The trades that are new in a recording: product, id, and the other side than the maker's, which is what is printed.
fn new_trades(frame: &Value) -> Vec<(String, u64, Side)> {
    let told = |trade: &Value, id: u64| {
        let maker = trade["side"].as_str().unwrap().to_lowercase();
        let aggressor = if maker == "sell" { Side::Bid } else { Side::Ask };
        (trade["product_id"].as_str().unwrap().to_owned(), id, aggressor)
    };
    if frame["type"] == "match" {
        return vec![told(frame, frame["trade_id"].as_u64().unwrap())];
    }
    if frame["channel"] != "market_trades" || frame["events"][0]["type"] != "update" {
        return Vec::new();
    }
    let trades = frame["events"][0]["trades"].as_array().unwrap().iter();
    let id = |trade: &Value| trade["trade_id"].as_str().unwrap().parse().unwrap();
    trades.map(|trade| told(trade, id(trade))).collect()
}

#[test]
fn every_book_of_the_advanced_recording_is_right() {
    check(VenueId::CoinbaseAdvanced, &COINBASE_ADVANCED, 9_839, Quality::Verified);
}

#[test]
fn every_book_of_the_exchange_recording_is_right() {
    check(
        VenueId::CoinbaseExchange,
        &COINBASE_EXCHANGE,
        9_946,
        Quality::Unverified,
    );
}

fn check(venue: VenueId, names: &[&str], messages: usize, quality: Quality) {
    let Some(paths) = recordings(names) else { return };
    let lines: Vec<Value> = frames(&paths, usize::MAX)
        .iter()
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect();
    assert_eq!(lines.len(), messages);
    let trades: Vec<_> = lines.iter().flat_map(new_trades).collect();
    assert_eq!(trades.len(), 97);
    let mut judge = Judge {
        messages: lines.iter().filter_map(expected).collect(),
        books: HashMap::new(),
        quality,
        count: 0,
        trades: Vec::new(),
        events: Vec::new(),
    };
    assert_eq!(judge.messages.len(), 9_729);

    let mut session = Session::new(&SessionConfig::new(venue, COINBASE_PRODUCTS)).unwrap();
    let mut reader = CaptureReader::open(&paths).unwrap();
    let summary = replay(&mut reader, &mut session, &mut judge, unpaced).unwrap();

    assert_eq!(summary.frames, messages as u64);
    assert!(reader.truncated().is_empty());
    assert_eq!((judge.count, judge.messages.len()), (9_729, 0));
    let count = |is_it: fn(&FeedEvent) -> bool| judge.events.iter().filter(|event| is_it(event)).count();
    assert_eq!(
        count(|event| matches!(event, FeedEvent::ResyncStarted { .. })),
        10,
        "the start of each product, and no gap"
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::ResyncFinished { .. })), 10);
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    // The trades before a product's book are nobody's at any scale; the one of each before the subscription is old.
    let outdated = count(|event| matches!(event, FeedEvent::Outdated { .. }));
    assert_eq!(judge.trades.len() + outdated, 107);
    assert!(judge.trades.iter().all(|trade| trades.contains(trade)));
    assert!(judge.trades.len() > 90, "{}", judge.trades.len());
    for symbol in 0..10 {
        assert_eq!(session.quality(SymbolId(symbol)), quality);
    }
}
