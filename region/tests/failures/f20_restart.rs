//! F20: counters that are carried over a restart count twice, or hide that there was one. Every start makes a fresh region,
//! with a start time and an instance of its own; the file of the last one is put away and keeps what it had.

use quantumflow_region::{HistogramSnapshot, RegionReader, RegionWriter, catalogue};

use crate::common::{options, shm};

/// What one start counted: its start, its instance, a counter and a histogram.
fn look(reader: &mut RegionReader) -> (u64, u64, f64, HistogramSnapshot) {
    let snapshot = reader.snapshot().unwrap();
    let histogram = snapshot.histogram("hft_stage_latency_seconds", &[]).unwrap().clone();
    let count = snapshot.total("hft_signals_published_total", &[]);
    (reader.info().start_unix_ns, reader.info().instance_id, count, histogram)
}

#[test]
fn f20_a_restart_counts_from_zero_and_says_when_it_started() {
    let dir = shm();
    let mut looks = Vec::new();
    let mut old: Option<RegionReader> = None;
    for (start, n) in [(1_000, 5), (2_000, 3), (3_000, 9)] {
        let region = RegionWriter::create(dir.path(), &options("engine", start)).unwrap();
        if let Some(old) = &mut old {
            assert!(!old.is_current(), "the path leads to another file, or to none");
            assert_eq!(look(old), looks[looks.len() - 1], "the last values of the old one stay");
        }
        let hot = region.writer("hot").unwrap();
        let count = hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap();
        let latency = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
        let mut reader = RegionReader::open(region.path().unwrap()).unwrap();
        let fresh = look(&mut reader);
        assert_eq!((fresh.0, fresh.2, fresh.3.count()), (start, 0.0, 0));
        count.add(n);
        (0..n).for_each(|value| latency.record(value));
        let now = look(&mut reader);
        assert_eq!((now.2, now.3.count()), (n as f64, n));
        looks.push(now);
        old = Some(reader);
    }
    assert!(
        looks
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1)
    );
    // Fewer records than before, in the same buckets: the difference of two starts is no interval.
    assert_eq!(looks[1].3.since(&looks[0].3), None);
}
