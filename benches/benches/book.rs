//! What it costs to keep a book: every change of every message passes here before a feature can see it.
//!
//! A slower book delays each signal by the levels of its message: at 50 levels a side, ten nanoseconds more per level
//! are a whole microsecond in which another has taken the price. It also decides how fast a burst drains. Rivals run on
//! the same changes, so that the ratio says more than the machine does.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantumflow_benches::depth::{self, DepthUpdate};
use quantumflow_benches::rivals::{ArrayBook, DepthBook, TreeBook};
use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::{Price, Qty, Side};

/// Changes per side and message.
const SIZES: [usize; 4] = [1, 10, 50, 200];

fn apply<B: DepthBook>(book: &mut B, messages: &[DepthUpdate]) {
    for message in messages {
        for &(price, quantity) in &message.bids {
            book.set(Side::Bid, price, quantity);
        }
        for &(price, quantity) in &message.asks {
            book.set(Side::Ask, price, quantity);
        }
        black_box((book.best(Side::Bid), book.best(Side::Ask)));
    }
}

fn warm<B: DepthBook>(messages: &[DepthUpdate]) -> B {
    let mut book = B::default();
    apply(&mut book, messages);
    book
}

/// One element is one change; both best prices are read once per message.
fn updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("book/update");
    for levels in SIZES {
        let count = 20_000 / levels;
        let messages = depth::updates(levels, 2 * count, 42);
        // The walk of the first half makes the book, the second half is measured.
        let (before, measured) = messages.split_at(count);
        group.throughput(Throughput::Elements((2 * levels * count) as u64));
        let size = format!("L{levels}");
        group.bench_function(BenchmarkId::new("page_table", &size), |bench| {
            bench.iter_batched_ref(
                || warm::<Book>(before),
                |book| apply(book, measured),
                BatchSize::LargeInput,
            )
        });
        group.bench_function(BenchmarkId::new("sorted_array", &size), |bench| {
            bench.iter_batched_ref(
                || warm::<ArrayBook>(before),
                |book| apply(book, measured),
                BatchSize::LargeInput,
            )
        });
        group.bench_function(BenchmarkId::new("btree", &size), |bench| {
            bench.iter_batched_ref(
                || warm::<TreeBook>(before),
                |book| apply(book, measured),
                BatchSize::LargeInput,
            )
        });
    }
    group.finish();
}

/// What a feature pays to look at the book.
fn reads(criterion: &mut Criterion) {
    let book: Book = warm(&depth::updates(200, 100, 42));
    let mut group = criterion.benchmark_group("book/read");
    group.bench_function("best_both", |bench| {
        bench.iter(|| (black_box(&book).best(Side::Bid), black_box(&book).best(Side::Ask)))
    });
    group.bench_function("top_20", |bench| {
        let mut top = [Level::default(); 20];
        bench.iter(|| black_box(&book).top(Side::Bid, black_box(&mut top)))
    });
    group.bench_function("clear_and_seed_1000", |bench| {
        // A REST snapshot: thin and wide, a page of the table for nearly every level.
        let mut book = book.clone();
        bench.iter(|| {
            book.clear();
            for index in 0..black_box(1_000) {
                book.set(Side::Ask, Price(6_183_764 + 40 * index), Qty(154_698_000));
            }
        })
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = updates, reads
}
criterion_main!(benches);
