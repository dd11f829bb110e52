//! Two connections that carry the same: what is told is what one perfect connection would have told.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use proptest::prelude::*;
use quantumflow_feeds::capture::{CaptureReader, Record};
use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::venue::{LineStanding, ReconnectReason, SessionConfig};
use quantumflow_feeds::{Line, Quality, SymbolId, VenueId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use venue_support::Rig;

/// Venues whose ids two connections share.
const VENUES: [VenueId; 5] = [
    VenueId::BinanceSpot,
    VenueId::BinanceUsdm,
    VenueId::BybitSpot,
    VenueId::BybitLinear,
    VenueId::OkxV5,
];

enum Piece {
    Frame(String),
    Snapshot(u16, String),
}

fn market(venue: VenueId, seed: u64, events: u64) -> Vec<Piece> {
    let symbols = venue.facts().symbols;
    let mut config = CaptureConfig::new(venue, &symbols, seed, CaptureLength::Events(events));
    config.depth_interval_ms = 0;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market");
    let mut text = Vec::new();
    market_capture(&config, &mut text).unwrap();
    std::fs::write(&path, text).unwrap();
    let mut reader = CaptureReader::open([&path]).unwrap();
    let mut pieces = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        match record {
            Record::Frame { frame, .. } => pieces.push(Piece::Frame(text(frame))),
            Record::Snapshot { symbol, body, .. } => {
                let place = symbols.iter().position(|other| *other == symbol).unwrap();
                pieces.push(Piece::Snapshot(place as u16, text(body)));
            }
            _ => {}
        }
    }
    pieces
}

fn rig(venue: VenueId) -> Rig {
    Rig::open(&SessionConfig::new(venue, venue.facts().symbols))
}

fn calls<'a>(rig: &'a Rig, kind: &str) -> Vec<&'a String> {
    rig.log.calls.iter().filter(|call| call.starts_with(kind)).collect()
}

fn one_line(venue: VenueId, pieces: &[Piece]) -> Rig {
    let mut rig = rig(venue);
    for piece in pieces {
        match piece {
            Piece::Frame(frame) => rig.frame(frame),
            Piece::Snapshot(symbol, body) => rig.snapshot(*symbol, Ok(body)),
        }
    }
    rig
}

/// Two lines that lag behind each other, lose messages that the other brings, end and come back.
struct Pair<'a> {
    rig: Rig,
    pieces: &'a [Piece],
    dice: ChaCha8Rng,
    at: [usize; 2],
    is_open: [bool; 2],
    /// Only that line brings it.
    owed: Vec<Option<Line>>,
    /// What the other line brings behind something owed is not heard, until this line has caught up with it.
    is_needed: [bool; 2],
    /// Snapshots before this place have come.
    fetched: usize,
    /// A line has ended that lagged behind the other.
    ended_behind: bool,
    /// Where the last one stands: before, nothing goes wrong, because a snapshot that is of no use is not fetched again.
    last_snapshot: usize,
}

impl Pair<'_> {
    fn run(mut self) -> (Rig, bool) {
        self.rig.open_line(Line::Second);
        self.is_open[1] = true;
        let end = self.pieces.len();
        while self.at.iter().zip(self.is_open).any(|(at, open)| open && *at < end) {
            let line = if self.dice.random() { Line::First } else { Line::Second };
            match self.dice.random_range(0..400) {
                0 => self.end(line),
                1..4 => self.come_back(line),
                _ => self.bring(line),
            }
        }
        (self.rig, self.ended_behind)
    }

    fn bring(&mut self, line: Line) {
        let (own, other) = (line.index(), line.other().index());
        let at = self.at[own];
        let is_too_far = self.is_open[other] && at > self.at[other] + 60;
        if !self.is_open[own] || at >= self.pieces.len() || is_too_far {
            return;
        }
        self.at[own] += 1;
        self.rig.wait_ms(u64::from(self.dice.random_ratio(1, 3)));
        match &self.pieces[at] {
            Piece::Frame(frame) => {
                let may_lose =
                    at > self.last_snapshot && self.is_open[other] && self.at[other] <= at && self.owed[at].is_none();
                let is_trade = frame.contains("trade") || frame.contains("Trade");
                if may_lose && !is_trade && self.dice.random_ratio(1, 30) {
                    self.owed[at] = Some(line.other());
                } else {
                    if self.owed[at] == Some(line) {
                        self.is_needed[own] = true;
                    }
                    self.rig.frame_on(line, frame);
                }
            }
            Piece::Snapshot(symbol, body) => {
                if at >= self.fetched {
                    self.fetched = at + 1;
                    self.rig.snapshot(*symbol, Ok(body));
                }
            }
        }
        if self.at[own] >= self.at[other] {
            self.is_needed[own] = false;
        }
    }

    fn end(&mut self, line: Line) {
        let (own, other) = (line.index(), line.other().index());
        let is_owing = || self.owed[self.at[own]..].contains(&Some(line)) || self.is_needed[own];
        if self.is_open[own]
            && self.at[own].min(self.at[other]) > self.last_snapshot + 20
            && self.is_open[other]
            && !is_owing()
        {
            self.is_open[own] = false;
            self.ended_behind |= self.at[own] < self.at[other];
            self.rig.close_line(line);
        }
    }

    fn come_back(&mut self, line: Line) {
        let (own, other) = (line.index(), line.other().index());
        if self.is_open[own] {
            return;
        }
        self.is_open[own] = true;
        self.rig.open_line(line);
        let shift = self.dice.random_range(0..40);
        let from = self.at[other];
        self.at[own] = (from + shift).saturating_sub(20).min(self.pieces.len());
        for owed in self.owed.iter_mut().take(self.at[own]).skip(from) {
            *owed = Some(line.other());
        }
    }
}

