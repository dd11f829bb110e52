//! Every series of every engine as JSON, for scripts that would rather not parse an exposition.
//!
//! Values are in base units, like those that Prometheus gets. JSON has no NaN and most of its readers keep numbers as
//! doubles: what is not known is `null`, and a count above 2^53 is a string of digits, so that no reader rounds it
//! unawares. Histograms are not their thousands of buckets but what is asked of them: count, sum, maximum, percentiles.

use quantumflow_region::{HistogramSnapshot, Series, SeriesMeta, Snapshot, Value};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::health::state_name;
use crate::source::Sight;

/// An engine with its state, and with its series while it is up.
#[derive(Serialize)]
pub struct Engine<'a> {
    /// Its name.
    pub engine: &'a str,
    /// How it is.
    pub state: &'static str,
    /// Why, where the state alone does not say it.
    pub reason: Option<&'a str>,
    /// Threads that hang inside a round of their loop.
    pub stuck_threads: Vec<&'a str>,
    /// Its build and process, where a region could be read.
    pub process: Option<Process<'a>>,
    /// How long the copy of its values took; `null` when it is not up.
    pub pass_seconds: Option<f64>,
    /// Empty when it is not up: the numbers of a dead engine are not shown as those of a living one.
    pub series: AllSeries<'a>,
}

/// What a region says of the process that wrote it.
#[derive(Serialize)]
pub struct Process<'a> {
    /// The region's file.
    pub file: &'a str,
    /// Version of the build.
    pub version: &'a str,
    /// Revision of the build.
    pub revision: &'a str,
    /// Process id, in the engine's own namespace.
    pub pid: u32,
    /// When it started.
    pub start_unix_seconds: f64,
}

impl<'a> Process<'a> {
    /// Of the engine that was seen.
    pub fn of(sight: &'a Sight) -> Option<Self> {
        let region = sight.view.region.as_deref()?;
        Some(Self {
            file: &region.file,
            version: &region.info.version,
            revision: &region.info.revision,
            pid: region.info.pid,
            start_unix_seconds: seconds(region.info.start_unix_ns),
        })
    }
}

impl<'a> Engine<'a> {
    /// Of the engine that was seen.
    pub fn of(sight: &'a Sight) -> Self {
        let view = &sight.view;
        Self {
            engine: &sight.engine,
            state: view.condition.name(),
            reason: view.reason.as_deref(),
            stuck_threads: view.stuck.iter().map(|name| &**name).collect(),
            process: Process::of(sight),
            pass_seconds: sight.pass.as_ref().map(|pass| pass.took.as_secs_f64()),
            series: AllSeries(sight.pass.as_ref().map(|pass| &*pass.snapshot)),
        }
    }
}

/// The series of a snapshot, written one by one.
pub struct AllSeries<'a>(Option<&'a Snapshot>);

impl Serialize for AllSeries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let series = self.0.map_or(&[][..], |snapshot| &snapshot.series);
        let mut list = serializer.serialize_seq(Some(series.len()))?;
        for one in series {
            list.serialize_element(&One(one))?;
        }
        list.end()
    }
}

/// A series: its name, labels, kind and unit, and its value in that unit.
struct One<'a>(&'a Series);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Series { meta, value, retired } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &*meta.name)?;
        map.serialize_entry("labels", &Labels(meta))?;
        map.serialize_entry("kind", meta.kind.name())?;
        map.serialize_entry("unit", meta.unit.name())?;
        if *retired {
            map.serialize_entry("retired", &true)?;
        }
        match value {
            Value::Histogram(histogram) => histogram_entries(&mut map, meta, histogram)?,
            // A counter's total has happened; a gauge whose source is gone stands at nothing.
            Value::Counter(total) if meta.scale == 0 => map.serialize_entry("value", &Count(*total))?,
            Value::Counter(total) => map.serialize_entry("value", &meta.to_base(*total as f64))?,
            _ if *retired => map.serialize_entry("value", &())?,
            Value::Timestamp(0) => map.serialize_entry("value", &())?,
            Value::Timestamp(unix_ns) if meta.scale == -9 => map.serialize_entry("value", &seconds(*unix_ns))?,
            Value::State(number) => {
                map.serialize_entry("value", &Count(*number))?;
                map.serialize_entry("state", state_name(self.0))?;
            }
            Value::GaugeI64(n) if meta.scale == 0 && n.unsigned_abs() <= EXACT_MAX => {
                map.serialize_entry("value", n)?
            }
            // NaN is written as null.
            value => map.serialize_entry("value", &meta.to_base(value.as_f64().unwrap_or(1.0)))?,
        }
        map.end()
    }
}

fn histogram_entries<M: SerializeMap>(
    map: &mut M,
    meta: &SeriesMeta,
    histogram: &HistogramSnapshot,
) -> Result<(), M::Error> {
    let base = |raw: u64| meta.to_base(raw as f64);
    map.serialize_entry("count", &Count(histogram.count()))?;
    map.serialize_entry("sum", &base(histogram.sum()))?;
    map.serialize_entry("max", &known(histogram, base(histogram.max())))?;
    map.serialize_entry("mean", &known(histogram, meta.to_base(histogram.mean())))?;
    map.serialize_entry("clipped", &Count(histogram.clipped()))?;
    map.serialize_entry("percentiles", &Percentiles(meta, histogram))
}

/// A histogram without a record has no maximum.
fn known(histogram: &HistogramSnapshot, value: f64) -> Option<f64> {
    (histogram.count() > 0).then_some(value)
}

/// The percentiles that are written, with their keys.
pub const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

struct Percentiles<'a>(&'a SeriesMeta, &'a HistogramSnapshot);

impl Serialize for Percentiles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(meta, histogram) = self;
        let value = |percentile| {
            known(
                histogram,
                meta.to_base(histogram.value_at_percentile(percentile) as f64),
            )
        };
        serializer.collect_map(PERCENTILES.map(|(key, percentile)| (key, value(percentile))))
    }
}

struct Labels<'a>(&'a SeriesMeta);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.labels.iter().map(|(name, value)| (&**name, &**value)))
    }
}

/// A count: a number as far as every reader of JSON keeps it whole, digits in a string above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

/// The largest integer up to which a double has them all.
const EXACT_MAX: u64 = 1 << 53;

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= EXACT_MAX {
            serializer.serialize_u64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

/// Seconds since the Unix epoch, to the microsecond that a double has there.
pub fn seconds(unix_ns: u64) -> f64 {
    (unix_ns / 1_000_000_000) as f64 + (unix_ns % 1_000_000_000) as f64 / 1e9
}

#[cfg(test)]
mod tests;
