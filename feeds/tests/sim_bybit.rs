//! Bybit's simulator over real sockets: a session of ours follows its books, and a recording plays to one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use std::collections::HashMap;

use quantumflow_feeds::sim::{
    Fault, MessageKind, PlannedFault, PlaybackPace, SimConfig, SimHandle, SimSource, Simulator,
};
use quantumflow_feeds::venue::SessionConfig;
use quantumflow_feeds::{Quality, Scale, Side, SymbolId, VenueId};
use sim_client::Client;
use venue_support::{BYBIT, Rig, recordings};

/// A session and its connection.
struct Live {
    rig: Rig,
    client: Client,
    /// By symbol and update id; prices and quantities with twelve decimals.
    books: HashMap<(SymbolId, u64), Vec<(i128, i128)>>,
}

impl Live {
    fn open(sim: &SimHandle, config: &SessionConfig) -> Self {
        let rig = Rig::open(config);
        let client = Client::connect(sim, rig.session.websocket_path());
        Self {
            rig,
            client,
            books: HashMap::new(),
        }
    }

    /// Says what the session wants said, and gives it the next frame.
    fn step(&mut self) -> String {
        for request in self.rig.sent() {
            self.client.send(&request);
        }
        let text = self.client.text();
        self.rig.wait_ms(5);
        self.rig.frame(&text);
        self.remember(&text);
        text
    }

    /// Keeps the book that the frame has left behind, if it was about one.
    fn remember(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once("],\"u\":") else {
            return;
        };
        let id = rest.split(',').next().unwrap().parse().unwrap();
        let symbol = SymbolId(u16::from(text.contains("ETHUSDT")));
        let Scale { price, qty } = self.rig.session.instruments()[symbol.index()].scale;
        let widen = |mantissa: i64, decimals: u8| i128::from(mantissa) * 10_i128.pow(12 - u32::from(decimals));
        if let Some(book) = self.rig.session.book(symbol) {
            let sides = [Side::Bid, Side::Ask].into_iter();
            let levels = sides.flat_map(|side| book.levels(side).collect::<Vec<_>>());
            let levels = levels.map(|level| (widen(level.price.0, price), widen(level.qty.0, qty)));
            self.books.insert((symbol, id), levels.collect());
        }
    }
}

#[test]
fn sessions_that_came_at_different_times_show_the_same_books() {
    for venue in [VenueId::BybitSpot, VenueId::BybitLinear] {
        let skip = PlannedFault::new(Fault::SkipUpdate).symbol("ETHUSDT").after(10);
        let sim = Simulator::start(SimConfig {
            faults: vec![skip],
            ..SimConfig::market(venue, &["BTCUSDT", "ETHUSDT"], 3)
        })
        .unwrap();
        let config = SessionConfig::new(venue, ["BTCUSDT", "ETHUSDT"]);
        let mut first = Live::open(&sim, &config);
        for _ in 0..150 {
            first.step();
        }
        let mut second = Live::open(&sim, &config);
        for _ in 0..200 {
            first.step();
            second.step();
        }
        for live in [&first, &second] {
            assert!(live.rig.is_shown(0) && live.rig.is_shown(1));
            assert_eq!(live.rig.session.quality(SymbolId(1)), Quality::Verified);
        }
        for symbol in [SymbolId(0), SymbolId(1)] {
            let common = first
                .books
                .iter()
                .filter(|(key, _)| key.0 == symbol && second.books.contains_key(key));
            let mut count = 0;
            for (key, book) in common {
                assert_eq!(book, &second.books[key], "{key:?}");
                count += 1;
            }
            assert!(count > 20, "{count} of {symbol:?}");
        }
        let gap = "reason: SequenceGap";
        let resyncs = first.rig.log.calls.iter().filter(|call| call.contains(gap)).count();
        assert_eq!(resyncs, 1, "the delta that was left out");
    }
}

#[test]
fn a_refused_subscription_leaves_the_others_alone() {
    let refuse = PlannedFault::new(Fault::RefuseSubscription).symbol("ETHUSDT");
    let sim = Simulator::start(SimConfig {
        faults: vec![refuse],
        ..SimConfig::market(VenueId::BybitSpot, &["BTCUSDT", "ETHUSDT"], 3)
    })
    .unwrap();
    let mut live = Live::open(&sim, &SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT", "ETHUSDT"]));
    while !live
        .rig
        .log
        .calls
        .iter()
        .any(|call| call.contains("SubscriptionRefused { symbol: Some(SymbolId(1)) }"))
    {
        live.step();
    }
    for _ in 0..30 {
        live.step();
    }
    assert!(live.rig.is_shown(0) && !live.rig.is_shown(1));
}

#[test]
fn the_recorded_session_plays_to_a_session() {
    let Some(files) = recordings(&BYBIT) else { return };
    let symbols = [
        "BCHUSDT", "XTZUSDT", "UNIUSDT", "LTCUSDT", "DOTUSDT", "LINKUSDT", "ADAUSDT", "ETHUSDT",
    ];
    let source = SimSource::Playback {
        files,
        pace: PlaybackPace::Flood,
        snapshot_timeout: std::time::Duration::ZERO,
    };
    let mut sim = Simulator::start(SimConfig {
        source,
        ..SimConfig::playback(VenueId::BybitLinear, Vec::new())
    })
    .unwrap();
    let mut live = Live::open(&sim, &SessionConfig::new(VenueId::BybitLinear, symbols));
    let (mut markets, mut answers) = (0, 0);
    while markets < 3_326 {
        let text = live.step();
        match text.starts_with("{\"topic\"") {
            true => markets += 1,
            // To our own requests, not to the recorder's, which had no ids.
            false => {
                assert!(text.contains("\"req_id\":\"orderbook.50.") || text.contains("\"req_id\":\"publicTrade."));
                answers += 1;
            }
        }
    }
    assert!((1..=16).contains(&answers), "{answers}");
    assert!((0..8).all(|symbol| live.rig.is_shown(symbol)));
    assert!(!live.rig.log.calls.iter().any(|call| call.contains("SequenceGap")));
    let stats = sim.stop();
    assert_eq!(stats.sent(MessageKind::Trade).messages, 66);
}
