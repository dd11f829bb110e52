//! `quantumflow top`: the terminal monitor, which is a crate of its own.

use quantumflow_monitor::top;

use super::Outcome;

/// Watch a running engine: rates, stage latencies, predictions, books, threads, events.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    monitor: top::Args,
}

pub(super) fn run(args: &Args) -> Outcome {
    Ok(top::run(&args.monitor)?)
}
