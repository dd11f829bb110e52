//! From creation to an end in order: what is made, what is refused, what is kept. How engines die: `failures`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use common::{options, ring_options, shm};
use quantumflow_region::{
    CreateError, EngineState, Liveness, ReadError, RegionReader, RegionWriter, SignalWriter, directory,
};

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
