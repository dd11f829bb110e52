//! Convolutions and pools, of one and two dimensions.
//!
//! Channels are kept next to each other: what a position of the output looks at is then a few runs of the input, and the
//! result is an [`Affine`] step whose weights are shared by its positions. Taps that lie in the padding are left out.

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::onnx::Node;
use super::super::step::{Affine, LANES, Pool, Position, RowFunction, Segment, Step};
use super::super::tensor::View;
use super::super::weights::Weights;
use super::{Lowering, Value, ordered};

/// Where a window lies along one axis.
struct Sweep {
    /// Positions of the output.
    count: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    /// Of the input.
    len: usize,
}

impl Sweep {
    /// The place of a tap in the input; `None` in the padding.
    fn tap(&self, position: usize, tap: usize) -> Option<usize> {
        (position * self.stride + tap * self.dilation)
            .checked_sub(self.before)
            .filter(|place| *place < self.len)
    }
}

/// A window at all its places over an image, whose channels are dense; a line is an image of one row.
struct Windows<'s> {
    rows: &'s Sweep,
    cols: &'s Sweep,
    /// Of the image.
    offset: usize,
    strides: [usize; 2],
    is_line: bool,
}

impl<'s> Windows<'s> {
    fn new(sweeps: &'s [Sweep], image: &View) -> Self {
        const ONE: Sweep = Sweep {
            count: 1,
            kernel: 1,
            stride: 1,
            dilation: 1,
            before: 0,
            len: 1,
        };
        let (rows, cols) = match sweeps {
            [rows, cols] => (rows, cols),
            [cols] => (&ONE, cols),
            _ => (&ONE, &ONE),
        };
        Self {
            rows,
            cols,
            offset: image.offset,
            strides: match image.strides[..] {
                [_, _, rows, cols] => [rows, cols],
                [_, _, cols] => [0, cols],
                _ => [0, 0],
            },
            is_line: sweeps.len() == 1,
        }
    }

    /// Places, row by row.
    fn count(&self) -> usize {
        self.rows.count * self.cols.count
    }

    fn taps(&self) -> usize {
        self.rows.kernel * self.cols.kernel
    }

    /// The taps that do not lie in the padding, and where in the image.
    fn inside(&self, place: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (row, col) = (place / self.cols.count, place % self.cols.count);
        (0..self.taps()).filter_map(move |tap| {
            let y = self.rows.tap(row, tap / self.cols.kernel)?;
            let x = self.cols.tap(col, tap % self.cols.kernel)?;
            Some((tap, self.offset + y * self.strides[0] + x * self.strides[1]))
        })
    }

    /// A buffer with as many channels for each place.
    fn output(&self, buffer: usize, channels: usize) -> View {
        let (rows, cols) = (self.rows.count, self.cols.count);
        match self.is_line {
            true => ordered(buffer, &[1, channels, cols], &[0, 2, 1]),
            false => ordered(buffer, &[1, channels, rows, cols], &[0, 2, 3, 1]),
        }
    }
}

