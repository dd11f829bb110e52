//! The scanner against the slow road, and the fields that the rule of ids forbids.

use proptest::prelude::*;

use super::Parser;
use crate::types::{Scale, SymbolId};
use crate::venue::message::{Answer, Message, Notice, ParseError};
use crate::venue::roads::{self, mutants, recorded};
use crate::venue::wire::Wire;

type Roads = roads::Roads<Parser>;

fn roads(scale: Scale) -> Roads {
    Roads::new(["BTC-USDT", "ETH-USDT"], scale)
}

const SCALE: Scale = Scale { price: 1, qty: 8 };

const UPDATE: &str = "{\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\"action\":\"update\",\"data\":[{\"asks\":\
    [[\"30243.5\",\"1.2112\",\"0\",\"4\"],[\"30247.5\",\"0\",\"0\",\"0\"],[\"30261\",\"12\",\"0\",\"10\"]],\"bids\":\
    [[\"30236.1\",\"0.05452\",\"0\",\"1\"]],\"ts\":\"1652459225453\",\"checksum\":0,\"seqId\":10000032,\
    \"prevSeqId\":10000012}]}";
const SNAPSHOT: &str = "{\"arg\":{\"channel\":\"books\",\"instId\":\"ETH-USDT\"},\"action\":\"snapshot\",\"data\":[{\"asks\":\
    [[\"30243.5\",\"1.2\",\"0\",\"4\"]],\"bids\":[],\"ts\":\"1652459225453\",\"checksum\":-855196043,\"prevSeqId\":-1,\
    \"seqId\":123456}]}";
const ARCHIVED: &str = "{\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT\"},\"action\":\"update\",\"data\":[{\"asks\":[],\
    \"bids\":[[\"30182.6\",\"452\",\"0\",\"1\"]],\"ts\":\"1652459225464\",\"checksum\":-914047754}]}";
const TRADES: &str = "{\"arg\":{\"channel\":\"trades\",\"instId\":\"BTC-USDT\"},\"data\":[{\"instId\":\"BTC-USDT\",\
    \"tradeId\":\"338476307\",\"px\":\"30236\",\"sz\":\"0.0002\",\"side\":\"buy\",\"ts\":\"1652459224818\"},{\"instId\":\
    \"BTC-USDT\",\"tradeId\":\"338476308\",\"px\":\"30236.5\",\"sz\":\"0.2\",\"side\":\"sell\",\"ts\":\"1652459224819\",\
    \"count\":\"3\",\"source\":\"0\",\"seqId\":1234}]}";

const FRAMES: &[&str] = &[UPDATE, SNAPSHOT, ARCHIVED, TRADES];

