//! Every fault does what it says, once, and the venue is healthy afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::time::{Duration, Instant};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Fault, PlannedFault};
use quantumflow_feeds::ws::WsError;
use sim_client::busy::{diffs, kraken_book, start, until_trouble};
use sim_client::{Client, Got, TextBook, content_length, get, json};

#[test]
fn a_cut_ends_the_connection_inside_a_frame_and_the_next_one_lives() {
    let sim = start(
        VenueId::BinanceSpot,
        vec![PlannedFault::new(Fault::CutMidFrame).after(5)],
    );
    let (texts, trouble) = until_trouble(&mut diffs(&sim), 100);
    assert_eq!((texts.len(), trouble), (5, Some(Got::End)));
    assert_eq!(until_trouble(&mut diffs(&sim), 100).1, None, "spent");
    assert_eq!(sim.stats().faults_fired, 1);
}

#[test]
fn a_freeze_goes_silent_without_an_end_and_the_simulator_still_stops() {
    let mut sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(Fault::Freeze).after(3)]);
    let mut client = diffs(&sim);
    let (texts, trouble) = until_trouble(&mut client, 100);
    assert_eq!((texts.len(), trouble), (3, Some(Got::Silence)));
    let begin = Instant::now();
    assert_eq!(sim.stop().connections_open, 0);
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn skipped_updates_are_a_gap_for_one_instrument_only() {
    let fault = PlannedFault::new(Fault::SkipUpdate).symbol("BTCUSDT").after(4);
    let sim = start(VenueId::BinanceSpot, vec![fault]);
    let mut client = Client::connect(&sim, "/stream?streams=btcusdt@depth/ethusdt@depth");
    let mut last = std::collections::HashMap::new();
    let mut gaps = Vec::new();
    for _ in 0..200 {
        let data = json(&client.text())["data"].clone();
        let symbol = data["s"].as_str().unwrap().to_owned();
        let (first, id) = (data["U"].as_u64().unwrap(), data["u"].as_u64().unwrap());
        if last.insert(symbol.clone(), id).is_some_and(|last| first != last + 1) {
            gaps.push(symbol);
        }
    }
    assert_eq!(gaps, ["BTCUSDT"]);
}

#[test]
fn a_corrupted_level_shows_in_krakens_checksum_at_once() {
    let sim = start(
        VenueId::KrakenV2,
        vec![PlannedFault::new(Fault::CorruptLevel).after(10)],
    );
    let mut client = kraken_book(&sim, 100);
    client.text();
    let mut book = TextBook::default();
    let mut wrong = Vec::new();
    for index in 0..100 {
        let text = client.text();
        book.apply_kraken(&text);
        book.truncate(100);
        if json(&text)["data"][0]["checksum"] != book.kraken_checksum() {
            wrong.push(index);
        }
    }
    assert!(wrong.first().is_some_and(|at| (11..60).contains(at)), "{wrong:?}");
}

#[test]
fn rest_books_come_short_late_or_not_at_all_and_then_well() {
    let plan = vec![
        PlannedFault::new(Fault::RestStatus {
            status: 429,
            retry_after_seconds: Some(7),
        }),
        PlannedFault::new(Fault::RestTruncated { is_length_right: true }),
        PlannedFault::new(Fault::RestTruncated { is_length_right: false }).after(1),
        PlannedFault::new(Fault::RestTooOld).after(2).times(2),
    ];
    let sim = start(VenueId::BinanceSpot, plan);
    let mut client = diffs(&sim);
    let first = json(&client.text())["U"].as_u64().unwrap();
    let ask = || get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=100");
    let (status, head, _) = ask();
    assert!(status == 429 && head.contains("Retry-After: 7"), "{head}");
    let is_json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).is_ok();
    let (status, head, body) = ask();
    assert!(status == 200 && content_length(head.as_bytes()) == Some(body.len()) && !is_json(&body));
    let (status, head, body) = ask();
    assert!(status == 200 && content_length(head.as_bytes()) > Some(body.len()) && !is_json(&body));
    for _ in 0..2 {
        let body = ask().2;
        let old = json(std::str::from_utf8(&body).unwrap())["lastUpdateId"]
            .as_u64()
            .unwrap();
        assert!(old + 1 < first, "{old} is no older than {first}");
    }
    let body = ask().2;
    assert!(
        json(std::str::from_utf8(&body).unwrap())["lastUpdateId"]
            .as_u64()
            .unwrap()
            >= first
    );
}

#[test]
fn a_muted_subscription_is_acknowledged_and_silent_beside_one_that_talks() {
    let sim = start(
        VenueId::KrakenV2,
        vec![PlannedFault::new(Fault::Mute).symbol("ETH/USD")],
    );
    let mut client = Client::connect(&sim, "/v2");
    client.text();
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD","ETH/USD"],"depth":10}}"#);
    let (texts, _) = until_trouble(&mut client, 200);
    let of = |symbol: &str, what: &str| texts.iter().filter(|t| t.contains(symbol) && t.contains(what)).count();
    assert_eq!(of("ETH/USD", "\"success\":true"), 1);
    assert_eq!(of("ETH/USD", "\"channel\":\"book\",\"type\""), 0);
    assert!(of("BTC/USD", "\"channel\":\"book\",\"type\"") > 100);
}

