//! The arithmetic of the steps, once for each instruction set.
//!
//! The vectors are `pulp`'s: the same generic code becomes AVX2 with FMA, AVX-512, NEON or plain scalars, chosen when a
//! plan is made, without `unsafe` here. Sums are formed in another order on each, so that their results differ in the last
//! bits; on one machine they are the same to the bit, always.

pub(super) mod activation;
mod affine;
mod elementwise;
pub(super) mod recurrent;
pub(super) mod trees;

use pulp::{Simd, WithSimd};

use super::step::Step;

/// Runs all steps.
pub(super) struct Run<'a> {
    pub(super) steps: &'a [Step],
    /// Where each buffer begins in memory, and where the last one ends.
    pub(super) bounds: &'a [usize],
    pub(super) memory: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { steps, bounds, memory } = self;
        for (index, step) in steps.iter().enumerate() {
            // Step n writes buffer n + 1.
            let at = index + 1;
            let (before, behind) = memory.split_at_mut(bounds[at]);
            let output = &mut behind[..bounds[at + 1] - bounds[at]];
            let read = |buffer: usize| &before[bounds[buffer]..bounds[buffer + 1]];
            match step {
                Step::Affine(step) => affine::run(simd, step, read(step.input), output),
                Step::Map(step) => elementwise::map(simd, step, read(step.input), output),
                Step::Combine(step) => elementwise::combine(step, read, output),
                Step::Join(step) => elementwise::join(step, read, output),
                Step::Pool(step) => elementwise::pool(step, read(step.input), output),
                Step::Rows(step) => elementwise::rows(step, read(step.input), output),
                Step::Lstm(step) => step.run(simd, read(step.input), output),
                Step::Gru(step) => step.run(simd, read(step.input), output),
                Step::Forest(step) => step.run(read(step.input), output),
            }
        }
    }
}
