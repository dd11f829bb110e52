//! The ten best levels of both sides, and what one look at them tells.

use quantumflow_feeds::book::Level;
use quantumflow_feeds::{BookUpdate, Price, Qty, Side};

use super::registry::REACH_MAX;

/// The ten best levels of both sides. A level that is not there has quantity 0 and the worst price there is, so that
/// its coming and going read as a price that improved and worsened.
#[derive(Clone, Debug)]
pub(super) struct Depth {
    pub(super) bids: [Level; DEPTH],
    pub(super) asks: [Level; DEPTH],
}

impl Depth {
    const NO_BID: Level = Level {
        price: Price(i64::MIN),
        qty: Qty(0),
    };
    const NO_ASK: Level = Level {
        price: Price(i64::MAX),
        qty: Qty(0),
    };
    pub(super) const EMPTY: Self = Self {
        bids: [Self::NO_BID; DEPTH],
        asks: [Self::NO_ASK; DEPTH],
    };

    /// Returns how many levels of both sides are known.
    pub(super) fn read(&mut self, update: &BookUpdate<'_>) -> usize {
        let bid_count = update.book.top(Side::Bid, &mut self.bids);
        let ask_count = update.book.top(Side::Ask, &mut self.asks);
        self.bids[bid_count..].fill(Self::NO_BID);
        self.asks[ask_count..].fill(Self::NO_ASK);
        let covers = |depth: usize| {
            update.book.covers(Side::Bid, depth, &self.bids[..bid_count])
                && update.book.covers(Side::Ask, depth, &self.asks[..ask_count])
        };
        match covers(DEPTH) {
            true => DEPTH,
            false => (1..DEPTH).rev().find(|&depth| covers(depth)).unwrap_or(0),
        }
    }

    /// Both sides there, not crossed, and prices and quantities of the sort that the sums are made for.
    pub(super) fn is_usable(&self) -> bool {
        let (bid, ask) = (self.bids[0], self.asks[0]);
        let quantities_hold = self.bids.iter().chain(&self.asks).all(|level| level.qty.0 >= 0);
        0 < bid.price.0
            && bid.price < ask.price
            && ask.price.0 <= PRICE_MAX
            && bid.qty.0 > 0
            && ask.qty.0 > 0
            && quantities_hold
    }

    /// Best bid plus best ask: the mid price in half units, exact.
    pub(super) fn mid2(&self) -> i64 {
        self.bids[0].price.0 + self.asks[0].price.0
    }

