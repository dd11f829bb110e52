//! The jitter meter does nothing of its own while it measures: what it allocated would be counted as the host's doing.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use quantumflow::jitter::{Plan, Steals, measure};
use quantumflow::os::{TimeBase, TscClock};

#[test]
fn nothing_is_allocated_while_steals_are_recorded() {
    let plan = Plan {
        seconds: 1,
        // Every reading is a steal: the path that records is the one that is taken.
        threshold_ns: 1,
    };
    let base = TimeBase::calibrate(Duration::from_millis(20));
    let mut steals = Steals::new(&plan);
    let stop = AtomicBool::new(false);
    let info = allocation_counter::measure(|| measure(TscClock, &base, &plan, &stop, &mut steals));
    assert!(
        steals.gaps().len() > 1_000,
        "only {} were recorded",
        steals.gaps().len()
    );
    assert_eq!(info.count_total, 0, "allocations while measuring");
}
