use std::collections::HashSet;

use super::*;
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

const BOOT: [u8; 16] = UNKNOWN_BOOT;

fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need a tmpfs at /dev/shm")
}

fn region(dir: &Path, start_unix_ns: u64) -> RegionWriter {
    region_of("engine", dir, start_unix_ns)
}

fn region_of(service: &str, dir: &Path, start_unix_ns: u64) -> RegionWriter {
    RegionWriter::create(dir, &RegionOptions::new(service, start_unix_ns)).unwrap()
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

    fn host_after(&mut self, seconds: u64) -> Host {
        self.now += Duration::from_secs(seconds);
        let now = self.now;
        self.inner.scrape(&self.dir, &BOOT, || now)
    }

    /// Of a directory with one engine.
    fn scrape_after(&mut self, seconds: u64) -> (View, Option<Pass>) {
        let mut engines = self.host_after(seconds).engines;
        assert_eq!(engines.len(), 1, "{engines:?}");
        let sight = engines.remove(0);
        assert_eq!(&*sight.engine, "engine");
        (sight.view, sight.pass)
    }

    /// Names and conditions, and that values are shown of those that are up alone.
    fn cast_after(&mut self, seconds: u64) -> Vec<(String, Condition)> {
        let sights = self.host_after(seconds).engines.into_iter().map(|sight| {
            let condition = sight.view.condition;
            assert_eq!(
                sight.pass.is_some(),
                condition.is_up(),
                "{}: {condition:?}",
                sight.engine
            );
            assert_eq!(
                sight.view.reason.is_none(),
                condition.is_up(),
                "{}: {condition:?}",
                sight.engine
            );
            (sight.engine.to_string(), condition)
        });
        sights.collect()
    }
}

fn cast(expected: &[(&str, Condition)]) -> Vec<(String, Condition)> {
    expected
        .iter()
        .map(|&(name, condition)| (name.to_owned(), condition))
        .collect()
}

#[test]
fn a_directory_that_is_missing_or_empty_has_no_engine() {
    let dir = shm();
    for dir in [dir.path().join("missing"), dir.path().to_path_buf()] {
        let host = Driven::new(&dir).host_after(0);
        assert!(host.engines.is_empty() && host.region_count == 0);
        assert!(host.reason.unwrap().contains(dir.to_str().unwrap()));
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
    let reason = view.reason.unwrap();
    assert!(
        reason.contains("5 s") && reason.contains("between two rounds"),
        "{reason}"
    );
    assert!(
        view.stuck.is_empty() && view.idle.len() == 1,
        "at rest between two rounds"
    );
    let later = source.scrape_after(60).0.reason.unwrap();
    assert_eq!(later, reason, "a label's value must not change with every scrape");
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
        assert_eq!(view.idle.len(), usize::from(beat == 2), "the other one rests");
    }
    stuck.breadcrumb(7);
    let (view, _) = source.scrape_after(5);
    assert_eq!(view.condition, Condition::Stalled);
    assert!(
        view.reason
            .unwrap()
            .contains("hot-0 is inside a round of its loop, at place 7")
    );
    stuck.loop_end();
    assert!(source.scrape_after(1).0.stuck.is_empty());
}

#[test]
fn every_living_engine_is_shown_and_the_newest_of_a_service_bears_its_name() {
    use Condition::{Closed, Live};
    let dir = shm();
    let mut source = Driven::new(dir.path());
    let old = region(dir.path(), 1);
    assert_eq!(source.cast_after(1), cast(&[("engine", Live)]));
    let other = region_of("aux", dir.path(), 2);
    assert_eq!(source.cast_after(1), cast(&[("aux", Live), ("engine", Live)]));
    let new = region(dir.path(), 3);
    let older = format!("engine@{}", std::process::id());
    assert_eq!(
        source.cast_after(1),
        cast(&[("aux", Live), ("engine", Live), (&older, Live)])
    );
    let host = source.host_after(1);
    let start = |name: &str| {
        host.engine(name)
            .unwrap()
            .view
            .region
            .as_ref()
            .unwrap()
            .info
            .start_unix_ns
    };
    assert_eq!((start("engine"), start(&older), host.region_count), (3, 1, 3));
    new.close(0);
    assert_eq!(
        source.cast_after(1),
        cast(&[("aux", Live), ("engine", Closed), (&older, Live)]),
        "a name does not pass back to an older engine"
    );
    other.close(0);
    old.close(0);
    assert_eq!(source.cast_after(1), cast(&[("aux", Closed), ("engine", Closed)]));
}

#[test]
fn no_two_engines_have_one_name_even_in_one_process() {
    let dir = shm();
    let regions = [1, 2, 3, 4].map(|start| region(dir.path(), start));
    let names: HashSet<_> = Driven::new(dir.path())
        .cast_after(1)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), regions.len(), "{names:?}");
}

#[test]
fn what_is_wrong_with_one_region_is_told_of_that_one_alone() {
    use Condition::{Live, Stalled, Unreadable};
    let dir = shm();
    let good = region_of("good", dir.path(), 1);
    let _still = region_of("still", dir.path(), 2);
    fs::write(dir.path().join("bad.3.9.met"), [7; 9000]).unwrap();
    let mut source = Driven::new(dir.path());
    for beat in 0..3 {
        good.live().heartbeat(beat, beat);
        let still = if beat < 2 { Live } else { Stalled };
        let expected = [("bad", Unreadable), ("good", Live), ("still", still)];
        assert_eq!(source.cast_after(3), cast(&expected), "beat {beat}");
    }
}

#[test]
fn too_many_regions_leave_the_oldest_out_and_say_so() {
    let dir = shm();
    for start in 0..REGIONS_MAX + 5 {
        fs::write(dir.path().join(format!("s{start}.{start}.1.met")), "").unwrap();
    }
    let host = Driven::new(dir.path()).host_after(1);
    assert_eq!((host.region_count, host.left_out_count), (REGIONS_MAX + 5, 5));
    assert_eq!(host.engines.len(), REGIONS_MAX);
    assert!(host.engine("s4").is_none() && host.engine("s5").is_some());
}

#[test]
fn the_last_words_of_an_engine_are_its_reason() {
    let dir = shm();
    let mut source = Driven::new(dir.path());
    let closed = region(dir.path(), 1);
    closed.close(3);
    let (view, _) = source.scrape_after(1);
    assert_eq!(view.reason.as_deref(), Some("it ended in order with code 3"));
    let panicked = region(dir.path(), 2);
    panicked.live().record_panic(&"out of\ncheese");
    let (view, _) = source.scrape_after(1);
    assert_eq!(view.reason.as_deref(), Some("a thread panicked: out of cheese"));
}

#[test]
fn a_look_reads_no_values() {
    let dir = shm();
    let _region = region(dir.path(), 1);
    let source = Source::new(dir.path());
    let host = source.look();
    assert_eq!(host.engines[0].view.condition, Condition::Live);
    assert!(host.engines[0].pass.is_none());
    assert!(source.scrape().engines[0].pass.is_some());
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
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
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
        let snapshot = source.scrape().engines.remove(0).pass.unwrap().snapshot;
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
