//! The rest of the kernel, the network card and the clock.

use super::Status::{Costs, Good, Unknown};
use super::{CPUINFO, ONLINE, check, expect, target};

#[test]
fn watchdogs() {
    let (nmi, soft, mask) = (
        "/proc/sys/kernel/nmi_watchdog",
        "/proc/sys/kernel/watchdog",
        ("/proc/sys/kernel/watchdog_cpumask", "0-3"),
    );
    check(
        "watchdogs",
        &[
            (&[(nmi, "0"), (soft, "0"), mask], Good, "no watchdog", &[]),
            (&[(nmi, "0"), (soft, "1"), (mask.0, "0,2-3")], Good, "no watchdog", &[]),
            (
                &[(nmi, "1"), (soft, "0"), mask],
                Costs,
                "NMI watchdog is on",
                &["nmi_watchdog=0"],
            ),
            (
                &[(nmi, "0"), (soft, "1"), mask],
                Costs,
                "watches core 1",
                &["watchdog_cpumask=0,2-3"],
            ),
            (&[(nmi, "0"), (soft, "1"), (mask.0, "1")], Costs, "watches core 1", &[]),
            (&[(nmi, "yes"), (soft, "1"), mask], Unknown, "is not a number", &[]),
            (&[(nmi, "0"), (soft, "1"), (mask.0, "f")], Unknown, "is not a list", &[]),
        ],
    );
    let files = [ONLINE, (nmi, "0"), (soft, "1"), mask];
    expect("watchdogs", &target(""), &(&files, Costs, "watches core 0-3", &[]));
}

#[test]
fn statistics() {
    let file = "/proc/sys/vm/stat_interval";
    check(
        "statistics",
        &[
            (&[(file, "1")], Costs, "every 1 s", &["stat_interval=10"]),
            (&[(file, "120")], Good, "every 120 s", &[]),
            (&[(file, "-1")], Unknown, "is not a number", &[]),
        ],
    );
}

#[test]
fn rt_throttling() {
    let (runtime, period) = (
        "/proc/sys/kernel/sched_rt_runtime_us",
        ("/proc/sys/kernel/sched_rt_period_us", "1000000"),
    );
    let held = (runtime, "950000");
    let stat = |policy: usize| {
        let fields: Vec<String> = (3..=41)
            .map(|field| if field == 41 { policy } else { 0 }.to_string())
            .collect();
        format!("8 (hot-0) {}", fields.join(" "))
    };
    let (fifo, other) = (stat(1), stat(0));
    let process = [("/proc/7/comm", "quantumflow"), ("/proc/7/task/8/comm", "hot-0")];
    let engine = |stat| [held, period, process[0], process[1], ("/proc/7/task/8/stat", stat)];
    check(
        "rt_throttling",
        &[
            (&[(runtime, "-1"), period], Good, "not held back", &[]),
            (&[held, period], Good, "the hot thread is not one", &[]),
            (&engine(&other), Good, "the hot thread is not one", &[]),
            (&engine(&fifo), Costs, "held back for 50000 of 1000000 us", &[]),
            (&engine("nonsense"), Good, "the hot thread is not one", &[]),
            (&[(runtime, "most"), period], Unknown, "is not a number", &[]),
        ],
    );
}

#[test]
fn mitigations() {
    let (one, two) = (
        "/sys/devices/system/cpu/vulnerabilities/meltdown",
        "/sys/devices/system/cpu/vulnerabilities/spectre_v2",
    );
    check(
        "mitigations",
        &[
            (
                &[(one, "Not affected"), (two, "Vulnerable")],
                Good,
                "none is at work",
                &[],
            ),
            (&[(one, "Mitigation: PTI"), (two, "Not affected")], Costs, "1 of 2", &[]),
            (&[(one, "perhaps")], Unknown, "is not a state", &[]),
        ],
    );
}

#[test]
fn kernel() {
    let file = "/proc/sys/kernel/osrelease";
    check(
        "kernel",
        &[
            (&[(file, "6.18.44-cloud")], Good, "6.18 has every way", &[]),
            (&[(file, "6.12.0")], Costs, "lacks interrupts suspended", &[]),
            (
                &[(file, "5.4.0-42-generic")],
                Costs,
                "lacks SO_PREFER_BUSY_POLL (5.11)",
                &[],
            ),
            (&[(file, "rolling")], Unknown, "is not a release", &[]),
            (&[(file, "6")], Unknown, "is not a release", &[]),
        ],
    );
}

