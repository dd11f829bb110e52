//! `quantumflow region` by itself: the tests run it.

use clap::Parser;
use quantumflow_monitor::region;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: region::Args,
}

fn main() -> Result<(), quantumflow_monitor::Error> {
    region::run(&Cli::parse().args)
}