/// And whether a line has ended with trades that it alone could have told.
fn two_lines(venue: VenueId, pieces: &[Piece], seed: u64) -> (Rig, bool) {
    let pair = Pair {
        rig: rig(venue),
        pieces,
        dice: ChaCha8Rng::seed_from_u64(seed),
        at: [0; 2],
        is_open: [true, false],
        owed: pieces.iter().map(|_| None).collect(),
        is_needed: [false; 2],
        fetched: 0,
        ended_behind: false,
        last_snapshot: pieces
            .iter()
            .rposition(|piece| matches!(piece, Piece::Snapshot(..)))
            .unwrap_or(0),
    };
    pair.run()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, // the seed that is printed is all there is to know
        ..ProptestConfig::with_cases(48)
    })]

    #[test]
    fn what_two_imperfect_lines_tell_is_what_a_perfect_one_tells(place in 0..VENUES.len(), seed: u64) {
        let venue = VENUES[place];
        let pieces = market(venue, seed, 800);
        let (one, (two, may_lack_trades)) = (one_line(venue, &pieces), two_lines(venue, &pieces, seed));
        // Of different symbols they may interleave in another way.
        for symbol in venue.facts().symbols {
            for kind in ["book", "Trade"] {
                let of = |rig| calls(rig, kind).into_iter().filter(|call| call.contains(symbol)).collect::<Vec<_>>();
                let (right, mut told) = (of(&one), of(&two));
                if kind == "Trade" {
                    // The copy of one from before the first book may come behind it: it is told, which harms nobody.
                    let first = told.iter().position(|told| right.first() == Some(told));
                    told.drain(..first.unwrap_or(0));
                }
                prop_assert!(kind == "Trade" || right.len() > 10, "{venue}: {} books", right.len());
                // Those of Bybit have no order: where one line takes over they may be told twice, or not.
                let are_unordered = matches!(venue, VenueId::BybitSpot | VenueId::BybitLinear);
                if kind == "Trade" && (are_unordered || may_lack_trades) {
                    continue;
                }
                let differ = right.iter().zip(&told).position(|(right, told)| right != told);
                prop_assert_eq!(differ.map(|at| (right[at], told[at])), None, "{} {}", venue, symbol);
                prop_assert_eq!(right.len(), told.len(), "{} {} {}", venue, symbol, kind);
            }
        }
        let resyncs = |rig: &Rig| rig.log.count(|event| matches!(event, FeedEvent::ResyncStarted { .. }));
        prop_assert_eq!(resyncs(&two), resyncs(&one), "{}: {:?}", venue, two.log.events);
        let repeats = two.log.count(|event| matches!(event, FeedEvent::Repeated { .. }));
        prop_assert!(repeats > 10, "{} repeats", repeats);
    }
}

const BTC: SymbolId = SymbolId(0);

fn delta(id: u64, price: &str, qty: &str) -> String {
    format!(
        "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"delta\",\"ts\":{ts},\"data\":{{\"s\":\"BTCUSDT\",\
         \"b\":[[\"{price}\",\"{qty}\"]],\"a\":[],\"u\":{id},\"seq\":{id}}},\"cts\":{ts}}}",
        ts = 1_700_000_000_000 + id
    )
}

