//! What changed: counters by how much and how fast, histograms by what was recorded in between, gauges from and to.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quantumflow_region::{
    HistogramSnapshot, RegionInfo, RegionReader, Series, SeriesMeta, Snapshot, Value, WriterStatus,
};
use serde_json::json;

use super::dump::describe;
use super::filter::Filter;
use super::{DiffArgs, json as to_json, open};
use crate::Error;
use crate::session::Now;
use crate::text::{clean, quantity, rfc3339, series_name, short};

pub(super) fn run(dir: &Path, args: &DiffArgs, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let mut reader = open(dir, args.before.as_ref())?;
    let (before, began) = (reader.snapshot()?, Now::read());
    let comparison = match &args.after {
        Some(after) => {
            let mut later = RegionReader::open(after)?;
            let after = later.snapshot()?;
            Comparison::of_files((reader.info(), before), (later.info(), after))
        }
        None => {
            thread::sleep(Duration::from_secs_f64(args.seconds));
            let after = reader.snapshot()?;
            let seconds = began.instant.elapsed().as_secs_f64();
            let liveness = reader.liveness()?;
            let mut comparison = Comparison {
                before,
                after,
                seconds: Some(seconds),
                notes: Vec::new(),
            };
            if !liveness.is_running() {
                comparison.notes.push(format!(
                    "the engine is {}: nothing can change any more",
                    liveness.name()
                ));
            }
            comparison
        }
    };
    if json {
        writeln!(out, "{:#}", comparison.json(&args.filter, args.all))?;
        return Ok(());
    }
    Ok(comparison.write(&args.filter, args.all, out)?)
}

/// Two copies and the time between them.
pub(super) struct Comparison {
    pub(super) before: Snapshot,
    pub(super) after: Snapshot,
    /// `None` where it is not known: then there are no rates.
    pub(super) seconds: Option<f64>,
    pub(super) notes: Vec<String>,
}

/// What became of one series.
pub(super) enum Change<'a> {
    Added(&'a Series),
    Gone(&'a Series),
    /// A counter or a state of affairs that moved, or with `all` one that did not.
    Counted {
        series: &'a Series,
        by: u64,
        rate: Option<f64>,
    },
    Recorded {
        series: &'a Series,
        interval: Box<HistogramSnapshot>,
        rate: Option<f64>,
    },
    Set {
        from: &'a Series,
        to: &'a Series,
    },
    /// A count that shrank: another run, or a writer that broke its word.
    Reset {
        from: &'a Series,
        to: &'a Series,
    },
}

/// A thread in both copies.
struct Thread<'a> {
    before: &'a WriterStatus,
    after: &'a WriterStatus,
}

impl Thread<'_> {
    fn rounds(&self) -> u64 {
        self.after.loop_end.saturating_sub(self.before.loop_end)
    }

    /// Also one that has begun a round and not ended it has moved.
    fn moved(&self) -> bool {
        (self.before.loop_begin, self.before.loop_end) != (self.after.loop_begin, self.after.loop_end)
    }
}

type Key<'a> = (&'a Arc<str>, &'a [(Arc<str>, Arc<str>)]);

fn key(meta: &SeriesMeta) -> Key<'_> {
    (&meta.name, &meta.labels)
}

impl Comparison {
    fn of_files(before: (&RegionInfo, Snapshot), after: (&RegionInfo, Snapshot)) -> Self {
        let mut notes = Vec::new();
        let is_one_run = before.0.instance_id == after.0.instance_id;
        if !is_one_run {
            let start = |info: &RegionInfo| format!("pid {} of {}", info.pid, rfc3339(info.start_unix_ns));
            notes.push(format!(
                "two runs ({}, {}): counts of both began at zero, there are no rates",
                start(before.0),
                start(after.0)
            ));
        }
        let (from, to) = (before.1.engine.heartbeat_unix_ns, after.1.engine.heartbeat_unix_ns);
        let seconds = to
            .checked_sub(from)
            .filter(|ns| *ns > 0 && from > 0 && is_one_run)
            .map(|ns| ns as f64 / 1e9);
        if is_one_run && seconds.is_none() {
            notes.push("no heartbeat in between: there are no rates".into());
        }
        Self {
            before: before.1,
            after: after.1,
            seconds,
            notes,
        }
    }

    /// In the order of the later copy, what is gone at the end.
    pub(super) fn changes<'a>(&'a self, filter: &'a Filter, all: bool) -> Vec<Change<'a>> {
        let mut earlier: HashMap<Key<'_>, &Series> = self
            .before
            .series
            .iter()
            .map(|series| (key(&series.meta), series))
            .collect();
        let mut changes = Vec::new();
        for series in filter.of(&self.after) {
            match earlier.remove(&key(&series.meta)) {
                None => changes.push(Change::Added(series)),
                Some(before) => changes.extend(self.change(before, series, all)),
            }
        }
        let gone = filter
            .of(&self.before)
            .filter(|series| earlier.contains_key(&key(&series.meta)));
        changes.extend(gone.map(Change::Gone));
        changes
    }

