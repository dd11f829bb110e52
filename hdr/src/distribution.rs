//! What one histogram says: a row of percentiles, and the percentile distribution file (`.hgrm`) of the plotters.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The percentiles that the tools show.
pub(crate) const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// Count, extremes, mean and percentiles, values in the histogram's unit. Zeros without a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles {
    /// Values recorded.
    pub count: u64,
    /// Smallest, to the bottom of its bucket.
    pub min: u64,
    /// Largest, to the top of its bucket.
    pub max: u64,
    /// Of bucket midpoints.
    pub mean: f64,
    /// At 50, 90, 99, 99.9 and 99.99 percent.
    pub at: [u64; 5],
}

impl Percentiles {
    /// Of this histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self {
                count: 0,
                min: 0,
                max: 0,
                mean: 0.0,
                at: [0; 5],
            };
        }
        Self {
            count: histogram.len(),
            min: histogram.min(),
            max: histogram.max(),
            mean: histogram.mean(),
            at: PERCENTILES.map(|percentile| value_at(histogram, percentile)),
        }
    }

    /// As JSON, values multiplied by `to_ns`.
    pub(crate) fn to_json(&self, to_ns: f64) -> Value {
        let ns = |value: u64| value as f64 * to_ns;
        let [p50, p90, p99, p999, p9999] = self.at.map(ns);
        json!({
            "count": self.count, "min_ns": ns(self.min), "p50_ns": p50, "p90_ns": p90, "p99_ns": p99, "p99.9_ns": p999,
            "p99.99_ns": p9999, "max_ns": ns(self.max), "mean_ns": self.mean * to_ns,
        })
    }
}

/// The value at a percentile, 0 to 100: the top of the bucket that holds it.
///
/// 99.9 / 100 is a little above 0.999 in floating point, and 0.999… of ten thousand values would be the 9,991st. The
/// quantile is taken down by the two roundings that made it, as HdrHistogram's own library does.
pub(crate) fn value_at(histogram: &Histogram<u64>, percentile: f64) -> u64 {
    let quantile = percentile / 100.0;
    let is_inside = quantile > 0.0 && quantile < 1.0;
    histogram.value_at_quantile(if is_inside {
        quantile.next_down().next_down()
    } else {
        quantile
    })
}

/// A point of a percentile distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Top of the bucket.
    pub(crate) value: u64,
    /// The percentile that this step was to reach.
    pub(crate) percentile: f64,
    /// Values up to here.
    pub(crate) passed: u64,
}

/// Steps through a histogram, `ticks` for each half of the way that is left to 100 %. The last is at 100.
///
/// These are the steps of HdrHistogram's percentile iterator, in its arithmetic of percents (the `hdrhistogram` crate
/// counts in quantiles, whose roundings make some steps a bucket later).
pub(crate) fn percentile_steps(histogram: &Histogram<u64>, ticks: u32) -> Vec<Step> {
    let total = histogram.len();
    let (mut steps, mut level, mut passed) = (Vec::new(), 0.0, 0);
    for bucket in histogram.iter_recorded() {
        passed += bucket.count_at_value();
        let value = bucket.value_iterated_to();
        while 100.0 * passed as f64 / total as f64 >= level {
            steps.push(Step {
                value,
                percentile: level,
                passed,
            });
            let halvings = (100.0 / (100.0 - level)).ln() / 2f64.ln();
            let next = level + 100.0 / (f64::from(ticks.max(1)) * 2f64.powi(halvings as i32 + 1));
            // Beyond some fifty halvings a step is too small for the number to grow.
            if passed == total || next <= level || next >= 100.0 {
                break;
            }
            level = next;
        }
    }
    if let Some(last) = steps.last().copied() {
        steps.push(Step {
            value: histogram.max(),
            percentile: 100.0,
            passed: last.passed.max(total),
        });
    }
    steps
}

/// Writes the percentile distribution in the layout of HdrHistogram's `outputPercentileDistribution`, values divided by
/// `divisor`: what the `.hgrm` plotters read. Three decimals, so that microseconds keep their nanoseconds.
pub fn write_hgrm(
    histogram: &Histogram<u64>,
    ticks_per_half: u32,
    divisor: f64,
    out: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    for step in percentile_steps(histogram, ticks_per_half) {
        let (value, quantile, passed) = (step.value as f64 / divisor, step.percentile / 100.0, step.passed);
        write!(out, "{value:>12.3} {quantile:>2.12} {passed:>10}")?;
        if step.percentile < 100.0 {
            write!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    let (mean, deviation, max) = match histogram.is_empty() {
        true => (0.0, 0.0, 0.0),
        false => (histogram.mean(), histogram.stdev(), histogram.max() as f64),
    };
    let sub_buckets = (2 * 10u64.pow(histogram.sigfig().into())).next_power_of_two();
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        mean / divisor,
        deviation / divisor
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        max / divisor,
        histogram.len()
    )?;
    writeln!(
        out,
        "#[Buckets = {:>12}, SubBuckets     = {sub_buckets:>12}]",
        histogram.buckets()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the sorted values themselves, in whole numbers.
        #[test]
        fn a_percentile_is_the_value_at_its_rank(
            mut values in prop::collection::vec(0u64..1 << 36, 1..3000),
            permyriad in 0u64..=10_000,
        ) {
            let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 2).unwrap();
            values.iter().for_each(|value| histogram.record(*value).unwrap());
            values.sort_unstable();
            let rank = (values.len() as u64 * permyriad).div_ceil(10_000).max(1) as usize;
            let expected = match permyriad {
                0 => histogram.lowest_equivalent(values[0]),
                _ => histogram.highest_equivalent(values[rank - 1]),
            };
            prop_assert_eq!(value_at(&histogram, permyriad as f64 / 100.0), expected);
        }

        #[test]
        fn steps_rise_to_the_largest_value(counts in prop::collection::vec((0u64..1 << 36, 1u64..1 << 40), 1..40)) {
            let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 2).unwrap();
            counts.iter().for_each(|(value, count)| histogram.record_n(*value, *count).unwrap());
            let steps = percentile_steps(&histogram, 5);
            prop_assert!(steps.windows(2).all(|pair| pair[0].value <= pair[1].value));
            prop_assert!(steps.windows(2).all(|pair| pair[0].percentile < pair[1].percentile));
            let last = steps.last().unwrap();
            prop_assert_eq!((last.value, last.passed, last.percentile), (histogram.max(), histogram.len(), 100.0));
            for step in &steps {
                prop_assert_eq!(histogram.count_between(0, step.value), step.passed);
            }
        }
    }

    #[test]
    fn a_histogram_of_all_there_can_be_ends() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 2).unwrap();
        histogram.record_n(1, (1 << 53) - 1).unwrap();
        histogram.record_n(1 << 30, 1).unwrap();
        let steps = percentile_steps(&histogram, 1000);
        assert_eq!(steps.last().unwrap().passed, 1 << 53);
        assert_eq!(percentile_steps(&Histogram::new(2).unwrap(), 5), []);
    }
}
