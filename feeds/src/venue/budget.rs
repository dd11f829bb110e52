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
        Self {
            cost: Self::cost(weight, weight_per_minute),
            earned: UnixNanos(0),
        }
    }

    /// How long a budget of `weight_per_minute` needs to earn `weight`.
    pub(crate) fn cost(weight: u32, weight_per_minute: u32) -> Duration {
        Duration::from_nanos(u64::from(weight) * 60_000_000_000 / u64::from(weight_per_minute.max(1)))
    }

    /// Takes what costs so much only where all that was taken before is paid for: whoever needs a snapshot next finds the
    /// whole burst, but for this. False where it has to wait.
    pub(crate) fn take_spare(&mut self, now: UnixNanos, cost: Duration) -> bool {
        let is_full = self.earned <= now;
        if is_full {
            self.earned = after(now, cost);
        }
        is_full
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
    fn what_can_wait_leaves_the_burst_to_what_cannot() {
        let mut budget = RequestBudget::new(250, 3000);
        let spare = RequestBudget::cost(5, 3000);
        let now = UnixNanos(1_700_000_000_000_000_000);
        assert!(budget.take_spare(now, spare));
        assert!(
            !budget.take_spare(now, spare),
            "a tenth of a second's worth is not paid for"
        );
        let late: Vec<_> = (0..6).map(|_| budget.take(now).since(now)).collect();
        assert_eq!(late, [0, 0, 0, 0, 0, 100_000_000], "six snapshots are the burst");
        assert!(!budget.take_spare(after(now, Duration::from_secs(29)), spare));
        assert!(budget.take_spare(after(now, Duration::from_secs(31)), spare));
    }

    #[test]
    fn backoff_doubles_up_to_its_ceiling() {
        let millis: Vec<_> = [0, 1, 2, 3, 8, 9, 1000]
            .map(|attempt| backoff(attempt).as_millis())
            .into();
        assert_eq!(millis, [0, 250, 500, 1000, 30_000, 30_000, 30_000]);
    }
}
