//! The shape of the book as it stands: how much rests near the touch, and how fast depth grows away from it.
//!
//! Nothing is kept from one update to the next; all of it is one look at the ten best levels of a side.

use quantumflow_feeds::book::Level;

use super::depth::{DEPTH, Depth};
use super::log::ln;

/// A number for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sides {
    pub(super) bid: f64,
    pub(super) ask: f64,
}

/// Quantities of the levels less than [`NEAR_TICKS`] from their side's best price. So many steps of the price hold at
/// most so many levels, so the ten best are all that there can be.
pub(super) fn near(depth: &Depth, tick: i64) -> Sides {
    let side = |levels: &[Level; DEPTH]| {
        let best = levels[0].price.0;
        let reach = i128::from(tick) * i128::from(NEAR_TICKS);
        let near = levels
            .iter()
            .filter(|level| level.qty.0 > 0 && (i128::from(level.price.0) - i128::from(best)).abs() < reach);
        near.map(|level| level.qty.0 as f64).sum()
    };
    Sides {
        bid: side(&depth.bids),
        ask: side(&depth.asks),
    }
}

/// The slope of each side as Naes and Skjeltorp define it: the mean over the levels of how much the logarithm of the
/// cumulated quantity grows, relative to itself, for each relative step of the price; the first level's steps are from
/// nothing and from the mid price.
///
/// Where that logarithm is 0, after a single lot, growth relative to it says nothing: the term is left out of the sum.
pub(super) fn slopes(depth: &Depth) -> Sides {
    let mid = 0.5 * depth.mid2() as f64;
    Sides {
        bid: slope(&depth.bids, mid),
        ask: slope(&depth.asks, mid),
    }
}

fn slope(levels: &[Level; DEPTH], mid: f64) -> f64 {
    let mut cumulated = 0_i64;
    let (mut sum, mut count) = (0.0, 0_u32);
    let (mut price_before, mut log_before) = (mid, 0.0);
    for level in levels.iter().take_while(|level| level.qty.0 > 0) {
        cumulated = cumulated.saturating_add(level.qty.0);
        let log = ln(cumulated);
        let price = level.price.0 as f64;
        let step = (price / price_before - 1.0).abs();
        // No step: two prices that are too large for an f64 to tell apart.
        if step > 0.0 {
            if count == 0 {
                sum += log / step;
            } else if log_before > 0.0 {
                sum += (log / log_before - 1.0) / step;
            }
        }
        (price_before, log_before) = (price, log);
        count += 1;
    }
    sum / f64::from(count.max(1))
}

/// How far "near" goes, in ticks; as many as there are levels to look at.
const NEAR_TICKS: i64 = DEPTH as i64;
