//! What a model says about itself: one JSON document in the ONNX metadata, under [`CONTRACT_KEY`].
//!
//! ```json
//! {
//!   "schema": 1,
//!   "name": "mlp_v1", "version": "1.0.0",
//!   "features": [{"name": "spread_ticks", "version": 1, "mean": 1.3, "scale": 0.7}],
//!   "clip": 10.0,
//!   "window": 1,
//!   "output": "probabilities",
//!   "classes": ["down", "flat", "up"],
//!   "label": {"variant": "tlob", "smooth_updates": 5, "horizon_updates": 20, "alpha": 1e-5},
//!   "training": {"data": "...", "seed": "7"}
//! }
//! ```
//!
//! The graph takes `[1, features]` where `window` is 1 and `[1, window, features]` otherwise, oldest row first, of
//! `clamp((value - mean) / scale, ±clip)` in `f32`; it does not normalise by itself. Its output of the given name is
//! `[1, 3]`: the probabilities of the classes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::load::LoadError;
use super::predict::Class;
use crate::features::{Feature, registry::FEATURES};

/// The key of the contract in the metadata of the ONNX file.
pub(super) const CONTRACT_KEY: &str = "quantumflow.contract";

/// The schema of the contract that this engine reads.
const SCHEMA: u32 = 1;

/// The most rows that a model may look back.
const WINDOW_MAX: usize = 1024;

/// The longest horizon in book updates.
const HORIZON_MAX: u32 = 1_000_000;

/// The longest name of a model: it becomes a label of metrics, and the signal ring has room for so much.
const NAME_LEN_MAX: usize = 48;

/// What a model was trained to do. Every field was checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The schema of this document.
    pub schema: u32,
    /// Its name, the label `model_name` of the metrics.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it looks at, in the order of the columns of its input.
    pub features: Vec<ContractFeature>,
    /// Normalised inputs are kept within ±`clip`.
    pub clip: f32,
    /// How many rows it looks at, the newest included.
    pub window: usize,
    /// Which output of the graph holds the probabilities.
    pub output: String,
    /// Always down, flat, up.
    pub classes: Vec<String>,
    /// What its classes mean.
    pub label: LabelRule,
    /// Where it comes from: data, seeds, tools. Free words for people.
    pub training: BTreeMap<String, String>,
}

/// One column of a model's input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractFeature {
    /// The name in the registry.
    pub name: String,
    /// The version that it was trained on.
    pub version: u16,
    /// Subtracted.
    pub mean: f32,
    /// Divided by.
    pub scale: f32,
}

/// How a moment is labelled up, flat or down once its future is known. With `m` the mid price, `k` the
/// `smooth_updates` and `h` the `horizon_updates`, counted in book updates: up where the relative move is above
/// `alpha`, down where it is below `-alpha`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRule {
    /// Which move.
    pub variant: LabelVariant,
    /// Over how many updates prices are averaged.
    pub smooth_updates: u32,
    /// How far ahead.
    pub horizon_updates: u32,
    /// Half the width of the flat band, as a fraction of the price.
    pub alpha: f64,
}

/// The move that a label speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelVariant {
    /// `m(t+h) / m(t) - 1`; `smooth_updates` is 0.
    Plain,
    /// `mean(m(t+1..=t+h)) / m(t) - 1`, as in FI-2010 (Ntakaris et al. 2018); `smooth_updates` is 0.
    Fi2010,
    /// `mean(m(t+h-k..=t+h)) / mean(m(t-k..=t)) - 1`, as in TLOB (2025).
    Tlob,
}

/// A column of the input, resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputColumn {
    pub(super) feature: Feature,
    pub(super) mean: f32,
    pub(super) scale_inverse: f32,
}

