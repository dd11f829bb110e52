//! Coinbase Advanced Trade: one count for all frames of a connection, and what follows when it breaks.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::venue::{ReconnectReason, Session, SessionConfig};
use quantumflow_feeds::{Price, Quality, Scale, Side, SymbolId, VenueId};
use venue_support::Rig;

/// The venue's end of one connection: numbers every frame.
struct Venue {
    sequence: u64,
}

impl Venue {
    fn frame(&mut self, channel: &str, events: &str) -> String {
        let sequence = self.sequence;
        self.sequence += 1;
        format!(
            "{{\"channel\":\"{channel}\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:51.66Z\",\
             \"sequence_num\":{sequence},\"events\":[{events}]}}"
        )
    }

    fn book(&mut self, kind: &str, product: &str, levels: &[(&str, &str, &str)]) -> String {
        let event = event(kind, product, levels);
        self.frame("l2_data", &event)
    }

    fn heartbeat(&mut self) -> String {
        self.frame("heartbeats", "{\"current_time\":\"x\",\"heartbeat_counter\":\"7\"}")
    }
}

fn event(kind: &str, product: &str, levels: &[(&str, &str, &str)]) -> String {
    let level = |(side, price, qty): &(&str, &str, &str)| {
        format!(
            "{{\"side\":\"{side}\",\"event_time\":\"2026-08-02T03:35:51.6Z\",\"price_level\":\"{price}\",\
             \"new_quantity\":\"{qty}\"}}"
        )
    };
    let levels: Vec<String> = levels.iter().map(level).collect();
    format!(
        "{{\"type\":\"{kind}\",\"product_id\":\"{product}\",\"updates\":[{}]}}",
        levels.join(",")
    )
}

const LEVELS: [(&str, &str, &str); 4] = [
    ("bid", "100.01", "1.5"),
    ("bid", "100.00", "2"),
    ("offer", "100.02", "0.25"),
    ("offer", "100.03", "4"),
];
const PRODUCTS: [&str; 2] = ["BTC-USD", "ETH-USD"];

/// Both books shown, the outbox empty.
fn live() -> (Rig, Venue) {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::CoinbaseAdvanced, PRODUCTS));
    let mut venue = Venue { sequence: 0 };
    for product in PRODUCTS {
        rig.frame(&venue.book("snapshot", product, &LEVELS));
    }
    rig.frame(&venue.frame(
        "subscriptions",
        "{\"subscriptions\":{\"level2\":[\"BTC-USD\",\"ETH-USD\"]}}",
    ));
    // Far enough from the opening requests, as the venue's pace has it.
    rig.wait_ms(1_000);
    rig.sent();
    assert!(rig.is_shown(0) && rig.is_shown(1));
    (rig, venue)
}

fn resyncs(rig: &Rig) -> Vec<(u16, ResyncReason)> {
    let started = rig.log.events.iter().filter_map(|event| match event {
        FeedEvent::ResyncStarted { symbol, reason } => Some((symbol.0, *reason)),
        _ => None,
    });
    started.filter(|(_, reason)| *reason != ResyncReason::Start).collect()
}

#[test]
fn each_channel_is_asked_for_in_a_message_of_its_own() {
    let config = SessionConfig::new(VenueId::CoinbaseAdvanced, ["btc-usd", "ETH-USD"]);
    let asked = |trades| {
        let config = SessionConfig {
            trades,
            ..config.clone()
        };
        Rig::open(&config).sent()
    };
    let level2 = "{\"type\":\"subscribe\",\"product_ids\":[\"BTC-USD\",\"ETH-USD\"],\"channel\":\"level2\"}";
    let trades = "{\"type\":\"subscribe\",\"product_ids\":[\"BTC-USD\",\"ETH-USD\"],\"channel\":\"market_trades\"}";
    let heartbeats = "{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}";
    assert_eq!(asked(true), [level2, trades, heartbeats]);
    assert_eq!(asked(false), [level2, heartbeats], "heartbeats with or without trades");
}

#[test]
fn a_spelling_that_never_comes_back_is_refused() {
    let error = Session::new(&SessionConfig::new(VenueId::CoinbaseAdvanced, ["BTC-USDC"])).err();
    let text = error.expect("its messages would say BTC-USD").to_string();
    assert!(text.contains("\"BTC-USDC\"") && text.contains("\"BTC-USD\""), "{text}");
}

