//! How fast a generated market talks.

mod hawkes;
mod pacer;
mod window;

use std::sync::Arc;
use std::time::Duration;

pub use hawkes::HawkesConfig;
pub(super) use pacer::Pacer;
pub use window::{arrival_times, densest_window};

/// The pace of a generated market, in messages to the client that is told most (a client of two streams gets more
/// messages per event than a client of one).
#[derive(Clone, Debug, PartialEq)]
pub enum LoadShape {
    /// The market's own times, with its own bursts, so many times faster.
    Natural {
        /// One is real time.
        speed: f64,
    },
    /// A constant rate.
    Steady {
        /// Messages per second.
        rate: f64,
    },
    /// One rate, then another for good.
    Step {
        /// Messages per second before.
        before: f64,
        /// Messages per second after.
        after: f64,
        /// When it changes.
        at: Duration,
    },
    /// A constant rate, with one hill in it.
    Spike {
        /// Messages per second outside.
        base: f64,
        /// Messages per second at the top.
        peak: f64,
        /// When it begins to rise.
        at: Duration,
        /// How long it rises, and again how long it falls.
        ramp: Duration,
    },
    /// A constant rate, with many messages at once again and again.
    Burst {
        /// Messages per second between.
        base: f64,
        /// Messages in one burst.
        size: u64,
        /// From one burst to the next.
        every: Duration,
    },
    /// The arrivals of a recording again and again, as [`densest_window`] finds them. What follows at once is sent at
    /// once; the grain is that of the system's timers, some tens of microseconds.
    Replay {
        /// The arrivals, nanoseconds after the begin of a round, in their order.
        offsets_ns: Arc<[u64]>,
        /// From the begin of one round to the next; longer than the last offset.
        every: Duration,
    },
    /// Arrivals that call for more arrivals.
    Hawkes(HawkesConfig),
    /// As fast as the slowest client reads.
    Flood,
}

impl LoadShape {
    /// How many messages are to have been sent `elapsed` after the start; `None` where the shape does not count, or where
    /// chance decides.
    pub fn messages_until(&self, elapsed: Duration) -> Option<f64> {
        let t = elapsed.as_secs_f64();
        match *self {
            Self::Natural { .. } | Self::Flood | Self::Hawkes(_) => None,
            Self::Replay { ref offsets_ns, every } => {
                let (elapsed_ns, every_ns) = (elapsed.as_nanos(), every.as_nanos().max(1));
                let (rounds, into_ns) = (elapsed_ns / every_ns, elapsed_ns % every_ns);
                let into = offsets_ns.partition_point(|offset| u128::from(*offset) <= into_ns);
                Some(rounds as f64 * offsets_ns.len() as f64 + into as f64)
            }
            Self::Steady { rate } => Some(rate * t),
            Self::Step { before, after, at } => {
                let at = at.as_secs_f64();
                Some(before * t.min(at) + after * (t - at).max(0.0))
            }
            Self::Spike { base, peak, at, ramp } => {
                let ramp = ramp.as_secs_f64();
                // The hill is a triangle on top of the base: the area under its rise, then what its fall still lacks.
                let into = (t - at.as_secs_f64()).clamp(0.0, 2.0 * ramp);
                let hill = match ramp > 0.0 {
                    true if into <= ramp => 0.5 * into * into / ramp,
                    true => ramp - 0.5 * (2.0 * ramp - into).powi(2) / ramp,
                    false => 0.0,
                };
                Some(base * t + (peak - base) * hill)
            }
            Self::Burst { base, size, every } => {
                let every = every.as_secs_f64().max(1e-3);
                Some(base * t + size as f64 * (t / every).floor())
            }
        }
    }

    /// Why it cannot be kept, if it cannot.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let are_rates = |rates: &[f64]| rates.iter().all(|rate| *rate >= 0.0 && rate.is_finite());
        let (is_sound, problem) = match *self {
            Self::Natural { speed } => (
                speed > 0.0 && speed.is_finite(),
                "the speed of a market must be above zero",
            ),
            Self::Steady { rate } => (are_rates(&[rate]), RATE_PROBLEM),
            Self::Step { before, after, .. } => (are_rates(&[before, after]), RATE_PROBLEM),
            Self::Spike { base, peak, .. } => (are_rates(&[base, peak]), RATE_PROBLEM),
            Self::Burst { base, .. } => (are_rates(&[base]), RATE_PROBLEM),
            Self::Replay { ref offsets_ns, every } => (
                offsets_ns.is_sorted()
                    && offsets_ns
                        .last()
                        .is_some_and(|last| u128::from(*last) < every.as_nanos()),
                "a replayed burst needs offsets in their order, and rounds that are longer than the last of them",
            ),
            Self::Hawkes(config) => return config.problem(),
            Self::Flood => (true, ""),
        };
        (!is_sound).then_some(problem)
    }
}

const RATE_PROBLEM: &str = "rates must be finite, and not below zero";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_the_integral_of_its_rate() {
        let seconds = Duration::from_secs_f64;
        let spike = LoadShape::Spike {
            base: 100.0,
            peak: 1_100.0,
            at: seconds(1.0),
            ramp: seconds(2.0),
        };
        let step = LoadShape::Step {
            before: 10.0,
            after: 30.0,
            at: seconds(2.0),
        };
        let burst = LoadShape::Burst {
            base: 10.0,
            size: 500,
            every: seconds(1.0),
        };
        let replay = LoadShape::Replay {
            offsets_ns: [0, 200_000_000, 200_000_000].into(),
            every: seconds(1.0),
        };
        for (shape, at, messages) in [
            (LoadShape::Steady { rate: 250.0 }, 4.0, 1_000.0),
            (step.clone(), 1.0, 10.0),
            (step, 5.0, 110.0),
            (spike.clone(), 1.0, 100.0),
            (spike.clone(), 3.0, 300.0 + 1_000.0),
            (spike.clone(), 5.0, 500.0 + 2_000.0),
            (spike, 9.0, 900.0 + 2_000.0),
            (burst.clone(), 0.9, 9.0),
            (burst, 2.5, 1_025.0),
            (replay.clone(), 0.0, 1.0),
            (replay.clone(), 0.2, 3.0),
            (replay.clone(), 1.1, 4.0),
            (replay, 3.9, 12.0),
        ] {
            let got = shape.messages_until(seconds(at)).unwrap();
            assert!(
                (got - messages).abs() < 1e-6,
                "{shape:?} at {at}: {got}, not {messages}"
            );
        }
        assert_eq!(LoadShape::Flood.messages_until(seconds(1.0)), None);
    }

    #[test]
    fn a_shape_that_cannot_be_kept_is_refused() {
        let every = Duration::from_nanos(10);
        let replay = |offsets_ns: &[u64]| LoadShape::Replay {
            offsets_ns: offsets_ns.into(),
            every,
        };
        for shape in [
            LoadShape::Natural { speed: 0.0 },
            LoadShape::Steady { rate: f64::NAN },
            replay(&[]),
            replay(&[2, 1]),
            replay(&[1, 10]),
        ] {
            assert!(shape.problem().is_some(), "{shape:?}");
        }
        assert_eq!(replay(&[0, 9, 9]).problem(), None);
    }
}
