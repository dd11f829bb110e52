//! TLS on a connection: the handshake with its deadline, a word to clients that speak plain HTTP, and the transport.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls_stable::{ServerConfig, ServerConnection, StreamOwned};

use super::connection::Transport;
use super::socket::{Pending, Socket};

/// Gives the settings for a connection that begins now; asked for every connection, so that a changed certificate counts
/// from the next one on.
pub type TlsSource = dyn Fn() -> Arc<ServerConfig> + Send + Sync;

/// A connection after its handshake.
pub struct TlsTransport<'a>(StreamOwned<ServerConnection, Socket<'a>>);

/// How a handshake ended.
pub enum Handshake<'a> {
    /// Well.
    Done(Box<TlsTransport<'a>>),
    /// The client speaks plain HTTP.
    PlainHttp(Socket<'a>),
    /// In no way that could be answered; where TLS has an alert for it, that has been sent.
    Failed,
}

/// Waits for the client's handshake, for as long as the socket's limits allow.
pub fn accept(mut socket: Socket<'_>, config: Arc<ServerConfig>) -> Handshake<'_> {
    match socket.first_byte() {
        // The first byte of a handshake record is 22. A letter begins an HTTP request.
        Ok(Some(byte)) if byte.is_ascii_alphabetic() => return Handshake::PlainHttp(socket),
        Ok(Some(_)) => {}
        Ok(None) | Err(_) => return Handshake::Failed,
    }
    let Ok(mut connection) = ServerConnection::new(config) else {
        return Handshake::Failed;
    };
    // An answer is handed over whole and leaves as one write; its length is the handler's business.
    connection.set_buffer_limit(None);
    while connection.is_handshaking() {
        match connection.complete_io(&mut socket) {
            Ok((0, 0)) | Err(_) => return Handshake::Failed,
            Ok(_) => {}
        }
    }
    Handshake::Done(Box::new(TlsTransport(StreamOwned::new(connection, socket))))
}

impl TlsTransport<'_> {
    /// Says goodbye, if that takes no waiting: without it the client cannot tell an end from a cut.
    pub fn close(&mut self) {
        let _ = self.set_write_limit(Duration::from_millis(100));
        self.say_goodbye();
    }

    fn say_goodbye(&mut self) {
        self.0.conn.send_close_notify();
        while self.0.conn.wants_write() {
            if !matches!(self.0.conn.write_tls(&mut self.0.sock), Ok(1..)) {
                return;
            }
        }
    }
}

impl Read for TlsTransport<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for TlsTransport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for TlsTransport<'_> {
    // TLS may have to write in order to read, and the other way round: one limit for both.
    fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.0.sock.set_read_limit(limit)?;
        self.0.sock.set_write_limit(limit)
    }

    fn set_write_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.set_read_limit(limit)
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        self.say_goodbye();
        self.0.sock.finish_writing()
    }

    fn client_left(&mut self) -> bool {
        match self.0.sock.pending() {
            Pending::Nothing => false,
            Pending::End => true,
            Pending::Bytes => {
                // Most likely its goodbye. What else a client may send while it is being answered is not wanted; when the
                // buffer for it is full, reading fails.
                let read = self.0.conn.read_tls(&mut self.0.sock);
                let state = read.ok().and_then(|_| self.0.conn.process_new_packets().ok());
                state.is_none_or(|state| state.peer_has_closed())
            }
        }
    }
}
