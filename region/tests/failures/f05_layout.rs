//! F5: the layout drifts between two versions. The format as bytes: what versions 1.0 and 1.1 wrote is read for ever, and
//! what is written today is version 1.1.
//!
//! The golden files list the sixteen-byte rows that are not zero, as `offset: hex`. Those of the version that is written
//! today are made anew with `UPDATE_GOLDEN=1`, which is right only before a release; afterwards a new minor version gets
//! files of its own. What the kinds of events are may change without a new version, for a file says it itself: that part
//! is not compared.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{options, ring_options, sample, shm, sign};
use quantumflow_region::{
    Event, EventKind, FormatError, Metric, Poll, ReadError, RegionOptions, RegionReader, RegionWriter, RingOptions,
    Shape, Signal, SignalReader, SignalWriter, SubjectId, Unit, Value,
};

static COUNT: Metric = Metric::counter("hft_a_total").labels(&["z", "b"]).help("A counter.");
static LEVEL: Metric = Metric::gauge_i64("hft_b_seconds")
    .unit(Unit::Seconds, -9)
    .help("A gauge.");
static PRICE: Metric = Metric::gauge_f64("hft_c").unit(Unit::Price, 0).help("A price.");
static STATE: Metric = Metric::state("hft_d", &["low", "high"]).help("A state.");
const SHAPE: Shape = Shape::new(3, 12).unwrap();
static DIST: Metric = Metric::histogram("hft_e_seconds", SHAPE)
    .unit(Unit::Seconds, -9)
    .help("A distribution.");
static SHARED: Metric = Metric::counter("hft_f_total").help("A shared counter.");

const PAGE: usize = 4096;
/// Offsets in the golden region of version 1.1.
const STRINGS: usize = 3 * PAGE;
const EVENT_KINDS: usize = 9 * PAGE;
const SUBJECTS: usize = 10 * PAGE;

fn write_region(dir: &Path) -> Vec<u8> {
    let small = RegionOptions {
        bytes: 18 * PAGE,
        max_series: 64,
        string_bytes: 2 * PAGE as u32,
        writer_count: 2,
        cells_per_writer: 100,
        events_per_writer: 8,
        max_subjects: 16,
        version: "1.0.0".into(),
        revision: "abcdef".into(),
        ..options("golden", 1_700_000_000_000_000_000)
    };
    let region = RegionWriter::create(dir, &small).unwrap();
    let (mut hot, cold) = (region.writer("hot-0").unwrap(), region.writer("cold").unwrap());
    region.live().heartbeat(1_700_000_001_000_000_000, 5);
    let count = hot.counter(&COUNT, &["last", "first"]).unwrap();
    count.add(0x0102_0304_0506_0708);
    hot.gauge_i64(&LEVEL, &[]).unwrap().set(-1);
    cold.gauge_f64(&PRICE, &[]).unwrap().set(1.5);
    cold.state(&STATE, &[], 1).unwrap();
    let dist = hot.histogram(&DIST, &[]).unwrap();
    [0, 15, 16, 17, 4095, 4096]
        .into_iter()
        .for_each(|value| dist.record(value));
    region.shared_counter(&SHARED, &[]).unwrap().add(3);
    hot.loop_begin();
    hot.breadcrumb(0xBEEF);
    count.retire();
    let book = region.subject("binance/BTCUSDT").unwrap();
    // The words of the kinds come last in STRINGS.
    let events = hot.events().unwrap();
    (0..10).for_each(|n| events.record(EventKind::SequenceGap, book, 1_700_000_002_000_000_000 + n, n, n + 1));
    events.record(
        EventKind::EngineStopping,
        SubjectId::NONE,
        1_700_000_003_000_000_000,
        15,
        0,
    );
    let mut bytes = fs::read(region.path().unwrap()).unwrap();
    // What no two runs share: instance, process, boot, catalogue.
    bytes[48..96].fill(0);
    bytes[104..112].fill(0);
    sign(&mut bytes);
    bytes
}

fn write_ring(dir: &Path) -> Vec<u8> {
    let small = RingOptions {
        max_symbols: 4,
        max_models: 4,
        ..ring_options("golden", 1_700_000_000_000_000_000, 8)
    };
    let mut ring = SignalWriter::create(dir, &small).unwrap();
    ring.add_symbol("kraken", "BTC/USD", 1, 8).unwrap();
    ring.add_model("lstm_v1", 0x0102_0304_0506_0708, 1_000_000_000, ["down", "flat", "up"])
        .unwrap();
    ring.heartbeat(9);
    (0..10).for_each(|i| assert_eq!(ring.publish(&flagged(i)), i));
    let mut bytes = fs::read(ring.path().unwrap()).unwrap();
    bytes[48..64].fill(0);
    sign(&mut bytes);
    bytes
}

