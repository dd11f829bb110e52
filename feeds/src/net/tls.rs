//! TLS 1.2 and 1.3, sans-I/O, decrypting in memory that is ours. The only file that knows rustls.
//!
//! # Why a pre-release
//!
//! The hot thread must not allocate, and rustls 0.23 makes it: its buffered interface puts every record into a `Vec` of
//! its own, copies it twice, reads 4 KiB at a time and gives its buffer back when it runs empty; its unbuffered interface
//! still makes one `Vec` per record. From 0.24 on the caller owns the buffer ([`TlsInputBuffer`]), records are decrypted
//! in place and lent out. With it a record costs one read, one decryption, and one copy into the WebSocket decoder.
//!
//! The price is a pinned pre-release (`=0.24.0-dev.2`): its names still move, so they end in this file. A fix in rustls
//! or in webpki must be followed by hand until 0.24 is out; the cold thread's REST client has the stable rustls that its
//! own library brings. Two things would change the choice: the release of 0.24 (then this becomes an ordinary version),
//! or a security fix that reaches 0.23 only (then [`TlsClient::decrypt`] is rebuilt on 0.23's unbuffered interface at the
//! price of an allocation per record; nothing outside this file would notice).
//!
//! # What is settled here
//!
//! - Sessions are not resumed. A ticket would be filed under a lock on the hot thread, to save a reconnecting cold
//!   thread less than a millisecond.
//! - Tickets, key updates and alerts are handled by rustls as they come. Our answer to a key update leaves with the next
//!   record that we send, which is what RFC 8446, section 4.6.3 asks for. These rare records may allocate.
//! - The end of the TCP stream without `close_notify` is not an error here; the WebSocket close frame, or its absence,
//!   says whether something was cut off.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientSide, Connection, Error as RustlsError, RootCertStore, ServerConfig, ServerSide, SideData, Tcp,
    TlsInputBuffer,
};

/// What every client connection shares: the roots that it trusts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClientConfig(Arc<ClientConfig>);

/// Which certificate authorities a client trusts.
#[derive(Clone, Copy, Debug)]
pub enum TlsRoots<'a> {
    /// Mozilla's, as compiled in.
    Mozilla,
    /// Only those in this PEM text: a simulator's authority, or a company's.
    Pem(&'a [u8]),
}

impl TlsClientConfig {
    /// Builds the configuration.
    pub fn new(roots: TlsRoots<'_>) -> Result<Self, TlsConfigError> {
        let mut store = RootCertStore::empty();
        match roots {
            TlsRoots::Mozilla => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            TlsRoots::Pem(pem) => {
                for certificate in certificates(pem)? {
                    store.add(certificate).map_err(TlsConfigError::certificate)?;
                }
            }
        }
        let mut config = ClientConfig::builder(Arc::new(rustls_ring::DEFAULT_PROVIDER))
            .with_root_certificates(store)
            .with_no_client_auth()
            .map_err(TlsConfigError::rejected)?;
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct TlsClient {
    connection: Connection<ClientSide, Tcp>,
    host: String,
}

impl TlsClient {
    /// Starts a connection to `host` (a name or an IP address, checked against the certificate and sent as SNI) and
    /// appends the first flight to `out`.
    pub fn new(config: &TlsClientConfig, host: &str, out: &mut Vec<u8>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName { host: host.to_owned() })?;
        let connection = config
            .0
            .connect(name)
            .build(out)
            .map_err(|error| TlsError::new(error, Some(host)))?;
        Ok(Self {
            connection,
            host: host.to_owned(),
        })
    }

    /// Whether application data cannot be sent yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Decrypts every complete record in `input` and lends the contents to `sink`, record by record, in order. What must
    /// be answered is appended to `out`, also when an error is returned: then it is the alert that tells the peer why.
    ///
    /// Drives the handshake, too. Allocates nothing for application data.
    #[inline]
    pub fn decrypt(
        &mut self,
        input: &mut RecordBuffer,
        out: &mut Vec<u8>,
        sink: impl FnMut(&[u8]),
    ) -> Result<Decrypted, TlsError> {
        decrypt(&mut self.connection, Some(&self.host), input, out, sink)
    }

    /// Encrypts `plain` into as many records as it needs, appended to `out`.
    #[inline]
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.connection
            .write(plain.into(), out)
            .map_err(|error| TlsError::new(error, Some(&self.host)))
    }

