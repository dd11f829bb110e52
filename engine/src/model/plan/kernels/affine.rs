//! Dense layers and convolutions.
//!
//! Each input is spread over a vector and multiplied with a row of weights; a row of outputs is as many vectors as there are
//! registers for. A fused multiplication takes four cycles, and two can begin in each: sums that wait for themselves would
//! waste most of that. So there are two ways, and a step goes one of them always, because each adds up in an order of its
//! own:
//!
//! - one position at a time, where there are few: short rows are summed in several parts;
//! - several positions at a time, where there are many: a vector of weights is read once for all of them.

use std::array;
use std::ops::Range;

use pulp::Simd;

use super::super::step::{Affine, LANES, Position, Segment};
use super::super::weights::Weights;

#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, step: &Affine, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    if !step.alike.is_empty() {
        Blocks { step, items, input }.run(simd, output);
        return;
    }
    for position in &step.positions[items] {
        let Position { out, first, last } = *position;
        let inputs = Inputs {
            segments: &step.segments[first as usize..last as usize],
            input,
            weights: &step.weights,
            start: &step.bias,
            columns: step.columns,
        };
        let finish = Finish {
            step,
            out: &mut output[out as usize..][..step.columns],
        };
        inputs.each_sum(simd, finish);
    }
}

/// Columns of the widest tile of weights where positions are computed one by one: each row is as many sums.
pub(in super::super) const WIDE: usize = 4 * LANES;

/// And where several positions are computed at once: room for their sums.
pub(in super::super) const NARROW: usize = 2 * LANES;

/// Inputs that a block takes in one turn of its innermost loop.
const UNROLLED: usize = 4;

/// Several positions at a time.
struct Blocks<'a> {
    step: &'a Affine,
    items: Range<usize>,
    input: &'a [f32],
}

impl Blocks<'_> {
    /// Eight sums or more at once, whatever the shape.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, output: &mut [f32]) {
        match S::F32_LANES {
            16 => self.tiles::<S, 5, 2, 10, 1>(simd, output),
            8 => self.tiles::<S, 2, 4, 5, 2>(simd, output),
            4 => self.tiles::<S, 3, 8, 5, 4>(simd, output),
            _ => self.tiles::<S, 1, 32, 1, 16>(simd, output),
        }
    }

    /// A tile is `J` vectors wide, and `P` positions are computed at once: those of [`NARROW`], and half as wide a one.
    #[inline(always)]
    fn tiles<S: Simd, const P: usize, const J: usize, const HALF_P: usize, const HALF_J: usize>(
        &self,
        simd: S,
        output: &mut [f32],
    ) {
        let columns = self.step.columns;
        let width = columns.next_multiple_of(LANES);
        let mut at = 0;
        while width - at >= NARROW {
            self.columns::<S, P, J, J>(simd, at, output);
            at += NARROW;
        }
        if at == width {
            return;
        }
        // Without vectors that only pad.
        if columns - at <= S::F32_LANES {
            self.columns::<S, 10, HALF_J, 1>(simd, at, output);
        } else {
            self.columns::<S, HALF_P, HALF_J, HALF_J>(simd, at, output);
        }
    }

    /// The first `N` of the `J` vectors of a tile.
    #[inline(always)]
    fn columns<S: Simd, const P: usize, const J: usize, const N: usize>(&self, simd: S, at: usize, output: &mut [f32]) {
        let rows = rows::<S, J>(&self.step.weights, at);
        let mut item = self.items.start;
        while item < self.items.end {
            let alike = (self.step.alike[item] as usize).min(self.items.end - item);
            let end = item + alike;
            if alike < P {
                for item in item..end {
                    self.block::<S, 1, J, N>(simd, item, at, rows, output);
                }
            } else {
                while item < end {
                    // The last ones once more rather than one by one: it is the same result.
                    self.block::<S, P, J, N>(simd, item.min(end - P), at, rows, output);
                    item += P;
                }
            }
            item = end;
        }
    }

    #[inline(always)]
    fn block<S: Simd, const P: usize, const J: usize, const N: usize>(
        &self,
        simd: S,
        item: usize,
        at: usize,
        rows: &[[S::f32s; J]],
        output: &mut [f32],
    ) {
        let positions = &self.step.positions[item..][..P];
        let segments: [&[Segment]; P] =
            array::from_fn(|p| &self.step.segments[positions[p].first as usize..positions[p].last as usize]);
        let mut sums = [*start::<S, N>(&self.step.bias, at); P];
        for (index, &Segment { row, len, .. }) in segments[0].iter().enumerate() {
            let (rows, rest) = rows[row as usize..][..len as usize].as_chunks::<UNROLLED>();
            let xs: [_; P] =
                array::from_fn(|p| self.input[segments[p][index].x as usize..][..len as usize].as_chunks::<UNROLLED>());
            for (group, rows) in rows.iter().enumerate() {
                for (input, weights) in rows.iter().enumerate() {
                    for (sums, (xs, _)) in sums.iter_mut().zip(&xs) {
                        multiply_add(simd, xs[group][input], weights, sums);
                    }
                }
            }
            for (input, weights) in rest.iter().enumerate() {
                for (sums, (_, xs)) in sums.iter_mut().zip(&xs) {
                    multiply_add(simd, xs[input], weights, sums);
                }
            }
        }
        for (sums, position) in sums.into_iter().zip(positions) {
            let mut finish = Finish {
                step: self.step,
                out: &mut output[position.out as usize..][..self.step.columns],
            };
            finish.take(simd, at / S::F32_LANES, sums);
        }
    }
}

