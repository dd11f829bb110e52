//! What a reader saw in one pass: values with their descriptions, threads, and the state of the engine.

use std::sync::Arc;

use crate::histogram::HistogramSnapshot;
use crate::live::EngineState;
use crate::metric::{Agg, Kind};
use crate::parse::SeriesMeta;

/// One pass over a region.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Every series, the threads' values combined, in the order of their first registration.
    pub series: Vec<Series>,
    /// Every thread that has a block.
    pub writers: Vec<WriterStatus>,
    /// Every thread's histogram that was inside a record when it was looked at. In a dead region: where the thread died.
    pub unfinished: Vec<Unfinished>,
    /// What the engine says of itself.
    pub engine: EngineStatus,
    /// Series of kinds that this reader does not know.
    pub unknown_series_count: u32,
    /// Sections of types that this reader does not know.
    pub unknown_section_count: u32,
}

impl Snapshot {
    /// All series of a metric.
    pub fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> + 'a {
        self.series.iter().filter(move |series| &*series.meta.name == name)
    }

    /// The first series of a metric with these label values; labels that are not named may have any.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Series> {
        self.series.iter().find(|series| series.is_of(name, labels))
    }

    /// The raw values of all series of a metric with these label values together; zero where there are none, or only
    /// distributions.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of = |series: &&Series| series.is_of(name, labels);
        self.series
            .iter()
            .filter(of)
            .filter_map(|series| series.value.as_f64())
            .sum()
    }

    /// The histogram of a metric with these label values.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Option<&HistogramSnapshot> {
        self.find(name, labels)?.value.histogram()
    }

    /// The threads that were inside a round of their loop.
    pub fn inside_rounds(&self) -> impl Iterator<Item = &WriterStatus> {
        self.writers.iter().filter(|writer| writer.is_inside_round())
    }

    /// The largest [uncertainty](HistogramSnapshot::uncertainty) of all histograms, in records.
    pub fn uncertainty_max(&self) -> u64 {
        self.series
            .iter()
            .filter_map(|s| s.value.histogram())
            .map(HistogramSnapshot::uncertainty)
            .max()
            .unwrap_or(0)
    }
}

/// One series and what it stood at.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is. The same allocation in every snapshot of a reader, until series are added.
    pub meta: Arc<SeriesMeta>,
    /// What it stood at.
    pub value: Value,
    /// Every thread that fed it has retired it: a gauge should not be shown any more.
    pub retired: bool,
}

impl Series {
    /// Whether it is of this metric and has these label values; labels that are not named may have any.
    fn is_of(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(label, value): &(&str, &str)| self.meta.label(label) == Some(*value);
        &*self.meta.name == name && labels.iter().all(has)
    }
}

/// What a series stood at, raw: [`SeriesMeta::to_base`] leads to the base unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Counter(u64),
    /// An integer.
    GaugeI64(i64),
    /// A number; NaN when it is not known.
    GaugeF64(f64),
    /// The number of a state; its name, where there is one, is in [`SeriesMeta::states`].
    State(u64),
    /// Nanoseconds since the Unix epoch, where the scale is -9; zero when it is not known.
    Timestamp(u64),
    /// A statement.
    Info,
    /// A distribution.
    Histogram(HistogramSnapshot),
}

impl Value {
    /// The distribution, if it is one.
    pub fn histogram(&self) -> Option<&HistogramSnapshot> {
        match self {
            Self::Histogram(histogram) => Some(histogram),
            _ => None,
        }
    }

