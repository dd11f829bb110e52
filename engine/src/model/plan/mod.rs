//! Models as plans: a fixed list of steps over memory that is allocated once.
//!
//! A [`Plan`] is made of an ONNX graph: its operators become kernels, its constants their weights, its intermediate values
//! places in one buffer. Running it allocates nothing, takes no lock and branches on no shape. It is immutable; whoever
//! runs it brings a [`Memory`].
//!
//! The graph is lowered from the file itself, not from what a runtime has made of it: ONNX's operators are few and
//! specified, a recurrent layer is one node there, and runtimes refuse or misread some of the operators that trees and
//! pipelines need. So another runtime can be the judge of every plan when it is loaded.
//!
//! - `onnx.rs`, `tensor.rs`: nodes, constants, and views of values.
//! - `lower/`: from nodes to steps, by families of operators.
//! - `step.rs`, `weights.rs`: what a plan consists of; `kernels/`: what runs it.
//! - `items.rs`, `passes.rs`: what of each step is computed, the first time and when the window has moved by a row;
//!   `describe.rs` says it.

mod describe;
mod items;
mod kernels;
mod lower;
mod onnx;
mod passes;
mod step;
mod tensor;
#[cfg(test)]
mod tests;
mod weights;

use pulp::Arch;
use tract_onnx::pb;
use tract_onnx::prelude::Framework as _;

pub use describe::StepSummary;
use passes::Passes;
use step::Step;

/// Operators that a plan can have, for those who are refused.
pub const SUPPORTED: &str = "Abs, Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Constant, ConstantOfShape, Conv, Div, \
    Dropout, Elu, Erf, Exp, Expand, Flatten, GRU, Gather, Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, Identity, LSTM, \
    LeakyRelu, Log, LogSoftmax, MatMul, Max, MaxPool, Min, Mul, Neg, Pad, Pow, Range, Reciprocal, ReduceL2, ReduceMax, ReduceMean, \
    ReduceMin, ReduceSum, ReduceSumSquare, Relu, Reshape, Selu, Shape, Sigmoid, Size, Slice, Softmax, Softplus, Softsign, Sqrt, \
    Squeeze, Sub, Sum, Tanh, Transpose, Unsqueeze, ai.onnx.ml: LinearClassifier, LinearRegressor, Normalizer, Scaler, \
    TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor, ZipMap";

/// A model that is ready to run.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    passes: Passes,
    /// By buffer: where it begins in memory, and its length.
    places: Vec<(usize, usize)>,
    memory_len: usize,
    /// Elements of a row of the input, the last of which is the newest.
    row: usize,
    /// Relative to the buffer.
    output: std::ops::Range<usize>,
    output_buffer: usize,
    output_shape: Vec<usize>,
    arch: Arch,
}

/// What a plan works in: one for each that runs it at the same time.
#[derive(Clone, Debug)]
pub struct Memory {
    values: Box<[f32]>,
    /// By buffer: where its values begin now.
    bases: Box<[usize]>,
    /// Whether the last run has left what a slide relies on.
    is_warm: bool,
    /// Rows since the last run.
    slides: usize,
    input: Input,
}

/// How the input came to be what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Row by row; the newest is not yet written twice.
    Row,
    /// As a whole, which is not yet written twice.
    Window,
}

