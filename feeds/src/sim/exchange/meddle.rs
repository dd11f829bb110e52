//! Where faults strike: between a finished message and its frame. Nothing here knows a venue.

use std::ops::Range;

use super::ClientKey;
use super::batch::{End, Pace, length_into};
use super::clients::{Client, Clients, Meta, close};
use crate::sim::fault::{Fault, Target};
use crate::sim::stats::MessageKind;
use crate::ws::{Opcode, encode_frame};

/// Where numbers stand in a message that carries levels: the first of each kind. Where the venue has a checksum, only
/// levels that it covers are worth noting.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct LevelSpots {
    price: Option<Range<usize>>,
    /// A quantity that is not zero.
    qty: Option<Range<usize>>,
    /// A quantity that is zero: its level goes.
    deletion: Option<Range<usize>>,
}

impl LevelSpots {
    /// A level was written: here its price, there its quantity.
    pub(super) fn note(&mut self, (price, qty): (Range<usize>, Range<usize>), is_deletion: bool) {
        if is_deletion {
            self.deletion.get_or_insert(qty);
        } else if self.qty.is_none() {
            // The price of a level that stays: what is deleted at a wrong price may be no level at all.
            (self.price, self.qty) = (Some(price), Some(qty));
        }
    }

    /// The number that a fault changes.
    fn of(&self, fault: &Fault) -> Option<&Range<usize>> {
        match fault {
            Fault::CorruptLevel => self.qty.as_ref(),
            Fault::CorruptPrice => self.price.as_ref(),
            Fault::ResurrectLevel => self.deletion.as_ref(),
            _ => None,
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is still to be sent.
    AsItIs,
    /// It has been sent in its own way.
    Sent,
    /// It is not sent, or not now.
    Gone,
}

/// What a fault wants of the venue, once the step that it struck is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    RestartSequence { key: ClientKey, symbol: u16 },
    RepeatSnapshot { key: ClientKey, symbol: u16 },
}

impl Client {
    /// Sends what was kept back behind an update of this instrument.
    pub(super) fn release(&mut self, symbol: Option<u16>) {
        while let Some(place) = self.held.iter().position(|(held, _)| *held == symbol) {
            let (_, payload) = self.held.remove(place);
            self.batch.push_text(&[&payload], MessageKind::BookUpdate, symbol);
        }
    }

