//! The exporter's command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use quantumflow_exporter::cli::Options;
use quantumflow_exporter::run::{in_words, run};

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse()) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("quantumflow-exporter: {}", in_words(&error));
    ExitCode::FAILURE
}
