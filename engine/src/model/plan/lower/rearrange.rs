//! Operators that only look at a value in another way, and those that find out about shapes.
//!
//! The same rules hold for constants and computed values: what a view does to a buffer it does to a constant at once.

use super::super::PlanError;
use super::super::onnx::Node;
use super::super::tensor::{Data, Tensor, View, axis_of};
use super::{Lowering, Value};

impl<'a> Lowering<'a> {
    /// `None` for an operator of another kind.
    pub(super) fn rearranged(&mut self, node: Node<'_>) -> Result<Option<Value>, PlanError> {
        Ok(Some(match &*node.op() {
            "Cast" => self.cast(node)?,
            "Shape" => {
                let shape = self.value(node, 0)?.shape();
                let (start, end) = (node.int("start", 0), node.int("end", i64::MAX));
                let bound =
                    |at: i64| if at < 0 { at + shape.len() as i64 } else { at }.clamp(0, shape.len() as i64) as usize;
                let dims = shape.get(bound(start)..bound(end)).unwrap_or(&[]);
                Value::Constant(Tensor::row(Data::I64(dims.iter().map(|len| *len as i64).collect())))
            }
            "Size" => {
                let count: usize = self.value(node, 0)?.shape().iter().product();
                Value::Constant(Tensor::scalar(Data::I64(vec![count as i64])))
            }
            "ConstantOfShape" => self.constant_of_shape(node)?,
            "Range" => self.range(node)?,
            "Transpose" => {
                let value = self.value(node, 0)?.clone();
                let rank = value.shape().len();
                let order: Option<Vec<usize>> = match node.ints("perm") {
                    [] => Some((0..rank).rev().collect()),
                    order => order.iter().map(|axis| axis_of(*axis, rank)).collect(),
                };
                let order = order
                    .filter(|order| order.len() == rank && (0..rank).all(|axis| order.contains(&axis)))
                    .ok_or_else(|| node.refused("its order of axes is wrong"))?;
                match value {
                    Value::Padded(view, around) => {
                        let around = order.iter().map(|axis| around[*axis]).collect();
                        Value::Padded(view.permuted(&order), around)
                    }
                    value => self.seen(value, |view| view.permuted(&order)),
                }
            }
            "Squeeze" => {
                let value = self.plain(node, 0)?;
                let axes = self.axes(node, 1, value.shape().len())?;
                let shape = value.shape();
                let is_gone = |axis: &usize| match &axes {
                    Some(axes) => axes.contains(axis),
                    None => shape[*axis] == 1,
                };
                let gone: Vec<usize> = (0..shape.len()).filter(is_gone).collect();
                if gone.iter().any(|axis| shape[*axis] != 1) {
                    return Err(node.refused("an axis that is to go has more than one element"));
                }
                self.seen(value, |view| {
                    gone.iter().rev().fold(view, |view, axis| view.selected(*axis, 0))
                })
            }
            "Unsqueeze" => {
                let value = self.plain(node, 0)?;
                let count = match self.integers(node, 1)? {
                    Some(axes) => axes.len(),
                    None => node.ints("axes").len(),
                };
                let mut axes = self.axes(node, 1, value.shape().len() + count)?.unwrap_or_default();
                axes.sort_unstable();
                if axes.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(node.refused("it names an axis twice"));
                }
                self.seen(value, |view| view.with_ones(&axes))
            }
            "Reshape" => {
                let value = self.plain(node, 0)?;
                let wanted = self
                    .integers(node, 1)?
                    .ok_or_else(|| node.refused("its shape is missing"))?;
                let shape = new_shape(&value.shape(), &wanted, node.int("allowzero", 0) != 0);
                let shape =
                    shape.ok_or_else(|| node.refused(format!("{:?} cannot become {wanted:?}", value.shape())))?;
                self.reshape(value, &shape)
            }
            "Flatten" => {
                let value = self.plain(node, 0)?;
                let shape = value.shape();
                let axis = node.int("axis", 1);
                let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
                let cut = usize::try_from(axis).ok().filter(|cut| *cut <= shape.len());
                let (rows, len) = shape.split_at(cut.ok_or_else(|| node.refused("its axis is not there"))?);
                self.reshape(value, &[rows.iter().product(), len.iter().product()])
            }
            "Expand" => {
                let value = self.plain(node, 0)?;
                let wanted = self.integers(node, 1)?.unwrap_or_default();
                let wanted: Option<Vec<usize>> = wanted.iter().map(|len| usize::try_from(*len).ok()).collect();
                let shape = wanted.and_then(|wanted| super::super::tensor::common_shape(&value.shape(), &wanted));
                let shape = shape.ok_or_else(|| node.refused("its shape does not fit"))?;
                Self::bounded(&shape)?;
                self.seen(value, |view| view.stretched(&shape).unwrap_or(view))
            }
            "Slice" => self.slice(node)?,
            "Split" => return Err(node.refused("only Slice is supported")),
            "Gather" => self.gather(node)?,
            "Concat" => {
                let values: Vec<Value> = (0..node.0.input.len())
                    .map(|index| self.plain(node, index))
                    .collect::<Result<_, _>>()?;
                let rank = values.first().map_or(0, |value| value.shape().len());
                let axis = axis_of(node.int("axis", 0), rank).ok_or_else(|| node.refused("its axis is not there"))?;
                self.joined(node, &values, axis)?
            }
            "Pad" => self.pad(node)?,
            _ => return Ok(None),
        }))
    }

    /// An input, with the zeros around it written out.
    pub(super) fn plain(&mut self, node: Node<'_>, index: usize) -> Result<Value, PlanError> {
        Ok(match self.value(node, index)?.clone() {
            Value::Padded(view, around) => Value::Computed(self.padded(&view, &around)),
            value => value,
        })
    }

    pub(super) fn seen(&self, value: Value, look: impl FnOnce(View) -> View) -> Value {
        match value {
            Value::Constant(tensor) => Value::Constant(tensor.through(&look(tensor.view()))),
            Value::Computed(view) | Value::Padded(view, _) => Value::Computed(look(view)),
        }
    }

    pub(super) fn reshape(&mut self, value: Value, shape: &[usize]) -> Value {
        match value {
            Value::Constant(tensor) => Value::Constant(Tensor {
                shape: shape.to_vec(),
                ..tensor
            }),
            Value::Computed(view) | Value::Padded(view, _) => Value::Computed(match view.reshaped(shape) {
                Some(view) => view,
                None => {
                    let dense = self.dense(view);
                    View::whole(dense.buffer, shape.to_vec())
                }
            }),
        }
    }

    /// Axes that are an attribute of old, and an input since.
    fn axes(&self, node: Node<'_>, index: usize, rank: usize) -> Result<Option<Vec<usize>>, PlanError> {
        let axes = match self.integers(node, index)? {
            Some(axes) => axes,
            None if node.has("axes") => node.ints("axes").to_vec(),
            None => return Ok(None),
        };
        let axes: Option<Vec<usize>> = axes.iter().map(|axis| axis_of(*axis, rank)).collect();
        axes.map(Some).ok_or_else(|| node.refused("its axes are not there"))
    }

    fn cast(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        const FLOAT: i64 = 1;
        const DOUBLE: i64 = 11;
        let to_float = matches!(node.int("to", FLOAT), FLOAT | DOUBLE);
        Ok(match (self.value(node, 0)?.clone(), to_float) {
            (Value::Constant(Tensor { shape, data }), _) => {
                let data = match (data, to_float) {
                    (Data::I64(values), true) => Data::F32(values.into_iter().map(|value| value as f32).collect()),
                    (Data::F32(values), false) => Data::I64(values.into_iter().map(|value| value as i64).collect()),
                    (data, _) => data,
                };
                Value::Constant(Tensor { shape, data })
            }
            (value, true) => value,
            (_, false) => return Err(node.refused("computed values are floats")),
        })
    }

    fn constant_of_shape(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let shape = self.integers(node, 0)?.unwrap_or_default();
        let shape: Option<Vec<usize>> = shape.iter().map(|len| usize::try_from(*len).ok()).collect();
        let shape = shape.ok_or_else(|| node.refused("its shape has a negative length"))?;
        let count = shape
            .iter()
            .try_fold(1_usize, |count, len| count.checked_mul(*len))
            .filter(|count| *count <= FOLDED_MAX);
        let count = count.ok_or_else(|| node.refused("its shape is too large"))?;
        let data = match node.tensor()?.map(|tensor| tensor.data) {
            Some(Data::I64(values)) => Data::I64(vec![values.first().copied().unwrap_or(0); count]),
            Some(Data::F32(values)) => Data::F32(vec![values.first().copied().unwrap_or(0.0); count]),
            None => Data::F32(vec![0.0; count]),
        };
        Ok(Value::Constant(Tensor { shape, data }))
    }

    fn range(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let of =
            |index: usize| Ok::<_, PlanError>(self.integers(node, index)?.and_then(|values| values.first().copied()));
        let (Some(start), Some(limit), Some(delta)) = (of(0)?, of(1)?, of(2)?) else {
            return Err(node.refused("its bounds are no constants"));
        };
        if delta == 0 || (limit - start) / delta > FOLDED_MAX as i64 {
            return Err(node.refused("its bounds are out of range"));
        }
        let count = ((limit - start + delta - delta.signum()) / delta).max(0);
        Ok(Value::Constant(Tensor::row(Data::I64(
            (0..count).map(|index| start + index * delta).collect(),
        ))))
    }

    fn pad(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let value = self.plain(node, 0)?;
        if node.text("mode", "constant") != "constant" {
            return Err(node.refused("only padding with a constant is supported"));
        }
        let filling = match self.floats(node, 2)? {
            Some(values) => values.first().copied().unwrap_or(0.0),
            None => node.float("value", 0.0),
        };
        let pads = match self.integers(node, 1)? {
            Some(pads) => pads,
            None => node.ints("pads").to_vec(),
        };
        let rank = value.shape().len();
        let axes = self.axes(node, 3, rank)?.unwrap_or_else(|| (0..rank).collect());
        let wrong = || node.refused("its pads do not fit its input, or are negative, or are not of zeros");
        if pads.len() != 2 * axes.len() || filling != 0.0 {
            return Err(wrong());
        }
        let mut around = vec![[0; 2]; rank];
        for (index, axis) in axes.iter().enumerate() {
            let len = |at: usize| {
                usize::try_from(pads[at])
                    .ok()
                    .filter(|len| *len <= FOLDED_MAX)
                    .ok_or_else(wrong)
            };
            around[*axis] = [len(index)?, len(index + axes.len())?];
        }
        let value = match value {
            Value::Computed(view) => Value::Padded(view, around),
            _ => return Err(node.refused("its input is a constant")),
        };
        Self::bounded(&value.shape())?;
        Ok(value)
    }
}

/// The shape that a reshaping asks for: 0 keeps a length, -1 takes what is left.
fn new_shape(old: &[usize], wanted: &[i64], allows_zero: bool) -> Option<Vec<usize>> {
    let count: usize = old.iter().product();
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (axis, &len) in wanted.iter().enumerate() {
        shape.push(match len {
            0 if !allows_zero => *old.get(axis)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            len => usize::try_from(len).ok()?,
        });
    }
    let known: usize = shape.iter().try_fold(1_usize, |count, len| count.checked_mul(*len))?;
    if let Some(axis) = open {
        shape[axis] = count.checked_div(known)?;
    }
    (shape.iter().product::<usize>() == count).then_some(shape)
}

/// Constants that are made while a plan is made are not larger.
const FOLDED_MAX: usize = 1 << 24;
