//! F13: a histogram whose count is not the sum of its buckets, or whose buckets shrink. The count that a copy gives is the
//! sum of the buckets in it, and the two bounds are proven by the block's own counters.

use std::sync::atomic::{AtomicBool, Ordering};

use quantumflow_region::{HistogramSnapshot, RegionReader, RegionWriter, Shape, catalogue};

use crate::common::options;

/// A writer at full speed against a reader: each copy holds between `end` and `begin` records, no bucket ever shrinks,
/// and in the end nothing is missing.
#[test]
fn f13_copies_under_full_load_keep_their_promise() {
    const RECORDS: u64 = 3_000_000;
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let ours = hot.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    let done = AtomicBool::new(false);
    let passes = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = RegionReader::of(&region).unwrap();
            let mut last = HistogramSnapshot::empty(Shape::LATENCY_NS);
            let (mut passes, mut busy) = (0, 0);
            while !done.load(Ordering::Acquire) {
                let snapshot = reader.snapshot().unwrap();
                let copy = snapshot.histogram("hft_feature_latency_seconds", &[]).unwrap();
                let (least, most) = copy.count_bounds();
                assert!(
                    (least..=most).contains(&copy.count()),
                    "{} not in {least}..={most}",
                    copy.count()
                );
                assert!(
                    last.held().all(|(index, then)| copy.count_in(index) >= then),
                    "a bucket shrank"
                );
                assert_eq!(copy.count(), copy.held().map(|(_, count)| count).sum::<u64>());
                assert_eq!(copy.count(), copy.count_at_most(u64::MAX));
                let ladder = [1 << 10, 1 << 15, 1 << 18, 1 << 20].map(|bound| copy.count_at_most(bound - 1));
                assert!(ladder.is_sorted(), "{ladder:?}");
                assert!(copy.since(&last).is_some());
                busy += u32::from(copy.count() > last.count());
                last = copy.clone();
                passes += 1;
            }
            (passes, busy)
        });
        let mut state = 1u64;
        for _ in 0..RECORDS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ours.record(state >> 44);
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    let copy = snapshot.histogram("hft_feature_latency_seconds", &[]).unwrap();
    assert_eq!((copy.count(), copy.count_bounds()), (RECORDS, (RECORDS, RECORDS)));
    assert!(passes.1 >= 1, "the reader never met the writer at work: {passes:?}");
}
