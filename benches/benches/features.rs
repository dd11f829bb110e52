//! Features of one book update. What regressing this means: every signal is late by the difference, on every update of
//! every instrument, before the model has even begun.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quantumflow::features::{BASE_FEATURES, FeatureEngine, registry::FEATURES};
use quantumflow_benches::depth;
use quantumflow_feeds::book::Book;
use quantumflow_feeds::{BookUpdate, Instrument, Price, Qty, Quality, Scale, Side, SymbolId, Trade, UnixNanos};

/// Book states and trades, as a session tells them.
struct Tape {
    instrument: Instrument,
    books: Vec<(Book, u64)>,
}

impl Tape {
    fn new(levels: usize) -> Self {
        let mut book = Book::new();
        let states = depth::updates(levels, 512, 3).into_iter().map(|update| {
            for (side, changes) in [(Side::Bid, &update.bids), (Side::Ask, &update.asks)] {
                for &(price, qty) in changes {
                    book.set(side, Price(price), Qty(qty));
                }
            }
            (book.clone(), update.time_ms)
        });
        let instrument = Instrument {
            id: SymbolId(0),
            symbol: "BTCUSDT".to_owned(),
            scale: Scale { price: 2, qty: 8 },
        };
        let books = states.collect();
        Self { instrument, books }
    }

    fn update(&self, at: usize) -> BookUpdate<'_> {
        let (book, time_ms) = &self.books[at % self.books.len()];
        // The tape is a ring: time goes on where it begins anew.
        let laps = (at / self.books.len()) as u64;
        BookUpdate {
            instrument: &self.instrument,
            book,
            changes: &[],
            update_id: at as u64,
            exchange_time: UnixNanos((time_ms + laps * 100_000) * 1_000_000),
            quality: Quality::Verified,
            is_snapshot: at == 0,
        }
    }
}

/// For a model that looks at the features that are always there, as `mlp_v1` does.
fn base() -> FeatureEngine {
    FeatureEngine::of(FEATURES[..BASE_FEATURES].iter().map(|def| def.feature))
}

fn features(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("features");
    for levels in [1, 10, 50] {
        let tape = Tape::new(levels);
        group.bench_function(format!("book_update/{levels}_levels_changed"), |bench| {
            let mut engine = base();
            let mut at = 0;
            bench.iter(|| {
                at += 1;
                black_box(engine.on_book(&tape.update(at - 1)).map(|row| row[0]))
            });
        });
    }
    let tape = Tape::new(10);
    group.bench_function("book_update/10_levels_changed_all_features", |bench| {
        let mut engine = FeatureEngine::new();
        let mut at = 0;
        bench.iter(|| {
            at += 1;
            black_box(engine.on_book(&tape.update(at - 1)).map(|row| row[0]))
        });
    });
    group.bench_function("trade", |bench| {
        let mut engine = base();
        engine.on_book(&tape.update(0));
        let mut id = 0;
        bench.iter(|| {
            id += 1;
            engine.on_trade(&Trade {
                instrument: &tape.instrument,
                price: Price(6_183_763),
                qty: Qty(black_box(1_000_000)),
                aggressor: if id % 2 == 0 { Side::Bid } else { Side::Ask },
                trade_id: id,
                exchange_time: UnixNanos(1_723_161_255_000_000_000 + id * 1_000_000),
            });
        });
    });
    group.finish();
}

criterion_group!(benches, features);
criterion_main!(benches);
