//! Functions of rows: softmax, and what makes one element of many.

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::onnx::Node;
use super::super::step::{RowFunction, Rows, Step};
use super::super::tensor::{View, axis_of};
use super::{Lowering, Value};

impl Lowering<'_> {
    pub(super) fn softmax(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let view = self.computed(node, 0)?;
        let is_flat = self.opset < 13;
        let axis = view
            .axis(node.int("axis", if is_flat { 1 } else { -1 }))
            .ok_or_else(|| node.refused("its axis is not there"))?;
        let function = if node.op() == "Softmax" {
            RowFunction::Softmax
        } else {
            RowFunction::LogSoftmax
        };
        if is_flat && axis + 1 != view.rank() {
            // Of old, all axes from that one on were one row.
            let dense = self.dense(view);
            let (rows, len) = dense.shape.split_at(axis);
            let flat = [rows.iter().product(), len.iter().product()];
            let rows = dense
                .reshaped(&flat)
                .ok_or_else(|| node.refused("its input is not dense"))?;
            let out = self.rows(rows, function);
            return Ok(Value::Computed(out.reshaped(&dense.shape).unwrap_or(out)));
        }
        let last: Vec<usize> = (0..view.rank()).filter(|other| *other != axis).chain([axis]).collect();
        let out = self.rows(view.permuted(&last), function);
        let mut back = vec![0; last.len()];
        for (place, axis) in last.iter().enumerate() {
            back[*axis] = place;
        }
        Ok(Value::Computed(out.permuted(&back)))
    }

    /// A function of the rows along the last axis.
    pub(super) fn rows(&mut self, view: View, function: RowFunction) -> View {
        let view = if view.rank() == 0 { view.with_ones(&[0]) } else { view };
        let last = view.rank() - 1;
        let view = self.with_dense_axis(view, last);
        let len = view.shape[last];
        let shape = match function.is_reduction() {
            true => view.shape[..last].to_vec(),
            false => view.shape.clone(),
        };
        let to = View::whole(self.buffers.len(), shape);
        let width = if function.is_reduction() { 1 } else { len };
        let from = view.sliced(last, 0, 1, 1);
        let rows = from
            .places()
            .enumerate()
            .map(|(row, place)| (place as u32, (row * width) as u32))
            .collect();
        self.push(
            to.len(),
            Step::Rows(Rows {
                input: view.buffer,
                function,
                len,
                rows,
            }),
        );
        to
    }

    pub(super) fn reduce(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let (function, after) = match &*node.op() {
            "ReduceSum" => (RowFunction::Sum, None),
            "ReduceMean" => (RowFunction::Mean, None),
            "ReduceMax" => (RowFunction::Max, None),
            "ReduceMin" => (RowFunction::Min, None),
            "ReduceSumSquare" => (RowFunction::SumOfSquares, None),
            "ReduceL2" => (RowFunction::SumOfSquares, Some(Activation::Sqrt)),
            other => {
                return Err(PlanError::Unsupported {
                    operator: other.to_owned(),
                    node: node.0.name.clone(),
                });
            }
        };
        let view = self.computed(node, 0)?;
        // An attribute of old, an input since.
        let axes = match self.integers(node, 1)? {
            Some(axes) => axes,
            None => node.ints("axes").to_vec(),
        };
        if axes.is_empty() && node.int("noop_with_empty_axes", 0) != 0 {
            return Ok(Value::Computed(view));
        }
        let mut axes: Vec<usize> = match axes.is_empty() {
            true => (0..view.rank()).collect(),
            false => axes
                .iter()
                .map(|axis| axis_of(*axis, view.rank()))
                .collect::<Option<_>>()
                .ok_or_else(|| node.refused("its axes are not there"))?,
        };
        axes.sort_unstable();
        if axes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(node.refused("it names an axis twice"));
        }
        let out = self.reduced(view, &axes, function);
        let out = match after {
            Some(function) => self.mapped(out, function),
            None => out,
        };
        Ok(Value::Computed(match node.int("keepdims", 1) {
            0 => out,
            _ => out.with_ones(&axes),
        }))
    }

    /// One element for all of these axes, which are gone.
    pub(super) fn reduced(&mut self, view: View, axes: &[usize], function: RowFunction) -> View {
        let kept: Vec<usize> = (0..view.rank()).filter(|axis| !axes.contains(axis)).collect();
        let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
        let len: usize = axes.iter().map(|axis| view.shape[*axis]).product();
        let shape: Vec<usize> = kept.iter().map(|axis| view.shape[*axis]).chain([len]).collect();
        let view = view.permuted(&order);
        let flat = match view.reshaped(&shape) {
            Some(flat) => flat,
            None => {
                let dense = self.dense(view);
                dense.reshaped(&shape).unwrap_or(dense)
            }
        };
        self.rows(flat, function)
    }
}
