//! F10: writer and reader have different clocks, or a clock steps. Nothing that a reader concludes depends on one: life is
//! the lock, movement is a counter that differs between two looks, and times are passed on as they stand.

use std::fs;

use quantumflow_region::{Liveness, RegionReader, RegionWriter, catalogue};

use crate::common::{options, shm, sign};

#[test]
fn f10_another_boot_and_a_start_in_the_future_change_nothing() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", u64::MAX)).unwrap();
    let hot = region.writer("hot").unwrap();
    hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap().add(7);
    let path = region.path().unwrap();
    let mut bytes = fs::read(path).unwrap();
    // Start in ticks after boot, boot id, start in nanoseconds after boot.
    bytes[72..96].fill(0xFF);
    bytes[104..112].fill(0xFF);
    sign(&mut bytes);
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[..4096], 0).unwrap();
    let mut reader = RegionReader::open(path).unwrap();
    assert_eq!(
        (reader.info().boot_id, reader.info().start_unix_ns),
        ([0xFF; 16], u64::MAX)
    );
    assert_eq!(reader.liveness().unwrap(), Liveness::Live);
    assert_eq!(
        reader.snapshot().unwrap().total("hft_signals_published_total", &[]),
        7.0
    );
}

#[test]
fn f10_a_clock_that_steps_back_or_stands_hides_no_movement() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let mut hot = region.writer("hot").unwrap();
    let mut reader = RegionReader::of(&region).unwrap();
    let mut last = (0, 0);
    // An hour back, a stop, zero, the end of time.
    for unix_ns in [7_200_000_000_000, 3_600_000_000_000, 3_600_000_000_000, 0, u64::MAX] {
        hot.loop_begin();
        hot.loop_end();
        region.live().heartbeat(unix_ns, unix_ns);
        let snapshot = reader.snapshot().unwrap();
        let next = (snapshot.writers[0].loop_end, snapshot.engine.heartbeats);
        assert!(next.0 > last.0 && next.1 > last.1, "{next:?} after {last:?}");
        assert_eq!(snapshot.engine.heartbeat_unix_ns, unix_ns, "passed on as it stands");
        assert_eq!(reader.liveness().unwrap(), Liveness::Live);
        last = next;
    }
}
