//! What the kernel counted on a core while it was measured: the suspects, with how often each was there.
//!
//! The kernel does not say how long each took, so nothing here is blamed for a certain gap. But a core that lost a
//! thousand gaps in a second and had a thousand ticks needs no more evidence.

use nix::sys::resource::{UsageWho, getrusage};

use crate::tune::{CpuList, Host, Interrupts, Unread, stolen_ticks};

/// What was counted at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    interrupts: Result<Interrupts, String>,
    /// Ticks that the hypervisor took, and all ticks.
    steal: Result<(u64, u64), String>,
    /// The thread's own, before and after the rest was read: reading is work, and no part of what is measured.
    thread: [Thread; 2],
}

/// What the kernel knows of the calling thread.
#[derive(Clone, Debug)]
struct Thread {
    /// Nanoseconds that it was ready to run and did not.
    waited_ns: Result<u64, String>,
    /// Context switches that it did not ask for, and page faults.
    usage: Result<(i64, i64), String>,
}

impl Thread {
    fn now(host: &Host) -> Self {
        // Time on the core, time waiting for it, turns.
        let waited = host.read("/proc/thread-self/schedstat").and_then(|stat| {
            let word = stat.value.split_ascii_whitespace().nth(1);
            let ns = word.and_then(|word| word.parse().ok());
            ns.ok_or_else(|| stat.is_not("three numbers"))
        });
        let usage = getrusage(UsageWho::RUSAGE_THREAD).map(|usage| {
            let faults = usage.minor_page_faults() + usage.major_page_faults();
            (usage.involuntary_context_switches(), faults)
        });
        Self {
            waited_ns: waited.map_err(|error| error.to_string()),
            usage: usage.map_err(|error| format!("the thread's own counts cannot be read: {error}")),
        }
    }
}

/// Something that may have taken the core, and how often it came.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Suspect {
    /// What the kernel calls it.
    pub what: String,
    /// How often it came.
    pub count: u64,
    /// How it is kept away: a check of `quantumflow tune`, or a word.
    pub see: &'static str,
}

/// What the kernel counted in between.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The most frequent first.
    pub suspects: Vec<Suspect>,
    /// The share of the core's time that the hypervisor took, in percent of the ticks that passed.
    pub steal_percent: Option<f64>,
    /// Nanoseconds that the thread was ready to run and did not.
    pub waited_ns: Option<u64>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

impl Moment {
    /// Now, on this core, for the calling thread.
    pub fn now(host: &Host, core: usize) -> Self {
        let words = |error: Unread| error.to_string();
        let first = Thread::now(host);
        let steal = host.read("/proc/stat").and_then(|stat| {
            stolen_ticks(&stat.value, core).ok_or_else(|| stat.is_not("a table with a line for this core"))
        });
        let interrupts = Interrupts::read(host).map_err(words);
        let steal = steal.map_err(words);
        Self {
            interrupts,
            steal,
            thread: [first, Thread::now(host)],
        }
    }

    /// What was counted on `core` from `before` until this moment.
    pub fn since(&self, before: &Self, core: usize) -> Counted {
        let mut counted = Counted {
            suspects: Vec::new(),
            steal_percent: None,
            waited_ns: None,
            unread: Vec::new(),
        };
        match both(&before.interrupts, &self.interrupts) {
            Ok((before, now)) => {
                let grown = now.since(before, &CpuList::of(core));
                counted.suspects = grown
                    .into_iter()
                    .map(|(source, count)| Suspect {
                        what: format!("{} {}", source.id, source.name),
                        count,
                        see: remedy(&source.id),
                    })
                    .collect();
            }
            Err(error) => counted.unread.push(error),
        }
        match both(&before.thread[1].usage, &self.thread[0].usage) {
            Ok((before, now)) => {
                let kinds = [
                    ("switches to other threads", now.0 - before.0, "isolation"),
                    ("page faults of this thread", now.1 - before.1, "limits, huge_pages"),
                ];
                for (what, count, see) in kinds {
                    let (what, count) = (what.to_owned(), u64::try_from(count).unwrap_or(0));
                    if count > 0 {
                        counted.suspects.push(Suspect { what, count, see });
                    }
                }
            }
            Err(error) => counted.unread.push(error),
        }
        counted.suspects.sort_by_key(|suspect| std::cmp::Reverse(suspect.count));
        match both(&before.steal, &self.steal) {
            Ok((before, now)) => {
                let (taken, all) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
                counted.steal_percent = Some(100.0 * taken as f64 / all.max(1) as f64);
            }
            Err(error) => counted.unread.push(error),
        }
        match both(&before.thread[1].waited_ns, &self.thread[0].waited_ns) {
            Ok((before, now)) => counted.waited_ns = Some(now.saturating_sub(*before)),
            Err(error) => counted.unread.push(error),
        }
        counted
    }
}

