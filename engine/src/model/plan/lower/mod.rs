//! From a graph to steps: node by node, in the order of the file.
//!
//! What is known when the plan is made is done then: constants are folded, weights laid out, batch normalisations and
//! biases put into the layer before them, activations into the step that they follow. A value that is only looked at in
//! another way is a [`View`], not a step. What is not needed for the output that is asked for is not there.
//!
//! Every step writes one buffer: step `n` writes buffer `n + 1`, and buffer 0 is the input.

mod convolution;
mod elementwise;
mod ensemble;
mod forest;
mod linear;
mod listing;
mod pieces;
mod rearrange;
mod recurrent;
mod rows;

use std::collections::{HashMap, HashSet};

use tract_onnx::pb;

use super::kernels::activation::Activation;
use super::onnx::{self, Node};
use super::step::{Affine, Map, Operand, Run, Step};
use super::tensor::{Data, Tensor, View, row_strides};
use super::{AXES_MAX, MEMORY_MAX, PlanError};

/// What a name of the graph stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Tensor),
    Computed(View),
    /// Zeros around a value, which are written only if somebody does not understand them: by axis, before and after.
    Padded(View, Vec<[usize; 2]>),
}

impl Value {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Constant(tensor) => tensor.shape.clone(),
            Self::Computed(view) => view.shape.clone(),
            Self::Padded(view, around) => view.shape.iter().zip(around).map(|(len, [a, b])| a + len + b).collect(),
        }
    }
}

/// A graph on its way to a plan.
pub(super) struct Lowering<'a> {
    values: HashMap<&'a str, Value>,
    uses: HashMap<&'a str, usize>,
    /// The version of ONNX's own operators.
    opset: i64,
    /// Elements of each buffer.
    pub(super) buffers: Vec<usize>,
    pub(super) steps: Vec<Step>,
    /// By buffer: it has several readers, so its step has to leave it as it is.
    shared: Vec<bool>,
}

/// What is left to know of a lowered graph.
pub(super) struct Lowered {
    pub(super) buffers: Vec<usize>,
    pub(super) steps: Vec<Step>,
    /// Where the output is: its buffer, and where in it.
    pub(super) output: View,
}

/// Lowers what leads to `output`, for an input of that shape.
pub(super) fn lower(proto: &pb::ModelProto, output: &str, shape: &[usize]) -> Result<Lowered, PlanError> {
    let graph = proto.graph.as_ref().ok_or(PlanError::NoGraph)?;
    let opset = proto
        .opset_import
        .iter()
        .find(|set| matches!(&*set.domain, "" | "ai.onnx"));
    Lowering::bounded(shape)?;
    let mut lowering = Lowering {
        values: HashMap::new(),
        uses: HashMap::new(),
        opset: opset.map_or(1, |set| set.version),
        buffers: vec![shape.iter().product()],
        steps: Vec::new(),
        shared: vec![false],
    };
    let nodes = reachable(graph, output)?;
    for node in &nodes {
        for name in &node.0.input {
            *lowering.uses.entry(name).or_default() += 1;
        }
    }
    *lowering.uses.entry(output).or_default() += 1;
    for constant in &graph.initializer {
        if lowering.uses.contains_key(&*constant.name) {
            lowering
                .values
                .insert(&constant.name, Value::Constant(onnx::tensor(constant)?));
        }
    }
    let is_constant = |name: &str| graph.initializer.iter().any(|constant| constant.name == name);
    let input = graph
        .input
        .iter()
        .find(|input| !is_constant(&input.name))
        .ok_or(PlanError::NoInput)?;
    lowering.tell(&input.name, Value::Computed(View::whole(0, shape.to_vec())));
    for node in nodes {
        lowering.node(node)?;
    }
    let value = lowering.values.get(output).cloned();
    let view = lowering.computed_value(value.ok_or(PlanError::NoOutput {
        name: output.to_owned(),
    })?);
    let view = lowering.dense(view.ok_or(PlanError::ConstantOutput)?);
    Ok(Lowered {
        buffers: lowering.buffers,
        steps: lowering.steps,
        output: view,
    })
}

/// The nodes that lead to an output, in their order.
fn reachable<'a>(graph: &'a pb::GraphProto, output: &str) -> Result<Vec<Node<'a>>, PlanError> {
    let mut wanted = HashSet::from([output]);
    let mut nodes = Vec::new();
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|name| wanted.contains(&**name)) {
            wanted.extend(node.input.iter().map(|name| &**name));
            nodes.push(Node(node));
        }
    }
    nodes.reverse();
    if nodes.is_empty() {
        return Err(PlanError::NoOutput {
            name: output.to_owned(),
        });
    }
    Ok(nodes)
}

