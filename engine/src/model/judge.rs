//! Another runtime's word on a plan, asked for when a model is loaded.

use std::fmt;

use super::contract::{Contract, InputColumn};
use super::load::LoadError;
use super::plan::Plan;
use super::predict::{PredictError, is_distribution};
use super::recorded;
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

/// Random windows, and recorded ones.
const TIMES: usize = 16;

/// What a model is checked on: inputs whose answers are not known but must be predictions.
fn inputs(columns: &[InputColumn], contract: &Contract) -> Vec<(&'static str, Vec<f32>)> {
    let clip = contract.clip.min(f32::MAX.sqrt());
    let len = columns.len() * contract.window;
    let mut inputs = vec![
        ("mean features", vec![0.0; len]),
        ("largest features", vec![clip; len]),
        ("smallest features", vec![-clip; len]),
    ];
    let mut random = noise();
    for _ in 0..TIMES {
        let values = (0..len).map(|_| random().clamp(-clip, clip));
        inputs.push(("random features", values.collect()));
    }
    let recorded = recorded::windows(columns, clip, contract.window, TIMES);
    inputs.extend(recorded.into_iter().map(|window| ("recorded features", window)));
    inputs
}

/// Runs a plan on typical, extreme, random and recorded inputs, and the judge too, for as long as there is one.
pub(super) fn self_check(
    plan: &Plan,
    columns: &[InputColumn],
    contract: &Contract,
    mut judge: Result<Reference, TractError>,
) -> Result<Judgement, LoadError> {
    let (mut memory, mut slid) = (plan.memory(), plan.memory());
    let mut largest_difference = 0.0_f32;
    for (input, given) in inputs(columns, contract) {
        plan.input(&mut memory).copy_from_slice(&given);
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
