//! What the last messages of one book changed, so that an earlier state of it can be worked out from the present one.
//!
//! A REST book is of an update id that the stream passed a moment ago, or somewhere inside a message: venues gather
//! changes for up to 100 ms. While one is awaited each level that a message sets leaves behind what rested there before:
//! going back over that from the present book gives the state in front of any message that is remembered. Two rings
//! of fixed size; what is overwritten is forgotten.

use crate::book::Book;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side};

/// The memory of one book at a time.
#[derive(Debug)]
pub(super) struct History {
    messages: Ring<Entry>,
    undos: Ring<Undo>,
    /// The id that the book stands at.
    end_id: u64,
}

/// One message.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The book's ids before and after it.
    before: u64,
    after: u64,
    /// Where its changes begin, and where they end.
    undos: (u64, u64),
}

/// A level before a message set it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    pub(super) side: Side,
    pub(super) price: Price,
    pub(super) was: Qty,
}

/// Where an update id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The state is the one in front of these changes, if they are undone.
    undo_from: u64,
    /// The id lies behind that state, inside the message with the changes up to here: the levels that it sets may have been
    /// anything at that id.
    pub(super) moving_to: Option<u64>,
}

impl History {
    /// Memory for a few thousand changes; none where `is_wanted` is false, and then nothing can be applied.
    pub(super) fn new(is_wanted: bool) -> Self {
        Self {
            messages: Ring::new(if is_wanted { MESSAGES } else { 0 }, Entry::default()),
            undos: Ring::new(
                if is_wanted { CHANGES } else { 0 },
                Undo {
                    side: Side::Bid,
                    price: Price(0),
                    was: Qty(0),
                },
            ),
            end_id: 0,
        }
    }

    /// Forgets everything: the book stands at this id.
    pub(super) fn restart(&mut self, id: u64) {
        self.messages.clear();
        self.undos.clear();
        self.end_id = id;
    }

    /// Applies a message that brings the book from one id to another, and remembers what it changed.
    pub(super) fn apply(&mut self, book: &mut Book, changes: &[LevelChange], before: u64, after: u64) {
        if before != self.end_id || after <= before {
            // Another book than was remembered, or ids that start again: an id must lie in one message alone.
            self.restart(before);
        }
        let start = self.undos.next;
        for &LevelChange { side, price, qty } in changes {
            let was = book.set(side, price, qty);
            self.undos.push(Undo { side, price, was });
        }
        if after <= before {
            return self.restart(after);
        }
        self.messages.push(Entry {
            before,
            after,
            undos: (start, self.undos.next),
        });
        self.end_id = after;
    }

    /// Where an id lies, if the state there can be worked out.
    pub(super) fn find(&self, id: u64) -> Option<Place> {
        let now = self.undos.next;
        if id == self.end_id {
            return Some(Place {
                undo_from: now,
                moving_to: None,
            });
        }
        let remembered = self.messages.newest_first();
        let mut remembered = remembered.take_while(|(_, entry)| entry.undos.0 >= self.undos.oldest());
        let (_, entry) = remembered.find(|(_, entry)| entry.before <= id && id < entry.after)?;
        Some(Place {
            undo_from: entry.undos.0,
            moving_to: (entry.before != id).then_some(entry.undos.1),
        })
    }

    /// What has to be undone, newest first, to come to that place. `true` marks a level that was moving there.
    pub(super) fn back_to(&self, place: Place) -> impl Iterator<Item = (Undo, bool)> + '_ {
        let wanted = self
            .undos
            .newest_first()
            .take_while(move |(at, _)| *at >= place.undo_from);
        wanted.map(move |(at, undo)| (undo, place.moving_to.is_some_and(|end| at < end)))
    }
}

/// The last items that were pushed.
#[derive(Debug)]
struct Ring<T> {
    items: Box<[T]>,
    /// Pushed since the start.
    next: u64,
    /// The first that counts.
    first: u64,
}

impl<T: Copy> Ring<T> {
    /// `capacity` is a power of two, or zero.
    fn new(capacity: usize, empty: T) -> Self {
        Self {
            items: vec![empty; capacity].into(),
            next: 0,
            first: 0,
        }
    }

    fn clear(&mut self) {
        self.first = self.next;
    }

    #[inline]
    fn push(&mut self, item: T) {
        let mask = self.items.len().wrapping_sub(1);
        if let Some(slot) = self.items.get_mut(self.next as usize & mask) {
            *slot = item;
            self.next += 1;
        }
    }

    fn oldest(&self) -> u64 {
        self.first.max(self.next.saturating_sub(self.items.len() as u64))
    }

    fn newest_first(&self) -> impl Iterator<Item = (u64, T)> + '_ {
        let mask = self.items.len().wrapping_sub(1);
        (self.oldest()..self.next)
            .rev()
            .filter_map(move |at| Some((at, *self.items.get(at as usize & mask)?)))
    }
}

