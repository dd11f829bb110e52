//! How fast a generated market talks.

use std::time::Duration;

/// The pace of a generated market, in messages to the client that is told most (a client of two streams gets more
/// messages per event than a client of one).
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// As fast as the slowest client reads.
    Flood,
}

impl LoadShape {
    /// How many messages are to have been sent `elapsed` after the start; `None` where the shape does not count.
    pub fn messages_until(&self, elapsed: Duration) -> Option<f64> {
        let t = elapsed.as_secs_f64();
        match *self {
            Self::Natural { .. } | Self::Flood => None,
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
}

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
        for (shape, at, messages) in [
            (LoadShape::Steady { rate: 250.0 }, 4.0, 1_000.0),
            (step, 1.0, 10.0),
            (step, 5.0, 110.0),
            (spike, 1.0, 100.0),
            (spike, 3.0, 300.0 + 1_000.0),
            (spike, 5.0, 500.0 + 2_000.0),
            (spike, 9.0, 900.0 + 2_000.0),
            (burst, 0.9, 9.0),
            (burst, 2.5, 1_025.0),
        ] {
            let got = shape.messages_until(seconds(at)).unwrap();
            assert!(
                (got - messages).abs() < 1e-6,
                "{shape:?} at {at}: {got}, not {messages}"
            );
        }
        assert_eq!(LoadShape::Flood.messages_until(seconds(1.0)), None);
    }
}
