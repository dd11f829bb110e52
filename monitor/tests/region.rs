//! What `quantumflow region` says of living, ended, killed, foreign and broken regions.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Engine, START, shm};
use quantumflow_region::layout::{self, Header, Section};
use serde_json::Value;

fn region(args: &[&str]) -> Output {
    let here = std::env::current_exe().unwrap();
    let example = here.parent().unwrap().parent().unwrap().join("examples/region");
    Command::new(example)
        .args(args)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

fn text(args: &[&str]) -> String {
    let output = region(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&text(args)).expect("JSON")
}

fn at(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A copy that nobody holds, as a file that was brought from another host.
fn copy(path: &Path, name: &str) -> PathBuf {
    let to = path.with_file_name(name);
    std::fs::copy(path, &to).unwrap();
    to
}

const ROLE: &str = "QUANTUMFLOW_MONITOR_TEST_DIR";

#[test]
#[ignore = "not a test: what other tests start and kill"]
fn the_engine_that_is_killed() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let mut engine = Engine::start(Path::new(&dir));
    engine.work();
    engine.gap();
    engine.hot.loop_begin();
    engine.hot.breadcrumb(7);
    println!("\nready");
    loop {
        std::thread::park();
    }
}

/// The region of an engine that was killed inside a round.
fn killed(dir: &Path) -> PathBuf {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_engine_that_is_killed", "--nocapture", "--ignored"])
        .env(ROLE, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("ready")), "the engine never got ready");
    child.kill().unwrap();
    child.wait().unwrap();
    quantumflow_region::directory::regions(dir).unwrap()[0].path.clone()
}

#[test]
fn regions_are_listed_newest_first_with_their_states() {
    let dir = shm();
    assert_eq!(
        text(&["--region-dir", at(dir.path())]),
        format!("no regions in {}\n", dir.path().display())
    );
    let dead = killed(dir.path());
    let engine = Engine::start_at(dir.path(), START + 1_000_000_000);
    std::fs::write(dir.path().join("engine.9.9.met"), "not a region").unwrap();
    let listed = text(&["list", "--region-dir", at(dir.path())]);
    let lines: Vec<&str> = listed.lines().collect();
    let pid = std::process::id();
    // The second start has put the first's file away.
    let retired = format!("{}.dead", dead.display());
    assert_eq!(
        lines[0],
        format!(
            "live       pid {pid:<8} 2023-11-14T22:13:21Z {}",
            engine.path().display()
        )
    );
    assert!(
        lines[1].starts_with("crashed    pid ") && lines[1].ends_with(&retired),
        "{listed}"
    );
    assert!(
        lines[2].starts_with("unreadable pid 9 ") && lines[2].contains("too short"),
        "{listed}"
    );
    let listed = json(&["list", "--json", "--region-dir", at(dir.path())]);
    let states: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["live", "crashed", "unreadable"]);
    assert_eq!(listed[1]["retired"], true);
}

#[test]
fn a_living_region_is_shown_with_everything_but_its_series() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    engine.gap();
    let shown = text(&["show", "--region-dir", at(dir.path())]);
    for line in [
        &format!("file       {}", engine.path().display()),
        &format!("engine     engine 0.1.0 (abc123), pid {}, uid ", std::process::id()),
        "state      live: its file is locked",
        "started    2023-11-14T22:13:20Z (1700000000000000000 ns)",
        "heartbeat  2023-11-14T22:13:21Z (1700000001000000000 ns), number 1",
        &format!(
            "format     {}.{}, 1048576 bytes, schema ",
            layout::VERSION_MAJOR,
            layout::VERSION_MINOR
        ),
        "section    DESC          at ",
        "section    EVENTS        at ",
        "series     17 of 512 (0 found no room)",
        "thread     hot-0          tid 0: 1 rounds, between rounds",
        "events     hot-0          1 recorded, 0 overwritten by later ones",
        "event      2023-11-14T22:13:21.5Z (1700000001500000000 ns) hot-0          sequence_gap binance/BTCUSDT expected_id=42 got_id=44",
    ] {
        assert!(
            shown.lines().any(|shown| shown.starts_with(line)),
            "{line:?} is missing in\n{shown}"
        );
    }
    assert!(!shown.contains("unknown") && !shown.contains("hft_"), "{shown}");
}

