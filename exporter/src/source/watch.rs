//! What was seen to move in a region, and when, by the clock of this process: no clock of the engine's is trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quantumflow_region::{Snapshot, catalogue};

use super::STALL_AFTER;

#[derive(Default)]
pub(super) struct Watch {
    engine: Option<(u64, Instant)>,
    /// By place in the region: threads are never taken away.
    threads: Vec<Thread>,
}

struct Thread {
    name: Arc<str>,
    loops: (u64, u64),
    breadcrumb: u32,
    since: Instant,
}

impl Thread {
    fn is_inside(&self) -> bool {
        self.loops.0 != self.loops.1
    }

    fn is_still(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= STALL_AFTER
    }
}

impl Watch {
    /// Takes note of a copy that was finished at `now`.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, now: Instant) {
        let beats = snapshot.engine.heartbeats;
        let mut moved = self.engine.is_none_or(|(earlier, _)| earlier != beats);
        for (i, writer) in snapshot.writers.iter().enumerate() {
            let loops = (writer.loop_begin, writer.loop_end);
            match self.threads.get_mut(i) {
                Some(thread) if thread.loops == loops => thread.breadcrumb = writer.breadcrumb,
                Some(thread) => {
                    moved = true;
                    (thread.loops, thread.breadcrumb, thread.since) = (loops, writer.breadcrumb, now);
                }
                None => {
                    moved = true;
                    self.threads.push(Thread {
                        name: Arc::clone(&writer.name),
                        loops,
                        breadcrumb: writer.breadcrumb,
                        since: now,
                    });
                }
            }
        }
        if moved {
            self.engine = Some((beats, now));
        }
    }

    /// Why the engine is to be called stalled, where nothing has moved for too long. The words stay the same while it
    /// lasts: they become a label's value, and one that changed with every scrape would be a new series each time.
    pub(super) fn stalled(&self, now: Instant) -> Option<String> {
        let still: Duration = now.saturating_duration_since(self.engine?.1);
        if still < STALL_AFTER {
            return None;
        }
        let mut words = format!(
            "nothing in the region has moved for {} s or longer",
            STALL_AFTER.as_secs()
        );
        match self.threads.iter().find(|thread| thread.is_inside()) {
            Some(thread) => words.push_str(&format!(
                "; {} is inside a round of its loop, at place {}",
                thread.name,
                catalogue::place(thread.breadcrumb)
            )),
            None => words.push_str("; every thread is between two rounds of its loop"),
        }
        Some(words)
    }

    /// Threads that hang inside a round.
    pub(super) fn stuck(&self, now: Instant) -> Vec<Arc<str>> {
        self.names(|thread| thread.is_inside() && thread.is_still(now))
    }

    /// Threads that rest between two rounds.
    pub(super) fn idle(&self, now: Instant) -> Vec<Arc<str>> {
        self.names(|thread| !thread.is_inside() && thread.is_still(now))
    }

    fn names(&self, of: impl Fn(&Thread) -> bool) -> Vec<Arc<str>> {
        let threads = self.threads.iter().filter(|thread| of(thread));
        threads.map(|thread| Arc::clone(&thread.name)).collect()
    }
}
