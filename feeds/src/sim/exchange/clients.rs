//! What waits to be written to each client, already framed.

use std::collections::VecDeque;

use super::Manners;
use super::batch::{Batch, End};
use super::meddle::{Ask, Fate, LevelSpots};
use crate::sim::fault::Faults;
use crate::sim::stats::MessageKind;
use crate::types::UnixNanos;
use crate::ws::{close_code, encode_close};

/// A client's place in the table; reused after it has left.
pub(in crate::sim) type ClientKey = usize;

/// What is known of a message besides its bytes.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Meta {
    pub(in crate::sim) kind: MessageKind,
    pub(in crate::sim) symbol: Option<u16>,
    /// Where, in the last part of the payload, numbers stand that a client must notice to be wrong.
    pub(in crate::sim) spots: LevelSpots,
}

impl Meta {
    pub(in crate::sim) fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            symbol: None,
            spots: LevelSpots::default(),
        }
    }

    pub(in crate::sim) fn of(kind: MessageKind, symbol: usize) -> Self {
        Self {
            kind,
            symbol: Some(symbol as u16),
            spots: LevelSpots::default(),
        }
    }
}

/// One connected client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) batch: Batch,
    /// A fault or a close ended what can be said.
    pub(super) is_finished: bool,
    /// Subscriptions that stay silent.
    muted: Vec<u16>,
    /// Binance: messages are wrapped with the name of their stream.
    pub(super) is_combined: bool,
    /// Updates that a fault keeps back until the next one of their instrument has gone.
    pub(super) held: Vec<(Option<u16>, Vec<u8>)>,
    last_message: UnixNanos,
    has_heard_data: bool,
    /// Data messages of the current round.
    round: u64,
}

/// All clients, and the faults still to come.
#[derive(Debug)]
pub(in crate::sim) struct Clients {
    slots: Vec<Option<Client>>,
    pub(in crate::sim) faults: Faults,
    /// When the messages that are being pushed are said. What they print is [`stamp`](Self::stamp).
    pub(in crate::sim) now: UnixNanos,
    pub(super) manners: Manners,
    /// What faults want of the venue, in order.
    pub(super) asks: VecDeque<Ask>,
}

impl Clients {
    pub(in crate::sim) fn new(faults: Faults) -> Self {
        Self {
            faults,
            slots: Vec::new(),
            now: UnixNanos(0),
            manners: Manners::default(),
            asks: VecDeque::new(),
        }
    }

    /// Says whose clients they are, before the first comes.
    pub(in crate::sim) fn mind(&mut self, manners: Manners) {
        self.faults.without(manners.unplayable);
        self.manners = manners;
    }

    /// The time as the venue's clock shows it: every time in a message. Deadlines go by `now`.
    pub(in crate::sim) fn stamp(&self) -> UnixNanos {
        let offset_ns = self.faults.clock_offset_ms().saturating_mul(1_000_000);
        UnixNanos(self.now.0.saturating_add_signed(offset_ns))
    }

    /// The next thing that a fault wants of the venue.
    pub(super) fn take_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    pub(in crate::sim) fn connect(&mut self) -> ClientKey {
        let client = Some(Client {
            last_message: self.now,
            ..Client::default()
        });
        match self.slots.iter().position(Option::is_none) {
            Some(key) => {
                self.slots[key] = client;
                key
            }
            None => {
                self.slots.push(client);
                self.slots.len() - 1
            }
        }
    }

    pub(in crate::sim) fn disconnect(&mut self, key: ClientKey) {
        if let Some(slot) = self.slots.get_mut(key) {
            *slot = None;
        }
    }

    /// Nobody is there to be told anything.
    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.slots.iter().flatten().all(|client| client.is_finished)
    }

    /// A subscription of this client will stay silent.
    pub(in crate::sim) fn mute(&mut self, key: ClientKey, symbol: u16) {
        if let Some(client) = self.client(key) {
            client.muted.push(symbol);
        }
    }

    /// This client wants its messages wrapped with the name of their stream.
    pub(in crate::sim) fn combine(&mut self, key: ClientKey) {
        if let Some(client) = self.client(key) {
            client.is_combined = true;
        }
    }

    /// When the client was last told something.
    pub(in crate::sim) fn last_message(&self, key: ClientKey) -> Option<UnixNanos> {
        self.slots.get(key)?.as_ref().map(|client| client.last_message)
    }

    /// The most data messages that any client was sent since the last call; one where nobody listens, so that a market
    /// without an audience keeps its pace. A client listens from its first data message to its end.
    pub(in crate::sim) fn end_round(&mut self) -> u64 {
        let audience = self
            .slots
            .iter_mut()
            .flatten()
            .filter(|client| client.has_heard_data && !client.is_finished);
        audience
            .map(|client| std::mem::take(&mut client.round))
            .max()
            .unwrap_or(1)
    }

    /// Takes what waits for a client.
    pub(in crate::sim) fn batch(&mut self, key: ClientKey) -> Option<&mut Batch> {
        self.slots.get_mut(key)?.as_mut().map(|client| &mut client.batch)
    }

    /// Sends a text message, given in parts that are joined.
    pub(in crate::sim) fn push(&mut self, key: ClientKey, meta: Meta, parts: &[&[u8]]) {
        let now = self.now;
        let Some(client) = self
            .slots
            .get_mut(key)
            .and_then(Option::as_mut)
            .filter(|client| !client.is_finished)
        else {
            return;
        };
        if meta.kind.is_data() {
            if meta.symbol.is_some_and(|symbol| client.muted.contains(&symbol)) {
                return;
            }
            client.round += 1;
            client.has_heard_data = true;
        }
        let fate = match meta.kind.is_data() && !self.faults.is_spent() {
            true => self.meddle(key, &meta, parts),
            false => Fate::AsItIs,
        };
        let Some(client) = self.client(key) else { return };
        match fate {
            Fate::Gone => return,
            Fate::Sent => {}
            Fate::AsItIs => client.batch.push_text(parts, meta.kind, meta.symbol),
        }
        client.last_message = now;
        if meta.kind == MessageKind::BookUpdate && !client.held.is_empty() {
            client.release(meta.symbol);
        }
    }

    /// Ends every conversation in good order.
    pub(in crate::sim) fn close_all(&mut self, code: u16, reason: &str) {
        for client in self.slots.iter_mut().flatten().filter(|client| !client.is_finished) {
            close(client, code, reason);
        }
    }

    /// Ends one conversation in good order.
    pub(in crate::sim) fn close(&mut self, key: ClientKey, code: u16, reason: &str) {
        if let Some(client) = self.client(key).filter(|client| !client.is_finished) {
            close(client, code, reason);
        }
    }

    pub(super) fn client(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.slots.get_mut(key)?.as_mut()
    }
}

pub(super) fn close(client: &mut Client, code: u16, reason: &str) {
    let code = if close_code::is_valid(code) {
        code
    } else {
        close_code::NORMAL
    };
    let start = client.batch.bytes.len();
    encode_close(Some(code), reason, None, &mut client.batch.bytes);
    let payload_bytes = client.batch.bytes.len() - start - 2;
    client.batch.note(payload_bytes, MessageKind::Close, None);
    client.batch.end = Some(End::Close);
    client.is_finished = true;
}
