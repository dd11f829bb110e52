//! The loop on a clock that says what it is told to.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Moves on by the next step at each reading, and by one nanosecond when there is none left.
#[derive(Clone, Copy)]
struct Script<'a> {
    steps: &'a [u64],
    at: &'a Cell<usize>,
    now: &'a Cell<u64>,
    base: &'a TimeBase,
}

impl Clock for Script<'_> {
    fn ticks(&self) -> Ticks {
        let at = self.at.replace(self.at.get() + 1);
        let ns = self.steps.get(at).copied().unwrap_or(1_000_000);
        self.now
            .set(self.now.get() + self.base.ticks_in(Duration::from_nanos(ns)));
        Ticks(self.now.get())
    }
}

fn run(steps: &[u64], plan: Plan) -> Steals {
    let base = TimeBase::calibrate(Duration::from_millis(1));
    let script = Script {
        steps,
        at: &Cell::new(0),
        now: &Cell::new(1_000),
        base: &base,
    };
    let mut steals = Steals::new(&plan);
    measure(script, &base, &plan, &AtomicBool::new(false), &mut steals);
    steals
}

fn near(got: u64, expected: u64) {
    // The counter's ticks are no whole nanoseconds.
    assert!(
        got.abs_diff(expected) <= 2 + expected / 1_000_000,
        "{got} is not about {expected}"
    );
}

#[test]
fn a_gap_over_the_threshold_is_a_steal_of_the_second_in_which_it_ends() {
    // The first reading is the start. The script goes on with readings a millisecond apart, which the threshold takes for
    // the loop's own.
    let plan = Plan {
        seconds: 3,
        threshold_ns: 2_000_000,
    };
    let steals = run(&[0, 20, 900_000_000, 30, 200_000_000, 5_000_000, 40], plan);
    let counts: Vec<u64> = steals.seconds.iter().map(|second| second.gaps.len()).collect();
    assert_eq!(counts, [1, 2, 0]);
    near(steals.seconds[0].stolen_ns, 900_000_000);
    near(steals.seconds[1].stolen_ns, 205_000_000);
    let (longest, end) = steals.longest.unwrap();
    near(longest, 900_000_000);
    let base = TimeBase::calibrate(Duration::from_millis(20));
    let after_ms = base.nanos(end.since(steals.start)) / 1_000_000;
    assert!((850..950).contains(&after_ms), "{after_ms} ms after the start");
    near(steals.stolen_ns(), 1_105_000_000);
    assert_eq!(steals.gaps().len(), 3);
    assert!((3_000_000_000..3_100_000_000).contains(&steals.measured_ns));
    assert!((15..=20).contains(&steals.reading_ns_min), "{}", steals.reading_ns_min);
}

#[test]
fn a_gap_beyond_the_end_belongs_to_the_last_second() {
    let plan = Plan {
        seconds: 2,
        threshold_ns: 1_000,
    };
    let steals = run(&[0, 10, 90_000_000_000], plan);
    assert_eq!(steals.seconds.last().unwrap().gaps.len(), 1);
    near(steals.seconds[1].stolen_ns, 90_000_000_000);
    near(steals.measured_ns, 90_000_000_010);
    assert_eq!(steals.seconds[0].gaps.len(), 0);
}

#[test]
fn what_is_stopped_ends_at_once() {
    let plan = Plan {
        seconds: 3600,
        threshold_ns: 1_000,
    };
    let base = TimeBase::calibrate(Duration::from_millis(1));
    let mut steals = Steals::new(&plan);
    measure(crate::os::TscClock, &base, &plan, &AtomicBool::new(true), &mut steals);
    assert!(steals.measured_ns < 1_000_000_000);
}

/// On the real counter: all time is either read on time or stolen.
#[test]
fn a_real_second_is_accounted_for() {
    let plan = Plan {
        seconds: 1,
        threshold_ns: 1_000,
    };
    let base = TimeBase::calibrate(Duration::from_millis(20));
    let mut steals = Steals::new(&plan);
    measure(crate::os::TscClock, &base, &plan, &AtomicBool::new(false), &mut steals);
    assert!(steals.measured_ns >= 1_000_000_000);
    assert!(steals.reading_count > 0 && steals.reading_ns_mean() >= steals.reading_ns_min as f64);
    assert!(steals.stolen_ns() <= steals.measured_ns);
    let longest = steals.longest.map_or(0, |(ns, _)| ns);
    assert!(longest <= steals.stolen_ns());
}

proptest! {
    /// Against a sum over the steps themselves.
    #[test]
    fn nothing_is_lost_or_counted_twice(steps in prop::collection::vec(1u64..3_000_000, 1..200), threshold in 1_000_000u64..2_000_000) {
        let mut steps = steps;
        steps.insert(0, 0);
        let total: u64 = steps.iter().sum();
        prop_assume!(total < 1_000_000_000);
        // Steps on the edge fall to one side or the other with the rounding of ticks.
        prop_assume!(steps.iter().all(|step| step.abs_diff(threshold) > 10));
        // The script goes on in steps of a millisecond, which is no steal of this one.
        let steals = run(&steps, Plan { seconds: 1, threshold_ns: threshold });
        let stolen: Vec<u64> = steps.iter().copied().filter(|step| *step > threshold).collect();
        prop_assume!(threshold > 1_000_010);
        prop_assert_eq!(steals.gaps().len(), stolen.len() as u64);
        let sum: u64 = stolen.iter().sum();
        prop_assert!(steals.stolen_ns().abs_diff(sum) <= 2 * stolen.len() as u64 + sum / 1_000_000);
        let longest = steals.longest.map_or(0, |(ns, _)| ns);
        prop_assert!(longest.abs_diff(stolen.iter().copied().max().unwrap_or(0)) <= 5);
    }
}
