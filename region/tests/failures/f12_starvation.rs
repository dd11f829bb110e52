//! F12: a reader that wants a quiet moment starves beside a writer that grants none. A snapshot takes what there is, at most
//! three times, and says how far it may be off.

use std::sync::atomic::{AtomicBool, Ordering};

use quantumflow_region::{RegionReader, RegionWriter, catalogue};

use crate::common::options;

#[test]
fn f12_a_writer_that_never_rests_does_not_starve_a_reader() {
    const LOOKS: usize = 2000;
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    let done = AtomicBool::new(false);
    let recorded = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let histogram = histogram;
            let mut value = 1_u64;
            while !done.load(Ordering::Relaxed) {
                value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                histogram.record(value >> 40);
            }
            histogram.count()
        });
        let mut reader = RegionReader::of(&region).unwrap();
        let mut looks = 0;
        while looks < LOOKS {
            let snapshot = reader.snapshot().unwrap();
            let histogram = snapshot.histogram("hft_stage_latency_seconds", &[]).unwrap();
            let (least, most) = histogram.count_bounds();
            assert!(
                (least..=most).contains(&histogram.count()),
                "{} not in {least}..={most}",
                histogram.count()
            );
            // Only looks at a writer that is under way count.
            looks += usize::from(histogram.count() > 0);
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    let histogram = snapshot.histogram("hft_stage_latency_seconds", &[]).unwrap();
    assert_eq!(
        (histogram.count(), histogram.uncertainty()),
        (recorded, 0),
        "nothing was lost to the reader"
    );
}
