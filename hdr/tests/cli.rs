//! The command line, from a running engine to a verdict.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Run, USUAL, hdr, hdr_ok, record, text};
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};
use serde_json::Value;

/// An engine that records until it is told to stop; its region closes with it.
fn run_engine(dir: &Path, stop: &AtomicBool, recorded: &AtomicU64) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let mut options = RegionOptions::new("engine", now);
    options.file.allow_any_filesystem = true;
    let region = RegionWriter::create(dir, &options).unwrap();
    let thread = region.writer("hot-0").unwrap();
    let total = thread.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    while !stop.load(Ordering::Relaxed) {
        total.record(5_000 + recorded.fetch_add(1, Ordering::Relaxed) % 1000);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn record_follows_an_engine_through_a_restart_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (regions, logs) = (dir.path().join("regions"), dir.path().join("logs"));
    let recorded = Arc::new(AtomicU64::new(0));
    let engines = {
        let (regions, recorded) = (regions.clone(), Arc::clone(&recorded));
        thread::spawn(move || {
            // The directory is not even there when the recorder begins.
            thread::sleep(Duration::from_millis(300));
            for _ in 0..2 {
                let stop = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| run_engine(&regions, &stop, &recorded));
                    thread::sleep(Duration::from_millis(700));
                    stop.store(true, Ordering::Relaxed);
                });
            }
        })
    };
    let args = [
        "record",
        "--region-dir",
        text(&regions),
        "--out",
        text(&logs),
        "--interval",
        "100ms",
        "--seconds",
        "3",
    ];
    let outcome = hdr_ok(&args);
    engines.join().unwrap();
    assert!(outcome.out.contains("2 engines"), "{}", outcome.out);
    for remark in ["waiting for one", "following", "ended"] {
        assert!(outcome.notes.contains(remark), "{remark}: {}", outcome.notes);
    }
    let summary: Value = serde_json::from_str(&hdr_ok(&["summary", text(&logs), "--json"]).out).unwrap();
    assert_eq!(
        summary["stage=total"]["count"].as_u64(),
        Some(recorded.load(Ordering::Relaxed))
    );
    assert!(
        summary.get("").is_none(),
        "the lines without a tag repeat stage=total: {summary}"
    );
}

#[test]
fn summary_says_what_the_region_said() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshot) = record(dir.path(), USUAL);
    let outcome = hdr_ok(&["summary", text(&log)]);
    let mut lines = outcome.out.lines();
    let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "us", "count", "min", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"
        ]
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let tags: Vec<_> = rows.iter().map(|row| row[0]).collect();
    let stages = [
        "stage=decrypt",
        "stage=parse",
        "stage=book",
        "stage=model",
        "stage=total",
    ];
    assert_eq!(tags, [&stages[..], &["prediction_latency:model_name=mlp_v1"]].concat());
    for (row, (stage, _)) in rows.iter().zip(common::STAGES) {
        let region = snapshot
            .histogram("hft_stage_latency_seconds", &[("stage", stage)])
            .unwrap();
        assert_eq!(row[1], region.count().to_string());
        assert_eq!(row[3], format!("{:.3}", region.value_at_percentile(50.0) as f64 / 1e3));
        let mean: f64 = row[9].parse().unwrap();
        assert!(
            (mean / (region.mean() / 1e3) - 1.0).abs() < 0.004,
            "{stage}: {mean} {}",
            region.mean()
        );
    }
}

#[test]
fn lines_are_chosen_by_tag_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = record(dir.path(), USUAL);
    let count = |args: &[&str]| {
        let outcome = hdr(&[&["summary", text(&log), "--json"], args].concat());
        let rows: Value = serde_json::from_str(&outcome.out).unwrap_or_default();
        (
            rows.as_object().map_or(0, |rows| rows.len()),
            rows["stage=total"]["count"].as_u64().unwrap_or(0),
        )
    };
    assert_eq!(count(&[]), (6, 13_800));
    assert_eq!(count(&["--tag", "stage=total"]), (1, 13_800));
    assert_eq!(count(&["--from", "10", "--to", "15"]), (6, 1000));
    assert_eq!(
        count(&["--from", "2025-11-21T11:44:10Z", "--to", "2025-11-21T12:44:15+01:00"]),
        (6, 1000)
    );
    assert_eq!(count(&["--tag", "stage=total", "--tag", ""]), (2, 13_800));
    let (error, code) = hdr(&["summary", text(&log), "--tag", "stage=none"]).error.unwrap();
    assert!(error.starts_with("no histogram selected in"), "{error}");
    assert_eq!(code, 3);
}

