//! A histogram with a fixed relative error: which bucket a value falls in, how it is recorded, what a copy can answer.
//!
//! Up to `2^(p+1)` every value has a bucket of its own; from there on each doubling is cut into `2^p` equal buckets, so
//! a bucket is never wider than `2^-p` of its values. The index is the one that HdrHistogram computes with unit
//! magnitude 0 (`p = 7` is its two significant digits, `p = 10` its three), so that counts can be copied into its
//! encodings one to one.
//!
//! ```text
//! word  0 begin    records begun
//!       1 end      records finished; begin != end in a file at rest: the writer died inside a record
//!       2 sum      of the recorded values (after clamping)
//!       3 max      largest recorded value (after clamping)
//!       4 clipped  values above the range, counted in the last bucket
//!       5 .. 7     reserved, zero
//!       8 ..       one count per bucket
//! ```
//!
//! One thread records, with plain stores. A reader takes `end`, then everything else, then `begin`: each record that had
//! finished before is in its copy, none that began after is, so the number of records in the copy lies in `[end, begin]`.

use crate::counts::Counts;
use crate::layout::Shape;
use crate::sync::{Words, fence_acquire, fence_release};

pub(crate) const BEGIN: usize = 0;
pub(crate) const END: usize = 1;
pub(crate) const SUM: usize = 2;
pub(crate) const MAX: usize = 3;
pub(crate) const CLIPPED: usize = 4;
/// Where the buckets start.
pub(crate) const BUCKETS: usize = 8;

impl Shape {
    /// How many buckets it has.
    pub const fn bucket_count(self) -> usize {
        (self.max_pow as usize - self.precision as usize + 1) << self.precision
    }

    /// The largest value that is told apart from larger ones.
    pub const fn highest_value(self) -> u64 {
        (1 << self.max_pow) - 1
    }

    /// The bucket of `value`, which must not exceed [`highest_value`](Self::highest_value).
    #[inline(always)]
    pub const fn index(self, value: u64) -> usize {
        let p = self.precision as u32;
        // Small values are lifted to the top of the linear part, which makes their shift zero without a branch. The `| 1`
        // tells the compiler that the operand of the bit scan is never zero.
        let log2 = 63 - (value | ((2 << p) - 1) | 1).leading_zeros();
        let shift = log2 - p;
        ((shift as usize) << p) + (value >> shift) as usize
    }

    /// The smallest value of bucket `index`.
    pub const fn lowest(self, index: usize) -> u64 {
        let p = self.precision as u32;
        let shift = (index >> p).saturating_sub(1);
        ((index - (shift << p)) as u64) << shift
    }

    /// The largest value of bucket `index`.
    pub const fn highest(self, index: usize) -> u64 {
        let shift = (index >> self.precision as u32).saturating_sub(1);
        self.lowest(index) + ((1 << shift) - 1)
    }
}

/// Adds one value. `words` is the whole block of a histogram of that shape.
#[inline(always)]
pub(crate) fn record(words: &impl Words, shape: Shape, value: u64) {
    let limit = shape.highest_value();
    let begun = words.load(END).wrapping_add(1);
    words.store(BEGIN, begun);
    // Release: pairs with the second acquire fence in `read`. Whoever sees a word below sees this begin.
    fence_release();
    let clamped = if value > limit {
        words.bump(CLIPPED, 1);
        limit
    } else {
        value
    };
    words.bump(BUCKETS + shape.index(clamped), 1);
    words.bump(SUM, clamped);
    if clamped > words.load(MAX) {
        words.store(MAX, clamped);
    }
    // Release: pairs with the first acquire fence in `read`. Whoever sees this end sees every word above.
    words.store_release(END, begun);
}

/// Copies a histogram in one pass that never waits: what the writer does meanwhile shows as uncertainty.
pub(crate) fn read(words: &impl Words, shape: Shape) -> HistogramSnapshot {
    let end = words.load(END);
    fence_acquire();
    let counts = Counts::collect((0..shape.bucket_count()).map(|i| words.load(BUCKETS + i)));
    let (sum, max, clipped) = (words.load(SUM), words.load(MAX), words.load(CLIPPED));
    fence_acquire();
    let begin = words.load(BEGIN);
    HistogramSnapshot {
        shape,
        count: counts.sum(),
        counts,
        sum,
        max,
        clipped,
        count_min: end,
        // No writer leaves a begin behind its end; bounds in order keep what is worked out from a damaged file sound.
        count_max: begin.max(end),
    }
}

/// [`read`], and again at most twice where the reader was held up between its two looks.
pub(crate) fn read_settled(words: &impl Words, shape: Shape) -> HistogramSnapshot {
    let mut best = read(words, shape);
    for _ in 0..2 {
        if best.uncertainty() <= 1000.max(best.count / 1000) {
            break;
        }
        let again = read(words, shape);
        if again.uncertainty() < best.uncertainty() {
            best = again;
        }
    }
    best
}

