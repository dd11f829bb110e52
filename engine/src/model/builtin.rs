//! The models that are compiled into the command, so that it works without a file beside it.

use std::sync::Arc;

use super::load::{LoadError, Model};
use crate::config::ModelSource;

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
    /// The model was refused.
    #[error("model {source_name} is refused")]
    Load {
        /// Which.
        source_name: String,
        /// Why.
        source: LoadError,
    },
}

/// Loads the model that a configuration names.
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