fn both<'a, T>(before: &'a Result<T, String>, now: &'a Result<T, String>) -> Result<(&'a T, &'a T), String> {
    match (before, now) {
        (Ok(before), Ok(now)) => Ok((before, now)),
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
    }
}

/// Which check of `quantumflow tune` keeps an interrupt away.
fn remedy(id: &str) -> &'static str {
    match id {
        "LOC" | "arch_timer" => "tick, timer_migration",
        "RES" => "isolation",
        "CAL" => "isolation, statistics",
        "TLB" => "a thread of this process frees memory; huge_pages, numa_balancing",
        "NMI" | "PMI" => "watchdogs",
        "IWI" => "rcu_callbacks",
        "HYP" | "PIN" | "PIW" | "NPI" => "virtual_machine",
        "MCE" | "MCP" | "THR" | "TRM" => "the machine itself: see its log",
        device if device.bytes().all(|byte| byte.is_ascii_digit()) => "interrupts, irqbalance",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(table: &str, stat: &str, waited: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/thread-self")).unwrap();
        fs::write(dir.path().join("proc/interrupts"), table).unwrap();
        fs::write(dir.path().join("proc/stat"), stat).unwrap();
        fs::write(dir.path().join("proc/thread-self/schedstat"), waited).unwrap();
        dir
    }

    #[test]
    fn suspects_are_what_came_on_this_core_meanwhile() {
        let before = host(
            "CPU0 CPU1\n40: 5 5 PCI-MSI 1-edge eth0\nLOC: 1 1 Local timer interrupts",
            "cpu1 0 0 0 100 0 0 0 10",
            "5 1000 1",
        );
        let after = host(
            "CPU0 CPU1\n40: 900 8 PCI-MSI 1-edge eth0\nLOC: 1 1001 Local timer interrupts",
            "cpu1 70 0 0 100 0 0 0 40",
            "5 2500 9",
        );
        let moment = |dir: &tempfile::TempDir| Moment::now(&Host::below(dir.path()), 1);
        let (before, after) = (moment(&before), moment(&after));
        let counted = after.since(&before, 1);
        let of_core: Vec<_> = counted
            .suspects
            .iter()
            .filter(|suspect| !suspect.what.contains("thread"))
            .map(|suspect| (suspect.what.as_str(), suspect.count, suspect.see))
            .collect();
        assert_eq!(
            of_core,
            [
                ("LOC Local timer interrupts", 1000, "tick, timer_migration"),
                ("40 eth0", 3, "interrupts, irqbalance")
            ]
        );
        assert_eq!(counted.steal_percent, Some(30.0));
        assert_eq!(counted.waited_ns, Some(1500));
        assert_eq!(counted.unread, [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let empty = tempfile::tempdir().unwrap();
        let moment = Moment::now(&Host::below(empty.path()), 1);
        let counted = moment.since(&moment, 1);
        assert_eq!(counted.unread.len(), 3, "{counted:?}");
        assert!(
            counted.unread[0].contains("/proc/interrupts is not there"),
            "{counted:?}"
        );
        assert_eq!((counted.steal_percent, counted.waited_ns), (None, None));
    }
}
