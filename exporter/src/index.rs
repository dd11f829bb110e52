//! A snapshot's series by their metrics' names. Whoever asks for many series of one snapshot looks through all of them
//! once, not once for each.

use std::collections::HashMap;

use quantumflow_region::{HistogramSnapshot, Metric, Series, Snapshot};

/// The series of a snapshot, by name.
pub struct Index<'a> {
    families: HashMap<&'a str, Vec<&'a Series>>,
}

impl<'a> Index<'a> {
    /// Looks through a snapshot.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut families: HashMap<&str, Vec<&Series>> = HashMap::new();
        for series in &snapshot.series {
            families.entry(&*series.meta.name).or_default().push(series);
        }
        Self { families }
    }

    /// All series of a metric, in the order of their registration; those whose source is gone are left out.
    pub fn family(&self, metric: &Metric) -> impl Iterator<Item = &'a Series> + use<'a, '_> {
        let family = self.families.get(metric.name).into_iter().flatten();
        family.copied().filter(|series| !series.retired)
    }

    /// The first series of a metric with these label values; labels that are not named may have any.
    pub fn find(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<&'a Series> {
        self.family(metric).find(|series| has(series, labels))
    }

    /// The raw value of the series that [`find`](Self::find) finds.
    pub fn value(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<f64> {
        self.find(metric, labels)?.value.as_f64()
    }

    /// The raw values of all counters of a metric with these label values together; of retired ones, too, because what
    /// they counted has happened.
    pub fn total(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        let family = self.families.get(metric.name).into_iter().flatten();
        let of_labels = family.filter(|series| has(series, labels));
        of_labels.filter_map(|series| series.value.as_f64()).sum()
    }

    /// The histogram of a metric with these label values, with the series that it belongs to.
    pub fn histogram(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<(&'a Series, &'a HistogramSnapshot)> {
        let series = self.find(metric, labels)?;
        Some((series, series.value.histogram()?))
    }
}

fn has(series: &Series, labels: &[(&str, &str)]) -> bool {
    let mut labels = labels.iter();
    labels.all(|(label, value)| series.meta.label(label) == Some(*value))
}
