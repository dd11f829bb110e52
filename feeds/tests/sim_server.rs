//! The simulator over real sockets: what a small client of its own receives, and that the totals are exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, MessageKind, SimConfig, SimHandle, SimSource, SimTls, Simulator};
use sim_client::{Client, Got, TextBook, get, json};

fn start(config: SimConfig) -> SimHandle {
    Simulator::start(config).unwrap()
}

fn with_load(mut config: SimConfig, shape: LoadShape) -> SimConfig {
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = shape;
    }
    config
}

/// Follows a Binance book from subscription to `diffs` applied diffs, as the venue's documentation tells, and returns it
/// with its id.
fn follow_binance(sim: &SimHandle, client: &mut Client, symbol: &str, diffs: usize) -> (TextBook, u64) {
    let mut kept = Vec::new();
    while kept.len() < 2 {
        let value = json(&client.text());
        if value["data"]["e"] == "depthUpdate" && value["data"]["s"] == symbol {
            kept.push(value["data"].clone());
        }
    }
    let (status, _, body) = get(sim.addr, &format!("/api/v3/depth?symbol={symbol}&limit=5000"));
    assert_eq!(status, 200);
    let body = json(std::str::from_utf8(&body).unwrap());
    let mut book = TextBook::default();
    book.apply(&body["bids"], &body["asks"]);
    let mut id = body["lastUpdateId"].as_u64().unwrap();
    assert!(id >= kept[0]["U"].as_u64().unwrap());
    let mut applied = 0;
    while applied < diffs {
        if kept.is_empty() {
            let value = json(&client.text());
            if value["data"]["e"] != "depthUpdate" || value["data"]["s"] != symbol {
                continue;
            }
            kept.push(value["data"].clone());
        }
        let diff = kept.remove(0);
        let (first, last) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        if last <= id {
            continue;
        }
        assert!(first <= id + 1, "gap: {first} after {id}");
        book.apply(&diff["b"], &diff["a"]);
        assert!(!book.is_crossed());
        id = last;
        applied += 1;
    }
    (book, id)
}

