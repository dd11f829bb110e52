//! The scanner against the slow road.

use proptest::prelude::*;

use super::Parser;
use crate::types::{Price, Scale, Side, SymbolId};
use crate::venue::message::{Message, Notice, ParseError};
use crate::venue::roads::{self, mutants, recorded};

type Roads = roads::Roads<Parser>;

const SCALE: Scale = Scale { price: 8, qty: 8 };
const SYMBOLS: [&str; 2] = ["SKL-BTC", "SKL-USD"];

fn roads(scale: Scale) -> Roads {
    Roads::new(SYMBOLS, scale)
}

const UPDATE: &str = "{\"type\":\"l2update\",\"product_id\":\"SKL-BTC\",\"changes\":[[\"sell\",\"0.00001306\",\"660.5\"],\
    [\"buy\",\"0.00001304\",\"0.00000000\"]],\"time\":\"2021-04-17T16:43:37.075687Z\"}";
const SNAPSHOT: &str = "{\"type\":\"snapshot\",\"product_id\":\"SKL-USD\",\"asks\":[[\"0.7923\",\"7441.5\"],[\"0.7930\",\
    \"1.0\"]],\"bids\":[[\"0.7910\",\"2.25\"]]}";
const BIDS_FIRST: &str = "{\"type\":\"snapshot\",\"product_id\":\"SKL-USD\",\"bids\":[[\"0.7910\",\"2.25\"]],\"asks\":\
    [[\"0.7923\",\"7441.5\"],[\"0.7930\",\"1.0\"]],\"time\":\"2026-08-17T16:43:37.07Z\"}";
const TRADE: &str = "{\"type\":\"match\",\"trade_id\":1568268,\"maker_order_id\":\"cac01d6d-8009-4c33-8e0d-f7f853d7c1bc\",\
    \"taker_order_id\":\"dead64e4-f6ad-4ca8-ad3f-e5b1a0eb0d06\",\"side\":\"sell\",\"size\":\"450\",\"price\":\"0.791\",\
    \"product_id\":\"SKL-USD\",\"sequence\":201390075,\"time\":\"2021-04-17T16:43:37.121358Z\"}";

const FRAMES: &[&str] = &[UPDATE, SNAPSHOT, BIDS_FIRST, TRADE];

#[test]
fn both_roads_agree_on_the_recording_and_the_scanner_reads_all_books_and_new_trades() {
    let name = "coinbase/coinbase_exchange_level2_10pairs_20210417.jsonl.gz";
    let Some(frames) = recorded(name, usize::MAX) else {
        return;
    };
    let mut roads = roads(SCALE);
    let (mut books, mut trades) = (0, 0);
    for frame in &frames {
        match roads.check(frame) {
            Ok(Message::Book(_)) => {
                books += 1;
                assert!(roads.is_hot(frame), "{}", String::from_utf8_lossy(frame));
            }
            Ok(Message::Trades { is_snapshot }) => {
                trades += 1;
                assert_eq!(roads.is_hot(frame), !is_snapshot);
            }
            Ok(Message::Notice(notice)) => assert_eq!(notice, Notice::Control),
            other => assert_eq!(other, Err(ParseError::UnknownSymbol)),
        }
    }
    assert!(books > 2_000 && trades > 10, "{books} {trades}");
}

#[test]
fn snapshots_are_the_same_with_either_side_first() {
    let mut roads = roads(SCALE);
    let Ok(Message::Book(book)) = roads.check(SNAPSHOT.as_bytes()) else {
        panic!("a book")
    };
    assert_eq!(
        (book.symbol, book.is_snapshot, book.exchange_time),
        (SymbolId(1), true, None)
    );
    let changes = roads.changes.clone();
    assert_eq!(
        (changes.len(), changes[0].side, changes[0].price),
        (3, Side::Bid, Price(79_100_000))
    );
    let Ok(Message::Book(book)) = roads.check(BIDS_FIRST.as_bytes()) else {
        panic!("a book")
    };
    assert!(book.exchange_time.is_some());
    assert_eq!(roads.changes, changes);
}

#[test]
fn the_side_of_a_match_is_the_makers() {
    let mut roads = roads(SCALE);
    for (side, aggressor) in [("sell", Side::Bid), ("buy", Side::Ask)] {
        let frame = TRADE.replace("\"sell\"", &format!("\"{side}\""));
        assert_eq!(
            roads.check(frame.as_bytes()),
            Ok(Message::Trades { is_snapshot: false })
        );
        assert_eq!(
            (roads.prints[0].trade_id, roads.prints[0].aggressor),
            (1_568_268, aggressor)
        );
    }
    let past = TRADE.replace("\"match\"", "\"last_match\"");
    assert_eq!(roads.check(past.as_bytes()), Ok(Message::Trades { is_snapshot: true }));
}

#[test]
fn a_refusal_is_of_the_product_that_it_names() {
    let frame =
        b"{\"type\":\"error\",\"message\":\"Failed to subscribe\",\"reason\":\"SKL-USD is not a valid product\"}";
    let Ok(Message::Notice(Notice::Answer(answer))) = roads(SCALE).check(frame) else {
        panic!("an answer")
    };
    assert_eq!((answer.success, answer.symbol), (false, Some(SymbolId(1))));
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    for frame in FRAMES {
        roads(SCALE).check_every_edit(frame);
    }
}

fn pair() -> impl Strategy<Value = (String, String)> {
    (
        "(0|[1-9][0-9]{0,8})(\\.[0-9]{1,4})?",
        "(0|[1-9][0-9]{0,5})(\\.[0-9]{1,8})?",
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_roads_agree_on_generated_books(
        bids in proptest::collection::vec(pair(), 0..12),
        asks in proptest::collection::vec(pair(), 0..12),
        is_update: bool,
        scale in (0_u8..=9, 0_u8..=9),
    ) {
        let list = |open: &str, pairs: &[(String, String)]| {
            let pairs: Vec<String> = pairs.iter().map(|(price, qty)| format!("{open}\"{price}\",\"{qty}\"]")).collect();
            pairs.join(",")
        };
        let frame = if is_update {
            let changes = [list("[\"buy\",", &bids), list("[\"sell\",", &asks)];
            let changes: Vec<&str> = changes.iter().map(String::as_str).filter(|list| !list.is_empty()).collect();
            let changes = changes.join(",");
            format!(
                "{{\"type\":\"l2update\",\"product_id\":\"SKL-USD\",\"changes\":[{changes}],\
                 \"time\":\"2021-04-17T16:43:37.075687Z\"}}"
            )
        } else {
            let (bids, asks) = (list("[", &bids), list("[", &asks));
            format!("{{\"type\":\"snapshot\",\"product_id\":\"SKL-USD\",\"asks\":[{asks}],\"bids\":[{bids}]}}")
        };
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
