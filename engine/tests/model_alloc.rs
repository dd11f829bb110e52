//! Features cost no allocation after construction; what an inference costs on tract is measured and bounded, so that a
//! change of it is noticed.
//!
//! The allocator below counts per thread, so that tests running beside each other do not disturb. It is the one place of
//! these tests that needs `unsafe`: an allocator is an unsafe trait.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;
mod model_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use features_support::{book_of, book_update, instrument, trade};
use model_support::{Graph, contract};
use quantumflow::features::{FEATURE_COUNT, FeatureEngine, WARM_UP_UPDATES};
use quantumflow::model::{Answer, Model, Prediction};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more; nobody asks for it either.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator with the arguments as they came; counting touches a thread-local
// cell that needs no allocation of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn features_allocate_nothing_from_the_first_update_on() {
    let instrument = instrument();
    let books: Vec<_> = (0..40_i64)
        .map(|at| {
            let side = |sign: i64| {
                (0..12)
                    .map(|level| (10_000 + at % 3 + sign * (level + 1), 1 + (at + level) % 7))
                    .collect()
            };
            book_of(&side(-1), &side(1))
        })
        .collect();
    let mut engine = FeatureEngine::new();
    let mut rows = 0;
    let before = allocations();
    for at in 0..10_000_usize {
        let time_ns = 1_700_000_000_000_000_000 + at as u64 * 1_000_000;
        for number in 0..at % 4 {
            engine.on_trade(&trade(&instrument, time_ns, 10_000, 1 + number as i64, at % 2 == 0));
        }
        let snapshot = at % 3_000 == 0;
        rows += usize::from(
            engine
                .on_book(&book_update(&instrument, &books[at % books.len()], time_ns, snapshot))
                .is_some(),
        );
    }
    assert_eq!(allocations() - before, 0);
    assert_eq!(rows, 10_000 - 4 * (usize::from(WARM_UP_UPDATES) - 1));
}

/// Allocations of one inference, the mean over many.
fn per_inference(model: &std::sync::Arc<Model>) -> f64 {
    let mut predictor = model.predictor().unwrap();
    let row = [0.5; FEATURE_COUNT];
    let mut out = Prediction::default();
    for _ in 0..10 {
        assert_eq!(predictor.predict(&row, &mut out).unwrap(), Answer::Ready);
    }
    let before = allocations();
    for _ in 0..1_000 {
        assert_eq!(predictor.predict(&row, &mut out).unwrap(), Answer::Ready);
    }
    (allocations() - before) as f64 / 1_000.0
}

#[test]
fn an_inference_on_tract_allocates_what_is_known() {
    let linear = Model::from_bytes(&Graph::linear().file(Some(&contract()))).unwrap();
    let mlp = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/models/mlp_v1.onnx").as_ref()).unwrap();
    let (linear, mlp) = (per_inference(&linear), per_inference(&mlp));
    println!("allocations per inference on tract: {linear} for a linear model, {mlp} for mlp_v1");
    assert!(linear <= 12.0, "{linear}");
    assert!(mlp <= 40.0, "{mlp}");
}
