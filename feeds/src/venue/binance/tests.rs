//! The scanner against the slow road: where it reads a frame, both must say the same.

mod usdm;

use proptest::prelude::*;

use super::Parser;
use super::front::{DiffFront, FrontNumbers};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId};
use crate::venue::message::{Message, ParseError};
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::wire::Wire;

type Roads = roads::Roads<Parser>;

fn roads(scale: Scale) -> Roads {
    Roads::new(["BTCUSDT", "ETHUSDT"], scale)
}

const SCALE: Scale = Scale { price: 2, qty: 8 };

const DIFF: &str = "{\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161255208,\
    \"s\":\"BTCUSDT\",\"U\":50093239189,\"u\":50093239202,\"b\":[[\"61737.63000000\",\"0.00000000\"],[\"61730.17\",\"12\"]],\
    \"a\":[[\"61837.64000000\",\"1.54698000\"]]}}";
const TRADE: &str = "{\"e\":\"trade\",\"E\":1723161255343,\"s\":\"ETHUSDT\",\"t\":3735683259,\"p\":\"61837.63000000\",\
    \"q\":\"0.02000000\",\"T\":1723161255342,\"m\":true,\"M\":true}";
const TICKER: &str = "{\"stream\":\"ethusdt@bookTicker\",\"data\":{\"u\":50093239212,\"s\":\"ETHUSDT\",\
    \"b\":\"61837.63000000\",\"B\":\"3.78826000\",\"a\":\"61837.64000000\",\"A\":\"1.54698000\"}}";

const FRAMES: &[&str] = &[DIFF, TRADE, TICKER];

#[test]
fn both_roads_agree_on_the_recording_and_the_scanner_reads_all_of_it() {
    let Some(frames) = recorded("binance/spot/btcusdt_20240808.gz", 6_000) else {
        return;
    };
    let mut roads = roads(SCALE);
    let mut replies = 0;
    for frame in &frames {
        if frame.starts_with(b"{\"lastUpdateId\"") {
            replies += 1;
            continue;
        }
        roads.check(frame).unwrap();
        assert!(roads.is_hot(frame), "{}", String::from_utf8_lossy(frame));
        // The same without the wrapper.
        let text = std::str::from_utf8(frame).unwrap();
        let raw = &frame[text.find("\"data\":").unwrap() + 7..frame.len() - 1];
        roads.check(raw).unwrap();
        assert!(roads.is_hot(raw), "{}", String::from_utf8_lossy(raw));
    }
    assert_eq!(replies, 1);
}

#[test]
fn every_cut_and_every_other_byte_of_a_frame_is_read_alike() {
    for frame in FRAMES {
        roads(SCALE).check_every_edit(frame);
    }
}

#[test]
fn other_shapes_are_handed_over_and_read() {
    let mut roads = roads(SCALE);
    let expected = roads.check(DIFF.as_bytes()).unwrap();
    let changes = roads.changes.clone();
    for other in [
        DIFF.replace(',', ", "),
        DIFF.replace("\"e\":\"depthUpdate\",", "")
            .replace("\"a\":", "\"e\":\"depthUpdate\",\"x\":[{}],\"a\":"),
        DIFF.replace("BTCUSDT", "\\u0042TCUSDT"),
        format!(" {DIFF}\t"),
    ] {
        assert!(!roads.is_hot(other.as_bytes()), "{other}");
        assert_eq!(roads.check(other.as_bytes()), Ok(expected), "{other}");
        assert_eq!(roads.changes, changes, "{other}");
    }
    let mut refused =
        |frame: String, error: ParseError| assert_eq!(roads.check(frame.as_bytes()), Err(error), "{frame}");
    refused(DIFF.replace("BTCUSDT", "XRPUSDT"), ParseError::UnknownSymbol);
    refused(DIFF.replace("BTCUSDT", "ETHUSDT"), ParseError::Malformed);
    refused(DIFF.replace("@depth@100ms", "@trade"), ParseError::Malformed);
    refused(DIFF.replace("\"b\":", "\"b\":[],\"b\":"), ParseError::Malformed);
    refused(DIFF.replace("\"0.00000000\"", "0.00000000"), ParseError::Malformed);
    refused(
        DIFF.replace("61737.63000000", "61737.63100000"),
        ParseError::FinerThanScale,
    );
    refused(
        DIFF.replace("61737.63000000", "99999999999999999999"),
        ParseError::NumberOutOfRange,
    );
    refused(DIFF.replace("61737.63000000", "-61737.63000000"), ParseError::Malformed);
    refused(
        DIFF.replace("1723161255208", "17231612552080000"),
        ParseError::NumberOutOfRange,
    );
}