    fn change<'a>(&self, from: &'a Series, to: &'a Series, all: bool) -> Option<Change<'a>> {
        let rate = |by| self.rate(by);
        match (&from.value, &to.value) {
            (Value::Counter(before), Value::Counter(after)) => match after.checked_sub(*before) {
                Some(0) if !all => None,
                Some(by) => Some(Change::Counted {
                    series: to,
                    by,
                    rate: rate(by),
                }),
                None => Some(Change::Reset { from, to }),
            },
            (Value::Histogram(before), Value::Histogram(after)) => match after.since(before) {
                Some(interval) if interval.count() == 0 && !all => None,
                Some(interval) => {
                    let rate = rate(interval.count());
                    Some(Change::Recorded {
                        series: to,
                        interval: Box::new(interval),
                        rate,
                    })
                }
                None => Some(Change::Reset { from, to }),
            },
            (Value::GaugeF64(before), Value::GaugeF64(after)) if before.to_bits() == after.to_bits() && !all => None,
            (before, after) if before == after && !all => None,
            _ => Some(Change::Set { from, to }),
        }
    }

    fn write(&self, filter: &Filter, all: bool, out: &mut impl Write) -> io::Result<()> {
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        if let Some(seconds) = self.seconds {
            writeln!(out, "within {seconds:.3} s")?;
        }
        if filter.is_open() {
            for thread in self.threads() {
                let (name, rounds) = (clean(&thread.after.name), thread.rounds());
                let place = if thread.after.is_inside_round() {
                    "inside a round"
                } else {
                    "between rounds"
                };
                let rate = self
                    .rate(rounds)
                    .map_or(String::new(), |rate| format!(" ({}/s)", short(rate)));
                let moved = if thread.moved() { "" } else { ": did not move" };
                writeln!(out, "thread {name} +{rounds} rounds{rate}, {place}{moved}")?;
            }
        }
        let changes = self.changes(filter, all);
        for change in &changes {
            writeln!(out, "{change}")?;
        }
        if changes.is_empty() {
            writeln!(out, "nothing changed")?;
        }
        Ok(())
    }

    pub(super) fn json(&self, filter: &Filter, all: bool) -> serde_json::Value {
        let changes: Vec<_> = self.changes(filter, all).iter().map(Change::json).collect();
        let threads = self.threads().map(|thread| {
            let (name, rounds) = (&*thread.after.name, thread.rounds());
            json!({ "name": name, "rounds": rounds, "per_second": self.rate(rounds), "moved": thread.moved(),
                    "inside_round": thread.after.is_inside_round() })
        });
        let threads: Vec<_> = threads.filter(|_| filter.is_open()).collect();
        json!({ "seconds": self.seconds, "notes": self.notes, "threads": threads, "changes": changes })
    }

    /// Threads that both copies have, by place: they are never taken away.
    fn threads(&self) -> impl Iterator<Item = Thread<'_>> {
        let pairs = self.before.writers.iter().zip(&self.after.writers);
        pairs
            .filter(|(before, after)| before.name == after.name)
            .map(|(before, after)| Thread { before, after })
    }

    fn rate(&self, by: u64) -> Option<f64> {
        self.seconds
            .filter(|seconds| *seconds > 0.0)
            .map(|seconds| by as f64 / seconds)
    }
}

impl std::fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_second = |rate: &Option<f64>| rate.map_or(String::new(), |rate| format!(" ({}/s)", short(rate)));
        match self {
            Self::Added(series) => write!(f, "added  {} {}", series_name(&series.meta), describe(series)),
            Self::Gone(series) => write!(f, "gone   {} {}", series_name(&series.meta), describe(series)),
            Self::Counted { series, by, rate } => {
                write!(
                    f,
                    "       {} +{by}{} to {}",
                    series_name(&series.meta),
                    per_second(rate),
                    describe(series)
                )
            }
            Self::Recorded { series, interval, rate } => {
                let at = |percentile| quantity(&series.meta, interval.value_at_percentile(percentile) as f64);
                let count = interval.count();
                write!(f, "       {} +{count}{}", series_name(&series.meta), per_second(rate))?;
                if count == 0 {
                    return Ok(());
                }
                let max = quantity(&series.meta, interval.max() as f64);
                write!(f, " p50 {} p99 {} p99.9 {} max {max}", at(50.0), at(99.0), at(99.9))
            }
            Self::Set { from, to } => write!(
                f,
                "       {} {} -> {}",
                series_name(&to.meta),
                describe(from),
                describe(to)
            ),
            Self::Reset { from, to } => write!(
                f,
                "reset  {} {} -> {}",
                series_name(&to.meta),
                describe(from),
                describe(to)
            ),
        }
    }
}

impl Change<'_> {
    fn json(&self) -> serde_json::Value {
        let (change, series) = match self {
            Self::Added(series) => ("added", *series),
            Self::Gone(series) => ("gone", *series),
            Self::Counted { series, .. } => ("counted", *series),
            Self::Recorded { series, .. } => ("recorded", *series),
            Self::Set { to, .. } => ("set", *to),
            Self::Reset { to, .. } => ("reset", *to),
        };
        let mut all = to_json::series(series);
        all["change"] = change.into();
        match self {
            Self::Counted { by, rate, .. } => (all["by"], all["per_second"]) = (json!(by), json!(rate)),
            Self::Recorded { interval, rate, .. } => {
                all["interval"] = to_json::histogram_json(&series.meta, interval);
                all["per_second"] = json!(rate);
            }
            Self::Set { from, .. } | Self::Reset { from, .. } => all["from"] = to_json::series(from)["value"].take(),
            Self::Added(_) | Self::Gone(_) => {}
        }
        all
    }
}
