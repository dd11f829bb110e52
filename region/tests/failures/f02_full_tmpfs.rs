//! F2: a sparse file on a tmpfs that fills up is a SIGBUS at the first store into a page that cannot be had. The whole file
//! is allocated before it is used, so that a full tmpfs is an error at the start, and the engine goes on without a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use quantumflow_region::{CreateError, RegionReader, RegionWriter, SignalWriter, catalogue};

use crate::common::{engine, options, ring_options, shm};

#[test]
fn f02_a_full_tmpfs_is_an_error_and_the_engine_goes_on_without_a_file() {
    if !Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("skipped: this kernel does not let a user mount a tmpfs of his own (unshare -rm)");
        return;
    }
    let dir = shm();
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=1m,mode=0750 none \"$0\" && exec \"$@\"";
    command
        .args(["-rm", "sh", "-c", mount])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap());
    engine::with_role(&mut command, "full", dir.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("went on in private memory"),
        "{output:?}\n{text}"
    );
}

/// Runs where `dir` is a tmpfs of 1 MiB.
pub(crate) fn in_a_full_tmpfs(dir: &Path) {
    let error = RegionWriter::create(dir, &options("engine", 1)).unwrap_err();
    let CreateError::Io {
        what: "allocate",
        source,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(source.raw_os_error(), Some(nix::libc::ENOSPC));
    assert!(SignalWriter::create(dir, &ring_options("engine", 1, 1 << 14)).is_err());
    assert_eq!(
        fs::read_dir(dir).unwrap().count(),
        0,
        "a refused creation leaves nothing behind"
    );

    let (region, why) = RegionWriter::create_or_private(dir, &options("engine", 1)).unwrap();
    assert!(region.path().is_none() && matches!(why, Some(CreateError::Io { what: "allocate", .. })));
    let hot = region.writer("hot").unwrap();
    let latency = hot.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
    (0..100_000).for_each(|ns| latency.record(ns));
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    assert_eq!(
        snapshot.histogram("hft_stage_latency_seconds", &[]).unwrap().count(),
        100_000
    );
    println!("went on in private memory");
}
