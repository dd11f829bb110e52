//! The answer of a model, and the predictor of one instrument.

use std::fmt;
use std::sync::Arc;

use super::contract::InputColumn;
use super::load::Model;
use super::plan::Memory;
use crate::features::FEATURE_COUNT;

/// Where the mid price is expected to go, as the model's label rule defines it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Below the band.
    Down = 0,
    /// Within the band.
    #[default]
    Flat = 1,
    /// Above the band.
    Up = 2,
}

impl Class {
    /// Every class, in the order of the probabilities.
    pub const ALL: [Self; 3] = [Self::Down, Self::Flat, Self::Up];

    /// The name in contracts, metrics labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Flat => "flat",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a model says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The class; see [`Prediction::from_probabilities`] for ties.
    pub class: Class,
    /// Of down, flat and up. They sum to 1 but for rounding.
    pub probabilities: [f32; 3],
    /// The probability of `class`.
    pub confidence: f32,
}

impl Prediction {
    /// Down or up where its probability is greater than both others, else flat: a tie is no direction, and neither is
    /// a NaN, which is greater than nothing.
    pub fn from_probabilities(probabilities: [f32; 3]) -> Self {
        let [down, flat, up] = probabilities;
        let class = if down > flat && down > up {
            Class::Down
        } else if up > flat && up > down {
            Class::Up
        } else {
            Class::Flat
        };
        Self {
            class,
            probabilities,
            confidence: probabilities[class as usize],
        }
    }
}

/// Whether there is a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// The prediction was written.
    Ready,
    /// The row was taken; the model looks back further than the rows it has had since the last reset.
    Warming,
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The row is not one of the feature registry.
    #[error("a row has {FEATURE_COUNT} features, got {got}")]
    RowLength {
        /// How many values came.
        got: usize,
    },
    /// The model answered with something that is no distribution: NaN, infinite, or not summing to 1.
    #[error("the model's probabilities {probabilities:?} are no distribution")]
    NotADistribution {
        /// What it answered.
        probabilities: [f32; 3],
    },
}

/// Runs a model for one instrument.
///
/// Three calls: [`predict`](Self::predict) for each row, [`reset`](Self::reset) where the rows are interrupted (the
/// feature engine gave `None`), [`window`](Self::window) to size things. Allocates nothing.
#[derive(Debug)]
pub struct Predictor {
    model: Arc<Model>,
    /// The plan's: its input is the last rows, normalised, oldest first, and it remembers what it has made of them.
    memory: Memory,
    rows: usize,
}

impl Predictor {
    pub(super) fn new(model: Arc<Model>) -> Self {
        Self {
            memory: model.plan().memory(),
            rows: 0,
            model,
        }
    }

    /// Takes the next row, all features in the order of the registry, and writes what the model makes of the rows so
    /// far. `out` is left alone unless the answer is [`Answer::Ready`].
    pub fn predict(&mut self, row: &[f32], out: &mut Prediction) -> Result<Answer, PredictError> {
        let Ok(row) = <&[f32; FEATURE_COUNT]>::try_from(row) else {
            return Err(PredictError::RowLength { got: row.len() });
        };
        let inputs = self.model.inputs();
        let window = self.model.contract().window;
        let newest = self.model.plan().next_row(&mut self.memory);
        normalise(row, inputs, self.model.contract().clip, newest);
        self.rows = (self.rows + 1).min(window);
        if self.rows < window {
            return Ok(Answer::Warming);
        }
        let mut probabilities = [0.0; 3];
        probabilities.copy_from_slice(self.model.plan().run(&mut self.memory));
        if !is_distribution(&probabilities) {
            return Err(PredictError::NotADistribution { probabilities });
        }
        *out = Prediction::from_probabilities(probabilities);
        Ok(Answer::Ready)
    }

    /// Forgets the rows so far.
    pub fn reset(&mut self) {
        // The next answer comes a window of rows later: the plan sees that it cannot build on the last one.
        self.rows = 0;
    }

    /// How many rows the model looks at.
    pub fn window(&self) -> usize {
        self.model.contract().window
    }

    /// The model that runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// `(value - mean) / scale`, within ±`clip`, in `f32`: a multiplication with the reciprocal, which training does alike.
pub(super) fn normalise(row: &[f32; FEATURE_COUNT], inputs: &[InputColumn], clip: f32, out: &mut [f32]) {
    for (slot, input) in out.iter_mut().zip(inputs) {
        *slot = ((row[input.feature as usize] - input.mean) * input.scale_inverse).clamp(-clip, clip);
    }
}

/// Each within 0..1 and their sum 1, with room for the rounding of three `f32` exponentials.
pub(super) fn is_distribution(probabilities: &[f32; 3]) -> bool {
    const ROOM: f32 = 1e-4;
    let sum: f32 = probabilities.iter().sum();
    probabilities.iter().all(|p| (-ROOM..=1.0 + ROOM).contains(p)) && (sum - 1.0).abs() <= ROOM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_needs_more_than_both_others() {
        const NAN: f32 = f32::NAN;
        for (probabilities, class, confidence) in [
            ([0.5, 0.2, 0.3], Class::Down, 0.5),
            ([0.2, 0.5, 0.3], Class::Flat, 0.5),
            ([0.2, 0.3, 0.5], Class::Up, 0.5),
            ([0.4, 0.2, 0.4], Class::Flat, 0.2),
            ([0.4, 0.4, 0.2], Class::Flat, 0.4),
            ([0.2, 0.4, 0.4], Class::Flat, 0.4),
            ([0.9, NAN, 0.1], Class::Flat, NAN),
            ([NAN, 0.1, 0.9], Class::Flat, 0.1),
            ([NAN, NAN, NAN], Class::Flat, NAN),
        ] {
            let got = Prediction::from_probabilities(probabilities);
            assert_eq!(got.class, class, "{probabilities:?}");
            assert_eq!(got.confidence.to_bits(), confidence.to_bits(), "{probabilities:?}");
        }
    }

    #[test]
    fn a_distribution_is_finite_and_sums_to_one() {
        for (probabilities, is) in [
            ([0.2, 0.3, 0.5], true),
            ([0.0, 1.0, 0.0], true),
            ([0.2, 0.3, 0.6], false),
            ([-0.2, 0.7, 0.5], false),
            ([f32::NAN, 0.5, 0.5], false),
            ([f32::INFINITY, f32::NEG_INFINITY, 1.0], false),
        ] {
            assert_eq!(is_distribution(&probabilities), is, "{probabilities:?}");
        }
    }
}
