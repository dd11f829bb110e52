//! What waits to be written to each client, already framed, and the faults that meddle with it.

use std::ops::Range;

use crate::sim::fault::{Fault, Faults, Target};
use crate::sim::stats::MessageKind;
use crate::types::UnixNanos;
use crate::ws::{Opcode, close_code, encode_close, encode_frame};

/// A client's place in the table; reused after it has left.
pub(in crate::sim) type ClientKey = usize;

/// What is known of a message besides its bytes.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Meta {
    pub(in crate::sim) kind: MessageKind,
    pub(in crate::sim) symbol: Option<u16>,
    /// Where, in the last part of the payload, a quantity stands that a client must notice to be wrong.
    pub(in crate::sim) qty: Option<Range<usize>>,
}

impl Meta {
    pub(in crate::sim) fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            symbol: None,
            qty: None,
        }
    }

    pub(in crate::sim) fn of(kind: MessageKind, symbol: usize) -> Self {
        Self {
            kind,
            symbol: Some(symbol as u16),
            qty: None,
        }
    }
}

/// One frame of a [`Batch`], for the totals.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Frame {
    /// Where it ends in the batch's bytes.
    pub(in crate::sim) end: usize,
    pub(in crate::sim) payload_bytes: usize,
    pub(in crate::sim) kind: MessageKind,
    pub(in crate::sim) symbol: Option<u16>,
}

/// What happens to a connection once its batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum End {
    /// The TCP connection ends at once.
    Cut,
    /// Nothing is read or written any more.
    Freeze,
    /// A close frame was the last: wait a moment for the client's.
    Close,
}

/// Frames for one connection, back to back.
#[derive(Debug, Default)]
pub(in crate::sim) struct Batch {
    pub(in crate::sim) bytes: Vec<u8>,
    pub(in crate::sim) frames: Vec<Frame>,
    pub(in crate::sim) end: Option<End>,
}

impl Batch {
    /// Appends a whole batch and leaves `other` empty.
    pub(in crate::sim) fn append(&mut self, other: &mut Self) {
        if self.bytes.is_empty() && self.frames.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let shift = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.frames.extend(other.frames.drain(..).map(|frame| Frame {
            end: frame.end + shift,
            ..frame
        }));
        self.end = self.end.or(other.end.take());
    }

    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.end.is_none()
    }

    fn push_text(&mut self, parts: &[&[u8]], kind: MessageKind, symbol: Option<u16>) {
        let payload_bytes = parts.iter().map(|part| part.len()).sum();
        let mut header = [0u8; 10];
        header[0] = 0x80 | Opcode::Text as u8;
        let header_bytes = length_into(&mut header, payload_bytes as u64);
        self.bytes.extend_from_slice(&header[..header_bytes]);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.note(payload_bytes, kind, symbol);
    }

    fn note(&mut self, payload_bytes: usize, kind: MessageKind, symbol: Option<u16>) {
        self.frames.push(Frame {
            end: self.bytes.len(),
            payload_bytes,
            kind,
            symbol,
        });
    }
}

/// Writes the length of an unmasked frame behind its first byte, and returns the bytes of the header.
fn length_into(header: &mut [u8; 10], payload_bytes: u64) -> usize {
    match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            2
        }
        126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&payload_bytes.to_be_bytes());
            10
        }
    }
}

/// One connected client.
#[derive(Debug, Default)]
struct Client {
    batch: Batch,
    /// A fault or a close ended what can be said.
    is_finished: bool,
    /// Subscriptions that stay silent.
    muted: Vec<u16>,
    /// Binance: messages are wrapped with the name of their stream.
    is_combined: bool,
    last_message: UnixNanos,
    /// Data messages of the current round.
    round: u64,
}

/// All clients, and the faults still to come.
#[derive(Debug)]
pub(in crate::sim) struct Clients {
    slots: Vec<Option<Client>>,
    pub(in crate::sim) faults: Faults,
    /// When the messages that are being pushed are said.
    pub(in crate::sim) now: UnixNanos,
    /// How a venue says that it will go away; set by its dialect.
    pub(in crate::sim) shutdown_message: fn(UnixNanos, &mut Vec<u8>),
}

