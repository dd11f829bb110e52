//! Whether a book is quiet or its feed is dead, learned from the book's own messages.
//!
//! A liquid pair speaks ten times a second, another is silent for ten seconds while all is well: no one limit fits both.
//! So each symbol remembers its longest recent silence, and only one of several times that length makes it stale. Only
//! book messages count: heartbeats show that a connection lives, trades that another channel does, and a subscription
//! can die beside both.

use std::time::Duration;

use crate::types::UnixNanos;

/// What is known of one symbol's silences.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Liveness {
    /// The last book message; `None` where what was before the next one is no silence of the market.
    touched_at: Option<UnixNanos>,
    relaxed_at: UnixNanos,
    /// The longest silence, forgotten slowly.
    longest_ns: u64,
    /// Silences that were seen, up to [`ENOUGH`].
    seen: u16,
    /// Those since the last relaxation.
    fresh: u32,
}

impl Liveness {
    /// The book is shown, by another connection or after a resync.
    pub(super) fn begin(&mut self) {
        self.touched_at = None;
    }

    /// A book message came.
    #[inline]
    pub(super) fn touch(&mut self, now: UnixNanos) {
        if let Some(earlier) = self.touched_at.replace(now) {
            self.longest_ns = self.longest_ns.max(now.0.saturating_sub(earlier.0));
            self.seen = (self.seen + 1).min(ENOUGH);
            self.fresh = self.fresh.saturating_add(1);
        }
    }

    /// Something came at `at`, which may have been told before.
    pub(super) fn touch_once(&mut self, at: UnixNanos) {
        if self.touched_at != Some(at) {
            self.touch(at);
        }
    }

    /// The venue has said that the book stands where ours does: it is no update, but no silence either.
    pub(super) fn confirm(&mut self, now: UnixNanos) {
        if self.touched_at.is_some() {
            self.touched_at = Some(now);
        }
    }

    /// To be called now and then: forgets a little of the longest silence, by the second and by the message, whichever is
    /// less. By the second alone, a pair that speaks once in ten would be forgotten before enough of it was seen.
    pub(super) fn relax(&mut self, now: UnixNanos) {
        let seconds = now.0.saturating_sub(self.relaxed_at.0) / 1_000_000_000;
        if seconds > 0 {
            let steps = seconds.min(u64::from(self.fresh));
            self.longest_ns = self
                .longest_ns
                .saturating_sub((self.longest_ns >> MEMORY).saturating_mul(steps));
            (self.relaxed_at, self.fresh) = (now, 0);
        }
    }

    /// The silence that is too long; `at_first` until enough of the symbol has been seen.
    pub(super) fn limit(&self, at_first: Duration) -> Duration {
        if self.seen < ENOUGH {
            return at_first;
        }
        Duration::from_nanos(self.longest_ns.saturating_mul(FACTOR)).clamp(LEAST, MOST)
    }

    /// How many times too long the silence is at `now`: zero while it is not.
    pub(super) fn overdue(&self, now: UnixNanos, at_first: Duration) -> u64 {
        let limit_ns = u64::try_from(self.limit(at_first).as_nanos()).unwrap_or(u64::MAX);
        // One nanosecond less, so that a silence of just the limit is not too long yet.
        self.silent_ns(now).saturating_sub(1) / limit_ns.max(1)
    }

    /// How long nothing has come.
    pub(super) fn silent_ns(&self, now: UnixNanos) -> u64 {
        self.touched_at
            .map_or(0, |touched_at| now.0.saturating_sub(touched_at.0))
    }
}

/// Silences after which the longest means something.
const ENOUGH: u16 = 200;

/// How many times the longest silence. Of a market whose messages come independently of each other, the silence that
/// is four times the longest of 200 (about 5.3 means) comes once in a billion messages.
const FACTOR: u64 = 4;

/// A silence is forgotten by a part of `2^-MEMORY` a second or message: half of it in twelve minutes or 710 messages.
const MEMORY: u32 = 10;

/// Below this, a pause of the venue's own would look like a death.
const LEAST: Duration = Duration::from_secs(5);

/// Above this, no silence is trusted.
const MOST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::after;
    use rand::{RngExt as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const AT_FIRST: Duration = Duration::from_secs(30);

    /// Silences of a market whose messages come independently of each other.
    fn silences(mean_ms: f64, seed: u64) -> impl Iterator<Item = Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ms = std::iter::repeat_with(move || -mean_ms * (1.0 - rng.random::<f64>()).ln());
        ms.map(|ms| Duration::from_secs_f64(ms / 1e3))
    }

    #[test]
    fn until_enough_was_seen_the_given_limit_holds() {
        let mut liveness = Liveness::default();
        let mut now = UnixNanos(1_700_000_000_000_000_000);
        liveness.begin();
        for _ in 0..ENOUGH {
            liveness.touch(now);
            assert_eq!(liveness.limit(AT_FIRST), AT_FIRST);
            now = after(now, Duration::from_millis(20));
        }
        liveness.touch(now);
        assert_eq!(liveness.limit(AT_FIRST), LEAST, "a liquid pair is missed sooner");
    }

    #[test]
    fn an_outage_is_not_a_silence_of_the_market() {
        let mut liveness = Liveness::default();
        let mut now = UnixNanos(1_700_000_000_000_000_000);
        for step in 0..2 * u64::from(ENOUGH) {
            if step == 300 {
                now = after(now, Duration::from_secs(100));
                liveness.begin();
            }
            liveness.touch(now);
            now = after(now, Duration::from_millis(50));
        }
        assert_eq!(liveness.limit(AT_FIRST), LEAST);
    }

    #[test]
    fn a_long_silence_is_forgotten() {
        let mut liveness = Liveness {
            longest_ns: 20_000_000_000,
            seen: ENOUGH,
            ..Liveness::default()
        };
        let mut now = UnixNanos(1_700_000_000_000_000_000);
        liveness.relax(now);
        liveness.longest_ns = 20_000_000_000;
        for step in 0..2 * 710 * 4 {
            now = after(now, Duration::from_millis(250));
            if step < 710 * 4 {
                liveness.touch(now);
            }
            liveness.relax(now);
        }
        // The second half was silence, of which nothing is learned until it ends.
        assert!(
            (9_900_000_000..10_100_000_000).contains(&liveness.longest_ns),
            "{liveness:?}"
        );
    }

    /// Chance has no bounds: these markets are always the same, so that what holds for them holds on every run.
    #[test]
    fn a_quiet_market_is_not_taken_for_a_dead_feed() {
        let markets = [1.0, 40.0, 300.0, 1_000.0, 3_000.0, 8_000.0].into_iter();
        for (mean_ms, seed) in markets.flat_map(|mean_ms| (0..40).map(move |seed| (mean_ms, seed))) {
            let mut liveness = Liveness::default();
            let mut now = UnixNanos(1_700_000_000_000_000_000);
            for (count, silence) in silences(mean_ms, seed).take(3_000).enumerate() {
                liveness.touch(now);
                now = after(now, silence);
                let is_stale = liveness.overdue(now, AT_FIRST) > 0;
                assert!(
                    !is_stale || count <= usize::from(ENOUGH),
                    "{silence:?} after {liveness:?}, mean {mean_ms} ms, seed {seed}"
                );
                liveness.relax(now);
            }
            // And when it dies that is seen, after some of its means.
            let dead = Duration::from_secs_f64(mean_ms * 60.0 / 1e3).max(2 * LEAST);
            assert!(
                liveness.overdue(after(now, dead), AT_FIRST) > 0,
                "mean {mean_ms} ms, seed {seed}"
            );
        }
    }
}
