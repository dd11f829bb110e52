//! The same for the futures: the shapes of the recording of 2024, and those of today with `ps` and `st`.

use proptest::prelude::*;

use super::level;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId, UnixNanos};
use crate::venue::binance::UsdmParser;
use crate::venue::message::{BookMessage, Message, Notice, ParseError};
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::wire::Wire;

fn roads(scale: Scale) -> roads::Roads<UsdmParser> {
    roads::Roads::new(["BTCUSDT", "ETHUSDT"], scale)
}

const SCALE: Scale = Scale { price: 2, qty: 3 };

const DIFF: &str = "{\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161256352,\
    \"T\":1723161256351,\"s\":\"BTCUSDT\",\"U\":5123107837801,\"u\":5123107842679,\"pu\":5123107837557,\
    \"b\":[[\"1000.00\",\"606.675\"],[\"5000.00\",\"0.000\"]],\"a\":[[\"61800.30\",\"2.305\"]]}}";
const DIFF_TODAY: &str = "{\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161256352,\
    \"T\":1723161256351,\"s\":\"BTCUSDT\",\"ps\":\"BTCUSDT\",\"U\":5123107837801,\"u\":5123107842679,\
    \"pu\":5123107837557,\"b\":[[\"1000.00\",\"606.675\"],[\"5000.00\",\"0.000\"]],\"a\":[[\"61800.30\",\"2.305\"]],\
    \"st\":1}}";
const TRADE: &str = "{\"e\":\"trade\",\"E\":1723161256322,\"T\":1723161256321,\"s\":\"ETHUSDT\",\"t\":5266583935,\
    \"p\":\"2650.30\",\"q\":\"0.006\",\"X\":\"MARKET\",\"m\":false}";
const TRADE_TODAY: &str = "{\"stream\":\"ethusdt@trade\",\"data\":{\"e\":\"trade\",\"E\":1723161256322,\
    \"T\":1723161256321,\"s\":\"ETHUSDT\",\"t\":5266583935,\"p\":\"2650.30\",\"q\":\"0.006\",\"X\":\"MARKET\",\
    \"m\":false,\"st\":1}}";
const TICKER: &str = "{\"stream\":\"btcusdt@bookTicker\",\"data\":{\"e\":\"bookTicker\",\"u\":5123107839020,\
    \"s\":\"BTCUSDT\",\"b\":\"61800.20\",\"B\":\"2.507\",\"a\":\"61800.30\",\"A\":\"2.510\",\"T\":1723161256313,\
    \"E\":1723161256314}}";
const TICKER_TODAY: &str = "{\"e\":\"bookTicker\",\"u\":5123107839020,\"s\":\"BTCUSDT\",\"ps\":\"BTCUSDT\",\
    \"b\":\"61800.20\",\"B\":\"2.507\",\"a\":\"61800.30\",\"A\":\"2.510\",\"T\":1723161256313,\"E\":1723161256314,\"st\":1}";

const FRAMES: &[&str] = &[DIFF, DIFF_TODAY, TRADE, TRADE_TODAY, TICKER, TICKER_TODAY];

#[test]
fn both_roads_agree_on_the_recording_and_the_scanner_reads_all_of_it() {
    let Some(frames) = recorded("binance/usdm/btcusdt_20240808.gz", 6_000) else {
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
        // The same as it comes since June 2026.
        let text = std::str::from_utf8(frame).unwrap();
        let mut today = text.replace("}}", ",\"st\":1}}");
        if !text.contains("@trade") {
            today = today.replace("\"s\":\"BTCUSDT\"", "\"s\":\"BTCUSDT\",\"ps\":\"BTCUSDT\"");
        }
        roads.check(today.as_bytes()).unwrap();
        assert!(roads.is_hot(today.as_bytes()), "{today}");
    }
    assert_eq!(replies, 1);
}

#[test]
fn a_diff_names_the_one_before_it_in_both_shapes() {
    let mut roads = roads(SCALE);
    for frame in [DIFF, DIFF_TODAY] {
        assert_eq!(
            roads.check(frame.as_bytes()),
            Ok(Message::Book(BookMessage {
                symbol: SymbolId(0),
                is_snapshot: false,
                first_id: 5_123_107_837_801,
                last_id: 5_123_107_842_679,
                previous_id: Some(5_123_107_837_557),
                checksum: None,
                exchange_time: Some(UnixNanos(1_723_161_256_352_000_000)),
            }))
        );
        let change = |side, price, qty| LevelChange {
            side,
            price: Price(price),
            qty: Qty(qty),
        };
        assert_eq!(
            roads.changes,
            [
                change(Side::Bid, 100_000, 606_675),
                change(Side::Bid, 500_000, 0),
                change(Side::Ask, 6_180_030, 2_305)
            ]
        );
    }
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
    let expected = roads.check(DIFF_TODAY.as_bytes()).unwrap();
    // A delivery contract has a pair of another name, and stays hot.
    for other in [
        DIFF_TODAY.replace("\"ps\":\"BTCUSDT\"", "\"ps\":\"BTCUSD_1\""),
        DIFF_TODAY.replace("@0ms", "@100ms"),
    ] {
        assert!(roads.is_hot(other.as_bytes()), "{other}");
        assert_eq!(roads.check(other.as_bytes()), Ok(expected), "{other}");
    }
    for other in [
        DIFF_TODAY.replace("\"st\":1", "\"st\":2"),
        DIFF_TODAY.replace("\"st\":1", "\"st\":1,\"new\":[{}]"),
        DIFF_TODAY
            .replace("\"ps\":\"BTCUSDT\",", "")
            .replace("\"U\":", "\"ps\":\"B\\u0054C\",\"U\":"),
        DIFF_TODAY.replace("@0ms", "@500ms"),
        DIFF_TODAY.replace(',', ", "),
    ] {
        assert!(!roads.is_hot(other.as_bytes()), "{other}");
        assert_eq!(roads.check(other.as_bytes()), Ok(expected), "{other}");
    }
    let mut refused =
        |frame: String, error: ParseError| assert_eq!(roads.check(frame.as_bytes()), Err(error), "{frame}");
    refused(DIFF.replace("\"pu\":5123107837557,", ""), ParseError::Malformed);
    refused(DIFF.replace("\"pu\":", "\"pu\":7,\"pu\":"), ParseError::Malformed);
    refused(DIFF.replace("5123107842679", "5123107837800"), ParseError::Malformed);
    refused(DIFF.replace("BTCUSDT", "BTCUSDC"), ParseError::UnknownSymbol);
    refused(DIFF.replace("@depth@0ms", "@depth5@0ms"), ParseError::Malformed);
    refused(TICKER.replace("\"e\":\"bookTicker\",", ""), ParseError::Malformed);
    refused(
        TICKER.replace("\"e\":\"bookTicker\"", "\"e\":\"ticker\""),
        ParseError::Malformed,
    );
    refused(TRADE.replace("\"X\":\"MARKET\",", ""), ParseError::Malformed);
    refused(DIFF.replace("606.675", "606.6751"), ParseError::FinerThanScale);
}

