//! Binance's rule when things go wrong: late and early snapshots, gaps, cut replies, contradictions.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::BTreeMap;

use quantumflow_feeds::event::{FeedEvent, FrameFault, ResyncReason, SnapshotFault};
use quantumflow_feeds::venue::{ReconnectReason, SessionConfig};
use quantumflow_feeds::{Price, Quality, Scale, Side, SymbolId, VenueId};
use venue_support::{BINANCE, Rig, frames, recordings};

/// A generated market of one symbol: its frames, and the REST snapshot at any update id.
struct Market {
    symbol: &'static str,
    id: u64,
    bids: BTreeMap<u64, u64>,
    asks: BTreeMap<u64, u64>,
    seed: u64,
}

impl Market {
    fn new(symbol: &'static str) -> Self {
        let bids = (900..1000).map(|price| (price, 5)).collect();
        let asks = (1001..1100).map(|price| (price, 7)).collect();
        Self {
            symbol,
            id: 100,
            bids,
            asks,
            seed: 7,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn wrap(&self, stream: &str, data: &str) -> String {
        format!(
            "{{\"stream\":\"{}@{stream}\",\"data\":{data}}}",
            self.symbol.to_lowercase()
        )
    }

    fn level(price: u64, qty: u64) -> String {
        format!("[\"{}.{:02}000000\",\"{qty}.00000000\"]", price / 100, price % 100)
    }

    /// The next diff: two ids, a level of each side.
    fn diff(&mut self) -> String {
        let (bid, ask) = (900 + self.random(100), 1001 + self.random(99));
        let (bid_qty, ask_qty) = (self.random(4), 1 + self.random(4));
        if bid_qty == 0 {
            self.bids.remove(&bid)
        } else {
            self.bids.insert(bid, bid_qty)
        };
        self.asks.insert(ask, ask_qty);
        let first = self.id + 1;
        self.id += 2;
        let data = format!(
            "{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{}\",\"U\":{first},\"u\":{},\"b\":[{}],\"a\":[{}]}}",
            1_700_000_000_000 + self.id,
            self.symbol,
            self.id,
            Self::level(bid, bid_qty),
            Self::level(ask, ask_qty)
        );
        self.wrap("depth@100ms", &data)
    }

    fn trade(&mut self) -> String {
        let id = self.random(1_000_000);
        let data = format!(
            "{{\"e\":\"trade\",\"E\":1700000000001,\"s\":\"{}\",\"t\":{id},\"p\":\"10.00000000\",\"q\":\"1.00000000\",\
             \"T\":1700000000000,\"m\":true,\"M\":true}}",
            self.symbol
        );
        self.wrap("trade", &data)
    }

    fn ticker(&self, update_id: u64, bid_qty_wrong_by: u64) -> String {
        let (bid, bid_qty) = self.bids.last_key_value().unwrap();
        let (ask, ask_qty) = self.asks.first_key_value().unwrap();
        let (bid_qty, show) = (bid_qty + bid_qty_wrong_by, |price: &u64| {
            format!("{}.{:02}000000", price / 100, price % 100)
        });
        let data = format!(
            "{{\"u\":{update_id},\"s\":\"{}\",\"b\":\"{}\",\"B\":\"{bid_qty}.00000000\",\"a\":\"{}\",\"A\":\"{ask_qty}.00000000\"}}",
            self.symbol,
            show(bid),
            show(ask)
        );
        self.wrap("bookTicker", &data)
    }

    fn snapshot(&self) -> String {
        let side = |levels: &mut dyn Iterator<Item = (&u64, &u64)>| {
            levels
                .map(|(price, qty)| Self::level(*price, *qty))
                .collect::<Vec<_>>()
                .join(",")
        };
        let (bids, asks) = (side(&mut self.bids.iter().rev()), side(&mut self.asks.iter()));
        format!("{{\"lastUpdateId\":{},\"bids\":[{bids}],\"asks\":[{asks}]}}", self.id)
    }

    /// The book of the session is the market's.
    fn assert_shown(&self, rig: &Rig, symbol: u16) {
        let book = rig.session.book(SymbolId(symbol)).expect("shown");
        let scale = rig.session.instruments()[usize::from(symbol)].scale;
        assert_eq!(scale, Scale { price: 2, qty: 0 });
        let check = |side: Side, expected: &mut dyn Iterator<Item = (&u64, &u64)>| {
            let levels = book
                .levels(side)
                .map(|level| (level.price.0 as u64, level.qty.0 as u64));
            assert!(expected.map(|(price, qty)| (*price, *qty)).eq(levels), "{side:?}");
        };
        check(Side::Bid, &mut self.bids.iter().rev());
        check(Side::Ask, &mut self.asks.iter());
    }
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

#[test]
fn the_moment_of_the_snapshot_changes_nothing_that_is_told() {
    let Some(paths) = recordings(&BINANCE[..1]) else { return };
    let mut lines = frames(&paths, 4000);
    let at = lines
        .iter()
        .position(|(_, frame)| frame.starts_with("{\"lastUpdateId\""))
        .unwrap();
    let (_, snapshot) = lines.remove(at);
    let told = |position: usize| {
        let mut rig = Rig::binance(&["BTCUSDT"]);
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
    assert!(expected.iter().filter(|call| call.starts_with("book ")).count() > 100);
    for position in [0, 1, 2, 5, 6, at + 1, at + 2, 20, 333, 2000, lines.len()] {
        let calls = told(position);
        let differs = calls.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(
            calls == expected,
            "snapshot at {position}: first difference at {differs:?}"
        );
    }
}

#[test]
fn a_gap_resyncs_its_symbol_alone_and_heals() {
    let (mut btc, mut eth) = (Market::new("BTCUSDT"), Market::new("ETHUSDT"));
    let mut rig = Rig::binance(&["BTCUSDT", "ETHUSDT"]);
    for _ in 0..3 {
        rig.frame(&btc.diff());
        rig.frame(&eth.diff());
    }
    assert_eq!(rig.out.snapshot_requests().len(), 2, "one request each");
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.snapshot(1, Ok(&eth.snapshot()));
    assert!(!rig.is_shown(0), "not before the diff that continues the snapshot");
    rig.frame(&btc.diff());
    rig.frame(&eth.diff());
    btc.assert_shown(&rig, 0);
    eth.assert_shown(&rig, 1);
    rig.out.clear();

    let lost = btc.diff();
    assert!(lost.contains("depthUpdate"));
    rig.frame(&btc.diff());
    rig.frame(&eth.diff());
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Resyncing);
    assert!(!rig.is_shown(0));
    eth.assert_shown(&rig, 1);
    assert_eq!(
        resyncs(&rig, 0),
        [
            ResyncReason::Start,
            ResyncReason::SequenceGap {
                expected: 109,
                got: 111
            }
        ]
    );
    assert_eq!(resyncs(&rig, 1), [ResyncReason::Start]);
    let requests: Vec<_> = rig
        .out
        .snapshot_requests()
        .iter()
        .map(|request| request.symbol)
        .collect();
    assert_eq!(requests, [SymbolId(0)]);

    // The snapshot may be newer than several kept diffs.
    rig.frame(&btc.diff());
    let snapshot = btc.snapshot();
    rig.frame(&btc.diff());
    rig.snapshot(0, Ok(&snapshot));
    btc.assert_shown(&rig, 0);
    for _ in 0..50 {
        rig.frame(&btc.diff());
        rig.frame(&eth.diff());
        btc.assert_shown(&rig, 0);
        eth.assert_shown(&rig, 1);
    }
}

#[test]
fn a_gap_within_the_backlog_waits_for_the_next_snapshot() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    let first = market.snapshot();
    rig.frame(&market.diff());
    market.diff(); // lost
    rig.frame(&market.diff());
    let second = market.snapshot();
    rig.frame(&market.diff());
    rig.out.clear();
    rig.snapshot(0, Ok(&first));
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig, 0).len(), 2, "start and gap");
    assert_eq!(
        rig.out.snapshot_requests().len(),
        1,
        "asked again at once: the diffs are there"
    );
    rig.snapshot(0, Ok(&second));
    market.assert_shown(&rig, 0);
}