#[test]
fn books_are_verified_while_the_count_holds_whatever_is_counted() {
    let (mut rig, mut venue) = live();
    for _ in 0..5 {
        let trade = "{\"type\":\"update\",\"trades\":[{\"trade_id\":\"7\",\"product_id\":\"ETH-USD\",\"price\":\"100.02\",\
            \"size\":\"0.25\",\"side\":\"SELL\",\"time\":\"2026-08-02T03:35:51Z\"}]}";
        for frame in [
            venue.heartbeat(),
            venue.book("update", "BTC-USD", &[("bid", "100.01", "0")]),
            venue.frame("market_trades", trade),
            venue.frame("subscriptions", "{\"subscriptions\":{}}"),
            venue.book("update", "DOGE-USD", &[("bid", "1", "1")]),
            venue.frame("a_new_channel", "{\"what\":1}"),
        ] {
            rig.frame(&frame);
            rig.wait_ms(10);
        }
    }
    assert_eq!(resyncs(&rig), []);
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    let book = rig.session.book(SymbolId(0)).unwrap();
    assert_eq!(book.best(Side::Bid).unwrap().price, Price(10_000));
    // The maker sold.
    assert!(
        rig.log
            .calls
            .iter()
            .any(|call| call.contains("aggressor: Bid, trade_id: 7"))
    );
}

#[test]
fn a_lost_frame_puts_every_book_in_doubt_whosever_it_was() {
    let lost: [fn(&mut Venue) -> String; 3] = [
        |venue| venue.book("update", "ETH-USD", &[("bid", "100.01", "3")]),
        |venue| venue.heartbeat(),
        |venue| venue.frame("subscriptions", "{}"),
    ];
    for lose in lost {
        let (mut rig, mut venue) = live();
        lose(&mut venue);
        let expected = venue.sequence - 1;
        // Noticed by the next frame, be it a heartbeat, and before it is applied.
        rig.frame(&venue.heartbeat());
        let reason = ResyncReason::SequenceGap {
            expected,
            got: expected + 1,
        };
        assert_eq!(resyncs(&rig), [(0, reason), (1, reason)]);
        assert!(!rig.is_shown(0) && !rig.is_shown(1));
        // Two messages at once and two more when the pace of eight per second allows.
        let ask = |verb: &str, product: &str| {
            format!("{{\"type\":\"{verb}\",\"product_ids\":[\"{product}\"],\"channel\":\"level2\"}}")
        };
        let pair = |product| [ask("unsubscribe", product), ask("subscribe", product)];
        assert_eq!(rig.sent(), pair("BTC-USD"));
        rig.wait_ms(200);
        assert!(rig.sent().is_empty());
        rig.wait_ms(100);
        assert_eq!(rig.sent(), pair("ETH-USD"));
        // What comes before the snapshot is part of it.
        rig.frame(&venue.book("update", "BTC-USD", &[("bid", "100.01", "9")]));
        assert_eq!(
            rig.log.events.last(),
            Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
        );
        rig.frame(&venue.book("snapshot", "BTC-USD", &LEVELS));
        assert!(rig.is_shown(0) && !rig.is_shown(1));
        rig.frame(&venue.book("snapshot", "ETH-USD", &LEVELS));
        assert!(rig.is_shown(1));
        assert_eq!(resyncs(&rig).len(), 2);
    }
}

#[test]
fn a_number_that_comes_again_is_no_better_than_one_that_is_missing() {
    let (mut rig, mut venue) = live();
    let frame = venue.book("update", "BTC-USD", &[("bid", "100.01", "3")]);
    rig.frame(&frame);
    rig.frame(&frame);
    let reason = ResyncReason::SequenceGap {
        expected: venue.sequence,
        got: venue.sequence - 1,
    };
    assert_eq!(resyncs(&rig), [(0, reason), (1, reason)]);
}

