//! From an address to an open WebSocket: resolve, connect, TLS, upgrade. Blocks, so it is for a cold thread.
//!
//! Every step has the one deadline, and every failure says at which step it happened, because that is what the person
//! who reads it at night needs: a name that does not resolve, a port that refuses, a certificate that expired and a
//! venue that answers 429 are mended in four different ways.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::tcp::{TcpOptions, TcpRead, TcpSocket};
use super::tls::{TlsClient, TlsClientConfig, TlsError};
use super::transport::{PLAIN_PER_READ_MAX, Transport, TransportError};
use crate::ws::{ClientHandshake, HandshakeError, Limits, MaskSource, Protocol, UpgradeRequest};

/// How to reach a venue.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// What is asked of the kernel.
    pub tcp: TcpOptions,
    /// Whom to trust; needed for `wss://`.
    pub tls: Option<TlsClientConfig>,
    /// Ceilings of the WebSocket. Its receive buffer starts with 256 KiB even if they say less: a full read behind the
    /// piece of a message would make it grow, and that is an allocation at the worst moment, in a burst.
    pub limits: Limits,
    /// The most bytes of one read, from 16 KiB to 64 KiB.
    pub read_bytes_max: usize,
    /// How long one address may take to answer before the next one is tried.
    pub connect_timeout: Duration,
    /// How long everything may take.
    pub timeout: Duration,
    /// More headers for the upgrade: `User-Agent`, an API key.
    pub headers: Vec<(String, String)>,
}

impl Default for DialOptions {
    /// Three seconds per address, ten in all; no TLS configuration.
    fn default() -> Self {
        Self {
            tcp: TcpOptions::default(),
            tls: None,
            limits: Limits::default(),
            read_bytes_max: PLAIN_PER_READ_MAX,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            headers: Vec::new(),
        }
    }
}

/// A step of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialStep {
    /// Asking for the addresses of the host.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The HTTP upgrade to a WebSocket.
    Upgrade,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host has no address, or the resolver failed.
    #[error("failed to resolve {host}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No address of the host accepted the connection; this is the last one's answer.
    #[error("failed to connect to {address}, the last of {tried} addresses")]
    Connect {
        /// The last address.
        address: SocketAddr,
        /// How many were tried.
        tried: usize,
        /// What the kernel says: refused, unreachable, timed out.
        source: io::Error,
    },
    /// A `wss://` address, but no TLS configuration was given.
    #[error("address is wss:// but no certificate authorities are configured")]
    NoTlsConfig,
    /// TLS was refused, by us or by the peer.
    #[error("tls handshake failed")]
    Tls(#[source] TlsError),
    /// The server answered the upgrade with something else than a WebSocket.
    #[error("websocket upgrade failed")]
    Upgrade(#[source] HandshakeError),
    /// The peer hung up in the middle of a step.
    #[error("peer closed the connection during {step:?}")]
    Closed {
        /// Which step.
        step: DialStep,
    },
    /// The deadline passed in the middle of a step.
    #[error("no answer within {timeout:?}, waiting for {step:?}")]
    Timeout {
        /// Which step.
        step: DialStep,
        /// The deadline that was given.
        timeout: Duration,
    },
    /// The socket failed in the middle of a step.
    #[error("socket failed during {step:?}")]
    Io {
        /// Which step.
        step: DialStep,
        /// What the kernel says.
        source: io::Error,
    },
}

impl DialError {
    /// How long the server asked to stay away, if it did: a 429 or 503 with `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upgrade(HandshakeError::Refused(refusal)) => refusal.retry_after,
            _ => None,
        }
    }

    /// The HTTP status of a refused upgrade.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Upgrade(HandshakeError::Refused(refusal)) => Some(refusal.status),
            _ => None,
        }
    }
}

