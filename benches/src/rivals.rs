//! The obvious ways to keep a book: what the project's own has to beat, and the judge of its contents.

use std::collections::BTreeMap;

use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::{Price, Qty, Side};

/// What the benches ask of a book.
pub trait DepthBook: Default {
    /// Sets what rests at `price`, zero deletes.
    fn set(&mut self, side: Side, price: i64, quantity: i64);
    /// Best price and quantity.
    fn best(&self, side: Side) -> Option<(i64, i64)>;
    /// All levels, best first.
    fn levels(&self, side: Side) -> Vec<(i64, i64)>;
}

impl DepthBook for Book {
    #[inline]
    fn set(&mut self, side: Side, price: i64, quantity: i64) {
        Book::set(self, side, Price(price), Qty(quantity));
    }

    #[inline]
    fn best(&self, side: Side) -> Option<(i64, i64)> {
        Book::best(self, side).map(|level| (level.price.0, level.qty.0))
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        Book::levels(self, side)
            .map(|Level { price, qty }| (price.0, qty.0))
            .collect()
    }
}

/// Two `BTreeMap`s: what most programs use.
#[derive(Clone, Debug, Default)]
pub struct TreeBook {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl DepthBook for TreeBook {
    #[inline]
    fn set(&mut self, side: Side, price: i64, quantity: i64) {
        let levels = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        match quantity {
            0 => levels.remove(&price),
            quantity => levels.insert(price, quantity),
        };
    }

    #[inline]
    fn best(&self, side: Side) -> Option<(i64, i64)> {
        let level = match side {
            Side::Bid => self.bids.last_key_value(),
            Side::Ask => self.asks.first_key_value(),
        };
        level.map(|(&price, &quantity)| (price, quantity))
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        let pair = |(&price, &quantity): (&i64, &i64)| (price, quantity);
        match side {
            Side::Bid => self.bids.iter().rev().map(pair).collect(),
            Side::Ask => self.asks.iter().map(pair).collect(),
        }
    }
}

impl TreeBook {
    /// Forgets what is deeper than so many levels a side.
    #[inline]
    pub fn keep(&mut self, depth: usize) {
        while self.bids.len() > depth {
            self.bids.pop_first();
        }
        while self.asks.len() > depth {
            self.asks.pop_last();
        }
    }
}

/// Two sorted arrays, best level last: what most fast programs use.
#[derive(Clone, Debug, Default)]
pub struct ArrayBook {
    bids: Vec<(i64, i64)>,
    /// Prices negated, so that the best is the last here too.
    asks: Vec<(i64, i64)>,
}

impl DepthBook for ArrayBook {
    #[inline]
    fn set(&mut self, side: Side, price: i64, quantity: i64) {
        let (levels, key) = match side {
            Side::Bid => (&mut self.bids, price),
            Side::Ask => (&mut self.asks, -price),
        };
        match (levels.binary_search_by_key(&key, |level| level.0), quantity) {
            (Ok(at), 0) => {
                levels.remove(at);
            }
            (Ok(at), quantity) => levels[at].1 = quantity,
            (Err(_), 0) => {}
            (Err(at), quantity) => levels.insert(at, (key, quantity)),
        }
    }

    #[inline]
    fn best(&self, side: Side) -> Option<(i64, i64)> {
        match side {
            Side::Bid => self.bids.last().copied(),
            Side::Ask => self.asks.last().map(|&(key, quantity)| (-key, quantity)),
        }
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        match side {
            Side::Bid => self.bids.iter().rev().copied().collect(),
            Side::Ask => self
                .asks
                .iter()
                .rev()
                .map(|&(key, quantity)| (-key, quantity))
                .collect(),
        }
    }
}
