//! One engine being watched: its last copy, the one before, and what has moved.

use std::path::Path;
use std::time::{Duration, Instant};

use quantumflow_region::{
    HistogramSnapshot, Liveness, Metric, Motion, ReadError, RegionInfo, RegionReader, Series, Snapshot, ThreadEvents,
};

use crate::Error;
use crate::history::{History, Rates, counted};
use crate::text;

/// A moment by both clocks: one that only goes forward, for rates, and that of the calendar, for ages.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the clock of this process.
    pub instant: Instant,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            instant: Instant::now(),
            unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// How an engine is, as far as can be told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At work.
    Live,
    /// Finishing; its values still change.
    Draining,
    /// It holds its file, and nothing in it has moved for so long.
    Stalled(Duration),
    /// A thread panicked.
    Panicked,
    /// Gone without a word.
    Crashed,
    /// Ended in order, with that exit code where its last word was read.
    Closed(Option<u64>),
    /// The file cannot be read any more, and why.
    Unreadable(String),
}

impl Condition {
    /// Whether the values are the engine's present ones.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Live | Self::Draining)
    }

    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Stalled(_) => "stalled",
            Self::Panicked => "panicked",
            Self::Crashed => "crashed",
            Self::Closed(_) => "closed",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// What it means and how it is known, for someone who was just woken up.
    pub fn why(&self) -> String {
        match self {
            Self::Live => "it holds its file and moves".into(),
            Self::Draining => "it holds its file and is finishing".into(),
            Self::Stalled(still) => {
                format!(
                    "it holds its file, but nothing in it has moved for {}",
                    text::age(*still)
                )
            }
            Self::Panicked => "a thread panicked".into(),
            Self::Crashed => {
                "the lock on its file is free and it said no word: killed, aborted, or out of memory".into()
            }
            Self::Closed(Some(code)) => format!("it ended in order with exit code {code}"),
            Self::Closed(None) => "it ended in order".into(),
            Self::Unreadable(why) => why.clone(),
        }
    }
}

/// One copy of the values, and when it was taken.
#[derive(Debug)]
pub struct Look {
    /// What was read.
    pub snapshot: Snapshot,
    /// When.
    pub at: Now,
}

/// A region that is followed.
pub struct Session {
    reader: RegionReader,
    condition: Condition,
    latest: Look,
    previous: Option<Look>,
    history: History,
    motion: Motion,
    /// The engine has ended and its last word was read.
    is_final: bool,
}

impl Session {
    /// Opens a region, living or dead, and takes a first look.
    pub fn open(path: &Path, now: Now) -> Result<Self, ReadError> {
        Self::over(RegionReader::open(path)?, now)
    }

    /// Follows a region that is open already.
    pub fn over(mut reader: RegionReader, now: Now) -> Result<Self, ReadError> {
        let liveness = reader.liveness()?;
        let snapshot = reader.snapshot()?;
        let (mut history, mut motion) = (History::default(), Motion::default());
        history.push(&snapshot, now.instant);
        motion.observe(&snapshot, now.instant);
        let mut session = Self {
            reader,
            condition: Condition::Live,
            latest: Look { snapshot, at: now },
            previous: None,
            history,
            motion,
            is_final: !liveness.is_running(),
        };
        session.condition = session.judge(liveness, now);
        Ok(session)
    }

    /// Looks again. Liveness is asked first, so that the values of an engine that ends meanwhile are read once more.
    pub fn look(&mut self, now: Now) -> Result<(), Error> {
        let liveness = self.lost(|reader| reader.liveness())?;
        if !self.is_final {
            let snapshot = self.lost(RegionReader::snapshot)?;
            self.history.push(&snapshot, now.instant);
            self.motion.observe(&snapshot, now.instant);
            self.previous = Some(std::mem::replace(&mut self.latest, Look { snapshot, at: now }));
            self.is_final = !liveness.is_running();
        }
        self.condition = self.judge(liveness, now);
        Ok(())
    }

    /// Asks only whether the engine lives: the values stay as they are.
    pub fn look_at_condition(&mut self, now: Now) -> Result<(), Error> {
        let liveness = self.lost(|reader| reader.liveness())?;
        self.condition = self.judge(liveness, now);
        Ok(())
    }

    fn lost<T>(&mut self, read: impl FnOnce(&mut RegionReader) -> Result<T, ReadError>) -> Result<T, Error> {
        read(&mut self.reader).map_err(|error| {
            self.condition = Condition::Unreadable(text::in_words(&error));
            Error::Lost(error)
        })
    }

    fn judge(&self, liveness: Liveness, now: Now) -> Condition {
        match liveness {
            Liveness::Closed => {
                let code = self.latest.snapshot.engine.exit_code;
                Condition::Closed(self.is_final.then_some(code))
            }
            Liveness::Panicked => Condition::Panicked,
            Liveness::Crashed => Condition::Crashed,
            // Without a second look nothing can be said to stand still.
            Liveness::Live | Liveness::Draining => match self.motion.stalled(now.instant) {
                Some(still) => Condition::Stalled(still),
                None if liveness == Liveness::Draining => Condition::Draining,
                None => Condition::Live,
            },
        }
    }

