//! Shown books held against the venue's REST books: what agrees, what does not, what cannot be said; a quiet market, a
//! dead feed.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use quantumflow_feeds::event::{CheckpointMiss, FeedEvent, LevelDifference, ResyncReason, SnapshotFault::Unavailable};
use quantumflow_feeds::venue::{ReconnectReason, Session, SessionConfig};
use quantumflow_feeds::{Price, Qty, Quality, Side, SymbolId, VenueId};
use venue_support::Rig;

type Levels = BTreeMap<(bool, u64), u64>;

/// A market of one symbol by ordered maps: whole prices and quantities.
#[derive(Clone)]
struct Market {
    symbol: &'static str,
    id: u64,
    levels: Levels,
}

impl Market {
    fn new(symbol: &'static str) -> Self {
        let bids = (940..1000).map(|price| ((true, price), 5));
        let asks = (1001..1061).map(|price| ((false, price), 7));
        Self {
            symbol,
            id: 100,
            levels: bids.chain(asks).collect(),
        }
    }

    fn set(&mut self, is_bid: bool, price: u64, qty: u64) {
        match qty {
            0 => self.levels.remove(&(is_bid, price)),
            qty => self.levels.insert((is_bid, price), qty),
        };
    }

    /// A diff of `ids` ids that sets these levels.
    fn diff(&mut self, ids: u64, changes: &[(bool, u64, u64)]) -> String {
        changes
            .iter()
            .for_each(|(is_bid, price, qty)| self.set(*is_bid, *price, *qty));
        let first = self.id + 1;
        self.id += ids;
        let side = |is_bid: bool| {
            let levels = changes.iter().filter(|change| change.0 == is_bid);
            levels
                .map(|(_, price, qty)| level(*price, *qty))
                .collect::<Vec<_>>()
                .join(",")
        };
        format!(
            "{{\"stream\":\"{}@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{}\",\"U\":{first},\"u\":{},\"b\":[{}],\"a\":[{}]}}}}",
            self.symbol.to_lowercase(),
            1_700_000_000_000 + self.id,
            self.symbol,
            self.id,
            side(true),
            side(false)
        )
    }

    /// The REST book.
    fn body(&self) -> String {
        let side = |of: bool| {
            let levels = self.levels.iter().filter(|((is_bid, _), _)| *is_bid == of);
            let mut levels: Vec<_> = levels.map(|((_, price), qty)| level(*price, *qty)).collect();
            if of {
                levels.reverse();
            }
            levels.join(",")
        };
        format!(
            "{{\"lastUpdateId\":{},\"bids\":[{}],\"asks\":[{}]}}",
            self.id,
            side(true),
            side(false)
        )
    }
}

fn level(price: u64, qty: u64) -> String {
    format!("[\"{price}.00000000\",\"{qty}.00000000\"]")
}

