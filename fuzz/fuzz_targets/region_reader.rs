//! A region whose bytes were damaged, before it is opened and under the open reader: a typed error or a sound reading,
//! never a panic, never more than the file holds.
//!
//! Input: one byte (bit 0: sign the header again; the rest: how many wounds come before the opening) and wounds.

#![no_main]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quantumflow_fuzz::region::{SERIES, check, check_events, good};
use quantumflow_fuzz::{scratch, wounds};
use quantumflow_region::{ReadError, RegionReader, Snapshot};

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);
static PATH: LazyLock<PathBuf> = LazyLock::new(|| scratch("fuzz.2.2.met"));

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let Some((&choice, rest)) = input.split_first() else {
            return;
        };
        let wounds: Vec<_> = wounds::wounds(rest, GOOD.len()).collect();
        let (before, under) = wounds.split_at(usize::from(choice >> 1).min(wounds.len()));
        let mut bytes = GOOD.clone();
        for wound in before {
            bytes[wound.at..][..wound.bytes().len()].copy_from_slice(wound.bytes());
        }
        if choice & 1 == 1 {
            wounds::sign(&mut bytes);
        }
        fs::write(&*PATH, &bytes).expect("scratch can be written");
        let first = read(&PATH, under);
        if wounds.is_empty() {
            assert_eq!(first.expect("a whole file").series.len(), SERIES);
        }
    }
);

/// Opens the file, reads, hurts it, reads again.
fn read(path: &Path, under: &[wounds::Wound]) -> Result<Snapshot, ReadError> {
    let checked = |result: Result<Snapshot, ReadError>| {
        match &result {
            Ok(snapshot) => check(snapshot),
            Err(ReadError::Format { source, .. }) => assert!(!source.to_string().is_empty()),
            Err(error) => panic!("the file is there and whole: {error:?}"),
        }
        result
    };
    let mut reader = match RegionReader::open(path) {
        Ok(reader) => reader,
        Err(error) => return checked(Err(error)),
    };
    let _ = (
        reader.info().clone(),
        reader.is_current(),
        reader.liveness(),
        reader.engine_state(),
    );
    let first = checked(reader.snapshot());
    events(&reader);
    let file = File::options().write(true).open(path).expect("scratch can be written");
    for wound in under {
        file.write_all_at(wound.bytes(), wound.at as u64)
            .expect("scratch can be written");
        let _ = checked(reader.snapshot());
        events(&reader);
    }
    first
}

fn events(reader: &RegionReader) {
    match reader.events() {
        Ok(threads) => check_events(&threads),
        Err(ReadError::Format { source, .. }) => assert!(!source.to_string().is_empty()),
        Err(error) => panic!("the file is there and whole: {error:?}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let ones = u64::MAX.to_le_bytes();
    let mut seeds = vec![vec![0], vec![1]];
    // Every eight bytes of the header, of the live page, of the first descriptors.
    for at in (0..512).chain(4096..4224).chain(8192..8192 + 640).step_by(16) {
        seeds.push([vec![3], wounds::input(&[(at, &ones[..4]), (at + 8, &[1])])].concat());
        seeds.push([vec![1], wounds::input(&[(at, &[0]), (at + 4, &ones)])].concat());
    }
    seeds
}