/// A private copy of a histogram. Values are in the raw unit of the metric; its scale leads to the base unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    shape: Shape,
    counts: Counts,
    count: u64,
    sum: u64,
    max: u64,
    clipped: u64,
    count_min: u64,
    count_max: u64,
}

impl HistogramSnapshot {
    /// A histogram without a record.
    pub fn empty(shape: Shape) -> Self {
        Self {
            shape,
            counts: Counts::default(),
            count: 0,
            sum: 0,
            max: 0,
            clipped: 0,
            count_min: 0,
            count_max: 0,
        }
    }

    /// How values map to buckets.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many values are in the copy: the sum of its buckets, so that the two never disagree.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values, those above the range counted as the range's end.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value; the range's end where larger ones were clipped. Zero without a record.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// How many values lay above the range.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// The arithmetic mean, zero without a record.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }

    /// How many records may be half in the copy, because the writer went on while it was taken. In a region at rest,
    /// anything but zero says that the writer died inside a record.
    pub fn uncertainty(&self) -> u64 {
        self.count_max.saturating_sub(self.count_min)
    }

    /// The proven bounds of [`count`](Self::count): records finished before the copy, records begun after it.
    pub fn count_bounds(&self) -> (u64, u64) {
        (self.count_min, self.count_max)
    }

    /// The count of the bucket with this index.
    pub fn count_in(&self, index: usize) -> u64 {
        self.counts.get(index)
    }

    /// The buckets that hold something, in rising order: `(index of the bucket, count)`.
    pub fn held(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.held()
    }

    /// The buckets that hold something, in rising order: `(largest value of the bucket, count)`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.held().map(|(index, count)| (self.shape.highest(index), count))
    }

    /// How many values are at most `bound`: exact where `bound` is the largest value of its bucket, else up to the
    /// bucket before.
    pub fn count_at_most(&self, bound: u64) -> u64 {
        if bound >= self.shape.highest_value() {
            return self.count;
        }
        let index = self.shape.index(bound);
        let whole = if self.shape.highest(index) == bound {
            index + 1
        } else {
            index
        };
        let below = self.held().take_while(|(index, _)| *index < whole);
        below.fold(0u64, |total, (_, n)| total.saturating_add(n))
    }

    /// The value below or at which `percentile` percent (0 to 100) of the values lie: the largest value of the bucket
    /// that holds it, as HdrHistogram answers, but never more than [`max`](Self::max). Zero without a record.
    pub fn value_at_percentile(&self, percentile: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let share = (percentile / 100.0).clamp(0.0, 1.0);
        let wanted = ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut passed = 0u64;
        for (index, n) in self.held() {
            passed = passed.saturating_add(n);
            if passed >= wanted {
                return self.shape.highest(index).min(self.max);
            }
        }
        self.max
    }

    /// What was recorded after `earlier`, a copy of the same histogram. `None` where it is not one: another shape, or a
    /// bucket that shrank (the engine was restarted in between).
    ///
    /// The interval's maximum is known to a bucket only, and capped by the maximum of all time.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.shape != earlier.shape {
            return None;
        }
        let counts = self.counts.since(&earlier.counts)?;
        let max = match counts.end() {
            0 => 0,
            end => self.shape.highest(end - 1).min(self.max),
        };
        Some(Self {
            shape: self.shape,
            count: counts.sum(),
            counts,
            sum: self.sum.saturating_sub(earlier.sum),
            max,
            clipped: self.clipped.saturating_sub(earlier.clipped),
            count_min: self.count_min.saturating_sub(earlier.count_max),
            count_max: self.count_max.saturating_sub(earlier.count_min),
        })
    }

    /// Adds another thread's values of the same shape; `false`, and nothing added, where the shapes differ.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.shape != other.shape {
            return false;
        }
        self.counts.add(&other.counts);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.clipped = self.clipped.saturating_add(other.clipped);
        self.count_min = self.count_min.saturating_add(other.count_min);
        self.count_max = self.count_max.saturating_add(other.count_max);
        true
    }
}

#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::sync::model::Cells;

    /// Two records against one copy, in every order that the memory model allows.
    ///
    /// The writer is the first thread on purpose: started the other way round, loom visits so few orders that it misses
    /// a fence that was taken out.
    #[test]
    fn a_copy_holds_between_end_and_begin_records() {
        loom::model(|| {
            let shape = Shape {
                precision: 1,
                max_pow: 2,
            };
            let cells = Cells::new(BUCKETS + shape.bucket_count());
            let reader = cells.clone();
            let thread = loom::thread::spawn(move || {
                let copy = read(&reader, shape);
                let (least, most) = copy.count_bounds();
                assert!((least..=most).contains(&copy.count()), "{copy:?}");
            });
            record(&cells, shape, 1);
            record(&cells, shape, 3);
            thread.join().unwrap();
            let copy = read(&cells, shape);
            assert_eq!((copy.count(), copy.sum(), copy.max(), copy.uncertainty()), (2, 4, 3, 0));
        });
    }
}
