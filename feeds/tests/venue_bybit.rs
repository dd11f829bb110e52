//! Bybit v5: a recorded half minute of eight instruments against ordered maps, and the rules of the chain by hand.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::{BTreeMap, VecDeque};

use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use quantumflow_feeds::venue::{ReconnectReason, Session, SessionConfig};
use quantumflow_feeds::{Quality, Scale, Side, Sink, SymbolId, VenueId};
use serde_json::Value;
use venue_support::{BYBIT, Rig, frames, recordings};

const SYMBOLS: [&str; 8] = [
    "BCHUSDT", "XTZUSDT", "UNIUSDT", "LTCUSDT", "DOTUSDT", "LINKUSDT", "ADAUSDT", "ETHUSDT",
];

/// Ten decimals of a printed number, without a float.
fn ten(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<10}").parse().unwrap()
}

/// A mantissa with ten decimals.
fn widened(mantissa: i64, decimals: u8) -> i128 {
    i128::from(mantissa) * 10_i128.pow(10 - u32::from(decimals))
}

/// The venue's rule on ordered maps: what is told next of a symbol must be its next message.
#[derive(Default)]
struct Judge {
    messages: [VecDeque<Value>; 8],
    trades: [VecDeque<Value>; 8],
    books: [[BTreeMap<i128, i128>; 2]; 8],
    book_count: usize,
    trade_count: usize,
    events: Vec<FeedEvent>,
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let index = update.instrument.id.index();
        let message = self.messages[index].pop_front().expect("no more updates than messages");
        let data = &message["data"];
        assert_eq!(data["s"], update.instrument.symbol.as_str());
        assert_eq!(data["u"], update.update_id);
        assert_eq!(message["cts"].as_u64().unwrap() * 1_000_000, update.exchange_time.0);
        assert_eq!(update.quality, Quality::Verified);
        let Scale { price, qty } = update.instrument.scale;
        for (side, key) in [(Side::Bid, "b"), (Side::Ask, "a")] {
            let expected = &mut self.books[index][usize::from(side == Side::Ask)];
            if message["type"] == "snapshot" {
                expected.clear();
            }
            for level in data[key].as_array().unwrap() {
                let number = |at: usize| ten(level[at].as_str().unwrap());
                match number(1) {
                    0 => expected.remove(&number(0)),
                    qty => expected.insert(number(0), qty),
                };
            }
            let mut shown: Vec<_> = update
                .book
                .levels(side)
                .map(|level| (widened(level.price.0, price), widened(level.qty.0, qty)))
                .collect();
            if side == Side::Bid {
                shown.reverse();
            }
            assert!(shown.into_iter().eq(expected.clone()), "{side:?} after {data}");
        }
        self.book_count += 1;
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        let Scale { price, qty } = trade.instrument.scale;
        let expected = self.trades[trade.instrument.id.index()].pop_front().unwrap();
        assert_eq!(ten(expected["p"].as_str().unwrap()), widened(trade.price.0, price));
        assert_eq!(ten(expected["v"].as_str().unwrap()), widened(trade.qty.0, qty));
        assert_eq!(expected["S"] == "Buy", trade.aggressor == Side::Bid);
        assert_eq!(expected["T"].as_u64().unwrap() * 1_000_000, trade.exchange_time.0);
        let id = expected["i"].as_str().unwrap().replace('-', "");
        assert_eq!(id[..16], format!("{:016x}", trade.trade_id));
        self.trade_count += 1;
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

#[test]
fn every_book_of_the_recording_is_right() {
    let Some(paths) = recordings(&BYBIT) else { return };
    let mut judge = Judge::default();
    let (mut book_messages, mut answers, mut early_trades) = (0, 0, 0);
    for (_, frame) in frames(&paths, usize::MAX) {
        let line: Value = serde_json::from_str(&frame).unwrap();
        let Some(topic) = line["topic"].as_str() else {
            answers += 1;
            continue;
        };
        let index = SYMBOLS.iter().position(|symbol| topic.ends_with(symbol)).unwrap();
        if topic.starts_with("orderbook.50.") {
            judge.messages[index].push_back(line);
            book_messages += 1;
        } else if judge.messages[index].is_empty() {
            early_trades += 1; // without decimals to tell them by
        } else {
            judge.trades[index].extend(line["data"].as_array().unwrap().clone());
        }
    }
    let trades: usize = judge.trades.iter().map(VecDeque::len).sum();

    let mut session = Session::new(&SessionConfig::new(VenueId::BybitLinear, SYMBOLS)).unwrap();
    let mut reader = CaptureReader::open(&paths).unwrap();
    let summary = replay(&mut reader, &mut session, &mut judge, unpaced).unwrap();
    assert_eq!((summary.frames, summary.snapshots), (3_342, 0));
    assert_eq!((book_messages, answers), (3_260, 16));
    assert_eq!((judge.book_count, judge.trade_count), (book_messages, trades));
    let count = |is_it: fn(&FeedEvent) -> bool| judge.events.iter().filter(|event| is_it(event)).count();
    assert_eq!(
        count(|event| matches!(event, FeedEvent::ResyncStarted { .. })),
        SYMBOLS.len(),
        "the start, and no gap"
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    assert_eq!(count(|event| matches!(event, FeedEvent::Outdated { .. })), early_trades);
    for index in 0..SYMBOLS.len() {
        assert_eq!(session.quality(SymbolId(index as u16)), Quality::Verified);
    }
}

fn book(kind: &str, symbol: &str, id: u64, bids: &str, asks: &str) -> String {
    format!(
        "{{\"topic\":\"orderbook.50.{symbol}\",\"ts\":1758845431663,\"type\":\"{kind}\",\"data\":{{\"s\":\"{symbol}\",\
         \"b\":[{bids}],\"a\":[{asks}],\"u\":{id},\"seq\":{}}},\"cts\":1758845431662}}",
        id * 7
    )
}

fn snapshot(symbol: &str, id: u64) -> String {
    book("snapshot", symbol, id, "[\"100.1\",\"1\"]", "[\"100.2\",\"2\"]")
}

fn delta(symbol: &str, id: u64) -> String {
    book("delta", symbol, id, "", &format!("[\"100.3\",\"{id}\"]"))
}

/// Both books are shown, and what was asked for on opening is taken out.
fn rig() -> Rig {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT", "ETHUSDT"]));
    rig.sent();
    rig.frame(&snapshot("BTCUSDT", 10));
    rig.frame(&snapshot("ETHUSDT", 20));
    assert!(rig.is_shown(0) && rig.is_shown(1));
    rig.wait_ms(1000);
    rig.sent();
    rig
}

fn request(op: &str, topic: &str) -> String {
    format!("{{\"req_id\":\"{topic}\",\"op\":\"{op}\",\"args\":[\"{topic}\"]}}")
}

fn say(success: bool, text: &str, id: &str, op: &str) -> String {
    format!(
        "{{\"success\":{success},\"ret_msg\":\"{text}\",\"conn_id\":\"d9avt13c\",\"req_id\":\"{id}\",\"op\":\"{op}\"}}"
    )
}

#[test]
fn each_topic_is_asked_for_in_a_request_of_its_own() {
    for (venue, path) in [
        (VenueId::BybitSpot, "/v5/public/spot"),
        (VenueId::BybitLinear, "/v5/public/linear"),
    ] {
        let mut rig = Rig::open(&SessionConfig::new(venue, ["btcusdt", "ETHUSDT"]));
        assert_eq!((rig.session.venue(), rig.session.websocket_path()), (venue, path));
        assert_eq!(
            rig.sent(),
            [
                "orderbook.50.BTCUSDT",
                "publicTrade.BTCUSDT",
                "orderbook.50.ETHUSDT",
                "publicTrade.ETHUSDT"
            ]
            .map(|topic| request("subscribe", topic))
        );
    }
    let config = SessionConfig {
        depth: 200,
        trades: false,
        ..SessionConfig::new(VenueId::BybitLinear, ["BTCUSDT"])
    };
    assert_eq!(
        Rig::open(&config).sent(),
        [request("subscribe", "orderbook.200.BTCUSDT")]
    );
}

#[test]
fn a_gap_resyncs_its_symbol_alone() {
    let mut rig = rig();
    rig.frame(&delta("BTCUSDT", 11));
    rig.frame(&delta("ETHUSDT", 21));
    rig.frame(&delta("BTCUSDT", 13));
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Resyncing);
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::ResyncStarted {
            symbol: SymbolId(0),
            reason: ResyncReason::SequenceGap { expected: 12, got: 13 }
        })
    );
    assert_eq!(
        rig.sent(),
        [
            request("unsubscribe", "orderbook.50.BTCUSDT"),
            request("subscribe", "orderbook.50.BTCUSDT")
        ]
    );
    // What still comes of the old subscription is not applied.
    rig.frame(&delta("BTCUSDT", 14));
    assert!(!rig.is_shown(0));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
    rig.frame(&delta("ETHUSDT", 22));
    rig.frame(&snapshot("BTCUSDT", 15));
    // The answers may come behind the snapshot; they hide nothing.
    rig.frame(&say(true, "unsubscribe", "orderbook.50.BTCUSDT", "unsubscribe"));
    rig.frame(&say(true, "subscribe", "orderbook.50.BTCUSDT", "subscribe"));
    rig.frame(&delta("BTCUSDT", 16));
    assert!(rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    rig.wait_ms(11_000);
    assert!(rig.sent().is_empty(), "nothing is awaited any more");
}

