//! Metric families under construction: every name and label checked, no series twice.
//!
//! A region is another program's, and one bad line makes Prometheus refuse the whole scrape. So whatever wants into an
//! exposition goes through [`Families`]; what does not fit is refused by itself, and the rest is served. What comes out
//! is written in one of several formats ([`exposition`](crate::exposition)), so a family holds all that the richest of
//! them shows: native histograms and the times from which counters count.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::native::Native;

/// The kinds of families that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

impl Type {
    /// Its name in both text formats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Why a series was not taken. The names are values of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Not a name that Prometheus takes.
    BadName,
    /// A label's name is not one that Prometheus takes, is reserved, or stands there twice.
    BadLabel,
    /// The name is another family's, or would be one of its lines (`_bucket`, `_sum`, `_count`).
    NameTaken,
    /// The family exists with another type.
    TypeDiffers,
    /// The same name and labels were there before.
    Duplicate,
    /// There are too many series.
    TooMany,
}

impl Refusal {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::BadName,
        Self::BadLabel,
        Self::NameTaken,
        Self::TypeDiffers,
        Self::Duplicate,
        Self::TooMany,
    ];

    /// Its name as a label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadName => "bad_name",
            Self::BadLabel => "bad_label",
            Self::NameTaken => "name_taken",
            Self::TypeDiffers => "type_differs",
            Self::Duplicate => "duplicate",
            Self::TooMany => "too_many",
        }
    }
}

/// Labels by name, each with its value.
pub type Labels = Vec<(Arc<str>, Arc<str>)>;

/// Labels from their parts.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

/// Labels that Prometheus takes, sorted.
///
/// # Errors
/// [`Refusal::BadLabel`].
pub fn checked(mut labels: Labels, kind: Type) -> Result<Arc<Labels>, Refusal> {
    labels.sort();
    let twice = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if twice || !labels.iter().all(|(name, _)| is_label_name(name, kind)) {
        return Err(Refusal::BadLabel);
    }
    // Prometheus takes a label with an empty value for one that is not there.
    labels.retain(|(_, value)| !value.is_empty());
    Ok(Arc::new(labels))
}

/// One series and what it stands at.
#[derive(Clone, Debug)]
pub struct Series {
    /// Sorted by name, none with an empty value.
    pub labels: Arc<Labels>,
    /// In the base unit.
    pub value: Value,
    /// When counting began, nanoseconds since the Unix epoch; zero when unknown, and for gauges.
    pub created_unix_ns: u64,
}

/// A value in the base unit.
#[derive(Clone, Debug)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Distribution(Distribution),
}

/// A histogram's values in the base unit.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    /// Upper bounds, rising, and how many values are at most each. The open end is left out: it is [`count`](Self::count).
    pub buckets: Vec<(f64, u64)>,
    /// Sum of the values.
    pub sum: f64,
    /// How many there are.
    pub count: u64,
    /// The same values in exponential buckets, where the format has them.
    pub native: Option<Native>,
}

/// A family with its series.
#[derive(Debug)]
pub struct Family {
    /// What it is.
    pub kind: Type,
    /// Its sentence.
    pub help: String,
    /// In the order in which they came.
    pub series: Vec<Series>,
    label_sets: HashSet<Arc<Labels>>,
}

/// Families under construction.
#[derive(Debug, Default)]
pub struct Families {
    families: BTreeMap<Arc<str>, Family>,
    /// Names that are taken: families and their sample lines.
    lines: HashSet<String>,
    lines_count: usize,
}

/// Most sample lines of one exposition: far above what the engines of a host have, far below what would hurt a scraper.
const LINES_MAX: usize = 200_000;

impl Families {
    /// Adds a counter or gauge of the exporter's own, whose names are known to be good.
    pub fn add(&mut self, name: &str, kind: Type, help: &str, pairs: &[(&str, &str)], value: f64) {
        let taken = self.try_add(name, kind, help, labels(pairs), Value::Number(value), 0);
        debug_assert_eq!(taken, Ok(()), "{name}");
    }

    /// Adds a series.
    ///
    /// # Errors
    /// Why it was left out; the families are then as they were.
    pub fn try_add(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        labels: Labels,
        value: Value,
        created_unix_ns: u64,
    ) -> Result<(), Refusal> {
        // A family's name is judged before its series, so that one fault has one answer.
        if !is_metric_name(name) {
            return Err(Refusal::BadName);
        }
        let labels = checked(labels, kind)?;
        let same = |family: &Family| family.kind == kind && family.label_sets.contains(&labels);
        if self.families.get(name).is_some_and(same) {
            return Err(Refusal::Duplicate);
        }
        self.insert(name, kind, help, Arc::clone(&labels), value, created_unix_ns)?;
        if let Some(family) = self.families.get_mut(name) {
            family.label_sets.insert(labels);
        }
        Ok(())
    }

    /// Adds a series whose labels were [`checked`] and are no other series' of the family: for callers that remember
    /// both from the scrape before.
    ///
    /// # Errors
    /// As [`try_add`](Self::try_add), but for what was checked.
    pub fn insert(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        labels: Arc<Labels>,
        value: Value,
        created_unix_ns: u64,
    ) -> Result<(), Refusal> {
        let lines = match &value {
            Value::Number(_) => 1,
            Value::Distribution(distribution) => 3 + distribution.buckets.len(),
        };
        if self.lines_count + lines > LINES_MAX {
            return Err(Refusal::TooMany);
        }
        let family = match self.families.get_mut(name) {
            Some(family) => family,
            None => self.found(name, kind, help)?,
        };
        if family.kind != kind {
            return Err(Refusal::TypeDiffers);
        }
        family.series.push(Series {
            labels,
            value,
            created_unix_ns,
        });
        self.lines_count += lines;
        Ok(())
    }

    /// Begins a family, which takes the names of its lines. The family's own name is one of them even for a histogram,
    /// which has no such line: a second family of that name would still be refused by Prometheus.
    fn found(&mut self, name: &str, kind: Type, help: &str) -> Result<&mut Family, Refusal> {
        if !is_metric_name(name) {
            return Err(Refusal::BadName);
        }
        let suffixes: &[&str] = match kind {
            Type::Histogram => &["", "_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let lines: Vec<String> = suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect();
        if lines.iter().any(|line| self.lines.contains(line)) {
            return Err(Refusal::NameTaken);
        }
        self.lines.extend(lines);
        Ok(self
            .families
            .entry(name.into())
            .or_insert_with(|| Family::new(kind, help)))
    }

    /// The families, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.families.iter().map(|(name, family)| (&**name, family))
    }

    /// The family of that name.
    pub fn get(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }
}

impl Family {
    fn new(kind: Type, help: &str) -> Self {
        // A carriage return would end a HELP line for some parsers, and other controls are of no use to a reader.
        let help = help.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
        Self {
            kind,
            help: help.collect(),
            series: Vec::new(),
            label_sets: HashSet::new(),
        }
    }
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let start = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    name.len() <= 200 && bytes.next().is_some_and(start) && bytes.all(|b| start(b) || b.is_ascii_digit())
}

/// Two leading underscores are Prometheus' own; `le` belongs to the buckets, `quantile` to summaries.
fn is_label_name(name: &str, kind: Type) -> bool {
    is_metric_name(name)
        && !name.contains(':')
        && !name.starts_with("__")
        && name != "quantile"
        && !(kind == Type::Histogram && name == "le")
}

#[cfg(test)]
mod tests;
