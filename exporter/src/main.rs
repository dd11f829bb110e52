//! The exporter's command.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use quantumflow_exporter::{cli::Options, fault, run::run};

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = fault::exit_on_bus_errors() {
        eprintln!("quantumflow-exporter: failed to prepare for damaged files, going on without: {error}");
    }
    let Err(error) = run(&options) else {
        return ExitCode::SUCCESS;
    };
    let mut text = format!("quantumflow-exporter: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
    ExitCode::FAILURE
}