    /// The raw value as a number; a statement is one, a distribution has none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Counter(n) | Self::State(n) | Self::Timestamp(n) => Some(*n as f64),
            Self::GaugeI64(n) => Some(*n as f64),
            Self::GaugeF64(x) => Some(*x),
            Self::Info => Some(1.0),
            Self::Histogram(_) => None,
        }
    }

    pub(crate) fn of_word(kind: Kind, word: u64) -> Self {
        match kind {
            Kind::Counter => Self::Counter(word),
            Kind::GaugeI64 => Self::GaugeI64(word as i64),
            Kind::GaugeF64 => Self::GaugeF64(f64::from_bits(word)),
            Kind::State => Self::State(word),
            Kind::Timestamp => Self::Timestamp(word),
            Kind::Info | Kind::Histogram => Self::Info,
        }
    }

    /// Takes in another thread's value of the same series, which was registered later.
    pub(crate) fn combine(&mut self, other: Self, agg: Agg) {
        fn pick<T: PartialOrd>(agg: Agg, mine: T, theirs: T, sum: impl FnOnce(T, T) -> T) -> T {
            match agg {
                Agg::Sum => sum(mine, theirs),
                Agg::Min => {
                    if theirs < mine {
                        theirs
                    } else {
                        mine
                    }
                }
                Agg::Max => {
                    if theirs > mine {
                        theirs
                    } else {
                        mine
                    }
                }
                Agg::Last | Agg::PerWriter => theirs,
            }
        }
        match (self, other) {
            (Self::Counter(a), Self::Counter(b)) => *a = pick(agg, *a, b, u64::wrapping_add),
            (Self::State(a), Self::State(b)) => *a = pick(agg, *a, b, u64::wrapping_add),
            (Self::Timestamp(a), Self::Timestamp(b)) => *a = pick(agg, *a, b, u64::max),
            (Self::GaugeI64(a), Self::GaugeI64(b)) => *a = pick(agg, *a, b, i64::wrapping_add),
            // A thread that does not know takes no part.
            (Self::GaugeF64(_), Self::GaugeF64(b)) if b.is_nan() => {}
            (Self::GaugeF64(a), Self::GaugeF64(b)) if a.is_nan() => *a = b,
            (Self::GaugeF64(a), Self::GaugeF64(b)) => *a = pick(agg, *a, b, |x, y| x + y),
            (Self::Histogram(a), Self::Histogram(b)) => {
                // The shapes agree: series that do not are refused when they are read.
                a.merge(&b);
            }
            _ => {}
        }
    }
}

/// One thread's histogram of which a record had begun and not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    /// The histogram.
    pub series: Arc<SeriesMeta>,
    /// The thread's name.
    pub writer: Arc<str>,
    /// Records that are perhaps half in the histogram: one in a dead region, more where a living thread goes on.
    pub records: u64,
}

/// Where a thread was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its thread id; zero when unknown.
    pub tid: u32,
    /// The cpu it ran on when it said so.
    pub cpu: Option<u32>,
    /// Rounds of its loop begun.
    pub loop_begin: u64,
    /// Rounds finished. Equal to begun: it rested. Behind, and neither moves between two snapshots: it is stuck, or it
    /// died there.
    pub loop_end: u64,
    /// The last place that it said it was at.
    pub breadcrumb: u32,
}

impl WriterStatus {
    /// Whether it was inside a round of its loop. In a dead region: it died there, at its [`breadcrumb`](Self::breadcrumb).
    pub fn is_inside_round(&self) -> bool {
        self.loop_begin != self.loop_end
    }
}

/// What an engine says of itself. Whether it lives to say it is another question: [`Liveness`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// `None` where the number means nothing.
    pub state: Option<EngineState>,
    /// Beats of housekeeping.
    pub heartbeats: u64,
    /// Unix time of the last, nanoseconds; zero before the first.
    pub heartbeat_unix_ns: u64,
    /// CLOCK_BOOTTIME of the last, nanoseconds; zero before the first.
    pub heartbeat_boottime_ns: u64,
    /// Series and threads that found no room.
    pub registrations_dropped: u64,
    /// Bytes of the histograms' section in use.
    pub hist_used_bytes: u64,
    /// How it ended, in state closed.
    pub exit_code: u64,
    /// Why it panicked.
    pub panic_text: Option<String>,
}

/// Whether the writer of a file lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It holds the file and is at work. Whether its loops move is seen by comparing snapshots.
    Live,
    /// It holds the file and is finishing.
    Draining,
    /// It ended in order.
    Closed,
    /// A thread panicked.
    Panicked,
    /// It is gone without a word: killed, aborted, or out of memory.
    Crashed,
}

impl Liveness {
    /// From the lock and the engine's own word. The word "closed" is believed of a writer that still has the file: it is
    /// on its way out.
    pub(crate) fn of(locked: bool, state: Option<EngineState>) -> Self {
        match (state, locked) {
            (Some(EngineState::Closed), _) => Self::Closed,
            (Some(EngineState::Panicked), _) => Self::Panicked,
            (_, false) => Self::Crashed,
            (Some(EngineState::Draining), true) => Self::Draining,
            (_, true) => Self::Live,
        }
    }

    /// Whether the values may still change.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Live | Self::Draining)
    }

    /// Its name in dumps and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
            Self::Crashed => "crashed",
        }
    }
}
