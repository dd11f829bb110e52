//! Coinbase Exchange: what is asked for, what can be noticed, and what cannot.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::venue::{ReconnectReason, SessionConfig};
use quantumflow_feeds::{Price, Quality, Side, SymbolId, VenueId};
use venue_support::Rig;

const PRODUCTS: [&str; 2] = ["BTC-USD", "ETH-USD"];

fn snapshot(product: &str) -> String {
    format!(
        "{{\"type\":\"snapshot\",\"product_id\":\"{product}\",\"bids\":[[\"100.01\",\"1.5\"],[\"100.00\",\"2.0\"]],\
         \"asks\":[[\"100.02\",\"0.25\"],[\"100.03\",\"4.0\"]]}}"
    )
}

fn update(product: &str, changes: &str) -> String {
    format!(
        "{{\"type\":\"l2update\",\"product_id\":\"{product}\",\"changes\":[{changes}],\
         \"time\":\"2026-08-17T16:43:37.075687Z\"}}"
    )
}

fn live() -> Rig {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::CoinbaseExchange, PRODUCTS));
    for product in PRODUCTS {
        rig.frame(&snapshot(product));
    }
    // Far enough from the opening request, as the venue's pace has it.
    rig.wait_ms(1_000);
    rig.sent();
    assert!(rig.is_shown(0) && rig.is_shown(1));
    rig
}

fn reasons(rig: &Rig) -> Vec<(u16, ResyncReason)> {
    let started = rig.log.events.iter().filter_map(|event| match event {
        FeedEvent::ResyncStarted { symbol, reason } => Some((symbol.0, *reason)),
        _ => None,
    });
    started.filter(|(_, reason)| *reason != ResyncReason::Start).collect()
}

#[test]
fn one_message_asks_for_everything() {
    let config = SessionConfig::new(VenueId::CoinbaseExchange, PRODUCTS);
    let asked = |trades| {
        Rig::open(&SessionConfig {
            trades,
            ..config.clone()
        })
        .sent()
    };
    let products = "\"product_ids\":[\"BTC-USD\",\"ETH-USD\"]";
    let all = "[\"level2_batch\",\"matches\",\"heartbeat\"]";
    assert_eq!(
        asked(true),
        [format!("{{\"type\":\"subscribe\",{products},\"channels\":{all}}}")]
    );
    let fewer = "[\"level2_batch\",\"heartbeat\"]";
    assert_eq!(
        asked(false),
        [format!("{{\"type\":\"subscribe\",{products},\"channels\":{fewer}}}")]
    );
}

#[test]
fn no_book_is_ever_verified() {
    let mut rig = live();
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Unverified);
    rig.frame(&update(
        "BTC-USD",
        "[\"buy\",\"100.01\",\"0.00\"],[\"sell\",\"100.02\",\"7.0\"]",
    ));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Unverified);
    let told: Vec<_> = rig.log.calls.iter().filter(|call| call.starts_with("book")).collect();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|call| call.contains("Unverified")));
    let book = rig.session.book(SymbolId(0)).unwrap();
    assert_eq!(book.best(Side::Bid).unwrap().price, Price(10_000));
}

