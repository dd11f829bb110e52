//! What the kernel does beside: watchdogs, statistics, throttling, mitigations; and how old it is.

use super::{Host, Seen, Target, Unread, Verdict};

pub(super) fn watchdogs(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let nmi = host.read("/proc/sys/kernel/nmi_watchdog")?;
    let soft = host.read("/proc/sys/kernel/watchdog")?;
    let mask = host.read("/proc/sys/kernel/watchdog_cpumask")?;
    let (nmi_is_on, soft_is_on) = (nmi.number::<u8>()? != 0, soft.number::<u8>()? != 0);
    let watched = match soft_is_on {
        true => mask.cpus()?.and(&target.hot_or_any(host)?),
        false => Default::default(),
    };
    let seen = [nmi.clone(), soft, mask.clone()];
    if !nmi_is_on && watched.is_empty() {
        return Ok(Verdict::good("no watchdog looks after the hot core").seen(seen));
    }
    let says = match (nmi_is_on, watched.is_empty()) {
        (true, true) => "the NMI watchdog is on".to_owned(),
        (true, false) => format!("the NMI watchdog is on, and the soft one watches core {watched}"),
        (false, _) => format!("the soft watchdog watches core {watched}"),
    };
    let mut verdict = Verdict::costs(
        says,
        "each watched core is interrupted to prove that it lives; a thread that spins is what they take for a hang",
    )
    .seen(seen);
    if nmi_is_on {
        verdict = verdict.sysctl(&nmi, "0");
    }
    let others = mask.cpus()?.without(&target.hot);
    Ok(match (watched.is_empty(), target.hot.is_empty(), others.is_empty()) {
        (true, ..) => verdict,
        (_, true, _) => verdict.by_hand("name the hot core: it can be taken out of watchdog_cpumask"),
        (.., true) => verdict.by_hand("echo 0 > /proc/sys/kernel/watchdog: no other core is watched"),
        _ => verdict.sysctl(&mask, &others.to_string()),
    })
}

/// What `tuned` sets in its profile `network-latency`.
const STAT_INTERVAL_S: u32 = 10;

pub(super) fn statistics(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    let seen = host.read("/proc/sys/vm/stat_interval")?;
    let seconds: u32 = seen.number()?;
    Ok(match seconds >= STAT_INTERVAL_S {
        true => Verdict::good(format!("memory statistics are gathered every {seconds} s")),
        false => Verdict::costs(
            format!("memory statistics are gathered every {seconds} s"),
            "a worker of the kernel runs on each core that has counted something, and the hot thread waits for it",
        )
        .sysctl(&seen, &STAT_INTERVAL_S.to_string()),
    }
    .seen([seen]))
}

/// A hot thread of a running engine under a real-time policy, with its `stat` file.
fn real_time_engine(host: &Host) -> Result<Option<Seen>, Unread> {
    /// SCHED_FIFO and SCHED_RR.
    const REAL_TIME: [&str; 2] = ["1", "2"];
    /// The policy is the 41st field of `stat`, and the first behind the name is the 3rd.
    const POLICY_AFTER_NAME: usize = 38;
    for pid in host.numbers("/proc", "")? {
        // Processes come and go: one that has gone is none of ours.
        let named = |file: &str, name: &str| host.read(file).is_ok_and(|seen| seen.value == name);
        if !named(&format!("/proc/{pid}/comm"), "quantumflow") {
            continue;
        }
        let threads = host.numbers(&format!("/proc/{pid}/task"), "").unwrap_or_default();
        for thread in threads {
            let dir = format!("/proc/{pid}/task/{thread}");
            let Ok(stat) = host.read(&format!("{dir}/stat")) else {
                continue;
            };
            let fields = stat.value.rsplit_once(')').map_or("", |(_, fields)| fields);
            let policy = fields.split_ascii_whitespace().nth(POLICY_AFTER_NAME);
            if named(&format!("{dir}/comm"), "hot-0") && policy.is_some_and(|policy| REAL_TIME.contains(&policy)) {
                return Ok(Some(Seen::new(&stat.file, "hot-0 is under a real-time policy")));
            }
        }
    }
    Ok(None)
}

pub(super) fn rt_throttling(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    let runtime = host.read("/proc/sys/kernel/sched_rt_runtime_us")?;
    let period = host.read("/proc/sys/kernel/sched_rt_period_us")?;
    let (runtime_us, period_us): (i64, i64) = (runtime.number()?, period.number()?);
    let seen = [runtime.clone(), period];
    if runtime_us == -1 || runtime_us >= period_us {
        return Ok(Verdict::good("real-time threads are not held back").seen(seen));
    }
    let Some(thread) = real_time_engine(host)? else {
        let says =
            "real-time threads are held back, which the hot thread is not one of unless somebody made it so (chrt)";
        return Ok(Verdict::good(says).seen(seen));
    };
    Ok(Verdict::costs(
        format!(
            "the hot thread is held back for {} of {period_us} us",
            period_us - runtime_us
        ),
        "a real-time thread that spins is stopped for the rest of each period",
    )
    .seen(seen)
    .seen([thread])
    .by_hand("do not use chrt on the engine: on an isolated core it gains nothing")
    .by_hand(format!(
        "echo -1 > {}, if it must be: threads of the kernel on that core then starve",
        runtime.file
    )))
}

pub(super) fn mitigations(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    const DIR: &str = "/sys/devices/system/cpu/vulnerabilities";
    let mut active = Vec::new();
    let names = host.list(DIR)?;
    for name in &names {
        let seen = host.read(&format!("{DIR}/{name}"))?;
        let known = [
            "Mitigation",
            "Not affected",
            "Vulnerable",
            "Unknown",
            "KVM",
            "Processor vulnerable",
        ];
        if !known.iter().any(|word| seen.value.starts_with(word)) {
            return Err(seen.is_not("a state of a vulnerability"));
        }
        if seen.value.starts_with("Mitigation") {
            active.push(seen);
        }
    }
    if active.is_empty() {
        return Ok(Verdict::good("none is at work").seen([Seen::new(DIR, format!("{} looked at", names.len()))]));
    }
    Ok(Verdict::costs(
        format!("{} of {} mitigations are at work", active.len(), names.len()),
        "each way into the kernel and back is longer, and so every read from a socket",
    )
    .at_boot("mitigations=off on the kernel's command line, only where nothing runs but what you trust")
    .seen(active))
}

/// Since which release the kernel lets a thread poll network cards in which way.
const BUSY_POLL_SINCE: [((u32, u32), &str); 3] = [
    ((5, 11), "SO_PREFER_BUSY_POLL"),
    ((6, 9), "busy polling by epoll instance"),
    ((6, 13), "interrupts suspended while a thread polls"),
];

pub(super) fn release(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    let seen = host.read("/proc/sys/kernel/osrelease")?;
    let mut numbers = seen.value.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(seen.is_not("a release such as 6.12.1"));
    };
    let lacking = BUSY_POLL_SINCE.iter().find(|(since, _)| (major, minor) < *since);
    Ok(match lacking {
        None => Verdict::good(format!("Linux {major}.{minor} has every way of busy polling")),
        Some(((since_major, since_minor), what)) => Verdict::costs(
            format!("Linux {major}.{minor} lacks {what} ({since_major}.{since_minor}) and later ways of busy polling"),
            "the network card interrupts somebody although the hot thread would have looked itself",
        )
        .at_boot("a newer kernel"),
    }
    .seen([seen]))
}
