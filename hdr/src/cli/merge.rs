//! `quantumflow hdr merge`: several logs, or several intervals, as one log.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::Error;
use super::input::{Input, ValueUnit, remark_if_cut};
use crate::log::{LogHeader, LogReader};
use crate::merge::{Join, MergeError, merge};
use crate::time::parse_seconds;

/// Several logs, or several intervals, as one log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow hdr merge logs --out all.hlog                  every line, in the order of time
  quantumflow hdr merge logs --out minutes.hlog --every 60   a line per minute and tag
  quantumflow hdr merge logs --out run.hlog --whole          one histogram per tag")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// The new log
    #[arg(long)]
    out: PathBuf,
    /// Sum the lines of each so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "whole")]
    every: Option<String>,
    /// Sum all lines of a tag
    #[arg(long)]
    whole: bool,
}

/// Files open at a time; beyond, merge in two steps.
const LOGS_MAX: usize = 512;

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let join = match &args.every {
        Some(text) => {
            let ns = parse_seconds(text).filter(|ns| *ns > 0);
            Join::Every(ns.ok_or_else(|| Error::input(format!("--every {text}: not a number of seconds above zero")))?)
        }
        None if args.whole => Join::Whole,
        None => Join::Lines,
    };
    let (paths, mut selection) = args.input.filter.open(&args.input.logs)?;
    // The new log is for the same tools as the old ones.
    selection.with_repeats = true;
    if paths.len() > LOGS_MAX {
        let count = paths.len();
        return Err(Error::input(format!(
            "{count} logs are more than {LOGS_MAX} open files: merge in two steps"
        )));
    }
    if let Ok(target) = fs::canonicalize(&args.out)
        && paths
            .iter()
            .any(|path| fs::canonicalize(path).is_ok_and(|path| path == target))
    {
        return Err(Error::input(format!(
            "{} is one of the logs to read: write elsewhere",
            args.out.display()
        )));
    }
    let readers: Result<Vec<_>, _> = paths.iter().map(|path| LogReader::open(path)).collect();
    let mut readers = readers.map_err(Error::input)?;
    let header = header(args.input.filter.value_unit, paths.len());
    // Under its name only once it is whole.
    let mut temp = args.out.clone().into_os_string();
    temp.push(".tmp");
    let file = BufWriter::new(File::create(&temp).map_err(|e| Error::running(format!("{}: {e}", temp.display())))?);
    let written = merge(&mut readers, &selection, join, header, file).map_err(|error| match error {
        MergeError::Write(error) => Error::running(error),
        error => Error::input(error),
    });
    let written = written.inspect_err(|_| drop(fs::remove_file(&temp)))?;
    fs::rename(&temp, &args.out)?;
    for reader in &readers {
        remark_if_cut(reader, notes)?;
    }
    writeln!(out, "{written} lines of {} logs in {}", paths.len(), args.out.display())?;
    Ok(())
}

fn header(unit: ValueUnit, log_count: usize) -> LogHeader {
    let mut header = LogHeader::latencies(0);
    if unit != ValueUnit::Ns {
        header.max_value_divisor = 1.0;
        header.comments = vec![format!(
            "values and Interval_Max are in {}",
            if unit == ValueUnit::Us { "us" } else { "ms" }
        )];
    }
    header.comments.push(format!("merged from {log_count} logs"));
    header
}
