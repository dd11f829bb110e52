//! The venue's time, made fit to be subtracted.

use quantumflow_feeds::UnixNanos;

/// The venue's time on an axis that only goes forwards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VenueTime {
    last: Option<UnixNanos>,
    pub(super) now_ns: u64,
}

impl VenueTime {
    /// Moves on to `time`.
    pub(super) fn advance(&mut self, time: UnixNanos) {
        if time == UnixNanos(0) {
            return;
        }
        let last = self.last.unwrap_or(time);
        if time >= last || last.0 - time.0 > BACKWARDS_NS_MAX {
            self.last = Some(time);
            self.now_ns += time.0.saturating_sub(last.0).min(STEP_NS_MAX);
        }
    }
}

/// A longer silence counts as this long.
const STEP_NS_MAX: u64 = 60_000_000_000;

/// A time that lies further back than this is a new axis, not a late message.
const BACKWARDS_NS_MAX: u64 = 10_000_000_000;
