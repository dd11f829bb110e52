//! Markets of ordered maps that a book knows only in part: what it says it knows is the market's.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::Qty;

/// What rests on one side of the venue; keyed so that the first is the best.
type Market = BTreeMap<i64, i64>;

fn by_rank(side: Side, price: i64) -> i64 {
    match side {
        Side::Bid => -price,
        Side::Ask => price,
    }
}

fn best(side: Side, market: &Market, count: usize) -> Vec<Level> {
    let level = |(&rank, &qty): (&i64, &i64)| Level {
        price: Price(by_rank(side, rank)),
        qty: Qty(qty),
    };
    market.iter().take(count).map(level).collect()
}

fn top(side: Side, book: &Book, count: usize) -> Vec<Level> {
    book.levels(side).take(count).collect()
}

/// Asserts that every depth of which the book is sure is right, and that it is sure of all to `sure_of`.
fn judge(side: Side, book: &Book, market: &Market, sure_of: usize) {
    for depth in 0..=DEPTH_MAX {
        let found = top(side, book, depth);
        let is_sure = book.covers(side, depth, &found);
        assert!(
            !is_sure || found == best(side, market, depth),
            "{depth} {side:?} levels: {found:?} of {market:?}"
        );
        assert!(is_sure || depth > sure_of, "{depth} {side:?} levels are known");
        // One who has asked for more is told the same.
        assert_eq!(is_sure, book.covers(side, depth, &top(side, book, DEPTH_MAX)));
    }
}

const DEPTH_MAX: usize = 14;

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

/// The price, around which the market walks, and what rests there after; half of them go.
fn changes() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let qty = prop_oneof![Just(0), 1..5_i64];
    prop::collection::vec((-40..40_i64, qty), 0..400)
}

fn change(market: &mut Market, rank: i64, qty: i64) {
    match qty {
        0 => market.remove(&rank),
        qty => market.insert(rank, qty),
    };
}

proptest! {
    /// Seeded by a snapshot of the best levels and told of every change from then on.
    #[test]
    fn what_a_seeded_book_is_sure_of_is_the_markets(
        side in side(),
        resting in prop::collection::btree_map(-40..40_i64, 1..5_i64, 0..40),
        asked in 1..20_usize,
        changes in changes(),
    ) {
        let mut market: Market = resting;
        let mut book = Book::new();
        let seed = best(side, &market, asked);
        for level in &seed {
            book.set(side, level.price, level.qty);
        }
        let is_whole = seed.len() < asked;
        if !is_whole {
            book.set_horizon(side, seed[asked - 1].price);
        }
        let horizon = seed.last().map_or(i64::MIN, |level| by_rank(side, level.price.0));
        for (rank, qty) in changes {
            change(&mut market, rank, qty);
            book.set(side, Price(by_rank(side, rank)), Qty(qty));
            let sure_of = match is_whole {
                true => DEPTH_MAX,
                false => market.range(..=horizon).count(),
            };
            judge(side, &book, &market, sure_of);
        }
    }

    /// Both sides seeded by their best levels, in a market that walks through all that was seeded, and back.
    #[test]
    fn what_a_book_is_sure_of_is_the_markets_wherever_it_walks(
        asked in 1..8_usize,
        walk in prop::collection::vec((-3..4_i64, side(), -6..16_i64, 0..3_i64), 1..300),
    ) {
        let mut bids: Market = (1..30).map(|price| (price, 1)).collect();
        let mut asks: Market = (1..30).map(|price| (price, 1)).collect();
        let mut book = Book::new();
        for (side, market) in [(Side::Bid, &bids), (Side::Ask, &asks)] {
            let seed = best(side, market, asked);
            seed.iter().for_each(|level| { book.set(side, level.price, level.qty); });
            book.set_horizon(side, seed[asked - 1].price);
        }
        let mut middle = 0;
        for (step, side, distance, qty) in walk {
            middle += step;
            // Behind the middle it rests, before it it takes what is in its way.
            let price = match side {
                Side::Bid => middle - distance,
                Side::Ask => middle + distance,
            };
            let (own, other, other_side) = match side {
                Side::Bid => (&mut bids, &mut asks, Side::Ask),
                Side::Ask => (&mut asks, &mut bids, Side::Bid),
            };
            if qty > 0 {
                let reached = other.range(..=by_rank(other_side, price));
                let taken: Vec<i64> = reached.map(|(&rank, _)| rank).collect();
                for rank in taken {
                    other.remove(&rank);
                    book.set(other_side, Price(by_rank(other_side, rank)), Qty(0));
                }
            }
            change(own, by_rank(side, price), qty);
            book.set(side, Price(price), Qty(qty));
            book.widen_horizons();
            judge(Side::Bid, &book, &bids, 0);
            judge(Side::Ask, &book, &asks, 0);
        }
    }

    /// Kept by the venue at a number of best levels: what leaves them is forgotten, what comes into them is sent.
    #[test]
    fn what_a_book_of_a_fixed_number_of_levels_is_sure_of_is_the_markets(
        side in side(),
        scope in 1..12_usize,
        changes in changes(),
    ) {
        let mut market = Market::new();
        let mut book = Book::new();
        book.set_scope(scope);
        let mut sent: Vec<Level> = Vec::new();
        for (rank, qty) in changes {
            change(&mut market, rank, qty);
            let wanted = best(side, &market, scope);
            for level in &wanted {
                book.set(side, level.price, level.qty);
            }
            // A level that was pushed out is not deleted on the wire, one that has gone is.
            for gone in sent.iter().filter(|level| !market.contains_key(&by_rank(side, level.price.0))) {
                book.set(side, gone.price, Qty(0));
            }
            book.truncate(side, scope);
            sent = wanted;
            let sure_of = if market.len() < scope { DEPTH_MAX } else { scope };
            judge(side, &book, &market, sure_of);
        }
    }

    /// A full side gives up its worst levels, and knows from then on what it does not know.
    #[test]
    fn what_a_full_book_is_sure_of_is_the_markets(side in side(), limit in 1..12_usize, changes in changes()) {
        let mut market = Market::new();
        let mut book = Book::with_limits(limit, 1);
        let mut horizon = None;
        for (rank, qty) in changes {
            change(&mut market, rank, qty);
            let dropped = book.stats().dropped_levels;
            book.set(side, Price(by_rank(side, rank)), Qty(qty));
            if book.stats().dropped_levels > dropped {
                horizon = book.horizon(side);
                prop_assert!(horizon.is_some());
            }
            prop_assert_eq!(book.horizon(side), horizon, "it moves only when a level is given up");
            judge(side, &book, &market, 0);
        }
        book.clear();
        prop_assert_eq!(book.horizon(side), None);
    }
}

