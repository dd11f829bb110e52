//! The thread that owns the exchange: hears requests, lets time pass, hands out what is to be written.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::super::exchange::{ClientKey, Exchange, RestReply};
use super::super::stats::Counters;
use super::outbox::Outbox;
use crate::types::UnixNanos;
use crate::ws::close_code;

/// What the threads of the connections ask for. Answers come back through the sender in the question.
pub(super) enum Command {
    /// A WebSocket wants to be opened; the answer is the client's key or an HTTP status.
    Connect {
        target: String,
        outbox: Arc<Outbox>,
        reply: SyncSender<Result<ClientKey, u16>>,
    },
    /// A client said something.
    Text { key: ClientKey, text: String },
    /// A client has left.
    Disconnect { key: ClientKey },
    /// A REST request.
    Rest {
        target: String,
        reply: SyncSender<RestReply>,
    },
    /// End the faults.
    Calm,
    /// Let the generated market stand still.
    Halt,
    /// Say good-bye and end.
    Stop,
}

/// The wall clock, read once and then carried on by the monotonic one: the venue's time never jumps back.
#[derive(Clone, Copy, Debug)]
pub(super) struct VenueClock {
    start: UnixNanos,
    origin: Instant,
}

impl VenueClock {
    pub(super) fn new(start: UnixNanos) -> Self {
        Self {
            start,
            origin: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> UnixNanos {
        UnixNanos(self.start.0 + self.origin.elapsed().as_nanos() as u64)
    }
}

pub(super) struct Hub {
    exchange: Box<dyn Exchange>,
    commands: Receiver<Command>,
    outboxes: Vec<Option<Arc<Outbox>>>,
    counters: Arc<Counters>,
    clock: VenueClock,
}

impl Hub {
    pub(super) fn new(
        exchange: Box<dyn Exchange>,
        commands: Receiver<Command>,
        counters: Arc<Counters>,
        clock: VenueClock,
    ) -> Self {
        Self {
            exchange,
            commands,
            outboxes: Vec::new(),
            counters,
            clock,
        }
    }

    /// Runs until it is told to stop, or nobody is left to tell it.
    pub(super) fn run(mut self) {
        loop {
            let now = self.clock.now();
            let is_throttled = self.outboxes.iter().flatten().any(|outbox| outbox.is_congested());
            let next = self.exchange.advance(now, is_throttled);
            self.hand_out();
            let wait = Duration::from_nanos(next.since(self.clock.now()).max(0) as u64);
            let mut command = match self.commands.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while let Some(received) = command {
                if self.handle(received) {
                    self.exchange
                        .clients()
                        .close_all(close_code::GOING_AWAY, "simulator stops");
                    self.hand_out();
                    return;
                }
                command = self.commands.try_recv().ok();
            }
        }
    }

    /// True when it was the last command.
    fn handle(&mut self, command: Command) -> bool {
        let now = self.clock.now();
        match command {
            Command::Connect { target, outbox, reply } => {
                let result = self.exchange.connect(&target, now);
                if let Ok(key) = result {
                    if self.outboxes.len() <= key {
                        self.outboxes.resize(key + 1, None);
                    }
                    self.outboxes[key] = Some(outbox);
                }
                // The asker may have gone: then its disconnection follows, or there was no connection.
                if reply.send(result).is_err()
                    && let Ok(key) = result
                {
                    self.disconnect(key);
                }
            }
            Command::Text { key, text } => {
                self.counters.messages_received.fetch_add(1, Relaxed);
                self.exchange.receive(key, &text, now);
            }
            Command::Disconnect { key } => self.disconnect(key),
            Command::Rest { target, reply } => {
                let answer = self.exchange.rest(&target, now);
                let _ = reply.send(answer);
            }
            Command::Calm => self.exchange.clients().faults.calm(),
            Command::Halt => self.exchange.halt(),
            Command::Stop => return true,
        }
        false
    }

    fn disconnect(&mut self, key: ClientKey) {
        self.exchange.disconnect(key);
        if let Some(slot) = self.outboxes.get_mut(key) {
            *slot = None;
        }
    }

    /// Hands what was said to the connections' threads.
    fn hand_out(&mut self) {
        // First: who has felt a fault finds it counted.
        let fired = self.exchange.clients().faults.fired();
        for (counter, count) in self.counters.faults.iter().zip(fired) {
            counter.store(*count, Relaxed);
        }
        for (key, slot) in self.outboxes.iter_mut().enumerate() {
            let Some(outbox) = slot else { continue };
            let Some(batch) = self.exchange.clients().batch(key).filter(|batch| !batch.is_empty()) else {
                continue;
            };
            if !outbox.put(batch) {
                self.counters.slow_clients_dropped.fetch_add(1, Relaxed);
                // Its thread sees that it is abandoned, and disconnects.
                *slot = None;
            }
        }
        self.counters
            .market_events
            .store(self.exchange.market_events(), Relaxed);
    }
}
