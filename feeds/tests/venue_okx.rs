//! OKX's rule of ids when things go wrong: gaps, keep-alives, ids that start again, snapshots from two sides.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::BTreeMap;

use quantumflow_feeds::event::{FeedEvent, FrameFault, ResyncReason, SnapshotFault};
use quantumflow_feeds::venue::ReconnectReason;
use quantumflow_feeds::{Price, Qty, Quality, Scale, Side, SymbolId};
use venue_support::Rig;

const SYMBOLS: [&str; 2] = ["BTC-USDT", "ETH-USDT"];

fn list(levels: &[(&str, &str)]) -> String {
    let level = |(price, qty): &(&str, &str)| format!("[\"{price}\",\"{qty}\",\"0\",\"{}\"]", u8::from(*qty != "0"));
    levels.iter().map(level).collect::<Vec<_>>().join(",")
}

fn book(symbol: usize, action: &str, ids: (i64, u64), bids: &[(&str, &str)], asks: &[(&str, &str)]) -> String {
    format!(
        "{{\"arg\":{{\"channel\":\"books\",\"instId\":\"{}\"}},\"action\":\"{action}\",\"data\":[{{\"asks\":[{}],\"bids\":[{}],\
         \"ts\":\"1700000000001\",\"checksum\":0,\"seqId\":{},\"prevSeqId\":{}}}]}}",
        SYMBOLS[symbol],
        list(asks),
        list(bids),
        ids.1,
        ids.0
    )
}

const BIDS: [(&str, &str); 2] = [("10.1", "1.5"), ("10", "2")];
const ASKS: [(&str, &str); 2] = [("10.2", "3"), ("10.3", "4")];

fn snapshot(symbol: usize, id: u64) -> String {
    book(symbol, "snapshot", (-1, id), &BIDS, &ASKS)
}

fn update(symbol: usize, ids: (u64, u64), bids: &[(&str, &str)], asks: &[(&str, &str)]) -> String {
    book(symbol, "update", (ids.0 as i64, ids.1), bids, asks)
}

/// An update that sets the best bid's quantity to its own id.
fn step(symbol: usize, ids: (u64, u64)) -> String {
    update(symbol, ids, &[("10.1", &ids.1.to_string())], &[])
}

fn keep_alive(symbol: usize, id: u64) -> String {
    update(symbol, (id, id), &[], &[])
}

/// The REST book at `id`, its best bid as [`step`] has left it.
fn rest(id: u64) -> String {
    let bids = [("10.1", &*id.to_string()), ("10", "2")];
    format!(
        "{{\"code\":\"0\",\"msg\":\"\",\"data\":[{{\"asks\":[{}],\"bids\":[{}],\"ts\":\"1700000000001\",\"seqId\":{id}}}]}}",
        list(&ASKS),
        list(&bids)
    )
}

fn trade(symbol: usize, id: u64, price: &str) -> String {
    let name = SYMBOLS[symbol];
    format!(
        "{{\"arg\":{{\"channel\":\"trades\",\"instId\":\"{name}\"}},\"data\":[{{\"instId\":\"{name}\",\"tradeId\":\"{id}\",\
         \"px\":\"{price}\",\"sz\":\"0.5\",\"side\":\"buy\",\"ts\":\"1700000000001\"}}]}}"
    )
}

/// Both symbols live at id 100.
fn live() -> Rig {
    let mut rig = Rig::okx(&SYMBOLS);
    for symbol in 0..2 {
        rig.frame(&snapshot(symbol, 100));
        rig.frame(&step(symbol, (100, 103)));
        assert!(rig.is_shown(symbol as u16));
    }
    rig.sent();
    rig.log = venue_support::Log::default();
    rig
}

fn resyncs(rig: &Rig) -> Vec<(u16, ResyncReason)> {
    let reason = |event: &FeedEvent| match event {
        FeedEvent::ResyncStarted { symbol, reason } => Some((symbol.0, *reason)),
        _ => None,
    };
    rig.log.events.iter().filter_map(reason).collect()
}

fn rejections(rig: &Rig) -> Vec<SnapshotFault> {
    let reason = |event: &FeedEvent| match event {
        FeedEvent::SnapshotRejected { reason, .. } => Some(*reason),
        _ => None,
    };
    rig.log.events.iter().filter_map(reason).collect()
}