#[test]
fn a_snapshot_replaces_the_book_whenever_it_comes() {
    let mut rig = rig();
    rig.frame(&delta("BTCUSDT", 11));
    rig.log.calls.clear();
    // The service was started anew.
    rig.frame(&book("snapshot", "BTCUSDT", 1, "[\"90.1\",\"1\"]", "[\"90.2\",\"2\"]"));
    let shown = rig.session.book(SymbolId(0)).unwrap();
    let levels = |side| {
        shown
            .levels(side)
            .map(|level| (level.price.0, level.qty.0))
            .collect::<Vec<_>>()
    };
    assert_eq!((levels(Side::Bid), levels(Side::Ask)), (vec![(901, 1)], vec![(902, 2)]));
    rig.frame(&delta("BTCUSDT", 2));
    let gaps = rig
        .log
        .count(|event| matches!(event, FeedEvent::ResyncStarted { reason, .. } if *reason != ResyncReason::Start));
    assert_eq!(gaps, 0);
    assert!(rig.is_shown(0) && rig.sent().is_empty());
}

#[test]
fn a_repeated_delta_changes_nothing_and_one_that_goes_back_is_a_gap() {
    let mut rig = rig();
    rig.frame(&delta("BTCUSDT", 11));
    rig.frame(&delta("BTCUSDT", 11));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) })
    );
    rig.frame(&delta("BTCUSDT", 12));
    assert!(rig.is_shown(0));
    // A restart whose snapshot was lost.
    rig.frame(&delta("BTCUSDT", 1));
    assert!(!rig.is_shown(0));
    assert_eq!(rig.sent().len(), 2);
}