/// As rings of 1.1 have them.
fn flagged(i: u64) -> Signal {
    let flags = [0, Signal::BEYOND_HORIZON][i as usize % 2];
    Signal { flags, ..sample(i) }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn to_text(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes\n", bytes.len());
    for (i, row) in bytes
        .chunks(16)
        .enumerate()
        .filter(|(_, row)| row.iter().any(|&byte| byte != 0))
    {
        write!(text, "{:06x}:", i * 16).unwrap();
        row.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn from_text(text: &str) -> Vec<u8> {
    let mut lines = text.lines();
    let mut bytes = vec![0; lines.next().unwrap().strip_suffix(" bytes").unwrap().parse().unwrap()];
    for line in lines {
        let (offset, row) = line.split_once(": ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (i, byte) in row.split(' ').enumerate() {
            bytes[offset + i] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    bytes
}

fn check_written(name: &str, bytes: &[u8], mask: fn(&mut [u8])) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden(name), to_text(bytes)).unwrap();
    }
    let masked = |mut bytes: Vec<u8>| {
        mask(&mut bytes);
        to_text(&bytes)
    };
    let wanted = masked(from_text(&fs::read_to_string(golden(name)).unwrap()));
    let text = masked(bytes.to_vec());
    let moved = text.lines().zip(wanted.lines()).find(|(now, then)| now != then);
    assert!(
        text == wanted,
        "the format has moved, first at (now, golden): {moved:?}"
    );
}

/// Takes out what the kinds of events are: their entries, their words, and how many there are of both.
fn without_kinds(bytes: &mut [u8]) {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let own_texts = number(SUBJECTS) + "binance/BTCUSDT".len();
    bytes[STRINGS + own_texts..][..2 * PAGE - own_texts].fill(0);
    bytes[EVENT_KINDS..EVENT_KINDS + PAGE].fill(0);
    bytes[PAGE + 5 * 8..][..8].fill(0);
    bytes[PAGE + 12 * 8..][..8].fill(0);
    // The number of a kind is its place in that table.
    for slot in 0..16 {
        bytes[SUBJECTS + PAGE + slot * 64 + 16..][..4].fill(0);
    }
}

#[test]
fn f05_what_is_written_today_is_version_1_1() {
    let dir = shm();
    check_written("region-1.1.txt", &write_region(dir.path()), without_kinds);
    check_written("ring-1.1.txt", &write_ring(dir.path()), |_| ());
}

/// Puts a golden file where a reader can open it.
fn restored(name: &str, dir: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = from_text(&fs::read_to_string(golden(name)).unwrap());
    edit(&mut bytes);
    let path = dir.join("golden.1.1.met");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn f05_a_region_of_version_1_0_is_read() {
    let dir = shm();
    let path = restored("region-1.0.txt", dir.path(), |_| ());
    check_series(&path, (1, 0));
    assert!(RegionReader::open(&path).unwrap().events().unwrap().is_empty());
}

#[test]
fn f05_a_region_of_version_1_1_is_read() {
    let dir = shm();
    let path = restored("region-1.1.txt", dir.path(), |_| ());
    check_series(&path, (1, 1));
    let threads = RegionReader::open(&path).unwrap().events().unwrap();
    let [hot, cold] = &threads[..] else {
        panic!("{threads:?}")
    };
    assert_eq!((&*hot.writer, hot.recorded, hot.overwritten), ("hot-0", 11, 3));
    assert_eq!((&*cold.writer, cold.recorded, cold.events.len()), ("cold", 0, 0));
    let lines: Vec<String> = hot.events.iter().map(Event::to_string).collect();
    let gap = |n: u64| format!("sequence_gap binance/BTCUSDT expected_id={n} got_id={}", n + 1);
    let wanted = (3..10).map(gap).chain(["engine_stopping signal=15".into()]);
    assert!(lines.iter().cloned().eq(wanted), "{lines:#?}");
    assert_eq!(hot.events[0].unix_ns, 1_700_000_002_000_000_003);
    assert_eq!(&*hot.events[0].kind.help, "The venue skipped update ids of a book.");
}

/// What a reader of version 1.0 makes of a file of 1.1: it does not know the three sections of the events, and reads the
/// rest. A reader of today is given section types that it does not know either, by the same rule.
#[test]
fn f05_a_reader_that_does_not_know_the_events_skips_and_counts_them() {
    let dir = shm();
    let path = restored("region-1.1.txt", dir.path(), |bytes| {
        let count = u32::from_le_bytes(bytes[208..212].try_into().unwrap()) as usize;
        for entry in 0..count {
            let at = 256 + entry * 32;
            if (8..=10).contains(&bytes[at]) {
                bytes[at] += 200;
            }
        }
        sign(bytes);
    });
    check_series(&path, (1, 1));
    let mut reader = RegionReader::open(&path).unwrap();
    assert_eq!(reader.info().unknown_section_count, 3);
    assert_eq!(reader.snapshot().unwrap().unknown_section_count, 3);
    assert!(reader.events().unwrap().is_empty());
}

/// One of the three sections alone means nothing.
#[test]
fn f05_a_region_with_half_a_flight_recorder_is_refused() {
    let dir = shm();
    for kind in 8..=10 {
        let path = restored("region-1.1.txt", dir.path(), |bytes| {
            let entry = (0..10).map(|i| 256 + i * 32).find(|&at| bytes[at] == kind).unwrap();
            bytes[entry] = 200;
            sign(bytes);
        });
        let error = RegionReader::open(&path).unwrap_err();
        let is_named = matches!(
            &error,
            ReadError::Format {
                source: FormatError::Section(_),
                ..
            }
        );
        assert!(is_named, "{error:?}");
    }
}

/// The series that every golden region has.
fn check_series(path: &Path, format: (u16, u16)) {
    let mut reader = RegionReader::open(path).unwrap();
    assert_eq!(reader.info().format, format);
    assert_eq!(
        (reader.info().service.as_str(), reader.info().version.as_str()),
        ("golden", "1.0.0")
    );
    assert_eq!(reader.info().start_unix_ns, 1_700_000_000_000_000_000);
    let snapshot = reader.snapshot().unwrap();
    let series = |name: &str| snapshot.find(name, &[]).unwrap();
    let count = series("hft_a_total");
    assert_eq!(
        (&count.value, count.retired),
        (&Value::Counter(0x0102_0304_0506_0708), true)
    );
    assert_eq!(
        (count.meta.label("z"), count.meta.label("b")),
        (Some("last"), Some("first"))
    );
    assert_eq!(&*count.meta.labels[0].0, "b", "sorted");
    assert_eq!(count.meta.created_unix_ns, 1_700_000_001_000_000_000);
    assert_eq!(
        (&series("hft_b_seconds").value, series("hft_b_seconds").meta.scale),
        (&Value::GaugeI64(-1), -9)
    );
    assert_eq!(series("hft_c").value, Value::GaugeF64(1.5));
    assert_eq!(
        (&series("hft_d").value, series("hft_d").meta.states[1].as_str()),
        (&Value::State(1), "high")
    );
    let dist = snapshot.histogram("hft_e_seconds", &[]).unwrap();
    assert_eq!(
        (dist.count(), dist.clipped(), dist.max(), dist.sum()),
        (6, 1, 4095, 48 + 2 * 4095)
    );
    assert_eq!(
        dist.buckets().collect::<Vec<_>>(),
        [(0, 1), (15, 1), (17, 2), (4095, 2)]
    );
    assert_eq!(series("hft_f_total").value, Value::Counter(3));
    let hot = &snapshot.writers[0];
    assert_eq!(
        (&*hot.name, hot.loop_begin, hot.loop_end, hot.breadcrumb),
        ("hot-0", 1, 0, 0xBEEF)
    );
    assert_eq!((&*snapshot.writers[1].name, snapshot.engine.heartbeats), ("cold", 1));
}

#[test]
fn f05_a_ring_of_version_1_0_is_read() {
    check_ring("ring-1.0.txt", (1, 0), sample);
}

#[test]
fn f05_a_ring_of_version_1_1_is_read() {
    check_ring("ring-1.1.txt", (1, 1), flagged);
}

fn check_ring(name: &str, format: (u16, u16), signal: fn(u64) -> Signal) {
    let dir = shm();
    let path = dir.path().join("golden.1.1.ring");
    fs::write(&path, from_text(&fs::read_to_string(golden(name)).unwrap())).unwrap();
    let mut reader = SignalReader::open(&path).unwrap();
    assert_eq!(reader.info().format, format);
    assert_eq!((reader.published(), reader.heartbeat_unix_ns()), (10, 9));
    assert_eq!(reader.symbol(0).unwrap().symbol, "BTC/USD");
    assert_eq!(reader.model(0).unwrap().hash, 0x0102_0304_0506_0708);
    reader.seek_oldest();
    for i in 2..10 {
        assert_eq!(reader.next(), Poll::Signal(signal(i)));
    }
    assert_eq!(reader.next(), Poll::Empty);
}
