//! The feature engine against the slow one, on random books, and against what it promises for absurd ones.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;

use features_support::{Call, Levels, Reference, book_update, feed, instrument};
use proptest::prelude::*;
use quantumflow::features::{
    BASE_FEATURES, FEATURE_COUNT, Feature, FeatureEngine, FeatureVector, WARM_UP_UPDATES, registry::FEATURES,
    warm_up_of,
};
use quantumflow_feeds::book::Book;
use quantumflow_feeds::{Price, Qty, Side};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A market that wanders: books of 1 to 12 levels, many trades or few, steps in time that are steady, or sometimes none and
/// sometimes backwards.
fn random_market(seed: u64, calls: usize) -> Vec<Call> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |bound: u64| rng.next_u64() % bound;
    let tick = [1, 5, 100, 1_000_000][below(4) as usize];
    let steps_ns = [
        [0, 1_000_000, 100_000_000, 3_000_000_000],
        [0, 0, 1_000, 20_000],
        [10_000_000; 4],
        [500_000_000; 4],
    ][below(4) as usize];
    let trades_of_5 = 1 + below(4);
    let mut mid = 50_000 + below(1_000) as i64;
    let mut time_ns = 1_700_000_000_000_000_000;
    let mut market = Vec::new();
    let mut bids: Levels = Vec::new();
    let mut asks: Levels = Vec::new();
    for at in 0..calls {
        time_ns += steps_ns[below(4) as usize];
        let late_ns = [0, 0, 0, 40_000_000][below(4) as usize];
        if at > 0 && below(5) < trades_of_5 {
            market.push(Call::Trade {
                time_ns: time_ns - late_ns,
                price: (mid + below(5) as i64 - 2) * tick,
                qty: 1 + below(1_000) as i64,
                buyer: below(2) == 0,
            });
            continue;
        }
        if at == 0 || below(3) == 0 {
            mid += below(5) as i64 - 2;
            let mut side = |sign: i64| -> Levels {
                let mut price = mid + sign * (1 + below(2) as i64);
                (0..1 + below(12))
                    .map(|_| {
                        let level = (price * tick, 1 + below(5_000) as i64);
                        price += sign * (1 + below(3) as i64);
                        level
                    })
                    .collect()
            };
            bids = side(-1);
            asks = side(1);
        } else {
            // One level changes, as most updates go.
            let side = if below(2) == 0 { &mut bids } else { &mut asks };
            let level = below(side.len() as u64) as usize;
            side[level].1 = 1 + below(5_000) as i64;
        }
        let snapshot = at == 0 || below(400) == 0;
        market.push(Call::Book {
            time_ns: time_ns - late_ns,
            snapshot,
            bids: bids.clone(),
            asks: asks.clone(),
        });
    }
    market
}

fn run(market: &[Call]) -> Vec<Option<FeatureVector>> {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    market.iter().map(|call| feed(&mut engine, &instrument, call)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Ratios of integers are equal to the nearest `f32` but for the order of two or three roundings in `f64`; the
    /// bound is two units in the last place of `f32`, and what cancellation leaves of a price near 5e10.
    #[test]
    fn rows_equal_those_computed_from_the_whole_history(seed in any::<u64>()) {
        let market = random_market(seed, 1_000);
        let mut reference = Reference::default();
        let mut rows = 0;
        for (at, (call, got)) in market.iter().zip(run(&market)).enumerate() {
            prop_assert_eq!(got.is_some(), reference.take(call));
            let Some(got) = got else { continue };
            rows += 1;
            // Not each: the slow engine looks at all that was for each.
            if at % 11 != 0 {
                continue;
            }
            let expected = reference.row();
            for (index, def) in FEATURES.iter().enumerate() {
                let (got, expected) = (f64::from(got[index]), expected[index]);
                let error = (got - expected).abs();
                prop_assert!(error <= 2.4e-7 * expected.abs() + 1e-9, "{}: {got} instead of {expected}", def.name);
            }
        }
        prop_assume!(rows > 0);
    }

    /// An engine for a model says what one of all features says, and nothing where it was not asked.
    #[test]
    fn a_value_does_not_depend_on_what_else_was_asked_for(seed in any::<u64>(), asked in any::<u64>()) {
        let market = random_market(seed, 900);
        let is_asked = |feature: Feature| asked >> (feature as usize) & 1 == 1;
        let features = FEATURES.iter().map(|def| def.feature).filter(|&feature| is_asked(feature));
        let mut engine = FeatureEngine::of(features);
        let instrument = instrument();
        for (call, all) in market.iter().zip(run(&market)) {
            let some = feed(&mut engine, &instrument, call);
            prop_assert_eq!(some.is_some(), all.is_some());
            let (Some(some), Some(all)) = (some, all) else { continue };
            for (def, (some, all)) in FEATURES.iter().zip(some.into_iter().zip(all)) {
                let is_there = (def.feature as usize) < BASE_FEATURES || is_asked(def.feature);
                let expected = if is_there { all } else { 0.0 };
                prop_assert_eq!(some.to_bits(), expected.to_bits(), "{}", def.name);
                prop_assert_eq!(engine.computes(def.feature), is_there);
            }
        }
    }

    #[test]
    fn the_same_calls_give_the_same_bits(seed in any::<u64>()) {
        let market = random_market(seed, 300);
        let bits = |rows: Vec<Option<FeatureVector>>| -> Vec<Option<[u32; FEATURE_COUNT]>> {
            rows.into_iter().map(|row| row.map(|row| row.map(f32::to_bits))).collect()
        };
        prop_assert_eq!(bits(run(&market)), bits(run(&market)));
    }

    /// Whatever came before a snapshot leaves no trace in what comes after.
    #[test]
    fn a_snapshot_begins_anew(seed in any::<u64>()) {
        let (before, after) = (random_market(seed, 150), random_market(seed.wrapping_add(1), 300));
        let joined: Vec<Call> = before.iter().chain(&after).cloned().collect();
        prop_assert_eq!(&run(&joined)[before.len()..], &run(&after)[..]);
    }

    /// Prices and quantities at the ends of their types, empty sides, crossed books, times from anywhere.
    #[test]
    fn every_value_is_finite_for_any_book(
        books in proptest::collection::vec((any::<u64>(), any::<bool>(), absurd_side(), absurd_side(), absurd(), absurd()), 150..260),
    ) {
        let instrument = instrument();
        let mut engine = FeatureEngine::new();
        for (time_ns, buyer, bids, asks, price, qty) in books {
            let mut book = Book::new();
            for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
                for (price, qty) in levels {
                    book.set(side, Price(price), Qty(qty));
                }
            }
            feed(&mut engine, &instrument, &Call::Trade { time_ns, price, qty, buyer });
            if let Some(row) = engine.on_book(&book_update(&instrument, &book, time_ns, false)) {
                prop_assert!(row.iter().all(|value| value.is_finite()), "{row:?}");
            }
        }
    }
}

