//! One prediction of the built-in model. What regressing this means: the model is the longest stage of the path, so its
//! time is the signal's.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quantumflow::config::ModelSource;
use quantumflow::features::FEATURE_COUNT;
use quantumflow::model::{self, Prediction};

fn predict(criterion: &mut Criterion) {
    let model = model::load_source(&ModelSource::Builtin("mlp_v1".to_owned())).expect("the built-in model loads");
    let mut predictor = model.predictor();
    // Different rows, so that no branch is learnt by heart.
    let rows: Vec<[f32; FEATURE_COUNT]> = (0..64)
        .map(|row| std::array::from_fn(|column| ((row * 31 + column * 17) % 23) as f32 / 11.0 - 1.0))
        .collect();
    let mut at = 0;
    let mut out = Prediction::default();
    criterion.bench_function("model/mlp_v1", |bench| {
        bench.iter(|| {
            at = (at + 1) % rows.len();
            predictor
                .predict(black_box(&rows[at]), &mut out)
                .expect("a row of the right length")
        });
    });
}

criterion_group!(benches, predict);
criterion_main!(benches);