/// Opens a WebSocket to `endpoint`. `masks` makes the handshake's key and then masks what is sent.
pub fn dial(endpoint: &Endpoint, options: &DialOptions, mut masks: MaskSource) -> Result<Connection, DialError> {
    let tls = match (endpoint.is_tls(), &options.tls) {
        (false, _) => None,
        (true, Some(config)) => Some(config),
        (true, None) => return Err(DialError::NoTlsConfig),
    };
    let deadline = Deadline::new(options.timeout);
    let addresses = resolve(endpoint, &deadline)?;
    let (tcp, waiter) = connect(&addresses, options, &deadline)?;
    let transport = match tls {
        None => Transport::plain(tcp),
        Some(config) => {
            Transport::over_tls(tcp, |out| TlsClient::new(config, endpoint.host(), out)).map_err(DialError::Tls)?
        }
    };
    let mut dialogue = Dialogue {
        transport,
        waiter,
        deadline,
        scratch: vec![0; SCRATCH_BYTES],
    };
    dialogue.handshake_tls()?;
    let key = masks.next_handshake_key();
    let buffer_bytes = options.limits.buffer_bytes.max(RECEIVE_BUFFER_BYTES_MIN);
    let mut protocol = Protocol::client(
        Limits {
            buffer_bytes,
            ..options.limits
        },
        masks,
    );
    dialogue.upgrade(endpoint, options, key, &mut protocol)?;

    let Dialogue {
        mut transport,
        mut waiter,
        ..
    } = dialogue;
    waiter.release(&mut transport.tcp).map_err(|source| DialError::Io {
        step: DialStep::Upgrade,
        source,
    })?;
    Ok(Connection::new(transport, protocol, options.read_bytes_max))
}

/// The steps after the connect: questions and answers over one socket.
struct Dialogue {
    transport: Transport,
    waiter: Waiter,
    deadline: Deadline,
    scratch: Vec<u8>,
}

impl Dialogue {
    fn handshake_tls(&mut self) -> Result<(), DialError> {
        self.flush(DialStep::Tls)?;
        while self.transport.is_handshaking() {
            self.receive(DialStep::Tls, |_| {})?;
        }
        Ok(())
    }

    fn upgrade(
        &mut self,
        endpoint: &Endpoint,
        options: &DialOptions,
        key: [u8; 16],
        protocol: &mut Protocol,
    ) -> Result<(), DialError> {
        let headers: Vec<(&str, &str)> = options
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let request = UpgradeRequest {
            host: endpoint.host(),
            port: endpoint.port(),
            is_tls: endpoint.is_tls(),
            target: endpoint.path(),
            headers: &headers,
            subprotocols: &[],
        };
        let mut bytes = Vec::new();
        let mut handshake = ClientHandshake::new(&request, key, &mut bytes).map_err(DialError::Upgrade)?;
        let mut unsent = &bytes[..];
        while !unsent.is_empty() {
            match self
                .transport
                .write(unsent)
                .map_err(|error| failed(DialStep::Upgrade, error))?
            {
                0 => self.waiter.wait(&self.deadline, DialStep::Upgrade)?,
                n => unsent = &unsent[n..],
            }
        }
        self.flush(DialStep::Upgrade)?;
        loop {
            let mut answer = Ok(None);
            let received = self.receive(DialStep::Upgrade, |plain| {
                if answer.is_ok() {
                    answer = handshake.feed(plain);
                }
            });
            match (answer, received) {
                (Err(error), _) => return Err(DialError::Upgrade(error)),
                (Ok(Some(_)), Ok(())) => break,
                (Ok(Some(_)), Err(error)) => return Err(error),
                (Ok(None), Ok(())) => {}
                // A refusal whose body never comes is still a refusal.
                (Ok(None), Err(error)) => match handshake.give_up() {
                    refused @ HandshakeError::Refused(_) => return Err(DialError::Upgrade(refused)),
                    _ => return Err(error),
                },
            }
        }
        // A read brings less than the decoder has room for, so all of it is taken.
        let leftover = handshake.leftover();
        let taken = protocol.append(leftover);
        debug_assert_eq!(taken, leftover.len(), "the first read fits an empty decoder");
        Ok(())
    }

    /// Reads once, waiting for bytes if there are none.
    fn receive(&mut self, step: DialStep, mut sink: impl FnMut(&[u8])) -> Result<(), DialError> {
        loop {
            let read = self
                .transport
                .read(&mut self.scratch, &mut sink)
                .map_err(|error| failed(step, error))?;
            match read {
                TcpRead::Bytes { .. } => return Ok(()),
                TcpRead::Eof => return Err(DialError::Closed { step }),
                TcpRead::WouldBlock if self.transport.is_tls_closed() => return Err(DialError::Closed { step }),
                TcpRead::WouldBlock => self.waiter.wait(&self.deadline, step)?,
            }
        }
    }