#[test]
fn both_roads_agree_on_the_recordings_and_the_scanner_reads_all_books_and_trades() {
    for name in [
        "okx/okx_v5_books_20220513.jsonl.gz",
        "okx/reshaped_books_2026_seqid.jsonl.gz",
    ] {
        let Some(frames) = recorded(name, usize::MAX) else {
            return;
        };
        let mut hot = 0;
        for symbol in ["BTC-USDT", "BTC-USD-220527", "UNI-USD-SWAP"] {
            let mut roads = Roads::new([symbol, "ETH-USDT"], Scale { price: 3, qty: 8 });
            for frame in &frames {
                let (text, read) = (std::str::from_utf8(frame).unwrap(), roads.check(frame));
                let is_market = text.contains("\"data\":") && !text.contains("\"tickers\"");
                match text.contains(&format!("\"{symbol}\"")) || !is_market {
                    true => assert!(read.is_ok(), "{text}"),
                    false => assert_eq!(read, Err(ParseError::UnknownSymbol), "{text}"),
                }
                let is_hot = matches!(read, Ok(Message::Book(_) | Message::Trades { .. }));
                assert_eq!(roads.is_hot(frame), is_hot, "{text}");
                hot += usize::from(is_hot);
            }
        }
        assert_eq!(hot, 290 + 74, "books and trades of {name}");
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
    let expected = roads.check(UPDATE.as_bytes()).unwrap();
    let changes = roads.changes.clone();
    for other in [
        UPDATE.replace(',', ", "),
        UPDATE.replace("BTC-USDT", "\\u0042TC-USDT"),
        UPDATE.replace("\"0\",\"4\"", "\"7\",\"4\",\"more\""),
        format!(" {UPDATE}\t"),
    ] {
        assert!(!roads.is_hot(other.as_bytes()), "{other}");
        assert_eq!(roads.check(other.as_bytes()), Ok(expected), "{other}");
        assert_eq!(roads.changes, changes, "{other}");
    }
    let turned = UPDATE.replace(
        "\"seqId\":10000032,\"prevSeqId\":10000012",
        "\"prevSeqId\":10000012,\"seqId\":10000032",
    );
    assert!(roads.is_hot(turned.as_bytes()));
    assert_eq!(roads.check(turned.as_bytes()), Ok(expected));
    let mut refused =
        |frame: String, error: ParseError| assert_eq!(roads.check(frame.as_bytes()), Err(error), "{frame}");
    refused(UPDATE.replace("BTC-USDT", "XRP-USDT"), ParseError::UnknownSymbol);
    refused(UPDATE.replace("\"bids\":", "\"asks\":"), ParseError::Malformed);
    refused(UPDATE.replace("\"0.05452\"", "0.05452"), ParseError::Malformed);
    refused(UPDATE.replace("30243.5", "30243.55"), ParseError::FinerThanScale);
    refused(UPDATE.replace("30243.5", "-30243.5"), ParseError::Malformed);
    refused(
        UPDATE.replace("30243.5", "99999999999999999999"),
        ParseError::NumberOutOfRange,
    );
    refused(UPDATE.replace("\"update\"", "\"delete\""), ParseError::Malformed);
    refused(
        TRADES.replace("\"instId\":\"BTC-USDT\",\"tradeId", "\"instId\":\"ETH-USDT\",\"tradeId"),
        ParseError::Malformed,
    );
    refused(TRADES.replace("\"buy\"", "\"bid\""), ParseError::Malformed);
}

#[test]
fn an_absent_previous_id_is_not_zero() {
    let mut roads = roads(SCALE);
    let mut refused = |frame: String| assert_eq!(roads.check(frame.as_bytes()), Err(ParseError::Malformed), "{frame}");
    let without = UPDATE.replace(",\"prevSeqId\":10000012", "");
    assert_ne!(without, UPDATE);
    refused(without);
    refused(UPDATE.replace("\"seqId\":10000032,", ""));
    refused(SNAPSHOT.replace("\"prevSeqId\":-1,", ""));
    refused(UPDATE.replace("10000012", "null"));
    refused(UPDATE.replace("10000012", "\"10000012\""));
    refused(UPDATE.replace("10000012", "-1"));
    refused(SNAPSHOT.replace("-1,", "-2,"));
    // Neither ids nor a living checksum.
    refused(ARCHIVED.replace("-914047754", "0"));
    refused(ARCHIVED.replace(",\"checksum\":-914047754", ""));
    // A keep-alive with content.
    refused(UPDATE.replace("10000032", "10000012"));
    assert_eq!(
        roads.check(ARCHIVED.replace("-914047754", "2147483648").as_bytes()),
        Err(ParseError::NumberOutOfRange)
    );
}

#[test]
fn messages_about_no_market() {
    let mut roads = roads(SCALE);
    let mut notice = |frame: &str| match roads.check(frame.as_bytes()) {
        Ok(Message::Notice(notice)) => notice,
        other => panic!("{other:?} of {frame}"),
    };
    assert_eq!(notice("pong"), Notice::Control);
    assert_eq!(
        notice(
            "{\"event\":\"notice\",\"code\":\"64008\",\"msg\":\"The connection will soon be closed for a service upgrade. Please reconnect.\",\"connId\":\"a4d3ae55\"}"
        ),
        Notice::Shutdown
    );
    assert_eq!(
        notice("{\"event\":\"notice\",\"code\":\"64009\",\"msg\":\"something else\"}"),
        Notice::Control
    );
    let answer = Answer {
        to_subscribe: true,
        symbol: Some(SymbolId(1)),
        about_book: true,
        success: true,
        depth: None,
    };
    let subscribed =
        "{\"event\":\"subscribe\",\"arg\":{\"channel\":\"books\",\"instId\":\"ETH-USDT\"},\"connId\":\"a4d3ae55\"}";
    assert_eq!(notice(subscribed), Notice::Answer(answer));
    assert_eq!(
        notice(&subscribed.replace("\"subscribe\"", "\"unsubscribe\"")),
        Notice::Answer(Answer {
            to_subscribe: false,
            ..answer
        })
    );
    let refused = |symbol: Option<u16>| {
        Notice::Answer(Answer {
            symbol: symbol.map(SymbolId),
            about_book: symbol.is_some(),
            ..Answer::REFUSED
        })
    };
    let error = "{\"event\":\"error\",\"code\":\"60018\",\"msg\":\"Wrong URL or channel:books,instId:ETH-USDT doesn't exist. Please use the correct URL, channel and parameters referring to API document.\",\"connId\":\"a4d3ae55\"}";
    assert_eq!(notice(error), refused(Some(1)));
    assert_eq!(notice(&error.replace("channel:books", "channel:trades")), refused(None));
    assert_eq!(notice(&error.replace("ETH-USDT", "XRP-USDT")), refused(None));
    assert_eq!(
        notice("{\"event\":\"error\",\"code\":\"60012\",\"msg\":\"Invalid request: {}\",\"connId\":\"a4d3ae55\"}"),
        refused(None)
    );
    assert_eq!(
        notice(
            "{\"event\":\"channel-conn-count-error\",\"channel\":\"books\",\"connCount\":\"30\",\"connId\":\"abcd1234\"}"
        ),
        refused(None)
    );
    assert_eq!(
        notice("{\"arg\":{\"channel\":\"tickers\",\"instId\":\"BTC-USDT\"},\"data\":[{}]}"),
        Notice::Control
    );
}

#[test]
fn a_rest_snapshot_gets_the_scale_that_its_numbers_need() {
    let body = "{\"code\":\"0\",\"msg\":\"\",\"data\":[{\"asks\":[[\"41006.8\",\"0.60038921\",\"0\",\"1\"]],\
        \"bids\":[[\"41006.3\",\"0.3\",\"0\",\"2\"]],\"ts\":\"1629966436396\",\"seqId\":3235851742}]}";
    let (mut parser, mut levels) = (Parser::new(["BTC-USDT"].into_iter()), Vec::new());
    assert_eq!(
        parser.rest_snapshot(body.as_bytes(), &mut levels),
        Ok((3_235_851_742, Scale { price: 1, qty: 8 }))
    );
    assert_eq!(
        (levels[0].price.0, levels[0].qty.0),
        (410_063, 30_000_000),
        "bids first"
    );
    for broken in [
        body.replace("\"code\":\"0\"", "\"code\":\"50011\""),
        body.replace(",\"seqId\":3235851742", ""),
        body.replace("[{\"asks\"", "[{},{\"asks\""),
        "{\"code\":\"51001\",\"msg\":\"Instrument ID doesn't exist\",\"data\":[]}".to_owned(),
        body[..body.len() / 2].to_owned(),
    ] {
        assert_eq!(
            parser.rest_snapshot(broken.as_bytes(), &mut levels),
            Err(ParseError::Malformed),
            "{broken}"
        );
    }
}

fn level() -> impl Strategy<Value = String> {
    (
        "(0|[1-9][0-9]{0,6})(\\.[0-9])?",
        "0|(0|[1-9][0-9]{0,5})(\\.[0-9]{1,8})?",
        "[0-9]|[1-9][0-9]{1,3}",
    )
        .prop_map(|(price, qty, orders)| format!("[\"{price}\",\"{qty}\",\"0\",\"{orders}\"]"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_roads_agree_on_generated_books(
        asks in proptest::collection::vec(level(), 0..20),
        bids in proptest::collection::vec(level(), 0..20),
        ids in (0_u64..1 << 53, 0_u64..1 << 53, 0_u64..1 << 42),
        checksum: i32,
        is_snapshot: bool,
    ) {
        let action = if is_snapshot { "snapshot" } else { "update" };
        let frame = format!(
            "{{\"arg\":{{\"channel\":\"books\",\"instId\":\"ETH-USDT\"}},\"action\":\"{action}\",\"data\":[{{\"asks\":[{}],\
             \"bids\":[{}],\"ts\":\"{}\",\"checksum\":{checksum},\"prevSeqId\":{},\"seqId\":{}}}]}}",
            asks.join(","), bids.join(","), ids.2, ids.0, ids.1
        );
        let mut roads = roads(SCALE);
        prop_assert!(roads.check(frame.as_bytes()).is_ok());
        prop_assert!(roads.is_hot(frame.as_bytes()));
        prop_assert_eq!(roads.changes.len(), bids.len() + asks.len());
    }

    #[test]
    fn both_roads_agree_on_mutants(mutant in mutants(FRAMES)) {
        let _ = roads(SCALE).check(&mutant);
    }
}
