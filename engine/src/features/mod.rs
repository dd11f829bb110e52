//! Book and trades in, a row of numbers out: what a model sees of a market.
//!
//! [`registry`] names every feature, with its version, unit, warm-up and formula, in the one order in which they are
//! computed, written to tables and matched against a model's contract. [`FeatureEngine`] keeps the state of one
//! instrument and brings the row up to date with every book update, in a time that depends on neither the window
//! lengths nor the depth of the book. [`FeatureTable`] writes the same rows to a file for training: there is one
//! implementation, so training and serving cannot drift apart.
//!
//! What holds, and is tested:
//! - The row is a function of the calls alone. No clock is read and no receive time is used; venue times are.
//! - Windows are kept in integers, add the new and subtract the old, and divided only when they are read: no drift, and
//!   a replay gives the same bits. Floating point sees additions, multiplications, divisions and square roots, which
//!   IEEE 754 defines to the last bit, and no exponential or logarithm of a C library, which differ between machines: the
//!   one logarithm is made of the same four operations.
//! - An engine for a model computes what that model looks at, and its values are those of an engine of all features.
//! - Every value is finite, whatever the book.
//! - A row that rests on more levels than are surely known of the book is marked ([`HorizonWatch`]).
//! - Nothing is allocated after construction.

mod average;
mod bars;
mod depth;
mod engine;
mod extras;
mod horizon;
mod indicators;
mod log;
mod recent;
pub mod registry;
mod shape;
mod table;
mod tape;
mod time;
mod vpin;
mod window;

pub use engine::{FeatureEngine, FeatureVector};
pub use horizon::HorizonWatch;
pub use registry::{
    BASE_FEATURES, FEATURE_COUNT, Feature, FeatureDef, FeatureGroup, REACH_MAX, SCHEMA_HASH, WARM_UP_UPDATES,
    warm_up_of,
};
pub use table::{FeatureTable, TableError, TableSummary};
