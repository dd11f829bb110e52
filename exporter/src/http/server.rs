//! Listeners, one thread that accepts, and a thread per connection.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::{self, Patience};
use super::socket::Socket;
use super::table::{Slot, Table};
use super::tls::{self, Handshake, TlsSource};
use super::{Handler, Response};

/// A running server; [`Server::stop`] ends it.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    acceptor: JoinHandle<()>,
    /// A byte here wakes the acceptor. A connection of our own would do, too, were the process still allowed to make one.
    wake: UnixStream,
}

/// Ceilings of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at one time, over all listeners, beside the streams.
    pub connections: usize,
    /// Answers without an end that are sent at one time.
    pub streams: usize,
    /// How long clients may take.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            streams: 8,
            patience: Patience::default(),
        }
    }
}

impl Server {
    /// Serves `handler` on every listener; over TLS, where `tls` is given.
    ///
    /// # Errors
    /// A listener without an address, or a thread that the system refuses.
    pub fn start(
        listeners: Vec<TcpListener>,
        handler: Arc<dyn Handler>,
        limits: Limits,
        tls: Option<Arc<TlsSource>>,
    ) -> io::Result<Self> {
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()?;
        // Between poll and accept a client may have gone, and then accept must not wait for the next one.
        listeners.iter().try_for_each(|l| l.set_nonblocking(true))?;
        let shared = Arc::new(Shared {
            handler,
            patience: limits.patience,
            tls,
            table: Arc::new(Table::new(limits.connections, limits.streams)),
        });
        let (wake, woken) = UnixStream::pair()?;
        let acceptor = {
            let shared = Arc::clone(&shared);
            let accept = move || accept(&listeners, &woken, &shared);
            thread::Builder::new().name("http-accept".into()).spawn(accept)?
        };
        Ok(Self {
            shared,
            addresses,
            acceptor,
            wake,
        })
    }

    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, ends those at rest and the streams, and gives the others `grace` to finish their
    /// answers.
    pub fn stop(mut self, grace: Duration) {
        self.shared.table.stop(grace);
        if self.wake.write_all(&[0]).is_ok() {
            let _ = self.acceptor.join();
        }
    }
}

struct Shared {
    handler: Arc<dyn Handler>,
    patience: Patience,
    tls: Option<Arc<TlsSource>>,
    table: Arc<Table>,
}

/// Connection threads parse 8 KiB and fill a buffer: they need little stack, and there may be many.
const STACK_BYTES: usize = 256 * 1024;

fn accept(listeners: &[TcpListener], woken: &UnixStream, shared: &Arc<Shared>) {
    loop {
        let waited_for = listeners.iter().map(AsFd::as_fd).chain([woken.as_fd()]);
        let mut fds: Vec<PollFd<'_>> = waited_for.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // A failure can only be a signal's; then nothing is marked, and accepting says that nobody is there.
        let _ = poll(&mut fds, PollTimeout::NONE);
        if shared.table.is_stopping() {
            return;
        }
        for listener in listeners {
            match listener.accept() {
                Ok((stream, _)) => admit(stream, shared),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Out of descriptors, most likely: the next call would fail at once, too.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>) {
    // Answers are one write each; nothing is gained by holding a last short segment back.
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    let Some(slot) = shared.table.admit(&stream) else {
        // In TLS it could only be said after a handshake, for which this thread has no time.
        if shared.tls.is_none() {
            let response = Response::text(503, "all connections are in use, try again later\n");
            let mut socket = Socket::new(&stream, shared.patience.answer);
            connection::turn_away(&mut socket, &*shared.handler, response);
        }
        return;
    };
    let shared = Arc::clone(shared);
    // When no thread can be had, the closure is dropped, and with it the slot and the socket.
    let _ = thread::Builder::new()
        .name("http".into())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&stream, &slot, &shared));
}

fn serve(stream: &TcpStream, slot: &Slot, shared: &Shared) {
    let (handler, patience) = (&*shared.handler, &shared.patience);
    let mut socket = Socket::new(stream, patience.head);
    let Some(tls) = &shared.tls else {
        connection::serve(&mut socket, handler, patience, slot);
        return;
    };
    match tls::accept(socket, tls()) {
        Handshake::Done(mut transport) => {
            connection::serve(&mut *transport, handler, patience, slot);
            transport.close();
        }
        Handshake::PlainHttp(mut socket) => {
            let response = Response::text(400, "this port speaks HTTPS, and the request was plain HTTP\n");
            connection::refuse(&mut socket, handler, response, patience.head);
        }
        Handshake::Failed => {}
    }
}
