//! Layers of random sizes, against tract.

use proptest::prelude::*;
use tract_onnx::onnx;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceFact;

use super::super::Plan;
use super::build::{Attribute, floats, integers, model, node};
use super::noise;

/// What tract makes of a model for one input.
fn judge(proto: &pb::ModelProto, shape: &[usize], x: &[f32]) -> TractResult<Vec<f32>> {
    let mut graph = onnx().model_for_proto_model(proto)?;
    graph.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
    let plan = graph.into_typed()?.into_decluttered()?.into_runnable()?;
    let outputs = plan.run(tvec![Tensor::from_shape(shape, x)?.into_tvalue()])?;
    Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The plan answers as tract does; where tract refuses the model there is nothing to compare.
fn agree(proto: &pb::ModelProto, shape: &[usize], seed: u64) -> Result<(), TestCaseError> {
    let x = noise(seed, shape.iter().product());
    let Ok(truth) = judge(proto, shape, &x) else {
        return Err(TestCaseError::reject("tract refuses it"));
    };
    let plan = Plan::of_proto(proto, "y", shape).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut memory = plan.memory();
    // Twice: nothing may be left over.
    for _ in 0..2 {
        plan.input(&mut memory).copy_from_slice(&x);
        let own = plan.run(&mut memory);
        prop_assert_eq!(own.len(), truth.len());
        for (place, (own, truth)) in own.iter().zip(&truth).enumerate() {
            prop_assert!(
                (own - truth).abs() <= 1e-4 * (1.0 + truth.abs()),
                "{own} instead of {truth} at {place}"
            );
        }
    }
    Ok(())
}

/// Up to what sums in another order make of it.
fn is_near(own: &[f32], other: &[f32]) -> bool {
    own.len() == other.len() && own.iter().zip(other).all(|(own, other)| (own - other).abs() < 1e-5)
}

/// An LSTM or GRU of random weights.
struct Layer {
    is_lstm: bool,
    resets_after: bool,
    times: usize,
    inputs: usize,
    hidden: usize,
    seed: u64,
}

impl Layer {
    fn shape(&self) -> [usize; 3] {
        [1, self.times, self.inputs]
    }

    /// `weights`: which ones each direction has.
    fn model(&self, direction: &str, outputs: [&str; 2], weights: &[u64]) -> pb::ModelProto {
        let Self {
            inputs, hidden, seed, ..
        } = *self;
        let (op, gates) = if self.is_lstm { ("LSTM", 4) } else { ("GRU", 3) };
        let mut attributes = vec![
            ("hidden_size", Attribute::Int(hidden as i64)),
            ("direction", Attribute::Text(direction)),
        ];
        if !self.is_lstm {
            attributes.push(("linear_before_reset", Attribute::Int(i64::from(self.resets_after))));
        }
        let nodes = vec![
            node(
                "Transpose",
                "",
                &["x"],
                &["t"],
                &[("perm", Attribute::Ints(&[1, 0, 2]))],
            ),
            node(op, "", &["t", "w", "r", "b"], &outputs, &attributes),
        ];
        let constant = |name: &str, salt: u64, shape: &[usize]| {
            let of = |which: &u64| noise(seed ^ salt ^ (which << 8), shape.iter().product());
            let values: Vec<f32> = weights.iter().flat_map(of).collect();
            floats(name, &[&[weights.len()], shape].concat(), &values)
        };
        let constants = vec![
            constant("w", 1, &[gates * hidden, inputs]),
            constant("r", 2, &[gates * hidden, hidden]),
            constant("b", 3, &[2 * gates * hidden]),
        ];
        model(&self.shape(), nodes, constants)
    }
}

#[test]
fn an_axis_is_named_once() {
    let twice = [
        node("ReduceSum", "", &["x", "axes"], &["y"], &[]),
        node(
            "Transpose",
            "",
            &["x"],
            &["y"],
            &[("perm", Attribute::Ints(&[1, 0, 1]))],
        ),
    ];
    for node in twice {
        let op = node.op_type.clone();
        let proto = model(&[1, 4, 3], vec![node], vec![integers("axes", &[1, -1, -2])]);
        let refusal = Plan::of_proto(&proto, "y", &[1, 4, 3]).unwrap_err().to_string();
        assert!(refusal.contains(&op) && refusal.contains(" ax"), "{refusal}");
    }
}

#[test]
fn a_value_of_many_axes_or_elements_is_refused() {
    let refusal = |to: &[i64]| {
        let proto = model(
            &[1, 3],
            vec![node("Expand", "", &["x", "to"], &["y"], &[])],
            vec![integers("to", to)],
        );
        Plan::of_proto(&proto, "y", &[1, 3]).unwrap_err().to_string()
    };
    assert!(refusal(&[2, 1, 1, 1, 1, 1, 1, 1, 3]).contains("9 axes"));
    assert!(refusal(&[1 << 21, 3]).contains("6291456 floats"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_global_rejects: 4096, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_and_pools(
        (channels, groups, columns) in (1_usize..5, 1_usize..3, 1_usize..20),
        (height, width) in (1_usize..9, 1_usize..9),
        kernel in prop::array::uniform2(1_i64..4),
        strides in prop::array::uniform2(1_i64..3),
        dilations in prop::array::uniform2(1_i64..3),
        pads in prop::array::uniform4(0_i64..3),
        (is_line, slope, last_row, seed) in (any::<bool>(), 0.0_f32..1.0, any::<bool>(), any::<u64>()),
    ) {
        let (depth, columns) = (channels, columns * groups);
        let channels = channels * groups;
        let cut = |all: &[i64]| if is_line { all[1..2].to_vec() } else { all.to_vec() };
        let (kernel, strides, dilations) = (cut(&kernel), cut(&strides), cut(&dilations));
        let pads = if is_line { vec![pads[1], pads[3]] } else { pads.to_vec() };
        let shape = if is_line { vec![1, channels, width] } else { vec![1, channels, height, width] };
        // A kernel that is larger than its input is refused by us, and not by tract.
        let fits = |axis: usize| {
            let room = shape[axis + 2] as i64 + pads[axis] + pads[axis + kernel.len()];
            room > (kernel[axis] - 1) * dilations[axis]
        };
        prop_assume!((0..kernel.len()).all(fits));
        let taps: i64 = kernel.iter().product();
        let weight_shape: Vec<usize> = [columns, depth].into_iter().chain(kernel.iter().map(|len| *len as usize)).collect();
        let axis = shape.len() as i64 - 1;
        let mut nodes = vec![
            node("Conv", "", &["x", "w", "b"], &["c"], &[
                ("kernel_shape", Attribute::Ints(&kernel)),
                ("strides", Attribute::Ints(&strides)),
                ("dilations", Attribute::Ints(&dilations)),
                ("pads", Attribute::Ints(&pads)),
                ("group", Attribute::Int(groups as i64)),
            ]),
            node("LeakyRelu", "", &["c"], &["r"], &[("alpha", Attribute::Float(slope))]),
            node("BatchNormalization", "", &["r", "scale", "shift", "mean", "variance"], &["n"], &[]),
            node("MaxPool", "", &["n"], &["p"], &[("kernel_shape", Attribute::Ints(&vec![1; kernel.len()]))]),
            node("Tanh", "", &["p"], &["t"], &[]),
        ];
        if last_row {
            nodes.push(node("Gather", "", &["t", "last"], &["y"], &[("axis", Attribute::Int(axis))]));
        } else {
            nodes.push(node("Identity", "", &["t"], &["y"], &[]));
        }
        let per_channel = |name: &str, seed: u64, floor: f32| {
            let values: Vec<f32> = noise(seed, columns).iter().map(|value| value.abs() + floor).collect();
            floats(name, &[columns], &values)
        };
        let constants = vec![
            floats("w", &weight_shape, &noise(seed ^ 1, columns * depth * taps as usize)),
            floats("b", &[columns], &noise(seed ^ 2, columns)),
            per_channel("scale", seed ^ 3, 0.1),
            per_channel("shift", seed ^ 4, -0.5),
            per_channel("mean", seed ^ 5, -0.5),
            per_channel("variance", seed ^ 6, 0.1),
            integers("last", &[-1]),
        ];
        agree(&model(&shape, nodes, constants), &shape, seed)?;
    }

    #[test]
    fn recurrent_layers(
        (times, inputs, hidden) in (1_usize..6, 1_usize..20, 1_usize..40),
        (is_lstm, resets_after, last, seed) in (any::<bool>(), any::<bool>(), 0_usize..2, any::<u64>()),
    ) {
        let layer = Layer { is_lstm, resets_after, times, inputs, hidden, seed };
        agree(&layer.model("forward", [["y", ""], ["", "y"]][last], &[0]), &layer.shape(), seed)?;
    }

    /// tract reads reversed layers in another way than onnxruntime. But a layer that runs backwards is one that runs
    /// forwards on reversed rows, and one of both directions has both side by side.
    #[test]
    fn recurrent_layers_of_other_directions(
        (times, inputs, hidden) in (1_usize..6, 1_usize..5, 1_usize..20),
        (is_lstm, resets_after, is_last, seed) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>()),
    ) {
        let layer = Layer { is_lstm, resets_after, times, inputs, hidden, seed };
        let x = noise(seed, times * inputs);
        let reversed: Vec<f32> = x.chunks_exact(inputs).rev().flatten().copied().collect();
        let outputs = if is_last { ["", "y"] } else { ["y", ""] };
        let answer = |direction: &str, weights: &[u64], x: &[f32]| {
            let plan = Plan::of_proto(&layer.model(direction, outputs, weights), "y", &layer.shape()).unwrap();
            let mut memory = plan.memory();
            plan.input(&mut memory).copy_from_slice(x);
            plan.run(&mut memory).to_vec()
        };
        let in_order = |rows: Vec<f32>| -> Vec<f32> { rows.chunks_exact(hidden).rev().flatten().copied().collect() };
        let forwards = answer("forward", &[0], &x);
        let backwards = in_order(answer("forward", &[1], &reversed));
        prop_assert!(is_near(&answer("reverse", &[1], &x), &backwards));
        let both = forwards.chunks_exact(hidden).zip(backwards.chunks_exact(hidden));
        let both: Vec<f32> = both.flat_map(|(forwards, backwards)| [forwards, backwards].concat()).collect();
        prop_assert!(is_near(&answer("bidirectional", &[0, 1], &x), &both));
    }

    #[test]
    fn dense_layers_and_what_stands_between_them(
        (rows, inputs, columns) in (1_usize..4, 1_usize..40, 1_usize..70),
        (op, axis, seed) in (0_usize..6, 0_i64..2, any::<u64>()),
    ) {
        let between = ["Relu", "Sigmoid", "Tanh", "Softmax", "ReduceMean", "Concat"][op];
        let middle = match between {
            "Softmax" => node("Softmax", "", &["a"], &["m"], &[("axis", Attribute::Int(axis))]),
            "ReduceMean" => node("ReduceMean", "", &["a"], &["m"], &[("axes", Attribute::Ints(&[axis]))]),
            "Concat" => node("Concat", "", &["a", "g"], &["m"], &[("axis", Attribute::Int(axis))]),
            op => node(op, "", &["a"], &["m"], &[]),
        };
        let nodes = vec![
            node("Gemm", "", &["x", "w", "b"], &["g"], &[("transB", Attribute::Int(1)), ("alpha", Attribute::Float(0.5))]),
            node("Add", "", &["g", "c"], &["a"], &[]),
            middle,
            node("Transpose", "", &["m"], &["t"], &[]),
            node("Mul", "", &["t", "s"], &["y"], &[]),
        ];
        let constants = vec![
            floats("w", &[columns, inputs], &noise(seed ^ 1, columns * inputs)),
            floats("b", &[columns], &noise(seed ^ 2, columns)),
            floats("c", &[rows, 1], &noise(seed ^ 3, rows)),
            floats("s", &[1], &noise(seed ^ 4, 1)),
        ];
        let shape = [rows, inputs];
        agree(&model(&shape, nodes, constants), &shape, seed)?;
    }

    /// One element that stands for many is read again and again. No dense layer after it: tract takes the one element for
    /// all there is.
    #[test]
    fn stretched_values(
        (rows, columns, is_tall) in (1_usize..6, 1_usize..20, any::<bool>()),
        (op, axis, seed) in (0_usize..7, 0_i64..2, any::<u64>()),
    ) {
        let of = |op: &'static str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]| node(op, "", inputs, &["y"], attributes);
        let last = match op {
            0 => of("Identity", &["e"], &[]),
            1 => of("Tanh", &["e"], &[]),
            2 => of("Concat", &["e", "e"], &[("axis", Attribute::Int(axis))]),
            3 => of("Transpose", &["e"], &[]),
            4 => of("ReduceMean", &["e"], &[("axes", Attribute::Ints(&[axis]))]),
            5 => of("Softmax", &["e"], &[("axis", Attribute::Int(axis))]),
            _ => of("Sub", &["e", "s"], &[]),
        };
        let nodes = vec![node("Expand", "", &["x", "to"], &["e"], &[]), last];
        let constants = vec![
            integers("to", &[rows as i64, columns as i64]),
            floats("s", &[rows, columns], &noise(seed ^ 1, rows * columns)),
        ];
        let shape = if is_tall { [rows, 1] } else { [1, columns] };
        agree(&model(&shape, nodes, constants), &shape, seed)?;
    }
}
