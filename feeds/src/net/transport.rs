//! Plain bytes over a socket, with or without TLS: what the dialler speaks HTTP over and the connection WebSocket.

use std::io;

use super::tcp::{TcpRead, TcpSocket};
use super::tls::{RecordBuffer, TlsClient, TlsError};

/// A socket and what encrypts it. Never blocks.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) tcp: TcpSocket,
    pub(super) tls: Option<Box<TlsLayer>>,
}

#[derive(Debug)]
pub(super) struct TlsLayer {
    client: TlsClient,
    input: RecordBuffer,
    /// Records to send; the first `sent` bytes of them are gone.
    out: Vec<u8>,
    sent: usize,
    /// The peer said over TLS that it sends no more.
    pub(super) peer_closed: bool,
}

/// What stops a transport.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Transport {
    pub(super) fn plain(tcp: TcpSocket) -> Self {
        Self { tcp, tls: None }
    }

    /// Starts the handshake: the first flight is queued.
    pub(super) fn over_tls(
        tcp: TcpSocket,
        start: impl FnOnce(&mut Vec<u8>) -> Result<TlsClient, TlsError>,
    ) -> Result<Self, TlsError> {
        let mut out = Vec::with_capacity(TLS_OUT_BYTES);
        let client = start(&mut out)?;
        let input = RecordBuffer::new(RecordBuffer::BYTES_MIN);
        Ok(Self {
            tcp,
            tls: Some(Box::new(TlsLayer {
                client,
                input,
                out,
                sent: 0,
                peer_closed: false,
            })),
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client.is_handshaking())
    }

    /// What the TLS handshake agreed; `None` without TLS.
    pub(super) fn describe_tls(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.client.describe())
    }

    /// The peer said over TLS that it sends no more.
    pub(super) fn is_tls_closed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.peer_closed)
    }

    /// Whether records wait for the socket.
    pub(super) fn has_queued(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.sent < tls.out.len())
    }

    /// Reads once, at most `bytes_max`, and lends what is plain to `sink`. For cold threads: one function whether there
    /// is TLS or not.
    pub(super) fn read(&mut self, scratch: &mut [u8], mut sink: impl FnMut(&[u8])) -> Result<TcpRead, TransportError> {
        match self.tls.as_deref_mut() {
            None => {
                let read = self.tcp.recv(scratch)?;
                if let TcpRead::Bytes { n, .. } = read {
                    sink(&scratch[..n]);
                }
                Ok(read)
            }
            Some(tls) => {
                let (read, _) = tls.recv(&mut self.tcp, scratch.len())?;
                if matches!(read, TcpRead::Bytes { .. }) {
                    let result = tls.decrypt(sink);
                    self.flush()?; // also after an error: the alert
                    result?;
                }
                Ok(read)
            }
        }
    }

    /// Takes what it can of `plain`: encrypted and sent, or queued. Zero while older records wait for the socket.
    #[inline]
    pub(super) fn write(&mut self, plain: &[u8]) -> Result<usize, TransportError> {
        let Some(tls) = self.tls.as_deref_mut() else {
            return Ok(self.tcp.send(plain)?.unwrap_or(0));
        };
        if !tls.flush(&mut self.tcp)? {
            return Ok(0);
        }
        let taken = plain.len().min(TLS_PLAIN_BYTES_MAX);
        tls.client.encrypt(&plain[..taken], &mut tls.out)?;
        tls.flush(&mut self.tcp)?;
        Ok(taken)
    }

    /// Sends what is queued; whether nothing is left.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<bool, TransportError> {
        match self.tls.as_deref_mut() {
            None => Ok(true),
            Some(tls) => Ok(tls.flush(&mut self.tcp)?),
        }
    }

    /// Says that nothing more will be sent: `close_notify`, and the end of the TCP stream once everything is out.
    pub(super) fn close_write(&mut self) -> Result<bool, TransportError> {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.client.close(&mut tls.out)?;
        }
        let is_out = self.flush()?;
        if is_out {
            self.tcp.shutdown_write()?;
        }
        Ok(is_out)
    }
}

impl TlsLayer {
    /// Reads ciphertext once, at most `bytes_max`. Together with the piece of a record that waits, no more than
    /// [`PLAIN_PER_READ_MAX`] bytes are then there to decrypt. The second value is how many it asked for.
    #[inline]
    pub(super) fn recv(&mut self, tcp: &mut TcpSocket, bytes_max: usize) -> io::Result<(TcpRead, usize)> {
        let pending = self.input.pending();
        let space = self.input.space();
        // The handshake may hold more than that, and yields nothing plain.
        let room = PLAIN_PER_READ_MAX.saturating_sub(pending).max(PLAIN_PER_READ_MAX / 4);
        let asked = space.len().min(bytes_max).min(room);
        let read = tcp.recv(&mut space[..asked])?;
        if let TcpRead::Bytes { n, .. } = read {
            self.input.commit(n);
        }
        Ok((read, asked))
    }

    /// Decrypts what is complete. Answers are queued, also after an error.
    #[inline]
    pub(super) fn decrypt(&mut self, sink: impl FnMut(&[u8])) -> Result<(), TlsError> {
        let decrypted = self.client.decrypt(&mut self.input, &mut self.out, sink)?;
        self.peer_closed |= decrypted.peer_closed;
        Ok(())
    }

    #[inline]
    fn flush(&mut self, tcp: &mut TcpSocket) -> io::Result<bool> {
        while self.sent < self.out.len() {
            match tcp.send(&self.out[self.sent..])? {
                Some(n) => self.sent += n,
                None => return Ok(false),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(true)
    }
}

/// The most plain bytes that one read can bring. The WebSocket decoder has this much room after its messages were taken.
pub(super) const PLAIN_PER_READ_MAX: usize = 64 * 1024;

/// One record's worth: the queue of ciphertext stays this small, the rest waits as plain frames under their ceiling.
const TLS_PLAIN_BYTES_MAX: usize = 16 * 1024;

/// A record of the largest size, and an alert or a key update beside it.
const TLS_OUT_BYTES: usize = 20 * 1024;
