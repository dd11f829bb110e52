//! What moves in a region and what does not, by the clock of the one who looks.
//!
//! The kernel tells whether an engine is gone. That it hangs, or one thread of it, is told by counters that do not move:
//! housekeeping's beats and the rounds of each thread. No clock of the engine's is trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::snapshot::Snapshot;

/// How long nothing may move before an engine is called stalled, or a thread inside a round stuck. Housekeeping beats
/// once a second.
pub const STALL_AFTER: Duration = Duration::from_secs(5);

/// Since when each thing of one region has stood still. Show it every snapshot.
#[derive(Debug, Default)]
pub struct Motion {
    beats: Option<u64>,
    moved: Option<Instant>,
    /// By place in the region: threads are never taken away.
    threads: Vec<ThreadMotion>,
}

/// What was seen of one thread.
#[derive(Debug)]
pub struct ThreadMotion {
    /// Its name.
    pub name: Arc<str>,
    /// Where it said that it was, by the last snapshot.
    pub breadcrumb: u32,
    loops: (u64, u64),
    since: Instant,
}

impl Motion {
    /// Takes note of a snapshot that was finished at `now`.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Instant) {
        if self.beats.replace(snapshot.engine.heartbeats) != Some(snapshot.engine.heartbeats) {
            self.moved = Some(now);
        }
        for (i, writer) in snapshot.writers.iter().enumerate() {
            let loops = (writer.loop_begin, writer.loop_end);
            match self.threads.get_mut(i) {
                Some(thread) => {
                    thread.breadcrumb = writer.breadcrumb;
                    if thread.loops == loops {
                        continue;
                    }
                    (thread.loops, thread.since) = (loops, now);
                }
                None => self.threads.push(ThreadMotion {
                    name: Arc::clone(&writer.name),
                    breadcrumb: writer.breadcrumb,
                    loops,
                    since: now,
                }),
            }
            self.moved = Some(now);
        }
    }

    /// How long nothing at all has moved, where that is too long.
    pub fn stalled(&self, now: Instant) -> Option<Duration> {
        let still = now.saturating_duration_since(self.moved?);
        (still >= STALL_AFTER).then_some(still)
    }

    /// Every thread, by its place in the region.
    pub fn threads(&self) -> &[ThreadMotion] {
        &self.threads
    }
}

impl ThreadMotion {
    /// Whether it was inside a round of its loop.
    pub fn is_inside(&self) -> bool {
        self.loops.0 != self.loops.1
    }

    /// How long it has been where it is.
    pub fn still(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether that is too long.
    pub fn is_still(&self, now: Instant) -> bool {
        self.still(now) >= STALL_AFTER
    }
}
