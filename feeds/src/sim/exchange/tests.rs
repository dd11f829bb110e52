use std::collections::BTreeMap;

use super::super::fault::{Fault, Faults, PlannedFault};
use super::super::load::LoadShape;
use super::super::market::MarketConfig;
use super::*;
use crate::types::Side;

/// A client's book: text of price and quantity by the price as an integer. Knows nothing of the generator.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naive {
    bids: BTreeMap<i64, (String, String)>,
    asks: BTreeMap<i64, (String, String)>,
}

impl Naive {
    fn set(&mut self, side: Side, price: &str, qty: &str) {
        let side = if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        let key = digits(price).parse().unwrap();
        match qty.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            true => side.remove(&key),
            false => side.insert(key, (price.to_owned(), qty.to_owned())),
        };
    }

    fn truncate(&mut self, depth: usize) {
        while self.bids.len() > depth {
            self.bids.pop_first();
        }
        while self.asks.len() > depth {
            self.asks.pop_last();
        }
    }

    /// The truth, printed by the standard library.
    fn truth(instrument: &super::super::market::Instrument, depth: usize) -> Self {
        let mut naive = Self::default();
        let scale = instrument.config().scale;
        for side in [Side::Bid, Side::Ask] {
            for level in instrument.levels(side).take(depth) {
                let text = |mantissa: i64, decimals: u8| {
                    let unit = 10i64.pow(u32::from(decimals));
                    format!(
                        "{}.{:0width$}",
                        mantissa / unit,
                        mantissa % unit,
                        width = usize::from(decimals)
                    )
                };
                naive.set(side, &text(level.price.0, scale.price), &text(level.qty.0, scale.qty));
            }
        }
        naive
    }

    /// The venue's checksum, from the wire's own text.
    fn crc(&self) -> u32 {
        let levels = self.asks.values().take(10).chain(self.bids.values().rev().take(10));
        let text: String = levels.flat_map(|(price, qty)| [digits(price), digits(qty)]).collect();
        crc32(text.as_bytes())
    }
}

fn digits(number: &str) -> String {
    number.replace('.', "").trim_start_matches('0').to_owned()
}

