//! Dense layers and convolutions.
//!
//! Each input is spread over a vector and multiplied with a row of weights; a row of outputs is as many vectors as there are
//! registers for. A fused multiplication takes four cycles, and two can begin in each: sums that wait for themselves would
//! waste most of that. So there are two ways, and a step goes one of them always, because each adds up in an order of its
//! own:
//!
//! - one position at a time, where there are few: short rows are summed in several parts;
//! - several positions at a time, where there are many: a vector of weights is read once for all of them.

use std::ops::Range;

use pulp::Simd;

use super::super::step::{Affine, Position, Segment};

#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, step: &Affine, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    let row = step.bias.len() / S::F32_LANES;
    // Without those that only pad: three classes are one vector of eight.
    let vectors = step.columns.div_ceil(S::F32_LANES);
    let (weights, _) = S::as_simd_f32s(&step.weights);
    let (bias, _) = S::as_simd_f32s(&step.bias);
    if !step.alike.is_empty() {
        let all = Blocks {
            step,
            items,
            input,
            weights,
            bias,
            row,
            vectors,
        };
        all.run(simd, output);
        return;
    }
    for position in &step.positions[items] {
        let Position { out, first, last } = *position;
        let segments = &step.segments[first as usize..last as usize];
        let inputs = Inputs {
            segments,
            input,
            weights,
            row,
            vectors,
        };
        let finish = Finish {
            step,
            bias,
            out: &mut output[out as usize..][..step.columns],
        };
        inputs.each_sum(simd, finish);
    }
}

/// Several positions at a time.
struct Blocks<'a, V> {
    step: &'a Affine,
    items: Range<usize>,
    input: &'a [f32],
    weights: &'a [V],
    bias: &'a [V],
    /// Vectors in a row of weights.
    row: usize,
    /// How many of them are wanted.
    vectors: usize,
}

impl<V: Copy> Blocks<'_, V> {
    /// Eight sums or more at once, whatever the shape.
    #[inline(always)]
    fn run<S: Simd<f32s = V>>(&self, simd: S, output: &mut [f32]) {
        let mut at = 0;
        while self.vectors - at >= 4 {
            self.columns::<S, 2, 4>(simd, at, output);
            at += 4;
        }
        if self.vectors - at >= 2 {
            self.columns::<S, 5, 2>(simd, at, output);
            at += 2;
        }
        if self.vectors - at >= 1 {
            self.columns::<S, 10, 1>(simd, at, output);
        }
    }

    /// `J` vectors of each position from the one `at` that place, `P` positions at once.
    #[inline(always)]
    fn columns<S: Simd<f32s = V>, const P: usize, const J: usize>(&self, simd: S, at: usize, output: &mut [f32]) {
        let mut item = self.items.start;
        while item < self.items.end {
            let alike = (self.step.alike[item] as usize).min(self.items.end - item);
            let end = item + alike;
            if alike < P {
                for item in item..end {
                    self.block::<S, 1, J>(simd, item, at, output);
                }
            } else {
                while item < end {
                    // The last ones once more rather than one by one: it is the same result.
                    self.block::<S, P, J>(simd, item.min(end - P), at, output);
                    item += P;
                }
            }
            item = end;
        }
    }

    #[inline(always)]
    fn block<S: Simd<f32s = V>, const P: usize, const J: usize>(
        &self,
        simd: S,
        item: usize,
        at: usize,
        output: &mut [f32],
    ) {
        let positions = &self.step.positions[item..][..P];
        let mut sums = [[simd.splat_f32s(0.0); J]; P];
        let first = positions[0].first as usize;
        for (index, &Segment { row, len, .. }) in
            self.step.segments[first..positions[0].last as usize].iter().enumerate()
        {
            let len = len as usize;
            let mut xs = [&self.input[..0]; P];
            for (xs, position) in xs.iter_mut().zip(positions) {
                let x = self.step.segments[position.first as usize + index].x as usize;
                *xs = &self.input[x..][..len];
            }
            let rows = &self.weights[row as usize * self.row..][..len * self.row];
            for input in 0..len {
                let weights = &rows[input * self.row + at..][..J];
                for (sums, xs) in sums.iter_mut().zip(&xs) {
                    let x = simd.splat_f32s(xs[input]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                    }
                }
            }
        }
        for (sums, position) in sums.into_iter().zip(positions) {
            let out = &mut output[position.out as usize..][..self.step.columns];
            let mut finish = Finish {
                step: self.step,
                bias: self.bias,
                out,
            };
            finish.take(simd, at, sums);
        }
    }
}

/// What one row of outputs is made of.
pub(super) struct Inputs<'a, V> {
    pub(super) segments: &'a [Segment],
    pub(super) input: &'a [f32],
    pub(super) weights: &'a [V],
    /// Vectors in a row of weights.
    pub(super) row: usize,
    /// How many of them are wanted.
    pub(super) vectors: usize,
}

impl<V: Copy> Inputs<'_, V> {
    /// Gives the sums of all vectors of a row away.
    #[inline(always)]
    pub(super) fn each_sum<S: Simd<f32s = V>>(&self, simd: S, mut to: impl TakeSum<S>) {
        let mut at = 0;
        while self.vectors - at >= 8 {
            to.take(simd, at, self.sums::<8, 1>(simd, at));
            at += 8;
        }
        if self.vectors - at >= 4 {
            to.take(simd, at, self.sums::<4, 2>(simd, at));
            at += 4;
        }
        if self.vectors - at >= 2 {
            to.take(simd, at, self.sums::<2, 4>(simd, at));
            at += 2;
        }
        if self.vectors - at >= 1 {
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
            // No chunks of rows: how many there are would be a division.
            let mut from = at;
            for xs in groups {
                for (u, part) in parts.iter_mut().enumerate() {
                    let weights = &rows[from..][..J];
                    from += self.row;
                    let x = simd.splat_f32s(xs[u]);
                    for (sum, weight) in part.iter_mut().zip(weights) {
                        *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                    }
                }
            }
            for x in rest {
                let weights = &rows[from..][..J];
                from += self.row;
                let x = simd.splat_f32s(*x);
                for (sum, weight) in parts[0].iter_mut().zip(weights) {
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
