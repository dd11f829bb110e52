//! F8: a writer that is dead looks alive for ever. The kernel gives up its lock when it ends, however it ends; its file
//! keeps the last values, its last words and its last events, and says in the middle of what it died.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quantumflow_region::{
    EventKind, Liveness, RegionReader, RegionWriter, SubjectId, ThreadWriter, Value, catalogue, directory,
};

use crate::common::{engine, options, shm};

const BREADCRUMB: u32 = 0xB00C;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

pub(crate) fn record_for_ever(dir: &Path) {
    let region = RegionWriter::create(dir, &options("engine", now())).unwrap();
    record(region.writer("hot-0").unwrap());
}

/// Counts, records a value and an event in every round, without a rest.
fn record(mut hot: ThreadWriter) {
    let counter = hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap();
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    let book = hot.subject("binance/BTCUSDT").unwrap();
    let events = hot.events().unwrap();
    hot.breadcrumb(BREADCRUMB);
    engine::ready();
    loop {
        hot.loop_begin();
        let n = counter.get();
        histogram.record(n);
        counter.inc();
        events.record(EventKind::SequenceGap, book, n, n, n + 1);
    }
}

/// One thread records for ever; another panics, and the hook leaves its text.
pub(crate) fn record_and_panic(dir: &Path) {
    let region = RegionWriter::create(dir, &options("engine", now())).unwrap();
    let hot = region.writer("hot-0").unwrap();
    let live = region.live();
    std::panic::set_hook(Box::new(move |panic| {
        live.record_panic(panic);
    }));
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(2));
        panic!("the book is on fire")
    });
    record(hot);
}

fn only_region(dir: &Path) -> RegionReader {
    RegionReader::open(&directory::regions(dir).unwrap()[0].path).unwrap()
}

fn count(reader: &mut RegionReader) -> u64 {
    match reader
        .snapshot()
        .unwrap()
        .find("hft_signals_published_total", &[])
        .unwrap()
        .value
    {
        Value::Counter(count) => count,
        _ => panic!("not a counter"),
    }
}

/// Running, stopped, running again, killed, put away by the next start: what a reader is told in each of these states.
#[test]
fn f08_every_state_of_an_engine_is_told_apart() {
    let dir = shm();
    let mut child = engine::start("record", dir.path());
    engine::wait_ready(&mut child);
    let mut reader = only_region(dir.path());
    let pid = Pid::from_raw(child.id() as i32);
    assert_eq!(
        (reader.liveness().unwrap(), reader.is_current()),
        (Liveness::Live, true)
    );

    while count(&mut reader) == 0 {
        std::thread::yield_now();
    }
    kill(pid, Signal::SIGSTOP).unwrap();
    // The signal is delivered some time later: wait until it stands still.
    let mut stands = count(&mut reader);
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let next = count(&mut reader);
        if next == stands {
            break;
        }
        stands = next;
    }
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(
        reader.liveness().unwrap(),
        Liveness::Live,
        "stalled is for whoever compares snapshots to say"
    );
    let stuck: Vec<_> = snapshot
        .inside_rounds()
        .map(|writer| (&*writer.name, writer.breadcrumb))
        .collect();
    assert_eq!(stuck, [("hot-0", BREADCRUMB)]);

    kill(pid, Signal::SIGCONT).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(count(&mut reader) > stands);

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        (reader.liveness().unwrap(), reader.is_current()),
        (Liveness::Crashed, true)
    );
    let last = count(&mut reader);
    let next = RegionWriter::create(dir.path(), &options("engine", u64::MAX)).unwrap();
    assert!(!reader.is_current());
    assert_eq!(count(&mut reader), last, "the last values are kept");
    assert_eq!(only_region(dir.path()).liveness().unwrap(), Liveness::Live);
    let path = next.path().unwrap().to_path_buf();
    drop(next);
    assert_eq!(RegionReader::open(&path).unwrap().liveness().unwrap(), Liveness::Closed);
}

/// Kills engines in the middle of their work until one has died inside a histogram's record and one inside an event's.
#[test]
fn f08_a_dead_file_tells_what_happened_and_who_died_in_the_middle_of_a_record() {
    let (mut in_histogram, mut in_event, mut tries) = (0, 0, 0);
    while (in_histogram == 0 || in_event == 0) && tries < 60 {
        tries += 1;
        let dir = shm();
        let mut child = engine::start("record and panic", dir.path());
        engine::wait_ready(&mut child);
        let reader = only_region(dir.path());
        while reader.liveness().unwrap() != Liveness::Panicked {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let _next = RegionWriter::create(dir.path(), &options("engine", u64::MAX)).unwrap();
        let entries = directory::list(dir.path()).unwrap();
        let dead = &entries.iter().find(|entry| entry.name.dead).unwrap().path;
        assert!(dead.to_str().unwrap().ends_with(".met.dead"));

        let mut reader = RegionReader::open(dead).unwrap();
        assert_eq!(reader.liveness().unwrap(), Liveness::Panicked);
        let snapshot = reader.snapshot().unwrap();
        let text = snapshot.engine.panic_text.as_ref().unwrap();
        assert!(
            text.contains("the book is on fire") && text.contains("f08_dead_writer.rs"),
            "{text}"
        );
        let inside: Vec<_> = snapshot
            .inside_rounds()
            .map(|writer| (&*writer.name, writer.breadcrumb))
            .collect();
        assert_eq!(inside, [("hot-0", BREADCRUMB)]);

        let threads = reader.events().unwrap();
        let thread = &threads[0];
        let counted = count(&mut reader);
        assert!(thread.recorded.abs_diff(counted) <= 1 && counted > 0);
        let last = thread.events.last().unwrap();
        assert_eq!(last.sequence + 1, thread.recorded);
        assert_eq!((last.a, last.unix_ns), (last.sequence, last.sequence));
        assert_eq!(
            last.to_string(),
            format!("sequence_gap binance/BTCUSDT expected_id={} got_id={}", last.a, last.b)
        );
        // All but the one that was being overwritten.
        let least = thread.recorded.min(1024) - u64::from(thread.is_recording && thread.recorded >= 1024);
        assert!(
            thread.events.len() as u64 >= least,
            "{} of {}",
            thread.events.len(),
            thread.recorded
        );

        for unfinished in &snapshot.unfinished {
            assert_eq!((&*unfinished.writer, unfinished.records), ("hot-0", 1));
            assert_eq!(&*unfinished.series.name, "hft_stage_latency_seconds");
            assert_eq!(unfinished.series.label("stage"), Some("total"));
        }
        in_histogram += snapshot.unfinished.len();
        in_event += usize::from(thread.is_recording);
    }
    println!("{tries} engines killed: {in_histogram} inside a histogram's record, {in_event} inside an event's");
    assert!(in_histogram > 0 && in_event > 0, "none died in the middle of a record");
}

#[test]
fn f08_an_end_in_order_leaves_nothing_unfinished() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let mut hot = region.writer("hot-0").unwrap();
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    let events = hot.events().unwrap();
    hot.loop_begin();
    histogram.record(1);
    events.record(EventKind::EngineStopping, SubjectId::NONE, 1, 15, 0);
    hot.loop_end();
    let path = region.path().unwrap().to_path_buf();
    region.close(0);
    let mut reader = RegionReader::open(&path).unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert!(snapshot.unfinished.is_empty() && snapshot.inside_rounds().next().is_none());
    assert!(!reader.events().unwrap()[0].is_recording);
}
