//! A file that was read, with everything it points to.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_stable::ServerConfig;

use super::file::{self, ClientAuth, TlsSection};
use super::passwords::Users;
use super::tls::{self, Pem};
use crate::http::HeaderLine;

/// What a port does, beside answering.
pub struct Settings {
    /// The port speaks TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether a client must show a certificate.
    pub client_auth: ClientAuth,
    /// Lines for every answer.
    pub headers: Vec<HeaderLine>,
    /// Who may ask; everybody, if there is none.
    pub users: Users,
    /// What its owner should know, though it works.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Whether clients without a certificate of the right authority are sent away.
    pub fn asks_for_certificates(&self) -> bool {
        self.client_auth == ClientAuth::RequireAndVerifyClientCert
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The text is not what it should be.
    #[error("{0}")]
    Text(String),
    /// The TLS section cannot be used.
    #[error("{path}: tls_server_config.{fault}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// Which key, and why.
        fault: tls::TlsError,
    },
    /// The system has no random numbers.
    #[error("failed to prepare for passwords")]
    Random(#[source] io::Error),
}

/// The state that a set of files was in.
#[derive(Default)]
pub struct Fingerprint {
    files: Vec<(PathBuf, Option<Stamp>)>,
    settled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

/// Two changes within a file system's clock tick leave the same time behind; after this long it has moved on.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

impl Fingerprint {
    /// The state of `files` now, before they are read.
    pub fn take(files: Vec<PathBuf>) -> Self {
        let stamped = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        };
        let files: Vec<_> = files.into_iter().map(stamped).collect();
        let newest = files
            .iter()
            .filter_map(|(_, stamp)| Some(stamp.as_ref()?.changed_ns.0))
            .max();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = newest.is_none_or(|newest| now >= Duration::from_secs(newest.max(0) as u64) + SETTLED_AFTER * 2);
        Self { files, settled }
    }

    /// The state now of the same files.
    pub fn retake(&self) -> Self {
        Self::take(self.files.iter().map(|(path, _)| path.clone()).collect())
    }

    /// Whether it is of these files.
    pub fn is_of(&self, files: &[PathBuf]) -> bool {
        self.files.iter().map(|(path, _)| path).eq(files)
    }

    /// Whether the files are as they were, as far as can be told without reading them.
    pub fn still_holds(&self) -> bool {
        self.settled && self.files.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified_ns: (file.mtime(), file.mtime_nsec()),
            changed_ns: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// Reads the file at `path` and what it points to, and says which files that were.
pub fn load(path: &Path) -> (Vec<PathBuf>, Result<Settings, WebError>) {
    let mut reader = Reader {
        path: path.to_owned(),
        files: vec![path.to_owned()],
        warnings: Vec::new(),
    };
    let settings = reader.load();
    (reader.files, settings)
}

struct Reader {
    path: PathBuf,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
}

impl Reader {
    fn load(&mut self) -> Result<Settings, WebError> {
        let (bytes, is_public) = read(&self.path)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| WebError::Text(format!("{}: not text in UTF-8", self.path.display())))?;
        let file = file::parse(&self.path, &text).map_err(WebError::Text)?;
        let http = file.http_server_config.unwrap_or_default();
        if http.http2 == Some(true) {
            let path = self.path.display();
            self.warnings
                .push(format!("{path}: http_server_config.http2: HTTP/1.1 is what is served"));
        }
        let users = file.basic_auth_users.unwrap_or_default();
        let section = file.tls_server_config.unwrap_or_default();
        if is_public && (!users.is_empty() || section.key.is_some()) {
            self.warn_public(&self.path.clone());
        }
        if !users.is_empty() && !section.is_on() {
            let path = self.path.display();
            self.warnings.push(format!(
                "{path}: passwords are sent in the clear, because there is no tls_server_config"
            ));
        }
        let tls = if section.is_on() {
            Some(Arc::new(self.tls(&section)?))
        } else {
            None
        };
        let headers = http.headers.unwrap_or_default().lines();
        Ok(Settings {
            tls,
            client_auth: section.client_auth_type.unwrap_or_default(),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            users,
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn tls(&mut self, section: &TlsSection) -> Result<ServerConfig, WebError> {
        let cert = self.text_or_file("cert_file", &section.cert, &section.cert_file)?;
        let key = self.text_or_file("key_file", &section.key, &section.key_file)?;
        let client_ca = self.text_or_file("client_ca_file", &section.client_ca, &section.client_ca_file)?;
        let missing = |key| {
            let problem = "is missing".into();
            self.tls_error(tls::TlsError { key, problem })
        };
        let pem = Pem {
            cert: cert.ok_or_else(|| missing("cert_file"))?,
            key: key.ok_or_else(|| missing("key_file"))?,
            client_ca,
        };
        tls::server_config(section, pem).map_err(|fault| self.tls_error(fault))
    }

    fn text_or_file(
        &mut self,
        key: &'static str,
        text: &Option<String>,
        file: &Option<String>,
    ) -> Result<Option<Vec<u8>>, WebError> {
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        match (set(text), set(file)) {
            (Some(_), Some(_)) => {
                let problem = "is given, and the same inline, too: give one of them".into();
                Err(self.tls_error(tls::TlsError { key, problem }))
            }
            (Some(text), None) => Ok(Some(text.into_bytes())),
            (None, Some(file)) => {
                // Relative to the file that names it, wherever the process was started.
                let path = self.path.parent().unwrap_or(Path::new("")).join(file);
                self.files.push(path.clone());
                let (bytes, is_public) = read(&path)?;
                if is_public && key == "key_file" {
                    self.warn_public(&path);
                }
                Ok(Some(bytes))
            }
            (None, None) => Ok(None),
        }
    }

    fn tls_error(&self, fault: tls::TlsError) -> WebError {
        WebError::Tls {
            path: self.path.clone(),
            fault,
        }
    }

    fn warn_public(&mut self, path: &Path) {
        let path = path.display();
        self.warnings.push(format!(
            "{path} holds a secret, and everybody on this host can read it: chmod o-r"
        ));
    }
}

impl TlsSection {
    /// Whether the port is to speak TLS: whether anything is set that has no other use.
    fn is_on(&self) -> bool {
        let texts = [
            &self.cert,
            &self.key,
            &self.client_ca,
            &self.cert_file,
            &self.key_file,
            &self.client_ca_file,
        ];
        texts
            .iter()
            .any(|text| text.as_ref().is_some_and(|text| !text.is_empty()))
            || self.client_auth_type.is_some()
            || self.client_allowed_sans.is_some()
    }
}

/// Most bytes of a configuration, certificate or key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file's bytes, and whether everybody may read them.
fn read(path: &Path) -> Result<(Vec<u8>, bool), WebError> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        Ok((bytes, mode & 0o004 != 0))
    };
    read().map_err(|source| WebError::Read {
        path: path.to_owned(),
        source,
    })
}