fn config(symbols: &[&'static str]) -> SessionConfig {
    SessionConfig {
        checkpoint_interval: Some(Duration::from_secs(60)),
        ..SessionConfig::new(VenueId::BinanceSpot, symbols.iter().copied())
    }
}

/// A session that shows the market, whose checkpoint is ordered, and one message later.
fn armed() -> (Rig, Market) {
    let (mut rig, mut market) = shown(Duration::from_secs(3_600));
    rig.wait_ms(60_000);
    let order = rig.out.snapshot_requests()[0];
    assert_eq!(
        order.not_before.since(rig.now),
        1_000_000_000,
        "the stream is remembered first"
    );
    assert_eq!(rig.checkpoints_ordered(), [0]);
    rig.frame(&market.diff(1, &[(true, 950, 5)]));
    rig.log.events.clear();
    (rig, market)
}

fn shown(book_silence: Duration) -> (Rig, Market) {
    let mut rig = Rig::open(&SessionConfig {
        book_silence,
        ..config(&["BTCUSDT"])
    });
    let mut market = Market::new("BTCUSDT");
    rig.frame(&market.diff(1, &[]));
    rig.snapshot(0, Ok(&market.body()));
    rig.frame(&market.diff(1, &[(true, 950, 5)]));
    assert!(rig.is_shown(0));
    rig.out.clear();
    (rig, market)
}

const BTC: SymbolId = SymbolId(0);

fn matched(update_id: u64) -> FeedEvent {
    FeedEvent::CheckpointMatched {
        symbol: BTC,
        update_id,
        quality: Quality::Verified,
    }
}

fn missed(reason: CheckpointMiss) -> FeedEvent {
    FeedEvent::CheckpointMissed { symbol: BTC, reason }
}

fn differs(update_id: u64, (is_bid, price): (bool, i64), shown: i64, told: i64) -> FeedEvent {
    let side = if is_bid { Side::Bid } else { Side::Ask };
    FeedEvent::CheckpointDiffers {
        symbol: BTC,
        difference: LevelDifference {
            update_id,
            side,
            price: Price(price),
            shown: Qty(shown),
            told: Qty(told),
        },
    }
}

fn withdrawn(reason: ResyncReason) -> FeedEvent {
    FeedEvent::ResyncStarted { symbol: BTC, reason }
}

#[test]
fn a_book_is_held_against_rest_at_the_id_of_the_rest_book() {
    // Where the stream stands.
    let (mut rig, market) = armed();
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.log.events, [matched(market.id)]);
    // Where it was.
    let (mut rig, mut market) = armed();
    let (id, body) = (market.id, market.body());
    for price in 940..1000 {
        rig.frame(&market.diff(2, &[(true, price, 9), (false, price + 100, 0), (true, price, 8)]));
    }
    rig.checkpoint(0, Ok(&body));
    assert_eq!(rig.log.events, [matched(id)]);
    // Where it is not yet.
    let (mut rig, mut market) = armed();
    let mut later = market.clone();
    let diffs = [later.diff(1, &[(true, 999, 0)]), later.diff(3, &[(false, 1000, 1)])];
    let id = later.id;
    rig.checkpoint(0, Ok(&later.body()));
    rig.frame(&diffs[0]);
    assert_eq!(rig.log.events, [], "the stream has to come there first");
    rig.frame(&diffs[1]);
    assert_eq!(rig.log.events, [matched(id)]);
    market.id = 0;
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.log.events.len(), 1, "nothing is awaited any more");
}

#[test]
fn inside_a_message_the_levels_that_it_names_are_not_judged() {
    let (mut rig, mut market) = armed();
    let mut inside = market.clone();
    inside.diff(2, &[(true, 998, 77), (false, 1000, 3)]); // a level on its way, and one that comes and goes
    let diff = market.diff(5, &[(true, 998, 78), (false, 1000, 0)]);
    rig.frame(&diff);
    rig.checkpoint(0, Ok(&inside.body()));
    assert_eq!(rig.log.events, [matched(inside.id)]);
    // All of it in motion: nothing can be said.
    let (mut rig, mut market) = armed();
    let mut inside = market.clone();
    inside.id += 1;
    let all: Vec<_> = market
        .levels
        .keys()
        .map(|(is_bid, price)| (*is_bid, *price, 9))
        .collect();
    rig.frame(&market.diff(5, &all));
    rig.checkpoint(0, Ok(&inside.body()));
    assert_eq!(rig.log.events, [missed(CheckpointMiss::Unclear)]);
}

#[test]
fn a_wrong_level_under_right_ids_withdraws_the_book_and_a_snapshot_heals_it() {
    let right = (true, 960, 5);
    for (wrong, told) in [((true, 960, 6), 5), ((true, 960, 0), 5), ((false, 1030, 8), 7)] {
        let (mut rig, mut market) = armed();
        let diff = market.clone().diff(1, &[wrong]);
        market.diff(1, &[right]);
        rig.frame(&diff);
        rig.frame(&market.diff(1, &[(false, 1001, 4)]));
        rig.checkpoint(0, Ok(&market.body()));
        let (is_bid, price, qty) = wrong;
        let reason = ResyncReason::CheckpointDiffers { update_id: market.id };
        let expected = [
            differs(market.id, (is_bid, price as i64), qty as i64, told),
            withdrawn(reason),
        ];
        assert_eq!(rig.log.events, expected);
        assert!(!rig.is_shown(0));
        rig.frame(&market.diff(1, &[(true, 999, 4)]));
        assert_eq!(rig.out.snapshot_requests().len(), 1);
        rig.snapshot(0, Ok(&market.body()));
        rig.frame(&market.diff(1, &[(true, 999, 5)]));
        assert!(rig.is_shown(0));
        rig.out.clear();
        rig.wait_ms(20_000);
        rig.frame(&market.diff(1, &[(true, 999, 5)]));
        rig.wait_ms(40_001);
        assert_eq!(rig.checkpoints_ordered(), [0], "and is looked at again");
        rig.checkpoint(0, Ok(&market.body()));
        assert_eq!(rig.log.events.last(), Some(&matched(market.id)));
    }
}

