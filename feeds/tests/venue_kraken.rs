//! Kraken v2: the recordings' own checksums, and what happens when one fails.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::BTreeMap;

use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use quantumflow_feeds::venue::{ReconnectReason, Session, SessionConfig};
use quantumflow_feeds::{Quality, Scale, Side, Sink, SymbolId, VenueId};
use serde_json::Value;
use venue_support::{KRAKEN_10, KRAKEN_25, Rig, frames, recordings};

/// The venue's rule on ordered maps of printed numbers.
struct Judge {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    messages: std::vec::IntoIter<Value>,
    depth: usize,
    books: usize,
    snapshots: usize,
    events: Vec<FeedEvent>,
}

fn mantissa(number: &Value, decimals: f64) -> i64 {
    (number.as_f64().unwrap() * 10_f64.powf(decimals)).round() as i64
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let message = self.messages.next().expect("no more updates than messages");
        let data = &message["data"][0];
        let is_snapshot = message["type"] == "snapshot";
        assert_eq!(update.is_snapshot, is_snapshot);
        assert_eq!(update.instrument.scale, Scale { price: 1, qty: 8 });
        for (side, key) in [(&mut self.bids, "bids"), (&mut self.asks, "asks")] {
            if is_snapshot {
                side.clear();
            }
            for level in data[key].as_array().unwrap() {
                let (price, qty) = (mantissa(&level["price"], 1.0), mantissa(&level["qty"], 8.0));
                if qty == 0 {
                    side.remove(&price)
                } else {
                    side.insert(price, qty)
                };
            }
            while side.len() > self.depth {
                if key == "bids" {
                    side.pop_first()
                } else {
                    side.pop_last()
                };
            }
        }
        let bids = update.book.levels(Side::Bid).map(|level| (level.price.0, level.qty.0));
        let asks = update.book.levels(Side::Ask).map(|level| (level.price.0, level.qty.0));
        assert!(
            self.bids.iter().rev().map(|(price, qty)| (*price, *qty)).eq(bids),
            "bids of {data}"
        );
        assert!(
            self.asks.iter().map(|(price, qty)| (*price, *qty)).eq(asks),
            "asks of {data}"
        );
        self.books += 1;
        self.snapshots += usize::from(is_snapshot);
        assert_eq!(update.update_id, self.books as u64);
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

fn check_recording(name: &[&str], depth: usize, checksums: usize, snapshots: usize) {
    let Some(paths) = recordings(name) else { return };
    let lines: Vec<Value> = frames(&paths, usize::MAX)
        .iter()
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect();
    let messages: Vec<Value> = lines.into_iter().filter(|line| line["channel"] == "book").collect();
    assert_eq!(messages.len(), checksums);
    let mut judge = Judge {
        bids: BTreeMap::new(),
        asks: BTreeMap::new(),
        messages: messages.into_iter(),
        depth,
        books: 0,
        snapshots: 0,
        events: Vec::new(),
    };
    // Whatever depth is configured, the answer to the subscription says which one it is.
    let mut session = Session::new(&SessionConfig::new(VenueId::KrakenV2, ["BTC/USD"])).unwrap();
    replay(
        &mut CaptureReader::open(&paths).unwrap(),
        &mut session,
        &mut judge,
        unpaced,
    )
    .unwrap();
    let count = |is_it: fn(&FeedEvent) -> bool| judge.events.iter().filter(|event| is_it(event)).count();
    assert_eq!(judge.books, checksums);
    assert_eq!(judge.snapshots, snapshots);
    assert_eq!(
        count(|event| matches!(event, FeedEvent::ChecksumVerified { .. })),
        checksums
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    let other =
        |event: &FeedEvent| matches!(event, FeedEvent::ResyncStarted { reason, .. } if *reason != ResyncReason::Start);
    assert_eq!(judge.events.iter().filter(|event| other(event)).count(), 0);
    assert_eq!(session.quality(SymbolId(0)), Quality::Verified);
}

#[test]
fn every_checksum_of_the_depth_10_recording_holds() {
    let Some(paths) = recordings(&KRAKEN_10) else { return };
    let snapshots = frames(&paths, usize::MAX)
        .iter()
        .filter(|(_, frame)| frame.contains("\"snapshot\",\"data\""))
        .count();
    check_recording(&KRAKEN_10, 10, 301, snapshots);
}

#[test]
fn every_checksum_of_the_depth_25_recording_holds() {
    check_recording(&KRAKEN_25, 25, 2_052, 1);
}

#[test]
fn a_corrupted_level_hides_the_book_until_a_new_snapshot_is_proven() {
    let Some(paths) = recordings(&KRAKEN_10) else { return };
    let lines = frames(&paths, usize::MAX);
    let mut rig = Rig::kraken(&["BTC/USD"]);
    let mut updates = 0;
    let mut hidden = 0;
    rig.wait_ms(1000);
    rig.sent();
    for (_, frame) in &lines {
        let is_update = frame.starts_with("{\"channel\":\"book\",\"type\":\"update\"");
        updates += usize::from(is_update);
        // A digit of the best levels' quantity, once.
        if is_update && updates == 3 {
            let at = frame.find("\"qty\":").unwrap() + 6;
            let digit = if frame.as_bytes()[at] == b'9' { "8" } else { "9" };
            rig.frame(&format!("{}{digit}{}", &frame[..at], &frame[at + 1..]));
            assert!(!rig.is_shown(0));
            assert_eq!(rig.session.quality(SymbolId(0)), Quality::Resyncing);
            let mismatch = |event: &FeedEvent| {
                matches!(
                    event,
                    FeedEvent::ResyncStarted {
                        reason: ResyncReason::ChecksumMismatch { .. },
                        ..
                    }
                )
            };
            assert_eq!(rig.log.count(mismatch), 1);
            let sent = rig.sent();
            assert_eq!(
                sent,
                [
                    "{\"method\":\"unsubscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"BTC/USD\"],\"depth\":10},\"req_id\":3}",
                    "{\"method\":\"subscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"BTC/USD\"],\"depth\":10,\"snapshot\":true},\"req_id\":4}",
                ]
            );
            continue;
        }
        rig.frame(frame);
        hidden += usize::from(is_update && updates > 3 && !rig.is_shown(0));
    }
    let outdated = rig.log.count(|event| matches!(event, FeedEvent::Outdated { .. }));
    assert_eq!(
        outdated, hidden,
        "updates between the failure and the snapshot are not applied"
    );
    assert!(rig.is_shown(0), "the next snapshot healed it");
}

#[test]
fn one_symbol_resyncs_and_the_other_stays() {
    let Some(paths) = recordings(&KRAKEN_25) else { return };
    let mut rig = Rig::kraken(&["BTC/USD", "ETH/USD"]);
    let mut corrupted = false;
    for (index, (_, frame)) in frames(&paths, 300).iter().enumerate() {
        rig.frame(frame);
        let other = frame.replace("BTC/USD", "ETH/USD");
        if index == 200 {
            rig.frame(&other.replace("\"checksum\":", "\"checksum\":1"));
            corrupted = true;
        } else {
            rig.frame(&other);
        }
        if index > 3 {
            assert!(rig.is_shown(0));
            assert_eq!(rig.is_shown(1), !corrupted, "frame {index}");
        }
    }
}

#[test]
fn refused_and_mute_subscriptions_are_found() {
    let mut rig = Rig::kraken(&["BTC/USD", "ETH/USD"]);
    let sent = rig.sent();
    assert_eq!(
        sent,
        [
            "{\"method\":\"subscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"BTC/USD\",\"ETH/USD\"],\"depth\":10,\"snapshot\":true},\"req_id\":1}",
            "{\"method\":\"subscribe\",\"params\":{\"channel\":\"trade\",\"symbol\":[\"BTC/USD\",\"ETH/USD\"],\"snapshot\":false},\"req_id\":2}",
        ]
    );
    rig.frame("{\"error\":\"Subscription depth not supported\",\"method\":\"subscribe\",\"success\":false,\"symbol\":\"ETH/USD\",\"time_in\":\"2026-08-01T02:53:53.184174Z\"}");
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::SubscriptionRefused {
            symbol: Some(SymbolId(1))
        })
    );
    rig.frame("{\"method\":\"subscribe\",\"result\":{\"channel\":\"book\",\"depth\":10,\"snapshot\":true,\"symbol\":\"BTC/USD\"},\"success\":true}");
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Subscribed { symbol: SymbolId(0) })
    );
    // Heartbeats keep the connection alive, not the book.
    let mut mute = 0;
    for _ in 0..12 {
        rig.frame("{\"channel\":\"heartbeat\"}");
        rig.wait_ms(1000);
        mute = rig
            .log
            .count(|event| matches!(event, FeedEvent::SubscriptionMute { .. }));
    }
    assert_eq!(mute, 1, "the accepted one; the refused one is not waited for");
    assert!(rig.out.reconnect().is_none());
    assert_eq!(rig.sent().len(), 2);
    for _ in 0..30 {
        rig.frame("{\"channel\":\"heartbeat\"}");
        rig.wait_ms(1000);
    }
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::NotAcknowledged));
}

