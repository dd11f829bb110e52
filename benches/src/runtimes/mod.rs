//! Other runtimes beside our plans, on the same models and rows, in turns.
//!
//! All get what their documentation promises to be fastest for one row at a time: one thread, all optimisations, inputs
//! and outputs that were made before. Each reads the same stream of rows through the same window, and the copy of the
//! window into its input is counted, because somebody has to make it.

use std::error::Error;
use std::path::{Path, PathBuf};

use quantumflow::model::Model;
use serde_json::Value;

pub mod onnxruntime;
pub mod own;
pub mod tract;

/// One runtime with one model.
pub trait Runtime {
    /// The answer to the window that ends with the row of that number. Rows are asked for one after the other.
    fn answer(&mut self, stream: &Stream, newest: usize) -> &[f32];
}

/// A file, and what is needed to run it.
#[derive(Debug)]
pub struct Subject {
    /// For tables.
    pub name: String,
    /// The file.
    pub onnx: Vec<u8>,
    /// The name of the output with the probabilities.
    pub output: String,
    /// Of the input.
    pub shape: Vec<usize>,
    /// Rows of the input one after the other.
    pub stream: Stream,
}

/// Rows, and how many of them a model looks at.
#[derive(Debug)]
pub struct Stream {
    values: Vec<f32>,
    /// Values in a row.
    pub width: usize,
    /// Rows that a model looks at.
    pub window: usize,
}

impl Stream {
    /// How many windows there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.width + 1 - self.window
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.len() < self.width * self.window
    }

    /// A window by its number.
    pub fn window(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..][..self.window * self.width]
    }

    /// The last row of a window.
    pub fn newest(&self, at: usize) -> &[f32] {
        &self.values[(at + self.window - 1) * self.width..][..self.width]
    }

    fn new(values: Vec<f32>, shape: &[usize]) -> Self {
        let width = shape.last().copied().unwrap_or(1);
        Self {
            values,
            width,
            window: shape.iter().product::<usize>() / width,
        }
    }
}

/// The reference models of a folder: each `NAME.onnx` that has a `NAME.io.json` and inputs in `NAME.x.f32`.
pub fn reference_models(folder: &Path) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut subjects = Vec::new();
    for name in names(folder)? {
        let beside = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        let (Ok(text), Ok(x)) = (
            std::fs::read_to_string(beside("io.json")),
            std::fs::read(beside("x.f32")),
        ) else {
            eprintln!("{name}: skipped, it has no inputs");
            continue;
        };
        let json: Value = serde_json::from_str(&text)?;
        let dims = json["shape"].as_array().ok_or("io.json has no shape")?;
        // An open dimension is the batch.
        let shape: Vec<usize> = dims.iter().map(|len| len.as_u64().unwrap_or(1) as usize).collect();
        let outputs = json["outputs"].as_array().ok_or("io.json has no outputs")?;
        let output = outputs
            .last()
            .and_then(Value::as_str)
            .ok_or("io.json names no output")?;
        let (values, _) = x.as_chunks::<4>();
        subjects.push(Subject {
            onnx: std::fs::read(beside("onnx"))?,
            output: output.to_owned(),
            stream: Stream::new(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), &shape),
            shape,
            name,
        });
    }
    Ok(subjects)
}

/// The models that the engine brings along, on rows that are noise of the size of normalised features.
pub fn own_models(folder: &Path) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut subjects = Vec::new();
    for name in names(folder)? {
        let path = folder.join(format!("{name}.onnx"));
        let model = Model::load(&path)?;
        let contract = model.contract();
        let (window, width) = (contract.window, contract.features.len());
        let shape = match window {
            1 => vec![1, width],
            window => vec![1, window, width],
        };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = || {
            // xorshift64: any noise will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 2.0
        };
        subjects.push(Subject {
            onnx: std::fs::read(&path)?,
            output: contract.output.clone(),
            stream: Stream::new((0..width * (window + 63)).map(|_| noise()).collect(), &shape),
            shape,
            name,
        });
    }
    Ok(subjects)
}

/// The names of the models in a folder, in order.
fn names(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let name = |path: PathBuf| {
        let is_model = path.extension().is_some_and(|extension| extension == "onnx");
        path.file_stem().filter(|_| is_model)?.to_str().map(str::to_owned)
    };
    let mut names: Vec<String> = entries.into_iter().filter_map(|entry| name(entry.path())).collect();
    names.sort();
    Ok(names)
}
