//! Engines that start, end, crash, hang and break, seen by an exporter that stays.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::engine::Engine;
use common::parse::Exposition;
use common::{Exporter, command, once, shm, signal_process, wait};
use quantumflow_region::{RegionOptions, RegionWriter};

/// Not a test: the engine that the tests below start, as a process of its own.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn engine_process() {
    common::engine::run();
}

fn assert_down(scrape: &Exposition, state: &str) {
    assert_eq!(scrape.get("hft_up", &[]), Some(0.0));
    let (name, reason) = scrape.state();
    assert_eq!(name, state);
    assert!(!reason.is_empty(), "an engine that is {state} has a reason");
    for (_, labels, value) in &scrape.families["hft_engines"].samples {
        let expected = if labels["condition"] == state { "1" } else { "0" };
        assert_eq!(value, expected, "{labels:?}");
    }
    assert_eq!(
        scrape.engine_families(),
        Vec::<&str>::new(),
        "an engine that is {state} has no numbers"
    );
    assert!(scrape.get("hft_exporter_build_info", &[]).is_some() && scrape.get("process_open_fds", &[]).is_some());
}

#[test]
fn f08_a_killed_engine_is_down_at_the_next_scrape_and_the_next_one_is_found() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    assert_down(&exporter.scrape(), "absent");
    assert_eq!(exporter.get("/-/ready").status, 503);

    let mut first = Engine::start(dir.path(), 1_000_000_000);
    let scrape = exporter.scrape();
    assert_eq!(
        (scrape.get("hft_up", &[]), scrape.state().0),
        (Some(1.0), "live".into())
    );
    assert!(scrape.get("hft_price_updates_total", &[]).is_some());
    assert_eq!(scrape.get("hft_process_start_time_seconds", &[]), Some(1.0));
    assert!(
        scrape.get("hft_process_threads", &[]).is_some(),
        "the engine's process is found"
    );
    assert_eq!(exporter.get("/-/ready").status, 200);

    first.kill();
    assert_down(&exporter.scrape(), "crashed");
    assert_eq!(
        exporter.get("/-/ready").status,
        200,
        "there is a region, and what it says is known"
    );
    assert_eq!(exporter.get("/-/healthy").status, 200);
    assert!(exporter.get("/").text().contains("<strong>crashed</strong>"));

    let _second = Engine::start(dir.path(), 2_000_000_000);
    let scrape = exporter.scrape();
    assert_eq!(
        (scrape.get("hft_up", &[]), scrape.state().0),
        (Some(1.0), "live".into())
    );
    assert_eq!(scrape.get("hft_process_start_time_seconds", &[]), Some(2.0));
}

#[test]
fn f08_an_engine_that_hangs_is_stalled_until_it_goes_on() {
    let dir = shm();
    let engine = Engine::start(dir.path(), 1);
    let exporter = Exporter::start(dir.path(), &[]);
    assert_eq!(exporter.scrape().state().0, "live");
    signal_process(engine.0.id(), "STOP");
    let scrape = exporter.scrape_until(|scrape| scrape.state().0 != "live");
    assert_down(&scrape, "stalled");
    assert!(scrape.state().1.contains("moved"));
    signal_process(engine.0.id(), "CONT");
    let scrape = exporter.scrape_until(|scrape| scrape.get("hft_up", &[]) == Some(1.0));
    assert_eq!(scrape.state().0, "live");
}

#[test]
fn f08_an_engine_that_ends_in_order_is_closed() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    assert_eq!(exporter.scrape().state().0, "live");
    region.live().set_draining();
    let scrape = exporter.scrape();
    assert_eq!(
        (scrape.get("hft_up", &[]), scrape.state().0),
        (Some(1.0), "draining".into())
    );
    region.close(0);
    assert_down(&exporter.scrape(), "closed");
}

