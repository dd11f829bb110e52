//! The operating system and the processor: time-stamp counter, core affinity, locked memory.
//!
//! The only file of this crate with `unsafe`: reading the counter is an intrinsic.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::unistd::Pid;
use quantumflow_feeds::{Clock, Ticks, UnixNanos};

/// Reads the processor's time-stamp counter: about 20 ns in a virtual machine, less on bare metal, no system call.
#[derive(Clone, Copy, Debug, Default)]
pub struct TscClock;

impl Clock for TscClock {
    #[inline]
    fn ticks(&self) -> Ticks {
        Ticks(read_counter())
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_counter() -> u64 {
    // SAFETY: RDTSC reads a register and is present on every x86-64 processor; a kernel that forbids it to user space
    // (PR_SET_TSC) would end the process with a signal, not with undefined behaviour.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn read_counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads the virtual counter, which Linux makes readable from user space; no memory is touched.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// Turns [`Ticks`] into nanoseconds and wall-clock time.
///
/// The rate is measured once at start; the anchor is moved by [`TimeBase::anchor`] now and then, so that the wall clock
/// follows what NTP does to it. Both are plain arithmetic: no system call per message.
#[derive(Clone, Copy, Debug)]
pub struct TimeBase {
    /// Nanoseconds per tick, as a fixed-point number with 32 fraction bits.
    ns_per_tick_q32: u64,
    anchor_ticks: Ticks,
    anchor_time: UnixNanos,
}

impl TimeBase {
    /// Measures the counter's rate against the monotonic clock for `window`. Call it on a cold thread at start.
    pub fn calibrate(window: Duration) -> Self {
        let clock = TscClock;
        let (started, first) = (Instant::now(), clock.ticks());
        std::thread::sleep(window);
        let (elapsed, last) = (started.elapsed(), clock.ticks());
        let ticks = u128::from(last.since(first).max(1));
        let ns_per_tick_q32 = u64::try_from((elapsed.as_nanos() << 32) / ticks)
            .unwrap_or(u64::MAX)
            .max(1);
        let mut base = Self {
            ns_per_tick_q32,
            anchor_ticks: last,
            anchor_time: UnixNanos(0),
        };
        base.anchor();
        base
    }

    /// Reads the wall clock (through the vDSO where the clock source allows) and anchors the counter to it.
    #[inline]
    pub fn anchor(&mut self) {
        self.anchor_ticks = TscClock.ticks();
        self.anchor_time = wall_clock();
    }

    /// The length of `ticks` in nanoseconds.
    #[inline]
    pub fn nanos(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.ns_per_tick_q32)) >> 32) as u64
    }

    /// The wall-clock time of a reading, after or before the anchor.
    #[inline]
    pub fn at(&self, ticks: Ticks) -> UnixNanos {
        if ticks >= self.anchor_ticks {
            UnixNanos(
                self.anchor_time
                    .0
                    .wrapping_add(self.nanos(ticks.since(self.anchor_ticks))),
            )
        } else {
            UnixNanos(
                self.anchor_time
                    .0
                    .wrapping_sub(self.nanos(self.anchor_ticks.since(ticks))),
            )
        }
    }

    /// How many ticks pass in `duration`.
    pub fn ticks_in(&self, duration: Duration) -> u64 {
        u64::try_from((duration.as_nanos() << 32) / u128::from(self.ns_per_tick_q32)).unwrap_or(u64::MAX)
    }

    /// Ticks per second, for the header of the region.
    pub fn ticks_per_second(&self) -> u64 {
        self.ticks_in(Duration::from_secs(1))
    }
}

/// The wall clock, UTC.
pub fn wall_clock() -> UnixNanos {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// Nanoseconds since the system was started, time asleep included; zero where it does not say.
pub fn boottime_ns() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    time.map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Pins the calling thread to one processor; `false` where the system refuses or has no such processor.
///
/// It is asked for outright, not looked up among the processors that the thread may run on now: those leave out the
/// isolated ones (`isolcpus=`), which are what a hot thread is pinned to.
pub fn pin_thread(core: usize) -> bool {
    let mut cores = CpuSet::new();
    let this_thread = Pid::from_raw(0);
    cores.set(core).is_ok() && sched_setaffinity(this_thread, &cores).is_ok()
}

/// Locks all memory of the process, so that the hot thread never waits for a page. Needs `LimitMEMLOCK` or a privilege.
pub fn lock_memory() -> Result<(), nix::Error> {
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_of_a_reading_follows_the_counter_both_ways() {
        let base = TimeBase {
            ns_per_tick_q32: 1 << 31,
            anchor_ticks: Ticks(1_000),
            anchor_time: UnixNanos(50_000),
        };
        assert_eq!(base.nanos(10), 5);
        assert_eq!(base.at(Ticks(1_200)), UnixNanos(50_100));
        assert_eq!(base.at(Ticks(800)), UnixNanos(49_900));
        assert_eq!(base.ticks_in(Duration::from_nanos(500)), 1_000);
    }

    /// A thread on a host with `isolcpus=` may run on the other processors only, until it asks for an isolated one.
    #[test]
    fn a_thread_is_pinned_to_a_processor_that_it_was_kept_from() {
        let all = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut allowed = (0..CpuSet::count()).filter(|core| all.is_set(*core).unwrap());
        let (Some(first), Some(second)) = (allowed.next(), allowed.next()) else {
            eprintln!("skipped: one processor is too few to be kept from one");
            return;
        };
        std::thread::spawn(move || {
            assert!(pin_thread(first));
            assert!(pin_thread(second), "kept to {first}, asked for {second}");
            let now = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
            assert!(now.is_set(second).unwrap() && !now.is_set(first).unwrap());
            assert!(!pin_thread(CpuSet::count()), "there is no such processor");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn calibration_agrees_with_the_monotonic_clock_within_a_percent() {
        let base = TimeBase::calibrate(Duration::from_millis(20));
        let (started, first) = (Instant::now(), TscClock.ticks());
        std::thread::sleep(Duration::from_millis(20));
        let (elapsed, ticks) = (started.elapsed().as_nanos() as f64, TscClock.ticks().since(first));
        let ratio = base.nanos(ticks) as f64 / elapsed;
        assert!(
            (0.9..1.1).contains(&ratio),
            "counter says {ratio} of the monotonic clock"
        );
    }
}
