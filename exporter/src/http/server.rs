//! Listeners, a thread per connection, and how many of them there may be.
//!
//! At the ceiling a new client is not simply sent away: a connection that has been at rest for a while gives way to it,
//! so that forgotten keep-alive connections cannot lock a scraper out. Only when all are at work does it get 503.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connection::{self, Activity, Patience, Transport};
use super::{Handler, Response};

/// A running server; [`Server::stop`] ends it.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    acceptors: Vec<JoinHandle<()>>,
}

/// Ceilings of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at one time, over all listeners.
    pub connections: usize,
    /// How long clients may take.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            patience: Patience::default(),
        }
    }
}

impl Server {
    /// Serves `handler` on every listener.
    ///
    /// # Errors
    /// A listener without an address, or a thread that the system refuses.
    pub fn start(listeners: Vec<TcpListener>, handler: Arc<dyn Handler>, limits: Limits) -> io::Result<Self> {
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared {
            handler,
            limits,
            table: Mutex::default(),
            quiet: Condvar::new(),
        });
        let mut acceptors = Vec::new();
        for listener in listeners {
            let shared = Arc::clone(&shared);
            acceptors.push(
                thread::Builder::new()
                    .name("http-accept".into())
                    .spawn(move || accept(&listener, &shared))?,
            );
        }
        Ok(Self {
            shared,
            addresses,
            acceptors,
        })
    }

    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, closes those at rest, and gives the others `grace` to finish their answers.
    pub fn stop(self, grace: Duration) {
        let mut table = self.shared.table();
        table.stopping = true;
        for entry in table.entries.iter().filter(|e| e.idle_since.is_some()) {
            // A client may have gone in between; then there is nothing left to close.
            let _ = entry.stream.shutdown(Shutdown::Both);
        }
        let wait = self
            .shared
            .quiet
            .wait_timeout_while(table, grace, |table| !table.entries.is_empty());
        drop(wait);
        // Acceptors sit in accept(2): a connection of our own wakes them.
        let woken = self
            .addresses
            .iter()
            .all(|&address| TcpStream::connect_timeout(&reachable(address), Duration::from_millis(200)).is_ok());
        if woken {
            for acceptor in self.acceptors {
                let _ = acceptor.join();
            }
        }
    }
}

/// An address that leads to a listener on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

struct Shared {
    handler: Arc<dyn Handler>,
    limits: Limits,
    table: Mutex<Table>,
    /// Signalled when a connection has ended.
    quiet: Condvar,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    next_id: u64,
    stopping: bool,
}

struct Entry {
    id: u64,
    stream: Arc<TcpStream>,
    /// Since when it waits for a request; `None` while one is at work.
    idle_since: Option<Instant>,
    /// It has been asked to go and counts no longer.
    evicted: bool,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // A thread that panicked with the table in hand has left it whole: every change is one step.
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Table {
    /// Room for one more, if need be at the cost of the connection that has been at rest for longest.
    fn make_room(&mut self, connections: usize) -> bool {
        if self.entries.iter().filter(|e| !e.evicted).count() < connections {
            return true;
        }
        let rested = |e: &&mut Entry| !e.evicted && e.idle_since.is_some_and(|since| since.elapsed() >= REST_MIN);
        let oldest = self.entries.iter_mut().filter(rested).min_by_key(|e| e.idle_since);
        let Some(oldest) = oldest else { return false };
        oldest.evicted = true;
        let _ = oldest.stream.shutdown(Shutdown::Both);
        true
    }
}

/// A connection that has just been opened, or just been answered, gets this long before it may be given away.
const REST_MIN: Duration = Duration::from_secs(1);
/// Connection threads parse 8 KiB and fill a buffer: they need little stack, and there may be many.
const STACK_BYTES: usize = 256 * 1024;

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.table().stopping {
            return;
        }
        match accepted {
            Ok((stream, _)) => admit(stream, shared),
            // Out of descriptors, most likely: the next call would fail at once, too.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>) {
    // Answers are one write each; nothing is gained by holding a last short segment back.
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    let slot = {
        let mut table = shared.table();
        if !table.make_room(shared.limits.connections) {
            drop(table);
            let response = Response::text(503, "all connections are in use, try again later\n");
            connection::refuse(&mut Socket(&stream), &response);
            return;
        }
        let id = table.next_id;
        table.next_id += 1;
        table.entries.push(Entry {
            id,
            stream: Arc::clone(&stream),
            idle_since: Some(Instant::now()),
            evicted: false,
        });
        Slot {
            id,
            shared: Arc::clone(shared),
        }
    };
    // When no thread can be had, the closure is dropped, and with it the slot and the socket.
    let _ = thread::Builder::new()
        .name("http".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            connection::serve(
                &mut Socket(&stream),
                &*slot.shared.handler,
                &slot.shared.limits.patience,
                &slot,
            );
        });
}

/// A connection's place in the table; dropping it frees the place.
struct Slot {
    id: u64,
    shared: Arc<Shared>,
}

impl Slot {
    /// Sets when the connection's rest began and says whether it may go on.
    fn set_idle_since(&self, idle_since: Option<Instant>) -> bool {
        let mut table = self.shared.table();
        let stopping = table.stopping;
        match table.entries.iter_mut().find(|e| e.id == self.id) {
            Some(entry) => {
                entry.idle_since = idle_since;
                !entry.evicted && !stopping
            }
            None => false,
        }
    }
}

impl Activity for Slot {
    fn begin(&self) -> bool {
        self.set_idle_since(None)
    }

    fn end(&self) -> bool {
        self.set_idle_since(Some(Instant::now()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.table().entries.retain(|e| e.id != self.id);
        self.shared.quiet.notify_all();
    }
}

struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket<'_> {
    fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(limit))
    }

    fn set_write_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(limit))
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}
