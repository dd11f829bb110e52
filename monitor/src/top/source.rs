//! Which region is watched: one that was named, or the newest of a directory and then its successor.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Args;
use crate::session::{Now, Session};
use crate::{Error, engines};

/// Where to find the next region.
#[derive(Clone, Debug)]
pub(super) struct Source {
    dir: PathBuf,
    /// A file that the user named: it is never left.
    pinned: Option<PathBuf>,
}

impl Source {
    pub(super) fn new(args: &Args) -> Self {
        let dir = match &args.region {
            Some(file) => file.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            None => args.region_dir.clone(),
        };
        let dir = if dir.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            dir
        };
        Self {
            dir,
            pinned: args.region.clone(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stays with this file from now on.
    pub(super) fn pin(&mut self, path: PathBuf) {
        self.pinned = Some(path);
    }

    /// The first session. An engine that was started at the same moment as we needs a little time.
    pub(super) fn wait(&self, most: Duration) -> Result<Session, Error> {
        let deadline = Instant::now() + most;
        loop {
            let path = self.pinned.clone().map_or_else(|| engines::newest(&self.dir), Ok);
            match path.and_then(|path| Ok(Session::open(&path, Now::read())?)) {
                Err(_) if self.pinned.is_none() && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(50))
                }
                done => return done,
            }
        }
    }

    /// The engine that has come after this one ended or its file was replaced.
    pub(super) fn successor(&self, session: &Session, now: Now) -> Option<Session> {
        if self.pinned.is_some() || (session.condition().is_up() && session.is_current()) {
            return None;
        }
        let path = engines::newest(&self.dir).ok()?;
        if path == session.path() && session.is_current() {
            return None;
        }
        Session::open(&path, now).ok()
    }
}