#[test]
fn a_snapshot_older_than_the_first_diff_is_fetched_again_later_and_later() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    let old = market.snapshot();
    market.diff(); // before the stream began
    rig.frame(&market.diff());
    let mut waits = Vec::new();
    for attempt in 0..5 {
        let [request] = rig.out.snapshot_requests() else {
            panic!("one request")
        };
        assert_eq!(request.attempt, attempt);
        waits.push(request.not_before.since(rig.now) / 1_000_000);
        rig.out.clear();
        rig.snapshot(0, Ok(&old));
        assert!(!rig.is_shown(0));
    }
    assert_eq!(waits, [0, 250, 500, 1000, 2000]);
    assert_eq!(
        rig.log.count(|e| matches!(
            e,
            FeedEvent::SnapshotRejected {
                reason: SnapshotFault::TooOld,
                ..
            }
        )),
        5
    );
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    market.assert_shown(&rig, 0);
}

#[test]
fn a_reply_that_is_cut_short_or_says_something_else_is_refused() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    let whole = market.snapshot();
    rig.frame(&market.diff());
    let mut refused = 0;
    for end in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        rig.snapshot(0, Ok(&whole[..end]));
        refused += 1;
        assert!(!rig.is_shown(0), "cut at {end}");
    }
    for body in [
        "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}",
        "{\"lastUpdateId\":104,\"bids\":[],\"asks\":[]}",
        "{\"lastUpdateId\":104,\"bids\":[[\"10.02\",\"1\"]],\"asks\":[[\"10.01\",\"1\"]]}",
        "{\"lastUpdateId\":104,\"bids\":[[\"10.00\",\"0\"]],\"asks\":[[\"10.01\",\"1\"]]}",
        "{\"lastUpdateId\":104,\"bids\":[[\"10.00\",\"-1\"]],\"asks\":[[\"10.01\",\"1\"]]}",
        "<html>Too Many Requests</html>",
    ] {
        rig.snapshot(0, Ok(body));
        refused += 1;
        assert!(!rig.is_shown(0), "{body}");
    }
    rig.snapshot(0, Err(SnapshotFault::Unavailable));
    assert_eq!(
        rig.log.count(|e| matches!(
            e,
            FeedEvent::SnapshotRejected {
                reason: SnapshotFault::Malformed,
                ..
            }
        )),
        refused
    );
    // Another order of keys and white space are no fault.
    let reordered = whole.replace("\"bids\"", " \"bids\"").replacen('{', "{\"E\":1,", 1);
    rig.snapshot(0, Ok(&reordered));
    market.assert_shown(&rig, 0);
}

