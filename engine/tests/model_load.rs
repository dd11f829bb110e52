//! A model speaks only when its contract, its graph and the engine agree; every disagreement is named.

mod model_support;

use std::error::Error as _;

use model_support::{Graph, contract};
use quantumflow::features::{FEATURE_COUNT, registry::FEATURES};
use quantumflow::model::{Answer, LabelVariant, LoadError, Model, PredictError, Prediction};
use serde_json::{Value, json};

fn refusal(file: &[u8]) -> String {
    let error = Model::from_bytes(file).expect_err("the model must be refused");
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The contract with one thing changed.
fn changed(pointer: &str, value: Value) -> Value {
    let mut contract = contract();
    *contract.pointer_mut(pointer).expect("the field is there") = value;
    contract
}

#[test]
fn a_model_predicts_what_its_graph_says_for_normalised_features() {
    let graph = Graph::linear();
    let mut contract = contract();
    for (index, feature) in contract["features"].as_array_mut().unwrap().iter_mut().enumerate() {
        feature["mean"] = json!(index as f32 / 8.0);
        feature["scale"] = json!(0.5 + index as f32 / 4.0);
    }
    contract["clip"] = json!(1.5);
    let model = Model::from_bytes(&graph.file(Some(&contract))).unwrap();
    assert_eq!(model.contract().name, "test_v1");
    assert_eq!(model.contract().label.variant, LabelVariant::Plain);

    let mut predictor = model.predictor();
    let mut out = Prediction::default();
    for seed in 0..50_usize {
        let row: [f32; FEATURE_COUNT] = std::array::from_fn(|index| ((index * 31 + seed * 17) % 41) as f32 - 20.0);
        let normalised: Vec<f32> = row
            .iter()
            .enumerate()
            .map(|(index, value)| ((value - index as f32 / 8.0) * (1.0 / (0.5 + index as f32 / 4.0))).clamp(-1.5, 1.5))
            .collect();
        assert_eq!(predictor.predict(&row, &mut out).unwrap(), Answer::Ready);
        for (got, expected) in out.probabilities.iter().zip(graph.answer(&normalised)) {
            assert!(
                (f64::from(*got) - expected).abs() < 1e-6,
                "{:?} instead of {expected}",
                out.probabilities
            );
        }
        assert_eq!(out, Prediction::from_probabilities(out.probabilities));
    }
    assert!(matches!(
        predictor.predict(&[0.0; 3], &mut out),
        Err(PredictError::RowLength { got: 3 })
    ));
}

#[test]
fn columns_follow_the_contract_not_the_registry() {
    // Two features in reverse order of the registry, each deciding for one class.
    let mut contract = contract();
    contract["features"] = json!([
        {"name": FEATURES[20].name, "version": FEATURES[20].version, "mean": 0.0, "scale": 1.0},
        {"name": FEATURES[3].name, "version": FEATURES[3].version, "mean": 0.0, "scale": 1.0},
    ]);
    let graph = Graph {
        input: vec![0, 2],
        weights: vec![4.0, 0.0, 0.0, 0.0, 0.0, 4.0],
        bias: [0.0; 3],
        ..Graph::linear()
    };
    let model = Model::from_bytes(&graph.file(Some(&contract))).unwrap();
    let mut predictor = model.predictor();
    let mut out = Prediction::default();
    let mut row = [0.0; FEATURE_COUNT];
    row[20] = 1.0;
    assert_eq!(predictor.predict(&row, &mut out).unwrap(), Answer::Ready);
    assert_eq!(out.class.name(), "down");
    row[20] = 0.0;
    row[3] = 1.0;
    assert_eq!(predictor.predict(&row, &mut out).unwrap(), Answer::Ready);
    assert_eq!(out.class.name(), "up");
}

#[test]
fn the_hash_is_the_head_of_the_files_sha1() {
    use sha1::{Digest, Sha1};
    let file = Graph::linear().file(Some(&contract()));
    let digest: String = Sha1::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let model = Model::from_bytes(&file).unwrap();
    assert_eq!(format!("{:016x}", model.hash()), digest[..16]);
}

#[test]
fn a_contract_that_the_engine_does_not_meet_is_refused_by_name() {
    let first = FEATURES[0];
    for (contract, expected) in [
        (
            changed("/features/0/name", json!("spread_tick")),
            "feature `spread_tick`, which this engine does not compute (nearest name: `spread_ticks`)",
        ),
        (
            changed("/features/0/version", json!(first.version + 1)),
            "version 2 of feature `spread_ticks`, this engine computes version 1",
        ),
        (
            changed("/features/1/name", json!(first.name)),
            "feature `spread_ticks` stands in the contract twice",
        ),
        (
            changed("/features/0/scale", json!(0.0)),
            "`spread_ticks` is normalised with mean 0 and scale 0",
        ),
        (changed("/features/0/scale", json!(1e39)), "scale inf"),
        (changed("/features/0/mean", json!(-1e39)), "mean -inf"),
        (changed("/features", json!([])), "`features` is none"),
        (changed("/schema", json!(2)), "schema 2, this engine reads 1"),
        (changed("/name", json!("a b\n")), "`name` is a b\\n"),
        (changed("/version", json!("")), "`version` is "),
        (changed("/clip", json!(0)), "`clip` is 0"),
        (changed("/window", json!(0)), "`window` is 0"),
        (
            changed("/window", json!(1_000_000)),
            "`window` is 1000000: allowed is 1 to 1024 rows",
        ),
        (
            changed("/classes", json!(["up", "flat", "down"])),
            "`classes` is [\"up\", \"flat\", \"down\"]",
        ),
        (
            changed("/label/horizon_updates", json!(0)),
            "`label.horizon_updates` is 0",
        ),
        (
            changed("/label/smooth_updates", json!(1)),
            "`label.smooth_updates` is 1",
        ),
        (changed("/label/alpha", json!(-0.5)), "`label.alpha` is -0.5"),
        (changed("/label/variant", json!("magic")), "unknown variant `magic`"),
        (
            changed("/output", json!("p")),
            "no output `p` (it has [\"probabilities\"])",
        ),
        (changed("/training", json!(7)), "invalid type: integer `7`"),
    ] {
        let text = refusal(&Graph::linear().file(Some(&contract)));
        assert!(text.contains(expected), "{text}\n  does not say\n{expected}");
    }

    let mut unknown = contract();
    unknown["horizon"] = json!(10);
    let text = refusal(&Graph::linear().file(Some(&unknown)));
    assert!(text.contains("unknown field `horizon`"), "{text}");
    let text = refusal(&Graph::linear().file(None));
    assert!(text.contains("no metadata entry `quantumflow.contract`"), "{text}");
}

#[test]
fn a_graph_that_does_not_fit_its_contract_is_refused() {
    let refused = |graph: Graph| refusal(&graph.file(Some(&contract())));
    let text = refused(Graph {
        input: vec![1, FEATURE_COUNT as i64 - 1],
        ..Graph::linear()
    });
    let expected = format!(
        "the graph takes [1, {}], the contract's features and window make one f32 input of [1, {FEATURE_COUNT}]",
        FEATURE_COUNT - 1
    );
    assert!(text.contains(&expected), "{text}");
    let text = refused(Graph {
        input: vec![1, 20, 32],
        ..Graph::linear()
    });
    assert!(text.contains("the graph takes [1, 20, 32]"), "{text}");
    let text = refused(Graph {
        weights: vec![0.0; 3 * 5],
        ..Graph::linear()
    });
    let expected = format!("weights are for 5 inputs, it has [1, {FEATURE_COUNT}]");
    assert!(text.contains(&expected), "{text}");
    let text = refused(Graph {
        weights: vec![0.0; 3 * 5],
        input: vec![1, 0],
        ..Graph::linear()
    });
    assert!(text.starts_with("the graph cannot be run: operator "), "{text}");
    let text = refused(Graph {
        last: "Levitate",
        ..Graph::linear()
    });
    assert!(text.starts_with("the graph cannot be run: operator Levitate"), "{text}");
    assert!(text.contains("supported are: Abs, Add"), "{text}");
    let text = refused(Graph {
        external: true,
        ..Graph::linear()
    });
    assert!(text.starts_with("the model keeps tensor `w` in another file"), "{text}");
}

#[test]
fn a_model_that_answers_with_no_distribution_is_refused() {
    let refused = |graph: Graph| refusal(&graph.file(Some(&contract())));
    let text = refused(Graph {
        last: "Relu",
        ..Graph::linear()
    });
    assert!(
        text.starts_with("the model failed the self check on mean features"),
        "{text}"
    );
    let mut weights = Graph::linear().weights;
    weights[7] = f32::NAN;
    let text = refused(Graph {
        weights,
        ..Graph::linear()
    });
    assert!(text.contains("self check") && text.contains("NaN"), "{text}");
    // Finite where the features are at their means, and not when all of them are far out.
    let text = refused(Graph {
        weights: vec![2e37; 3 * FEATURE_COUNT],
        ..Graph::linear()
    });
    assert!(text.contains("on largest features"), "{text}");
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    assert!(matches!(Model::from_bytes(b"not a model"), Err(LoadError::NotOnnx(_))));
    assert!(matches!(Model::from_bytes(&[]), Err(LoadError::NoContract)));
    assert!(matches!(
        Model::from_bytes(&vec![0; (64 << 20) + 1]),
        Err(LoadError::TooLarge)
    ));
    let missing = std::path::Path::new("/nonexistent/model.onnx");
    assert!(
        Model::load(missing)
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/model.onnx")
    );

    // A file cut short anywhere is refused, or is a smaller file that says all that is needed.
    let file = Graph::linear().file(Some(&contract()));
    for len in (0..file.len()).step_by(13) {
        assert!(
            Model::from_bytes(&file[..len]).is_err(),
            "{len} of {} bytes",
            file.len()
        );
    }
}