/// A tile of `J` vectors, by rows.
#[inline(always)]
fn rows<S: Simd, const J: usize>(weights: &Weights, at: usize) -> &[[S::f32s; J]] {
    let (vectors, _) = S::as_simd_f32s(weights.tile(at, J * S::F32_LANES));
    vectors.as_chunks().0
}

/// What one row of outputs is made of.
pub(super) struct Inputs<'a> {
    pub(super) segments: &'a [Segment],
    pub(super) input: &'a [f32],
    pub(super) weights: &'a Weights,
    /// What the sums begin with, in whole vectors.
    pub(super) start: &'a [f32],
    /// How many of them are wanted.
    pub(super) columns: usize,
}

impl Inputs<'_> {
    /// Gives the sums of all vectors of a row away: of tiles of [`WIDE`], half and a quarter of it.
    #[inline(always)]
    pub(super) fn each_sum<S: Simd>(&self, simd: S, to: impl TakeSum<S>) {
        match S::F32_LANES {
            16 => self.tiles::<S, 4, 2, 2, 4, 1, 8>(simd, to),
            8 => self.tiles::<S, 8, 1, 4, 2, 2, 4>(simd, to),
            4 => self.tiles::<S, 16, 1, 8, 1, 4, 2>(simd, to),
            _ => self.tiles::<S, 64, 1, 32, 1, 16, 1>(simd, to),
        }
    }

    /// Each kind of tile is some vectors wide, and its sums are formed in some parts.
    #[inline(always)]
    fn tiles<
        S: Simd,
        const J: usize,
        const U: usize,
        const HALF_J: usize,
        const HALF_U: usize,
        const QUARTER_J: usize,
        const QUARTER_U: usize,
    >(
        &self,
        simd: S,
        mut to: impl TakeSum<S>,
    ) {
        let width = self.columns.next_multiple_of(LANES);
        let mut at = 0;
        while width - at >= WIDE {
            to.take(simd, at / S::F32_LANES, self.sums::<S, J, J, U>(simd, at));
            at += WIDE;
        }
        if width - at >= WIDE / 2 {
            to.take(
                simd,
                at / S::F32_LANES,
                self.sums::<S, HALF_J, HALF_J, HALF_U>(simd, at),
            );
            at += WIDE / 2;
        }
        if at == width {
            return;
        }
        // Without vectors that only pad: three classes are one vector of eight.
        if self.columns - at <= S::F32_LANES {
            to.take(simd, at / S::F32_LANES, self.sums::<S, QUARTER_J, 1, 8>(simd, at));
        } else {
            let sums = self.sums::<S, QUARTER_J, QUARTER_J, QUARTER_U>(simd, at);
            to.take(simd, at / S::F32_LANES, sums);
        }
    }

    /// The sums of products for the first `N` vectors of a tile of `J`, each formed in `U` parts.
    #[inline(always)]
    fn sums<S: Simd, const J: usize, const N: usize, const U: usize>(&self, simd: S, at: usize) -> [S::f32s; N] {
        let tile = rows::<S, J>(self.weights, at);
        let mut parts = [[simd.splat_f32s(0.0); N]; U];
        parts[0] = *start::<S, N>(self.start, at);
        for &Segment { x, row, len } in self.segments {
            let xs = &self.input[x as usize..][..len as usize];
            let rows = &tile[row as usize..][..len as usize];
            let (groups, rest) = xs.as_chunks::<U>();
            let (row_groups, row_rest) = rows.as_chunks::<U>();
            for (xs, rows) in groups.iter().zip(row_groups) {
                for ((x, weights), part) in xs.iter().zip(rows).zip(&mut parts) {
                    multiply_add(simd, *x, weights, part);
                }
            }
            for (x, weights) in rest.iter().zip(row_rest) {
                multiply_add(simd, *x, weights, &mut parts[0]);
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

/// `N` vectors from the column `at` that place on.
#[inline(always)]
fn start<S: Simd, const N: usize>(values: &[f32], at: usize) -> &[S::f32s; N] {
    let (vectors, _) = S::as_simd_f32s(&values[at..]);
    vectors.first_chunk().expect("filled up to whole tiles")
}

/// One input meets its row of weights, or as much of it as there are sums.
#[inline(always)]
fn multiply_add<S: Simd>(simd: S, x: f32, weights: &[S::f32s], sums: &mut [S::f32s]) {
    let x = simd.splat_f32s(x);
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = simd.mul_add_e_f32s(x, *weight, *sum);
    }
}

/// What becomes of sums. A trait and no closure: closures are not always inlined, and vectors that are handed from function
/// to function go through memory.
pub(super) trait TakeSum<S: Simd> {
    /// The sums of the vectors from the one `at` that place of a row.
    fn take<const J: usize>(&mut self, simd: S, at: usize, sums: [S::f32s; J]);
}

/// From sums to outputs.
struct Finish<'a> {
    step: &'a Affine,
    out: &'a mut [f32],
}

impl<S: Simd> TakeSum<S> for Finish<'_> {
    #[inline(always)]
    fn take<const J: usize>(&mut self, simd: S, at: usize, mut sums: [S::f32s; J]) {
        let step = self.step;
        step.activation.of_all(simd, &mut sums);
        if let Some((scale, shift)) = &step.after {
            let after = vectors::<S>(scale, at, J).iter().zip(vectors::<S>(shift, at, J));
            for (sum, (scale, shift)) in sums.iter_mut().zip(after) {
                *sum = simd.mul_add_e_f32s(*sum, *scale, *shift);
            }
        }
        let whole = S::as_mut_simd_f32s(&mut self.out[at * S::F32_LANES..]).0;
        if let Some(out) = whole.first_chunk_mut::<J>() {
            *out = sums;
            return;
        }
        for (place, sum) in (at..).zip(sums) {
            store(simd, self.out, place * S::F32_LANES, sum);
        }
    }
}

/// `count` vectors from the one `at` that place.
#[inline(always)]
fn vectors<S: Simd>(values: &[f32], at: usize, count: usize) -> &[S::f32s] {
    &S::as_simd_f32s(values).0[at..][..count]
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
