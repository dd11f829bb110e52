//! Who is connected, how far each is, and who gives way when there is no more room.
//!
//! At the ceiling a new client is not simply sent away: a connection that waits for its client gives way to it. That is
//! one at rest, kept open between two scrapes, or one whose request drips in: a head arrives in one piece from every
//! honest client, so after a second without its end nothing is lost with it. Neither forgotten connections nor a slow
//! loris can lock a scraper out. Only when all are being answered, or have just come, is the new one sent away.
//!
//! Streams last for hours and do not count there. They have a ceiling of their own and never give way.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::connection::Activity;

/// The connections of a server.
#[derive(Default)]
pub struct Table {
    inner: Mutex<Inner>,
    /// Signalled when a connection has ended or become a stream.
    changed: Condvar,
    connections_max: usize,
    streams_max: usize,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    next_id: u64,
    stopping: bool,
}

struct Entry {
    id: u64,
    stream: Arc<TcpStream>,
    phase: Phase,
    /// It has been asked to go and counts no longer.
    evicted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a request.
    Idle(Instant),
    /// A request has begun and its head is not whole.
    Reading(Instant),
    Answering,
    Streaming,
}

impl Phase {
    /// Whether it may be given away, and who goes first: those whose head drips, then the longest at rest.
    fn rank(self) -> Option<(u8, Instant)> {
        let (rank, since) = match self {
            Self::Reading(since) => (0, since),
            Self::Idle(since) => (1, since),
            Self::Answering | Self::Streaming => return None,
        };
        (since.elapsed() >= REST_MIN).then_some((rank, since))
    }
}

/// A connection that has just been opened, or just been answered, gets this long before it may be given away.
const REST_MIN: Duration = Duration::from_secs(1);

impl Table {
    /// Room for so many connections and, beside them, streams.
    pub fn new(connections_max: usize, streams_max: usize) -> Self {
        Self {
            connections_max,
            streams_max,
            ..Self::default()
        }
    }

    /// A place for a new connection, if need be at another's cost.
    pub fn admit(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Slot> {
        let mut inner = self.lock();
        if !inner.make_room(self.connections_max) {
            return None;
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.entries.push(Entry {
            id,
            stream: Arc::clone(stream),
            phase: Phase::Idle(Instant::now()),
            evicted: false,
        });
        let table = Arc::clone(self);
        Some(Slot { id, table })
    }

    /// Whether the server takes no more connections.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Ends those at rest and the streams at once, and gives the others `grace` to be answered.
    pub fn stop(&self, grace: Duration) {
        let mut inner = self.lock();
        inner.stopping = true;
        for entry in &inner.entries {
            if matches!(entry.phase, Phase::Idle(_) | Phase::Streaming) {
                // A client may have gone in between; then there is nothing left to close.
                let _ = entry.stream.shutdown(Shutdown::Both);
            }
        }
        let at_work = |inner: &mut Inner| inner.entries.iter().any(|e| e.phase != Phase::Streaming);
        drop(self.changed.wait_timeout_while(inner, grace, at_work));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked with the table in hand has left it whole: every change is one step.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Inner {
    fn make_room(&mut self, connections_max: usize) -> bool {
        let counts = |e: &&Entry| !e.evicted && e.phase != Phase::Streaming;
        if self.entries.iter().filter(counts).count() < connections_max {
            return true;
        }
        let candidates = self.entries.iter_mut().filter(|e| !e.evicted);
        let first = candidates
            .filter_map(|e| Some((e.phase.rank()?, e)))
            .min_by_key(|(rank, _)| *rank);
        let Some((_, entry)) = first else { return false };
        entry.evicted = true;
        let _ = entry.stream.shutdown(Shutdown::Both);
        true
    }
}

/// A connection's place in the table; dropping it frees the place.
pub struct Slot {
    id: u64,
    table: Arc<Table>,
}

impl Slot {
    /// Sets how far it is, and says whether it may go on; `None` where it has been given away.
    fn set(&self, phase: Phase) -> Option<bool> {
        let mut inner = self.table.lock();
        let stopping = inner.stopping;
        let entry = inner.entries.iter_mut().find(|e| e.id == self.id)?;
        entry.phase = phase;
        (!entry.evicted).then_some(!stopping)
    }
}

impl Activity for Slot {
    fn begin(&self) -> bool {
        self.set(Phase::Reading(Instant::now())).unwrap_or(false)
    }

    fn answering(&self) -> bool {
        // A request that had begun before the server was stopped is answered.
        self.set(Phase::Answering).is_some()
    }

    fn streaming(&self) -> bool {
        let mut inner = self.table.lock();
        let streams = inner.entries.iter().filter(|e| e.phase == Phase::Streaming).count();
        if inner.stopping || streams >= self.table.streams_max {
            return false;
        }
        if let Some(entry) = inner.entries.iter_mut().find(|e| e.id == self.id) {
            entry.phase = Phase::Streaming;
        }
        drop(inner);
        self.table.changed.notify_all();
        true
    }

    fn goes_on(&self) -> bool {
        !self.table.is_stopping()
    }

    fn end(&self) -> bool {
        self.set(Phase::Idle(Instant::now())).unwrap_or(false)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.table.lock().entries.retain(|e| e.id != self.id);
        self.table.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// A table of two connections and a stream; who gives way to a third connection, by its place.
    fn gives_way(phases: [Phase; 3]) -> Option<usize> {
        let table = Arc::new(Table::new(2, 1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Vec::new();
        let mut slots = Vec::new();
        let connect = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_nonblocking(true).unwrap();
            (client, Arc::new(listener.accept().unwrap().0))
        };
        for phase in [phases[2], phases[0], phases[1]] {
            let (client, server) = connect();
            slots.push(table.admit(&server).unwrap());
            slots.last().unwrap().set(phase);
            clients.push(client);
        }
        let (_client, server) = connect();
        let admitted = table.admit(&server);
        let gone: Vec<usize> = (0..3).filter(|&i| matches!(clients[i].read(&mut [0]), Ok(0))).collect();
        assert_eq!(
            gone.len(),
            usize::from(admitted.is_some()),
            "room is made by one, and only when it serves"
        );
        gone.first().map(|i| i - 1)
    }

    #[test]
    fn who_drips_gives_way_first_and_then_who_has_rested_longest() {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let (idle, reading) = (|s| Phase::Idle(ago(s)), |s| Phase::Reading(ago(s)));
        for (first, second, expected) in [
            (idle(5), idle(3), Some(0)),
            (idle(3), idle(5), Some(1)),
            (idle(50), reading(2), Some(1)),
            (reading(2), reading(3), Some(1)),
            (reading(0), idle(2), Some(1)),
            (Phase::Answering, idle(2), Some(1)),
            (Phase::Answering, reading(2), Some(1)),
            (reading(0), idle(0), None),
            (Phase::Answering, Phase::Answering, None),
        ] {
            assert_eq!(gives_way([first, second, Phase::Streaming]), expected);
        }
    }
}
