//! The hot cores themselves.

use std::fs;

use quantumflow_feeds::net::IdleStrategy;

use super::Status::{Costs, Good, Unknown};
use super::{CHECKS, ISOLATED, ONLINE, Tree, check, expect, find, target};

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