#[test]
fn a_silent_connection_is_given_up_and_a_quiet_one_is_pinged() {
    let mut rig = Rig::kraken(&["BTC/USD"]);
    rig.sent();
    for _ in 0..8 {
        rig.frame("{\"channel\":\"heartbeat\"}");
        rig.wait_ms(1000);
    }
    assert!(rig.out.is_empty());
    rig.wait_ms(10_500);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));

    let Some(paths) = recordings(&KRAKEN_25) else { return };
    let mut rig = Rig::kraken(&["BTC/USD"]);
    frames(&paths, 20).iter().for_each(|(_, frame)| rig.frame(frame));
    rig.sent();
    rig.wait_ms(31_000);
    assert!(rig.sent().iter().any(|frame| frame.starts_with("{\"method\":\"ping\"")));
    rig.frame("{\"method\":\"pong\",\"req_id\":9,\"time_in\":\"2026-08-01T02:53:53Z\"}");
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::Control));
}

#[test]
fn a_book_that_falls_silent_is_stale_and_then_subscribed_anew() {
    let Some(paths) = recordings(&KRAKEN_25) else { return };
    let mut rig = Rig::kraken(&["BTC/USD"]);
    frames(&paths, 20).iter().for_each(|(_, frame)| rig.frame(frame));
    rig.sent();
    let quiet = |seconds: u32, rig: &mut Rig| {
        for _ in 0..seconds {
            rig.frame("{\"channel\":\"heartbeat\"}"); // the connection lives
            rig.wait_ms(1000);
        }
    };
    let stale = |event: &FeedEvent| matches!(event, FeedEvent::BookStale { .. });
    quiet(29, &mut rig);
    assert_eq!((rig.log.count(stale), rig.is_shown(0)), (0, true));
    quiet(60, &mut rig);
    assert_eq!((rig.log.count(stale), rig.is_shown(0)), (1, true), "told once");
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    quiet(3, &mut rig);
    let silent = |event: &FeedEvent| {
        let reason = ResyncReason::Silent;
        matches!(event, FeedEvent::ResyncStarted { reason: found, .. } if *found == reason)
    };
    assert_eq!((rig.log.count(silent), rig.is_shown(0)), (1, false));
    assert!(rig.sent().iter().any(|frame| frame.contains("\"unsubscribe\"")));
    // The snapshot of the new subscription: the market was quiet, nothing else.
    frames(&paths, 20).iter().for_each(|(_, frame)| rig.frame(frame));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
}