fn whole(id: u64, time: u64) -> String {
    format!(
        "{{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"snapshot\",\"ts\":{time},\"data\":{{\"s\":\"BTCUSDT\",\
         \"b\":[[\"100.0\",\"1.0\"]],\"a\":[[\"101.0\",\"1.0\"]],\"u\":{id},\"seq\":{id}}},\"cts\":{time}}}"
    )
}

/// Bybit, one book shown at id 12, on both lines.
fn shown() -> Rig {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT"]));
    rig.frame_on(Line::First, &whole(10, 1_700_000_000_010));
    rig.open_line(Line::Second);
    for id in [11, 12] {
        rig.frame_on(Line::First, &delta(id, "100.0", "2.0"));
    }
    rig.frame_on(Line::Second, &whole(11, 1_700_000_000_011));
    rig.frame_on(Line::Second, &delta(12, "100.0", "2.0"));
    rig.log.calls.clear();
    rig.log.events.clear();
    rig
}

fn ids(rig: &Rig) -> Vec<u64> {
    let id = |call: &&String| {
        call.split("} } ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
    };
    calls(rig, "book")
        .iter()
        .map(|call| id(call).unwrap_or_else(|| panic!("no id in {call}")))
        .collect()
}

fn resyncs(rig: &Rig) -> Vec<ResyncReason> {
    let reason = |event: &FeedEvent| match event {
        FeedEvent::ResyncStarted { reason, .. } => Some(*reason),
        _ => None,
    };
    rig.log.events.iter().filter_map(reason).collect()
}

#[test]
fn a_second_line_is_asked_for_everything_and_joins_when_it_carries_every_book() {
    let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitSpot, ["BTCUSDT"]));
    rig.frame_on(Line::First, &whole(10, 1_700_000_000_010));
    rig.sent();
    rig.open_line(Line::Second);
    assert!(rig.out.frames_by_line().all(|(line, _)| line == Line::Second));
    assert!(
        rig.out
            .frames_by_line()
            .any(|(_, frame)| frame.contains("orderbook.50.BTCUSDT"))
    );
    assert_eq!(rig.session.standing(Line::Second), LineStanding::Unheard);
    rig.wait_ms(1);
    rig.frame_on(Line::Second, &whole(12, 1_700_000_000_012));
    assert_eq!(
        rig.session.standing(Line::Second),
        LineStanding::Heard,
        "its greeting is ahead of the book"
    );
    for id in [11, 12, 13] {
        rig.frame_on(Line::First, &delta(id, "100.0", "2.0"));
    }
    rig.frame_on(Line::Second, &delta(13, "100.0", "2.0"));
    assert_eq!(rig.session.standing(Line::Second), LineStanding::Joined);
    assert!(
        calls(&rig, "book")
            .iter()
            .skip(1)
            .all(|call| call.contains("Verified false")),
        "the book went on"
    );
}

#[test]
fn the_line_that_is_first_is_heard_and_the_copy_is_counted() {
    let mut rig = shown();
    rig.frame_on(Line::Second, &delta(13, "100.0", "3.0"));
    rig.frame_on(Line::First, &delta(13, "100.0", "3.0"));
    rig.frame_on(Line::First, &delta(14, "100.0", "4.0"));
    rig.frame_on(Line::Second, &delta(14, "100.0", "4.0"));
    assert_eq!(ids(&rig), [13, 14]);
    let repeats = |line| {
        rig.log
            .count(|event| *event == FeedEvent::Repeated { symbol: BTC, line })
    };
    assert_eq!((repeats(Line::First), repeats(Line::Second)), (1, 1));
}

#[test]
fn what_one_line_has_lost_the_other_brings() {
    let mut rig = shown();
    rig.frame_on(Line::First, &delta(14, "100.0", "4.0"));
    assert!(ids(&rig).is_empty() && rig.is_shown(0), "13 may be on its way");
    for id in 13..16 {
        rig.frame_on(Line::Second, &delta(id, "100.0", "4.0"));
    }
    rig.frame_on(Line::First, &delta(15, "100.0", "4.0"));
    assert_eq!(ids(&rig), [13, 14, 15]);
    assert!(resyncs(&rig).is_empty());
}

#[test]
fn what_both_lines_have_lost_is_a_gap() {
    let mut rig = shown();
    rig.frame_on(Line::First, &delta(14, "100.0", "4.0"));
    rig.frame_on(Line::Second, &delta(14, "100.0", "4.0"));
    assert_eq!(resyncs(&rig), [ResyncReason::SequenceGap { expected: 13, got: 14 }]);
    assert!(!rig.is_shown(0));
}

