//! Book to features to model to signal: the hot loop, its configuration and the `quantumflow` command.

pub mod features;
pub mod model;
