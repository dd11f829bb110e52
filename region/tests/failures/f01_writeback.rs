//! F1: a store into a region never waits for memory. The file is populated and locked when it is made, and tmpfs writes
//! nothing back, so that recording takes no page fault even while another thread syncs everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::resource::{UsageWho, getrusage};
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};
use tempfile::TempDir;

/// Faults of this thread so far: pages that had to be mapped, and pages that had to be fetched.
fn page_faults() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread may ask for its own usage");
    usage.minor_page_faults() + usage.major_page_faults()
}

#[test]
fn f01_recording_takes_no_page_fault() {
    let dir = TempDir::new_in("/dev/shm").unwrap();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("faults", 1)).unwrap();
    let thread = region.writer("hot-0").unwrap();
    let updates = thread
        .counter(&catalogue::PRICE_UPDATES, &["binance", "BTCUSDT"])
        .unwrap();
    let latency = thread.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                nix::unistd::sync();
            }
        });
        // The first round maps the code and the stack, not the region.
        let mut faults = Vec::new();
        for _ in 0..2 {
            let before = page_faults();
            for n in 0..2_000_000_u64 {
                updates.inc();
                // Every bucket of the histogram is touched, those that no page was ever needed for as well.
                latency.record(1 << (n % 36));
            }
            faults.push(page_faults() - before);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(faults[1], 0, "page faults while recording: {faults:?}");
    });
    assert_eq!(updates.get(), 4_000_000);
}
