//! Neither features nor inferences cost an allocation after construction.
//!
//! Allocations are counted per thread, so that tests running beside each other do not disturb.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;
mod model_support;

use std::sync::Arc;

use allocation_counter::measure;
use features_support::{book_of, book_update, instrument, trade};
use model_support::{Graph, contract};
use quantumflow::config::ModelSource;
use quantumflow::features::{FEATURE_COUNT, FeatureEngine, WARM_UP_UPDATES};
use quantumflow::model::{self, Answer, Model, Prediction};

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
    let updates = measure(|| {
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
    });
    assert_eq!(updates.count_total, 0);
    assert_eq!(rows, 10_000 - 4 * (usize::from(WARM_UP_UPDATES) - 1));
}

/// Allocations of many inferences, the first one included, and the rows before it that a window needs.
fn of_inferences(model: &Arc<Model>) -> u64 {
    let mut predictor = model.predictor();
    let row = [0.5; FEATURE_COUNT];
    let mut out = Prediction::default();
    let mut ready = 0;
    let inferences = measure(|| {
        for _ in 0..500 {
            ready += usize::from(predictor.predict(&row, &mut out).unwrap() == Answer::Ready);
        }
    });
    assert_eq!(ready, 501 - predictor.window());
    inferences.count_total
}

#[test]
fn an_inference_allocates_nothing() {
    let linear = Model::from_bytes(&Graph::linear().file(Some(&contract()))).unwrap();
    assert_eq!(of_inferences(&linear), 0);
    for name in ["logistic_v1", "mlp_v1", "lstm_v1", "tcn_v1", "gbdt_v1", "ensemble_v1"] {
        let model = model::load_source(&ModelSource::Builtin(name.to_owned())).unwrap();
        assert_eq!(of_inferences(&model), 0, "{name}");
    }
}
