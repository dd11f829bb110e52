//! A small region to be damaged, and what must hold of whatever is read of it.

use std::fs;

use quantumflow_region::{EventKind, Metric, RegionOptions, RegionWriter, Snapshot, ThreadEvents, catalogue};

use crate::scratch;

static INFO: Metric = Metric::info("hft_test_info").labels(&["a", "b"]).help("A statement.");

/// Whether what was read is sound.
pub fn check(snapshot: &Snapshot) {
    assert!(snapshot.series.len() <= 64 && snapshot.writers.len() <= 1024);
    for series in &snapshot.series {
        let _ = series.meta.to_base(series.value.as_f64().unwrap_or(0.0));
        assert!(!series.meta.name.is_empty());
        let Some(histogram) = series.value.histogram() else {
            continue;
        };
        let (least, most) = histogram.count_bounds();
        assert!(least <= most);
        let [p50, p99, p100] = [50.0, 99.0, 100.0].map(|percentile| histogram.value_at_percentile(percentile));
        assert!(p50 <= p99 && p99 <= p100, "{p50} {p99} {p100}");
        assert!(histogram.count_at_most(1000) <= histogram.count_at_most(u64::MAX));
        assert!(histogram.buckets().is_sorted_by(|a, b| a.0 < b.0));
        let _ = (histogram.mean(), histogram.uncertainty(), histogram.since(histogram));
        let mut merged = histogram.clone();
        let _ = merged.merge(histogram);
    }
    let _ = snapshot.uncertainty_max();
}

/// What was read of the events is sound.
pub fn check_events(threads: &[ThreadEvents]) {
    for thread in threads {
        assert!(thread.events.len() <= 1 << 16 && thread.overwritten <= thread.recorded);
        assert!(thread.events.is_sorted_by(|a, b| a.sequence < b.sequence));
        for event in &thread.events {
            assert!(!event.to_string().is_empty() && event.fields().count() <= 2);
        }
    }
}

/// A small region with a bit of everything.
pub fn good() -> Vec<u8> {
    let options = RegionOptions {
        bytes: 96 << 10,
        max_series: 64,
        string_bytes: 8192,
        writer_count: 2,
        cells_per_writer: 32,
        events_per_writer: 8,
        max_subjects: 16,
        ..RegionOptions::new("fuzz", 1)
    };
    let dir = scratch("made");
    fs::create_dir_all(&dir).expect("scratch can be written");
    let region = RegionWriter::create(&dir, &options).expect("a small region");
    let (mut hot, cold) = (
        region.writer("hot-0").expect("room"),
        region.writer("cold").expect("room"),
    );
    hot.counter(&catalogue::PRICE_UPDATES, &["kraken", "BTC/USD"])
        .expect("room")
        .add(7);
    hot.state(&catalogue::BOOK_QUALITY, &["kraken", "BTC/USD"], 1)
        .expect("room");
    hot.gauge_f64(&catalogue::BEST_BID, &["kraken", "BTC/USD"])
        .expect("room")
        .set(1.5);
    for writer in [&hot, &cold] {
        writer
            .counter(&catalogue::HOT_LOOP_ITERATIONS, &[])
            .expect("room")
            .add(9);
    }
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).expect("room");
    (0..1000).for_each(|value| histogram.record(value * value));
    cold.info(&INFO, &["1", "2"]).expect("room");
    cold.timestamp(&catalogue::FEED_LAST_MESSAGE, &["kraken"])
        .expect("room")
        .set(1);
    region.live().record_panic(&"text");
    let book = hot.subject("kraken/BTC/USD").expect("room");
    let events = hot.events().expect("room");
    (0..20).for_each(|n| events.record(EventKind::SequenceGap, book, n, n, n + 1));
    hot.loop_begin();
    fs::read(region.path().expect("it has a file")).expect("it can be read")
}

/// Series of the good file, as a reader shows them.
pub const SERIES: usize = 8;
