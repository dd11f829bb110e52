//! The scanner against the slow road, and what a trade's id becomes.

use proptest::prelude::*;

use super::scan::trade_id;
use super::{Parser, Standing, Verdict};
use crate::types::{Scale, Side, SymbolId, UnixNanos, VenueId};
use crate::venue::SessionConfig;
use crate::venue::message::{BookMessage, Message, Notice, ParseError};
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::rules::Rules;
use crate::venue::symbols::SymbolTable;
use crate::venue::wire::Wire;

type Roads = roads::Roads<Parser>;

fn roads() -> Roads {
    Roads::new(SYMBOLS, SCALE)
}

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
const SCALE: Scale = Scale { price: 2, qty: 6 };

const LINEAR_DELTA: &str = "{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"delta\",\"ts\":1758845431663,\"data\":{\"s\":\"BTCUSDT\",\
    \"b\":[[\"109147.80\",\"1.687\"],[\"109144.10\",\"0\"]],\"a\":[[\"109148.00\",\"0.027\"]],\"u\":21111423,\
    \"seq\":457538796406},\"cts\":1758845431662}";
const SPOT_DELTA: &str = "{\"topic\":\"orderbook.200.ETHUSDT\",\"ts\":1731035685345,\"type\":\"delta\",\"data\":{\"s\":\"ETHUSDT\",\
    \"b\":[[\"75848.62\",\"0.014895\"],[\"75837.1\",\"0\"]],\"a\":[],\"u\":2876701,\"seq\":47474967823},\"cts\":1731035685342}";
const SNAPSHOT: &str = "{\"topic\":\"orderbook.1.BTCUSDT\",\"type\":\"snapshot\",\"ts\":1758841134603,\"data\":{\"s\":\"BTCUSDT\",\
    \"b\":[[\"109378.80\",\"1.273\"]],\"a\":[[\"109378.90\",\"6.278\"]],\"u\":14869255,\"seq\":457514742271},\
    \"cts\":1758841134598}";
const LINEAR_TRADES: &str = "{\"topic\":\"publicTrade.BTCUSDT\",\"type\":\"snapshot\",\"ts\":1774021164273,\"data\":[\
    {\"T\":1774021164272,\"s\":\"BTCUSDT\",\"S\":\"Sell\",\"v\":\"0.001\",\"p\":\"69916.80\",\"L\":\"MinusTick\",\
    \"i\":\"8c931d9a-b703-5c34-9aeb-860867cf1f66\",\"BT\":false,\"RPI\":false,\"seq\":549792210006},\
    {\"T\":1774021164272,\"s\":\"BTCUSDT\",\"S\":\"Buy\",\"v\":\"2\",\"p\":\"69916.90\",\"L\":\"ZeroPlusTick\",\
    \"i\":\"307fb58f-09dc-5121-b24f-eb2f81873445\",\"BT\":true}]}";
const SPOT_TRADES: &str = "{\"topic\":\"publicTrade.BTCUSDT\",\"ts\":1761520812165,\"type\":\"snapshot\",\"data\":[\
    {\"i\":\"2290000000970262966\",\"T\":1761520812163,\"p\":\"114513.1\",\"v\":\"0.00862\",\"S\":\"Sell\",\"seq\":111156121170,\
    \"s\":\"BTCUSDT\",\"BT\":false,\"RPI\":true},{\"i\":\"2290000000970262967\",\"T\":1761520812164,\"p\":\"114513\",\
    \"v\":\"0.05548\",\"S\":\"Buy\",\"s\":\"BTCUSDT\",\"BT\":false}]}";

const FRAMES: &[&str] = &[LINEAR_DELTA, SPOT_DELTA, SNAPSHOT, LINEAR_TRADES, SPOT_TRADES];

#[test]
fn the_scanner_reads_both_orders_of_keys() {
    for frame in FRAMES {
        let mut roads = roads();
        roads.check(frame.as_bytes()).unwrap();
        assert!(roads.is_hot(frame.as_bytes()), "{frame}");
    }
}

