//! Recordings played to a client: byte for byte, in order, and not ahead of what the client was given by REST.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{
    CaptureConfig, CaptureLength, Chaos, Fault, FaultKind, MessageKind, PlaybackPace, SimConfig, SimHandle, SimSource,
    Simulator, market_capture,
};
use sim_client::{Client, Got, TextBook, get, json};

const BINANCE: &str = "\
# 1000000000 open wss://somewhere
1000000000 {\"result\":null,\"id\":77}
1000000000 {\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\",\"E\":1,\"s\":\"BTCUSDT\",\"t\":1,\"p\":\"1.0\",\"q\":\"2.0\",\"T\":1,\"m\":true,\"M\":true}}
1100000000 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":5,\"u\":9,\"b\":[],\"a\":[]}}
# 1150000000 rest BTCUSDT
1150000000 {\"lastUpdateId\":7,\"bids\":[[\"1.0\",\"1.0\"]],\"asks\":[]}
1200000000 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":2,\"s\":\"BTCUSDT\",\"U\":10,\"u\":11,\"b\":[],\"a\":[]}}
this is no line of a capture
1400000000 {\"stream\":\"btcusdt@bookTicker\",\"data\":{\"u\":11,\"s\":\"BTCUSDT\",\"b\":\"1.0\",\"B\":\"1.0\",\"a\":\"2.0\",\"A\":\"1.0\"}}
";

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn play(venue: VenueId, files: Vec<PathBuf>, pace: PlaybackPace, timeout: Duration) -> SimHandle {
    let source = SimSource::Playback {
        files,
        pace,
        snapshot_timeout: timeout,
    };
    Simulator::start(SimConfig {
        source,
        ..SimConfig::playback(venue, Vec::new())
    })
    .unwrap()
}

fn frames(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(time, _)| time.parse::<u64>().is_ok())
        .map(|(_, f)| f)
        .collect()
}

#[test]
fn binance_frames_come_verbatim_and_wait_for_the_rest_book() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.jsonl", BINANCE);
    let pace = PlaybackPace::Recorded { speed: 2.0 };
    let mut sim = play(VenueId::BinanceSpot, vec![path], pace, Duration::from_secs(20));
    let recorded = frames(BINANCE);
    let mut client = Client::connect(&sim, "/stream");
    client.patience(Duration::from_millis(300));
    assert_eq!(client.next(), Got::Silence, "nothing before the subscription");
    client.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":4}"#);
    assert_eq!(
        client.text(),
        r#"{"result":null,"id":4}"#,
        "answered live, not with the recorder's id"
    );
    let begin = Instant::now();
    assert_eq!(client.text(), recorded[1]);
    assert_eq!(client.text(), recorded[2]);
    assert_eq!(
        client.next(),
        Got::Silence,
        "the recorder had its book here, this client has not"
    );
    let (status, _, body) = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!((status, body.as_slice()), (200, recorded[3].as_bytes()));
    assert_eq!(client.text(), recorded[4]);
    assert_eq!(client.text(), recorded[5]);
    assert!(begin.elapsed() >= Duration::from_millis(200 / 2 + 300));
    assert_eq!(client.next(), Got::Silence, "the recording is over");
    assert_eq!(get(sim.addr, "/api/v3/depth?symbol=ETHUSDT").0, 400);
    let stats = sim.stop();
    assert_eq!(stats.sent_for("BTCUSDT", MessageKind::BookUpdate).messages, 2);
    assert_eq!(stats.sent_for("BTCUSDT", MessageKind::BookTicker).messages, 1);
}

#[test]
fn a_client_that_never_asks_is_played_on_after_the_time_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.jsonl", BINANCE);
    let sim = play(
        VenueId::BinanceSpot,
        vec![path],
        PlaybackPace::Flood,
        Duration::from_millis(200),
    );
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    for frame in [1, 2, 4, 5].map(|index| frames(BINANCE)[index]) {
        assert_eq!(client.text(), frame);
    }
}

#[test]
fn kraken_status_and_acknowledgements_come_as_recorded() {
    let ack = r#"{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true,"time_in":"x","time_out":"y"}"#;
    let text = format!(
        "100 {{\"channel\":\"status\",\"type\":\"update\",\"data\":[{{\"version\":\"2.0.10\"}}]}}\n\
         110 {ack}\n\
         120 {{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"BTC/USD\",\"bids\":[],\"asks\":[]}}]}}\n\
         # 125 a remark\n\
         130 {{\"channel\":\"heartbeat\"}}\n\
         140 {}\n\
         150 {ack}\n",
        ack.replace("subscribe", "unsubscribe")
    );
    let folder = tempfile::tempdir().unwrap();
    let sim = play(
        VenueId::KrakenV2,
        vec![file(folder.path(), "k.jsonl", &text)],
        PlaybackPace::Flood,
        Duration::ZERO,
    );
    let recorded = frames(&text);
    let mut client = Client::connect(&sim, "/v2");
    assert_eq!(client.text(), recorded[0]);
    client.patience(Duration::from_millis(200));
    assert_eq!(client.next(), Got::Silence);
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":100}}"#);
    assert_eq!(
        json(&client.text())["error"],
        "Subscription depth not supported",
        "the recording has depth 10"
    );
    client.send(r#"{"method":"ping","req_id":3}"#);
    assert!(client.text().starts_with(r#"{"method":"pong","req_id":3"#));
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10}}"#);
    for frame in &recorded[1..] {
        assert_eq!(client.text(), *frame);
    }
}

#[test]
fn files_are_joined_and_each_client_starts_at_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    let config = CaptureConfig::new(VenueId::BinanceSpot, &["BTCUSDT"], 9, CaptureLength::Seconds(3.0));
    market_capture(&config, &mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let cut = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let first = file(folder.path(), "a.jsonl", &text[..cut]);
    let second = folder.path().join("b.jsonl.gz");
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(&second).unwrap(), flate2::Compression::fast());
    gzip.write_all(&text.as_bytes()[cut..]).unwrap();
    gzip.finish().unwrap();
    let sim = play(
        VenueId::BinanceSpot,
        vec![first, second],
        PlaybackPace::Flood,
        Duration::from_secs(10),
    );
    let expected: Vec<&str> = frames(&text)
        .into_iter()
        .filter(|f| !f.starts_with("{\"result\"") && !f.starts_with("{\"lastUpdateId\""))
        .collect();
    for _ in 0..2 {
        let mut client = Client::connect(&sim, "/stream?streams=btcusdt@depth");
        let mut received = vec![client.text()];
        assert_eq!(get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000").0, 200);
        while received.len() < expected.len() {
            received.push(client.text());
        }
        assert!(received.iter().eq(&expected), "frames differ from the recording");
    }
}

/// Real sessions beside the project; without them there is nothing to say.
fn recording(names: &[&str]) -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let is_there = paths.iter().all(|path| path.exists());
    if !is_there {
        println!("skipped: no recordings in {}", folder.display());
    }
    is_there.then_some(paths)
}

#[test]
fn the_recorded_binance_session_plays_and_its_book_follows() {
    let names = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"];
    let Some(files) = recording(&names) else { return };
    let sim = play(
        VenueId::BinanceSpot,
        files,
        PlaybackPace::Flood,
        Duration::from_secs(10),
    );
    let mut client = Client::connect(
        &sim,
        "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade",
    );
    let mut kept = vec![client.text()];
    let (status, _, body) = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!(status, 200);
    let body = json(std::str::from_utf8(&body).unwrap());
    let mut book = TextBook::default();
    book.apply(&body["bids"], &body["asks"]);
    let mut id = body["lastUpdateId"].as_u64().unwrap();
    let (mut messages, mut diffs) = (0, 0);
    while messages < 20_000 {
        let text = kept.pop().unwrap_or_else(|| client.text());
        messages += 1;
        let data = json(&text)["data"].clone();
        if data["e"] == "depthUpdate" && data["u"].as_u64() > Some(id) {
            assert!(data["U"].as_u64() <= Some(id + 1), "a gap behind {id}");
            book.apply(&data["b"], &data["a"]);
            assert!(!book.is_crossed());
            id = data["u"].as_u64().unwrap();
            diffs += 1;
        }
    }
    assert!(diffs > 1_000, "{diffs}");
}

#[test]
fn the_recorded_kraken_session_with_five_cycles_plays_through() {
    let Some(files) = recording(&["kraken/kraken_v2_btcusd_l2.jsonl.gz"]) else {
        return;
    };
    let sim = play(VenueId::KrakenV2, files, PlaybackPace::Flood, Duration::ZERO);
    let mut client = Client::connect(&sim, "/v2");
    assert!(client.text().contains("\"status\""));
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10}}"#);
    client.patience(Duration::from_millis(500));
    let (mut snapshots, mut verified, mut book) = (0, 0, TextBook::default());
    while let Got::Text(text) = client.next() {
        if !text.starts_with(r#"{"channel":"book""#) {
            continue;
        }
        if text.contains(r#""type":"snapshot""#) {
            snapshots += 1;
            book = TextBook::default();
        }
        book.apply_kraken(&text);
        book.truncate(10);
        assert_eq!(json(&text)["data"][0]["checksum"], book.kraken_checksum());
        verified += 1;
    }
    assert_eq!((snapshots, verified), (5, 301));
}