/// A diff without its levels, and with them.
fn diff(symbol: &str, wrapped: bool, numbers: FrontNumbers, levels: &str) -> (String, String) {
    let FrontNumbers {
        event_time_ms,
        first_id,
        last_id,
    } = numbers;
    let stream = format!("{{\"stream\":\"{}@depth@100ms\",\"data\":", symbol.to_ascii_lowercase());
    let front = format!(
        "{}{{\"e\":\"depthUpdate\",\"E\":{event_time_ms},\"s\":\"{symbol}\",\"U\":{first_id},\"u\":{last_id},\"b\":[",
        if wrapped { &stream } else { "" }
    );
    let whole = format!("{front}{levels}],\"a\":[]}}{}", if wrapped { "}" } else { "" });
    (front, whole)
}

const NUMBERS: FrontNumbers = FrontNumbers {
    event_time_ms: 1_723_161_255_208,
    first_id: 50_093_239_189,
    last_id: 50_093_239_202,
};

#[test]
fn a_known_front_is_read_at_once_and_any_other_is_not() {
    for wrapped in [false, true] {
        let (text, frame) = diff(
            "BTCUSDT",
            wrapped,
            NUMBERS,
            "[\"61737.63\",\"12.5\"],[\"61737.63\",\"12.5\"]",
        );
        let mut front = DiffFront::default();
        assert_eq!(front.read(frame.as_bytes()), None, "nothing is known");
        front.learn(text.as_bytes());
        assert_eq!(front.read(frame.as_bytes()), Some(NUMBERS));
        assert_eq!((front.len(), front.is_wrapped()), (text.len(), wrapped));
        // Each byte matters: a digit of a number gives another number, all else nothing.
        for at in 0..text.len() {
            for byte in b"0123456789ax\"/:\x00\xff" {
                let mut mutant = frame.clone().into_bytes();
                mutant[at] = *byte;
                let unchanged = mutant == frame.as_bytes();
                match front.read(&mutant) {
                    Some(numbers) if numbers == NUMBERS => assert!(unchanged, "{at} {byte}"),
                    Some(numbers) => {
                        let (_, expected) = diff(
                            "BTCUSDT",
                            wrapped,
                            numbers,
                            "[\"61737.63\",\"12.5\"],[\"61737.63\",\"12.5\"]",
                        );
                        assert_eq!(mutant, expected.as_bytes());
                    }
                    None => assert!(!unchanged, "{at} {byte}"),
                }
            }
            assert_eq!(front.read(&frame.as_bytes()[..at]), None, "cut at {at}");
        }
    }
}

#[test]
fn a_front_without_room_is_not_remembered() {
    let mut front = DiffFront::default();
    for (symbol, numbers) in [
        ("B".repeat(60), NUMBERS),
        (
            "BTCUSDT".into(),
            FrontNumbers {
                last_id: u64::MAX,
                ..NUMBERS
            },
        ),
    ] {
        front.learn(diff("BTCUSDT", true, NUMBERS, "").0.as_bytes());
        assert_ne!(front.len(), 0);
        let (text, frame) = diff(&symbol, true, numbers, &"[\"61737.63\",\"12.5\"],".repeat(5));
        front.learn(text.as_bytes());
        assert_eq!((front.len(), front.read(frame.as_bytes())), (0, None), "{text}");
    }
    for cut in 0..text_of_front().len() {
        front.learn(&text_of_front().as_bytes()[..cut]); // no panic, whatever it is given
    }
}

fn text_of_front() -> String {
    diff("BTCUSDT", true, NUMBERS, "").0
}