#[test]
fn a_request_without_an_answer_is_repeated() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    rig.out.clear();
    rig.wait_ms(14_000);
    assert!(rig.out.is_empty());
    rig.wait_ms(2_000);
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    assert_eq!(
        rig.log.count(|e| matches!(
            e,
            FeedEvent::SnapshotRejected {
                reason: SnapshotFault::Unavailable,
                ..
            }
        )),
        1
    );
}

#[test]
fn a_top_of_book_is_compared_whether_it_comes_before_or_after_its_diff() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    let tops = |rig: &Rig| -> Vec<String> {
        let top = |call: &String| {
            call.starts_with("TopOfBook")
                .then(|| call[call.find("agrees").unwrap()..].to_owned())
        };
        rig.log.calls.iter().filter_map(top).collect()
    };
    rig.frame(&market.ticker(market.id, 0));
    assert_eq!(tops(&rig), ["agrees: Some(true) }"]);
    // Before its diff: told at once, and again when the book is there.
    let diff = market.diff();
    rig.frame(&market.ticker(market.id, 0));
    rig.frame(&diff);
    assert_eq!(tops(&rig)[1..], ["agrees: None }", "agrees: Some(true) }"]);
    market.assert_shown(&rig, 0);
    // The venue contradicts: the book is not shown any more, and the update is not told.
    let diff = market.diff();
    rig.frame(&market.ticker(market.id, 1));
    let books = rig.log.calls.iter().filter(|call| call.starts_with("book ")).count();
    rig.frame(&diff);
    assert_eq!(tops(&rig)[3..], ["agrees: None }", "agrees: Some(false) }"]);
    assert_eq!(
        rig.log.calls.iter().filter(|call| call.starts_with("book ")).count(),
        books
    );
    assert!(!rig.is_shown(0));
    assert_eq!(
        resyncs(&rig, 0)[1..],
        [ResyncReason::TopDisagrees { update_id: market.id }]
    );
}

#[test]
fn a_finer_number_rescales_the_book_and_loses_nothing() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    market.assert_shown(&rig, 0);
    let finer = market.trade().replace("1.00000000", "1.00000100");
    rig.frame(&finer);
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 2, qty: 6 });
    let best = rig.session.book(SymbolId(0)).unwrap().best(Side::Bid).unwrap();
    let (price, qty) = market.bids.last_key_value().unwrap();
    assert_eq!((best.price.0 as u64, best.qty.0 as u64), (*price, qty * 1_000_000));
    assert!(rig.log.calls.last().unwrap().contains("qty: Qty(1000001)"));
    rig.frame(&market.diff());
    assert!(
        rig.log.calls.last().unwrap().contains(" true [] "),
        "told as a whole book"
    );
    rig.frame(&market.diff());
    assert!(!rig.log.calls.last().unwrap().contains(" true [] "));
    // A number that no scale can hold puts the book in doubt and leaves the scale as it is.
    rig.frame(&market.diff().replace(".00000000\"]", ".0000000000000000001\"]"));
    assert!(!rig.is_shown(0));
    assert_eq!(
        rig.log.count(|e| matches!(
            e,
            FeedEvent::FrameRejected {
                reason: FrameFault::NumberOutOfRange
            }
        )),
        1
    );
    assert_eq!(rig.session.instruments()[0].scale, Scale { price: 2, qty: 6 });
}

