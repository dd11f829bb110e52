//! Reading many logs as one: which tags and which time, a histogram per tag, and how much memory that may take.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use crate::log::{Line, LogReader, ReadError};
use crate::tag::Tag;

/// Which lines of a log are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These tags; empty for all. The empty text stands for lines without a tag.
    pub tags: Vec<String>,
    /// Intervals that begin here or later, nanoseconds on the log's clock.
    pub from_ns: Option<u64>,
    /// Intervals that end here or earlier.
    pub to_ns: Option<u64>,
    /// Where no tag was asked for: also lines that only repeat a tag's, which would count twice in a sum.
    pub with_repeats: bool,
}

impl Selection {
    /// Whether this line is meant.
    pub fn takes(&self, line: &Line<'_>) -> bool {
        let tag = line.tag.unwrap_or("");
        let of_tag = if self.tags.is_empty() {
            !line.is_repeat || self.with_repeats
        } else {
            self.tags.iter().any(|wanted| wanted == tag)
        };
        of_tag
            && self.from_ns.is_none_or(|from| line.start_ns >= from)
            && self.to_ns.is_none_or(|to| line.end_ns() <= to)
    }
}

/// The selected lines need more memory than a tool may take.
#[derive(Debug, thiserror::Error)]
#[error("{path}:{line}: the histograms together would need more than {MEMORY_BYTES_MAX} bytes; select tags with --tag")]
pub struct TooMuch {
    path: PathBuf,
    line: u64,
}

/// Memory of all merged histograms. A day of an engine needs less than one.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Memory of a tag beside its histogram, roughly: its name, its places in the tables.
const TAG_BYTES: u64 = 512;

/// A histogram per tag, from any number of logs.
#[derive(Debug, Default)]
pub struct Tags {
    merged: HashMap<String, Histogram<u64>>,
    bytes: u64,
}

/// Why logs could not be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

impl Tags {
    /// Merges the selected lines of a log into the histograms.
    pub(crate) fn gather<R: BufRead>(
        &mut self,
        reader: &mut LogReader<R>,
        selection: &Selection,
    ) -> Result<(), GatherError> {
        while let Some(line) = reader.next_line()? {
            if !selection.takes(&line) {
                continue;
            }
            let tag = line.tag.unwrap_or("").to_owned();
            let histogram = line.histogram();
            let histogram = histogram.map_err(|error| reader.error(error))?;
            if !self.add(&tag, &histogram) {
                return Err(too_much(reader).into());
            }
        }
        Ok(())
    }

    /// Adds a histogram to a tag's; false where that would take too much memory or count beyond what is exact.
    pub fn add(&mut self, tag: &str, histogram: &Histogram<u64>) -> bool {
        let cost = |histogram: &Histogram<u64>| 8 * histogram.distinct_values() as u64;
        let Some(merged) = self.merged.get_mut(tag) else {
            self.bytes += TAG_BYTES + tag.len() as u64 + cost(histogram);
            if self.bytes > MEMORY_BYTES_MAX {
                return false;
            }
            let mut first = histogram.clone();
            first.auto(true);
            self.merged.insert(tag.to_owned(), first);
            return true;
        };
        if merged.len().saturating_add(histogram.len()) > crate::log::COUNT_MAX {
            return false;
        }
        let before = cost(merged);
        if merged.add(histogram).is_err() {
            return false;
        }
        self.bytes = self.bytes - before + cost(merged);
        self.bytes <= MEMORY_BYTES_MAX
    }

    /// A tag's histogram.
    pub fn get(&self, tag: &str) -> Option<&Histogram<u64>> {
        self.merged.get(tag)
    }

    /// Whether no line was selected.
    pub fn is_empty(&self) -> bool {
        self.merged.is_empty()
    }

    /// Every tag with its histogram: the stages in the order of the path, then the others by name.
    pub fn sorted(&self) -> Vec<(&str, &Histogram<u64>)> {
        let mut all: Vec<_> = self
            .merged
            .iter()
            .map(|(tag, histogram)| (tag.as_str(), histogram))
            .collect();
        all.sort_by_key(|(tag, _)| Tag::sort_key(tag));
        all
    }
}

pub(crate) fn too_much<R: BufRead>(reader: &LogReader<R>) -> TooMuch {
    TooMuch {
        path: reader.path().to_path_buf(),
        line: reader.line_number(),
    }
}

/// What to call lines without a tag in tables and legends.
pub(crate) fn display_tag(tag: &str) -> &str {
    if tag.is_empty() { "(no tag)" } else { tag }
}

/// The logs that a path stands for: itself, or every `.hlog` of a directory by name.
pub(crate) fn logs_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "hlog") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}
