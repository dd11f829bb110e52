//! Which interrupts may fire on the hot cores, how often they did, and who may move them back.

use super::isolation::isolated;
use super::{CpuList, Host, Seen, Target, Unread, Verdict};

/// `/proc/interrupts`: how often each source interrupted each processor since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    /// In the file's order. Sources that are counted for the whole host only (`ERR`, `MIS`) are left out.
    pub sources: Vec<Source>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The number of a device's interrupt, or the kernel's word for one of its own: `36`, `LOC`.
    pub id: String,
    /// The device's handler, or what the kernel says of its own: `virtio1-req.0`, `Local timer interrupts`.
    pub name: String,
    /// Processor and count.
    counts: Vec<(usize, u64)>,
}

impl Source {
    /// How often it came on these.
    pub fn count_on(&self, cores: &CpuList) -> u64 {
        let on = self.counts.iter().filter(|(cpu, _)| cores.contains(*cpu));
        on.fold(0, |all: u64, (_, count)| all.saturating_add(*count))
    }

    /// Whether a device sends it; the kernel's own have words for numbers.
    fn is_device(&self) -> bool {
        self.id.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl Interrupts {
    /// Where it is.
    pub const FILE: &str = "/proc/interrupts";

    /// Reads the file.
    pub fn read(host: &Host) -> Result<Self, Unread> {
        let seen = host.read(Self::FILE)?;
        Self::parse(&seen.value).ok_or_else(|| seen.is_not("a table that begins with CPU0"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let cpus: Option<Vec<usize>> = lines
            .next()?
            .split_ascii_whitespace()
            .map(|word| word.strip_prefix("CPU")?.parse().ok())
            .collect();
        let cpus = cpus.filter(|cpus| !cpus.is_empty())?;
        let sources = lines.filter_map(|line| source(line, &cpus)).collect();
        Some(Self { sources })
    }

    /// What came on `cores` since `before`, the most frequent first.
    pub fn since(&self, before: &Self, cores: &CpuList) -> Vec<(&Source, u64)> {
        let earlier = |source: &Source| {
            let same = before.sources.iter().find(|other| other.id == source.id);
            same.map_or(0, |other| other.count_on(cores))
        };
        let mut grown: Vec<(&Source, u64)> = self
            .sources
            .iter()
            .map(|source| (source, source.count_on(cores).saturating_sub(earlier(source))))
            .filter(|(_, count)| *count > 0)
            .collect();
        grown.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        grown
    }
}

/// `  36:      0   3483491  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0`
fn source(line: &str, cpus: &[usize]) -> Option<Source> {
    let (id, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace();
    let counts: Option<Vec<(usize, u64)>> = cpus
        .iter()
        .map(|cpu| Some((*cpu, words.next()?.parse().ok()?)))
        .collect();
    let counts = counts?;
    let words: Vec<&str> = words.collect();
    // Chip, its own number, how it triggers, and then the handlers; the kernel's own have only a text.
    let triggers = ["edge", "level", "fasteoi", "simple", "percpu"];
    let is_trigger = |word: &&str| {
        let kind = word.rsplit('-').next().unwrap_or(word).to_ascii_lowercase();
        triggers.contains(&kind.as_str())
    };
    let handler = words.iter().position(is_trigger).map_or(0, |at| at + 1);
    let name = if handler < words.len() {
        &words[handler..]
    } else {
        &words[..]
    };
    Some(Source {
        id: id.trim().to_owned(),
        name: name.join(" "),
        counts,
    })
}

/// How many are named; the others are counted.
const NAMED_MAX: usize = 4;

pub(super) fn interrupts(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let hot = target.hot()?;
    let others = host.online()?.without(hot);
    let table = Interrupts::read(host)?;
    let devices: Vec<&Source> = table.sources.iter().filter(|source| source.is_device()).collect();
    let mut may_fire = Vec::new();
    let mut unread = None;
    for source in &devices {
        match host
            .read(&format!("/proc/irq/{}/smp_affinity_list", source.id))
            .and_then(|seen| {
                let cores = seen.cpus()?;
                Ok((seen, cores))
            }) {
            Ok((seen, cores)) if !cores.and(hot).is_empty() => may_fire.push((*source, seen, cores)),
            Ok(_) => {}
            Err(error) => unread = Some(error),
        }
    }
    if let Some(error) = unread
        && may_fire.is_empty()
    {
        return Err(error);
    }
    if may_fire.is_empty() {
        let total = Seen::new(Interrupts::FILE, format!("{} interrupts of devices", devices.len()));
        return Ok(Verdict::good(format!("no device may interrupt core {hot}")).seen([total]));
    }
    may_fire.sort_by_key(|(source, ..)| std::cmp::Reverse(source.count_on(hot)));
    let mut verdict = Verdict::costs(
        format!(
            "{} of {} interrupts of devices may fire on core {hot}",
            may_fire.len(),
            devices.len()
        ),
        "each takes the core away for its handler and the soft interrupt behind it, and leaves cold caches",
    );
    for (source, seen, _) in may_fire.iter().take(NAMED_MAX) {
        let came = format!("{} ({}, came {} times)", seen.value, source.name, source.count_on(hot));
        verdict = verdict.seen([Seen::new(&seen.file, came)]);
    }
    if others.is_empty() {
        return Ok(verdict.by_hand("every core is hot: leave one for the interrupts"));
    }
    for (_, seen, cores) in &may_fire {
        let left = cores.without(hot).and(&others);
        let to = if left.is_empty() { &others } else { &left };
        verdict = verdict.set(&seen.file, &seen.value, to.to_string());
    }
    Ok(verdict.at_boot(format!("irqaffinity={others} on the kernel's command line")))
}

const IRQBALANCE_FILES: [&str; 2] = ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"];

pub(super) fn irqbalance(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let hot = target.hot()?;
    let mut running = None;
    for pid in host.numbers("/proc", "")? {
        // A process may be gone by now.
        if let Ok(seen) = host.read(&format!("/proc/{pid}/comm"))
            && seen.value == "irqbalance"
        {
            running = Some(seen);
        }
    }
    let Some(running) = running else {
        return Ok(Verdict::good("irqbalance is not running").seen([Seen::new("/proc", "no process irqbalance")]));
    };
    let (mut banned, _) = isolated(host)?;
    if let Some(nohz) = host.read_if_there("/sys/devices/system/cpu/nohz_full")? {
        banned = banned.or(&nohz.cpus()?);
    }
    let mut seen = vec![running];
    for file in IRQBALANCE_FILES {
        if let Some(settings) = host.read_if_there(file)? {
            let lines = settings
                .value
                .lines()
                .map(|line| line.trim().trim_start_matches("export "));
            if let Some(list) = lines
                .filter_map(|line| line.strip_prefix("IRQBALANCE_BANNED_CPULIST="))
                .next_back()
            {
                let list = Seen::new(file, list.trim_matches(['"', '\'']));
                banned = banned.or(&list.cpus()?);
                seen.push(list);
            }
        }
    }
    let open = hot.without(&banned);
    Ok(match open.is_empty() {
        true => Verdict::good(format!("irqbalance is running and leaves core {hot} alone")),
        false => Verdict::costs(
            format!("irqbalance is running and may use core {open}"),
            "it moves interrupts to cores as it sees fit, back to the hot one too",
        )
        .by_hand("systemctl stop irqbalance")
        .at_boot(format!(
            "systemctl disable irqbalance, or IRQBALANCE_BANNED_CPULIST={hot} in {}",
            IRQBALANCE_FILES[0]
        )),
    }
    .seen(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "           CPU0       CPU2
  0:         33          0  IR-IO-APIC   2-edge      timer
 36:          5    3483491 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 37:          0          7  GICv3  25 Level     arch_timer, other
LOC:   31174282   32428083   Local timer interrupts
ERR:          0
";

    #[test]
    fn the_table_is_read_by_the_numbers_of_its_processors() {
        let table = Interrupts::parse(TABLE).unwrap();
        let line = |source: &Source| (source.id.clone(), source.name.clone(), source.count_on(&CpuList::of(2)));
        let lines: Vec<_> = table.sources.iter().map(line).collect();
        let expected = [
            ("0", "timer", 0),
            ("36", "virtio1-req.0", 3_483_491),
            ("37", "arch_timer, other", 7),
            ("LOC", "Local timer interrupts", 32_428_083),
        ];
        assert_eq!(
            lines,
            expected.map(|(id, name, count)| (id.to_owned(), name.to_owned(), count))
        );
    }

    #[test]
    fn what_is_no_table_is_none() {
        for text in ["", "\n", "hello", "CPU0 CPUx\n1: 2 3\n"] {
            assert_eq!(Interrupts::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn growth_is_of_one_core_and_the_most_frequent_first() {
        let before = Interrupts::parse(TABLE).unwrap();
        let after = TABLE
            .replace("32428083", "32428099")
            .replace("3483491", "3493491")
            .replace("33 ", "99 ");
        let after = Interrupts::parse(&after).unwrap();
        let grown = after.since(&before, &CpuList::of(2));
        let grown: Vec<(&str, u64)> = grown
            .iter()
            .map(|(source, count)| (source.id.as_str(), *count))
            .collect();
        assert_eq!(grown, [("36", 10_000), ("LOC", 16)]);
    }
}
