//! A session of the futures on the simulator, over a socket: it keeps the market's truth, loses it where the simulator
//! leaves a diff out, and finds it again. And the recording, played over a socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use std::time::Duration;

use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::sim::{
    CaptureConfig, CaptureLength, Fault, PlannedFault, PlaybackPace, SimConfig, SimHandle, SimSource, Simulator,
    market_capture,
};
use quantumflow_feeds::{Side, SymbolId, VenueId};
use serde_json::Value;
use sim_client::{Client, get, json};
use venue_support::{Rig, USDM, frames, recordings};

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A session on a connection to the simulator.
struct Follower<'a> {
    sim: &'a SimHandle,
    rig: Rig,
    client: Client,
    /// The last update id that was read, of each symbol.
    read: Vec<u64>,
}

impl<'a> Follower<'a> {
    fn connect(sim: &'a SimHandle, symbols: &[&str]) -> Self {
        let rig = Rig::usdm(symbols);
        Self {
            sim,
            client: Client::connect(sim, rig.session.websocket_path()),
            rig,
            read: vec![0; symbols.len()],
        }
    }

    fn fetch(&self, symbol: SymbolId) -> String {
        let (status, _, body) = get(self.sim.addr, self.rig.session.rest_path(symbol).unwrap());
        assert_eq!(status, 200);
        String::from_utf8(body).unwrap()
    }

    /// Gives the session the next frame, and the snapshots that it asks for. Returns the frame.
    fn step(&mut self) -> String {
        let text = self.client.text();
        self.rig.frame(&text);
        let requests = self.rig.out.snapshot_requests().iter();
        let symbols: Vec<SymbolId> = requests.map(|request| request.symbol).collect();
        self.rig.out.clear();
        for symbol in symbols {
            let body = self.fetch(symbol);
            self.rig.snapshot(symbol.0, Ok(&body));
        }
        let data = &json(&text)["data"];
        if data["e"] == "depthUpdate" {
            let instruments = self.rig.session.instruments().iter();
            let symbol = instruments.clone().position(|of| data["s"] == of.symbol.as_str());
            self.read[symbol.unwrap()] = data["u"].as_u64().unwrap();
        }
        text
    }

    /// The book at the id of a REST body that is fetched now is that body.
    fn assert_truth(&mut self, symbol: u16) {
        let body = json(&self.fetch(SymbolId(symbol)));
        let wanted = body["lastUpdateId"].as_u64().unwrap();
        while self.read[usize::from(symbol)] < wanted {
            self.step();
        }
        assert_eq!(self.read[usize::from(symbol)], wanted, "the id was passed by");
        let book = self.rig.session.book(SymbolId(symbol)).expect("shown");
        for (side, key) in [(Side::Bid, "bids"), (Side::Ask, "asks")] {
            let digits = |text: &Value| text.as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
            let truth = body[key].as_array().unwrap().iter();
            let truth = truth.map(|level| (digits(&level[0]), digits(&level[1])));
            let levels = book.levels(side).map(|level| (level.price.0, level.qty.0));
            // The far end of the book is what the first snapshot did not hold.
            assert!(truth.take(500).eq(levels.take(500)), "{side:?}");
        }
    }
}

#[test]
fn a_session_keeps_the_simulated_markets_truth_and_finds_it_again() {
    let gap = PlannedFault::new(Fault::SkipUpdate).symbol("ETHUSDT").after(150);
    let sim = Simulator::start(SimConfig {
        faults: vec![gap],
        ..SimConfig::market(VenueId::BinanceUsdm, &SYMBOLS, 11)
    })
    .unwrap();
    let mut follower = Follower::connect(&sim, &SYMBOLS);
    while !(follower.rig.is_shown(0) && follower.rig.is_shown(1)) {
        follower.step();
    }
    follower.assert_truth(0);
    let is_gap = |event: &FeedEvent| {
        matches!(
            event,
            FeedEvent::ResyncStarted {
                symbol: SymbolId(1),
                reason: ResyncReason::SequenceGap { .. }
            }
        )
    };
    while follower.rig.log.count(is_gap) == 0 || !follower.rig.is_shown(1) {
        follower.step();
    }
    follower.assert_truth(1);
    follower.assert_truth(0);
    let log = &follower.rig.log;
    let calls = |what: &str| log.calls.iter().filter(|call| call.contains(what)).count();
    assert!(calls("Trade {") > 20 && calls("agrees: Some(true)") > 20);
    // A start each, and the one gap; no other frame was refused or in doubt.
    let started = log.count(|event| matches!(event, FeedEvent::ResyncStarted { .. }));
    let rejected = log.count(|event| matches!(event, FeedEvent::FrameRejected { .. }));
    assert_eq!((started, rejected), (3, 0));
}

