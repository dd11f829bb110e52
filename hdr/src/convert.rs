//! A region's histogram as one of the `hdrhistogram` crate.
//!
//! A region cuts each doubling into `2^p` buckets; HdrHistogram with `d` significant digits into half of the power of
//! two at or above `2 * 10^d`. At p = 4, 7, 10 these are the same buckets with the same bounds (1, 2, 3 digits) and each
//! count goes where it was. Any other `p` goes into the next finer digits, each bucket as its largest value: percentiles
//! stay what the region itself answers, within its own precision.
//!
//! The format holds counts only. A sum is not carried over: a mean from a log is one of bucket midpoints (within 0.4 %
//! at two digits).

use hdrhistogram::{CreationError, Histogram};
use quantumflow_region::{HistogramSnapshot, Shape};

/// The significant digits of HdrHistogram that are at least as fine as `2^precision` buckets a doubling.
pub fn significant_digits(precision: u8) -> u8 {
    match precision {
        0..=4 => 1,
        5..=7 => 2,
        8..=10 => 3,
        _ => 4,
    }
}

/// Whether the buckets of this shape are those of HdrHistogram.
pub fn is_exact(shape: Shape) -> bool {
    matches!(shape.precision(), 4 | 7 | 10)
}

/// The same counts in HdrHistogram's buckets.
///
/// # Errors
/// Where the range is too small for HdrHistogram: its highest value must be at least 2.
pub fn to_hdr(snapshot: &HistogramSnapshot) -> Result<Histogram<u64>, CreationError> {
    let mut hdr = empty(snapshot.shape())?;
    for (value, count) in snapshot.buckets() {
        hdr.saturating_record_n(value, count);
    }
    Ok(hdr)
}

/// One without a record, for values of this shape.
pub fn empty(shape: Shape) -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, shape.highest_value(), significant_digits(shape.precision()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_of_one_two_and_three_digits_are_the_same() {
        for (precision, max_pow) in [(4, 20), (7, 36), (7, 20), (7, 63), (10, 36)] {
            let shape = Shape::new(precision, max_pow).unwrap();
            assert!(is_exact(shape));
            let hdr = empty(shape).unwrap();
            // Every bucket has the same lowest and highest value on both sides.
            for index in 0..shape.bucket_count() {
                let (lowest, highest) = (shape.lowest(index), shape.highest(index));
                let bounds = (hdr.lowest_equivalent(lowest), hdr.highest_equivalent(lowest));
                assert_eq!(bounds, (lowest, highest), "p {precision}, bucket {index}");
            }
        }
    }

    #[test]
    fn other_precisions_keep_their_percentiles() {
        for precision in [1, 3, 5, 6, 8, 9, 11, 12] {
            let shape = Shape::new(precision, 30).unwrap();
            assert!(!is_exact(shape));
            let hdr = empty(shape).unwrap();
            for index in (0..shape.bucket_count()).step_by(7) {
                let width = shape.highest(index) - shape.lowest(index);
                let finer = hdr.highest_equivalent(shape.highest(index)) - shape.highest(index);
                assert!(finer <= width, "p {precision}, bucket {index}");
            }
        }
    }
}
