//! A REST book, read on the thread that fetched it.
//!
//! Ten thousand levels as text keep a hot thread from as many messages as come in a third of a millisecond. So a
//! [`BookReader`] turns them into a book where they were fetched, with memory for what follows, and the session exchanges
//! it for its own: what that costs does not depend on the depth. The book that was replaced goes back the same way, so
//! that the hot thread frees nothing.
//!
//! A checkpoint, which comes again and again and replaces nothing, is handed over by value: see [`Checkpoint`].

use std::fmt;

use crate::book::Book;
use crate::event::{LevelChange, SnapshotFault};
use crate::types::{Price, Qty, Scale, Side, SymbolId, VenueId};

use super::checkpoint::Checkpoint;
use super::rules::LEVELS_MAX;
use super::wire::Wire;
use super::{binance, bybit, okx};

/// A whole book, and the update id that it stands at.
#[derive(Debug)]
pub struct RestBook {
    pub(super) update_id: u64,
    /// The decimals of the levels.
    pub(super) scale: Scale,
    pub(super) book: Book,
}

/// What a request for a snapshot brought.
#[derive(Debug)]
pub struct RestSnapshot {
    /// The body of the reply, for a capture.
    pub body: Vec<u8>,
    /// The book in it, or what is wrong with it.
    pub book: Result<RestBook, SnapshotFault>,
}

impl RestBook {
    /// An empty one, without memory for any depth.
    pub(super) fn new() -> Self {
        Self {
            update_id: 0,
            scale: Scale::default(),
            book: Book::with_limits(LEVELS_MAX, 0),
        }
    }

    /// Reads a reply into it. After an error what is in it means nothing.
    ///
    /// # Errors
    /// [`SnapshotFault::Malformed`]: no book, an empty or a crossed one, one that is not sorted as the venue sorts, or one
    /// with more levels than any venue has.
    pub(super) fn read(
        &mut self,
        wire: &mut impl Wire,
        body: &[u8],
        changes: &mut Vec<LevelChange>,
    ) -> Result<(), SnapshotFault> {
        (self.update_id, self.scale) = levels_of(wire, body, changes)?;
        let best = |side: Side| changes.iter().find(|level| level.side == side).map(|level| level.price);
        let crossed = matches!((best(Side::Bid), best(Side::Ask)), (Some(bid), Some(ask)) if bid >= ask);
        // An empty book is what a cut or mistaken reply looks like; a market without a single order can wait.
        let is_level = |level: &LevelChange| level.qty > Qty(0) && level.price > Price(0);
        let plausible = !changes.is_empty() && changes.len() <= 2 * LEVELS_MAX && changes.iter().all(is_level);
        if crossed || !plausible {
            return Err(SnapshotFault::Malformed);
        }
        self.book.clear();
        // Best first: a side lays its window around the first level that it is given.
        for level in &*changes {
            self.book.set(level.side, level.price, level.qty);
        }
        if self.book.is_crossed() {
            return Err(SnapshotFault::Malformed); // not sorted as the venue sorts
        }
        self.book.reserve(RESERVED_LEVELS);
        Ok(())
    }
}

/// Reads the REST books of one venue. For a cold thread.
pub struct BookReader {
    reader: Option<Reader>,
    changes: Vec<LevelChange>,
}

enum Reader {
    Binance(binance::Parser),
    BinanceUsdm(binance::UsdmParser),
    Bybit(bybit::Parser),
    Okx(okx::Parser),
}

macro_rules! each {
    ($reader:expr, $wire:ident => $call:expr) => {
        match $reader {
            Some(Reader::Binance($wire)) => $call,
            Some(Reader::BinanceUsdm($wire)) => $call,
            Some(Reader::Bybit($wire)) => $call,
            Some(Reader::Okx($wire)) => $call,
            None => Err(SnapshotFault::Malformed),
        }
    };
}

impl BookReader {
    /// A reader; of a venue without REST books it reads none.
    pub fn new(venue: VenueId) -> Self {
        fn wire<W: Wire>() -> W {
            W::new([].into_iter())
        }
        let reader = match venue {
            VenueId::BinanceSpot => Some(Reader::Binance(wire())),
            VenueId::BinanceUsdm => Some(Reader::BinanceUsdm(wire())),
            VenueId::BybitSpot | VenueId::BybitLinear => Some(Reader::Bybit(wire())),
            VenueId::OkxV5 => Some(Reader::Okx(wire())),
            VenueId::KrakenV2 | VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => None,
        };
        Self {
            reader,
            changes: Vec::new(),
        }
    }

