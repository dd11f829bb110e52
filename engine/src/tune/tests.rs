//! Each check on made-up hosts: as it should be, as it should not, without its files, and with nonsense in them.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use quantumflow_feeds::net::IdleStrategy;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A host that is made of files.
struct Tree(TempDir);

impl Tree {
    fn of(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.with(files);
        tree
    }

    fn with(&self, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = self.host().path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    fn host(&self) -> Host {
        Host::below(self.0.path())
    }
}

fn target(hot: &str) -> Target {
    Target {
        hot: hot.parse().unwrap(),
        idle: IdleStrategy::SpinThenWait {
            spins: 1,
            timeout: std::time::Duration::from_millis(1),
        },
        region_dir: PathBuf::from("/dev/shm/quantumflow"),
        region_bytes: 1 << 20,
        locks_memory: true,
        feed_count: 1,
        busy_poll_count: 0,
    }
}

fn finding(check: &str, files: &[(&str, &str)], target: &Target) -> Finding {
    let found = CHECKS.into_iter().find(|(name, _)| *name == check).unwrap();
    find(found, &Tree::of(files).host(), target)
}

/// A cost comes with what was seen, and with a way to be rid of it.
fn is_whole(found: &Finding) -> bool {
    let ways = found.settings.len() + found.by_hand.len() + found.at_boot.len();
    found.status != Costs || (ways > 0 && !found.seen.is_empty())
}

/// What a row expects: the status, a piece of what is said, and the settings as `file=value` after the last `/`.
type Row<'a> = (&'a [(&'a str, &'a str)], Status, &'a str, &'a [&'a str]);

fn expect(check: &str, target: &Target, row: &Row<'_>) {
    let (files, status, says, set) = *row;
    let found = finding(check, files, target);
    let told = format!("{check} on {files:?}: {found:?}");
    assert_eq!(found.status, status, "{told}");
    assert!(found.says.contains(says), "{told}");
    let short = |setting: &Setting| format!("{}={}", setting.file.rsplit('/').next().unwrap(), setting.to);
    assert_eq!(found.settings.iter().map(short).collect::<Vec<_>>(), set, "{told}");
    assert_eq!(found.costs.is_some(), status == Status::Costs, "{told}");
    assert!(is_whole(&found), "{told}");
}

/// Rows of a check with core 1 hot, and the same check on a host without any file.
fn check(name: &str, rows: &[Row<'_>]) {
    for row in rows {
        expect(name, &target("1"), row);
    }
    expect(name, &target("1"), &(&[], Unknown, "is not there", &[]));
}

use Status::{Costs, Good, Unknown};

const ONLINE: (&str, &str) = ("/sys/devices/system/cpu/online", "0-3");
const POSSIBLE: (&str, &str) = ("/sys/devices/system/cpu/possible", "0-3");
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const NOHZ: &str = "/sys/devices/system/cpu/nohz_full";
const CPUINFO: &str = "/proc/cpuinfo";

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

#[test]
fn governor_and_energy_preference() {
    let file = |cpu: usize, name: &str| format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}");
    for (name, check_name) in [
        ("scaling_governor", "governor"),
        ("energy_performance_preference", "energy_preference"),
    ] {
        let (one, two) = (file(1, name), file(2, name));
        let set = [format!("{name}=performance")];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        check(
            check_name,
            &[
                (&[(&one, "performance")], Good, "performance", &[]),
                (&[(&one, "powersave")], Costs, "powersave", &set),
                (&[(&one, "")], Unknown, "is not one word", &[]),
                (&[(&one, "a b")], Unknown, "is not one word", &[]),
            ],
        );
        // Only what is wrong is to be written.
        expect(
            check_name,
            &target("1-2"),
            &(&[(&one, "performance"), (&two, "powersave")], Costs, "powersave", &set),
        );
        // Without a hot core all cores count.
        let files = [(ONLINE.0, "1-2"), (&*one, "performance"), (&*two, "performance")];
        expect(check_name, &target(""), &(&files, Good, "core 1-2", &[]));
    }
}

#[test]
fn turbo() {
    let (intel, others) = (
        "/sys/devices/system/cpu/intel_pstate/no_turbo",
        "/sys/devices/system/cpu/cpufreq/boost",
    );
    check(
        "turbo",
        &[
            (&[(intel, "0")], Good, "may rise", &[]),
            (&[(intel, "1"), (others, "1")], Costs, "may not rise", &[]),
            (&[(others, "1")], Good, "may rise", &[]),
            (&[(others, "0")], Costs, "may not rise", &[]),
            (&[(others, "yes")], Unknown, "is not 0 or 1", &[]),
        ],
    );
}

#[test]
fn idle_states() {
    let dir = "/sys/devices/system/cpu/cpu1/cpuidle";
    let state = |at: usize, name: &str, latency: &str, disable: &str| {
        let file = |rest: &str| format!("{dir}/state{at}/{rest}");
        [
            (file("name"), name.to_owned()),
            (file("latency"), latency.to_owned()),
            (file("disable"), disable.to_owned()),
        ]
    };
    let qos = "/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us".to_owned();
    let row = |latency: &str, disable: &str, qos_says: &str| {
        let states = [
            state(0, "POLL", "0", "0"),
            state(1, "C1", "2", "0"),
            state(2, "C6", latency, disable),
        ];
        let mut files = states.concat();
        files.push((qos.clone(), qos_says.to_owned()));
        files
    };
    for (files, idle, status, says, set) in [
        (
            row("133", "0", "0"),
            None,
            Costs,
            "C6, which takes 133 us",
            vec!["disable=1"],
        ),
        (row("133", "1", "0"), None, Good, "no deep idle state", vec![]),
        (row("133", "0", "n/a"), None, Good, "no deep idle state", vec![]),
        (row("133", "0", "132"), None, Good, "no deep idle state", vec![]),
        (row("133", "0", "133"), None, Costs, "133 us", vec!["disable=1"]),
        (
            row("133", "0", "0"),
            Some(IdleStrategy::Spin),
            Good,
            "never sleeps",
            vec![],
        ),
        (row("long", "0", "0"), None, Unknown, "is not a number", vec![]),
        (row("133", "0", "none"), None, Unknown, "is not a number", vec![]),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (&**file, &**text)).collect();
        let mut target = target("1");
        target.idle = idle.unwrap_or(target.idle);
        expect("idle_states", &target, &(&files, status, says, &set));
    }
    expect("idle_states", &target("1"), &(&[], Unknown, "is not there", &[]));
}

/// The limit of the whole host is four bytes, not text.
#[test]
fn idle_states_know_the_limit_of_the_host() {
    let dir = "/sys/devices/system/cpu/cpu1/cpuidle/state2";
    let (name, latency, disable) = (
        format!("{dir}/name"),
        format!("{dir}/latency"),
        format!("{dir}/disable"),
    );
    let tree = Tree::of(&[
        (&name, "C6"),
        (&latency, "133"),
        (&disable, "0"),
        ("/dev/cpu_dma_latency", ""),
    ]);
    let found = CHECKS.into_iter().find(|(name, _)| *name == "idle_states").unwrap();
    for (limit, status) in [(2_000_000_000_i32, Costs), (133, Costs), (10, Good)] {
        fs::write(tree.host().path("/dev/cpu_dma_latency"), limit.to_ne_bytes()).unwrap();
        assert_eq!(find(found, &tree.host(), &target("1")).status, status, "{limit}");
    }
}

#[test]
fn smt() {
    let (one, isolated) = (
        "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
        (ISOLATED, ""),
    );
    check(
        "smt",
        &[
            (&[(one, "1")], Good, "to itself", &[]),
            (&[(one, "1,17"), isolated], Costs, "with 17, which others may use", &[]),
            (&[(one, "1,17"), (ISOLATED, "1,17")], Good, "isolated as well", &[]),
            (&[(one, "1,,q"), isolated], Unknown, "is not a list", &[]),
        ],
    );
    // Two hot threads on one pair are no better than a stranger.
    let two = "/sys/devices/system/cpu/cpu2/topology/thread_siblings_list";
    let files = [(one, "1-2"), (two, "1-2"), (ISOLATED, "1-2")];
    expect("smt", &target("1-2"), &(&files, Costs, "which others may use", &[]));
}

#[test]
fn huge_pages() {
    let dir = "/sys/kernel/mm/transparent_hugepage";
    let (enabled, defrag, daemon) = (
        format!("{dir}/enabled"),
        format!("{dir}/defrag"),
        format!("{dir}/khugepaged/defrag"),
    );
    let row = |on: &'static str, eager: &'static str| [(&*enabled, on), (&*defrag, eager), (&*daemon, "1")];
    let (asked, both) = (&["enabled=madvise"][..], &["enabled=madvise", "defrag=madvise"][..]);
    check(
        "huge_pages",
        &[
            (
                &row("always madvise [never]", "[always] defer never"),
                Good,
                "no transparent",
                &[],
            ),
            (
                &row("always [madvise] never", "always [madvise] never"),
                Good,
                "who asks",
                &[],
            ),
            (
                &row("always [madvise] never", "[always] madvise"),
                Costs,
                "waits until",
                &["defrag=madvise"],
            ),
            (
                &row("[always] madvise never", "always [defer]"),
                Costs,
                "every mapping",
                asked,
            ),
            (
                &row("[always] madvise never", "[always] defer"),
                Costs,
                "every mapping",
                both,
            ),
            (&row("always", "[always]"), Unknown, "in brackets", &[]),
            (
                &row("[sometimes]", "[always]"),
                Unknown,
                "is not always, madvise or never",
                &[],
            ),
        ],
    );
}

#[test]
fn swap() {
    const HEAD: &str = "Filename\tType\tSize\tUsed\tPriority";
    let (file, swappiness) = ("/proc/swaps", "/proc/sys/vm/swappiness");
    let area = format!("{HEAD}\n/dev/sda2 partition 8388604 0 -2");
    check(
        "swap",
        &[
            (&[(file, HEAD)], Good, "nothing to swap", &[]),
            (
                &[(file, &area), (swappiness, "60")],
                Costs,
                "may be swapped out",
                &["swappiness=1"],
            ),
            (&[(file, &area), (swappiness, "1")], Good, "no other way", &[]),
            (&[(file, &area), (swappiness, "much")], Unknown, "is not a number", &[]),
            (&[(file, &area)], Unknown, "swappiness is not there", &[]),
            (&[(file, "/dev/sda2")], Unknown, "is not a table", &[]),
        ],
    );
}

#[test]
fn numa_balancing() {
    let (file, nodes) = ("/proc/sys/kernel/numa_balancing", "/sys/devices/system/node/online");
    check(
        "numa_balancing",
        &[
            (&[(file, "0"), (nodes, "0-1")], Good, "stay on the node", &[]),
            (&[(file, "1"), (nodes, "0")], Good, "only one node", &[]),
            (
                &[(file, "1"), (nodes, "0-1")],
                Costs,
                "moved between nodes",
                &["numa_balancing=0"],
            ),
            (&[(file, "maybe"), (nodes, "0")], Unknown, "is not a number", &[]),
            (&[(file, "1")], Unknown, "is not there", &[]),
        ],
    );
}

#[test]
fn limits() {
    let table = |locked: &str, files: &str| {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     
Max open files            {files}                20000                files     
Max locked memory         {locked}              unlimited              bytes     
Max realtime priority     0                    0                    "
        )
    };
    let (file, status) = ("/proc/self/limits", "/proc/self/status");
    let (plain, root) = (
        (status, "CapEff:\t0000000000000000"),
        (status, "CapEff:\t000001fffeffffff"),
    );
    let (good, locked, few) = (
        table("unlimited", "1024"),
        table("65536", "1024"),
        table("unlimited", "3"),
    );
    let (words, short) = (table("much", "1024"), "Max open files 3".to_owned());
    check(
        "limits",
        &[
            (&[(file, &good)], Good, "as the engine needs", &[]),
            (&[(file, &locked), plain], Costs, "cannot be locked", &[]),
            // Who may lock memory by capability is held by no limit.
            (&[(file, &locked), root], Good, "as the engine needs", &[]),
            (&[(file, &locked), (status, "CapEff: all")], Unknown, "line CapEff", &[]),
            (&[(file, &few)], Costs, "more than is allowed", &[]),
            (&[(file, &words)], Unknown, "is not a table of numbers", &[]),
            (&[(file, &short)], Unknown, "a line for each limit", &[]),
        ],
    );
    let mut unlocked = target("1");
    unlocked.locks_memory = false;
    expect(
        "limits",
        &unlocked,
        &(&[(file, &locked), plain], Good, "as the engine needs", &[]),
    );
}

