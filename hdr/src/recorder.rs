//! Writes what region snapshots gained since the ones before, as interval logs.
//!
//! Histograms of a region only grow, so an interval is a difference of buckets, and whatever the engine recorded lies in
//! exactly one interval. A difference that could not be written (a full disk) is not given up: the series keeps its
//! earlier copy, and its next line covers the longer interval.
//!
//! - An engine that started while the recorder was watching is taken from its first record. Of an older one the first
//!   snapshot is the zero: its history belongs to no interval.
//! - Each service has its own files. A restarted engine goes on in the same file after a comment that says so.
//! - A line is written for a series that gained something. The untagged line, the end-to-end latency for tools that read
//!   only untagged lines, is written every interval: where none is, nobody was recording.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use quantumflow_region::{HistogramSnapshot, RegionInfo, Series, Snapshot, Unit};

use crate::files::{Files, Gain, Page};
use crate::log::EncodeError;
use crate::tag::Tag;

/// What is recorded, and where to.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Where the logs go. It is made if it is not there.
    pub dir: PathBuf,
    /// Since when the recorder has been watching, nanoseconds since the Unix epoch: engines that started later are taken
    /// from their first record.
    pub watching_since_unix_ns: u64,
    /// Names of the metrics to record; empty for every histogram in seconds.
    pub metrics: Vec<String>,
    /// The host's name, for the header.
    pub host: String,
    /// Size at which a file is followed by a new one. The default is 64 MiB.
    pub file_bytes_max: u64,
    /// Files kept for each service, the one being written included. The default is 30.
    pub files_kept: usize,
}

impl RecorderOptions {
    /// The defaults, for a recorder that starts now.
    pub fn new(dir: impl Into<PathBuf>, now_unix_ns: u64) -> Self {
        Self {
            dir: dir.into(),
            watching_since_unix_ns: now_unix_ns,
            metrics: Vec::new(),
            host: String::new(),
            file_bytes_max: 64 << 20,
            files_kept: 30,
        }
    }
}

/// Why an interval was not written. Nothing is lost by it while the engine lives: the next covers both.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The directory cannot be made.
    #[error("failed to make the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A log takes no more: a full disk, missing rights.
    #[error("failed to write to {path}")]
    Write {
        /// The file, or the directory where none could be made.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A histogram cannot be put into the format.
    #[error("failed to encode {tag}")]
    Encode {
        /// Its tag.
        tag: Tag,
        /// Why not.
        #[source]
        source: EncodeError,
    },
    /// More services than a host runs: someone fills the directory.
    #[error("more than {INSTANCES_MAX} services; {service} is not recorded")]
    TooManyServices {
        /// The one too many.
        service: String,
    },
}

/// What one call wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Lines written.
    pub line_count: u32,
    /// Files begun by it.
    pub new_files: Vec<PathBuf>,
}

/// What was done since the recorder was made: for metrics and last words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderTotals {
    /// Lines written.
    pub lines: u64,
    /// Files begun.
    pub files: u64,
    /// Calls that ended in an error.
    pub failures: u64,
    /// Engines seen, each restart one more.
    pub instances: u64,
    /// Histograms that shrank under one engine and were taken as new: the region is damaged.
    pub series_reset: u64,
    /// Histograms in seconds that were passed over: raw values that are not nanoseconds, or labels beyond a tag.
    pub series_refused: u64,
}

/// Writes interval logs from snapshots. Give it every engine's snapshot at every interval, and each engine's last one
/// after it ended.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    services: HashMap<String, Files>,
    instances: HashMap<(String, u64), Instance>,
    totals: RecorderTotals,
}

/// Engines remembered, and services written, at a time.
const INSTANCES_MAX: usize = 64;

/// One start of an engine.
#[derive(Debug)]
struct Instance {
    /// When it was last looked at; what the intervals of new series begin with.
    seen_unix_ns: u64,
    series: HashMap<Tag, Written>,
}

/// What of a series is in the log.
#[derive(Debug)]
struct Written {
    copy: HistogramSnapshot,
    /// The end of the last interval.
    until_unix_ns: u64,
}

impl Recorder {
    /// A recorder that has seen nothing. Makes the directory; files are made when there is a first line for them.
    pub fn new(options: RecorderOptions) -> Result<Self, RecordError> {
        fs::create_dir_all(&options.dir).map_err(|source| RecordError::Directory {
            path: options.dir.clone(),
            source,
        })?;
        Ok(Self {
            options,
            services: HashMap::new(),
            instances: HashMap::new(),
            totals: RecorderTotals::default(),
        })
    }

    /// Writes what this engine gained since it was last shown. Where the clock stepped back nothing is written and the
    /// next call covers both intervals.
    pub fn observe(
        &mut self,
        info: &RegionInfo,
        snapshot: &Snapshot,
        now_unix_ns: u64,
    ) -> Result<Observed, RecordError> {
        let result = self.observe_inner(info, snapshot, now_unix_ns);
        self.totals.failures += u64::from(result.is_err());
        result
    }

