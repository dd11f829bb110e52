//! A region from both sides: what is written is read, in a file and in private memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use common::{options, shm};
use quantumflow_region::{
    Agg, Kind, Liveness, Metric, RegionReader, RegionWriter, RegisterError, Unit, Value, catalogue, directory,
};

static BUILD: Metric = Metric::info("hft_test_info")
    .labels(&["version", "revision"])
    .help("A statement.");

#[test]
fn what_is_written_is_read() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 100)).unwrap();
    let mut reader = RegionReader::open(region.path().unwrap()).unwrap();
    assert_eq!(reader.snapshot().unwrap().series.len(), 0);

    let mut hot = region.writer("hot-0").unwrap();
    let updates = hot.counter(&catalogue::PRICE_UPDATES, &["kraken", "BTC/USD"]).unwrap();
    let levels = hot
        .gauge_i64(&catalogue::BOOK_LEVELS, &["kraken", "BTC/USD", "bid"])
        .unwrap();
    let bid = hot.gauge_f64(&catalogue::BEST_BID, &["kraken", "BTC/USD"]).unwrap();
    let _ask = hot.gauge_f64(&catalogue::BEST_ASK, &["kraken", "BTC/USD"]).unwrap();
    let quality = hot.state(&catalogue::BOOK_QUALITY, &["kraken", "BTC/USD"], 4).unwrap();
    let last_message = hot.timestamp(&catalogue::FEED_LAST_MESSAGE, &["kraken"]).unwrap();
    let parse = hot.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
    let book = hot.histogram(&catalogue::STAGE_LATENCY, &["book"]).unwrap();
    hot.info(&BUILD, &["0.1.0", "abc"]).unwrap();
    let dropped = region.shared_counter(&catalogue::LOG_EVENTS_DROPPED, &[]).unwrap();

    hot.adopt_current_thread();
    hot.loop_begin();
    updates.inc();
    updates.add(41);
    levels.set(-7);
    bid.set(60_000.5);
    quality.set(1);
    last_message.set(1_700_000_000_000_000_000);
    (1..=1000).for_each(|ns| parse.record(ns));
    book.record(u64::MAX);
    dropped.add(3);
    hot.breadcrumb(99);

    let snapshot = reader.snapshot().unwrap();
    let value = |name: &str| snapshot.find(name, &[]).unwrap().value.clone();
    assert_eq!(value("hft_price_updates_total"), Value::Counter(42));
    assert_eq!(value("hft_book_levels"), Value::GaugeI64(-7));
    assert_eq!(value("hft_best_bid"), Value::GaugeF64(60_000.5));
    assert!(
        value("hft_best_ask").as_f64().unwrap().is_nan(),
        "not known before it is set"
    );
    assert_eq!(value("hft_book_quality"), Value::State(1));
    assert_eq!(
        value("hft_feed_last_message_timestamp_seconds"),
        Value::Timestamp(1_700_000_000_000_000_000)
    );
    assert_eq!(value("hft_test_info"), Value::Info);
    assert_eq!(value("hft_log_events_dropped_total"), Value::Counter(3));

    let meta = &snapshot
        .find("hft_price_updates_total", &[("symbol", "BTC/USD")])
        .unwrap()
        .meta;
    assert_eq!(
        (meta.kind, meta.unit, meta.agg, meta.scale),
        (Kind::Counter, Unit::None, Agg::Sum, 0)
    );
    assert_eq!(&*meta.help, catalogue::PRICE_UPDATES.help);
    assert_eq!(
        (meta.label("exchange"), meta.label("symbol")),
        (Some("kraken"), Some("BTC/USD"))
    );
    let quality = &snapshot.find("hft_book_quality", &[]).unwrap().meta;
    assert_eq!(*quality.states, catalogue::QUALITIES);

    let parsed = snapshot
        .histogram("hft_stage_latency_seconds", &[("stage", "parse")])
        .unwrap();
    assert_eq!(
        (parsed.count(), parsed.sum(), parsed.max(), parsed.uncertainty()),
        (1000, 500_500, 1000, 0)
    );
    assert_eq!(parsed.value_at_percentile(50.0), 501);
    assert_eq!(parsed.value_at_percentile(100.0), 1000);
    let clipped = snapshot
        .histogram("hft_stage_latency_seconds", &[("stage", "book")])
        .unwrap();
    assert_eq!(
        (clipped.count(), clipped.clipped(), clipped.max()),
        (1, 1, (1 << 36) - 1)
    );
    let latency = &snapshot.find("hft_stage_latency_seconds", &[]).unwrap().meta;
    assert_eq!(latency.to_base(1500.0), 1.5e-6);

    let thread = &snapshot.writers[0];
    assert_eq!(
        (&*thread.name, thread.loop_begin, thread.loop_end, thread.breadcrumb),
        ("hot-0", 1, 0, 99)
    );
    assert!(thread.tid > 0 && thread.cpu.is_some());
    hot.loop_end();
    assert_eq!(reader.snapshot().unwrap().writers[0].loop_end, 1);
}

