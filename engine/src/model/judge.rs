//! Another runtime's word on a plan, asked for when a model is loaded.

use std::fmt;

use super::load::LoadError;
use super::plan::Plan;
use super::predict::{PredictError, is_distribution};
use super::reference::{Reference, TractError};

/// Whether another runtime has confirmed the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// tract answers the same.
    Confirmed {
        /// The largest difference of a probability on the inputs of the self check.
        largest_difference: f32,
    },
    /// tract cannot run the graph.
    Unjudged {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { largest_difference } => {
                write!(f, "confirmed by tract, largest difference {largest_difference:.0e}")
            }
            Self::Unjudged { reason } => write!(f, "not confirmed by another runtime: {reason}"),
        }
    }
}

/// Two runtimes add up in another order: probabilities may differ by so much.
const AGREEMENT: f32 = 1e-5;

/// What a plan is run on, and how often: inputs whose answers are not known but must be predictions.
const INPUTS: [(&str, usize); 4] = [
    ("mean features", 1),
    ("largest features", 1),
    ("smallest features", 1),
    ("random features", 16),
];

/// Runs a plan on typical, extreme and random inputs, and the judge too, for as long as there is one.
pub(super) fn self_check(
    plan: &Plan,
    clip: f32,
    mut judge: Result<Reference, TractError>,
) -> Result<Judgement, LoadError> {
    let clip = clip.min(f32::MAX.sqrt());
    let mut random = noise();
    let (mut memory, mut slid) = (plan.memory(), plan.memory());
    let mut largest_difference = 0.0_f32;
    for (kind, (input, times)) in INPUTS.into_iter().enumerate() {
        for _ in 0..times {
            for value in plan.input(&mut memory) {
                *value = match kind {
                    0 => 0.0,
                    1 => clip,
                    2 => -clip,
                    _ => random().clamp(-clip, clip),
                };
            }
            let given = plan.input(&mut memory).to_vec();
            let mut answer = [0.0; 3];
            answer.copy_from_slice(plan.run(&mut memory));
            if !is_distribution(&answer) {
                let source = PredictError::NotADistribution { probabilities: answer };
                return Err(LoadError::SelfCheck { input, source });
            }
            // As the engine runs it: row by row, with an answer to each.
            let mut of_slide = [0.0; 3];
            for row in given.chunks(plan.row_len()) {
                plan.next_row(&mut slid).copy_from_slice(row);
                of_slide.copy_from_slice(plan.run(&mut slid));
            }
            if of_slide.map(f32::to_bits) != answer.map(f32::to_bits) {
                return Err(LoadError::Slides { input });
            }
            let Ok(reference) = &mut judge else { continue };
            match reference.answer(&given) {
                Ok(other) => {
                    let difference = answer
                        .iter()
                        .zip(&other)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max);
                    if !is_distribution(&other) || difference > AGREEMENT {
                        return Err(LoadError::Disagrees {
                            input,
                            plan: answer,
                            reference: other,
                        });
                    }
                    largest_difference = largest_difference.max(difference);
                }
                Err(error) => judge = Err(error),
            }
        }
    }
    Ok(match judge {
        Ok(_) => Judgement::Confirmed { largest_difference },
        Err(error) => Judgement::Unjudged {
            reason: error.to_string(),
        },
    })
}

/// Values in -1..1: xorshift64, because any noise will do, and the same for every load.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