impl<'a> Lowering<'a> {
    fn node(&mut self, node: Node<'a>) -> Result<(), PlanError> {
        let value = match &*node.op() {
            "Constant" => Value::Constant(
                node.tensor()?
                    .ok_or_else(|| node.refused("its value is of no kind that is read"))?,
            ),
            "Identity" | "Dropout" | "ai.onnx.ml:ZipMap" => self.value(node, 0)?.clone(),
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.matmul(node)?,
            "Conv" => self.conv(node)?,
            "MaxPool" | "AveragePool" => self.pool(node)?,
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(node)?,
            "LSTM" => return self.lstm(node),
            "GRU" => return self.gru(node),
            "BatchNormalization" => self.batch_normalisation(node)?,
            "Softmax" | "LogSoftmax" => self.softmax(node)?,
            op if op.starts_with("Reduce") => self.reduce(node)?,
            op if op.starts_with("ai.onnx.ml:") => self.of_ml(node)?,
            op => match self.rearranged(node)? {
                Some(value) => value,
                None if elementwise::unary(node).is_some() => self.unary(node)?,
                None if elementwise::binary(op).is_some() => self.binary(node)?,
                None => {
                    return Err(PlanError::Unsupported {
                        operator: node.op(),
                        node: node.0.name.clone(),
                    });
                }
            },
        };
        if !matches!(value, Value::Constant(_)) {
            Self::bounded(&value.shape())?;
        }
        match node.output(0) {
            Some(name) => self.tell(name, value),
            None => return Err(node.refused("it has no output")),
        }
        Ok(())
    }

    fn tell(&mut self, name: &'a str, value: Value) {
        let uses = self.uses.get(name).copied().unwrap_or(0);
        if let Value::Computed(view) | Value::Padded(view, _) = &value
            && uses > 1
        {
            self.shared[view.buffer] = true;
        }
        self.values.insert(name, value);
    }

    fn value(&self, node: Node<'_>, index: usize) -> Result<&Value, PlanError> {
        let name = node
            .input(index)
            .ok_or_else(|| node.refused(format!("input {index} is missing")))?;
        let missing = || node.refused(format!("its input `{name}` is not made by any node before it"));
        self.values.get(name).ok_or_else(missing)
    }

    /// A constant input; `None` where it is left out.
    fn constant(&self, node: Node<'_>, index: usize) -> Result<Option<&Tensor>, PlanError> {
        if node.input(index).is_none() {
            return Ok(None);
        }
        match self.value(node, index)? {
            Value::Constant(tensor) => Ok(Some(tensor)),
            _ => Err(node.refused(format!("input {index} has to be a constant"))),
        }
    }

    /// A constant input of floats.
    fn floats(&self, node: Node<'_>, index: usize) -> Result<Option<&[f32]>, PlanError> {
        let not_floats = || node.refused(format!("input {index} has to be of floats"));
        let tensor = self.constant(node, index)?;
        tensor.map(|tensor| tensor.f32s().ok_or_else(not_floats)).transpose()
    }

    /// A constant input of whole numbers.
    fn integers(&self, node: Node<'_>, index: usize) -> Result<Option<Vec<i64>>, PlanError> {
        let not_whole = || node.refused(format!("input {index} has to be of whole numbers"));
        let tensor = self.constant(node, index)?;
        tensor
            .map(|tensor| tensor.i64s().map(<[i64]>::to_vec).ok_or_else(not_whole))
            .transpose()
    }

    /// A computed input.
    fn computed(&mut self, node: Node<'_>, index: usize) -> Result<View, PlanError> {
        let value = self.value(node, index)?.clone();
        self.computed_value(value)
            .ok_or_else(|| node.refused(format!("input {index} is a constant, which is not supported there")))
    }

    fn computed_value(&mut self, value: Value) -> Option<View> {
        match value {
            Value::Constant(_) => None,
            Value::Computed(view) => Some(view),
            Value::Padded(view, around) => Some(self.padded(&view, &around)),
        }
    }

    /// Writes zeros around a value. Memory is zero where no step writes, so only the value is copied.
    fn padded(&mut self, view: &View, around: &[[usize; 2]]) -> View {
        let order = by_stride(view);
        let shape: Vec<usize> = view.shape.iter().zip(around).map(|(len, [a, b])| a + len + b).collect();
        let whole = ordered(self.buffers.len(), &shape, &order);
        let mut inside = whole.clone();
        for (axis, [before, _]) in around.iter().enumerate() {
            inside = inside.sliced(axis, *before, 1, view.shape[axis]);
        }
        self.copy_into(view, &inside, whole.len());
        whole
    }

    /// Refuses a value that has no elements, more axes than any model has, or would need more memory than a whole plan may
    /// have.
    fn bounded(shape: &[usize]) -> Result<(), PlanError> {
        if shape.len() > AXES_MAX {
            return Err(PlanError::TooManyAxes { axes: shape.len() });
        }
        let elements = shape
            .iter()
            .try_fold(1_usize, |count, len| count.checked_mul(*len))
            .unwrap_or(usize::MAX);
        match elements {
            0 => Err(PlanError::Empty { shape: shape.to_vec() }),
            1..=MEMORY_MAX => Ok(()),
            _ => Err(PlanError::TooLarge { elements }),
        }
    }

