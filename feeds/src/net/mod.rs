//! Sockets, TLS and the readiness poller.

mod backoff;
mod certificate;
mod connection;
mod dial;
mod endpoint;
mod poller;
mod rest;
mod tcp;
mod tls;
mod tls_stream;
mod transport;

pub use backoff::{Backoff, BackoffOptions};
pub use certificate::{CertificateError, TestCertificate};
pub use connection::{BytesRead, Connection, ConnectionError, ConnectionTotals, Flushed, ReadOutcome};
pub use dial::{DialError, DialOptions, DialStep, dial};
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use poller::{Drained, IdleStrategy, Polled, Poller, PollerWaker};
pub use rest::{RestClient, RestError, RestOptions};
pub use tcp::{Applied, TcpApplied, TcpOptions, TcpRead, TcpSocket};
pub use tls::{
    Decrypted, RecordBuffer, TlsClient, TlsClientConfig, TlsConfigError, TlsError, TlsRoots, TlsServer,
    TlsServerConfig, TlsServerOptions,
};
pub use tls_stream::TlsServerStream;