/// Makes the book one level on each side, and returns its horizons.
fn touch(book: &mut Book, bid: i64, ask: i64) -> [Option<i64>; 2] {
    for (side, price) in [(Side::Bid, bid), (Side::Ask, ask)] {
        for level in top(side, book, DEPTH_MAX) {
            book.set(side, level.price, Qty(0));
        }
        book.set(side, Price(price), Qty(1));
    }
    book.widen_horizons();
    [Side::Bid, Side::Ask].map(|side| book.horizon(side).map(|price| price.0))
}

#[test]
fn a_horizon_follows_the_market_and_stays_where_it_turned() {
    let mut book = Book::new();
    assert_eq!(touch(&mut book, 99, 101), [None, None], "all is known of a whole book");
    book.set_horizon(Side::Bid, Price(90));
    book.set_horizon(Side::Ask, Price(110));
    for (bid, ask, wanted) in [
        (105, 108, [90, 110]),
        (115, 116, [90, 115]),
        (112, 113, [90, 115]),
        (80, 85, [85, 115]),
        (99, 101, [85, 115]),
    ] {
        assert_eq!(touch(&mut book, bid, ask), wanted.map(Some), "at {bid} and {ask}");
    }
}

#[test]
fn a_horizon_is_told_as_the_price_that_was_set() {
    let mut book = Book::new();
    assert_eq!((book.horizon(Side::Bid), book.horizon(Side::Ask)), (None, None));
    for price in [i64::MIN + 1, -1, 0, 1, i64::MAX - 1].map(Price) {
        for side in [Side::Bid, Side::Ask] {
            book.set_horizon(side, price);
            assert_eq!(book.horizon(side), Some(price));
        }
    }
}

#[test]
fn a_side_that_is_laid_out_anew_keeps_its_horizon() {
    let mut book = Book::new();
    book.set(Side::Bid, Price(1_000), Qty(1));
    book.set_horizon(Side::Bid, Price(900));
    for step in 0..10_000 {
        book.set(Side::Bid, Price(1_000_000_000 + step % 50), Qty(1));
    }
    assert_eq!((book.stats().relayouts, book.horizon(Side::Bid)), (1, Some(Price(900))));
}

#[test]
fn an_empty_side_that_is_wholly_known_is_empty_on_the_venue() {
    let mut book = Book::new();
    assert!(book.covers(Side::Bid, 10, &[]));
    book.set_horizon(Side::Bid, Price(5));
    assert!(!book.covers(Side::Bid, 1, &[]));
    assert!(book.covers(Side::Bid, 0, &[]) && book.covers(Side::Ask, 10, &[]));
}
