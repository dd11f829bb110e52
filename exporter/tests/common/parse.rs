//! The Prometheus text format 0.0.4, read strictly: whatever some scraper may stumble over is a panic here.

use std::collections::{BTreeMap, HashSet};

/// Labels of a series, by name.
pub type Labels = BTreeMap<String, String>;

/// A whole exposition.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
}

/// A family with its samples in their order.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// `(name of the line, labels, value as text)`
    pub samples: Vec<(String, Labels, String)>,
}

impl Exposition {
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current: Option<(String, Family)> = None;
        let mut series = HashSet::new();
        for line in text.lines() {
            assert!(!line.is_empty() && !line.contains('\r'), "{line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                if let Some((name, family)) = current.take() {
                    assert!(families.insert(name.clone(), family).is_none(), "{name} comes twice");
                }
                check_name(name, true);
                assert!(!help.is_empty());
                current = Some((
                    name.into(),
                    Family {
                        help: help.into(),
                        ..Family::default()
                    },
                ));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                let (current, family) = current.as_mut().expect("HELP comes before TYPE");
                assert_eq!(name, current);
                assert!(
                    family.kind.is_empty() && ["counter", "gauge", "histogram"].contains(&kind),
                    "{line}"
                );
                family.kind = kind.into();
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (name, labels, value) = sample(line);
                let (family_name, family) = current.as_mut().expect("TYPE comes before samples");
                let suffix = name.strip_prefix(family_name.as_str());
                let suffix = suffix.unwrap_or_else(|| panic!("{line} stands in {family_name}"));
                let allowed: &[&str] = if family.kind == "histogram" {
                    &["_bucket", "_sum", "_count"]
                } else {
                    &[""]
                };
                assert!(
                    !family.kind.is_empty() && allowed.contains(&suffix),
                    "{line} in a {}",
                    family.kind
                );
                assert!(series.insert((name.clone(), labels.clone())), "{line} comes twice");
                family.samples.push((name, labels, value));
            }
        }
        let (name, family) = current.expect("at least one family");
        assert!(families.insert(name.clone(), family).is_none(), "{name} comes twice");
        let exposition = Self { families };
        exposition.check();
        exposition
    }

    fn check(&self) {
        for (name, family) in &self.families {
            assert!(!family.samples.is_empty(), "{name} is empty");
            assert_eq!(
                name.ends_with("_total"),
                family.kind == "counter",
                "{name} is a {}",
                family.kind
            );
            if family.kind == "histogram" {
                let sets: HashSet<Labels> = family.samples.iter().map(|(_, labels, _)| without_le(labels)).collect();
                sets.iter().for_each(|labels| drop(self.histogram(name, labels)));
            }
        }
    }

    /// The only sample of that name whose labels include these; panics where there are several.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.families.get(name)?.samples.iter();
        let fits = |sample: &&(String, Labels, String)| {
            sample.0 == name
                && labels
                    .iter()
                    .all(|(k, v)| sample.1.get(*k).is_some_and(|value| value == v))
        };
        let found: Vec<_> = samples.filter(fits).collect();
        assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
        found.first().map(|sample| number(&sample.2))
    }

    /// The state of the one engine, and the reason that goes with it.
    pub fn state(&self) -> (String, String) {
        let states = self.states();
        assert_eq!(states.len(), 1, "{states:?}");
        states.into_values().next().unwrap()
    }

    /// State and reason of every engine, by name; of none at all under the empty name.
    pub fn states(&self) -> BTreeMap<String, (String, String)> {
        let samples = self.families["hft_engine_state"].samples.iter();
        let states = samples.map(|(_, labels, value)| {
            assert_eq!(value, "1");
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            (label("engine"), (label("state"), label("reason")))
        });
        let states: BTreeMap<_, _> = states.collect();
        for (engine, (state, _)) in &states {
            let up = f64::from(u8::from(["live", "draining"].contains(&state.as_str())));
            let labels = [("engine", engine.as_str())];
            let labels = if engine.is_empty() { &[][..] } else { &labels[..] };
            assert_eq!(self.get("hft_up", labels), Some(up), "{engine} is {state}");
        }
        states
    }

    /// Families that the engine wrote, or that speak of a living one.
    pub fn engine_families(&self) -> Vec<&str> {
        let own = [
            "hft_up",
            "hft_engine_state",
            "hft_exporter_build_info",
            "hft_scrape_duration_seconds",
            "hft_region_files",
            "hft_region_files_left_out",
            "hft_engines",
        ];
        let names = self.families.keys().map(String::as_str);
        names
            .filter(|name| !own.contains(name) && !name.starts_with("process_"))
            .collect()
    }

    pub fn sample_count(&self) -> usize {
        self.families.values().map(|family| family.samples.len()).sum()
    }

    /// `(upper bounds with their counts, sum, count)` of one histogram, checked to be one.
    pub fn histogram(&self, name: &str, labels: &Labels) -> (Vec<(f64, u64)>, f64, u64) {
        let family = &self.families[name];
        let of = |suffix: &str| {
            let line = format!("{name}{suffix}");
            let samples = family
                .samples
                .iter()
                .filter(move |s| s.0 == line && without_le(&s.1) == *labels);
            samples.collect::<Vec<_>>()
        };
        let buckets: Vec<(f64, u64)> = of("_bucket")
            .iter()
            .map(|s| (canonical_bound(&s.1["le"]), s.2.parse().unwrap()))
            .collect();
        assert!(
            buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1),
            "{name} {labels:?}: {buckets:?}"
        );
        let (sums, counts) = (of("_sum"), of("_count"));
        assert!(sums.len() == 1 && counts.len() == 1, "{name} {labels:?}");
        let count = counts[0].2.parse().unwrap();
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name} {labels:?}");
        (buckets, number(&sums[0].2), count)
    }
}

fn without_le(labels: &Labels) -> Labels {
    labels
        .iter()
        .filter(|(name, _)| *name != "le")
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// A bound that Prometheus 3 would not respell.
fn canonical_bound(text: &str) -> f64 {
    if text == "+Inf" {
        return f64::INFINITY;
    }
    let value: f64 = text.parse().unwrap();
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            assert!(
                !mantissa.ends_with(".0") && exponent.starts_with(['-', '+']) && exponent.len() >= 3,
                "{text}"
            );
            assert!(!(1e-4..1e6).contains(&value), "{text}");
        }
        None => assert!(text.contains('.') && (1e-4..1e6).contains(&value), "{text}"),
    }
    value
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

fn check_name(name: &str, colon: bool) {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    assert!(
        name.starts_with(start) && name.chars().all(|c| start(c) || c.is_ascii_digit()),
        "{name:?}"
    );
}

fn sample(line: &str) -> (String, Labels, String) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(end);
    check_name(name, true);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            check_name(label, false);
            let (value, after) = quoted(after, line);
            assert!(!value.is_empty(), "an empty label is no label: {line}");
            assert!(labels.insert(label.into(), value).is_none(), "{line}");
            match after.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    assert!(!value.contains(' '), "a timestamp, or worse: {line}");
    number(value);
    (name.into(), labels, value.into())
}

fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("bad escape {other:?}: {line}"),
            },
            c => value.push(c),
        }
    }
    panic!("no closing quote: {line}")
}
