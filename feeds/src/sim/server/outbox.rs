//! The hand-over from the thread that knows what to say to the thread that writes it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::super::exchange::Batch;

/// What waits for one connection's thread.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    waker: Waker,
    /// Bytes handed over and not yet given to the socket.
    unsent_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    is_abandoned: bool,
}

impl Outbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            state: Mutex::default(),
            waker,
            unsent_bytes: AtomicUsize::new(0),
        }
    }

    /// Hands a batch over and leaves it empty. False if the client has fallen too far behind: it is to be dropped.
    pub(super) fn put(&self, batch: &mut Batch) -> bool {
        let unsent_bytes = self.unsent_bytes.fetch_add(batch.bytes.len(), Ordering::Relaxed) + batch.bytes.len();
        let mut state = self.lock();
        let was_empty = state.batch.is_empty();
        let keeps_up = unsent_bytes <= UNSENT_BYTES_MAX;
        if keeps_up {
            state.batch.append(batch);
        } else {
            batch.clear();
            state.is_abandoned = true;
        }
        drop(state);
        if was_empty || !keeps_up {
            self.wake();
        }
        keeps_up
    }

    /// Takes what waits; `None` if the connection is to be dropped.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        (!state.is_abandoned).then(|| std::mem::take(&mut state.batch))
    }

    /// So many bytes of what was taken are with the socket now.
    pub(super) fn written(&self, bytes: usize) {
        self.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether a source without a pace of its own should wait for this client.
    pub(super) fn is_congested(&self) -> bool {
        self.unsent_bytes.load(Ordering::Relaxed) > CONGESTED_BYTES
    }

    pub(super) fn wake(&self) {
        // It fails only if the poll is gone, and then nobody is there to be woken.
        let _: io::Result<()> = self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that lags by more is dropped, as the venues do.
const UNSENT_BYTES_MAX: usize = 64 << 20;
/// A flood waits for a client that lags by more.
const CONGESTED_BYTES: usize = 4 << 20;
