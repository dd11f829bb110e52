//! OKX's checksum, for archives: CRC32 over the text of the 25 best levels.
//!
//! Bids and asks in turns, best first, each as price and quantity, joined by colons; where one side has ended the other
//! goes on alone. The text is the venue's own, without trailing zeros, so it is what a mantissa prints at any scale once
//! its trailing zeros are off. The wire has the result as a signed number.

use std::fmt::Write;

use crate::book::{Book, Level};
use crate::decimal::display;
use crate::types::{Scale, Side};

/// Computes checksums and keeps the memory for their text.
#[derive(Debug)]
pub(super) struct Checksum {
    text: String,
}

impl Checksum {
    pub(super) fn new() -> Self {
        Self {
            text: String::with_capacity(2 * LEVELS * 2 * NUMBER_BYTES_MAX),
        }
    }

    /// The checksum of `book`, whose mantissas are at `scale`.
    pub(super) fn of(&mut self, book: &Book, scale: Scale) -> u32 {
        let mut levels = [[Level::default(); LEVELS]; 2];
        let counts = [book.top(Side::Bid, &mut levels[0]), book.top(Side::Ask, &mut levels[1])];
        self.text.clear();
        for rank in 0..LEVELS {
            for (side, count) in levels.iter().zip(counts) {
                if rank < count {
                    self.push(side[rank].price.0, scale.price);
                    self.push(side[rank].qty.0, scale.qty);
                }
            }
        }
        self.text.pop();
        crc32fast::hash(self.text.as_bytes())
    }

    /// A number without trailing zeros, and a colon.
    fn push(&mut self, mantissa: i64, decimals: u8) {
        let _ = write!(self.text, "{}", display(mantissa, decimals));
        if decimals > 0 {
            let significant = self.text.trim_end_matches('0').trim_end_matches('.').len();
            self.text.truncate(significant);
        }
        self.text.push(':');
    }
}

/// How many levels of each side it covers.
const LEVELS: usize = 25;

/// Nineteen digits, a point, a zero before it, a colon.
const NUMBER_BYTES_MAX: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Price, Qty};

    #[test]
    fn sides_take_turns_and_numbers_lose_their_trailing_zeros() {
        let mut book = Book::new();
        for (side, price, qty) in [
            (Side::Bid, 336_680, 700),
            (Side::Bid, 336_600, 10_050),
            (Side::Ask, 336_690, 2_100),
        ] {
            book.set(side, Price(price), Qty(qty));
        }
        let mut checksum = Checksum::new();
        let scale = Scale { price: 2, qty: 2 };
        let expected = crc32fast::hash(b"3366.8:7:3366.9:21:3366:100.5");
        assert_eq!(checksum.of(&book, scale), expected);
        assert_eq!(checksum.of(&Book::new(), scale), crc32fast::hash(b""));
        // Whole numbers keep theirs.
        let whole = Scale { price: 0, qty: 0 };
        let expected = crc32fast::hash(b"336680:700:336690:2100:336600:10050");
        assert_eq!(checksum.of(&book, whole), expected);
    }

    #[test]
    fn covers_the_twenty_five_best_levels_of_both_sides() {
        let mut book = Book::new();
        for rank in 0..40 {
            book.set(Side::Bid, Price(1_000 - rank), Qty(1));
            book.set(Side::Ask, Price(1_001 + rank), Qty(1));
        }
        let mut checksum = Checksum::new();
        let scale = Scale { price: 1, qty: 3 };
        for rank in 0..40 {
            let before = checksum.of(&book, scale);
            book.set(Side::Bid, Price(1_000 - rank), Qty(2));
            book.set(Side::Ask, Price(1_001 + rank), Qty(3));
            assert_eq!(checksum.of(&book, scale) == before, rank >= 25, "level {rank}");
        }
    }
}
