//! OKX against its recordings, with books of ordered maps as the judge of every update: one from 2022, whose checksums
//! live and which has no ids yet, and the same changes in today's envelope.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::BTreeMap;

use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::event::{BookUpdate, FeedEvent, Stamps, Trade};
use quantumflow_feeds::venue::{Session, SessionConfig};
use quantumflow_feeds::{Quality, Side, Sink, SymbolId, VenueId};
use serde_json::Value;
use venue_support::{OKX_2022, OKX_TODAY, frames, recordings};

const SYMBOLS: [&str; 3] = ["BTC-USDT", "BTC-USD-220527", "UNI-USD-SWAP"];

/// Price and quantity in units of 10^-8.
type Side8 = BTreeMap<i64, i64>;

fn eight(text: &Value) -> i64 {
    let (whole, fraction) = text
        .as_str()
        .unwrap()
        .split_once('.')
        .unwrap_or((text.as_str().unwrap(), ""));
    assert!(!fraction.ends_with('0'), "{text}: the venue takes trailing zeros off");
    format!("{whole}{fraction:0<8}").parse().unwrap()
}

/// Applies the venue's messages to maps of its own and compares the whole book at every call.
struct Judge {
    books: [[Side8; 2]; 3],
    messages: std::vec::IntoIter<Value>,
    told: [u64; 3],
    trades: usize,
    snapshots: usize,
    events: Vec<FeedEvent>,
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let message = self.messages.next().expect("no more updates than messages");
        let (data, symbol) = (&message["data"][0], update.instrument.id.index());
        assert_eq!(message["arg"]["instId"], SYMBOLS[symbol]);
        let is_snapshot = message["action"] == "snapshot";
        self.told[symbol] += u64::from(!is_snapshot);
        // Where there are no ids the updates are counted.
        assert_eq!(data["seqId"].as_u64().unwrap_or(self.told[symbol]), update.update_id);
        let ms: u64 = data["ts"].as_str().unwrap().parse().unwrap();
        assert_eq!(ms * 1_000_000, update.exchange_time.0);
        assert_eq!(update.quality, Quality::Verified);
        assert!(update.is_snapshot || !is_snapshot);
        if !update.is_snapshot {
            let said = data["asks"].as_array().unwrap().len() + data["bids"].as_array().unwrap().len();
            assert_eq!(update.changes.len(), said);
        }
        let scale = update.instrument.scale;
        let to_eight = |decimals: u8| 10_i64.pow(8 - u32::from(decimals));
        for (book, side, key) in [(0, Side::Bid, "bids"), (1, Side::Ask, "asks")] {
            let map = &mut self.books[symbol][book];
            if is_snapshot {
                map.clear();
            }
            for level in data[key].as_array().unwrap() {
                match eight(&level[1]) {
                    0 => map.remove(&eight(&level[0])),
                    qty => map.insert(eight(&level[0]), qty),
                };
            }
            let shown = update
                .book
                .levels(side)
                .map(|level| (level.price.0 * to_eight(scale.price), level.qty.0 * to_eight(scale.qty)));
            let levels = map.iter().map(|(price, qty)| (*price, *qty));
            let is_equal = match side {
                Side::Bid => levels.rev().eq(shown),
                Side::Ask => levels.eq(shown),
            };
            assert!(is_equal, "{key} of {message}");
            assert!(map.len() <= 400, "the venue deletes what leaves its window");
        }
        self.snapshots += usize::from(is_snapshot);
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        assert!(trade.price.0 > 0 && trade.qty.0 > 0 && trade.trade_id > 0);
        self.trades += 1;
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

/// Replays a recording, every book of it under the judge, and returns the events.
fn check(names: &[&str]) -> Option<Vec<FeedEvent>> {
    let paths = recordings(names)?;
    let lines: Vec<Value> = frames(&paths, usize::MAX)
        .iter()
        .map(|(_, frame)| serde_json::from_str(frame).unwrap())
        .collect();
    let is_of = |line: &Value, channel: &str| line["arg"]["channel"] == channel && line.get("data").is_some();
    let books: Vec<Value> = lines.iter().filter(|line| is_of(line, "books")).cloned().collect();
    let trades = lines.iter().filter(|line| is_of(line, "trades")).count();
    assert_eq!((lines.len(), books.len(), trades), (410, 290, 74));

    let mut judge = Judge {
        books: Default::default(),
        messages: books.into_iter(),
        told: [0; 3],
        trades: 0,
        snapshots: 0,
        events: Vec::new(),
    };
    let mut session = Session::new(&SessionConfig::new(VenueId::OkxV5, SYMBOLS)).unwrap();
    let mut reader = CaptureReader::open(&paths).unwrap();
    let summary = replay(&mut reader, &mut session, &mut judge, unpaced).unwrap();

    assert_eq!(summary.frames, 410);
    assert_eq!(judge.messages.len(), 0, "every book was told");
    assert_eq!(judge.snapshots, 3);
    let count = |is_it: fn(&FeedEvent) -> bool| judge.events.iter().filter(|event| is_it(event)).count();
    assert_eq!(
        count(|event| matches!(event, FeedEvent::ResyncStarted { .. })),
        3,
        "the start of each, and no gap"
    );
    assert_eq!(count(|event| matches!(event, FeedEvent::ResyncFinished { .. })), 3);
    assert_eq!(count(|event| matches!(event, FeedEvent::FrameRejected { .. })), 0);
    assert_eq!(count(|event| matches!(event, FeedEvent::SnapshotRejected { .. })), 0);
    // The newest trade of each symbol comes before its book.
    let outdated = count(|event| matches!(event, FeedEvent::Outdated { .. }));
    assert_eq!((judge.trades + outdated, outdated), (trades, 3));
    for symbol in 0..3 {
        assert_eq!(session.quality(SymbolId(symbol)), Quality::Verified);
    }
    Some(judge.events)
}

#[test]
fn every_checksum_of_the_archive_holds() {
    let Some(events) = check(&OKX_2022) else { return };
    let verified = |event: &&FeedEvent| matches!(event, FeedEvent::ChecksumVerified { .. });
    assert_eq!(events.iter().filter(verified).count(), 290);
    assert!(!events.contains(&FeedEvent::ChecksumDead));
}

#[test]
fn every_book_of_todays_envelope_is_right_and_the_dead_checksum_is_told_once() {
    let Some(events) = check(&OKX_TODAY) else { return };
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, FeedEvent::ChecksumVerified { .. }))
    );
    let dead = |event: &&FeedEvent| **event == FeedEvent::ChecksumDead;
    assert_eq!(events.iter().filter(dead).count(), 1);
}
