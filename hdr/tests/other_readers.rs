//! The HdrHistogram libraries of other languages read our logs as we do, and we read theirs.
//!
//! Each test needs a runtime with its library and says so where it is missing:
//! `HDR_PYTHON` names a Python with the package `hdrhistogram`, `HDR_NODE_PATH` a `node_modules` with
//! `hdr-histogram-js`, `HDR_JAVA_CLASSPATH` the jar of HdrHistogram. `HDR_READERS_REQUIRED=1` makes a missing one fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, START, USUAL, hdr_ok, record, text};
use hdrhistogram::Histogram;
use quantumflow_hdr::log::LogReader;

const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];

/// 10,000 messages: every percentile above falls on a whole rank, where the libraries' roundings agree.
const ROUND: Run = Run { seconds: 44, ..USUAL };

fn reader(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// The output of a program; `None`, said aloud, where it or its library is missing.
fn output_of(what: &str, command: &mut Command) -> Option<String> {
    let output = command.output();
    let problem = match output {
        Ok(output) if output.status.success() => return Some(String::from_utf8(output.stdout).unwrap()),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_missing = [
                "No module named 'hdrh",
                "Cannot find module 'hdr-histogram-js'",
                "package org.HdrHistogram",
            ];
            assert!(
                is_missing.iter().any(|text| error.contains(text)),
                "{what} failed: {error}"
            );
            error
        }
        Err(error) => error.to_string(),
    };
    assert!(
        env::var_os("HDR_READERS_REQUIRED").is_none(),
        "{what} is required: {problem}"
    );
    println!("skipped: no {what} with its HdrHistogram library here");
    None
}

fn python() -> Command {
    let mut command = Command::new(env::var_os("HDR_PYTHON").unwrap_or_else(|| "python3".into()));
    command.arg(reader("read_hlog.py"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    if let Some(path) = env::var_os("HDR_NODE_PATH") {
        command.env("NODE_PATH", path);
    }
    command.arg(reader("read_hlog.js"));
    command
}

/// Compiles the Java reader; the command lacks the log.
fn java(classes: &Path) -> Option<Command> {
    let jar = env::var("HDR_JAVA_CLASSPATH").unwrap_or_else(|_| "/usr/share/java/hdrhistogram.jar".to_owned());
    let mut compiler = Command::new("javac");
    compiler
        .args(["-cp", &jar, "-d"])
        .arg(classes)
        .arg(reader("ReadHlog.java"));
    output_of("javac", &mut compiler)?;
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(format!("{jar}:{}", classes.display()))
        .arg("ReadHlog");
    Some(command)
}

/// What we read, in the other readers' layout.
fn our_reading(log: &Path) -> String {
    let mut tags = std::collections::BTreeMap::<String, (u32, u64, Histogram<u64>)>::new();
    let mut reader = LogReader::open(log).unwrap();
    while let Some(line) = reader.next_line().unwrap() {
        let new = || {
            (
                0,
                line.start_ns / 1_000_000,
                Histogram::new_with_bounds(1, (1 << 36) - 1, 2).unwrap(),
            )
        };
        let of = tags.entry(line.tag.unwrap_or("").to_owned()).or_insert_with(new);
        of.0 += 1;
        of.2.add(line.histogram().unwrap()).unwrap();
    }
    let mut text = String::new();
    for (tag, (intervals, start_ms, merged)) in tags {
        let mut fields = vec![tag, intervals.to_string(), start_ms.to_string()];
        fields.extend([merged.len(), merged.max()].map(|number| number.to_string()));
        // 99.9 in the floating point of the crate is a rank too far; the quantile itself is not.
        fields.extend(PERCENTILES.map(|percentile| merged.value_at_quantile(percentile * 10.0 / 1000.0).to_string()));
        text.push_str(&(fields.join("\t") + "\n"));
    }
    text
}

fn check(what: &str, mut command: Command) {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshot) = record(dir.path(), ROUND);
    let Some(theirs) = output_of(what, command.arg(&log)) else {
        return;
    };
    assert_eq!(theirs, our_reading(&log));
    // And both are what the engine's region held.
    for stage in common::STAGES.map(|(stage, _)| stage) {
        let region = snapshot
            .histogram("hft_stage_latency_seconds", &[("stage", stage)])
            .unwrap();
        let line = theirs
            .lines()
            .find(|line| line.starts_with(&format!("stage={stage}\t")))
            .unwrap();
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[3], region.count().to_string());
        assert_eq!(fields[7], region.value_at_percentile(50.0).to_string());
        assert_eq!(fields[11], region.value_at_percentile(99.0).to_string());
    }
    println!("{what} agrees:\n{theirs}");
}

