//! What of a host costs latency, and how to change it.
//!
//! Each check looks at a few files of `/proc` and `/sys` through a [`Host`] and gives a [`Finding`], or says why it cannot
//! tell. It changes nothing: what could be written is in the finding, as files and values, and `scripts/tune-host` writes
//! them. docs/tuning.md says why each matters and where that is written.

mod cpus;
mod host;
mod interrupts;
mod isolation;
mod kernel;
mod memory;
mod network;
mod print;
mod processor;
mod timekeeping;

use std::collections::BTreeMap;
use std::path::PathBuf;

use quantumflow_feeds::net::IdleStrategy;
use serde::Serialize;

pub use cpus::{CpuList, InvalidCpuList};
pub use host::{Host, Seen, Unread};
pub use interrupts::{Interrupts, Source};
pub use print::{print_json, print_settings, print_table};
pub(crate) use timekeeping::stolen_ticks;

use crate::config::Config;

/// What the host is looked at for: an engine, as far as the host matters to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The processors of hot threads; empty where none is named.
    pub hot: CpuList,
    /// What the hot thread does when nothing has come.
    pub idle: IdleStrategy,
    /// Where the shared files are, absolute.
    pub region_dir: PathBuf,
    /// What the shared files need, at least.
    pub region_bytes: u64,
    /// Whether memory is to be locked.
    pub locks_memory: bool,
    /// Connections of the configuration.
    pub feed_count: usize,
    /// How many of them ask for busy polling by themselves.
    pub busy_poll_count: usize,
}

impl Target {
    /// An engine of this configuration, on `hot` if that is given.
    pub fn new(config: &Config, hot: Option<CpuList>) -> Self {
        let dir = &config.region.dir;
        let ring_bytes = u64::from(config.region.ring_slots) * size_of::<quantumflow_region::Signal>() as u64;
        Self {
            hot: hot.unwrap_or_else(|| config.engine.core.map(CpuList::of).unwrap_or_default()),
            idle: config.engine.idle,
            region_dir: std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            region_bytes: config.region.bytes + ring_bytes,
            locks_memory: config.engine.lock_memory,
            feed_count: config.feeds.len(),
            busy_poll_count: config.feeds.iter().filter(|feed| feed.busy_poll.is_some()).count(),
        }
    }

    /// The hot processors, for checks that mean nothing without one.
    fn hot(&self) -> Result<&CpuList, Unread> {
        match self.hot.is_empty() {
            false => Ok(&self.hot),
            true => Err(Unread::Unasked(
                "no hot core is named: set engine.core, or say --core".to_owned(),
            )),
        }
    }

    /// The hot processors, or all where none is named: any may be.
    fn hot_or_any(&self, host: &Host) -> Result<CpuList, Unread> {
        match self.hot.is_empty() {
            false => Ok(self.hot.clone()),
            true => host.online(),
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It costs latency.
    Costs,
    /// It cannot be told.
    Unknown,
    /// As it should be.
    Good,
}

/// A file that can be written while the host runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Which file.
    pub file: String,
    /// What it says now, as it would be written.
    pub from: String,
    /// What it should say.
    pub to: String,
}

/// What a check has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// What it came to.
    pub status: Status,
    /// The same in a sentence; of an unknown, why.
    pub says: String,
    /// The files that say so.
    pub seen: Vec<Seen>,
    /// What it costs.
    pub costs: Option<&'static str>,
    /// Files to write, for now.
    pub settings: Vec<Setting>,
    /// What else can be done now, by hand.
    pub by_hand: Vec<String>,
    /// What makes it last across reboots.
    pub at_boot: Vec<String>,
}

/// What a check found, before it has a name.
#[derive(Debug)]
struct Verdict(Finding);

impl Verdict {
    fn good(says: impl Into<String>) -> Self {
        Self::new(Status::Good, says.into(), None)
    }

    fn costs(says: impl Into<String>, costs: &'static str) -> Self {
        Self::new(Status::Costs, says.into(), Some(costs))
    }

    fn new(status: Status, says: String, costs: Option<&'static str>) -> Self {
        Self(Finding {
            check: "",
            status,
            says,
            seen: Vec::new(),
            costs,
            settings: Vec::new(),
            by_hand: Vec::new(),
            at_boot: Vec::new(),
        })
    }

    fn seen(mut self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.0.seen.extend(seen);
        self
    }

    fn set(mut self, file: &str, from: impl Into<String>, to: impl Into<String>) -> Self {
        let (file, from, to) = (file.to_owned(), from.into(), to.into());
        self.0.settings.push(Setting { file, from, to });
        self
    }

    /// A file of `/proc/sys` to be set, now and at boot.
    fn sysctl(self, seen: &Seen, to: &str) -> Self {
        let name = seen.file.trim_start_matches("/proc/sys/").replace('/', ".");
        self.set(&seen.file, &seen.value, to)
            .at_boot(format!("{name} = {to} in /etc/sysctl.d/90-quantumflow.conf"))
    }

    fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.0.by_hand.push(text.into());
        self
    }

    fn at_boot(mut self, text: impl Into<String>) -> Self {
        self.0.at_boot.push(text.into());
        self
    }
}

type Check = fn(&Host, &Target) -> Result<Verdict, Unread>;

/// All checks, from what keeps a thread from running at all to what makes it a little slower. Findings of one status keep
/// this order.
const CHECKS: [(&str, Check); 26] = [
    ("pinning", isolation::pinning),
    ("isolation", isolation::isolation),
    ("virtual_machine", timekeeping::virtual_machine),
    ("rt_throttling", kernel::rt_throttling),
    ("region", memory::region),
    ("swap", memory::swap),
    ("limits", memory::limits),
    ("huge_pages", memory::huge_pages),
    ("idle_states", processor::idle_states),
    ("interrupts", interrupts::interrupts),
    ("irqbalance", interrupts::irqbalance),
    ("tick", isolation::tick),
    ("rcu_callbacks", isolation::rcu_callbacks),
    ("timer_migration", isolation::timer_migration),
    ("watchdogs", kernel::watchdogs),
    ("statistics", kernel::statistics),
    ("numa_balancing", memory::numa_balancing),
    ("smt", processor::smt),
    ("governor", processor::governor),
    ("energy_preference", processor::energy_preference),
    ("turbo", processor::turbo),
    ("busy_poll", network::busy_poll),
    ("card_node", network::card_node),
    ("clock_source", timekeeping::clock_source),
    ("mitigations", kernel::mitigations),
    ("kernel", kernel::release),
];

/// Carries out all checks. The worst comes first.
pub fn survey(host: &Host, target: &Target) -> Vec<Finding> {
    let mut findings: Vec<Finding> = CHECKS.iter().map(|check| find(*check, host, target)).collect();
    findings.sort_by_key(|finding| finding.status);
    findings
}

fn find((check, look): (&'static str, Check), host: &Host, target: &Target) -> Finding {
    let verdict = look(host, target).unwrap_or_else(|error| Verdict::new(Status::Unknown, error.to_string(), None));
    Finding { check, ..verdict.0 }
}

/// The settings of all findings, each file once, in the order of their names.
pub fn settings(findings: &[Finding]) -> Vec<Setting> {
    let all = findings.iter().flat_map(|finding| &finding.settings);
    let by_file: BTreeMap<&str, &Setting> = all.map(|setting| (setting.file.as_str(), setting)).collect();
    by_file.into_values().cloned().collect()
}

#[cfg(test)]
mod tests;
