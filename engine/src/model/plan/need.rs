//! What of each step is needed.
//!
//! Who looks at the last row of a convolution over a hundred rows needs one of its positions, and of the convolution before
//! it the few that this one looks at: a cone that widens towards the input. From the output backwards, each step keeps the
//! positions, runs and rows that somebody reads, and says what it reads for them.

use super::step::{Operand, Run, Step};
use super::tensor::View;

/// Elements of buffers that somebody reads.
struct Needed(Vec<Vec<bool>>);

impl Needed {
    fn any(&self, buffer: usize, from: usize, len: usize) -> bool {
        self.0[buffer][from..from + len].contains(&true)
    }

    fn mark(&mut self, buffer: usize, places: impl Iterator<Item = usize>) {
        for place in places {
            self.0[buffer][place] = true;
        }
    }

    fn mark_operand(&mut self, operand: &Operand, from: u32, len: u32, step: u32) {
        if let Operand::Buffer(buffer) = operand {
            self.mark(*buffer, spread(from, len, step));
        }
    }

    /// Keeps the runs whose output is read.
    fn keep(&self, output: usize, runs: &mut Vec<Run>) {
        runs.retain(|run| self.any(output, run.out as usize, run.len as usize));
    }
}

fn spread(from: u32, len: u32, step: u32) -> impl Iterator<Item = usize> {
    (0..len as usize).map(move |index| from as usize + index * step as usize)
}

/// Takes from the steps whatever does not lead to the output.
pub(super) fn prune(steps: &mut [Step], buffers: &[usize], output: &View) {
    let mut needed = Needed(buffers.iter().map(|len| vec![false; *len]).collect());
    needed.mark(output.buffer, output.places());
    for (index, step) in steps.iter_mut().enumerate().rev() {
        // Step n writes buffer n + 1.
        let own = index + 1;
        match step {
            Step::Affine(step) => {
                step.positions
                    .retain(|position| needed.any(own, position.out as usize, step.columns));
                let mut kept = Vec::new();
                for position in &mut step.positions {
                    let segments = &step.segments[position.first as usize..position.last as usize];
                    for segment in segments {
                        needed.mark(step.input, spread(segment.x, segment.len, 1));
                    }
                    position.first = kept.len() as u32;
                    kept.extend_from_slice(segments);
                    position.last = kept.len() as u32;
                }
                step.segments = kept;
            }
            Step::Map(step) => {
                needed.keep(own, &mut step.runs);
                for run in &step.runs {
                    needed.mark(step.input, spread(run.a, run.len, step.step));
                }
            }
            Step::Combine(step) => {
                needed.keep(own, &mut step.runs);
                for run in &step.runs {
                    needed.mark_operand(&step.a, run.a, run.len, step.a_step);
                    needed.mark_operand(&step.b, run.b, run.len, step.b_step);
                }
            }
            Step::Join(step) => {
                for part in &mut step.parts {
                    needed.keep(own, &mut part.runs);
                    for run in &part.runs {
                        needed.mark_operand(&part.from, run.a, run.len, part.step);
                    }
                }
            }
            Step::Pool(step) => {
                let is_kept: Vec<bool> = step
                    .positions
                    .iter()
                    .map(|position| needed.any(own, position.out as usize, step.columns))
                    .collect();
                let mut kept = is_kept.iter();
                step.weights.retain(|_| kept.next().copied().unwrap_or(false));
                let mut kept = is_kept.iter();
                step.positions.retain(|_| kept.next().copied().unwrap_or(false));
                for position in &step.positions {
                    for tap in &step.taps[position.first as usize..position.last as usize] {
                        needed.mark(step.input, spread(*tap, step.columns as u32, 1));
                    }
                }
            }
            Step::Rows(step) => {
                let width = if step.function.is_reduction() { 1 } else { step.len };
                step.rows.retain(|(_, to)| needed.any(own, *to as usize, width));
                for (from, _) in &step.rows {
                    needed.mark(step.input, spread(*from, step.len as u32, 1));
                }
            }
            Step::Lstm(step) => needed.mark(step.input, 0..step.layout.input_len()),
            Step::Gru(step) => needed.mark(step.input, 0..step.layout.input_len()),
            Step::Forest(step) => {
                let from = step.from as usize;
                needed.mark(step.input, from..from + step.features);
            }
        }
    }
}
