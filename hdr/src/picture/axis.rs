//! Axes: where a number lies between two ends, and which numbers are worth a line and a label.

use crate::time::{SECOND_NS, rfc3339};

/// A straight or logarithmic stretch of numbers, from 0 at one end to 1 at the other.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    /// Places and labels, rising.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Latencies in nanoseconds, logarithmic, opened to the steps 1, 2, 5 around them.
    pub(super) fn log_latency(min_ns: f64, max_ns: f64) -> Self {
        let (from, to) = (step_below(min_ns.max(1.0)), step_above(max_ns.max(2.0)));
        let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
        let places = (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
        let few = to / from > 1e6;
        let is_shown = |place: &f64| (from * 0.999..=to * 1.001).contains(place) && (!few || is_decade(*place));
        let ticks = places.filter(is_shown).map(|ns| (ns, latency_label(ns))).collect();
        Self {
            from,
            to,
            is_log: true,
            ticks,
        }
    }

    /// Latencies in nanoseconds from zero.
    pub(super) fn linear_latency(max_ns: f64) -> Self {
        let step = step_above(max_ns.max(1.0) / 8.0);
        let count = (max_ns / step).ceil().max(1.0) as u32;
        let ticks = (0..=count)
            .map(|n| (f64::from(n) * step, latency_label(f64::from(n) * step)))
            .collect();
        Self {
            from: 0.0,
            to: f64::from(count) * step,
            is_log: false,
            ticks,
        }
    }

    /// Percentiles as `1 / (1 - q)`, logarithmic: each nine is as wide as the one before.
    pub(super) fn nines(inverse_max: f64) -> Self {
        let nines = (inverse_max.log10() - 1e-9).ceil().clamp(2.0, 12.0) as i32;
        let label = |power: i32| match power {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(power as usize - 2)),
        };
        let ticks = (0..=nines).map(|power| (10f64.powi(power), label(power))).collect();
        Self {
            from: 1.0,
            to: 10f64.powi(nines),
            is_log: true,
            ticks,
        }
    }

    /// Times in nanoseconds, with the clock's round times between.
    pub(super) fn time(from_ns: u64, to_ns: u64) -> Self {
        const STEPS_S: [u64; 20] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
            604_800,
        ];
        let span = to_ns.saturating_sub(from_ns).max(1);
        let fits = |step: &&u64| span / (**step * SECOND_NS) <= 10;
        let step = STEPS_S
            .iter()
            .find(fits)
            .copied()
            .unwrap_or(span / SECOND_NS / 10)
            .max(1);
        let first = from_ns.div_ceil(step * SECOND_NS).saturating_mul(step * SECOND_NS);
        let places = (0..12)
            .map(|n| first.saturating_add(n * step * SECOND_NS))
            .take_while(|ns| *ns <= to_ns);
        let label = |ns: u64| {
            let text = rfc3339(ns);
            match step {
                86_400.. => text[5..10].to_owned(),
                60.. => text[11..16].to_owned(),
                _ => text[11..19].to_owned(),
            }
        };
        // As an offset: nanoseconds since 1970 are beyond what a float tells apart.
        let ticks = places.map(|ns| ((ns - from_ns) as f64, label(ns))).collect();
        Self {
            from: 0.0,
            to: span as f64,
            is_log: false,
            ticks,
        }
    }

    /// Where a number lies, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        place.clamp(0.0, 1.0)
    }

    /// Its ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }
}

/// A latency in the largest unit that keeps it at or above one.
pub(super) fn latency_label(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "µs"),
        _ => (ns, "ns"),
    };
    if ns == 0.0 {
        "0".to_owned()
    } else {
        format!("{} {unit}", (value * 1000.0).round() / 1000.0)
    }
}

/// A count with its thousands told apart by a short unit.
pub(super) fn count_label(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.3} G", count / 1e9),
        count if count >= 1e6 => format!("{:.3} M", count / 1e6),
        count if count >= 1e4 => format!("{:.1} k", count / 1e3),
        _ => format!("{count:.0}"),
    }
}

fn is_decade(value: f64) -> bool {
    (value.log10() - value.log10().round()).abs() < 1e-9
}

/// The largest of 1, 2, 5 times a power of ten at or below.
fn step_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .iter()
        .map(|step| step * power)
        .find(|step| *step <= value * 1.000_001)
        .unwrap_or(power)
}

/// The smallest at or above.
fn step_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .iter()
        .map(|step| step * power)
        .find(|step| *step >= value * 0.999_999)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn latencies_are_labelled_at_one_two_five() {
        assert_eq!(
            labels(&Axis::log_latency(300.0, 4_100.0)),
            ["200 ns", "500 ns", "1 µs", "2 µs", "5 µs"]
        );
        assert_eq!(
            labels(&Axis::linear_latency(3_900.0)),
            [
                "0", "500 ns", "1 µs", "1.5 µs", "2 µs", "2.5 µs", "3 µs", "3.5 µs", "4 µs"
            ]
        );
        let wide = Axis::log_latency(10.0, 1e9);
        assert_eq!(
            labels(&wide),
            [
                "10 ns", "100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"
            ]
        );
        assert!((wide.place(1e5) - 0.5).abs() < 1e-9);
        assert_eq!((wide.place(0.0), wide.place(1e12)), (0.0, 1.0));
    }

    #[test]
    fn each_nine_is_as_wide_as_the_last() {
        let axis = Axis::nines(5_000.0);
        assert_eq!(labels(&axis), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        let places: Vec<f64> = axis.ticks.iter().map(|(value, _)| axis.place(*value)).collect();
        assert!(
            places.windows(2).all(|pair| (pair[1] - pair[0] - 0.25).abs() < 1e-9),
            "{places:?}"
        );
    }

    #[test]
    fn times_are_round_and_not_too_many() {
        let noon = 1_763_725_440 * SECOND_NS;
        for span_s in [1, 7, 61, 3_600, 86_400, 864_000, 86_400_000] {
            let axis = Axis::time(noon + 123, noon + span_s * SECOND_NS);
            assert!((1..=12).contains(&axis.ticks.len()), "{span_s}: {:?}", axis.ticks);
        }
        assert_eq!(
            labels(&Axis::time(noon, noon + 180 * SECOND_NS)).first(),
            Some(&"11:44:00")
        );
        Axis::time(u64::MAX, u64::MAX);
    }
}
