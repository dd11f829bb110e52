use std::collections::HashSet;

use super::*;
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need a tmpfs at /dev/shm")
}

fn region(dir: &Path, start_unix_ns: u64) -> RegionWriter {
    RegionWriter::create(dir, &RegionOptions::new("engine", start_unix_ns)).unwrap()
}

/// Scrapes by a clock of its own, so that minutes pass at once.
struct Driven {
    inner: Inner,
    dir: PathBuf,
    now: Instant,
}

impl Driven {
    fn new(dir: &Path) -> Self {
        Self {
            inner: Inner::default(),
            dir: dir.to_path_buf(),
            now: Instant::now(),
        }
    }

    fn scrape_after(&mut self, seconds: u64) -> (View, Option<Pass>) {
        self.now += Duration::from_secs(seconds);
        let now = self.now;
        self.inner.scrape(&self.dir, || now)
    }
}

#[test]
fn a_directory_that_is_missing_or_empty_has_no_engine() {
    let dir = shm();
    for dir in [dir.path().join("missing"), dir.path().to_path_buf()] {
        let (view, pass) = Driven::new(&dir).scrape_after(0);
        assert_eq!(
            (view.condition, view.region_count, pass.is_none()),
            (Condition::Absent, 0, true)
        );
        assert!(view.reason.unwrap().contains(dir.to_str().unwrap()));
    }
}

#[test]
fn an_engine_that_beats_is_live_however_long_nothing_else_happens() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let mut source = Driven::new(dir.path());
    for beat in 1..10 {
        region.live().heartbeat(beat, beat);
        let (view, pass) = source.scrape_after(15);
        assert_eq!(
            (view.condition, pass.is_some()),
            (Condition::Live, true),
            "beat {beat}: {:?}",
            view.reason
        );
    }
}

#[test]
fn an_engine_in_which_nothing_moves_has_stalled_until_it_moves_again() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let mut hot = region.writer("hot-0").unwrap();
    let mut source = Driven::new(dir.path());
    assert_eq!(source.scrape_after(0).0.condition, Condition::Live);
    assert_eq!(source.scrape_after(4).0.condition, Condition::Live, "not yet");
    let (view, pass) = source.scrape_after(1);
    assert_eq!((view.condition, pass.is_none()), (Condition::Stalled, true));
    assert!(view.reason.unwrap().contains("5 s"));
    assert!(view.stuck.is_empty(), "at rest between two rounds");
    hot.loop_begin();
    hot.loop_end();
    let (view, pass) = source.scrape_after(1);
    assert_eq!(
        (view.condition, pass.is_some()),
        (Condition::Live, true),
        "one round is a sign of life"
    );
}

#[test]
fn one_thread_stuck_in_a_round_is_named_while_the_engine_lives() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let mut stuck = region.writer("hot-0").unwrap();
    let _idle = region.writer("cold").unwrap();
    let mut source = Driven::new(dir.path());
    stuck.loop_begin();
    for beat in 0..3 {
        region.live().heartbeat(beat, beat);
        let (view, pass) = source.scrape_after(4);
        assert_eq!((view.condition, pass.is_some()), (Condition::Live, true));
        let names: Vec<&str> = view.stuck.iter().map(|name| &**name).collect();
        assert_eq!(names, if beat < 2 { vec![] } else { vec!["hot-0"] }, "beat {beat}");
    }
    stuck.loop_end();
    assert!(source.scrape_after(1).0.stuck.is_empty());
}

#[test]
fn the_newest_region_is_followed() {
    let dir = shm();
    let mut source = Driven::new(dir.path());
    let old = region(dir.path(), 1);
    let name = |view: &View| view.region.as_ref().map(|region| region.info.start_unix_ns);
    assert_eq!(name(&source.scrape_after(1).0), Some(1));
    let new = region(dir.path(), 2);
    let view = source.scrape_after(1).0;
    assert_eq!(
        (name(&view), view.condition, view.region_count),
        (Some(2), Condition::Live, 2)
    );
    drop(old);
    new.close(0);
    assert_eq!(source.scrape_after(1).0.condition, Condition::Closed);
}

#[test]
fn draining_is_up_and_a_panic_is_not() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let mut source = Driven::new(dir.path());
    region.live().set_draining();
    let (view, pass) = source.scrape_after(1);
    assert_eq!((view.condition, pass.is_some()), (Condition::Draining, true));
    region.live().record_panic(&"out of cheese");
    let (view, pass) = source.scrape_after(1);
    assert_eq!((view.condition, pass.is_none()), (Condition::Panicked, true));
}

#[test]
fn a_file_that_is_cut_or_damaged_is_unreadable_with_a_reason() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let path = region.path().unwrap().to_path_buf();
    let mut source = Driven::new(dir.path());
    assert_eq!(source.scrape_after(1).0.condition, Condition::Live);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(64).unwrap();
    for _ in 0..2 {
        let (view, pass) = source.scrape_after(1);
        assert_eq!((view.condition, pass.is_none()), (Condition::Unreadable, true));
        assert!(view.reason.unwrap().contains("bytes"));
    }
    // Zeros where the engine was; also because this process still writes to these pages when `region` is dropped.
    file.set_len(len).unwrap();
    assert_eq!(source.scrape_after(1).0.condition, Condition::Unreadable);
}

#[test]
fn scrapes_that_wait_together_share_a_pass_and_get_no_older_values() {
    let dir = shm();
    let region = region(dir.path(), 1);
    let updates = region.shared_counter(&catalogue::LOG_EVENTS_DROPPED, &[]).unwrap();
    let source = Source::new(dir.path());
    source.scrape();
    let began = Instant::now();
    let together = std::sync::Barrier::new(8);
    let scrape = || {
        together.wait();
        updates.inc();
        let written = updates.get();
        let (_, pass) = source.scrape();
        let snapshot = pass.unwrap().snapshot;
        let series = snapshot.find("hft_log_events_dropped_total", &[]).unwrap();
        assert!(series.value.as_f64().unwrap() >= written as f64);
        snapshot
    };
    let snapshots: Vec<Arc<Snapshot>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(scrape)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let passes: HashSet<_> = snapshots.iter().map(Arc::as_ptr).collect();
    assert!(
        began.elapsed() >= PASS_INTERVAL * 9 / 10,
        "the first of them waited for its turn"
    );
    // One, unless the machine is so busy that some come late.
    assert!(passes.len() < 8, "some shared a pass");
}
