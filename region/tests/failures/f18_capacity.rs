//! F18: what finds no room is lost without a word. It is refused with the option to raise, counted where readers see it, and
//! the code that counts goes on into a cell that nobody reads.

use quantumflow_region::{
    Counter, Histogram, RegionOptions, RegionReader, RegionWriter, RegisterError, Shape, catalogue,
};

use crate::common::options;

#[test]
fn f18_a_full_region_says_which_option_to_raise_and_counts() {
    let full = |histograms: bool, change: &dyn Fn(&mut RegionOptions)| {
        let mut options = options("engine", 1);
        change(&mut options);
        let region = RegionWriter::private(&options).unwrap();
        let hot = region.writer("hot").unwrap();
        for i in 0..20_000 {
            let label = format!("exchange-{i}");
            let added = if histograms {
                hot.histogram(&catalogue::STAGE_LATENCY, &[&label]).map(drop)
            } else {
                hot.counter(&catalogue::FEED_MESSAGES, &[&label]).map(drop)
            };
            if let Err(RegisterError::Full { option, .. }) = added {
                assert!(region.registrations_dropped() >= 1);
                let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
                assert_eq!(snapshot.engine.registrations_dropped, region.registrations_dropped());
                return option;
            }
        }
        panic!("never full");
    };
    assert_eq!(full(false, &|o| o.max_series = 10), "max_series");
    assert_eq!(full(false, &|o| o.string_bytes = 4096), "string_bytes");
    assert_eq!(full(false, &|o| o.cells_per_writer = 10), "cells_per_writer");
    assert_eq!(full(true, &|_| ()), "bytes");

    let mut small = options("engine", 1);
    small.writer_count = 1;
    let region = RegionWriter::private(&small).unwrap();
    let _one = region.writer("one").unwrap();
    assert!(matches!(
        region.writer("two"),
        Err(RegisterError::Full {
            option: "writer_count",
            ..
        })
    ));
    // The code that counts goes on without a branch.
    let detached = Counter::detached();
    detached.inc();
    assert_eq!(detached.get(), 1);
    Histogram::detached(Shape::LATENCY_NS).record(5);
}
