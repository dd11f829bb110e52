//! `quantumflow top`: the terminal monitor, which is a crate of its own.

pub(super) use quantumflow_monitor::top::Args;

use super::Outcome;

pub(super) fn run(args: &Args) -> Outcome {
    Ok(quantumflow_monitor::top::run(args)?)
}
