//! Bybit's topics: their names, and what the listeners of a book know.

use super::REPEAT_NS;
use crate::book::Level;
use crate::sim::exchange::ClientKey;
use crate::sim::market::Instrument;
use crate::types::{Qty, Side, UnixNanos};

/// A topic by its parts.
pub(in crate::sim::exchange) struct Topic {
    /// Which instrument.
    pub(super) index: usize,
    /// Which of [`DEPTHS`] of its book; `None` for its trades.
    pub(super) depth: Option<usize>,
}

impl Topic {
    /// The topic of that name, where the venue has it.
    pub(in crate::sim::exchange) fn find(name: &str, index_of: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        let (channel, rest) = name.split_once('.')?;
        match channel {
            "publicTrade" => Some(Self {
                index: index_of(rest)?,
                depth: None,
            }),
            "orderbook" => {
                let (depth, symbol) = rest.split_once('.')?;
                Some(Self {
                    index: index_of(symbol)?,
                    depth: Some(DEPTHS.iter().position(|known| known.to_string() == depth)?),
                })
            }
            _ => None,
        }
    }
}

/// The book of an instrument at one depth, as its listeners know it.
pub(super) struct BookTopic {
    pub(super) depth: usize,
    pub(super) listeners: Vec<ClientKey>,
    /// The id of what was said last.
    pub(super) update_id: u64,
    pub(super) told_at: UnixNanos,
    /// When the change that waits is told.
    pub(super) due: Option<UnixNanos>,
    pub(super) bids: Window,
    pub(super) asks: Window,
}

impl BookTopic {
    pub(super) fn new(depth: usize) -> Self {
        Self {
            depth,
            listeners: Vec::new(),
            // Another one per depth, so that a mix-up shows.
            update_id: 40_000_000 + depth as u64 * 1_000_000,
            told_at: UnixNanos(0),
            due: None,
            bids: Window::default(),
            asks: Window::default(),
        }
    }

    /// Whether it is the best bid and ask alone, which come as snapshots.
    pub(super) fn is_top(&self) -> bool {
        self.depth == 1
    }

    /// The venue's pace.
    pub(super) fn interval_ms(&self) -> u64 {
        match self.depth {
            1 => 10,
            50 => 20,
            200 => 100,
            _ => 200,
        }
    }

    /// When something is to be said if nothing happens before.
    pub(super) fn deadline(&self) -> Option<UnixNanos> {
        let repeat = (self.is_top() && !self.listeners.is_empty()).then_some(UnixNanos(self.told_at.0 + REPEAT_NS));
        match (self.due, repeat) {
            (Some(due), Some(repeat)) => Some(due.min(repeat)),
            (due, repeat) => due.or(repeat),
        }
    }

    /// Somebody listens again: nobody has followed the book since the last one left.
    pub(super) fn wake(&mut self, instrument: &Instrument, now: UnixNanos) {
        self.update(instrument);
        self.update_id += 1;
        self.told_at = now;
        self.due = None;
    }

    /// The ids begin anew, with the book as it is.
    pub(super) fn restart(&mut self, instrument: &Instrument, now: UnixNanos) {
        self.update_id = 0;
        self.wake(instrument, now);
    }

    /// Brings both sides up to date; whether anything has changed.
    pub(super) fn update(&mut self, instrument: &Instrument) -> bool {
        let bids = self.bids.update(instrument, Side::Bid, self.depth);
        let asks = self.asks.update(instrument, Side::Ask, self.depth);
        bids || asks
    }
}

/// The best levels of one side.
#[derive(Default)]
pub(super) struct Window {
    /// Best first.
    pub(super) levels: Vec<Level>,
    /// What the last update changed, the best first; a quantity of zero has left.
    pub(super) changes: Vec<Level>,
    before: Vec<Level>,
}

impl Window {
    fn update(&mut self, instrument: &Instrument, side: Side, depth: usize) -> bool {
        std::mem::swap(&mut self.levels, &mut self.before);
        self.levels.clear();
        self.levels.extend(instrument.levels(side).take(depth));
        self.changes.clear();
        let is_better = |a: &Level, b: &Level| match side {
            Side::Bid => a.price > b.price,
            Side::Ask => a.price < b.price,
        };
        let (mut old, mut new) = (self.before.iter().peekable(), self.levels.iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (Some(was), Some(is)) if was.price == is.price => {
                    if was.qty != is.qty {
                        self.changes.push(**is);
                    }
                    old.next();
                    new.next();
                }
                (Some(was), is) if is.is_none_or(|is| is_better(was, is)) => {
                    self.changes.push(Level { qty: Qty(0), ..**was });
                    old.next();
                }
                (_, Some(is)) => {
                    self.changes.push(**is);
                    new.next();
                }
                (_, None) => break,
            }
        }
        !self.changes.is_empty()
    }
}

/// The depths that the venue has.
pub(super) const DEPTHS: [usize; 4] = [1, 50, 200, 1000];
