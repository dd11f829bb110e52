//! One region of the directory, from its first sight to its last: opened, opened again when its file is another, judged
//! and read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quantumflow_region::directory::Entry;
use quantumflow_region::{Motion, ReadError, RegionReader, Snapshot, catalogue};

use super::{Condition, Pass, Region, View, watch};

pub(super) struct Tracked {
    pub(super) entry: Entry,
    pub(super) view: View,
    open: Option<Open>,
}

struct Open {
    reader: RegionReader,
    region: Arc<Region>,
    motion: Motion,
    end: Option<End>,
}

/// Why an engine is down.
struct End {
    condition: Condition,
    /// When it was first seen.
    since: Instant,
    /// Nothing more is going to be written: the words need not be read again.
    is_settled: bool,
    words: String,
}

/// The file went away between the listing and the opening: an engine has just retired it.
pub(super) struct Vanished;

impl Tracked {
    pub(super) fn new(entry: Entry) -> Self {
        Self {
            entry,
            view: View::of(Condition::Unreadable, None),
            open: None,
        }
    }

    /// Finds out how the engine is. `boot_id` is this host's.
    pub(super) fn judge(&mut self, now: Instant, boot_id: &[u8; 16]) -> Result<(), Vanished> {
        let path = &self.entry.path;
        if self.open.as_ref().is_none_or(|open| !open.is_of(path)) {
            self.open = match Open::new(&self.entry) {
                Ok(open) => Some(open),
                Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Err(Vanished),
                Err(error) => {
                    self.fail(&error);
                    return Ok(());
                }
            };
        }
        match self.open.as_mut().map(|open| open.view(now, boot_id)) {
            Some(Ok(view)) => self.view = view,
            Some(Err(error)) => self.fail(&error),
            None => {}
        }
        Ok(())
    }

    /// Copies its values, where they are worth it: also a stalled engine's, for that is how its next movement is seen.
    /// Yields the copy of an engine that is up, after as before.
    pub(super) fn read(&mut self, now: &impl Fn() -> Instant, boot_id: &[u8; 16]) -> Option<Pass> {
        let open = self.open.as_mut().filter(|_| self.view.condition.is_held())?;
        let began = now();
        let snapshot = match open.reader.snapshot() {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        let ended = now();
        open.motion.observe(&snapshot, ended);
        // It may have moved again, or a thread of it may have; and it may have died while it was read.
        if self.judge(ended, boot_id).is_err() {
            self.view = View::of(
                Condition::Unreadable,
                Some("its file went away while it was read".into()),
            );
        }
        let took = ended.saturating_duration_since(began);
        self.view.condition.is_up().then_some(Pass { snapshot, took })
    }

    /// Mapped again at the next look: a file that was cut must not be touched through this mapping.
    fn fail(&mut self, error: &dyn std::error::Error) {
        self.open = None;
        self.view = View::of(Condition::Unreadable, Some(in_words(error)));
    }
}

impl Open {
    fn new(entry: &Entry) -> Result<Self, ReadError> {
        let reader = RegionReader::open(&entry.path)?;
        let region = Arc::new(Region {
            file: entry.name.to_string(),
            info: reader.info().clone(),
        });
        Ok(Self {
            reader,
            region,
            motion: Motion::default(),
            end: None,
        })
    }

    /// Whether this is the file at `path`, whole: the pages of one that was cut must not be touched.
    fn is_of(&self, path: &Path) -> bool {
        let whole = || {
            path.symlink_metadata()
                .is_ok_and(|file| file.len() >= self.region.info.region_bytes)
        };
        self.reader.is_current() && whole()
    }

    fn view(&mut self, now: Instant, boot_id: &[u8; 16]) -> Result<View, ReadError> {
        let condition = Condition::of(self.reader.liveness()?, self.region.info.is_job);
        let mut view = View::of(condition, None);
        view.region = Some(Arc::clone(&self.region));
        if !condition.is_up() {
            view.reason = Some(self.why_down(condition, now, boot_id)?);
            return Ok(view);
        }
        if condition == Condition::Done {
            return Ok(view); // nothing in it moves, and nothing has to
        }
        view.stuck = watch::stuck(&self.motion, now);
        view.idle = watch::idle(&self.motion, now);
        if let Some(words) = watch::stalled(&self.motion, now) {
            view.condition = Condition::Stalled;
            view.reason = Some(words);
        }
        Ok(view)
    }

    /// Why the engine is down: its last words, read from the region until nobody can add to them any more.
    fn why_down(&mut self, condition: Condition, now: Instant, boot_id: &[u8; 16]) -> Result<String, ReadError> {
        let known = self.end.as_ref().filter(|end| end.condition == condition);
        if let Some(end) = known.filter(|end| end.is_settled) {
            return Ok(end.words.clone());
        }
        let since = known.map_or(now, |end| end.since);
        let snapshot = self.reader.snapshot()?;
        let words = match condition {
            Condition::Closed => format!("it ended in order with code {}", snapshot.engine.exit_code),
            Condition::Panicked => match &snapshot.engine.panic_text {
                Some(text) => format!("a thread panicked: {text}"),
                None => "a thread panicked".into(),
            },
            _ => self.end_without_a_word(&snapshot, boot_id),
        };
        let words = in_a_line(&words);
        self.end = Some(End {
            condition,
            since,
            is_settled: now.saturating_duration_since(since) >= SETTLE,
            words: words.clone(),
        });
        Ok(words)
    }

    fn end_without_a_word(&self, snapshot: &Snapshot, boot_id: &[u8; 16]) -> String {
        let mut words = String::from("its process is gone without a word: killed, aborted or out of memory");
        let theirs = &self.region.info.boot_id;
        if *boot_id != UNKNOWN_BOOT && *theirs != UNKNOWN_BOOT && theirs != boot_id {
            words = "it ran before this host was last started".into();
        }
        if let Some(thread) = snapshot.writers.iter().find(|w| w.loop_begin != w.loop_end) {
            let place = catalogue::place(thread.breadcrumb);
            words.push_str(&format!(
                "; {} was inside a round of its loop, at place {place}",
                thread.name
            ));
        }
        words
    }
}

/// An engine says that it ends a moment before it says why.
const SETTLE: Duration = Duration::from_secs(1);
/// In a header, and here where the kernel does not tell.
pub(super) const UNKNOWN_BOOT: [u8; 16] = [0; 16];

/// An error with its causes, in one line of bounded length.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    in_a_line(&quantumflow_region::in_words(error))
}

fn in_a_line(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(REASON_CHARS_MAX).collect()
}

/// A reason becomes a label's value, and a path may be long.
const REASON_CHARS_MAX: usize = 300;
