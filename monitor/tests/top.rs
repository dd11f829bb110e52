//! `quantumflow top` for scripts: into a pipe, once, as JSON.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::process::{Command, Output};

use common::{Engine, START, shm};
use serde_json::Value;

fn top(args: &[&str]) -> Output {
    let here = std::env::current_exe().unwrap();
    let example = here.parent().unwrap().parent().unwrap().join("examples/top");
    Command::new(example)
        .args(args)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

/// The same while the engine works.
fn top_of(engine: &mut Engine, args: &[&str]) -> String {
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| top(args));
        while !looks.is_finished() {
            engine.work();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let output = looks.join().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    })
}

#[test]
fn the_object_has_the_fields_that_scripts_read() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    let printed = top_of(
        &mut engine,
        &["--once", "--json", "--region-dir", dir.path().to_str().unwrap()],
    );
    assert_eq!(printed.lines().count(), 1);
    let top: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(top["engine"], "live");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&top["rates"]),
        [
            "book_updates_per_second",
            "messages_per_second",
            "predictions_per_second"
        ]
    );
    let totals = [
        "book_updates",
        "checksum_failures",
        "checksums_verified",
        "crossed",
        "gaps",
        "messages",
        "predictions",
        "resyncs",
        "top_agreements",
        "top_disagreements",
    ];
    assert_eq!(keys(&top["totals"]), totals);
    assert_eq!(keys(&top["predictions"]), ["down", "flat", "up"]);
    assert_eq!(
        keys(&top["stages"]["parse"]),
        ["count", "max_ns", "p50_ns", "p999_ns", "p99_ns"]
    );
    let totals = |name: &str| top["totals"][name].as_u64().unwrap();
    // The looks are not atomic: a round may be half in them.
    assert!(totals("messages") > 0 && totals("messages").abs_diff(totals("book_updates") / 9 * 10) <= 1_000);
    assert_eq!(top["stages"]["parse"]["p99_ns"], 499);
    assert!(top["rates"]["messages_per_second"].as_f64().unwrap() > 1_000.0);
    let book = &top["books"][0];
    assert_eq!(
        (&book["quality"], &book["best_bid"], &book["best_ask"]),
        (&"verified".into(), &50_000.25.into(), &50_000.5.into())
    );
}

#[test]
fn into_a_pipe_it_is_a_table_a_second() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    let printed = top_of(
        &mut engine,
        &["--seconds", "1", "--region-dir", dir.path().to_str().unwrap()],
    );
    assert!(
        printed.contains(" messages/s ") && printed.contains("\nparse "),
        "{printed}"
    );
    assert!(
        printed.contains("binance   BTCUSDT       verified       50000.25         50000.5         800"),
        "{printed}"
    );
    assert!(!printed.contains('\u{1b}'), "no steering in a pipe");
}

#[test]
fn a_dead_engine_has_no_rates_and_says_why() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    let path = engine.path();
    engine.region.close(3);
    let file = ["--region", path.to_str().unwrap()];
    let printed = String::from_utf8(top(&[&["--once"][..], &file].concat()).stdout).unwrap();
    assert!(
        printed.starts_with("engine closed: it ended in order with exit code 3; what follows is its last word"),
        "{printed}"
    );
    let printed = top(&[&["--once", "--json"][..], &file].concat()).stdout;
    let top: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(top["engine"], "closed");
    assert_eq!(
        (&top["rates"]["messages_per_second"], &top["totals"]["messages"]),
        (&0.0.into(), &1_000.into())
    );
}

#[test]
fn a_file_that_is_missing_or_no_region_is_an_error_at_once() {
    let dir = shm();
    let path = dir.path().join(format!("engine.{START}.1.met"));
    let missing = top(&["--once", "--region", path.to_str().unwrap()]);
    assert!(!missing.status.success() && missing.stdout.is_empty());
    std::fs::write(&path, [0u8; 9000]).unwrap();
    let broken = top(&["--once", "--region", path.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&broken.stderr).contains("Magic"), "{broken:?}");
}
