//! `quantumflow top` by itself: the tests drive it in a terminal of their own.

use clap::Parser;
use quantumflow_monitor::top;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: top::Args,
}

fn main() -> Result<(), quantumflow_monitor::Error> {
    top::run(&Cli::parse().args)
}