impl Clients {
    pub(in crate::sim) fn new(faults: Faults) -> Self {
        Self {
            faults,
            shutdown_message: |_, _| {},
            slots: Vec::new(),
            now: UnixNanos(0),
        }
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

    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
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
    /// without an audience keeps its pace.
    pub(in crate::sim) fn end_round(&mut self) -> u64 {
        let rounds = self
            .slots
            .iter_mut()
            .flatten()
            .map(|client| std::mem::take(&mut client.round));
        rounds.max().unwrap_or(1)
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
            if !self.faults.is_spent() && self.is_struck(key, &meta, parts) {
                return;
            }
        }
        let Some(client) = self.client(key) else { return };
        client.last_message = now;
        client.batch.push_text(parts, meta.kind, meta.symbol);
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

    fn client(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.slots.get_mut(key)?.as_mut()
    }

    /// Lets the plan have its chance at a message. True when the message is not to be sent as it is.
    #[cold]
    fn is_struck(&mut self, key: ClientKey, meta: &Meta, parts: &[&[u8]]) -> bool {
        if meta.kind == MessageKind::BookUpdate {
            let can_corrupt = meta.qty.is_some();
            let can = |fault: &Fault| *fault != Fault::CorruptLevel || can_corrupt;
            match self.faults.strike(Target::Update, meta.symbol, can) {
                Some(Fault::SkipUpdate) => return true,
                Some(Fault::CorruptLevel) => {
                    let mut payload = parts.concat();
                    let last_part_at = payload.len() - parts.last().map_or(0, |part| part.len());
                    if let Some(qty) = &meta.qty {
                        corrupt(&mut payload[last_part_at + qty.start..last_part_at + qty.end]);
                    }
                    if let Some(client) = self.client(key) {
                        client.batch.push_text(&[&payload], meta.kind, meta.symbol);
                    }
                    return true;
                }
                _ => {}
            }
        }
        let Some(fault) = self.faults.strike(Target::Data, meta.symbol, |_| true) else {
            return false;
        };
        let (now, shutdown_message) = (self.now, self.shutdown_message);
        let Some(client) = self.client(key) else { return true };
        let batch = &mut client.batch;
        match fault {
            Fault::CutMidFrame | Fault::Freeze => {
                if fault == Fault::CutMidFrame {
                    let start = batch.bytes.len();
                    encode_frame(true, Opcode::Text, &parts.concat(), None, &mut batch.bytes);
                    let frame_bytes = batch.bytes.len() - start;
                    batch.bytes.truncate(start + frame_bytes / 2);
                }
                batch.end = Some(if fault == Fault::CutMidFrame {
                    End::Cut
                } else {
                    End::Freeze
                });
                client.is_finished = true;
                true
            }
            Fault::OversizedFrame { announced_bytes } => {
                let mut header = [0u8; 10];
                header[0] = 0x80 | Opcode::Text as u8;
                let header_bytes = length_into(&mut header, announced_bytes);
                batch.bytes.extend_from_slice(&header[..header_bytes]);
                batch.note(0, MessageKind::Faulty, None);
                client.is_finished = true;
                true
            }
            Fault::MalformedMessage => {
                batch.push_text(&[br#"{"e":"depthUpdate","E":17"#], MessageKind::Faulty, None);
                false
            }
            Fault::Fragment { pieces } => {
                let payload = parts.concat();
                let piece_bytes = payload.len().div_ceil(pieces.max(1)).max(1);
                let count = payload.len().div_ceil(piece_bytes);
                for (index, piece) in payload.chunks(piece_bytes).enumerate() {
                    let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
                    encode_frame(index + 1 == count, opcode, piece, None, &mut batch.bytes);
                    if index == 0 && count > 1 {
                        encode_frame(true, Opcode::Ping, b"between", None, &mut batch.bytes);
                        batch.note(7, MessageKind::Ping, None);
                    }
                }
                batch.note(payload.len(), meta.kind, meta.symbol);
                true
            }
            Fault::Close { code, reason } => {
                close(client, code, &reason);
                true
            }
            Fault::ServerShutdown => {
                let mut message = Vec::new();
                if client.is_combined {
                    message.extend_from_slice(b"{\"stream\":\"!serverShutdown\",\"data\":");
                }
                shutdown_message(now, &mut message);
                if client.is_combined {
                    message.push(b'}');
                }
                // Not every venue has words for it.
                if !message.is_empty() {
                    batch.push_text(&[&message], MessageKind::Status, None);
                }
                false
            }
            _ => false,
        }
    }
}

fn close(client: &mut Client, code: u16, reason: &str) {
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

/// Makes another quantity of a quantity, of the same length and not zero.
fn corrupt(qty: &mut [u8]) {
    if let Some(digit) = qty.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
        *digit = if *digit == b'9' { b'1' } else { *digit + 1 };
    }
}
