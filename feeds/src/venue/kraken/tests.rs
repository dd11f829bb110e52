//! The scanner against the slow road, and the rule of cutting back against a client that forgets it.

use proptest::prelude::*;

use super::{Checksum, Parser};
use crate::book::Book;
use crate::types::{Scale, Side, SymbolId};
use crate::venue::message::Message;
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::wire::Wire;

type Roads = roads::Roads<Parser>;

fn roads(scale: Scale) -> Roads {
    Roads::new(SYMBOLS, scale)
}

const SCALE: Scale = Scale { price: 1, qty: 8 };
const SYMBOLS: [&str; 2] = ["BTC/USD", "ETH/USD"];

const UPDATE: &str = "{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"bids\":\
    [{\"price\":63381.0,\"qty\":0.00000000},{\"price\":63376.4,\"qty\":0.00005100}],\"asks\":[],\"checksum\":3726153463,\
    \"timestamp\":\"2026-08-02T03:35:51.660084Z\"}]}";
const TRADES: &str = "{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"side\":\"sell\",\
    \"price\":63381.0,\"qty\":40.0,\"ord_type\":\"market\",\"trade_id\":4665906,\"timestamp\":\"2023-09-25T07:49:37.708706Z\"},\
    {\"symbol\":\"ETH/USD\",\"side\":\"buy\",\"price\":3381.0,\"qty\":0.5,\"ord_type\":\"limit\",\"trade_id\":7,\
    \"timestamp\":\"2023-09-25T07:49:37.7Z\"}]}";

const FRAMES: &[&str] = &[UPDATE, TRADES];

#[test]
fn both_roads_agree_on_the_recordings_and_the_scanner_reads_all_books() {
    for name in [
        "kraken/kraken_v2_btcusd_l2.jsonl.gz",
        "kraken/kraken_v2_btcusd_sample.jsonl.gz",
    ] {
        let Some(frames) = recorded(name, usize::MAX) else {
            return;
        };
        let mut roads = roads(SCALE);
        for frame in &frames {
            let message = roads.check(frame).unwrap();
            assert_eq!(
                roads.is_hot(frame),
                matches!(message, Message::Book(_)),
                "{}",
                String::from_utf8_lossy(frame)
            );
        }
    }
}

/// Found by fuzzing: trades of the message before a heartbeat were still in the buffer behind it.
#[test]
fn a_message_about_no_market_leaves_the_buffers_empty() {
    for control in [
        "{\"channel\":\"heartbeat\"}",
        "{\"channel\":\"trade\",\"type\":\"update\",\"data\":[]}",
    ] {
        let mut roads = roads(SCALE);
        roads.check(TRADES.as_bytes()).unwrap();
        assert_eq!(roads.prints.len(), 2);
        roads.check(control.as_bytes()).unwrap();
        assert!(roads.prints.is_empty() && roads.changes.is_empty());
    }
}

#[test]
fn a_client_that_never_cuts_back_fails_nine_checksums_in_ten() {
    let Some(frames) = recorded("kraken/kraken_v2_btcusd_sample.jsonl.gz", usize::MAX) else {
        return;
    };
    let holds = |depth: usize| {
        let mut parser = Parser::new(SYMBOLS.into_iter());
        parser.set_scale(SymbolId(0), SCALE);
        let (mut changes, mut prints) = (Vec::new(), Vec::new());
        let (mut book, mut checksum, mut count) = (Book::new(), Checksum::default(), 0);
        for frame in &frames {
            if let Ok(Message::Book(message)) = parser.parse(frame, &mut changes, &mut prints) {
                if message.is_snapshot {
                    book.clear();
                }
                for change in &changes {
                    book.set(change.side, change.price, change.qty);
                }
                for side in [Side::Bid, Side::Ask] {
                    book.truncate(side, depth);
                }
                count += usize::from(Some(checksum.of(&book)) == message.checksum);
            }
        }
        count
    };
    assert_eq!(holds(25), 2_052);
    assert_eq!(holds(usize::MAX), 220);
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    for frame in FRAMES {
        roads(SCALE).check_every_edit(frame);
    }
}

fn level() -> impl Strategy<Value = String> {
    ("(0|[1-9][0-9]{0,8})\\.[0-9]", "(0|[1-9][0-9]{0,5})(\\.[0-9]{1,8})?")
        .prop_map(|(price, qty)| format!("{{\"price\":{price},\"qty\":{qty}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_roads_agree_on_generated_books(
        bids in proptest::collection::vec(level(), 0..12),
        asks in proptest::collection::vec(level(), 0..12),
        checksum: u32,
        kind in prop::sample::select(vec!["update", "snapshot"]),
        scale in (0_u8..=9, 0_u8..=9),
    ) {
        let frame = format!(
            "{{\"channel\":\"book\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"ETH/USD\",\"bids\":[{}],\"asks\":[{}],\
             \"checksum\":{checksum},\"timestamp\":\"2026-08-02T03:35:51.660084Z\"}}]}}",
            bids.join(","), asks.join(",")
        );
        let scale = Scale { price: scale.0, qty: scale.1 };
        let mut roads = roads(scale);
        let read = roads.check(frame.as_bytes());
        if scale.price >= 1 && scale.qty >= 8 {
            prop_assert!(read.is_ok());
            prop_assert!(roads.is_hot(frame.as_bytes()));
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads(SCALE).check(&mutant);
    }
}
