//! Any bytes as a model, and graphs that are made of choices: nodes of every operator, with attributes and constants of
//! every kind, whether or not they fit. A refusal or a plan, never a panic; and a plan that is fed row by row answers what
//! it answers to the whole window, to the bit.
//!
//! Input: an even first byte, and a file; or an odd one, and choices.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use quantumflow::model::plan::Plan;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let Some((kind, rest)) = input.split_first() else {
            return;
        };
        if kind % 2 == 0 {
            for shape in [&[1, 32][..], &[1, 4, 8]] {
                check(rest, "probabilities", shape);
            }
        } else if let Ok((model, shape)) = graph(&mut Unstructured::new(rest)) {
            check(&model.encode_to_vec(), "y", &shape);
        }
    }
);

fn check(onnx: &[u8], output: &str, shape: &[usize]) {
    let plan = match Plan::compile(onnx, output, shape) {
        Ok(plan) => plan,
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            return;
        }
    };
    let (mut slid, mut whole) = (plan.memory(), plan.memory());
    let len: usize = shape.iter().product();
    let row = shape.last().copied().unwrap_or(1);
    let values: Vec<f32> = (0..len + 5 * row).map(|index| ((index * 37 % 101) as f32 - 50.0) / 25.0).collect();
    for (index, newest) in values.chunks_exact(row).enumerate() {
        plan.next_row(&mut slid).copy_from_slice(newest);
        let Some(from) = ((index + 1) * row).checked_sub(len) else {
            continue;
        };
        plan.input(&mut whole).copy_from_slice(&values[from..from + len]);
        let (own, truth) = (plan.run(&mut slid), plan.run(&mut whole));
        // What is no number has many forms, and which one comes of two is the processor's choice.
        let is_same = |(own, truth): (&f32, &f32)| own.to_bits() == truth.to_bits() || (own.is_nan() && truth.is_nan());
        assert!(own.iter().zip(truth).all(is_same), "slid {own:?}, whole {truth:?}");
    }
}

/// A model that the engine brings along, and choices of several lengths.
fn seeds() -> Vec<Vec<u8>> {
    let file = include_bytes!("../../engine/models/mlp_v1.onnx");
    let choices = (1..40_usize).map(|len| (0..len * 20).map(|at| (at * at * 7 + len * 31) as u8 | u8::from(at == 0)).collect());
    [[&[0][..], file].concat()].into_iter().chain(choices).collect()
}

const OPERATORS: [&str; 66] = [
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
    "Conv", "Div", "Dropout", "Elu", "Exp", "Expand", "Flatten", "GRU", "Gather", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "HardSigmoid", "Identity", "LSTM", "LeakyRelu", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool",
    "Min", "Mul", "Neg", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "Relu",
    "Reshape", "Shape", "Sigmoid", "Size", "Slice", "Softmax", "Softplus", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh",
    "Transpose", "Transpose", "Unsqueeze", "LinearClassifier", "LinearRegressor", "Normalizer", "Scaler", "TreeEnsemble",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ZipMap",
];

const TEXTS: [&str; 14] = [
    "SAME_UPPER", "SAME_LOWER", "VALID", "forward", "reverse", "bidirectional", "constant", "L1", "L2", "SOFTMAX", "PROBIT",
    "MIN", "AVERAGE", "BRANCH_LEQ",
];

const INTEGERS: [&str; 19] = [
    "axis", "group", "to", "keepdims", "hidden_size", "layout", "transA", "transB", "ceil_mode", "count_include_pad",
    "linear_before_reset", "allowzero", "targets", "n_targets", "noop_with_empty_axes", "aggregate_function",
    "post_transform", "start", "end",
];

const LISTS: [&str; 29] = [
    "axes", "perm", "kernel_shape", "strides", "dilations", "pads", "starts", "ends", "classlabels_ints",
    "classlabels_int64s", "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids",
    "nodes_trueleafs", "nodes_falseleafs", "nodes_missing_value_tracks_true", "tree_roots", "leaf_targetids",
    "class_treeids", "class_nodeids", "class_ids", "target_treeids", "target_nodeids", "target_ids", "value_ints",
    "nodes_hitrates", "sizes",
];

const FLOATS: [&str; 8] = [
    "coefficients", "intercepts", "offset", "scale", "nodes_values", "class_weights", "target_weights", "base_values",
];

const TENSORS: [&str; 5] = ["value", "nodes_modes", "nodes_splits", "leaf_weights", "membership_values"];

