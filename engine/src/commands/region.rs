//! `quantumflow region`: what a metrics region says, read by the monitor's crate.

pub(super) use quantumflow_monitor::region::Args;

use super::Outcome;

pub(super) fn run(args: &Args) -> Outcome {
    Ok(quantumflow_monitor::region::run(args)?)
}
