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
            at: PERCENTILES.map(|percentile| histogram.value_at_percentile(percentile)),
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

/// Writes the percentile distribution in the layout of HdrHistogram's `outputPercentileDistribution`, values divided by
/// `divisor`: what the `.hgrm` plotters read.
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
    if !histogram.is_empty() {
        let mut passed = 0;
        for step in histogram.iter_quantiles(ticks_per_half.max(1)) {
            passed += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to() as f64 / divisor, step.quantile_iterated_to());
            if quantile < 1.0 {
                writeln!(
                    out,
                    "{value:>12.3} {quantile:>2.12} {passed:>10} {:>14.2}",
                    1.0 / (1.0 - quantile)
                )?;
            } else {
                writeln!(out, "{value:>12.3} {quantile:>2.12} {passed:>10}")?;
            }
        }
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
