//! The futures' rule when things go wrong, where it is another than spot's: the splice, the chain of `pu`, what is no
//! trade.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use quantumflow_feeds::event::{FeedEvent, FrameFault, ResyncReason, SnapshotFault};
use quantumflow_feeds::venue::{ReconnectReason, SessionConfig};
use quantumflow_feeds::{Price, Qty, Quality, Scale, Side, SymbolId, VenueId};
use venue_support::{Rig, USDM, frames, recordings};

/// A diff with the ids (`U`, `u`, `pu`), one bid at 100.00 and one ask at 101.00 of these quantities.
fn diff(symbol: &str, (first, last, previous): (u64, u64, u64), bid_qty: &str, ask_qty: &str) -> String {
    format!(
        "{{\"stream\":\"{}@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000001,\"T\":1700000000000,\
         \"s\":\"{symbol}\",\"ps\":\"{symbol}\",\"U\":{first},\"u\":{last},\"pu\":{previous},\
         \"b\":[[\"100.00\",\"{bid_qty}\"]],\"a\":[[\"101.00\",\"{ask_qty}\"]],\"st\":1}}}}",
        symbol.to_lowercase()
    )
}

fn btc(ids: (u64, u64, u64)) -> String {
    diff("BTCUSDT", ids, "1.000", "2.000")
}

fn ticker(update_id: u64, bid_qty: &str) -> String {
    format!(
        "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"e\":\"bookTicker\",\"u\":{update_id},\"s\":\"BTCUSDT\",\
         \"ps\":\"BTCUSDT\",\"b\":\"100.00\",\"B\":\"{bid_qty}\",\"a\":\"101.00\",\"A\":\"2.000\",\"T\":1700000000000,\
         \"E\":1700000000001,\"st\":1}}}}"
    )
}

fn trade(execution: &str, price: &str, qty: &str) -> String {
    format!(
        "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1700000000001,\"T\":1700000000000,\
         \"s\":\"BTCUSDT\",\"t\":7,\"p\":\"{price}\",\"q\":\"{qty}\",\"X\":\"{execution}\",\"m\":true,\"st\":1}}}}"
    )
}

fn snapshot(last_update_id: u64) -> String {
    format!(
        "{{\"lastUpdateId\":{last_update_id},\"E\":1700000000001,\"T\":1700000000000,\
         \"bids\":[[\"100.00\",\"5.000\"],[\"99.90\",\"4.000\"]],\"asks\":[[\"101.00\",\"6.000\"],[\"101.10\",\"7.000\"]]}}"
    )
}

/// A session with a book that is shown and stands at 200.
fn shown(symbols: &[&str]) -> Rig {
    let mut rig = Rig::usdm(symbols);
    for (id, symbol) in (0..).zip(symbols) {
        rig.frame(&diff(symbol, (150, 200, 140), "1.000", "2.000"));
        rig.snapshot(id, Ok(&snapshot(170)));
        assert!(rig.is_shown(id));
    }
    rig.out.clear();
    rig
}

fn resyncs(rig: &Rig, symbol: u16) -> Vec<ResyncReason> {
    let reason = |event: &FeedEvent| match event {
        FeedEvent::ResyncStarted {
            symbol: SymbolId(of),
            reason,
        } if *of == symbol => Some(*reason),
        _ => None,
    };
    rig.log.events.iter().filter_map(reason).collect()
}

fn outdated(rig: &Rig) -> usize {
    rig.log.count(|event| matches!(event, FeedEvent::Outdated { .. }))
}

fn best_bid(rig: &Rig) -> (Price, Qty) {
    let best = rig.session.book(SymbolId(0)).unwrap().best(Side::Bid).unwrap();
    (best.price, best.qty)
}