fn best_bid_qty(rig: &Rig, symbol: u16) -> i64 {
    let qty = rig.session.book(SymbolId(symbol)).unwrap().best(Side::Bid).unwrap().qty;
    let scale = rig.session.instruments()[usize::from(symbol)].scale;
    qty.0 / 10_i64.pow(u32::from(scale.qty))
}

#[test]
fn one_message_subscribes_to_everything() {
    let mut rig = Rig::okx(&SYMBOLS);
    assert_eq!(rig.session.websocket_path(), "/ws/v5/public");
    assert_eq!(
        rig.session.rest_path(SymbolId(1)),
        Some("/api/v5/market/books?instId=ETH-USDT&sz=400&source=0")
    );
    assert_eq!(
        rig.sent(),
        [
            "{\"id\":\"1\",\"op\":\"subscribe\",\"args\":[{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\
            {\"channel\":\"books\",\"instId\":\"ETH-USDT\"},{\"channel\":\"trades\",\"instId\":\"BTC-USDT\"},\
            {\"channel\":\"trades\",\"instId\":\"ETH-USDT\"}]}"
        ]
    );
    rig.frame(
        "{\"id\":\"1\",\"event\":\"subscribe\",\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\"connId\":\"a4d3ae55\"}",
    );
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Subscribed { symbol: SymbolId(0) })
    );
    // A trade before the first book has no scale yet.
    rig.frame(&trade(0, 7, "10.1"));
    rig.frame(&snapshot(0, 100));
    assert!(rig.log.events.contains(&FeedEvent::Outdated { symbol: SymbolId(0) }));
    assert!(rig.is_shown(0) && !rig.is_shown(1));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    assert!(rig.out.snapshot_requests().is_empty(), "the stream had it");
    rig.frame(&trade(0, 8, "10.2"));
    assert!(rig.log.calls.last().unwrap().contains("trade_id: 8"));
}

#[test]
fn a_gap_is_repaired_by_rest_and_leaves_the_other_symbol_alone() {
    let mut rig = live();
    rig.frame(&step(0, (110, 115)));
    let reason = ResyncReason::SequenceGap {
        expected: 103,
        got: 110,
    };
    assert_eq!(resyncs(&rig), [(0, reason)]);
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    assert_eq!(rig.out.frames().count(), 0, "not a word to the venue");
    rig.frame(&step(0, (115, 121)));
    rig.frame(&trade(0, 9, "10.1"));
    rig.frame(&step(1, (103, 104)));
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    rig.snapshot(0, Ok(&rest(110)));
    assert!(rig.is_shown(0));
    assert_eq!(best_bid_qty(&rig, 0), 121);
    assert!(rig.log.calls.last().unwrap().contains("trade_id: 9"), "in its place");
    assert_eq!(resyncs(&rig).len(), 1);
}

#[test]
fn a_keep_alive_is_no_gap_and_says_that_nothing_has_changed() {
    let mut rig = live();
    // Hardly any news; the venue says so of the first.
    for minute in 0..3 {
        for _ in 0..59 {
            rig.wait_ms(1_000);
        }
        assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale, "{minute}");
        rig.frame(&keep_alive(0, 103));
        rig.wait_ms(1_000);
        assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified, "{minute}");
        assert!(rig.is_shown(0) && resyncs(&rig).is_empty(), "{minute}");
        rig.frame(&step(1, (103 + minute, 104 + minute)));
    }
    rig.frame(&step(0, (103, 107)));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    // One of another id shows that something was lost.
    rig.frame(&keep_alive(0, 109));
    assert_eq!(resyncs(&rig).len(), 1);
}

#[test]
fn ids_that_start_again_go_on_from_the_new_one() {
    let mut rig = live();
    rig.frame(&step(0, (103, 5)));
    rig.frame(&step(0, (5, 9)));
    assert!(resyncs(&rig).is_empty());
    assert_eq!(best_bid_qty(&rig, 0), 9);
    // Even from nothing.
    rig.frame(&step(0, (9, 0)));
    rig.frame(&step(0, (0, 3)));
    assert!(resyncs(&rig).is_empty());
    assert_eq!(best_bid_qty(&rig, 0), 3);
    // Not where the chain is broken.
    rig.frame(&step(0, (8, 2)));
    assert_eq!(resyncs(&rig), [(0, ResyncReason::SequenceGap { expected: 3, got: 8 })]);
}

