//! The host as files: `/proc`, `/sys`, `/dev` and `/etc` below a directory, so that a made-up tree is a host as well.
//!
//! Nothing here writes. What is read is a claim: it has a ceiling, need not be text, and may not be there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::statvfs::statvfs;
use serde::Serialize;

use super::cpus::CpuList;

/// More than `/proc/interrupts` has on a host of a thousand processors.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where the host's files are.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// What a file said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its path on the host.
    pub file: String,
    /// What it said, or the part that matters, without the blanks around it.
    pub value: String,
}

/// Why something is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The file cannot be read.
    #[error("{file} {}", in_words(source))]
    Io {
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file says something that this program does not understand.
    #[error("{file} says {value:?}, which is not {expected}")]
    Nonsense {
        /// Which file.
        file: String,
        /// What it says.
        value: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// The question needs something that was not said.
    #[error("{0}")]
    Unasked(String),
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read: ask again as root".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

impl Unread {
    /// Whether it is only that the file is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The same; where the file is not there, with what that means.
    pub fn meaning(self, absence: &str) -> Self {
        match self.is_missing() {
            true => Self::Unasked(format!("{self}: {absence}")),
            false => self,
        }
    }
}

impl Host {
    /// The host whose files lie below `root`: `/` for this one.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `file` of the host is found from here.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file.trim_start_matches('/'))
    }

    /// A file's text.
    pub fn read(&self, file: &str) -> Result<Seen, Unread> {
        let bytes = self.read_bytes(file)?;
        Ok(Seen::new(file, String::from_utf8_lossy(&bytes).trim()))
    }

    /// A file's bytes.
    pub fn read_bytes(&self, file: &str) -> Result<Vec<u8>, Unread> {
        let mut bytes = Vec::new();
        File::open(self.path(file))
            .and_then(|open| open.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(|source| unread(file, source))?;
        Ok(bytes)
    }

    /// A file's text; `None` where the file is not there.
    pub fn read_if_there(&self, file: &str) -> Result<Option<Seen>, Unread> {
        match self.read(file) {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted.
    pub fn list(&self, dir: &str) -> Result<Vec<String>, Unread> {
        let entries = fs::read_dir(self.path(dir)).map_err(|source| unread(dir, source))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The numbered entries of a directory, such as the processes of `/proc`, in order.
    pub fn numbers(&self, dir: &str, prefix: &str) -> Result<Vec<usize>, Unread> {
        let names = self.list(dir)?;
        let mut numbers: Vec<usize> = names
            .iter()
            .filter_map(|name| name.strip_prefix(prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The processors that are online.
    pub fn online(&self) -> Result<CpuList, Unread> {
        self.read("/sys/devices/system/cpu/online")?.cpus()
    }

    /// Bytes free in the file system of `dir`, or of the nearest directory above it that is there.
    pub fn free_bytes(&self, dir: &str) -> Result<u64, Unread> {
        let path = self.path(dir);
        let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let stat = statvfs(there).map_err(|error| unread(dir, error.into()))?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

fn unread(file: &str, source: io::Error) -> Unread {
    Unread::Io {
        file: file.to_owned(),
        source,
    }
}

impl Seen {
    /// Something seen in `file`.
    pub fn new(file: &str, value: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            value: value.into(),
        }
    }

    /// As a number.
    pub fn number<T: FromStr>(&self) -> Result<T, Unread> {
        self.value.parse().map_err(|_| self.is_not("a number"))
    }

    /// As a list of processors.
    pub fn cpus(&self) -> Result<CpuList, Unread> {
        // What the kernel prints for a mask that was never made, as of nohz_full.
        if self.value == "(null)" {
            return Ok(CpuList::default());
        }
        self.value
            .parse()
            .map_err(|_| self.is_not("a list of processors such as 0-3,8"))
    }

    /// As a file that lists all choices with the present one in brackets: the present one.
    pub fn chosen(&self) -> Result<&str, Unread> {
        let inside = self.value.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        inside
            .map(|(word, _)| word)
            .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| self.is_not("a choice with one word in brackets"))
    }

    /// That this is not what was `expected`.
    pub fn is_not(&self, expected: &'static str) -> Unread {
        Unread::Nonsense {
            file: self.file.clone(),
            value: self.value.chars().take(60).collect(),
            expected,
        }
    }
}
