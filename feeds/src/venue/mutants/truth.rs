//! The book without a mistake, by the plainest reading of the venue's rule.

use super::shadow::{FINE, Shadow};
use crate::book::Book;
use crate::event::{BookUpdate, LevelChange};
use crate::types::{Scale, SymbolId};
use crate::venue::SessionConfig;
use crate::venue::message::{BookMessage, Message, Print, Route};
use crate::venue::rules::Rules;
use crate::venue::wire::Wire;

/// Hears every message, also those that the session does not hear.
pub(super) struct Truth<W> {
    wire: W,
    /// Levels per side that the venue speaks of.
    depth: usize,
    /// The book waits for REST, and messages for the book.
    splices: bool,
    is_whole: bool,
    book: Shadow,
    /// Zero where the messages have none.
    id: u64,
    kept: Vec<(BookMessage, Vec<LevelChange>)>,
    /// What the book was on the way from a REST snapshot to the newest message that was kept for it.
    spliced: Vec<(u64, Shadow)>,
    changes: Vec<LevelChange>,
    prints: Vec<Print>,
}

impl<W: Wire> Truth<W> {
    pub(super) fn new<R: Rules<Wire = W>>(config: &SessionConfig, depth: Option<usize>) -> Self {
        let mut wire = W::new(config.symbols.iter().map(String::as_str));
        assert!(wire.set_scale(SymbolId(0), FINE));
        Self {
            wire,
            depth: depth.unwrap_or(usize::MAX),
            splices: R::SNAPSHOTS.splices(),
            is_whole: false,
            book: Shadow::at(FINE),
            id: 0,
            kept: Vec::new(),
            spliced: Vec::new(),
            changes: Vec::new(),
            prints: Vec::new(),
        }
    }

    /// The connection is a new one.
    pub(super) fn reopen(&mut self) {
        self.is_whole = false;
        self.kept.clear();
    }

    pub(super) fn hear_frame(&mut self, frame: &[u8]) {
        let mut part = match self.wire.route(frame) {
            Ok(Route::Market(market)) => Some(market),
            _ => None,
        };
        while let Some(market) = part {
            let read = self.wire.read(frame, &market, &mut self.changes, &mut self.prints);
            if let Ok(Message::Book(message)) = read {
                let changes = std::mem::take(&mut self.changes);
                self.hear(message, changes);
            }
            part = match market.has_more {
                true => self.wire.part_behind(frame, market.part),
                false => None,
            };
        }
    }

    fn hear(&mut self, message: BookMessage, changes: Vec<LevelChange>) {
        if message.is_snapshot {
            self.book.clear();
            self.is_whole = true;
        } else if !self.is_whole {
            return self.kept.push((message, changes));
        } else if self.splices && message.last_id <= self.id && self.id != 0 {
            return;
        }
        changes.iter().for_each(|change| self.book.set(change));
        self.book.cut(self.depth);
        self.id = message.last_id;
    }

    pub(super) fn hear_rest(&mut self, body: &[u8]) {
        if self.is_whole {
            return; // it came in the stream
        }
        let (id, scale) = self.wire.rest_snapshot(body, &mut self.changes).unwrap();
        self.book = Shadow::at(scale);
        self.changes.iter().for_each(|level| self.book.set(level));
        self.book.rescale(FINE);
        (self.id, self.is_whole) = (id, true);
        self.spliced.clear();
        for (message, changes) in std::mem::take(&mut self.kept) {
            self.hear(message, changes);
            self.spliced.push((self.id, self.book.clone()));
        }
    }

    /// Whether that is the book as it is now.
    pub(super) fn is_now(&self, book: &Book, scale: Scale) -> bool {
        self.book.is_same(book, scale)
    }

    /// Whether that was the book at its update id.
    pub(super) fn agrees_with(&self, update: &BookUpdate<'_>) -> bool {
        let (book, scale) = (update.book, update.instrument.scale);
        if !self.splices || self.id == 0 || update.update_id == self.id {
            return self.book.is_same(book, scale);
        }
        let mut spliced = self.spliced.iter();
        spliced.any(|(id, truth)| *id == update.update_id && truth.is_same(book, scale))
    }
}
