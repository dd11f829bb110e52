//! A venue's rules with a mistake in them.

use std::time::Duration;

use super::Mistake;
use super::wire::MutatedWire;
use crate::book::Book;
use crate::event::ResyncReason;
use crate::types::{Instrument, Scale, SymbolId};
use crate::venue::SessionConfig;
use crate::venue::message::{BookMessage, MessageDecimals};
use crate::venue::outbox::Outbox;
use crate::venue::rules::{LEVELS_MAX, Proof, Request, Rules, SnapshotSource, Standing, Verdict};

/// The rules `R` but for the current [`Mistake`].
pub(super) struct Mutated<R>(R);

impl<R: Rules> Rules for Mutated<R> {
    type Wire = MutatedWire<R::Wire>;

    const SNAPSHOTS: SnapshotSource = R::SNAPSHOTS;
    const IS_CHAINED: bool = R::IS_CHAINED;
    const PING_INTERVAL: Option<Duration> = R::PING_INTERVAL;
    const RESYNC_SPACING: Duration = R::RESYNC_SPACING;
    const RESCALES: bool = R::RESCALES;

    fn new(config: &SessionConfig, symbols: &[String]) -> Self {
        Self(R::new(config, symbols))
    }

    fn websocket_path(&self) -> &str {
        self.0.websocket_path()
    }

    fn rest_path(&self, symbol: SymbolId) -> Option<&str> {
        self.0.rest_path(symbol)
    }

    fn snapshot_weight(&self) -> u32 {
        self.0.snapshot_weight()
    }

    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        self.0.ask(request, out)
    }

    fn ping(&self, id: u64, out: &mut Outbox) {
        self.0.ping(id, out);
    }

    fn scale(decimals: MessageDecimals) -> Scale {
        let scale = R::scale(decimals);
        match Mistake::current() {
            // A tick of another size than what is printed.
            Mistake::DecimalsOff => Scale {
                price: scale.price + 1,
                ..scale
            },
            _ => scale,
        }
    }

    fn judge(&self, standing: Standing, message: &BookMessage) -> Verdict {
        let verdict = self.0.judge(standing, message);
        let straddles = standing.is_held && verdict == Verdict::Continues && !joins(standing, message);
        match (Mistake::current(), verdict) {
            (Mistake::LostUnnoticed, Verdict::Gap { .. }) if !standing.is_held => Verdict::Continues,
            (Mistake::StaleSeedTaken, Verdict::Gap { .. }) if standing.is_held => Verdict::Continues,
            (Mistake::ContainedApplied, Verdict::Contained) => Verdict::Continues,
            (Mistake::StraddleRefused, _) if straddles => Verdict::Gap {
                expected: standing.last_id,
                got: message.first_id,
            },
            (Mistake::StraddleDropped, _) if straddles => Verdict::Contained,
            _ => verdict,
        }
    }

    fn update_id(last_id: u64, message: &BookMessage) -> u64 {
        R::update_id(last_id, message)
    }

    fn prove(&mut self, instrument: &Instrument, book: &Book, message: &BookMessage) -> Result<Proof, ResyncReason> {
        let proof = self.0.prove(instrument, book, message);
        match Mistake::current() {
            Mistake::LostUnnoticed => Ok(proof.unwrap_or(Proof::CHECKSUM)),
            _ => proof,
        }
    }

    fn levels_max(&self, symbol: SymbolId) -> usize {
        let levels_max = self.0.levels_max(symbol);
        match Mistake::current() {
            Mistake::NeverCut => LEVELS_MAX,
            Mistake::CutShort => levels_max - 1,
            _ => levels_max,
        }
    }

    fn on_open(&mut self) {
        self.0.on_open();
    }

    fn on_depth(&mut self, symbol: SymbolId, depth: u32) {
        self.0.on_depth(symbol, depth);
    }

    fn may_be_book(frame: &[u8]) -> bool {
        R::may_be_book(frame)
    }
}

/// Whether the message begins just where the book stands, rather than before.
fn joins(standing: Standing, message: &BookMessage) -> bool {
    match message.previous_id {
        Some(previous_id) => previous_id == standing.last_id,
        None => message.first_id == standing.last_id + 1,
    }
}
