//! How deep a session's book is known: on the recordings, a book that was seeded with a part of the snapshot beside one
//! that has all of it; and what each venue's rule makes of it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::{BookUpdate, Stamps, Trade};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{Price, Scale, Side, Sink, SymbolId, UnixNanos, VenueId};
use serde_json::Value;
use venue_support::{BINANCE, KRAKEN_10, KRAKEN_25, OKX_2022, Rig, USDM, frames, recordings};

/// Price and quantity at eight decimals, best first.
type Top = Vec<(i64, i64)>;

/// A session, and its book after the last frame, if that frame moved it.
struct Seeded {
    depth: u32,
    session: Session,
    out: Outbox,
    moved: Moved,
}

/// The best levels of both sides, and of how many it is sure.
#[derive(Default)]
struct Moved(Option<[(Top, usize); 2]>);

impl Sink for Moved {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let Scale { price, qty } = update.instrument.scale;
        let (price, qty) = (10_i64.pow(8 - u32::from(price)), 10_i64.pow(8 - u32::from(qty)));
        self.0 = Some([Side::Bid, Side::Ask].map(|side| {
            let mut levels = [Level::default(); DEPTH];
            let count = update.book.top(side, &mut levels);
            let levels = &levels[..count];
            let sure_of = (0..=DEPTH).rev().find(|&depth| update.book.covers(side, depth, levels));
            let at_eight = |level: &Level| (level.price.0 * price, level.qty.0 * qty);
            (levels.iter().map(at_eight).collect(), sure_of.unwrap())
        }));
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}
}

impl Seeded {
    fn new(venue: VenueId, depth: u32) -> Self {
        let config = SessionConfig::new(venue, ["BTCUSDT"]);
        let mut seeded = Self {
            depth,
            session: Session::new(&SessionConfig { depth, ..config }).unwrap(),
            out: Outbox::new(),
            moved: Moved::default(),
        };
        seeded.session.on_open(UnixNanos(1), &mut seeded.moved, &mut seeded.out);
        seeded
    }

    /// Takes a frame, or a snapshot to the depth that was asked for.
    fn take(&mut self, receive_time: UnixNanos, frame: &str) -> Option<[(Top, usize); 2]> {
        let (moved, out) = (&mut self.moved, &mut self.out);
        let mut stamps = Stamps {
            receive_time,
            ..Stamps::default()
        };
        if frame.starts_with("{\"lastUpdateId\"") {
            let body = cut(frame, self.depth as usize);
            self.session
                .on_snapshot(SymbolId(0), Ok(&body), &mut stamps, NoClock, moved, out);
        } else {
            self.session
                .on_frame(frame.as_bytes(), &mut stamps, NoClock, moved, out);
        }
        self.moved.0.take()
    }
}

const DEPTH: usize = 20;

/// A snapshot with the best levels of it.
fn cut(body: &str, depth: usize) -> Vec<u8> {
    let mut snapshot: Value = serde_json::from_str(body).unwrap();
    for side in ["bids", "asks"] {
        let levels = snapshot[side].as_array_mut().unwrap();
        assert!(levels.len() >= depth);
        levels.truncate(depth);
    }
    serde_json::to_vec(&snapshot).unwrap()
}

/// What came of a recording.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shares {
    updates: usize,
    /// Updates after which the twenty best levels of some side are not those of the whole seed.
    wrong: usize,
    /// Updates after which the book is not sure of them.
    marked: usize,
    /// Updates after which not even the book with the whole seed is sure of them.
    unsure: usize,
    /// As `wrong` and `marked`, of the ten best.
    wrong_10: usize,
    marked_10: usize,
}

/// Replays a recording into a book that has the whole snapshot and into one that has `depth` levels of it.
fn shares(venue: VenueId, names: &[&str], depth: u32) -> Option<Shares> {
    let paths = recordings(names)?;
    let mut whole = Seeded::new(venue, 1000);
    let mut part = Seeded::new(venue, depth);
    let mut shares = Shares::default();
    for (time, frame) in frames(&paths, usize::MAX) {
        let (wanted, found) = (whole.take(time, &frame), part.take(time, &frame));
        let (Some(wanted), Some(found)) = (wanted, found) else {
            continue;
        };
        shares.updates += 1;
        let (mut wrong, mut sure_of, mut unsure) = (DEPTH, DEPTH, false);
        for ((wanted, all), (found, sure)) in wanted.iter().zip(&found) {
            assert!(sure <= all, "who was told less is sure of less");
            assert_eq!(wanted[..*sure], found[..*sure], "levels that it said it was sure of");
            unsure |= *all < DEPTH;
            let same = wanted.iter().zip(found).take_while(|(wanted, found)| wanted == found);
            wrong = wrong.min(same.count());
            sure_of = sure_of.min(*sure);
        }
        shares.wrong += usize::from(wrong < DEPTH);
        shares.marked += usize::from(sure_of < DEPTH);
        shares.unsure += usize::from(unsure);
        shares.wrong_10 += usize::from(wrong < 10);
        shares.marked_10 += usize::from(sure_of < 10);
    }
    let percent = |count: usize| 100.0 * count as f64 / shares.updates as f64;
    println!(
        "{venue} seeded with {depth} levels, {} updates: of 20 levels {:.2} % wrong, {:.2} % marked ({:.2} % with 1000); \
         of 10 {:.2} % and {:.2} %",
        shares.updates,
        percent(shares.wrong),
        percent(shares.marked),
        percent(shares.unsure),
        percent(shares.wrong_10),
        percent(shares.marked_10),
    );
    Some(shares)
}

