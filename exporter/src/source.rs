//! The newest region of a directory, whether its engine lives, and a copy of its values that is never too dear.
//!
//! Every look lists the directory again and asks the kernel who holds the file's lock, so a crash, an orderly end, a
//! replaced file and the next engine are all seen at the next look, without a restart and without trusting a clock of
//! the engine's. What the kernel cannot tell, a process that is stopped or hangs with the file in hand, is told by the
//! engine's counters: when neither housekeeping's beats nor any thread's rounds have moved for [`STALL_AFTER`] by the
//! clock of this process, the engine has stalled and its numbers are not shown as live ones. One thread that hangs while
//! the others go on is told apart by thread ([`View::stuck`]).
//!
//! A pass over the values makes the engine's cores fetch back the cache lines that were read. So passes keep
//! [`PASS_INTERVAL`] between them, whatever the number of scrapers: a scrape that comes early waits for its turn, and
//! scrapes that wait together share one pass. None is answered from values older than its own question.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quantumflow_region::{Liveness, ReadError, RegionInfo, RegionReader, Snapshot, directory};

/// How long nothing may move in a living engine before it is called stalled. Housekeeping beats once a second.
pub const STALL_AFTER: Duration = Duration::from_secs(5);
/// Least time from one pass over the values to the next.
pub const PASS_INTERVAL: Duration = Duration::from_millis(100);

/// How the engine is, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// At work.
    Live,
    /// Finishing; its values still change.
    Draining,
    /// It holds its file and nothing in it moves.
    Stalled,
    /// A thread panicked.
    Panicked,
    /// Gone without a word.
    Crashed,
    /// Ended in order.
    Closed,
    /// There is a region, and it cannot be read.
    Unreadable,
    /// There is no region.
    Absent,
}

impl Condition {
    /// Its name as a label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
            Self::Panicked => "panicked",
            Self::Crashed => "crashed",
            Self::Closed => "closed",
            Self::Unreadable => "unreadable",
            Self::Absent => "absent",
        }
    }

    /// Whether the region's values are the engine's present ones.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Live | Self::Draining)
    }

    fn of(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Live => Self::Live,
            Liveness::Draining => Self::Draining,
            Liveness::Closed => Self::Closed,
            Liveness::Panicked => Self::Panicked,
            Liveness::Crashed => Self::Crashed,
        }
    }
}

/// What one look has found.
#[derive(Clone, Debug)]
pub struct View {
    /// How the engine is.
    pub condition: Condition,
    /// Why, in words, where the condition alone does not say it.
    pub reason: Option<String>,
    /// The region that is mapped, if one could be.
    pub region: Option<Arc<Region>>,
    /// Regions in the directory that were not retired; only the newest is read.
    pub region_count: usize,
    /// Threads that began a round and neither ended it nor began another for [`STALL_AFTER`], by name.
    pub stuck: Vec<Arc<str>>,
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
    /// How long it took.
    pub took: Duration,
}

/// A directory of regions. Shared by every thread that asks.
pub struct Source {
    dir: PathBuf,
    state: Mutex<Inner>,
}

impl Source {
    /// Watches `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            state: Mutex::default(),
        }
    }

    /// Where it looks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How the engine is. Reads no values.
    pub fn look(&self) -> View {
        self.inner().look(&self.dir, Instant::now())
    }

    /// How the engine is and, while it is up, its values: not older than the call.
    pub fn scrape(&self) -> (View, Option<Pass>) {
        let asked = Instant::now();
        let mut inner = self.inner();
        // Whoever held the lock until now may have taken a pass that began after this call.
        if let Some((view, pass)) = inner.last.as_ref().and_then(|last| last.since(asked)) {
            return (view, Some(pass));
        }
        if let Some(turn) = inner.next_turn {
            // Others who ask meanwhile wait for the lock, and then share the pass that is taken here.
            std::thread::sleep(turn.saturating_duration_since(Instant::now()));
        }
        let (view, pass) = inner.scrape(&self.dir, Instant::now);
        inner.next_turn = pass.is_some().then(|| Instant::now() + PASS_INTERVAL);
        (view, pass)
    }

    /// To be called about once a second, so that a stall is seen when it has lasted [`STALL_AFTER`] and not only between
    /// two scrapes that may be a minute apart. Takes no scrape's turn.
    pub fn watch(&self) {
        self.inner().scrape(&self.dir, Instant::now);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // After a panic the worst that is left here is an old pass, which the next look replaces.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Inner {
    open: Option<Open>,
    last: Option<Last>,
    /// When the next scrape may take a pass.
    next_turn: Option<Instant>,
}

/// The last pass.
struct Last {
    began: Instant,
    view: View,
    pass: Pass,
}

impl Last {
    fn since(&self, asked: Instant) -> Option<(View, Pass)> {
        (self.began >= asked).then(|| (self.view.clone(), self.pass.clone()))
    }
}

struct Open {
    reader: RegionReader,
    region: Arc<Region>,
    watch: Watch,
}

impl Open {
    /// Whether this is the file at `path`, whole: the pages of one that was cut must not be touched.
    fn is_of(&self, path: &Path) -> bool {
        let whole = || {
            path.symlink_metadata()
                .is_ok_and(|file| file.len() >= self.region.info.region_bytes)
        };
        self.reader.path() == path && self.reader.is_current() && whole()
    }
}

