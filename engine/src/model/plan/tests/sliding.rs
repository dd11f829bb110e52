//! A window that slides, against the same window as a whole: the same to the bit, without an allocation.

use std::fs;

use proptest::prelude::*;
use tract_onnx::pb;

use super::super::{Memory, Plan};
use super::build::{Attribute, floats, integers, model, node};
use super::{description, noise, vectors};

/// Two memories of a plan: one sees a stream row by row, the other whole windows.
struct Pair<'p> {
    plan: &'p Plan,
    slid: Memory,
    whole: Memory,
    rows: Vec<f32>,
}

impl<'p> Pair<'p> {
    fn new(plan: &'p Plan) -> Self {
        let (slid, whole) = (plan.memory(), plan.memory());
        let rows = Vec::new();
        Self {
            plan,
            slid,
            whole,
            rows,
        }
    }

    fn push(&mut self, row: &[f32]) {
        self.plan.next_row(&mut self.slid).copy_from_slice(row);
        self.rows.extend_from_slice(row);
    }

    /// Puts the last rows in at once, as who starts anew may do.
    fn restart(&mut self) {
        let input = self.plan.input(&mut self.slid);
        input.copy_from_slice(&self.rows[self.rows.len() - input.len()..]);
    }

    /// Both answers are the same, and the first allocates nothing. `false`: there is no window of rows yet.
    fn agree(&mut self) -> bool {
        let input = self.plan.input(&mut self.whole);
        let Some(from) = self.rows.len().checked_sub(input.len()) else {
            return false;
        };
        input.copy_from_slice(&self.rows[from..]);
        let truth = self.plan.run(&mut self.whole);
        let allocations = allocation_counter::measure(|| {
            self.plan.run(&mut self.slid);
        });
        assert_eq!(allocations.count_total, 0);
        let start = self.slid.bases[self.plan.output_buffer];
        let own = &self.slid.values[start..][self.plan.output.clone()];
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(own), bits(truth), "after {} values", self.rows.len());
        true
    }
}

/// How many answers of the slides of a stream were compared. Now and then an answer is left out, or the input put in as a
/// whole.
fn slides(plan: &Plan, stream: &[f32], row: usize) -> usize {
    let mut pair = Pair::new(plan);
    let mut compared = 0;
    for (index, row) in stream.chunks_exact(row).enumerate() {
        pair.push(row);
        if index % 29 == 17 {
            continue;
        }
        if index % 41 == 40 && pair.rows.len() >= plan.places[0].1 {
            pair.restart();
        }
        compared += usize::from(pair.agree());
    }
    compared
}

/// Items of a pass.
fn work(pass: &[super::super::passes::Work]) -> usize {
    pass.iter().map(|work| work.items.len()).sum()
}

#[test]
fn reference_models_slide() {
    let Some(folder) = vectors() else { return };
    // How many times as much the cone of one window is as what follows a slide.
    for (name, saving) in [
        ("lstm_v1", 4),
        ("lstm_v1_dynamo", 4),
        ("gru", 4),
        ("lstm2_64", 1),
        ("tcn", 2),
        ("deeplob_small", 20),
    ] {
        let (shape, output) = description(&folder, name);
        let onnx = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let plan = Plan::compile(&onnx, &output, &shape).unwrap();
        let row = *shape.last().unwrap();
        let window: usize = shape.iter().product::<usize>() / row;
        let x = super::floats(&folder.join(format!("{name}.x.f32")));
        let rows = window + 300;
        assert!(slides(&plan, &x[..rows * row], row) > 250, "{name}");
        let slide = plan.passes.slide.as_ref().expect(name);
        assert!(
            work(slide) * saving < work(&plan.passes.alone),
            "{name}: {} of {}",
            work(slide),
            work(&plan.passes.alone)
        );
    }
}

/// A layer over rows of channels, from `x` to `y`, which keeps the number of channels.
#[derive(Clone, Debug)]
enum Layer {
    /// Dilated and causal: pads before alone.
    Causal {
        kernel: i64,
        dilation: i64,
    },
    /// Pads on both sides, and a batch normalisation behind.
    Same {
        kernel: i64,
    },
    /// Every second row of a pool.
    Stride,
    Pool {
        kernel: i64,
    },
    /// What came in is added to a function of it.
    Residual,
    /// Beside itself, and back to the number of channels.
    Concat,
    /// Over channels.
    Softmax,
    /// A constant for each time.
    Position,
}

fn layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        (1_i64..4, 1_i64..4).prop_map(|(kernel, dilation)| Layer::Causal { kernel, dilation }),
        (1_i64..4).prop_map(|kernel| Layer::Same { kernel: 2 * kernel - 1 }),
        Just(Layer::Stride),
        (2_i64..4).prop_map(|kernel| Layer::Pool { kernel }),
        Just(Layer::Residual),
        Just(Layer::Concat),
        Just(Layer::Softmax),
        Just(Layer::Position),
    ]
}