    fn flush(&mut self, step: DialStep) -> Result<(), DialError> {
        while !self.transport.flush().map_err(|error| failed(step, error))? {
            self.waiter.wait(&self.deadline, step)?;
        }
        Ok(())
    }
}

/// The addresses of the host. The system's resolver knows no deadline, so it runs in a thread that is left behind when
/// the deadline passes; it ends when the resolver gives up, after half a minute at most on common systems.
fn resolve(endpoint: &Endpoint, deadline: &Deadline) -> Result<Vec<SocketAddr>, DialError> {
    let (host, port) = (endpoint.host().to_owned(), endpoint.port());
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |source| DialError::Resolve {
        host: endpoint.host().to_owned(),
        source,
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("resolve".into())
        .spawn(move || {
            let result = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let _ = sender.send(result); // nobody waits any more: the deadline passed
        })
        .map_err(failed)?;
    let addresses = match receiver.recv_timeout(deadline.left()) {
        Ok(result) => result.map_err(failed)?,
        Err(mpsc::RecvTimeoutError::Timeout) => return Err(deadline.passed(DialStep::Resolve)),
        Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed(io::Error::other("resolver panicked"))),
    };
    match addresses.is_empty() {
        true => Err(failed(io::Error::new(io::ErrorKind::NotFound, "host has no address"))),
        false => Ok(addresses),
    }
}

/// The first address that answers.
fn connect(
    addresses: &[SocketAddr],
    options: &DialOptions,
    deadline: &Deadline,
) -> Result<(TcpSocket, Waiter), DialError> {
    let mut last = deadline.passed(DialStep::Connect);
    for (index, &address) in addresses.iter().enumerate() {
        if deadline.left().is_zero() {
            return Err(deadline.passed(DialStep::Connect));
        }
        let patience = Deadline::new(options.connect_timeout.min(deadline.left()));
        match connect_one(address, options, &patience) {
            Ok(connected) => return Ok(connected),
            Err(source) => {
                last = DialError::Connect {
                    address,
                    tried: index + 1,
                    source,
                }
            }
        }
    }
    Err(last)
}

fn connect_one(address: SocketAddr, options: &DialOptions, patience: &Deadline) -> io::Result<(TcpSocket, Waiter)> {
    let mut tcp = TcpSocket::connect(address, &options.tcp)?;
    let mut waiter = Waiter::new(&mut tcp)?;
    while !tcp.connect_result()? {
        let left = patience.left();
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        waiter.poll(left)?;
    }
    Ok((tcp, waiter))
}

/// Sleeps until the socket has news.
struct Waiter {
    poll: Poll,
    events: Events,
}

impl Waiter {
    fn new(tcp: &mut TcpSocket) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(tcp, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(4),
        })
    }

    fn poll(&mut self, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Call only after the socket said that it would block: that is what arms the edge.
    fn wait(&mut self, deadline: &Deadline, step: DialStep) -> Result<(), DialError> {
        let left = deadline.left();
        if left.is_zero() {
            return Err(deadline.passed(step));
        }
        self.poll(left).map_err(|source| DialError::Io { step, source })
    }

    fn release(&mut self, tcp: &mut TcpSocket) -> io::Result<()> {
        self.poll.registry().deregister(tcp)
    }
}

struct Deadline {
    end: Instant,
    timeout: Duration,
}

impl Deadline {
    fn new(timeout: Duration) -> Self {
        // A timeout that overflows the clock is none; a century is none, too.
        let now = Instant::now();
        let end = now
            .checked_add(timeout)
            .unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 24 * 60 * 60));
        Self { end, timeout }
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn passed(&self, step: DialStep) -> DialError {
        DialError::Timeout {
            step,
            timeout: self.timeout,
        }
    }
}

fn failed(step: DialStep, error: TransportError) -> DialError {
    match error {
        TransportError::Io(source) => DialError::Io { step, source },
        TransportError::Tls(error) => DialError::Tls(error),
    }
}

/// A read, and a message of three times that size before it: the largest that venues send, snapshots of thousands of
/// levels excepted.
const RECEIVE_BUFFER_BYTES_MIN: usize = 4 * PLAIN_PER_READ_MAX;

/// The steps before the WebSocket exchange a few kilobytes.
const SCRATCH_BYTES: usize = 16 * 1024;
