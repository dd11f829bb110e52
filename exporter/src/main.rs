//! The exporter's command.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use quantumflow_exporter::{cli::Options, run::run};

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse()) else {
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
