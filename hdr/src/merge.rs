//! Many logs as one: their lines in the order of time, or summed over longer intervals, with one line of each in memory.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use hdrhistogram::Histogram;

use crate::log::{LogHeader, LogReader, LogWriter, ReadError, WriteError};
use crate::select::{Selection, Tags, TooMuch, too_much};
use crate::tag::{InvalidTag, Tag};

/// How lines are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Not at all: every line of every log.
    Lines,
    /// Those that begin in the same stretch of so many nanoseconds, per tag.
    Every(u64),
    /// All of a tag.
    Whole,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("a line cannot be written again")]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A log and its next line.
struct Source<'a, R> {
    reader: &'a mut LogReader<R>,
    next: Option<Owned>,
}

struct Owned {
    tag: String,
    interval: (u64, u64),
    histogram: Histogram<u64>,
}

impl<R: BufRead> Source<'_, R> {
    /// Reads the next line that is selected.
    fn advance(&mut self, selection: &Selection) -> Result<(), ReadError> {
        self.next = None;
        while let Some(line) = self.reader.next_line()? {
            if selection.takes(&line) {
                let (tag, interval) = (line.tag.unwrap_or("").to_owned(), (line.start_ns, line.end_ns()));
                let histogram = line.histogram();
                let histogram = histogram.map_err(|error| self.reader.error(error))?;
                self.next = Some(Owned {
                    tag,
                    interval,
                    histogram,
                });
                break;
            }
        }
        Ok(())
    }
}

/// Merges logs into one. The header's start and `untagged` are set from theirs. Returns the lines written.
pub(crate) fn merge<R: BufRead, W: Write>(
    readers: &mut [LogReader<R>],
    selection: &Selection,
    join: Join,
    mut header: LogHeader,
    out: W,
) -> Result<u64, MergeError> {
    let mut sources = Vec::new();
    for reader in readers {
        let mut source = Source { reader, next: None };
        source.advance(selection)?;
        sources.push(source);
    }
    // A line cannot be written earlier than the log's start.
    let firsts = sources.iter().filter_map(|source| {
        let (first, base) = (source.next.as_ref()?.interval.0, source.reader.header().base_unix_ns);
        Some(first.min(base.unwrap_or(first)))
    });
    header.start_unix_ns = firsts.min().unwrap_or(0);
    let untagged = sources
        .first()
        .and_then(|source| source.reader.header().untagged.clone());
    if sources.iter().all(|source| source.reader.header().untagged == untagged) {
        header.untagged = untagged.map(|tag| Tag::new(&tag)).transpose()?;
    }
    let mut page = Page {
        log: LogWriter::begin(out, header).map_err(WriteError::Io)?,
        written: 0,
        held: Held::default(),
    };
    let mut stretch = None;
    // The log whose next line is the earliest. They are few: looking at each is cheaper than a heap to explain.
    let earliest = |sources: &[Source<'_, R>]| {
        let starts = sources
            .iter()
            .enumerate()
            .filter_map(|(at, source)| Some((source.next.as_ref()?.interval.0, at)));
        starts.min().map(|(_, at)| at)
    };
    while let Some(at) = earliest(&sources) {
        let source = &mut sources[at];
        let Some(line) = source.next.take() else { break };
        match join {
            Join::Lines => page.write(&line.tag, line.interval, &line.histogram)?,
            Join::Every(_) | Join::Whole => {
                let of = match join {
                    Join::Every(ns) => line.interval.0 / ns.max(1),
                    _ => 0,
                };
                if stretch.is_some_and(|held| held != of) {
                    page.flush()?;
                }
                stretch = Some(of);
                if !page.held.add(&line) {
                    return Err(too_much(source.reader).into());
                }
            }
        }
        source.advance(selection)?;
    }
    page.flush()?;
    page.log.finish().map_err(WriteError::Io)?;
    Ok(page.written)
}

/// The new log.
struct Page<W> {
    log: LogWriter<W>,
    written: u64,
    held: Held,
}

/// What was not written yet.
#[derive(Default)]
struct Held {
    tags: Tags,
    intervals: HashMap<String, (u64, u64)>,
}

impl Held {
    fn add(&mut self, line: &Owned) -> bool {
        let (start, end) = line.interval;
        let interval = self.intervals.entry(line.tag.clone()).or_insert((start, end));
        *interval = (interval.0.min(start), interval.1.max(end));
        self.tags.add(&line.tag, &line.histogram)
    }
}

impl<W: Write> Page<W> {
    fn write(&mut self, tag: &str, interval: (u64, u64), histogram: &Histogram<u64>) -> Result<(), MergeError> {
        let tag = if tag.is_empty() { None } else { Some(Tag::new(tag)?) };
        self.log.write(tag.as_ref(), interval, histogram)?;
        self.written += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MergeError> {
        let held = std::mem::take(&mut self.held);
        let mut lines = held.tags.sorted();
        lines.sort_by_key(|(tag, _)| held.intervals[*tag].0);
        for (tag, histogram) in lines {
            self.write(tag, held.intervals[tag], histogram)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
