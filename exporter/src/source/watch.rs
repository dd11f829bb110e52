//! What standing still means for an engine, in the words of a reason and in the names of threads.

use std::sync::Arc;
use std::time::Instant;

use quantumflow_region::{Motion, ThreadMotion, catalogue};

use super::STALL_AFTER;

/// Why the engine is to be called stalled, where nothing has moved for too long. The words stay the same while it lasts:
/// they become a label's value, and one that changed with every scrape would be a new series each time.
pub(super) fn stalled(motion: &Motion, now: Instant) -> Option<String> {
    motion.stalled(now)?;
    let mut words = format!(
        "nothing in the region has moved for {} s or longer",
        STALL_AFTER.as_secs()
    );
    match motion.threads().iter().find(|thread| thread.is_inside()) {
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
pub(super) fn stuck(motion: &Motion, now: Instant) -> Vec<Arc<str>> {
    names(motion, |thread| thread.is_inside() && thread.is_still(now))
}

/// Threads that rest between two rounds.
pub(super) fn idle(motion: &Motion, now: Instant) -> Vec<Arc<str>> {
    names(motion, |thread| !thread.is_inside() && thread.is_still(now))
}

fn names(motion: &Motion, of: impl Fn(&ThreadMotion) -> bool) -> Vec<Arc<str>> {
    let threads = motion.threads().iter().filter(|thread| of(thread));
    threads.map(|thread| Arc::clone(&thread.name)).collect()
}
