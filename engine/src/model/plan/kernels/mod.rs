//! The arithmetic of the steps, once for each instruction set.
//!
//! The vectors are `pulp`'s: the same generic code becomes AVX2 with FMA, AVX-512, NEON or plain scalars, chosen when a
//! plan is made, without `unsafe` here. Sums are formed in another order on each, so that their results differ in the last
//! bits; on one machine they are the same to the bit, always.

pub(super) mod activation;
pub(super) mod affine;
pub(super) mod complete;
mod elementwise;
pub(super) mod recurrent;
pub(super) mod trees;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::passes::Work;
use super::step::Step;

/// Runs a pass.
pub(super) struct Run<'a> {
    pub(super) steps: &'a [Step],
    pub(super) pass: &'a [Work],
    /// By buffer: where it begins in memory, and its length.
    pub(super) places: &'a [(usize, usize)],
    /// By buffer: where its values begin now.
    pub(super) bases: &'a [usize],
    /// Whether rings are left as a slide needs them.
    pub(super) writes_twice: bool,
    pub(super) memory: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            places, bases, memory, ..
        } = self;
        for work in self.pass {
            // Step n writes buffer n + 1.
            let (start, len) = places[work.step + 1];
            let base = bases[work.step + 1] - start;
            let (before, behind) = memory.split_at_mut(start);
            let output = &mut behind[base..base + len];
            let read = |buffer: usize| &before[bases[buffer]..][..places[buffer].1];
            let items = work.items.clone();
            match &self.steps[work.step] {
                Step::Affine(step) => affine::run(simd, step, items, read(step.input), output),
                Step::Map(step) => elementwise::map(simd, step, items, read(step.input), output),
                Step::Combine(step) => elementwise::combine(step, items, read, output),
                Step::Join(step) => elementwise::join(step, items, read, output),
                Step::Pool(step) => elementwise::pool(step, items, read(step.input), output),
                Step::Rows(step) => elementwise::rows(simd, step, items, read(step.input), output),
                Step::Lstm(step) => step.run(simd, read(step.input), output),
                Step::Gru(step) => step.run(simd, read(step.input), output),
                Step::Forest(step) => step.run(read(step.input), output),
            }
            if self.writes_twice {
                for written in &work.writes {
                    write_twice(behind, base, len, written.clone());
                }
            }
        }
    }
}

/// Copies what was written to a ring, relative to its base, to its other place.
#[inline]
pub(super) fn write_twice(ring: &mut [f32], base: usize, len: usize, written: Range<usize>) {
    let (from, to) = (base + written.start, base + written.end);
    let cut = len.clamp(from, to);
    if from < cut {
        ring.copy_within(from..cut, from + len);
    }
    if cut < to {
        ring.copy_within(cut..to, cut - len);
    }
}
