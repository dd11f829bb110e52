//! Depth updates like a venue's, from a seed: the input of the benches.
//!
//! One message changes `levels` bids and as many asks around a mid price that walks at random; a quarter of the changes
//! delete. The mix is the one that the peers' published numbers were judged by; [`Wire`] says how the numbers are
//! printed.

use std::collections::BTreeSet;
use std::fmt::Write;

/// One change: `(price in cents, quantity in 10^-8)`, zero deletes.
pub type Change = (i64, i64);

/// One message.
#[derive(Clone, Debug)]
pub struct DepthUpdate {
    /// Its first update id; the last one of the message before, plus one.
    pub first_id: u64,
    /// Its last update id.
    pub last_id: u64,
    /// Venue time in milliseconds.
    pub time_ms: u64,
    /// Bids, best first.
    pub bids: Vec<Change>,
    /// Asks, best first.
    pub asks: Vec<Change>,
}

/// How prices and quantities are printed. Venues print the same number of decimals in each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Two and three decimals, as on Binance's USD-M futures: 21 bytes a level.
    Futures,
    /// Eight decimals, as on Binance spot: 33 bytes a level.
    Spot,
}

/// `count` messages of `levels` changes per side. The same seed gives the same messages.
///
/// A book that applies them never crosses: levels that the mid price walked over are deleted by the message that moves
/// it, and it moves no further than the message has room for deletes.
pub fn updates(levels: usize, count: usize, seed: u64) -> Vec<DepthUpdate> {
    let mut random = SplitMix(seed);
    let mut mid = 6_183_763_i64;
    let mut id = 50_093_239_189_u64;
    // What rests in the book after the messages so far.
    let mut resting = [BTreeSet::<i64>::new(), BTreeSet::new()];
    (0..count as u64)
        .map(|step| {
            let mut target = mid + random.below(21) as i64 - 10;
            // The first level that there is no room to delete stops the walk.
            if let Some(&bid) = resting[0].iter().rev().nth(levels) {
                target = target.max(bid + 1);
            }
            if let Some(&ask) = resting[1].iter().nth(levels) {
                target = target.min(ask - 1);
            }
            mid = target;
            let sides = [-1, 1].map(|direction: i64| {
                let resting = &mut resting[usize::from(direction == 1)];
                let mut changes: Vec<Change> = match direction {
                    -1 => resting.range(mid..).rev().map(|&price| (price, 0)).collect(),
                    _ => resting.range(..=mid).map(|&price| (price, 0)).collect(),
                };
                let mut price = mid;
                while changes.len() < levels {
                    price += direction * (1 + random.below(4) as i64);
                    // Thousandths: what both wires can print.
                    let quantity = (1 + random.below(10_700) as i64) * 100_000;
                    changes.push((price, if random.below(4) == 0 { 0 } else { quantity }));
                }
                for &(price, quantity) in &changes {
                    match quantity {
                        0 => resting.remove(&price),
                        _ => resting.insert(price),
                    };
                }
                changes
            });
            let [bids, asks] = sides;
            let first_id = id;
            id += 2 * levels as u64;
            DepthUpdate {
                first_id,
                last_id: id - 1,
                time_ms: 1_723_161_255_208 + step,
                bids,
                asks,
            }
        })
        .collect()
}

/// The message as a Binance combined stream prints it.
pub fn json(update: &DepthUpdate, wire: Wire) -> String {
    let mut text = format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"BTCUSDT","U":{},"u":{},"b":["#,
        update.time_ms, update.first_id, update.last_id
    );
    for (index, side) in [&update.bids, &update.asks].into_iter().enumerate() {
        if index == 1 {
            text.push_str(r#"],"a":["#);
        }
        for (index, &(price, quantity)) in side.iter().enumerate() {
            if index != 0 {
                text.push(',');
            }
            let (price_decimals, quantity_decimals) = match wire {
                Wire::Futures => (2, 3),
                Wire::Spot => (8, 8),
            };
            text.push_str("[\"");
            number(&mut text, price, 2, price_decimals);
            text.push_str("\",\"");
            number(&mut text, quantity, 8, quantity_decimals);
            text.push_str("\"]");
        }
    }
    text.push_str("]}}");
    text
}

/// Prints `mantissa / 10^decimals` with `printed` decimals, cut off or padded with zeros.
fn number(text: &mut String, mantissa: i64, decimals: u32, printed: u32) {
    let unit = 10_i64.pow(decimals);
    write!(
        text,
        "{}.{:0width$}",
        mantissa / unit,
        mantissa % unit,
        width = decimals as usize
    )
    .expect("a String takes everything");
    match printed.checked_sub(decimals) {
        Some(padding) => (0..padding).for_each(|_| text.push('0')),
        None => text.truncate(text.len() - (decimals - printed) as usize),
    }
}

/// Sebastiano Vigna's SplitMix64: a bench needs a repeatable stream, not a good one.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use quantumflow_feeds::Side;

    use super::*;
    use crate::rivals::{DepthBook, TreeBook};

    #[test]
    fn decimals_are_those_of_the_wire() {
        for (mantissa, decimals, printed, expected) in [
            (6_183_763, 2, 2, "61837.63"),
            (6_183_763, 2, 8, "61837.63000000"),
            (0, 8, 3, "0.000"),
            (1_054_600_000, 8, 3, "10.546"),
            (54_600_000, 8, 8, "0.54600000"),
        ] {
            let mut text = String::new();
            number(&mut text, mantissa, decimals, printed);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn books_never_cross_and_messages_have_their_size() {
        for levels in [1, 10, 50] {
            let mut book = TreeBook::default();
            for message in updates(levels, 2_000, 3) {
                assert_eq!((message.bids.len(), message.asks.len()), (levels, levels));
                for (side, changes) in [(Side::Bid, &message.bids), (Side::Ask, &message.asks)] {
                    changes
                        .iter()
                        .for_each(|&(price, quantity)| book.set(side, price, quantity));
                }
                if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
                    assert!(bid.0 < ask.0, "{bid:?} {ask:?} with {levels} levels");
                }
            }
        }
    }

    #[test]
    fn ids_are_a_chain_and_the_seed_decides() {
        let messages = updates(3, 50, 7);
        for pair in messages.windows(2) {
            assert_eq!(pair[0].last_id + 1, pair[1].first_id);
        }
        assert_eq!(json(&messages[9], Wire::Spot), json(&updates(3, 50, 7)[9], Wire::Spot));
        assert_ne!(json(&messages[9], Wire::Spot), json(&updates(3, 50, 8)[9], Wire::Spot));
    }
}
