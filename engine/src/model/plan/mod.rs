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
//! - `step.rs`: what a plan consists of; `kernels/`: what runs it.

mod kernels;
mod lower;
mod need;
mod onnx;
mod step;
mod tensor;
#[cfg(test)]
mod tests;

use pulp::Arch;
use tract_onnx::pb;
use tract_onnx::prelude::Framework as _;

use step::Step;

/// Operators that a plan can have, for those who are refused.
pub const SUPPORTED: &str = "Abs, Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Constant, ConstantOfShape, Conv, Div, \
    Dropout, Elu, Erf, Exp, Expand, Flatten, GRU, Gather, Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, Identity, LSTM, \
    LeakyRelu, Log, LogSoftmax, MatMul, Max, MaxPool, Min, Mul, Neg, Pad, Pow, Range, Reciprocal, ReduceL2, ReduceMax, ReduceMean, \
    ReduceMin, ReduceSum, ReduceSumSquare, Relu, Reshape, Selu, Shape, Sigmoid, Size, Slice, Softmax, Softplus, Softsign, Sqrt, \
    Squeeze, Sub, Sum, Tanh, Transpose, Unsqueeze, ai.onnx.ml: LinearClassifier, LinearRegressor, Normalizer, Scaler, \
    TreeEnsembleClassifier, TreeEnsembleRegressor, ZipMap";

/// A model that is ready to run.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    /// Where each buffer begins in memory, and where the last one ends.
    bounds: Vec<usize>,
    input_len: usize,
    output: std::ops::Range<usize>,
    output_shape: Vec<usize>,
    arch: Arch,
}

/// What a plan works in: one for each that runs it at the same time.
#[derive(Clone, Debug)]
pub struct Memory(Box<[f32]>);

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
        need::prune(&mut lowered.steps, &lowered.buffers, &lowered.output);
        let mut bounds = vec![0];
        let mut end = 0_usize;
        for len in &lowered.buffers {
            end += len.next_multiple_of(step::LANES);
            bounds.push(end);
        }
        if end > MEMORY_MAX {
            return Err(PlanError::TooLarge { elements: end });
        }
        let view = &lowered.output;
        let from = bounds[view.buffer] + view.offset;
        Ok(Self {
            steps: lowered.steps,
            input_len: shape.iter().product(),
            output: from..from + view.len(),
            output_shape: view.shape.clone(),
            bounds,
            arch: Arch::new(),
        })
    }

    /// Memory to run it in.
    pub fn memory(&self) -> Memory {
        Memory(vec![0.0; self.bounds.last().copied().unwrap_or(0)].into_boxed_slice())
    }

    /// The shape of what it answers.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Where the next input goes, row by row.
    pub fn input<'m>(&self, memory: &'m mut Memory) -> &'m mut [f32] {
        &mut memory.0[..self.input_len]
    }

    /// The answer to what stands in the input. Allocates nothing.
    pub fn run<'m>(&self, memory: &'m mut Memory) -> &'m [f32] {
        self.arch.dispatch(kernels::Run {
            steps: &self.steps,
            bounds: &self.bounds,
            memory: &mut memory.0,
        });
        &memory.0[self.output.clone()]
    }
}

/// More floats no value may have, and all of them together: a hundred times what a model of a book needs.
const MEMORY_MAX: usize = 16 << 20;