#[test]
fn both_roads_agree_on_the_recording_and_the_scanner_reads_all_markets() {
    let Some(frames) = recorded("bybit/reshaped_v5_orderbook50.jsonl.gz", usize::MAX) else {
        return;
    };
    let mut roads = Roads::new(["BTCUSDT", "ADAUSDT"], Scale { price: 4, qty: 8 });
    let mut markets = 0;
    for frame in &frames {
        // All its symbols in turn, under one name.
        let text = String::from_utf8(frame.clone()).unwrap();
        let text = match text.strip_prefix("{\"topic\":\"").and_then(|rest| rest.split_once('"')) {
            Some((topic, _)) => text.replace(topic.rsplit('.').next().unwrap(), "BTCUSDT"),
            None => text,
        };
        let message = roads.check(text.as_bytes()).unwrap();
        let is_market = !matches!(message, Message::Notice(_));
        assert_eq!(roads.is_hot(text.as_bytes()), is_market, "{text}");
        markets += usize::from(is_market);
    }
    assert_eq!((frames.len(), markets), (3_342, 3_326));
}

#[test]
fn what_a_frame_says_is_read() {
    let mut roads = roads();
    let Message::Book(book) = roads.check(SPOT_DELTA.as_bytes()).unwrap() else {
        panic!("a delta is about a book");
    };
    assert_eq!(
        (book.symbol, book.is_snapshot, book.last_id),
        (SymbolId(1), false, 2_876_701)
    );
    // The matching engine's time, not the message's.
    assert_eq!(book.exchange_time, Some(UnixNanos(1_731_035_685_342_000_000)));
    let levels: Vec<_> = roads
        .changes
        .iter()
        .map(|level| (level.side, level.price.0, level.qty.0))
        .collect();
    assert_eq!(levels, [(Side::Bid, 7_584_862, 14_895), (Side::Bid, 7_583_710, 0)]);
    let without = SPOT_DELTA.replace(",\"cts\":1731035685342", "");
    let Message::Book(book) = roads.check(without.as_bytes()).unwrap() else {
        panic!("a delta is about a book");
    };
    assert_eq!(book.exchange_time, Some(UnixNanos(1_731_035_685_345_000_000)));

    let mut told = |frame: &str| {
        roads.check(frame.as_bytes()).unwrap();
        let print = |print: &crate::venue::message::Print| {
            (
                print.trade_id,
                print.price.0,
                print.qty.0,
                print.aggressor,
                print.exchange_time.0 / 1_000_000,
            )
        };
        roads.prints.iter().map(print).collect::<Vec<_>>()
    };
    assert_eq!(
        told(LINEAR_TRADES),
        [
            (0x8c93_1d9a_b703_5c34, 6_991_680, 1_000, Side::Ask, 1_774_021_164_272),
            (
                0x307f_b58f_09dc_5121,
                6_991_690,
                2_000_000,
                Side::Bid,
                1_774_021_164_272
            ),
        ]
    );
    assert_eq!(
        told(SPOT_TRADES),
        [
            (
                2_290_000_000_970_262_966,
                11_451_310,
                8_620,
                Side::Ask,
                1_761_520_812_163
            ),
            (
                2_290_000_000_970_262_967,
                11_451_300,
                55_480,
                Side::Bid,
                1_761_520_812_164
            ),
        ]
    );
}

#[test]
fn a_trade_id_is_a_number_or_the_front_of_a_uuid() {
    assert_eq!(trade_id(b"2290000000970262966"), Some((2_290_000_000_970_262_966, 19)));
    assert_eq!(
        trade_id(b"00000000-0000-00ff-8000-0123456789ab"),
        Some((0xff, 36)),
        "the last digits do not count, but have to be digits"
    );
    for broken in [
        "",
        "x",
        "99999999999999999999",
        "8c931d9a-b703-5c34-9aeb-860867cf1f6g",
        "8c931d9a-b7035-c34-9aeb-860867cf1f66",
        "8c931d9a-b703-5c34-9aeb1860867cf1f66",
        "8c931d9a-b703-5c34-9aeb-86086-cf1f66",
        "8C931D9A-b703-5c34-9aeb-860867cf1f66",
    ] {
        let read = trade_id(broken.as_bytes());
        assert!(read.is_none_or(|(_, len)| len < broken.len()), "{broken}");
    }
}

