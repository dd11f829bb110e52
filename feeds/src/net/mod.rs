//! Sockets, TLS and the readiness poller.

mod certificate;
mod endpoint;
mod tcp;
mod tls;
mod tls_stream;

pub use certificate::{CertificateError, TestCertificate};
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use tcp::{Applied, TcpApplied, TcpOptions, TcpRead, TcpSocket};
pub use tls::{
    Decrypted, RecordBuffer, TlsClient, TlsClientConfig, TlsConfigError, TlsError, TlsRoots, TlsServer,
    TlsServerConfig, TlsServerOptions,
};
pub use tls_stream::TlsServerStream;
