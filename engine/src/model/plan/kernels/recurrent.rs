//! LSTM and GRU over a window.
//!
//! What the rows of the window contribute does not depend on what came before: an [affine](super::affine) step has formed
//! it for all gates, bias included. What is left here is the recurrence. `sigma(x)` is `1/2 + 1/2 tanh(x/2)`, and the inner
//! half is in the weights already, which is exact.

use pulp::Simd;

use super::super::step::Segment;
use super::super::weights::Weights;
use super::activation::{sigmoid_of_half, tanh};
use super::affine::{Inputs, TakeSum, store};

/// Whose time runs backwards, and what it begins with.
#[derive(Clone, Debug)]
pub(crate) struct Direction {
    pub(crate) is_reverse: bool,
    /// Rows of `gates` blocks of `width`, one for each hidden value.
    pub(crate) recurrence: Weights,
    /// GRU with a reset after the product: what is added to the candidate's product; else empty.
    pub(crate) candidate_bias: Vec<f32>,
    /// GRU with a reset before it: the candidate's rows, which are not in `recurrence` then; else empty.
    pub(crate) candidate: Weights,
    pub(crate) initial_h: Vec<f32>,
    pub(crate) initial_c: Vec<f32>,
}

/// Hidden values of every time and direction, then cells of every direction, then room for the gates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) times: usize,
    pub(crate) directions: usize,
    pub(crate) hidden: usize,
    /// `hidden` rounded up to whole vectors.
    pub(crate) width: usize,
    pub(crate) gates: usize,
}

impl Layout {
    pub(crate) fn hidden_at(&self, time: usize, direction: usize) -> usize {
        (time * self.directions + direction) * self.hidden
    }

    pub(crate) fn cell_at(&self, direction: usize) -> usize {
        self.hidden_at(self.times, 0) + direction * self.width
    }

    /// What the buffer needs.
    pub(crate) fn len(&self) -> usize {
        self.cell_at(self.directions) + self.block()
    }

    /// A buffer's hidden values, cells, and room for the gates.
    fn split<'b>(&self, buffer: &'b mut [f32]) -> [&'b mut [f32]; 3] {
        let (hidden, rest) = buffer.split_at_mut(self.cell_at(0));
        let (cells, gates) = rest.split_at_mut(self.directions * self.width);
        [hidden, cells, &mut gates[..self.block()]]
    }

    /// What it reads: the gates of all times and directions.
    pub(crate) fn input_len(&self) -> usize {
        self.times * self.directions * self.block()
    }

    /// What the gates of one time and direction need.
    pub(crate) fn block(&self) -> usize {
        self.gates * self.width
    }

    fn times(&self, is_reverse: bool) -> impl Iterator<Item = (usize, Option<usize>)> + use<> {
        let times = self.times;
        (0..times).map(move |step| match is_reverse {
            false => (step, step.checked_sub(1)),
            true => (times - 1 - step, step.checked_sub(1).map(|_| times - step)),
        })
    }
}

/// Gates in ONNX's order: input, output, forget, candidate.
#[derive(Clone, Debug)]
pub(crate) struct Lstm {
    pub(crate) input: usize,
    pub(crate) layout: Layout,
    pub(crate) directions: Vec<Direction>,
}

impl Lstm {
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, input: &[f32], output: &mut [f32]) {
        let layout = self.layout;
        let block = layout.block();
        let [hidden, cells, gates] = layout.split(output);
        for (index, direction) in self.directions.iter().enumerate() {
            let cells = &mut cells[index * layout.width..][..layout.width];
            cells[..layout.hidden].copy_from_slice(&direction.initial_c);
            for (time, before) in layout.times(direction.is_reverse) {
                let last = match before {
                    Some(time) => &hidden[layout.hidden_at(time, index)..][..layout.hidden],
                    None => &direction.initial_h,
                };
                let own = &input[(time * layout.directions + index) * block..][..block];
                product(simd, &direction.recurrence, last, own, gates);
                let (cells, _) = S::as_mut_simd_f32s(cells);
                let (gates, _) = S::as_simd_f32s(gates);
                let width = cells.len();
                let hidden = &mut hidden[layout.hidden_at(time, index)..][..layout.hidden];
                for (at, cell) in cells.iter_mut().enumerate() {
                    let input = sigmoid_of_half(simd, gates[at]);
                    let output = sigmoid_of_half(simd, gates[width + at]);
                    let forget = sigmoid_of_half(simd, gates[2 * width + at]);
                    let candidate = tanh(simd, gates[3 * width + at]);
                    *cell = simd.mul_add_e_f32s(forget, *cell, simd.mul_f32s(input, candidate));
                    let value = simd.mul_f32s(output, tanh(simd, *cell));
                    store(simd, hidden, at * S::F32_LANES, value);
                }
            }
        }
    }
}

