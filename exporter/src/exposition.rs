//! Metric families as Prometheus text, format 0.0.4.
//!
//! The `prometheus` crate's `TextEncoder` writes everything but histograms. Those are written here, because the encoder
//! spells a bucket's bound as Rust does (`le="0.0000001"`, `le="1"`), and the bound is a label: Prometheus 2 keeps it as
//! it stands, Prometheus 3 turns it into Go's spelling (`1e-07`, `1.0`). Rules and panels over both, or over an upgrade
//! from one to the other, then see two series. Written in the canonical spelling at once, both majors agree. The bound
//! has no other way through the encoder: its protocol types hold it as a number.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};

/// What Prometheus 3 insists on; the crate's own constant lacks the charset.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the families in their order.
///
/// # Errors
/// What the encoder refuses: a family without a name or without a metric.
pub fn encode(families: &[MetricFamily]) -> Result<String, Error> {
    let mut text = String::with_capacity(64 * 1024);
    let encoder = TextEncoder::new();
    for family in families {
        if family.get_field_type() == MetricType::HISTOGRAM {
            histogram(&mut text, family);
        } else {
            encoder.encode_utf8(std::slice::from_ref(family), &mut text)?;
        }
    }
    Ok(text)
}

fn histogram(text: &mut String, family: &MetricFamily) {
    let name = family.name();
    if !family.help().is_empty() {
        let _ = write!(text, "# HELP {name} ");
        escape(text, family.help(), false);
        text.push('\n');
    }
    let _ = writeln!(text, "# TYPE {name} histogram");
    for metric in family.get_metric() {
        let histogram = metric.get_histogram();
        let labels = metric.get_label();
        let finite = histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
        let bounds = finite.map(|b| (b.upper_bound(), b.cumulative_count()));
        for (bound, count) in bounds.chain([(f64::INFINITY, histogram.get_sample_count())]) {
            sample(text, name, "_bucket", labels, Some(&canonical(bound)), &count);
        }
        sample(text, name, "_sum", labels, None, &histogram.get_sample_sum());
        sample(text, name, "_count", labels, None, &histogram.get_sample_count());
    }
}

fn sample(
    text: &mut String,
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    le: Option<&str>,
    value: &dyn std::fmt::Display,
) {
    text.push_str(name);
    text.push_str(suffix);
    let labels = labels
        .iter()
        .map(|pair| (pair.name(), pair.value()))
        .chain(le.map(|bound| ("le", bound)));
    let mut separator = '{';
    for (label, value) in labels {
        text.push(separator);
        separator = ',';
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value, true);
        text.push('"');
    }
    if separator == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escape(text: &mut String, raw: &str, quotes: bool) {
    for c in raw.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}

/// A number as OpenMetrics and Prometheus 3 spell it in labels: Go's shortest `%g`, with `.0` where that has neither a
/// point nor an exponent.
///
/// ```
/// # use quantumflow_exporter::exposition::canonical;
/// assert_eq!(canonical(1.0), "1.0");
/// assert_eq!(canonical(0.0000001), "1e-07");
/// assert_eq!(canonical(f64::INFINITY), "+Inf");
/// ```
pub fn canonical(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    // Rust's `{:e}` has the same shortest digits, in the form `d.ddde-7`.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a small integer after the e");
    if (-4..GO_EXPONENT_MIN).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// From this power of ten on, Go's shortest `%g` writes an exponent.
const GO_EXPONENT_MIN: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::proto::{Bucket, Counter, Histogram, Metric};

    #[test]
    fn numbers_are_spelled_as_go_spells_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (10.0, "10.0"),
            (0.1, "0.1"),
            (2.5, "2.5"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000099839, "9.9839e-05"),
            (0.0000001, "1e-07"),
            (2.51e-7, "2.51e-07"),
            (1e-10, "1e-10"),
            (1e-100, "1e-100"),
            (100000.0, "100000.0"),
            (1e6, "1e+06"),
            (1048575.0, "1.048575e+06"),
            (1e10, "1e+10"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(canonical(value), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_spelling_reads_back_as_the_same_number(bits: u64) {
            let value = f64::from_bits(bits);
            let back: f64 = canonical(value).parse().unwrap();
            proptest::prop_assert!(back == value || (back.is_nan() && value.is_nan()));
        }
    }

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
