//! The book against a `BTreeMap`, which is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The judge: two maps.
#[derive(Default)]
struct Model {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Model {
    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, i64> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// Best first.
    fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(&price, &qty): (&i64, &i64)| Level {
            price: Price(price),
            qty: Qty(qty),
        };
        match side {
            Side::Bid => self.bids.iter().rev().map(level).collect(),
            Side::Ask => self.asks.iter().map(level).collect(),
        }
    }

    fn set(&mut self, side: Side, price: i64, qty: i64) -> i64 {
        let levels = self.side(side);
        match qty {
            0 => levels.remove(&price).unwrap_or(0),
            qty => levels.insert(price, qty).unwrap_or(0),
        }
    }

    fn truncate(&mut self, side: Side, depth: usize) -> usize {
        let mut removed = 0;
        while self.side(side).len() > depth {
            match side {
                Side::Bid => self.bids.pop_first(),
                Side::Ask => self.asks.pop_last(),
            };
            removed += 1;
        }
        removed
    }
}

fn assert_same(book: &Book, model: &Model) {
    for side in [Side::Bid, Side::Ask] {
        let expected = model.levels(side);
        let got: Vec<Level> = book.levels(side).collect();
        assert_eq!(got, expected, "{side:?}");
        assert_eq!(book.level_count(side), expected.len());
        assert_eq!(book.best(side), expected.first().copied());
        assert_eq!(book.worst(side), expected.last().copied());
        let mut top = [Level::default(); 5];
        let count = book.top(side, &mut top);
        assert_eq!(top[..count], expected[..expected.len().min(5)]);
        let sum: i64 = expected.iter().take(3).map(|level| level.qty.0).sum();
        assert_eq!(book.depth_sum(side, 3), Qty(sum));
    }
    let crossed = match (book.best(Side::Bid), book.best(Side::Ask)) {
        (Some(bid), Some(ask)) => bid.price >= ask.price,
        _ => false,
    };
    assert_eq!(book.is_crossed(), crossed);
}

#[derive(Clone, Debug)]
enum Op {
    /// A price relative to the middle of the market.
    Set {
        side: Side,
        distance: i64,
        qty: i64,
    },
    /// A price anywhere.
    SetFar {
        side: Side,
        price: i64,
        qty: i64,
    },
    /// Set again what the model has at this place.
    Touch {
        side: Side,
        pick: usize,
        qty: i64,
    },
    /// The market moves.
    Walk {
        by: i64,
    },
    Truncate {
        side: Side,
        depth: usize,
    },
    Clear,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

fn qty() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 1..1_000_000_i64, 2 => Just(0)]
}