#[test]
fn what_does_not_come_for_half_a_second_is_a_gap() {
    let mut rig = shown();
    rig.frame_on(Line::First, &delta(14, "100.0", "4.0"));
    rig.wait_ms(499);
    assert!(resyncs(&rig).is_empty());
    rig.wait_ms(2);
    assert_eq!(resyncs(&rig), [ResyncReason::SequenceGap { expected: 13, got: 14 }]);
}

#[test]
fn a_line_that_ends_takes_no_book_with_it() {
    let mut rig = shown();
    rig.close_line(Line::First);
    rig.frame_on(Line::Second, &delta(13, "100.0", "4.0"));
    assert_eq!(ids(&rig), [13]);
    assert!(resyncs(&rig).is_empty());
    rig.close_line(Line::Second);
    assert_eq!(resyncs(&rig), [ResyncReason::Disconnected]);
    assert_eq!(rig.session.quality(BTC), Quality::Resyncing);
}

#[test]
fn the_line_that_is_left_may_lag_behind() {
    let mut rig = shown();
    for id in 13..20 {
        rig.frame_on(Line::First, &delta(id, "100.0", "4.0"));
    }
    rig.close_line(Line::First);
    for id in 13..22 {
        rig.frame_on(Line::Second, &delta(id, "100.0", "4.0"));
    }
    assert_eq!(ids(&rig), (13..22).collect::<Vec<_>>());
    assert!(resyncs(&rig).is_empty());
    rig.frame_on(Line::Second, &delta(20, "100.0", "4.0"));
    assert_eq!(
        resyncs(&rig).len(),
        1,
        "once it has caught up an id that goes back is a gap again"
    );
}

#[test]
fn a_damaged_frame_of_one_line_costs_nothing() {
    let mut rig = shown();
    rig.frame_on(Line::First, &delta(13, "100.0", "4.x"));
    rig.frame_on(Line::Second, &delta(13, "100.0", "4.0"));
    rig.frame_on(Line::First, &delta(14, "100.0", "5.0"));
    assert_eq!(ids(&rig), [13, 14]);
    assert!(resyncs(&rig).is_empty());
    assert_eq!(
        rig.log.count(|event| matches!(event, FeedEvent::FrameRejected { .. })),
        1
    );
}

#[test]
fn a_restart_of_the_service_is_obeyed_once() {
    let mut rig = shown();
    rig.frame_on(Line::First, &whole(1, 1_700_000_001_000));
    rig.frame_on(
        Line::First,
        &delta(2, "100.0", "4.0").replace("1700000000002", "1700000001002"),
    );
    rig.frame_on(Line::Second, &delta(13, "100.0", "4.0")); // from before the restart
    rig.frame_on(Line::Second, &whole(1, 1_700_000_001_000));
    rig.frame_on(
        Line::Second,
        &delta(2, "100.0", "4.0").replace("1700000000002", "1700000001002"),
    );
    rig.frame_on(
        Line::Second,
        &delta(3, "100.0", "5.0").replace("1700000000003", "1700000001003"),
    );
    assert_eq!(ids(&rig), [1, 2, 3]);
    assert!(resyncs(&rig).is_empty(), "{:?}", rig.log.events);
}

#[test]
fn a_line_that_is_mute_beside_the_other_is_opened_anew() {
    let mut rig = shown();
    for id in 13..50 {
        rig.wait_ms(1_000);
        rig.frame_on(Line::First, &delta(id, "100.0", "4.0"));
    }
    rig.wait_ms(1);
    assert_eq!(rig.out.reconnect_of(Line::Second), Some(ReconnectReason::Silent));
    assert_eq!(rig.out.reconnect_of(Line::First), None);
}

#[test]
fn both_lines_are_pinged_and_one_of_them_asks_for_a_book() {
    let mut rig = shown();
    rig.sent();
    rig.wait_ms(20_001);
    let pinged: Vec<Line> = rig.out.frames_by_line().map(|(line, _)| line).collect();
    assert_eq!(pinged, Line::ALL);
    rig.out.clear();
    rig.close_line(Line::First);
    rig.open_line(Line::First);
    rig.out.clear();
    for line in Line::ALL {
        rig.frame_on(line, &delta(20, "100.0", "4.0"));
    }
    rig.wait_ms(500);
    assert!(!rig.is_shown(0));
    let asked: Vec<Line> = rig.out.frames_by_line().map(|(line, _)| line).collect();
    assert_eq!(asked, [Line::Second; 2], "the older one, to leave and to come back");
}
