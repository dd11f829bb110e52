//! A generated capture holds what a venue would have sent: judged by maps that know nothing of the generator.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, HashMap};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, CaptureWriteError, market_capture};

fn capture(venue: VenueId, symbols: &[&str], length: CaptureLength) -> (Vec<(u64, String)>, Vec<String>) {
    let mut bytes = Vec::new();
    let summary = market_capture(&CaptureConfig::new(venue, symbols, 3, length), &mut bytes).unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    let text = String::from_utf8(bytes).unwrap();
    let (notes, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    assert_eq!(summary.messages, lines.len() as u64);
    let split = |line: &str| {
        let (time, frame) = line.split_once(' ').unwrap();
        (time.parse().unwrap(), frame.to_owned())
    };
    (
        lines.into_iter().map(split).collect(),
        notes.into_iter().map(str::to_owned).collect(),
    )
}

#[derive(Default)]
struct Book {
    id: Option<u64>,
    /// Prices of this venue have one width of decimals, so text without the point orders as numbers do.
    bids: BTreeMap<u64, String>,
    asks: BTreeMap<u64, String>,
}

impl Book {
    fn apply(&mut self, bids: &serde_json::Value, asks: &serde_json::Value) {
        for (side, levels) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for level in levels.as_array().unwrap() {
                let (price, qty) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                let price = price.replace('.', "").parse().unwrap();
                match qty {
                    "0.00000000" => side.remove(&price),
                    qty => side.insert(price, qty.to_owned()),
                };
            }
        }
    }
}

#[test]
fn a_binance_capture_rebuilds_without_a_gap_and_agrees_with_its_tops() {
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let (lines, notes) = capture(VenueId::BinanceSpot, &symbols, CaptureLength::Seconds(30.0));
    assert!(lines.is_sorted_by_key(|line| line.0));
    assert!(notes[1].contains(" sent {\"method\":\"SUBSCRIBE\""));
    let mut rest_symbols = notes
        .iter()
        .filter_map(|note| note.split_once(" rest ").map(|(_, symbol)| symbol));
    let mut books: HashMap<String, Book> = HashMap::new();
    let mut kept: HashMap<String, Vec<serde_json::Value>> = HashMap::new();
    let mut tops: HashMap<(String, u64), [String; 4]> = HashMap::new();
    let (mut diffs, mut agreed, mut trades) = (0, 0, 0);
    for (_, frame) in &lines {
        let value: serde_json::Value = serde_json::from_str(frame).unwrap();
        let data = &value["data"];
        let mut touched = None;
        if value.get("lastUpdateId").is_some() {
            let symbol = rest_symbols.next().unwrap().to_owned();
            let book = books.entry(symbol.clone()).or_default();
            book.id = value["lastUpdateId"].as_u64();
            book.apply(&value["bids"], &value["asks"]);
            touched = Some(symbol);
        } else if data["e"] == "depthUpdate" {
            let symbol = data["s"].as_str().unwrap().to_owned();
            kept.entry(symbol.clone()).or_default().push(data.clone());
            touched = Some(symbol);
        } else if data["e"] == "trade" {
            trades += 1;
        } else if let Some(id) = data["u"].as_u64() {
            let field = |name: &str| data[name].as_str().unwrap().to_owned();
            tops.insert(
                (data["s"].as_str().unwrap().to_owned(), id),
                ["b", "B", "a", "A"].map(field),
            );
        }
        let Some(symbol) = touched else { continue };
        let Some(book) = books.get_mut(&symbol) else { continue };
        for diff in kept.remove(&symbol).unwrap_or_default() {
            let (first, last) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
            if Some(last) <= book.id {
                continue;
            }
            assert!(
                Some(first) <= book.id.map(|id| id + 1),
                "gap at {first} after {:?}",
                book.id
            );
            book.apply(&diff["b"], &diff["a"]);
            book.id = Some(last);
            diffs += 1;
            let (bid, ask) = (
                book.bids.last_key_value().unwrap(),
                book.asks.first_key_value().unwrap(),
            );
            assert!(bid.0 < ask.0, "crossed");
            if let Some([b, bid_qty, a, ask_qty]) = tops.get(&(symbol.clone(), last)) {
                let price = |text: &str| text.replace('.', "").parse::<u64>().unwrap();
                assert_eq!((price(b), bid_qty, price(a), ask_qty), (*bid.0, bid.1, *ask.0, ask.1));
                agreed += 1;
            }
        }
    }
    assert!(
        diffs > 2 * 250 && agreed > 50 && trades > 500,
        "{diffs} diffs, {agreed} tops agree, {trades} trades"
    );
}