    /// Appends a `close_notify` to `out`: nothing more will be sent. Once; later calls do nothing.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.connection
            .send_close_notify(out)
            .map_err(|error| TlsError::new(error, Some(&self.host)))
    }

    /// What was agreed, such as `TLSv1_3 TLS13_AES_128_GCM_SHA256`; empty during the handshake.
    pub fn describe(&self) -> String {
        describe(&self.connection)
    }
}

/// What a server shows: its certificate chain and key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsServerConfig(Arc<ServerConfig>);

/// What a server may be told besides its certificate. Tests use it to be an awkward peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsServerOptions {
    /// The most bytes of a record that it sends, header included, from 32 to 16,389; `None` is the most.
    pub record_bytes_max: Option<usize>,
    /// Speak TLS 1.2 and nothing newer.
    pub only_tls12: bool,
}

impl TlsServerConfig {
    /// Builds the configuration from a PEM certificate chain, leaf first, and a PEM private key.
    pub fn new(certificate_pem: &[u8], key_pem: &[u8], options: &TlsServerOptions) -> Result<Self, TlsConfigError> {
        let provider: CryptoProvider = match options.only_tls12 {
            true => rustls_ring::DEFAULT_TLS12_PROVIDER,
            false => rustls_ring::DEFAULT_PROVIDER,
        };
        let identity = Identity::from_cert_chain(certificates(certificate_pem)?)
            .map_err(|misuse| TlsConfigError::rejected(misuse.into()))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| TlsConfigError::Key {
            reason: error.to_string(),
        })?;
        let mut config = ServerConfig::builder(Arc::new(provider))
            .with_no_client_auth()
            .with_single_cert(Arc::new(identity), key)
            .map_err(TlsConfigError::rejected)?;
        config.max_fragment_size = options.record_bytes_max;
        Ok(Self(Arc::new(config)))
    }
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct TlsServer(Connection<ServerSide, Tcp>);

impl TlsServer {
    /// Waits for a client's first flight.
    pub fn new(config: &TlsServerConfig) -> Result<Self, TlsError> {
        Connection::<ServerSide, Tcp>::new(config.0.clone())
            .map(Self)
            .map_err(|error| TlsError::new(error, None))
    }

    /// Whether application data cannot be sent yet.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// As [`TlsClient::decrypt`].
    pub fn decrypt(
        &mut self,
        input: &mut RecordBuffer,
        out: &mut Vec<u8>,
        sink: impl FnMut(&[u8]),
    ) -> Result<Decrypted, TlsError> {
        decrypt(&mut self.0, None, input, out, sink)
    }

    /// As [`TlsClient::encrypt`].
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.0
            .write(plain.into(), out)
            .map_err(|error| TlsError::new(error, None))
    }

    /// Changes the keys of both directions (TLS 1.3): what a peer does after long use.
    pub fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.0
            .refresh_traffic_keys(out)
            .map_err(|error| TlsError::new(error, None))
    }

    /// As [`TlsClient::close`].
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.0
            .send_close_notify(out)
            .map_err(|error| TlsError::new(error, None))
    }
}

/// What one call decrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decrypted {
    /// Plain bytes that went to the sink.
    pub plain_bytes: usize,
    /// The peer said that it sends no more; what follows is ignored.
    pub peer_closed: bool,
}

/// Received bytes that are not decrypted yet, in one piece of memory of a fixed size.
///
/// Reads append behind ([`space`](Self::space), [`commit`](Self::commit)); rustls decrypts in place and takes records
/// from the front. A record that is cut by a read stays, and is moved to the front only when the room behind it gets short.
#[derive(Debug)]
pub struct RecordBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl RecordBuffer {
    /// The least size: a handshake message of 64 KiB, which is the most that rustls takes, in records of its own, and the
    /// largest record behind it.
    pub const BYTES_MIN: usize = 96 * 1024;

