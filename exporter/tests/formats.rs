//! The formats and filters of a scrape, over real connections.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::parse::Exposition;
use common::{Answer, Exporter, shm};
use quantumflow_exporter::select::GROUPS;
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn region(dir: &Path, service: &str, start_unix_ns: u64) -> RegionWriter {
    let region = RegionWriter::create(dir, &RegionOptions::new(service, start_unix_ns)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    writer
        .counter(&catalogue::PRICE_UPDATES, &["binance", "BTC\"\\USDT"])
        .unwrap()
        .add(42);
    writer.counter(&catalogue::FEED_BYTES, &["binance"]).unwrap().add(7);
    writer
        .gauge_f64(&catalogue::SPREAD, &["binance", "BTCUSDT"])
        .unwrap()
        .set(0.1);
    let latency = writer.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
    (0..1000).for_each(|i| latency.record(i * i));
    region.live().heartbeat(1_700_000_009_500_000_000, 9);
    region
}

fn ask(exporter: &Exporter, path: &str, accept: &str) -> Answer {
    let mut client = exporter.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
    let answer = client.answer();
    assert_eq!(
        answer.status,
        200,
        "{path} {accept}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    answer
}

/// Names and labels of every sample, without the values: some change from scrape to scrape.
fn samples(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn each_format_is_given_to_those_who_ask_for_it() {
    let dir = shm();
    let _region = region(dir.path(), "engine", 1);
    let exporter = Exporter::start(dir.path(), &[]);
    let text = ask(&exporter, "/metrics", "*/*");
    assert_eq!(
        text.header("Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let openmetrics = ask(&exporter, "/metrics", OPENMETRICS);
    assert_eq!(
        openmetrics.header("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(
        samples(openmetrics.text()),
        samples(text.text()),
        "the same samples in both"
    );
    assert!(openmetrics.text().ends_with("\n# EOF\n"));
    for line in [
        "# TYPE hft_feed_bytes counter",
        "# UNIT hft_feed_bytes bytes",
        "# UNIT hft_stage_latency_seconds seconds",
        "hft_feed_bytes_total{engine=\"engine\",exchange=\"binance\"} 7",
    ] {
        assert!(
            openmetrics.text().lines().any(|l| l == line),
            "{line}: {}",
            openmetrics.text()
        );
    }
    let protobuf = ask(&exporter, "/metrics", PROTOBUF);
    assert_eq!(
        protobuf.header("Content-Type"),
        Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
    );
    let holds = |text: &str| {
        protobuf
            .body
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(holds("hft_price_updates_total") && holds("BTC\"\\USDT"));
}

#[test]
fn openmetrics_pleases_a_strict_parser() {
    let dir = shm();
    let _regions = [region(dir.path(), "engine", 1), region(dir.path(), "aux", 2)];
    let exporter = Exporter::start(dir.path(), &[]);
    let answer = ask(&exporter, "/metrics", OPENMETRICS);
    let program = "import sys\n\
        try:\n from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        except ImportError: sys.exit(3)\n\
        print(len(list(parse(sys.stdin.read()))))";
    // A virtual environment's, where one is active.
    let python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        eprintln!("skipped: python3 is not installed");
        return;
    };
    // A python without the parser is gone before it has read anything.
    let _ = python.stdin.take().unwrap().write_all(&answer.body);
    let output = python.wait_with_output().unwrap();
    if output.status.code() == Some(3) {
        eprintln!("skipped: python3 has no prometheus_client (pip install prometheus-client)");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let families: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(
        families,
        Exposition::parse(ask(&exporter, "/metrics", "").text()).families.len()
    );
}

#[test]
fn a_scrape_can_ask_for_a_part() {
    let dir = shm();
    let _regions = [region(dir.path(), "engine", 1), region(dir.path(), "aux", 2)];
    let exporter = Exporter::start(dir.path(), &[]);
    let families = |query: &str| {
        let answer = ask(&exporter, &format!("/metrics{query}"), "");
        Exposition::parse(answer.text())
            .families
            .into_keys()
            .collect::<Vec<_>>()
    };
    let always = ["hft_engine_state", "hft_engines", "hft_up"].map(String::from);
    assert_eq!(families("?collect[]=bars"), always);
    assert_eq!(
        families("?collect%5B%5D=latency&collect[]=books"),
        [
            &always[..],
            &["hft_spread", "hft_stage_latency_seconds"].map(String::from)[..]
        ]
        .concat()
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
    );
    let all: BTreeSet<String> = families("").into_iter().collect();
    let parts = GROUPS
        .iter()
        .flat_map(|group| families(&format!("?collect[]={}", group.name)));
    assert_eq!(
        parts.collect::<BTreeSet<_>>(),
        all,
        "the groups together are everything"
    );
    assert!(
        !families("?exclude[]=exporter")
            .iter()
            .any(|name| name.starts_with("process_"))
    );

    let answer = exporter.get("/metrics?collect[]=feed");
    assert_eq!(answer.status, 400);
    assert!(
        GROUPS.iter().all(|group| answer.text().contains(group.name)),
        "{}",
        answer.text()
    );
    assert_eq!(exporter.get("/metrics?collect[]=feeds&exclude[]=books").status, 400);
}

#[test]
fn engines_are_kept_apart_and_can_be_picked() {
    let dir = shm();
    let _regions = [region(dir.path(), "engine", 1), region(dir.path(), "aux", 2)];
    let exporter = Exporter::start(dir.path(), &[]);
    let scrape = exporter.scrape();
    for engine in ["engine", "aux"] {
        assert_eq!(scrape.get("hft_price_updates_total", &[("engine", engine)]), Some(42.0));
        assert!(scrape.get("hft_process_threads", &[("engine", engine)]).is_some());
    }
    assert_eq!(scrape.get("hft_engines", &[("condition", "live")]), Some(2.0));
    // Everything that speaks of an engine says of which.
    let host = [
        "hft_engines",
        "hft_exporter_build_info",
        "hft_region_files",
        "hft_region_files_left_out",
        "hft_scrape_duration_seconds",
    ];
    for (name, family) in &scrape.families {
        let about_one = !name.starts_with("process_") && !host.contains(&name.as_str());
        assert!(
            family
                .samples
                .iter()
                .all(|sample| sample.1.contains_key("engine") == about_one),
            "{name}"
        );
    }
    let answer = ask(&exporter, "/metrics?engine[]=aux&engine[]=gone", "");
    let scrape = Exposition::parse(answer.text());
    assert_eq!(scrape.states().into_keys().collect::<Vec<_>>(), ["aux", "gone"]);
    assert_eq!(scrape.states()["gone"].0, "absent");
    assert_eq!(scrape.get("hft_price_updates_total", &[]), Some(42.0), "of one engine");
}
