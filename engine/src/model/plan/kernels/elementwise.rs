//! What is done element by element, row by row, or to a few neighbours: little of any model's work.

use std::ops::Range;

use pulp::Simd;

use super::super::step::{Binary, Combine, Join, Map, Operand, Pool, RowFunction, Rows, Run};
use super::activation::{Activation, exp, exp_of_one};
use super::affine::store;

#[inline(always)]
pub(super) fn map<S: Simd>(simd: S, step: &Map, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    for &Run { out, a, len, .. } in &step.runs[items] {
        let (len, out) = (len as usize, &mut output[out as usize..][..len as usize]);
        if step.step == 1 {
            let from = &input[a as usize..][..len];
            if step.function == Activation::Identity {
                out.copy_from_slice(from);
                continue;
            }
            let (vectors, rest) = S::as_simd_f32s(from);
            for (place, x) in vectors.iter().enumerate() {
                store(simd, out, place * S::F32_LANES, step.function.of(simd, *x));
            }
            if !rest.is_empty() {
                let y = step.function.of(simd, simd.partial_load_f32s(rest));
                store(simd, out, vectors.len() * S::F32_LANES, y);
            }
        } else {
            for (y, x) in out.iter_mut().zip(apart(&input[a as usize..], step.step)) {
                *y = step.function.of_one(x);
            }
        }
    }
}

#[inline(always)]
pub(super) fn join<'a>(step: &'a Join, items: Range<usize>, read: impl Fn(usize) -> &'a [f32], output: &mut [f32]) {
    for (part, Run { out, a, len, .. }) in &step.runs[items] {
        let part = &step.parts[*part as usize];
        let from = &part.from.values(&read)[*a as usize..];
        let out = &mut output[*out as usize..][..*len as usize];
        if part.step == 1 {
            out.copy_from_slice(&from[..out.len()]);
            continue;
        }
        for (y, x) in out.iter_mut().zip(apart(from, part.step)) {
            *y = x;
        }
    }
}

/// Elements so far apart; 0: the same one again and again, which is how a value is stretched.
#[inline(always)]
fn apart(from: &[f32], step: u32) -> impl Iterator<Item = f32> {
    (0..).map(move |index| from[index * step as usize])
}

#[inline(always)]
pub(super) fn combine<'a>(
    step: &'a Combine,
    items: Range<usize>,
    read: impl Fn(usize) -> &'a [f32],
    output: &mut [f32],
) {
    let (all_a, all_b) = (step.a.values(&read), step.b.values(&read));
    for &Run { out, a, b, len } in &step.runs[items] {
        let (a, b) = (&all_a[a as usize..], &all_b[b as usize..]);
        let pairs = (0..len as usize).map(|i| (a[i * step.a_step as usize], b[i * step.b_step as usize]));
        for (y, (a, b)) in output[out as usize..][..len as usize].iter_mut().zip(pairs) {
            *y = step.function.of(a, b);
        }
    }
}

impl Operand {
    #[inline(always)]
    fn values<'a>(&'a self, read: impl Fn(usize) -> &'a [f32]) -> &'a [f32] {
        match self {
            Self::Buffer(buffer) => read(*buffer),
            Self::Constant(values) => values,
        }
    }
}

impl Binary {
    pub(in super::super) fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Pow => a.powf(b),
        }
    }
}

#[inline(always)]
pub(super) fn pool(step: &Pool, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    for item in items {
        let position = &step.positions[item];
        let out = &mut output[position.out as usize..][..step.columns];
        let taps = &step.taps[position.first as usize..position.last as usize];
        out.fill(if step.is_max { f32::NEG_INFINITY } else { 0.0 });
        for tap in taps {
            for (y, x) in out.iter_mut().zip(&input[*tap as usize..][..step.columns]) {
                *y = if step.is_max { y.max(*x) } else { *y + *x };
            }
        }
        if !step.is_max {
            out.iter_mut().for_each(|y| *y *= step.weights[item]);
        }
    }
}