#[test]
fn a_killed_region_tells_how_it_ended_and_what_it_had_counted() {
    let dir = shm();
    let path = killed(dir.path());
    let dump = text(&["dump", at(&path)]);
    for line in [
        "state      crashed: the lock on its file is free and it said no word",
        "thread     hot-0          tid 0: 1 rounds, died inside round 2, at place 7",
        "thread     housekeeping   tid 0: 1 rounds, between rounds",
        "event      2023-11-14T22:13:21.5Z ",
        "# hft_feed_messages_total WebSocket messages that were received.",
        "hft_feed_messages_total{exchange=\"binance\"} 1000",
        "hft_book_quality{exchange=\"binance\",symbol=\"BTCUSDT\"} 0 (verified)",
        "hft_stage_latency_seconds{stage=\"parse\"} count 100 p50 4.49e-7 p99 4.99e-7 p99.9 4.99e-7 max 4.99e-7",
        "hft_feed_last_message_timestamp_seconds{exchange=\"binance\"} 1700000001000000000 ns (2023-11-14T22:13:21Z)",
    ] {
        assert!(
            dump.lines().any(|dumped| dumped.starts_with(line)),
            "{line:?} is missing in\n{dump}"
        );
    }
    let dump = json(&["dump", "--json", at(&path)]);
    assert_eq!(dump["state"], "crashed");
    assert_eq!(dump["threads"][0]["inside_round"], true);
    assert_eq!(dump["events"][0]["fields"]["expected_id"], 42);
    let messages = &dump["series"].as_array().unwrap()[0];
    assert_eq!(
        (&messages["name"], &messages["value"]),
        (&"hft_feed_messages_total".into(), &1000.into())
    );
}

#[test]
fn who_died_inside_a_record_is_named() {
    let dir = shm();
    let path = killed(dir.path());
    // A histogram's first word counts records begun, its second those that ended: one more has begun.
    let mut bytes = std::fs::read(&path).unwrap();
    let header: Header = bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()]);
    let sections = (0..header.section_count as usize).map(|index| {
        let at = size_of::<Header>() + index * header.section_stride as usize;
        bytemuck::pod_read_unaligned::<Section>(&bytes[at..at + size_of::<Section>()])
    });
    let histograms = sections
        .into_iter()
        .find(|section| section.kind == layout::section::HIST)
        .unwrap()
        .off as usize;
    assert_eq!(
        bytes[histograms..histograms + 16],
        [100u64.to_le_bytes(), 100u64.to_le_bytes()].concat()
    );
    bytes[histograms] += 1;
    std::fs::write(&path, &bytes).unwrap();
    let shown = text(&["show", at(&path)]);
    let line = "record     hot-0 died inside a record of hft_stage_latency_seconds{stage=\"parse\"}";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
    let shown = json(&["show", "--json", at(&path)]);
    assert_eq!(shown["unfinished_records"][0]["thread"], "hot-0");
}

#[test]
fn a_panic_is_told_in_its_own_words_without_what_steers_a_terminal() {
    let dir = shm();
    let engine = Engine::start(dir.path());
    engine
        .region
        .live()
        .record_panic(&"the book\u{1b}[2J is on fire\nat book.rs:1");
    let shown = text(&["show", at(&engine.path())]);
    assert!(shown.contains("state      panicked"), "{shown}");
    assert!(
        shown.contains("panic      the book\u{FFFD}[2J is on fire\n           at book.rs:1\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn a_file_of_a_later_format_tells_what_its_header_says() {
    let dir = shm();
    let engine = Engine::start(dir.path());
    let later = copy(&engine.path(), "later.met");
    let mut bytes = std::fs::read(&later).unwrap();
    bytes[12] = 9;
    std::fs::write(&later, &bytes).unwrap();
    let output = region(&["show", at(&later)]);
    assert!(!output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("format     9."), "{shown}");
    assert!(shown.contains("this program knows 1."), "{shown}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Version { major: 9"));
}

#[test]
fn series_are_chosen_by_name_and_label() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    let names = |args: &[&str]| {
        let args = [&["dump", "--json", "--region-dir", at(dir.path())][..], args].concat();
        let dump = json(&args);
        let series = dump["series"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| series["name"].as_str().unwrap().to_owned());
        series.collect::<Vec<_>>()
    };
    assert_eq!(names(&["--metric", "gaps"]), ["hft_book_gaps_total"]);
    assert_eq!(
        names(&["--metric", "best_bid", "--metric", "best_ask"]),
        ["hft_best_bid", "hft_best_ask"]
    );
    assert_eq!(names(&["--label", "stage=parse"]), ["hft_stage_latency_seconds"]);
    assert_eq!(
        names(&["--label", "side=bid", "--label", "exchange=binance"]),
        ["hft_book_levels"]
    );
    assert!(names(&["--label", "stage=none"]).is_empty());
    assert!(
        !region(&["dump", "--label", "nonsense", at(&engine.path())])
            .status
            .success()
    );
}

