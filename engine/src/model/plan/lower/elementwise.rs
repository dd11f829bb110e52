//! Functions of each element.

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::onnx::Node;
use super::super::step::{Binary, Combine, LANES, Map, Step};
use super::super::tensor::{Data, Tensor, View, common_shape};
use super::{Lowering, Value, by_stride, ordered, runs};

/// The function of an operator with one input; those with constants besides are found by [`Lowering::unary`].
pub(super) fn unary(node: Node<'_>) -> Option<Activation> {
    Some(match &*node.op() {
        "Relu" => Activation::Relu,
        "LeakyRelu" => Activation::LeakyRelu(node.float("alpha", 0.01)),
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Exp" => Activation::Exp,
        "Log" => Activation::Log,
        "Sqrt" => Activation::Sqrt,
        "Abs" => Activation::Abs,
        "Neg" => Activation::Neg,
        "Reciprocal" => Activation::Reciprocal,
        "Elu" => Activation::Elu(node.float("alpha", 1.0)),
        "Selu" => Activation::Selu(node.float("alpha", 1.673_263_2), node.float("gamma", 1.050_701)),
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "HardSigmoid" => Activation::HardSigmoid(node.float("alpha", 0.2), node.float("beta", 0.5)),
        "Erf" => Activation::Erf,
        "Clip" => Activation::Clip(f32::MIN, f32::MAX),
        _ => return None,
    })
}

pub(super) fn binary(op: &str) -> Option<Binary> {
    Some(match op {
        "Add" | "Sum" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        "Pow" => Binary::Pow,
        _ => return None,
    })
}

impl<'a> Lowering<'a> {
    pub(super) fn unary(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let mut function = unary(node).unwrap_or(Activation::Identity);
        if let Activation::Clip(low, high) = &mut function {
            // Attributes before version 11, inputs since.
            let bound =
                |index: usize| Ok::<_, PlanError>(self.floats(node, index)?.and_then(|values| values.first().copied()));
            *low = bound(1)?.unwrap_or_else(|| node.float("min", f32::MIN));
            *high = bound(2)?.unwrap_or_else(|| node.float("max", f32::MAX));
        }
        if let Value::Constant(tensor) = self.value(node, 0)? {
            let values = tensor
                .f32s()
                .ok_or_else(|| node.refused("its constant is not of floats"))?;
            return Ok(Value::Constant(Tensor {
                shape: tensor.shape.clone(),
                data: Data::F32(values.iter().map(|value| function.of_one(*value)).collect()),
            }));
        }
        let view = self.computed(node, 0)?;
        Ok(Value::Computed(self.mapped(view, function)))
    }

    /// A function of each element: put into the step before it, where that may be.
    pub(super) fn mapped(&mut self, view: View, function: Activation) -> View {
        if let Some(step) = self.own_affine(&view)
            && step.activation == Activation::Identity
            && step.after.is_none()
        {
            step.activation = function;
            return view;
        }
        let to = ordered(self.buffers.len(), &view.shape, &by_stride(&view));
        let (runs, step, _) = runs(&to, &view, None);
        self.push(
            to.len(),
            Step::Map(Map {
                input: view.buffer,
                function,
                runs,
                step,
            }),
        );
        to
    }

    pub(super) fn binary(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let function = binary(&node.op()).unwrap_or(Binary::Add);
        let mut value = self.value(node, 0)?.clone();
        for index in 1..node.0.input.len() {
            let other = self.value(node, index)?.clone();
            value = self.combined(node, function, value, other)?;
        }
        Ok(value)
    }

    pub(super) fn combined(
        &mut self,
        node: Node<'_>,
        function: Binary,
        a: Value,
        b: Value,
    ) -> Result<Value, PlanError> {
        let shape = common_shape(&a.shape(), &b.shape()).ok_or_else(|| {
            node.refused(format!(
                "shapes {:?} and {:?} do not fit together",
                a.shape(),
                b.shape()
            ))
        })?;
        Self::bounded(&shape)?;
        match (&a, &b) {
            (Value::Constant(a), Value::Constant(b)) => {
                return folded(function, a, b, &shape)
                    .map(Value::Constant)
                    .ok_or_else(|| node.refused("on such constants"));
            }
            (Value::Computed(view), Value::Constant(constant))
                if view.shape == shape && self.absorbed(view, function, constant, false) =>
            {
                return Ok(a);
            }
            (Value::Constant(constant), Value::Computed(view))
                if view.shape == shape && self.absorbed(view, function, constant, true) =>
            {
                return Ok(b);
            }
            _ => {}
        }
        let unpadded = |lowering: &mut Self, value: Value| match value {
            Value::Padded(view, around) => Value::Computed(lowering.padded(&view, &around)),
            value => value,
        };
        let (a, b) = (unpadded(self, a), unpadded(self, b));
        let view_of = |value: &Value| match value {
            Value::Constant(tensor) => tensor.view(),
            Value::Computed(view) | Value::Padded(view, _) => view.clone(),
        };
        let stretched = |value: &Value| {
            view_of(value)
                .stretched(&shape)
                .expect("the common shape was made of it")
        };
        let (a_view, b_view) = (stretched(&a), stretched(&b));
        let like = if matches!(a, Value::Constant(_)) {
            &b_view
        } else {
            &a_view
        };
        let to = ordered(self.buffers.len(), &shape, &by_stride(like));
        let (runs, a_step, b_step) = runs(&to, &a_view, Some(&b_view));
        self.push(
            to.len(),
            Step::Combine(Combine {
                function,
                a: Self::operand(&a),
                b: Self::operand(&b),
                runs,
                a_step,
                b_step,
            }),
        );
        Ok(Value::Computed(to))
    }