    /// A buffer of `bytes`, at least [`RecordBuffer::BYTES_MIN`].
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes.max(Self::BYTES_MIN)].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The room for the next read. Never empty after a call to `decrypt` that succeeded.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.bytes.len() - self.end < self.bytes.len() / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// Takes over the first `n` bytes of what [`space`](Self::space) lent.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.bytes.len() - self.end, "more was committed than was lent");
        self.end += n;
    }

    /// Bytes that wait for the rest of their record.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    fn is_full(&self) -> bool {
        self.pending() == self.bytes.len()
    }
}

impl TlsInputBuffer for RecordBuffer {
    #[inline]
    fn slice_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    #[inline]
    fn discard(&mut self, n: usize) {
        debug_assert!(n <= self.pending());
        self.start += n;
    }

    fn received_close_notify(&mut self) {}

    fn has_seen_eof(&self) -> bool {
        false
    }
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The name of the host cannot be in a certificate.
    #[error("{host:?} is not a name that a certificate can carry")]
    ServerName {
        /// The name.
        host: String,
    },
    /// The server's certificate is not one to trust for this host.
    #[error("certificate of {host} is refused: {reason}")]
    Certificate {
        /// Whom we meant to reach.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer ended the connection with this alert.
    #[error("peer refused with the alert {alert}")]
    Alert {
        /// The alert's name (RFC 8446, section 6).
        alert: String,
    },
    /// The peer broke the protocol, or offers nothing that we take.
    #[error("tls failed: {reason}")]
    Protocol {
        /// How.
        reason: String,
    },
    /// A handshake message that the receive buffer cannot hold.
    #[error("peer sent a handshake message of more than {bytes} bytes")]
    MessageTooLarge {
        /// The size of the buffer.
        bytes: usize,
    },
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsConfigError {
    /// The PEM text has no usable certificate.
    #[error("certificate cannot be read: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The PEM text has no certificate at all.
    #[error("pem text holds no certificate; it needs a BEGIN CERTIFICATE block")]
    NoCertificate,
    /// The PEM text has no usable private key.
    #[error("private key cannot be read: {reason}")]
    Key {
        /// Why.
        reason: String,
    },
    /// Certificate and key do not fit each other, or an option is out of its range.
    #[error("tls configuration is refused: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
}

impl TlsError {
    #[cold]
    fn new(error: RustlsError, host: Option<&str>) -> Self {
        match (error, host) {
            (RustlsError::InvalidCertificate(reason), Some(host)) => Self::Certificate {
                host: host.to_owned(),
                reason: reason.to_string(),
            },
            (RustlsError::AlertReceived(alert), _) => Self::Alert {
                alert: format!("{alert:?}"),
            },
            (error, _) => Self::Protocol {
                reason: error.to_string(),
            },
        }
    }
}

impl TlsConfigError {
    fn certificate(error: RustlsError) -> Self {
        Self::Certificate {
            reason: error.to_string(),
        }
    }

    fn rejected(error: RustlsError) -> Self {
        Self::Rejected {
            reason: error.to_string(),
        }
    }
}

#[inline]
fn decrypt<Side: SideData>(
    connection: &mut Connection<Side, Tcp>,
    host: Option<&str>,
    input: &mut RecordBuffer,
    out: &mut Vec<u8>,
    mut sink: impl FnMut(&[u8]),
) -> Result<Decrypted, TlsError> {
    let mut plain_bytes = 0;
    let peer_closed = {
        let mut records = connection.read_tls(input, out);
        while let Some(payload) = records.next_payload() {
            let payload = payload.map_err(|error| TlsError::new(error, host))?;
            let bytes = payload.bytes();
            plain_bytes += bytes.len();
            sink(bytes);
        }
        records.state().peer_has_closed()
    };
    match input.is_full() {
        true => Err(TlsError::MessageTooLarge {
            bytes: input.bytes.len(),
        }),
        false => Ok(Decrypted {
            plain_bytes,
            peer_closed,
        }),
    }
}

fn describe<Side: SideData>(connection: &Connection<Side, Tcp>) -> String {
    match (connection.protocol_version(), connection.negotiated_cipher_suite()) {
        (Some(version), Some(suite)) => format!("{version:?} {:?}", suite.suite()),
        _ => String::new(),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsConfigError::Certificate {
            reason: error.to_string(),
        })?;
    match list.is_empty() {
        true => Err(TlsConfigError::NoCertificate),
        false => Ok(list),
    }
}