#[test]
fn a_snapshot_of_any_moment_is_spliced_or_refused() {
    let ids = [100, 103, 110, 111, 120, 5, 9, 9, 14];
    let pairs: Vec<(u64, u64)> = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
    // Of the ids before they start again; 105 and 115 lie within a step.
    for (id, fits) in [
        (99, false),
        (100, true),
        (103, true),
        (105, true),
        (110, true),
        (115, true),
        (120, true),
    ] {
        let mut rig = Rig::okx(&SYMBOLS);
        rig.sent();
        for (at, pair) in pairs.iter().enumerate() {
            let frame = match pair.0 == pair.1 {
                true => keep_alive(0, pair.0),
                false => step(0, *pair),
            };
            rig.frame(&frame);
            assert_eq!(
                rig.out.snapshot_requests().len(),
                1,
                "asked for once, at the first update"
            );
            assert!(at > 0 || rig.out.snapshot_requests()[0].symbol == SymbolId(0));
        }
        rig.snapshot(0, Ok(&rest(id)));
        assert_eq!(rig.is_shown(0), fits, "at {id}");
        match fits {
            true => assert_eq!(best_bid_qty(&rig, 0), 14, "from {id}"),
            false => assert_eq!(rejections(&rig), [SnapshotFault::TooOld]),
        }
        assert_eq!(rig.out.snapshot_requests().len(), 1 + usize::from(!fits), "at {id}");
    }
}

/// Whatever the moment of the snapshot and of its arrival, the book ends the same.
#[test]
fn late_snapshots_tell_the_same_book() {
    let steps: Vec<(u64, u64)> = (0..12).map(|n| (100 + n * n, 100 + (n + 1) * (n + 1))).collect();
    for of in 0..=steps.len() {
        for arrival in of.max(1)..=steps.len() {
            let mut rig = Rig::okx(&SYMBOLS);
            rig.sent();
            for (at, ids) in steps.iter().enumerate() {
                rig.frame(&step(0, *ids));
                if at + 1 == arrival {
                    rig.snapshot(0, Ok(&rest(100 + (of * of) as u64)));
                }
            }
            if of < steps.len() {
                assert_eq!(best_bid_qty(&rig, 0), 244, "of {of} at {arrival}");
            } else {
                assert!(!rig.is_shown(0), "until an update continues it");
                rig.frame(&keep_alive(0, 244));
                rig.frame(&step(0, (244, 250)));
                assert_eq!(best_bid_qty(&rig, 0), 250);
            }
        }
    }
}

#[test]
fn a_snapshot_in_the_stream_wins_over_a_request_under_way() {
    let mut rig = live();
    rig.frame(&step(0, (110, 115)));
    rig.frame(&trade(0, 9, "10.1"));
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    rig.frame(&snapshot(0, 200));
    assert!(rig.is_shown(0));
    let outdated = rig.log.count(|event| matches!(event, FeedEvent::Outdated { .. }));
    assert_eq!(outdated, 2, "what was kept is content of the snapshot, and counted");
    // The answer comes too late to mean anything.
    rig.snapshot(0, Ok(&rest(115)));
    rig.frame(&step(0, (200, 201)));
    assert_eq!(best_bid_qty(&rig, 0), 201);
    assert_eq!(resyncs(&rig).len(), 1);
}

#[test]
fn when_rest_fails_again_and_again_a_new_subscription_heals_it() {
    let mut rig = live();
    rig.frame(&step(0, (110, 115)));
    for attempt in 0..5 {
        assert_eq!(rig.out.snapshot_requests().last().unwrap().attempt, attempt);
        rig.snapshot(0, Err(SnapshotFault::Unavailable));
    }
    assert_eq!(rig.out.snapshot_requests().len(), 5);
    assert!(!rig.session.awaits_snapshot(SymbolId(0)));
    rig.sent();
    // The venue's limit: one new subscription in 15 s.
    rig.wait_ms(14_000);
    assert_eq!(rig.out.frames().count(), 0);
    rig.wait_ms(2_000);
    assert_eq!(
        rig.sent(),
        [
            "{\"id\":\"2\",\"op\":\"unsubscribe\",\"args\":[{\"channel\":\"books\",\"instId\":\"BTC-USDT\"}]}",
            "{\"id\":\"3\",\"op\":\"subscribe\",\"args\":[{\"channel\":\"books\",\"instId\":\"BTC-USDT\"}]}",
        ]
    );
    // What is still under way of the old subscription ends with it.
    rig.frame(&step(0, (115, 121)));
    rig.frame("{\"id\":\"2\",\"event\":\"unsubscribe\",\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"}}");
    rig.frame("{\"id\":\"3\",\"event\":\"subscribe\",\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"}}");
    rig.frame(&snapshot(0, 140));
    rig.frame(&step(0, (140, 141)));
    assert_eq!(best_bid_qty(&rig, 0), 141);
    assert!(rig.is_shown(1));
}

