//! What opens a breaker, for how long, and which values of it are refused.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::BackoffOptions;

/// When a breaker opens, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures open it,
    pub failures: u32,
    /// if no more than this lies between the first and the last of them.
    pub window: Duration,
    /// How long it stays open, and after how long closed that starts small again. `retry_after_max` is how long a
    /// venue's own word is believed.
    pub cool_down: BackoffOptions,
    /// How many attempts may go while it is half-open. The first of them that ends decides.
    pub trials: u32,
    /// A trial that has not been reported for so long has failed. Longer than connecting, subscribing and a snapshot
    /// take together.
    pub trial_timeout: Duration,
}

impl Default for BreakerOptions {
    /// Five failures within a minute; open for five to ten seconds at first and five minutes at the most, small again
    /// after ten minutes closed; one trial of half a minute; a venue is believed for an hour.
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(60),
            cool_down: BackoffOptions {
                first: Duration::from_secs(10),
                max: Duration::from_secs(5 * 60),
                healthy_after: Duration::from_secs(10 * 60),
                retry_after_max: Duration::from_secs(60 * 60),
            },
            trials: 1,
            trial_timeout: Duration::from_secs(30),
        }
    }
}

/// Why options are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerOptionsError {
    /// A count is outside of its limits.
    #[error("circuit breaker: {field} is {value}; choose {min} to {max}")]
    Count {
        /// Its name.
        field: &'static str,
        /// What it is.
        value: u32,
        /// The least that it may be.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A duration is outside of its limits.
    #[error("circuit breaker: {field} is {value:?}; choose {min:?} to {max:?}")]
    Time {
        /// Its name.
        field: &'static str,
        /// What it is.
        value: Duration,
        /// The least that it may be.
        min: Duration,
        /// The most.
        max: Duration,
    },
}

impl BreakerOptions {
    /// Whether every value is within its limits, and the two ends of the cool-down are in order.
    pub fn check(&self) -> Result<(), BreakerOptionsError> {
        count("failures", self.failures, 1..=1_000)?;
        time("window", self.window, SECOND..=DAY)?;
        time("cool_down.first", self.cool_down.first, SECOND..=DAY)?;
        time("cool_down.max", self.cool_down.max, self.cool_down.first..=DAY)?;
        time("cool_down.healthy_after", self.cool_down.healthy_after, SECOND..=DAY)?;
        // The longest ban that venues speak of is three days.
        time(
            "cool_down.retry_after_max",
            self.cool_down.retry_after_max,
            SECOND..=7 * DAY,
        )?;
        count("trials", self.trials, 1..=16)?;
        time("trial_timeout", self.trial_timeout, SECOND..=10 * 60 * SECOND)
    }
}

fn count(field: &'static str, value: u32, limits: RangeInclusive<u32>) -> Result<(), BreakerOptionsError> {
    let (min, max) = limits.into_inner();
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(BreakerOptionsError::Count { field, value, min, max }),
    }
}

fn time(field: &'static str, value: Duration, limits: RangeInclusive<Duration>) -> Result<(), BreakerOptionsError> {
    let (min, max) = limits.into_inner();
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(BreakerOptionsError::Time { field, value, min, max }),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
