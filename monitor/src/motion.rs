//! What moves in a region and what does not, by the clock of the one who looks.
//!
//! The kernel tells whether an engine is gone. That it hangs, or one thread of it, is told by counters that do not move:
//! housekeeping's beats and the rounds of each thread.

use std::time::{Duration, Instant};

use quantumflow_region::Snapshot;

/// How long nothing may move before it is called stalled, or a thread inside a round stuck. Housekeeping beats once a
/// second. The exporter uses the same.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(5);

/// Since when each thing has stood still.
#[derive(Default)]
pub(crate) struct Motion {
    beats: Option<(u64, Instant)>,
    moved: Option<Instant>,
    /// By place in the region: threads are never taken away.
    threads: Vec<Thread>,
}

struct Thread {
    loops: (u64, u64),
    since: Instant,
}

impl Motion {
    pub(crate) fn observe(&mut self, snapshot: &Snapshot, now: Instant) {
        let beats = snapshot.engine.heartbeats;
        if self.beats.is_none_or(|(before, _)| before != beats) {
            self.beats = Some((beats, now));
            self.moved = Some(now);
        }
        for (i, writer) in snapshot.writers.iter().enumerate() {
            let loops = (writer.loop_begin, writer.loop_end);
            match self.threads.get_mut(i) {
                Some(thread) if thread.loops == loops => continue,
                Some(thread) => (thread.loops, thread.since) = (loops, now),
                None => self.threads.push(Thread { loops, since: now }),
            }
            self.moved = Some(now);
        }
    }

    /// How long nothing at all has moved, where that is too long.
    pub(crate) fn stalled(&self, now: Instant) -> Option<Duration> {
        let still = now.saturating_duration_since(self.moved?);
        (still >= STALL_AFTER).then_some(still)
    }

    /// How long the thread at that place has been where it is.
    pub(crate) fn still(&self, thread: usize, now: Instant) -> Duration {
        let since = self.threads.get(thread).map(|thread| thread.since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long that thread has hung inside a round, where that is too long.
    pub(crate) fn stuck(&self, thread: usize, now: Instant) -> Option<Duration> {
        let inside = self
            .threads
            .get(thread)
            .is_some_and(|thread| thread.loops.0 != thread.loops.1);
        let still = self.still(thread, now);
        (inside && still >= STALL_AFTER).then_some(still)
    }
}