    /// The last events of every thread. Copies the region's texts: for when somebody looks at them.
    pub fn events(&self) -> Result<Vec<ThreadEvents>, ReadError> {
        self.reader.events()
    }

    /// Where the region is.
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// What its header says.
    pub fn info(&self) -> &RegionInfo {
        self.reader.info()
    }

    /// How the engine is.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Whether the path still leads to this file.
    pub fn is_current(&self) -> bool {
        self.reader.is_current()
    }

    /// The last copy.
    pub fn latest(&self) -> &Look {
        &self.latest
    }

    /// The copy before it, once there are two.
    pub fn previous(&self) -> Option<&Look> {
        self.previous.as_ref()
    }

    /// Seconds between the last two copies.
    pub fn interval_seconds(&self) -> Option<f64> {
        let previous = self.previous.as_ref()?;
        Some(
            self.latest
                .at
                .instant
                .saturating_duration_since(previous.at.instant)
                .as_secs_f64(),
        )
    }

    /// The rates of one series, by its place in the snapshot; nothing where it counts nothing, or where the engine is not up:
    /// a dead engine has no rate, and a zero would look like one that idles.
    pub fn rates(&self, index: usize) -> Rates {
        let counts = self
            .latest
            .snapshot
            .series
            .get(index)
            .is_some_and(|series| counted(&series.value).is_some());
        if counts {
            self.rates_of(&[index])
        } else {
            Rates::default()
        }
    }

    /// The rates of all series of a metric with these label values together.
    pub fn rates_with(&self, metric: &Metric, labels: &[(&str, &str)]) -> Rates {
        self.rates_of(&self.places(metric, labels))
    }

    fn rates_of(&self, places: &[usize]) -> Rates {
        if self.condition.is_up() && !places.is_empty() {
            self.history.rates(places)
        } else {
            Rates::default()
        }
    }

    /// How much the series of a metric with these label values have grown since the last look.
    pub fn delta(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u64> {
        let places = self.places(metric, labels);
        (self.condition.is_up() && !places.is_empty()).then(|| self.history.delta(&places))?
    }

    fn places(&self, metric: &Metric, labels: &[(&str, &str)]) -> Vec<usize> {
        let series = self.latest.snapshot.series.iter().enumerate();
        series
            .filter(|(_, series)| is_of(series, metric, labels))
            .map(|(index, _)| index)
            .collect()
    }

    /// All series of a metric with these label values added up, raw; `None` where there is none.
    pub fn total(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u64> {
        let series = self
            .latest
            .snapshot
            .family(metric.name)
            .filter(|series| is_of(series, metric, labels));
        series
            .filter_map(|series| counted(&series.value))
            .reduce(u64::saturating_add)
    }

    /// The first series of a metric with these label values.
    pub fn series(&self, metric: &Metric, labels: &[(&str, &str)]) -> Option<&Series> {
        self.latest.snapshot.find(metric.name, labels)
    }

    /// What the histogram at that place recorded between the last two copies.
    pub fn interval(&self, index: usize) -> Option<HistogramSnapshot> {
        if !self.condition.is_up() {
            return None;
        }
        let latest = self.latest.snapshot.series.get(index)?.value.histogram()?;
        match self.previous.as_ref()?.snapshot.series.get(index) {
            Some(earlier) => latest.since(earlier.value.histogram()?),
            None => Some(latest.clone()),
        }
    }

    /// How long the thread at that place has hung inside a round, where that is too long.
    pub fn stuck(&self, thread: usize, now: Now) -> Option<Duration> {
        if self.condition.is_up() || matches!(self.condition, Condition::Stalled(_)) {
            let thread = self.motion.threads().get(thread)?;
            (thread.is_inside() && thread.is_still(now.instant)).then(|| thread.still(now.instant))
        } else {
            None
        }
    }

    /// How long the thread at that place has not moved.
    pub fn still(&self, thread: usize, now: Now) -> Duration {
        let thread = self.motion.threads().get(thread);
        thread.map_or(Duration::ZERO, |thread| thread.still(now.instant))
    }

    /// Rounds per second of the thread at that place, since the last look.
    pub fn rounds_per_second(&self, thread: usize) -> Option<f64> {
        let seconds = self
            .interval_seconds()
            .filter(|seconds| *seconds > 0.0 && self.condition.is_up())?;
        let ends = |look: &Look| look.snapshot.writers.get(thread).map(|writer| writer.loop_end);
        let rounds = ends(&self.latest)?.checked_sub(ends(self.previous.as_ref()?)?)?;
        Some(rounds as f64 / seconds)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("reader", &self.reader)
            .field("condition", &self.condition)
            .finish_non_exhaustive()
    }
}

fn is_of(series: &Series, metric: &Metric, labels: &[(&str, &str)]) -> bool {
    *series.meta.name == *metric.name
        && labels
            .iter()
            .all(|(name, value)| series.meta.label(name) == Some(*value))
}
