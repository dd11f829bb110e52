//! What a scrape costs the host: processor time per answer, for a region as full as they come.
//!
//! The exporter lives on the housekeeping core beside an engine. Every millisecond that it takes there is one in which
//! the capture writer or a dialler waits; 5 ms every 15 s is a three-thousandth of a core.
//!
//! ```text
//! cargo run --release -p quantumflow-exporter --example scrape_cost
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made has nothing to say")]

use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use quantumflow_exporter::app::App;
use quantumflow_exporter::exposition::Format;
use quantumflow_exporter::select::Selection;
use quantumflow_exporter::source::Source;
use quantumflow_region::{Metric, RegionOptions, RegionWriter};

const HISTOGRAMS: usize = 100;
const COUNTERS: usize = 4_000;
const GAUGES: usize = 900;
const ROUNDS: usize = 30;

static LATENCY: Metric = Metric::latency("hft_stage_latency_seconds")
    .labels(&["stage"])
    .help("Time in a stage.");
static UPDATES: Metric = Metric::counter("hft_price_updates_total")
    .labels(&["exchange", "symbol"])
    .help("Updates that were applied.");
static PRICE: Metric = Metric::gauge_f64("hft_best_bid")
    .labels(&["exchange", "symbol"])
    .help("Highest bid.");

fn main() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut options = RegionOptions::new("engine", 1_700_000_000_000_000_000);
    options.max_series = 8192;
    options.string_bytes = 1 << 20;
    options.bytes = 8 << 20;
    options.cells_per_writer = 8176;
    let region = RegionWriter::create(dir.path(), &options).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let mut random = 7_u64;
    for i in 0..HISTOGRAMS {
        let histogram = writer.histogram(&LATENCY, &[&format!("stage-{i}")]).unwrap();
        for _ in 0..10_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Some five doublings around 5 µs.
            histogram.record(1000 + (random >> 48 & random >> 32 & 0x7FFF));
        }
    }
    for i in 0..COUNTERS {
        let symbol = format!("SYM{i}USDT");
        writer
            .counter(&UPDATES, &["binance", &symbol])
            .unwrap()
            .add(1_234_567 + i as u64);
    }
    for i in 0..GAUGES {
        let symbol = format!("SYM{i}USDT");
        writer
            .gauge_f64(&PRICE, &["binance", &symbol])
            .unwrap()
            .set(64_000.5 + i as f64);
    }
    let app = App::new(Arc::new(Source::new(dir.path())), "/metrics", 0, true);
    println!(
        "{HISTOGRAMS} histograms, {} series, {ROUNDS} rounds",
        HISTOGRAMS + COUNTERS + GAUGES
    );
    println!("{:<12} {:>10} {:>10} {:>10}", "format", "bytes", "best ms", "median ms");
    for (name, format) in [
        ("text", Format::Text),
        ("openmetrics", Format::OpenMetrics),
        ("protobuf", Format::Protobuf),
    ] {
        let mut bytes = 0;
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|round| {
                region.live().heartbeat(1 + round as u64, 1);
                let before = processor_time();
                bytes = app.encode(Selection::default(), format).unwrap().len();
                processor_time() - before
            })
            .collect();
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name:<12} {bytes:>10} {:>10.2} {:>10.2}",
            ms(times[0]),
            ms(times[ROUNDS / 2])
        );
    }
}

/// Of this thread: waiting for the scrape's turn costs none.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}
