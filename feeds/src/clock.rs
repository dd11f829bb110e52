//! Time as an argument: the hot path stamps stages with a [`Clock`] that its caller chose.

/// A reading of a monotonic counter, in its own unit: the processor's time-stamp counter in an engine, a count in a
/// replay. Only differences mean something, and only the owner of the clock can turn them into nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u64);

impl Ticks {
    /// Ticks from `earlier` to `self`, zero where a migration between cores let the counter run backwards.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Reads [`Ticks`]. Cheap enough to be read several times per message.
pub trait Clock: Copy {
    /// The counter now.
    fn ticks(&self) -> Ticks;
}

/// A clock that stands still: replays and tests that do not measure latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClock;

impl Clock for NoClock {
    #[inline]
    fn ticks(&self) -> Ticks {
        Ticks(0)
    }
}