    /// The book in the reply to a request for a snapshot.
    pub fn snapshot(&mut self, body: Vec<u8>) -> RestSnapshot {
        let mut book = RestBook::new();
        let read = each!(&mut self.reader, wire => book.read(wire, &body, &mut self.changes));
        RestSnapshot {
            book: read.map(|()| book),
            body,
        }
    }

    /// The best levels of `symbol` in the reply to a request for a checkpoint.
    ///
    /// # Errors
    /// [`SnapshotFault::Malformed`]: no book, an empty or a crossed one, or one that is not sorted as the venue sorts.
    pub fn checkpoint(&mut self, symbol: SymbolId, body: &[u8]) -> Result<Checkpoint, SnapshotFault> {
        let changes = &mut self.changes;
        let head = each!(&mut self.reader, wire => levels_of(wire, body, changes))?;
        Checkpoint::new(symbol, head, changes)
    }
}

impl fmt::Debug for BookReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookReader").finish_non_exhaustive()
    }
}

/// The update id, the scale and the levels of a reply.
fn levels_of(wire: &mut impl Wire, body: &[u8], levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), SnapshotFault> {
    if body.len() > BODY_BYTES_MAX {
        return Err(SnapshotFault::Malformed);
    }
    let read = wire.rest_snapshot(body, levels);
    read.map_err(|_| SnapshotFault::Malformed)
}

/// A book of 5,000 levels a side has about 350 kB.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Levels of a side, besides those of the snapshot, for which a book has memory when it is handed over.
const RESERVED_LEVELS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const SPOT: &str = r#"{"lastUpdateId":7,"bids":[["10.10000000","1.00000000"],["10.00000000","2.50000000"]],"asks":[["10.20000000","3.00000000"],["999999.00000000","1.00000000"]]}"#;

    #[test]
    fn a_snapshot_is_a_book_around_its_best_levels() {
        let snapshot = BookReader::new(VenueId::BinanceSpot).snapshot(SPOT.into());
        assert_eq!(snapshot.body, SPOT.as_bytes());
        let RestBook { update_id, scale, book } = snapshot.book.unwrap();
        assert_eq!((update_id, scale), (7, Scale { price: 1, qty: 1 }));
        let levels = |side| book.levels(side).map(|level| level.price.0).collect::<Vec<_>>();
        assert_eq!(
            (levels(Side::Bid), levels(Side::Ask)),
            (vec![101, 100], vec![102, 9_999_990])
        );
        assert_eq!(book.stats().far_levels, 1, "the one that is far from the best");
    }

    #[test]
    fn what_follows_a_snapshot_has_memory() {
        let mut book = BookReader::new(VenueId::BinanceSpot)
            .snapshot(SPOT.into())
            .book
            .unwrap()
            .book;
        let bytes = book.stats().bytes;
        for level in 1..=RESERVED_LEVELS as i64 {
            // Each in a block of its own, as far as there are blocks.
            book.set(Side::Bid, Price(1010 - 5_000 * level), Qty(1));
            book.set(Side::Ask, Price(1020 + 5_000 * level), Qty(1));
        }
        assert_eq!(book.stats().bytes, bytes);
    }

    #[test]
    fn what_cannot_be_a_book_is_refused() {
        let refused = [
            SPOT.replace("10.10000000", "10.20000000"), // crossed
            SPOT.replace("10.00000000", "10.50000000"), // not sorted, and crossed behind the first level
            SPOT.replace("2.50000000", "0.00000000"),
            SPOT.replace("2.50000000", "-1.00000000"),
            r#"{"lastUpdateId":7,"bids":[],"asks":[]}"#.to_owned(),
            r#"{"code":-1003,"msg":"Too many requests"}"#.to_owned(),
        ];
        for body in refused {
            let snapshot = BookReader::new(VenueId::BinanceSpot).snapshot(body.clone().into());
            assert_eq!(snapshot.book.err(), Some(SnapshotFault::Malformed), "{body}");
            assert_eq!(snapshot.body, body.as_bytes(), "kept for the record");
        }
        assert!(BookReader::new(VenueId::KrakenV2).snapshot(SPOT.into()).book.is_err());
    }

    #[test]
    fn every_venue_whose_books_can_be_fetched_has_a_reader() {
        for venue in VenueId::ALL {
            let facts = venue.facts();
            let depth = match venue {
                VenueId::BybitSpot | VenueId::BybitLinear => 1000,
                _ => facts.default_depth,
            };
            let is_fetched = facts.has_rest_snapshots || (facts.has_checkpoints)(depth);
            assert_eq!(BookReader::new(venue).reader.is_some(), is_fetched, "{venue}");
        }
    }
}
