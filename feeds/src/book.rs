//! A fixed-point limit order book: absolute quantities by price, both sides, best first.

use crate::types::{Price, Qty, Side};

/// One price level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Its price.
    pub price: Price,
    /// What rests there; never zero.
    pub qty: Qty,
}

/// Both sides of one instrument.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties both sides and keeps their memory.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Sets what rests at `price`, zero deletes, and returns what rested there before.
    pub fn set(&mut self, side: Side, price: Price, qty: Qty) -> Qty {
        // The best level is the last: most changes happen there, and move little.
        let levels = self.side_mut(side);
        let found = match side {
            Side::Bid => levels.binary_search_by(|level| level.price.cmp(&price)),
            Side::Ask => levels.binary_search_by(|level| price.cmp(&level.price)),
        };
        match (found, qty) {
            (Ok(at), Qty(0)) => levels.remove(at).qty,
            (Ok(at), qty) => std::mem::replace(&mut levels[at].qty, qty),
            (Err(_), Qty(0)) => Qty(0),
            (Err(at), qty) => {
                levels.insert(at, Level { price, qty });
                Qty(0)
            }
        }
    }

    /// The best level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.side(side).last().copied()
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.side(side).iter().rev().copied()
    }

    /// Copies the best levels of a side into `out`, best first, and returns how many there were.
    pub fn top(&self, side: Side, out: &mut [Level]) -> usize {
        let mut count = 0;
        for (slot, level) in out.iter_mut().zip(self.levels(side)) {
            *slot = level;
            count += 1;
        }
        count
    }

    /// How many levels a side has.
    pub fn level_count(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// Removes the worst levels of a side until at most `depth` are left, and returns how many went.
    pub fn truncate(&mut self, side: Side, depth: usize) -> usize {
        let levels = self.side_mut(side);
        let excess = levels.len().saturating_sub(depth);
        levels.drain(..excess);
        excess
    }

    /// Best bid at or above best ask.
    pub fn is_crossed(&self) -> bool {
        match (self.best(Side::Bid), self.best(Side::Ask)) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    fn side(&self, side: Side) -> &Vec<Level> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<Level> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}
