//! How often, and for how long, the host takes a core away from a thread that wants nothing but to run.
//!
//! [`measure`] does what a hot thread does between messages: it goes round and round, and here it only reads the counter.
//! Two readings that lie further apart than a threshold have something between them that was not the thread: an
//! interrupt, another thread, a hypervisor. Such a gap is a [`Steals`] entry. What the kernel counted on that core in the
//! same time ([`witness`]) says whose they are.

pub mod report;
pub mod witness;

use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use quantumflow_feeds::{Clock, Ticks};

use crate::os::TimeBase;

/// Longest gap that is told from a longer one: about a minute, beyond which a host is not slow but asleep.
const GAP_NS_MAX: u64 = 1 << 36;
/// Two digits: what all latencies of the engine have.
const DIGITS: u8 = 2;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For how long, in whole seconds.
    pub seconds: u32,
    /// From where on a gap is a steal.
    pub threshold_ns: u64,
}

/// What was stolen within one second.
#[derive(Clone, Debug)]
pub struct Second {
    /// Lengths of the gaps, in nanoseconds, by the second in which they ended.
    pub gaps: Histogram<u64>,
    /// Their sum.
    pub stolen_ns: u64,
}

/// What was stolen in all. All memory that the measurement needs is in it, and touched, before it begins.
#[derive(Clone, Debug)]
pub struct Steals {
    /// One for each second that was asked for; those that were not reached are empty.
    pub seconds: Vec<Second>,
    /// The longest gap and when it ended, on the counter.
    pub longest: Option<(u64, Ticks)>,
    /// When the measurement began, on the counter.
    pub start: Ticks,
    /// How long it was in all, in nanoseconds.
    pub measured_ns: u64,
    /// Readings of the counter that came on time.
    pub reading_count: u64,
    /// The shortest time between two readings, in nanoseconds.
    pub reading_ns_min: u64,
}

impl Steals {
    /// Room for a measurement.
    pub fn new(plan: &Plan) -> Self {
        let mut gaps = Histogram::new_with_bounds(1, GAP_NS_MAX, DIGITS).expect("the bounds and digits are sound");
        gaps.auto(false);
        let second = Second { gaps, stolen_ns: 0 };
        let mut seconds = vec![second; plan.seconds as usize];
        // Zeroed memory is mapped when it is first written to, which would be a steal of our own making.
        for second in &mut seconds {
            second.gaps.reset();
        }
        Self {
            seconds,
            longest: None,
            start: Ticks(0),
            measured_ns: 0,
            reading_count: 0,
            reading_ns_min: u64::MAX,
        }
    }

    /// All gaps together.
    pub fn gaps(&self) -> Histogram<u64> {
        let mut all = Histogram::new_with_bounds(1, GAP_NS_MAX, DIGITS).expect("the bounds and digits are sound");
        for second in &self.seconds {
            all.add(&second.gaps).expect("the same bounds");
        }
        all
    }

    /// How much was stolen.
    pub fn stolen_ns(&self) -> u64 {
        self.seconds.iter().map(|second| second.stolen_ns).sum()
    }

    /// How long one round of the loop is on average, in nanoseconds: what is shorter cannot be seen.
    pub fn reading_ns_mean(&self) -> f64 {
        self.measured_ns.saturating_sub(self.stolen_ns()) as f64 / self.reading_count.max(1) as f64
    }
}

/// Spins on the counter until the plan is done or `stop` is set. Allocates nothing and calls nobody.
pub fn measure(clock: impl Clock, base: &TimeBase, plan: &Plan, stop: &AtomicBool, steals: &mut Steals) {
    let second_ticks = base.ticks_per_second().max(1);
    let length_ticks = second_ticks * steals.seconds.len() as u64;
    // A gap of so many ticks is over the threshold.
    let threshold_ticks = base.ticks_in(std::time::Duration::from_nanos(plan.threshold_ns));
    let start = clock.ticks();
    let (mut last, mut reading_count, mut reading_ticks_min) = (start, 0u64, u64::MAX);
    loop {
        let now = clock.ticks();
        let gap = now.since(last);
        last = now;
        if gap > threshold_ticks {
            steals.record(base, now, gap, now.since(start) / second_ticks);
        } else {
            reading_count += 1;
            reading_ticks_min = reading_ticks_min.min(gap);
        }
        if now.since(start) >= length_ticks || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    steals.start = start;
    steals.measured_ns = base.nanos(last.since(start));
    steals.reading_count = reading_count;
    steals.reading_ns_min = if reading_count == 0 {
        0
    } else {
        base.nanos(reading_ticks_min)
    };
}

impl Steals {
    #[cold]
    fn record(&mut self, base: &TimeBase, end: Ticks, gap_ticks: u64, second: u64) {
        let gap_ns = base.nanos(gap_ticks);
        if self.longest.is_none_or(|(longest, _)| gap_ns > longest) {
            self.longest = Some((gap_ns, end));
        }
        // What goes over the end belongs to the last second.
        let at = (second as usize).min(self.seconds.len().saturating_sub(1));
        if let Some(second) = self.seconds.get_mut(at) {
            second.gaps.saturating_record(gap_ns);
            second.stolen_ns += gap_ns;
        }
    }
}

#[cfg(test)]
mod tests;