#[test]
fn only_what_was_traded_on_the_market_is_a_trade() {
    let mut roads = roads(SCALE);
    for (execution, is_trade) in [
        ("MARKET", true),
        ("RPI", true),
        ("INSURANCE_FUND", false),
        ("ADL", false),
        ("NA", false),
    ] {
        let frame = TRADE_TODAY.replace("MARKET", execution);
        let frame = match execution {
            "NA" => frame.replace("2650.30", "0").replace("0.006", "0"),
            _ => frame,
        };
        let expected = match is_trade {
            true => Message::Trades { is_snapshot: false },
            false => Message::Notice(Notice::Control),
        };
        assert_eq!(roads.check(frame.as_bytes()), Ok(expected), "{frame}");
        assert_eq!(roads.prints.len(), usize::from(is_trade), "{frame}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_roads_agree_on_generated_diffs(
        bids in proptest::collection::vec(level(), 0..20),
        asks in proptest::collection::vec(level(), 0..20),
        ids in (0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 42),
        scale in (0_u8..=9, 0_u8..=9),
        is_today: bool,
    ) {
        let (pair, st) = if is_today { ("\",\"ps\":\"ETHUSDT", ",\"st\":1") } else { ("", "") };
        let frame = format!(
            "{{\"stream\":\"ethusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{},\"T\":{},\"s\":\"ETHUSDT{pair}\",\
             \"U\":{},\"u\":{},\"pu\":{},\"b\":[{}],\"a\":[{}]{st}}}}}",
            ids.3, ids.3, ids.0, ids.1, ids.2, bids.join(","), asks.join(",")
        );
        let mut roads = roads(Scale { price: scale.0, qty: scale.1 });
        let read = roads.check(frame.as_bytes());
        if ids.0 > ids.1 {
            prop_assert_eq!(read, Err(ParseError::Malformed), "it ends before it begins");
        } else if scale.0 >= 2 && scale.1 >= 8 {
            prop_assert!(read.is_ok());
            prop_assert!(roads.is_hot(frame.as_bytes()));
            prop_assert_eq!(roads.changes.len(), bids.len() + asks.len());
        }
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads(SCALE).check(&mutant);
    }
}

#[test]
fn a_snapshot_gets_the_decimals_that_it_prints() {
    let mut parser = UsdmParser::new(["BTCUSDT"].into_iter());
    let mut levels = Vec::new();
    let mut check = |bids: &str, asks: &str, scale: (u8, u8), first: (i64, i64)| {
        // Long enough that the quick road looks at it.
        let far = ",[\"9999.00\",\"1.000\"]".repeat(12);
        let asks = if asks.is_empty() {
            far[1..].to_owned()
        } else {
            format!("{asks}{far}")
        };
        let body = format!("{{\"lastUpdateId\":7,\"E\":8,\"T\":9,\"bids\":[{bids}],\"asks\":[{asks}]}}");
        let scale = Scale {
            price: scale.0,
            qty: scale.1,
        };
        for body in [
            body.clone(),
            body.replace(':', ": "),
            body.replace("\"T\":9,", "\"T\":9,\"symbol\":\"BTCUSDT\","),
        ] {
            assert_eq!(
                parser.rest_snapshot(body.as_bytes(), &mut levels),
                Ok((7, scale)),
                "{body}"
            );
            assert_eq!((levels[0].price.0, levels[0].qty.0), first, "{body}");
        }
    };
    check("[\"61800.20\",\"2.900\"]", "", (2, 3), (6_180_020, 2_900));
    check("[\"0.0044478\",\"10403\"]", "", (7, 0), (44_478, 10_403));
    check(
        "[\"61800.20\",\"2.9\"]",
        "[\"61800.305\",\"1.00\"]",
        (3, 1),
        (61_800_200, 29),
    );
    check("", "[\"61800.30\",\"1.000\"]", (2, 3), (6_180_030, 1_000));
}
