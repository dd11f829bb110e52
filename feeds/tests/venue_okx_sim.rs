//! An OKX session on the simulator, over a socket: its books are those of a client that keeps text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use quantumflow_feeds::sim::{Fault, LoadShape, PlannedFault, SimConfig, SimSource, Simulator};
use quantumflow_feeds::venue::SessionConfig;
use quantumflow_feeds::{FeedEvent, Side, SymbolId, VenueId};
use sim_client::{Client, TextBook, get, json};
use venue_support::Rig;

const SYMBOLS: [&str; 2] = ["BTC-USDT", "ETH-USDT"];

/// A client's book of one symbol, and the id that it stands at.
#[derive(Default)]
struct Judge {
    book: TextBook,
    id: Option<u64>,
    updates: usize,
}

impl Judge {
    /// Prices at two decimals, so that they are keys in their order.
    fn apply(&mut self, data: &serde_json::Value) {
        for (is_bid, key) in [(true, "bids"), (false, "asks")] {
            for level in data[key].as_array().unwrap() {
                let price: f64 = level[0].as_str().unwrap().parse().unwrap();
                self.book
                    .set(is_bid, &format!("{price:.2}"), level[1].as_str().unwrap());
            }
        }
        self.id = data["seqId"].as_u64();
    }

    fn replace(&mut self, data: &serde_json::Value) {
        self.book = TextBook::default();
        self.apply(data);
    }

    /// Every level as the session should have it.
    fn agrees_with(&self, rig: &Rig, symbol: u16) -> bool {
        let Some(book) = rig.session.book(SymbolId(symbol)) else {
            return false;
        };
        let scale = rig.session.instruments()[usize::from(symbol)].scale;
        let shown = |side| {
            let value = |mantissa: i64, decimals: u8| mantissa as f64 / 10_f64.powi(decimals.into());
            let level = move |level: quantumflow_feeds::book::Level| {
                let price = format!("{:.2}", value(level.price.0, scale.price));
                (price, format!("{}", value(level.qty.0, scale.qty)))
            };
            book.levels(side).map(level)
        };
        let (bids, asks) = (self.book.bids.values().rev().cloned(), self.book.asks.values().cloned());
        bids.eq(shown(Side::Bid)) && asks.eq(shown(Side::Ask))
    }
}

#[test]
fn books_survive_lost_updates_and_a_new_connection() {
    let faults = vec![
        PlannedFault::new(Fault::SkipUpdate).symbol("BTC-USDT").after(5),
        PlannedFault::new(Fault::RestTooOld),
        PlannedFault::new(Fault::RestTruncated { is_length_right: true }).after(1),
        PlannedFault::new(Fault::ServerShutdown).after(120),
    ];
    let mut config = SimConfig {
        faults,
        ..SimConfig::market(VenueId::OkxV5, &SYMBOLS, 11)
    };
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = LoadShape::Steady { rate: 2_000.0 };
    }
    let sim = Simulator::start(config).unwrap();
    let mut rig = Rig::open(&SessionConfig::new(VenueId::OkxV5, SYMBOLS));
    for connection in 0..2 {
        let mut client = Client::connect(&sim, rig.session.websocket_path());
        rig.sent().iter().for_each(|frame| client.send(frame));
        let mut judges = [Judge::default(), Judge::default()];
        while rig.out.reconnect().is_none() && judges[0].updates < 40 {
            let text = client.text();
            rig.frame(&text);
            let message = json(&text);
            let symbol = SYMBOLS.iter().position(|name| message["arg"]["instId"] == *name);
            if let (Some(symbol), "books", Some(action)) = (
                symbol,
                message["arg"]["channel"].as_str().unwrap_or(""),
                message["action"].as_str(),
            ) {
                let (judge, data) = (&mut judges[symbol], &message["data"][0]);
                let previous = data["prevSeqId"].as_i64().unwrap();
                match action {
                    "snapshot" => judge.replace(data),
                    // A lost message: the truth comes by REST, as for the session.
                    _ if judge.id.map(|id| id as i64) != Some(previous) => judge.id = None,
                    _ => judge.apply(data),
                }
                judge.updates += usize::from(action == "update");
                let is_right = judge.agrees_with(&rig, symbol as u16);
                assert_eq!(is_right, judge.id.is_some(), "update {} of {symbol}", judge.updates);
            }
            for request in rig.out.snapshot_requests().to_vec() {
                rig.out.clear();
                let (status, _, body) = get(sim.addr, rig.session.rest_path(request.symbol).unwrap());
                assert_eq!(status, 200);
                let body = String::from_utf8(body).unwrap();
                rig.snapshot(request.symbol.0, Ok(&body));
                if rig.is_shown(request.symbol.0) {
                    // The book at the snapshot's id, where the last update had brought the stream to.
                    judges[request.symbol.index()].replace(&json(&body)["data"][0]);
                }
            }
        }
        if connection == 0 {
            assert!(rig.log.events.contains(&FeedEvent::ServerShutdown));
        }
        rig.out.clear();
        rig.session.on_close(&mut rig.log);
        rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
    }
    let count = |is_it: fn(&FeedEvent) -> bool| rig.log.count(is_it);
    let gaps = count(|event| {
        let is_gap = |reason| matches!(reason, quantumflow_feeds::event::ResyncReason::SequenceGap { .. });
        matches!(event, FeedEvent::ResyncStarted { reason, .. } if is_gap(*reason))
    });
    assert_eq!(gaps, 1, "the one that was left out");
    assert_eq!(count(|event| matches!(event, FeedEvent::SnapshotRejected { .. })), 2);
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    assert_eq!(
        count(|event| *event == FeedEvent::ChecksumDead),
        2,
        "once per connection"
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::Subscribed { .. })), 4);
}

#[test]
fn a_request_for_what_is_not_there_is_refused_in_the_venues_words() {
    let sim = Simulator::start(SimConfig::market(VenueId::OkxV5, &["BTC-USDT"], 3)).unwrap();
    assert!(Client::try_connect(&sim, "/ws/v5/private").is_err());
    let mut client = Client::connect(&sim, "/ws/v5/public");
    client.send("ping");
    assert_eq!(client.text(), "pong");
    let mut rig = Rig::okx(&["BTC-USDT", "XRP-USDT"]);
    rig.sent().iter().for_each(|frame| client.send(frame));
    let refused = FeedEvent::SubscriptionRefused {
        symbol: Some(SymbolId(1)),
    };
    while !rig.is_shown(0) || !rig.log.events.contains(&refused) {
        rig.frame(&client.text());
    }
    let (status, _, body) = get(sim.addr, "/api/v5/market/books?instId=XRP-USDT&sz=400");
    assert_eq!(status, 200);
    assert_eq!(json(std::str::from_utf8(&body).unwrap())["code"], "51001");
    client.send("{\"op\":");
    loop {
        let text = client.text();
        if text.contains("\"event\":\"error\",\"code\":\"60012\"") {
            break;
        }
    }
}
