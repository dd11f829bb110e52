//! Which of a histogram's thousands of buckets a scrape shows.
//!
//! Prometheus' classic histograms have a few cumulative buckets, and their count of "at most `le`" must be exact. So the
//! familiar steps (1, 2.5, 5 of each decade for latencies) are moved to the nearest bucket edge of the histogram, at
//! two significant digits by less than half a percent: 100 µs is shown as `le="9.9839e-05"`, the largest value of the
//! bucket that ends there, and the count is exactly that of the recorded values up to it. Nothing is interpolated.

use quantumflow_region::{HistogramSnapshot, Shape, Unit};

/// The edges to show, rising, in the raw unit: each is the largest value of a bucket. At most 30, the open end not
/// included.
pub fn edges(shape: Shape, unit: Unit, scale: i8) -> Vec<u64> {
    let mut edges: Vec<u64> = steps(unit)
        .into_iter()
        .filter_map(|step| step.raw(scale))
        .filter(|&raw| raw > 0 && raw < shape.highest_value())
        .map(|raw| nearest_edge(shape, raw))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// How many of the values are at most each edge; and how many there are in all.
pub fn cumulate(histogram: &HistogramSnapshot, edges: &[u64]) -> (Vec<u64>, u64) {
    let mut held = histogram.held().peekable();
    let mut total = 0_u64;
    let cumulative = edges.iter().map(|&edge| {
        let last = histogram.shape().index(edge);
        while let Some((_, n)) = held.next_if(|(index, _)| *index <= last) {
            total = total.saturating_add(n);
        }
        total
    });
    let cumulative = cumulative.collect();
    let count = held.fold(total, |sum, (_, n)| sum.saturating_add(n));
    (cumulative, count)
}

/// A decimal number without rounding: `digits * 10^exponent` in the base unit.
#[derive(Clone, Copy)]
struct Step {
    digits: u64,
    exponent: i32,
}

impl Step {
    /// In the raw unit, rounded; `None` where it does not fit.
    fn raw(self, scale: i8) -> Option<u64> {
        let exponent = self.exponent - i32::from(scale);
        let power = 10_u64.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 {
            self.digits.checked_mul(power)
        } else {
            Some(self.digits / power + u64::from(self.digits % power >= power.div_ceil(2)))
        }
    }
}

fn steps(unit: Unit) -> Vec<Step> {
    let decades = |from: i32, to: i32, digits: [u64; 3]| {
        let decade = move |exponent| {
            digits.map(|digits| Step {
                digits,
                exponent: exponent - 1,
            })
        };
        (from..to)
            .flat_map(decade)
            .chain([Step {
                digits: 1,
                exponent: to,
            }])
            .collect()
    };
    match unit {
        // 100 ns, 250 ns, 500 ns, 1 µs … 5 s, 10 s.
        Unit::Seconds => decades(-7, 1, [10, 25, 50]),
        // 0.05, 0.1 … 0.95, 0.99.
        Unit::Ratio => (1..20)
            .map(|n| n * 5)
            .chain([99])
            .map(|digits| Step { digits, exponent: -2 })
            .collect(),
        // 64 B, 128 B … 512 MiB.
        Unit::Bytes => (6..30)
            .map(|power| Step {
                digits: 1 << power,
                exponent: 0,
            })
            .collect(),
        // 1, 2, 5, 10 … 10^9.
        Unit::None | Unit::Price => decades(0, 9, [10, 20, 50]),
    }
}

/// The largest value of a bucket, as near to `raw` as there is one; of two equally near ones the smaller.
fn nearest_edge(shape: Shape, raw: u64) -> u64 {
    let index = shape.index(raw);
    let above = shape.highest(index);
    match shape.lowest(index).checked_sub(1) {
        Some(below) if below > 0 && raw - below <= above - raw => below,
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::histogram_of;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    const LATENCY: (Shape, Unit, i8) = (Shape::LATENCY_NS, Unit::Seconds, -9);

    #[test]
    fn a_latency_ladder_goes_from_100_ns_to_10_s_within_half_a_percent() {
        let edges = edges(LATENCY.0, LATENCY.1, LATENCY.2);
        let wanted: Vec<f64> = (2..10)
            .flat_map(|power| [1.0, 2.5, 5.0].map(|step| step * 10f64.powi(power)))
            .chain([1e10])
            .collect();
        assert_eq!(edges.len(), wanted.len());
        for (&edge, wanted) in edges.iter().zip(wanted) {
            assert!((edge as f64 / wanted - 1.0).abs() < 0.005, "{edge} for {wanted}");
        }
        assert_eq!(
            edges[..3],
            [100, 250, 499],
            "small values have a bucket each, larger ones share"
        );
    }

    #[test]
    fn every_ladder_rises_and_stays_within_its_budget() {
        for unit in [Unit::None, Unit::Seconds, Unit::Bytes, Unit::Ratio, Unit::Price] {
            for scale in -18..=18 {
                for precision in 1..=12 {
                    for max_pow in precision + 1..=63 {
                        let shape = Shape::new(precision, max_pow).expect("in the limits");
                        let edges = edges(shape, unit, scale);
                        assert!(edges.len() <= 30, "{unit:?} {scale} {shape:?}");
                        assert!(
                            edges.windows(2).all(|w| w[0] < w[1]),
                            "{unit:?} {scale} {shape:?}: {edges:?}"
                        );
                        assert!(edges.iter().all(|&e| shape.highest(shape.index(e)) == e));
                    }
                }
            }
        }
        assert_eq!(edges(Shape::RATIO_PPM, Unit::Ratio, -6).len(), 20);
    }

    proptest! {
        #[test]
        fn counts_are_those_of_hdrhistogram(values in prop::collection::vec(0_u64..1 << 36, 0..300), shifts in prop::collection::vec(0_u32..36, 300)) {
            let (shape, unit, scale) = LATENCY;
            let mut oracle = Histogram::<u64>::new_with_bounds(1, shape.highest_value(), 2).unwrap();
            let values: Vec<u64> = values.iter().zip(shifts).map(|(v, shift)| v >> shift).collect();
            for &value in &values {
                oracle.record(value).unwrap();
            }
            let edges = edges(shape, unit, scale);
            let (cumulative, count) = cumulate(&histogram_of(shape, &values), &edges);
            prop_assert_eq!(count, oracle.len());
            for (&edge, &at_most) in edges.iter().zip(&cumulative) {
                prop_assert_eq!(oracle.highest_equivalent(edge), edge, "an edge of its buckets, too");
                prop_assert_eq!(at_most, oracle.count_between(0, edge));
                prop_assert_eq!(at_most, values.iter().filter(|&&v| v <= edge).count() as u64, "and of the values");
            }
        }
    }
}