/// A network of such layers over `times` rows; what becomes of the last is told by `tail`.
fn network(layers: &[Layer], times: usize, channels: usize, tail: usize, seed: u64) -> pb::ModelProto {
    let mut nodes = vec![node(
        "Transpose",
        "",
        &["x"],
        &["l0"],
        &[("perm", Attribute::Ints(&[0, 2, 1]))],
    )];
    let mut constants = Vec::new();
    let mut left = times as i64;
    let mut salt = 0;
    let mut weights = |constants: &mut Vec<pb::TensorProto>, name: &str, shape: &[usize]| {
        salt += 1;
        constants.push(floats(name, shape, &noise(seed ^ salt, shape.iter().product())));
    };
    for (index, layer) in layers.iter().enumerate() {
        let (from, to) = (format!("l{index}"), format!("l{}", index + 1));
        let (from, to) = (&*from, &*to);
        let [w, m] = ["w", "m"].map(|name| format!("{name}{index}"));
        let (w, m) = (&*w, &*m);
        let conv =
            |nodes: &mut Vec<pb::NodeProto>, from: &str, to: &str, kernel: i64, dilation: i64, pads: [i64; 2]| {
                nodes.push(node(
                    "Conv",
                    "",
                    &[from, w],
                    &[to],
                    &[
                        ("kernel_shape", Attribute::Ints(&[kernel])),
                        ("dilations", Attribute::Ints(&[dilation])),
                        ("pads", Attribute::Ints(&pads)),
                    ],
                ));
            };
        match *layer {
            Layer::Causal { kernel, dilation } => {
                weights(&mut constants, w, &[channels, channels, kernel as usize]);
                conv(&mut nodes, from, m, kernel, dilation, [(kernel - 1) * dilation, 0]);
                nodes.push(node("Relu", "", &[m], &[to], &[]));
            }
            Layer::Same { kernel } => {
                weights(&mut constants, w, &[channels, channels, kernel as usize]);
                conv(&mut nodes, from, m, kernel, 1, [kernel / 2; 2]);
                nodes.push(node("Tanh", "", &[m], &[to], &[]));
            }
            Layer::Stride => {
                nodes.push(node(
                    "MaxPool",
                    "",
                    &[from],
                    &[to],
                    &[
                        ("kernel_shape", Attribute::Ints(&[1])),
                        ("strides", Attribute::Ints(&[2])),
                    ],
                ));
                left = (left - 1) / 2 + 1;
            }
            Layer::Pool { kernel } => nodes.push(node(
                "AveragePool",
                "",
                &[from],
                &[to],
                &[
                    ("kernel_shape", Attribute::Ints(&[kernel])),
                    ("pads", Attribute::Ints(&[kernel - 1, 0])),
                ],
            )),
            Layer::Residual => {
                nodes.push(node("Sigmoid", "", &[from], &[m], &[]));
                nodes.push(node("Add", "", &[from, m], &[to], &[]));
            }
            Layer::Concat => {
                nodes.push(node("Concat", "", &[from, from], &[m], &[("axis", Attribute::Int(1))]));
                weights(&mut constants, w, &[channels, 2 * channels, 1]);
                conv(&mut nodes, m, to, 1, 1, [0; 2]);
            }
            Layer::Softmax => nodes.push(node("Softmax", "", &[from], &[to], &[("axis", Attribute::Int(1))])),
            Layer::Position => {
                weights(&mut constants, w, &[1, channels, left as usize]);
                nodes.push(node("Mul", "", &[from, w], &[to], &[]));
            }
        }
    }
    let last = format!("l{}", layers.len());
    match tail {
        0 => nodes.push(node(
            "Gather",
            "",
            &[&last, "newest"],
            &["y"],
            &[("axis", Attribute::Int(2))],
        )),
        1 => nodes.push(node(
            "ReduceMean",
            "",
            &[&last],
            &["y"],
            &[("axes", Attribute::Ints(&[2]))],
        )),
        2 => nodes.push(node("Identity", "", &[&last], &["y"], &[])),
        _ => {
            nodes.push(node(
                "Transpose",
                "",
                &[&last],
                &["rows"],
                &[("perm", Attribute::Ints(&[2, 0, 1]))],
            ));
            let (op, gates) = if tail == 3 { ("LSTM", 4) } else { ("GRU", 3) };
            nodes.push(node(
                op,
                "",
                &["rows", "rw", "rr"],
                &["", "y"],
                &[("hidden_size", Attribute::Int(5))],
            ));
            weights(&mut constants, "rw", &[1, gates * 5, channels]);
            weights(&mut constants, "rr", &[1, gates * 5, 5]);
        }
    }
    constants.push(integers("newest", &[-1]));
    model(&[1, times, channels], nodes, constants)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_networks_slide(
        layers in prop::collection::vec(layer(), 0..5),
        (times, channels) in (2_usize..14, 1_usize..20),
        (tail, seed) in (0_usize..5, any::<u64>()),
    ) {
        let proto = network(&layers, times, channels, tail, seed);
        let plan = Plan::of_proto(&proto, "y", &[1, times, channels]).unwrap();
        // Several times around the rings.
        let rows = 3 * times + 45;
        prop_assert!(slides(&plan, &noise(seed ^ 99, rows * channels), channels) > 2 * times);
    }
}

/// What follows a slide of a stack of causal convolutions is one position of each.
#[test]
fn a_causal_convolution_computes_its_newest_row() {
    let layers = [1, 2, 4].map(|dilation| Layer::Causal { kernel: 3, dilation });
    let proto = network(&layers, 40, 8, 0, 1);
    let plan = Plan::of_proto(&proto, "y", &[1, 40, 8]).unwrap();
    assert_eq!(work(plan.passes.slide.as_ref().unwrap()), 3);
    // The cone: one, three and seven positions.
    assert_eq!(work(&plan.passes.alone), 11);
}
