//! The sub-command `quantumflow hdr` as a program of its own, for machines that only look at logs.
//!
//! `cargo run -p quantumflow-hdr --example hdr -- summary run.hlog`

use std::io;
use std::process::ExitCode;

use clap::Parser;
use quantumflow_hdr::cli;

/// Latency logs in the HdrHistogram format
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: cli::Args,
}

fn main() -> ExitCode {
    let outcome = cli::run(
        &Command::parse().args,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    );
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hdr: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
