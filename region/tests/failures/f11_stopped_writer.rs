//! F11: a reader waits for a writer that died, or was stopped, inside a critical section. There is no such section: a
//! snapshot is one pass, whatever stands half-written.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quantumflow_region::{Liveness, RegionReader, directory};

use crate::common::{engine, shm};

#[test]
fn f11_a_writer_that_was_stopped_inside_a_record_holds_no_reader_up() {
    let dir = shm();
    let mut child = engine::start("record", dir.path());
    engine::wait_ready(&mut child);
    let mut reader = RegionReader::open(&directory::regions(dir.path()).unwrap()[0].path).unwrap();
    while reader.events().unwrap()[0].overwritten == 0 {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(child.id() as i32);
    let (mut inside, mut times) = (0, Vec::new());
    // Stops at a random point until some were inside a record.
    for stop in 0..300 {
        std::thread::sleep(Duration::from_micros(300));
        kill(pid, Signal::SIGSTOP).unwrap();
        // The signal arrives some time later: what counts is that two looks agree.
        let stopped = loop {
            let (a, b) = (reader.snapshot().unwrap(), reader.snapshot().unwrap());
            if a.writers == b.writers && a.unfinished == b.unfinished {
                break b;
            }
        };
        inside += stopped.unfinished.len();
        let start = Instant::now();
        let (snapshot, events) = (reader.snapshot().unwrap(), reader.events().unwrap());
        times.push(start.elapsed());
        assert!(snapshot.uncertainty_max() <= 1 && events[0].events.len() >= 1000);
        assert_eq!(reader.liveness().unwrap(), Liveness::Live);
        kill(pid, Signal::SIGCONT).unwrap();
        if inside >= 3 && stop >= 30 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(inside > 0, "it was never stopped inside a record");
    // Of the middle one: a look at a busy machine's worst would be a test of the machine.
    times.sort_unstable();
    let middle = times[times.len() / 2];
    println!(
        "{} stops, {inside} inside a record; a look took {middle:?}",
        times.len()
    );
    assert!(middle < Duration::from_millis(10), "{middle:?}");
}
