//! Whether the hot cores are left alone.

use super::Status::{Costs, Good, Unknown};
use super::{ISOLATED, NOHZ, ONLINE, POSSIBLE, check, expect, finding, target};

#[test]
fn pinning() {
    check(
        "pinning",
        &[
            (&[ONLINE], Good, "core 1 is online", &[]),
            (&[(ONLINE.0, "0,2-3")], Costs, "core 1 is not online", &[]),
            (&[(ONLINE.0, "zero")], Unknown, "\"zero\", which is not a list", &[]),
        ],
    );
    expect("pinning", &target(""), &(&[ONLINE], Costs, "no core is named", &[]));
}

#[test]
fn isolation() {
    let partitions = "/sys/fs/cgroup/cpuset.cpus.isolated";
    check(
        "isolation",
        &[
            (&[(ISOLATED, "1-3")], Good, "core 1 is isolated", &[]),
            (&[(ISOLATED, ""), (partitions, "1")], Good, "core 1 is isolated", &[]),
            (&[ONLINE, (ISOLATED, "")], Costs, "core 1 is not isolated", &[]),
            (
                &[ONLINE, (ISOLATED, "2"), (partitions, "3")],
                Costs,
                "core 1 is not",
                &[],
            ),
            (&[ONLINE, (ISOLATED, "2-")], Unknown, "is not a list of processors", &[]),
        ],
    );
    expect(
        "isolation",
        &target(""),
        &(&[(ISOLATED, "")], Unknown, "no hot core", &[]),
    );
    expect(
        "isolation",
        &target("1-2"),
        &(&[ONLINE, (ISOLATED, "1")], Costs, "core 2 is not", &[]),
    );
}

#[test]
fn tick() {
    check(
        "tick",
        &[
            (&[(NOHZ, "1-3")], Good, "tick is off on core 1", &[]),
            (&[(NOHZ, "(null)")], Costs, "interrupts core 1", &[]),
            (&[(NOHZ, "2")], Costs, "interrupts core 1", &[]),
            (&[(NOHZ, "x")], Unknown, "says \"x\"", &[]),
        ],
    );
}

#[test]
fn rcu_callbacks() {
    let cmdline = "/proc/cmdline";
    check(
        "rcu_callbacks",
        &[
            (&[(NOHZ, "1")], Good, "nohz_full moves", &[]),
            (
                &[POSSIBLE, (cmdline, "quiet rcu_nocbs=0-N")],
                Good,
                "run on others",
                &[],
            ),
            (
                &[POSSIBLE, (NOHZ, "2"), (cmdline, "rcu_nocbs=all")],
                Good,
                "run on others",
                &[],
            ),
            (
                &[POSSIBLE, (cmdline, "rcu_nocbs=1 rcu_nocbs=2")],
                Costs,
                "of core 1 run on it",
                &[],
            ),
            // Without a list none is moved at boot.
            (&[(cmdline, "rcu_nocbs")], Costs, "of core 1 run on it", &[]),
            (&[(cmdline, "rcu_nocbs_poll=1")], Costs, "of core 1 run on it", &[]),
            (&[POSSIBLE, (cmdline, "rcu_nocbs=one")], Unknown, "rcu_nocbs=one", &[]),
        ],
    );
}

#[test]
fn timer_migration() {
    let file = "/proc/sys/kernel/timer_migration";
    check(
        "timer_migration",
        &[
            (&[(file, "0")], Good, "stay on the core", &[]),
            (&[(file, "1"), (NOHZ, "1")], Good, "nohz_full", &[]),
            (
                &[(file, "1"), (NOHZ, "2")],
                Costs,
                "to busy ones",
                &["timer_migration=0"],
            ),
            (&[(file, "2")], Unknown, "is not 0 or 1", &[]),
            (&[(file, "-1")], Unknown, "is not 0 or 1", &[]),
            (&[(file, "on")], Unknown, "is not a number", &[]),
        ],
    );
}

const TABLE: &str = "CPU0 CPU1 CPU2 CPU3
 8: 0 0 0 0 IO-APIC 8-edge rtc0
40: 0 5 0 0 PCI-MSI 1-edge eth0-rx
41: 7 0 0 0 PCI-MSI 2-edge eth0-tx
LOC: 9 9 9 9 Local timer interrupts";

#[test]
fn interrupts() {
    let table = ("/proc/interrupts", TABLE);
    let (rtc, rx, tx) = (
        "/proc/irq/8/smp_affinity_list",
        "/proc/irq/40/smp_affinity_list",
        "/proc/irq/41/smp_affinity_list",
    );
    check(
        "interrupts",
        &[
            (
                &[ONLINE, table, (rtc, "0"), (rx, "0,2"), (tx, "3")],
                Good,
                "no device",
                &[],
            ),
            // What may fire here is moved to where it may fire already, or else to all other cores.
            (
                &[ONLINE, table, (rtc, "0"), (rx, "1"), (tx, "0-3")],
                Costs,
                "2 of 3 interrupts",
                &["smp_affinity_list=0,2-3", "smp_affinity_list=0,2-3"],
            ),
            (
                &[ONLINE, table, (rtc, "0"), (rx, "0-1"), (tx, "0")],
                Costs,
                "1 of 3",
                &["smp_affinity_list=0"],
            ),
            // Mask of a core that went offline since.
            (
                &[ONLINE, table, (rtc, "0"), (rx, "1,9"), (tx, "0")],
                Costs,
                "1 of 3",
                &["smp_affinity_list=0,2-3"],
            ),
            (
                &[(ONLINE.0, "1"), table, (rtc, "1"), (rx, "1"), (tx, "1")],
                Costs,
                "3 of 3",
                &[],
            ),
            (
                &[ONLINE, table, (rtc, "0"), (rx, "?"), (tx, "0")],
                Unknown,
                "is not a list",
                &[],
            ),
            (&[ONLINE, ("/proc/interrupts", "none")], Unknown, "is not a table", &[]),
        ],
    );
    let files = [ONLINE, table, (rtc, "0"), (rx, "1"), (tx, "0-3")];
    let found = finding("interrupts", &files, &target("1"));
    assert_eq!(
        found.seen[0].value, "1 (eth0-rx, came 5 times)",
        "the busiest first: {found:?}"
    );
}

#[test]
fn irqbalance() {
    let isolated = (ISOLATED, "");
    let running = ("/proc/77/comm", "irqbalance");
    let settings = "/etc/default/irqbalance";
    check(
        "irqbalance",
        &[
            (
                &[("/proc/1/comm", "systemd"), ("/proc/meminfo", "")],
                Good,
                "not running",
                &[],
            ),
            (&[running, isolated], Costs, "may use core 1", &[]),
            (&[running, (ISOLATED, "1")], Good, "leaves core 1 alone", &[]),
            (&[running, isolated, (NOHZ, "1")], Good, "leaves core 1 alone", &[]),
            (
                &[running, isolated, (settings, "# a\nIRQBALANCE_BANNED_CPULIST=\"1-2\"")],
                Good,
                "leaves",
                &[],
            ),
            (
                &[running, isolated, (settings, "#IRQBALANCE_BANNED_CPULIST=1")],
                Costs,
                "may use",
                &[],
            ),
            (
                &[running, isolated, (settings, "IRQBALANCE_BANNED_CPULIST=a")],
                Unknown,
                "says \"a\"",
                &[],
            ),
        ],
    );
}
