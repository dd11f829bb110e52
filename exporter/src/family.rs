//! Metric families under construction: every name and label checked, no series twice.
//!
//! The registry checks nothing that a custom collector hands it, and one bad line makes Prometheus refuse the whole
//! scrape. So whatever wants into an exposition goes through [`Families`]; what does not fit is refused by itself, and
//! the rest is served.

use std::collections::{BTreeMap, HashSet};

use prometheus::proto::{Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

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

/// Families under construction, ordered by name.
#[derive(Default)]
pub struct Families {
    families: BTreeMap<String, Family>,
    /// Names that are taken: families and their sample lines.
    lines: HashSet<String>,
    lines_count: usize,
}

struct Family {
    kind: Type,
    proto: MetricFamily,
    label_sets: HashSet<Vec<(String, String)>>,
}

/// Most sample lines of one exposition: far above what an engine has, far below what would hurt a scraper.
const LINES_MAX: usize = 50_000;

impl Families {
    /// Adds a counter or gauge of the exporter's own, whose names are known to be good.
    pub fn add(&mut self, name: &str, kind: Type, help: &str, labels: &[(&str, &str)], value: f64) {
        let taken = self.try_add(name, kind, help, labels, value);
        debug_assert_eq!(taken, Ok(()), "{name}");
    }

    /// Adds a counter or gauge.
    ///
    /// # Errors
    /// Why it was left out; the families are then as they were.
    pub fn try_add(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), Refusal> {
        let mut metric = Metric::default();
        match kind {
            Type::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.insert(name, kind, help, labels, metric)
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// As [`try_add`](Self::try_add).
    pub fn try_add_histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        histogram: Histogram,
    ) -> Result<(), Refusal> {
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.insert(name, Type::Histogram, help, labels, metric)
    }

    fn insert(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        labels: &[(&str, &str)],
        mut metric: Metric,
    ) -> Result<(), Refusal> {
        if !is_metric_name(name) {
            return Err(Refusal::BadName);
        }
        let mut label_set: Vec<(String, String)> = labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        label_set.sort();
        let twice = label_set.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice || !label_set.iter().all(|(name, _)| is_label_name(name, kind)) {
            return Err(Refusal::BadLabel);
        }
        // Prometheus takes a label with an empty value for one that is not there.
        label_set.retain(|(_, value)| !value.is_empty());
        let lines = 2 + metric.get_histogram().get_bucket().len();
        if self.lines_count + lines > LINES_MAX {
            return Err(Refusal::TooMany);
        }
        match self.families.get(name) {
            Some(family) if family.kind != kind => return Err(Refusal::TypeDiffers),
            Some(family) if family.label_sets.contains(&label_set) => return Err(Refusal::Duplicate),
            Some(_) => {}
            None => self.claim_lines(name, kind)?,
        }
        let pairs = label_set.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        });
        metric.set_label(pairs.collect());
        let family = self
            .families
            .entry(name.to_owned())
            .or_insert_with(|| Family::new(name, kind, help));
        family.proto.mut_metric().push(metric);
        family.label_sets.insert(label_set);
        self.lines_count += lines;
        Ok(())
    }

    /// Takes the names of a new family's lines. The family's own name is one of them even for a histogram, which has no
    /// such line: a second family of that name would still be refused by Prometheus.
    fn claim_lines(&mut self, name: &str, kind: Type) -> Result<(), Refusal> {
        let suffixes: &[&str] = if kind == Type::Histogram {
            &["", "_bucket", "_sum", "_count"]
        } else {
            &[""]
        };
        if suffixes
            .iter()
            .any(|suffix| self.lines.contains(&format!("{name}{suffix}")))
        {
            return Err(Refusal::NameTaken);
        }
        self.lines
            .extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
        Ok(())
    }

    /// The families, by name.
    pub fn finish(self) -> Vec<MetricFamily> {
        self.families.into_values().map(|family| family.proto).collect()
    }
}

