//! Binance spot against eleven recorded minutes and its futures against six, with a book of ordered maps as the judge of
//! every update.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::{BTreeMap, VecDeque};

use quantumflow_feeds::book::Book;
use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::event::{BookUpdate, FeedEvent, Stamps, TopOfBook, Trade};
use quantumflow_feeds::venue::{Session, SessionConfig};
use quantumflow_feeds::{Quality, Scale, Side, Sink, SymbolId, VenueId};
use serde_json::Value;
use venue_support::{BINANCE, USDM, frames, recordings};

/// Price and quantity as the venue prints them, filled up to eight decimals each, with the point taken out.
type Side8 = BTreeMap<i64, i64>;

fn eight(text: &Value) -> i64 {
    let (whole, fraction) = text.as_str().unwrap().split_once('.').unwrap();
    assert!(fraction.len() <= 8);
    format!("{whole}{fraction:0<8}").parse().unwrap()
}

fn apply(side: &mut Side8, levels: &Value) {
    for level in levels.as_array().unwrap() {
        let (price, qty) = (eight(&level[0]), eight(&level[1]));
        match qty {
            0 => side.remove(&price),
            qty => side.insert(price, qty),
        };
    }
}

/// Replays the diffs on its own maps and compares the whole book at every call.
struct Judge {
    bids: Side8,
    asks: Side8,
    diffs: VecDeque<Value>,
    books: usize,
    trades: usize,
    tops: usize,
    agree: usize,
    disagree: usize,
    snapshots: usize,
    scale: Option<Scale>,
    events: Vec<FeedEvent>,
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let diff = self.diffs.pop_front().expect("no more updates than diffs");
        assert_eq!(diff["u"], update.update_id);
        assert_eq!(diff["E"].as_u64().unwrap() * 1_000_000, update.exchange_time.0);
        assert_eq!(update.quality, Quality::Verified);
        if !update.is_snapshot {
            let said = diff["b"].as_array().unwrap().len() + diff["a"].as_array().unwrap().len();
            assert_eq!(update.changes.len(), said);
        }
        apply(&mut self.bids, &diff["b"]);
        apply(&mut self.asks, &diff["a"]);
        let scale = update.instrument.scale;
        self.scale = Some(scale);
        let (price, qty) = (
            10_i64.pow(8 - u32::from(scale.price)),
            10_i64.pow(8 - u32::from(scale.qty)),
        );
        let check = |book: &Book, side: Side, expected: &mut dyn Iterator<Item = (&i64, &i64)>| {
            let mut levels = book
                .levels(side)
                .map(|level| (level.price.0 * price, level.qty.0 * qty));
            assert!(
                expected.map(|(price, qty)| (*price, *qty)).eq(&mut levels),
                "{side:?} at {}",
                update.update_id
            );
        };
        check(update.book, Side::Bid, &mut self.bids.iter().rev());
        check(update.book, Side::Ask, &mut self.asks.iter());
        self.books += 1;
        self.snapshots += usize::from(update.is_snapshot);
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        assert!(trade.price.0 > 0 && trade.qty.0 > 0 && trade.trade_id > 0);
        self.trades += 1;
    }

    fn on_top(&mut self, top: &TopOfBook<'_>, _: &Stamps) {
        self.tops += 1;
        self.agree += usize::from(top.agrees == Some(true));
        self.disagree += usize::from(top.agrees == Some(false));
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

#[test]
fn every_book_of_the_recording_is_right() {
    check(VenueId::BinanceSpot, &BINANCE, 99_574, 1_059);
}

#[test]
fn every_book_of_its_first_file_is_right() {
    check(VenueId::BinanceSpot, &BINANCE[..1], 41_249, 560);
}

#[test]
fn every_book_of_the_futures_recording_is_right() {
    let Some(judge) = check(VenueId::BinanceUsdm, &USDM, 93_954, 573) else {
        return;
    };
    assert_eq!((judge.books, judge.trades, judge.snapshots), (6_547, 21_309, 1));
    assert_eq!(judge.scale, Some(Scale { price: 2, qty: 3 }), "the wire's decimals");
}

/// `agreements` counts the tickers with the update id of a diff next to them, as a plain script does that remembers the
/// last of each.
fn check(venue: VenueId, names: &[&str], messages: usize, agreements: usize) -> Option<Judge> {
    let paths = recordings(names)?;
    // The plain reading of the recording: what should be told, counted by kind.
    let lines: Vec<Value> = frames(&paths, usize::MAX)
        .iter()
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect();
    let snapshot = lines.iter().find(|line| line.get("lastUpdateId").is_some()).unwrap();
    let last_update_id = snapshot["lastUpdateId"].as_u64().unwrap();
    let is_diff = |line: &&Value| line["data"]["e"] == "depthUpdate";
    let continues = |last_id: u64| match venue {
        VenueId::BinanceUsdm => last_id >= last_update_id,
        _ => last_id > last_update_id,
    };
    let sync = lines
        .iter()
        .position(|line| is_diff(&line) && line["data"]["u"].as_u64().is_some_and(continues))
        .unwrap();
    let told = &lines[sync..];
    let diffs: VecDeque<Value> = told.iter().filter(is_diff).map(|line| line["data"].clone()).collect();
    let trades = told.iter().filter(|line| line["data"]["e"] == "trade").count();
    let tickers = told.iter().filter(|line| line["data"].get("B").is_some()).count();
    let (diff_count, line_count) = (diffs.len(), lines.len());

    let (mut bids, mut asks) = (Side8::new(), Side8::new());
    apply(&mut bids, &snapshot["bids"]);
    apply(&mut asks, &snapshot["asks"]);
    let mut judge = Judge {
        bids,
        asks,
        diffs,
        books: 0,
        trades: 0,
        tops: 0,
        agree: 0,
        disagree: 0,
        snapshots: 0,
        scale: None,
        events: Vec::new(),
    };
    let mut session = Session::new(&SessionConfig::new(venue, ["BTCUSDT"])).unwrap();
    let mut reader = CaptureReader::open(&paths).unwrap();
    let summary = replay(&mut reader, &mut session, &mut judge, unpaced).unwrap();

    assert_eq!((summary.frames, summary.snapshots), (line_count as u64 - 1, 1));
    assert!(reader.truncated().is_empty());
    assert_eq!(line_count, messages);
    assert_eq!((judge.books, judge.trades), (diff_count, trades));
    assert_eq!(
        (judge.agree, judge.disagree),
        (agreements, 0),
        "the venue's own best bid and ask"
    );
    // A ticker that came before its diff is told again.
    assert!(judge.tops >= tickers && judge.tops <= tickers + judge.agree);
    let count = |is_it: fn(&FeedEvent) -> bool| judge.events.iter().filter(|event| is_it(event)).count();
    assert_eq!(
        count(|event| matches!(event, FeedEvent::ResyncStarted { .. })),
        1,
        "the start, and no gap"
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::ResyncFinished { .. })), 1);
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    let rescaled = count(|event| matches!(event, FeedEvent::Rescaled { .. }));
    assert_eq!(
        judge.snapshots,
        1 + rescaled,
        "a whole book after the splice and after each change of scale"
    );
    let before_sync = lines[..sync]
        .iter()
        .filter(|line| line.get("lastUpdateId").is_none())
        .count();
    assert_eq!(count(|event| matches!(event, FeedEvent::Outdated { .. })), before_sync);
    assert_eq!(session.quality(SymbolId(0)), Quality::Verified);
    Some(judge)
}
