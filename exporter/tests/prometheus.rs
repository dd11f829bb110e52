//! Real Prometheus servers that scrape the real exporter: counters are equal, and quantiles of native and classic
//! histograms agree with HdrHistogram within the width of their buckets.
//!
//! Debian's 2.42 is taken from the path. `PROMETHEUS3` may name a 3.x binary, which is told which formats to ask for and
//! so reads all three. What is missing is skipped with a message.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{Exporter, shm};
use hdrhistogram::Histogram;
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

/// A server, and what its configuration adds to a scrape.
struct Server {
    binary: String,
    scrape: &'static str,
    native: bool,
    classic: bool,
}

const NATIVE_3: &str = "scrape_protocols: [PrometheusProto]\n  always_scrape_classic_histograms: true\n";

#[test]
fn prometheus_2_reads_openmetrics() {
    with("prometheus".into(), "", false, true);
}

#[test]
fn prometheus_2_reads_native_histograms() {
    // This version keeps no classic buckets beside native ones.
    with("prometheus".into(), "", true, false);
}

#[test]
fn prometheus_3_reads_every_format() {
    let Ok(binary) = std::env::var("PROMETHEUS3") else {
        eprintln!("skipped: PROMETHEUS3 does not name a Prometheus 3 binary");
        return;
    };
    with(binary.clone(), "scrape_protocols: [PrometheusText0.0.4]\n", false, true);
    with(
        binary.clone(),
        "scrape_protocols: [OpenMetricsText1.0.0]\n",
        false,
        true,
    );
    with(binary, NATIVE_3, true, true);
}

fn with(binary: String, scrape: &'static str, native: bool, classic: bool) {
    if Command::new(&binary).arg("--version").output().is_err() {
        eprintln!("skipped: {binary} is not installed (Debian: apt-get install prometheus)");
        return;
    }
    check(&Server {
        binary,
        scrape,
        native,
        classic,
    });
}

fn check(server: &Server) {
    let dir = shm();
    let work = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    let prometheus = Prometheus::start(server, work.path(), exporter.addresses[0]);

    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1_700_000_000_000_000_000)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let updates = writer
        .counter(&catalogue::PRICE_UPDATES, &["binance", "BTCUSDT"])
        .unwrap();
    let latency = writer.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    let mut normal = normal();
    // A rate sees none of what was there before. It is much, so that Prometheus stretches all buckets alike: one that
    // began near zero would be stretched less, and the quantiles would be the extrapolation's.
    (0..BEFORE).for_each(|_| latency.record(10));
    updates.add(40);
    let count = if server.classic {
        "hft_feature_latency_seconds_count"
    } else {
        "histogram_count(hft_feature_latency_seconds)"
    };
    let beating = Beating::start(&region);
    prometheus.wait_for(count, f64::from(BEFORE));

    let mut oracle = Histogram::<u64>::new_with_bounds(1, (1 << 36) - 1, 3).unwrap();
    for _ in 0..RECORDS {
        // Around 2.1 µs, with a tail of an order of magnitude: what a hot path looks like.
        let value = (2100.0 * (0.6 * normal()).exp()) as u64;
        latency.record(value);
        oracle.record(value).unwrap();
    }
    updates.add(2);
    prometheus.wait_for(count, f64::from(BEFORE + RECORDS));
    assert_eq!(prometheus.query("hft_price_updates_total"), Some(42.0));
    assert_eq!(prometheus.query("hft_up{engine=\"engine\"}"), Some(1.0));
    assert_eq!(prometheus.query("up"), Some(1.0));

    for quantile in [0.5, 0.9, 0.99, 0.999] {
        // The ranks next to it: an interpolation may land on either side of a bucket's edge.
        let slack = 3.0 / f64::from(RECORDS);
        let truth = [quantile - slack, quantile + slack].map(|q| oracle.value_at_quantile(q) as f64);
        if server.native {
            let query = format!("histogram_quantile({quantile}, rate(hft_feature_latency_seconds[2m]))");
            let nanos = prometheus.query(&query).unwrap() * 1e9;
            assert!(
                (truth[0] / NATIVE_WIDTH..=truth[1] * NATIVE_WIDTH).contains(&nanos),
                "native {quantile}: {nanos} is not {truth:?}"
            );
        }
        if server.classic {
            let query = format!("histogram_quantile({quantile}, rate(hft_feature_latency_seconds_bucket[2m]))");
            let nanos = prometheus.query(&query).unwrap() * 1e9;
            let below = LADDER_NS.iter().rev().find(|&&step| step < truth[0]).unwrap();
            let above = LADDER_NS.iter().find(|&&step| step >= truth[1]).unwrap();
            // The steps are within half a percent of the bounds.
            assert!(
                (below * 0.99..=above * 1.01).contains(&nanos),
                "classic {quantile}: {nanos} is not in {below}..{above}"
            );
        }
    }

    // F20: the next start counts from zero. A rate takes that for what it is, and invents nothing.
    drop(beating);
    region.close(0);
    prometheus.wait_for("hft_up{engine=\"engine\"}", 0.0);
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1_700_000_100_000_000_000)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let updates = writer
        .counter(&catalogue::PRICE_UPDATES, &["binance", "BTCUSDT"])
        .unwrap();
    updates.add(5);
    let _beating = Beating::start(&region);
    prometheus.wait_for("hft_price_updates_total", 5.0);
    assert_eq!(prometheus.query("resets(hft_price_updates_total[2m])"), Some(1.0));
    let increase = prometheus.query("increase(hft_price_updates_total[2m])").unwrap();
    // 2 before and 5 after, stretched to the ends of the range; the 40 of the beginning would show.
    assert!((6.9..30.0).contains(&increase), "{increase}");
    assert_eq!(
        prometheus.query("hft_process_start_time_seconds"),
        Some(1_700_000_100.0)
    );
}