fn op() -> impl Strategy<Value = Op> {
    let distance = prop_oneof![4 => 0..100_i64, 3 => 0..20_000_i64, 1 => 0..10_000_000_i64];
    let price = prop_oneof![
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        -100..100_i64,
        i64::MAX - 100..=i64::MAX,
        i64::MIN..=i64::MIN + 100
    ];
    let walk = prop_oneof![4 => -50..50_i64, 1 => -30_000_000..30_000_000_i64];
    prop_oneof![
        60 => (side(), distance, qty()).prop_map(|(side, distance, qty)| Op::Set { side, distance, qty }),
        4 => (side(), price, qty()).prop_map(|(side, price, qty)| Op::SetFar { side, price, qty }),
        30 => (side(), any::<usize>(), qty()).prop_map(|(side, pick, qty)| Op::Touch { side, pick, qty }),
        6 => walk.prop_map(|by| Op::Walk { by }),
        2 => (side(), 0..40_usize).prop_map(|(side, depth)| Op::Truncate { side, depth }),
        1 => Just(Op::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_history_gives_the_levels_of_a_sorted_map(
        middle in prop_oneof![Just(6_183_763_i64), Just(0), Just(-500), Just(i64::MAX - 40), any::<i64>()],
        ops in prop::collection::vec(op(), 1..300),
    ) {
        let mut book = Book::new();
        let mut model = Model::default();
        let mut middle = middle;
        let set = |book: &mut Book, model: &mut Model, side, price: i64, qty| {
            let before = book.set(side, Price(price), Qty(qty));
            assert_eq!(before, Qty(model.set(side, price, qty)), "quantity before at {price}");
            assert_eq!(book.quantity_at(side, Price(price)), Qty(qty));
        };
        for op in ops {
            match op {
                Op::Set { side: Side::Bid, distance, qty } => {
                    set(&mut book, &mut model, Side::Bid, middle.saturating_sub(distance), qty);
                }
                Op::Set { side: Side::Ask, distance, qty } => {
                    set(&mut book, &mut model, Side::Ask, middle.saturating_add(distance), qty);
                }
                Op::SetFar { side, price, qty } => set(&mut book, &mut model, side, price, qty),
                Op::Touch { side, pick, qty } => {
                    let levels = model.levels(side);
                    if !levels.is_empty() {
                        let price = levels[pick % levels.len()].price.0;
                        set(&mut book, &mut model, side, price, qty);
                    }
                }
                Op::Walk { by } => middle = middle.saturating_add(by),
                Op::Truncate { side, depth } => {
                    prop_assert_eq!(book.truncate(side, depth), model.truncate(side, depth));
                }
                Op::Clear => {
                    book.clear();
                    model = Model::default();
                }
            }
            assert_same(&book, &model);
        }
        book.clear();
        prop_assert_eq!(book.stats().pages_mapped, 0, "a page was lost");
        assert_same(&book, &Model::default());
    }

    #[test]
    fn a_full_side_keeps_its_best_levels(
        limit in 1..40_usize,
        prices in prop::collection::vec(prop_oneof![0..200_i64, any::<i64>()], 1..200),
        side in side(),
    ) {
        let mut book = Book::with_limits(limit, 0);
        let mut model = Model::default();
        let mut dropped = 0;
        for price in prices {
            book.set(side, Price(price), Qty(1));
            model.set(side, price, 1);
            dropped += model.truncate(side, limit) as u64;
            assert_same(&book, &model);
        }
        prop_assert_eq!(book.stats().dropped_levels, dropped);
    }
}

#[test]
fn a_market_that_leaves_the_window_is_laid_out_anew() {
    let mut book = Book::new();
    let mut model = Model::default();
    let mut set = |book: &mut Book, price: i64, qty| {
        assert_eq!(
            book.set(Side::Bid, Price(price), Qty(qty)).0,
            model.set(Side::Bid, price, qty)
        );
    };
    for distance in 0..100 {
        set(&mut book, 1_000_000 - distance, 5);
    }
    // A thousand times higher: no level of the new market is within the window of the old.
    for round in 1..=40 {
        for distance in 0..100 {
            set(&mut book, 1_000_000_000 - distance, round);
        }
    }
    assert_eq!(book.stats().relayouts, 1);
    assert_eq!(book.stats().far_levels, 100, "the old market is far now");
    let got: Vec<Level> = book.levels(Side::Bid).collect();
    assert_eq!(got, model.levels(Side::Bid));
}

#[test]
fn prices_that_no_window_can_hold_do_not_move_it_for_ever() {
    // Two decimals too many: every level is a window away from the next.
    let mut book = Book::new();
    for round in 1..=100 {
        for level in 0..50 {
            book.set(Side::Ask, Price(level << 30), Qty(round));
        }
    }
    assert_eq!(book.stats().relayouts, 0);
    assert_eq!(book.level_count(Side::Ask), 50);
}

#[test]
fn deep_and_near_levels_of_one_book_are_all_indexed() {
    let mut book = Book::new();
    for (side, price) in [
        (Side::Bid, 6_183_763),
        (Side::Bid, 2_400_000),
        (Side::Ask, 6_183_764),
        (Side::Ask, 9_577_700),
    ] {
        book.set(side, Price(price), Qty(1));
    }
    assert_eq!(book.stats().far_levels, 0);
}

#[test]
fn pages_come_back_when_a_market_walks() {
    let mut book = Book::new();
    for step in 0..100_000 {
        book.set(Side::Bid, Price(step), Qty(1));
        book.set(Side::Bid, Price(step - 100), Qty(0));
    }
    let stats = book.stats();
    assert!(stats.pages_mapped <= 3, "{stats:?}");
    let bytes = stats.bytes;
    assert_eq!(
        bytes,
        Book::new().stats().bytes,
        "the pool grew for a walk that needs three pages"
    );
}

#[test]
fn clear_keeps_the_memory() {
    let mut book = Book::new();
    for level in 0..1_000 {
        book.set(Side::Bid, Price(level * 1_000), Qty(1));
    }
    let bytes = book.stats().bytes;
    book.clear();
    for level in 0..1_000 {
        book.set(Side::Bid, Price(-level * 1_000), Qty(1));
    }
    assert_eq!(book.stats().bytes, bytes);
}

#[test]
fn memory_is_bounded_by_the_level_limit() {
    let mut book = Book::with_limits(1_000, 0);
    let mut price = 1_i64;
    for step in 0..20_000_i64 {
        price = price.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
        // Half of them within one window, half anywhere.
        let at = if step % 2 == 0 { price >> 40 } else { price };
        book.set(Side::Ask, Price(at), Qty(1));
    }
    let stats = book.stats();
    assert_eq!(book.level_count(Side::Ask), 1_000);
    assert!(stats.dropped_levels > 18_900, "{stats:?}");
    assert!(stats.bytes < 2 << 20, "{stats:?}");
}

#[test]
#[cfg(not(debug_assertions))]
fn a_negative_quantity_deletes() {
    let mut book = Book::new();
    book.set(Side::Bid, Price(1), Qty(5));
    book.set(Side::Bid, Price(1), Qty(-5));
    assert_eq!(book.best(Side::Bid), None);
}
