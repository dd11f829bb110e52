//! The engines of a host by their regions in one directory: whether each lives, and a copy of its values that is never
//! too dear.
//!
//! Every look lists the directory again and asks the kernel who holds each file's lock, so a crash, an orderly end, a
//! replaced file and the next engine are all seen at the next look, without a restart and without trusting a clock of
//! an engine's. What the kernel cannot tell, a process that is stopped or hangs with the file in hand, is told by the
//! engine's counters: when neither housekeeping's beats nor any thread's rounds have moved for [`STALL_AFTER`] by the
//! clock of this process, the engine has stalled and its numbers are not shown as live ones. One thread that hangs
//! ([`View::stuck`]) or rests ([`View::idle`]) while the others go on is told apart by thread.
//!
//! Of each service the newest region is shown, under the service's name and whatever became of its engine; an older one
//! is shown beside it while its engine holds it, as `service@pid`. What is wrong with one region is told of that one
//! alone.
//!
//! A pass over the values makes the engines' cores fetch back the cache lines that were read. So passes keep
//! [`PASS_INTERVAL`] between them, whatever the number of readers: one that comes early waits for its turn, and readers
//! that wait together share one pass. None is answered from values older than its own question.

mod condition;
mod names;
mod tracked;
mod watch;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quantumflow_region::{RegionInfo, Snapshot, directory};

pub use condition::Condition;
pub use quantumflow_region::STALL_AFTER;
use tracked::{Tracked, UNKNOWN_BOOT, Vanished};

/// Least time from one pass over the values to the next.
pub const PASS_INTERVAL: Duration = Duration::from_millis(100);
/// A pass that is no older saves [`Source::watch`] its own. Below its interval of a second, so that nothing is put off twice.
const WATCH_AGE_MAX: Duration = Duration::from_millis(900);
/// Most regions that are looked at, the newest ones; the rest is counted in [`Host::left_out_count`].
pub const REGIONS_MAX: usize = 64;

/// What one look at the directory has found.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The engines, by name; empty where there is no region.
    pub engines: Vec<Sight>,
    /// Why there is none, where there is none.
    pub reason: Option<String>,
    /// Regions in the directory that were not retired, among them those of ended engines that a later start follows.
    pub region_count: usize,
    /// How many of them were not looked at because there are more than [`REGIONS_MAX`].
    pub left_out_count: usize,
}

impl Host {
    /// The engine of this name.
    pub fn engine(&self, name: &str) -> Option<&Sight> {
        self.engines.iter().find(|sight| &*sight.engine == name)
    }
}

/// One engine.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its name, the value of the label `engine`: the service, or `service@pid` for an older engine of a service that
    /// has a newer one.
    pub engine: Arc<str>,
    /// How it is.
    pub view: View,
    /// Its values, where they were asked for and the engine is up.
    pub pass: Option<Pass>,
}

/// How one engine is.
#[derive(Clone, Debug)]
pub struct View {
    /// In a word.
    pub condition: Condition,
    /// Why, in a sentence or two, of an engine that is not up.
    pub reason: Option<String>,
    /// Its region, if it could be mapped.
    pub region: Option<Arc<Region>>,
    /// Threads that began a round and neither ended it nor began another for [`STALL_AFTER`], by name.
    pub stuck: Vec<Arc<str>>,
    /// Threads that ended their round and have not begun another for [`STALL_AFTER`], by name.
    pub idle: Vec<Arc<str>>,
}

impl View {
    /// Of an engine that is not there.
    pub fn absent(reason: Option<String>) -> Self {
        Self::of(Condition::Absent, reason)
    }

    fn of(condition: Condition, reason: Option<String>) -> Self {
        Self {
            condition,
            reason,
            region: None,
            stuck: Vec::new(),
            idle: Vec::new(),
        }
    }
}

/// A mapped region's identity.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its file's name.
    pub file: String,
    /// What its header says.
    pub info: RegionInfo,
}

/// The values of one pass.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    /// How long it took: values of the beginning and of the end may be that far apart.
    pub took: Duration,
}

/// A directory of regions. Shared by every thread that asks.
pub struct Source {
    dir: PathBuf,
    boot_id: [u8; 16],
    state: Mutex<Inner>,
}