    /// Puts a sum or a product with a constant of each column into the affine step before it. `is_first`: the constant is
    /// the left one.
    fn absorbed(&mut self, view: &View, function: Binary, constant: &Tensor, is_first: bool) -> bool {
        let (Some(values), Some(stretched)) = (constant.f32s(), constant.view().stretched(&view.shape)) else {
            return false;
        };
        let Some(step) = self.own_affine(view) else {
            return false;
        };
        // The same for all elements of a column, or it is no function of the column.
        let mut columns = vec![None; step.columns];
        for (place, from) in view.places().zip(stretched.places()) {
            let (column, value) = (&mut columns[place % step.columns], values[from]);
            if column.is_some_and(|known: f32| known.to_bits() != value.to_bits()) {
                return false;
            }
            *column = Some(value);
        }
        let width = step.bias.len();
        let neutral = if matches!(function, Binary::Add | Binary::Sub) {
            0.0
        } else {
            1.0
        };
        let mut constant: Vec<f32> = columns.into_iter().map(|column| column.unwrap_or(neutral)).collect();
        constant.resize(width, neutral);
        let (scale, shift): (Vec<f32>, Vec<f32>) = match (function, is_first) {
            (Binary::Add, _) => constant.into_iter().map(|c| (1.0, c)).unzip(),
            (Binary::Sub, false) => constant.into_iter().map(|c| (1.0, -c)).unzip(),
            (Binary::Sub, true) => constant.into_iter().map(|c| (-1.0, c)).unzip(),
            (Binary::Mul, _) => constant.into_iter().map(|c| (c, 0.0)).unzip(),
            (Binary::Div, false) => constant.into_iter().map(|c| (1.0 / c, 0.0)).unzip(),
            _ => return false,
        };
        step.scale_and_shift(&scale, &shift);
        true
    }

    pub(super) fn batch_normalisation(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let constant = |index: usize| {
            self.floats(node, index)?
                .map(<[f32]>::to_vec)
                .ok_or_else(|| node.refused(format!("input {index} is missing")))
        };
        let [scale, bias, mean, variance] = [constant(1)?, constant(2)?, constant(3)?, constant(4)?];
        if node.int("training_mode", 0) != 0 {
            return Err(node.refused("it is in training mode"));
        }
        let epsilon = node.float("epsilon", 1e-5);
        let factor: Vec<f32> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        let offset: Vec<f32> = bias
            .iter()
            .zip(mean.iter().zip(&factor))
            .map(|(bias, (mean, factor))| bias - mean * factor)
            .collect();
        let view = self.computed(node, 0)?;
        if view.shape.get(1) != Some(&factor.len()) || offset.len() != factor.len() {
            return Err(node.refused("it has another number of channels than its input"));
        }
        let mut shape = vec![1; view.rank()];
        shape[1] = factor.len();
        let by_channel = |values: Vec<f32>| {
            Value::Constant(Tensor {
                shape: shape.clone(),
                data: Data::F32(values),
            })
        };
        let scaled = self.combined(node, Binary::Mul, Value::Computed(view), by_channel(factor))?;
        self.combined(node, Binary::Add, scaled, by_channel(offset))
    }
}

impl super::Affine {
    /// What comes of a row is multiplied by the one and moved by the other.
    fn scale_and_shift(&mut self, scale: &[f32], shift: &[f32]) {
        debug_assert!(scale.len() == self.bias.len() && scale.len().is_multiple_of(LANES));
        if self.activation == Activation::Identity && self.after.is_none() {
            self.weights.scale(scale);
            for (bias, (scale, shift)) in self.bias.iter_mut().zip(scale.iter().zip(shift)) {
                *bias = *bias * scale + shift;
            }
            return;
        }
        let (factors, offsets) = self
            .after
            .get_or_insert_with(|| (vec![1.0; scale.len()], vec![0.0; scale.len()]));
        for ((factor, offset), (scale, shift)) in factors.iter_mut().zip(offsets).zip(scale.iter().zip(shift)) {
            *factor *= scale;
            *offset = *offset * scale + shift;
        }
    }
}

/// Of two constants.
fn folded(function: Binary, a: &Tensor, b: &Tensor, shape: &[usize]) -> Option<Tensor> {
    let (a, b) = (
        a.through(&a.view().stretched(shape)?),
        b.through(&b.view().stretched(shape)?),
    );
    let data = match (a.data, b.data) {
        (Data::F32(a), Data::F32(b)) => Data::F32(a.into_iter().zip(b).map(|(a, b)| function.of(a, b)).collect()),
        (Data::I64(a), Data::I64(b)) => {
            let of = |(a, b): (i64, i64)| match function {
                Binary::Add => a.checked_add(b),
                Binary::Sub => a.checked_sub(b),
                Binary::Mul => a.checked_mul(b),
                Binary::Div => a.checked_div(b),
                Binary::Min => Some(a.min(b)),
                Binary::Max => Some(a.max(b)),
                Binary::Pow => None,
            };
            Data::I64(a.into_iter().zip(b).map(of).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Tensor {
        shape: shape.to_vec(),
        data,
    })
}