#[test]
fn symbols_that_alternate_keep_their_fronts() {
    let mut roads = roads(SCALE);
    let mut first_id = 9_999_990;
    for round in 0..40 {
        for (symbol, index) in [("BTCUSDT", 0), ("ETHUSDT", 1)] {
            let numbers = FrontNumbers {
                event_time_ms: NUMBERS.event_time_ms + round,
                first_id,
                last_id: first_id + 1, // soon with a digit more
            };
            let (_, frame) = diff(symbol, true, numbers, "[\"61737.63\",\"12.5\"]");
            let Ok(Message::Book(read)) = roads.check(frame.as_bytes()) else {
                panic!("{frame}");
            };
            assert_eq!(
                (read.symbol, read.first_id, read.last_id),
                (SymbolId(index), first_id, first_id + 1)
            );
            first_id += 2;
        }
    }
}

fn level() -> impl Strategy<Value = String> {
    (
        "(0|[1-9][0-9]{0,6})(\\.[0-9]{1,2}0{0,6})?",
        "(0|[1-9][0-9]{0,5})\\.[0-9]{1,8}",
    )
        .prop_map(|(price, qty)| format!("[\"{price}\",\"{qty}\"]"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_roads_agree_on_generated_diffs(
        bids in proptest::collection::vec(level(), 0..20),
        asks in proptest::collection::vec(level(), 0..20),
        ids in (0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 42),
        scale in (0_u8..=9, 0_u8..=9),
        wrapped: bool,
    ) {
        let data = format!(
            "{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"ETHUSDT\",\"U\":{},\"u\":{},\"b\":[{}],\"a\":[{}]}}",
            ids.2, ids.0, ids.1, bids.join(","), asks.join(",")
        );
        let frame = if wrapped { format!("{{\"stream\":\"ethusdt@depth\",\"data\":{data}}}") } else { data };
        let scale = Scale { price: scale.0, qty: scale.1 };
        let mut roads = roads(scale);
        let read = roads.check(frame.as_bytes());
        prop_assert_eq!(roads.check(frame.as_bytes()), read); // now the front is known
        if ids.0 > ids.1 {
            prop_assert_eq!(read, Err(ParseError::Malformed), "it ends before it begins");
        } else if scale.price >= 2 && scale.qty >= 8 {
            prop_assert!(read.is_ok());
            prop_assert!(roads.is_hot(frame.as_bytes()));
            prop_assert_eq!(roads.changes.len(), bids.len() + asks.len());
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads(SCALE).check(&mutant);
        // The same where the front of the frame is known.
        let mut roads = roads(SCALE);
        for frame in FRAMES {
            roads.check(frame.as_bytes()).unwrap();
        }
        let _ = roads.check(&mutant);
        for frame in FRAMES {
            roads.check(frame.as_bytes()).unwrap();
        }
    }
}

#[test]
fn a_snapshot_gets_the_scale_that_its_numbers_need() {
    let mut parser = Parser::new(["BTCUSDT"].into_iter());
    let mut levels = Vec::new();
    let mut check = |bids: &str, asks: &str, scale: (u8, u8), first: (i64, i64)| {
        let body = format!("{{\"lastUpdateId\":7,\"bids\":[{bids}],\"asks\":[{asks}]}}");
        let scale = Scale {
            price: scale.0,
            qty: scale.1,
        };
        for body in [body.clone(), body.replace(':', ": ")] {
            assert_eq!(
                parser.rest_snapshot(body.as_bytes(), &mut levels),
                Ok((7, scale)),
                "{body}"
            );
            let expected = LevelChange {
                side: Side::Bid,
                price: Price(first.0),
                qty: Qty(first.1),
            };
            assert_eq!(levels[0], expected, "{body}");
        }
    };
    check(
        "[\"61837.63000000\",\"3.78826000\"]",
        "[\"61838.00000000\",\"1.00000000\"]",
        (2, 5),
        (6_183_763, 378_826),
    );
    check("[\"0.00001234\",\"500.00000000\"]", "", (8, 0), (1_234, 500));
    check(
        "[\"100.00000000\",\"20.00000000\"]",
        "[\"110.00000000\",\"1.10000000\"]",
        (0, 1),
        (100, 200),
    );
    // More than eight decimals, and more than eight decimals leave room for.
    check("[\"1.0000000001\",\"1.0\"]", "", (10, 0), (10_000_000_001, 1));
    check(
        "[\"1.0\",\"900000000000000.5\"]",
        "",
        (0, 1),
        (1, 9_000_000_000_000_005),
    );
}