#[test]
fn depth_1_is_snapshots_that_may_repeat_their_id_and_keeps_its_decimals() {
    let top = |id: u64, bid: &str, ask: &str| {
        book("snapshot", "BTCUSDT", id, bid, ask).replace("orderbook.50", "orderbook.1")
    };
    let config = SessionConfig {
        depth: 1,
        ..SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT"])
    };
    let mut rig = Rig::open(&config);
    rig.frame(&top(7, "[\"83805\",\"0.150276\"]", "[\"83805.1\",\"0.99\"]"));
    let started = rig.log.events.len();
    rig.frame(&top(7, "[\"83805\",\"0.150276\"]", "[\"83805.1\",\"0.99\"]"));
    // Spot leaves out the decimals that are zero: fewer of them are not another scale.
    rig.frame(&top(8, "[\"83805\",\"0.2\"]", "[\"83806\",\"1\"]"));
    assert_eq!(rig.log.events.len(), started, "{:?}", rig.log.events);
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 1, qty: 6 });
    // More of them are, once.
    rig.frame(&top(9, "[\"83805.25\",\"0.2\"]", "[\"83806\",\"1\"]"));
    rig.frame(&top(10, "[\"83805\",\"0.2\"]", "[\"83806\",\"1\"]"));
    let scale = Scale { price: 2, qty: 6 };
    assert_eq!(
        rig.log.events[started..],
        [FeedEvent::Rescaled {
            symbol: SymbolId(0),
            scale
        }]
    );
    let best = rig.session.book(SymbolId(0)).unwrap().best(Side::Ask).unwrap();
    assert_eq!((best.price.0, best.qty.0), (8_380_600, 1_000_000));
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
}