#[inline(always)]
pub(super) fn rows<S: Simd>(simd: S, step: &Rows, items: Range<usize>, input: &[f32], output: &mut [f32]) {
    for &(from, to) in &step.rows[items] {
        let (row, to) = (&input[from as usize..][..step.len], to as usize);
        match step.function {
            RowFunction::Softmax => softmax(simd, row, &mut output[to..][..step.len]),
            function if function.is_reduction() => output[to] = reduced(function, row),
            function => spread(function, row, &mut output[to..][..step.len]),
        }
    }
}

/// Most models end in one. Of three classes it is a single vector, of which the rest is masked.
#[inline(always)]
pub(in super::super) fn softmax<S: Simd>(simd: S, row: &[f32], out: &mut [f32]) {
    let (vectors, tail) = S::as_simd_f32s(row);
    let (out, out_tail) = S::as_mut_simd_f32s(out);
    let is_tail = simd.mask_between_m32s(0, tail.len() as u32).mask();
    let zero = simd.splat_f32s(0.0);
    let tail = simd.partial_load_f32s(tail);
    let mut tops = simd.select_f32s(is_tail, tail, simd.splat_f32s(f32::NEG_INFINITY));
    for x in vectors {
        tops = simd.max_f32s(tops, *x);
    }
    let top = simd.splat_f32s(simd.reduce_max_f32s(tops));
    // The lanes behind the tail get what is quick to compute: floats too small to be normal are not.
    let less = simd.select_f32s(is_tail, simd.sub_f32s(tail, top), zero);
    let tail = simd.select_f32s(is_tail, exp(simd, less), zero);
    let mut sums = tail;
    for (y, x) in out.iter_mut().zip(vectors) {
        *y = exp(simd, simd.sub_f32s(*x, top));
        sums = simd.add_f32s(sums, *y);
    }
    let sum = simd.splat_f32s(simd.reduce_sum_f32s(sums));
    for y in out {
        *y = simd.div_f32s(*y, sum);
    }
    simd.partial_store_f32s(out_tail, simd.div_f32s(tail, sum));
}

fn reduced(function: RowFunction, row: &[f32]) -> f32 {
    match function {
        RowFunction::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        RowFunction::Min => row.iter().copied().fold(f32::INFINITY, f32::min),
        RowFunction::SumOfSquares => row.iter().map(|x| x * x).sum(),
        RowFunction::Mean => row.iter().sum::<f32>() / row.len() as f32,
        _ => row.iter().sum(),
    }
}

/// A row to a row.
pub(in super::super) fn spread(function: RowFunction, row: &[f32], out: &mut [f32]) {
    let greatest = || row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let divided = |out: &mut [f32], by: f32| {
        for (y, x) in out.iter_mut().zip(row) {
            *y = if by == 0.0 { *x } else { *x / by };
        }
    };
    match function {
        RowFunction::Softmax => softmax(pulp::Scalar::new(), row, out),
        RowFunction::LogSoftmax => {
            let top = greatest();
            let sum: f32 = row.iter().map(|x| exp_of_one(*x - top)).sum();
            for (y, x) in out.iter_mut().zip(row) {
                *y = *x - top - sum.ln();
            }
        }
        RowFunction::SoftmaxZero => {
            let top = greatest();
            let mut sum = 0.0;
            for (y, x) in out.iter_mut().zip(row) {
                let is_zero = x.abs() <= ZERO;
                *y = if is_zero {
                    *x * exp_of_one(-top)
                } else {
                    exp_of_one(*x - top)
                };
                sum += *y;
            }
            out.iter_mut().for_each(|y| *y /= sum);
        }
        RowFunction::NormalizeL1 => divided(out, row.iter().map(|x| x.abs()).sum()),
        RowFunction::NormalizeL2 => divided(out, row.iter().map(|x| x * x).sum::<f32>().sqrt()),
        RowFunction::NormalizeMax => divided(out, greatest()),
        _ => out.copy_from_slice(row),
    }
}

/// What onnxruntime takes for zero in `SOFTMAX_ZERO`.
const ZERO: f32 = 1e-7;