#[test]
fn region() {
    let mounts = "/proc/self/mountinfo";
    let on = |kind: &str| format!("25 24 0:23 / /dev/shm rw,relatime - {kind} none rw");
    check(
        "region",
        &[
            (&[(mounts, &on("tmpfs"))], Good, "is on tmpfs", &[]),
            (&[(mounts, &on("ext4"))], Costs, "writes back to a disk", &[]),
            (&[(mounts, "nothing")], Unknown, "is not a table of mounts", &[]),
        ],
    );
    let mut huge = target("1");
    huge.region_bytes = u64::MAX;
    expect(
        "region",
        &huge,
        &(
            &[(mounts, &on("tmpfs"))],
            Costs,
            "MiB free, and the shared files need",
            &[],
        ),
    );
}

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

#[test]
fn the_worst_comes_first_and_every_check_answers() {
    let tree = Tree::of(&[ONLINE, (ISOLATED, ""), ("/proc/sys/vm/stat_interval", "1")]);
    let findings = survey(&tree.host(), &target("1"));
    assert_eq!(findings.len(), CHECKS.len());
    let order: Vec<&str> = findings.iter().take(2).map(|finding| finding.check).collect();
    assert_eq!(order, ["isolation", "statistics"]);
    assert!(findings.is_sorted_by_key(|finding| finding.status));
    let names: std::collections::HashSet<&str> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(names.len(), CHECKS.len(), "a name is given twice");
}