#[test]
fn frames_of_which_nothing_can_be_known_put_every_book_in_doubt() {
    let Some(paths) = recordings(&KRAKEN_25) else { return };
    let mut rig = Rig::kraken(&["BTC/USD", "ETH/USD"]);
    for (_, frame) in frames(&paths, 20) {
        rig.frame(&frame);
        rig.frame(&frame.replace("BTC/USD", "ETH/USD"));
    }
    assert!(rig.is_shown(0) && rig.is_shown(1));
    // Names its symbol: that one alone.
    rig.frame("{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"ETH/USD\",\"bids\":[{\"pri");
    assert!(rig.is_shown(0) && !rig.is_shown(1));
    // About trades: no book.
    rig.frame("{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"si");
    assert!(rig.is_shown(0));
    rig.frame("{\"channel\":\"bo");
    assert!(!rig.is_shown(0));
    // The pace: one resync at once, the other when the venue's limit allows.
    let sent = rig.sent().len();
    rig.wait_ms(500);
    let later = rig.sent().len();
    assert!(sent <= 4 && later == 2, "{sent} then {later}");
}

#[test]
fn trades_are_told_once_the_scale_is_known() {
    let Some(paths) = recordings(&KRAKEN_25) else { return };
    let trade = "{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"side\":\"sell\",\"price\":63388.7,\"qty\":0.25000000,\"ord_type\":\"market\",\"trade_id\":4665906,\"timestamp\":\"2026-08-02T03:35:51.660084Z\"},{\"symbol\":\"BTC/USD\",\"side\":\"buy\",\"price\":63388.8,\"qty\":1.5,\"ord_type\":\"limit\",\"trade_id\":4665907,\"timestamp\":\"2026-08-02T03:35:51.660084Z\"}]}";
    let mut rig = Rig::kraken(&["BTC/USD"]);
    rig.frame(trade);
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
    for (_, frame) in frames(&paths, 10) {
        rig.frame(&frame);
    }
    rig.frame(trade);
    let told = &rig.log.calls[rig.log.calls.len() - 2..];
    assert!(
        told[0].contains("price: Price(633887), qty: Qty(25000000), aggressor: Ask, trade_id: 4665906"),
        "{told:?}"
    );
    assert!(
        told[1].contains("price: Price(633888), qty: Qty(150000000), aggressor: Bid, trade_id: 4665907"),
        "{told:?}"
    );
    // History, sent on subscribing.
    rig.frame(&trade.replace("\"update\"", "\"snapshot\""));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
}

/// Found by fuzzing: the decimals of a snapshot that failed its checksum were used for the trades behind it.
#[test]
fn trades_keep_the_proven_scale_when_a_snapshot_of_other_decimals_fails() {
    let snapshot = |zeros: &str, checksum: u32| {
        format!(
            "{{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"BTC/USD\",\"bids\":[{{\"price\":10.0{zeros},\
             \"qty\":1.00}}],\"asks\":[{{\"price\":10.5{zeros},\"qty\":1.00}}],\"checksum\":{checksum},\
             \"timestamp\":\"2026-01-05T00:00:00.000000Z\"}}]}}"
        )
    };
    let trade = "{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"side\":\"buy\",\"price\":10.5,\
        \"qty\":1.00,\"ord_type\":\"limit\",\"trade_id\":7,\"timestamp\":\"2026-01-05T00:00:00.000003Z\"}]}";
    let mut rig = Rig::kraken(&["BTC/USD"]);
    // The right checksum is what the session found.
    rig.frame(&snapshot("", 1));
    let Some(FeedEvent::ResyncStarted {
        reason: ResyncReason::ChecksumMismatch { got, .. },
        ..
    }) = rig.log.events.last().copied()
    else {
        panic!("{:?}", rig.log.events);
    };
    rig.frame(&snapshot("", got));
    assert!(rig.is_shown(0));

    rig.frame(&snapshot("0", 1));
    assert!(!rig.is_shown(0));
    rig.log.calls.clear();
    rig.frame(trade);
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 1, qty: 2 });
    let told = rig.log.calls.concat();
    assert!(
        told.contains("price: Price(105)") && told.contains("Scale { price: 1, qty: 2 }"),
        "{told}"
    );
}

