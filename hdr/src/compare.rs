//! Whether one run is slower than another, and whether the runs are long enough to say so.
//!
//! A percentile of a run is an estimate. Its bounds come from the order of the values alone, whatever their
//! distribution: of `n` values the one at quantile `q` lies, 99 times in 100, between those at ranks
//! `nq ± 2.576 √(nq(1−q))` (the normal approximation to the binomial; e.g. Conover, Practical Nonparametric Statistics,
//! "Confidence interval for a quantile"). Where the bounds of two runs overlap, the difference is called noise. Where
//! fewer than ten values lie beyond the percentile, no bounds are worth anything.
//!
//! The rule takes values for independent. Latencies come in bursts, so the true bounds are wider: repeat a short run.

use hdrhistogram::Histogram;

use crate::distribution::value_at;

/// How sure a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bounds do not overlap.
    Clear,
    /// They do.
    Noise,
    /// Fewer than ten values lie beyond the percentile in one of the runs.
    TooFew,
}

impl Verdict {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Noise => "noise",
            Self::TooFew => "too_few",
        }
    }
}

/// A percentile in two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Which, 0 to 100.
    pub percentile: f64,
    /// Its value in the first run.
    pub a: u64,
    /// In the second.
    pub b: u64,
    /// By how many percent the second is larger.
    pub percent: f64,
    /// How sure that is.
    pub verdict: Verdict,
}

/// Values that must lie beyond a percentile for it to mean something.
const TAIL_MIN: f64 = 10.0;
/// Two-sided 99 % of the normal distribution: some forty percentiles are compared at a time.
const Z: f64 = 2.576;

/// What became of a percentile from run `a` to run `b`. Both must have a record and the same unit.
pub fn compare(a: &Histogram<u64>, b: &Histogram<u64>, percentile: f64) -> Change {
    let (value_a, value_b) = (value_at(a, percentile), value_at(b, percentile));
    let percent = if value_a == value_b {
        0.0
    } else {
        (value_b as f64 / value_a as f64 - 1.0) * 100.0
    };
    let quantile = percentile / 100.0;
    let tail = |histogram: &Histogram<u64>| histogram.len() as f64 * (1.0 - quantile);
    let verdict = if tail(a).min(tail(b)) < TAIL_MIN - 1e-6 {
        Verdict::TooFew
    } else {
        let ((low_a, high_a), (low_b, high_b)) = (bounds(a, quantile), bounds(b, quantile));
        if low_a <= high_b && low_b <= high_a {
            Verdict::Noise
        } else {
            Verdict::Clear
        }
    };
    Change {
        percentile,
        a: value_a,
        b: value_b,
        percent,
        verdict,
    }
}

/// Between which values the quantile lies.
fn bounds(histogram: &Histogram<u64>, quantile: f64) -> (u64, u64) {
    let count = histogram.len() as f64;
    let spread = Z * (count * quantile * (1.0 - quantile)).sqrt();
    let value = |rank: f64| histogram.value_at_quantile((rank / count).clamp(0.0, 1.0));
    (
        value((count * quantile - spread).floor()),
        value((count * quantile + spread).ceil()),
    )
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn run(rng: &mut ChaCha8Rng, count: u32, scale: f64) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 3).unwrap();
        for _ in 0..count {
            // Exponential: a long tail, as latencies have.
            let value = -scale * (1.0 - rng.random::<f64>()).ln();
            histogram.saturating_record(1000 + value as u64);
        }
        histogram
    }

    #[test]
    fn equal_runs_are_noise_and_a_slower_one_is_clear() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut wrong = 0;
        for _ in 0..200 {
            let (a, b) = (run(&mut rng, 2000, 10_000.0), run(&mut rng, 2000, 10_000.0));
            for percentile in [50.0, 90.0, 99.0] {
                wrong += u32::from(compare(&a, &b, percentile).verdict == Verdict::Clear);
            }
        }
        // Two 99 % intervals of equal runs fail to overlap far less often than once in a hundred.
        assert!(wrong <= 2, "{wrong} of 600");
        let (a, b) = (run(&mut rng, 20_000, 10_000.0), run(&mut rng, 20_000, 12_000.0));
        let change = compare(&a, &b, 99.0);
        assert_eq!(change.verdict, Verdict::Clear);
        assert!((15.0..25.0).contains(&change.percent), "{change:?}");
        assert!(compare(&b, &a, 99.0).percent < 0.0);
    }

    #[test]
    fn a_tail_of_a_few_values_is_called_so() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let (a, b) = (run(&mut rng, 1000, 10_000.0), run(&mut rng, 999, 10_000.0));
        assert_ne!(compare(&a, &a, 99.0).verdict, Verdict::TooFew);
        assert_eq!(compare(&a, &b, 99.0).verdict, Verdict::TooFew);
        assert_eq!(compare(&a, &b, 99.9).verdict, Verdict::TooFew);
    }

    #[test]
    fn a_change_from_nothing_is_endless() {
        let mut a = Histogram::new_with_bounds(1, 1000, 2).unwrap();
        let mut b = a.clone();
        a.record_n(0, 100).unwrap();
        b.record_n(5, 100).unwrap();
        assert_eq!(compare(&a, &b, 50.0).percent, f64::INFINITY);
        assert_eq!(compare(&a, &a, 50.0).percent, 0.0);
    }
}