#[test]
fn the_first_diff_holds_the_snapshots_id_between_its_own() {
    // U, u, lastUpdateId, and whether the book is shown by it.
    for (first, last, at, is_first) in [
        (150, 200, 149, false),
        (150, 200, 150, true),
        (150, 200, 199, true),
        (150, 200, 200, true),
        (150, 200, 201, false),
        (150, 150, 150, true),
    ] {
        let mut rig = Rig::usdm(&["BTCUSDT"]);
        rig.frame(&btc((first, last, 100)));
        assert_eq!(rig.out.snapshot_requests().len(), 1);
        rig.snapshot(0, Ok(&snapshot(at)));
        assert_eq!(rig.is_shown(0), is_first, "{first}..{last} at {at}");
        let too_old = rig.log.count(|event| {
            matches!(
                event,
                FeedEvent::SnapshotRejected {
                    reason: SnapshotFault::TooOld,
                    ..
                }
            )
        });
        // Before it: asked for again. Behind it: the next diff may hold it.
        assert_eq!(too_old, usize::from(at < first), "{first}..{last} at {at}");
        assert_eq!(outdated(&rig), usize::from(at > last), "{first}..{last} at {at}");
        if is_first {
            assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
            assert_eq!(rig.session.instruments()[0].scale, Scale { price: 2, qty: 3 });
            assert_eq!(best_bid(&rig), (Price(10_000), Qty(1_000)));
        }
    }
}

#[test]
fn kept_diffs_that_the_snapshot_holds_are_dropped_and_the_rest_is_told() {
    let mut rig = Rig::usdm(&["BTCUSDT"]);
    for ids in [(110, 120, 100), (125, 130, 120), (140, 150, 130), (155, 160, 150)] {
        rig.frame(&btc(ids));
    }
    rig.snapshot(0, Ok(&snapshot(141)));
    assert!(rig.is_shown(0));
    assert_eq!(outdated(&rig), 2);
    let books = rig.log.calls.iter().filter(|call| call.starts_with("book ")).count();
    assert_eq!(books, 2);
    assert_eq!(resyncs(&rig, 0), [ResyncReason::Start]);
}

#[test]
fn holes_between_the_ids_are_no_gap_and_another_pu_is() {
    let mut rig = shown(&["BTCUSDT", "ETHUSDT"]);
    rig.frame(&btc((5_000, 6_000, 200)));
    rig.frame(&btc((6_001, 6_002, 6_000)));
    assert!(rig.is_shown(0), "pu is the u before it, whatever U is");
    rig.frame(&btc((6_003, 6_004, 6_001)));
    assert!(!rig.is_shown(0), "U goes on, pu does not");
    assert!(rig.is_shown(1), "the other symbol goes on");
    assert_eq!(
        resyncs(&rig, 0)[1..],
        [ResyncReason::SequenceGap {
            expected: 6_002,
            got: 6_001
        }]
    );
    assert_eq!(resyncs(&rig, 1).len(), 1);
    let requests = rig.out.snapshot_requests();
    assert_eq!((requests.len(), requests[0].symbol), (1, SymbolId(0)));
    // The diff behind the gap is kept, and the next snapshot continues with it.
    rig.snapshot(0, Ok(&snapshot(6_004)));
    assert!(rig.is_shown(0));
    rig.frame(&btc((6_010, 6_020, 6_004)));
    rig.frame(&diff("ETHUSDT", (201, 210, 200), "1.000", "2.000"));
    assert!(rig.is_shown(0) && rig.is_shown(1));
}

#[test]
fn ids_that_go_back_are_a_gap_and_one_that_stands_still_says_nothing() {
    let mut rig = shown(&["BTCUSDT"]);
    let calls = rig.log.calls.len();
    rig.frame(&btc((200, 200, 200)));
    assert!(rig.is_shown(0));
    assert_eq!((rig.log.calls.len(), outdated(&rig)), (calls + 1, 1));
    // The venue has begun to count anew: nothing of the old chain may wait for it.
    rig.frame(&btc((5, 9, 4)));
    assert!(!rig.is_shown(0));
    assert_eq!(
        resyncs(&rig, 0)[1..],
        [ResyncReason::SequenceGap { expected: 200, got: 4 }]
    );
    rig.snapshot(0, Ok(&snapshot(7)));
    assert!(rig.is_shown(0));
}

