//! What a plan answers on another processor: sums are formed in another order there, and not more than that differs.

use std::fs;

use pulp::Arch;

use super::super::Plan;
use super::{description, floats, names, vectors};

/// Probabilities of one model on two processors differ by less than so much; the documentation says so.
const DIFFERENCE_MAX: f32 = 1e-6;

#[test]
fn plain_scalars_answer_as_vectors_do() {
    let Some(folder) = vectors() else { return };
    let mut compared = 0;
    for name in names(&folder) {
        if !folder.join(format!("{name}.io.json")).exists() {
            continue;
        }
        let (shape, output) = description(&folder, &name);
        let onnx = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let vectors = Plan::compile(&onnx, &output, &shape).unwrap();
        let mut scalars = Plan::compile(&onnx, &output, &shape).unwrap();
        scalars.arch = Arch::Scalar;
        let (mut memory, mut other) = (vectors.memory(), scalars.memory());
        let x = floats(&folder.join(format!("{name}.x.f32")));
        // A few windows: scalars take their time.
        for x in x.chunks_exact(shape.iter().product()).take(8) {
            vectors.input(&mut memory).copy_from_slice(x);
            scalars.input(&mut other).copy_from_slice(x);
            let answers = vectors.run(&mut memory).iter().zip(scalars.run(&mut other));
            for (own, other) in answers {
                let is_same = own == other || (own.is_nan() && other.is_nan());
                assert!(
                    is_same || (own - other).abs() < DIFFERENCE_MAX,
                    "{name}: {own} and {other}"
                );
            }
        }
        compared += 1;
    }
    assert!(compared > 20, "{compared} models");
}
