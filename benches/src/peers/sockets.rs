//! Sockets as the libraries want them: read without waiting, or on a runtime; with rustls where the venue has TLS.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use boomnet::stream::ReadHint;
use rustls_stable::pki_types::pem::PemObject as _;
use rustls_stable::pki_types::{CertificateDer, ServerName};
use rustls_stable::{ClientConfig, ClientConnection, RootCertStore};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// A socket that is read without waiting.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self(stream))
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl ReadHint for Socket {
    fn read_hint(&self) -> bool {
        true
    }
}

/// The same with rustls, read as boomnet's own stream does it: what is decrypted already first, then one read of the
/// socket.
#[derive(Debug)]
pub struct TlsSocket {
    socket: Socket,
    tls: ClientConnection,
}

impl TlsSocket {
    /// Connects, and shakes hands.
    ///
    /// # Errors
    /// Nobody listens, or not one who is vouched for.
    pub fn connect(address: SocketAddr, authority_pem: &str) -> Result<Self, Box<dyn Error>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut tls = ClientConnection::new(client_config(authority_pem)?, ServerName::try_from("localhost")?)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            socket: Socket(stream),
            tls,
        })
    }
}

impl Read for TlsSocket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.tls.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            ready => return ready,
        }
        self.tls.read_tls(&mut self.socket)?;
        self.tls.process_new_packets().map_err(io::Error::other)?;
        self.tls.reader().read(buffer)
    }
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tls.writer().write(bytes)?;
        self.flush()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

impl ReadHint for TlsSocket {
    fn read_hint(&self) -> bool {
        true
    }
}

/// A socket on a runtime.
///
/// # Errors
/// Nobody listens.
pub async fn async_socket(address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same with rustls.
///
/// # Errors
/// Nobody listens, or not one who is vouched for.
pub async fn async_tls_socket(
    address: SocketAddr,
    authority_pem: &str,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, Box<dyn Error>> {
    let connector = TlsConnector::from(client_config(authority_pem)?);
    let stream = async_socket(address).await?;
    Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
}

/// A runtime of one thread.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime needs an epoll descriptor only")
}

fn client_config(authority_pem: &str) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
    let provider = Arc::new(rustls_stable::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