#[test]
fn a_gap_within_the_backlog_waits_for_the_next_snapshot() {
    let mut rig = Rig::usdm(&["BTCUSDT"]);
    for ids in [(110, 120, 100), (125, 130, 120), (140, 150, 135)] {
        rig.frame(&btc(ids));
    }
    rig.out.clear();
    rig.snapshot(0, Ok(&snapshot(115)));
    assert!(!rig.is_shown(0));
    assert_eq!(rig.out.snapshot_requests().len(), 1, "asked again: the diffs are there");
    rig.snapshot(0, Ok(&snapshot(145)));
    assert!(rig.is_shown(0));
}

#[test]
fn a_top_with_the_id_of_a_diff_is_the_second_witness() {
    let mut rig = shown(&["BTCUSDT"]);
    rig.frame(&ticker(200, "1.000"));
    assert!(rig.log.calls.last().unwrap().contains("agrees: Some(true)"));
    rig.frame(&ticker(201, "9.000"));
    assert!(rig.log.calls.last().unwrap().contains("agrees: None"));
    assert!(rig.is_shown(0), "a top between the diffs proves nothing");
    rig.frame(&btc((202, 210, 200)));
    rig.frame(&ticker(210, "9.000"));
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig, 0)[1..], [ResyncReason::TopDisagrees { update_id: 210 }]);
}

#[test]
fn what_the_insurance_fund_takes_is_no_trade() {
    let mut rig = shown(&["BTCUSDT"]);
    let trades = |rig: &Rig| rig.log.calls.iter().filter(|call| call.starts_with("Trade ")).count();
    let control = |rig: &Rig| rig.log.count(|event| matches!(event, FeedEvent::Control));
    rig.frame(&trade("MARKET", "100.50", "0.010"));
    rig.frame(&trade("RPI", "100.50", "0.010"));
    assert_eq!((trades(&rig), control(&rig)), (2, 0));
    rig.frame(&trade("NA", "0", "0"));
    rig.frame(&trade("INSURANCE_FUND", "100.50", "0.010"));
    assert_eq!((trades(&rig), control(&rig)), (2, 2));
    assert!(rig.is_shown(0));
}

#[test]
fn a_finer_number_rescales_and_a_broken_diff_resyncs() {
    let mut rig = shown(&["BTCUSDT"]);
    rig.frame(&diff("BTCUSDT", (201, 210, 200), "1.0001", "2.000"));
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 2, qty: 4 });
    assert_eq!(best_bid(&rig), (Price(10_000), Qty(10_001)));
    assert!(rig.is_shown(0));
    let whole = btc((211, 220, 210));
    rig.frame(&whole[..whole.len() - 12]);
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig, 0)[1..], [ResyncReason::Malformed]);
    // One without `pu` is no diff of this venue.
    let mut rig = shown(&["BTCUSDT"]);
    rig.frame(&whole.replace("\"pu\":210,", ""));
    assert!(!rig.is_shown(0));
    let rejected = |event: &FeedEvent| {
        matches!(
            event,
            FeedEvent::FrameRejected {
                reason: FrameFault::Malformed
            }
        )
    };
    assert_eq!(rig.log.count(rejected), 1);
}

#[test]
fn a_crossed_book_is_not_shown_and_a_silent_one_is_stale() {
    let mut rig = shown(&["BTCUSDT"]);
    rig.wait_ms(31_000);
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    rig.frame(&btc((201, 202, 200)));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    rig.frame(&btc((203, 204, 202)).replace("\"100.00\"", "\"102.00\""));
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig, 0)[1..], [ResyncReason::Crossed]);
}

