//! The generator's own book: ticks and lots, both sides, best level last, addressed by rank.

use crate::types::Side;

/// Both sides of a book in ticks and lots. The generator keeps it uncrossed and never empties a side.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder {
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
}

impl Ladder {
    /// Sets what rests at a price, zero deletes, and returns what rested there before.
    pub(super) fn set(&mut self, side: Side, tick: i64, lots: i64) -> i64 {
        debug_assert!(lots >= 0);
        match (self.find(side, tick), lots) {
            (Ok(at), 0) => self.side_mut(side).remove(at).1,
            (Ok(at), lots) => std::mem::replace(&mut self.side_mut(side)[at].1, lots),
            (Err(_), 0) => 0,
            (Err(at), lots) => {
                self.side_mut(side).insert(at, (tick, lots));
                0
            }
        }
    }

    /// What rests at a price.
    pub(super) fn lots_at(&self, side: Side, tick: i64) -> i64 {
        self.find(side, tick).map_or(0, |at| self.side(side)[at].1)
    }

    /// The `rank`-th best level, zero the best, as `(tick, lots)`.
    pub(super) fn rank(&self, side: Side, rank: usize) -> Option<(i64, i64)> {
        self.side(side).iter().rev().nth(rank).copied()
    }

    /// The price of the best level. The generator seeds both sides and never empties one.
    pub(super) fn best_tick(&self, side: Side) -> i64 {
        self.side(side).last().expect("the generator never empties a side").0
    }

    /// How many levels a side has.
    pub(super) fn level_count(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// The levels of a side, best first, as `(tick, lots)`.
    pub(super) fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.side(side).iter().rev().copied()
    }

    /// The worst level of a side.
    pub(super) fn worst_tick(&self, side: Side) -> i64 {
        self.side(side).first().expect("the generator never empties a side").0
    }

    fn find(&self, side: Side, tick: i64) -> Result<usize, usize> {
        match side {
            Side::Bid => self.bids.binary_search_by(|level| level.0.cmp(&tick)),
            Side::Ask => self.asks.binary_search_by(|level| tick.cmp(&level.0)),
        }
    }

    fn side(&self, side: Side) -> &Vec<(i64, i64)> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<(i64, i64)> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}
