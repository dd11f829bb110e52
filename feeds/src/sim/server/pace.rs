//! The pace that a fault imposes on a connection's writes: none for a time, or a trickle.

use std::time::{Duration, Instant};

use super::super::exchange::Pace;

/// What may be written when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Governor {
    /// As much as the socket takes.
    #[default]
    Free,
    /// Nothing until then.
    Stalled { until: Instant },
    /// A trickle until then.
    Trickling {
        byte_time: Duration,
        next: Instant,
        until: Instant,
    },
}

impl Governor {
    pub(super) fn turn(&mut self, pace: Pace, now: Instant) {
        *self = match pace {
            Pace::Stall { lasting } => Self::Stalled { until: now + lasting },
            Pace::Slow {
                bytes_per_second,
                lasting,
            } => Self::Trickling {
                byte_time: Duration::from_secs(1) / bytes_per_second.max(1),
                next: now,
                until: now + lasting,
            },
        };
    }

    /// How many bytes may be written now.
    pub(super) fn allowance(&mut self, now: Instant) -> usize {
        match *self {
            Self::Stalled { until } if now < until => 0,
            Self::Trickling { byte_time, next, until } if now < until => {
                let Some(since) = now.checked_duration_since(next) else {
                    return 0;
                };
                1 + (since.as_nanos() / byte_time.as_nanos().max(1)) as usize
            }
            _ => {
                *self = Self::Free;
                usize::MAX
            }
        }
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize, now: Instant) {
        if let Self::Trickling { byte_time, next, .. } = self {
            // What was not used is lost: a socket that was full does not make for a burst later.
            *next = (*next + byte_time.saturating_mul(bytes as u32)).max(now);
        }
    }

    /// When to try again, if it says so.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match *self {
            Self::Free => None,
            Self::Stalled { until } => Some(until),
            Self::Trickling { next, until, .. } => Some(next.min(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_passes_nothing_and_then_everything() {
        let (mut governor, start) = (Governor::default(), Instant::now());
        assert_eq!((governor.allowance(start), governor.wake_at()), (usize::MAX, None));
        let lasting = Duration::from_millis(40);
        governor.turn(Pace::Stall { lasting }, start);
        assert_eq!(governor.allowance(start + lasting / 2), 0);
        assert_eq!(governor.wake_at(), Some(start + lasting));
        assert_eq!(governor.allowance(start + lasting), usize::MAX);
        assert_eq!(governor.wake_at(), None);
    }

    #[test]
    fn a_trickle_keeps_its_rate_and_ends() {
        let (mut governor, start) = (Governor::default(), Instant::now());
        let slow = Pace::Slow {
            bytes_per_second: 500,
            lasting: Duration::from_secs(2),
        };
        governor.turn(slow, start);
        let mut written = 0;
        for millisecond in 0..2_000 {
            let now = start + Duration::from_millis(millisecond);
            let allowed = governor.allowance(now);
            assert!(allowed <= 1, "byte by byte: {allowed} at {millisecond}");
            governor.wrote(allowed, now);
            written += allowed;
        }
        assert_eq!(written, 1_000);
        assert_eq!(governor.allowance(start + Duration::from_secs(2)), usize::MAX);
    }
}
