use super::*;
use quantumflow_region::{Metric, RegionOptions, RegionWriter, catalogue};
use std::collections::HashSet;

fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need a tmpfs at /dev/shm")
}

fn collect(dir: &tempfile::TempDir) -> Vec<MetricFamily> {
    EngineCollector::new(Arc::new(Source::new(dir.path()))).collect()
}

fn text(families: &[MetricFamily]) -> String {
    crate::exposition::encode(families).unwrap()
}

#[test]
fn every_family_of_the_exporters_own_has_a_reserved_name() {
    let dir = shm();
    let own = |families: &[MetricFamily]| -> HashSet<String> { families.iter().map(|f| f.name().to_owned()).collect() };
    let mut seen = own(&collect(&dir));
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    writer.adopt_current_thread();
    writer.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    region.live().heartbeat(1, 1);
    seen.extend(own(&collect(&dir)));
    seen.remove("hft_feature_latency_seconds");
    assert_eq!(
        seen,
        OWN_NAMES.iter().map(|name| name.to_string()).collect::<HashSet<_>>()
    );
}

#[test]
fn a_region_cannot_speak_in_the_exporters_name() {
    static UP: Metric = Metric::gauge_i64("hft_up").help("A claim.");
    static RSS: Metric = Metric::gauge_i64("process_resident_memory_bytes").help("A claim.");
    static OTHER: Metric = Metric::gauge_i64("hft_other").help("An honest one.");
    static HEARTBEAT: Metric = Metric::timestamp("hft_heartbeat_timestamp_seconds").help("A claim.");
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let handles = [&UP, &RSS, &OTHER].map(|metric| writer.gauge_i64(metric, &[]).unwrap());
    handles.iter().for_each(|gauge| gauge.set(7));
    let heartbeat = writer.timestamp(&HEARTBEAT, &[]).unwrap();
    heartbeat.set(5);
    let text = text(&collect(&dir));
    assert!(
        text.contains("\nhft_up 1\n") && text.contains("\nhft_other 7\n"),
        "{text}"
    );
    assert!(!text.contains("process_resident_memory_bytes 7"), "{text}");
    assert!(
        text.contains("hft_region_series_refused{reason=\"name_taken\"} 2\n"),
        "{text}"
    );
}

#[test]
fn what_is_not_known_is_left_out_and_states_are_explained() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let symbol = ["binance", "BTCUSDT"];
    let bid = writer.gauge_f64(&catalogue::BEST_BID, &symbol).unwrap();
    let ask = writer.gauge_f64(&catalogue::BEST_ASK, &symbol).unwrap();
    let last = writer.timestamp(&catalogue::FEED_LAST_MESSAGE, &["binance"]).unwrap();
    let quality = writer.state(&catalogue::BOOK_QUALITY, &symbol, 4).unwrap();
    let lag = writer.gauge_i64(&catalogue::FEED_LAG, &["binance"]).unwrap();
    bid.set(64000.5);
    lag.set(-1_500_000);
    let first = text(&collect(&dir));
    let labels = r#"{exchange="binance",symbol="BTCUSDT"}"#;
    for line in [
        format!("hft_best_bid{labels} 64000.5"),
        format!("hft_book_quality{labels} 4"),
        "hft_feed_lag_seconds{exchange=\"binance\"} -0.0015".into(),
        "# HELP hft_book_quality How far the book can be trusted at this moment. (0 verified, 1 unverified, 2 stale, 3 \
         crossed, 4 resyncing)"
            .into(),
    ] {
        assert!(first.lines().any(|l| l == line), "{line} is missing in {first}");
    }
    assert!(
        !first.contains("hft_best_ask") && !first.contains("hft_feed_last_message_timestamp_seconds"),
        "{first}"
    );
    last.set(1_700_000_000_500_000_000);
    ask.set(64001.0);
    bid.retire();
    quality.set(0);
    let second = text(&collect(&dir));
    assert!(second.contains("hft_feed_last_message_timestamp_seconds{exchange=\"binance\"} 1700000000.5\n"));
    assert!(
        second.contains("hft_best_ask") && !second.contains("hft_best_bid"),
        "{second}"
    );
}

#[test]
fn values_above_a_histograms_range_are_in_its_open_bucket_and_counted_as_clipped() {
    static TINY: Metric = Metric::latency("hft_tiny_seconds").help("Small values.");
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let histogram = writer.histogram(&TINY, &[]).unwrap();
    histogram.record(100);
    histogram.record(u64::MAX);
    let text = text(&collect(&dir));
    for line in [
        "hft_tiny_seconds_bucket{le=\"1e-07\"} 1",
        "hft_tiny_seconds_bucket{le=\"+Inf\"} 2",
        "hft_tiny_seconds_count 2",
        "hft_region_clipped_values_total{metric=\"hft_tiny_seconds\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in {text}");
    }
}