#[test]
fn a_refusal_is_seen_in_its_answer_and_silence_by_the_timer() {
    let mut rig = Rig::okx(&SYMBOLS);
    rig.sent();
    rig.frame(
        "{\"event\":\"error\",\"code\":\"60018\",\"msg\":\"Wrong URL or channel:books,instId:ETH-USDT doesn't exist. Please \
         use the correct URL, channel and parameters referring to API document.\",\"connId\":\"a4d3ae55\"}",
    );
    let refused = |symbol| FeedEvent::SubscriptionRefused { symbol };
    assert_eq!(rig.log.events.last(), Some(&refused(Some(SymbolId(1)))));
    rig.frame("{\"event\":\"error\",\"code\":\"60012\",\"msg\":\"Invalid request: {}\",\"connId\":\"a4d3ae55\"}");
    assert_eq!(rig.log.events.last(), Some(&refused(None)));
    rig.frame(
        "{\"event\":\"subscribe\",\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\"connId\":\"a4d3ae55\"}",
    );
    let mute = FeedEvent::SubscriptionMute { symbol: SymbolId(0) };
    for _ in 0..3 {
        rig.wait_ms(24_000);
        rig.frame("pong");
    }
    assert!(!rig.log.events.contains(&mute), "a keep-alive may still come");
    // What was refused is tried again after a minute, and that has taken the place of the next message.
    let is_about = |rig: &mut Rig, name: &str| rig.sent().concat().matches(name).count();
    assert_eq!(is_about(&mut rig, "ETH-USDT"), 2);
    rig.wait_ms(4_000);
    assert_eq!(rig.log.count(|event| *event == mute), 1);
    assert_eq!(is_about(&mut rig, "BTC-USDT"), 0);
    rig.wait_ms(12_000);
    assert_eq!(is_about(&mut rig, "BTC-USDT"), 2);
    assert_eq!(rig.log.count(|event| *event == mute), 1, "told once");
    assert!(rig.out.reconnect().is_none());
}

#[test]
fn a_quiet_connection_is_pinged_and_one_without_a_pong_given_up() {
    let mut rig = live();
    rig.wait_ms(24_000);
    assert_eq!(rig.sent().len(), 0);
    rig.wait_ms(2_000);
    assert_eq!(rig.sent(), ["ping"]);
    rig.frame("pong");
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::Control));
    rig.wait_ms(34_000);
    assert!(rig.out.reconnect().is_none());
    rig.wait_ms(2_000);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
}

#[test]
fn an_announced_upgrade_is_a_planned_reconnect() {
    let mut rig = live();
    rig.frame(
        "{\"event\":\"notice\",\"code\":\"64008\",\"msg\":\"The connection will soon be closed for a service upgrade. Please \
         reconnect.\",\"connId\":\"a4d3ae55\"}",
    );
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::ServerShutdown));
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::ServerShutdown));
    assert!(rig.is_shown(0), "until it comes");
}

