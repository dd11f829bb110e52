//! Constants, and where computed values lie.
//!
//! A computed value is a [`View`]: a shape and a stride per axis over one buffer of the plan's memory. A transposition, a
//! slice or a reshaping of one costs nothing at run time: it is another view of the same buffer.

/// A constant of a graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// The elements at these places.
    pub(super) fn pick(&self, places: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(places.map(|place| values[place]).collect()),
            Self::I64(values) => Self::I64(places.map(|place| values[place]).collect()),
        }
    }
}

impl Tensor {
    pub(super) fn scalar(data: Data) -> Self {
        Self {
            shape: Vec::new(),
            data,
        }
    }

    pub(super) fn row(data: Data) -> Self {
        Self {
            shape: vec![data.len()],
            data,
        }
    }

    pub(super) fn f32s(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            Data::I64(_) => None,
        }
    }

    pub(super) fn i64s(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(values) => Some(values),
            Data::F32(_) => None,
        }
    }

    /// Its elements laid out as a view of itself would be, with that view's shape.
    pub(super) fn through(&self, view: &View) -> Self {
        Self {
            shape: view.shape.clone(),
            data: self.data.pick(view.places()),
        }
    }

    /// A view of all of it, as if it were a buffer.
    pub(super) fn view(&self) -> View {
        View::whole(0, self.shape.clone())
    }
}

/// Elements of a buffer, by axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) buffer: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// Zero along an axis that was stretched.
    pub(super) strides: Vec<usize>,
}

impl View {
    /// All of a buffer, row by row.
    pub(super) fn whole(buffer: usize, shape: Vec<usize>) -> Self {
        Self {
            buffer,
            offset: 0,
            strides: row_strides(&shape),
            shape,
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// An axis as ONNX counts them, from the end where it is negative.
    pub(super) fn axis(&self, axis: i64) -> Option<usize> {
        axis_of(axis, self.rank())
    }

    pub(super) fn permuted(&self, order: &[usize]) -> Self {
        Self {
            shape: order.iter().map(|axis| self.shape[*axis]).collect(),
            strides: order.iter().map(|axis| self.strides[*axis]).collect(),
            ..*self
        }
    }

    /// Every `step`th of `count` elements of an axis, from `start`.
    pub(super) fn sliced(&self, axis: usize, start: usize, step: usize, count: usize) -> Self {
        let mut view = self.clone();
        view.offset += start * self.strides[axis];
        view.strides[axis] *= step;
        view.shape[axis] = count;
        view
    }

    /// One element of an axis, which is gone.
    pub(super) fn selected(&self, axis: usize, index: usize) -> Self {
        let mut view = self.sliced(axis, index, 1, 1);
        view.shape.remove(axis);
        view.strides.remove(axis);
        view
    }

    /// With axes of length one at these places of the result.
    pub(super) fn with_ones(&self, places: &[usize]) -> Self {
        let mut view = self.clone();
        for place in places {
            view.shape.insert(*place, 1);
            view.strides.insert(*place, 0);
        }
        view
    }

    /// Stretched to a shape as numpy does, or `None` where it does not fit.
    pub(super) fn stretched(&self, shape: &[usize]) -> Option<Self> {
        let missing = shape.len().checked_sub(self.rank())?;
        let mut strides = vec![0; shape.len()];
        for (axis, stride) in strides.iter_mut().enumerate().skip(missing) {
            let own = self.shape[axis - missing];
            *stride = match own {
                own if own == shape[axis] => self.strides[axis - missing],
                1 => 0,
                _ => return None,
            };
        }
        Some(Self {
            shape: shape.to_vec(),
            strides,
            ..*self
        })
    }

    /// The same elements in the same order under another shape, or `None` where they would have to be copied.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        debug_assert_eq!(self.len(), shape.iter().product::<usize>());
        // Axes of one element do not matter, and those that follow each other in memory are one.
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for (&len, &stride) in self.shape.iter().zip(&self.strides).filter(|(len, _)| **len != 1) {
            match groups.last_mut() {
                Some((all, last)) if *last == len * stride => (*all, *last) = (*all * len, stride),
                _ => groups.push((len, stride)),
            }
        }
        let mut strides = vec![0; shape.len()];
        let mut groups = groups.into_iter();
        let (mut left, mut stride) = (1, 0);
        for (axis, &len) in shape.iter().enumerate().filter(|(_, len)| **len != 1) {
            if left == 1 {
                (left, stride) = groups.next()?;
            }
            if left % len != 0 {
                return None;
            }
            left /= len;
            strides[axis] = stride * left;
        }
        Some(Self {
            shape: shape.to_vec(),
            strides,
            ..*self
        })
    }

    /// Where each element lies, row by row.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = vec![0; self.rank()];
        let mut place = self.offset;
        let mut left = self.len();
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let here = place;
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                place += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                place -= self.strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
            Some(here)
        })
    }
}

/// The strides of a shape whose last axis is dense.
pub(super) fn row_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// An axis as ONNX counts them.
pub(super) fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// The shape of two that are stretched to each other.
pub(super) fn common_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let fit = |axis| match (dim(a, axis), dim(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..rank).map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow way: every element by itself.
    fn permuted(shape: &[usize], values: &[usize], order: &[usize]) -> Vec<usize> {
        let strides = row_strides(shape);
        let target: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
        let at = |mut place: usize| {
            let mut from = 0;
            for (axis, len) in target.iter().enumerate().rev() {
                from += place % len * strides[order[axis]];
                place /= len;
            }
            values[from]
        };
        (0..values.len()).map(at).collect()
    }

    proptest! {
        #[test]
        fn a_view_lists_what_it_is_a_view_of(
            (shape, order, cut) in prop::collection::vec(1_usize..5, 1..5).prop_flat_map(|shape| {
                let axes: Vec<usize> = (0..shape.len()).collect();
                let len: usize = shape.iter().product();
                (Just(shape), Just(axes).prop_shuffle(), 1..=len)
            })
        ) {
            let values: Vec<usize> = (0..shape.iter().product()).collect();
            let view = View::whole(0, shape.clone()).permuted(&order);
            let expected = permuted(&shape, &values, &order);
            prop_assert_eq!(view.places().collect::<Vec<_>>(), expected.clone());
            // Any two factors of its length: either the same elements in the same order, or a refusal.
            if values.len().is_multiple_of(cut) {
                let other = [cut, values.len() / cut];
                if let Some(view) = view.reshaped(&other) {
                    prop_assert_eq!(view.places().collect::<Vec<_>>(), expected);
                } else {
                    prop_assert!(order.windows(2).any(|pair| pair[0] > pair[1]), "dense ones are never refused");
                }
            }
        }
    }

    #[test]
    fn shapes_are_stretched_as_numpy_does() {
        assert_eq!(common_shape(&[2, 1, 3], &[4, 1]), Some(vec![2, 4, 3]));
        assert_eq!(common_shape(&[2], &[3]), None);
        let view = View::whole(0, vec![2, 1]).stretched(&[2, 3]).unwrap();
        assert_eq!(view.places().collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        let view = View::whole(0, vec![4]).sliced(0, 1, 2, 2).with_ones(&[0]);
        assert_eq!(
            (view.shape.clone(), view.places().collect::<Vec<_>>()),
            (vec![1, 2], vec![1, 3])
        );
    }
}