#[test]
fn a_book_that_was_seeded_with_less_is_never_wrong_where_it_is_sure() {
    for depth in [100, 500] {
        let Some(shares) = shares(VenueId::BinanceSpot, &BINANCE, depth) else {
            return;
        };
        assert!(shares.wrong > 0, "the recording walks far enough");
        assert!(shares.wrong <= shares.marked && shares.marked < shares.updates / 4);
    }
}

#[test]
fn a_futures_book_that_was_seeded_with_less_is_never_wrong_where_it_is_sure() {
    let Some(shares) = shares(VenueId::BinanceUsdm, &USDM, 50) else {
        return;
    };
    assert!(shares.wrong > 0 && shares.wrong <= shares.marked, "{shares:?}");
}

fn level(price: &str) -> String {
    format!("[\"{price}\",\"1.00000000\"]")
}

/// As many levels as that on each side, a cent apart, around 10.00.
fn snapshot(id: u64, bids: usize, asks: usize) -> String {
    let side = |count: usize, price: &dyn Fn(usize) -> usize| {
        let levels = (1..=count).map(|n| level(&format!("{}.{:02}000000", price(n) / 100, price(n) % 100)));
        levels.collect::<Vec<_>>().join(",")
    };
    let (bids, asks) = (side(bids, &|n| 1000 - n), side(asks, &|n| 1000 + n));
    format!("{{\"lastUpdateId\":{id},\"bids\":[{bids}],\"asks\":[{asks}]}}")
}

fn diff(id: u64, bid: &str) -> String {
    format!(
        "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":1700000000000,\"s\":\"BTCUSDT\",\
         \"U\":{id},\"u\":{id},\"b\":[{}],\"a\":[]}}}}",
        level(bid)
    )
}

fn horizons(rig: &Rig) -> [Option<Price>; 2] {
    let book: &Book = rig.session.book(SymbolId(0)).expect("shown");
    [book.horizon(Side::Bid), book.horizon(Side::Ask)]
}

fn asked_for(depth: u32) -> Rig {
    let config = SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT"]);
    Rig::open(&SessionConfig { depth, ..config })
}

#[test]
fn a_full_snapshot_ends_at_its_worst_price_and_a_short_one_nowhere() {
    for (bids, asks, wanted) in [
        (100, 100, [Some(Price(900)), Some(Price(1100))]),
        (100, 40, [Some(Price(900)), None]),
        (40, 100, [None, Some(Price(1100))]),
        (40, 40, [None, None]),
    ] {
        let mut rig = asked_for(100);
        rig.frame(&diff(11, "9.99000000"));
        rig.snapshot(0, Ok(&snapshot(10, bids, asks)));
        assert_eq!(horizons(&rig), wanted);
        // Deeper levels that come do not move it, nor does the end of the one that it lies at.
        rig.frame(&diff(12, "1.00000000"));
        rig.frame(&diff(13, "9.00000000").replace("1.00000000", "0.00000000"));
        assert_eq!(horizons(&rig), wanted);
    }
}

#[test]
fn a_new_snapshot_brings_a_new_horizon() {
    let mut rig = asked_for(100);
    rig.frame(&diff(11, "9.99000000"));
    rig.snapshot(0, Ok(&snapshot(10, 100, 100)));
    // A gap, and what comes next is whole.
    rig.frame(&diff(21, "9.99000000"));
    rig.snapshot(0, Ok(&snapshot(20, 99, 98)));
    assert_eq!(horizons(&rig), [None, None]);
}

#[test]
fn a_horizon_takes_part_in_a_change_of_scale() {
    let mut rig = asked_for(100);
    rig.frame(&diff(11, "9.99000000"));
    rig.snapshot(0, Ok(&snapshot(10, 100, 100)));
    rig.frame(&diff(12, "9.98500000"));
    assert_eq!(rig.session.instruments()[0].scale.price, 3);
    assert_eq!(horizons(&rig), [Some(Price(9_000)), Some(Price(11_000))]);
}

/// Of a venue that keeps a fixed number of levels, none of the recorded books has a side with fewer or more.
#[test]
fn a_book_whose_depth_the_venue_keeps_is_known_to_that_depth() {
    /// Counts books that are not known to their depth, or beyond it.
    struct Judge {
        depth: usize,
        books: usize,
        wrong: usize,
    }
    impl Sink for Judge {
        fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
            self.books += 1;
            for side in [Side::Bid, Side::Ask] {
                let top: Vec<Level> = update.book.levels(side).collect();
                let covers = |depth| update.book.covers(side, depth, &top);
                self.wrong += usize::from(top.len() != self.depth || !covers(self.depth) || covers(self.depth + 1));
            }
        }
        fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}
    }
    for (venue, names, symbol, depth, books) in [
        (VenueId::KrakenV2, &KRAKEN_10, "BTC/USD", 10, 301),
        (VenueId::KrakenV2, &KRAKEN_25, "BTC/USD", 25, 2_052),
        (VenueId::OkxV5, &OKX_2022, "BTC-USDT", 400, 98),
    ] {
        let Some(paths) = recordings(names) else { return };
        let config = SessionConfig::new(venue, [symbol]);
        let mut session = Session::new(&SessionConfig { depth, ..config }).unwrap();
        let mut judge = Judge {
            depth: depth as usize,
            books: 0,
            wrong: 0,
        };
        let mut reader = CaptureReader::open(&paths).unwrap();
        replay(&mut reader, &mut session, &mut judge, unpaced).unwrap();
        assert_eq!((judge.books, judge.wrong), (books, 0), "{venue} to {depth} levels");
    }
}