impl Contract {
    /// Reads a contract and checks it against the feature registry.
    pub(super) fn parse(json: &str) -> Result<(Self, Box<[InputColumn]>), LoadError> {
        // The schema first: a newer one is better named than called malformed.
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema } = serde_json::from_str(json).map_err(LoadError::BadContract)?;
        if schema != SCHEMA {
            return Err(LoadError::Schema {
                got: schema,
                supported: SCHEMA,
            });
        }
        let contract: Self = serde_json::from_str(json).map_err(LoadError::BadContract)?;
        contract.check()?;
        let mut inputs: Vec<InputColumn> = Vec::with_capacity(contract.features.len());
        for wanted in &contract.features {
            let input = wanted.resolve()?;
            if inputs.iter().any(|other| other.feature == input.feature) {
                return Err(LoadError::DuplicateFeature {
                    name: wanted.name.clone(),
                });
            }
            inputs.push(input);
        }
        Ok((contract, inputs.into_boxed_slice()))
    }

    /// The shape of the graph's input: see the module's documentation.
    pub(super) fn input_shape(&self) -> Vec<usize> {
        match self.window {
            1 => vec![1, self.features.len()],
            window => vec![1, window, self.features.len()],
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        let bad =
            |field: &'static str, got: String, allowed: &'static str| Err(LoadError::BadField { field, got, allowed });
        let is_name = |text: &str| {
            (1..=NAME_LEN_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !is_name(&self.name) {
            return bad(
                "name",
                self.name.escape_debug().collect(),
                "1 to 48 letters, digits, '_', '-' or '.'",
            );
        }
        if !is_name(&self.version) {
            return bad(
                "version",
                self.version.escape_debug().collect(),
                "1 to 48 letters, digits, '_', '-' or '.'",
            );
        }
        if self.features.is_empty() {
            return bad("features", "none".to_owned(), "at least one");
        }
        if !(self.clip > 0.0 && self.clip.is_finite()) {
            return bad("clip", self.clip.to_string(), "a finite number above 0");
        }
        if !(1..=WINDOW_MAX).contains(&self.window) {
            return bad("window", self.window.to_string(), "1 to 1024 rows");
        }
        if !self.classes.iter().map(String::as_str).eq(Class::ALL.map(Class::name)) {
            return bad(
                "classes",
                format!("{:?}", self.classes),
                "[\"down\", \"flat\", \"up\"] in this order",
            );
        }
        let label = &self.label;
        if !(1..=HORIZON_MAX).contains(&label.horizon_updates) {
            return bad(
                "label.horizon_updates",
                label.horizon_updates.to_string(),
                "1 to 1000000 updates",
            );
        }
        let smooth_allowed = if label.variant == LabelVariant::Tlob {
            label.horizon_updates
        } else {
            0
        };
        if label.smooth_updates > smooth_allowed {
            return bad(
                "label.smooth_updates",
                label.smooth_updates.to_string(),
                "at most the horizon for \"tlob\", 0 for the other variants",
            );
        }
        if !(label.alpha >= 0.0 && label.alpha < 1.0) {
            return bad("label.alpha", label.alpha.to_string(), "0 or more, below 1");
        }
        Ok(())
    }
}

impl ContractFeature {
    fn resolve(&self) -> Result<InputColumn, LoadError> {
        let Some(feature) = Feature::from_name(&self.name) else {
            let nearest = FEATURES
                .iter()
                .map(|def| (strsim::damerau_levenshtein(def.name, &self.name), def.name))
                .min()
                .map_or("", |(_, name)| name);
            return Err(LoadError::UnknownFeature {
                name: self.name.escape_debug().collect(),
                nearest,
            });
        };
        let engine = feature.def().version;
        if engine != self.version {
            return Err(LoadError::FeatureVersion {
                name: feature.def().name,
                model: self.version,
                engine,
            });
        }
        let scale_inverse = 1.0 / self.scale;
        if !(self.mean.is_finite() && self.scale > 0.0 && scale_inverse.is_normal()) {
            return Err(LoadError::Normalisation {
                name: feature.def().name,
                mean: self.mean,
                scale: self.scale,
            });
        }
        Ok(InputColumn {
            feature,
            mean: self.mean,
            scale_inverse,
        })
    }
}
