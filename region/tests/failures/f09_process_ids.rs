//! F9: a process id is taken again, or means another process in another namespace. Who lives is decided by the lock on the
//! file alone; the id in the file is for people.

use std::fs;
use std::path::Path;
use std::process::Command;

use quantumflow_region::{Liveness, RegionReader, RegionWriter, directory};

use crate::common::{engine, options, shm, sign};

fn forge_pid(path: &Path, pid: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[64..68].copy_from_slice(&pid.to_le_bytes());
    sign(&mut bytes);
    // In place: the lock stays with the file.
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[..4096], 0).unwrap();
}

#[test]
fn f09_a_forged_process_id_brings_nobody_to_life_and_kills_nobody() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let path = region.path().unwrap().to_path_buf();
    let liveness = || {
        let reader = RegionReader::open(&path).unwrap();
        (reader.info().pid, reader.liveness().unwrap())
    };
    // No process has this id, and yet the engine lives.
    forge_pid(&path, u32::MAX);
    assert_eq!(liveness(), (u32::MAX, Liveness::Live));
    // This process has this id, and yet the engine is gone.
    forge_pid(&path, std::process::id());
    let copy = fs::read(&path).unwrap();
    drop(region);
    fs::write(&path, copy).unwrap();
    assert_eq!(liveness(), (std::process::id(), Liveness::Crashed));
}

#[test]
fn f09_a_reader_in_another_pid_namespace_is_told_the_same() {
    let unshare = ["-rpf"];
    if !Command::new("unshare")
        .args(unshare)
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("skipped: this kernel does not let a user make a pid namespace (unshare -rpf)");
        return;
    }
    let dir = shm();
    let ask = || {
        let mut command = Command::new("unshare");
        command.args(unshare).arg(std::env::current_exe().unwrap());
        engine::with_role(&mut command, "liveness", dir.path());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("liveness: "))
            .map(str::to_owned);
        line.unwrap_or_else(|| panic!("{text}"))
    };
    let mut child = engine::start("record", dir.path());
    engine::wait_ready(&mut child);
    assert_eq!(ask(), "live");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ask(), "crashed");
}

pub(crate) fn say_liveness(dir: &Path) {
    let reader = RegionReader::open(&directory::regions(dir).unwrap()[0].path).unwrap();
    println!("\nliveness: {}", reader.liveness().unwrap().name());
}
