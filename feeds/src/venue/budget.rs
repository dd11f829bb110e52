//! How often a session may ask for a REST snapshot: the venue's weight budget, and the back-off after failures.

use std::time::Duration;

use crate::types::UnixNanos;

use super::after;

/// Spreads requests so that no minute costs more than the budget, with a burst of half a minute's worth at the start.
///
/// Virtual scheduling: `earned` is when the last request will have been paid for; a request may run ahead of that by the
/// burst.
#[derive(Clone, Debug)]
pub(crate) struct RequestBudget {
    cost: Duration,
    earned: UnixNanos,
}

impl RequestBudget {
    /// Requests of `weight` each, `weight_per_minute` in total.
    pub(crate) fn new(weight: u32, weight_per_minute: u32) -> Self {
        let cost_ns = u64::from(weight) * 60_000_000_000 / u64::from(weight_per_minute.max(1));
        Self {
            cost: Duration::from_nanos(cost_ns),
            earned: UnixNanos(0),
        }
    }

    /// When a request that is wanted at `wanted` may go; takes its weight from the budget.
    pub(crate) fn take(&mut self, wanted: UnixNanos) -> UnixNanos {
        let earned = self.earned.max(wanted);
        self.earned = after(earned, self.cost);
        let ahead = u64::try_from(BURST.as_nanos()).unwrap_or(0);
        UnixNanos(self.earned.0.saturating_sub(ahead)).max(wanted)
    }
}

const BURST: Duration = Duration::from_secs(30);

/// The wait before attempt `attempt`, the first of which is 0: none, then 250 ms doubling up to 30 s.
pub(crate) fn backoff(attempt: u32) -> Duration {
    match attempt {
        0 => Duration::ZERO,
        _ => (Duration::from_millis(250) * (1 << (attempt - 1).min(10))).min(Duration::from_secs(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_costs_more_than_budget_and_burst() {
        let mut budget = RequestBudget::new(250, 3000);
        let mut now = UnixNanos(1_700_000_000_000_000_000);
        let start = now;
        let mut times = Vec::new();
        for _ in 0..60 {
            now = budget.take(now);
            times.push(now.since(start) / 1_000_000_000);
        }
        assert_eq!(
            times[..8],
            [0, 0, 0, 0, 0, 0, 5, 10],
            "six at once, then one every five seconds"
        );
        for (index, time) in times.iter().enumerate() {
            let in_minute = times[index..].iter().filter(|other| *other - time < 60).count();
            assert!(in_minute * 250 <= 3000 + 1500, "{in_minute} requests within a minute");
        }
        // A pause earns the burst again, no more.
        now = after(now, Duration::from_secs(3600));
        assert_eq!((0..7).filter(|_| budget.take(now) == now).count(), 6);
    }

    #[test]
    fn backoff_doubles_up_to_its_ceiling() {
        let millis: Vec<_> = [0, 1, 2, 3, 8, 9, 1000]
            .map(|attempt| backoff(attempt).as_millis())
            .into();
        assert_eq!(millis, [0, 250, 500, 1000, 30_000, 30_000, 30_000]);
    }
}