    fn finish(&mut self, end: End) -> Fate {
        self.batch.end = Some(end);
        self.is_finished = true;
        Fate::Gone
    }
}

impl Clients {
    /// Lets plan and storm have their chance at a message that carries the market.
    #[cold]
    pub(super) fn meddle(&mut self, key: ClientKey, meta: &Meta, parts: &[&[u8]]) -> Fate {
        self.faults.draw(self.now);
        if meta.kind == MessageKind::BookUpdate {
            let fate = self.meddle_with_update(key, meta, parts);
            if fate != Fate::AsItIs {
                return fate;
            }
        }
        // The message was made before its clock was set.
        let stamp = self.stamp();
        let Some(fault) = self.faults.strike(Target::Data, meta.symbol, |_| true) else {
            return Fate::AsItIs;
        };
        let shutdown_message = self.manners.shutdown_message;
        let Some(client) = self.client(key) else {
            return Fate::Gone;
        };
        let batch = &mut client.batch;
        match fault {
            Fault::CutMidFrame => {
                let start = batch.bytes.len();
                encode_frame(true, Opcode::Text, &parts.concat(), None, &mut batch.bytes);
                let frame_bytes = batch.bytes.len() - start;
                batch.bytes.truncate(start + frame_bytes / 2);
                client.finish(End::Cut)
            }
            Fault::Freeze => client.finish(End::Freeze),
            Fault::HalfOpen => client.finish(End::HalfOpen),
            Fault::Stall { lasting } => {
                batch.turn(Pace::Stall { lasting });
                Fate::AsItIs
            }
            Fault::SlowWire {
                bytes_per_second,
                lasting,
            } => {
                batch.turn(Pace::Slow {
                    bytes_per_second,
                    lasting,
                });
                Fate::AsItIs
            }
            Fault::OversizedFrame { announced_bytes } => {
                let mut header = [0u8; 10];
                header[0] = 0x80 | Opcode::Text as u8;
                let header_bytes = length_into(&mut header, announced_bytes);
                batch.bytes.extend_from_slice(&header[..header_bytes]);
                batch.note(0, MessageKind::Faulty, None);
                client.is_finished = true;
                Fate::Gone
            }
            Fault::MalformedMessage => {
                batch.push_text(&[br#"{"e":"depthUpdate","E":17"#], MessageKind::Faulty, None);
                Fate::AsItIs
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
                Fate::Sent
            }
            Fault::Close { code, reason } => {
                close(client, code, &reason);
                Fate::Gone
            }
            Fault::ServerShutdown => {
                let mut message = Vec::new();
                if client.is_combined {
                    message.extend_from_slice(b"{\"stream\":\"!serverShutdown\",\"data\":");
                }
                shutdown_message(stamp, &mut message);
                if client.is_combined {
                    message.push(b'}');
                }
                batch.push_text(&[&message], MessageKind::Status, None);
                Fate::AsItIs
            }
            // The clock was set when the fault was struck.
            _ => Fate::AsItIs,
        }
    }

    fn meddle_with_update(&mut self, key: ClientKey, meta: &Meta, parts: &[&[u8]]) -> Fate {
        let Some(client) = self.client(key) else {
            return Fate::Gone;
        };
        let is_holding = client.held.iter().any(|(held, _)| *held == meta.symbol);
        let can = |fault: &Fault| match fault {
            Fault::ReorderUpdates => !is_holding,
            Fault::SequenceRestart | Fault::RepeatSnapshot => meta.symbol.is_some(),
            Fault::CorruptLevel | Fault::CorruptPrice | Fault::ResurrectLevel => meta.spots.of(fault).is_some(),
            _ => true,
        };
        let Some(fault) = self.faults.strike(Target::Update, meta.symbol, can) else {
            return Fate::AsItIs;
        };
        if let (Fault::SequenceRestart | Fault::RepeatSnapshot, Some(symbol)) = (&fault, meta.symbol) {
            self.asks.push_back(match fault {
                Fault::SequenceRestart => Ask::RestartSequence { key, symbol },
                _ => Ask::RepeatSnapshot { key, symbol },
            });
            return Fate::AsItIs;
        }
        let Some(client) = self.client(key) else {
            return Fate::Gone;
        };
        match fault {
            Fault::SkipUpdate => return Fate::Gone,
            Fault::ReorderUpdates => {
                client.held.push((meta.symbol, parts.concat()));
                return Fate::Gone;
            }
            Fault::DuplicateUpdate => {
                for _ in 0..2 {
                    client.batch.push_text(parts, meta.kind, meta.symbol);
                }
            }
            _ => {
                let mut payload = parts.concat();
                let last_part_at = payload.len() - parts.last().map_or(0, |part| part.len());
                if let Some(spot) = meta.spots.of(&fault) {
                    let number = &mut payload[last_part_at + spot.start..last_part_at + spot.end];
                    corrupt(number, fault == Fault::CorruptPrice);
                }
                client.batch.push_text(&[&payload], meta.kind, meta.symbol);
            }
        }
        Fate::Sent
    }
}

/// Makes another number of a number, of the same length and not zero: by its last digit, or by the last that is not zero.
fn corrupt(number: &mut [u8], keeps_zeros: bool) {
    let is_wanted = |byte: &&mut u8| byte.is_ascii_digit() && !(keeps_zeros && **byte == b'0');
    if let Some(digit) = number.iter_mut().rev().find(is_wanted) {
        *digit = if *digit == b'9' { b'1' } else { *digit + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupted_number_is_another_of_the_same_length() {
        for (number, last, last_not_zero) in [
            ("61837.63000000", "61837.63000001", "61837.64000000"),
            ("0.00000000", "0.00000001", "0.00000000"),
            ("0.5", "0.6", "0.6"),
            ("69.9", "69.1", "69.1"),
        ] {
            for (keeps_zeros, expected) in [(false, last), (true, last_not_zero)] {
                let mut got = number.as_bytes().to_vec();
                corrupt(&mut got, keeps_zeros);
                assert_eq!(String::from_utf8_lossy(&got), expected);
            }
        }
    }
}
