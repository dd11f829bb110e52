//! Which connections have something to read, remembered until they are empty.
//!
//! The operating system reports edges: it says once that bytes came and then nothing until more come. A loop that read a
//! part and went to sleep would never hear of the rest. So the poller keeps, per slot, that there is something left, and
//! forgets it only when a read shows the socket empty. That also makes a budget possible: one connection in a burst is
//! read a bounded number of times, then the others have their turn, and nothing is lost.
//!
//! A slot is a small number that the caller gives to a connection: an index, never a hash.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::connection::{BytesRead, Connection, ConnectionError, ReadOutcome};
use crate::clock::Clock;

/// Waits for, or asks about, the sockets of one hot thread.
#[derive(Debug)]
pub struct Poller {
    poll: Poll,
    events: Events,
    readiness: Readiness,
    waker: Arc<Waker>,
    idle: IdleStrategy,
    empty_polls: u32,
}

/// What a thread does when nothing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleStrategy {
    /// Ask again at once. A core of its own, the lowest latency: blocking costs microseconds at the median and
    /// milliseconds in the tail.
    Spin,
    /// Ask again so many times, then sleep until something comes or `timeout` passes.
    SpinThenWait {
        /// How many polls in a row may find nothing.
        spins: u32,
        /// The longest sleep.
        timeout: Duration,
    },
    /// Sleep until something comes or `timeout` passes: for tests, laptops and demonstrations.
    Wait {
        /// The longest sleep.
        timeout: Duration,
    },
}

/// What a poll found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Slots that have something to read or can be written to again.
    pub ready: usize,
    /// [`PollerWaker::wake`] was called.
    pub is_woken: bool,
}

/// How [`Poller::drain`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The socket is empty.
    Empty,
    /// The budget ended first; the slot stays ready.
    BudgetSpent,
    /// The peer sends no more.
    Closed {
        /// As in [`ReadOutcome::Closed`].
        is_clean: bool,
    },
}

/// Ends a poller's sleep from another thread: a dialled connection waits in the queue, a snapshot has come.
#[derive(Clone, Debug)]
pub struct PollerWaker(Arc<Waker>);

impl PollerWaker {
    /// Ends the sleep, or keeps the next one from beginning. A system call: not for spinning pollers' sake.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Poller {
    /// A poller for `slots` connections.
    pub fn new(slots: usize, idle: IdleStrategy) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            poll,
            events: Events::with_capacity(slots.max(1) + 1),
            readiness: Readiness::new(slots),
            waker,
            idle,
            empty_polls: 0,
        })
    }

    /// How many slots there are: valid ones are below.
    pub fn slots(&self) -> usize {
        self.readiness.slots.len()
    }

    /// A handle for other threads.
    pub fn waker(&self) -> PollerWaker {
        PollerWaker(self.waker.clone())
    }

    /// Takes a connection in. Its slot is readable at once: bytes may have come with the handshake.
    ///
    /// # Errors
    /// The kernel's; [`io::ErrorKind::InvalidInput`] for a slot that does not exist.
    pub fn add(&mut self, slot: usize, connection: &mut Connection) -> io::Result<()> {
        if slot >= self.slots() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "poller has no such slot"));
        }
        connection.register(self.poll.registry(), Token(slot))?;
        let slot_state = Slot {
            is_used: true,
            is_readable: true,
            is_writable: true,
            is_ending: false,
        };
        self.readiness.set(slot, slot_state);
        Ok(())
    }

    /// Lets a connection go. Its slot is free for another.
    pub fn remove(&mut self, slot: usize, connection: &mut Connection) -> io::Result<()> {
        self.readiness.set(slot, Slot::default());
        connection.deregister(self.poll.registry())
    }

    /// Asks the kernel once. Sleeps only if the idle strategy says so and no slot is known to be readable.
    #[inline]
    pub fn poll(&mut self) -> io::Result<Polled> {
        let timeout = match self.readiness.readable == 0 {
            true => self.idle.timeout(self.empty_polls),
            false => Duration::ZERO,
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let mut polled = Polled::default();
        for event in &self.events {
            match event.token() {
                WAKER => polled.is_woken = true,
                Token(slot) => {
                    polled.ready += 1;
                    let is_ending = event.is_read_closed() || event.is_error();
                    self.readiness
                        .absorb(slot, event.is_readable() || is_ending, event.is_writable(), is_ending);
                }
            }
        }
        polled.ready = polled.ready.max(self.readiness.readable);
        self.empty_polls = match polled.ready == 0 && !polled.is_woken {
            true => self.empty_polls.saturating_add(1),
            false => 0,
        };
        Ok(polled)
    }

    /// Whether `slot` may have something to read.
    #[inline]
    pub fn is_readable(&self, slot: usize) -> bool {
        self.readiness.slots.get(slot).is_some_and(|slot| slot.is_readable)
    }

    /// Whether the kernel said since the last call that `slot` takes bytes again. Clears it: flush the connection then.
    #[inline]
    pub fn take_writable(&mut self, slot: usize) -> bool {
        self.readiness
            .slots
            .get_mut(slot)
            .is_some_and(|slot| std::mem::take(&mut slot.is_writable))
    }

    /// Reads a connection until it is empty, at most `reads_max` times, and calls `on_read` after every read that brought
    /// bytes: take the messages out there.
    ///
    /// # Errors
    /// The connection's or `on_read`'s; the connection is to be removed then.
    #[inline]
    pub fn drain<C: Clock, E: From<ConnectionError>>(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        clock: &C,
        reads_max: u32,
        mut on_read: impl FnMut(&mut Connection, &BytesRead) -> Result<(), E>,
    ) -> Result<Drained, E> {
        for _ in 0..reads_max {
            match connection.read(clock)? {
                ReadOutcome::Bytes(read) => {
                    on_read(connection, &read)?;
                    if self.readiness.read(slot, read.may_have_more) {
                        return Ok(Drained::Empty);
                    }
                }
                ReadOutcome::WouldBlock => {
                    self.readiness.clear(slot);
                    return Ok(Drained::Empty);
                }
                ReadOutcome::Closed { is_clean } => {
                    self.readiness.clear(slot);
                    return Ok(Drained::Closed { is_clean });
                }
            }
        }
        Ok(Drained::BudgetSpent)
    }

    /// For a loop that calls [`Connection::read`] itself: the read found nothing.
    #[inline]
    pub fn mark_empty(&mut self, slot: usize) {
        self.readiness.clear(slot);
    }
}

