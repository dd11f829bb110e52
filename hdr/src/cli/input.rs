//! The logs of a command line and the selection of their lines.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;

use super::Error;
use crate::log::LogReader;
use crate::select::{GatherError, Selection, Tags, logs_of};
use crate::time::{parse_rfc3339, parse_seconds};

/// Which logs to read, and what of them.
#[derive(Debug, clap::Args)]
pub(super) struct Input {
    /// Logs (.hlog); a directory stands for all in it
    #[arg(required = true, value_name = "LOG")]
    pub(super) logs: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) filter: Filter,
}

/// What of the logs to read.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only this tag, for example stage=decrypt; may be given several times. An empty one means lines without a tag
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only intervals from here on: seconds after the first log's start, or a time like 2026-11-21T09:30:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Only intervals that end here or before
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// Unit of the values in the logs; the format does not say it
    #[arg(long, value_name = "UNIT", default_value = "ns")]
    pub(super) value_unit: ValueUnit,
}

/// Unit of the values in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ValueUnit {
    Ns,
    Us,
    Ms,
}

impl ValueUnit {
    /// Nanoseconds of one.
    pub(super) fn to_ns(self) -> f64 {
        match self {
            Self::Ns => 1.0,
            Self::Us => 1e3,
            Self::Ms => 1e6,
        }
    }
}

/// A point in time of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    AfterStart(u64),
    Unix(u64),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ns) = parse_seconds(text) {
            return Ok(Self::AfterStart(ns));
        }
        let wrong = || "expected seconds after the start, or a time like 2026-11-21T09:30:00Z".to_owned();
        parse_rfc3339(text).map(Self::Unix).ok_or_else(wrong)
    }
}

/// A log with its file.
pub(super) type FileReader = LogReader<BufReader<File>>;

impl Filter {
    /// Opens logs, directories taken apart, and says what of them is selected.
    pub(super) fn open(&self, logs: &[PathBuf]) -> Result<(Vec<PathBuf>, Selection), Error> {
        let mut paths = Vec::new();
        for path in logs {
            let found = logs_of(path).map_err(|error| Error::input(format!("{}: {error}", path.display())))?;
            if found.is_empty() {
                return Err(Error::input(format!("no .hlog files in {}", path.display())));
            }
            paths.extend(found);
        }
        let mut selection = Selection {
            tags: self.tags.clone(),
            ..Selection::default()
        };
        if self.from.is_some() || self.to.is_some() {
            let start = start_of(&paths)?;
            let resolve = |moment| match moment {
                Moment::AfterStart(ns) => start.saturating_add(ns),
                Moment::Unix(ns) => ns,
            };
            selection.from_ns = self.from.map(resolve);
            selection.to_ns = self.to.map(resolve);
        }
        Ok((paths, selection))
    }

    /// One histogram per tag over all these logs. At least one line must have been selected.
    pub(super) fn gather(&self, logs: &[PathBuf], notes: &mut dyn Write) -> Result<Tags, Error> {
        let (paths, selection) = self.open(logs)?;
        let mut tags = Tags::default();
        for path in &paths {
            let mut reader = LogReader::open(path).map_err(Error::input)?;
            tags.gather(&mut reader, &selection).map_err(|error| match error {
                GatherError::Read(error) => Error::input(error),
                GatherError::TooMuch(error) => Error::input(error),
            })?;
            remark_if_cut(&reader, notes)?;
        }
        if tags.is_empty() {
            return Err(nothing_selected(&paths));
        }
        Ok(tags)
    }
}

/// The earliest start that the logs tell of themselves, nanoseconds on their clock.
fn start_of(paths: &[PathBuf]) -> Result<u64, Error> {
    let mut start = u64::MAX;
    for path in paths {
        let mut reader = LogReader::open(path).map_err(Error::input)?;
        let first = reader.next_line().map_err(Error::input)?.map(|line| line.start_ns);
        start = start.min(reader.header().start_unix_ns.or(first).unwrap_or(u64::MAX));
    }
    Ok(if start == u64::MAX { 0 } else { start })
}

/// Says that a log ended inside a line.
pub(super) fn remark_if_cut(reader: &FileReader, notes: &mut dyn Write) -> Result<(), Error> {
    if reader.is_cut() {
        let (path, line) = (reader.path().display(), reader.line_number());
        writeln!(
            notes,
            "{path}:{line}: the last line is cut short and was skipped (is the log being written?)"
        )?;
    }
    Ok(())
}

/// That there is nothing to work on, which no tool passes over in silence.
pub(super) fn nothing_selected(paths: &[PathBuf]) -> Error {
    let names: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > 3 { ", …" } else { "" };
    Error::input(format!(
        "no histogram selected in {}{more}: see `summary` for the tags there are",
        names.join(", ")
    ))
}
