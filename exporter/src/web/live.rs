//! The settings in force, kept fresh.
//!
//! Every connection and every request asks for them. What is asked first is whether the files still are what they were
//! (a few `stat` calls); when one has changed, all of them are read again, so a new certificate counts from the next
//! connection on and a new password from the next request. A file that cannot be used is reported once, and the last
//! good settings stay in force.
//!
//! A file may be caught half written, and half a file may well be a good one that asks for no password. So a change that
//! takes protection away altogether, TLS, the passwords, or the client certificates, needs a restart, and so does TLS
//! where there was none: its port would change its protocol under its clients.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::ClientAuth;
use super::settings::{Fingerprint, Settings, WebError, load};
use quantumflow_region::in_words;

/// A web configuration that follows its file.
pub struct LiveSettings {
    path: PathBuf,
    report: Box<dyn Fn(&str) + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    settings: Arc<Settings>,
    seen: Fingerprint,
    problem: Option<String>,
}

impl LiveSettings {
    /// Reads the file at `path`; what is to be known about it later, and its warnings, go to `report`, a line each.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn open(path: &Path, report: impl Fn(&str) + Send + Sync + 'static) -> Result<Self, WebError> {
        let (seen, settings) = look(path, None);
        let settings = settings?;
        settings.warnings.iter().for_each(|warning| report(warning));
        Ok(Self {
            path: path.to_owned(),
            report: Box::new(report),
            state: Mutex::new(State {
                settings: Arc::new(settings),
                seen,
                problem: None,
            }),
        })
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Settings> {
        let mut state = self.state();
        if !state.seen.still_holds() {
            self.reload(&mut state);
        }
        Arc::clone(&state.settings)
    }

    /// Why the file as it is now is not in force, if it is not.
    pub fn problem(&self) -> Option<String> {
        self.current();
        self.state().problem.clone()
    }

    fn reload(&self, state: &mut State) {
        let (seen, loaded) = look(&self.path, Some(&state.seen));
        state.seen = seen;
        let problem = match loaded {
            Ok(settings) => match weakening(&state.settings, &settings) {
                None => {
                    for warning in settings
                        .warnings
                        .iter()
                        .filter(|w| !state.settings.warnings.contains(w))
                    {
                        (self.report)(warning);
                    }
                    state.settings = Arc::new(settings);
                    None
                }
                Some(what) => Some(format!("{}: {what} needs a restart", self.path.display())),
            },
            Err(error) => Some(in_words(&error)),
        };
        if problem == state.problem {
            return;
        }
        match &problem {
            Some(problem) => (self.report)(&format!("{problem}; the last good web configuration stays in force")),
            None => (self.report)(&format!("{} can be used again and is in force", self.path.display())),
        }
        state.problem = problem;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file, and takes the fingerprint of what was read from before the reading.
fn look(path: &Path, before: Option<&Fingerprint>) -> (Fingerprint, Result<Settings, WebError>) {
    // Which files there are is only known afterwards. Where that has changed, the second reading is the one that counts.
    let mut seen = before.map_or_else(|| Fingerprint::take(vec![path.to_owned()]), Fingerprint::retake);
    let (mut files, mut settings) = load(path);
    if !seen.is_of(&files) {
        seen = Fingerprint::take(files);
        (files, settings) = load(path);
        if !seen.is_of(&files) {
            seen = Fingerprint::default();
        }
    }
    (seen, settings)
}

/// What protection `new` would take away, or what else cannot change while the port is open.
fn weakening(old: &Settings, new: &Settings) -> Option<&'static str> {
    let asks = |settings: &Settings| settings.client_auth != ClientAuth::NoClientCert;
    match (old.tls.is_some(), new.tls.is_some()) {
        (true, false) => return Some("turning TLS off"),
        (false, true) => return Some("turning TLS on"),
        _ => {}
    }
    if !old.users.is_empty() && new.users.is_empty() {
        return Some("taking all passwords away");
    }
    (asks(old) && !asks(new)).then_some("asking for client certificates no more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn frame_options(settings: &Settings) -> String {
        settings
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    #[test]
    fn every_change_is_seen_however_quickly_the_next_one_follows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        let with = |n: usize| format!("http_server_config: {{headers: {{X-XSS-Protection: '{}'}}}}\n", n % 10);
        fs::write(&path, with(0)).unwrap();
        let live = LiveSettings::open(&path, |_| {}).unwrap();
        // In place and of the same length: within one tick of the file's clock, nothing but the bytes has changed.
        for n in 0..200 {
            fs::write(&path, with(n)).unwrap();
            assert_eq!(frame_options(&live.current()), format!("X-XSS-Protection: {}", n % 10));
        }
    }

    #[test]
    fn a_file_at_rest_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "# nothing\n").unwrap();
        let live = LiveSettings::open(&path, |_| {}).unwrap();
        std::thread::sleep(Duration::from_millis(2100));
        let settled = live.current();
        assert!(Arc::ptr_eq(&settled, &live.current()));
        fs::write(&path, "http_server_config: {}\n").unwrap();
        assert!(!Arc::ptr_eq(&settled, &live.current()));
    }

    #[test]
    fn what_is_wrong_can_be_asked_for_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "").unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&said);
        let live = LiveSettings::open(&path, move |line| keep.lock().unwrap().push(line.to_owned())).unwrap();
        assert_eq!(live.problem(), None);
        fs::write(&path, "tls_server_config: {cert_file: a.pem, key_file: a.key}\n").unwrap();
        assert!(live.problem().is_some_and(|problem| problem.contains("a.pem")));
        assert!(live.problem().is_some());
        fs::write(&path, "# good\n").unwrap();
        assert_eq!(live.problem(), None);
        let said = said.lock().unwrap();
        assert_eq!(
            said.len(),
            2,
            "one line when it broke and one when it was mended: {said:?}"
        );
    }
}
