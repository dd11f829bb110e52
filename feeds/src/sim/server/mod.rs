//! The simulator as a server: a listener, a thread for each connection, and one that owns the exchange.

mod connection;
mod hub;
mod outbox;
mod pace;
mod writer;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use self::connection::{Connection, SOCKET, Shared, WAKE};
use self::hub::{Command, Hub, VenueClock};
use self::outbox::Outbox;
use super::config::{SimConfig, SimSource, SimTls};
use super::exchange::{Clients, Contents, DialectOptions, Exchange, Generated, Playback, PlaybackPace};
use super::fault::{Chaos, Faults};
use super::load::LoadShape;
use super::market::MarketConfig;
use super::stats::{Counters, SimStats};
use crate::capture::CaptureError;
use crate::net::{CertificateError, TestCertificate, TlsConfigError, TlsServerConfig, TlsServerOptions};
use crate::types::UnixNanos;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("failed to listen on {address}; port 0 takes any that is free")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate cannot be used.
    #[error("failed to set TLS up")]
    Tls(#[from] TlsConfigError),
    /// The configuration asks for what cannot be.
    #[error("simulator configuration: {reason}")]
    Config {
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// The recording cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A thread cannot be started.
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
}

/// The simulator.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Starts serving. Returns once the port is open.
    ///
    /// # Errors
    /// The address is taken, the certificate or the configuration is no good.
    pub fn start(config: SimConfig) -> Result<SimHandle, SimError> {
        let (tls, authority_pem) = identity(&config.tls)?;
        let (source, symbols) = Source::resolve(&config)?;
        let counters = Arc::new(Counters::new(&symbols));
        let start = UnixNanos(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos() as u64),
        );
        let clock = VenueClock::new(start);
        let exchange = exchange(&config, source, &symbols, start);

        let bind = |source| SimError::Bind {
            address: config.bind,
            source,
        };
        let mut listener = TcpListener::bind(config.bind).map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let poll = Poll::new().map_err(bind)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(bind)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(bind)?;

        let (hub_sender, commands) = channel();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let shared = Shared {
            hub: hub_sender.clone(),
            counters: Arc::clone(&counters),
            clock,
            tls,
            ping_interval: config.ping_interval,
            pong_timeout: config.pong_timeout,
            is_stopping: Arc::clone(&is_stopping),
        };
        let hub = Hub::new(exchange, commands, Arc::clone(&counters), clock);
        let hub = Builder::new()
            .name("sim-hub".to_owned())
            .spawn(move || hub.run())
            .map_err(SimError::Thread)?;
        let acceptor = Acceptor {
            listener,
            poll,
            shared,
            connections: Vec::new(),
        };
        let acceptor = Builder::new()
            .name("sim-accept".to_owned())
            .spawn(move || acceptor.run())
            .map_err(SimError::Thread)?;
        Ok(SimHandle {
            addr,
            is_tls: config.tls != SimTls::Off,
            authority_pem,
            counters,
            hub_sender,
            is_stopping,
            waker,
            threads: Some((hub, acceptor)),
        })
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct SimHandle {
    /// Where it listens, the port filled in.
    pub addr: SocketAddr,
    is_tls: bool,
    authority_pem: Option<String>,
    counters: Arc<Counters>,
    hub_sender: Sender<Command>,
    is_stopping: Arc<AtomicBool>,
    waker: Waker,
    threads: Option<(JoinHandle<()>, JoinHandle<()>)>,
}

impl SimHandle {
    /// The beginning of its WebSocket addresses: `ws://127.0.0.1:40123`.
    pub fn ws_url(&self) -> String {
        format!("{}://{}", if self.is_tls { "wss" } else { "ws" }, self.addr)
    }

    /// The beginning of its REST addresses.
    pub fn rest_url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.addr)
    }

    /// The certificate to trust, with TLS. With [`SimTls::UnknownAuthority`] it is one that did not sign.
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// What was sent so far. Exact after [`stop`](Self::stop).
    pub fn stats(&self) -> SimStats {
        self.counters.read()
    }

    /// Ends the plan of faults and the storm of [`Chaos`]: the venue is healthy from here on and its clock right again.
    /// Connections that a fault has silenced stay silent.
    pub fn calm(&self) {
        // An error here and below: it has been stopped, and is as calm as can be.
        let _ = self.hub_sender.send(Command::Calm);
    }

    /// Lets a generated market stand still, as in a trading halt: what has happened is still told, connections, requests
    /// and heartbeats go on. [`SimStats::market_events`] then says how many events the market has seen since its
    /// [warm-up](super::market::Market::warm_up).
    pub fn halt_market(&self) {
        let _ = self.hub_sender.send(Command::Halt);
    }

    /// Says good-bye to every client (close code 1001), writes what waits, ends all threads, and returns the totals.
    pub fn stop(&mut self) -> SimStats {
        if let Some((hub, acceptor)) = self.threads.take() {
            // In this order: what the hub says last is in the outboxes before the connections look for the end.
            let _ = self.hub_sender.send(Command::Stop);
            let hub = hub.join();
            // Release: pairs with the Acquire of the connections' threads, after the hub's last words.
            self.is_stopping.store(true, Release);
            let _ = self.waker.wake();
            let acceptor = acceptor.join();
            debug_assert!(hub.is_ok() && acceptor.is_ok(), "a thread of the simulator panicked");
        }
        self.counters.read()
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread that takes connections and, in the end, waits for their threads.
struct Acceptor {
    listener: TcpListener,
    poll: Poll,
    shared: Shared,
    connections: Vec<(JoinHandle<()>, Arc<Outbox>)>,
}

impl Acceptor {
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        while !self.shared.is_stopping.load(std::sync::atomic::Ordering::Acquire) {
            loop {
                match self.listener.accept() {
                    Ok((stream, _)) => self.accept(stream),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A peer that went away again, or no descriptor left: both pass.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            self.connections.retain(|(thread, _)| !thread.is_finished());
            // The time-out sweeps ended threads up, and tries again where descriptors had run out.
            let _ = self.poll.poll(&mut events, Some(Duration::from_secs(1)));
        }
        for (_, outbox) in &self.connections {
            outbox.wake();
        }
        for (thread, _) in self.connections {
            let _ = thread.join();
        }
    }

    fn accept(&mut self, mut stream: mio::net::TcpStream) {
        self.shared.counters.connections_accepted.fetch_add(1, Relaxed);
        if self.connections.len() >= CONNECTIONS_MAX {
            return;
        }
        // An error here is the peer's or the system's want of descriptors: the connection ends.
        let started = (|| -> io::Result<(JoinHandle<()>, Arc<Outbox>)> {
            stream.set_nodelay(true)?;
            let poll = Poll::new()?;
            poll.registry()
                .register(&mut stream, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
            let outbox = Arc::new(Outbox::new(Waker::new(poll.registry(), WAKE)?));
            let connection = Connection::new(stream, poll, Arc::clone(&outbox), self.shared.clone())?;
            let counters = Arc::clone(&self.shared.counters);
            let thread = Builder::new().name("sim-connection".to_owned()).spawn(move || {
                counters.connections_open.fetch_add(1, Relaxed);
                connection.run();
                counters.connections_open.fetch_sub(1, Relaxed);
            })?;
            Ok((thread, outbox))
        })();
        if let Ok(started) = started {
            self.connections.push(started);
        }
    }
}

/// A configured source with what had to be found out about it.
enum Source {
    Market {
        market: MarketConfig,
        load: LoadShape,
    },
    Playback {
        files: Vec<PathBuf>,
        pace: PlaybackPace,
        snapshot_timeout: Duration,
        contents: Contents,
    },
}

impl Source {
    /// Checks the source, and finds its instruments.
    fn resolve(config: &SimConfig) -> Result<(Self, Vec<String>), SimError> {
        let refuse = |reason: &str| {
            Err(SimError::Config {
                reason: reason.to_owned(),
            })
        };
        if let Some(problem) = config.chaos.as_ref().and_then(Chaos::problem) {
            return refuse(problem);
        }
        match config.source.clone() {
            SimSource::Market { market, load } => {
                if market.symbols.is_empty() {
                    return refuse("a generated market needs at least one symbol");
                }
                if let Some(problem) = load.problem() {
                    return refuse(problem);
                }
                let symbols = market.symbols.iter().map(|symbol| symbol.symbol.clone()).collect();
                Ok((Self::Market { market, load }, symbols))
            }
            SimSource::Playback {
                files,
                pace,
                snapshot_timeout,
            } => {
                if let PlaybackPace::Recorded { speed } = pace
                    && !(speed > 0.0 && speed.is_finite())
                {
                    return refuse("the speed of a playback must be above zero; flood plays as fast as it goes");
                }
                let contents = Contents::scan(config.venue, &files)?;
                let symbols = contents.symbols.clone();
                if symbols.is_empty() {
                    return refuse("the recording holds no message of this venue with a symbol");
                }
                Ok((
                    Self::Playback {
                        files,
                        pace,
                        snapshot_timeout,
                        contents,
                    },
                    symbols,
                ))
            }
        }
    }
}

fn exchange(config: &SimConfig, source: Source, symbols: &[String], start: UnixNanos) -> Box<dyn Exchange> {
    let clients = Clients::new(Faults::new(&config.faults, config.chaos.as_ref(), symbols));
    let options = DialectOptions {
        depth_interval_ms: config.depth_interval_ms,
        enforce_limits: config.enforce_limits,
    };
    match source {
        Source::Market { market, load } => {
            Box::new(Generated::new(config.venue, &market, options, load, clients, start))
        }
        Source::Playback {
            files,
            pace,
            snapshot_timeout,
            contents,
        } => Box::new(Playback::new(
            config.venue,
            files,
            pace,
            snapshot_timeout,
            contents,
            clients,
        )),
    }
}

/// The server's certificate, and the authority that a client is told to trust.
fn identity(tls: &SimTls) -> Result<(Option<TlsServerConfig>, Option<String>), SimError> {
    let now = SystemTime::now();
    let own = ["localhost", "127.0.0.1", "::1"];
    let server = |certificate: &TestCertificate| {
        TlsServerConfig::new(
            certificate.certificate_pem.as_bytes(),
            certificate.key_pem.as_bytes(),
            &TlsServerOptions::default(),
        )
    };
    let (config, authority_pem) = match tls {
        SimTls::Off => return Ok((None, None)),
        SimTls::Own => {
            let certificate = TestCertificate::generate(own, now)?;
            (server(&certificate)?, Some(certificate.authority_pem))
        }
        SimTls::WrongName => {
            let certificate = TestCertificate::generate(["another.invalid"], now)?;
            (server(&certificate)?, Some(certificate.authority_pem))
        }
        SimTls::UnknownAuthority => {
            let (shown, told) = (
                TestCertificate::generate(own, now)?,
                TestCertificate::generate(own, now)?,
            );
            (server(&shown)?, Some(told.authority_pem))
        }
        SimTls::Pem {
            certificate_pem,
            key_pem,
        } => {
            let options = TlsServerOptions::default();
            (
                TlsServerConfig::new(certificate_pem.as_bytes(), key_pem.as_bytes(), &options)?,
                None,
            )
        }
    };
    Ok((Some(config), authority_pem))
}

const LISTENER: Token = Token(0);
/// Connections at a time: more are closed at once.
const CONNECTIONS_MAX: usize = 1_024;