    pub(super) fn prices(&self) -> impl Iterator<Item = i64> + '_ {
        self.bids
            .iter()
            .chain(&self.asks)
            .filter(|level| level.qty.0 > 0)
            .map(|level| level.price.0)
    }

    /// The columns of one row of flow: `e_1..e_5`, their sums to 5 and 10 levels, and the depth of 5 and 10 levels.
    pub(super) fn flow_since(&self, before: &Self) -> [i64; FLOW_COLUMNS] {
        let mut columns = [0_i64; FLOW_COLUMNS];
        let (mut flow, mut depth) = (0_i64, 0_i64);
        for level in 0..DEPTH {
            let (bid, ask) = (self.bids[level], self.asks[level]);
            let at_level = bid_flow(bid, before.bids[level]).saturating_sub(ask_flow(ask, before.asks[level]));
            flow = flow.saturating_add(at_level);
            depth = depth.saturating_add(bid.qty.0).saturating_add(ask.qty.0);
            if level < 5 {
                columns[level] = at_level;
            }
            if level == 4 {
                columns[FLOW_TO_5] = flow;
                columns[DEPTH_5] = depth;
            }
        }
        columns[FLOW_TO_10] = flow;
        columns[DEPTH_10] = depth;
        columns
    }

    /// Quantities summed over the first levels, in floating point: nothing of it outlives the update, and below 2^53
    /// the sums are exact.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mid2 = self.mid2() as f64;
        for (level, weight) in EXP_WEIGHTS.into_iter().enumerate() {
            let (bid, ask) = (self.bids[level], self.asks[level]);
            let (bid_qty, ask_qty) = (bid.qty.0 as f64, ask.qty.0 as f64);
            totals.bid_10 += bid_qty;
            totals.ask_10 += ask_qty;
            totals.bid_exp += weight * bid_qty;
            totals.ask_exp += weight * ask_qty;
            totals.bid_distance += bid_qty * (mid2 - 2.0 * bid.price.0 as f64);
            totals.ask_distance += ask_qty * (2.0 * ask.price.0 as f64 - mid2);
            match level {
                0 => (totals.bid_1, totals.ask_1) = (totals.bid_10, totals.ask_10),
                2 => (totals.bid_3, totals.ask_3) = (totals.bid_10, totals.ask_10),
                4 => (totals.bid_5, totals.ask_5) = (totals.bid_10, totals.ask_10),
                _ => {}
            }
        }
        totals
    }

    pub(super) fn gap_imbalance(&self) -> f64 {
        if self.bids[1].qty.0 == 0 || self.asks[1].qty.0 == 0 {
            return 0.0;
        }
        let bid_gap = self.bids[0].price.0 as f64 - self.bids[1].price.0 as f64;
        let ask_gap = self.asks[1].price.0 as f64 - self.asks[0].price.0 as f64;
        imbalance(ask_gap, bid_gap)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) bid_1: f64,
    pub(super) ask_1: f64,
    pub(super) bid_3: f64,
    pub(super) ask_3: f64,
    pub(super) bid_5: f64,
    pub(super) ask_5: f64,
    pub(super) bid_10: f64,
    pub(super) ask_10: f64,
    pub(super) bid_exp: f64,
    pub(super) ask_exp: f64,
    pub(super) bid_distance: f64,
    pub(super) ask_distance: f64,
}

/// What the change of one bid level adds to the buying pressure: `dW` of Xu, Gould and Howison.
fn bid_flow(now: Level, before: Level) -> i64 {
    match now.price.cmp(&before.price) {
        std::cmp::Ordering::Greater => now.qty.0,
        std::cmp::Ordering::Equal => now.qty.0 - before.qty.0,
        std::cmp::Ordering::Less => -before.qty.0,
    }
}

/// What the change of one ask level adds to the selling pressure: `dV`.
fn ask_flow(now: Level, before: Level) -> i64 {
    match now.price.cmp(&before.price) {
        std::cmp::Ordering::Less => now.qty.0,
        std::cmp::Ordering::Equal => now.qty.0 - before.qty.0,
        std::cmp::Ordering::Greater => -before.qty.0,
    }
}

/// `(x - y) / (x + y)`, 0 where both are 0.
pub(super) fn imbalance(x: f64, y: f64) -> f64 {
    let sum = x + y;
    if sum == 0.0 { 0.0 } else { (x - y) / sum }
}

/// Levels per side that features look at.
pub(super) const DEPTH: usize = 10;
const _: () = assert!(DEPTH == REACH_MAX);

/// Prices above are not believed: the bound keeps every integer sum within its type.
pub(super) const PRICE_MAX: i64 = 1 << 58;

/// Columns of a row of flow after the five levels.
pub(super) const FLOW_TO_5: usize = 5;
pub(super) const FLOW_TO_10: usize = 6;
pub(super) const DEPTH_5: usize = 7;
pub(super) const DEPTH_10: usize = 8;
pub(super) const FLOW_COLUMNS: usize = 9;

/// `exp(-k / 2)` for k = 0..9, written out: the exponential of a C library is not the same on every machine.
const EXP_WEIGHTS: [f64; DEPTH] = [
    1.0,
    0.606_530_659_712_633_4,
    0.367_879_441_171_442_33,
    0.223_130_160_148_429_82,
    0.135_335_283_236_612_7,
    0.082_084_998_623_898_8,
    0.049_787_068_367_863_944,
    0.030_197_383_422_318_5,
    0.018_315_638_888_734_18,
    0.011_108_996_538_242_306,
];
