//! Operators that only look at a value in another way, and those that find out about shapes.
//!
//! The same rules hold for constants and computed values: what a view does to a buffer it does to a constant at once.

use super::super::PlanError;
use super::super::onnx::Node;
use super::super::step::{Join, Part, Step};
use super::super::tensor::{Data, Tensor, View, axis_of};
use super::{Lowering, Value, by_stride, ordered, runs};

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
    fn plain(&mut self, node: Node<'_>, index: usize) -> Result<Value, PlanError> {
        Ok(match self.value(node, index)?.clone() {
            Value::Padded(view, around) => Value::Computed(self.padded(&view, &around)),
            value => value,
        })
    }

    fn seen(&self, value: Value, look: impl FnOnce(View) -> View) -> Value {
        match value {
            Value::Constant(tensor) => Value::Constant(tensor.through(&look(tensor.view()))),
            Value::Computed(view) | Value::Padded(view, _) => Value::Computed(look(view)),
        }
    }

    fn reshape(&mut self, value: Value, shape: &[usize]) -> Value {
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

    fn slice(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let value = self.plain(node, 0)?;
        let shape = value.shape();
        let input_or = |name: &str, index: usize| {
            Ok::<_, PlanError>(match self.integers(node, index)? {
                Some(values) => values,
                None => node.ints(name).to_vec(),
            })
        };
        let (starts, ends) = (input_or("starts", 1)?, input_or("ends", 2)?);
        let axes = match input_or("axes", 3)? {
            axes if axes.is_empty() => (0..starts.len() as i64).collect(),
            axes => axes,
        };
        let steps = self.integers(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        let wrong = || node.refused("its bounds do not fit its input");
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(wrong());
        }
        let mut cuts = Vec::new();
        for index in 0..starts.len() {
            let axis = axis_of(axes[index], shape.len()).ok_or_else(wrong)?;
            let (len, step) = (shape[axis] as i64, steps[index]);
            let bound = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
            match step {
                1.. => {
                    let (start, end) = (bound(starts[index]).clamp(0, len), bound(ends[index]).clamp(0, len));
                    let count = ((end - start).max(0) + step - 1) / step;
                    cuts.push((
                        axis,
                        (start..)
                            .step_by(step as usize)
                            .take(count as usize)
                            .collect::<Vec<_>>(),
                    ));
                }
                ..=-1 => {
                    let (start, end) = (
                        bound(starts[index]).clamp(-1, len - 1),
                        bound(ends[index]).clamp(-1, len - 1),
                    );
                    let count = ((start - end).max(0) - step - 1) / -step;
                    cuts.push((axis, (0..count).map(|place| start + place * step).collect()));
                }
                0 => return Err(wrong()),
            }
        }
        cuts.into_iter()
            .try_fold(value, |value, (axis, places)| self.picked(node, value, axis, &places))
    }

    fn gather(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let value = self.plain(node, 0)?;
        let indices = self
            .constant(node, 1)?
            .ok_or_else(|| node.refused("its indices are missing"))?
            .clone();
        let shape = value.shape();
        let axis = axis_of(node.int("axis", 0), shape.len()).ok_or_else(|| node.refused("its axis is not there"))?;
        let wrong = || node.refused("its indices are not within its input");
        let places = indices
            .i64s()
            .ok_or_else(wrong)?
            .iter()
            .map(|place| axis_of(*place, shape[axis]).map(|place| place as i64));
        let places: Vec<i64> = places.collect::<Option<_>>().ok_or_else(wrong)?;
        let picked = self.picked(node, value, axis, &places)?;
        match indices.shape.len() {
            0 => Ok(self.seen(picked, |view| view.selected(axis, 0))),
            1 => Ok(picked),
            _ => {
                let around = (&shape[..axis], &shape[axis + 1..]);
                let shape = [around.0, &indices.shape, around.1].concat();
                Ok(self.reshape(picked, &shape))
            }
        }
    }

    /// These places of an axis: a view where they are evenly spaced.
    fn picked(&mut self, node: Node<'_>, value: Value, axis: usize, places: &[i64]) -> Result<Value, PlanError> {
        let [first, rest @ ..] = places else {
            return Err(node.refused("nothing is left of its input"));
        };
        let step = rest.first().map_or(1, |second| second - first);
        let is_even = places.windows(2).all(|pair| pair[1] - pair[0] == step);
        if is_even && step > 0 {
            return Ok(self.seen(value, |view| {
                view.sliced(axis, *first as usize, step as usize, places.len())
            }));
        }
        let one =
            |lowering: &Self, place: i64| lowering.seen(value.clone(), |view| view.sliced(axis, place as usize, 1, 1));
        let parts: Vec<Value> = places.iter().map(|place| one(self, *place)).collect();
        self.joined(node, &parts, axis)
    }

    /// Values one behind the other along an axis.
    pub(super) fn joined(&mut self, node: Node<'_>, values: &[Value], axis: usize) -> Result<Value, PlanError> {
        let views: Vec<View> = values
            .iter()
            .map(|value| match value {
                Value::Constant(tensor) => tensor.view(),
                Value::Computed(view) | Value::Padded(view, _) => view.clone(),
            })
            .collect();
        let Some(first) = views.first() else {
            return Err(node.refused("it has no input"));
        };
        let mut shape = first.shape.clone();
        let fits = |view: &View| {
            view.rank() == shape.len()
                && (0..shape.len()).all(|other| other == axis || view.shape[other] == shape[other])
        };
        if !views.iter().all(fits) {
            return Err(node.refused("its inputs have shapes that do not fit together"));
        }
        shape[axis] = views.iter().map(|view| view.shape[axis]).sum();
        let like = views
            .iter()
            .zip(values)
            .find(|(_, value)| matches!(value, Value::Computed(_)))
            .map(|(view, _)| view);
        let Some(like) = like else {
            return Ok(Value::Constant(joined_constants(node, values, &shape, axis)?));
        };
        let to = ordered(self.buffers.len(), &shape, &by_stride(like));
        let mut at = 0;
        let (mut parts, mut runs) = (Vec::new(), Vec::new());
        for (value, view) in values.iter().zip(&views) {
            let place = to.sliced(axis, at, 1, view.shape[axis]);
            at += view.shape[axis];
            if view.len() == 0 {
                continue;
            }
            let (own, step) = part_runs(&place, view);
            runs.extend(own.into_iter().map(|run| (parts.len() as u32, run)));
            parts.push(Part {
                from: Self::operand(value),
                step,
            });
        }
        self.push(to.len(), Step::Join(Join { parts, runs }));
        Ok(Value::Computed(to))
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

/// As [`runs`], for an output that need not be dense along its last axis.
fn part_runs(to: &View, from: &View) -> (Vec<super::Run>, u32) {
    let last = to
        .strides
        .iter()
        .zip(&to.shape)
        .any(|(stride, len)| *stride == 1 && *len > 1);
    if last || to.len() == 1 {
        let (runs, step, _) = runs(to, from, None);
        return (runs, step);
    }
    let runs = to.places().zip(from.places()).map(|(out, a)| super::Run {
        out: out as u32,
        a: a as u32,
        b: 0,
        len: 1,
    });
    (runs.collect(), 1)
}

fn joined_constants(node: Node<'_>, values: &[Value], shape: &[usize], axis: usize) -> Result<Tensor, PlanError> {
    let tensors: Vec<&Tensor> = values
        .iter()
        .filter_map(|value| match value {
            Value::Constant(tensor) => Some(tensor),
            _ => None,
        })
        .collect();
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    // Where each element of the result comes from: the tensor, and the place in it.
    let places: Vec<(usize, usize)> = (0..outer)
        .flat_map(|row| {
            tensors.iter().enumerate().flat_map(move |(index, tensor)| {
                let len = tensor.shape[axis] * inner;
                (row * len..(row + 1) * len).map(move |place| (index, place))
            })
        })
        .collect();
    let floats: Option<Vec<&[f32]>> = tensors.iter().map(|tensor| tensor.f32s()).collect();
    let whole: Option<Vec<&[i64]>> = tensors.iter().map(|tensor| tensor.i64s()).collect();
    let data = match (floats, whole) {
        (Some(floats), _) => Data::F32(places.iter().map(|(tensor, place)| floats[*tensor][*place]).collect()),
        (_, Some(whole)) => Data::I64(places.iter().map(|(tensor, place)| whole[*tensor][*place]).collect()),
        _ => return Err(node.refused("its inputs are of different types")),
    };
    Ok(Tensor {
        shape: shape.to_vec(),
        data,
    })
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
