//! OpenMetrics text, version 1.0.0.
//!
//! Its differences from Prometheus text: a counter's family has the name without `_total`, a family whose name ends in
//! its unit says so on a `# UNIT` line, help texts escape quotes, and `# EOF` tells a whole exposition from a cut one.
//! The optional `_created` lines are left out: each would be one more series to store. Protobuf carries those times.

use std::fmt::Write as _;

use super::{Bounds, Samples, canonical, escape};
use crate::family::{Families, Family, Type, Value};

/// Writes the families.
pub fn encode(families: &Families) -> String {
    let mut text = String::with_capacity(64 * 1024);
    let (mut samples, mut spelled) = (Samples::default(), Bounds::default());
    for (name, family) in families.iter() {
        let (stem, kind) = naming(name, family, families);
        let _ = writeln!(text, "# TYPE {stem} {kind}");
        if let Some(unit) = UNITS
            .iter()
            .find(|unit| stem.strip_suffix(*unit).is_some_and(|rest| rest.ends_with('_')))
        {
            let _ = writeln!(text, "# UNIT {stem} {unit}");
        }
        if !family.help.is_empty() {
            let _ = write!(text, "# HELP {stem} ");
            escape(&mut text, &family.help, true);
            text.push('\n');
        }
        for series in &family.series {
            samples.of(series.labels.iter().map(|(name, value)| (&**name, &**value)));
            let mut sample = |suffix, le: Option<&str>, value| {
                samples.begin(&mut text, name, suffix, le);
                number(&mut text, value);
            };
            match &series.value {
                Value::Number(value) => sample("", None, *value),
                Value::Distribution(distribution) => {
                    let finite = distribution.buckets.iter().filter(|(bound, _)| bound.is_finite());
                    let bounds = finite.copied().chain([(f64::INFINITY, distribution.count)]);
                    for (place, (bound, count)) in bounds.enumerate() {
                        sample("_bucket", Some(spelled.spell(place, bound)), count as f64);
                    }
                    sample("_sum", None, distribution.sum);
                    sample("_count", None, distribution.count as f64);
                }
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

/// Units that a name may end in.
const UNITS: [&str; 4] = ["seconds", "bytes", "ratio", "records"];

/// The family's name and type. A counter whose name without `_total` is another family's, or whose name does not end
/// so, is of an unknown type: that keeps its name, and its samples are the same numbers.
fn naming<'a>(name: &'a str, family: &Family, families: &Families) -> (&'a str, &'static str) {
    match (family.kind, name.strip_suffix("_total")) {
        (Type::Counter, Some(stem)) if !stem.is_empty() && families.get(stem).is_none() => (stem, "counter"),
        (Type::Counter, _) => (name, "unknown"),
        (kind, _) => (name, kind.name()),
    }
}

fn number(text: &mut String, value: f64) {
    // Integers as such, others in the shortest form that keeps a huge one from printing three hundred digits.
    let _ = if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        writeln!(text, "{}", value as i64)
    } else {
        writeln!(text, "{}", canonical(value))
    };
}

/// Integers below this are exact as doubles.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Distribution, labels};

    #[test]
    fn families_are_named_and_ended_by_its_rules() {
        let mut families = Families::default();
        families.add(
            "a_bytes_total",
            Type::Counter,
            "Say \"a\".\nTwice \\.",
            &[("x", "1\"\\\n")],
            3.0,
        );
        families.add("b", Type::Gauge, "Clash.", &[], 1e300);
        families.add("b_total", Type::Counter, "Clash.", &[], 0.25);
        families.add("c", Type::Counter, "Odd.", &[], f64::INFINITY);
        let distribution = Distribution {
            buckets: vec![(1e-7, 1), (1.0, 3)],
            sum: 7.5,
            count: 4,
            native: None,
        };
        let added = families.try_add(
            "d_seconds",
            Type::Histogram,
            "Times.",
            labels(&[("s", "t")]),
            Value::Distribution(distribution),
            5,
        );
        assert_eq!(added, Ok(()));
        let expected = r#"# TYPE a_bytes counter
# UNIT a_bytes bytes
# HELP a_bytes Say \"a\".\nTwice \\.
a_bytes_total{x="1\"\\\n"} 3
# TYPE b gauge
# HELP b Clash.
b 1e+300
# TYPE b_total unknown
# HELP b_total Clash.
b_total 0.25
# TYPE c unknown
# HELP c Odd.
c +Inf
# TYPE d_seconds histogram
# UNIT d_seconds seconds
# HELP d_seconds Times.
d_seconds_bucket{s="t",le="1e-07"} 1
d_seconds_bucket{s="t",le="1.0"} 3
d_seconds_bucket{s="t",le="+Inf"} 4
d_seconds_sum{s="t"} 7.5
d_seconds_count{s="t"} 4
# EOF
"#;
        assert_eq!(encode(&families), expected);
    }

    #[test]
    fn nothing_at_all_is_still_a_whole_exposition() {
        assert_eq!(encode(&Families::default()), "# EOF\n");
    }
}
