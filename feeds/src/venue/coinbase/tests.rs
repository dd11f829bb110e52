//! The scanner against the slow road, the number of every frame, and frames of several books.

use proptest::prelude::*;

use super::{FACTS, Parser};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::message::{Kind, Message, Notice, ParseError, Print, Route};
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::wire::Wire;

type Roads = roads::Roads<Parser>;

const SCALE: Scale = Scale { price: 4, qty: 8 };
const SYMBOLS: [&str; 2] = ["BAND-GBP", "SKL-GBP"];

fn roads(scale: Scale) -> Roads {
    Roads::new(SYMBOLS, scale)
}

const UPDATE: &str = "{\"channel\":\"l2_data\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:51.660084123Z\",\
    \"sequence_num\":17,\"events\":[{\"type\":\"update\",\"product_id\":\"SKL-GBP\",\"updates\":[{\"side\":\"bid\",\
    \"event_time\":\"2026-08-02T03:35:51.6Z\",\"price_level\":\"0.5742\",\"new_quantity\":\"1029.5\"},{\"side\":\"offer\",\
    \"event_time\":\"2026-08-02T03:35:51.5Z\",\"price_level\":\"0.5743\",\"new_quantity\":\"0\"}]}]}";
const TRADES: &str = "{\"channel\":\"market_trades\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:51.7Z\",\
    \"sequence_num\":18,\"events\":[{\"type\":\"update\",\"trades\":[{\"trade_id\":\"280232\",\"product_id\":\"SKL-GBP\",\
    \"price\":\"0.5743\",\"size\":\"985\",\"side\":\"SELL\",\"time\":\"2026-08-02T03:35:51.089723Z\"},{\"product_id\":\
    \"BAND-GBP\",\"trade_id\":\"7\",\"price\":\"14.7\",\"size\":\"0.5\",\"time\":\"2026-08-02T03:35:51Z\",\"side\":\"BUY\"}]}]}";
const HEARTBEAT: &str = "{\"channel\":\"heartbeats\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:52Z\",\
    \"sequence_num\":19,\"events\":[{\"current_time\":\"2026-08-02 03:35:52.1 +0000 UTC m=+91717.5\",\
    \"heartbeat_counter\":\"3049\"}]}";
/// Both symbols, a stranger between them.
const SEVERAL: &str = "{\"channel\":\"l2_data\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:53Z\",\
    \"sequence_num\":20,\"events\":[{\"type\":\"update\",\"product_id\":\"SKL-GBP\",\"updates\":[{\"side\":\"bid\",\
    \"event_time\":\"x\",\"price_level\":\"0.5\",\"new_quantity\":\"1\"}]},{\"type\":\"update\",\"product_id\":\"ETH-USD\",\
    \"updates\":[]},{\"type\":\"snapshot\",\"product_id\":\"BAND-GBP\",\"updates\":[{\"side\":\"offer\",\
    \"event_time\":\"x\",\"price_level\":\"14.5\",\"new_quantity\":\"2\"}]}]}";

const FRAMES: &[&str] = &[UPDATE, TRADES];

#[test]
fn both_roads_agree_on_the_recording_and_the_scanner_reads_all_books_and_new_trades() {
    let Some(frames) = recorded("coinbase/reshaped_advanced_l2_data.jsonl.gz", usize::MAX) else {
        return;
    };
    let scale = Scale { price: 8, qty: 8 };
    let mut parser = Parser::new(SYMBOLS.into_iter());
    for (expected, frame) in (0..).zip(&frames) {
        let _ = parser.route(frame);
        assert_eq!(parser.sequence(), Some(expected), "whosever frame it is");
    }
    let mut roads = Roads::new(["SKL-GBP", "SKL-USD"], scale);
    let mut books = 0;
    for frame in &frames {
        let is_ours = [&b"SKL-GBP"[..], b"SKL-USD"]
            .iter()
            .any(|symbol| frame.windows(7).any(|window| window == *symbol));
        match roads.check(frame) {
            Ok(Message::Book(_)) => {
                books += 1;
                assert!(roads.is_hot(frame), "{}", String::from_utf8_lossy(frame));
            }
            Ok(Message::Trades { is_snapshot }) => assert_eq!(roads.is_hot(frame), !is_snapshot),
            Ok(Message::Notice(notice)) => assert_eq!(notice, Notice::Control),
            other => assert!(!is_ours && other == Err(ParseError::UnknownSymbol), "{other:?}"),
        }
    }
    assert!(books > 1_000, "{books}");
}

