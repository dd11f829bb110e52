//! A region's histogram as Prometheus' native one: the same counts in exponential buckets.
//!
//! A native histogram of schema `s` has `2^s` buckets to each doubling, each wider than the one before by the factor
//! `2^(2^-s)`, and sends those that hold something. A region's buckets are narrower: at two significant digits 0.78 % of
//! their values, against 2.19 % of schema 5. So each of them moves as a whole into the exponential bucket that its middle
//! lies in. The table is monotone, so order and counts are kept exactly; a value ends up in the exponential bucket that
//! it belongs to or, near an edge, in that one's neighbour, as if it had been measured with an error of half a region's
//! bucket (0.39 %). A quantile is therefore right to within one exponential bucket and that half.
//!
//! The value zero has a bucket of its own, and no value is negative.

use quantumflow_region::metric::to_base;
use quantumflow_region::{HistogramSnapshot, Shape};

/// A native histogram's buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// Each doubling has two to the power of this many buckets.
    pub schema: i32,
    /// How many values are zero.
    pub zero_count: u64,
    /// Runs of buckets that follow each other.
    pub spans: Vec<Span>,
    /// The buckets' counts, each less the one before.
    pub deltas: Vec<i64>,
}

/// Buckets that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of the first span the index of its first bucket, of a later one the distance from the end of the span before.
    pub offset: i32,
    /// Buckets in it.
    pub length: u32,
}

/// Values up to this are in the zero bucket: Prometheus' own default, far below any unit. It is never zero, because
/// that, without buckets, would be no native histogram.
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39; // 2^-128

/// Where each bucket of a region's histogram goes.
#[derive(Clone, Debug)]
pub struct Table {
    schema: i32,
    /// By the region's bucket: the exponential one. The first entry, of the value zero, means nothing.
    index: Vec<i32>,
}

impl Table {
    /// The table for histograms of this shape, whose raw values become base units by `10^scale`.
    pub fn new(shape: Shape, scale: i8) -> Self {
        let schema = schema(shape);
        let per_doubling = f64::from(1 << schema);
        let mut least = i32::MIN;
        let index = (0..shape.bucket_count()).map(|bucket| {
            let (low, high) = (shape.lowest(bucket), shape.highest(bucket));
            let middle = low as f64 + (high - low) as f64 / 2.0;
            // Bucket i holds what lies above base^(i-1) and is at most base^i. Rounding in the logarithm may take a value
            // on an edge to the neighbour, but never out of order.
            let exponential = (to_base(middle, scale).log2() * per_doubling).ceil() as i32;
            least = least.max(exponential);
            least
        });
        Self {
            schema,
            index: index.collect(),
        }
    }

    /// The histogram in exponential buckets.
    pub fn convert(&self, histogram: &HistogramSnapshot) -> Native {
        let mut native = Native {
            schema: self.schema,
            zero_count: histogram.count_in(0),
            ..Native::default()
        };
        let mut run = Run::default();
        for (bucket, count) in histogram.held().filter(|(bucket, _)| *bucket > 0) {
            run.add(self.index[bucket], count, &mut native);
        }
        run.flush(&mut native);
        native
    }
}

/// The finest schema whose buckets are wider than the region's.
fn schema(shape: Shape) -> i32 {
    i32::from(shape.precision().min(6)) - 1
}

/// The bucket being filled, and what was written before it.
#[derive(Default)]
struct Run {
    open: Option<(i32, u64)>,
    last_index: Option<i32>,
    last_count: i64,
}

impl Run {
    fn add(&mut self, index: i32, count: u64, native: &mut Native) {
        match &mut self.open {
            Some((open, total)) if *open == index => *total = total.saturating_add(count),
            _ => {
                self.flush(native);
                self.open = Some((index, count));
            }
        }
    }

    fn flush(&mut self, native: &mut Native) {
        let Some((index, count)) = self.open.take() else { return };
        let gap = self.last_index.map(|last| index - last - 1);
        match (gap, native.spans.last_mut()) {
            // A few empty buckets are shorter than a new span.
            (Some(gap @ 0..=GAP_MAX), Some(span)) => {
                for _ in 0..gap {
                    native.deltas.push(-self.last_count);
                    self.last_count = 0;
                }
                span.length += gap as u32 + 1;
            }
            _ => native.spans.push(Span {
                offset: gap.unwrap_or(index),
                length: 1,
            }),
        }
        // A count beyond 2^63 is a damaged file's; Prometheus would refuse what does not add up, so it is cut there.
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        native.deltas.push(count - self.last_count);
        (self.last_index, self.last_count) = (Some(index), count);
    }
}

const GAP_MAX: i32 = 2;

#[cfg(test)]
mod tests;
