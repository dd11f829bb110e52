//! Operators of `ai.onnx.ml`: scalers, linear classifiers, and [trees](super::forest).

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::kernels::trees::Finish;
use super::super::onnx::Node;
use super::super::step::{Binary, RowFunction, Step};
use super::super::tensor::{Data, Tensor, View};
use super::forest::forest;
use super::listing::Kind;
use super::{Lowering, Value};

impl<'a> Lowering<'a> {
    pub(super) fn of_ml(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        match &*node.0.op_type {
            "Scaler" => self.scaler(node),
            "Normalizer" => {
                let function = match node.text("norm", "MAX") {
                    "L1" => RowFunction::NormalizeL1,
                    "L2" => RowFunction::NormalizeL2,
                    _ => RowFunction::NormalizeMax,
                };
                let view = self.computed(node, 0)?;
                Ok(Value::Computed(self.rows(view, function)))
            }
            "LinearRegressor" => {
                let targets = usize::try_from(node.int("targets", 1)).unwrap_or(1);
                let scores = self.linear(node, targets)?;
                self.finished(node, scores)
            }
            "LinearClassifier" => self.linear_classifier(node),
            "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => self.trees(node),
            _ => Err(PlanError::Unsupported {
                operator: node.op(),
                node: node.0.name.clone(),
            }),
        }
    }

    fn scaler(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let value = self.value(node, 0)?.clone();
        let constant = |values: &[f32]| Value::Constant(Tensor::row(Data::F32(values.to_vec())));
        let (offset, scale) = (node.floats("offset"), node.floats("scale"));
        let moved = match offset {
            [] => value,
            offset => self.combined(node, Binary::Sub, value, constant(offset))?,
        };
        match scale {
            [] => Ok(moved),
            scale => self.combined(node, Binary::Mul, moved, constant(scale)),
        }
    }

    /// Scores: rows of coefficients, and intercepts.
    fn linear(&mut self, node: Node<'_>, rows: usize) -> Result<View, PlanError> {
        let coefficients = node.floats("coefficients");
        let input = self.computed(node, 0)?;
        let inputs = input.shape.last().copied().unwrap_or(0);
        if rows == 0 || inputs * rows != coefficients.len() {
            return Err(node.refused("it has another number of coefficients than its input and its classes make"));
        }
        let matrix = Tensor {
            shape: vec![rows, inputs],
            data: Data::F32(coefficients.to_vec()),
        };
        let matrix = matrix.through(&matrix.view().permuted(&[1, 0]));
        let scores = self.dense_layer(node, input, &matrix)?;
        let intercepts = node.floats("intercepts");
        if intercepts.is_empty() {
            return Ok(scores);
        }
        let intercepts = Value::Constant(Tensor::row(Data::F32(intercepts.to_vec())));
        match self.combined(node, Binary::Add, Value::Computed(scores), intercepts)? {
            Value::Computed(view) => Ok(view),
            _ => Err(node.refused("its intercepts do not fit its scores")),
        }
    }

    fn linear_classifier(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        if node.output(0).is_some_and(|label| self.uses.contains_key(label)) {
            return Err(node.refused("labels are not computed: take its second output"));
        }
        let classes = node
            .ints("classlabels_ints")
            .len()
            .max(node.texts("classlabels_strings").len());
        let rows = match node.floats("intercepts").len() {
            0 => classes,
            rows => rows,
        };
        if rows != classes {
            return Err(node.refused("one row of coefficients for two classes is not supported"));
        }
        let scores = self.linear(node, rows)?;
        let value = self.finished(node, scores)?;
        self.tell_second(node, value)
    }

    /// Scores through the function that the node names.
    fn finished(&mut self, node: Node<'_>, scores: View) -> Result<Value, PlanError> {
        Ok(Value::Computed(match finish(node)? {
            Finish::Each(Activation::Identity) => scores,
            Finish::Each(function) => self.mapped(scores, function),
            Finish::Row(function) => self.rows(scores, function),
            Finish::Probit | Finish::Two(_) => return Err(node.refused("PROBIT is supported for trees alone")),
        }))
    }

    /// A classifier's scores are its second output; what is returned goes to the first, which nobody reads.
    fn tell_second(&mut self, node: Node<'a>, value: Value) -> Result<Value, PlanError> {
        match node.output(1) {
            Some(name) => self.tell(name, value.clone()),
            None => return Err(node.refused("its second output, the scores, has no name")),
        }
        Ok(value)
    }

    fn trees(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        let kind = match &*node.0.op_type {
            "TreeEnsembleClassifier" => Kind::Classifier,
            "TreeEnsembleRegressor" => Kind::Regressor,
            _ => Kind::Ensemble,
        };
        let is_classifier = kind == Kind::Classifier;
        if is_classifier && node.output(0).is_some_and(|label| self.uses.contains_key(label)) {
            return Err(node.refused("labels are not computed: take its second output"));
        }
        let input = self.computed(node, 0)?;
        let [1, features] = input.shape[..] else {
            return Err(node.refused(format!("its input has to be one row, is {:?}", input.shape)));
        };
        let input = self.with_dense_axis(input, 1);
        let mut forest = forest(node, kind, features)?;
        (forest.input, forest.from) = (input.buffer, input.offset as u32);
        let out_len = forest.output_len();
        let output = self.push(forest.len(), Step::Forest(forest));
        let value = Value::Computed(View::whole(output, vec![1, out_len]));
        if is_classifier {
            self.tell_second(node, value)
        } else {
            Ok(value)
        }
    }
}

/// The function that a node names for its scores.
pub(super) fn finish(node: Node<'_>) -> Result<Finish, PlanError> {
    // A text of old, a number since.
    let name = match node.int("post_transform", -1) {
        1 => "SOFTMAX",
        2 => "LOGISTIC",
        3 => "SOFTMAX_ZERO",
        4 => "PROBIT",
        _ => node.text("post_transform", "NONE"),
    };
    Ok(match name {
        "NONE" | "" => Finish::Each(Activation::Identity),
        "LOGISTIC" => Finish::Each(Activation::Sigmoid),
        "SOFTMAX" => Finish::Row(RowFunction::Softmax),
        "SOFTMAX_ZERO" => Finish::Row(RowFunction::SoftmaxZero),
        "PROBIT" => Finish::Probit,
        other => return Err(node.refused(format!("its last function {other} is not known"))),
    })
}
