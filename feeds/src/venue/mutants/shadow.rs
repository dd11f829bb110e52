//! A book of ordered maps, as plain as one can be: the judge of every trial, and the memory of some mistakes.

use std::collections::BTreeMap;

use crate::book::{Book, Level};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side};

/// Quantities by price, at one scale.
#[derive(Clone, Debug, Default)]
pub(super) struct Shadow {
    scale: Scale,
    /// Bids under their negative price, so that each side begins with its best.
    sides: [BTreeMap<i64, i64>; 2],
}

impl Shadow {
    /// An empty one at a scale.
    pub(super) fn at(scale: Scale) -> Self {
        Self {
            scale,
            ..Self::default()
        }
    }

    pub(super) fn clear(&mut self) {
        self.sides.iter_mut().for_each(BTreeMap::clear);
    }

    pub(super) fn set(&mut self, change: &LevelChange) {
        let side = &mut self.sides[index(change.side)];
        match change.qty.0 {
            0 => side.remove(&key(change.side, change.price)),
            qty => side.insert(key(change.side, change.price), qty),
        };
    }

    /// Keeps the best levels of each side.
    pub(super) fn cut(&mut self, depth: usize) {
        for side in &mut self.sides {
            while side.len() > depth {
                side.pop_last();
            }
        }
    }

    pub(super) fn qty(&self, side: Side, price: Price) -> Qty {
        Qty(self.sides[index(side)].get(&key(side, price)).copied().unwrap_or(0))
    }

    /// How many levels are better than this price.
    pub(super) fn rank(&self, side: Side, price: Price) -> usize {
        self.sides[index(side)].range(..key(side, price)).count()
    }

    /// Every level, best first.
    pub(super) fn levels(&self) -> impl Iterator<Item = LevelChange> + '_ {
        [Side::Bid, Side::Ask].into_iter().flat_map(move |side| {
            let levels = self.sides[index(side)].iter();
            levels.map(move |(at, qty)| LevelChange {
                side,
                price: Price(key(side, Price(*at))),
                qty: Qty(*qty),
            })
        })
    }

    /// The same book at another scale; what does not fit is cut off.
    pub(super) fn rescale(&mut self, scale: Scale) {
        let levels: Vec<LevelChange> = self.levels().collect();
        let old = std::mem::replace(&mut self.scale, scale);
        self.clear();
        for level in levels {
            self.set(&LevelChange {
                price: Price(moved(level.price.0, old.price, scale.price)),
                qty: Qty(moved(level.qty.0, old.qty, scale.qty)),
                ..level
            });
        }
    }

    /// Whether a book, whose mantissas have `scale`, has the same levels. This one's scale must be the finer one.
    pub(super) fn is_same(&self, book: &Book, scale: Scale) -> bool {
        [Side::Bid, Side::Ask].into_iter().all(|side| {
            let own = self.sides[index(side)].iter().map(|(at, qty)| (*at, *qty));
            own.eq(book.levels(side).map(|Level { price, qty }| {
                let price = Price(moved(price.0, scale.price, self.scale.price));
                (key(side, price), moved(qty.0, scale.qty, self.scale.qty))
            }))
        })
    }
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Ask)
}

/// Its own inverse.
fn key(side: Side, price: Price) -> i64 {
    match side {
        Side::Bid => -price.0,
        Side::Ask => price.0,
    }
}

/// A mantissa of `old` decimals with `new` ones.
fn moved(mantissa: i64, old: u8, new: u8) -> i64 {
    let factor = 10_i64.pow(u32::from(old.abs_diff(new)));
    if new >= old {
        mantissa * factor
    } else {
        mantissa / factor
    }
}

/// As fine as any of these venues prints.
pub(super) const FINE: Scale = Scale { price: 8, qty: 8 };
