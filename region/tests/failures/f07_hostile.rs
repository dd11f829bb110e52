//! F7: offsets and lengths that lie. Bytes that no writer wrote: every one of them gives a typed error or a sound reading, never a panic, never gigabytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::damage::damage;
use crate::common::{engine, options, ring_options, sample, shm, sign};
use quantumflow_region::{
    EventKind, FormatError, Metric, Poll, ReadError, RegionOptions, RegionReader, RegionWriter, RingOptions,
    SignalReader, SignalWriter, catalogue,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub(crate) const PAGE: usize = 4096;
/// Where DESC starts in a file that this crate wrote.
const DESC: usize = 2 * PAGE;
/// Where EVENTS starts in the small region of these tests.
pub(crate) const EVENTS: usize = 11 * PAGE;

static INFO: Metric = Metric::info("hft_test_info").labels(&["a", "b"]).help("A statement.");

/// A small region with a bit of everything.
pub(crate) fn region_bytes(dir: &Path) -> Vec<u8> {
    let small = RegionOptions {
        bytes: 160 << 10,
        max_series: 64,
        string_bytes: 8192,
        writer_count: 2,
        cells_per_writer: 100,
        events_per_writer: 8,
        max_subjects: 16,
        ..options("engine", 1)
    };
    let region = RegionWriter::create(dir, &small).unwrap();
    let (mut hot, cold) = (region.writer("hot-0").unwrap(), region.writer("cold").unwrap());
    for symbol in ["BTC/USD", "ETH/USD"] {
        hot.counter(&catalogue::PRICE_UPDATES, &["kraken", symbol])
            .unwrap()
            .add(7);
        hot.state(&catalogue::BOOK_QUALITY, &["kraken", symbol], 1).unwrap();
        hot.gauge_f64(&catalogue::BEST_BID, &["kraken", symbol])
            .unwrap()
            .set(1.5);
    }
    for writer in [&hot, &cold] {
        writer.counter(&catalogue::HOT_LOOP_ITERATIONS, &[]).unwrap().add(9);
        let histogram = writer.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
        (0..1000).for_each(|value| histogram.record(value * value));
    }
    cold.info(&INFO, &["1", "2"]).unwrap();
    cold.timestamp(&catalogue::FEED_LAST_MESSAGE, &["kraken"])
        .unwrap()
        .set(1);
    region
        .shared_counter(&catalogue::LOG_EVENTS_DROPPED, &[])
        .unwrap()
        .inc();
    let book = region.subject("kraken/BTC/USD").unwrap();
    let events = hot.events().unwrap();
    (0..20).for_each(|n| events.record(EventKind::SequenceGap, book, n, n, n + 1));
    region.live().record_panic(&"text");
    hot.loop_begin();
    fs::read(region.path().unwrap()).unwrap()
}

fn ring_bytes(dir: &Path) -> Vec<u8> {
    let small = RingOptions {
        max_symbols: 8,
        max_models: 8,
        ..ring_options("engine", 1, 8)
    };
    let mut ring = SignalWriter::create(dir, &small).unwrap();
    ring.add_symbol("kraken", "BTC/USD", 1, 8).unwrap();
    ring.add_model("m", 1, 2, ["down", "flat", "up"]).unwrap();
    (0..5).for_each(|i| assert_eq!(ring.publish(&sample(i)), i));
    fs::read(ring.path().unwrap()).unwrap()
}

/// Reads all there is to read; what it says does not matter.
pub(crate) fn read_all(path: &Path) -> Result<(), ReadError> {
    let mut reader = RegionReader::open(path)?;
    let _ = (reader.liveness()?, reader.info().clone(), reader.is_current());
    let snapshot = reader.snapshot()?;
    for series in &snapshot.series {
        let _ = (
            series.meta.to_base(series.value.as_f64().unwrap_or(0.0)),
            series.meta.label("exchange"),
        );
        if let Some(histogram) = series.value.histogram() {
            let (least, most) = histogram.count_bounds();
            assert!(least <= most);
            let _ = (
                histogram.value_at_percentile(99.9),
                histogram.mean(),
                histogram.uncertainty(),
            );
            let _ = (
                histogram.buckets().count(),
                histogram.count_at_most(1000),
                histogram.since(histogram),
            );
        }
    }
    assert!(snapshot.series.len() <= 64 && snapshot.writers.len() <= 1024);
    for thread in reader.events()? {
        assert!(thread.events.len() <= 1 << 16 && thread.overwritten <= thread.recorded);
        thread
            .events
            .iter()
            .for_each(|event| assert!(!event.to_string().is_empty()));
    }
    Ok(())
}

fn read_all_signals(path: &Path) -> Result<(), ReadError> {
    let mut reader = SignalReader::open(path)?;
    let _ = (reader.liveness()?, reader.info().clone());
    for from_oldest in [false, true] {
        if from_oldest {
            reader.seek_oldest();
        }
        for _ in 0..40 {
            if let Poll::Signal(signal) = reader.next() {
                let _ = (
                    reader.symbol(signal.symbol_id),
                    reader.model(signal.model_id),
                    signal.class(),
                );
            }
        }
    }
    (0..20).for_each(|id| drop((reader.symbol(id), reader.model(id))));
    Ok(())
}

/// One to eight wounds of one to eight bytes below `until`: flipped bits, extreme numbers, numbers from elsewhere.
fn wound(bytes: &mut [u8], near: usize, until: usize, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=8) {
        // Half of them near the start, where most of what is believed stands.
        let until = if rng.random() { until } else { near };
        let at = rng.random_range(0..until - 8);
        match rng.random_range(0..4) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => {
                let edges = [
                    0,
                    1,
                    7,
                    8,
                    255,
                    4096,
                    1 << 16,
                    1 << 31,
                    u64::from(u32::MAX),
                    1 << 63,
                    u64::MAX - 7,
                    u64::MAX,
                ];
                let width = [2, 4, 8][rng.random_range(0..3)];
                let edge = edges[rng.random_range(0..edges.len())].to_le_bytes();
                let at = at / width * width;
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            _ => {
                let from = rng.random_range(0..until - 8) / 4 * 4;
                bytes.copy_within(from..from + 4, at / 4 * 4);
            }
        }
    }
}

