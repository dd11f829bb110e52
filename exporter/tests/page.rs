//! The live page, its stream, and the JSON documents beside it, from the real binary; and the page in a real browser.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
#[path = "../examples/synthetic_engine.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "an example as a part of a test: its main is not called"
)]
mod synthetic_engine;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Parser;
use common::{Client, Exporter, shm};
use serde_json::Value;

/// Tells a test process that it is to be an engine, with these arguments.
const ENGINE: &str = "TEST_ENGINE";

/// Not a test: the engine that the tests below start, as a process of its own.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn engine_process() {
    let Ok(arguments) = std::env::var(ENGINE) else { return };
    let options = synthetic_engine::Options::parse_from(arguments.split('\n'));
    synthetic_engine::run(&options).unwrap();
}

/// The command of an engine that writes into `dir`, for a shell or a script: it needs no other environment.
fn engine_command(dir: &Path, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["engine", "--region-dir", dir.to_str().unwrap()], arguments].concat();
    let test = std::env::current_exe().unwrap();
    let variable = format!("{ENGINE}={}", arguments.join("\n"));
    let command = ["env", &variable, test.to_str().unwrap()];
    let harness = ["--exact", "engine_process", "--ignored", "--nocapture"];
    command.iter().chain(&harness).map(|&part| part.to_owned()).collect()
}

struct Engine(Child);

impl Engine {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let command = engine_command(dir, arguments);
        let mut engine = Command::new(&command[0]);
        let mut child = engine.args(&command[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("writing ")));
        Self(child)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(exporter: &Exporter, path: &str) -> (u16, Value) {
    let answer = exporter.get(path);
    assert_eq!(answer.header("Content-Type"), Some("application/json"), "{path}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{path}");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn health_follows_the_engine_and_liveness_does_not() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let (status, health) = json(&exporter, "/monitoring/health");
    assert_eq!((status, &health["status"]), (503, &"unhealthy".into()));
    assert!(health["reason"].as_str().unwrap().starts_with("no region in "));
    assert_eq!(json(&exporter, "/monitoring/health/readiness").0, 503);
    assert_eq!(json(&exporter, "/monitoring/health/liveness").0, 200);

    let mut engine = Engine::start(dir.path(), &[]);
    let (status, health) = json(&exporter, "/monitoring/health");
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["engines"][0]["state"], "live");
    assert_eq!(health["engines"][0]["components"][0]["kind"], "engine");
    assert_eq!(json(&exporter, "/monitoring/health/readiness").0, 200);

    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    let (status, health) = json(&exporter, "/monitoring/health");
    assert_eq!((status, &health["status"]), (503, &"unhealthy".into()));
    let process = &health["engines"][0]["components"][0];
    assert!(process["reason"].as_str().unwrap().starts_with("crashed"), "{health}");
    assert!(process["look_at"].is_string());
    let (status, readiness) = json(&exporter, "/monitoring/health/readiness");
    assert_eq!(
        (status, &readiness["status"]),
        (200, &"ready".into()),
        "the region can be read"
    );
    assert_eq!(json(&exporter, "/monitoring/health/liveness").0, 200);
}

#[test]
fn system_information_and_metrics_name_every_engine() {
    let dir = shm();
    let one = Engine::start(dir.path(), &["--service", "one"]);
    let _two = Engine::start(dir.path(), &["--service", "two", "--symbols", "1"]);
    let exporter = Exporter::start(dir.path(), &[]);
    let (_, info) = json(&exporter, "/monitoring/system/info");
    assert!(
        info["host"]["cores_online"].as_u64() > Some(0),
        "the sandbox lets /proc be read: {info}"
    );
    assert!(
        info["host"]["memory_bytes"].as_u64() > Some(0) && info["host"]["kernel"].is_string(),
        "{info}"
    );
    assert!(info["host"]["page_size_bytes"].as_u64() >= Some(4096), "{info}");
    assert_eq!(info["engines"][0]["engine"], "one");
    assert!(info["engines"][0]["process"]["start_unix_seconds"].as_f64() > Some(1e9));
    let (status, metrics) = json(&exporter, "/metrics.json");
    assert_eq!(status, 200);
    let exposition = exporter.scrape();
    for (place, name) in ["one", "two"].into_iter().enumerate() {
        let engine = &metrics["engines"][place];
        assert_eq!((&engine["engine"], &engine["state"]), (&name.into(), &"live".into()));
        let series = engine["series"].as_array().unwrap();
        let sum = |of: &str| {
            let of_name = series.iter().filter(|series| series["name"] == of);
            of_name.map(|series| series["value"].as_f64().unwrap()).sum::<f64>()
        };
        assert!(sum("hft_price_updates_total") > 0.0);
        let labels = [("engine", name), ("model_name", "lstm_v1")];
        assert_eq!(
            exposition.get("hft_model_loaded", &labels),
            Some(sum("hft_model_loaded"))
        );
    }
    drop(one);
    let (_, metrics) = json(&exporter, "/metrics.json");
    assert_eq!(metrics["engines"][0]["state"], "crashed");
    assert_eq!(metrics["engines"][0]["series"], Value::Array(Vec::new()));
    assert_ne!(metrics["engines"][1]["series"], Value::Array(Vec::new()));
}

#[test]
fn events_follow_each_other_with_numbers_that_move() {
    let dir = shm();
    let _engine = Engine::start(dir.path(), &[]);
    let exporter = Exporter::start(dir.path(), &[]);
    let mut client = exporter.connect();
    client.send("GET /live/events HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(
        (head.status, head.header("Content-Type")),
        (200, Some("text/event-stream"))
    );
    let totals: Vec<u64> = (0..3)
        .map(|_| {
            let tick = next_event(&mut client);
            tick["engines"][0]["numbers"]["updates"]["total"].as_u64().unwrap()
        })
        .collect();
    assert!(totals.is_sorted() && totals[0] < totals[2], "{totals:?}");
}

fn next_event(client: &mut Client) -> Value {
    loop {
        let line = client.line();
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

/// Where node finds `playwright-core` and `axe-core`: a folder that `npm install` was run in with
/// `tests/browser/package.json`.
const MODULES: &str = "QUANTUMFLOW_BROWSER_MODULES";

#[test]
fn the_page_holds_in_a_real_browser() {
    let modules = std::env::var_os(MODULES).map(PathBuf::from);
    let Some(modules) = modules.filter(|dir| dir.join("node_modules/playwright-core").is_dir()) else {
        return println!("skipped: {MODULES} names no folder with node_modules/playwright-core");
    };
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    if !Path::new(&chromium).exists() {
        return println!("skipped: there is no {chromium} (CHROMIUM names another)");
    }
    let dir = shm();
    let engine = engine_command(dir.path(), &["--exchange", "<img src=x onerror=alert(1)>"]);
    let exporter = [
        env!("CARGO_BIN_EXE_quantumflow-exporter"),
        "--region-dir",
        dir.path().to_str().unwrap(),
        "--web.listen-address",
        "127.0.0.1:0",
    ];
    let status = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/page.mjs"))
        .env("EXPORTER", serde_json::to_string(&exporter).unwrap())
        .env("ENGINE", serde_json::to_string(&engine).unwrap())
        .env("MODULES", modules)
        .env("CHROMIUM", chromium)
        .status();
    match status {
        Ok(status) => assert!(status.success(), "what the browser saw is above"),
        Err(error) => println!("skipped: node cannot be started: {error}"),
    }
}