#[test]
fn what_cannot_be_read_puts_its_own_book_in_doubt() {
    let absent = step(0, (103, 107)).replace(",\"prevSeqId\":103", "");
    let zero_sum = step(0, (103, 107)).replace("\"seqId\":107", "\"seqId\":103");
    for frame in [absent, zero_sum, step(0, (103, 107))[..90].to_owned()] {
        let mut rig = live();
        rig.frame(&frame);
        assert_eq!(
            rig.log.events[..2],
            [
                FeedEvent::FrameRejected {
                    reason: FrameFault::Malformed
                },
                FeedEvent::ResyncStarted {
                    symbol: SymbolId(0),
                    reason: ResyncReason::Malformed
                }
            ],
            "{frame}"
        );
        assert!(!rig.is_shown(0) && rig.is_shown(1), "{frame}");
        // The next update waits for a book that contains what was lost.
        rig.frame(&step(0, (107, 109)));
        rig.snapshot(0, Ok(&rest(107)));
        assert_eq!(best_bid_qty(&rig, 0), 109);
    }
    // About trades, about nothing, about nobody here: no book.
    let mut rig = live();
    for frame in [
        &trade(0, 7, "10.1")[..80],
        "{\"ar",
        "pang",
        &step(0, (1, 2)).replace("BTC", "XRP"),
    ] {
        rig.frame(frame);
        assert!(matches!(rig.log.events.last(), Some(FeedEvent::FrameRejected { .. })));
    }
    assert!(rig.is_shown(0) && rig.is_shown(1));
}

#[test]
fn a_finer_number_rescales_the_book() {
    let mut rig = live();
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 1, qty: 1 });
    rig.frame(&update(0, (103, 105), &[("10.15", "0.00025")], &[]));
    let scale = Scale { price: 2, qty: 5 };
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Rescaled {
            symbol: SymbolId(0),
            scale
        })
    );
    let book = rig.session.book(SymbolId(0)).unwrap();
    let levels = |side| {
        book.levels(side)
            .map(|level| (level.price, level.qty))
            .collect::<BTreeMap<_, _>>()
    };
    let expected = [(1_000, 200_000), (1_010, 10_300_000), (1_015, 25)].map(|(price, qty)| (Price(price), Qty(qty)));
    assert_eq!(levels(Side::Bid), BTreeMap::from(expected));
    assert!(rig.log.calls.last().unwrap().contains("Verified true []"), "told whole");
    assert_eq!(rig.session.instruments()[1].scale, Scale { price: 1, qty: 1 });
}

#[test]
fn a_dead_checksum_is_told_once_per_connection_and_a_living_one_verified() {
    let mut rig = live();
    let dead = |rig: &Rig| rig.log.count(|event| *event == FeedEvent::ChecksumDead);
    rig.frame(&step(0, (103, 107)));
    assert_eq!(dead(&rig), 0, "it was told before");
    rig.session.on_close(&mut rig.log);
    rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
    rig.frame(&snapshot(1, 300));
    rig.frame(&snapshot(0, 200));
    rig.frame(&step(0, (200, 201)).replace("\"checksum\":0,", ""));
    assert_eq!(dead(&rig), 1);
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified, "by its chain");

    // Alive: -1 is wrong, and what the session found is right.
    let living = |frame: String, checksum: i32| frame.replace("\"checksum\":0", &format!("\"checksum\":{checksum}"));
    rig.frame(&living(step(0, (201, 205)), -1));
    let Some((0, ResyncReason::ChecksumMismatch { expected, got })) = resyncs(&rig).last().copied() else {
        panic!("{:?}", rig.log.events);
    };
    assert_eq!(expected, u32::MAX);
    let text = "10.1:205:10.2:3:10:2:10.3:4";
    assert_eq!(got, crc32fast::hash(text.as_bytes()));
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    rig.frame(&living(
        snapshot(0, 205).replace("\"1.5\"", "\"205\""),
        got.cast_signed(),
    ));
    assert!(rig.is_shown(0));
    let verified = FeedEvent::ChecksumVerified { symbol: SymbolId(0) };
    assert_eq!(rig.log.count(|event| *event == verified), 1);
}

#[test]
fn a_book_that_is_crossed_before_the_open_is_not_shown() {
    let mut rig = Rig::okx(&SYMBOLS);
    rig.sent();
    rig.frame(&book(0, "snapshot", (-1, 50), &[("10.4", "1")], &ASKS));
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig).last(), Some(&(0, ResyncReason::Crossed)));
    rig.frame(&step(0, (50, 52)));
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    rig.snapshot(0, Ok(&rest(52).replace("10.1", "10.4")));
    assert_eq!(rejections(&rig), [SnapshotFault::Malformed]);
    let again = *rig.out.snapshot_requests().last().unwrap();
    assert!(again.not_before > rig.now, "not at once");
    // The market opens.
    rig.frame(&step(0, (52, 60)));
    rig.snapshot(0, Ok(&rest(52)));
    assert_eq!(best_bid_qty(&rig, 0), 60);
}
