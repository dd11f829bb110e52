//! The shipped model: it loads, it is the model of its card, and it says what training's own forward pass said.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

use std::path::Path;

use quantumflow::features::{
    BASE_FEATURES, FEATURE_COUNT, Feature, SCHEMA_HASH, WARM_UP_UPDATES, registry::FEATURES, warm_up_of,
};
use quantumflow::model::{Answer, Class, Model, Prediction};
use serde_json::Value;

fn models() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
}

fn floats(row: &Value) -> Vec<f32> {
    row.as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect()
}

#[test]
fn it_answers_as_it_did_in_training() {
    let model = Model::load(&models().join("mlp_v1.onnx")).unwrap();
    let mut predictor = model.predictor();
    let vectors: Value =
        serde_json::from_str(&std::fs::read_to_string(models().join("mlp_v1.vectors.json")).unwrap()).unwrap();
    let names: Vec<String> = model
        .features()
        .map(Feature::def)
        .map(|def| format!("{}:{}", def.name, def.version))
        .collect();
    assert_eq!(
        vectors["features"],
        Value::from(names),
        "schema {SCHEMA_HASH:016x}: train the model on these features"
    );

    let rows = vectors["rows"].as_array().unwrap();
    assert!(rows.len() >= 32);
    let mut seen = [0; 3];
    for (row, expected) in rows.iter().zip(vectors["probabilities"].as_array().unwrap()) {
        let (row, expected) = (floats(row), floats(expected));
        // What the model does not look at must not matter.
        let mut all = [f32::NAN; FEATURE_COUNT];
        for (feature, &value) in model.features().zip(&row) {
            all[feature as usize] = value;
        }
        let mut out = Prediction::default();
        assert_eq!(predictor.predict(&all, &mut out).unwrap(), Answer::Ready);
        for (got, expected) in out.probabilities.iter().zip(&expected) {
            assert!(
                (got - expected).abs() < 1e-5,
                "{:?} instead of {expected:?}",
                out.probabilities
            );
        }
        seen[out.class as usize] += 1;
    }
    assert!(
        seen.iter().all(|&count| count > 0),
        "the rows meet every class: {seen:?} of {:?}",
        Class::ALL
    );
}

#[test]
fn its_card_speaks_of_this_very_file() {
    let model = Model::load(&models().join("mlp_v1.onnx")).unwrap();
    let card = std::fs::read_to_string(models().join("mlp_v1.md")).unwrap();
    assert!(
        card.contains(&format!("SHA-1 `{:016x}", model.hash())),
        "the card is of another run than the model"
    );
    assert_eq!(model.contract().name, "mlp_v1");
    assert!(
        model
            .features()
            .eq(FEATURES[..BASE_FEATURES].iter().map(|def| def.feature))
    );
    assert_eq!(warm_up_of(model.features()), WARM_UP_UPDATES);
    assert_eq!(model.contract().training["made_by"], "scripts/train");
}
