//! Histograms against the reference implementation, and what a reader may conclude while the writer goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use common::options;
use hdrhistogram::Histogram as Hdr;
use quantumflow_region::{HistogramSnapshot, Metric, RegionReader, RegionWriter, Shape, catalogue};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

static TWO_DIGITS: Metric = Metric::histogram("hft_two", Shape::LATENCY_NS).help("Test values.");
static THREE_DIGITS: Metric = Metric::histogram("hft_three", Shape::new(10, 36).unwrap()).help("Test values.");

fn value(rng: &mut ChaCha8Rng, max_pow: u32) -> u64 {
    // Every magnitude is as likely as any other.
    rng.random::<u64>() >> rng.random_range(64 - max_pow..64)
}

/// Both ends of the bucket of a value are those of the reference.
#[test]
fn every_value_falls_into_the_bucket_that_hdrhistogram_gives_it() {
    for (shape, digits) in [(Shape::LATENCY_NS, 2), (Shape::new(10, 36).unwrap(), 3)] {
        let oracle = Hdr::<u64>::new_with_bounds(1, (1 << 36) - 1, digits).unwrap();
        let check = |value: u64| {
            let index = shape.index(value);
            assert!(index < shape.bucket_count());
            assert_eq!(shape.lowest(index), oracle.lowest_equivalent(value), "{value}");
            assert_eq!(shape.highest(index), oracle.highest_equivalent(value), "{value}");
        };
        (0..5000).for_each(check);
        (1..36)
            .flat_map(|pow| [(1 << pow) - 1, 1 << pow, (1 << pow) + 1])
            .for_each(check);
        check((1 << 36) - 1);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        (0..1_000_000).for_each(|_| check(value(&mut rng, 36)));
    }
}

/// Buckets lie side by side, from zero to the end of the range, in every shape that readers accept.
#[test]
fn the_buckets_of_every_shape_are_without_gap_or_overlap() {
    for precision in 1..=12 {
        for max_pow in precision + 1..=63 {
            let shape = Shape::new(precision, max_pow).unwrap();
            let mut next = 0;
            for index in 0..shape.bucket_count() {
                assert_eq!(shape.lowest(index), next);
                assert_eq!((shape.index(next), shape.index(shape.highest(index))), (index, index));
                next = shape.highest(index) + 1;
            }
            assert_eq!(next - 1, shape.highest_value());
        }
    }
    for (precision, max_pow) in [(0, 8), (13, 40), (7, 7), (7, 64), (255, 255)] {
        assert_eq!(Shape::new(precision, max_pow), None);
    }
}

#[test]
fn percentiles_mean_and_counts_agree_with_hdrhistogram() {
    for (metric, digits) in [(&TWO_DIGITS, 2), (&THREE_DIGITS, 3)] {
        for (seed, count) in [(1, 1), (2, 2), (3, 10), (4, 1000), (5, 500_000)] {
            let region = RegionWriter::private(&options("engine", 1)).unwrap();
            let ours = region.writer("hot").unwrap().histogram(metric, &[]).unwrap();
            let mut oracle = Hdr::<u64>::new_with_bounds(1, (1 << 36) - 1, digits).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut sum, mut max) = (0, 0);
            for _ in 0..count {
                let value = value(&mut rng, 36);
                ours.record(value);
                oracle.record(value).unwrap();
                (sum, max) = (sum + value, max.max(value));
            }
            let copy = snapshot(&region);
            assert_eq!(
                (copy.count(), copy.sum(), copy.max(), copy.clipped()),
                (count, sum, max, 0)
            );
            assert_eq!(copy.mean(), sum as f64 / count as f64);
            for percentile in (0..=1000).map(|p| f64::from(p) / 10.0).chain([99.99, 99.999]) {
                let theirs = if percentile == 0.0 {
                    oracle.min()
                } else {
                    oracle.value_at_quantile(percentile / 100.0)
                };
                let theirs = oracle.highest_equivalent(theirs).min(max);
                assert_eq!(copy.value_at_percentile(percentile), theirs, "p{percentile} of {count}");
            }
            let buckets: Vec<(u64, u64)> = oracle
                .iter_recorded()
                .map(|v| (oracle.highest_equivalent(v.value_iterated_to()), v.count_at_value()))
                .collect();
            assert!(copy.buckets().eq(buckets.iter().copied()));
            let mut below = 0;
            for (bound, count) in buckets {
                below += count;
                assert_eq!(copy.count_at_most(bound), below);
            }
        }
    }
}

#[test]
fn a_value_above_the_range_is_clipped_and_counted() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let ours = hot.histogram(&catalogue::PREDICTION_CONFIDENCE, &["m"]).unwrap();
    let limit = (1 << 20) - 1;
    for value in [0, limit, limit + 1, u64::MAX] {
        ours.record(value);
    }
    let copy = snapshot(&region);
    assert_eq!(
        (copy.count(), copy.clipped(), copy.max(), copy.sum()),
        (4, 2, limit, 3 * limit)
    );
    assert_eq!(copy.buckets().collect::<Vec<_>>(), [(0, 1), (limit, 3)]);
    assert_eq!(
        (
            copy.count_at_most(0),
            copy.count_at_most(limit - 1),
            copy.count_at_most(u64::MAX)
        ),
        (1, 1, 4)
    );
}

#[test]
fn the_difference_of_two_copies_is_what_was_recorded_between_them() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let ours = region.writer("hot").unwrap().histogram(&TWO_DIGITS, &[]).unwrap();
    (0..100).for_each(|value| ours.record(value * 1000));
    let before = snapshot(&region);
    (0..10).for_each(|_| ours.record(77));
    let after = snapshot(&region);
    let interval = after.since(&before).unwrap();
    assert_eq!(
        (interval.count(), interval.sum(), interval.max(), interval.mean()),
        (10, 770, 77, 77.0)
    );
    assert_eq!(interval.value_at_percentile(50.0), 77);
    assert_eq!(before.since(&after), None, "the engine was restarted");
    assert_eq!(after.since(&HistogramSnapshot::empty(Shape::RATIO_PPM)), None);
    let empty = before.since(&before).unwrap();
    assert_eq!(
        (
            empty.count(),
            empty.value_at_percentile(99.0),
            empty.max(),
            empty.mean()
        ),
        (0, 0, 0, 0.0)
    );
}

fn snapshot(region: &RegionWriter) -> HistogramSnapshot {
    let snapshot = RegionReader::of(region).unwrap().snapshot().unwrap();
    let histogram = snapshot.series.iter().find_map(|series| series.value.histogram());
    histogram.unwrap().clone()
}