#[test]
fn sides_are_bid_and_offer_and_zero_deletes() {
    let mut roads = roads(SCALE);
    let Ok(Message::Book(book)) = roads.check(UPDATE.as_bytes()) else {
        panic!("a book")
    };
    assert_eq!((book.symbol, book.is_snapshot), (SymbolId(1), false));
    assert_eq!(book.exchange_time, Some(UnixNanos(1_785_641_751_660_084_123)));
    let change = |side, price, qty| LevelChange {
        side,
        price: Price(price),
        qty: Qty(qty),
    };
    assert_eq!(
        roads.changes,
        [change(Side::Bid, 5742, 102_950_000_000), change(Side::Ask, 5743, 0)]
    );
    for other in ["ask", "buy", "BID", ""] {
        let frame = UPDATE.replace("\"offer\"", &format!("\"{other}\""));
        assert_eq!(roads.check(frame.as_bytes()), Err(ParseError::Malformed), "{other}");
    }
}

#[test]
fn the_side_of_a_trade_is_the_makers_and_the_order_of_its_fields_is_free() {
    let mut roads = roads(SCALE);
    assert_eq!(
        roads.check(TRADES.as_bytes()),
        Ok(Message::Trades { is_snapshot: false })
    );
    let told = |print: &Print| {
        (
            print.symbol.0,
            print.trade_id,
            print.price.0,
            print.qty.0,
            print.aggressor,
        )
    };
    assert_eq!(told(&roads.prints[0]), (1, 280_232, 5_743, 98_500_000_000, Side::Bid));
    assert_eq!(told(&roads.prints[1]), (0, 7, 147_000, 50_000_000, Side::Ask));
    let past = TRADES.replace("\"update\"", "\"snapshot\"");
    assert_eq!(roads.check(past.as_bytes()), Ok(Message::Trades { is_snapshot: true }));
}

#[test]
fn every_frame_gives_its_number_whatever_it_is() {
    let mut parser = Parser::new(SYMBOLS.into_iter());
    let mut check = |frame: &str, expected: Option<u64>| {
        let _ = parser.route(frame.as_bytes());
        assert_eq!(parser.sequence(), expected, "{frame}");
    };
    check(UPDATE, Some(17));
    check(TRADES, Some(18));
    check(HEARTBEAT, Some(19));
    check(SEVERAL, Some(20));
    // A product that was not asked for, a damaged event, another order of the keys, a channel that nobody knows.
    check(&UPDATE.replace("SKL-GBP", "ETH-USD"), Some(17));
    check(&UPDATE[..UPDATE.len() - 9], Some(17));
    check("{\"sequence_num\":5,\"channel\":\"l2_data\",\"events\":[]}", Some(5));
    check("{ \"channel\":\"new_thing\", \"sequence_num\":6}", Some(6));
    // Not numbered, or not readable: the number of the frame before it must not stay.
    check(
        "{\"type\":\"error\",\"message\":\"subscribe or unsubscribe required\"}",
        None,
    );
    check("{\"channel\":\"l2_data\",\"client_id\":\"\",\"timest", None);
}

