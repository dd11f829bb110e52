//! The hot cores themselves: how fast they run, how deep they sleep, with whom they share.

use quantumflow_feeds::net::IdleStrategy;

use super::isolation::isolated;
use super::{CpuList, Host, Seen, Target, Unread, Verdict};

fn cpu_file(cpu: usize, rest: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/{rest}")
}

/// A file of each core, which has to say one of `wanted`.
fn of_each(
    host: &Host,
    target: &Target,
    rest: &str,
    absence: &str,
    wanted: &[&str],
    verdict: impl Fn(&str) -> Verdict,
) -> Result<Verdict, Unread> {
    let cores = target.hot_or_any(host)?;
    let mut all = Vec::new();
    for cpu in cores.iter() {
        let seen = host
            .read(&cpu_file(cpu, rest))
            .map_err(|error| error.meaning(absence))?;
        let is_word = seen
            .value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if seen.value.is_empty() || !is_word {
            return Err(seen.is_not("one word"));
        }
        all.push(seen);
    }
    let Some(first) = all.first().cloned() else {
        return Err(Unread::Unasked("no core is online".to_owned()));
    };
    let is_wrong = |seen: &&Seen| !wanted.contains(&seen.value.as_str());
    let Some(wrong) = all.iter().find(is_wrong) else {
        return Ok(Verdict::good(format!("core {cores}: {}", first.value)).seen([first]));
    };
    let mut verdict = verdict(&format!("core {cores}: {}", wrong.value)).seen([wrong.clone()]);
    for seen in all.iter().filter(is_wrong) {
        verdict = verdict.set(&seen.file, &seen.value, wanted[0]);
    }
    Ok(verdict)
}

pub(super) fn governor(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    const FILE: &str = "cpufreq/scaling_governor";
    const ABSENCE: &str = "the firmware or the hypervisor decides how fast the core runs";
    of_each(host, target, FILE, ABSENCE, &["performance"], |says| {
        Verdict::costs(
            says,
            "the clock follows the load with a delay: after a quiet moment the core is slow when a message comes",
        )
        .at_boot("cpufreq.default_governor=performance on the kernel's command line")
    })
}

pub(super) fn energy_preference(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    const FILE: &str = "cpufreq/energy_performance_preference";
    const ABSENCE: &str = "this processor or its driver is not told one";
    of_each(host, target, FILE, ABSENCE, &["performance", "0"], |says| {
        Verdict::costs(
            says,
            "the processor itself is told to prefer saving energy to raising its clock",
        )
        .at_boot(format!(
            "in /etc/tmpfiles.d/quantumflow.conf: w {} - - - - performance",
            "/sys/devices/system/cpu/cpu*/".to_owned() + FILE
        ))
    })
}

pub(super) fn turbo(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    // Intel's driver has a file of its own, which says the opposite.
    let (seen, on) = match host.read_if_there("/sys/devices/system/cpu/intel_pstate/no_turbo")? {
        Some(seen) => (seen, "0"),
        None => {
            let boost = host.read("/sys/devices/system/cpu/cpufreq/boost");
            let absence = "the firmware or the hypervisor decides about turbo";
            (boost.map_err(|error| error.meaning(absence))?, "1")
        }
    };
    match seen.value.as_str() {
        value if value == on => Ok(Verdict::good("the clock may rise above its nominal rate").seen([seen])),
        "0" | "1" => Ok(Verdict::costs(
            "the clock may not rise above its nominal rate",
            "all that the hot thread computes takes longer; some prefer it for an even pace when all cores work",
        )
        .by_hand(format!("echo {on} > {}", seen.file))
        .at_boot("allow turbo (boost) in the firmware, and look for what turned it off")
        .seen([seen])),
        _ => Err(seen.is_not("0 or 1")),
    }
}

/// What the kernel says where nobody has asked for a limit.
const NO_LATENCY_LIMIT_US: i64 = 2_000_000_000;

