//! `quantumflow region`: what a metrics region says, read by the monitor's crate.

use quantumflow_monitor::region;

use super::Outcome;

/// Read a metrics region, of a running engine or a dead one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    monitor: region::Args,
}

pub(super) fn run(args: &Args) -> Outcome {
    Ok(region::run(&args.monitor)?)
}
