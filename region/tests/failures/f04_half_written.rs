//! F4: a reader finds a file that its writer had not finished. A file gets its name last: whatever the moment at which the
//! writer was killed, a reader finds nothing, or a whole region of a dead engine.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use quantumflow_region::{Liveness, RegionReader, RegionWriter, catalogue, directory};

use crate::common::{engine, options, shm};

/// Two names that nothing has: the calls that look for them mark where the creation begins and ends.
const MARKS: [&str; 2] = ["/quantumflow-creation-begins", "/quantumflow-creation-ends"];

pub(crate) fn create(dir: &Path) {
    let _ = fs::metadata(MARKS[0]);
    let region = RegionWriter::create(dir, &options("engine", 2)).unwrap();
    let hot = region.writer("hot").unwrap();
    hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap().inc();
    let _ = fs::metadata(MARKS[1]);
    // Not dropped: an end in order would mark the region closed.
    std::mem::forget(region);
}

/// What is there must be whole; returns how many files had a name.
fn check(dir: &Path) -> usize {
    let entries = directory::regions(dir).unwrap();
    for entry in &entries {
        let mut reader = RegionReader::open(&entry.path).unwrap();
        reader.snapshot().unwrap();
        assert_eq!(reader.liveness().unwrap(), Liveness::Crashed);
    }
    entries.len()
}

/// The system calls of the creation: name, and the how-many-th call of that name it is in its thread.
fn calls(dir: &Path) -> Vec<(String, usize)> {
    let log = dir.join("log");
    let mut strace = strace(&log, &[]);
    engine::with_role(&mut strace, "create", dir);
    assert!(strace.status().unwrap().success());
    let log = fs::read_to_string(log).unwrap();
    let marked = log.lines().find(|line| line.contains(MARKS[0])).unwrap();
    let thread = marked.split_whitespace().next().unwrap();
    let mut counts = HashMap::new();
    let mut calls = Vec::new();
    let mut is_inside = false;
    for line in log.lines().filter(|line| line.starts_with(thread)) {
        let call = line[thread.len()..].trim_start();
        let Some((name, _)) = call
            .split_once('(')
            .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        is_inside = (is_inside || line.contains(MARKS[0])) && !line.contains(MARKS[1]);
        if is_inside {
            calls.push((name.to_owned(), *count));
        }
    }
    calls
}

fn strace(log: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command
        .arg("-f")
        .arg("-o")
        .arg(log)
        .args(arguments)
        .arg(std::env::current_exe().unwrap());
    command
}

#[test]
fn f04_a_creation_that_is_killed_at_any_system_call_leaves_nothing_or_a_whole_region() {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if !works.is_ok_and(|status| status.success()) {
        println!("skipped: no strace that may trace");
        return;
    }
    let calls = calls(shm().path());
    let has = |wanted: &str| calls.iter().any(|(name, _)| name.starts_with(wanted));
    assert!(
        has("fallocate") && has("mmap") && has("rename"),
        "these are not the calls of a creation: {calls:?}"
    );
    let (mut unnamed, mut named) = (0, 0);
    for (name, count) in &calls {
        let dir = shm();
        // There is an older region of a dead engine to put away, so that this is interrupted as well.
        drop(RegionWriter::create(dir.path(), &options("engine", 1)).unwrap());
        let before = directory::list(dir.path()).unwrap().len();
        let inject = format!("inject={name}:signal=KILL:when={count}");
        let mut strace = strace(Path::new("/dev/null"), &["-e", &format!("trace={name}"), "-e", &inject]);
        engine::with_role(&mut strace, "create", dir.path());
        assert!(
            !strace.status().unwrap().success(),
            "{name} number {count} did not kill it"
        );
        let after = directory::list(dir.path()).unwrap();
        for entry in &after {
            let mut reader = RegionReader::open(&entry.path).unwrap();
            reader.snapshot().unwrap();
            assert!(!reader.liveness().unwrap().is_running());
        }
        match after.len() - before {
            0 => unnamed += 1,
            1 => named += 1,
            more => panic!("{more} new names after {name} number {count}"),
        }
        // And the next start finds its way.
        let next = RegionWriter::create(dir.path(), &options("engine", 100_000_000_000)).unwrap();
        assert_eq!(next.report().retire_error, None);
        let left = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert!(
            left.is_empty(),
            "temporary files are left after {name} number {count}: {left:?}"
        );
    }
    println!(
        "killed at {} calls: {unnamed} left nothing, {named} a whole region",
        calls.len()
    );
    assert!(unnamed > 0 && named > 0);
}

/// The same at moments that no system call marks.
#[test]
fn f04_a_creation_that_is_killed_at_any_time_leaves_nothing_or_a_whole_region() {
    let dir = shm();
    let mut named = 0;
    for delay_us in (0..60).map(|i| i * 150) {
        let mut child = engine::start("record", dir.path());
        std::thread::sleep(Duration::from_micros(delay_us));
        child.kill().unwrap();
        child.wait().unwrap();
        named += check(dir.path());
        directory::list(dir.path())
            .unwrap()
            .iter()
            .for_each(|entry| fs::remove_file(&entry.path).unwrap());
    }
    println!("{named} of 60 had got as far as having a name");
}
