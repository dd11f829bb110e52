//! Each check on made-up hosts: as it should be, as it should not, without its files, and with nonsense in them.

mod cores;
mod memory;
mod processor;
mod system;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use quantumflow_feeds::net::IdleStrategy;
use serde_json::Value;
use tempfile::TempDir;

use super::Status::{Costs, Unknown};
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
    assert_eq!(found.costs.is_some(), status == Costs, "{told}");
    assert!(is_whole(&found), "{told}");
}

/// Rows of a check with core 1 hot, and the same check on a host without any file.
fn check(name: &str, rows: &[Row<'_>]) {
    for row in rows {
        expect(name, &target("1"), row);
    }
    expect(name, &target("1"), &(&[], Unknown, "is not there", &[]));
}

const ONLINE: (&str, &str) = ("/sys/devices/system/cpu/online", "0-3");
const POSSIBLE: (&str, &str) = ("/sys/devices/system/cpu/possible", "0-3");
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const NOHZ: &str = "/sys/devices/system/cpu/nohz_full";
const CPUINFO: &str = "/proc/cpuinfo";

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

/// Files that checks ask for.
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