#[test]
fn what_programs_read_is_what_people_read() {
    let tree = Tree::of(&[
        ONLINE,
        ("/proc/sys/vm/stat_interval", "1"),
        ("/proc/sys/kernel/osrelease", "6.18.1"),
    ]);
    let (host, target) = (tree.host(), target("1"));
    let findings = survey(&host, &target);
    let print = |print: &dyn Fn(&mut Vec<u8>)| {
        let mut text = Vec::new();
        print(&mut text);
        String::from_utf8(text).unwrap()
    };
    let table = print(&|out| print_table(&findings, &host, &target, out).unwrap());
    assert!(
        table.starts_with("Linux 6.18.1, hot core 1: 1 cost latency, "),
        "{table}"
    );
    assert!(table.contains("now echo 10 > /proc/sys/vm/stat_interval"), "{table}");
    assert!(table.contains("1 file can be set at once"), "{table}");
    let settings = print(&|out| print_settings(&findings, out).unwrap());
    let advice = "# statistics: vm.stat_interval = 10 in /etc/sysctl.d/90-quantumflow.conf\n";
    assert_eq!(settings, format!("/proc/sys/vm/stat_interval\t1\t10\n{advice}"));
    let json: Value = serde_json::from_str(&print(&|out| print_json(&findings, &host, &target, out).unwrap())).unwrap();
    assert_eq!(json["hot_cores"], serde_json::json!([1]));
    assert_eq!(json["findings"][0]["check"], "statistics");
    assert_eq!(json["findings"][0]["status"], "costs");
    assert_eq!(json["findings"][0]["settings"][0]["to"], "10");
}