/// Mostly usable numbers, so that engines warm up, and some that are not.
fn absurd() -> impl Strategy<Value = i64> {
    prop_oneof![
        200 => 1_i64..1_000,
        200 => (1_i64 << 57)..(1 << 58),
        1 => Just(0),
        1 => Just(-1),
        1 => Just(1),
    ]
}

fn absurd_side() -> impl Strategy<Value = Vec<(i64, i64)>> {
    proptest::collection::vec((absurd(), prop_oneof![1_i64..10, (i64::MAX - 10)..=i64::MAX]), 1..12)
}

#[test]
fn the_widest_books_that_are_believed_stay_finite() {
    // A crossed book begins anew, so random absurd books rarely warm up: this one does, at the bounds.
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let mut row = None;
    for at in 0..300_u64 {
        let far = at % 2 == 0;
        let (bid, ask) = if far { (1, 1 << 58) } else { ((1 << 58) - 1, 1 << 58) };
        let qty = if far { i64::MAX } else { 1 };
        let call = Call::Book {
            time_ns: at,
            snapshot: at == 0,
            bids: vec![(bid, qty); 1],
            asks: vec![(ask, qty), (i64::MAX, i64::MAX)],
        };
        feed(
            &mut engine,
            &instrument,
            &Call::Trade {
                time_ns: u64::MAX - at,
                price: 1 << 58,
                qty: i64::MAX,
                buyer: far,
            },
        );
        row = feed(&mut engine, &instrument, &call).or(row);
    }
    let row = row.expect("300 updates are more than the warm-up");
    assert!(row.iter().all(|value| value.is_finite()), "{row:?}");
}

#[test]
fn the_first_row_comes_after_the_warm_up() {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let call = |snapshot| Call::Book {
        time_ns: 1,
        snapshot,
        bids: vec![(100, 5)],
        asks: vec![(101, 5)],
    };
    let first = (1..).find(|&update| feed(&mut engine, &instrument, &call(update == 1)).is_some());
    assert_eq!(first, Some(WARM_UP_UPDATES));
    assert!(engine.row().is_some());

    assert_eq!(feed(&mut engine, &instrument, &call(true)), None, "a snapshot");
    assert_eq!(engine.updates(), 1);
    assert_eq!(engine.row(), None);
}

