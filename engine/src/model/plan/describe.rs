//! A plan in words and numbers: what each step does, and how much of it.

use super::Plan;
use super::kernels::recurrent::Layout;
use super::passes::Work;
use super::step::Step;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSummary {
    /// What runs it.
    pub kernel: &'static str,
    /// Of what to what, and what is done on the way.
    pub detail: String,
    /// What is counted in the two numbers that follow: multiply-adds, comparisons, or elements.
    pub unit: &'static str,
    /// For a window that comes alone.
    pub alone: usize,
    /// When the window has moved by a row; the same where nothing is kept.
    pub slide: usize,
    /// Parameters that it holds.
    pub weights: usize,
}

impl Plan {
    /// What its steps are, in their order. Allocates.
    pub fn describe(&self) -> Vec<StepSummary> {
        let passes = &self.passes;
        let slide = passes.slide.as_ref().unwrap_or(&passes.alone);
        let of_step = |pass: &[Work], step: usize| -> Vec<usize> {
            let own = pass.iter().filter(|work| work.step == step);
            own.flat_map(|work| work.items.clone()).collect()
        };
        let steps = self.steps.iter().enumerate();
        steps
            .map(|(index, step)| step.describe(&of_step(&passes.alone, index), &of_step(slide, index)))
            .collect()
    }

    /// Bytes that each who runs it needs.
    pub fn memory_bytes(&self) -> usize {
        self.memory_len * size_of::<f32>()
    }
}

impl Step {
    /// `alone`, `slide`: the items that are computed.
    fn describe(&self, alone: &[usize], slide: &[usize]) -> StepSummary {
        let count = |of_item: &dyn Fn(usize) -> usize| {
            let all = |items: &[usize]| -> usize { items.iter().map(|item| of_item(*item)).sum() };
            (all(alone), all(slide))
        };
        let written = |item: usize| self.writes(item).len();
        let (kernel, detail, unit, (alone, slide), weights) = match self {
            Self::Affine(step) => {
                let inputs = |item: usize| -> usize {
                    let position = &step.positions[item];
                    let segments = &step.segments[position.first as usize..position.last as usize];
                    segments.iter().map(|segment| segment.len as usize).sum()
                };
                let longest = (0..step.positions.len()).map(inputs).max().unwrap_or(0);
                let mut detail = format!("{longest} to {}, {:?}", step.columns, step.activation);
                if alone.len() > 1 {
                    detail.push_str(&format!(", at {} positions", alone.len()));
                }
                let rows = step.weights.rows();
                let weights = (rows + 1) * step.columns + step.after.as_ref().map_or(0, |_| 2 * step.columns);
                let work = count(&|item| inputs(item) * step.columns);
                ("affine", detail, "multiply-adds", work, weights)
            }
            Self::Lstm(step) => recurrent("lstm", &step.layout, alone.len(), slide.len()),
            Self::Gru(step) => recurrent("gru", &step.layout, alone.len(), slide.len()),
            Self::Forest(step) => {
                let comparisons = step.comparisons();
                let detail = format!(
                    "{} trees over {} values, {} scores",
                    step.trees(),
                    step.features,
                    step.base.len()
                );
                let work = (alone.len() * comparisons, slide.len() * comparisons);
                (
                    "forest",
                    detail,
                    "comparisons",
                    work,
                    step.nodes.len() + step.votes.len(),
                )
            }
            Self::Map(step) => ("map", format!("{:?}", step.function), "elements", count(&written), 0),
            Self::Combine(step) => (
                "combine",
                format!("{:?}", step.function),
                "elements",
                count(&written),
                0,
            ),
            Self::Join(step) => (
                "join",
                format!("{} parts", step.parts.len()),
                "elements",
                count(&written),
                0,
            ),
            Self::Pool(step) => {
                let detail = if step.is_max { "maximum" } else { "mean" };
                ("pool", detail.to_owned(), "elements", count(&written), 0)
            }
            Self::Rows(step) => (
                "rows",
                format!("{:?} of {}", step.function, step.len),
                "elements",
                count(&written),
                0,
            ),
        };
        StepSummary {
            kernel,
            detail,
            unit,
            alone,
            slide,
            weights,
        }
    }
}

type Described = (&'static str, String, &'static str, (usize, usize), usize);

fn recurrent(kernel: &'static str, layout: &Layout, alone: usize, slide: usize) -> Described {
    let of_time = layout.directions * layout.gates * layout.hidden * layout.hidden;
    let mut detail = format!("{} hidden over {} rows", layout.hidden, layout.times);
    if layout.directions > 1 {
        detail.push_str(", both ways");
    }
    let work = layout.times * of_time;
    (kernel, detail, "multiply-adds", (alone * work, slide * work), of_time)
}