#[test]
fn the_first_number_may_be_any_and_each_connection_counts_anew() {
    let (mut rig, _) = live();
    rig.session.on_close(&mut rig.log);
    rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
    let before = resyncs(&rig).len();
    let mut venue = Venue { sequence: 4_711 };
    for product in PRODUCTS {
        rig.frame(&venue.book("snapshot", product, &LEVELS));
    }
    rig.frame(&venue.heartbeat());
    assert!(rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(resyncs(&rig).len(), before);
}

#[test]
fn a_frame_of_several_books_updates_each() {
    let (mut rig, mut venue) = live();
    let events = [
        event("update", "ETH-USD", &[("bid", "100.01", "3")]),
        event("update", "DOGE-USD", &[("bid", "1", "1")]),
        event("update", "BTC-USD", &[("offer", "100.02", "0")]),
        event("update", "ETH-USD", &[("bid", "100.01", "5")]),
    ];
    rig.frame(&venue.frame("l2_data", &events.join(",")));
    let best = |symbol, side| rig.session.book(SymbolId(symbol)).unwrap().best(side).unwrap();
    assert_eq!(best(1, Side::Bid).qty.0, 500);
    assert_eq!(best(0, Side::Ask).price, Price(10_003));
    assert_eq!(resyncs(&rig), []);
    // One of them cannot be read: its book alone.
    let events = [
        event("update", "ETH-USD", &[("bid", "100.01", "7")]),
        event("update", "BTC-USD", &[("ask", "100.02", "1")]),
    ];
    rig.frame(&venue.frame("l2_data", &events.join(",")));
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(
        rig.session.book(SymbolId(1)).unwrap().best(Side::Bid).unwrap().qty.0,
        700
    );
}

#[test]
fn damage_is_limited_to_what_it_may_have_been() {
    let damaged = |frame: String, at: &str| frame[..frame.find(at).unwrap()].to_owned();
    let check = |frame: fn(&mut Venue) -> String, at: &str, shown: [bool; 2]| {
        let (mut rig, mut venue) = live();
        rig.frame(&damaged(frame(&mut venue), at));
        assert_eq!([rig.is_shown(0), rig.is_shown(1)], shown, "cut at {at}");
        // Its number was read, or nothing is left to be lost: what follows is no gap of its own.
        rig.frame(&venue.heartbeat());
        let gaps = resyncs(&rig)
            .iter()
            .filter(|(_, reason)| matches!(reason, ResyncReason::SequenceGap { .. }))
            .count();
        assert_eq!(gaps, 0, "cut at {at}");
    };
    let update: fn(&mut Venue) -> String = |venue| venue.book("update", "ETH-USD", &[("bid", "100.01", "3")]);
    check(update, "\"price_level\"", [true, false]);
    check(update, "\"product_id\"", [false, false]);
    check(update, "\"sequence_num\"", [false, false]);
    check(|venue| venue.heartbeat(), "\"heartbeat_counter\"", [true, true]);
    check(
        |venue| venue.frame("market_trades", "{\"type\":\"update\",\"trades\":[]}"),
        "\"trades\"",
        [true, true],
    );
}

#[test]
fn a_frame_of_several_books_that_hides_whose_they_are_puts_all_in_doubt() {
    let (mut rig, mut venue) = live();
    let events = [
        event("update", "ETH-USD", &[("bid", "100.01", "3")]),
        event("updated", "BTC-USD", &[("bid", "100.01", "3")]),
    ];
    rig.frame(&venue.frame("l2_data", &events.join(",")));
    assert_eq!(
        resyncs(&rig),
        [(1, ResyncReason::Malformed), (0, ResyncReason::Malformed)]
    );
}

#[test]
fn a_damaged_heartbeat_without_its_number_is_a_gap() {
    let (mut rig, mut venue) = live();
    let frame = venue.heartbeat();
    rig.frame(&frame[..frame.find("\"sequence_num\"").unwrap()]);
    assert!(rig.is_shown(0));
    rig.frame(&venue.heartbeat());
    assert_eq!(resyncs(&rig).len(), 2);
}

#[test]
fn heartbeats_keep_the_connection_alive_and_no_book() {
    let (mut rig, mut venue) = live();
    for _ in 0..32 {
        rig.wait_ms(1_000);
        rig.frame(&venue.heartbeat());
    }
    assert!(rig.out.reconnect().is_none());
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    rig.frame(&venue.book("update", "BTC-USD", &[("bid", "100.01", "3")]));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    assert_eq!(rig.session.quality(SymbolId(1)), Quality::Stale);
    rig.wait_ms(10_500);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
}

#[test]
fn refused_and_mute_subscriptions_are_found() {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::CoinbaseAdvanced, PRODUCTS));
    rig.sent();
    rig.frame("{\"type\":\"error\",\"message\":\"ETH-USD is not a valid product\"}");
    let refused = |symbol| FeedEvent::SubscriptionRefused { symbol };
    assert_eq!(rig.log.events.last(), Some(&refused(Some(SymbolId(1)))));
    rig.frame("{\"type\":\"error\",\"message\":\"subscribe or unsubscribe required\"}");
    assert_eq!(rig.log.events.last(), Some(&refused(None)));
    let mut venue = Venue { sequence: 0 };
    for _ in 0..45 {
        rig.frame(&venue.heartbeat());
        rig.wait_ms(1_000);
    }
    let mute = |symbol| FeedEvent::SubscriptionMute {
        symbol: SymbolId(symbol),
    };
    assert!(rig.log.count(|event| *event == mute(0)) >= 3);
    assert_eq!(
        rig.log.count(|event| *event == mute(1)),
        0,
        "refused: tried again after a minute"
    );
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::NotAcknowledged));
}