#[test]
fn a_stream_that_stays_mute_is_told_once_and_a_shutdown_reconnects() {
    let mut rig = Rig::usdm(&["BTCUSDT", "ETHUSDT"]);
    rig.frame(&btc((110, 120, 100)));
    rig.wait_ms(61_000);
    rig.wait_ms(61_000);
    let mute: Vec<_> = rig
        .log
        .events
        .iter()
        .filter(|event| matches!(event, FeedEvent::SubscriptionMute { .. }))
        .collect();
    assert_eq!(mute, [&FeedEvent::SubscriptionMute { symbol: SymbolId(1) }]);
    rig.frame("{\"error\":{\"code\":2,\"msg\":\"Invalid request\"},\"id\":1}");
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::SubscriptionRefused { symbol: None })
    );
    rig.frame("{\"e\":\"serverShutdown\",\"E\":1700000000000}");
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::ServerShutdown));
}

#[test]
fn the_moment_of_the_snapshot_changes_nothing_that_is_told() {
    let Some(paths) = recordings(&USDM) else { return };
    let mut lines = frames(&paths, 1_500);
    let at = lines
        .iter()
        .position(|(_, frame)| frame.starts_with("{\"lastUpdateId\""))
        .unwrap();
    let (_, snapshot) = lines.remove(at);
    let told = |position: usize| {
        let mut rig = Rig::usdm(&["BTCUSDT"]);
        for (index, (_, frame)) in lines.iter().enumerate() {
            if index == position {
                rig.snapshot(0, Ok(&snapshot));
            }
            rig.frame(frame);
        }
        if position == lines.len() {
            rig.snapshot(0, Ok(&snapshot));
        }
        rig.log.calls
    };
    let expected = told(at);
    assert!(expected.iter().filter(|call| call.starts_with("book ")).count() > 50);
    for position in [0, 1, 5, at - 1, at + 1, 300, lines.len()] {
        assert!(told(position) == expected, "snapshot at {position}");
    }
}

#[test]
fn paths_go_by_the_public_route_and_snapshots_within_the_venues_budget() {
    let rig = Rig::usdm(&["BTCUSDT", "ETHUSDT"]);
    assert_eq!(
        rig.session.websocket_path(),
        "/public/stream?streams=btcusdt@depth@0ms/btcusdt@trade/btcusdt@bookTicker\
         /ethusdt@depth@0ms/ethusdt@trade/ethusdt@bookTicker"
    );
    assert_eq!(
        rig.session.rest_path(SymbolId(1)),
        Some("/fapi/v1/depth?symbol=ETHUSDT&limit=1000")
    );
    let config = SessionConfig::new(VenueId::BinanceUsdm, ["BTCUSDT"]);
    assert_eq!(config.rest_weight_per_minute, 1_200, "half of the venue's");
    let refused = |config: SessionConfig| {
        let error = quantumflow_feeds::venue::Session::new(&config).err().unwrap();
        error.to_string()
    };
    let depth = refused(SessionConfig {
        depth: 5_000,
        ..config.clone()
    });
    assert!(depth.contains("50, 100, 500 or 1000"), "{depth}");
    let weight = refused(SessionConfig {
        rest_weight_per_minute: 6_000,
        ..config
    });
    assert!(weight.contains("from 250 to 2400"), "{weight}");
    // 20 for 1,000 levels: of 40 symbols 30 may be asked for at once, the others two a second.
    let symbols: Vec<String> = (0..40).map(|n| format!("A{n}USDT")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut rig = Rig::usdm(&names);
    for symbol in &names {
        rig.frame(&diff(symbol, (110, 120, 100), "1.000", "2.000"));
    }
    let at_once = rig
        .out
        .snapshot_requests()
        .iter()
        .filter(|request| request.not_before == rig.now)
        .count();
    assert_eq!(at_once, 30);
}
