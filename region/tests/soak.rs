//! A reader beside a writer that never rests, for as long as one likes: every copy keeps its proven bounds, nothing shrinks,
//! no event is torn. Prints how far copies were off.
//!
//! ```sh
//! SOAK_SECONDS=600 cargo test --release -p quantumflow-region --test soak -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{options, shm};
use hdrhistogram::Histogram as Hdr;
use quantumflow_region::{
    EventKind, HistogramSnapshot, RegionReader, RegionWriter, SubjectId, ThreadWriter, Value, catalogue,
};

#[test]
#[ignore = "as long as SOAK_SECONDS says, ten by default"]
fn every_copy_beside_a_writer_at_full_speed_keeps_its_bounds() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(10, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("soak", 1)).unwrap();
    let hot = region.writer("hot-0").unwrap();
    let done = AtomicBool::new(false);
    let mut uncertainty = Hdr::<u64>::new(3).unwrap();
    let mut looks = Looks::default();
    let recorded = std::thread::scope(|scope| {
        // Set also where a look fails: the writer would go on for ever, and the scope wait for it.
        let _end = Ending(&done);
        let writer = scope.spawn(|| saturate(hot, &done));
        let mut reader = RegionReader::open(region.path().unwrap()).unwrap();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            // Some looks at once after the other, most at the rate of a scrape that is in a hurry.
            if looks.count % 4 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            if let Some(off) = looks.look(&mut reader) {
                uncertainty.record(off).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let mut reader = RegionReader::open(region.path().unwrap()).unwrap();
    assert_eq!(looks.look(&mut reader), Some(0), "a writer at rest is read exactly");
    assert_eq!(looks.last.as_ref().map(HistogramSnapshot::count), Some(recorded));
    assert_eq!((looks.counter, looks.events), (recorded, recorded));
    println!(
        "{} looks in {seconds} s beside {recorded} rounds ({:.1} M/s); {} exact; records that a copy may be off: \
         p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        looks.count,
        recorded as f64 / seconds as f64 / 1e6,
        uncertainty.count_at(0),
        uncertainty.value_at_quantile(0.5),
        uncertainty.value_at_quantile(0.9),
        uncertainty.value_at_quantile(0.99),
        uncertainty.value_at_quantile(0.999),
        uncertainty.max(),
    );
}

/// Sets the flag when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts, records and notes an event in every round. Returns how many rounds there were.
fn saturate(mut hot: ThreadWriter, done: &AtomicBool) -> u64 {
    let histogram = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
    let counter = hot.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap();
    let events = hot.events().unwrap();
    let (mut n, mut value) = (0_u64, 1_u64);
    while !done.load(Ordering::Relaxed) {
        hot.loop_begin();
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        histogram.record(value >> 44);
        counter.inc();
        events.record(EventKind::SlowLoop, SubjectId::NONE, n, !n, n << 1);
        n += 1;
        hot.loop_end();
    }
    n
}

/// What the last look saw: the next one must not be behind it.
#[derive(Default)]
struct Looks {
    count: u64,
    last: Option<HistogramSnapshot>,
    counter: u64,
    rounds: u64,
    events: u64,
}

impl Looks {
    /// One snapshot and one reading of the events; returns how far the histogram may be off, once there is one.
    fn look(&mut self, reader: &mut RegionReader) -> Option<u64> {
        let snapshot = reader.snapshot().unwrap();
        let copy = snapshot.histogram("hft_stage_latency_seconds", &[])?;
        let (end, begin) = copy.count_bounds();
        let count: u64 = copy.held().map(|(_, count)| count).sum();
        assert_eq!(copy.count(), count);
        assert!((end..=begin).contains(&count), "{count} is not in [{end}, {begin}]");
        assert_eq!(copy.uncertainty(), begin - end);
        if let Some(last) = &self.last {
            let shrunk = last.held().find(|(index, then)| copy.count_in(*index) < *then);
            assert_eq!(shrunk, None, "a bucket shrank");
            assert!(copy.sum() >= last.sum() && copy.max() >= last.max() && end >= last.count_bounds().0);
        }
        self.last = Some(copy.clone());

        if let Some(Value::Counter(counter)) = snapshot.find("hft_signals_published_total", &[]).map(|s| &s.value) {
            assert!(*counter >= self.counter, "a counter shrank");
            self.counter = *counter;
        }
        let writer = &snapshot.writers[0];
        assert!(writer.loop_begin >= writer.loop_end && writer.loop_end >= self.rounds);
        self.rounds = writer.loop_end;

        let thread = &reader.events().unwrap()[0];
        assert!(thread.recorded >= self.events, "the count of events shrank");
        self.events = thread.recorded;
        for event in &thread.events {
            let n = event.sequence;
            assert_eq!((event.unix_ns, event.a, event.b), (n, !n, n << 1), "a torn event");
        }
        self.count += 1;
        Some(copy.uncertainty())
    }
}