#[test]
fn a_kraken_capture_begins_as_a_session_does() {
    let (lines, _) = capture(VenueId::KrakenV2, &["BTC/USD", "ETH/USD"], CaptureLength::Events(3_000));
    let head: Vec<&str> = lines.iter().take(6).map(|(_, frame)| &frame[..30]).collect();
    assert!(head[0].starts_with("{\"channel\":\"status\""), "{head:?}");
    assert!(head[1].starts_with("{\"method\":\"subscribe\""), "{head:?}");
    assert!(head[2].starts_with("{\"channel\":\"book\",\"type\":\"snap"), "{head:?}");
    let count = |what: &str| lines.iter().filter(|(_, frame)| frame.contains(what)).count();
    assert_eq!(count("\"type\":\"snapshot\""), 2);
    assert!(count("\"channel\":\"book\",\"type\":\"update\"") > 500 && count("\"channel\":\"trade\"") > 100);
}

#[test]
fn a_bybit_capture_begins_as_a_session_does_and_its_ids_are_a_chain() {
    for (venue, path, between) in [
        (VenueId::BybitSpot, "/v5/public/spot", "\",\"ts\":"),
        (VenueId::BybitLinear, "/v5/public/linear", "\",\"type\":"),
    ] {
        let symbols = ["BTCUSDT", "ETHUSDT"];
        let (lines, notes) = capture(venue, &symbols, CaptureLength::Events(3_000));
        assert!(notes[0].contains(path) && notes.len() == 5, "{notes:?}");
        let mut ids: HashMap<String, u64> = HashMap::new();
        let (mut deltas, mut trades) = (0, 0);
        for (_, frame) in &lines {
            let value: serde_json::Value = serde_json::from_str(frame).unwrap();
            let Some(topic) = value["topic"].as_str() else {
                assert_eq!(value["success"], true);
                continue;
            };
            assert!(frame[topic.len()..].contains(between), "{frame}");
            if topic.starts_with("publicTrade.") {
                trades += 1;
                continue;
            }
            assert!(topic.starts_with("orderbook.50."));
            let id = value["data"]["u"].as_u64().unwrap();
            let last = ids.insert(topic.to_owned(), id);
            match value["type"].as_str() {
                Some("snapshot") => assert_eq!(last, None),
                _ => assert_eq!(last, Some(id - 1)),
            }
            deltas += usize::from(value["type"] == "delta");
        }
        assert!(deltas > 300 && trades > 100, "{deltas} deltas, {trades} trades");
    }
}

#[test]
fn an_okx_capture_begins_as_a_session_does() {
    let (lines, _) = capture(VenueId::OkxV5, &["BTC-USDT", "ETH-USDT"], CaptureLength::Seconds(20.0));
    let count = |what: &str| lines.iter().filter(|(_, frame)| frame.contains(what)).count();
    assert_eq!(count("\"event\":\"subscribe\""), 4);
    assert_eq!(count("\"action\":\"snapshot\""), 2);
    assert!(count("\"action\":\"update\"") > 200 && count("\"channel\":\"trades\"") > 100);
}

#[test]
fn what_a_venue_would_refuse_is_an_error() {
    let mut config = CaptureConfig::new(VenueId::KrakenV2, &["BTC/USD"], 1, CaptureLength::Events(10));
    config.depth = 20;
    let error = market_capture(&config, &mut Vec::new()).unwrap_err();
    assert!(
        error.to_string().contains("Subscription depth not supported"),
        "{error}"
    );
    config.market.symbols.clear();
    assert!(matches!(
        market_capture(&config, &mut Vec::new()),
        Err(CaptureWriteError::NoSymbols)
    ));
}