impl Source {
    /// Watches `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            boot_id: boot_id().unwrap_or(UNKNOWN_BOOT),
            state: Mutex::default(),
        }
    }

    /// Where it looks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The identity of this host's present start; zeros where the kernel does not tell.
    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// How the engines are. Reads no values.
    pub fn look(&self) -> Host {
        let mut inner = self.inner();
        let mut host = inner.look(&self.dir, &self.boot_id, Instant::now());
        host.engines = inner.sights(|_| None);
        host
    }

    /// How the engines are and the values of those that are up: not older than the call.
    pub fn scrape(&self) -> Host {
        let asked = Instant::now();
        let mut inner = self.inner();
        // Whoever held the lock until now may have taken a pass that began after this call.
        if let Some(last) = inner.last.as_ref().filter(|last| last.began >= asked) {
            return last.host.clone();
        }
        if let Some(turn) = inner.next_turn {
            // Others who ask meanwhile wait for the lock, and then share the pass that is taken here.
            std::thread::sleep(turn.saturating_duration_since(Instant::now()));
        }
        let host = inner.scrape(&self.dir, &self.boot_id, Instant::now);
        let passed = host.engines.iter().any(|sight| sight.pass.is_some());
        inner.next_turn = passed.then(|| Instant::now() + PASS_INTERVAL);
        host
    }

    /// To be called about once a second, so that a stall is seen when it has lasted [`STALL_AFTER`] and not only between
    /// two scrapes that may be a minute apart. Takes no scrape's turn, and no pass where a scrape has just taken one.
    pub fn watch(&self) {
        let mut inner = self.inner();
        let is_fresh = |last: &Last| last.began.elapsed() < WATCH_AGE_MAX;
        if !inner.last.as_ref().is_some_and(is_fresh) {
            inner.scrape(&self.dir, &self.boot_id, Instant::now);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // After a panic the worst that is left here is an old pass, which the next look replaces.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Inner {
    /// Newest first.
    regions: Vec<Tracked>,
    last: Option<Last>,
    /// When the next scrape may take a pass.
    next_turn: Option<Instant>,
}

/// The last pass.
struct Last {
    began: Instant,
    host: Host,
}

impl Inner {
    /// Lists the directory and judges every region in it; the answer has no engines yet.
    fn look(&mut self, dir: &Path, boot_id: &[u8; 16], now: Instant) -> Host {
        let mut host = Host::default();
        // A second round where a file went away between the listing and the opening: an engine has just retired it, and
        // may have given a newer one its name.
        for _ in 0..2 {
            let mut entries = match directory::regions(dir) {
                Ok(entries) => entries,
                Err(error) => {
                    self.regions.clear();
                    host.reason = Some(format!("failed to list {}: {error}", dir.display()));
                    return host;
                }
            };
            host.region_count = entries.len();
            host.left_out_count = entries.len().saturating_sub(REGIONS_MAX);
            entries.truncate(REGIONS_MAX);
            let earlier = self.regions.drain(..).map(|region| (region.entry.path.clone(), region));
            let mut earlier: HashMap<PathBuf, Tracked> = earlier.collect();
            let mut vanished = false;
            for entry in entries {
                let region = earlier.remove(&entry.path);
                let mut region = region.unwrap_or_else(|| Tracked::new(entry));
                match region.judge(now, boot_id) {
                    Ok(()) => self.regions.push(region),
                    Err(Vanished) => vanished = true,
                }
            }
            if !vanished {
                break;
            }
        }
        if self.regions.is_empty() {
            host.reason = Some(format!("no region in {}", dir.display()));
        }
        host
    }

    fn scrape(&mut self, dir: &Path, boot_id: &[u8; 16], now: impl Fn() -> Instant) -> Host {
        let began = now();
        let mut host = self.look(dir, boot_id, began);
        host.engines = self.sights(|region| region.read(&now, boot_id));
        let passed = host.engines.iter().any(|sight| sight.pass.is_some());
        self.last = passed.then(|| Last {
            began,
            host: host.clone(),
        });
        host
    }

    fn sights(&mut self, mut read: impl FnMut(&mut Tracked) -> Option<Pass>) -> Vec<Sight> {
        let shown = names::shown(&self.regions);
        let sights = shown.into_iter().map(|(engine, place)| {
            let region = &mut self.regions[place];
            let pass = read(region);
            Sight {
                engine,
                view: region.view.clone(),
                pass,
            }
        });
        sights.collect()
    }
}

fn boot_id() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests;