#[test]
fn f08_a_file_that_goes_away_is_absent() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    assert_eq!(exporter.scrape().state().0, "live");
    std::fs::remove_file(region.path().unwrap()).unwrap();
    assert_down(&exporter.scrape(), "absent");
    std::fs::remove_dir(dir.path()).unwrap();
    assert_down(&exporter.scrape(), "absent");
}

#[test]
fn f08_a_panicked_engine_is_down_while_it_still_runs() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    region.live().record_panic(&"index out of bounds");
    assert_down(&Exposition::parse(&once(dir.path())), "panicked");
}

#[test]
fn f04_a_damaged_region_is_unreadable_with_its_reason_and_a_sound_one_is_taken_again() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 5)).unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    let sound = std::fs::read(region.path().unwrap()).unwrap();
    let newer = dir.path().join("engine.6.1.met");
    let older = format!("engine@{}", std::process::id());
    let mut bytes = sound.clone();
    for (at, expected) in [(0, "magic"), (12, "version"), (100, "checksum")] {
        bytes.copy_from_slice(&sound);
        bytes[at] ^= 0x55;
        let _ = std::fs::remove_file(&newer);
        std::fs::write(&newer, &bytes).unwrap();
        let states = exporter.scrape().states();
        let (state, reason) = &states["engine"];
        assert!(state == "unreadable" && reason.contains(expected), "{states:?}");
        assert_eq!(states[&older].0, "live", "the other one is none the worse for it");
    }
    for (len, what) in [
        (0, "empty"),
        (4096, "a page"),
        (sound.len() as u64 - 1, "all but a byte"),
    ] {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&newer)
            .unwrap()
            .set_len(len)
            .unwrap();
        assert_eq!(exporter.scrape().states()["engine"].0, "unreadable", "{what}");
    }
    std::fs::remove_file(&newer).unwrap();
    assert_eq!(exporter.scrape().state().0, "live");
}

#[test]
fn f03_a_region_that_is_cut_does_not_take_the_exporter_along() {
    let dir = shm();
    let mut engine = Engine::start(dir.path(), 1);
    let mut exporter = Exporter::start(dir.path(), &[]);
    assert_eq!(exporter.scrape().state().0, "live");
    // Stopped, so that it does not trip over the hole itself, and still holds the lock.
    signal_process(engine.0.id(), "STOP");
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(100)
        .unwrap();
    assert_down(&exporter.scrape(), "unreadable");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(exporter.is_running(), "the watching thread, too, keeps its hands off");
    engine.kill();
}

#[test]
fn it_ends_in_order_when_asked() {
    for signal in ["TERM", "INT"] {
        let dir = shm();
        let mut exporter = Exporter::start(dir.path(), &[]);
        let mut kept_open = exporter.connect();
        assert_eq!(kept_open.get("/-/healthy").status, 200);
        let mut half_way = exporter.connect();
        half_way.send("GET /metr");
        std::thread::sleep(Duration::from_millis(50));
        exporter.signal(signal);
        half_way.send("ics HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(half_way.answer().status, 200, "a request under way is answered");
        assert_eq!(exporter.wait().code(), Some(0), "{signal}");
        assert!(kept_open.is_closed());
    }
}

#[test]
fn what_cannot_work_is_said_on_one_line() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let taken = exporter.addresses[0].to_string();
    for (arguments, expected) in [
        (["--web.listen-address", taken.as_str()], "failed to listen on"),
        (["--web.listen-address", "nonsense"], "failed to listen on nonsense"),
    ] {
        let output = command(dir.path()).args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains(expected) && output.stdout.is_empty(), "{error}");
    }
    let help = command(dir.path()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("Examples:") && help.contains("--web.listen-address"),
        "{help}"
    );
}

#[test]
fn once_prints_and_a_closed_pipe_is_no_failure() {
    let dir = shm();
    let _region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let scrape = Exposition::parse(&once(dir.path()));
    assert_eq!(scrape.get("hft_up", &[]), Some(1.0));
    let mut child = command(dir.path())
        .arg("--once")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(wait(&mut child).success());
}
