//! Whether the hot cores are the engine's alone: pinning, the scheduler, its tick, RCU's callbacks, others' timers.

use super::{CpuList, Host, Seen, Target, Unread, Verdict};

const CMDLINE: &str = "/proc/cmdline";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const CGROUP_ISOLATED: &str = "/sys/fs/cgroup/cpuset.cpus.isolated";
const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";

pub(super) fn pinning(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    const COSTS: &str = "the scheduler moves the hot thread between cores, and each move leaves its caches behind";
    let online = host.read("/sys/devices/system/cpu/online")?;
    if target.hot.is_empty() {
        return Ok(Verdict::costs("no core is named for the hot thread", COSTS)
            .seen([online])
            .by_hand(
                "set engine.core in the configuration, and look again with --config; or look at a core with --core",
            ));
    }
    let absent = target.hot.without(&online.cpus()?);
    if !absent.is_empty() {
        return Ok(Verdict::costs(
            format!("core {absent} is not online: a thread cannot be pinned to it"),
            COSTS,
        )
        .seen([online])
        .by_hand("name a core that is online, or bring that one back"));
    }
    Ok(Verdict::good(format!("core {} is online", target.hot)).seen([online]))
}

/// The isolated cores, by the boot parameter or by cpuset partitions, and where that was seen.
pub(super) fn isolated(host: &Host) -> Result<(CpuList, Vec<Seen>), Unread> {
    let boot = host.read(ISOLATED)?;
    let mut cores = boot.cpus()?;
    let mut seen = vec![boot];
    if let Some(partitions) = host.read_if_there(CGROUP_ISOLATED)? {
        cores = cores.or(&partitions.cpus()?);
        seen.push(partitions);
    }
    Ok((cores, seen))
}

pub(super) fn isolation(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let hot = target.hot()?;
    let (isolated, seen) = isolated(host)?;
    let open = hot.without(&isolated);
    Ok(match open.is_empty() {
        true => Verdict::good(format!("core {hot} is isolated from the scheduler")),
        false => Verdict::costs(
            format!("core {open} is not isolated"),
            "the scheduler may run any thread there, and the hot one waits until that has had its turn",
        )
        .by_hand(format!(
            "keep the other services away: systemctl set-property --runtime system.slice AllowedCPUs={} (and user.slice)",
            or_none(&host.online()?.without(hot))
        ))
        .at_boot(format!("isolcpus=managed_irq,domain,{hot} on the kernel's command line")),
    }
    .seen(seen))
}

fn or_none(cores: &CpuList) -> String {
    match cores.is_empty() {
        true => "<no other core is there>".to_owned(),
        false => cores.to_string(),
    }
}

pub(super) fn tick(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let hot = target.hot()?;
    let absence = "the kernel was built without CONFIG_NO_HZ_FULL, and its tick stays on";
    let seen = host.read(NOHZ_FULL).map_err(|error| error.meaning(absence))?;
    let ticking = hot.without(&seen.cpus()?);
    Ok(match ticking.is_empty() {
        true => Verdict::good(format!("the tick is off on core {hot} while one thread runs there")),
        false => Verdict::costs(
            format!("the scheduler's tick interrupts core {ticking}"),
            "an interrupt for the scheduler, as often as the kernel was built for, though there is nothing to schedule",
        )
        .at_boot(format!("nohz_full={hot} on the kernel's command line")),
    }
    .seen([seen]))
}

/// The processors that a parameter of the kernel's command line lists; `None` where it is not there or has no list.
fn boot_list(host: &Host, cmdline: &Seen, name: &str) -> Result<Option<(CpuList, Seen)>, Unread> {
    // The last one holds.
    let words = cmdline.value.split_ascii_whitespace();
    let Some(list) = words
        .filter_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .next_back()
    else {
        return Ok(None);
    };
    let seen = Seen::new(CMDLINE, format!("{name}={list}"));
    let last = host
        .read("/sys/devices/system/cpu/possible")?
        .cpus()?
        .last()
        .unwrap_or_default();
    let cores = CpuList::parse_boot(list, last).map_err(|_| seen.is_not("a list of processors"))?;
    Ok(Some((cores, seen)))
}

pub(super) fn rcu_callbacks(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let hot = target.hot()?;
    // nohz_full= moves the callbacks away as well.
    if let Some(seen) = host.read_if_there(NOHZ_FULL)?
        && hot.without(&seen.cpus()?).is_empty()
    {
        return Ok(Verdict::good("nohz_full moves RCU's callbacks to other cores as well").seen([seen]));
    }
    let cmdline = host.read(CMDLINE)?;
    let (moved, seen) = boot_list(host, &cmdline, "rcu_nocbs")?
        .unwrap_or_else(|| (CpuList::default(), Seen::new(CMDLINE, "no rcu_nocbs= in it")));
    let own = hot.without(&moved);
    Ok(match own.is_empty() {
        true => Verdict::good(format!("RCU's callbacks of core {hot} run on others")),
        false => Verdict::costs(
            format!("RCU's callbacks of core {own} run on it"),
            "the kernel frees what others have given up, in the middle of the hot thread's time",
        )
        .at_boot(format!(
            "rcu_nocbs={hot} on the kernel's command line (nohz_full={hot} does it as well)"
        )),
    }
    .seen([seen]))
}

pub(super) fn timer_migration(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let seen = host.read("/proc/sys/kernel/timer_migration")?;
    if let Some(nohz) = host.read_if_there(NOHZ_FULL)?
        && !target.hot.is_empty()
        && target.hot.without(&nohz.cpus()?).is_empty()
    {
        return Ok(Verdict::good("cores of nohz_full take over no timers").seen([nohz, seen]));
    }
    Ok(match seen.number()? {
        0 => Verdict::good("timers stay on the core that set them"),
        1 => Verdict::costs(
            "timers move from idle cores to busy ones",
            "a core that spins is the busy one: it runs the timers of those that sleep",
        )
        .sysctl(&seen, "0"),
        2.. => return Err(seen.is_not("0 or 1")),
        i64::MIN..0 => return Err(seen.is_not("0 or 1")),
    }
    .seen([seen]))
}