#[test]
fn a_finer_number_than_any_before_changes_the_scale_and_the_book_stays() {
    let (mut rig, mut venue) = live();
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 2, qty: 2 });
    rig.frame(&venue.book("update", "BTC-USD", &[("bid", "100.0150", "0.00000001")]));
    let scale = Scale { price: 3, qty: 8 };
    assert_eq!(rig.session.instruments()[0].scale, scale);
    assert!(rig.log.events.contains(&FeedEvent::Rescaled {
        symbol: SymbolId(0),
        scale
    }));
    let book = rig.session.book(SymbolId(0)).unwrap();
    let bids: Vec<_> = book
        .levels(Side::Bid)
        .map(|level| (level.price.0, level.qty.0))
        .collect();
    assert_eq!(bids, [(100_015, 1), (100_010, 150_000_000), (100_000, 200_000_000)]);
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
}

#[test]
fn the_largest_snapshots_are_held_and_a_longer_side_keeps_its_best() {
    let mut venue = Venue { sequence: 0 };
    let mut rig = Rig::open(&SessionConfig::new(VenueId::CoinbaseAdvanced, ["BTC-USD"]));
    let snapshot = |bids: u32, asks: u32| {
        let level = |side: &str, cents: u32| {
            let (whole, cents) = (cents / 100, cents % 100);
            format!(
                "{{\"side\":\"{side}\",\"event_time\":\"1970-01-01T00:00:00Z\",\"price_level\":\"{whole}.{cents:02}\",\
                 \"new_quantity\":\"0.12345678\"}}"
            )
        };
        let bids = (1..=bids).map(|n| level("bid", 10_000_000 - 100 * n));
        let asks = (0..asks).map(|n| level("offer", 10_000_000 + 100 * n));
        let levels: Vec<String> = bids.chain(asks).collect();
        format!(
            "{{\"type\":\"snapshot\",\"product_id\":\"BTC-USD\",\"updates\":[{}]}}",
            levels.join(",")
        )
    };
    let frame = venue.frame("l2_data", &snapshot(22_000, 22_000));
    assert!(
        frame.len() > 4_500_000,
        "as large as the largest that was seen: {}",
        frame.len()
    );
    rig.frame(&frame);
    let book = rig.session.book(SymbolId(0)).unwrap();
    assert_eq!([Side::Bid, Side::Ask].map(|side| book.level_count(side)), [22_000; 2]);
    rig.frame(&venue.frame("l2_data", &snapshot(100, 40_000)));
    let book = rig.session.book(SymbolId(0)).unwrap();
    assert_eq!([Side::Bid, Side::Ask].map(|side| book.level_count(side)), [100, 32_768]);
    assert_eq!(book.worst(Side::Ask).unwrap().price, Price(10_000_000 / 100 + 32_767));
}