#[test]
fn a_level_that_nobody_else_has_is_a_difference() {
    let (mut rig, mut market) = armed();
    let diff = market.clone().diff(1, &[(false, 1000, 1)]);
    market.id += 1;
    rig.frame(&diff);
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.log.events[0], differs(market.id, (false, 1000), 1, 0));
}

#[test]
fn a_difference_inside_a_message_is_looked_at_twice() {
    let (mut rig, mut market) = armed();
    let diff = market.clone().diff(1, &[(true, 960, 6)]);
    market.id += 1;
    rig.frame(&diff);
    let look = |rig: &mut Rig, market: &mut Market| {
        let mut inside = market.clone();
        inside.id += 1;
        rig.frame(&market.diff(3, &[(true, 999, 4)]));
        rig.checkpoint(0, Ok(&inside.body()));
        inside.id
    };
    look(&mut rig, &mut market);
    assert_eq!(rig.log.events, [missed(CheckpointMiss::Unclear)]);
    assert!(rig.is_shown(0));
    rig.wait_ms(1);
    assert_eq!(rig.checkpoints_ordered().len(), 0, "the last one is not paid for");
    rig.wait_ms(1_000);
    assert_eq!(rig.checkpoints_ordered(), [0], "at once, for the same symbol");
    let id = look(&mut rig, &mut market);
    assert_eq!(rig.log.events[1], differs(id, (true, 960), 6, 5));
    assert!(!rig.is_shown(0));
}

#[test]
fn what_cannot_be_compared_is_missed() {
    let (mut rig, market) = armed();
    let mut old = market.clone();
    old.id -= 2;
    rig.checkpoint(0, Ok(&old.body()));
    assert_eq!(rig.log.events, [missed(CheckpointMiss::TooOld)]);

    let (mut rig, _) = armed();
    rig.checkpoint(0, Ok("{\"code\":-1003}"));
    let (mut other, _) = armed();
    other.checkpoint(0, Err(Unavailable));
    assert_eq!(rig.log.events, [missed(CheckpointMiss::Malformed)]);
    assert_eq!(other.log.events, [missed(CheckpointMiss::Unavailable)]);

    // Nobody answers.
    let (mut rig, mut market) = armed();
    for _ in 0..17 {
        rig.wait_ms(1_000);
        rig.frame(&market.diff(1, &[(true, 950, 5)]));
    }
    assert_eq!(rig.log.events, [missed(CheckpointMiss::Unavailable)]);
    assert_eq!(rig.checkpoints_ordered().len(), 0, "not before the next turn");

    // The book was withdrawn meanwhile.
    let (mut rig, mut market) = armed();
    let body = market.body();
    market.diff(1, &[]);
    rig.frame(&market.diff(1, &[]));
    rig.checkpoint(0, Ok(&body));
    assert_eq!(rig.log.events[1..], [missed(CheckpointMiss::NotShown)]);

    // The stream goes on, but has not come to that id.
    let (mut rig, mut market) = armed();
    let mut later = market.clone();
    later.id += 1_000;
    later.set(true, 999, 1);
    rig.checkpoint(0, Ok(&later.body()));
    for _ in 0..6 {
        rig.wait_ms(1_000);
        rig.frame(&market.diff(1, &[(true, 950, 5)]));
    }
    assert_eq!(rig.log.events, [missed(CheckpointMiss::Ahead)]);
    assert!(rig.is_shown(0));
}

