//! The scanner against the slow road, and the rule of cutting back against a client that forgets it.

use std::path::PathBuf;

use proptest::prelude::*;

use super::scan;
use super::*;
use crate::capture::{CaptureReader, Record};
use crate::types::{Price, Qty};
use crate::venue::levels::LevelScalers;
use crate::venue::message::Scalers;
use crate::venue::symbols::SymbolTable;

const SCALE: Scale = Scale { price: 1, qty: 8 };
const SYMBOLS: [&str; 2] = ["BTC/USD", "ETH/USD"];

const UPDATE: &str = "{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"bids\":\
    [{\"price\":63381.0,\"qty\":0.00000000},{\"price\":63376.4,\"qty\":0.00005100}],\"asks\":[],\"checksum\":3726153463,\
    \"timestamp\":\"2026-08-02T03:35:51.660084Z\"}]}";
const TRADES: &str = "{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"BTC/USD\",\"side\":\"sell\",\
    \"price\":63381.0,\"qty\":40.0,\"ord_type\":\"market\",\"trade_id\":4665906,\"timestamp\":\"2023-09-25T07:49:37.708706Z\"},\
    {\"symbol\":\"ETH/USD\",\"side\":\"buy\",\"price\":3381.0,\"qty\":0.5,\"ord_type\":\"limit\",\"trade_id\":7,\
    \"timestamp\":\"2023-09-25T07:49:37.7Z\"}]}";

struct Roads {
    quick: Parser,
    slow: Parser,
    changes: (Vec<LevelChange>, Vec<LevelChange>),
    prints: (Vec<Print>, Vec<Print>),
}

impl Roads {
    fn new(scale: Scale) -> Self {
        let parser = || {
            let mut parser = Parser::new(SYMBOLS.into_iter());
            assert!(parser.set_scale(SymbolId(0), scale) && parser.set_scale(SymbolId(1), scale));
            parser
        };
        let (quick, slow) = (parser(), parser());
        Self {
            quick,
            slow,
            changes: Default::default(),
            prints: Default::default(),
        }
    }

    fn check(&mut self, frame: &[u8]) -> Result<Message, ParseError> {
        let quick = self.quick.parse(frame, &mut self.changes.0, &mut self.prints.0);
        let slow = self.slow.parse_any(frame, &mut self.changes.1, &mut self.prints.1);
        assert_eq!(quick, slow, "{}", String::from_utf8_lossy(frame));
        if quick.is_ok() {
            assert_eq!(self.changes.0, self.changes.1, "{}", String::from_utf8_lossy(frame));
            assert_eq!(self.prints.0, self.prints.1, "{}", String::from_utf8_lossy(frame));
        }
        quick
    }
}

fn is_hot(frame: &[u8], scale: Scale) -> bool {
    let symbols = SymbolTable::new(SYMBOLS.into_iter());
    let Some(head) = scan::head(frame, &symbols, SymbolId(0)) else {
        return false;
    };
    let mut scalers = [0; 2].map(|_| LevelScalers::new(Scalers::new(scale).unwrap()));
    scan::body(frame, &head, &symbols, &mut scalers, &mut Vec::new(), &mut Vec::new()).is_some()
}

fn recorded(name: &str) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/kraken")
        .join(name);
    if !path.exists() {
        println!("skipped: no recording at {}", path.display());
        return None;
    }
    let mut reader = CaptureReader::open([path]).unwrap();
    let mut frames = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::Frame { frame, .. } = record {
            frames.push(frame.to_vec());
        }
    }
    Some(frames)
}

#[test]
fn both_roads_agree_on_the_recordings_and_the_scanner_reads_all_books() {
    for name in ["kraken_v2_btcusd_l2.jsonl.gz", "kraken_v2_btcusd_sample.jsonl.gz"] {
        let Some(frames) = recorded(name) else { return };
        let mut roads = Roads::new(SCALE);
        for frame in &frames {
            let message = roads.check(frame).unwrap();
            assert_eq!(
                is_hot(frame, SCALE),
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
        let mut roads = Roads::new(SCALE);
        roads.check(TRADES.as_bytes()).unwrap();
        assert_eq!(roads.prints.0.len(), 2);
        roads.check(control.as_bytes()).unwrap();
        assert!(roads.prints.0.is_empty() && roads.changes.0.is_empty());
    }
}

#[test]
fn a_client_that_never_cuts_back_fails_nine_checksums_in_ten() {
    let Some(frames) = recorded("kraken_v2_btcusd_sample.jsonl.gz") else {
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
                apply(&mut book, &changes, depth);
                count += usize::from(checksum.of(&book) == message.checksum);
            }
        }
        count
    };
    assert_eq!(holds(25), 2_052);
    assert_eq!(holds(usize::MAX), 220);
}

#[test]
fn the_same_price_twice_in_a_message_is_applied_in_its_order() {
    let mut book = Book::new();
    let change = |qty| LevelChange {
        side: Side::Bid,
        price: Price(10),
        qty: Qty(qty),
    };
    apply(&mut book, &[change(5), change(0), change(7)], 10);
    assert_eq!(book.best(Side::Bid).map(|level| level.qty), Some(Qty(7)));
    apply(&mut book, &[change(5), change(0)], 10);
    assert_eq!(book.best(Side::Bid), None);
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    let mut roads = Roads::new(SCALE);
    for frame in [UPDATE, TRADES] {
        assert!(is_hot(frame.as_bytes(), SCALE));
        roads.check(frame.as_bytes()).unwrap();
        for at in 0..frame.len() {
            assert!(roads.check(&frame.as_bytes()[..at]).is_err());
            let mut mutant = frame.as_bytes().to_vec();
            for byte in b" \"\\{}[],:.-+019eEtfnNZb\x00\x7f" {
                mutant[at] = *byte;
                let _ = roads.check(&mutant);
            }
            mutant = frame.as_bytes().to_vec();
            mutant.remove(at);
            let _ = roads.check(&mutant);
            for byte in b" \"0,.]}9" {
                let mut mutant = frame.as_bytes().to_vec();
                mutant.insert(at, *byte);
                let _ = roads.check(&mutant);
            }
        }
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
        let mut roads = Roads::new(scale);
        let read = roads.check(frame.as_bytes());
        if scale.price >= 1 && scale.qty >= 8 {
            prop_assert!(read.is_ok());
            prop_assert!(is_hot(frame.as_bytes(), scale));
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(
        frame in prop::sample::select(vec![UPDATE, TRADES]),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..3, any::<u8>()), 1..6),
    ) {
        let mut mutant = frame.as_bytes().to_vec();
        for (at, what, byte) in edits {
            let at = at.index(mutant.len());
            match what {
                0 => mutant[at] = byte,
                1 => mutant.insert(at, byte),
                _ => { mutant.remove(at); }
            }
        }
        let _ = Roads::new(SCALE).check(&mutant);
    }
}
