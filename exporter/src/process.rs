//! Processes as `/proc` tells them: the `process_*` metrics that every Prometheus client has, for the exporter itself and,
//! under a prefix of their own, for the engine.
//!
//! The `prometheus` crate's collector counts processor time in whole seconds, which for a process that uses a
//! thousandth of a core moves every quarter of an hour. Four small files tell it in hundredths.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use quantumflow_region::RegionInfo;

use crate::engine::ENGINE;
use crate::family::{Families, Type, Value, labels};

/// What does not change while the process lives, read once.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    ticks_per_s: f64,
    page_bytes: f64,
    start_unix_s: Option<f64>,
}

impl Process {
    /// The calling process.
    pub fn current() -> Self {
        let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
        // Linux on every 64-bit platform of today: 100 ticks a second. The page size differs.
        let ticks_per_s = aux_value(&auxv, AT_CLKTCK).unwrap_or(100) as f64;
        let page_bytes = aux_value(&auxv, AT_PAGESZ).unwrap_or(4096) as f64;
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("btime "))
                .and_then(|v| v.trim().parse::<f64>().ok())
        });
        let start = Stat::read(SELF)
            .and_then(|fields| fields.number(22))
            .map(|ticks| ticks / ticks_per_s);
        Self {
            ticks_per_s,
            page_bytes,
            start_unix_s: boot.zip(start).map(|(boot, start)| boot + start),
        }
    }

    /// Adds the metrics of this process; what `/proc` does not tell is left out.
    pub fn collect(&self, families: &mut Families) {
        let Some(stat) = Stat::read(SELF) else { return };
        let who = Who {
            prefix: "",
            name: "exporter",
            labels: &[],
            start_unix_ns: self.start_unix_s.map_or(0, |seconds| (seconds * 1e9) as u64),
        };
        self.collect_common(SELF, &stat, &who, families);
        // For one process that is not this one, the kernel tells them by living thread only.
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let kinds = [
                ("voluntary", usage.voluntary_context_switches()),
                ("involuntary", usage.involuntary_context_switches()),
            ];
            for (kind, count) in kinds {
                let help = "Times that a thread of the exporter left its core, of its own will or not.";
                let (name, labels) = ("process_context_switches_total", labels(&[("kind", kind)]));
                let value = Value::Number(count as f64);
                let taken = families.try_add(name, Type::Counter, help, labels, value, who.start_unix_ns);
                debug_assert_eq!(taken, Ok(()));
            }
        }
        if let Some(start) = self.start_unix_s {
            let help = "Start time of the exporter since the Unix epoch in seconds.";
            families.add("process_start_time_seconds", Type::Gauge, help, &[], start);
        }
        let limits = fs::read_to_string("/proc/self/limits").ok();
        let max_fds = limits.as_deref().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
            line.split_whitespace().next()?.parse().ok()
        });
        if let Some(max_fds) = max_fds {
            let help = "Most file descriptors that the exporter may open.";
            families.add("process_max_fds", Type::Gauge, help, &[], max_fds);
        }
    }

    /// Adds the metrics of the engine's process, which have a prefix of their own.
    pub fn collect_engine(&self, process: &EngineProcess, engine: &str, start_unix_ns: u64, families: &mut Families) {
        let who = Who {
            prefix: "hft_",
            name: "engine",
            labels: &[(ENGINE, engine)],
            start_unix_ns,
        };
        self.collect_common(&process.path, &process.stat, &who, families);
    }

    fn collect_common(&self, path: &str, stat: &Stat, who: &Who, families: &mut Families) {
        let mut add = |name: &str, kind, help: &str, value: Option<f64>| {
            let Some(value) = value else { return };
            let (name, help) = (
                format!("{}process_{name}", who.prefix),
                format!("{help} of the {}.", who.name),
            );
            let since = if kind == Type::Counter { who.start_unix_ns } else { 0 };
            let taken = families.try_add(&name, kind, &help, labels(who.labels), Value::Number(value), since);
            debug_assert_eq!(taken, Ok(()), "{name}");
        };
        let cpu = stat
            .number(14)
            .zip(stat.number(15))
            .map(|(user, system)| (user + system) / self.ticks_per_s);
        add(
            "cpu_seconds_total",
            Type::Counter,
            "User and system processor time in seconds",
            cpu,
        );
        let resident = stat.number(24).map(|pages| pages * self.page_bytes);
        add(
            "resident_memory_bytes",
            Type::Gauge,
            "Resident memory in bytes",
            resident,
        );
        add(
            "virtual_memory_bytes",
            Type::Gauge,
            "Virtual memory in bytes",
            stat.number(23),
        );
        add("threads", Type::Gauge, "Threads", stat.number(20));
        let help = "Page faults that had to wait for a disk";
        add("major_page_faults_total", Type::Counter, help, stat.number(12));
        // Another user's descriptors cannot be listed. Of our own, one is the listing's.
        let listing = usize::from(path == SELF);
        let fds = fs::read_dir(format!("{path}/fd"))
            .ok()
            .map(|entries| entries.count().saturating_sub(listing) as f64);
        add("open_fds", Type::Gauge, "Open file descriptors", fds);
    }
}

