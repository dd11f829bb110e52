//! How a shared file comes into being, who is known to hold it, and what becomes of it afterwards.
//!
//! A file gets its name last. Until then it is a hidden temporary one that no reader looks at, so whoever finds a name
//! finds a whole file, however the writer may have been killed. The writer holds a lock on the open file from before it
//! has its name; the kernel gives it up when the process ends, however it ends. That lock, not a process id, says who
//! lives.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, RenameFlags, fcntl, posix_fallocate, renameat2};
use nix::libc;
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};

use crate::memory::Memory;

/// What the two kinds of files have in common.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Who writes: the first part of the file's name. 1 to 31 of `a-z`, `0-9`, `-`, `_`, a letter or digit first.
    pub service: String,
    /// Start of the instance, nanoseconds since the Unix epoch: the second part of the name.
    pub start_unix_ns: u64,
    /// Different in every start; the region and the rings of one start share it.
    pub instance_id: u64,
    /// Access rights of the file. The default, 0640, lets the exporter's group read.
    pub mode: u32,
    /// How many files of dead instances of this service to keep. The default is 3.
    pub keep_dead: usize,
    /// Take any filesystem. On one that writes back to a disk, a store can wait for the disk: never for real money.
    pub allow_any_filesystem: bool,
}

impl FileOptions {
    /// The defaults for a service that starts at this time.
    pub fn new(service: impl Into<String>, start_unix_ns: u64) -> Self {
        let pid = u64::from(std::process::id());
        // Spread by an odd constant; two starts of one host never share both time and process id.
        let instance_id = start_unix_ns.rotate_left(21) ^ pid.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let service = service.into();
        Self {
            service,
            start_unix_ns,
            instance_id,
            mode: 0o640,
            keep_dead: 3,
            allow_any_filesystem: false,
        }
    }
}

/// What happened while a file was made. Worth a log line each where it is not the default.
#[derive(Clone, Debug, Default)]
pub struct CreateReport {
    /// Where the file is; `None` for private memory.
    pub path: Option<PathBuf>,
    /// Why its pages may be swapped out, where the kernel refused to lock them.
    pub not_locked: Option<String>,
    /// It lies on a filesystem that can make a store wait, because the options allowed it.
    pub slow_filesystem: bool,
    /// Files of dead instances that were renamed or removed.
    pub retired_count: usize,
    /// What went wrong while retiring them; the new file is none the worse for it.
    pub retire_error: Option<String>,
}

/// Why a shared file could not be made. The engine can go on with private memory and say so.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The service's name would not make a file name that readers understand.
    #[error("bad service name {0:?}: use 1 to 31 of a-z, 0-9, '-', '_', beginning with a letter or digit")]
    ServiceName(String),
    /// The sizes asked for do not fit together.
    #[error("region of {bytes} bytes is too small for its tables: it needs at least {needed}")]
    TooSmall {
        /// Asked for.
        bytes: usize,
        /// Tables alone.
        needed: usize,
    },
    /// A size is beyond what readers accept.
    #[error("{what} of {value} is outside the limits of the format ({limits})")]
    OutOfLimits {
        /// Which option.
        what: &'static str,
        /// Its value.
        value: u64,
        /// What is accepted.
        limits: &'static str,
    },
    /// Someone else could plant or swap files there.
    #[error("directory {path} is not safe: {why}")]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong and how to mend it.
        why: String,
    },
    /// A store into a file there could wait for a disk.
    #[error(
        "{path} is not on tmpfs or hugetlbfs: a store could wait for a disk; use a directory below /dev/shm or /run"
    )]
    SlowFilesystem {
        /// The directory.
        path: PathBuf,
    },
    /// A call to the operating system failed.
    #[error("failed to {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl CreateError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}

/// The two kinds of shared files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A metrics region, `.met`.
    Region,
    /// A signal ring, `.ring`.
    Ring,
}

impl FileKind {
    /// The end of its name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Region => "met",
            Self::Ring => "ring",
        }
    }
}

/// A shared file's name taken apart: `<service>.<start_unix_ns>.<pid>.<met|ring>[.dead]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Who wrote it.
    pub service: String,
    /// When the instance started, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// The writer's process id.
    pub pid: u32,
    /// Region or ring.
    pub kind: FileKind,
    /// A later start of the service found the writer gone.
    pub dead: bool,
}

