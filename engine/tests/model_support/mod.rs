//! What the model tests share: a writer of small ONNX files, so that a test can say exactly what is in one, and a
//! contract to start from.

#![allow(dead_code, reason = "each test file uses a part of it")]

use quantumflow::features::{FEATURE_COUNT, registry::FEATURES};
use serde_json::{Value, json};

/// A contract over all features, not normalised, that fits [`Graph::linear`].
pub(crate) fn contract() -> Value {
    let features: Vec<Value> = FEATURES
        .iter()
        .map(|def| json!({"name": def.name, "version": def.version, "mean": 0.0, "scale": 1.0}))
        .collect();
    json!({
        "schema": 1,
        "name": "test_v1",
        "version": "1.0.0",
        "features": features,
        "clip": 10.0,
        "window": 1,
        "output": "probabilities",
        "classes": ["down", "flat", "up"],
        "label": {"variant": "plain", "smooth_updates": 0, "horizon_updates": 10, "alpha": 1e-5},
        "training": {},
    })
}

/// `softmax(x W + b)`, or another operator at the end, as the bytes of an ONNX file.
pub(crate) struct Graph {
    /// Dimensions of the input; 0 leaves one open.
    pub(crate) input: Vec<i64>,
    /// Row-major `[features, 3]`.
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: [f32; 3],
    pub(crate) last: &'static str,
    pub(crate) external: bool,
}

impl Graph {
    pub(crate) fn linear() -> Self {
        let weights = (0..3 * FEATURE_COUNT)
            .map(|at| ((at * 37 % 23) as f32 - 11.0) / 50.0)
            .collect();
        Self {
            input: vec![1, FEATURE_COUNT as i64],
            weights,
            bias: [0.1, -0.2, 0.05],
            last: "Softmax",
            external: false,
        }
    }

    /// What the graph says for one row, in `f64`.
    pub(crate) fn answer(&self, row: &[f32]) -> [f64; 3] {
        let mut logits = self.bias.map(f64::from);
        for (value, weights) in row.iter().zip(self.weights.chunks(3)) {
            for (logit, weight) in logits.iter_mut().zip(weights) {
                *logit += f64::from(*value) * f64::from(*weight);
            }
        }
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.map(|logit| logit.exp() / sum)
    }

    pub(crate) fn file(&self, contract: Option<&Value>) -> Vec<u8> {
        let features = self.weights.len() as i64 / 3;
        let mut graph = Proto::default();
        graph.message(1, |node| {
            node.text(1, "x")
                .text(1, "w")
                .text(1, "b")
                .text(2, "logits")
                .text(4, "Gemm")
        });
        graph.message(1, |node| {
            node.text(1, "logits").text(2, "probabilities").text(4, self.last)
        });
        graph.text(2, "test");
        graph.message(5, |tensor| {
            tensor.number(1, features).number(1, 3).number(2, 1).text(8, "w");
            if self.external {
                tensor
                    .message(13, |entry| entry.text(1, "location").text(2, "/etc/passwd"))
                    .number(14, 1);
            } else {
                tensor.bytes(9, &floats(&self.weights));
            }
            tensor
        });
        graph.message(5, |tensor| {
            tensor
                .number(1, 3)
                .number(2, 1)
                .text(8, "b")
                .bytes(9, &floats(&self.bias))
        });
        graph.message(11, |info| {
            info.text(1, "x").message(2, |kind| tensor_type(kind, &self.input))
        });
        graph.message(12, |info| {
            info.text(1, "probabilities")
                .message(2, |kind| tensor_type(kind, &[1, 3]))
        });

        let mut model = Proto::default();
        model
            .number(1, 8)
            .bytes(7, &graph.0)
            .message(8, |opset| opset.text(1, "").number(2, 17));
        if let Some(contract) = contract {
            with_contract(&mut model.0, contract);
        }
        model.0
    }
}

/// Adds a contract to the bytes of an ONNX file: repeated fields of a protobuf may stand anywhere.
pub(crate) fn with_contract(file: &mut Vec<u8>, contract: &Value) {
    let mut metadata = Proto::default();
    metadata.message(14, |entry| {
        entry.text(1, "quantumflow.contract").text(2, &contract.to_string())
    });
    file.extend_from_slice(&metadata.0);
}

fn tensor_type<'a>(kind: &'a mut Proto, dims: &[i64]) -> &'a mut Proto {
    kind.message(1, |tensor| {
        tensor.number(1, 1).message(2, |shape| {
            for &dim in dims {
                shape.message(1, |value| {
                    if dim == 0 {
                        value.text(2, "N")
                    } else {
                        value.number(1, dim)
                    }
                });
            }
            shape
        })
    })
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Fields of a protobuf message.
#[derive(Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: i64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, field: u64, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Proto) -> &mut Proto) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0)
    }
}
