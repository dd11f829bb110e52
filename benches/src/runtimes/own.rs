//! Our plans.

use quantumflow::model::plan::{Memory, Plan, PlanError};

use super::{Runtime, Stream, Subject};

/// A plan that gets the whole window each time.
#[derive(Debug)]
pub struct Whole {
    plan: Plan,
    memory: Memory,
}

impl Whole {
    /// Compiles the plan.
    pub fn new(subject: &Subject) -> Result<Self, PlanError> {
        let plan = Plan::compile(&subject.onnx, &subject.output, &subject.shape)?;
        Ok(Self {
            memory: plan.memory(),
            plan,
        })
    }

    /// How many values it answers.
    pub fn output_len(&self) -> usize {
        self.plan.output_shape().iter().product()
    }
}

impl Runtime for Whole {
    fn answer(&mut self, stream: &Stream, newest: usize) -> &[f32] {
        self.plan.input(&mut self.memory).copy_from_slice(stream.window(newest));
        self.plan.run(&mut self.memory)
    }
}

/// A plan whose window slides: it gets the newest row.
#[derive(Debug)]
pub struct Slid {
    plan: Plan,
    memory: Memory,
    /// The window that it has seen.
    last: Option<usize>,
}

impl Slid {
    /// Compiles the plan.
    pub fn new(subject: &Subject) -> Result<Self, PlanError> {
        let plan = Plan::compile(&subject.onnx, &subject.output, &subject.shape)?;
        Ok(Self {
            memory: plan.memory(),
            plan,
            last: None,
        })
    }
}

impl Runtime for Slid {
    fn answer(&mut self, stream: &Stream, newest: usize) -> &[f32] {
        if newest == 0 || self.last != newest.checked_sub(1) {
            // Another stream, or its beginning: a whole window.
            let (last, rows) = (stream.width, stream.window(newest));
            for row in rows[..rows.len() - last].chunks_exact(stream.width) {
                self.plan.next_row(&mut self.memory).copy_from_slice(row);
            }
        }
        self.last = Some(newest);
        self.plan
            .next_row(&mut self.memory)
            .copy_from_slice(stream.newest(newest));
        self.plan.run(&mut self.memory)
    }
}