#[test]
fn a_refusal_stands_only_in_the_acknowledgement() {
    let sim = start(VenueId::KrakenV2, vec![PlannedFault::new(Fault::RefuseSubscription)]);
    let mut client = kraken_book(&sim, 10);
    assert_eq!(json(&client.text())["success"], false);
    client.patience(Duration::from_millis(300));
    assert_eq!(client.next(), Got::Silence, "the socket stays up");
    let sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(Fault::RefuseSubscription)]);
    let mut client = Client::connect(&sim, "/ws");
    client.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}"#);
    let answer = json(&client.text());
    assert!(answer.get("error").is_some() && answer["id"] == 1, "{answer}");
}

#[test]
fn a_huge_snapshot_is_valid_and_truncates_to_the_book() {
    let huge = || vec![PlannedFault::new(Fault::HugeSnapshot { bytes: 4 << 20 })];
    let sim = start(VenueId::KrakenV2, huge());
    let mut client = kraken_book(&sim, 10);
    client.text();
    let mut book = TextBook::default();
    for index in 0..20 {
        let text = client.text();
        assert_eq!(text.len() >= 4 << 20, index == 0, "{} bytes", text.len());
        book.apply_kraken(&text);
        book.truncate(10);
        assert_eq!(json(&text)["data"][0]["checksum"], book.kraken_checksum());
    }
    let sim = start(VenueId::BinanceSpot, huge());
    let (_, _, body) = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=10");
    assert!(body.len() >= 4 << 20);
    let asks = json(std::str::from_utf8(&body).unwrap())["asks"]
        .as_array()
        .unwrap()
        .len();
    assert!(asks > 50_000, "{asks}");
}

#[test]
fn an_oversized_frame_is_announced_and_never_sent() {
    let fault = PlannedFault::new(Fault::OversizedFrame {
        announced_bytes: 1 << 40,
    })
    .after(2);
    let sim = start(VenueId::BinanceSpot, vec![fault]);
    let (texts, trouble) = until_trouble(&mut diffs(&sim), 100);
    assert_eq!(texts.len(), 2);
    assert!(
        matches!(trouble, Some(Got::Broken(WsError::FrameTooLong { .. }))),
        "{trouble:?}"
    );
}

#[test]
fn pieces_with_a_ping_between_are_one_message_and_noise_is_none() {
    let plan = vec![
        PlannedFault::new(Fault::Fragment { pieces: 5 }).after(1),
        PlannedFault::new(Fault::MalformedMessage).after(2),
    ];
    let sim = start(VenueId::BinanceSpot, plan);
    let mut client = diffs(&sim);
    let mut pings = 0;
    let mut texts = Vec::new();
    while texts.len() < 6 {
        match client.next() {
            Got::Text(text) => texts.push(text),
            Got::Ping(payload) => pings += usize::from(payload == b"between"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pings, 1);
    let good: Vec<bool> = texts
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).is_ok())
        .collect();
    assert_eq!(good, [true, true, false, true, true, true]);
    let ids: Vec<_> = texts
        .iter()
        .zip(good)
        .filter(|(_, good)| *good)
        .map(|(text, _)| json(text))
        .collect();
    for pair in ids.windows(2) {
        assert_eq!(
            pair[1]["U"].as_u64(),
            pair[0]["u"].as_u64().map(|id| id + 1),
            "nothing is lost"
        );
    }
}

#[test]
fn the_venue_says_that_it_goes_and_then_goes() {
    let close = Fault::Close {
        code: 1012,
        reason: "service restart".to_owned(),
    };
    let plan = || {
        vec![
            PlannedFault::new(Fault::ServerShutdown).after(2),
            PlannedFault::new(close.clone()).after(6),
        ]
    };
    let sim = start(VenueId::BinanceSpot, plan());
    let (texts, trouble) = until_trouble(&mut diffs(&sim), 100);
    assert_eq!(trouble, Some(Got::Close(Some(1012), "service restart".to_owned())));
    let shutdowns: Vec<&String> = texts
        .iter()
        .filter(|text| text.starts_with(r#"{"e":"serverShutdown","E":"#))
        .collect();
    assert_eq!((texts.len(), shutdowns.len()), (7, 1), "{texts:?}");
    let sim = start(VenueId::BinanceSpot, plan());
    let mut client = Client::connect(&sim, "/stream?streams=btcusdt@depth");
    let (texts, _) = until_trouble(&mut client, 100);
    let wrapped = r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":"#;
    assert_eq!(texts.iter().filter(|text| text.starts_with(wrapped)).count(), 1);
    let sim = start(VenueId::KrakenV2, plan());
    let (texts, trouble) = until_trouble(&mut kraken_book(&sim, 10), 100);
    assert!(matches!(trouble, Some(Got::Close(Some(1012), _))));
    assert_eq!(
        texts
            .iter()
            .filter(|text| text.contains("\"system\":\"maintenance\""))
            .count(),
        1
    );
}
