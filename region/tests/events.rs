//! The flight recorder from both sides: the last events of every thread, in words, living and dead.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{options, shm};
use quantumflow_region::{
    CreateError, Event, EventKind, EventWriter, RegionOptions, RegionReader, RegionWriter, RegisterError, SubjectId,
    ThreadEvents, Unit,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn small(events_per_writer: u32) -> RegionOptions {
    RegionOptions {
        events_per_writer,
        ..options("engine", 1)
    }
}

fn events(region: &RegionWriter) -> Vec<ThreadEvents> {
    RegionReader::of(region).unwrap().events().unwrap()
}

#[test]
fn what_is_recorded_is_read_in_words() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let reader = RegionReader::open(region.path().unwrap()).unwrap();
    assert!(reader.events().unwrap().is_empty(), "no thread yet");

    let (hot, cold) = (region.writer("hot-0").unwrap(), region.writer("cold").unwrap());
    let book = hot.subject("binance/BTCUSDT").unwrap();
    let feed = region.subject("binance#0").unwrap();
    assert_eq!(hot.subject("binance#0").unwrap(), feed, "one text, one subject");
    let (on_hot, on_cold) = (hot.events().unwrap(), cold.events().unwrap());
    let reason = EventKind::FeedLost.declaration().a.code("silent");
    on_cold.record(EventKind::EngineStarted, SubjectId::NONE, 5, 4711, 2);
    on_hot.record(EventKind::FeedLost, feed, 6, reason, 1_500);
    on_hot.record(EventKind::SequenceGap, book, 7, 42, 44);
    on_hot.record(EventKind::FeedLost, feed, 8, 99, 0);

    let threads = reader.events().unwrap();
    let names: Vec<&str> = threads.iter().map(|thread| &*thread.writer).collect();
    assert_eq!(names, ["hot-0", "cold"]);
    let [hot, cold] = &threads[..] else { panic!() };
    assert_eq!((hot.recorded, hot.overwritten, hot.is_recording), (3, 0, false));
    let lines: Vec<String> = hot.events.iter().chain(&cold.events).map(Event::to_string).collect();
    assert_eq!(
        lines,
        [
            "feed_lost binance#0 reason=silent connected_ns=1500",
            "sequence_gap binance/BTCUSDT expected_id=42 got_id=44",
            "feed_lost binance#0 reason=99 connected_ns=0",
            "engine_started pid=4711 hot_threads=2",
        ]
    );
    let gap = &hot.events[1];
    assert_eq!((gap.sequence, gap.unix_ns, gap.a, gap.b), (1, 7, 42, 44));
    assert_eq!(gap.subject.as_deref(), Some("binance/BTCUSDT"));
    let lost = &hot.events[0].kind;
    assert_eq!(&*lost.help, EventKind::FeedLost.declaration().help);
    let connected = lost.b.as_ref().unwrap();
    assert_eq!((connected.unit, connected.scale), (Unit::Seconds, -9));
    assert_eq!(cold.events[0].subject, None);
}

/// Every kind of the table comes back as it was declared.
#[test]
fn the_file_describes_every_kind() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let recorder = hot.events().unwrap();
    for kind in EventKind::ALL {
        recorder.record(*kind, SubjectId::NONE, 0, 0, 0);
    }
    let threads = events(&region);
    assert_eq!(threads[0].events.len(), EventKind::ALL.len());
    for (event, kind) in threads[0].events.iter().zip(EventKind::ALL) {
        let declared = kind.declaration();
        assert_eq!((&*event.kind.name, &*event.kind.help), (declared.name, declared.help));
        for (read, declared) in [(&event.kind.a, declared.a), (&event.kind.b, declared.b)] {
            let Some(read) = read else {
                assert_eq!(declared.name, "");
                continue;
            };
            assert_eq!(
                (&*read.name, read.unit, read.scale),
                (declared.name, declared.unit, declared.scale)
            );
            assert_eq!(read.codes, declared.codes);
        }
    }
}