    /// A new buffer for the step that is pushed next.
    fn push(&mut self, len: usize, step: Step) -> usize {
        self.buffers.push(len);
        self.shared.push(false);
        self.steps.push(step);
        self.buffers.len() - 1
    }

    fn copy_into(&mut self, from: &View, to: &View, len: usize) {
        let (runs, step, _) = runs(to, from, None);
        self.push(
            len,
            Step::Map(Map {
                input: from.buffer,
                function: Activation::Identity,
                runs,
                step,
            }),
        );
    }

    /// The same value, row by row in one piece.
    fn dense(&mut self, view: View) -> View {
        let strides = row_strides(&view.shape);
        let is_dense = view
            .shape
            .iter()
            .zip(view.strides.iter().zip(&strides))
            .all(|(len, (own, dense))| *len == 1 || own == dense);
        if is_dense {
            return View { strides, ..view };
        }
        let to = View::whole(self.buffers.len(), view.shape.clone());
        self.copy_into(&view, &to, to.len());
        to
    }

    /// The same value with the elements of an axis next to each other.
    fn with_dense_axis(&mut self, view: View, axis: usize) -> View {
        if view.shape[axis] <= 1 || view.strides[axis] == 1 {
            return view;
        }
        let mut order: Vec<usize> = (0..view.rank()).filter(|other| *other != axis).collect();
        order.push(axis);
        let to = ordered(self.buffers.len(), &view.shape, &order);
        self.copy_into(&view, &to, to.len());
        to
    }

    /// The affine step that made a value, if nobody else reads it: more can be put into it.
    fn own_affine(&mut self, view: &View) -> Option<&mut Affine> {
        if self.shared[view.buffer] {
            return None;
        }
        match self.steps.get_mut(view.buffer.checked_sub(1)?) {
            Some(Step::Affine(step)) => Some(step),
            _ => None,
        }
    }

    fn operand(value: &Value) -> Operand {
        match value {
            Value::Constant(Tensor {
                data: Data::F32(values),
                ..
            }) => Operand::Constant(values.clone()),
            Value::Constant(Tensor {
                data: Data::I64(values),
                ..
            }) => Operand::Constant(values.iter().map(|value| *value as f32).collect()),
            Value::Computed(view) | Value::Padded(view, _) => Operand::Buffer(view.buffer),
        }
    }
}

/// The axes of a view, the one with the widest strides first.
fn by_stride(view: &View) -> Vec<usize> {
    let mut order: Vec<usize> = (0..view.rank()).collect();
    // Stable: axes without a stride of their own keep their places.
    order.sort_by_key(|axis| {
        std::cmp::Reverse(if view.shape[*axis] == 1 {
            usize::MAX
        } else {
            view.strides[*axis]
        })
    });
    order
}

/// All of a new buffer, whose last axis in `order` is dense.
fn ordered(buffer: usize, shape: &[usize], order: &[usize]) -> View {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for axis in order.iter().rev() {
        strides[*axis] = stride;
        stride *= shape[*axis];
    }
    View {
        buffer,
        offset: 0,
        shape: shape.to_vec(),
        strides,
    }
}

/// The elements of `out`, in runs of neighbours, with where those of `a` and `b` lie, and how far apart these are.
fn runs(out: &View, a: &View, b: Option<&View>) -> (Vec<Run>, u32, u32) {
    let b = b.unwrap_or(a);
    // Axes from the widest to the densest; those that follow each other in all three are one.
    let mut axes: Vec<[usize; 4]> = Vec::new();
    for axis in by_stride(out) {
        let [len, o, a, b] = [out.shape[axis], out.strides[axis], a.strides[axis], b.strides[axis]];
        match axes.last_mut() {
            _ if len == 1 => {}
            Some(last) if last[1] == len * o && last[2] == len * a && last[3] == len * b => {
                *last = [last[0] * len, o, a, b];
            }
            _ => axes.push([len, o, a, b]),
        }
    }
    let [len, stride, a_step, b_step] = axes.pop().unwrap_or([1, 1, 1, 1]);
    debug_assert!(stride == 1, "outputs are dense");
    let outer = |strides: usize, view: &View| View {
        buffer: 0,
        offset: view.offset,
        shape: axes.iter().map(|axis| axis[0]).collect(),
        strides: axes.iter().map(|axis| axis[strides]).collect(),
    };
    let (out, a, b) = (outer(1, out), outer(2, a), outer(3, b));
    let places = out.places().zip(a.places().zip(b.places()));
    let runs = places.map(|(out, (a, b))| Run {
        out: out as u32,
        a: a as u32,
        b: b as u32,
        len: len as u32,
    });
    (runs.collect(), a_step as u32, b_step as u32)
}
