//! The `quantumflow` command: what can be asked of it, and the exit codes of the answers.
//!
//! Each sub-command is one file. Results go to standard output, everything else to standard error; a closed pipe is not
//! a failure.

mod check;
mod features;
mod hdr;
mod jitter;
mod models;
mod record;
mod region;
mod replay;
mod run;
mod sim;
mod top;
mod training;
mod tune;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quantumflow_feeds::VenueId;

/// A prediction engine for colocated trading hosts.
#[derive(Debug, Parser)]
#[command(name = "quantumflow", version, about, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Example: a simulated venue, the engine on it, and a look at its latencies
  quantumflow sim --venue binance --listen 127.0.0.1:9443 --tls --ca-out /tmp/sim-ca.pem &
  quantumflow check engine.toml && quantumflow run engine.toml &
  quantumflow top --once

Exit codes: 0 done, 1 failed while running, 2 wrong command line, 3 wrong configuration or input file, 4 the answer is no.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine: sockets to signals, until Ctrl-C or SIGTERM
    Run(run::Args),
    /// Check a configuration without starting anything, or print the default one
    Check(check::Args),
    /// Be a venue: speak its real protocol on a local address, from a recording or a generated market
    Sim(Box<sim::Args>),
    /// Write what a venue sends to capture files, without features or a model
    Record(record::Args),
    /// Run a capture through the same code as a live session and print what came out
    Replay(replay::Args),
    /// Write the features that the engine computes on a capture as CSV, for training
    Features(features::Args),
    /// Look at model files: are they taken, what do they look at, what do they cost
    Models(models::Args),
    /// Read a metrics region, of a running engine or a dead one
    Region(region::Args),
    /// Latency logs in the HdrHistogram format: record, read, compare, plot
    Hdr(hdr::Args),
    /// Run a training command and report it as metrics
    Training(training::Args),
    /// Look at the host: what costs latency here, and how to change it
    Tune(tune::Args),
    /// Measure how often, and for how long, the host takes a core away
    Jitter(jitter::Args),
    /// Watch a running engine: rates, stage latencies, predictions, books, threads, events
    Top(top::Args),
}

/// Why a command failed, and so with which code it exits.
#[derive(Debug)]
pub(crate) enum Failure {
    /// While running.
    Running(Box<dyn Error>),
    /// The configuration or an input file is wrong.
    Input(Box<dyn Error>),
    /// It did its work, and the answer is no.
    Refused(Box<dyn Error>),
}

impl Failure {
    fn running(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Running(error.into())
    }

    fn input(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Input(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::running(error)
    }
}

impl From<quantumflow_monitor::Error> for Failure {
    fn from(error: quantumflow_monitor::Error) -> Self {
        match error {
            // By itself, so that a closed pipe is known for one.
            quantumflow_monitor::Error::Output(error) => Self::running(error),
            error if error.is_input() => Self::input(error),
            error => Self::running(error),
        }
    }
}

impl From<quantumflow_hdr::cli::Error> for Failure {
    fn from(error: quantumflow_hdr::cli::Error) -> Self {
        use quantumflow_hdr::cli::Error;
        match error {
            Error::Input(error) => Self::Input(error),
            Error::Running(error) => Self::Running(error),
            error @ Error::Slower { .. } => Self::Refused(Box::new(error)),
        }
    }
}

type Outcome = Result<(), Failure>;

fn parse_venue(name: &str) -> Result<VenueId, String> {
    let known = VenueId::ALL.map(VenueId::name).join(" or ");
    VenueId::from_name(name).ok_or(known)
}

/// Carries out what the command line asks.
pub fn run(cli: Cli) -> ExitCode {
    if let Err(error) = quantumflow_region::exit_on_sigbus() {
        eprintln!("quantumflow: going on without a handler for files that are cut: {error}");
    }
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Region(args) => region::run(&args),
        Command::Hdr(args) => hdr::run(&args),
        Command::Training(args) => training::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Jitter(args) => jitter::run(&args),
        Command::Top(args) => top::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Running(error)) if is_closed_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(Failure::Running(error)) => report(error.as_ref(), 1),
        Err(Failure::Input(error)) => report(error.as_ref(), 3),
        Err(Failure::Refused(error)) => report(error.as_ref(), 4),
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes, one line each.
fn report(error: &dyn Error, code: u8) -> ExitCode {
    eprintln!("quantumflow: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
    ExitCode::from(code)
}