impl IdleStrategy {
    fn timeout(self, empty_polls: u32) -> Duration {
        match self {
            Self::Spin => Duration::ZERO,
            Self::SpinThenWait { spins, .. } if empty_polls < spins => Duration::ZERO,
            Self::SpinThenWait { timeout, .. } | Self::Wait { timeout } => timeout,
        }
    }
}

/// What is known of the slots. Sans-I/O.
#[derive(Debug)]
struct Readiness {
    slots: Box<[Slot]>,
    /// How many are readable.
    readable: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    is_used: bool,
    is_readable: bool,
    is_writable: bool,
    /// The end of the stream was reported, perhaps together with bytes before it: no further edge will come, so a short
    /// read does not mean that there is nothing left to learn.
    is_ending: bool,
}

impl Readiness {
    fn new(slots: usize) -> Self {
        Self {
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            readable: 0,
        }
    }

    fn set(&mut self, index: usize, new: Slot) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        self.readable -= usize::from(slot.is_readable);
        self.readable += usize::from(new.is_readable);
        *slot = new;
    }

    #[inline]
    fn absorb(&mut self, index: usize, is_readable: bool, is_writable: bool, is_ending: bool) {
        let Some(&slot) = self.slots.get(index) else { return };
        if !slot.is_used {
            return; // a readiness that nobody will ever clear would keep the thread from sleeping
        }
        self.set(
            index,
            Slot {
                is_used: true,
                is_readable: slot.is_readable | is_readable,
                is_writable: slot.is_writable | is_writable,
                is_ending: slot.is_ending | is_ending,
            },
        );
    }

    /// After a read that brought bytes; whether the socket is empty. A short read says so (`epoll(7)`, "edge-triggered"):
    /// what comes later makes a new edge.
    #[inline]
    fn read(&mut self, index: usize, may_have_more: bool) -> bool {
        let is_empty = !may_have_more && self.slots.get(index).is_some_and(|slot| !slot.is_ending);
        if is_empty {
            self.clear(index);
        }
        is_empty
    }

    #[inline]
    fn clear(&mut self, index: usize) {
        let Some(&slot) = self.slots.get(index) else { return };
        self.set(
            index,
            Slot {
                is_readable: false,
                ..slot
            },
        );
    }
}

const WAKER: Token = Token(usize::MAX);