#[test]
fn two_files_of_one_run_differ_by_what_was_counted_in_between() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    let before = copy(&engine.path(), "before.met");
    for _ in 0..4 {
        engine.work();
    }
    engine.gap();
    engine.bid.set(50_001.0);
    let added = engine
        .hot
        .counter(&quantumflow_region::catalogue::FEED_BYTES, &["binance"])
        .unwrap();
    added.add(77);
    let after = copy(&engine.path(), "after.met");
    let diff = text(&["diff", at(&before), at(&after)]);
    // Rates are by the heartbeats, which are four seconds apart.
    let expected = "\
within 4.000 s
thread hot-0 +4 rounds (1/s), between rounds
thread housekeeping +4 rounds (1/s), between rounds
       hft_feed_messages_total{exchange=\"binance\"} +4000 (1000/s) to 5000
       hft_price_updates_total{exchange=\"binance\",symbol=\"BTCUSDT\"} +3600 (900/s) to 4500
       hft_book_gaps_total{exchange=\"binance\",symbol=\"BTCUSDT\"} +1 (0.25/s) to 1
       hft_predictions_total{model_name=\"mlp_v1\",prediction_class=\"up\"} +12 (3/s) to 15
       hft_predictions_total{model_name=\"mlp_v1\",prediction_class=\"flat\"} +28 (7/s) to 35
       hft_stage_latency_seconds{stage=\"parse\"} +400 (100/s) p50 449 ns p99 499 ns p99.9 499 ns max 499 ns
       hft_stage_latency_seconds{stage=\"total\"} +400 (100/s) p50 4.51 us p99 4.99 us p99.9 4.99 us max 4.99 us
       hft_prediction_confidence{model_name=\"mlp_v1\"} +4 (1/s) p50 0.612 p99 0.612 p99.9 0.612 max 0.612
       hft_best_bid{exchange=\"binance\",symbol=\"BTCUSDT\"} 50000.25 -> 50001
       hft_feed_last_message_timestamp_seconds{exchange=\"binance\"} 1700000001000000000 ns (2023-11-14T22:13:21Z) -> \
         1700000005000000000 ns (2023-11-14T22:13:25Z)
added  hft_feed_bytes_total{exchange=\"binance\"} 77
";
    assert_eq!(diff, expected);
    let twice = text(&["diff", at(&before), at(&before)]);
    assert!(
        twice.contains("thread hot-0 +0 rounds, between rounds: did not move\n"),
        "{twice}"
    );
    let diff = json(&["diff", "--json", "--metric", "gaps", at(&before), at(&after)]);
    assert_eq!(diff["seconds"], 4.0);
    assert_eq!(diff["changes"][0]["by"], 1);
    let back = text(&["diff", "--metric", "bytes", "--metric", "gaps", at(&after), at(&before)]);
    assert!(
        back.contains("gone   hft_feed_bytes_total") && back.contains("reset  hft_book_gaps_total"),
        "{back}"
    );
    assert!(back.contains("no heartbeat in between"), "{back}");
    assert_eq!(
        text(&["diff", at(&before), at(&before)]).lines().last(),
        Some("nothing changed")
    );
}

#[test]
fn files_of_two_runs_are_called_that() {
    let dir = shm();
    let (first, second) = (Engine::start(dir.path()), Engine::start_at(dir.path(), START + 1));
    let diff = text(&["diff", at(&first.path()), at(&second.path())]);
    assert!(diff.starts_with("note: two runs ("), "{diff}");
}

#[test]
fn a_living_region_is_compared_with_itself() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compare = scope.spawn(|| {
            let diff = json(&["diff", "--json", "--seconds", "0.5", "--region-dir", at(dir.path())]);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            diff
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            engine.work();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let diff = compare.join().unwrap();
        let seconds = diff["seconds"].as_f64().unwrap();
        assert!((0.5..5.0).contains(&seconds));
        let messages = diff["changes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == "hft_feed_messages_total")
            .unwrap();
        let (by, rate) = (
            messages["by"].as_f64().unwrap(),
            messages["per_second"].as_f64().unwrap(),
        );
        assert!(
            by > 0.0 && (by / seconds - rate).abs() < 1e-6 * rate,
            "{by} in {seconds} s is not {rate}/s"
        );
    });
    engine.region.close(0);
    let path = quantumflow_region::directory::regions(dir.path()).unwrap()[0]
        .path
        .clone();
    let diff = text(&["diff", "--seconds", "0.1", at(&path)]);
    assert!(
        diff.contains("note: the engine is closed: nothing can change any more"),
        "{diff}"
    );
}

#[test]
fn watching_repeats_and_ends_with_the_engine() {
    let dir = shm();
    let engine = Engine::start(dir.path());
    let args = "watch --interval 0.1 --metric gaps --region-dir".split(' ');
    let args: Vec<&str> = args.chain([at(dir.path())]).collect();
    let watched = text(&[&args[..], &["--count", "2"]].concat());
    assert_eq!(watched.matches(" live\n").count(), 2, "{watched}");
    assert_eq!(watched.matches("hft_book_gaps_total").count(), 2, "{watched}");
    let watched = text(&[&args[..], &["--count", "2", "--json"]].concat());
    let lines: Vec<Value> = watched
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines.len() == 2
            && lines
                .iter()
                .all(|line| line["state"] == "live" && line["changes"][0]["by"] == 0)
    );
    engine.region.close(0);
    let watched = text(&args);
    // One last look, and no endless wait.
    assert!(watched.contains(" closed\n       hft_book_gaps_total"), "{watched}");
    assert_eq!(watched.lines().count(), 2, "{watched}");
    let watched = text(&["watch", "--interval", "0.1", "--region-dir", at(dir.path())]);
    assert!(watched.ends_with(" closed: nothing changed\n"), "{watched}");
}