#[test]
fn the_simulator_has_the_futures_addresses_limits_and_words() {
    let sim = Simulator::start(SimConfig::market(VenueId::BinanceUsdm, &SYMBOLS, 12)).unwrap();
    for target in ["/stream?streams=btcusdt@depth@0ms", "/ws/btcusdt@trade", "/v2"] {
        assert!(Client::try_connect(&sim, target).is_err(), "{target} is not routed");
    }
    let mut client = Client::connect(&sim, "/public/ws");
    client.send(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@500ms","nosuch@depth"],"id":4}"#);
    assert_eq!(client.text(), r#"{"result":null,"id":4}"#);
    let diff = client.text();
    let prefix = r#"{"e":"depthUpdate","E":"#;
    assert!(diff.starts_with(prefix) && diff.ends_with(r#"],"st":1}"#), "{diff}");
    let diff = json(&diff);
    assert_eq!(diff["ps"], "BTCUSDT");
    let id = |key: &str| diff[key].as_u64().unwrap();
    assert!(id("pu") + 1 < id("U") && id("U") <= id("u"), "a hole behind pu");
    for (limit, status) in [
        ("", 200),
        ("&limit=50", 200),
        ("&limit=1000", 200),
        ("&limit=5000", 400),
    ] {
        let (got, _, body) = get(sim.addr, &format!("/fapi/v1/depth?symbol=BTCUSDT{limit}"));
        assert_eq!(got, status, "{limit}");
        let body = std::str::from_utf8(&body).unwrap().to_owned();
        match status {
            200 => assert!(
                body.starts_with("{\"lastUpdateId\":") && json(&body)["T"].is_u64(),
                "{body}"
            ),
            _ => assert!(body.starts_with("{\"code\":-1130,"), "{body}"),
        }
    }
    // 10 + 2 + 20 so far: 118 more of 20 are within 2,400, the next is not.
    let mut refused = None;
    for request in 1..=119 {
        let (status, head, _) = get(sim.addr, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
        if status == 429 {
            assert!(head.contains("Retry-After"), "{head}");
            refused = Some(request);
            break;
        }
    }
    // A new minute may have begun on the way, and the budget with it.
    assert!(refused.is_none_or(|request| request == 119), "{refused:?}");
    assert_eq!(get(sim.addr, "/api/v3/depth?symbol=BTCUSDT").0, 404);
}

#[test]
fn a_capture_of_a_generated_market_replays_without_a_gap() {
    let mut config = CaptureConfig::new(VenueId::BinanceUsdm, &SYMBOLS, 3, CaptureLength::Seconds(20.0));
    config.depth_interval_ms = 0;
    let mut bytes = Vec::new();
    market_capture(&config, &mut bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usdm.jsonl");
    std::fs::write(&path, bytes).unwrap();
    let mut rig = Rig::usdm(&SYMBOLS);
    let mut reader = quantumflow_feeds::capture::CaptureReader::open([&path]).unwrap();
    let unpaced = quantumflow_feeds::capture::unpaced;
    quantumflow_feeds::capture::replay(&mut reader, &mut rig.session, &mut rig.log, unpaced).unwrap();
    assert!(rig.is_shown(0) && rig.is_shown(1));
    let gaps = rig.log.count(|event| {
        matches!(
            event,
            FeedEvent::ResyncStarted {
                reason: ResyncReason::SequenceGap { .. } | ResyncReason::TopDisagrees { .. },
                ..
            }
        )
    });
    assert_eq!(gaps, 0);
    let books = rig.log.calls.iter().filter(|call| call.starts_with("book ")).count();
    assert!(books > 1_000, "{books}");
}

#[test]
fn the_recording_plays_over_a_socket() {
    let Some(files) = recordings(&USDM) else { return };
    let expected = frames(&files, 3_000);
    let source = SimSource::Playback {
        files,
        pace: PlaybackPace::Flood,
        snapshot_timeout: Duration::from_secs(10),
    };
    let sim = Simulator::start(SimConfig {
        source,
        ..SimConfig::playback(VenueId::BinanceUsdm, Vec::new())
    })
    .unwrap();
    let mut follower = Follower::connect(&sim, &["BTCUSDT"]);
    let frames = expected.iter().map(|(_, frame)| frame);
    for frame in frames.filter(|frame| !frame.starts_with("{\"lastUpdateId\"")) {
        assert_eq!(follower.step(), *frame);
    }
    assert!(follower.rig.is_shown(0));
    let started = |event: &FeedEvent| matches!(event, FeedEvent::ResyncStarted { .. });
    assert_eq!(follower.rig.log.count(started), 1);
}