impl Family {
    fn new(name: &str, kind: Type, help: &str) -> Self {
        let mut proto = MetricFamily::default();
        proto.set_name(name.to_owned());
        // A carriage return would end a HELP line for some parsers, and other controls are of no use to a reader.
        proto.set_help(
            help.chars()
                .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
                .collect(),
        );
        proto.set_field_type(match kind {
            Type::Counter => MetricType::COUNTER,
            Type::Gauge => MetricType::GAUGE,
            Type::Histogram => MetricType::HISTOGRAM,
        });
        Self {
            kind,
            proto,
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
mod tests {
    use super::*;

    fn histogram(families: &mut Families, name: &str, labels: &[(&str, &str)]) -> Result<(), Refusal> {
        families.try_add_histogram(name, "", labels, Histogram::default())
    }

    #[test]
    fn what_would_spoil_a_scrape_is_refused() {
        let mut families = Families::default();
        let long = "x".repeat(201);
        for name in ["", "1a", "a-b", "a b", "a\nb", "é", "a{", long.as_str()] {
            assert_eq!(
                families.try_add(name, Type::Gauge, "", &[], 1.0),
                Err(Refusal::BadName),
                "{name:?}"
            );
        }
        for label in ["", "1a", "a:b", "__a", "a\"", "a b", "quantile"] {
            let labels = [(label, "v")];
            assert_eq!(
                families.try_add("a", Type::Gauge, "", &labels, 1.0),
                Err(Refusal::BadLabel),
                "{label:?}"
            );
        }
        assert_eq!(
            families.try_add("a", Type::Gauge, "", &[("x", "1"), ("x", "2")], 1.0),
            Err(Refusal::BadLabel)
        );
        assert_eq!(histogram(&mut families, "a", &[("le", "1")]), Err(Refusal::BadLabel));
        assert!(families.finish().is_empty(), "a refusal leaves nothing behind");
    }

    #[test]
    fn a_series_is_taken_once_whatever_the_order_of_its_labels() {
        let mut families = Families::default();
        let mut add = |labels: &[(&str, &str)]| families.try_add("a", Type::Gauge, "", labels, 1.0);
        assert_eq!(add(&[("x", "1"), ("y", "2")]), Ok(()));
        assert_eq!(add(&[("y", "2"), ("x", "1")]), Err(Refusal::Duplicate));
        assert_eq!(add(&[("x", "1"), ("y", "3")]), Ok(()));
        assert_eq!(add(&[]), Ok(()));
        assert_eq!(add(&[("z", "")]), Err(Refusal::Duplicate), "an empty value is no label");
        assert_eq!(families.finish()[0].get_metric().len(), 3);
    }

    #[test]
    fn a_family_has_one_type_and_owns_its_lines() {
        let mut families = Families::default();
        assert_eq!(histogram(&mut families, "h", &[]), Ok(()));
        assert_eq!(
            families.try_add("h", Type::Gauge, "", &[], 1.0),
            Err(Refusal::TypeDiffers)
        );
        assert_eq!(
            families.try_add("h_count", Type::Counter, "", &[], 1.0),
            Err(Refusal::NameTaken)
        );
        assert_eq!(families.try_add("g_sum", Type::Gauge, "", &[], 1.0), Ok(()));
        assert_eq!(histogram(&mut families, "g", &[]), Err(Refusal::NameTaken));
        assert_eq!(
            families
                .finish()
                .iter()
                .map(|f| f.name().to_owned())
                .collect::<Vec<_>>(),
            ["g_sum", "h"]
        );
    }

    #[test]
    fn there_is_an_end_to_series() {
        let mut families = Families::default();
        let refused = (0..LINES_MAX).filter_map(|i| {
            families
                .try_add("a", Type::Gauge, "", &[("i", &i.to_string())], 1.0)
                .err()
        });
        let refused: Vec<Refusal> = refused.collect();
        assert!(!refused.is_empty() && refused.iter().all(|r| *r == Refusal::TooMany));
    }
}
