//! The files of one service: a new one when the old is full or the day is over, and the oldest go.
//!
//! A file is made anew each time and never taken up again, so that a line cut short by a crash is always a file's last.
//! A write that fails half-way (a full disk) is taken back by cutting the file to its last whole line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::time::{compact, day};

/// Where files go and how many there may be.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    pub(crate) dir: PathBuf,
    pub(crate) service: String,
    pub(crate) file_bytes_max: u64,
    pub(crate) files_kept: usize,
}

/// The file that is being written.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    pub(crate) path: PathBuf,
    /// Length up to the last whole line.
    bytes: u64,
    day: u64,
    /// It ends in half a line that could not be taken back.
    is_torn: bool,
}

impl Rotation {
    /// Makes the next file with its first lines, then removes the oldest beyond the number kept. A file that could not
    /// take its first lines is removed again.
    pub(crate) fn open(&self, now_unix_ns: u64, header: &str) -> io::Result<OpenFile> {
        let stem = format!("{}.{}", self.service, compact(now_unix_ns));
        // Two within a second get a number. More than that is not rotation but a fault.
        let names = (0..100).map(|n| match n {
            0 => format!("{stem}.hlog"),
            n => format!("{stem}-{n:02}.hlog"),
        });
        for name in names {
            let path = self.dir.join(name);
            // The rights of the region that the numbers come from.
            let file = match OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let mut open = OpenFile {
                file,
                path,
                bytes: 0,
                day: day(now_unix_ns),
                is_torn: false,
            };
            if let Err(error) = open.write_line(header) {
                let _ = fs::remove_file(&open.path);
                return Err(error);
            }
            self.remove_oldest()?;
            return Ok(open);
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("100 files named {stem} exist already"),
        ))
    }

    /// Whether this file is done: torn, full with `more` bytes, or of another day.
    pub(crate) fn is_over(&self, open: &OpenFile, now_unix_ns: u64, more: usize) -> bool {
        open.is_torn || open.bytes + more as u64 > self.file_bytes_max || open.day != day(now_unix_ns)
    }

    /// The files of this service, oldest first. Nothing else in the directory is ever touched.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if self.is_ours(&path) {
                files.push(path);
            }
        }
        // `-01` sorts before `.hlog`, so the stems are compared.
        files.sort_by(|a, b| a.file_stem().cmp(&b.file_stem()));
        Ok(files)
    }

    fn is_ours(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let time = name.and_then(|name| {
            name.strip_prefix(self.service.as_str())?
                .strip_prefix('.')?
                .strip_suffix(".hlog")
        });
        let Some(time) = time else { return false };
        let (time, number) = time.split_once('-').unwrap_or((time, "00"));
        let pattern = |text: &str, pattern: &str| {
            let fits = |(have, want): (u8, u8)| have == want || (want == b'0' && have.is_ascii_digit());
            text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
        };
        pattern(time, "00000000T000000Z") && pattern(number, "00")
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let files = self.files()?;
        let excess = files.len().saturating_sub(self.files_kept.max(1));
        for path in &files[..excess] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl OpenFile {
    /// Hands whole lines to the kernel in one call; on failure the file is as it was.
    pub(crate) fn write_line(&mut self, line: &str) -> io::Result<()> {
        match self.file.write_all(line.as_bytes()) {
            Ok(()) => {
                self.bytes += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND_NS;

    fn rotation(dir: &Path) -> Rotation {
        Rotation {
            dir: dir.into(),
            service: "engine".into(),
            file_bytes_max: 100,
            files_kept: 3,
        }
    }

    #[test]
    fn keeps_the_newest_and_touches_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = rotation(dir.path());
        let foreign = [
            "engine.hlog",
            "engine2.20251121T114400Z.hlog",
            "engine.20251121T114400Z.hlog.gz",
            "engine.2025-121T114400Z.hlog",
            "notes",
        ];
        for name in foreign {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let start = 1_763_725_440 * SECOND_NS;
        for second in [0, 0, 1, 2, 2] {
            rotation.open(start + second * SECOND_NS, "h\n").unwrap();
        }
        let names: Vec<_> = rotation.files().unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        let expected = [
            "engine.20251121T114401Z.hlog",
            "engine.20251121T114402Z.hlog",
            "engine.20251121T114402Z-01.hlog",
        ];
        assert_eq!(names, expected);
        assert!(foreign.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn a_file_ends_with_its_size_or_its_day() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = rotation(dir.path());
        let noon = (20_000 * 86_400 + 43_200) * SECOND_NS;
        let open = rotation.open(noon, &"x".repeat(60)).unwrap();
        assert!(!rotation.is_over(&open, noon, 40));
        assert!(rotation.is_over(&open, noon, 41));
        assert!(!rotation.is_over(&open, noon + 43_199 * SECOND_NS, 0));
        assert!(rotation.is_over(&open, noon + 43_200 * SECOND_NS, 0));
    }

    #[test]
    fn a_full_disk_leaves_no_half_file() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: no /dev/full here");
            return;
        }
        let file = OpenOptions::new().append(true).open(full).unwrap();
        let mut open = OpenFile {
            file,
            path: full.into(),
            bytes: 0,
            day: 0,
            is_torn: false,
        };
        assert!(open.write_line("line\n").is_err());
        assert_eq!(open.bytes, 0);
        // A device cannot be cut: the file is given up, for nothing may follow half a line.
        assert!(rotation(Path::new("/")).is_over(&open, 0, 0));
    }
}