#[test]
fn a_live_log_is_read_up_to_its_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = record(dir.path(), USUAL);
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 20]).unwrap();
    let outcome = hdr_ok(&["summary", text(&log)]);
    assert!(
        outcome.notes.contains("the last line is cut short and was skipped"),
        "{}",
        outcome.notes
    );
    let broken = String::from_utf8(whole).unwrap().replacen("HIST", "H!ST", 1);
    let line = 1 + broken.lines().position(|line| line.contains("H!ST")).unwrap();
    fs::write(&log, broken).unwrap();
    let (error, code) = hdr(&["summary", text(&log)]).error.unwrap();
    assert_eq!(
        (error, code),
        (format!("{}:{line} is not a line of an interval log", log.display()), 3)
    );
}

#[test]
fn compare_finds_the_stage_that_got_slower() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    record(&a, USUAL);
    record(
        &b,
        Run {
            seed: 2,
            model_factor: 1.3,
            ..USUAL
        },
    );
    let args = ["compare", text(&a), text(&b)];
    let outcome = hdr_ok(&args);
    let slower: Vec<_> = outcome.out.lines().filter(|line| line.ends_with("slower")).collect();
    assert!(slower.len() >= 4, "{}", outcome.out);
    let models = ["stage=model", "prediction_latency"];
    assert!(
        slower.iter().all(|line| models.iter().any(|tag| line.starts_with(tag))),
        "{}",
        outcome.out
    );
    assert!(outcome.out.contains("within noise"), "{}", outcome.out);

    assert!(hdr(&[&args[..], &["--fail-above", "40%"]].concat()).error.is_none());
    let (error, code) = hdr(&[&args[..], &["--fail-above", "20%"]].concat()).error.unwrap();
    assert!(error.starts_with("slower than --fail-above 20% allows"), "{error}");
    assert_eq!(code, 4);
    // The other way round it is faster, which fails nothing.
    assert!(
        hdr(&["compare", text(&b), text(&a), "--fail-above", "0"])
            .error
            .is_none()
    );
    let rows: Value = serde_json::from_str(&hdr_ok(&[&args[..], &["--json"]].concat()).out).unwrap();
    let clear = rows.as_array().unwrap().iter().filter(|row| row["verdict"] == "clear");
    assert_eq!(clear.count(), slower.len());
}

#[test]
fn compare_does_not_judge_a_handful_of_values() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    record(
        &a,
        Run {
            seconds: 1,
            rate: 15,
            ..USUAL
        },
    );
    record(
        &b,
        Run {
            seconds: 1,
            rate: 15,
            model_factor: 9.0,
            ..USUAL
        },
    );
    let outcome = hdr_ok(&[
        "compare",
        text(&a),
        text(&b),
        "--fail-above",
        "1",
        "--percentiles",
        "90,99",
    ]);
    assert!(
        outcome
            .out
            .lines()
            .skip(1)
            .all(|line| line.ends_with("too few values (15 and 15)")),
        "{}",
        outcome.out
    );
}

#[test]
fn merged_logs_hold_what_the_parts_held() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = record(dir.path(), USUAL);
    let summary = |log: &Path| hdr_ok(&["summary", text(log)]).out;
    for mode in [&[][..], &["--every", "7.5"], &["--whole"]] {
        let merged = dir.path().join("merged.hlog");
        let args = ["merge", text(&log), "--out", text(&merged)];
        hdr_ok(&[&args[..], mode].concat());
        assert_eq!(summary(&merged), summary(&log), "{mode:?}");
        assert!(!dir.path().join("merged.hlog.tmp").exists());
    }
    let (error, code) = hdr(&["merge", text(&log), "--out", text(&log)]).error.unwrap();
    assert!(error.contains("is one of the logs to read"), "{error}");
    assert_eq!(code, 3);
}

#[test]
fn hgrm_writes_a_file_per_tag() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = record(dir.path(), USUAL);
    let curves = dir.path().join("curves");
    let outcome = hdr_ok(&["hgrm", text(&log), "--out", text(&curves)]);
    assert_eq!(outcome.out.lines().count(), 6);
    let total = fs::read_to_string(curves.join("stage=total.hgrm")).unwrap();
    assert!(total.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
    assert!(total.contains("Total count    =        13800]"), "{total}");
    let (error, _) = hdr(&["hgrm", text(&log)]).error.unwrap();
    assert!(error.contains("choose one with --tag"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (error, code) = hdr(&["summary", text(dir.path())]).error.unwrap();
    assert_eq!(
        (error, code),
        (format!("no .hlog files in {}", dir.path().display()), 3)
    );
    let missing = dir.path().join("missing.hlog");
    let (error, code) = hdr(&["summary", text(&missing)]).error.unwrap();
    assert_eq!((error, code), (format!("failed to read {}", missing.display()), 3));
}
