//! What it costs to be observed: a counter, a histogram, a signal.
//!
//! Each of these is on the path of every message, several times. At one nanosecond for a counter and three for a
//! histogram the engine can afford to count everything; at twenty it could not, and would be blind when it matters.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use quantumflow_region::{RegionOptions, RegionWriter, RingOptions, Signal, SignalReader, SignalWriter, catalogue};

fn cells(criterion: &mut Criterion) {
    let region = RegionWriter::private(&RegionOptions::new("bench", 1)).expect("a private region");
    let mut writer = region.writer("hot").expect("a free writer block");
    let counter = writer
        .counter(&catalogue::SIGNALS_PUBLISHED, &[])
        .expect("a metric of the catalogue");
    let gauge = writer
        .gauge_i64(&catalogue::SIGNAL_RING_SLOTS, &[])
        .expect("a metric of the catalogue");
    let histogram = writer
        .histogram(&catalogue::FEATURE_LATENCY, &[])
        .expect("a metric of the catalogue");
    let mut group = criterion.benchmark_group("region");
    group.bench_function("counter_inc", |bench| bench.iter(|| counter.inc()));
    group.bench_function("gauge_set", |bench| bench.iter(|| gauge.set(black_box(7))));
    // Latencies as they come: a third of an octave up and down, and now and then a tail.
    let latencies: Vec<u64> = (0..1024_u64)
        .map(|step| 900 + (step * 2_654_435_761) % 700 + (step % 97 / 96) * 40_000)
        .collect();
    group.bench_function("histogram_record", |bench| {
        let mut next = 0;
        bench.iter(|| {
            next = (next + 1) & 1023;
            histogram.record(black_box(latencies[next]));
        })
    });
    // On private memory, without begin and end: what the same record costs where nobody reads along.
    let mut private = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 36, 2).expect("bounds of two digits");
    group.bench_function("histogram_record_hdrhistogram_crate", |bench| {
        let mut next = 0;
        bench.iter(|| {
            next = (next + 1) & 1023;
            private.record(black_box(latencies[next])).expect("within the bounds");
        })
    });
    group.bench_function("loop_begin_end", |bench| {
        bench.iter(|| {
            writer.loop_begin();
            writer.loop_end();
        })
    });
    group.finish();
}

fn ring(criterion: &mut Criterion) {
    let mut writer = SignalWriter::private(&RingOptions::new("bench", 1)).expect("a private ring");
    let mut reader = SignalReader::of(&writer).expect("a ring of ours");
    let signal = Signal {
        update_id: 50_093_239_212,
        confidence: 0.7,
        ..Signal::default()
    };
    let mut group = criterion.benchmark_group("ring");
    group.bench_function("publish", |bench| bench.iter(|| writer.publish(black_box(&signal))));
    group.bench_function("publish_and_read", |bench| {
        reader.seek_newest();
        bench.iter(|| {
            writer.publish(black_box(&signal));
            black_box(reader.next());
        })
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = cells, ring
}
criterion_main!(benches);
