//! A fixed-point limit order book: absolute quantities by price, both sides, best first.
//!
//! Price mantissas are small integers once the session has learnt the instrument's scale (61,837.63 USD is 6,183,763),
//! so each side is a page table indexed by price (`ladder.rs` draws it): no search, no hash, nothing is moved, and a
//! change 30,000 USD from the touch costs what one at the touch does. Any `i64` is a price, negative spreads included;
//! prices more than 8.4 million ticks from the first one are right too, only slower.
//!
//! The alternatives were measured on the same streams, ns per level with one reading of both best prices per message
//! (AMD EPYC 7xx3 virtual machine with two shared cores, rustc 1.95, fastest of at least 15 passes; `book` bench):
//!
//! | changes per side and message | two `BTreeMap`s | two sorted arrays | this |
//! | --- | --- | --- | --- |
//! | 1, around a walking mid | 41 | 35 | 15 |
//! | 10 | 42 | 29 | 5.5 |
//! | 50 | 44 | 25 | 5.0 |
//! | 200 | 52 | 40 | 5.4 |
//! | recorded BTCUSDT, 2,000 to 3,000 levels a side | 69 | 104 | 7.8 |
//!
//! A recorded change lies 180 USD from the touch in the median (18,056 ticks; 1 % beyond 5,000 USD), which is why the
//! sorted array loses to the tree there: it moves half of a side. A dense array of all ticks would be one line shorter
//! per change, but costs 8 bytes for each of 18 million ticks between the deepest bid and the highest ask of that
//! recording, or a rebuild whenever the touch walks; the page table holds the same book in 2.3 MB.

mod horizon;
mod ladder;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::types::{Price, Qty, Side};
use ladder::Ladder;

/// One price level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Its price.
    pub price: Price,
    /// What rests there; never zero.
    pub qty: Qty,
}

/// Both sides of one instrument.
#[derive(Clone)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    /// Best levels of a side that the venue speaks of; see `horizon.rs`.
    scope: usize,
}

/// What a book holds and costs, for housekeeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookStats {
    /// Pages of 64 ticks that hold a level, both sides.
    pub pages_mapped: usize,
    /// Levels outside the indexed window, both sides. Changes to them are slow; a lasting crowd here says that the
    /// price scale of the instrument is finer than its ticks.
    pub far_levels: usize,
    /// Levels that were given up because a side was full, since the book was made.
    pub dropped_levels: u64,
    /// How often a side was laid out anew because its market had left the window.
    pub relayouts: u64,
    /// Memory, in bytes.
    pub bytes: usize,
}

impl Book {
    /// Levels that a side may have unless its owner says otherwise. The deepest snapshot of the venues here has 5,000.
    pub const DEFAULT_LEVEL_LIMIT: usize = 16_384;
    /// The most levels that a side can be told to hold.
    pub const MAX_LEVEL_LIMIT: usize = ladder::LEVELS_MAX;

    /// An empty book with [`DEFAULT_LEVEL_LIMIT`](Self::DEFAULT_LEVEL_LIMIT), and memory for a few levels.
    pub fn new() -> Self {
        Self::with_limits(Self::DEFAULT_LEVEL_LIMIT, 64)
    }

    /// An empty book whose sides hold at most `level_limit` levels, and whose memory for `level_count` of them per side
    /// is allocated and touched now: setting that many, wherever they lie, then allocates nothing and faults no page.
    ///
    /// A full side gives up its worst level, and counts it. Limits above [`MAX_LEVEL_LIMIT`](Self::MAX_LEVEL_LIMIT)
    /// are cut to it.
    pub fn with_limits(level_limit: usize, level_count: usize) -> Self {
        Self {
            bids: Ladder::new(level_limit, level_count),
            asks: Ladder::new(level_limit, level_count),
            scope: usize::MAX,
        }
    }

