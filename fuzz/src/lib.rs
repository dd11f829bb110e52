//! What the fuzz targets share: seeds that code makes, and sessions that are driven by a script.

pub mod region;
pub mod roads;
pub mod script;
pub mod wounds;

use std::path::PathBuf;

/// Writes the first inputs of a target into the directory `FUZZ_SEEDS`, which `fuzz/run` sets to its corpus; without
/// it, does nothing. Called before the fuzzer reads the corpus.
pub fn plant<S: AsRef<[u8]>>(seeds: impl IntoIterator<Item = S>) {
    let Some(dir) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else {
        return;
    };
    for (number, seed) in seeds.into_iter().enumerate() {
        std::fs::write(dir.join(format!("seed-{number}")), seed).expect("the corpus can be written");
    }
}

/// A file on tmpfs that is this process's own: in `FUZZ_SCRATCH`, which `fuzz/run` sets and removes.
pub fn scratch(name: &str) -> PathBuf {
    let own = || PathBuf::from(format!("/dev/shm/quantumflow-fuzz.{}", std::process::id()));
    let dir = std::env::var_os("FUZZ_SCRATCH").map_or_else(own, PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the targets need /dev/shm");
    dir.join(name)
}
