//! The load of the judge `process`: diffs of all symbols at seeded times, and the troubled symbol's whole book.

use std::collections::BTreeMap;
use std::fmt::Write;

use quantumflow_benches::depth::{self, DepthUpdate, Wire};

use crate::Args;

/// What arrives during a round, in the order of time.
pub(crate) struct Load {
    pub(crate) names: Vec<String>,
    pub(crate) arrivals: Vec<Arrival>,
    /// Diffs of the troubled symbol, one after the other.
    pub(crate) troubled: Vec<DepthUpdate>,
    depth: usize,
    lose_every: usize,
}

/// One message.
pub(crate) struct Arrival {
    /// After the start of the round.
    pub(crate) at_ns: u64,
    pub(crate) symbol: usize,
    /// Which of the symbol's diffs.
    pub(crate) place: usize,
    pub(crate) last_id: u64,
    pub(crate) frame: String,
}

impl Load {
    pub(crate) fn new(args: &Args) -> Self {
        let names: Vec<String> = (0..args.symbols).map(|index| format!("Q{index:03}USDT")).collect();
        let count = args.rate as usize * args.seconds as usize;
        let mut dice = Dice(0x9e37_79b9);
        let mut of_symbol: Vec<usize> = vec![0; args.symbols];
        let mut at_ns = 0.0;
        let mut plan = Vec::with_capacity(count);
        for _ in 0..count {
            // Independent arrivals: what falls together does so by chance, and not in any symbol's turn.
            at_ns -= 1e9 / f64::from(args.rate) * (1.0 - dice.unit()).ln();
            let symbol = (dice.unit() * args.symbols as f64) as usize;
            plan.push((at_ns as u64, symbol, of_symbol[symbol]));
            of_symbol[symbol] += 1;
        }
        let mut streams = of_symbol
            .iter()
            .enumerate()
            .map(|(symbol, count)| depth::updates(LEVELS, *count, symbol as u64));
        let troubled: Vec<DepthUpdate> = streams.next().unwrap_or_default();
        let healthy: Vec<Vec<DepthUpdate>> = streams.collect();
        let arrivals = plan.into_iter().map(|(at_ns, symbol, place)| {
            let update = match symbol.checked_sub(1) {
                None => &troubled[place],
                Some(other) => &healthy[other][place],
            };
            Arrival {
                at_ns,
                symbol,
                place,
                last_id: update.last_id,
                frame: frame(update, &names[symbol]),
            }
        });
        Self {
            arrivals: arrivals.collect(),
            names,
            troubled,
            depth: args.depth as usize,
            lose_every: args.lose_every.max(1),
        }
    }

    /// Whether the venue forgets to send it, in a round with the trouble.
    pub(crate) fn is_lost(&self, arrival: &Arrival) -> bool {
        arrival.symbol == 0 && arrival.place % self.lose_every == self.lose_every - 1
    }

    /// The first snapshot of any symbol: one deep level a side, right before its first diff.
    pub(crate) fn first_snapshot(&self) -> String {
        let id = self.troubled.first().map_or(1, |update| update.first_id) - 1;
        format!(
            r#"{{"lastUpdateId":{id},"bids":[["1.25000000","1.00100000"]],"asks":[["999999.25000000","1.00100000"]]}}"#
        )
    }

    /// The troubled symbol's book before its first diff, as deep as a snapshot.
    pub(crate) fn book(&self) -> TroubledBook {
        // Out of the market's way: the walk of a round stays within a thousandth of the price.
        let step = |level: usize| MARGIN + 3 * level as i64;
        let side = |direction: i64| (0..self.depth).map(move |level| (MID + direction * step(level), 100_100_000));
        TroubledBook {
            last_id: 0,
            known: 0,
            bids: side(-1).collect(),
            asks: side(1).collect(),
            depth: self.depth,
        }
    }
}

/// What the venue knows of the troubled symbol.
pub(crate) struct TroubledBook {
    last_id: u64,
    known: usize,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    depth: usize,
}

impl TroubledBook {
    /// Applies those of all diffs so far that it does not hold yet.
    pub(crate) fn catch_up(&mut self, updates: &[DepthUpdate]) {
        for update in &updates[self.known..] {
            self.apply(update);
        }
        self.known = updates.len();
    }

    fn apply(&mut self, update: &DepthUpdate) {
        self.last_id = update.last_id;
        for (side, changes) in [(&mut self.bids, &update.bids), (&mut self.asks, &update.asks)] {
            for &(price, quantity) in changes {
                match quantity {
                    0 => side.remove(&price),
                    _ => side.insert(price, quantity),
                };
            }
        }
    }

    /// The answer to a REST request.
    pub(crate) fn snapshot(&self) -> String {
        let mut text = format!(r#"{{"lastUpdateId":{},"bids":["#, self.last_id);
        push_levels(&mut text, self.bids.iter().rev().take(self.depth));
        text.push_str(r#"],"asks":["#);
        push_levels(&mut text, self.asks.iter().take(self.depth));
        text.push_str("]}");
        text
    }
}

fn push_levels<'a>(text: &mut String, levels: impl Iterator<Item = (&'a i64, &'a i64)>) {
    for (index, (price, quantity)) in levels.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let (whole, part) = (quantity / 100_000_000, quantity % 100_000_000);
        write!(
            text,
            "{comma}[\"{}.{:02}000000\",\"{whole}.{part:08}\"]",
            price / 100,
            price % 100
        )
        .expect("a String takes everything");
    }
}

fn frame(update: &DepthUpdate, name: &str) -> String {
    let text = depth::json(update, Wire::Spot);
    text.replacen("btcusdt", &name.to_lowercase(), 1)
        .replacen("BTCUSDT", name, 1)
}

/// Changes of a diff, on each side.
const LEVELS: usize = 5;
/// Where the generator's price starts, in cents, and how far it does not walk.
const MID: i64 = 6_183_763;
const MARGIN: i64 = 60_000;

/// Sebastiano Vigna's SplitMix64.
struct Dice(u64);

impl Dice {
    /// From zero to below one.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