#[test]
fn a_storm_over_a_recording_is_the_same_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let diff =
        |id: u64| format!(r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{id},"u":{id},"b":[["1.0","2.0"]],"a":[]}}"#);
    let text: String = (1..=300)
        .map(|id| format!("{} {}\n", 1_000_000_000 + id, diff(id)))
        .collect();
    let path = file(folder.path(), "storm.jsonl", &text);
    let heard = |seed| {
        let mix = vec![
            (Fault::SkipUpdate, 1),
            (Fault::ReorderUpdates, 1),
            // A recording's own words are not changed.
            (Fault::CorruptLevel, 50),
        ];
        let chaos = Chaos {
            mix,
            calm_after_messages: Some(250),
            ..Chaos::new(seed, 200.0)
        };
        let source = SimSource::Playback {
            files: vec![path.clone()],
            pace: PlaybackPace::Flood,
            snapshot_timeout: Duration::from_secs(1),
        };
        let mut sim = Simulator::start(SimConfig {
            source,
            chaos: Some(chaos),
            ..SimConfig::playback(VenueId::BinanceSpot, Vec::new())
        })
        .unwrap();
        let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
        let mut ids = Vec::new();
        while ids.last() != Some(&300) {
            ids.push(json(&client.text())["u"].as_u64().unwrap());
        }
        let stats = sim.stop();
        assert_eq!(stats.faults_of(FaultKind::CorruptLevel), 0);
        assert_eq!(stats.faults_of(FaultKind::SkipUpdate), 300 - ids.len() as u64);
        (ids, stats.faults_of(FaultKind::ReorderUpdates))
    };
    let first = heard(1);
    assert!(first.1 > 5 && first.0.len() < 290 && !first.0.is_sorted(), "{first:?}");
    assert_eq!(first, heard(1));
    assert_ne!(first, heard(2));
}