/// The longest wake-up, in microseconds, that the whole host and this core allow. The file of the host is for root alone;
/// without it there is no limit that is known.
fn wake_up_limit_us(host: &Host, cpu: usize) -> Result<(i64, Vec<Seen>), Unread> {
    const HOST_FILE: &str = "/dev/cpu_dma_latency";
    let mut seen = Vec::new();
    let mut limit = NO_LATENCY_LIMIT_US;
    if let Ok(bytes) = host.read_bytes(HOST_FILE)
        && let Ok(bytes) = <[u8; 4]>::try_from(bytes)
    {
        limit = i32::from_ne_bytes(bytes).into();
        let says = if limit == NO_LATENCY_LIMIT_US {
            "no limit".to_owned()
        } else {
            format!("{limit} us")
        };
        seen.push(Seen::new(HOST_FILE, says));
    }
    if let Some(own) = host.read_if_there(&cpu_file(cpu, "power/pm_qos_resume_latency_us"))? {
        // "n/a" allows none at all, and 0 any.
        limit = match own.value.as_str() {
            "n/a" => 0,
            "0" => limit,
            _ => limit.min(own.number()?),
        };
        seen.push(own);
    }
    Ok((limit, seen))
}

pub(super) fn idle_states(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let cores = target.hot_or_any(host)?;
    let mut deep = Vec::new();
    let mut limits = Vec::new();
    for cpu in cores.iter() {
        let (limit_us, seen) = wake_up_limit_us(host, cpu)?;
        for state in host.numbers(&cpu_file(cpu, "cpuidle"), "state")? {
            let file = |rest: &str| host.read(&cpu_file(cpu, &format!("cpuidle/state{state}/{rest}")));
            let (name, latency, disable) = (file("name")?, file("latency")?, file("disable")?);
            let latency_us: i64 = latency.number()?;
            // State 0 polls or is the first halt, and 1 the lightest halt: from there on, caches and clocks are given up.
            if state > 1 && disable.number::<i64>()? == 0 && latency_us <= limit_us {
                deep.push((cpu, name.value, latency, disable));
            }
        }
        limits = seen;
    }
    let Some((cpu, name, latency, _)) = deep.last() else {
        return Ok(Verdict::good(format!("core {cores} has no deep idle state that it may enter")).seen(limits));
    };
    let says = format!(
        "core {cpu} may sleep in {name}, which takes {} us to leave",
        latency.value
    );
    if target.idle == IdleStrategy::Spin && !target.hot.is_empty() {
        return Ok(Verdict::good(format!("{says}; but with idle = \"spin\" it never sleeps")).seen([latency.clone()]));
    }
    let mut verdict = Verdict::costs(
        says,
        "a message that comes while the core sleeps waits for it to wake; engine.idle = \"spin\" never lets it sleep",
    )
    .seen([latency.clone()])
    .seen(limits)
    .at_boot("intel_idle.max_cstate=1 processor.max_cstate=1 on the kernel's command line, for all cores")
    .at_boot("or a service that holds /dev/cpu_dma_latency open with a low value, for as long as it runs");
    // Of one core that is named, not of all: they would heat the host, and take the turbo from the hot one.
    match target.hot.is_empty() {
        true => verdict = verdict.by_hand("name the hot core to see the files: only its idle states have to go"),
        false => {
            for (.., disable) in &deep {
                verdict = verdict.set(&disable.file, &disable.value, "1");
            }
        }
    }
    Ok(verdict)
}

pub(super) fn smt(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let cores = target.hot_or_any(host)?;
    let mut all = Vec::new();
    for cpu in cores.iter() {
        let seen = host.read(&cpu_file(cpu, "topology/thread_siblings_list"))?;
        let siblings = seen.cpus()?.without(&CpuList::of(cpu));
        all.push((cpu, siblings, seen));
    }
    let Some((cpu, siblings, seen)) = all.iter().find(|(_, siblings, _)| !siblings.is_empty()) else {
        let seen = all.into_iter().map(|(.., seen)| seen).take(1);
        return Ok(Verdict::good(format!("core {cores} has its execution units to itself")).seen(seen));
    };
    let says = format!("core {cpu} shares its execution units with {siblings}");
    let (isolated, _) = isolated(host)?;
    let open = all
        .iter()
        .any(|(_, siblings, _)| !siblings.without(&isolated).is_empty() || !siblings.and(&target.hot).is_empty());
    Ok(match open {
        false => Verdict::good(format!("{says}, which is isolated as well")),
        true => Verdict::costs(
            format!("{says}, which others may use"),
            "what runs on the sibling takes execution units and cache from the hot thread at any moment",
        )
        .by_hand(format!(
            "echo 0 > /sys/devices/system/cpu/cpu{}/online",
            siblings.last().unwrap_or(*cpu)
        ))
        .at_boot("nosmt on the kernel's command line, or the sibling in isolcpus= and left unused"),
    }
    .seen([seen.clone()]))
}
