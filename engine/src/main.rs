//! The `quantumflow` command.

use std::process::ExitCode;

use clap::Parser;
use quantumflow::commands::{self, Cli};

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
