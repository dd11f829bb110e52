//! Whose time it is: the clock that is read, and the hypervisor that takes time away.

use super::{CpuList, Host, Seen, Target, Unread, Verdict};

const CPUINFO: &str = "/proc/cpuinfo";

/// The flags of the first processor; `None` where this architecture has none.
fn flags(host: &Host) -> Result<Option<Vec<String>>, Unread> {
    let cpuinfo = host.read(CPUINFO)?;
    if !cpuinfo.value.lines().any(|line| line.starts_with("processor")) {
        return Err(cpuinfo.is_not("a list of processors"));
    }
    let line = cpuinfo.value.lines().find(|line| line.starts_with("flags"));
    let words = line.and_then(|line| line.split_once(':'));
    Ok(words.map(|(_, words)| words.split_ascii_whitespace().map(str::to_owned).collect()))
}

pub(super) fn clock_source(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    const DIR: &str = "/sys/devices/system/clocksource/clocksource0";
    let current = host.read(&format!("{DIR}/current_clocksource"))?;
    let available = host.read(&format!("{DIR}/available_clocksource"))?;
    let is_known = |name: &str| available.value.split_ascii_whitespace().any(|word| word == name);
    if !is_known(&current.value) {
        return Err(current.is_not("one of those in available_clocksource"));
    }
    if current.value == "arch_sys_counter" {
        return Ok(Verdict::good("the architecture's counter, read without a system call").seen([current]));
    }
    // The engine's own stamps are the counter itself: it has to tick evenly, in idle states too.
    let flags = flags(host)?.unwrap_or_default();
    let lacking: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|flag| !flags.iter().any(|own| own == flag))
        .collect();
    if !lacking.is_empty() {
        return Ok(Verdict::costs(
            format!("the processor does not promise {}", lacking.join(" and ")),
            "the engine's latencies are read from a counter that may change its pace or stand still",
        )
        .seen([
            current,
            Seen::new(CPUINFO, format!("flags without {}", lacking.join(" "))),
        ])
        .by_hand("choose another host: this cannot be set"));
    }
    if current.value == "tsc" {
        return Ok(Verdict::good("tsc, constant and nonstop").seen([current]));
    }
    let verdict = Verdict::costs(
        format!("the wall clock is read from {}", current.value),
        "it is slower to read than the time-stamp counter; hpet and acpi_pm need a system call and a slow device",
    )
    .seen([current.clone(), available.clone()]);
    Ok(match is_known("tsc") {
        true => verdict.by_hand(format!("echo tsc > {}", current.file)),
        false => verdict.by_hand("dmesg | grep -i tsc says why the kernel has given the counter up"),
    }
    .at_boot("clocksource=tsc tsc=reliable on the kernel's command line, where the counter is known to be good"))
}

/// Of `/proc/stat`: the share of each processor's time since boot that the hypervisor took, in percent.
pub(super) fn stolen_percent(stat: &Seen, cores: &CpuList) -> Result<Vec<(usize, f64)>, Unread> {
    let mut stolen = Vec::new();
    for core in cores.iter() {
        let (steal, all) = stolen_ticks(&stat.value, core).ok_or_else(|| stat.is_not("a line for each core"))?;
        stolen.push((core, 100.0 * steal as f64 / all.max(1) as f64));
    }
    Ok(stolen)
}

/// Of `/proc/stat`: how many ticks of this processor the hypervisor took, and how many there were.
pub(crate) fn stolen_ticks(stat: &str, core: usize) -> Option<(u64, u64)> {
    let name = format!("cpu{core}");
    let mut words = stat.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == name).then_some(words)
    })?;
    // user nice system idle iowait irq softirq steal; guest time is in user's already.
    let mut ticks = [0u64; 8];
    for tick in &mut ticks {
        *tick = words.next()?.parse().ok()?;
    }
    Some((
        ticks[7],
        ticks.iter().fold(0, |all: u64, tick| all.saturating_add(*tick)),
    ))
}

pub(super) fn virtual_machine(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let Some(flags) = flags(host)? else {
        return Err(Unread::Unasked(format!("{CPUINFO} has no flags on this architecture")));
    };
    let cores = target.hot_or_any(host)?;
    let stolen = stolen_percent(&host.read("/proc/stat")?, &cores)?;
    if !flags.iter().any(|flag| flag == "hypervisor") {
        return Ok(Verdict::good("no hypervisor below").seen([Seen::new(CPUINFO, "flags without hypervisor")]));
    }
    let (core, percent) = stolen
        .into_iter()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, 0.0));
    Ok(Verdict::costs(
        format!("a hypervisor is below; it has taken {percent:.2} % of core {core}'s time since boot"),
        "it runs others on the core when it likes, and every interrupt and timer passes through it",
    )
    .seen([
        Seen::new(CPUINFO, "flags with hypervisor"),
        Seen::new("/proc/stat", format!("cpu{core} steal {percent:.2} %")),
    ])
    .by_hand("quantumflow jitter shows how long it stays away; a host of one's own, or cores of one's own, end it"))
}
