//! What the host and the programs on it are: from `/proc`, and from the regions' headers.
//!
//! What the kernel does not tell (a container may hide it) is `null`, never a guess.

use std::fs;

use serde::Serialize;

use super::Build;
use crate::json::Process;
use crate::source::Host;

/// The answer of `/monitoring/system/info`.
#[derive(Serialize)]
pub(super) struct Info<'a> {
    host: System,
    exporter: Exporter,
    engines: Vec<Engine<'a>>,
}

#[derive(Serialize)]
struct Exporter {
    #[serde(flatten)]
    build: Build,
    pid: u32,
}

#[derive(Serialize)]
struct Engine<'a> {
    engine: &'a str,
    state: &'static str,
    process: Option<Process<'a>>,
}

impl<'a> Info<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        let engines = host.engines.iter().map(|sight| Engine {
            engine: &sight.engine,
            state: sight.view.condition.name(),
            process: Process::of(sight),
        });
        Self {
            host: System::read(),
            exporter: Exporter {
                build: Build::EXPORTER,
                pid: std::process::id(),
            },
            engines: engines.collect(),
        }
    }
}

/// The host as its kernel describes it.
#[derive(Debug, Serialize)]
struct System {
    hostname: Option<String>,
    kernel: Option<String>,
    /// Of the host. The exporter itself may be allowed on fewer.
    cores_online: Option<usize>,
    cores_of_exporter: Option<usize>,
    /// The list on the kernel's command line (`isolcpus`), as the kernel prints it; empty where there is none.
    cores_isolated: Option<String>,
    memory_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    huge_pages_total: Option<u64>,
    huge_pages_free: Option<u64>,
    page_size_bytes: Option<u64>,
    /// Over 1, 5 and 15 minutes.
    load: Option<[f64; 3]>,
    uptime_seconds: Option<f64>,
}

impl System {
    fn read() -> Self {
        let line = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            hostname: line("/proc/sys/kernel/hostname"),
            kernel: line("/proc/sys/kernel/osrelease"),
            cores_online: cores(&stat),
            cores_of_exporter: std::thread::available_parallelism().ok().map(usize::from),
            cores_isolated: line("/sys/devices/system/cpu/isolated"),
            memory_bytes: kilobytes(&memory, "MemTotal"),
            memory_available_bytes: kilobytes(&memory, "MemAvailable"),
            huge_pages_total: count(&memory, "HugePages_Total"),
            huge_pages_free: count(&memory, "HugePages_Free"),
            page_size_bytes: page_size_bytes(),
            load: line("/proc/loadavg").and_then(|text| load(&text)),
            uptime_seconds: line("/proc/uptime").and_then(|text| text.split(' ').next()?.parse().ok()),
        }
    }
}

/// The lines `cpu0`, `cpu1`, … of `/proc/stat`.
fn cores(stat: &str) -> Option<usize> {
    let is_core = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Some(stat.lines().filter(is_core).count()).filter(|&count| count > 0)
}

fn count(memory: &str, key: &str) -> Option<u64> {
    let value = memory
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

fn kilobytes(memory: &str, key: &str) -> Option<u64> {
    count(memory, key)?.checked_mul(1024)
}

fn load(text: &str) -> Option<[f64; 3]> {
    let mut parts = text.split(' ').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// From the auxiliary vector that the kernel hands to every program: pairs of words.
fn page_size_bytes() -> Option<u64> {
    const AT_PAGESZ: u64 = 6;
    let auxv = fs::read("/proc/self/auxv").ok()?;
    crate::process::aux_value(&auxv, AT_PAGESZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read_by_their_keys() {
        assert_eq!(cores("cpu  1 2\ncpu0 1 2\ncpu1 1 2\nintr 5\ncpufreq 1\n"), Some(2));
        assert_eq!(cores(""), None);
        let memory = "MemTotal:       16 kB\nMemAvailable:  8 kB\nHugePages_Total:    3\nBad: x kB\n";
        assert_eq!(kilobytes(memory, "MemTotal"), Some(16 * 1024));
        assert_eq!(kilobytes(memory, "MemAvailable"), Some(8 * 1024));
        assert_eq!(count(memory, "HugePages_Total"), Some(3));
        assert_eq!((kilobytes(memory, "Mem"), kilobytes(memory, "Bad")), (None, None));
        assert_eq!(load("0.10 1.5 2 1/100 7"), Some([0.1, 1.5, 2.0]));
        assert_eq!((load("0.10 x 2"), load("")), (None, None));
    }

    #[test]
    fn this_host_has_cores_memory_and_pages() {
        let system = System::read();
        assert!(system.cores_online >= system.cores_of_exporter, "{system:?}");
        assert!(system.memory_bytes > system.memory_available_bytes, "{system:?}");
        assert!(system.page_size_bytes.is_some_and(u64::is_power_of_two), "{system:?}");
        assert!(
            system.uptime_seconds.is_some_and(|s| s > 0.0) && system.load.is_some(),
            "{system:?}"
        );
        assert!(system.kernel.is_some_and(|kernel| kernel.contains('.')));
    }
}