/// Why the quality is what it is: of these two sessions one has lost a message, and neither says so.
#[test]
fn a_lost_update_is_not_noticed_until_it_crosses_the_book() {
    let [mut whole, mut lossy] = [live(), live()];
    let lost = update("BTC-USD", "[\"sell\",\"100.02\",\"0\"]");
    whole.frame(&lost);
    for rig in [&mut whole, &mut lossy] {
        rig.frame(&update("BTC-USD", "[\"buy\",\"99.99\",\"1\"]"));
        assert_eq!(reasons(rig), []);
        assert_eq!(rig.session.quality(SymbolId(0)), Quality::Unverified);
    }
    let best_ask = |rig: &Rig| rig.session.book(SymbolId(0)).unwrap().best(Side::Ask).unwrap().price;
    assert_ne!(best_ask(&whole), best_ask(&lossy), "one of them is wrong");
    // The market moves on, to where the level that should be gone stands in the way.
    let crossing = update("BTC-USD", "[\"buy\",\"100.02\",\"1\"]");
    whole.frame(&crossing);
    lossy.frame(&crossing);
    assert_eq!(reasons(&whole), []);
    assert_eq!(reasons(&lossy), [(0, ResyncReason::Crossed)]);
    assert!(!lossy.is_shown(0) && lossy.is_shown(1));
    let ask =
        |verb: &str| format!("{{\"type\":\"{verb}\",\"product_ids\":[\"BTC-USD\"],\"channels\":[\"level2_batch\"]}}");
    assert_eq!(lossy.sent(), [ask("unsubscribe"), ask("subscribe")]);
    lossy.frame(&update("BTC-USD", "[\"buy\",\"1\",\"1\"]"));
    assert_eq!(
        lossy.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
    lossy.frame(&snapshot("BTC-USD"));
    assert!(lossy.is_shown(0));
}

#[test]
fn damage_is_limited_to_what_it_may_have_been() {
    for (frame, shown) in [
        (
            "{\"type\":\"l2update\",\"product_id\":\"ETH-USD\",\"changes\":[[\"bu",
            [true, false],
        ),
        (
            "{\"type\":\"l2update\",\"product_id\":\"ETH-USD\",\"changes\":[[\"bid\",\"1\",\"1\"]],\"time\":\"x\"}",
            [true, false],
        ),
        ("{\"type\":\"l2up", [false, false]),
        ("{\"type\":\"match\",\"trade_id\":7,\"mak", [true, true]),
        ("{\"type\":\"heartbeat\",\"sequence\":7,\"prod", [true, true]),
        (
            "{\"type\":\"l2update\",\"product_id\":\"DOGE-USD\",\"changes\":[],\"time\":\"x\"}",
            [true, true],
        ),
    ] {
        let mut rig = live();
        rig.frame(frame);
        assert_eq!([rig.is_shown(0), rig.is_shown(1)], shown, "{frame}");
    }
}

#[test]
fn heartbeats_keep_the_connection_alive_and_no_book() {
    let mut rig = live();
    let heartbeat = "{\"type\":\"heartbeat\",\"last_trade_id\":0,\"product_id\":\"BTC-USD\",\"sequence\":7,\
        \"time\":\"2026-08-17T16:43:37.075687Z\"}";
    for _ in 0..32 {
        rig.wait_ms(1_000);
        rig.frame(heartbeat);
        assert_eq!(rig.log.events.last(), Some(&FeedEvent::Control));
    }
    assert!(rig.out.reconnect().is_none());
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    rig.wait_ms(10_500);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
}

/// The venue refuses a message whole for one wrong product. The others are asked for alone when they stay mute.
#[test]
fn a_wrong_product_keeps_the_others_waiting_but_not_for_long() {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::CoinbaseExchange, PRODUCTS));
    rig.sent();
    rig.frame("{\"type\":\"error\",\"message\":\"Failed to subscribe\",\"reason\":\"ETH-USD is not a valid product\"}");
    let refused = FeedEvent::SubscriptionRefused {
        symbol: Some(SymbolId(1)),
    };
    assert_eq!(rig.log.events.last(), Some(&refused));
    rig.wait_ms(5_100);
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::SubscriptionMute { symbol: SymbolId(0) })
    );
    assert!(rig.sent().iter().all(|text| text.contains("[\"BTC-USD\"]")));
    assert!(rig.out.reconnect().is_none(), "a new connection would ask for the same");
    rig.frame(&snapshot("BTC-USD"));
    assert!(rig.is_shown(0));
}

#[test]
fn trades_give_the_aggressor_and_the_one_before_the_subscription_is_not_told() {
    let trade = |kind: &str, id: u32| {
        format!(
            "{{\"type\":\"{kind}\",\"trade_id\":{id},\"maker_order_id\":\"a\",\"taker_order_id\":\"b\",\"side\":\"sell\",\
             \"size\":\"0.25\",\"price\":\"100.02\",\"product_id\":\"BTC-USD\",\"sequence\":5,\
             \"time\":\"2026-08-17T16:43:37.075687Z\"}}"
        )
    };
    let mut rig = live();
    rig.frame(&trade("last_match", 6));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
    rig.frame(&trade("match", 7));
    let told = rig.log.calls.last().unwrap();
    assert!(
        told.contains("price: Price(10002), qty: Qty(25), aggressor: Bid, trade_id: 7"),
        "{told}"
    );
}
