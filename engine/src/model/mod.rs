//! A row of features in, a direction out: what a model is, and the seam behind which it runs.
//!
//! A [`Model`] is an ONNX file whose metadata carries a [`Contract`]: which features in which order and version, how
//! they are normalised, how many rows it looks back, what its classes mean. [`Model::load`] checks all of it before the
//! model may speak, so that a model never runs on numbers that it was not trained on. It is immutable and shared; each
//! instrument has a [`Predictor`] of its own, which holds the rows that it looks back on.
//!
//! What runs the graph is a [`plan`] that was made of it when the model was loaded, and held against tract's answers then.

mod builtin;
mod contract;
mod judge;
mod load;
pub mod plan;
mod predict;
mod recorded;
mod reference;

pub use builtin::{ModelSet, SourceError, builtin_names, load_source};
pub use contract::{Contract, ContractFeature, LabelRule, LabelVariant};
pub use judge::Judgement;
pub use load::{LoadError, Model};
pub use predict::{Answer, Class, PredictError, Prediction, Predictor};