/// Whose metrics they are.
struct Who<'a> {
    prefix: &'a str,
    name: &'a str,
    labels: &'a [(&'a str, &'a str)],
    start_unix_ns: u64,
}

/// The process that writes the region.
pub struct EngineProcess {
    path: String,
    stat: Stat,
}

impl EngineProcess {
    /// The process that the header names, if it can be seen and is still that one: process ids are used again, and mean
    /// something else in another namespace or after another start of the host (`boot_id` is the present one's).
    pub fn of(info: &RegionInfo, boot_id: &[u8; 16]) -> Option<Self> {
        if info.boot_id != *boot_id {
            return None;
        }
        Self::find(info.pid, info.pid_start_ticks)
    }

    fn find(pid: u32, start_ticks: u64) -> Option<Self> {
        let path = format!("/proc/{pid}");
        let stat = Stat::read(&path)?;
        let started = stat.0.get(22 - Stat::FIRST)?.parse::<u64>().ok()?;
        (start_ticks != 0 && started == start_ticks).then_some(Self { path, stat })
    }

    /// How often a thread left its core, by kind: `voluntary` (it waited) and `involuntary` (it was pushed off).
    pub fn context_switches(&self, tid: u32) -> Vec<(&'static str, f64)> {
        let status = fs::read_to_string(format!("{}/task/{tid}/status", self.path)).unwrap_or_default();
        let value = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))?
                .trim()
                .parse()
                .ok()
        };
        let kinds = [
            ("voluntary", "voluntary_ctxt_switches:"),
            ("involuntary", "nonvoluntary_ctxt_switches:"),
        ];
        kinds
            .into_iter()
            .filter_map(|(kind, key)| Some((kind, value(key)?)))
            .collect()
    }
}

const SELF: &str = "/proc/self";

/// From `getauxval(3)`.
const AT_PAGESZ: u64 = 6;
const AT_CLKTCK: u64 = 17;

pub(crate) fn aux_value(auxv: &[u8], key: u64) -> Option<u64> {
    let mut words = auxv
        .chunks_exact(8)
        .map(|w| u64::from_ne_bytes(w.try_into().expect("chunks of eight")));
    std::iter::from_fn(|| Some((words.next()?, words.next()?)))
        .find(|pair| pair.0 == key)
        .map(|pair| pair.1)
}

/// A process' `stat` after the command's name.
struct Stat(Vec<String>);

impl Stat {
    /// The number of the first field kept.
    const FIRST: usize = 3;

    fn read(process: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("{process}/stat")).ok()?;
        // The name stands in parentheses and may hold any byte, parentheses too: the fields start after the last one.
        let (_, fields) = text.rsplit_once(')')?;
        Some(Self(fields.split_whitespace().map(str::to_owned).collect()))
    }

    /// Field `n` by the numbers of `proc(5)`, which count from one.
    fn number(&self, n: usize) -> Option<f64> {
        self.0.get(n.checked_sub(Self::FIRST)?)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_metrics_are_there_and_make_sense() {
        let mut families = Families::default();
        Process::current().collect(&mut families);
        let value = |name: &str| {
            let family = families.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            match family.series[0].value {
                Value::Number(value) => value,
                Value::Distribution(_) => panic!("{name} is a histogram"),
            }
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_cpu_seconds_total") < 3600.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(value("process_threads") >= 1.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    }

    #[test]
    fn an_engine_is_known_by_its_start_and_not_by_its_number_alone() {
        let pid = std::process::id();
        let started: u64 = Stat::read(SELF).unwrap().0[22 - Stat::FIRST].parse().unwrap();
        assert!(EngineProcess::find(pid, started + 1).is_none());
        assert!(EngineProcess::find(pid, 0).is_none());
        assert!(EngineProcess::find(u32::MAX, started).is_none());
        let engine = EngineProcess::find(pid, started).unwrap();
        let mut families = Families::default();
        Process::current().collect_engine(&engine, "a", 7, &mut families);
        let names: Vec<&str> = families.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("hft_process_")));
        let switches = engine.context_switches(pid);
        assert_eq!(
            switches.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            ["voluntary", "involuntary"]
        );
        assert!(engine.context_switches(0).is_empty());
    }

    #[test]
    fn the_auxiliary_vector_is_read_in_pairs() {
        let words: [u64; 6] = [17, 6, AT_PAGESZ, 4096, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        assert_eq!(aux_value(&bytes, AT_PAGESZ), Some(4096));
        assert_eq!(aux_value(&bytes, AT_CLKTCK), Some(6));
        assert_eq!(aux_value(&bytes[..20], 99), None);
    }
}