/// Any number of events against a deque that drops its oldest.
#[test]
fn the_last_ones_are_kept_and_the_rest_is_counted() {
    for (capacity, count) in [(8, 0), (8, 7), (8, 8), (8, 9), (16, 1000), (1024, 5000)] {
        let region = RegionWriter::private(&small(capacity)).unwrap();
        let recorder = region.writer("hot").unwrap().events().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(count);
        let mut oracle = VecDeque::new();
        for sequence in 0..count {
            let (unix_ns, a, b) = (rng.random(), rng.random(), rng.random());
            recorder.record(EventKind::SequenceGap, SubjectId::NONE, unix_ns, a, b);
            oracle.push_back((sequence, unix_ns, a, b));
            if oracle.len() > capacity as usize {
                oracle.pop_front();
            }
        }
        let thread = &events(&region)[0];
        let read = thread.events.iter().map(|e| (e.sequence, e.unix_ns, e.a, e.b));
        assert!(read.eq(oracle.iter().copied()), "{count} events in {capacity} slots");
        assert_eq!(
            (thread.recorded, thread.overwritten),
            (count, count.saturating_sub(capacity.into()))
        );
        assert_eq!(recorder.recorded(), count);
    }
}

/// A thread that records without rest against a reader: no event is ever a mixture of two, and the order holds.
#[test]
fn no_event_is_ever_torn() {
    let region = RegionWriter::private(&small(64)).unwrap();
    let recorder = region.writer("hot").unwrap().events().unwrap();
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let reader = RegionReader::of(&region).unwrap();
            let (mut seen, mut last) = (0, 0);
            while !done.load(Ordering::Acquire) {
                let thread = &reader.events().unwrap()[0];
                assert!(thread.recorded >= last, "a count shrank");
                last = thread.recorded;
                assert!(thread.events.is_sorted_by(|a, b| a.sequence < b.sequence));
                assert_eq!(thread.overwritten, thread.recorded - thread.events.len() as u64);
                for event in &thread.events {
                    let n = event.sequence;
                    assert_eq!((event.unix_ns, event.a, event.b), (n, !n, n << 1));
                    assert_eq!(&*event.kind.name, "slow_loop");
                    seen += 1;
                }
            }
            seen
        });
        for n in 0..2_000_000_u64 {
            recorder.record(EventKind::SlowLoop, SubjectId::NONE, n, !n, n << 1);
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert!(seen > 0, "the reader never met the writer at work");
    let thread = &events(&region)[0];
    assert_eq!((thread.recorded, thread.events.len()), (2_000_000, 64));
}

#[test]
fn a_recorder_is_one_for_each_thread_and_wrong_subjects_are_refused_by_name() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let _recorder = hot.events().unwrap();
    assert!(matches!(hot.events(), Err(RegisterError::Duplicate(_))));
    for text in ["", "a\nb", &"x".repeat(201)] {
        assert!(
            matches!(hot.subject(text), Err(RegisterError::Subject { .. })),
            "{text:?}"
        );
    }
    let detached = EventWriter::detached();
    (0..3).for_each(|n| detached.record(EventKind::QueueFull, SubjectId::NONE, n, 0, 0));
    assert_eq!(detached.recorded(), 3);
    assert_eq!(events(&region)[0].recorded, 0);
}

#[test]
fn a_full_recorder_says_which_option_to_raise_and_counts() {
    let full = |change: &dyn Fn(&mut RegionOptions)| {
        let mut options = small(8);
        change(&mut options);
        let region = RegionWriter::private(&options).unwrap();
        let hot = region.writer("hot").unwrap();
        let mut done = hot.events().map(drop);
        for i in 0..20 {
            done = done.and_then(|()| hot.subject(&format!("{i:0>200}")).map(drop));
        }
        assert_eq!(region.registrations_dropped(), u64::from(done.is_err()));
        match done {
            Err(RegisterError::Full { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(full(&|o| o.events_per_writer = 0), "events_per_writer");
    assert_eq!(full(&|o| o.max_subjects = 2), "max_subjects");
    assert_eq!(full(&|o| o.string_bytes = 4096), "string_bytes");

    let refused = |change: &dyn Fn(&mut RegionOptions)| {
        let mut options = small(8);
        change(&mut options);
        match RegionWriter::private(&options).unwrap_err() {
            CreateError::OutOfLimits { what, .. } => what,
            error => panic!("{error:?}"),
        }
    };
    assert_eq!(refused(&|o| o.events_per_writer = 4), "events_per_writer");
    assert_eq!(refused(&|o| o.events_per_writer = 12), "events_per_writer");
    assert_eq!(refused(&|o| o.max_subjects = 70_000), "max_subjects");
    assert_eq!(
        refused(&|o| (o.events_per_writer, o.writer_count) = (1 << 16, 17)),
        "events_per_writer times writer_count"
    );
}

#[test]
fn a_region_without_events_has_none() {
    let region = RegionWriter::private(&small(0)).unwrap();
    let _hot = region.writer("hot").unwrap();
    assert!(events(&region).is_empty());
    assert_eq!(RegionReader::of(&region).unwrap().info().unknown_section_count, 0);
}