/// Gates in ONNX's order: update, reset, candidate.
#[derive(Clone, Debug)]
pub(crate) struct Gru {
    pub(crate) input: usize,
    pub(crate) layout: Layout,
    pub(crate) directions: Vec<Direction>,
}

impl Gru {
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, input: &[f32], output: &mut [f32]) {
        let layout = self.layout;
        let block = layout.block();
        let [hidden, scratch, gates] = layout.split(output);
        for (index, direction) in self.directions.iter().enumerate() {
            let resets_before = !direction.candidate.is_empty();
            let scratch = &mut scratch[index * layout.width..][..layout.width];
            for (time, before) in layout.times(direction.is_reverse) {
                let (last, at) = match before {
                    Some(time) => (&*hidden, layout.hidden_at(time, index)),
                    None => (&direction.initial_h[..], 0),
                };
                // Whole vectors of it, without what lies behind.
                scratch[..layout.hidden].copy_from_slice(&last[at..][..layout.hidden]);
                let own = &input[(time * layout.directions + index) * block..][..block];
                let (own_gates, own_candidate) = own.split_at(2 * layout.width);
                if resets_before {
                    product(
                        simd,
                        &direction.recurrence,
                        &scratch[..layout.hidden],
                        own_gates,
                        &mut gates[..2 * layout.width],
                    );
                    self.reset_before(
                        simd,
                        direction,
                        own_candidate,
                        scratch,
                        gates,
                        &mut hidden[layout.hidden_at(time, index)..],
                    );
                } else {
                    product(
                        simd,
                        &direction.recurrence,
                        &scratch[..layout.hidden],
                        &direction.candidate_bias,
                        gates,
                    );
                    self.reset_after(simd, own, scratch, gates, &mut hidden[layout.hidden_at(time, index)..]);
                }
            }
        }
    }

    /// `h' = tanh(own + r (R h + b))`.
    #[inline(always)]
    fn reset_after<S: Simd>(&self, simd: S, own: &[f32], last: &[f32], gates: &[f32], hidden: &mut [f32]) {
        let hidden = &mut hidden[..self.layout.hidden];
        let ((own, _), (last, _), (gates, _)) = (S::as_simd_f32s(own), S::as_simd_f32s(last), S::as_simd_f32s(gates));
        let width = last.len();
        for (at, last) in last.iter().enumerate() {
            let (at_reset, at_candidate) = (width + at, 2 * width + at);
            let update = sigmoid_of_half(simd, simd.add_f32s(own[at], gates[at]));
            let reset = sigmoid_of_half(simd, simd.add_f32s(own[at_reset], gates[at_reset]));
            let candidate = tanh(simd, simd.mul_add_e_f32s(reset, gates[at_candidate], own[at_candidate]));
            let value = simd.mul_add_e_f32s(update, simd.sub_f32s(*last, candidate), candidate);
            store(simd, hidden, at * S::F32_LANES, value);
        }
    }

    /// `h' = tanh(own + R (r h))`. The update gate waits in `gates`, and the candidate takes the place of the reset gate.
    #[inline(always)]
    fn reset_before<S: Simd>(
        &self,
        simd: S,
        direction: &Direction,
        own: &[f32],
        last: &mut [f32],
        gates: &mut [f32],
        hidden: &mut [f32],
    ) {
        let Layout {
            hidden: count, width, ..
        } = self.layout;
        let hidden = &mut hidden[..count];
        hidden.copy_from_slice(&last[..count]);
        let (update, reset) = gates.split_at_mut(width);
        let half = |x: f32| 0.5 + 0.5 * x;
        for (last, reset) in last.iter_mut().zip(&*reset) {
            *last *= half(tanh(pulp::Scalar::new(), *reset));
        }
        product(simd, &direction.candidate, &last[..count], own, &mut reset[..width]);
        for ((value, update), candidate) in hidden.iter_mut().zip(&*update).zip(&*reset) {
            let (update, candidate) = (
                half(tanh(pulp::Scalar::new(), *update)),
                tanh(pulp::Scalar::new(), *candidate),
            );
            *value = candidate + update * (*value - candidate);
        }
    }
}

/// `out = own + x w`, for whole vectors.
#[inline(always)]
fn product<S: Simd>(simd: S, weights: &Weights, x: &[f32], own: &[f32], out: &mut [f32]) {
    let segment = [Segment {
        x: 0,
        row: 0,
        len: x.len() as u32,
    }];
    let inputs = Inputs {
        segments: &segment,
        input: x,
        weights,
        start: own,
        columns: own.len(),
    };
    let (out, _) = S::as_mut_simd_f32s(out);
    inputs.each_sum(simd, Store { out });
}

struct Store<'a, V> {
    out: &'a mut [V],
}

impl<S: Simd> TakeSum<S> for Store<'_, S::f32s> {
    #[inline(always)]
    fn take<const J: usize>(&mut self, _: S, at: usize, sums: [S::f32s; J]) {
        self.out[at..][..J].copy_from_slice(&sums);
    }
}