#[test]
fn a_feature_that_is_not_warm_is_0_and_delays_no_other() {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    // Falls and rises and trades all the while: nothing that is warm is 0.
    for update in 1..=400_u16 {
        let step = i64::from([0, 1, 3, 2, 7, 5, 9, 4, 8, 6][usize::from(update / 3) % 10]);
        for (buyer, price) in [(true, 1_010), (true, 1_009), (false, 1_003)] {
            let time_ns = u64::from(update) * 1_000_000;
            feed(
                &mut engine,
                &instrument,
                &Call::Trade {
                    time_ns,
                    price,
                    qty: 40 + 7 * step,
                    buyer,
                },
            );
        }
        let call = Call::Book {
            time_ns: u64::from(update) * 1_000_000,
            snapshot: update == 1,
            bids: vec![(1_000 + step, 5 + step), (980, 7)],
            asks: vec![(1_011 + step, 2 + step), (1_045, 40)],
        };
        let row = feed(&mut engine, &instrument, &call);
        assert_eq!(row.is_some(), update >= WARM_UP_UPDATES);
        let Some(row) = row else { continue };
        for def in FEATURES.iter().filter(|def| def.warm_up_updates > WARM_UP_UPDATES) {
            let is_warm = update >= def.warm_up_updates;
            assert_eq!(
                engine.row_after(warm_up_of([def.feature])).is_some(),
                is_warm,
                "{}",
                def.name
            );
            assert!(
                is_warm || row[def.feature as usize] == 0.0,
                "{} of update {update}",
                def.name
            );
            let is_first = update == def.warm_up_updates;
            assert!(
                !is_first || def.feature == Feature::JumpShare30 || row[def.feature as usize] != 0.0,
                "{}",
                def.name
            );
        }
    }
    assert_eq!(warm_up_of([]), WARM_UP_UPDATES);
    assert_eq!(warm_up_of([Feature::SpreadTicks, Feature::Rsi14]), 150);
}

#[test]
fn a_book_that_cannot_be_used_begins_anew() {
    let instrument = instrument();
    let rows: [(&str, Levels, Levels); 5] = [
        ("no bids", vec![], vec![(101, 5)]),
        ("no asks", vec![(100, 5)], vec![]),
        ("crossed", vec![(101, 5)], vec![(101, 5)]),
        ("a price of nothing", vec![(0, 5)], vec![(101, 5)]),
        ("a price beyond belief", vec![(100, 5)], vec![((1 << 58) + 1, 5)]),
    ];
    for (what, bids, asks) in rows {
        let mut engine = FeatureEngine::new();
        let usable = Call::Book {
            time_ns: 1,
            snapshot: false,
            bids: vec![(100, 5)],
            asks: vec![(101, 5)],
        };
        while feed(&mut engine, &instrument, &usable).is_none() {}
        assert_eq!(
            feed(
                &mut engine,
                &instrument,
                &Call::Book {
                    time_ns: 1,
                    snapshot: false,
                    bids,
                    asks
                }
            ),
            None,
            "{what}"
        );
        assert_eq!(engine.updates(), 0, "{what}");
        assert_eq!(feed(&mut engine, &instrument, &usable), None, "{what}");
        assert_eq!(engine.updates(), 1, "{what}");
    }
}

#[test]
fn one_absurd_time_does_not_stop_the_clock() {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let at = |time_ns| Call::Book {
        time_ns,
        snapshot: false,
        bids: vec![(100, 5)],
        asks: vec![(101, 5)],
    };
    let start = 1_700_000_000_000_000_000;
    while feed(&mut engine, &instrument, &at(start)).is_none() {}
    feed(&mut engine, &instrument, &at(u64::MAX));
    feed(
        &mut engine,
        &instrument,
        &Call::Trade {
            time_ns: start,
            price: 100,
            qty: 1,
            buyer: true,
        },
    );
    let row = feed(&mut engine, &instrument, &at(start + 1)).unwrap();
    assert_eq!(row[Feature::TradeImbalance1s as usize], 1.0);
    let row = feed(&mut engine, &instrument, &at(start + 1_000_000_000)).unwrap();
    assert_eq!(
        row[Feature::TradeImbalance1s as usize],
        0.0,
        "a second later the trade has left"
    );
    assert_eq!(row[Feature::TradeImbalance10s as usize], 1.0);
}

#[test]
fn a_window_by_time_holds_the_newest_trades_when_there_are_too_many() {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let book = Call::Book {
        time_ns: 1,
        snapshot: false,
        bids: vec![(100, 5)],
        asks: vec![(101, 5)],
    };
    while feed(&mut engine, &instrument, &book).is_none() {}
    for buyer in [true, false] {
        for _ in 0..4_096 {
            feed(
                &mut engine,
                &instrument,
                &Call::Trade {
                    time_ns: 2,
                    price: 100,
                    qty: 1,
                    buyer,
                },
            );
        }
    }
    let row = feed(&mut engine, &instrument, &book).unwrap();
    assert_eq!(
        row[Feature::TradeImbalance10s as usize],
        -1.0,
        "the sellers came last and fill the window"
    );
    for seller in 0..4_096 {
        feed(
            &mut engine,
            &instrument,
            &Call::Trade {
                time_ns: 3,
                price: 200,
                qty: 1 + seller % 2,
                buyer: false,
            },
        );
    }
    let row = feed(&mut engine, &instrument, &book).unwrap();
    for feature in [Feature::Vwap10sBps, Feature::Vwap60sBps] {
        assert_eq!(
            row[feature as usize],
            (1e4 * 99.5 / 100.5) as f32,
            "only the newest have a price"
        );
    }
}