/// A graph from `x` to `y`, and the shape of `x`.
fn graph(choices: &mut Unstructured<'_>) -> Result<(pb::ModelProto, Vec<usize>)> {
    let (rows, width) = (choices.int_in_range(1..=9)?, choices.int_in_range(1..=5)?);
    let shape = match choices.int_in_range(0..=2)? {
        0 => vec![1, width],
        1 => vec![1, rows, width],
        _ => vec![1, 1, rows, width],
    };
    let mut graph = pb::GraphProto {
        input: vec![pb::ValueInfoProto {
            name: "x".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let count = choices.int_in_range(1..=6)?;
    for index in 0..count {
        let op = *choices.choose(&OPERATORS)?;
        let is_ml = OPERATORS.iter().position(|known| *known == op).is_some_and(|place| place >= OPERATORS.len() - 8);
        let mut node = pb::NodeProto {
            op_type: op.to_owned(),
            domain: if is_ml { "ai.onnx.ml".to_owned() } else { String::new() },
            ..Default::default()
        };
        let inputs = choices.int_in_range(1..=5)?;
        for input in 0..inputs {
            node.input.push(match choices.int_in_range(0..=5)? {
                0..=2 if input == 0 => last(index),
                3 if index > 0 => format!("v{}", choices.int_in_range(0..=index - 1)?),
                4 => String::new(),
                _ => {
                    let name = format!("c{}", graph.initializer.len());
                    let constant = tensor(choices, &name)?;
                    graph.initializer.push(constant);
                    name
                }
            });
        }
        let own = if index + 1 == count { "y".to_owned() } else { format!("v{index}") };
        node.output = match choices.int_in_range(0..=3)? {
            0 => vec![String::new(), own],
            _ => vec![own],
        };
        for _ in 0..choices.int_in_range(0..=8)? {
            node.attribute.push(attribute(choices)?);
        }
        graph.node.push(node);
    }
    let opset = |domain: &str, version| pb::OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let model = pb::ModelProto {
        ir_version: 8,
        opset_import: vec![opset("", *choices.choose(&[9, 11, 13, 17])?), opset("ai.onnx.ml", 5)],
        graph: Some(graph),
        ..Default::default()
    };
    Ok((model, shape))
}

/// The value before the node of that index.
fn last(index: usize) -> String {
    match index {
        0 => "x".to_owned(),
        index => format!("v{}", index - 1),
    }
}

fn attribute(choices: &mut Unstructured<'_>) -> Result<pb::AttributeProto> {
    let mut attribute = pb::AttributeProto::default();
    let (name, kind) = match choices.int_in_range(0..=6)? {
        0 => {
            attribute.s = choices.choose(&TEXTS)?.as_bytes().to_vec();
            let names = ["auto_pad", "direction", "mode", "norm", "post_transform", "aggregate_function"];
            (*choices.choose(&names)?, AttributeType::String)
        }
        1 => {
            attribute.i = integer(choices)?;
            (*choices.choose(&INTEGERS)?, AttributeType::Int)
        }
        2 | 3 => {
            attribute.ints = list(choices, integer)?;
            (*choices.choose(&LISTS)?, AttributeType::Ints)
        }
        4 => {
            attribute.floats = list(choices, float)?;
            (*choices.choose(&FLOATS)?, AttributeType::Floats)
        }
        5 => {
            attribute.t = Some(tensor(choices, "")?);
            (*choices.choose(&TENSORS)?, AttributeType::Tensor)
        }
        _ => {
            let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"];
            attribute.strings = list(choices, |choices| Ok(choices.choose(&modes)?.as_bytes().to_vec()))?;
            ("nodes_modes", AttributeType::Strings)
        }
    };
    attribute.name = name.to_owned();
    attribute.r#type = kind as i32;
    Ok(attribute)
}

/// Mostly small, sometimes absurd.
fn integer(choices: &mut Unstructured<'_>) -> Result<i64> {
    match choices.int_in_range(0..=40)? {
        0 => choices.arbitrary(),
        1 => Ok(*choices.choose(&[i64::MIN, i64::MAX, i64::from(i32::MAX), 1 << 24, -1 << 33])?),
        _ => choices.int_in_range(-2..=6),
    }
}

fn float(choices: &mut Unstructured<'_>) -> Result<f32> {
    match choices.int_in_range(0..=20)? {
        0 => choices.arbitrary(),
        _ => Ok(f32::from(choices.int_in_range(-8_i8..=8)?) / 4.0),
    }
}

fn list<T>(choices: &mut Unstructured<'_>, one: impl Fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    (0..choices.int_in_range(0..=7)?).map(|_| one(choices)).collect()
}

/// Of floats, whole numbers or bytes.
fn tensor(choices: &mut Unstructured<'_>, name: &str) -> Result<pb::TensorProto> {
    let rank = choices.int_in_range(0..=4)?;
    let shape: Vec<i64> = (0..rank).map(|_| choices.int_in_range(0..=5)).collect::<Result<_>>()?;
    let count = shape.iter().product::<i64>();
    let mut tensor = pb::TensorProto {
        name: name.to_owned(),
        dims: shape,
        ..Default::default()
    };
    let kind = match choices.int_in_range(0..=3)? {
        0 => {
            tensor.int64_data = (0..count).map(|_| integer(choices)).collect::<Result<_>>()?;
            DataType::Int64
        }
        1 => {
            tensor.raw_data = (0..count).map(|_| choices.int_in_range(0..=7)).collect::<Result<_>>()?;
            DataType::Uint8
        }
        _ => {
            tensor.float_data = (0..count).map(|_| float(choices)).collect::<Result<_>>()?;
            DataType::Float
        }
    };
    tensor.data_type = kind as i32;
    Ok(tensor)
}
