//! What the tests of the web configuration share: a running exporter whose words are kept, an authority that issues
//! certificates, and a client that speaks TLS.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_stable::pki_types::pem::PemObject;
use rustls_stable::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_stable::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

/// The cheapest bcrypt hash.
pub fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// The header line for a user.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {text}\r\n")
}

/// An exporter and what it says.
pub struct Running {
    pub child: Child,
    pub addresses: Vec<SocketAddr>,
    pub scheme: String,
    said: Arc<Mutex<String>>,
}

impl Running {
    /// Starts `command`, which will listen on `count` addresses.
    pub fn start(command: &mut Command, count: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (keep, stderr) = (Arc::clone(&said), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut said = keep.lock().unwrap();
                said.push_str(&line.unwrap());
                said.push('\n');
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut scheme = String::new();
        let line = |_| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let url = line
                .strip_prefix("metrics at ")
                .unwrap_or_else(|| panic!("{line:?}, {:?}", said.lock()));
            let (found, rest) = url.split_once("://").unwrap();
            scheme = found.to_owned();
            rest[..rest.find('/').unwrap()].parse().unwrap()
        };
        let addresses = (0..count).map(line).collect();
        // Its output must stay open, and nothing more comes.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            child,
            addresses,
            scheme,
            said,
        }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said `text`.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !self.said().contains(text) {
            assert!(
                Instant::now() < deadline,
                "it never said {text:?}, but: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Issues certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// For a server or a client of these names.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap())
    }

    pub fn issue_with(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Writes a server's identity where the configurations of the tests look for it.
pub fn install(dir: &Path, identity: &Identity) {
    replace(&dir.join("server.pem"), &identity.cert);
    replace(&dir.join("server.key"), &identity.key);
}

/// Replaces a file in one step, readable by its owner alone.
pub fn replace(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A client that trusts `authority` and shows `identity`.
pub fn client_config(
    authority: &str,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls_stable::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    })
}

/// One connection over TLS.
pub struct TlsClient(BufReader<StreamOwned<ClientConnection, TcpStream>>);

/// Head and body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl TlsClient {
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self(BufReader::new(StreamOwned::new(connection, socket)))
    }

    pub fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())?;
        self.0.get_mut().flush()
    }

    /// An answer, or why there is none: a refusal of the certificate shows at the first reading.
    pub fn try_request(&mut self, method: &str, path: &str, lines: &str) -> std::io::Result<Answer> {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"))?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap();
        let length = if method == "HEAD" { 0 } else { length.parse().unwrap() };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    pub fn get(&mut self, path: &str, lines: &str) -> Answer {
        self.try_request("GET", path, lines).unwrap()
    }

    pub fn connection(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }

    /// The next line.
    pub fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line)
    }

    /// Ends TLS and leaves the socket open.
    pub fn say_goodbye(&mut self) {
        self.0.get_mut().conn.send_close_notify();
        self.0.get_mut().flush().unwrap();
    }

    /// What the server has shown.
    pub fn server_certificate(&self) -> Vec<u8> {
        self.connection().peer_certificates().unwrap()[0].to_vec()
    }

    /// What else comes until the server says goodbye; an error where it is cut off without.
    pub fn rest(&mut self) -> std::io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest)?;
        Ok(rest)
    }
}

/// A certificate's bytes.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
