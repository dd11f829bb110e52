//! The exporter's command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use quantumflow_exporter::cli::Options;
use quantumflow_exporter::run::run;
use quantumflow_region::in_words;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = quantumflow_region::exit_on_sigbus() {
        eprintln!("quantumflow-exporter: failed to prepare for damaged files, going on without: {error}");
    }
    let Err(error) = run(&options) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("quantumflow-exporter: {}", in_words(&error));
    ExitCode::FAILURE
}
