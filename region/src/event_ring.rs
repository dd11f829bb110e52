//! The ring of one thread's last events: how one is written, and how all that are left are read.
//!
//! Event `n` lies in slot `n mod capacity`, under the same stamp as a signal (`2n + 1` while it is being written, `2n + 2`
//! once it is whole; see [`slot`](crate::slot)). A cursor counts the events that are whole. The reader takes the cursor,
//! then each slot behind it, oldest first: what the thread overtakes meanwhile is left out, never handed out torn.

use crate::slot::{Slot, read_slot, write_slot};
use crate::sync::{Words, fence_acquire};

/// Where the cursor and the slots of a ring are: in different blocks, for the cursor lies in the thread's own.
pub(crate) struct Ring<'a, W: Words> {
    pub(crate) cursor: &'a W,
    pub(crate) cursor_at: usize,
    pub(crate) slots: &'a W,
    /// Words from one slot to the next.
    pub(crate) stride: usize,
    /// Slots, a power of two.
    pub(crate) capacity: u64,
}

/// What a ring held.
pub(crate) struct RingCopy<const N: usize> {
    /// Events that were recorded since the start.
    pub(crate) recorded: u64,
    /// The thread was inside a record.
    pub(crate) is_recording: bool,
    /// Those that are left, each with its sequence.
    pub(crate) events: Vec<(u64, [u64; N])>,
}

impl<W: Words> Ring<'_, W> {
    #[inline(always)]
    fn slot(&self, sequence: u64) -> usize {
        (sequence & (self.capacity - 1)) as usize * self.stride
    }

    /// Writes event `sequence`; word 0 of `event` is the stamp's. The ring's one writer counts the sequence itself.
    #[inline(always)]
    pub(crate) fn record<const N: usize>(&self, sequence: u64, event: &[u64; N]) {
        write_slot::<N>(self.slots, self.slot(sequence), sequence, event);
        // Release: pairs with the acquire fence in `read`. Whoever sees this count sees every event below it, or a later
        // one in its slot.
        self.cursor.store_release(self.cursor_at, sequence.wrapping_add(1));
    }

    /// Copies what is left, in one pass that never waits.
    pub(crate) fn read<const N: usize>(&self) -> RingCopy<N> {
        let recorded = self.cursor.load(self.cursor_at);
        fence_acquire();
        let mut copy = RingCopy {
            recorded,
            is_recording: self.slots.load(self.slot(recorded)) == recorded.wrapping_mul(2).wrapping_add(1),
            events: Vec::new(),
        };
        for sequence in recorded.saturating_sub(self.capacity)..recorded {
            self.copy_event(sequence, &mut copy);
        }
        // One past the cursor: a thread that died between the last word of an event and the cursor has recorded it. By the
        // stamp and not by what can be copied: the event may have been overwritten since, and a count that one look has
        // given must not be smaller in the next.
        let whole = recorded.wrapping_mul(2).wrapping_add(2);
        if self.slots.load(self.slot(recorded)) >= whole {
            copy.recorded = recorded.wrapping_add(1);
            self.copy_event(recorded, &mut copy);
        }
        copy
    }

    fn copy_event<const N: usize>(&self, sequence: u64, copy: &mut RingCopy<N>) {
        if let Slot::Whole(words) = read_slot::<N>(self.slots, self.slot(sequence), sequence) {
            copy.events.push((sequence, words));
        }
    }
}

#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::sync::model::Cells;

    /// Records `count` events into a ring of `capacity` while another thread reads it.
    ///
    /// The writer is the first thread on purpose, as in the model of the histogram.
    fn explore(capacity: u64, count: u64, check: fn(u64, &RingCopy<2>)) {
        loom::model(move || {
            let (cursor, slots) = (Cells::new(1), Cells::new(capacity as usize * 2));
            let (reader_cursor, reader_slots) = (cursor.clone(), slots.clone());
            let thread = loom::thread::spawn(move || {
                let copy = ring(&reader_cursor, &reader_slots, capacity).read::<2>();
                check(capacity, &copy);
                for (sequence, words) in &copy.events {
                    assert_eq!(words[1], 10 + sequence, "torn or of another event");
                }
                assert!(copy.events.is_sorted_by(|a, b| a.0 < b.0));
                assert!(copy.events.len() as u64 <= copy.recorded);
            });
            let writer = ring(&cursor, &slots, capacity);
            (0..count).for_each(|sequence| writer.record(sequence, &[0, 10 + sequence]));
            thread.join().unwrap();
            let copy = writer.read::<2>();
            assert_eq!((copy.recorded, copy.is_recording), (count, false));
            assert_eq!(copy.events.len() as u64, count.min(capacity));
        });
    }

    fn ring<'a>(cursor: &'a Cells, slots: &'a Cells, capacity: u64) -> Ring<'a, Cells> {
        Ring {
            cursor,
            cursor_at: 0,
            slots,
            stride: 2,
            capacity,
        }
    }

    /// Nothing is overwritten: every event below the cursor is there, so the cursor never runs ahead of the events.
    #[test]
    fn an_event_below_the_cursor_is_there() {
        explore(2, 2, |_, copy| {
            assert_eq!(copy.events.len() as u64, copy.recorded, "missing below the cursor");
        });
    }

    /// Each event overwrites the one before: what is handed out is whole.
    #[test]
    fn an_event_that_is_handed_out_is_whole() {
        explore(1, 3, |capacity, copy| {
            assert!(copy.events.len() as u64 <= capacity + 1);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::{Block, Memory};

    fn block(words: usize) -> Block {
        Arc::new(Memory::heap(words))
            .block(0, words)
            .expect("as many words as it has")
    }

    /// A reader that is slow between the cursor and the slots meets this: the cursor of then, the slots of now.
    #[test]
    fn an_event_above_the_cursor_counts_also_when_it_is_overwritten_meanwhile() {
        let (cursor, slots) = (block(1), block(8 * 2));
        let ring = Ring {
            cursor: &cursor,
            cursor_at: 0,
            slots: &slots,
            stride: 2,
            capacity: 8,
        };
        (0..21).for_each(|sequence| ring.record::<2>(sequence, &[0, sequence]));
        for (seen, recorded) in [(21, 21), (20, 21), (13, 14), (12, 13)] {
            cursor.store(0, seen);
            assert_eq!(ring.read::<2>().recorded, recorded, "the cursor at {seen}");
        }
    }
}
