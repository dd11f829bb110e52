//! A TLS server over a stream that blocks: what a simulator and the tests put under their side of a WebSocket.

use std::io::{self, ErrorKind, Read, Write};

use super::tls::{RecordBuffer, TlsServer, TlsServerConfig};

/// The server's end of one connection, over any stream that blocks (or times out).
///
/// [`Read`] yields plain bytes, zero at a `close_notify` or at the end of the stream; [`Write`] sends at once.
#[derive(Debug)]
pub struct TlsServerStream<S> {
    tls: TlsServer,
    stream: S,
    input: RecordBuffer,
    out: Vec<u8>,
    plain: Vec<u8>,
    plain_read: usize,
    is_closed: bool,
}

impl<S: Read + Write> TlsServerStream<S> {
    /// Does the handshake over `stream`.
    ///
    /// # Errors
    /// The stream's; [`ErrorKind::InvalidData`] with a [`TlsError`](super::TlsError) inside when the client is refused
    /// or refuses; [`ErrorKind::UnexpectedEof`] when the client goes away.
    pub fn accept(config: &TlsServerConfig, stream: S) -> io::Result<Self> {
        let mut server = Self {
            tls: TlsServer::new(config).map_err(invalid_data)?,
            stream,
            input: RecordBuffer::new(RecordBuffer::BYTES_MIN),
            out: Vec::new(),
            plain: Vec::new(),
            plain_read: 0,
            is_closed: false,
        };
        while server.tls.is_handshaking() {
            if server.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(server)
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Changes the keys of both directions (TLS 1.3): what a peer does after long use.
    pub fn update_keys(&mut self) -> io::Result<()> {
        self.tls.update_keys(&mut self.out).map_err(invalid_data)?;
        self.send()
    }

    /// Sends a `close_notify`.
    pub fn close(&mut self) -> io::Result<()> {
        self.tls.close(&mut self.out).map_err(invalid_data)?;
        self.send()
    }

    /// Reads once and decrypts; the number of bytes that the stream gave.
    fn fill(&mut self) -> io::Result<usize> {
        let n = self.stream.read(self.input.space())?;
        self.input.commit(n);
        let plain = &mut self.plain;
        let result = self
            .tls
            .decrypt(&mut self.input, &mut self.out, |bytes| plain.extend_from_slice(bytes));
        self.send()?; // also after an error: it holds the alert that says why
        self.is_closed |= result.map_err(invalid_data)?.peer_closed;
        Ok(n)
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        self.stream.flush()
    }
}

impl<S: Read + Write> Read for TlsServerStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.plain_read == self.plain.len() {
            self.plain.clear();
            self.plain_read = 0;
            if self.is_closed || self.fill()? == 0 {
                break;
            }
        }
        let n = buffer.len().min(self.plain.len() - self.plain_read);
        buffer[..n].copy_from_slice(&self.plain[self.plain_read..self.plain_read + n]);
        self.plain_read += n;
        Ok(n)
    }
}

impl<S: Read + Write> Write for TlsServerStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tls.encrypt(bytes, &mut self.out).map_err(invalid_data)?;
        self.send()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn invalid_data(error: super::TlsError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
