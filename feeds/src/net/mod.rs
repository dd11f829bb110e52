//! Sockets, TLS and the readiness poller: everything between the kernel and a message's bytes.
//!
//! Two kinds of thread meet here. A cold one resolves, connects, shakes hands and backs off ([`dial`], [`Backoff`]), asks
//! for snapshots ([`RestClient`]), and leaves a venue in trouble alone ([`Breaker`]); it may block and allocate. A hot one
//! owns the [`Connection`]s that it was handed and a [`Poller`]; after warm-up it allocates nothing and makes no system
//! call but those of its sockets:
//!
//! ```text
//! cold:  Endpoint ─▶ dial() ─▶ Connection ══ queue ══▶ hot:  Poller::add
//!                                                            loop { poll(); drain(slot, …, |connection, read| …) }
//! ```
//!
//! ```no_run
//! use quantumflow_feeds::clock::NoClock;
//! use quantumflow_feeds::net::{
//!     ConnectionError, DialOptions, IdleStrategy, Poller, TlsClientConfig, TlsRoots, dial,
//! };
//! use quantumflow_feeds::ws::MaskSource;
//!
//! let options = DialOptions { tls: Some(TlsClientConfig::new(TlsRoots::Mozilla)?), ..DialOptions::default() };
//! let mut connection = dial(&"wss://ws.kraken.com/v2".parse()?, &options, MaskSource::from_os()?)?;
//! connection.send_text(r#"{"method":"ping"}"#)?;
//!
//! let mut poller = Poller::new(1, IdleStrategy::Spin)?;
//! poller.add(0, &mut connection)?;
//! loop {
//!     poller.poll()?;
//!     if poller.is_readable(0) {
//!         poller.drain(0, &mut connection, &NoClock, 16, |connection, _read| {
//!             while let Some(message) = connection.next_message()? {
//!                 println!("{message:?}");
//!             }
//!             Ok::<(), ConnectionError>(())
//!         })?;
//!     }
//!     connection.flush()?;
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backoff;
mod breaker;
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
pub use breaker::{Breaker, BreakerOptions, BreakerOptionsError, BreakerState, BreakerTotals, Wait};
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
