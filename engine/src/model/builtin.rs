//! The models that are compiled into the command, so that it works without a file beside it.

use std::sync::Arc;

use super::load::{LoadError, Model};
use crate::config::{ModelConfig, ModelSource};

/// Name and bytes of each; `engine/models/README.md` compares them.
const BUILTIN: [(&str, &[u8]); 6] = [
    ("logistic_v1", include_bytes!("../../models/logistic_v1.onnx")),
    ("mlp_v1", include_bytes!("../../models/mlp_v1.onnx")),
    ("lstm_v1", include_bytes!("../../models/lstm_v1.onnx")),
    ("tcn_v1", include_bytes!("../../models/tcn_v1.onnx")),
    ("gbdt_v1", include_bytes!("../../models/gbdt_v1.onnx")),
    ("ensemble_v1", include_bytes!("../../models/ensemble_v1.onnx")),
];

/// Why a configured model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No model of that name is compiled in.
    #[error("no model {name} is compiled in: there is {known}; for a file, write its path without `builtin:`")]
    UnknownBuiltin {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two models go by one name.
    #[error(
        "two models have the name {name} in their contracts: their metrics could not be told apart; rename one and export it again"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// The model was refused.
    #[error("model {source_name} is refused")]
    Load {
        /// Which.
        source_name: String,
        /// Why.
        source: LoadError,
    },
}

/// The models of an engine: the one whose predictions are signals, and those that predict beside it.
#[derive(Clone, Debug)]
pub struct ModelSet {
    /// Whose predictions are signals.
    pub champion: Arc<Model>,
    /// Unheard.
    pub shadows: Vec<Arc<Model>>,
}

impl ModelSet {
    /// Loads what a configuration names.
    pub fn load(config: &ModelConfig) -> Result<Self, SourceError> {
        let set = Self {
            champion: load_source(&config.source)?,
            shadows: config.shadows.iter().map(load_source).collect::<Result<_, _>>()?,
        };
        let mut names: Vec<&str> = set.all().map(|model| &*model.contract().name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(SourceError::SameName {
                name: pair[0].to_owned(),
            }),
            None => Ok(set),
        }
    }

    /// The champion first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Model>> {
        std::iter::once(&self.champion).chain(&self.shadows)
    }
}

impl From<Arc<Model>> for ModelSet {
    fn from(champion: Arc<Model>) -> Self {
        Self {
            champion,
            shadows: Vec::new(),
        }
    }
}

/// The names of the models that are compiled in.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// Loads one model that a configuration names.
pub fn load_source(source: &ModelSource) -> Result<Arc<Model>, SourceError> {
    let refused = |source_name: String| move |source| SourceError::Load { source_name, source };
    match source {
        ModelSource::File(path) => Model::load(path).map_err(refused(path.display().to_string())),
        ModelSource::Builtin(name) => {
            let bytes = BUILTIN.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes);
            let bytes = bytes.ok_or_else(|| SourceError::UnknownBuiltin {
                name: name.clone(),
                known: BUILTIN.map(|(known, _)| known).join(", "),
            })?;
            Model::from_bytes(bytes).map_err(refused(format!("builtin:{name}")))
        }
    }
}