#[test]
fn threads_with_the_same_series_are_combined_by_its_rule() {
    static PEAK: Metric = Metric::gauge_i64("hft_peak").agg(Agg::Max).help("Largest thing seen.");
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let (a, b) = (region.writer("hot-0").unwrap(), region.writer("hot-1").unwrap());
    for (writer, n) in [(&a, 5), (&b, 7)] {
        writer.counter(&catalogue::FEED_MESSAGES, &["binance"]).unwrap().add(n);
        writer.counter(&catalogue::HOT_LOOP_ITERATIONS, &[]).unwrap().add(n);
        writer
            .gauge_i64(&catalogue::FEED_HEALTH, &["binance"])
            .unwrap()
            .set(n as i64 - 6);
        writer.gauge_i64(&PEAK, &[]).unwrap().set(n as i64);
        writer
            .histogram(&catalogue::PREDICTION_LATENCY, &["m"])
            .unwrap()
            .record(n * 100);
    }
    b.gauge_f64(&catalogue::SPREAD, &["binance", "X"]).unwrap();
    a.gauge_f64(&catalogue::SPREAD, &["binance", "X"]).unwrap().set(0.5);

    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    let value = |name: &str| snapshot.find(name, &[]).unwrap().value.clone();
    assert_eq!(value("hft_feed_messages_total"), Value::Counter(12));
    assert_eq!(value("hft_feed_health"), Value::GaugeI64(-1));
    assert_eq!(value("hft_peak"), Value::GaugeI64(7));
    assert_eq!(value("hft_spread"), Value::GaugeF64(0.5));
    let latency = snapshot.histogram("hft_prediction_latency_seconds", &[]).unwrap();
    assert_eq!((latency.count(), latency.sum(), latency.max()), (2, 1200, 700));
    let rounds: Vec<_> = snapshot.family("hft_hot_loop_iterations_total").collect();
    assert_eq!(rounds.len(), 2);
    assert_eq!(
        (rounds[1].meta.label("writer"), &rounds[1].value),
        (Some("hot-1"), &Value::Counter(7))
    );
}

#[test]
fn a_wrong_registration_is_refused_by_name() {
    static UNSOUND: Metric = Metric::counter("no spaces allowed").help("X y.");
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let counter = |values: &[&str]| hot.counter(&catalogue::FEED_MESSAGES, values).map(drop);
    assert_eq!(counter(&["binance"]), Ok(()));
    assert!(matches!(counter(&["binance"]), Err(RegisterError::Duplicate(_))));
    assert!(matches!(
        counter(&[]),
        Err(RegisterError::LabelCount {
            expected: 1,
            got: 0,
            ..
        })
    ));
    assert!(matches!(
        counter(&["a\nb"]),
        Err(RegisterError::LabelValue { label: "exchange", .. })
    ));
    assert!(matches!(
        counter(&["x".repeat(10_000).as_str()]),
        Err(RegisterError::LabelValue { .. })
    ));
    assert!(matches!(
        hot.gauge_i64(&catalogue::FEED_MESSAGES, &["kraken"]),
        Err(RegisterError::WrongKind {
            is: Kind::Counter,
            asked: Kind::GaugeI64,
            ..
        })
    ));
    assert!(matches!(hot.counter(&UNSOUND, &[]), Err(RegisterError::Declaration(_))));
    assert!(matches!(region.writer("hot"), Err(RegisterError::WriterName { .. })));
    assert!(matches!(region.writer(""), Err(RegisterError::WriterName { .. })));
    assert_eq!(region.registrations_dropped(), 0, "a mistake is not a lack of room");
    assert_eq!(RegionReader::of(&region).unwrap().snapshot().unwrap().series.len(), 1);
}

#[test]
fn handles_outlive_their_region() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let counter = hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap();
    let path = region.path().unwrap().to_path_buf();
    drop(hot);
    drop(region);
    std::thread::spawn(move || counter.inc()).join().unwrap();
    let mut reader = RegionReader::open(&path).unwrap();
    assert_eq!(reader.snapshot().unwrap().series[0].value, Value::Counter(1));
    assert_eq!(reader.liveness().unwrap(), Liveness::Closed);
}

#[test]
fn the_info_of_a_region_names_its_engine() {
    let dir = shm();
    let mut options = options("engine-a", 77);
    options.version = "1.2.3".into();
    options.revision = "0123456789012345678901234567890123456789".into();
    let region = RegionWriter::create(dir.path(), &options).unwrap();
    let reader = RegionReader::open(region.path().unwrap()).unwrap();
    let info = reader.info();
    assert_eq!(
        (info.service.as_str(), info.version.as_str(), info.start_unix_ns),
        ("engine-a", "1.2.3", 77)
    );
    assert_eq!(info.revision, options.revision);
    assert_eq!(info.instance_id, options.file.instance_id);
    assert_eq!(
        (info.pid, info.format, info.region_bytes),
        (std::process::id(), (1, 1), 5 << 20)
    );
    assert!(info.pid_start_ticks > 0 && info.boot_id != [0; 16] && info.start_boottime_ns > 0);
    let listed = directory::regions(dir.path()).unwrap();
    assert_eq!(listed[0].path, region.path().unwrap());
}
