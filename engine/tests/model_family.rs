//! The shipped models: each loads, is the model of its card, and says what training's own forward pass said.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quantumflow::config::ModelSource;
use quantumflow::features::{
    BASE_FEATURES, FEATURE_COUNT, Feature, SCHEMA_HASH, WARM_UP_UPDATES, registry::FEATURES, warm_up_of,
};
use quantumflow::model::{self, Answer, Class, Judgement, Model, Prediction};
use serde_json::Value;

/// By name: how many rows each looks at.
const FAMILY: [(&str, usize); 6] = [
    ("logistic_v1", 1),
    ("mlp_v1", 1),
    ("lstm_v1", 20),
    ("tcn_v1", 31),
    ("gbdt_v1", 1),
    ("ensemble_v1", 1),
];

/// Training adds up in another order than plans do.
const AGREEMENT: f32 = 1e-6;

fn path(name: &str, ending: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).join(format!("{name}.{ending}"))
}

fn load(name: &str) -> Arc<Model> {
    model::load_source(&ModelSource::Builtin(name.to_owned())).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

fn floats(row: &Value) -> Vec<f32> {
    row.as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect()
}

/// The rows of one window, oldest first.
fn rows(case: &Value, window: usize) -> Vec<Vec<f32>> {
    match window {
        1 => vec![floats(case)],
        _ => case.as_array().unwrap().iter().map(floats).collect(),
    }
}

/// The largest difference of a probability from training's, over all stored rows or windows.
fn largest_difference(name: &str, window: usize) -> f32 {
    let model = load(name);
    let mut predictor = model.predictor();
    assert_eq!(predictor.window(), window, "{name}");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path(name, "vectors.json")).unwrap()).unwrap();
    let names: Vec<String> = model
        .features()
        .map(Feature::def)
        .map(|def| format!("{}:{}", def.name, def.version))
        .collect();
    assert_eq!(
        vectors["features"],
        Value::from(names),
        "{name}, schema {SCHEMA_HASH:016x}: train the model on these features"
    );
    let cases = vectors["rows"].as_array().unwrap();
    let answers = vectors["probabilities"].as_array().unwrap();
    assert_eq!(cases.len(), answers.len(), "{name}");
    assert!(cases.len() >= 16, "{name}: {} cases", cases.len());
    let mut seen = [0; 3];
    let mut largest = 0.0_f32;
    for (case, expected) in cases.iter().zip(answers) {
        predictor.reset();
        let mut out = Prediction::default();
        let rows = rows(case, window);
        for (number, row) in rows.iter().enumerate() {
            // What the model does not look at must not matter.
            let mut all = [f32::NAN; FEATURE_COUNT];
            for (feature, &value) in model.features().zip(row) {
                all[feature as usize] = value;
            }
            let is_last = number + 1 == window;
            let answer = if is_last { Answer::Ready } else { Answer::Warming };
            assert_eq!(
                predictor.predict(&all, &mut out).unwrap(),
                answer,
                "{name}, row {number}"
            );
        }
        for (got, expected) in out.probabilities.iter().zip(floats(expected)) {
            largest = largest.max((got - expected).abs());
        }
        seen[out.class as usize] += 1;
    }
    assert!(
        seen.iter().all(|&count| count > 0),
        "{name}: the rows meet every class: {seen:?} of {:?}",
        Class::ALL
    );
    largest
}

#[test]
fn each_answers_as_it_did_in_training() {
    for (name, window) in FAMILY {
        let difference = largest_difference(name, window);
        println!("{name}: largest difference {difference:.1e}");
        assert!(difference <= AGREEMENT, "{name}: {difference:e}");
    }
}

#[test]
fn each_card_speaks_of_this_very_file_and_tract_confirms_it() {
    let mut hashes = BTreeSet::new();
    for (name, _) in FAMILY {
        let model = load(name);
        assert_eq!(model.hash(), Model::load(&path(name, "onnx")).unwrap().hash(), "{name}");
        let card = std::fs::read_to_string(path(name, "md")).unwrap();
        assert!(
            card.contains(&format!("SHA-1 `{:016x}", model.hash())),
            "{name}: the card is of another run than the model"
        );
        assert_eq!(model.contract().name, name);
        assert!(
            model
                .features()
                .eq(FEATURES[..BASE_FEATURES].iter().map(|def| def.feature)),
            "{name}"
        );
        assert_eq!(warm_up_of(model.features()), WARM_UP_UPDATES, "{name}");
        assert_eq!(model.contract().training["made_by"], "scripts/train", "{name}");
        assert!(
            matches!(model.judgement(), Judgement::Confirmed { largest_difference } if *largest_difference <= AGREEMENT),
            "{name}: {}",
            model.judgement()
        );
        hashes.insert(model.hash());
    }
    assert_eq!(hashes.len(), FAMILY.len(), "each is another file");
}

#[test]
fn the_table_of_the_family_names_each() {
    let table = std::fs::read_to_string(path("README", "md")).unwrap();
    for (name, _) in FAMILY {
        assert!(table.contains(&format!("[{name}]({name}.md)")), "{name}");
    }
}