/// CRC-32 (IEEE), a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// The pairs of a list of levels, in either venue's words.
fn levels(text: &str, key: &str) -> Vec<(String, String)> {
    let Some(start) = text.find(key) else { return Vec::new() };
    let start = start + key.len();
    let (mut depth, mut end) = (1, start);
    for (at, byte) in text[start..].bytes().enumerate() {
        depth += i32::from(byte == b'[') - i32::from(byte == b']');
        if depth == 0 {
            end = start + at;
            break;
        }
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let numbers: Vec<&str> = text[start..end]
        .split(|c| !is_number(c))
        .filter(|part| !part.is_empty())
        .collect();
    numbers
        .chunks(2)
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect()
}

fn number(text: &str, key: &str) -> u64 {
    let start = text.find(key).unwrap_or_else(|| panic!("{key} in {text}")) + key.len();
    text[start..]
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn exchange(venue: VenueId, symbols: &[&str], plan: &[PlannedFault]) -> Generated {
    let names: Vec<String> = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let clients = Clients::new(Faults::new(plan, None, &names));
    let natural = LoadShape::Natural { speed: 1.0 };
    let options = DialectOptions {
        enforce_limits: true,
        ..DialectOptions::default()
    };
    Generated::new(
        venue,
        &MarketConfig::preset(venue, symbols, 5),
        options,
        natural,
        clients,
        START,
    )
}

const START: UnixNanos = UnixNanos(1_785_641_751_660_084_000);

/// Takes the text messages that wait for a client.
fn take(exchange: &mut Generated, key: ClientKey) -> Vec<String> {
    let batch = exchange.clients().batch(key).unwrap();
    let texts = batch
        .frames
        .iter()
        .map(|frame| String::from_utf8(batch.bytes[frame.end - frame.payload_bytes..frame.end].to_vec()).unwrap());
    let texts = texts.collect();
    batch.bytes.clear();
    batch.frames.clear();
    texts
}

#[test]
fn binance_diffs_on_a_rest_book_rebuild_the_truth() {
    for pace in ["@100ms", "@0ms", ""] {
        let symbols = ["BTCUSDT", "SOLUSDT"];
        let mut venue = exchange(VenueId::BinanceSpot, &symbols, &[]);
        let key = venue
            .connect(&format!("/ws/btcusdt@depth{pace}/solusdt@depth{pace}"), START)
            .unwrap();
        let mut now = START;
        let mut books: [Option<(Naive, u64)>; 2] = [None, None];
        let mut compared = 0;
        let mut kept: [Vec<String>; 2] = [Vec::new(), Vec::new()];
        while now.since(START) < 5_000_000_000 {
            now = venue.advance(now, false).max(now);
            for text in take(&mut venue, key) {
                let index = usize::from(text.contains("SOLUSDT"));
                assert!(text.starts_with("{\"e\":\"depthUpdate\",\"E\":"), "{text}");
                kept[index].push(text);
            }
            for index in 0..2 {
                // After the third diff, as a client that was slow to ask.
                if books[index].is_none() && kept[index].len() == 3 {
                    let target = format!("/api/v3/depth?symbol={}&limit=5000", symbols[index]);
                    let reply = venue.rest(&target, now);
                    assert_eq!((reply.status, reply.snapshot_of), (200, Some(index as u16)));
                    let body = String::from_utf8(reply.body).unwrap();
                    let mut book = Naive::default();
                    for (side, list) in [(Side::Bid, "\"bids\":["), (Side::Ask, "\"asks\":[")] {
                        levels(&body, list)
                            .iter()
                            .for_each(|(price, qty)| book.set(side, price, qty));
                    }
                    let id = number(&body, "\"lastUpdateId\":");
                    assert!(id >= number(&kept[index][0], "\"U\":"), "older than the stream");
                    assert_eq!(book, Naive::truth(&venue.market().instruments()[index], 5_000));
                    books[index] = Some((book, id));
                }
                let Some((book, id)) = &mut books[index] else { continue };
                for text in kept[index].drain(..) {
                    let (first, last) = (number(&text, "\"U\":"), number(&text, "\"u\":"));
                    assert!(first <= last);
                    if last <= *id {
                        continue;
                    }
                    assert!(first <= *id + 1, "gap: {first} after {id}");
                    for (side, list) in [(Side::Bid, "\"b\":["), (Side::Ask, "\"a\":[")] {
                        levels(&text, list)
                            .iter()
                            .for_each(|(price, qty)| book.set(side, price, qty));
                    }
                    *id = last;
                }
                let instrument = &venue.market().instruments()[index];
                // Seldom for the fast pace: the comparison costs more than the stream.
                if *id == instrument.update_id() && (pace != "@0ms" || *id % 16 == 0) {
                    assert_eq!(*book, Naive::truth(instrument, 5_000));
                    compared += 1;
                }
            }
        }
        assert!(compared >= if pace.is_empty() { 6 } else { 30 }, "{pace}: {compared}");
    }
}

#[test]
fn binance_tops_trades_and_wrapping_are_the_venues() {
    let mut venue = exchange(VenueId::BinanceSpot, &["BTCUSDT"], &[]);
    let key = venue.connect("/stream?streams=btcusdt@depth@0ms", START).unwrap();
    venue.receive(
        key,
        r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@trade","nosuch@depth"],"id":"x1"}"#,
        START,
    );
    assert_eq!(take(&mut venue, key), ["{\"result\":null,\"id\":\"x1\"}"]);
    venue.receive(key, r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#, START);
    let list =
        "{\"result\":[\"btcusdt@depth@0ms\",\"btcusdt@bookTicker\",\"btcusdt@trade\",\"nosuch@depth\"],\"id\":3}";
    assert_eq!(take(&mut venue, key), [list]);

    let (mut now, mut tops, mut trades, mut same) = (START, 0, 0, 0);
    let mut top_id = 0;
    let mut trade_id = None;
    while now.since(START) < 5_000_000_000 {
        now = venue.advance(now, false).max(now);
        for text in take(&mut venue, key) {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let (stream, data) = (value["stream"].as_str().unwrap(), &value["data"]);
            assert_eq!(data["s"], "BTCUSDT");
            match stream {
                "btcusdt@bookTicker" => {
                    tops += 1;
                    top_id = data["u"].as_u64().unwrap();
                    let best = Naive::truth(&venue.market().instruments()[0], 1);
                    let (bid, ask) = (best.bids.values().next().unwrap(), best.asks.values().next().unwrap());
                    let sent = |name: &str| data[name].as_str().unwrap().to_owned();
                    assert_eq!(
                        (&sent("b"), &sent("B"), &sent("a"), &sent("A")),
                        (&bid.0, &bid.1, &ask.0, &ask.1)
                    );
                }
                "btcusdt@trade" => {
                    trades += 1;
                    let id = data["t"].as_u64().unwrap();
                    assert!(trade_id.is_none_or(|last| id == last + 1));
                    trade_id = Some(id);
                    assert!(data["m"].is_boolean() && data["T"].is_u64());
                    assert_eq!(data["p"].as_str().unwrap().split_once('.').unwrap().1.len(), 8);
                }
                "btcusdt@depth@0ms" => same += usize::from(data["u"].as_u64() == Some(top_id)),
                other => panic!("{other}"),
            }
        }
    }
    assert!(tops > 50 && trades > 20 && same > 20, "{tops} {trades} {same}");
}

#[test]
fn binance_refuses_in_the_venues_words() {
    let mut venue = exchange(VenueId::BinanceSpot, &["BTCUSDT"], &[]);
    for (target, status, body) in [
        ("/api/v3/depth", 400, "{\"code\":-1102,"),
        (
            "/api/v3/depth?symbol=FOOUSDT",
            400,
            "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}",
        ),
        ("/api/v3/depth?symbol=BTCUSDT&limit=ten", 400, "{\"code\":-1100,"),
        ("/api/v3/exchangeInfo?symbol=BTCUSDT", 200, "{\"timezone\":\"UTC\","),
        ("/api/v3/time", 200, "{\"serverTime\":1785641751660}"),
        ("/elsewhere", 404, "{"),
    ] {
        let reply = venue.rest(target, START);
        let got = String::from_utf8(reply.body).unwrap();
        assert!(
            reply.status == status && got.starts_with(body),
            "{target}: {} {got}",
            reply.status
        );
        serde_json::from_str::<serde_json::Value>(&got).unwrap();
    }
    for limit in [1, 5, 100] {
        let reply = venue.rest(&format!("/api/v3/depth?symbol=BTCUSDT&limit={limit}"), START);
        let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(value["bids"].as_array().unwrap().len(), limit);
        assert_eq!(value["asks"].as_array().unwrap().len(), limit);
    }
    assert_eq!(venue.connect("/v2", START), Err(404));
    assert_eq!(venue.connect("/ws/btcusdt@trade?timeUnit=MICROSECOND", START), Err(400));
    let key = venue.connect("/ws", START).unwrap();
    venue.receive(key, "{\"method\":", START);
    venue.receive(key, "{\"method\":\"DANCE\",\"id\":7}", START);
    let texts = take(&mut venue, key);
    assert!(
        texts[0].contains("\"error\"") && texts[1].ends_with("\"id\":7}"),
        "{texts:?}"
    );
    // Six messages in a second are one too many.
    for _ in 0..4 {
        venue.receive(key, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}", START);
    }
    assert_eq!(venue.clients().batch(key).unwrap().end, Some(End::Close));
}

#[test]
fn kraken_windows_rebuild_the_truth_and_every_checksum_holds() {
    for depth in [10, 25, 100, 1_000] {
        let mut venue = exchange(VenueId::KrakenV2, &["BTC/USD", "XRP/USD"], &[]);
        let key = venue.connect("/v2", START).unwrap();
        let status = &take(&mut venue, key)[0];
        assert!(
            status.starts_with("{\"channel\":\"status\",\"type\":\"update\",\"data\":[{"),
            "{status}"
        );
        let request = format!(
            "{{\"method\":\"subscribe\",\"params\":{{\"channel\":\"book\",\"symbol\":[\"BTC/USD\",\"XRP/USD\"],\
             \"depth\":{depth}}},\"req_id\":9}}"
        );
        venue.receive(key, &request, START);
        let texts = take(&mut venue, key);
        assert_eq!(texts.len(), 4, "an acknowledgement and a snapshot for each: {texts:?}");
        let ack = format!(
            "{{\"method\":\"subscribe\",\"result\":{{\"channel\":\"book\",\"depth\":{depth},\"snapshot\":true,\
             \"symbol\":\"BTC/USD\"}},\"req_id\":9,\"success\":true,\"time_in\":\"2026-"
        );
        assert!(texts[0].starts_with(&ack), "{}", texts[0]);
        let mut books = [Naive::default(), Naive::default()];
        let (mut now, mut checked, mut pushed_out) = (START, 0, 0);
        let mut pending = texts;
        while now.since(START) < 10_000_000_000 {
            for text in pending
                .drain(..)
                .filter(|text| text.contains("\"channel\":\"book\",\"type\""))
            {
                let index = usize::from(text.contains("XRP/USD"));
                let book = &mut books[index];
                for (side, list) in [(Side::Bid, "\"bids\":["), (Side::Ask, "\"asks\":[")] {
                    levels(&text, list)
                        .iter()
                        .for_each(|(price, qty)| book.set(side, price, qty));
                }
                pushed_out += usize::from(book.bids.len() > depth || book.asks.len() > depth);
                book.truncate(depth);
                assert_eq!(u64::from(book.crc()), number(&text, "\"checksum\":"), "{text}");
                checked += 1;
                if depth > 100 && checked % 16 != 0 {
                    continue;
                }
                assert_eq!(*book, Naive::truth(&venue.market().instruments()[index], depth));
            }
            now = venue.advance(now, false).max(now);
            pending = take(&mut venue, key);
        }
        assert!(
            checked > 200 && pushed_out > 10,
            "depth {depth}: {checked} checked, {pushed_out} truncated"
        );
    }
}

#[test]
fn okx_windows_rebuild_the_truth_by_an_unbroken_chain() {
    let mut venue = exchange(VenueId::OkxV5, &["BTC-USDT", "XRP-USDT"], &[]);
    assert_eq!(venue.connect("/ws/v5/private", START), Err(404));
    let key = venue.connect("/ws/v5/public", START).unwrap();
    let args = ["BTC-USDT", "XRP-USDT"].map(|name| format!("{{\"channel\":\"books\",\"instId\":\"{name}\"}}"));
    let request = format!("{{\"id\":\"7\",\"op\":\"subscribe\",\"args\":[{}]}}", args.join(","));
    venue.receive(key, &request, START);
    let mut books: [[BTreeMap<i64, i64>; 2]; 2] = Default::default();
    let (mut last, mut updates) = ([None; 2], [0; 2]);
    let mut now = START;
    while now.since(START) < 20_000_000_000 {
        for text in take(&mut venue, key) {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let data = &value["data"][0];
            let Some(action) = value["action"].as_str() else {
                assert!(text.starts_with("{\"id\":\"7\",\"event\":\"subscribe\""), "{text}");
                continue;
            };
            let index = usize::from(value["arg"]["instId"] == "XRP-USDT");
            let instrument = &venue.market().instruments()[index];
            let scale = instrument.config().scale;
            assert_eq!(data["checksum"], 0);
            match action {
                "snapshot" => assert_eq!((last[index], data["prevSeqId"].as_i64()), (None, Some(-1))),
                _ => assert_eq!(data["prevSeqId"].as_u64(), last[index]),
            }
            last[index] = data["seqId"].as_u64();
            for (side, key) in [(Side::Bid, "bids"), (Side::Ask, "asks")] {
                let book = &mut books[index][usize::from(side == Side::Ask)];
                for level in data[key].as_array().unwrap() {
                    let number = |at: usize, decimals: u8| {
                        let text = level[at].as_str().unwrap();
                        assert!(!text.contains('.') || !text.ends_with('0'), "{text}");
                        crate::decimal::parse(text.as_bytes(), decimals).unwrap()
                    };
                    match number(1, scale.qty) {
                        0 => book.remove(&number(0, scale.price)),
                        qty => book.insert(number(0, scale.price), qty),
                    };
                }
                let truth: BTreeMap<i64, i64> = instrument
                    .levels(side)
                    .take(400)
                    .map(|level| (level.price.0, level.qty.0))
                    .collect();
                assert_eq!(*book, truth, "{action} {}", updates[index]);
            }
            updates[index] += usize::from(action == "update");
        }
        now = venue.advance(now, false).max(now);
    }
    assert!(updates.iter().all(|count| (100..=200).contains(count)), "{updates:?}");
}

#[test]
fn kraken_refuses_only_in_the_acknowledgement_and_beats_when_idle() {
    let mut venue = exchange(VenueId::KrakenV2, &["BTC/USD"], &[]);
    let key = venue.connect("/v2", START).unwrap();
    take(&mut venue, key);
    for (params, error) in [
        (
            r#""channel":"book","symbol":["BTC/USD"],"depth":20"#,
            "Subscription depth not supported",
        ),
        (
            r#""channel":"book","symbol":["FOO/BAR"]"#,
            "Currency pair not supported FOO/BAR",
        ),
        (r#""channel":"candles","symbol":["BTC/USD"]"#, "Unsupported channel"),
    ] {
        venue.receive(
            key,
            &format!("{{\"method\":\"subscribe\",\"params\":{{{params}}}}}"),
            START,
        );
        let texts = take(&mut venue, key);
        let value: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
        assert_eq!((&value["success"], &value["error"]), (&false.into(), &error.into()));
        assert_eq!(texts.len(), 1);
    }
    venue.receive(key, r#"{"method":"ping","req_id":101}"#, START);
    assert!(take(&mut venue, key)[0].starts_with("{\"method\":\"pong\",\"req_id\":101,\"time_in\":"));
    // Instruments are told once, so the connection is idle from here.
    venue.receive(
        key,
        r#"{"method":"subscribe","params":{"channel":"instrument"}}"#,
        START,
    );
    let texts = take(&mut venue, key);
    let value: serde_json::Value = serde_json::from_str(&texts[1]).unwrap();
    assert_eq!(value["data"]["pairs"][0]["price_precision"], 1);
    let mut now = START;
    let mut beats = 0;
    while now.since(START) < 3_500_000_000 {
        now = venue.advance(now, false).max(now);
        for text in take(&mut venue, key) {
            assert_eq!(text, "{\"channel\":\"heartbeat\"}");
            beats += 1;
        }
    }
    assert_eq!(beats, 3);
}

#[test]
fn a_corrupted_level_breaks_the_checksum_and_a_skipped_update_the_chain() {
    let plan = [PlannedFault::new(Fault::CorruptLevel).after(20)];
    let mut venue = exchange(VenueId::KrakenV2, &["BTC/USD"], &plan);
    let key = venue.connect("/v2", START).unwrap();
    venue.receive(
        key,
        r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":25}}"#,
        START,
    );
    let (mut now, mut book, mut updates, mut first_bad) = (START, Naive::default(), 0, None);
    while now.since(START) < 5_000_000_000 && first_bad.is_none() {
        for text in take(&mut venue, key)
            .iter()
            .filter(|text| text.contains("\"checksum\""))
        {
            for (side, list) in [(Side::Bid, "\"bids\":["), (Side::Ask, "\"asks\":[")] {
                levels(text, list)
                    .iter()
                    .for_each(|(price, qty)| book.set(side, price, qty));
            }
            book.truncate(25);
            updates += 1;
            if u64::from(book.crc()) != number(text, "\"checksum\":") {
                first_bad = Some(updates);
            }
        }
        now = venue.advance(now, false).max(now);
    }
    assert!(first_bad.is_some_and(|at| at > 20), "{first_bad:?} of {updates}");

    let plan = [PlannedFault::new(Fault::SkipUpdate).after(3).times(2)];
    let mut venue = exchange(VenueId::BinanceSpot, &["BTCUSDT"], &plan);
    let key = venue.connect("/ws/btcusdt@depth@100ms", START).unwrap();
    let (mut now, mut last, mut gaps) = (START, None, Vec::new());
    let mut count = 0;
    while now.since(START) < 3_000_000_000 {
        now = venue.advance(now, false).max(now);
        for text in take(&mut venue, key) {
            count += 1;
            let first = number(&text, "\"U\":");
            if last.is_some_and(|last| first != last + 1) {
                gaps.push(count);
            }
            last = Some(number(&text, "\"u\":"));
        }
    }
    assert_eq!(gaps, [4], "one gap, where two updates are missing");
}