const BEFORE: u32 = 200_000;
const RECORDS: u32 = 20_000;
/// A bucket of schema 5 (2.19 %), and half of a bucket of two digits on top.
const NATIVE_WIDTH: f64 = 1.0219 * 1.004;
const LADDER_NS: [f64; 12] = [500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6];

/// Standard normal values: sums of twelve uniform ones, from a seed.
fn normal() -> impl FnMut() -> f64 {
    let mut state = 20_260_101_u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// Housekeeping's part: however long the servers take, an engine in which nothing moves is not shown. Ends when dropped.
struct Beating {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beating {
    fn start(region: &RegionWriter) -> Self {
        let (live, stop) = (region.live(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let beat = move || {
            for beats in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                live.heartbeat(beats, beats);
                thread::sleep(Duration::from_millis(100));
            }
        };
        Self {
            stop,
            thread: Some(thread::spawn(beat)),
        }
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A running server; killed when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(server: &Server, work: &Path, target: SocketAddr) -> Self {
        let config = work.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: quantumflow\n  static_configs:\n  \
             - targets: ['{target}']\n  {}",
            server.scrape
        );
        std::fs::write(&config, text).unwrap();
        // It cannot be told to take any free port and say which: the one that was free a moment ago will do.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(work.join("log")).unwrap();
        let mut command = Command::new(&server.binary);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", work.join("tsdb").display()));
        command.arg(format!("--web.listen-address={address}"));
        if server.native {
            command.arg("--enable-feature=native-histograms");
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, address }
    }

    /// Waits until an expression has this value.
    fn wait_for(&self, expression: &str, value: f64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.query(expression);
            if found == Some(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{expression} is {found:?} and not {value}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The value of an expression that has one series; `None` where it has none yet.
    fn query(&self, expression: &str) -> Option<f64> {
        let encoded: String = expression.bytes().map(|b| format!("%{b:02X}")).collect();
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: a\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        if answer.contains("503 Service") {
            return None;
        }
        assert!(answer.contains("\"status\":\"success\""), "{expression}: {answer}");
        let mut values = answer.split("\"value\":[").skip(1);
        let value = values.next()?;
        assert_eq!(values.next(), None, "{expression} has one series: {answer}");
        value.split('"').nth(1)?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
