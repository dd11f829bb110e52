//! Dense layers and convolutions.
//!
//! One row of outputs at a time, as many vectors of it as there are registers for; each input is spread over a vector and
//! multiplied with a row of weights. A fused multiplication has a latency of four cycles and two units: short rows would
//! wait for themselves, so they are summed in several parts.

use std::ops::Range;

use pulp::Simd;

use super::super::step::{Affine, Position, Segment};

#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, step: &Affine, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    let row = step.bias.len() / S::F32_LANES;
    let (weights, _) = S::as_simd_f32s(&step.weights);
    let (bias, _) = S::as_simd_f32s(&step.bias);
    for position in &step.positions[items] {
        let Position { out, first, last } = *position;
        let segments = &step.segments[first as usize..last as usize];
        let inputs = Inputs {
            segments,
            input,
            weights,
            row,
        };
        let finish = Finish {
            step,
            bias,
            out: &mut output[out as usize..][..step.columns],
        };
        inputs.each_sum(simd, finish);
    }
}

/// What one row of outputs is made of.
pub(super) struct Inputs<'a, V> {
    pub(super) segments: &'a [Segment],
    pub(super) input: &'a [f32],
    pub(super) weights: &'a [V],
    /// Vectors in a row of weights.
    pub(super) row: usize,
}

impl<V: Copy> Inputs<'_, V> {
    /// Gives the sums of all vectors of a row away.
    #[inline(always)]
    pub(super) fn each_sum<S: Simd<f32s = V>>(&self, simd: S, mut to: impl TakeSum<S>) {
        let mut at = 0;
        while self.row - at >= 8 {
            to.take(simd, at, self.sums::<8, 1>(simd, at));
            at += 8;
        }
        if self.row - at >= 4 {
            to.take(simd, at, self.sums::<4, 2>(simd, at));
            at += 4;
        }
        if self.row - at >= 2 {
            to.take(simd, at, self.sums::<2, 4>(simd, at));
            at += 2;
        }
        if self.row - at >= 1 {
            to.take(simd, at, self.sums::<1, 8>(simd, at));
        }
    }

    /// The sums of products for `J` vectors from the one `at` that place, each formed in `U` parts.
    #[inline(always)]
    fn sums<const J: usize, const U: usize>(&self, simd: impl Simd<f32s = V>, at: usize) -> [V; J] {
        let mut parts = [[simd.splat_f32s(0.0); J]; U];
        for &Segment { x, row, len } in self.segments {
            let xs = &self.input[x as usize..][..len as usize];
            let rows = &self.weights[row as usize * self.row..][..len as usize * self.row];
            let (groups, rest) = xs.as_chunks::<U>();
            let mut group_rows = rows.chunks_exact(self.row * U);
            for (xs, rows) in groups.iter().zip(&mut group_rows) {
                for (u, part) in parts.iter_mut().enumerate() {
                    let weights = &rows[u * self.row + at..][..J];
                    let x = simd.splat_f32s(xs[u]);
                    for (sum, weight) in part.iter_mut().zip(weights) {
                        *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                    }
                }
            }
            for (x, weights) in rest.iter().zip(group_rows.remainder().chunks_exact(self.row)) {
                let x = simd.splat_f32s(*x);
                for (sum, weight) in parts[0].iter_mut().zip(&weights[at..][..J]) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
        let mut sums = parts[0];
        for part in &parts[1..] {
            for (sum, other) in sums.iter_mut().zip(part) {
                *sum = simd.add_f32s(*sum, *other);
            }
        }
        sums
    }
}

/// What becomes of sums. A trait and no closure: closures are not always inlined, and vectors that are handed from function
/// to function go through memory.
pub(super) trait TakeSum<S: Simd> {
    /// The sums of the vectors from the one `at` that place of a row.
    fn take<const J: usize>(&mut self, simd: S, at: usize, sums: [S::f32s; J]);
}

/// From sums to outputs.
struct Finish<'a, V> {
    step: &'a Affine,
    bias: &'a [V],
    out: &'a mut [f32],
}

impl<S: Simd> TakeSum<S> for Finish<'_, S::f32s> {
    #[inline(always)]
    fn take<const J: usize>(&mut self, simd: S, at: usize, sums: [S::f32s; J]) {
        for (place, sum) in (at..).zip(sums) {
            let mut y = self.step.activation.of(simd, simd.add_f32s(sum, self.bias[place]));
            if let Some((scale, shift)) = &self.step.after {
                let ((scale, _), (shift, _)) = (S::as_simd_f32s(scale), S::as_simd_f32s(shift));
                y = simd.mul_add_e_f32s(y, scale[place], shift[place]);
            }
            store(simd, self.out, place * S::F32_LANES, y);
        }
    }
}

/// Writes as much of a vector as there is room for.
#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, out: &mut [f32], from: usize, value: S::f32s) {
    let Some(out) = out.get_mut(from..) else { return };
    match S::as_mut_simd_f32s(out) {
        ([first, ..], _) => *first = value,
        ([], rest) => simd.partial_store_f32s(rest, value),
    }
}
