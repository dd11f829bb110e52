//! What counters stood at a while ago, for rates over the last look, over ten seconds and over a hundred.
//!
//! Kept are about eleven samples a second apart and eleven ten seconds apart, one number per series, so that the memory is
//! bounded by the region's size and not by time or refresh rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quantumflow_region::{Snapshot, Value};

/// Rates per second; `None` where there is no earlier look, or the count went back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Since the last look.
    pub now: Option<f64>,
    /// Over the last ten seconds, or since the first look.
    pub ten: Option<f64>,
    /// Over the last hundred seconds, or since the first look.
    pub hundred: Option<f64>,
}

#[derive(Default)]
pub(crate) struct History {
    latest: Option<Sample>,
    previous: Option<Sample>,
    seconds: VecDeque<Sample>,
    tens: VecDeque<Sample>,
}

#[derive(Clone)]
struct Sample {
    at: Instant,
    counts: Vec<u64>,
}

impl History {
    pub(crate) fn push(&mut self, snapshot: &Snapshot, at: Instant) {
        let counts = snapshot
            .series
            .iter()
            .map(|series| counted(&series.value).unwrap_or(0))
            .collect();
        let sample = Sample { at, counts };
        keep(&mut self.seconds, &sample, Duration::from_secs(1), TEN);
        keep(&mut self.tens, &sample, Duration::from_secs(10), HUNDRED);
        self.previous = self.latest.replace(sample);
    }

    /// The rates of the series together, by their places in the snapshot.
    pub(crate) fn rates(&self, series: &[usize]) -> Rates {
        let Some(latest) = &self.latest else {
            return Rates::default();
        };
        let since = |earlier: Option<&Sample>| latest.rate_since(earlier?, series);
        Rates {
            now: since(self.previous.as_ref()),
            ten: since(oldest(&self.seconds, latest.at, TEN)),
            hundred: since(oldest(&self.tens, latest.at, HUNDRED)),
        }
    }

    /// How much the series together have grown since the last look.
    pub(crate) fn delta(&self, series: &[usize]) -> Option<u64> {
        self.latest.as_ref()?.growth_since(self.previous.as_ref()?, series)
    }
}

impl Sample {
    fn growth_since(&self, earlier: &Self, series: &[usize]) -> Option<u64> {
        // A series that the earlier sample does not have began at zero after it.
        let at = |sample: &Self, index: &usize| sample.counts.get(*index).copied().unwrap_or(0);
        series.iter().try_fold(0u64, |sum, index| {
            let grown = at(self, index).checked_sub(at(earlier, index))?;
            Some(sum.saturating_add(grown))
        })
    }

    fn rate_since(&self, earlier: &Self, series: &[usize]) -> Option<f64> {
        let seconds = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let grown = self.growth_since(earlier, series)?;
        (seconds > 0.0).then(|| grown as f64 / seconds)
    }
}

const TEN: Duration = Duration::from_secs(10);
const HUNDRED: Duration = Duration::from_secs(100);
/// A look comes a little late; the window need not lose a step for that.
const SLACK: Duration = Duration::from_millis(500);

fn keep(samples: &mut VecDeque<Sample>, sample: &Sample, every: Duration, span: Duration) {
    let due = samples
        .back()
        .is_none_or(|last| sample.at.saturating_duration_since(last.at) + SLACK / 5 >= every);
    if due {
        samples.push_back(sample.clone());
    }
    while samples
        .front()
        .is_some_and(|first| sample.at.saturating_duration_since(first.at) > span + SLACK)
    {
        samples.pop_front();
    }
}

fn oldest(samples: &VecDeque<Sample>, now: Instant, span: Duration) -> Option<&Sample> {
    samples
        .iter()
        .find(|sample| now.saturating_duration_since(sample.at) <= span + SLACK)
}

/// What a series has counted; `None` where it counts nothing.
pub(crate) fn counted(value: &Value) -> Option<u64> {
    match value {
        Value::Counter(n) => Some(*n),
        Value::Histogram(histogram) => Some(histogram.count()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Engine, shm};
    use quantumflow_region::RegionReader;

    /// A count of every look is kept beside it, and asked by brute force.
    #[test]
    fn windows_agree_with_all_that_was_seen_at_any_refresh_rate() {
        let dir = shm();
        let mut engine = Engine::start(dir.path());
        let mut reader = RegionReader::open(&engine.path()).unwrap();
        let began = Instant::now();
        for every_ms in [100, 250, 1_000, 5_000] {
            let (mut history, mut seen) = (History::default(), Vec::new());
            for look in 0..(150_000 / every_ms) {
                let at = began + Duration::from_millis(look * every_ms);
                // Faster and faster, so that each window has a rate of its own.
                engine.messages.add(look);
                engine.work();
                let snapshot = reader.snapshot().unwrap();
                let count = counted(&snapshot.series[0].value).unwrap();
                history.push(&snapshot, at);
                seen.push((at, count));
                let rates = history.rates(&[0]);
                let (&(now, latest), earlier) = seen.split_last().unwrap();
                let rate = |then: Instant, count: u64| (latest - count) as f64 / (now - then).as_secs_f64();
                match earlier.last() {
                    Some(&(then, count)) => assert_eq!(rates.now, Some(rate(then, count))),
                    None => assert_eq!(rates, Rates::default(), "one look is no rate"),
                }
                // The window is as long as asked, or shorter by less than the step of what is kept.
                for (found, span, step) in [(rates.ten, 10, 1), (rates.hundred, 100, 10)] {
                    let span = Duration::from_secs(span);
                    let step = Duration::from_secs(step).max(Duration::from_millis(every_ms));
                    let window = |(then, _): &&(Instant, u64)| {
                        let age = now - *then;
                        age <= span + SLACK && (age + step + SLACK >= span || *then < began + step)
                    };
                    let possible: Vec<f64> = earlier
                        .iter()
                        .filter(window)
                        .map(|&(then, count)| rate(then, count))
                        .collect();
                    assert_eq!(found.is_some(), !earlier.is_empty());
                    assert!(
                        found.is_none_or(|found| possible.contains(&found)),
                        "{found:?} is none of {possible:?}"
                    );
                }
                assert!(history.seconds.len() <= 12 && history.tens.len() <= 12, "bounded");
            }
        }
    }

    #[test]
    fn a_count_that_went_back_has_no_rate_and_a_new_series_began_at_zero() {
        let sample = |counts: &[u64], at| Sample {
            at,
            counts: counts.to_vec(),
        };
        let began = Instant::now();
        let (earlier, later) = (
            sample(&[5, 5], began),
            sample(&[4, 7, 6], began + Duration::from_secs(2)),
        );
        assert_eq!(later.rate_since(&earlier, &[0]), None);
        assert_eq!(later.rate_since(&earlier, &[1]), Some(1.0));
        assert_eq!(later.rate_since(&earlier, &[2]), Some(3.0));
        assert_eq!(later.rate_since(&earlier, &[1, 2]), Some(4.0));
        assert_eq!(
            later.rate_since(&sample(&[0], later.at), &[0]),
            None,
            "no time has passed"
        );
    }
}
