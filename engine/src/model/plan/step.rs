//! What a plan consists of at run time.
//!
//! Every step reads buffers that earlier steps have written and writes one buffer of its own, which lies behind them in
//! memory: so a step gets what it reads and what it writes as two slices, and nothing is ever in the way of anything.
//! Where a step reads and writes is decided when it is made: it holds lists of offsets, and no shapes.

use super::kernels::activation::Activation;
use super::kernels::affine::{NARROW, WIDE};
use super::kernels::recurrent::{Gru, Lstm};
use super::kernels::trees::Forest;
use super::weights::Weights;

/// One step. The first of a plan writes buffer 1, the one after it buffer 2, and so on; buffer 0 is the input.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Affine(Affine),
    Map(Map),
    Combine(Combine),
    Join(Join),
    Pool(Pool),
    Rows(Rows),
    Lstm(Lstm),
    Gru(Gru),
    Forest(Forest),
}

impl Step {
    /// Puts weights where its kernel reads them. `at_once`: several positions of it are computed at once from now on.
    pub(super) fn lay_out(&mut self, at_once: bool) {
        match self {
            Self::Affine(step) if at_once => {
                step.block();
                step.weights.lay_out(NARROW);
            }
            Self::Affine(step) => step.weights.lay_out(WIDE),
            Self::Lstm(Lstm { directions, .. }) | Self::Gru(Gru { directions, .. }) => {
                for direction in directions {
                    direction.recurrence.lay_out(WIDE);
                    direction.candidate.lay_out(WIDE);
                }
            }
            _ => {}
        }
    }
}

/// `y = act(b + sum of x w)`, then perhaps scaled and shifted: dense layers and convolutions alike.
///
/// A convolution is the same at many positions, each the sum of a few segments of the input: the taps that lie inside.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    pub(super) input: usize,
    pub(super) positions: Vec<Position>,
    pub(super) segments: Vec<Segment>,
    /// One row per input of a position.
    pub(super) weights: Weights,
    /// Padded to a multiple of [`LANES`].
    pub(super) bias: Vec<f32>,
    pub(super) columns: usize,
    pub(super) activation: Activation,
    /// Padded alike: what each column is multiplied by, and what is added then.
    pub(super) after: Option<(Vec<f32>, Vec<f32>)>,
    /// By position: how many from it on have segments of the same lengths over the same weights, and so may be computed at
    /// once. Empty where positions are computed one by one, in another order of their sums.
    pub(super) alike: Vec<u32>,
}

impl Affine {
    /// Finds out which positions can be computed at once.
    fn block(&mut self) {
        let segments = |position: &Position| &self.segments[position.first as usize..position.last as usize];
        let is_alike = |a: &Position, b: &Position| {
            let (a, b) = (segments(a), segments(b));
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.row, a.len) == (b.row, b.len))
        };
        let mut alike = vec![1; self.positions.len()];
        for (index, pair) in self.positions.windows(2).enumerate().rev() {
            if is_alike(&pair[0], &pair[1]) {
                alike[index] = alike[index + 1] + 1;
            }
        }
        self.alike = alike;
    }
}

/// One output row of an [`Affine`] step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) out: u32,
    /// Its segments, as a range.
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Inputs that follow each other, and the rows of weights that they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) x: u32,
    pub(super) row: u32,
    pub(super) len: u32,
}

/// Weights are padded to so many columns: the widest vector.
pub(super) const LANES: usize = 16;

/// Copies elements, or a function of each.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub(super) input: usize,
    pub(super) function: Activation,
    pub(super) runs: Vec<Run>,
    /// From one element of a run to the next in the input; 1 in the output.
    pub(super) step: u32,
}

/// Elements that follow each other in the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) out: u32,
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) len: u32,
}

/// Several values, or parts of them, side by side.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) parts: Vec<Part>,
    /// By part.
    pub(super) runs: Vec<(u32, Run)>,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) from: Operand,
    pub(super) step: u32,
}

/// A function of two values, element by element.
#[derive(Clone, Debug)]
pub(super) struct Combine {
    pub(super) function: Binary,
    pub(super) a: Operand,
    pub(super) b: Operand,
    pub(super) runs: Vec<Run>,
    pub(super) a_step: u32,
    pub(super) b_step: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Buffer(usize),
    Constant(Vec<f32>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
}

/// The greatest, or the sum, of a few places, for `columns` neighbours at once.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) input: usize,
    pub(super) columns: usize,
    pub(super) is_max: bool,
    /// `out`, and its taps as a range.
    pub(super) positions: Vec<Position>,
    pub(super) taps: Vec<u32>,
    /// By position, for sums: what they are multiplied by.
    pub(super) weights: Vec<f32>,
}

/// A function of rows of neighbours: to a row of the same length, or to one element.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) input: usize,
    pub(super) function: RowFunction,
    pub(super) len: usize,
    /// Where each row begins, and where what comes of it goes.
    pub(super) rows: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowFunction {
    Softmax,
    LogSoftmax,
    /// Over the entries that are not zero; the others stay zero.
    SoftmaxZero,
    /// Divided by the sum of the absolute values.
    NormalizeL1,
    NormalizeL2,
    NormalizeMax,
    Sum,
    Mean,
    Max,
    Min,
    SumOfSquares,
}

impl RowFunction {
    /// Whether a row becomes one element.
    pub(super) fn is_reduction(self) -> bool {
        matches!(
            self,
            Self::Sum | Self::Mean | Self::Max | Self::Min | Self::SumOfSquares
        )
    }
}