#[test]
fn a_number_that_needs_more_decimals_begins_the_memory_anew() {
    for (back, expected) in [(0, matched(103)), (1, missed(CheckpointMiss::TooOld))] {
        let (mut rig, mut market) = armed();
        let mut body = market.clone();
        body.id -= back;
        rig.frame(
            &market
                .diff(1, &[(true, 950, 6)])
                .replace("950.00000000", "950.50000000"),
        );
        rig.checkpoint(0, Ok(&body.body()));
        assert_eq!(rig.log.events[1..], [expected], "behind the news of the scale");
        assert!(rig.is_shown(0));
    }
}

/// Lets a shown book become stale, at once.
fn stale() -> (Rig, Market) {
    let (mut rig, market) = shown(Duration::from_secs(30));
    rig.log.events.clear();
    rig.wait_ms(31_000);
    assert_eq!(rig.session.quality(BTC), Quality::Stale);
    assert_eq!(rig.out.snapshot_requests()[0].not_before, rig.now, "without a delay");
    assert_eq!(rig.checkpoints_ordered(), [0], "before its turn");
    rig.log.events.clear();
    (rig, market)
}

#[test]
fn a_quiet_market_is_told_from_a_dead_feed() {
    // The same book at the same id.
    let (mut rig, market) = stale();
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.log.events, [matched(market.id)]);
    assert_eq!(rig.session.quality(BTC), Quality::Verified);
    rig.wait_ms(29_000);
    assert_eq!(rig.session.quality(BTC), Quality::Verified, "the silence starts anew");
    rig.wait_ms(3_000);
    assert_eq!(rig.session.quality(BTC), Quality::Stale);
    assert_eq!(rig.checkpoints_ordered(), [0]);

    // The same book at a later id: of changes that were gone before they were told.
    let (mut rig, mut market) = stale();
    market.id += 3;
    rig.checkpoint(0, Ok(&market.body()));
    rig.wait_ms(4_900);
    assert_eq!(rig.log.events, [], "the stream may only lag");
    rig.wait_ms(200);
    assert_eq!(rig.log.events, [matched(market.id)]);
    assert_eq!(rig.session.quality(BTC), Quality::Verified);
    assert_eq!(rig.out.reconnect(), None);

    // Another book: its messages do not come.
    let (mut rig, mut market) = stale();
    market.diff(3, &[(true, 960, 6)]);
    rig.checkpoint(0, Ok(&market.body()));
    rig.wait_ms(5_100);
    let dead = [differs(market.id, (true, 960), 5, 6), withdrawn(ResyncReason::Silent)];
    assert_eq!(rig.log.events, dead);
    assert_eq!(rig.out.reconnect(), Some(ReconnectReason::Silent));
    assert!(!rig.is_shown(0));
}

#[test]
fn a_stale_book_that_could_not_be_judged_is_looked_at_again_soon() {
    let (mut rig, market) = stale();
    rig.checkpoint(0, Err(Unavailable));
    rig.wait_ms(4_900);
    assert_eq!(rig.checkpoints_ordered().len(), 0);
    rig.wait_ms(200);
    assert_eq!(rig.checkpoints_ordered(), [0]);
    assert_eq!(rig.session.quality(BTC), Quality::Stale);
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.session.quality(BTC), Quality::Verified);
}

#[test]
fn symbols_take_their_turns_one_at_a_time() {
    let symbols = ["BTCUSDT", "ETHUSDT", "XRPUSDT"];
    let mut rig = Rig::open(&SessionConfig {
        book_silence: Duration::from_secs(3_600),
        ..config(&symbols)
    });
    let mut markets = symbols.map(Market::new);
    for (index, market) in (0..).zip(&mut markets) {
        rig.frame(&market.diff(1, &[]));
        rig.snapshot(index, Ok(&market.body()));
        rig.frame(&market.diff(1, &[]));
    }
    rig.out.clear();
    let mut orders = Vec::new();
    for second in 0..180 {
        rig.wait_ms(1_000);
        for symbol in rig.checkpoints_ordered() {
            orders.push((second, symbol));
            rig.checkpoint(symbol, Ok(&markets[usize::from(symbol)].body()));
        }
    }
    let turns = [
        (19, 0),
        (39, 1),
        (59, 2),
        (79, 0),
        (99, 1),
        (119, 2),
        (139, 0),
        (159, 1),
        (179, 2),
    ];
    // The snapshots of the start have to be paid for first.
    assert_eq!(orders, turns);
    assert_eq!(
        rig.log
            .count(|event| matches!(event, FeedEvent::CheckpointMatched { .. })),
        9
    );
}

