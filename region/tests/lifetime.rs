//! From creation to post-mortem: what a reader finds at every point of an engine's life and death.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{options, ring_options, shm};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quantumflow_region::{
    CreateError, EngineState, Liveness, ReadError, RegionReader, RegionWriter, SignalWriter, Value, catalogue,
    directory,
};

const ROLE: &str = "QUANTUMFLOW_REGION_TEST_ROLE";
const DIR: &str = "QUANTUMFLOW_REGION_TEST_DIR";

/// Runs this very program as an engine of that role.
fn engine(role: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_engine_of_these_tests", "--nocapture", "--ignored"])
        .env(ROLE, role)
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the engine says that its region has a name.
fn wait_ready(child: &mut Child) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line.ends_with("ready")),
        "the engine never got ready"
    );
}

#[test]
#[ignore = "not a test: what the other tests start and kill"]
fn the_engine_of_these_tests() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR)) else {
        return;
    };
    let start = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let region = RegionWriter::create(Path::new(&dir), &options("engine", start)).unwrap();
    let mut hot = region.writer("hot-0").unwrap();
    let counter = hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap();
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    counter.add(42);
    println!("\nready");
    match role.as_str() {
        "record" => loop {
            hot.loop_begin();
            histogram.record(counter.get());
            counter.inc();
        },
        "panic" => {
            let live = region.live();
            std::panic::set_hook(Box::new(move |panic| {
                live.record_panic(panic);
                std::process::abort();
            }));
            panic!("the book is on fire");
        }
        _ => drop(region),
    }
}

fn only_region(dir: &Path) -> RegionReader {
    RegionReader::open(&directory::regions(dir).unwrap()[0].path).unwrap()
}

#[test]
fn a_closed_engine_says_so() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let live = region.live();
    let mut reader = only_region(dir.path());
    assert_eq!(reader.liveness().unwrap(), Liveness::Live);
    live.heartbeat(5, 6);
    live.heartbeat(7, 8);
    live.set_draining();
    assert_eq!(reader.liveness().unwrap(), Liveness::Draining);
    region.close(3);
    assert_eq!(reader.liveness().unwrap(), Liveness::Closed);
    let engine = reader.snapshot().unwrap().engine;
    assert_eq!((engine.state, engine.exit_code), (Some(EngineState::Closed), 3));
    assert_eq!(
        (
            engine.heartbeats,
            engine.heartbeat_unix_ns,
            engine.heartbeat_boottime_ns
        ),
        (2, 7, 8)
    );
    live.set_draining();
    assert_eq!(reader.liveness().unwrap(), Liveness::Closed, "an end is not taken back");
}

#[test]
fn a_killed_engine_is_crashed_and_its_last_values_are_kept() {
    let dir = shm();
    let mut child = engine("record", dir.path());
    wait_ready(&mut child);
    let mut reader = only_region(dir.path());
    assert_eq!(reader.liveness().unwrap(), Liveness::Live);
    std::thread::sleep(Duration::from_millis(20));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reader.liveness().unwrap(), Liveness::Crashed);

    let snapshot = reader.snapshot().unwrap();
    let Value::Counter(count) = snapshot.find("hft_signals_published_total", &[]).unwrap().value else {
        panic!()
    };
    let histogram = snapshot.histogram("hft_stage_latency_seconds", &[]).unwrap();
    assert!(count > 42 && histogram.uncertainty() <= 1);
    assert!((count - 42).abs_diff(histogram.count()) <= 1);
    assert!(
        snapshot.writers[0].loop_begin > 0 && snapshot.writers[0].loop_end == 0,
        "died inside its loop"
    );

    // The next start puts it away, where it can still be read.
    let _next = RegionWriter::create(dir.path(), &options("engine", u64::MAX)).unwrap();
    assert!(!reader.is_current());
    let dead = directory::list(dir.path())
        .unwrap()
        .into_iter()
        .find(|entry| entry.name.dead)
        .unwrap();
    let mut dead = RegionReader::open(&dead.path).unwrap();
    assert_eq!(
        dead.snapshot()
            .unwrap()
            .find("hft_signals_published_total", &[])
            .unwrap()
            .value,
        Value::Counter(count)
    );
    assert_eq!(dead.liveness().unwrap(), Liveness::Crashed);
}