#[test]
fn other_shapes_are_handed_over_and_read() {
    let mut roads = roads();
    for frame in FRAMES {
        let expected = roads.check(frame.as_bytes()).unwrap();
        let (changes, prints) = (roads.changes.clone(), roads.prints.clone());
        for other in [
            frame.replace(',', ", "),
            frame.replace("USDT\"", "USD\\u0054\""),
            frame.replacen("\"data\":", "\"new\":[{}],\"data\":", 1),
            format!(" {frame}\t"),
        ] {
            assert!(!roads.is_hot(other.as_bytes()), "{other}");
            assert_eq!(roads.check(other.as_bytes()), Ok(expected), "{other}");
            assert_eq!((&roads.changes, &roads.prints), (&changes, &prints), "{other}");
        }
    }
    let mut refused =
        |frame: String, error: ParseError| assert_eq!(roads.check(frame.as_bytes()), Err(error), "{frame}");
    refused(LINEAR_DELTA.replace("BTCUSDT", "XRPUSDT"), ParseError::UnknownSymbol);
    refused(LINEAR_TRADES.replace("BTCUSDT", "XRPUSDT"), ParseError::UnknownSymbol);
    // The payload is of another symbol than the topic.
    refused(
        LINEAR_DELTA.replace("\"s\":\"BTCUSDT\"", "\"s\":\"ETHUSDT\""),
        ParseError::Malformed,
    );
    refused(
        SPOT_TRADES.replace("\"s\":\"BTCUSDT\"", "\"s\":\"ETHUSDT\""),
        ParseError::Malformed,
    );
    refused(
        LINEAR_DELTA.replace("orderbook.50.", "orderbook.25."),
        ParseError::Malformed,
    );
    refused(LINEAR_DELTA.replace("\"delta\"", "\"patch\""), ParseError::Malformed);
    refused(SPOT_TRADES.replace("\"snapshot\"", "\"delta\""), ParseError::Malformed);
    refused(SPOT_TRADES.replace("\"Buy\"", "\"buy\""), ParseError::Malformed);
    refused(LINEAR_DELTA.replace("\"u\":21111423,", ""), ParseError::Malformed);
    refused(LINEAR_DELTA.replace("21111423", "\"21111423\""), ParseError::Malformed);
    refused(
        LINEAR_DELTA.replace("\"a\":[", "\"a\":[],\"a\":["),
        ParseError::Malformed,
    );
    refused(LINEAR_DELTA.replace("1.687", "1.6870001"), ParseError::FinerThanScale);
    refused(LINEAR_TRADES.replace("0.001", "0.0000001"), ParseError::FinerThanScale);
    refused(
        LINEAR_DELTA.replace("109147.80", "99999999999999999999"),
        ParseError::NumberOutOfRange,
    );
    refused(
        LINEAR_DELTA.replace("1758845431662", "17588454316620000000"),
        ParseError::NumberOutOfRange,
    );
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    for frame in FRAMES {
        roads().check_every_edit(frame);
    }
}

/// A refusal is visible in its answer alone, and the answer says what it is about by our own `req_id`.
#[test]
fn an_answer_is_of_the_topic_that_asked() {
    let mut roads = roads();
    let mut answer = |frame: &str| match roads.check(frame.as_bytes()) {
        Ok(Message::Notice(Notice::Answer(answer))) => {
            Some((answer.symbol.map(|symbol| symbol.0), answer.about_book, answer.success))
        }
        Ok(Message::Notice(Notice::Control)) => None,
        other => panic!("{other:?} of {frame}"),
    };
    let say = |success: bool, text: &str, id: &str, op: &str| {
        format!(
            "{{\"success\":{success},\"ret_msg\":\"{text}\",\"conn_id\":\"d9avt13c\",\"req_id\":\"{id}\",\"op\":\"{op}\"}}"
        )
    };
    assert_eq!(
        answer(&say(true, "", "orderbook.50.ETHUSDT", "subscribe")),
        Some((Some(1), true, true))
    );
    assert_eq!(
        answer(&say(true, "subscribe", "publicTrade.BTCUSDT", "subscribe")),
        Some((Some(0), false, true))
    );
    let not_found = "error:handler not found,topic:orderbook.50.ETHUSDT";
    for id in ["orderbook.50.ETHUSDT", ""] {
        assert_eq!(
            answer(&say(false, not_found, id, "subscribe")),
            Some((Some(1), true, false))
        );
    }
    assert_eq!(
        answer(&say(false, "args size >10", "17", "subscribe")),
        Some((None, false, false))
    );
    assert_eq!(
        answer(&say(
            false,
            "error:already subscribed,topic:orderbook.50.ETHUSDT",
            "",
            "subscribe"
        )),
        Some((Some(1), true, true)),
        "that is what was wanted"
    );
    for control in [
        say(true, "unsubscribe", "orderbook.50.ETHUSDT", "unsubscribe"),
        say(true, "pong", "", "ping"),
        "{\"success\":true,\"ret_msg\":\"pong\",\"op\":\"ping\"}".to_owned(),
        "{\"op\":\"pong\",\"args\":[\"1692090000000\"]}".to_owned(),
    ] {
        assert_eq!(answer(&control), None, "{control}");
    }
}