#[test]
fn busy_poll() {
    let (read, poll) = ("/proc/sys/net/core/busy_read", "/proc/sys/net/core/busy_poll");
    check(
        "busy_poll",
        &[
            (&[(read, "50"), (poll, "50")], Good, "by who reads them", &[]),
            (
                &[(read, "0"), (poll, "0")],
                Costs,
                "are not polled",
                &["busy_read=50", "busy_poll=50"],
            ),
            (&[(read, "20"), (poll, "0")], Costs, "are not polled", &["busy_poll=50"]),
            (&[(read, "0"), (poll, "a")], Unknown, "is not a number", &[]),
        ],
    );
    let mut asks = target("1");
    asks.busy_poll_count = 1;
    expect(
        "busy_poll",
        &asks,
        &(&[(read, "0"), (poll, "0")], Good, "every feed asks", &[]),
    );
}

#[test]
fn card_node() {
    let nodes = "/sys/devices/system/node/online";
    let core = ("/sys/devices/system/cpu/cpu1/node0/cpulist", "0-3");
    let card = |node| {
        [
            (nodes, "0-1"),
            core,
            ("/sys/class/net/eth0/device/numa_node", node),
            ("/sys/class/net/eth0/operstate", "up"),
        ]
    };
    let down = [
        card("1")[0],
        core,
        card("1")[2],
        ("/sys/class/net/eth0/operstate", "down"),
    ];
    check(
        "card_node",
        &[
            (&[(nodes, "0")], Good, "only one node", &[]),
            (&card("0"), Good, "eth0 is at the hot core's node, 0", &[]),
            (&card("1"), Costs, "eth0 is at node 1, core 1 at 0", &[]),
            (&card("-1"), Unknown, "says which node", &[]),
            (&down, Unknown, "says which node", &[]),
            (&card("here"), Unknown, "is not a number", &[]),
            (
                &[(nodes, "0-1"), ("/sys/devices/system/cpu/cpu1/online", "1")],
                Unknown,
                "which node the core",
                &[],
            ),
        ],
    );
}

#[test]
fn clock_source() {
    let (current, available) = (
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    );
    let sound = (CPUINFO, "processor : 0\nflags : fpu constant_tsc nonstop_tsc");
    let odd = (CPUINFO, "processor : 0\nflags : fpu constant_tsc");
    let all = (available, "tsc kvm-clock arch_sys_counter");
    check(
        "clock_source",
        &[
            (&[(current, "tsc"), all, sound], Good, "constant and nonstop", &[]),
            (&[(current, "arch_sys_counter"), all], Good, "architecture", &[]),
            (&[(current, "kvm-clock"), all, sound], Costs, "read from kvm-clock", &[]),
            (
                &[(current, "tsc"), all, odd],
                Costs,
                "does not promise nonstop_tsc",
                &[],
            ),
            (&[(current, "sundial"), all, sound], Unknown, "is not one of those", &[]),
            (
                &[(current, "tsc"), all, (CPUINFO, "?")],
                Unknown,
                "is not a list of processors",
                &[],
            ),
        ],
    );
}

#[test]
fn virtual_machine() {
    let stat = ("/proc/stat", "cpu 9 9 9 9 9 9 9 9\ncpu1 10 0 10 60 5 5 5 5 0 0\nintr 5");
    let guest = (CPUINFO, "processor : 0\nflags : fpu hypervisor");
    check(
        "virtual_machine",
        &[
            (
                &[(CPUINFO, "processor : 0\nflags : fpu"), stat],
                Good,
                "no hypervisor",
                &[],
            ),
            (&[guest, stat], Costs, "5.00 % of core 1's time", &[]),
            (
                &[guest, ("/proc/stat", "cpu1 1 2 x")],
                Unknown,
                "is not a line for each core",
                &[],
            ),
            (
                &[(CPUINFO, "processor : 0\nBogoMIPS : 50"), stat],
                Unknown,
                "no flags",
                &[],
            ),
        ],
    );
}
