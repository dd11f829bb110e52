//! Prometheus text, format 0.0.4.
//!
//! The `prometheus` crate's `TextEncoder` writes everything but histograms. Those are written here, because the encoder
//! spells a bucket's bound as Rust does (`le="0.0000001"`, `le="1"`), and the bound is a label: Prometheus 2 keeps it as
//! it stands, Prometheus 3 turns it into Go's spelling (`1e-07`, `1.0`). Rules and panels over both, or over an upgrade
//! from one to the other, then see two series. Written in the canonical spelling at once, both majors agree. The bound
//! has no other way through the encoder: its protocol types hold it as a number.

use std::fmt::Write as _;

use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};

use super::{Bounds, Samples, escape};
use crate::family::{Families, Series, Type, Value};

/// The families as the `prometheus` crate holds them. Native buckets and times of creation have no place there.
pub fn to_proto(families: &Families) -> Vec<MetricFamily> {
    let families = families.iter().map(|(name, family)| {
        let mut proto = MetricFamily::default();
        proto.set_name(name.to_owned());
        proto.set_help(family.help.clone());
        proto.set_field_type(match family.kind {
            Type::Counter => MetricType::COUNTER,
            Type::Gauge => MetricType::GAUGE,
            Type::Histogram => MetricType::HISTOGRAM,
        });
        proto.set_metric(family.series.iter().map(|series| metric(family.kind, series)).collect());
        proto
    });
    families.collect()
}

fn metric(kind: Type, series: &Series) -> proto::Metric {
    let labels = series.labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_string());
        pair.set_value(value.to_string());
        pair
    });
    let mut metric = proto::Metric::from_label(labels.collect());
    match &series.value {
        Value::Number(value) if kind == Type::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        Value::Distribution(distribution) => {
            let buckets = distribution.buckets.iter().map(|&(bound, at_most)| {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(at_most);
                bucket
            });
            let mut histogram = proto::Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(distribution.count);
            histogram.set_sample_sum(distribution.sum);
            metric.set_histogram(histogram);
        }
    }
    metric
}

/// Writes the families in their order.
///
/// # Errors
/// What the encoder refuses: a family without a name or without a metric.
pub fn encode(families: &[MetricFamily]) -> Result<String, Error> {
    let mut text = String::with_capacity(64 * 1024);
    let (mut samples, mut spelled) = (Samples::default(), Bounds::default());
    let encoder = TextEncoder::new();
    for family in families {
        if family.get_field_type() == MetricType::HISTOGRAM {
            histogram(&mut text, family, &mut samples, &mut spelled);
        } else {
            encoder.encode_utf8(std::slice::from_ref(family), &mut text)?;
        }
    }
    Ok(text)
}

fn histogram(text: &mut String, family: &MetricFamily, samples: &mut Samples, spelled: &mut Bounds) {
    let name = family.name();
    if !family.help().is_empty() {
        let _ = write!(text, "# HELP {name} ");
        escape(text, family.help(), false);
        text.push('\n');
    }
    let _ = writeln!(text, "# TYPE {name} histogram");
    for metric in family.get_metric() {
        let histogram = metric.get_histogram();
        samples.of(metric.get_label().iter().map(|pair| (pair.name(), pair.value())));
        let mut sample = |suffix, le: Option<&str>, value: &dyn std::fmt::Display| {
            samples.begin(text, name, suffix, le);
            let _ = writeln!(text, "{value}");
        };
        let finite = histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
        let bounds = finite.map(|b| (b.upper_bound(), b.cumulative_count()));
        let bounds = bounds.chain([(f64::INFINITY, histogram.get_sample_count())]);
        for (place, (bound, count)) in bounds.enumerate() {
            sample("_bucket", Some(spelled.spell(place, bound)), &count);
        }
        sample("_sum", None, &histogram.get_sample_sum());
        sample("_count", None, &histogram.get_sample_count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::proto::{Bucket, Counter, Histogram, Metric};

    fn label(name: &str, value: &str) -> LabelPair {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        pair
    }

    #[test]
    fn a_histogram_has_canonical_bounds_and_escaped_labels() {
        let bucket = |bound, count| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(vec![bucket(1e-7, 1), bucket(1.0, 3)]);
        histogram.set_sample_count(4);
        histogram.set_sample_sum(7.5);
        let mut metric = Metric::from_label(vec![label("stage", "a\"b\\c\nd")]);
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name("x_seconds".into());
        family.set_help("Two\nlines \\ and a \"quote\".".into());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        let text = encode(&[family]).unwrap();
        let labels = r#"stage="a\"b\\c\nd""#;
        let expected = format!(
            "# HELP x_seconds Two\\nlines \\\\ and a \"quote\".\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{{{labels},le=\"1e-07\"}} 1\nx_seconds_bucket{{{labels},le=\"1.0\"}} 3\n\
             x_seconds_bucket{{{labels},le=\"+Inf\"}} 4\nx_seconds_sum{{{labels}}} 7.5\nx_seconds_count{{{labels}}} 4\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn other_families_are_the_encoders() {
        let mut counter = Counter::default();
        counter.set_value(3.0);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        let mut family = MetricFamily::default();
        family.set_name("x_total".into());
        family.set_help("Help.".into());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(vec![metric]);
        assert_eq!(
            encode(&[family]).unwrap(),
            "# HELP x_total Help.\n# TYPE x_total counter\nx_total 3\n"
        );
    }
}
