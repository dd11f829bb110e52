//! Finds the engines of a directory, shows each to a recorder, and notices when one ends and another begins.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use quantumflow_region::{ReadError, RegionReader, directory};

use crate::recorder::{Observed, RecordError, Recorder};

/// The engines of a directory.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    /// What is being read, or was read to its end, by path. A path names one start of one engine.
    regions: HashMap<PathBuf, Followed>,
}

#[derive(Debug)]
enum Followed {
    Running(Box<RegionReader>),
    Ended,
}

/// What one round saw.
#[derive(Debug, Default)]
pub struct Tick {
    /// What was written, over all engines.
    pub written: Observed,
    /// Engines that are running.
    pub running: usize,
    /// Engines that were met for the first time.
    pub begun: Vec<PathBuf>,
    /// Engines that ended since the last round; their last values are recorded.
    pub ended: Vec<PathBuf>,
    /// Regions that could not be read. They are tried again.
    pub unreadable: Vec<ReadError>,
    /// Intervals that could not be written. The next covers them.
    pub unwritten: Vec<RecordError>,
}

/// Regions looked at in one directory; the newest. An engine keeps a handful.
const REGIONS_MAX: usize = 256;

impl Follower {
    /// Follows the regions of this directory, which may come into being later.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            regions: HashMap::new(),
        }
    }

    /// Looks at every engine once and records what it gained.
    ///
    /// # Errors
    /// Where the directory cannot be listed. What is wrong with one region or log is told in the [`Tick`].
    pub fn tick(&mut self, recorder: &mut Recorder, mut now_unix_ns: impl FnMut() -> u64) -> io::Result<Tick> {
        let mut tick = Tick::default();
        let mut entries = directory::regions(&self.dir)?;
        entries.truncate(REGIONS_MAX);
        for entry in &entries {
            if !self.regions.contains_key(&entry.path) {
                match RegionReader::open(&entry.path) {
                    Ok(reader) => {
                        tick.begun.push(entry.path.clone());
                        self.regions
                            .insert(entry.path.clone(), Followed::Running(Box::new(reader)));
                    }
                    Err(error) => tick.unreadable.push(error),
                }
            }
        }
        for (path, followed) in &mut self.regions {
            let Followed::Running(reader) = followed else { continue };
            match look(reader, recorder, &mut now_unix_ns, &mut tick) {
                Ok(true) => tick.running += 1,
                Ok(false) => {
                    tick.ended.push(path.clone());
                    *followed = Followed::Ended;
                }
                Err(error) => tick.unreadable.push(error),
            }
        }
        let is_listed = |path: &Path| entries.iter().any(|entry| entry.path == path);
        self.regions
            .retain(|path, followed| matches!(followed, Followed::Running(_)) || is_listed(path));
        Ok(tick)
    }
}

/// One engine's interval; false when it was its last. Whether it runs is asked first: what it recorded until it ended
/// is then in the snapshot.
fn look(
    reader: &mut RegionReader,
    recorder: &mut Recorder,
    now_unix_ns: &mut impl FnMut() -> u64,
    tick: &mut Tick,
) -> Result<bool, ReadError> {
    let is_running = reader.liveness()?.is_running() && reader.is_current();
    let snapshot = reader.snapshot()?;
    match recorder.observe(reader.info(), &snapshot, now_unix_ns()) {
        Ok(observed) => {
            tick.written.line_count += observed.line_count;
            tick.written.new_files.extend(observed.new_files);
        }
        Err(error) => {
            tick.unwritten.push(error);
            // An engine that ended is kept until its last interval is written.
            return Ok(true);
        }
    }
    Ok(is_running)
}