#[test]
fn a_crossed_book_is_not_shown() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    assert!(rig.is_shown(0));
    let crossing = format!(
        "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000000,\"s\":\"BTCUSDT\",\
         \"U\":{},\"u\":{},\"b\":[[\"99.00000000\",\"1.00000000\"]],\"a\":[]}}}}",
        market.id + 1,
        market.id + 1
    );
    rig.frame(&crossing);
    assert!(!rig.is_shown(0));
    assert_eq!(resyncs(&rig, 0)[1..], [ResyncReason::Crossed]);
}

#[test]
fn a_diff_that_cannot_be_read_puts_its_book_in_doubt_and_no_other() {
    let (mut btc, mut eth) = (Market::new("BTCUSDT"), Market::new("ETHUSDT"));
    let mut rig = Rig::binance(&["BTCUSDT", "ETHUSDT"]);
    for market in [&mut btc, &mut eth] {
        rig.frame(&market.diff());
    }
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.snapshot(1, Ok(&eth.snapshot()));
    rig.frame(&btc.diff());
    rig.frame(&eth.diff());
    let whole = eth.diff();
    rig.frame(&whole[..whole.len() - 3]);
    assert!(rig.is_shown(0) && !rig.is_shown(1));
    assert_eq!(resyncs(&rig, 1)[1..], [ResyncReason::Malformed]);
    // A ticker that cannot be read says nothing of the book; a symbol that was not asked for neither.
    let ticker = btc.ticker(btc.id, 0);
    rig.frame(&ticker[..ticker.len() - 1]);
    rig.frame(&ticker.replace("BTCUSDT", "XRPUSDT").replace("btcusdt", "xrpusdt"));
    rig.frame("nonsense");
    assert!(rig.is_shown(0));
    let faults = |fault: FrameFault| {
        rig.log
            .count(|e| matches!(e, FeedEvent::FrameRejected { reason } if *reason == fault))
    };
    assert_eq!(
        (faults(FrameFault::Malformed), faults(FrameFault::UnknownSymbol)),
        (3, 1)
    );
}

#[test]
fn frames_beyond_the_ceiling_restart_the_wait() {
    let mut market = Market::new("BTCUSDT");
    let config = SessionConfig {
        backlog_bytes: 64 << 10,
        ..SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT"])
    };
    let mut rig = Rig::open(&config);
    let mut kept = 0;
    while rig.log.count(|e| matches!(e, FeedEvent::BacklogOverflow { .. })) == 0 {
        rig.frame(&market.diff());
        kept += 1;
        assert!(kept < 1000);
    }
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    market.assert_shown(&rig, 0);
}

#[test]
fn what_is_not_about_a_market_is_told_as_what_it_is() {
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame("{\"result\":null,\"id\":1}");
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::Control));
    rig.frame("{\"error\":{\"code\":2,\"msg\":\"Invalid request\"},\"id\":1}");
    assert_eq!(
        rig.log.events.last(),
        Some(&FeedEvent::SubscriptionRefused { symbol: None })
    );
    assert!(rig.out.is_empty());
    rig.frame("{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1700000000000}}");
    assert_eq!(rig.log.events.last(), Some(&FeedEvent::ServerShutdown));
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::ServerShutdown));
    rig.out.clear();
    rig.wait_ms(61_000);
    rig.wait_ms(61_000);
    assert_eq!(
        rig.log.count(|e| matches!(e, FeedEvent::SubscriptionMute { .. })),
        1,
        "told once"
    );
}

#[test]
fn a_closed_connection_shows_nothing_and_starts_over() {
    let mut market = Market::new("BTCUSDT");
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.frame(&market.diff());
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    assert!(rig.is_shown(0));
    rig.wait_ms(31_000);
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Stale);
    rig.frame(&market.diff());
    assert_eq!(rig.session.quality(SymbolId(0)), Quality::Verified);
    rig.session.on_close(&mut rig.log);
    assert!(!rig.is_shown(0));
    rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
    market.diff();
    rig.out.clear();
    rig.frame(&market.diff());
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    rig.snapshot(0, Ok(&market.snapshot()));
    rig.frame(&market.diff());
    market.assert_shown(&rig, 0);
    assert_eq!(
        resyncs(&rig, 0),
        [ResyncReason::Start, ResyncReason::Disconnected, ResyncReason::Start]
    );
}

