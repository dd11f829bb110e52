//! Book to features to model to signal: the hot loop, its configuration and the `quantumflow` command.
//!
//! Data goes one way: a [`Feed`](quantumflow_feeds::feed::Feed) calls the [`PredictSink`](hot::PredictSink), which
//! computes [`features`], asks the [`model`] and publishes. [`wiring`] starts the threads; [`commands`] is what a person
//! types.

pub mod cold;
pub mod commands;
pub mod config;
pub mod features;
pub mod hot;
pub mod jitter;
pub mod log;
pub mod model;
pub mod os;
pub mod replay;
pub mod tune;
pub mod wiring;

/// The revision that this was built from, where the build knew it.
pub const REVISION: &str = match option_env!("QUANTUMFLOW_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