#[test]
fn binance_books_from_stream_and_rest_agree_on_one_port() {
    for tls in [SimTls::Off, SimTls::Own] {
        let mut sim = start(SimConfig {
            tls,
            ..SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT", "ETHUSDT"], 1)
        });
        let mut client = Client::connect(&sim, "/stream?streams=ethusdt@bookTicker");
        client.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","btcusdt@trade"],"id":1}"#);
        loop {
            match client.text() {
                text if text == r#"{"result":null,"id":1}"# => break,
                text => assert!(
                    text.starts_with(r#"{"stream":"ethusdt@bookTicker","data":{"u":"#),
                    "{text}"
                ),
            }
        }
        if sim.ws_url().starts_with("ws://") {
            // Two clients that came at different times and fetched different books end with the same one.
            let mut later = Client::connect(&sim, "/stream?streams=btcusdt@depth@100ms");
            let mut books = [
                follow_binance(&sim, &mut client, "BTCUSDT", 10),
                follow_binance(&sim, &mut later, "BTCUSDT", 1),
            ];
            while books[0].1 != books[1].1 {
                let behind = usize::from(books[1].1 < books[0].1);
                let diff = json(&{ if behind == 0 { &mut client } else { &mut later } }.text())["data"].clone();
                if diff["e"] == "depthUpdate" && diff["u"].as_u64() > Some(books[behind].1) {
                    books[behind].0.apply(&diff["b"], &diff["a"]);
                    books[behind].1 = diff["u"].as_u64().unwrap();
                }
            }
            assert!(books[0].0 == books[1].0, "different books at id {}", books[0].1);
        } else {
            for _ in 0..20 {
                client.text();
            }
        }
        let started = Instant::now();
        let stats = sim.stop();
        assert!(started.elapsed() < Duration::from_secs(4), "threads must end when told");
        assert_eq!(stats.connections_open, 0);
        assert!(stats.sent(MessageKind::BookUpdate).messages > 0 || stats.sent(MessageKind::BookTicker).messages > 0);
    }
}

#[test]
fn kraken_checksums_hold_over_the_wire() {
    let sim = start(with_load(
        SimConfig::market(VenueId::KrakenV2, &["BTC/USD"], 2),
        LoadShape::Steady { rate: 2_000.0 },
    ));
    let mut client = Client::connect(&sim, "/v2");
    assert!(client.text().starts_with(r#"{"channel":"status","#));
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":25,"snapshot":true},"req_id":1}"#);
    assert_eq!(json(&client.text())["success"], true);
    let mut book = TextBook::default();
    for index in 0..500 {
        let text = client.text();
        assert_eq!(text.contains(r#""type":"snapshot""#), index == 0, "{text}");
        book.apply_kraken(&text);
        book.truncate(25);
        assert_eq!(
            json(&text)["data"][0]["checksum"],
            book.kraken_checksum(),
            "message {index}: {text}"
        );
    }
}

#[test]
fn totals_are_what_the_clients_received() {
    let mut sim = start(with_load(
        SimConfig {
            depth_interval_ms: Some(0),
            ..SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT", "SOLUSDT"], 3)
        },
        LoadShape::Steady { rate: 20_000.0 },
    ));
    let streams = "btcusdt@depth/btcusdt@trade/solusdt@depth/solusdt@bookTicker";
    let mut clients: Vec<Client> = (0..2)
        .map(|_| Client::connect(&sim, &format!("/stream?streams={streams}")))
        .collect();
    let readers: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            std::thread::spawn(move || {
                let mut received: HashMap<String, (u64, u64)> = HashMap::new();
                loop {
                    match client.next() {
                        Got::Text(text) => {
                            let stream = text[11..].split('"').next().unwrap().to_owned();
                            let entry = received.entry(stream).or_default();
                            *entry = (entry.0 + 1, entry.1 + text.len() as u64);
                        }
                        Got::Close(code, _) => {
                            assert_eq!(code, Some(1001), "going away");
                            return received;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    let stats = sim.stop();
    let mut sum: HashMap<String, (u64, u64)> = HashMap::new();
    for reader in readers {
        for (stream, (messages, bytes)) in reader.join().unwrap() {
            let entry = sum.entry(stream).or_default();
            *entry = (entry.0 + messages, entry.1 + bytes);
        }
    }
    for (stream, symbol, kind) in [
        ("btcusdt@depth", "BTCUSDT", MessageKind::BookUpdate),
        ("btcusdt@trade", "BTCUSDT", MessageKind::Trade),
        ("solusdt@depth", "SOLUSDT", MessageKind::BookUpdate),
        ("solusdt@bookTicker", "SOLUSDT", MessageKind::BookTicker),
    ] {
        let sent = stats.sent_for(symbol, kind);
        assert_eq!((sent.messages, sent.payload_bytes), sum[stream], "{stream}");
        assert!(sent.messages > 100, "{stream}: {sent:?}");
    }
    let total = sum.values().map(|(messages, _)| messages).sum::<u64>();
    assert_eq!(stats.text_messages().messages, total);
    assert_eq!(stats.sent(MessageKind::Close).messages, 2);
    assert_eq!((stats.connections_open, stats.websockets_opened), (0, 2));
}

#[test]
fn a_ping_wants_its_pong() {
    let config = SimConfig {
        ping_interval: Duration::from_millis(60),
        pong_timeout: Duration::from_millis(400),
        ..SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 4)
    };
    let sim = start(config);
    let mut polite = Client::connect(&sim, "/ws");
    let mut silent = Client::connect(&sim, "/ws");
    silent.answers_pings = false;
    let polite = std::thread::spawn(move || (0..12).all(|_| matches!(polite.next(), Got::Ping(_))));
    let begin = Instant::now();
    while let Got::Ping(payload) = silent.next() {
        assert!(!payload.is_empty());
        assert!(begin.elapsed() < Duration::from_secs(4), "it should have been dropped");
    }
    assert!(polite.join().unwrap(), "who answers stays");
    assert_eq!(sim.stats().silent_clients_dropped, 1);
    assert!(sim.stats().pongs_received >= 10);
}

#[test]
fn plain_requests_and_upgrades_are_told_apart_and_refused_with_a_status() {
    let sim = start(SimConfig::market(VenueId::KrakenV2, &["BTC/USD"], 5));
    assert!(Client::try_connect(&sim, "/v1").is_err_and(|error| error.to_string().contains("404")));
    assert_eq!(get(sim.addr, "/0/public/SystemStatus").0, 200);
    assert_eq!(get(sim.addr, "/api/v3/depth").0, 404);
    let mut sim = start(SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 5));
    let (status, head, body) = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=3");
    assert_eq!((status, head.contains("x-mbx-used-weight-1m: 5")), (200, true));
    assert_eq!(
        json(std::str::from_utf8(&body).unwrap())["bids"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // A reply is counted when it is written, which its reader may learn first.
    let stats = sim.stop();
    assert_eq!(
        stats.sent_for("BTCUSDT", MessageKind::RestSnapshot).payload_bytes,
        body.len() as u64
    );
}

#[test]
fn a_certificate_is_only_good_for_whom_it_should_be() {
    for (tls, is_good) in [
        (SimTls::Own, true),
        (SimTls::WrongName, false),
        (SimTls::UnknownAuthority, false),
    ] {
        let mut sim = start(SimConfig {
            tls: tls.clone(),
            ..SimConfig::market(VenueId::KrakenV2, &["BTC/USD"], 6)
        });
        let client = Client::try_connect(&sim, "/v2");
        assert_eq!(client.is_ok(), is_good, "{tls:?}: {:?}", client.err());
        drop(client);
        assert_eq!(sim.stop().tls_failures, u64::from(!is_good), "{tls:?}");
    }
}

#[test]
fn load_shapes_keep_their_rates() {
    let shape = LoadShape::Burst {
        base: 200.0,
        size: 3_000,
        every: Duration::from_millis(400),
    };
    let mut sim = start(with_load(
        SimConfig {
            depth_interval_ms: Some(0),
            ..SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 7)
        },
        shape,
    ));
    let begin = Instant::now();
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    let mut count = 0u64;
    while count < 6_000 {
        client.text();
        count += 1;
    }
    // Two bursts are in by 0.8 s at the earliest; a loaded machine may only be late.
    assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
    let sent = sim.stop().sent(MessageKind::BookUpdate).messages;
    let expected = shape.messages_until(begin.elapsed()).unwrap();
    assert!((sent as f64) <= expected + 3_300.0, "{sent} sent, {expected} allowed");
}