#[test]
fn a_number_of_more_decimals_rescales_the_book() {
    let mut rig = rig();
    rig.frame(&book("delta", "BTCUSDT", 11, "[\"100.15\",\"0.001\"]", ""));
    let scale = Scale { price: 2, qty: 3 };
    assert_eq!(rig.session.instruments()[0].scale, scale);
    let book = rig.session.book(SymbolId(0)).unwrap();
    let bids: Vec<_> = book
        .levels(Side::Bid)
        .map(|level| (level.price.0, level.qty.0))
        .collect();
    assert_eq!(bids, [(10_015, 1), (10_010, 1_000)]);
    assert_eq!(rig.session.instruments()[1].scale, Scale { price: 1, qty: 0 });
}

#[test]
fn levels_beyond_the_depth_are_cut_off() {
    let mut rig = rig();
    let bids: Vec<String> = (0..60).map(|n| format!("[\"{}.5\",\"1\"]", 40 + n)).collect();
    rig.frame(&book("delta", "BTCUSDT", 11, &bids.join(","), ""));
    let book = rig.session.book(SymbolId(0)).unwrap();
    assert_eq!(book.level_count(Side::Bid), 50);
    assert_eq!(book.worst(Side::Bid).map(|level| level.price.0), Some(515));
}

#[test]
fn a_crossed_book_is_not_shown() {
    let mut rig = rig();
    rig.frame(&book("delta", "BTCUSDT", 11, "[\"100.2\",\"1\"]", ""));
    assert!(!rig.is_shown(0) && rig.is_shown(1));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::ResyncStarted {
            symbol: SymbolId(0),
            reason: ResyncReason::Crossed
        })
    );
}

#[test]
fn refused_and_mute_subscriptions_are_found() {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT", "ETHUSDT"]));
    rig.sent();
    rig.frame(&say(true, "subscribe", "orderbook.50.BTCUSDT", "subscribe"));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Subscribed { symbol: SymbolId(0) })
    );
    let not_found = "error:handler not found,topic:orderbook.50.ETHUSDT";
    rig.frame(&say(false, not_found, "orderbook.50.ETHUSDT", "subscribe"));
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::SubscriptionRefused {
            symbol: Some(SymbolId(1))
        })
    );
    // Pongs keep the connection alive, not the book.
    let mute = |rig: &Rig| {
        rig.log
            .count(|event| matches!(event, FeedEvent::SubscriptionMute { .. }))
    };
    for _ in 0..12 {
        rig.frame(&say(true, "pong", "", "ping"));
        rig.wait_ms(1000);
    }
    assert_eq!(mute(&rig), 1, "the accepted one; the refused one is not waited for");
    assert_eq!(
        rig.sent(),
        [
            request("unsubscribe", "orderbook.50.BTCUSDT"),
            request("subscribe", "orderbook.50.BTCUSDT")
        ]
    );
    // Subscribed already: no snapshot will come of it, and the timer finds that out.
    let already = "error:already subscribed,topic:orderbook.50.BTCUSDT";
    rig.frame(&say(false, already, "orderbook.50.BTCUSDT", "subscribe"));
    for _ in 0..11 {
        rig.frame(&say(true, "pong", "", "ping"));
        rig.wait_ms(1000);
    }
    assert_eq!(mute(&rig), 2);
    assert!(rig.out.reconnect().is_none());
    for _ in 0..30 {
        rig.frame(&say(true, "pong", "", "ping"));
        rig.wait_ms(1000);
    }
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::NotAcknowledged));
    // What was refused is tried again after a minute.
    rig.sent();
    rig.wait_ms(10_000);
    rig.wait_ms(1_000);
    assert!(rig.sent().contains(&request("subscribe", "orderbook.50.ETHUSDT")));
}