#[test]
fn paths_name_every_stream() {
    let rig = Rig::binance(&["BTCUSDT", "ETHUSDT"]);
    assert_eq!(
        rig.session.websocket_path(),
        "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker\
         /ethusdt@depth@100ms/ethusdt@trade/ethusdt@bookTicker"
    );
    assert_eq!(
        rig.session.rest_path(SymbolId(1)),
        Some("/api/v3/depth?symbol=ETHUSDT&limit=5000")
    );
    assert_eq!(rig.session.rest_path(SymbolId(2)), None);
    assert_eq!(
        rig.session
            .book(SymbolId(9))
            .map(|book| book.best(Side::Bid).map(|level| level.price)),
        None::<Option<Price>>
    );
}

#[test]
fn a_connection_without_a_word_is_opened_anew_sooner_where_its_silences_are_known() {
    let mut rig = Rig::binance(&["BTCUSDT"]);
    rig.wait_ms(179_000);
    assert_eq!(rig.out.reconnect(), None);
    rig.wait_ms(2_000);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));

    let (mut rig, mut btc) = (Rig::binance(&["BTCUSDT"]), Market::new("BTCUSDT"));
    for _ in 0..250 {
        rig.frame(&btc.trade());
        rig.wait_ms(20);
    }
    rig.out.clear();
    rig.wait_ms(14_000);
    assert_eq!(rig.out.reconnect(), None);
    rig.wait_ms(2_000);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
}

#[test]
fn ids_that_start_again_make_the_book_stale_and_then_fetched_anew() {
    let (mut rig, mut btc) = (Rig::binance(&["BTCUSDT"]), Market::new("BTCUSDT"));
    btc.id = 50_000;
    rig.frame(&btc.diff());
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.frame(&btc.diff());
    btc.assert_shown(&rig, 0);
    rig.out.clear();
    btc.id = 0;
    for second in 1..=92 {
        rig.frame(&btc.diff());
        rig.wait_ms(1_000);
        let expected = match second {
            0..=30 => Quality::Verified,
            31..=90 => Quality::Stale,
            _ => Quality::Resyncing,
        };
        assert_eq!(rig.session.quality(SymbolId(0)), expected, "after {second} s");
    }
    assert_eq!(resyncs(&rig, 0), [ResyncReason::Start, ResyncReason::Silent]);
    assert_eq!(
        rig.out.snapshot_requests().len(),
        1,
        "with the first diff that can wait"
    );
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.frame(&btc.diff());
    btc.assert_shown(&rig, 0);
}

#[test]
fn a_snapshot_of_before_the_ids_started_again_is_given_up() {
    let (mut rig, mut btc) = (Rig::binance(&["BTCUSDT"]), Market::new("BTCUSDT"));
    btc.id = 50_000;
    rig.frame(&btc.diff());
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.out.clear();
    // A quiet market is no reason to: the next diff may take its time.
    rig.wait_ms(16_000);
    assert_eq!(resyncs(&rig, 0), [ResyncReason::Start]);
    btc.id = 0;
    rig.frame(&btc.diff());
    rig.wait_ms(16_000);
    assert_eq!(resyncs(&rig, 0), [ResyncReason::Start, ResyncReason::Silent]);
    rig.frame(&btc.diff());
    assert_eq!(rig.out.snapshot_requests().len(), 1);
    rig.snapshot(0, Ok(&btc.snapshot()));
    rig.frame(&btc.diff());
    btc.assert_shown(&rig, 0);
}

#[test]
fn a_backlog_of_before_the_ids_started_again_does_not_wait_for_ever() {
    let (mut rig, mut btc) = (Rig::binance(&["BTCUSDT"]), Market::new("BTCUSDT"));
    btc.id = 50_000;
    rig.frame(&btc.diff());
    btc.id = 0;
    for _ in 0..10 {
        rig.frame(&btc.diff());
        let is_asked = !rig.out.snapshot_requests().is_empty();
        rig.out.clear();
        if is_asked {
            rig.snapshot(0, Ok(&btc.snapshot()));
        }
        rig.wait_ms(5_000);
    }
    btc.assert_shown(&rig, 0);
}