#[test]
fn a_frame_of_several_books_is_read_part_by_part() {
    let mut parser = Parser::new(SYMBOLS.into_iter());
    for symbol in [SymbolId(0), SymbolId(1)] {
        assert!(parser.set_scale(symbol, SCALE));
    }
    let (mut changes, mut prints) = (Vec::new(), Vec::new());
    let Ok(Route::Market(first)) = parser.route(SEVERAL.as_bytes()) else {
        panic!("a market")
    };
    assert_eq!(
        (first.symbol, first.kind, first.has_more),
        (SymbolId(1), Kind::Update, true)
    );
    assert!(matches!(
        parser.read(SEVERAL.as_bytes(), &first, &mut changes, &mut prints),
        Ok(Message::Book(book)) if !book.is_snapshot
    ));
    assert_eq!((changes.len(), changes[0].price), (1, Price(5_000)));
    let second = parser
        .part_behind(SEVERAL.as_bytes(), first.part)
        .expect("another book");
    assert_eq!(
        (second.symbol, second.kind, second.has_more),
        (SymbolId(0), Kind::Snapshot, false)
    );
    assert!(matches!(
        parser.read(SEVERAL.as_bytes(), &second, &mut changes, &mut prints),
        Ok(Message::Book(book)) if book.is_snapshot
    ));
    assert_eq!((changes.len(), changes[0].price), (1, Price(145_000)));
    assert_eq!(parser.part_behind(SEVERAL.as_bytes(), second.part), None);

    // One book: nothing behind it, whether it was read or passed over.
    let Ok(Route::Market(only)) = parser.route(UPDATE.as_bytes()) else {
        panic!("a market")
    };
    assert_eq!(parser.part_behind(UPDATE.as_bytes(), only.part), None);
    parser
        .read(UPDATE.as_bytes(), &only, &mut changes, &mut prints)
        .unwrap();
    assert_eq!(parser.part_behind(UPDATE.as_bytes(), only.part), None);

    // Where one event does not say whose it is, it may be anybody's.
    for (whole, damaged, is_hidden) in [
        ("\"snapshot\"", "\"snap\"", true),
        ("\"BAND-GBP\"", "7", true),
        ("\"14.5\"", "\"x\"", false),
        ("\"updates\":[]", "\"updates\":0", false), // of a stranger
    ] {
        let frame = SEVERAL.replace(whole, damaged);
        let Ok(Route::Market(first)) = parser.route(frame.as_bytes()) else {
            panic!("its first event is whole: {frame}")
        };
        let read = parser.read(frame.as_bytes(), &first, &mut changes, &mut prints);
        assert_eq!(read.is_err(), is_hidden, "{frame}");
        let second = parser.part_behind(frame.as_bytes(), first.part);
        assert_eq!(
            (second.is_none(), parser.has_hidden_parts()),
            (is_hidden, is_hidden),
            "{frame}"
        );
    }
    // A damaged frame of one product hides nothing.
    let frame = &UPDATE.as_bytes()[..UPDATE.len() - 9];
    assert!(parser.route(frame).is_ok());
    assert!(parser.read(frame, &only, &mut changes, &mut prints).is_err());
    assert_eq!((parser.part_behind(frame, 0), parser.has_hidden_parts()), (None, false));
}

#[test]
fn a_refusal_is_of_the_product_that_it_names() {
    let mut roads = roads(SCALE);
    for (text, symbol) in [
        ("SKL-GBP is not a valid product", Some(SymbolId(1))),
        ("invalid: BAND-GBP,ETH-USD", Some(SymbolId(0))),
        ("SKL-GBPX is not a valid product", None),
        ("subscribe or unsubscribe required", None),
    ] {
        for key in ["message", "reason"] {
            let frame = format!("{{\"type\":\"error\",\"{key}\":\"{text}\"}}");
            let Ok(Message::Notice(Notice::Answer(answer))) = roads.check(frame.as_bytes()) else {
                panic!("{frame}")
            };
            assert_eq!(
                (answer.to_subscribe, answer.success, answer.symbol),
                (true, false, symbol)
            );
        }
    }
}

#[test]
fn a_product_that_comes_back_under_another_name_is_refused() {
    assert!((FACTS.is_symbol)("BTC-USD"));
    assert!((FACTS.is_symbol)("USDC-EUR"));
    assert!(!(FACTS.is_symbol)("BTC-USDC"));
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    for frame in FRAMES {
        roads(SCALE).check_every_edit(frame);
    }
}

fn level() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec!["bid", "offer"]),
        prop::sample::select(vec!["2026-08-02T03:35:51.660084Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]),
        "(0|[1-9][0-9]{0,8})(\\.[0-9]{1,4})?",
        "(0|[1-9][0-9]{0,5})(\\.[0-9]{1,8})?",
    )
        .prop_map(|(side, time, price, qty)| {
            format!(
                "{{\"side\":\"{side}\",\"event_time\":\"{time}\",\"price_level\":\"{price}\",\"new_quantity\":\"{qty}\"}}"
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_roads_agree_on_generated_books(
        levels in proptest::collection::vec(level(), 0..24),
        sequence: u64,
        kind in prop::sample::select(vec!["update", "snapshot"]),
        scale in (0_u8..=9, 0_u8..=9),
    ) {
        let frame = format!(
            "{{\"channel\":\"l2_data\",\"client_id\":\"\",\"timestamp\":\"2026-08-02T03:35:51.660084123Z\",\
             \"sequence_num\":{sequence},\"events\":[{{\"type\":\"{kind}\",\"product_id\":\"SKL-GBP\",\"updates\":[{}]}}]}}",
            levels.join(",")
        );
        let scale = Scale { price: scale.0, qty: scale.1 };
        let mut roads = roads(scale);
        let read = roads.check(frame.as_bytes());
        if scale.price >= 4 && scale.qty >= 8 {
            prop_assert!(read.is_ok());
            prop_assert!(roads.is_hot(frame.as_bytes()));
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads(SCALE).check(&mutant);
    }
}
