//! A load shape on its way: what is due, and when to look again.

use std::time::Duration;

use super::LoadShape;
use super::hawkes::Hawkes;

/// Answers for one run; asked with times that do not go back.
#[derive(Debug)]
pub(in crate::sim) struct Pacer {
    shape: LoadShape,
    arrivals: Option<Arrivals>,
}

/// Arrivals that are drawn one by one.
#[derive(Debug)]
struct Arrivals {
    process: Hawkes,
    count: u64,
    /// The next, in seconds after the start.
    next_seconds: f64,
}

impl Pacer {
    pub(in crate::sim) fn new(shape: LoadShape) -> Self {
        let arrivals = match shape {
            LoadShape::Hawkes(config) => {
                let mut process = Hawkes::new(config);
                Some(Arrivals {
                    next_seconds: process.wait_seconds(),
                    count: 0,
                    process,
                })
            }
            _ => None,
        };
        Self { shape, arrivals }
    }

    pub(in crate::sim) fn shape(&self) -> &LoadShape {
        &self.shape
    }

    /// How many messages are to have been sent `elapsed` after the start.
    pub(in crate::sim) fn due(&mut self, elapsed: Duration) -> f64 {
        let Some(arrivals) = &mut self.arrivals else {
            return self.shape.messages_until(elapsed).unwrap_or(0.0);
        };
        while arrivals.next_seconds <= elapsed.as_secs_f64() {
            arrivals.count += 1;
            arrivals.next_seconds += arrivals.process.wait_seconds();
        }
        arrivals.count as f64
    }

    /// When to look again, once all that was due at `elapsed` is `sent`: a message may have brought more than one.
    pub(in crate::sim) fn next_after(&self, elapsed: Duration, sent: f64) -> Duration {
        let next = match &self.shape {
            LoadShape::Replay { offsets_ns, every } => {
                let (round, place) = (sent as usize / offsets_ns.len(), sent as usize % offsets_ns.len());
                every.saturating_mul(round as u32) + Duration::from_nanos(offsets_ns[place])
            }
            _ => match &self.arrivals {
                Some(arrivals) => Duration::from_secs_f64(arrivals.next_seconds),
                None => elapsed + PACE,
            },
        };
        next.clamp(elapsed + GRAIN, elapsed + IDLE)
    }
}

/// The grain of a counted load: fine enough for an even stream, coarse enough to fill a buffer.
const PACE: Duration = Duration::from_micros(500);
/// Closer arrivals go out together: a sleep is no shorter.
const GRAIN: Duration = Duration::from_micros(50);
/// Even a quiet load looks after its clients.
const IDLE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::super::HawkesConfig;
    use super::*;

    #[test]
    fn a_replay_wakes_for_each_arrival() {
        let ms = Duration::from_millis;
        let shape = LoadShape::Replay {
            offsets_ns: [0, 2_000_000, 7_000_000].into(),
            every: ms(30),
        };
        let mut pacer = Pacer::new(shape);
        let (mut now, mut times) = (Duration::ZERO, Vec::new());
        while times.len() < 7 {
            let due = pacer.due(now);
            times.resize(due as usize, now);
            now = pacer.next_after(now, due);
        }
        assert_eq!(times, [0, 2, 7, 30, 32, 37, 60].map(ms));
    }

    #[test]
    fn a_self_exciting_load_is_the_same_however_often_it_is_asked() {
        let config = HawkesConfig {
            base_rate: 200.0,
            branching_ratio: 0.7,
            decay_per_second: 100.0,
            seed: 3,
        };
        let (mut often, mut once) = (
            Pacer::new(LoadShape::Hawkes(config)),
            Pacer::new(LoadShape::Hawkes(config)),
        );
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(2) {
            let due = often.due(now);
            now = often.next_after(now, due);
        }
        assert_eq!(often.due(now), once.due(now));
        assert!(often.due(now) > 200.0);
    }
}
