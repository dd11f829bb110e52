//! What it costs to tell how long a message was on its way.
//!
//! Every message of every venue passes here between the scanner and the book. One in five seconds lays the line anew;
//! `lay` is what such a message pays, a pause that a burst must not notice.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use quantumflow_feeds::{ClockOffset, UnixNanos};

/// Local time is behind by 1.27 s and loses 5 µs per second.
fn exchange_time(local: u64, wait: u64) -> UnixNanos {
    UnixNanos(local + 1_270_000_000 + local / 200_000 - wait)
}

/// Messages `pause_ns` apart, each of which waited up to two milliseconds. A full window has gone by before.
fn follow(criterion: &mut Criterion, name: &str, pause_ns: u64) {
    let waits: Vec<u64> = (0..1024_u64).map(|step| (step * 2_654_435_761) % 2_000_000).collect();
    let mut tracker = ClockOffset::new();
    let (mut local, mut step) = (1_723_161_255_000_000_000, 0);
    let mut next = move || {
        local += pause_ns;
        step = (step + 1) % waits.len();
        tracker.observe(UnixNanos(local), black_box(exchange_time(local, waits[step])))
    };
    for _ in 0..2 * ClockOffset::WINDOW.as_nanos() as u64 / pause_ns {
        next();
    }
    criterion.bench_function(name, |bench| bench.iter(&mut next));
}

fn observe(criterion: &mut Criterion) {
    follow(criterion, "clock_offset/message", 4_000_000);
    follow(criterion, "clock_offset/lay", ClockOffset::BUCKET.as_nanos() as u64);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = observe
}
criterion_main!(benches);