/// Why no plan can be made of a graph.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: the file is damaged or of another format")]
    NotOnnx(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file holds no graph.
    #[error("the file has no graph")]
    NoGraph,
    /// The graph takes nothing.
    #[error("the graph has no input")]
    NoInput,
    /// Nothing of that name is made by the graph.
    #[error("the graph makes no `{name}`")]
    NoOutput {
        /// What was asked for.
        name: String,
    },
    /// What is asked for does not depend on the input.
    #[error("the output does not depend on the input")]
    ConstantOutput,
    /// A constant that cannot be read.
    #[error("tensor `{tensor}` cannot be read: {why}")]
    Tensor {
        /// Which.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
    /// An operator that there is no kernel for.
    #[error("operator {operator} (node `{node}`) is not supported; supported are: {SUPPORTED}")]
    Unsupported {
        /// Which.
        operator: String,
        /// Its node.
        node: String,
    },
    /// An operator that is used in a way that there is no kernel for.
    #[error("operator {operator} (node `{node}`): {why}")]
    Operator {
        /// Which.
        operator: String,
        /// Its node.
        node: String,
        /// What is not supported.
        why: String,
    },
    /// A value without elements.
    #[error("a value of shape {shape:?} has no elements")]
    Empty {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A value with more axes than any model of a book has.
    #[error("a value has {axes} axes, {AXES_MAX} are the limit")]
    TooManyAxes {
        /// How many.
        axes: usize,
    },
    /// The plan would need more memory than any model that keeps up with a book.
    #[error("the plan needs {elements} floats of memory, {MEMORY_MAX} are the limit")]
    TooLarge {
        /// How much.
        elements: usize,
    },
}

impl Plan {
    /// The plan for a graph's output of that name, for an input of that shape. Slow, and allocates.
    ///
    /// # Errors
    /// [`PlanError`]: the operator that is not supported, and which are.
    pub fn compile(onnx: &[u8], output: &str, shape: &[usize]) -> Result<Self, PlanError> {
        let proto = tract_onnx::onnx().proto_model_for_read(&mut &*onnx);
        let proto = proto.map_err(|error| PlanError::NotOnnx(error.into()))?;
        Self::of_proto(&proto, output, shape)
    }

    pub(super) fn of_proto(proto: &pb::ModelProto, output: &str, shape: &[usize]) -> Result<Self, PlanError> {
        let mut lowered = lower::lower(proto, output, shape)?;
        let input_len: usize = shape.iter().product();
        let row = shape.last().copied().filter(|row| *row > 0).unwrap_or(input_len);
        let passes = passes::passes(&mut lowered.steps, &lowered.buffers, &lowered.output, row);
        let usual = passes.slide.as_ref().unwrap_or(&passes.alone);
        for (index, step) in lowered.steps.iter_mut().enumerate() {
            step.lay_out(passes::items_of(usual, index) >= BLOCK_MIN);
        }
        let mut memory_len = 0_usize;
        let mut places = Vec::new();
        for (buffer, len) in lowered.buffers.iter().enumerate() {
            places.push((memory_len, *len));
            let is_ring = passes.rings.iter().any(|ring| ring.buffer == buffer);
            memory_len += (if is_ring { 2 * len } else { *len }).next_multiple_of(step::LANES);
        }
        if memory_len > MEMORY_MAX {
            return Err(PlanError::TooLarge { elements: memory_len });
        }
        let view = &lowered.output;
        Ok(Self {
            steps: lowered.steps,
            passes,
            places,
            memory_len,
            row,
            output: view.offset..view.offset + view.len(),
            output_buffer: view.buffer,
            output_shape: view.shape.clone(),
            arch: Arch::new(),
        })
    }

    /// Memory to run it in.
    pub fn memory(&self) -> Memory {
        Memory {
            values: vec![0.0; self.memory_len].into_boxed_slice(),
            bases: self.places.iter().map(|(start, _)| *start).collect(),
            is_warm: false,
            slides: 0,
            input: Input::Window,
        }
    }

    /// The shape of what it answers.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Elements of a row of the input: what a slide brings.
    pub fn row_len(&self) -> usize {
        self.row
    }

    /// Where the next input goes, row by row, as a whole.
    pub fn input<'m>(&self, memory: &'m mut Memory) -> &'m mut [f32] {
        memory.input = Input::Window;
        memory.is_warm = false;
        &mut memory.values[memory.bases[0]..][..self.places[0].1]
    }

    /// Moves the window by a row, and says where the new one goes. What was computed for the rows that stay is not
    /// computed again, and the answer is the same to the bit as that to the whole window.
    pub fn next_row<'m>(&self, memory: &'m mut Memory) -> &'m mut [f32] {
        let len = self.places[0].1;
        let newest = len - self.row;
        if self.row < len {
            let written = match memory.input {
                Input::Row => newest..len,
                Input::Window => 0..len,
            };
            let (start, base) = (self.places[0].0, memory.bases[0]);
            kernels::write_twice(&mut memory.values[start..], base - start, len, written);
        }
        for ring in &self.passes.rings {
            let start = self.places[ring.buffer].0;
            let base = &mut memory.bases[ring.buffer];
            *base += ring.shift;
            if *base == start + ring.len {
                *base = start;
            }
        }
        memory.slides += 1;
        memory.input = Input::Row;
        &mut memory.values[memory.bases[0] + newest..][..self.row]
    }

    /// The answer to what stands in the input. Allocates nothing.
    pub fn run<'m>(&self, memory: &'m mut Memory) -> &'m [f32] {
        let passes = &self.passes;
        let (pass, is_warm) = match (&passes.slide, memory.input) {
            (Some(slide), Input::Row) if memory.is_warm && memory.slides == 1 => (slide, true),
            (Some(_), Input::Row) => (&passes.whole, true),
            _ => (&passes.alone, false),
        };
        self.arch.dispatch(kernels::Run {
            steps: &self.steps,
            pass,
            places: &self.places,
            bases: &memory.bases,
            writes_twice: is_warm,
            memory: &mut memory.values,
        });
        memory.is_warm = is_warm;
        memory.slides = 0;
        &memory.values[memory.bases[self.output_buffer]..][self.output.clone()]
    }
}

/// Fewer positions of a convolution are computed one by one: what is gained by several at once is then lost by shorter
/// chains of sums.
const BLOCK_MIN: usize = 4;

/// More floats no value may have, and all of them together: twenty times what a large model of a book needs. A plan lists
/// where each run of them goes, so this bounds too how long it takes to make one.
const MEMORY_MAX: usize = 4 << 20;

/// Axes of a value: batch, channels, rows, columns, and as many for what stands between reshapings.
const AXES_MAX: usize = 8;
