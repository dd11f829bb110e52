//! The format as bytes: what version 1.0 wrote is read for ever, and what is written today is version 1.0.
//!
//! The golden files list the sixteen-byte rows that are not zero, as `offset: hex`. They are written anew with
//! `UPDATE_GOLDEN=1`, which is right only before a release; afterwards a new minor version gets files of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{options, ring_options, sample, shm, sign};
use quantumflow_region::{
    Metric, Poll, RegionOptions, RegionReader, RegionWriter, RingOptions, Shape, SignalReader, SignalWriter, Unit,
    Value,
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

fn write_region(dir: &Path) -> Vec<u8> {
    let small = RegionOptions {
        bytes: 13 * 4096,
        max_series: 64,
        string_bytes: 4096,
        writer_count: 2,
        cells_per_writer: 100,
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
    (0..10).for_each(|i| assert_eq!(ring.publish(&sample(i)), i));
    let mut bytes = fs::read(ring.path().unwrap()).unwrap();
    bytes[48..64].fill(0);
    sign(&mut bytes);
    bytes
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

fn check_written(name: &str, bytes: &[u8]) {
    let text = to_text(bytes);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden(name), &text).unwrap();
    }
    let wanted = fs::read_to_string(golden(name)).unwrap();
    let moved = text.lines().zip(wanted.lines()).find(|(now, then)| now != then);
    assert!(
        text == wanted,
        "the format has moved, first at (now, golden): {moved:?}"
    );
}

#[test]
fn what_is_written_today_is_version_1_0() {
    let dir = shm();
    check_written("region-1.0.txt", &write_region(dir.path()));
    check_written("ring-1.0.txt", &write_ring(dir.path()));
}

#[test]
fn a_region_of_version_1_0_is_read() {
    let dir = shm();
    let path = dir.path().join("golden.1.1.met");
    fs::write(&path, from_text(&fs::read_to_string(golden("region-1.0.txt")).unwrap())).unwrap();
    let mut reader = RegionReader::open(&path).unwrap();
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
fn a_ring_of_version_1_0_is_read() {
    let dir = shm();
    let path = dir.path().join("golden.1.1.ring");
    fs::write(&path, from_text(&fs::read_to_string(golden("ring-1.0.txt")).unwrap())).unwrap();
    let mut reader = SignalReader::open(&path).unwrap();
    assert_eq!((reader.published(), reader.heartbeat_unix_ns()), (10, 9));
    assert_eq!(reader.symbol(0).unwrap().symbol, "BTC/USD");
    assert_eq!(reader.model(0).unwrap().hash, 0x0102_0304_0506_0708);
    reader.seek_oldest();
    for i in 2..10 {
        assert_eq!(reader.next(), Poll::Signal(sample(i)));
    }
    assert_eq!(reader.next(), Poll::Empty);
}