impl Lowering<'_> {
    pub(super) fn conv(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let (input, around) = self.spatial_input(node)?;
        let weights = self
            .constant(node, 1)?
            .ok_or_else(|| node.refused("its weights are missing"))?
            .clone();
        let bias = self.floats(node, 2)?.map(<[f32]>::to_vec);
        let values = weights
            .f32s()
            .ok_or_else(|| node.refused("its weights are not of floats"))?;
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let [columns, depth, kernel @ ..] = &weights.shape[..] else {
            return Err(node.refused("its weights have no channels"));
        };
        let (columns, depth) = (*columns, *depth);
        if groups == 0 || input.shape[1] != depth * groups || columns % groups != 0 {
            return Err(node.refused("its weights are for another number of channels than its input has"));
        }
        let sweeps = self.sweeps(node, &input, &around, kernel)?;
        let input = self.with_dense_axis(input, 1);
        let windows = Windows::new(&sweeps, &input);
        let group_columns = columns / groups;
        let width = group_columns.next_multiple_of(LANES);
        let taps = windows.taps();
        let mut outputs = Vec::new();
        for group in 0..groups {
            let (mut positions, mut segments) = (Vec::new(), Vec::<Segment>::new());
            for place in 0..windows.count() {
                let first = segments.len() as u32;
                for (tap, x) in windows.inside(place) {
                    let segment = Segment {
                        x: (x + group * depth) as u32,
                        row: (tap * depth) as u32,
                        len: depth as u32,
                    };
                    match segments[first as usize..].last_mut() {
                        Some(last) if last.x + last.len == segment.x && last.row + last.len == segment.row => {
                            last.len += segment.len;
                        }
                        _ => segments.push(segment),
                    }
                }
                positions.push(Position {
                    out: (place * group_columns) as u32,
                    first,
                    last: segments.len() as u32,
                });
            }
            // From output, input, row, column to row, column, input, output.
            let mut matrix = vec![0.0; taps * depth * width];
            for column in 0..group_columns {
                for channel in 0..depth {
                    for tap in 0..taps {
                        let from = ((group * group_columns + column) * depth + channel) * taps + tap;
                        matrix[(tap * depth + channel) * width + column] = values[from];
                    }
                }
            }
            let mut own_bias = vec![0.0; width];
            if let Some(bias) = &bias {
                let own = bias.get(group * group_columns..(group + 1) * group_columns);
                let own =
                    own.ok_or_else(|| node.refused("its bias has another number of channels than its weights"))?;
                own_bias[..group_columns].copy_from_slice(own);
            }
            let to = windows.output(self.buffers.len(), group_columns);
            let step = Affine {
                input: input.buffer,
                positions,
                segments,
                weights: Weights::of_rows(matrix, width),
                bias: own_bias,
                columns: group_columns,
                activation: Activation::Identity,
                after: None,
                alike: Vec::new(),
            };
            self.push(to.len(), Step::Affine(step));
            outputs.push(Value::Computed(to));
        }
        match outputs.len() {
            1 => Ok(outputs.swap_remove(0)),
            _ => self.joined(node, &outputs, 1),
        }
    }

    pub(super) fn pool(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let is_max = node.op() == "MaxPool";
        let (input, around) = match self.spatial_input(node)? {
            // A maximum of zeros is not what a padding is to a pool.
            (input, around) if around.iter().any(|[a, b]| a + b > 0) => {
                let whole = self.padded(&input, &around);
                (whole, vec![[0; 2]; around.len()])
            }
            plain => plain,
        };
        let kernel: Vec<usize> = node
            .ints("kernel_shape")
            .iter()
            .filter_map(|len| usize::try_from(*len).ok())
            .collect();
        if node.int("ceil_mode", 0) != 0 || node.output(1).is_some_and(|name| self.uses.contains_key(name)) {
            return Err(node.refused("ceil_mode and indices are not supported"));
        }
        let sweeps = self.sweeps(node, &input, &around, &kernel)?;
        let input = self.with_dense_axis(input, 1);
        let columns = input.shape[1];
        let windows = Windows::new(&sweeps, &input);
        let counts_padding = node.int("count_include_pad", 0) != 0;
        let (mut positions, mut taps, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..windows.count() {
            let first = taps.len() as u32;
            taps.extend(windows.inside(place).map(|(_, x)| x as u32));
            let last = taps.len() as u32;
            let count = if counts_padding {
                windows.taps()
            } else {
                (last - first) as usize
            };
            weights.push(1.0 / count as f32);
            positions.push(Position {
                out: (place * columns) as u32,
                first,
                last,
            });
        }
        let to = windows.output(self.buffers.len(), columns);
        let step = Pool {
            input: input.buffer,
            columns,
            is_max,
            positions,
            taps,
            weights,
        };
        self.push(to.len(), Step::Pool(step));
        Ok(Value::Computed(to))
    }

    pub(super) fn global_pool(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let view = self.computed(node, 0)?;
        let function = match &*node.op() {
            "GlobalMaxPool" => RowFunction::Max,
            _ => RowFunction::Mean,
        };
        let axes: Vec<usize> = (2..view.rank()).collect();
        let out = self.reduced(view, &axes, function);
        Ok(Value::Computed(out.with_ones(&axes)))
    }

    /// The input, and the zeros that a node before has put around it: by spatial axis.
    fn spatial_input(&mut self, node: Node<'_>) -> Result<(View, Vec<[usize; 2]>), PlanError> {
        let refused = || node.refused("its input has to be one image of one or two dimensions");
        let (view, around) = match self.value(node, 0)?.clone() {
            Value::Padded(view, around) if around[..2] == [[0; 2]; 2] => (view, around[2..].to_vec()),
            value => {
                let view = self.computed_value(value).ok_or_else(refused)?;
                let rank = view.rank();
                (view, vec![[0; 2]; rank.saturating_sub(2)])
            }
        };
        match view.shape[..] {
            [1, _, _] | [1, _, _, _] => Ok((view, around)),
            _ => Err(refused()),
        }
    }

    fn sweeps(
        &self,
        node: Node<'_>,
        input: &View,
        around: &[[usize; 2]],
        kernel: &[usize],
    ) -> Result<Vec<Sweep>, PlanError> {
        let axes = input.rank() - 2;
        if kernel.len() != axes || kernel.contains(&0) {
            return Err(node.refused("its kernel has another number of dimensions than its input"));
        }
        let list = |name: &str, default: usize, len: usize| -> Result<Vec<usize>, PlanError> {
            let values = node.ints(name);
            if values.is_empty() {
                return Ok(vec![default; len]);
            }
            let values: Option<Vec<usize>> = values.iter().map(|value| usize::try_from(*value).ok()).collect();
            values
                .filter(|values| values.len() == len)
                .ok_or_else(|| node.refused(format!("{name} is out of range")))
        };
        let (strides, dilations) = (list("strides", 1, axes)?, list("dilations", 1, axes)?);
        let pads = list("pads", 0, 2 * axes)?;
        let auto = node.text("auto_pad", "NOTSET");
        let sweep = |axis: usize| {
            let (len, own) = (input.shape[axis + 2], around[axis]);
            let reach = (kernel[axis] - 1).checked_mul(dilations[axis])?.checked_add(1)?;
            let all = len + own[0] + own[1];
            let (before, behind) = match auto {
                "NOTSET" | "" => (pads[axis], pads[axes + axis]),
                "VALID" => (0, 0),
                _ => {
                    let missing =
                        ((all.div_ceil(strides[axis].max(1)).max(1) - 1) * strides[axis] + reach).saturating_sub(all);
                    let less = missing / 2;
                    if auto == "SAME_UPPER" {
                        (less, missing - less)
                    } else {
                        (missing - less, less)
                    }
                }
            };
            let room = all.checked_add(before)?.checked_add(behind)?.checked_sub(reach)?;
            Some(Sweep {
                count: room / strides[axis].max(1) + 1,
                kernel: kernel[axis],
                stride: strides[axis].max(1),
                dilation: dilations[axis],
                before: before + own[0],
                len,
            })
        };
        let sweeps: Option<Vec<Sweep>> = (0..axes).map(sweep).collect();
        let sweeps = sweeps.ok_or_else(|| node.refused("its kernel is larger than its input"))?;
        let counts: Vec<usize> = sweeps.iter().map(|sweep| sweep.count).collect();
        Self::bounded(&counts)?;
        Ok(sweeps)
    }
}
