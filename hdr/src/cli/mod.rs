//! `quantumflow hdr`: record interval logs, and read, merge, compare and draw them.
//!
//! Results go to the writer that is passed in, remarks (a file that is still being written) to the other.

mod compare;
mod heatmap;
mod hgrm;
mod input;
mod merge;
mod plot;
mod record;
mod summary;

use std::error;
use std::io::{self, Write};

/// Latency logs in the HdrHistogram format: record, read, compare, plot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow hdr record --out logs --seconds 60       what the running engines gain, a line per second and stage
  quantumflow hdr summary logs                         percentiles per stage of all logs in a directory
  quantumflow hdr compare before.hlog after.hlog --fail-above 10%
  quantumflow hdr plot logs --out latency.svg
  quantumflow hdr heatmap logs --tag stage=total --out day.png

Exit codes: 0 done, 1 failed while running, 2 wrong command line, 3 wrong input file, 4 slower than --fail-above allows.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write what the engines of a directory gain in each interval to log files
    Record(record::Args),
    /// Percentiles per tag
    #[command(alias = "percentiles")]
    Summary(summary::Args),
    /// The percentile distribution (.hgrm) that HdrHistogram's plotters read
    Hgrm(hgrm::Args),
    /// Several logs, or several intervals, as one log
    Merge(merge::Args),
    /// Which stage got slower from one run to another, the worst first
    Compare(compare::Args),
    /// Percentile curves, as SVG or PNG
    Plot(plot::Args),
    /// Latency over time, as SVG or PNG
    Heatmap(heatmap::Args),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input is wrong, or there is none: exit code 3.
    #[error(transparent)]
    Input(Box<dyn error::Error>),
    /// While running: exit code 1.
    #[error(transparent)]
    Running(Box<dyn error::Error>),
    /// A run is slower than the caller allows: exit code 4.
    #[error("slower than --fail-above {percent}% allows: {worst} ({count} in all)")]
    Slower {
        /// What is allowed.
        percent: f64,
        /// The worst percentile.
        worst: String,
        /// How many percentiles are.
        count: usize,
    },
}

impl Error {
    /// The exit code of the command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Input(_) => 3,
            Self::Slower { .. } => 4,
        }
    }

    /// Whether it is only that nobody reads the output any more.
    pub fn is_closed_pipe(&self) -> bool {
        let Self::Running(error) = self else { return false };
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn input(error: impl Into<Box<dyn error::Error>>) -> Self {
        Self::Input(error.into())
    }

    fn running(error: impl Into<Box<dyn error::Error>>) -> Self {
        Self::Running(error.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::running(error)
    }
}

/// Carries out what the command line asks. Results go to `out`, remarks to `notes`.
pub fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    match &args.command {
        Command::Record(args) => record::run(args, out, notes),
        Command::Summary(args) => summary::run(args, out, notes),
        Command::Hgrm(args) => hgrm::run(args, out, notes),
        Command::Merge(args) => merge::run(args, out, notes),
        Command::Compare(args) => compare::run(args, out, notes),
        Command::Plot(args) => plot::run(args, out, notes),
        Command::Heatmap(args) => heatmap::run(args, out, notes),
    }?;
    Ok(out.flush()?)
}