/// A message of a book of one bid at 100.0 and one ask at 100.1, the quantity of the bid told, with its right checksum.
fn one_bid(kind: &str, bid_qty: u32, second: u32) -> String {
    let checksum = crc32fast::hash(format!("10012000000001000{bid_qty}00000000").as_bytes());
    let asks = if kind == "snapshot" {
        "{\"price\":100.1,\"qty\":2.00000000}"
    } else {
        ""
    };
    format!(
        "{{\"channel\":\"book\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"BTC/USD\",\
         \"bids\":[{{\"price\":100.0,\"qty\":{bid_qty}.00000000}}],\"asks\":[{asks}],\"checksum\":{checksum},\
         \"timestamp\":\"2026-08-01T02:53:{second:02}.123456Z\"}}]}}"
    )
}

#[test]
fn an_update_that_comes_behind_its_successor_is_a_gap_though_its_checksum_holds() {
    let mut rig = Rig::kraken(&["BTC/USD"]);
    let shown = |rig: &Rig| {
        let book = rig.session.book(SymbolId(0))?;
        Some(book.best(Side::Bid).unwrap().qty.0 / 100_000_000)
    };
    rig.frame(&one_bid("snapshot", 1, 10));
    rig.frame(&one_bid("update", 5, 11));
    rig.frame(&one_bid("update", 7, 11));
    assert_eq!(shown(&rig), Some(7), "two of one instant");
    // Quantities are absolute, so that of the earlier one makes the earlier book.
    rig.frame(&one_bid("update", 9, 13));
    rig.frame(&one_bid("update", 8, 12));
    assert_eq!(shown(&rig), None);
    let is_gap = |event: &FeedEvent| {
        let reason = |reason| matches!(reason, ResyncReason::SequenceGap { .. });
        matches!(event, FeedEvent::ResyncStarted { reason: found, .. } if reason(*found))
    };
    assert_eq!(rig.log.count(is_gap), 1);
    // A clock that was set back does not keep the book away.
    rig.frame(&one_bid("snapshot", 4, 2));
    rig.frame(&one_bid("update", 3, 3));
    assert_eq!(shown(&rig), Some(3));
}
