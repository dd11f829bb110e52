//! A REST book against ours, as ours was at its update id.
//!
//! Judged is what lies between the worst levels that the REST book has of each side: a level that only one of the two has
//! is a difference like another quantity. Levels behind our book's horizon are left out. Where the id lies inside a message, the levels that this message sets are not
//! judged: it names all that were touched, also those that ended as they were (of 443,262 recorded levels of a futures'
//! diffs 20,833 repeat what rested there, and 17,747 delete what was not there), so all others stood still.

use crate::book::Book;
use crate::event::{CheckpointMiss, LevelDifference};
use crate::types::{Price, Qty, Scale, Side};
use crate::venue::checkpoint::{Checkpoint, is_better};

use super::history::{History, Place};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    Differs(LevelDifference),
    Missed(CheckpointMiss),
}

/// The levels at hand. Kept, so that comparing allocates nothing.
#[derive(Debug)]
pub(super) struct Comparer {
    sides: [Rows; 2],
}

/// One side: first the levels of the REST book, best first, then others of ours that lie between them.
#[derive(Debug)]
struct Rows {
    rows: Box<[Row]>,
    told: usize,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    price: Price,
    told: Qty,
    shown: Qty,
    is_moving: bool,
}

impl Comparer {
    /// Memory for a comparison; none where `is_wanted` is false, and then all are missed.
    pub(super) fn new(is_wanted: bool) -> Self {
        let capacity = if is_wanted { Checkpoint::LEVELS + STRANGERS } else { 0 };
        let rows = || Rows {
            rows: vec![Row::default(); capacity].into(),
            told: 0,
            len: 0,
        };
        Self {
            sides: [rows(), rows()],
        }
    }

    /// Holds a REST book against `book`, taken back to `place`. `known_to` are its horizons then: what lies behind it does
    /// not claim to know.
    pub(super) fn compare(
        &mut self,
        checkpoint: &Checkpoint,
        book: &Book,
        known_to: [Option<Price>; 2],
        scale: Scale,
        history: &History,
        place: Place,
    ) -> Comparison {
        for side in SIDES {
            let Some(told) = checkpoint.levels(side, scale) else {
                return Comparison::Missed(CheckpointMiss::NotShown);
            };
            let rows = &mut self.sides[side as usize];
            rows.len = 0;
            let is_known = |price| {
                let horizons = [known_to[side as usize], book.horizon(side)];
                !horizons
                    .into_iter()
                    .flatten()
                    .any(|horizon| is_better(side, horizon, price))
            };
            for level in told.take_while(|level| is_known(level.price)) {
                rows.push(level.price, level.qty, book.quantity_at(side, level.price));
            }
            rows.told = rows.len;
            let Some(worst) = rows.worst() else { continue };
            for level in book
                .levels(side)
                .take_while(|level| !is_better(side, worst, level.price))
            {
                if rows.find(side, level.price).is_none() && rows.push(level.price, Qty(0), level.qty).is_none() {
                    return Comparison::Missed(CheckpointMiss::Unclear);
                }
            }
        }
        for (undo, is_moving) in history.back_to(place) {
            let rows = &mut self.sides[undo.side as usize];
            if rows.worst().is_none_or(|worst| is_better(undo.side, worst, undo.price)) {
                continue;
            }
            let found = rows.find(undo.side, undo.price);
            let Some(at) = found.or_else(|| rows.push(undo.price, Qty(0), Qty(0))) else {
                return Comparison::Missed(CheckpointMiss::Unclear);
            };
            rows.rows[at].shown = undo.was;
            rows.rows[at].is_moving |= is_moving;
        }
        self.judge(checkpoint.update_id)
    }

    fn judge(&self, update_id: u64) -> Comparison {
        let (mut told, mut judged) = (0, 0);
        for side in SIDES {
            let rows = &self.sides[side as usize];
            let all = &rows.rows[..rows.len];
            if let Some(row) = all.iter().find(|row| !row.is_moving && row.told != row.shown) {
                return Comparison::Differs(LevelDifference {
                    update_id,
                    side,
                    price: row.price,
                    shown: row.shown,
                    told: row.told,
                });
            }
            told += rows.told;
            judged += all[..rows.told].iter().filter(|row| !row.is_moving).count();
        }
        // Of a book that is all in motion nothing can be said.
        match told > 0 && 2 * judged >= told {
            true => Comparison::Same,
            false => Comparison::Missed(CheckpointMiss::Unclear),
        }
    }
}

impl Rows {
    /// The worst price of the REST book.
    fn worst(&self) -> Option<Price> {
        self.rows[..self.told].last().map(|row| row.price)
    }

    fn find(&self, side: Side, price: Price) -> Option<usize> {
        let told = &self.rows[..self.told];
        let at = told.partition_point(|row| is_better(side, row.price, price));
        if told.get(at).is_some_and(|row| row.price == price) {
            return Some(at);
        }
        let others = &self.rows[self.told..self.len];
        others
            .iter()
            .position(|row| row.price == price)
            .map(|at| self.told + at)
    }

    fn push(&mut self, price: Price, told: Qty, shown: Qty) -> Option<usize> {
        let at = self.len;
        *self.rows.get_mut(at)? = Row {
            price,
            told,
            shown,
            is_moving: false,
        };
        self.len += 1;
        Some(at)
    }
}

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

/// Levels of a side that may lie between those of the REST book: ours at another id, or wrong ones.
const STRANGERS: usize = 64;
