//! Percentiles of a histogram, of all its run and of the last interval.

use quantumflow_region::{HistogramSnapshot, Metric, SeriesMeta, catalogue};
use serde::Serialize;

use crate::index::Index;

/// A row of the latency table.
#[derive(Serialize)]
pub(super) struct Latency {
    /// A stage's name, `features`, or `model NAME`.
    name: String,
    /// Between the two ticks; `null` where there was no earlier one.
    interval: Option<Percentiles>,
    /// Since the engine started.
    run: Percentiles,
}

#[derive(Serialize)]
struct Percentiles {
    count: u64,
    /// `null` without a record, as are the others.
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
}

impl Percentiles {
    fn of(meta: &SeriesMeta, histogram: &HistogramSnapshot) -> Self {
        let ns = |raw: u64| (histogram.count() > 0).then(|| (meta.to_base(raw as f64) * 1e9).round() as u64);
        let at = |percentile| ns(histogram.value_at_percentile(percentile));
        Self {
            count: histogram.count(),
            p50_ns: at(50.0),
            p99_ns: at(99.0),
            p999_ns: at(99.9),
            max_ns: ns(histogram.max()),
        }
    }
}

/// The stages in the order in which a message passes them, then features and models by themselves.
pub(super) fn all(now: &Index<'_>, before: Option<&Index<'_>>) -> Vec<Latency> {
    let stages = catalogue::STAGES.map(|stage| (stage.to_owned(), &catalogue::STAGE_LATENCY, vec![("stage", stage)]));
    let models = now.family(&catalogue::PREDICTION_LATENCY).filter_map(|series| {
        let name = series.meta.label("model_name")?;
        let labels = vec![("model_name", name)];
        Some((format!("model {name}"), &catalogue::PREDICTION_LATENCY, labels))
    });
    let features = [("features of a book".to_owned(), &catalogue::FEATURE_LATENCY, vec![])];
    let rows = stages.into_iter().chain(features).chain(models);
    rows.filter_map(|(name, metric, labels)| row(name, metric, &labels, now, before))
        .collect()
}

fn row(
    name: String,
    metric: &Metric,
    labels: &[(&str, &str)],
    now: &Index<'_>,
    before: Option<&Index<'_>>,
) -> Option<Latency> {
    let (series, histogram) = now.histogram(metric, labels)?;
    let interval = interval(metric, labels, histogram, before);
    Some(Latency {
        name,
        interval: interval.map(|interval| Percentiles::of(&series.meta, &interval)),
        run: Percentiles::of(&series.meta, histogram),
    })
}

/// What a histogram recorded since the earlier tick.
pub(super) fn interval(
    metric: &Metric,
    labels: &[(&str, &str)],
    histogram: &HistogramSnapshot,
    before: Option<&Index<'_>>,
) -> Option<HistogramSnapshot> {
    let (_, earlier) = before?.histogram(metric, labels)?;
    histogram.since(earlier)
}
