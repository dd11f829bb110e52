//! Every model of the reference vectors against what onnxruntime answered.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::*;

mod build;
mod damaged;
mod operators;
mod processors;
mod sliding;
mod trees;

fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/models");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no reference models at {}", path.display());
    None
}

/// Numbers between -1 and 1, the same for the same seed.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // 24 bits: all that a float of this size holds.
    let mut next = || (dice.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(|_| next()).collect()
}

/// The models of a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = files
        .filter_map(|name| name.into_string().unwrap().strip_suffix(".onnx").map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// What a model is called, the name of its input's shape, and its output.
fn description(folder: &Path, name: &str) -> (Vec<usize>, String) {
    let text = fs::read_to_string(folder.join(format!("{name}.io.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let dims = json["shape"].as_array().unwrap().iter();
    let shape = dims.map(|len| len.as_u64().unwrap_or(1) as usize).collect();
    let outputs = json["outputs"].as_array().unwrap();
    (shape, outputs.last().unwrap().as_str().unwrap().to_owned())
}

#[test]
fn every_reference_model_answers_as_onnxruntime_did() {
    let Some(folder) = vectors() else { return };
    let mut failed = Vec::new();
    for name in names(&folder) {
        let onnx = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        if !folder.join(format!("{name}.io.json")).exists() {
            println!("{name}: no description");
            continue;
        }
        let (shape, output) = description(&folder, &name);
        let plan = match Plan::compile(&onnx, &output, &shape) {
            Ok(plan) => plan,
            Err(error) => {
                failed.push(format!("{name}: {error}"));
                continue;
            }
        };
        let (x, y) = (
            floats(&folder.join(format!("{name}.x.f32"))),
            floats(&folder.join(format!("{name}.y.f32"))),
        );
        let (inputs, outputs): (usize, usize) = (shape.iter().product(), plan.output_shape().iter().product());
        let mut memory = plan.memory();
        let mut worst = 0.0_f32;
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact(outputs)) {
            plan.input(&mut memory).copy_from_slice(x);
            for (own, theirs) in plan.run(&mut memory).iter().zip(y) {
                let is_same = own == theirs || (own.is_nan() && theirs.is_nan());
                let difference = if is_same { 0.0 } else { (own - theirs).abs() };
                worst = if difference.is_nan() {
                    f32::INFINITY
                } else {
                    worst.max(difference)
                };
            }
        }
        println!(
            "{name}: {} rows of {outputs}, worst difference {worst:e}",
            x.len() / inputs
        );
        if worst > 1e-6 || y.len() / outputs != x.len() / inputs {
            failed.push(format!("{name}: differs by {worst:e}, {:?}", plan.output_shape()));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
