//! Metric families in the formats that Prometheus reads, and which of them a client is given.
//!
//! Text 0.0.4 is what everyone understands and what is sent when nothing else was asked for, or nothing that is known:
//! a scrape is never refused for its `Accept` line. OpenMetrics 1.0 has units and stricter rules. Protobuf alone carries
//! native histograms and the times from which counters count.

pub mod openmetrics;
pub mod protobuf;
pub mod text;

/// A format of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily` messages, each after its length.
    Protobuf,
}

impl Format {
    /// The value of `Content-Type`. Prometheus 3 reads nothing without it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format that a client likes best, by the value of its `Accept` line; text where it names none that is known.
    /// Of equally liked ones it is the one named first.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',').take(RANGES_MAX) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(parameter).collect();
            let value = |name: &str| {
                let mut found = parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| *value)
            };
            let quality = match value("q").map(str::parse::<f64>) {
                None => 1.0,
                Some(Ok(quality)) if (0.0..=1.0).contains(&quality) => quality,
                Some(_) => 0.0,
            };
            if let Some(format) = Self::of(name, value)
                && quality > best.0
            {
                best = (quality, format);
            }
        }
        best.1
    }

    fn of<'a>(name: &str, value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "text/plain" if matches!(value("version"), None | Some("0.0.4")) => Some(Self::Text),
            "*/*" | "text/*" => Some(Self::Text),
            "application/openmetrics-text" if matches!(value("version"), None | Some("1.0.0")) => {
                Some(Self::OpenMetrics)
            }
            "application/vnd.google.protobuf"
                if value("proto") == Some("io.prometheus.client.MetricFamily")
                    && value("encoding") == Some("delimited") =>
            {
                Some(Self::Protobuf)
            }
            _ => None,
        }
    }
}

/// `name=value`, the value without its quotes.
fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim(), value.trim().trim_matches('"')))
}

/// A client that names more formats gets the best of these.
const RANGES_MAX: usize = 32;

/// Appends `raw` with the escapes of both text formats; quotes too, where it stands between quotes.
fn escape(text: &mut String, raw: &str, quotes: bool) {
    // Nearly always there is nothing to escape.
    if !raw.contains(['\\', '\n', '"']) {
        text.push_str(raw);
        return;
    }
    for c in raw.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}

/// The beginnings of sample lines. The labels of a series are written once and copied into all lines of it.
#[derive(Default)]
struct Samples {
    labels: String,
}

impl Samples {
    /// The lines that follow are of the series with these labels.
    fn of<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        self.labels.clear();
        for (name, value) in labels {
            if !self.labels.is_empty() {
                self.labels.push(',');
            }
            self.labels.push_str(name);
            self.labels.push_str("=\"");
            escape(&mut self.labels, value, true);
            self.labels.push('"');
        }
    }

    /// Appends a line up to the space before its value.
    fn begin(&self, text: &mut String, name: &str, suffix: &str, le: Option<&str>) {
        text.push_str(name);
        text.push_str(suffix);
        if !self.labels.is_empty() || le.is_some() {
            text.push('{');
            text.push_str(&self.labels);
            if let Some(le) = le {
                text.push_str(if self.labels.is_empty() { "le=\"" } else { ",le=\"" });
                text.push_str(le);
                text.push('"');
            }
            text.push('}');
        }
        text.push(' ');
    }
}

/// Spelled bounds by their place in a histogram: the next one mostly has the same.
#[derive(Default)]
struct Bounds(Vec<(u64, String)>);

impl Bounds {
    fn spell(&mut self, place: usize, bound: f64) -> &str {
        let bits = bound.to_bits();
        if self.0.get(place).is_none_or(|(known, _)| *known != bits) {
            self.0.truncate(place);
            self.0.push((bits, canonical(bound)));
        }
        // The places of a histogram come in order, so that the one pushed is the one asked for.
        self.0.get(place).map_or("", |(_, text)| text)
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

    #[test]
    fn the_best_known_format_is_chosen_and_text_where_there_is_none() {
        use Format::{OpenMetrics, Protobuf, Text};
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        // What Prometheus 2.42 and 3.5 send, with and without native histograms.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = format!("{proto};q=0.6,{two}").replace("1.0.0,", "1.0.0;q=0.5,");
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            ("application/json", Text),
            ("nonsense;;;=,,;q=", Text),
            (two, OpenMetrics),
            (three, OpenMetrics),
            (&native, Protobuf),
            (proto, Protobuf),
            ("application/vnd.google.protobuf", Text),
            (&proto.replace("delimited", "text"), Text),
            (&format!("text/plain;q=0.9, {proto};q=0.8"), Text),
            (&format!("text/plain;q=0.8, {proto};q=0.9"), Protobuf),
            (&format!("{proto};q=0"), Text),
            (&format!("{proto};q=2, application/openmetrics-text;q=0.1"), OpenMetrics),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                OpenMetrics,
            ),
            ("APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Text),
            ("application/openmetrics-text;version=1.0.0, text/plain", OpenMetrics),
            ("text/plain, application/openmetrics-text;version=1.0.0", Text),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }
}