#[test]
fn python_reads_what_we_write() {
    check("Python", python());
}

#[test]
fn javascript_reads_what_we_write() {
    check("Node.js", node());
}

#[test]
fn java_reads_what_we_write() {
    let classes = tempfile::tempdir().unwrap();
    if let Some(command) = java(classes.path()) {
        check("Java", command);
    }
}

#[test]
fn java_reads_what_we_merge() {
    let (classes, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut command) = java(classes.path()) else {
        return;
    };
    let (log, _) = record(dir.path(), ROUND);
    let merged = dir.path().join("merged.hlog");
    hdr_ok(&["merge", text(&log), "--every", "10", "--out", text(&merged)]);
    let theirs = output_of("Java", command.arg(&merged)).unwrap();
    assert_eq!(theirs, our_reading(&merged));
    assert_eq!(
        theirs.lines().next().unwrap().split('\t').nth(1),
        Some("5"),
        "44 s in stretches of 10: {theirs}"
    );
}

#[test]
fn java_prints_the_same_percentile_distribution() {
    let (classes, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut command) = java(classes.path()) else {
        return;
    };
    let (log, _) = record(dir.path(), ROUND);
    let theirs = output_of("Java", command.arg(&log).args(["--hgrm", "stage=total"])).unwrap();
    let ours = hdr_ok(&["hgrm", text(&log), "--tag", "stage=total"]).out;
    assert_eq!(ours.lines().count(), theirs.lines().count());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        let words = |line: &'_ str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (words(ours), words(theirs));
        assert_eq!(ours.len(), theirs.len());
        for (our, their) in ours.iter().zip(&theirs) {
            let number = |word: &String| word.trim_end_matches([',', ']']).parse::<f64>().ok();
            match (number(our), number(their)) {
                // Theirs has two decimals.
                (Some(our), Some(their)) => assert!((our - their).abs() <= 0.005_001, "{ours:?} {theirs:?}"),
                _ => assert_eq!(our, their),
            }
        }
    }
}

#[test]
fn a_log_written_by_python_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("python.hlog");
    let Some(_) = output_of("Python", python().arg("--write").arg(&log)) else {
        return;
    };
    let rows: serde_json::Value = serde_json::from_str(&hdr_ok(&["summary", text(&log), "--json"]).out).unwrap();
    assert_eq!(
        (&rows[""]["count"], &rows["slow"]["count"]),
        (&10_000.into(), &10_000.into())
    );
    for (tag, scale) in [("", 1e3), ("slow", 1e6)] {
        for (percentile, share) in [("p50_ns", 500.0), ("p99_ns", 990.0), ("max_ns", 1000.0)] {
            let value = rows[tag][percentile].as_f64().unwrap();
            assert!(
                (value / (share * scale) - 1.0).abs() < 1e-3,
                "{tag} {percentile} {value}"
            );
        }
    }
    let mut reader = LogReader::open(&log).unwrap();
    assert_eq!(reader.next_line().unwrap().unwrap().start_ns, START);
    assert!(fs::metadata(&log).unwrap().len() > 0);
}
