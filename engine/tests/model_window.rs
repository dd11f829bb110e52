//! Models that look back: rows slide through a window, and nothing is carried from one prediction into the next. Run on
//! stored models and their stored answers; the files are not part of the project, without them the test says so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod model_support;

use std::fs;
use std::path::{Path, PathBuf};

use model_support::{contract, with_contract};
use quantumflow::features::{BASE_FEATURES, FEATURE_COUNT};
use quantumflow::model::{Answer, Model, Prediction};
use serde_json::json;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/models");

fn stored(name: &str, ending: &str) -> PathBuf {
    Path::new(MODELS).join(format!("{name}.{ending}"))
}

fn floats(path: &Path) -> Vec<f32> {
    fs::read(path)
        .unwrap()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// The stored models look at as many features as the base has; a row has all.
fn whole(row: &[f32]) -> [f32; FEATURE_COUNT] {
    let mut whole = [0.0; FEATURE_COUNT];
    whole[..BASE_FEATURES].copy_from_slice(row);
    whole
}

/// Largest difference between the predictor's probabilities and the stored ones, over all stored inputs. The predictor
/// is given whole windows, one after the other, and is never reset: what it carried over would show.
fn largest_difference(name: &str, window: usize, output: &str) -> f32 {
    let mut file = fs::read(stored(name, "onnx")).unwrap();
    let mut contract = contract();
    contract["features"].as_array_mut().unwrap().truncate(BASE_FEATURES);
    contract["window"] = json!(window);
    contract["output"] = json!(output);
    contract["clip"] = json!(1e30);
    with_contract(&mut file, &contract);
    let model = Model::from_bytes(&file).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let mut predictor = model.predictor();
    let (inputs, expected) = (floats(&stored(name, "x.f32")), floats(&stored(name, "y.f32")));
    let mut out = Prediction::default();
    let mut largest = 0.0_f32;
    let mut rows = 0;
    for (window_rows, expected) in inputs
        .chunks_exact(window * BASE_FEATURES)
        .zip(expected.chunks_exact(3))
    {
        for (index, row) in window_rows.chunks_exact(BASE_FEATURES).enumerate() {
            rows += 1;
            let answer = predictor.predict(&whole(row), &mut out).unwrap();
            assert_eq!(
                answer,
                if rows < window { Answer::Warming } else { Answer::Ready },
                "row {index}"
            );
        }
        for (got, expected) in out.probabilities.iter().zip(expected) {
            largest = largest.max((got - expected).abs());
        }
    }
    assert_eq!(rows, 64 * window, "{name}");
    predictor.reset();
    let answer = predictor.predict(&whole(&inputs[..BASE_FEATURES]), &mut out).unwrap();
    assert_eq!(
        answer,
        if window == 1 { Answer::Ready } else { Answer::Warming },
        "after a reset"
    );
    largest
}

#[test]
fn stored_models_give_their_stored_answers_with_nothing_carried_over() {
    if !Path::new(MODELS).exists() {
        println!("skipped: {MODELS} is not there");
        return;
    }
    for (name, window, output) in [
        ("mlp", 1, "p"),
        ("mlp_sklearn", 1, "probabilities"),
        ("logreg", 1, "probabilities"),
        ("logreg_torch", 1, "p"),
        ("lstm_v1", 20, "p"),
        ("lstm_v1_dynamo", 20, "p"),
        ("lstm2_64", 20, "p"),
        ("gru", 20, "p"),
    ] {
        let difference = largest_difference(name, window, output);
        println!("{name}: largest difference {difference:e}");
        assert!(difference < 1e-6, "{name}: {difference:e}");
    }
}