    /// Allocates and touches memory for `level_count` more levels per side, wherever they will lie, as
    /// [`with_limits`](Self::with_limits) does for an empty book.
    pub fn reserve(&mut self, level_count: usize) {
        for ladder in [&mut self.bids, &mut self.asks] {
            ladder.reserve(level_count);
        }
    }

    /// Empties both sides, without a horizon, and keeps their memory.
    pub fn clear(&mut self) {
        for ladder in [&mut self.bids, &mut self.asks] {
            ladder.clear();
            ladder.set_horizon(ladder::ALL_KNOWN);
        }
    }

    /// Sets what rests at `price`, zero deletes, and returns what rested there before.
    ///
    /// Deleting a level that is not there changes nothing. A negative quantity is a fault of the caller and deletes.
    #[inline]
    pub fn set(&mut self, side: Side, price: Price, qty: Qty) -> Qty {
        debug_assert!(qty.0 >= 0, "negative quantity {} at {}", qty.0, price.0);
        let key = key(side, price);
        Qty(self.side_mut(side).set(key, qty.0.max(0)))
    }

    /// The best level of a side.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.side(side).best().map(|found| level(side, found))
    }

    /// The worst level of a side.
    #[inline]
    pub fn worst(&self, side: Side) -> Option<Level> {
        self.side(side).worst().map(|found| level(side, found))
    }

    /// What rests at `price`, zero where there is no level.
    #[inline]
    pub fn quantity_at(&self, side: Side, price: Price) -> Qty {
        Qty(self.side(side).get(key(side, price)))
    }

    /// The levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.side(side).iter().map(move |found| level(side, found))
    }

    /// Copies the best levels of a side into `out`, best first, and returns how many there were.
    #[inline]
    pub fn top(&self, side: Side, out: &mut [Level]) -> usize {
        let mut count = 0;
        for (slot, level) in out.iter_mut().zip(self.levels(side)) {
            *slot = level;
            count += 1;
        }
        count
    }

    /// What rests on the best `depth` levels of a side together, at most `i64::MAX`.
    pub fn depth_sum(&self, side: Side, depth: usize) -> Qty {
        let quantities = self.side(side).iter().take(depth).map(|(_, quantity)| quantity);
        Qty(quantities.fold(0, i64::saturating_add))
    }

    /// How many levels a side has.
    #[inline]
    pub fn level_count(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// Removes the worst levels of a side until at most `depth` are left, and returns how many went.
    #[inline]
    pub fn truncate(&mut self, side: Side, depth: usize) -> usize {
        let ladder = self.side_mut(side);
        let excess = ladder.len().saturating_sub(depth);
        for _ in 0..excess {
            if let Some((key, _)) = ladder.worst() {
                ladder.set(key, 0);
            }
        }
        excess
    }

    /// Best bid at or above best ask.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        match (self.best(Side::Bid), self.best(Side::Ask)) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    /// What the book holds and costs.
    pub fn stats(&self) -> BookStats {
        let (bids, asks) = (self.bids.stats(), self.asks.stats());
        BookStats {
            pages_mapped: bids.pages_mapped + asks.pages_mapped,
            far_levels: bids.far_levels + asks.far_levels,
            dropped_levels: bids.dropped + asks.dropped,
            relayouts: bids.relayouts + asks.relayouts,
            bytes: bids.bytes + asks.bytes,
        }
    }

    fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("bids", &self.levels(Side::Bid).collect::<Vec<_>>())
            .field("asks", &self.levels(Side::Ask).collect::<Vec<_>>())
            .finish()
    }
}

/// The key by which the best level of either side is the highest: asks are mirrored, `!price == -1 - price`.
#[inline]
fn key(side: Side, price: Price) -> i64 {
    price.0 ^ mirror(side)
}

#[inline]
fn level(side: Side, (key, quantity): (i64, i64)) -> Level {
    Level {
        price: Price(key ^ mirror(side)),
        qty: Qty(quantity),
    }
}

#[inline]
fn mirror(side: Side) -> i64 {
    match side {
        Side::Bid => 0,
        Side::Ask => -1,
    }
}