#[test]
fn a_stopped_engine_holds_no_reader_up() {
    let dir = shm();
    let mut child = engine("record", dir.path());
    wait_ready(&mut child);
    let mut reader = only_region(dir.path());
    let pid = Pid::from_raw(child.id() as i32);
    // Stops at a random point, often inside a record.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_micros(700));
        kill(pid, Signal::SIGSTOP).unwrap();
        let (a, b) = (reader.snapshot().unwrap(), reader.snapshot().unwrap());
        assert_eq!(
            reader.liveness().unwrap(),
            Liveness::Live,
            "stalled is for whoever compares snapshots to say"
        );
        assert!(a.uncertainty_max() <= 1_000_000 && b.writers[0].loop_begin >= a.writers[0].loop_begin);
        kill(pid, Signal::SIGCONT).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_panic_leaves_its_text() {
    let dir = shm();
    let mut child = engine("panic", dir.path());
    wait_ready(&mut child);
    child.wait().unwrap();
    let mut reader = only_region(dir.path());
    assert_eq!(reader.liveness().unwrap(), Liveness::Panicked);
    let text = reader.snapshot().unwrap().engine.panic_text.unwrap();
    assert!(
        text.contains("the book is on fire") && text.contains("lifetime.rs"),
        "{text}"
    );
}

#[test]
fn the_first_panic_is_kept_and_a_long_one_is_cut_between_characters() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let live = region.live();
    assert!(live.record_panic(&format!("x{}", "é".repeat(3000))));
    assert!(!live.record_panic(&"second"));
    let text = RegionReader::of(&region)
        .unwrap()
        .snapshot()
        .unwrap()
        .engine
        .panic_text
        .unwrap();
    assert_eq!(text.len(), 2047);
    assert!(text.starts_with('x') && text.ends_with('é'));
    drop(region);
    assert_eq!(
        live.state(),
        Some(EngineState::Panicked),
        "an orderly end does not hide a panic"
    );
}

/// Kills engines at any moment of their creation: whatever has a name can be read in full.
#[test]
fn a_half_written_file_is_never_visible() {
    let dir = shm();
    let mut named = 0;
    for delay_us in (0..60).map(|i| i * 150) {
        let mut child = engine("record", dir.path());
        std::thread::sleep(Duration::from_micros(delay_us));
        child.kill().unwrap();
        child.wait().unwrap();
        for entry in directory::list(dir.path()).unwrap() {
            let mut reader = RegionReader::open(&entry.path).unwrap();
            reader.snapshot().unwrap();
            assert_eq!(reader.liveness().unwrap(), Liveness::Crashed);
            named += 1;
            fs::remove_file(&entry.path).unwrap();
        }
    }
    println!("{named} of 60 had got as far as having a name");
}

#[test]
fn the_files_of_dead_starts_are_kept_up_to_a_limit() {
    let dir = shm();
    for start in 1..=6 {
        drop(RegionWriter::create(dir.path(), &options("engine", start)).unwrap());
        drop(SignalWriter::create(dir.path(), &ring_options("engine", start, 8)).unwrap());
    }
    let other = RegionWriter::create(dir.path(), &options("other", 1)).unwrap();
    let alive = RegionWriter::create(dir.path(), &options("engine", 7)).unwrap();
    let names: Vec<(u64, bool, &str)> = directory::list(dir.path())
        .unwrap()
        .iter()
        .filter(|entry| entry.name.service == "engine")
        .map(|entry| (entry.name.start_unix_ns, entry.name.dead, entry.name.kind.extension()))
        .collect();
    let dead = |kind| [(6, true, kind), (5, true, kind), (4, true, kind)];
    let met: Vec<_> = names.iter().copied().filter(|name| name.2 == "met").collect();
    assert_eq!(met[0], (7, false, "met"));
    assert_eq!(met[1..], dead("met"));
    assert_eq!(
        names
            .iter()
            .copied()
            .filter(|name| name.2 == "ring")
            .collect::<Vec<_>>(),
        dead("ring")
    );
    assert!(other.path().unwrap().exists() && alive.path().unwrap().exists());
    let second = RegionWriter::create(dir.path(), &options("engine", 8)).unwrap();
    assert!(
        alive.path().unwrap().exists(),
        "two living engines of one service leave each other alone"
    );
    assert_eq!(second.report().retired_count, 0);
}

