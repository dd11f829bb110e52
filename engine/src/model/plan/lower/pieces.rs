//! Parts of values: what is cut out of one, and several side by side.

use super::super::PlanError;
use super::super::onnx::Node;
use super::super::step::{Join, Part, Step};
use super::super::tensor::{Data, Tensor, View, axis_of};
use super::{Lowering, Value, by_stride, ordered, runs};

impl Lowering<'_> {
    pub(super) fn slice(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
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

    pub(super) fn gather(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
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
