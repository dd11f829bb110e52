//! Which shared files a directory holds, newest first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file::{FileKind, FileName};

/// Where the files are unless a configuration or a command line says otherwise.
pub const DEFAULT_DIR: &str = "/dev/shm/quantumflow";

/// One shared file, by its name alone: nothing of it has been opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Its name taken apart.
    pub name: FileName,
}

/// The shared files of `dir`, living and dead, newest start first. Other files, and temporary ones, are passed over; a
/// directory that does not exist yet holds none.
pub fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let files = match fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for file in files {
        let path = file?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(FileName::parse);
        if let Some(name) = name {
            entries.push(Entry { path, name });
        }
    }
    entries.sort_by(|a, b| (b.name.start_unix_ns, &a.path).cmp(&(a.name.start_unix_ns, &b.path)));
    Ok(entries)
}

/// The regions of `dir` that were not retired, newest first. Whether their writers live is for
/// [`RegionReader::liveness`](crate::RegionReader::liveness) to say.
pub fn regions(dir: &Path) -> io::Result<Vec<Entry>> {
    Ok(of_kind(list(dir)?, FileKind::Region))
}

/// The rings of `dir` that were not retired, newest first.
pub fn rings(dir: &Path) -> io::Result<Vec<Entry>> {
    Ok(of_kind(list(dir)?, FileKind::Ring))
}

fn of_kind(mut entries: Vec<Entry>, kind: FileKind) -> Vec<Entry> {
    entries.retain(|entry| entry.name.kind == kind && !entry.name.dead);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_newest_first_and_only_ours() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "e.1.1.met",
            "e.30.1.met",
            "e.4.1.ring",
            "e.5.1.met.dead",
            ".e.6.1.met.tmp",
            "README",
            "e.met",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |entries: Vec<Entry>| entries.iter().map(|e| e.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            names(list(dir.path()).unwrap()),
            ["e.30.1.met", "e.5.1.met.dead", "e.4.1.ring", "e.1.1.met"]
        );
        assert_eq!(names(regions(dir.path()).unwrap()), ["e.30.1.met", "e.1.1.met"]);
        assert_eq!(names(rings(dir.path()).unwrap()), ["e.4.1.ring"]);
        assert_eq!(list(&dir.path().join("missing")).unwrap(), []);
    }
}
