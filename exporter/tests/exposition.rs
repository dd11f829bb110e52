//! What a scrape says, against what was written: the real binary, real sockets, real regions.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use common::parse::{Exposition, Labels};
use common::{Exporter, once, shm};
use quantumflow_region::{Kind, Metric, RegionOptions, RegionWriter, ThreadWriter, catalogue, layout};

fn region(dir: &std::path::Path) -> RegionWriter {
    let mut options = RegionOptions::new("engine", 1_700_000_000_250_000_000);
    options.version = "1.2.3".into();
    options.revision = "0123abc".into();
    let region = RegionWriter::create(dir, &options).unwrap();
    region.live().heartbeat(1_700_000_009_500_000_000, 9);
    region
}

fn labels_of(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn values_are_those_that_were_written() {
    let dir = shm();
    let region = region(dir.path());
    let (a, b) = (region.writer("hot-0").unwrap(), region.writer("hot-1").unwrap());
    let btc = ["binance", "BTCUSDT"];
    let first = a.counter(&catalogue::PRICE_UPDATES, &btc).unwrap();
    let second = b.counter(&catalogue::PRICE_UPDATES, &btc).unwrap();
    let odd = a.counter(&catalogue::PRICE_UPDATES, &["odd\"one\\", "a b"]).unwrap();
    let rounds = [&a, &b].map(|w| w.counter(&catalogue::HOT_LOOP_ITERATIONS, &[]).unwrap());
    let health = a.gauge_i64(&catalogue::FEED_HEALTH, &["binance"]).unwrap();
    let spread = a.gauge_f64(&catalogue::SPREAD, &btc).unwrap();
    first.add(40);
    second.add(2);
    odd.inc();
    rounds[0].add(7);
    rounds[1].add(8);
    health.set(1);
    spread.set(0.1);

    let exporter = Exporter::start(dir.path(), &[]);
    let scrape = exporter.scrape();
    assert_eq!(scrape.state(), ("live".into(), "".into()));
    let format = format!("{}.{}", layout::VERSION_MAJOR, layout::VERSION_MINOR);
    let value = |name: &str, labels: &[(&str, &str)]| {
        scrape
            .get(name, labels)
            .unwrap_or_else(|| panic!("{name} {labels:?} is missing: {scrape:#?}"))
    };
    assert_eq!(value("hft_up", &[]), 1.0);
    assert_eq!(
        value("hft_price_updates_total", &[("symbol", "BTCUSDT")]),
        42.0,
        "both threads' counts"
    );
    let odd_labels = [("exchange", "odd\"one\\"), ("symbol", "a b")];
    assert_eq!(value("hft_price_updates_total", &odd_labels), 1.0);
    assert_eq!(value("hft_hot_loop_iterations_total", &[("writer", "hot-0")]), 7.0);
    assert_eq!(value("hft_hot_loop_iterations_total", &[("writer", "hot-1")]), 8.0);
    assert_eq!(value("hft_feed_health", &[]), 1.0);
    assert_eq!(value("hft_spread", &[]), 0.1);
    assert_eq!(
        value(
            "hft_engine_build_info",
            &[("version", "1.2.3"), ("revision", "0123abc")]
        ),
        1.0
    );
    assert_eq!(
        value("hft_exporter_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        1.0
    );
    assert_eq!(
        value("hft_region_info", &[("service", "engine"), ("format", &format)]),
        1.0
    );
    assert_eq!(value("hft_process_start_time_seconds", &[]), 1_700_000_000.25);
    assert_eq!(value("hft_heartbeat_timestamp_seconds", &[]), 1_700_000_009.5);
    assert_eq!(value("hft_region_series_refused", &[("reason", "duplicate")]), 0.0);
    assert_eq!(value("hft_writer_stalled", &[("writer", "hot-1")]), 0.0);
    assert_eq!(value("hft_scrape_uncertainty_records", &[]), 0.0);
    assert!((0.0..1.0).contains(&value("hft_scrape_duration_seconds", &[])));
    assert!(value("process_resident_memory_bytes", &[]) > 1e5);

    first.add(58);
    assert_eq!(
        exporter
            .scrape()
            .get("hft_price_updates_total", &[("symbol", "BTCUSDT")]),
        Some(100.0)
    );
    let late = a.counter(&catalogue::PRICE_UPDATES, &["kraken", "ETH/USD"]).unwrap();
    late.add(3);
    let later = exporter.scrape();
    assert_eq!(
        later.get("hft_price_updates_total", &[("exchange", "kraken")]),
        Some(3.0),
        "a series added later"
    );
}

#[test]
fn f13_histograms_agree_with_hdrhistogram_at_every_bound() {
    let dir = shm();
    let region = region(dir.path());
    let writer = region.writer("hot-0").unwrap();
    let parse = writer.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
    let empty = writer.histogram(&catalogue::STAGE_LATENCY, &["book"]).unwrap();
    let mut oracle = hdrhistogram::Histogram::<u64>::new_with_bounds(1, (1 << 36) - 1, 2).unwrap();
    let mut sum = 0_u64;
    // Values of every size, among them those right at, below and above the bounds that a scrape shows.
    let mut state = 7_u64;
    let random = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 28) >> (state % 36)
    });
    let edges = [100, 250, 499, 999, 2495, 99_839, 10_032_775_167_u64];
    for value in random
        .take(5000)
        .chain(edges.into_iter().flat_map(|e| [e - 1, e, e + 1]))
    {
        parse.record(value);
        oracle.record(value).unwrap();
        sum += value;
    }
    drop(empty);
    let exporter = Exporter::start(dir.path(), &[]);
    let scrape = exporter.scrape();
    let labels = |stage: &str| labels_of(&[("engine", "engine"), ("stage", stage)]);
    let (buckets, seconds, count) = scrape.histogram("hft_stage_latency_seconds", &labels("parse"));
    assert_eq!(count, oracle.len());
    assert!((seconds - sum as f64 / 1e9).abs() <= seconds * 1e-12);
    assert!((20..=31).contains(&buckets.len()));
    for &(bound, at_most) in &buckets[..buckets.len() - 1] {
        let nanos = (bound * 1e9).round() as u64;
        assert_eq!(oracle.highest_equivalent(nanos), nanos, "{bound} is an edge");
        assert_eq!(at_most, oracle.count_between(0, nanos), "at most {bound}");
    }
    let (buckets, seconds, count) = scrape.histogram("hft_stage_latency_seconds", &labels("book"));
    assert_eq!(
        (buckets.last().unwrap().1, seconds, count),
        (0, 0.0, 0),
        "an empty histogram is shown with zeros"
    );
}

