//! The engines of a host: one line for each region of a directory.

use std::path::{Path, PathBuf};

use quantumflow_region::directory::{self, Entry};
use quantumflow_region::{FileKind, Liveness, ReadError, RegionInfo, RegionReader};

use crate::Error;

/// A region of the directory, opened once to see what it is.
#[derive(Debug)]
pub struct Engine {
    /// Its file.
    pub entry: Entry,
    /// How it is and what its header says, or why that cannot be read.
    pub found: Result<(Liveness, RegionInfo), ReadError>,
}

/// Every region of `dir`, newest first. Rings, and files that went away meanwhile, are passed over.
pub fn list(dir: &Path) -> Result<Vec<Engine>, Error> {
    let entries = directory::list(dir).map_err(|source| Error::List {
        dir: dir.to_path_buf(),
        source,
    })?;
    let engines = entries
        .into_iter()
        .filter(|entry| entry.name.kind == FileKind::Region)
        .filter_map(|entry| {
            let found =
                RegionReader::open(&entry.path).and_then(|reader| Ok((reader.liveness()?, reader.info().clone())));
            match &found {
                Err(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
                _ => Some(Engine { entry, found }),
            }
        });
    Ok(engines.collect())
}

/// The newest region of a directory that was not retired.
pub fn newest(dir: &Path) -> Result<PathBuf, Error> {
    let entries = directory::regions(dir).map_err(|source| Error::List {
        dir: dir.to_path_buf(),
        source,
    })?;
    let newest = entries.into_iter().next();
    newest
        .map(|entry| entry.path)
        .ok_or_else(|| Error::NoRegion { dir: dir.to_path_buf() })
}
