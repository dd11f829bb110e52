//! A region whose bytes were damaged, before it is opened and under the open reader: a typed error or a sound reading,
//! never a panic, never more than the file holds.
//!
//! Input: one byte (bit 0: sign the header again; the rest: how many wounds come before the opening) and wounds.

#![no_main]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quantumflow_fuzz::{scratch, wounds};
use quantumflow_region::{ReadError, RegionOptions, RegionReader, RegionWriter, Snapshot, catalogue};

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);
static PATH: LazyLock<PathBuf> = LazyLock::new(|| scratch("fuzz.2.2.met"));

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let Some((&choice, rest)) = input.split_first() else {
            return;
        };
        let wounds: Vec<_> = wounds::wounds(rest, GOOD.len()).collect();
        let (before, under) = wounds.split_at(usize::from(choice >> 1).min(wounds.len()));
        let mut bytes = GOOD.clone();
        for wound in before {
            bytes[wound.at..][..wound.bytes().len()].copy_from_slice(wound.bytes());
        }
        if choice & 1 == 1 {
            wounds::sign(&mut bytes);
        }
        fs::write(&*PATH, &bytes).expect("scratch can be written");
        let first = read(&PATH, under);
        if wounds.is_empty() {
            assert_eq!(first.expect("a whole file").series.len(), SERIES);
        }
    }
);

/// Opens the file, reads, hurts it, reads again.
fn read(path: &Path, under: &[wounds::Wound]) -> Result<Snapshot, ReadError> {
    let checked = |result: Result<Snapshot, ReadError>| {
        match &result {
            Ok(snapshot) => check(snapshot),
            Err(ReadError::Format { source, .. }) => assert!(!source.to_string().is_empty()),
            Err(error) => panic!("the file is there and whole: {error:?}"),
        }
        result
    };
    let mut reader = match RegionReader::open(path) {
        Ok(reader) => reader,
        Err(error) => return checked(Err(error)),
    };
    let _ = (
        reader.info().clone(),
        reader.is_current(),
        reader.liveness(),
        reader.engine_state(),
    );
    let first = checked(reader.snapshot());
    let file = File::options().write(true).open(path).expect("scratch can be written");
    for wound in under {
        file.write_all_at(wound.bytes(), wound.at as u64)
            .expect("scratch can be written");
        let _ = checked(reader.snapshot());
    }
    first
}

fn check(snapshot: &Snapshot) {
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

/// A small region with a bit of everything.
fn good() -> Vec<u8> {
    let options = RegionOptions {
        bytes: 64 << 10,
        max_series: 64,
        string_bytes: 4096,
        writer_count: 2,
        cells_per_writer: 32,
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
    cold.timestamp(&catalogue::FEED_LAST_MESSAGE, &["kraken"]).expect("room").set(1);
    region.live().record_panic(&"text");
    hot.loop_begin();
    fs::read(region.path().expect("it has a file")).expect("it can be read")
}

fn seeds() -> Vec<Vec<u8>> {
    let ones = u64::MAX.to_le_bytes();
    let mut seeds = vec![vec![0], vec![1]];
    // Every eight bytes of the header, of the live page, of the first descriptors.
    for at in (0..512).chain(4096..4224).chain(8192..8192 + 640).step_by(16) {
        seeds.push([vec![3], wounds::input(&[(at, &ones[..4]), (at + 8, &[1])])].concat());
        seeds.push([vec![1], wounds::input(&[(at, &[0]), (at + 4, &ones)])].concat());
    }
    seeds
}

/// Series of the good file, as a reader shows them.
const SERIES: usize = 8;
