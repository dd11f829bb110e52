//! Files with a few wrong bytes: refused, or run; never a panic.

use std::fs;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::super::Plan;
use super::build::{Attribute, floats, integers, model, node};
use super::{description, vectors};

/// A number below `sides`.
fn roll(dice: &mut ChaCha8Rng, sides: usize) -> usize {
    dice.next_u32() as usize % sides.max(1)
}

/// Some bytes of `file` changed, left out, or said twice.
fn damaged(dice: &mut ChaCha8Rng, file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=roll(dice, 4) {
        // Names, shapes and attributes stand at the ends; in between are weights.
        let near = roll(dice, file.len().min(1500));
        let place = if roll(dice, 2) == 0 {
            near
        } else {
            file.len() - 1 - near
        };
        match roll(dice, 4) {
            0 => file[place] ^= 1 << roll(dice, 8),
            1 => file[place] = roll(dice, 256) as u8,
            2 => drop(file.drain(place..(place + roll(dice, 5)).min(file.len()))),
            _ => file.insert(place, roll(dice, 256) as u8),
        }
    }
    file
}

/// How many of so many damaged files were still models.
fn survivors(file: &[u8], output: &str, shape: &[usize], times: usize) -> usize {
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    (0..times)
        .filter(|_| {
            let Ok(plan) = Plan::compile(&damaged(&mut dice, file), output, shape) else {
                return false;
            };
            let mut memory = plan.memory();
            plan.input(&mut memory).fill(0.5);
            plan.run(&mut memory);
            true
        })
        .count()
}

#[test]
fn a_damaged_file_is_refused_or_run() {
    let file = include_bytes!("../../../../models/mlp_v1.onnx");
    let survived = survivors(file, "probabilities", &[1, 32], 3_000);
    assert!(
        (1..3_000).contains(&survived),
        "{survived}: the damage is too great, or none"
    );
    let Some(folder) = vectors() else { return };
    for name in [
        "gru",
        "lstm_v1_dynamo",
        "tcn",
        "mlp_sklearn",
        "scaled_logreg",
        "edge_tree_EQ_nan1",
        "edge_tree_bin_logistic",
    ] {
        let file = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let (shape, output) = description(&folder, name);
        let survived = survivors(&file, &output, &shape, 1_000);
        assert!((1..1_000).contains(&survived), "{name}: {survived}");
    }
}

#[test]
fn constants_of_another_kind_or_length_are_refused() {
    let two = ("beta", Attribute::Float(2.0));
    let dense = node("Gemm", "", &["x", "w", "c"], &["y"], &[two]);
    let weights = floats("w", &[4, 3], &[0.5; 12]);
    let plan = |addend| {
        Plan::of_proto(
            &model(&[1, 4], vec![dense.clone()], vec![weights.clone(), addend]),
            "y",
            &[1, 4],
        )
    };
    assert!(plan(floats("c", &[3], &[1.0; 3])).is_ok());
    let refusal = plan(integers("c", &[1, 2, 3])).unwrap_err().to_string();
    assert!(refusal.contains("input 2 has to be of floats"), "{refusal}");

    let names = ["x", "scale", "bias", "mean", "variance"];
    let normalisation = |lens: [usize; 4]| {
        let constants = names[1..].iter().zip(lens);
        let constants = constants.map(|(name, len)| floats(name, &[len], &vec![1.0; len]));
        let node = node("BatchNormalization", "", &names, &["y"], &[]);
        Plan::of_proto(&model(&[1, 4], vec![node], constants.collect()), "y", &[1, 4])
    };
    assert!(normalisation([4; 4]).is_ok());
    for at in 0..4 {
        let mut lens = [4; 4];
        lens[at] = 3;
        assert!(normalisation(lens).is_err(), "{lens:?}");
    }
}