/// Every file that a check may ask for.
const FILES: [&str; 33] = [
    "/dev/cpu_dma_latency",
    "/etc/default/irqbalance",
    "/proc/7/comm",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/interrupts",
    "/proc/irq/40/smp_affinity_list",
    "/proc/self/limits",
    "/proc/self/mountinfo",
    "/proc/self/status",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/nmi_watchdog",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/sched_rt_period_us",
    "/proc/sys/kernel/sched_rt_runtime_us",
    "/proc/sys/kernel/watchdog",
    "/proc/sys/kernel/watchdog_cpumask",
    "/proc/sys/net/core/busy_poll",
    "/proc/sys/net/core/busy_read",
    "/proc/sys/vm/stat_interval",
    "/proc/sys/vm/swappiness",
    "/sys/class/net/eth0/device/numa_node",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/node/online",
    "/sys/kernel/mm/transparent_hugepage/enabled",
];

/// Bytes that look a little like what such files say.
fn odd_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[0-9a-zA-Z ,:\\-\\n\\[\\]=./]{0,60}".prop_map(String::into_bytes),
        Just(b"CPU0 CPU1\n40: 18446744073709551615 18446744073709551615 x\n41: 1".to_vec()),
        Just(b"cpu1 18446744073709551615 18446744073709551615 1 1 1 1 1 18446744073709551615".to_vec()),
        Just(b"0-8191".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing that a file says can stop the survey.
    #[test]
    fn no_host_is_too_odd_to_be_looked_at(texts in prop::collection::vec(odd_text(), FILES.len()), hot in 0usize..3) {
        let tree = Tree::of(&[("/proc/version", "")]);
        for (file, text) in FILES.iter().zip(texts) {
            let path = tree.host().path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let target = target(["", "1", "0-3"][hot]);
        let findings = survey(&tree.host(), &target);
        prop_assert_eq!(findings.len(), CHECKS.len());
        for finding in &findings {
            prop_assert!(is_whole(finding), "{:?}", finding);
        }
        print_table(&findings, &tree.host(), &target, &mut Vec::new()).unwrap();
        print_json(&findings, &tree.host(), &target, &mut Vec::new()).unwrap();
    }
}