#[test]
fn an_id_goes_up_by_one_or_something_is_missing() {
    let rules = super::Bybit::new(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT"]), &[]);
    let judge = |last_id: u64, id: u64| {
        let delta = BookMessage {
            symbol: SymbolId(0),
            is_snapshot: false,
            first_id: id,
            last_id: id,
            previous_id: None,
            checksum: None,
            exchange_time: None,
        };
        let standing = Standing {
            last_id,
            is_held: false,
        };
        rules.judge(standing, &delta)
    };
    assert_eq!(judge(7, 8), Verdict::Continues);
    assert_eq!(judge(7, 7), Verdict::Contained);
    for got in [0, 1, 6, 9, u64::MAX] {
        assert_eq!(judge(7, got), Verdict::Gap { expected: 8, got });
    }
    assert_eq!(judge(u64::MAX, u64::MAX), Verdict::Continues, "no overflow");
}

#[test]
fn broken_json_still_names_its_symbol() {
    let parser = Parser::new(SYMBOLS.into_iter());
    for frame in FRAMES {
        let cut = &frame[..frame.find("data").unwrap()];
        let symbols = SymbolTable::new(SYMBOLS.into_iter());
        let symbol = symbols
            .iter()
            .find(|(_, name)| frame.contains(std::str::from_utf8(name).unwrap()));
        assert_eq!(
            parser.symbol_in_wreckage(cut.as_bytes()),
            symbol.map(|(symbol, _)| symbol),
            "{cut}"
        );
    }
    assert_eq!(parser.symbol_in_wreckage(b"{\"topic\":\"orderbook.50.BTCUSD"), None);
}

fn level() -> impl Strategy<Value = String> {
    (
        "(0|[1-9][0-9]{0,6})(\\.[0-9]{1,2})?",
        "(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?",
    )
        .prop_map(|(price, qty)| format!("[\"{price}\",\"{qty}\"]"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_roads_agree_on_generated_books(
        bids in proptest::collection::vec(level(), 0..12),
        asks in proptest::collection::vec(level(), 0..12),
        ids in (0_u64..1 << 53, any::<u64>(), 0_u64..1 << 42),
        depth in prop::sample::select(vec![1, 50, 200, 1000]),
        is_snapshot: bool,
        is_spot: bool,
        scale in (0_u8..=9, 0_u8..=9),
    ) {
        let kind = if is_snapshot { "snapshot" } else { "delta" };
        let (kind, ts) = (format!("\"type\":\"{kind}\""), format!("\"ts\":{}", ids.2));
        let (first, second) = if is_spot { (ts, kind) } else { (kind, ts) };
        let frame = format!(
            "{{\"topic\":\"orderbook.{depth}.ETHUSDT\",{first},{second},\"data\":{{\"s\":\"ETHUSDT\",\"b\":[{}],\"a\":[{}],\
             \"u\":{},\"seq\":{}}},\"cts\":{}}}",
            bids.join(","), asks.join(","), ids.0, ids.1, ids.2
        );
        let scale = Scale { price: scale.0, qty: scale.1 };
        let mut roads = Roads::new(SYMBOLS, scale);
        let read = roads.check(frame.as_bytes());
        if scale.price >= 2 && scale.qty >= 6 {
            prop_assert!(read.is_ok());
            prop_assert!(roads.is_hot(frame.as_bytes()));
            prop_assert_eq!(roads.changes.len(), bids.len() + asks.len());
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads().check(&mutant);
    }
}