#[test]
fn more_symbols_than_there_is_time_for_are_late_alike() {
    let names: Vec<String> = (0..100).map(|index| format!("A{index}USDT")).collect();
    let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
    let mut rig = Rig::open(&SessionConfig {
        book_silence: Duration::from_secs(3_600),
        backlog_bytes: 64 << 10,
        ..config(&names)
    });
    let mut markets: Vec<Market> = names.iter().map(|name| Market::new(name)).collect();
    for (index, market) in (0..).zip(&mut markets) {
        rig.frame(&market.diff(1, &[]));
        rig.snapshot(index, Ok(&market.body()));
        rig.frame(&market.diff(1, &[]));
    }
    rig.out.clear();
    rig.wait_ms(600_000); // until the snapshots are paid for
    let mut looks = vec![0; names.len()];
    let mut under_way = rig.checkpoints_ordered();
    for _ in 0..400 {
        for symbol in std::mem::take(&mut under_way) {
            looks[usize::from(symbol)] += 1;
            rig.checkpoint(symbol, Ok(&markets[usize::from(symbol)].body()));
        }
        rig.wait_ms(1_000); // each takes a second, and the next is ordered
        under_way.extend(rig.checkpoints_ordered());
    }
    assert!(looks.iter().all(|looks| (3..=5).contains(looks)), "{looks:?}");
}

#[test]
fn checkpoints_are_off_unless_wanted_and_where_the_ids_are_others() {
    for venue in VenueId::ALL {
        let facts = venue.facts();
        let wanted = SessionConfig {
            checkpoint_interval: Some(Duration::from_secs(60)),
            ..SessionConfig::new(venue, facts.symbols)
        };
        let depths = [facts.default_depth, 1000]
            .into_iter()
            .filter(|depth| (facts.has_depth)(*depth));
        for depth in depths {
            let session = Session::new(&SessionConfig {
                depth,
                ..wanted.clone()
            })
            .unwrap();
            let path = session.checkpoint_path(BTC);
            assert_eq!(path.is_some(), (facts.has_checkpoints)(depth), "{venue} {depth}");
        }
    }
    let (mut rig, mut market) = shown(Duration::from_secs(30));
    let mut off = Rig::binance(&["BTCUSDT"]);
    std::mem::swap(&mut rig, &mut off);
    let mut own = Market::new("BTCUSDT");
    rig.frame(&own.diff(1, &[]));
    rig.snapshot(0, Ok(&own.body()));
    rig.frame(&own.diff(1, &[]));
    rig.out.clear();
    for _ in 0..200 {
        rig.wait_ms(1_000);
        assert_eq!(rig.checkpoints_ordered().len(), 0);
    }
    rig.checkpoint(0, Ok(&market.body()));
    off.frame(&market.diff(1, &[]));
    let told = |rig: &Rig| {
        rig.log.count(|event| {
            matches!(
                event,
                FeedEvent::CheckpointMatched { .. } | FeedEvent::CheckpointMissed { .. }
            )
        })
    };
    assert_eq!((told(&rig), told(&off)), (0, 0));
}

#[test]
fn a_lost_connection_ends_what_was_under_way() {
    let (mut rig, market) = armed();
    rig.session.on_close(&mut rig.log);
    rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
    rig.log.events.clear();
    rig.checkpoint(0, Ok(&market.body()));
    assert_eq!(rig.log.events, []);
}

/// What came of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Match,
    Mismatch,
    Unclear,
}