/// Returns how many of the wounded files were refused and how many were read.
fn torture(
    good: &[u8],
    (near, until): (usize, usize),
    seeds: u64,
    path: &Path,
    read: impl Fn(&Path) -> Result<(), ReadError>,
) -> (u32, u32) {
    let (mut refused, mut sound) = (0, 0);
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = good.to_vec();
        wound(&mut bytes, near, until, &mut rng);
        // Most wounded headers are signed again: the checksum is against accidents, what is behind it against malice.
        if seed % 4 != 0 {
            sign(&mut bytes);
        }
        fs::write(path, &bytes).unwrap();
        match read(path) {
            Ok(()) => sound += 1,
            Err(ReadError::Format { source, .. }) => {
                assert!(!source.to_string().is_empty());
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
    (refused, sound)
}

#[test]
fn f07_a_damaged_region_is_refused_or_read_soundly() {
    let dir = shm();
    let good = region_bytes(dir.path());
    let path = dir.path().join("engine.2.2.met");
    fs::write(&path, &good).unwrap();
    read_all(&path).unwrap();
    // Header, live page, descriptors, strings, labels, writer blocks.
    let (refused, sound) = torture(&good, (DESC + 1024, EVENTS + PAGE), 6000, &path, read_all);
    assert!(
        refused > 600 && sound > 600,
        "both ends are exercised: {refused} refused, {sound} sound"
    );
}

#[test]
fn f07_a_damaged_ring_is_refused_or_read_soundly() {
    let dir = shm();
    let good = ring_bytes(dir.path());
    let path = dir.path().join("engine.2.2.ring");
    fs::write(&path, &good).unwrap();
    read_all_signals(&path).unwrap();
    let (refused, sound) = torture(&good, (256, good.len()), 3000, &path, read_all_signals);
    assert!(
        refused > 300 && sound > 300,
        "both ends are exercised: {refused} refused, {sound} sound"
    );
}

#[test]
fn f07_a_file_of_any_length_is_refused_or_read_soundly() {
    let dir = shm();
    let (region, ring) = (region_bytes(dir.path()), ring_bytes(dir.path()));
    let path = dir.path().join("engine.2.2.met");
    for len in (0..region.len()).step_by(1021) {
        fs::write(&path, &region[..len]).unwrap();
        assert!(RegionReader::open(&path).is_err());
        fs::write(&path, &ring[..len.min(ring.len() - 1)]).unwrap();
        assert!(SignalReader::open(&path).is_err());
    }
}

fn edited(good: &[u8], dir: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> FormatError {
    let mut bytes = good.to_vec();
    edit(&mut bytes);
    sign(&mut bytes);
    let path = dir.join("engine.3.3.met");
    fs::write(&path, bytes).unwrap();
    match RegionReader::open(&path).map(drop).unwrap_err() {
        ReadError::Format { source, .. } => source,
        error => panic!("{error:?}"),
    }
}

#[test]
fn f07_an_error_names_what_is_wrong() {
    let dir = shm();
    let good = region_bytes(dir.path());
    let error = |edit: &dyn Fn(&mut Vec<u8>)| edited(&good, dir.path(), edit);
    fn put<const N: usize>(at: usize, value: [u8; N]) -> impl Fn(&mut Vec<u8>) {
        move |bytes| bytes[at..at + N].copy_from_slice(&value)
    }
    let series = |what| FormatError::Series { index: 0, what };
    assert_eq!(
        error(&put(0, [b'P'])),
        FormatError::Magic(u64::from_le_bytes(*b"PQFMET\r\n"))
    );
    assert_eq!(
        error(&put(8, [0x0A, 0x0B, 0x0C, 0x0D])),
        FormatError::ByteOrder(0x0D0C_0B0A)
    );
    assert_eq!(
        error(&put(12, 2u16.to_le_bytes())),
        FormatError::Version { major: 2, minor: 1 }
    );
    assert_eq!(error(&put(32, 4u64.to_le_bytes())), FormatError::Incompatible(4));
    assert_eq!(
        error(&put(24, 1u64.to_le_bytes())),
        FormatError::Field {
            field: "region_len",
            value: 1
        }
    );
    assert_eq!(
        error(&put(208, 65u32.to_le_bytes())),
        FormatError::Field {
            field: "section_count",
            value: 65
        }
    );
    assert_eq!(error(&put(256, 99u32.to_le_bytes())), FormatError::Section("LIVE"));
    assert_eq!(
        error(&put(PAGE + 32, 65u64.to_le_bytes())),
        FormatError::Count {
            what: "desc_committed",
            from: 64,
            to: 65
        }
    );
    assert_eq!(
        error(&put(DESC + 8, u32::MAX.to_le_bytes())),
        series("a text lies outside STRINGS")
    );
    assert_eq!(
        error(&put(DESC + 22, 2u16.to_le_bytes())),
        series("its writer does not exist")
    );
    assert_eq!(
        error(&put(DESC + 32, 8u64.to_le_bytes())),
        series("its value lies outside its section")
    );
    assert_eq!(
        error(&put(DESC + 32, 9u64.to_le_bytes())),
        series("its value is not aligned")
    );
    assert_eq!(
        error(&put(DESC + 20, 17u16.to_le_bytes())),
        series("it has too many labels")
    );
    assert_eq!(
        error(&put(DESC + 24, u32::MAX.to_le_bytes())),
        series("its labels lie outside LABELS")
    );

    let path = dir.path().join("engine.3.3.met");
    let mut unsigned = good.clone();
    unsigned[128] ^= 1;
    fs::write(&path, unsigned).unwrap();
    let error = RegionReader::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Format {
                source: FormatError::Checksum { .. },
                ..
            }
        ),
        "{error:?}"
    );
}

/// A reader never copies more than the file has, however often the file points at the same bytes.
#[test]
fn f07_descriptors_that_share_a_histogram_are_refused() {
    let dir = shm();
    let good = region_bytes(dir.path());
    let histogram = (0..64).map(|i| DESC + i * 64).find(|&at| good[at] == 4).unwrap();
    let error = edited(&good, dir.path(), |bytes| {
        for i in 0..64 {
            bytes.copy_within(histogram..histogram + 64, DESC + i * 64);
        }
        bytes[PAGE + 32..PAGE + 40].copy_from_slice(&64u64.to_le_bytes());
    });
    assert!(
        matches!(
            error,
            FormatError::Series {
                what: "the histograms overlap",
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn f07_what_a_later_minor_version_adds_is_skipped_and_counted() {
    let dir = shm();
    let mut bytes = region_bytes(dir.path());
    // A metric of kind 200, a seventh section of type 77, a feature that may be ignored, a later minor version.
    bytes[DESC] = 200;
    let count = u32::from_le_bytes(bytes[208..212].try_into().unwrap());
    let header_len = 256 + 32 * count as usize;
    bytes[208..212].copy_from_slice(&(count + 1).to_le_bytes());
    bytes[16..20].copy_from_slice(&(header_len as u32 + 32).to_le_bytes());
    bytes[header_len] = 77;
    bytes[40] = 1;
    bytes[14] = 9;
    sign(&mut bytes);
    let path = dir.path().join("engine.2.2.met");
    fs::write(&path, &bytes).unwrap();
    let mut reader = RegionReader::open(&path).unwrap();
    assert_eq!(reader.info().format, (1, 9));
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((snapshot.unknown_section_count, snapshot.unknown_series_count), (1, 1));
    assert!(snapshot.series.len() > 5);
}

/// Thousands of regions that someone damaged who knows the format, and what the fuzzer has found so far. In a process of its
/// own, with little memory to waste: what asks for more ends it.
#[test]
fn f07_thousands_of_damaged_regions_are_refused_with_a_reason_or_read_in_bounded_time_and_memory() {
    let dir = shm();
    let output = engine::program("torture", dir.path())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("regions:"),
        "{}\n{text}\n{errors}",
        output.status
    );
    println!("{}", text.lines().find(|line| line.contains("regions:")).unwrap());
}

pub(crate) fn read_damaged_regions(dir: &Path) {
    const SEEDS: u64 = 4000;
    let good = region_bytes(dir);
    let path = dir.join("engine.2.2.met");
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let mut sound = 0;
    let mut check = |bytes: &[u8], what: &dyn Fn() -> String| {
        fs::write(&path, bytes).unwrap();
        let start = Instant::now();
        match read_all(&path) {
            Ok(()) => sound += 1,
            Err(ReadError::Format { source, .. }) => {
                let name = format!("{source:?}");
                let name = name.split([' ', '(', '{']).next().unwrap().to_owned();
                assert!(!source.to_string().is_empty());
                *reasons.entry(name).or_default() += 1;
            }
            Err(error) => panic!("{}: {error:?}", what()),
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{} took {:?}",
            what(),
            start.elapsed()
        );
    };
    limit_memory(32 << 20);
    for seed in 0..SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = good.clone();
        damage(&mut bytes, &mut |n| rng.random_range(0..n.max(1)));
        check(&bytes, &|| format!("seed {seed}"));
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/region_reader");
    let inputs = fs::read_dir(&corpus)
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path());
    let inputs: Vec<_> = inputs.take(4000).collect();
    for input in &inputs {
        let mut bytes = good.clone();
        for wound in fs::read(input)
            .unwrap()
            .get(1..)
            .unwrap_or_default()
            .as_chunks::<12>()
            .0
        {
            let at = u32::from_le_bytes([wound[0], wound[1], wound[2], 0]) as usize % (bytes.len() - 7);
            let len = usize::from(wound[3] % 8) + 1;
            bytes[at..at + len].copy_from_slice(&wound[4..4 + len]);
        }
        sign(&mut bytes);
        check(&bytes, &|| input.display().to_string());
    }
    let refused: u32 = reasons.values().sum();
    assert!(
        refused > 500 && sound > 500,
        "both ends are exercised: {refused} refused, {sound} sound"
    );
    let names = [
        "Magic",
        "Version",
        "Checksum",
        "Incompatible",
        "Field",
        "Section",
        "Series",
        "Entry",
        "Count",
    ];
    let missing: Vec<_> = names.iter().filter(|name| !reasons.contains_key(**name)).collect();
    assert!(missing.is_empty(), "no damage led to {missing:?}: {reasons:?}");
    println!(
        "\n{SEEDS} + {} regions: {sound} read, {refused} refused: {reasons:?}",
        inputs.len()
    );
}

/// From here on this process gets so much more memory of its own, and no more. Mappings of files do not count.
fn limit_memory(bytes: u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let kib: u64 = data.trim().trim_end_matches(" kB").parse().unwrap();
    let most = kib * 1024 + bytes;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_DATA, most, most).unwrap();
}