impl Inner {
    fn look(&mut self, dir: &Path, now: Instant) -> View {
        let mut view = View {
            condition: Condition::Absent,
            reason: None,
            region: None,
            region_count: 0,
            stuck: Vec::new(),
        };
        if let Err((condition, reason)) = self.follow(dir, &mut view) {
            self.open = None;
            return View {
                condition,
                reason: Some(reason),
                ..view
            };
        }
        let Some(open) = &self.open else { return view };
        view.region = Some(Arc::clone(&open.region));
        match open.reader.liveness() {
            Ok(liveness) => view.condition = Condition::of(liveness),
            Err(error) => {
                return View {
                    condition: Condition::Unreadable,
                    reason: Some(in_words(&error)),
                    ..view
                };
            }
        }
        if view.condition.is_up() {
            view.stuck = open.watch.stuck(now);
            if let Some(still) = open.watch.still(now) {
                view.condition = Condition::Stalled;
                view.reason = Some(format!("nothing in the region has moved for {} s", still.as_secs()));
            }
        }
        view
    }

    /// Maps the newest region, if it is not the one that is mapped already.
    fn follow(&mut self, dir: &Path, view: &mut View) -> Result<(), (Condition, String)> {
        let unreadable = |reason| (Condition::Unreadable, reason);
        // A second round where the file went away between the listing and the opening: an engine has just retired it.
        for last_round in [false, true] {
            let entries = directory::regions(dir)
                .map_err(|error| unreadable(format!("failed to list {}: {error}", dir.display())))?;
            view.region_count = entries.len();
            let Some(newest) = entries.first() else {
                return Err((Condition::Absent, format!("no region in {}", dir.display())));
            };
            if self.open.as_ref().is_some_and(|open| open.is_of(&newest.path)) {
                return Ok(());
            }
            match RegionReader::open(&newest.path) {
                Ok(reader) => {
                    let region = Arc::new(Region {
                        file: newest.name.to_string(),
                        info: reader.info().clone(),
                    });
                    self.open = Some(Open {
                        reader,
                        region,
                        watch: Watch::default(),
                    });
                    return Ok(());
                }
                Err(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && !last_round => {}
                Err(error) => return Err(unreadable(in_words(&error))),
            }
        }
        Ok(())
    }

    fn scrape(&mut self, dir: &Path, now: impl Fn() -> Instant) -> (View, Option<Pass>) {
        let began = now();
        let view = self.look(dir, began);
        let stalled = view.condition == Condition::Stalled;
        // A stalled region is read, too: that is how its next movement is seen.
        let Some(open) = self.open.as_mut().filter(|_| view.condition.is_up() || stalled) else {
            self.last = None;
            return (view, None);
        };
        let snapshot = match open.reader.snapshot() {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                // Mapped again at the next look: a file that was cut must not be touched through this mapping.
                self.open = None;
                self.last = None;
                let reason = Some(in_words(&error));
                return (
                    View {
                        condition: Condition::Unreadable,
                        reason,
                        region: None,
                        ..view
                    },
                    None,
                );
            }
        };
        let ended = now();
        open.watch.observe(&snapshot, ended);
        let pass = Pass {
            snapshot,
            took: ended.saturating_duration_since(began),
        };
        // It may have moved again, or a thread of it may have; and it may have died while it was read.
        let view = self.look(dir, ended);
        if !view.condition.is_up() {
            self.last = None;
            return (view, None);
        }
        self.last = Some(Last {
            began,
            view: view.clone(),
            pass: pass.clone(),
        });
        (view, Some(pass))
    }
}

/// An error with its causes, in one line of bounded length.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(REASON_CHARS_MAX).collect()
}

/// A reason becomes a label's value, and a path may be long.
const REASON_CHARS_MAX: usize = 300;

/// What was seen to move, and when, by the clock of this process.
#[derive(Default)]
struct Watch {
    engine: Option<(u64, Instant)>,
    /// By place in the region: threads are never taken away.
    threads: Vec<Thread>,
}

struct Thread {
    name: Arc<str>,
    loops: (u64, u64),
    since: Instant,
}

impl Watch {
    fn observe(&mut self, snapshot: &Snapshot, now: Instant) {
        let beats = snapshot.engine.heartbeats;
        let mut moved = self.engine.is_none_or(|(earlier, _)| earlier != beats);
        for (i, writer) in snapshot.writers.iter().enumerate() {
            let loops = (writer.loop_begin, writer.loop_end);
            match self.threads.get_mut(i) {
                Some(thread) if thread.loops == loops => {}
                Some(thread) => {
                    moved = true;
                    (thread.loops, thread.since) = (loops, now);
                }
                None => {
                    moved = true;
                    self.threads.push(Thread {
                        name: Arc::clone(&writer.name),
                        loops,
                        since: now,
                    });
                }
            }
        }
        if moved {
            self.engine = Some((beats, now));
        }
    }

    /// How long nothing has moved, where that is too long.
    fn still(&self, now: Instant) -> Option<Duration> {
        let still = now.saturating_duration_since(self.engine?.1);
        (still >= STALL_AFTER).then_some(still)
    }

    fn stuck(&self, now: Instant) -> Vec<Arc<str>> {
        let stuck = |thread: &&Thread| {
            thread.loops.0 != thread.loops.1 && now.saturating_duration_since(thread.since) >= STALL_AFTER
        };
        self.threads
            .iter()
            .filter(stuck)
            .map(|thread| Arc::clone(&thread.name))
            .collect()
    }
}

#[cfg(test)]
mod tests;
