//! What a step is made of: items, each of which writes a few neighbours and reads a few places.
//!
//! A position of a convolution is an item, a run of a copy, a row of a sum; a recurrent layer and a forest are one. Which
//! items are computed is decided by [passes](super::passes), which need to know no more of a step than is said here.

use std::ops::Range;

use super::step::{Operand, Run, Step};

/// Places that an item reads: `len` of them from `from`, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    /// `None`: a constant of the step's own.
    pub(super) buffer: Option<usize>,
    pub(super) from: usize,
    pub(super) len: usize,
    pub(super) step: usize,
    /// What is done with them, where items of a step differ in it.
    pub(super) role: u32,
}

impl Span {
    fn dense(buffer: usize, from: u32, len: usize, role: u32) -> Self {
        Self {
            buffer: Some(buffer),
            from: from as usize,
            len,
            step: 1,
            role,
        }
    }

    fn of(operand: &Operand, from: u32, len: u32, step: u32, role: u32) -> Self {
        Self {
            buffer: operand.buffer(),
            from: from as usize,
            len: len as usize,
            step: step as usize,
            role,
        }
    }

    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        (0..self.len).map(move |index| self.from + index * self.step)
    }
}

impl Operand {
    fn buffer(&self) -> Option<usize> {
        match self {
            Self::Buffer(buffer) => Some(*buffer),
            Self::Constant(_) => None,
        }
    }
}

impl Step {
    pub(super) fn items(&self) -> usize {
        match self {
            Self::Affine(step) => step.positions.len(),
            Self::Map(step) => step.runs.len(),
            Self::Combine(step) => step.runs.len(),
            Self::Join(step) => step.runs.len(),
            Self::Pool(step) => step.positions.len(),
            Self::Rows(step) => step.rows.len(),
            Self::Lstm(_) | Self::Gru(_) | Self::Forest(_) => 1,
        }
    }

    /// Where an item writes.
    pub(super) fn writes(&self, item: usize) -> Range<usize> {
        let (from, len) = match self {
            Self::Affine(step) => (step.positions[item].out, step.columns),
            Self::Map(step) => step.runs[item].output(),
            Self::Combine(step) => step.runs[item].output(),
            Self::Join(step) => step.runs[item].1.output(),
            Self::Pool(step) => (step.positions[item].out, step.columns),
            Self::Rows(step) if step.function.is_reduction() => (step.rows[item].1, 1),
            Self::Rows(step) => (step.rows[item].1, step.len),
            Self::Lstm(step) => (0, step.layout.len()),
            Self::Gru(step) => (0, step.layout.len()),
            Self::Forest(step) => (0, step.len()),
        };
        from as usize..from as usize + len
    }

    /// What an item reads.
    pub(super) fn reads(&self, item: usize) -> Vec<Span> {
        match self {
            Self::Affine(step) => {
                let position = &step.positions[item];
                let segments = &step.segments[position.first as usize..position.last as usize];
                let span = |segment: &super::step::Segment| {
                    Span::dense(step.input, segment.x, segment.len as usize, segment.row)
                };
                segments.iter().map(span).collect()
            }
            Self::Map(step) => {
                let run = &step.runs[item];
                vec![Span::of(&Operand::Buffer(step.input), run.a, run.len, step.step, 0)]
            }
            Self::Combine(step) => {
                let run = &step.runs[item];
                vec![
                    Span::of(&step.a, run.a, run.len, step.a_step, 0),
                    Span::of(&step.b, run.b, run.len, step.b_step, 1),
                ]
            }
            Self::Join(step) => {
                let (part, run) = &step.runs[item];
                let from = &step.parts[*part as usize];
                vec![Span::of(&from.from, run.a, run.len, from.step, *part)]
            }
            Self::Pool(step) => {
                let position = &step.positions[item];
                let taps = &step.taps[position.first as usize..position.last as usize];
                let role = if step.is_max { 0 } else { step.weights[item].to_bits() };
                let span = |tap: &u32| Span::dense(step.input, *tap, step.columns, role);
                taps.iter().map(span).collect()
            }
            Self::Rows(step) => vec![Span::dense(step.input, step.rows[item].0, step.len, 0)],
            Self::Lstm(step) => vec![Span::dense(step.input, 0, step.layout.input_len(), 0)],
            Self::Gru(step) => vec![Span::dense(step.input, 0, step.layout.input_len(), 0)],
            Self::Forest(step) => vec![Span::dense(step.input, step.from, step.features, 0)],
        }
    }

    /// Cuts runs so that none is longer than `limit` says for what it reads: a row of a window is an item then, where a
    /// copy of the whole window would be one.
    pub(super) fn cut(&mut self, limit: impl Fn(Option<usize>, u32) -> usize) {
        match self {
            Self::Map(step) => {
                let limit = limit(Some(step.input), step.step);
                let runs = step.runs.iter().flat_map(|run| run.cut(limit, step.step, 0));
                step.runs = runs.collect();
            }
            Self::Combine(step) => {
                let limit = limit(step.a.buffer(), step.a_step).min(limit(step.b.buffer(), step.b_step));
                let runs = step
                    .runs
                    .iter()
                    .flat_map(|run| run.cut(limit, step.a_step, step.b_step));
                step.runs = runs.collect();
            }
            Self::Join(step) => {
                let mut runs = Vec::with_capacity(step.runs.len());
                for (index, run) in &step.runs {
                    let part = &step.parts[*index as usize];
                    let limit = limit(part.from.buffer(), part.step);
                    runs.extend(run.cut(limit, part.step, 0).map(|run| (*index, run)));
                }
                step.runs = runs;
            }
            _ => {}
        }
    }
}

impl Run {
    fn output(&self) -> (u32, usize) {
        (self.out, self.len as usize)
    }

    fn cut(self, limit: usize, a_step: u32, b_step: u32) -> impl Iterator<Item = Self> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).max(1);
        (0..self.len.div_ceil(limit)).map(move |piece| {
            let from = piece * limit;
            Self {
                out: self.out + from,
                a: self.a + from * a_step,
                b: self.b + from * b_step,
                len: limit.min(self.len - from),
            }
        })
    }
}
