//! A training run is over, and monitoring still knows of it.

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Process, exporter, get, metric, quantumflow, region_dir, wait_for};

#[test]
fn training_runs_are_counted_and_served_after_their_end() {
    let (dir, regions) = (TempDir::new().unwrap(), region_dir());
    let (_exporter, address) = exporter(regions.path(), dir.path());
    let value = |name: &str, labels: &[&str]| metric(&get(address, "/metrics"), name, labels);
    let train = |command: &[&str]| {
        let mut quantumflow = quantumflow();
        quantumflow
            .args(["training", "--region-dir"])
            .arg(regions.path())
            .arg("--")
            .args(command);
        quantumflow
    };
    assert!(train(&["true"]).status().unwrap().success());
    assert_eq!(value("hft_training_runs_total", &["success"]), Some(1.0));
    assert_eq!(value("hft_training_runs_total", &["failure"]), Some(0.0));
    let first = value("hft_last_training_timestamp_seconds", &[]).unwrap();
    assert!(value("hft_training_duration_seconds", &[]) > Some(0.0));
    assert_eq!(value("hft_engine_state", &["training", "done"]), Some(1.0));
    assert_eq!(value("hft_up", &["\"training\""]), Some(1.0));
    assert_eq!(
        value("hft_up", &[]),
        Some(1.0),
        "and one more without a name, which is 0: there is no engine"
    );

    assert_eq!(train(&["sh", "-c", "exit 3"]).status().unwrap().code(), Some(1));
    assert_eq!(value("hft_training_runs_total", &["success"]), Some(1.0));
    assert_eq!(value("hft_training_runs_total", &["failure"]), Some(1.0));
    assert_eq!(
        value("hft_last_training_timestamp_seconds", &[]),
        Some(first),
        "of the last that succeeded"
    );

    let mut long = Process::start(&mut train(&["sleep", "600"]), dir.path(), "long");
    wait_for("a training run under way", || {
        (value("hft_training_running", &[]) == Some(1.0)).then_some(())
    });
    assert_eq!(value("hft_engine_state", &["training", "live"]), Some(1.0));
    long.signal(Signal::SIGTERM);
    assert_eq!(long.wait(), Some(1), "what it ran was ended with it");
    assert_eq!(value("hft_training_runs_total", &["failure"]), Some(2.0));
    assert_eq!(value("hft_training_running", &[]), Some(0.0));
    assert_eq!(train(&["/no/such/program"]).status().unwrap().code(), Some(3));
    assert_eq!(
        value("hft_training_runs_total", &["failure"]),
        Some(2.0),
        "nothing was run"
    );

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let unreported = quantumflow()
        .args(["training", "--region-dir"])
        .arg(&file)
        .args(["--", "true"])
        .output()
        .unwrap();
    assert!(unreported.status.success());
    assert!(String::from_utf8_lossy(&unreported.stderr).contains("this run is not reported"));
}