#[test]
fn a_quiet_connection_is_pinged_and_a_silent_one_given_up() {
    let mut rig = rig();
    rig.wait_ms(20_500);
    assert_eq!(rig.sent(), ["{\"op\":\"ping\"}"]);
    rig.frame(&say(true, "pong", "", "ping"));
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::Control));
    rig.wait_ms(20_500);
    assert_eq!(rig.sent(), ["{\"op\":\"ping\"}"]);
    assert!(rig.out.reconnect().is_none());
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    rig.wait_ms(25_000);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
}

#[test]
fn wreckage_puts_in_doubt_the_book_that_it_names() {
    let mut rig = rig();
    rig.frame("{\"topic\":\"orderbook.50.ETHUSDT\",\"ts\":17588");
    assert!(rig.is_shown(0) && !rig.is_shown(1));
    // About trades: no book.
    rig.frame("{\"topic\":\"publicTrade.BTCUSDT\",\"ts\":17588");
    assert!(rig.is_shown(0));
    // Of nobody: the chain shows at the next message whether one is missing.
    rig.frame("{\"topic\":\"orderb");
    assert!(rig.is_shown(0));
    rig.frame(&delta("BTCUSDT", 12));
    assert!(!rig.is_shown(0));
    // The pace: one resync at once, the other when the limit allows.
    let sent = rig.sent().len();
    rig.wait_ms(500);
    assert_eq!((sent, rig.sent().len()), (2, 2));
    // Neither a subscription nor a symbol of ours.
    rig.frame(&snapshot("XRPUSDT", 1));
    assert!(matches!(rig.log.events.last(), Some(FeedEvent::FrameRejected { .. })));
}

#[test]
fn several_trades_of_a_message_are_told_in_their_order() {
    let trades = "{\"topic\":\"publicTrade.BTCUSDT\",\"ts\":1761520812165,\"type\":\"snapshot\",\"data\":[\
        {\"i\":\"2290000000970262966\",\"T\":1761520812163,\"p\":\"100.1\",\"v\":\"2\",\"S\":\"Sell\",\"seq\":7,\
        \"s\":\"BTCUSDT\",\"BT\":false,\"RPI\":false},{\"i\":\"2290000000970262967\",\"T\":1761520812163,\"p\":\"100\",\
        \"v\":\"3\",\"S\":\"Buy\",\"seq\":7,\"s\":\"BTCUSDT\",\"BT\":false,\"RPI\":false}]}";
    let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT"]));
    rig.frame(trades);
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::Outdated { symbol: SymbolId(0) }),
        "no decimals are known yet"
    );
    rig.frame(&snapshot("BTCUSDT", 10));
    rig.frame(trades);
    let told = &rig.log.calls[rig.log.calls.len() - 2..];
    assert!(
        told[0].contains("price: Price(1001), qty: Qty(2), aggressor: Ask, trade_id: 2290000000970262966"),
        "{told:?}"
    );
    assert!(
        told[1].contains("price: Price(1000), qty: Qty(3), aggressor: Bid, trade_id: 2290000000970262967"),
        "{told:?}"
    );
}
