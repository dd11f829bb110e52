//! Servers for the tests: one thread, one client, over loopback, with or without TLS.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests may unwrap; not every test uses every helper"
)]
#![allow(unreachable_pub, reason = "each test compiles this file as a module of its own")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use quantumflow_feeds::clock::{Clock, Ticks};
use quantumflow_feeds::net::{
    Connection, ConnectionError, DialError, DialOptions, Endpoint, Flushed, ReadOutcome, TestCertificate,
    TlsClientConfig, TlsRoots, TlsServerConfig, TlsServerOptions, TlsServerStream, dial,
};
use quantumflow_feeds::ws::{MaskSource, Message, Opcode, Protocol, ServerHandshake, encode_frame};

/// How a test's server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Plain,
    Tls(TlsServerOptions),
}

pub const TLS: Wire = Wire::Tls(TlsServerOptions {
    record_bytes_max: None,
    only_tls12: false,
});
pub const TLS12: Wire = Wire::Tls(TlsServerOptions {
    record_bytes_max: None,
    only_tls12: true,
});

/// A server's end of a connection.
pub enum Line {
    Plain(TcpStream),
    Tls(Box<TlsServerStream<TcpStream>>),
}

impl Line {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// Reads the upgrade and accepts it; `behind` is sent in the same write.
    pub fn accept_websocket(&mut self, behind: &[u8]) {
        let mut handshake = ServerHandshake::new();
        let mut buffer = [0; 4096];
        let request = loop {
            let n = self.read(&mut buffer).unwrap();
            assert!(n > 0, "client left during the upgrade");
            if let Some(request) = handshake.feed(&buffer[..n]).unwrap() {
                break request;
            }
        };
        let mut answer = Vec::new();
        assert!(request.write_accept(None, &mut answer));
        answer.extend_from_slice(behind);
        self.write_all(&answer).unwrap();
    }

    /// Reads until `protocol` has a text message.
    pub fn read_text(&mut self, protocol: &mut Protocol) -> Option<String> {
        loop {
            match protocol.next_message().unwrap() {
                Some(Message::Text(text)) => return Some(text.to_owned()),
                Some(_) => {}
                None => {
                    let n = self.read(protocol.space(64 * 1024)).unwrap();
                    if n == 0 {
                        return None;
                    }
                    protocol.commit(n);
                }
            }
        }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server thread and how to reach it.
pub struct Server<T> {
    pub endpoint: Endpoint,
    pub options: DialOptions,
    pub thread: JoinHandle<T>,
}

impl<T> Server<T> {
    pub fn dial(&self) -> Result<Connection, DialError> {
        dial(&self.endpoint, &self.options, MaskSource::from_seed([7; 32]))
    }

    /// Ends the test with the server's panic, if there was one.
    pub fn join(self) -> T {
        self.thread.join().unwrap()
    }
}

/// Accepts one TCP connection and hands it to `session`.
pub fn serve_raw<T: Send + 'static>(session: impl FnOnce(TcpStream) -> T + Send + 'static) -> Server<T> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("ws://{}/ws", listener.local_addr().unwrap()).parse().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        session(stream)
    });
    Server {
        endpoint,
        options: DialOptions::default(),
        thread,
    }
}

/// Accepts one connection, with TLS if `wire` says so, and hands it to `session`.
pub fn serve<T: Send + 'static>(wire: Wire, session: impl FnOnce(Line) -> T + Send + 'static) -> Server<T> {
    let Wire::Tls(options) = wire else {
        return serve_raw(|stream| session(Line::Plain(stream)));
    };
    let certificate = certificate();
    let config = server_config(&certificate, &options);
    let mut server =
        serve_raw(move |stream| session(Line::Tls(Box::new(TlsServerStream::accept(&config, stream).unwrap()))));
    server.endpoint = format!("wss://127.0.0.1:{}/ws", server.endpoint.port())
        .parse()
        .unwrap();
    server.options.tls = Some(client_config(&certificate));
    server
}

/// As `serve`, behind the upgrade.
pub fn serve_websocket<T: Send + 'static>(wire: Wire, session: impl FnOnce(Line) -> T + Send + 'static) -> Server<T> {
    serve(wire, |mut line| {
        line.accept_websocket(b"");
        session(line)
    })
}

pub fn certificate() -> TestCertificate {
    TestCertificate::generate(["localhost", "127.0.0.1"], SystemTime::now()).unwrap()
}

pub fn server_config(certificate: &TestCertificate, options: &TlsServerOptions) -> TlsServerConfig {
    TlsServerConfig::new(
        certificate.certificate_pem.as_bytes(),
        certificate.key_pem.as_bytes(),
        options,
    )
    .unwrap()
}

pub fn client_config(certificate: &TestCertificate) -> TlsClientConfig {
    TlsClientConfig::new(TlsRoots::Pem(certificate.authority_pem.as_bytes())).unwrap()
}

/// A server's text frame.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(true, Opcode::Text, text.as_bytes(), None, &mut frame);
    frame
}

/// Counts its readings.
#[derive(Clone, Copy)]
pub struct WallClock(pub Instant);

impl Clock for WallClock {
    fn ticks(&self) -> Ticks {
        Ticks(self.0.elapsed().as_nanos() as u64)
    }
}

pub fn clock() -> WallClock {
    WallClock(Instant::now())
}

/// A message of the server's, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Ping(Vec<u8>),
    Close(Option<u16>),
    Other,
    /// The end of the stream, and whether it was announced.
    End(bool),
}

/// Drives the connection, flushing what it queues, until the next message or the end.
pub fn next(connection: &mut Connection) -> Result<Said, ConnectionError> {
    let deadline = Instant::now() + PATIENCE;
    let clock = clock();
    loop {
        if let Some(message) = connection.next_message()? {
            let said = match message {
                Message::Text(text) => Said::Text(text.to_owned()),
                Message::Ping(payload) => Said::Ping(payload.to_vec()),
                Message::Close { code, .. } => Said::Close(code),
                _ => Said::Other,
            };
            connection.flush()?;
            return Ok(said);
        }
        connection.flush()?;
        match connection.read(&clock)? {
            ReadOutcome::Bytes(_) => {}
            ReadOutcome::WouldBlock => {
                assert!(Instant::now() < deadline, "the server says nothing");
                std::thread::yield_now();
            }
            ReadOutcome::Closed { is_clean } => return Ok(Said::End(is_clean)),
        }
    }
}

/// Flushes until nothing waits.
pub fn flush(connection: &mut Connection) {
    let deadline = Instant::now() + PATIENCE;
    while connection.flush().unwrap() == Flushed::Pending {
        assert!(Instant::now() < deadline, "the server reads nothing");
        std::thread::yield_now();
    }
}

pub const PATIENCE: Duration = Duration::from_secs(20);