#[test]
fn the_recorded_okx_session_plays_and_its_chain_holds() {
    let Some(files) = recording(&["okx/reshaped_books_2026_seqid.jsonl.gz"]) else {
        return;
    };
    let sim = play(VenueId::OkxV5, files, PlaybackPace::Flood, Duration::ZERO);
    let mut client = Client::connect(&sim, "/ws/v5/public");
    client.send("ping");
    assert_eq!(client.text(), "pong", "before any subscription");
    client.send(r#"{"id":"4","op":"subscribe","args":[{"channel":"books","instId":"DOGE-USDT"}]}"#);
    assert_eq!(json(&client.text())["code"], "60018", "the recording does not have it");
    client.send(r#"{"id":"5","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}"#);
    let answer = json(&client.text());
    assert_eq!((&answer["id"], &answer["event"]), (&"5".into(), &"subscribe".into()));
    client.patience(Duration::from_millis(500));
    let (mut books, mut last) = (0, std::collections::HashMap::new());
    while let Got::Text(text) = client.next() {
        let message = json(&text);
        assert!(
            message.get("event").is_none(),
            "the recorder's own answers are not for this client"
        );
        if message["arg"]["channel"] == "books" {
            let data = &message["data"][0];
            let before = last.insert(message["arg"]["instId"].to_string(), data["seqId"].as_i64().unwrap());
            assert_eq!(data["prevSeqId"], before.unwrap_or(-1));
            books += 1;
        }
    }
    assert_eq!(books, 290);
    let (status, _, body) = get(sim.addr, "/api/v5/market/books?instId=BTC-USDT&sz=400");
    assert_eq!(
        (status, &json(std::str::from_utf8(&body).unwrap())["code"]),
        (200, &"51001".into())
    );
}
