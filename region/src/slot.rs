//! One slot of the ring: a stamp and words, written by one thread while any number read.
//!
//! The stamp is odd while a signal is being written and even once it is whole (drawn in [`signal`](crate::signal)). A
//! reader copies between two looks at it.

use crate::sync::{Words, fence_acquire, fence_release};

/// Writes signal `sequence` into the slot whose first word is `first`.
#[inline(always)]
pub(crate) fn write_slot<const N: usize>(words: &impl Words, first: usize, sequence: u64, signal: &[u64; N]) {
    let done = sequence.wrapping_mul(2).wrapping_add(2);
    words.store(first, done - 1);
    // Release: pairs with the acquire fence before a reader's second look at the stamp. Whoever has seen a word of this
    // signal sees there that the slot is being written, or later.
    fence_release();
    for (i, word) in signal.iter().enumerate().skip(1) {
        words.store(first + i, *word);
    }
    // Release: pairs with the acquire fence after a reader's first look. Whoever sees this stamp sees the words above.
    words.store_release(first, done);
}

/// What was found where signal `sequence` lies or will lie.
pub(crate) enum Slot<const N: usize> {
    NotYet,
    /// All words of one signal; the first is its stamp.
    Whole([u64; N]),
    /// A later signal has taken the slot. At least this many had been published by then.
    Overwritten {
        published_least: u64,
    },
}

#[inline(always)]
pub(crate) fn read_slot<const N: usize>(words: &impl Words, first: usize, sequence: u64) -> Slot<N> {
    let whole = sequence.wrapping_mul(2).wrapping_add(2);
    let before = words.load(first);
    if before < whole {
        return Slot::NotYet;
    }
    if before == whole {
        fence_acquire();
        let mut copy = [0; N];
        for (i, word) in copy.iter_mut().enumerate().skip(1) {
            *word = words.load(first + i);
        }
        fence_acquire();
        let after = words.load(first);
        if after == whole {
            return Slot::Whole(copy);
        }
        return Slot::Overwritten {
            published_least: after / 2,
        };
    }
    // Odd, 2m + 1: m signals are whole. Even, 2m + 2: m + 1 are.
    Slot::Overwritten {
        published_least: before / 2,
    }
}

#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::sync::model::Cells;

    /// One slot that two signals take in turn, against a reader that wants the first: whole, or not at all.
    #[test]
    fn a_signal_that_is_handed_out_is_whole() {
        loom::model(|| {
            let slot = Cells::new(3);
            let reader = slot.clone();
            let thread = loom::thread::spawn(move || match read_slot::<3>(&reader, 0, 0) {
                Slot::Whole(words) => assert_eq!(words[1..], [10, 11]),
                Slot::Overwritten { published_least } => assert!((1..=2).contains(&published_least)),
                Slot::NotYet => {}
            });
            write_slot(&slot, 0, 0, &[0, 10, 11]);
            write_slot(&slot, 0, 1, &[0, 20, 21]);
            thread.join().unwrap();
            assert!(matches!(read_slot::<3>(&slot, 0, 1), Slot::Whole([_, 20, 21])));
            assert!(matches!(read_slot::<3>(&slot, 0, 2), Slot::NotYet));
        });
    }
}
