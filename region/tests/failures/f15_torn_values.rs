//! F15: a value that is torn, or zero for a moment. Both sides only ever touch whole, aligned words.

use std::sync::atomic::{AtomicBool, Ordering};

use quantumflow_region::{RegionReader, RegionWriter, Value, catalogue};

use crate::common::options;

/// A writer that alternates between two bit patterns: a reader never sees a mixture.
#[test]
fn f15_no_value_is_ever_torn() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let gauge = region
        .writer("hot")
        .unwrap()
        .gauge_i64(&catalogue::SIGNAL_RING_SLOTS, &[])
        .unwrap();
    let patterns = [0x5555_5555_5555_5555u64 as i64, !0x5555_5555_5555_5555u64 as i64];
    gauge.set(patterns[0]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = RegionReader::of(&region).unwrap();
            for _ in 0..200_000 {
                let value = reader.snapshot().unwrap().series[0].value.clone();
                assert!(patterns.map(Value::GaugeI64).contains(&value), "{value:?}");
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            patterns.iter().for_each(|pattern| gauge.set(*pattern));
        }
    });
}