#[test]
fn what_a_killed_creation_left_is_cleared_by_a_later_start() {
    let dir = shm();
    let left = dir.path().join(".engine.1.1.met.tmp");
    fs::write(&left, "half").unwrap();
    let recent = dir.path().join(".engine.99999999999.1.met.tmp");
    fs::write(&recent, "half").unwrap();
    let _region = RegionWriter::create(dir.path(), &options("engine", 100_000_000_000)).unwrap();
    assert!(!left.exists());
    assert!(recent.exists(), "may be under way");
}

#[test]
fn a_place_that_is_slow_or_not_safe_is_refused() {
    let create = |dir: &Path| RegionWriter::create(dir, &options("engine", 1));
    let dir = shm();
    let sub = dir.path().join("a/b");
    let region = create(&sub).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&sub) & 0o027, mode(region.path().unwrap())), (0, 0o640));

    fs::set_permissions(&sub, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(create(&sub), Err(CreateError::UnsafeDirectory { .. })));
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o750)).unwrap();
    symlink(&sub, dir.path().join("link")).unwrap();
    assert!(matches!(
        create(&dir.path().join("link")),
        Err(CreateError::UnsafeDirectory { .. })
    ));
    assert!(
        matches!(create(&sub), Err(CreateError::Io { .. })),
        "the same name twice"
    );
    assert!(matches!(
        RegionWriter::create(&sub, &options("Engine/../x", 1)),
        Err(CreateError::ServiceName(_))
    ));

    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut allowed = options("engine", 1);
    allowed.file.allow_any_filesystem = true;
    let on_disk = RegionWriter::create(disk.path(), &allowed).unwrap();
    if on_disk.report().slow_filesystem {
        assert!(matches!(create(disk.path()), Err(CreateError::SlowFilesystem { .. })));
        let (private, why) = RegionWriter::create_or_private(disk.path(), &options("engine", 2)).unwrap();
        assert!(private.path().is_none() && matches!(why, Some(CreateError::SlowFilesystem { .. })));
    } else {
        println!("skipped: the target directory is on tmpfs");
    }
    assert_eq!(
        fs::read_dir(disk.path()).unwrap().count(),
        1,
        "a refused creation leaves nothing behind"
    );
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut quantumflow_region::RegionOptions)| {
        let mut options = options("engine", 1);
        change(&mut options);
        RegionWriter::private(&options).unwrap_err().to_string()
    };
    assert!(refused(&|o| o.bytes = 64 << 10).contains("at least"));
    assert!(refused(&|o| o.bytes = (4 << 20) + 1).contains("whole pages"));
    assert!(refused(&|o| o.bytes = 2 << 30).contains("1 GiB"));
    assert!(refused(&|o| o.max_series = 0).contains("max_series"));
    assert!(refused(&|o| o.max_series = 200_000).contains("max_series"));
    assert!(refused(&|o| o.version = "x".repeat(25)).contains("version"));
}

#[test]
fn a_file_that_others_can_write_or_reach_by_another_name_is_not_trusted() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let path = region.path().unwrap();
    let open = |path: &Path| RegionReader::open(path).map(drop);
    let other = dir.path().join("other");
    symlink(path, &other).unwrap();
    assert!(
        matches!(open(&other), Err(ReadError::Io { what: "open", .. })),
        "a symbolic link"
    );
    fs::remove_file(&other).unwrap();
    fs::hard_link(path, &other).unwrap();
    assert!(matches!(open(path), Err(ReadError::Untrusted { .. })), "two names");
    fs::remove_file(&other).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o646)).unwrap();
    assert!(matches!(open(path), Err(ReadError::Untrusted { .. })));
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(open(path).is_ok());
    nix::unistd::mkfifo(&other, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        matches!(open(&other), Err(ReadError::Untrusted { .. })),
        "a pipe, without waiting for its other end"
    );
    assert!(open(dir.path()).is_err());
}

#[test]
fn a_file_that_was_cut_is_an_error() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let mut reader = only_region(dir.path());
    let file = fs::File::options().write(true).open(region.path().unwrap()).unwrap();
    file.set_len(8192).unwrap();
    assert!(matches!(reader.snapshot(), Err(ReadError::Truncated { to: 8192, .. })));
    assert!(RegionReader::open(region.path().unwrap()).is_err());
    file.set_len(4 << 20).unwrap();
    drop(reader);
}
