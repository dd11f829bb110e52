//! F6: bytes that change between the check and the use. Whatever a reader decides by is copied once, and only the copy is
//! checked and used.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use quantumflow_region::ReadError;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::common::shm;
use crate::f07_hostile::{EVENTS, PAGE, read_all, region_bytes};

/// Someone writes while the reader checks: what was checked is what is used, for it was copied.
#[test]
fn f06_bytes_that_change_under_the_check_do_no_harm() {
    let dir = shm();
    let good = region_bytes(dir.path());
    let path = dir.path().join("engine.2.2.met");
    fs::write(&path, &good).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::File::options().write(true).open(&path).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            while !done.load(Ordering::Acquire) {
                // The header keeps its checksum, everything behind it moves.
                let at = rng.random_range(PAGE + 16..EVENTS + PAGE - 8);
                file.write_all_at(&rng.random::<u64>().to_le_bytes()[..rng.random_range(1..=8)], at as u64)
                    .unwrap();
                if rng.random_range(0..4) == 0 {
                    file.write_all_at(&good[PAGE..EVENTS + PAGE], PAGE as u64).unwrap();
                }
            }
        });
        let (mut refused, mut sound) = (0, 0);
        for _ in 0..3000 {
            match read_all(&path) {
                Ok(()) => sound += 1,
                Err(ReadError::Format { .. }) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        done.store(true, Ordering::Release);
        println!("{refused} refused, {sound} sound");
    });
}