/// Messages that are remembered: a second of the busiest contract.
const MESSAGES: usize = 1_024;

/// Level changes that are remembered. The busiest contract that was recorded has 1,300 a second in the mean; in a burst
/// the memory is shorter, and the next checkpoint is a minute away.
const CHANGES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type State = BTreeMap<(bool, i64), i64>;

    fn state(book: &Book) -> State {
        let of = |side: Side| {
            book.levels(side)
                .map(move |level| ((side == Side::Bid, level.price.0), level.qty.0))
        };
        of(Side::Bid).chain(of(Side::Ask)).collect()
    }

    fn change((is_bid, price, qty): (bool, i64, i64)) -> LevelChange {
        LevelChange {
            side: if is_bid { Side::Bid } else { Side::Ask },
            price: Price(price),
            qty: Qty(qty),
        }
    }

    /// The state at an id, by undoing; and the levels that were moving.
    fn at(history: &History, book: &Book, place: Place) -> (State, Vec<(bool, i64)>) {
        let (mut state, mut moving) = (state(book), Vec::new());
        for (undo, is_moving) in history.back_to(place) {
            let key = (undo.side == Side::Bid, undo.price.0);
            match undo.was.0 {
                0 => state.remove(&key),
                was => state.insert(key, was),
            };
            if is_moving {
                moving.push(key);
            }
        }
        (state, moving)
    }

    proptest! {
        #[test]
        fn every_remembered_state_is_found_again(
            messages in proptest::collection::vec(
                (1_u64..5, proptest::collection::vec((any::<bool>(), 1_i64..12, 0_i64..4), 0..6)), 1..40),
        ) {
            let (mut book, mut history) = (Book::new(), History::new(true));
            let mut id = 100;
            history.restart(id);
            let mut states = vec![(id, state(&book), Vec::new())];
            for (step, changes) in messages {
                let changes: Vec<_> = changes.into_iter().map(change).collect();
                history.apply(&mut book, &changes, id, id + step);
                id += step;
                let touched: Vec<_> = changes.iter().map(|of| (of.side == Side::Bid, of.price.0)).collect();
                states.last_mut().unwrap().2 = touched;
                states.push((id, state(&book), Vec::new()));
            }
            for wanted in 100..=id {
                let place = history.find(wanted).expect("remembered");
                let (got, mut moving) = at(&history, &book, place);
                let (own_id, expected, touched) = states.iter().rfind(|(own_id, ..)| *own_id <= wanted).unwrap();
                prop_assert_eq!(&got, expected, "at {}", wanted);
                moving.reverse();
                prop_assert_eq!(&moving, if *own_id == wanted { &[][..] } else { &touched[..] });
            }
            prop_assert_eq!(history.find(99), None);
            prop_assert_eq!(history.find(id + 1), None);
        }
    }

    #[test]
    fn what_was_overwritten_is_not_found() {
        let (mut book, mut history) = (Book::new(), History::new(true));
        history.restart(0);
        for id in 0..3 * CHANGES as u64 {
            let changes = [change((true, 1 + (id % 50) as i64, 1 + id as i64)); 2];
            history.apply(&mut book, &changes, id, id + 1);
        }
        let end = 3 * CHANGES as u64;
        assert!(history.find(end - MESSAGES as u64).is_some());
        assert_eq!(history.find(end - MESSAGES as u64 - 1), None, "messages");
        let many = vec![change((false, 9, 9)); CHANGES - 1];
        history.apply(&mut book, &many, end, end + 1);
        assert!(history.find(end).is_some());
        assert_eq!(history.find(end - 1), None, "changes");
        // A message that is larger than the memory.
        history.apply(&mut book, &vec![change((false, 9, 9)); CHANGES + 1], end + 1, end + 2);
        assert_eq!(history.find(end + 1), None);
        assert!(history.find(end + 2).is_some());
    }

    #[test]
    fn a_book_that_was_replaced_or_whose_ids_start_again_is_begun_anew() {
        let (mut book, mut history) = (Book::new(), History::new(true));
        history.restart(5);
        history.apply(&mut book, &[change((true, 1, 1))], 5, 6);
        history.apply(&mut book, &[change((true, 1, 2))], 9, 10);
        assert_eq!(history.find(5), None, "another book");
        assert!(history.find(9).is_some());
        history.apply(&mut book, &[change((true, 1, 3))], 10, 3);
        assert_eq!(history.find(9), None);
        let place = history.find(3).unwrap();
        assert_eq!(history.back_to(place).count(), 0);
        assert_eq!(state(&book)[&(true, 1)], 3, "it was applied all the same");
    }
}