    /// What was done so far.
    pub fn totals(&self) -> RecorderTotals {
        self.totals
    }

    fn observe_inner(&mut self, info: &RegionInfo, snapshot: &Snapshot, now: u64) -> Result<Observed, RecordError> {
        let id = (info.service.clone(), info.instance_id);
        let is_old = info.start_unix_ns < self.options.watching_since_unix_ns;
        let is_first = !self.instances.contains_key(&id);
        if is_first {
            self.totals.instances += 1;
            self.forget_oldest();
        }
        let instance = self.instances.entry(id).or_insert_with(|| Instance {
            seen_unix_ns: info.start_unix_ns.min(now.saturating_sub(1)),
            series: HashMap::new(),
        });
        let seen = std::mem::replace(&mut instance.seen_unix_ns, now);
        if now <= seen {
            instance
                .series
                .values_mut()
                .for_each(|written| written.until_unix_ns = written.until_unix_ns.min(now));
            return Ok(Observed::default());
        }
        if is_first && is_old {
            for (tag, copy) in histograms(snapshot, &self.options.metrics, &mut self.totals) {
                let copy = copy.clone();
                instance.series.insert(
                    tag,
                    Written {
                        copy,
                        until_unix_ns: now,
                    },
                );
            }
            return Ok(Observed::default());
        }
        let gained = instance.gained(histograms(snapshot, &self.options.metrics, &mut self.totals), seen, now);
        self.totals.series_reset += gained.reset_count;
        if gained.series.is_empty() {
            return Ok(Observed::default());
        }
        let service_count = self.services.len();
        let files = match self.services.get_mut(&info.service) {
            Some(files) => files,
            None if service_count == INSTANCES_MAX => {
                return Err(RecordError::TooManyServices {
                    service: info.service.clone(),
                });
            }
            None => self
                .services
                .entry(info.service.clone())
                .or_insert_with(|| Files::new(&self.options, &info.service)),
        };
        let mut observed = Observed::default();
        let start_unix_ns = gained.series.iter().map(|gain| gain.interval.0).min().unwrap_or(now);
        let page = Page {
            info,
            host: &self.options.host,
            start_unix_ns,
            now_unix_ns: now,
        };
        let mut outcome = Ok(());
        for gain in gained.series {
            outcome = files.write(&page, &gain, &mut observed);
            if outcome.is_err() {
                break;
            }
            instance.series.insert(
                gain.tag,
                Written {
                    copy: gain.copy,
                    until_unix_ns: now,
                },
            );
        }
        self.totals.lines += u64::from(observed.line_count);
        self.totals.files += observed.new_files.len() as u64;
        outcome.map(|()| observed)
    }

    /// Makes room for one more engine.
    fn forget_oldest(&mut self) {
        if self.instances.len() < INSTANCES_MAX {
            return;
        }
        let oldest = self.instances.iter().min_by_key(|(_, instance)| instance.seen_unix_ns);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.instances.remove(&id);
        }
    }
}

/// The histograms to record, each with its tag.
fn histograms<'a>(
    snapshot: &'a Snapshot,
    metrics: &'a [String],
    totals: &'a mut RecorderTotals,
) -> impl Iterator<Item = (Tag, &'a HistogramSnapshot)> {
    let is_wanted = |series: &&Series| {
        let name = &*series.meta.name;
        series.meta.unit == Unit::Seconds && (metrics.is_empty() || metrics.iter().any(|metric| metric == name))
    };
    snapshot.series.iter().filter(is_wanted).filter_map(|series| {
        let histogram = series.value.histogram()?;
        let tag = Tag::of_series(&series.meta).ok().filter(|_| series.meta.scale == -9);
        totals.series_refused += u64::from(tag.is_none());
        Some((tag?, histogram))
    })
}

/// What an engine gained in an interval.
struct Gained {
    series: Vec<Gain>,
    reset_count: u64,
}

impl Instance {
    fn gained<'a>(
        &mut self,
        now_held: impl Iterator<Item = (Tag, &'a HistogramSnapshot)>,
        seen: u64,
        now: u64,
    ) -> Gained {
        let mut gained = Gained {
            series: Vec::new(),
            reset_count: 0,
        };
        for (tag, copy) in now_held {
            let empty = || Written {
                copy: HistogramSnapshot::empty(copy.shape()),
                until_unix_ns: seen,
            };
            let written = self.series.entry(tag.clone()).or_insert_with(empty);
            let Some(delta) = copy.since(&written.copy) else {
                gained.reset_count += 1;
                *written = Written {
                    copy: copy.clone(),
                    until_unix_ns: now,
                };
                continue;
            };
            // The line without a tag is written even of an empty interval.
            if delta.count() == 0 && !tag.is_end_to_end() {
                written.until_unix_ns = now;
                continue;
            }
            let interval = (written.until_unix_ns, now);
            gained.series.push(Gain {
                tag,
                copy: copy.clone(),
                delta,
                interval,
            });
        }
        gained
    }
}

#[cfg(test)]
mod tests;
