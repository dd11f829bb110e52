//! Percentiles of each round, medians over the pairs.

use std::fmt;

use hdrhistogram::Histogram;

/// What a round measured, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Round {
    /// From a healthy symbol's message to its book.
    pub(crate) healthy: Histogram<u64>,
    /// What a REST snapshot of the troubled symbol took on the thread, with the diffs that had waited for it.
    pub(crate) snapshots: Histogram<u64>,
    /// Books of the troubled symbol that were given up.
    pub(crate) resyncs: u64,
}

impl Default for Round {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that the library accepts");
        Self {
            healthy: histogram(),
            snapshots: histogram(),
            resyncs: 0,
        }
    }
}

/// All pairs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pairs: Vec<[Round; 2]>,
}

impl Report {
    /// A round without the trouble and one with it.
    pub(crate) fn add(&mut self, rounds: [Round; 2]) {
        self.pairs.push(rounds);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: f64| ns / 1e3;
        writeln!(
            f,
            "healthy symbols, microseconds: median over {} pairs",
            self.pairs.len()
        )?;
        writeln!(f, "         without       with   ratio  (least to most)")?;
        for (name, quantile) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p99.9", 0.999),
            ("p99.99", 0.9999),
            ("max", 1.0),
        ] {
            let of = |round: &Round| round.healthy.value_at_quantile(quantile) as f64;
            let without = Spread::of(self.pairs.iter().map(|[calm, _]| of(calm)));
            let with = Spread::of(self.pairs.iter().map(|[_, troubled]| of(troubled)));
            let ratio = Spread::of(self.pairs.iter().map(|[calm, troubled]| of(troubled) / of(calm)));
            writeln!(
                f,
                "{name:<7} {:>9.2}  {:>9.2}  {:>6.2}  ({:.2} to {:.2})",
                us(without.median),
                us(with.median),
                ratio.median,
                ratio.least,
                ratio.most
            )?;
        }
        let troubled = || self.pairs.iter().map(|[_, troubled]| troubled);
        let messages = Spread::of(troubled().map(|round| round.healthy.len() as f64));
        let resyncs = Spread::of(troubled().map(|round| round.resyncs as f64));
        let snapshots = Spread::of(troubled().map(|round| round.snapshots.len() as f64));
        let usual = Spread::of(troubled().map(|round| round.snapshots.value_at_quantile(0.5) as f64));
        let longest = Spread::of(troubled().map(|round| round.snapshots.max() as f64));
        writeln!(
            f,
            "a round with the trouble: {} messages of healthy symbols,",
            messages.median
        )?;
        writeln!(
            f,
            "  {} books given up, {} snapshots taken in;",
            resyncs.median, snapshots.median
        )?;
        write!(
            f,
            "  a snapshot with what had waited for it stops the thread for {:.0} us, the longest {:.0} us",
            us(usual.median),
            us(longest.median)
        )
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }
}
