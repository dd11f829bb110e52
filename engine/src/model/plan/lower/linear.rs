//! Dense layers.

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::onnx::Node;
use super::super::step::{Affine, Binary, LANES, Position, Segment, Step};
use super::super::tensor::{Data, Tensor, View};
use super::super::weights::Weights;
use super::{Lowering, Value};

impl Lowering<'_> {
    /// `alpha A B + beta C`.
    pub(super) fn gemm(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let mut input = self.computed(node, 0)?;
        if node.int("transA", 0) != 0 {
            input = input.permuted(&[1, 0]);
        }
        let weights = self.matrix(node, 1, node.int("transB", 0) != 0)?;
        let scaled = |tensor: &Tensor, by: f32| {
            let values = tensor.f32s()?.iter().map(|value| value * by);
            Some(Tensor {
                shape: tensor.shape.clone(),
                data: Data::F32(values.collect()),
            })
        };
        let not_floats = |index: usize| node.refused(format!("input {index} has to be of floats"));
        let weights = scaled(&weights, node.float("alpha", 1.0)).ok_or_else(|| not_floats(1))?;
        let addend = self.constant(node, 2)?;
        let addend = addend.map(|addend| scaled(addend, node.float("beta", 1.0)).ok_or_else(|| not_floats(2)));
        let addend = addend.transpose()?;
        let out = Value::Computed(self.dense_layer(node, input, &weights)?);
        match addend {
            Some(addend) => self.combined(node, Binary::Add, out, Value::Constant(addend)),
            None => Ok(out),
        }
    }

    pub(super) fn matmul(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let input = self.computed(node, 0)?;
        let weights = self.matrix(node, 1, false)?;
        Ok(Value::Computed(self.dense_layer(node, input, &weights)?))
    }

    /// A constant input of rank two, a row for each input of the layer.
    fn matrix(&self, node: Node<'_>, index: usize, is_transposed: bool) -> Result<Tensor, PlanError> {
        let refused = || node.refused(format!("input {index} has to be a constant matrix of floats"));
        let tensor = self.constant(node, index)?.filter(|tensor| tensor.f32s().is_some());
        let tensor = tensor.ok_or_else(refused)?;
        match tensor.shape.len() {
            1 if !is_transposed => Ok(Tensor {
                shape: vec![tensor.shape[0], 1],
                data: tensor.data.clone(),
            }),
            2 if is_transposed => Ok(tensor.through(&tensor.view().permuted(&[1, 0]))),
            2 => Ok(tensor.clone()),
            _ => Err(refused()),
        }
    }

    /// The last axis of a value through a matrix.
    pub(super) fn dense_layer(&mut self, node: Node<'_>, input: View, weights: &Tensor) -> Result<View, PlanError> {
        let [inputs, columns] = weights.shape[..] else {
            return Err(node.refused("its weights are no matrix"));
        };
        if columns == 0 || inputs == 0 {
            return Err(node.refused("its weights are empty"));
        }
        let last = input.rank().checked_sub(1).filter(|last| input.shape[*last] == inputs);
        let last =
            last.ok_or_else(|| node.refused(format!("its weights are for {inputs} inputs, it has {:?}", input.shape)))?;
        let input = self.with_dense_axis(input, last);
        let mut shape = input.shape.clone();
        shape[last] = columns;
        Self::bounded(&shape)?;
        let weights = Weights::padded(weights.f32s().unwrap_or(&[]), columns);
        let bias = vec![0.0; columns.next_multiple_of(LANES)];
        Ok(View::whole(self.affine_rows(&input, weights, bias, columns), shape))
    }

    /// The rows along the last axis of a value, which are dense, through padded weights: the buffer with a row for each.
    pub(super) fn affine_rows(&mut self, input: &View, weights: Weights, bias: Vec<f32>, columns: usize) -> usize {
        let last = input.rank() - 1;
        let len = input.shape[last] as u32;
        let rows = input.sliced(last, 0, 1, 1);
        let segment = |x: usize| Segment {
            x: x as u32,
            row: 0,
            len,
        };
        let segments: Vec<Segment> = rows.places().map(segment).collect();
        let position = |row: usize| Position {
            out: (row * columns) as u32,
            first: row as u32,
            last: row as u32 + 1,
        };
        let step = Affine {
            input: input.buffer,
            positions: (0..segments.len()).map(position).collect(),
            segments,
            weights,
            bias,
            columns,
            activation: Activation::Identity,
            after: None,
            alike: Vec::new(),
        };
        self.push(rows.len() * columns, Step::Affine(step))
    }
}