impl FileName {
    /// Takes a name apart; `None` where it is not one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (name, dead) = name.strip_suffix(".dead").map_or((name, false), |name| (name, true));
        let mut parts = name.split('.');
        let service = parts.next().filter(|service| is_service_name(service))?.to_owned();
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let start_unix_ns = parts.next().filter(digits)?.parse().ok()?;
        let pid = parts.next().filter(digits)?.parse().ok()?;
        let kind = match parts.next()? {
            "met" => FileKind::Region,
            "ring" => FileKind::Ring,
            _ => return None,
        };
        parts.next().is_none().then_some(Self {
            service,
            start_unix_ns,
            pid,
            kind,
            dead,
        })
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            service,
            start_unix_ns,
            pid,
            kind,
            dead,
        } = self;
        write!(
            f,
            "{service}.{start_unix_ns}.{pid}.{}{}",
            kind.extension(),
            if *dead { ".dead" } else { "" }
        )
    }
}

/// A file that has no name yet. Dropped without [`publish`](Self::publish) it disappears.
pub(crate) struct NewFile {
    pub(crate) memory: Arc<Memory>,
    pub(crate) report: CreateReport,
    temp: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Makes a zeroed, fully allocated, mapped and locked file in `dir`, which is made too if it is missing.
    pub(crate) fn create(dir: &Path, options: &FileOptions, kind: FileKind, bytes: usize) -> Result<Self, CreateError> {
        if !is_service_name(&options.service) {
            return Err(CreateError::ServiceName(options.service.clone()));
        }
        prepare_directory(dir)?;
        let name = FileName {
            service: options.service.clone(),
            start_unix_ns: options.start_unix_ns,
            pid: std::process::id(),
            kind,
            dead: false,
        };
        let path = dir.join(name.to_string());
        let temp = dir.join(format!(".{name}.tmp"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(options.mode)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&temp)
            .map_err(CreateError::io("create", &temp))?;
        let made = Self::fill(&file, dir, &temp, options, bytes);
        let (slow_filesystem, memory) = match made.and_then(|slow| {
            Memory::map_writable(file, bytes)
                .map(|memory| (slow, memory))
                .map_err(CreateError::io("map", &temp))
        }) {
            Ok(made) => made,
            Err(error) => {
                // Best effort: a file without a name is no reader's business, and the next start clears it.
                let _ = fs::remove_file(&temp);
                return Err(error);
            }
        };
        let not_locked = memory.lock_in_ram().err().map(|error| error.to_string());
        let report = CreateReport {
            path: Some(path.clone()),
            not_locked,
            slow_filesystem,
            ..Default::default()
        };
        Ok(Self {
            memory: Arc::new(memory),
            report,
            temp,
            path,
        })
    }

    fn fill(file: &File, dir: &Path, temp: &Path, options: &FileOptions, bytes: usize) -> Result<bool, CreateError> {
        let kind = fstatfs(file)
            .map_err(io::Error::from)
            .map_err(CreateError::io("stat the filesystem of", temp))?;
        let slow = ![TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&kind.filesystem_type());
        if slow && !options.allow_any_filesystem {
            return Err(CreateError::SlowFilesystem {
                path: dir.to_path_buf(),
            });
        }
        lock_for_writing(file).map_err(CreateError::io("lock", temp))?;
        // The umask may have taken rights from the mode that `open` was given.
        let mode = fs::Permissions::from_mode(options.mode);
        file.set_permissions(mode)
            .map_err(CreateError::io("set the access rights of", temp))?;
        let len = libc::off_t::try_from(bytes).map_err(|_| CreateError::OutOfLimits {
            what: "file length",
            value: bytes as u64,
            limits: "up to 2^63 bytes",
        })?;
        // A store into a hole of a full filesystem would be a SIGBUS at the worst moment; here it is an error.
        posix_fallocate(file, 0, len)
            .map_err(io::Error::from)
            .map_err(CreateError::io("allocate", temp))?;
        Ok(slow)
    }

    /// Gives the file its name, and retires those of dead instances of the service.
    pub(crate) fn publish(self, options: &FileOptions) -> Result<(Arc<Memory>, CreateReport), CreateError> {
        let Self {
            memory,
            mut report,
            temp,
            path,
        } = self;
        let at = nix::fcntl::AT_FDCWD;
        if let Err(error) = renameat2(at, &temp, at, &path, RenameFlags::RENAME_NOREPLACE) {
            let _ = fs::remove_file(&temp);
            return Err(CreateError::io("give its name to", &path)(error.into()));
        }
        let dir = path.parent().unwrap_or(Path::new("."));
        match retire(dir, options) {
            Ok(retired) => report.retired_count = retired,
            Err(error) => report.retire_error = Some(error.to_string()),
        }
        Ok((memory, report))
    }
}

/// Renames files of the service whose writer is gone to `.dead`, keeps the newest of each kind, clears what creations
/// left behind that were killed. Returns how many files it changed.
fn retire(dir: &Path, options: &FileOptions) -> io::Result<usize> {
    let mut changed = 0;
    let mut dead: Vec<(FileName, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let temporary = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
        let Some(parsed) = FileName::parse(temporary.unwrap_or(name)) else {
            continue;
        };
        if parsed.service != options.service {
            continue;
        }
        if temporary.is_some() {
            // A creation that is under way takes its lock a moment after it has its file: leave it a minute.
            let old = options.start_unix_ns.saturating_sub(parsed.start_unix_ns) > 60_000_000_000;
            if old && !is_locked_path(&path)? {
                changed += usize::from(remove(&path)?);
            }
        } else if parsed.dead {
            dead.push((parsed, path));
        } else if !is_locked_path(&path)? {
            let parsed = FileName { dead: true, ..parsed };
            let to = dir.join(parsed.to_string());
            match fs::rename(&path, &to) {
                Ok(()) => changed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            dead.push((parsed, to));
        }
    }
    dead.sort_by_key(|(name, _)| std::cmp::Reverse(name.start_unix_ns));
    for kind in [FileKind::Region, FileKind::Ring] {
        for (_, path) in dead
            .iter()
            .filter(|(name, _)| name.kind == kind)
            .skip(options.keep_dead)
        {
            changed += usize::from(remove(path)?);
        }
    }
    Ok(changed)
}

/// Removes a file; one that another start has already removed is fine.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_locked_path(path: &Path) -> io::Result<bool> {
    match open_read_only(path) {
        Ok(file) => is_locked(&file),
        // Gone meanwhile, or a symbolic link: nothing of ours, leave it alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens for reading, but no link, and without waiting for the other end of a pipe.
pub(crate) fn open_read_only(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether a writer holds the file.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    let mut query = whole_file(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut query))?;
    Ok(libc::c_int::from(query.l_type) != libc::F_UNLCK)
}

fn lock_for_writing(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)))?;
    Ok(())
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    // Length zero means "to the end"; an open file description's lock wants process id zero.
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn prepare_directory(dir: &Path) -> Result<(), CreateError> {
    match DirBuilder::new().recursive(true).mode(0o750).create(dir) {
        Ok(()) => {}
        Err(error) => return Err(CreateError::io("create directory", dir)(error)),
    }
    let metadata = fs::symlink_metadata(dir).map_err(CreateError::io("stat", dir))?;
    let refuse = |why: String| {
        Err(CreateError::UnsafeDirectory {
            path: dir.to_path_buf(),
            why,
        })
    };
    let me = nix::unistd::geteuid().as_raw();
    if !metadata.is_dir() {
        return refuse("it is a symbolic link; name its target".into());
    }
    if metadata.uid() != me && metadata.uid() != 0 {
        return refuse(format!(
            "user {} owns it, and this process runs as {me}; chown it",
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o002 != 0 {
        return refuse("everyone may write to it; use a directory of its own below it, or chmod o-w".into());
    }
    Ok(())
}

fn is_service_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=31).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_foreign_ones_are_left_alone() {
        for text in [
            "engine.1700000000000000001.4711.met",
            "e-0.1.1.ring",
            "a_b.18446744073709551615.1.met.dead",
        ] {
            assert_eq!(FileName::parse(text).expect(text).to_string(), text);
        }
        for text in [
            "",
            ".met",
            "engine.met",
            "engine.1.2.met.tmp",
            "engine.1.2.3.met",
            "Engine.1.2.met",
            "../x.1.2.met",
            "engine.-1.2.met",
            "engine.1.+2.met",
            "engine.18446744073709551616.1.met",
            "engine.1.2.met.dead.dead",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }
}
