//! How long to wait before the next dial.
//!
//! A venue that restarts drops all its clients at once; if all came back at once it would drop them again, and venues
//! ban addresses that try (300 connects in five minutes is a common limit). So the wait doubles from one failure to the
//! next and half of it is random. A connection that lived for a while was healthy: after it the wait starts small again.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// The waits of one connection's dialler. Pure: time lived and randomness come in as arguments.
#[derive(Clone, Debug)]
pub struct Backoff {
    options: BackoffOptions,
    failures: u32,
}

/// The shape of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffOptions {
    /// The longest wait after the first failure.
    pub first: Duration,
    /// The longest wait after many.
    pub max: Duration,
    /// A connection that lived this long was healthy.
    pub healthy_after: Duration,
    /// The most that a server's `Retry-After` is believed: a slip of the server's must not end the day.
    pub retry_after_max: Duration,
}

impl Default for BackoffOptions {
    /// From half a second to thirty seconds, healthy after a minute, at most an hour at a server's request.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(60 * 60),
        }
    }
}

impl Backoff {
    /// Before the first failure.
    pub fn new(options: BackoffOptions) -> Self {
        Self { options, failures: 0 }
    }

    /// The wait after a connection that `lived` so long, zero if it never came about, and whose server asked for
    /// `retry_after`. Between half and all of `first`, then of twice that, up to `max`; never less than was asked for.
    pub fn next_delay<R: Rng + ?Sized>(
        &mut self,
        lived: Duration,
        retry_after: Option<Duration>,
        rng: &mut R,
    ) -> Duration {
        if lived >= self.options.healthy_after {
            self.failures = 0;
        }
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let ceiling = self.options.first.saturating_mul(factor).min(self.options.max);
        self.failures = self.failures.saturating_add(1);
        let delay = ceiling.mul_f64(rng.random_range(0.5..=1.0));
        match retry_after {
            None => delay,
            // Behind the time asked for, and not all at the same moment.
            Some(asked) => asked.min(self.options.retry_after_max).saturating_add(delay),
        }
    }

    /// Failures since the last healthy connection.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const NEVER: Duration = Duration::ZERO;

    #[test]
    fn waits_double_up_to_the_ceiling_and_half_is_random() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut backoff = Backoff::new(BackoffOptions::default());
            for failure in 0..100u32 {
                let ceiling = 0.5 * 2f64.powi(failure.min(30) as i32);
                let ceiling = Duration::from_secs_f64(ceiling.min(30.0));
                let delay = backoff.next_delay(NEVER, None, &mut rng);
                assert!(
                    ceiling / 2 <= delay && delay <= ceiling,
                    "seed {seed}, failure {failure}: {delay:?}"
                );
            }
            assert_eq!(backoff.failures(), 100);
        }
    }

    #[test]
    fn two_clients_do_not_come_back_together() {
        let first = |seed| {
            Backoff::new(BackoffOptions::default()).next_delay(NEVER, None, &mut ChaCha8Rng::seed_from_u64(seed))
        };
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1), "the same seed is the same wait");
    }

    #[test]
    fn a_healthy_life_resets_and_a_short_one_does_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut backoff = Backoff::new(BackoffOptions::default());
        for _ in 0..10 {
            backoff.next_delay(NEVER, None, &mut rng);
        }
        assert!(backoff.next_delay(Duration::from_secs(59), None, &mut rng) >= Duration::from_secs(15));
        assert!(backoff.next_delay(Duration::from_secs(60), None, &mut rng) <= Duration::from_millis(500));
    }

    #[test]
    fn the_server_is_believed_up_to_a_ceiling() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut backoff = Backoff::new(BackoffOptions::default());
        let asked = Duration::from_secs(120);
        let delay = backoff.next_delay(NEVER, Some(asked), &mut rng);
        assert!(asked <= delay && delay <= asked + Duration::from_secs(1), "{delay:?}");
        let delay = backoff.next_delay(NEVER, Some(Duration::MAX), &mut rng);
        assert!(delay <= Duration::from_secs(60 * 60 + 30), "{delay:?}");
    }
}