/// The rule by ordered maps: the fifty best of each side of the venue's book, all of ours that lies between them, but for
/// what the message names that the id lies inside.
fn rule(told: &Levels, shown: &Levels, moving: &[(bool, u64)], is_inside: bool) -> Said {
    let kept: Vec<(bool, u64)> = {
        let bids = told.keys().rev().filter(|key| key.0).take(50);
        bids.chain(told.keys().filter(|key| !key.0).take(50)).copied().collect()
    };
    let worst = |is_bid: bool| kept.iter().rfind(|key| key.0 == is_bid).map(|key| key.1);
    let is_between = |key: &&(bool, u64)| match (key.0, worst(key.0)) {
        (true, Some(worst)) => key.1 >= worst,
        (false, Some(worst)) => key.1 <= worst,
        (_, None) => false,
    };
    let is_still = |key: &&(bool, u64)| !moving.contains(key);
    let mut all = told.keys().chain(shown.keys()).filter(is_between).filter(is_still);
    if all.any(|key| told.get(key) != shown.get(key)) {
        return if is_inside { Said::Unclear } else { Said::Mismatch };
    }
    match 2 * kept.iter().filter(is_still).count() >= kept.len() {
        true => Said::Match,
        false => Said::Unclear,
    }
}

proptest! {
    #[test]
    fn any_rest_book_is_judged_by_the_rule(
        messages in proptest::collection::vec(
            (1_usize..4, proptest::collection::vec((any::<bool>(), 0_u64..60, 0_u64..4), 0..8)), 1..30),
        wanted in any::<prop::sample::Index>(),
        wrong in proptest::option::of((any::<prop::sample::Index>(), any::<bool>(), 0_u64..60, 0_u64..4)),
        comes_first: bool,
    ) {
        let (mut rig, mut market) = armed();
        // The venue's book at every id, and ours at the end of every message, with the levels that it named.
        let mut truths = vec![market.clone()];
        let mut shown = vec![(market.id, market.levels.clone(), Vec::new())];
        let mut ours = market.clone();
        let mut frames = Vec::new();
        for (index, (ids, changes)) in messages.iter().enumerate() {
            let mut all = Vec::new();
            for id in 0..*ids {
                let apart = |(is_bid, place, qty): &(bool, u64, u64)| (*is_bid, price_of(*is_bid, place + id as u64), *qty);
                let changes: Vec<_> = changes.iter().map(apart).collect();
                market.diff(1, &changes);
                truths.push(market.clone());
                all.extend(changes);
            }
            if let Some((at, is_bid, place, qty)) = &wrong
                && at.index(messages.len()) == index
            {
                all.push((*is_bid, price_of(*is_bid, *place), *qty));
            }
            frames.push(ours.diff(*ids as u64, &all));
            shown.last_mut().unwrap().2 = all.iter().map(|change| (change.0, change.1)).collect();
            shown.push((ours.id, ours.levels.clone(), Vec::new()));
        }
        let truth = &truths[wanted.index(truths.len())];
        if comes_first {
            rig.checkpoint(0, Ok(&truth.body()));
        }
        frames.iter().for_each(|frame| rig.frame(frame));
        if !comes_first {
            rig.checkpoint(0, Ok(&truth.body()));
        }
        let (id, levels, named) = shown.iter().rfind(|(id, ..)| *id <= truth.id).unwrap();
        let is_inside = *id != truth.id;
        let moving = if is_inside { &named[..] } else { &[] };
        let said = rig.log.events.iter().filter_map(|event| match event {
            FeedEvent::CheckpointMatched { update_id, .. } if *update_id == truth.id => Some(Said::Match),
            FeedEvent::CheckpointDiffers { .. } => Some(Said::Mismatch),
            FeedEvent::CheckpointMissed { reason: CheckpointMiss::Unclear, .. } => Some(Said::Unclear),
            _ => None,
        });
        let expected = rule(&truth.levels, levels, moving, is_inside);
        prop_assert_eq!(said.collect::<Vec<_>>(), [expected]);
        prop_assert_eq!(rig.is_shown(0), expected != Said::Mismatch);
    }
}

/// Prices from the best on; none is in reach of the other side.
fn price_of(is_bid: bool, place: u64) -> u64 {
    if is_bid { 1000 - place } else { 1001 + place }
}
