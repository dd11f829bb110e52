//! How far a book can be believed: the worst price down to which it holds all that the venue has.
//!
//! A whole book is seldom the whole book. A REST snapshot ends after as many levels as were asked for; behind its worst
//! price a book only ever learns what has changed since. When the market walks towards that price, the twenty best levels
//! begin to have holes, and nothing shows it: the chain of ids is unbroken, the venue's own best bid and ask agree.
//!
//! So each side keeps one price, its horizon. Levels there and better are all known: they were seeded, and every change
//! of them has come since. Levels behind it may be there, but their neighbours may be missing. A side without a horizon
//! is known to its last level, and what is not in it is not on the venue either.
//!
//! A horizon does not stay where the snapshot ended. Where the other side's best price has been, nothing was left of this
//! one, and what came later was told: the known part grows with every price that the market has walked through.
//!
//! A venue that keeps a fixed number of best levels right (Kraken, Bybit, OKX) is another case: what leaves that scope is
//! forgotten, what comes into it is sent. There the count is the limit, wherever the prices go.
//!
//! Neither costs anything per level: a horizon is set by a whole book, and asked about once per update.

#[cfg(test)]
mod tests;

use super::{Book, Level, key, ladder::ALL_KNOWN, mirror};
use crate::types::{Price, Side};

impl Book {
    /// Says that a side is known from its best level to `price`, and behind it only where it has changed since.
    /// [`clear`](Self::clear) takes it back.
    pub fn set_horizon(&mut self, side: Side, price: Price) {
        self.side_mut(side).set_horizon(key(side, price));
    }

    /// The worst price down to which a side is known; `None` where all of it is.
    ///
    /// A side that has given up levels because it was full is known as far as the last of them.
    pub fn horizon(&self, side: Side) -> Option<Price> {
        let horizon = self.side(side).horizon();
        (horizon != ALL_KNOWN).then_some(Price(horizon ^ mirror(side)))
    }

    /// Takes from the best prices what they prove, in a book that is not crossed: nobody sells at or below the best bid,
    /// or buys at or above the best ask. So there nothing is missing, and what comes there later will be told.
    ///
    /// A horizon that the market has walked through goes with it, and stays where the market turned.
    #[inline]
    pub fn widen_horizons(&mut self) {
        if self.bids.horizon() == ALL_KNOWN && self.asks.horizon() == ALL_KNOWN {
            return;
        }
        if let (Some((bid, _)), Some((ask, _))) = (self.bids.best(), self.asks.best()) {
            // The other side's price as a key of this one: `!price` both ways.
            self.bids.set_horizon(self.bids.horizon().min(!ask));
            self.asks.set_horizon(self.asks.horizon().min(!bid));
        }
    }

    /// Says how many best levels of each side the venue speaks of; `usize::MAX`, as in a new book, where it is all.
    #[inline]
    pub fn set_scope(&mut self, level_count: usize) {
        self.scope = level_count;
    }

    /// Whether the `depth` best levels of a side are surely the venue's own, none missing. `top` is what
    /// [`top`](Self::top) found there, `depth` levels or all that there are.
    ///
    /// A side with fewer levels than that is right to have no more of them where all of it is known.
    #[inline]
    pub fn covers(&self, side: Side, depth: usize, top: &[Level]) -> bool {
        let ladder = self.side(side);
        match depth.checked_sub(1).map(|last| top.get(last)) {
            None => true,
            Some(Some(level)) => depth <= self.scope && key(side, level.price) >= ladder.horizon(),
            Some(None) => ladder.len() < self.scope && ladder.horizon() == ALL_KNOWN,
        }
    }
}
