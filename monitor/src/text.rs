//! Numbers, times and foreign text, made fit for a terminal.

use std::borrow::Cow;
use std::time::Duration;

use quantumflow_region::metric::to_base;
use quantumflow_region::{Kind, Series, SeriesMeta, Unit, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The text with everything replaced that could steer a terminal or hide in it: control characters, and the invisible
/// ones that turn the direction of writing or have no width. A region is a claim of another process.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unfit) {
        text.chars()
            .map(|c| if is_unfit(c) { '\u{FFFD}' } else { c })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}

fn is_unfit(c: char) -> bool {
    let invisible = matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}');
    c.is_control() || invisible
}

/// Nanoseconds since the Unix epoch as RFC 3339 in UTC; `-` where the time is not known (zero).
pub fn rfc3339(unix_ns: u64) -> String {
    if unix_ns == 0 {
        return "-".into();
    }
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ns))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix_ns} ns"))
}

/// The same, to the second.
pub fn rfc3339_seconds(unix_ns: u64) -> String {
    rfc3339(unix_ns - unix_ns % 1_000_000_000)
}

/// A count with its thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most seven characters: `0`, `0.25`, `12.3`, `4567`, `123.4k`, `5.67M`.
pub fn short(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if x.is_nan() => "-".into(),
        _ if size >= 1e15 => format!("{x:.1e}"),
        _ if size >= 1e12 => format!("{:.2}T", x / 1e12),
        _ if size >= 1e9 => format!("{:.2}G", x / 1e9),
        _ if size >= 1e6 => format!("{:.2}M", x / 1e6),
        _ if size >= 1e5 => format!("{:.1}k", x / 1e3),
        _ if size >= 100.0 || x.fract() == 0.0 => format!("{x:.0}"),
        _ if size >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// A rate per second, or `-` where there is none.
pub fn rate(per_second: Option<f64>) -> String {
    per_second.map_or("-".into(), short)
}

/// A latency: `812 ns`, `12.3 us`, `4.56 ms`, `1.23 s`.
pub fn latency(ns: f64) -> String {
    let size = ns.abs();
    match size {
        _ if ns.is_nan() => "-".into(),
        _ if size >= 1e9 => format!("{} s", three_digits(ns / 1e9)),
        _ if size >= 1e6 => format!("{} ms", three_digits(ns / 1e6)),
        _ if size >= 1e3 => format!("{} us", three_digits(ns / 1e3)),
        _ => format!("{ns:.0} ns"),
    }
}

fn three_digits(x: f64) -> String {
    match x.abs() {
        size if size >= 100.0 => format!("{x:.0}"),
        size if size >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// How long something took or ago it was: `3 s`, `12m03s`, `3h12m`, `5d02h`.
pub fn age(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// Name and labels as Prometheus writes them, fit for a terminal.
pub fn series_name(meta: &SeriesMeta) -> String {
    if meta.labels.is_empty() {
        return clean(&meta.name).into_owned();
    }
    format!("{}{{{}}}", clean(&meta.name), labels(meta))
}

/// The labels alone: `exchange="binance",symbol="BTCUSDT"`.
pub fn labels(meta: &SeriesMeta) -> String {
    let each = meta.labels.iter().map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{}=\"{}\"", clean(name), clean(&value))
    });
    each.collect::<Vec<_>>().join(",")
}

/// What a series stands at, in its unit and in few characters.
pub fn value(series: &Series) -> String {
    let meta = &series.meta;
    match &series.value {
        Value::Counter(n) if meta.scale == 0 => count(*n),
        Value::GaugeI64(n) if meta.scale == 0 => n.to_string(),
        Value::State(state) => state_name(meta, *state).into_owned(),
        Value::Timestamp(raw) if meta.scale == -9 => rfc3339_seconds(*raw),
        Value::Histogram(histogram) => format!(
            "n {} p50 {} p99 {}",
            short(histogram.count() as f64),
            quantity(meta, histogram.value_at_percentile(50.0) as f64),
            quantity(meta, histogram.value_at_percentile(99.0) as f64)
        ),
        Value::Info => "1".into(),
        value => quantity(meta, value.as_f64().unwrap_or(f64::NAN)),
    }
}

/// A raw number of a series in its unit.
pub fn quantity(meta: &SeriesMeta, raw: f64) -> String {
    if meta.kind == Kind::Timestamp {
        meta.to_base(raw).to_string()
    } else {
        quantity_in(meta.unit, meta.scale, raw)
    }
}

/// A raw number in its base unit, that is `10^scale` times as large.
pub fn quantity_in(unit: Unit, scale: i8, raw: f64) -> String {
    let base = to_base(raw, scale);
    match unit {
        _ if raw.is_nan() => "-".into(),
        Unit::Seconds => latency(base * 1e9),
        Unit::Ratio => format!("{base:.3}"),
        // The shortest text that reads back as this number: a price is not rounded.
        _ => base.to_string(),
    }
}

/// The name of a state, or its number where it has none.
pub fn state_name(meta: &SeriesMeta, state: u64) -> Cow<'_, str> {
    let name = usize::try_from(state).ok().and_then(|state| meta.states.get(state));
    name.map_or_else(|| format!("{state}?").into(), |name| clean(name))
}

/// An error with its causes, in one line that a terminal can be given.
pub fn in_words(error: &dyn std::error::Error) -> String {
    clean(&quantumflow_region::in_words(error)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_seven_characters() {
        for (x, text) in [
            (0.0, "0"),
            (0.254, "0.25"),
            (12.34, "12.3"),
            (4567.0, "4567"),
            (99_999.0, "99999"),
            (123_400.0, "123.4k"),
            (5.67e6, "5.67M"),
            (1.5e9, "1.50G"),
            (2e12, "2.00T"),
            (f64::NAN, "-"),
            (-12.34, "-12.3"),
            (1e300, "1.0e300"),
        ] {
            assert_eq!(short(x), text);
            assert!(text.len() <= 7);
        }
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(0), "-");
        assert_eq!(rfc3339(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(rfc3339_seconds(1_700_000_000_900_000_001), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn latencies_keep_three_digits() {
        let of = [812.0, 12_340.0, 4_560_000.0, 1.234e9, 68.7e9].map(latency);
        assert_eq!(of, ["812 ns", "12.3 us", "4.56 ms", "1.23 s", "68.7 s"]);
    }

    #[test]
    fn ages_have_two_units() {
        let of = [3, 723, 11_520, 439_200].map(|s| age(Duration::from_secs(s)));
        assert_eq!(of, ["3 s", "12m03s", "3h12m", "5d02h"]);
    }

    #[test]
    fn what_could_steer_a_terminal_is_replaced() {
        assert_eq!(
            clean("BTC\u{1b}[2J\u{202e}\u{9b}x\u{200b}"),
            "BTC\u{FFFD}[2J\u{FFFD}\u{FFFD}x\u{FFFD}"
        );
        assert!(matches!(clean("BTC/USD é 比特"), Cow::Borrowed(_)));
    }
}