/// Registers every metric of the catalogue, with up to two sets of labels.
fn register_all(writer: &ThreadWriter) {
    for metric in catalogue::ALL {
        for set in 0..if metric.labels.is_empty() { 1 } else { 2 } {
            let values: Vec<String> = metric.labels.iter().map(|label| format!("{label}-{set}")).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            register(writer, metric, &values);
        }
    }
}

fn register(writer: &ThreadWriter, metric: &'static Metric, values: &[&str]) {
    match metric.kind {
        Kind::Counter => writer.counter(metric, values).unwrap().add(3),
        Kind::GaugeI64 => writer.gauge_i64(metric, values).unwrap().set(1),
        Kind::GaugeF64 => writer.gauge_f64(metric, values).unwrap().set(0.5),
        Kind::Histogram => writer.histogram(metric, values).unwrap().record(1000),
        Kind::State => writer.state(metric, values, 1).unwrap().set(0),
        Kind::Timestamp => writer.timestamp(metric, values).unwrap().set(1_700_000_000_000_000_000),
        Kind::Info => writer.info(metric, values).unwrap(),
    }
}

#[test]
fn the_whole_catalogue_is_shown_within_its_budget_and_pleases_promtool() {
    let dir = shm();
    let region = region(dir.path());
    let writer = region.writer("hot-0").unwrap();
    writer.adopt_current_thread();
    register_all(&writer);
    let exporter = Exporter::start(dir.path(), &[]);
    let answer = exporter.get("/metrics");
    let scrape = Exposition::parse(answer.text());
    let declared = |name: &str| catalogue::ALL.iter().any(|metric| metric.name == name);
    for metric in catalogue::ALL {
        assert!(scrape.families.contains_key(metric.name), "{} is missing", metric.name);
    }
    assert_eq!(
        scrape
            .families
            .keys()
            .filter(|name| name.starts_with("hft_process_") && !declared(name))
            .count(),
        7,
        "the engine's own"
    );
    assert!(
        scrape
            .get("hft_writer_context_switches_total", &[("kind", "involuntary")])
            .is_some()
    );
    let refused = &scrape.families["hft_region_series_refused"].samples;
    assert!(refused.iter().all(|sample| sample.2 == "0"), "{refused:?}");
    assert!(scrape.sample_count() < 2000, "{} samples", scrape.sample_count());

    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: promtool is not installed (Debian: apt-get install prometheus)");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&answer.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn f13_a_histogram_that_is_written_meanwhile_never_contradicts_itself() {
    let dir = shm();
    let region = region(dir.path());
    let writer = region.writer("hot-0").unwrap();
    let histogram = writer.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let exporter = Exporter::start(dir.path(), &[]);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            let mut value = 1_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                histogram.record(value % 5_000_000);
                value = value.wrapping_mul(48_271) % 2_147_483_647;
            }
        });
        let mut earlier = 0;
        for _ in 0..10 {
            // The parser checks order, monotony and that the last bucket is the count.
            let (_, _, count) = exporter
                .scrape()
                .histogram("hft_feature_latency_seconds", &labels_of(&[("engine", "engine")]));
            assert!(count >= earlier, "{count} after {earlier}");
            earlier = count;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn f07_scribbled_regions_give_a_sound_exposition_or_a_reason() {
    let dir = shm();
    let region = region(dir.path());
    let writer = region.writer("hot-0").unwrap();
    register_all(&writer);
    let path = region.path().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut sound = vec![0; 512 * 1024];
    file.read_exact_at(&mut sound, 0).unwrap();
    let mut states: HashMap<String, u32> = HashMap::new();
    let mut state = 99_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..150 {
        let mut bytes = sound.clone();
        for _ in 0..1 + random(20) {
            // The tables and their counts are near the start; rounds without the header get further.
            let from = if round % 5 == 0 { 0 } else { 4096 };
            let reach = [8 * 1024, 64 * 1024, 512 * 1024][random(3) as usize];
            let at = (from + random(reach - from)) as usize;
            bytes[at] = [0, 0xFF, b'"', b'\n', random(256) as u8][random(5) as usize];
        }
        file.write_all_at(&bytes, 0).unwrap();
        let scrape = Exposition::parse(&once(dir.path()));
        let (name, reason) = scrape.state();
        let up = scrape.get("hft_up", &[]).unwrap();
        assert_eq!(
            up == 1.0,
            ["live", "draining"].contains(&name.as_str()),
            "round {round}: {name}"
        );
        assert_eq!(up == 0.0, !reason.is_empty(), "round {round}: {name}: {reason}");
        *states.entry(name).or_default() += 1;
    }
    file.write_all_at(&sound, 0).unwrap();
    assert!(
        states["live"] > 10 && states["unreadable"] > 10,
        "both ends are reached: {states:?}"
    );
}
