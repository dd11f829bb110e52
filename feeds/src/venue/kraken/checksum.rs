//! Kraken's checksum: CRC32 over the digits of the ten best levels.
//!
//! Asks ascending, then bids descending, each level as price then quantity, the point taken out and leading zeros taken
//! off. A mantissa at the number of decimals that the wire prints *is* that text, so no number is formatted twice and no
//! float is near: through a float not one checksum of a recorded session holds.

use crate::book::{Book, Level};
use crate::types::Side;

/// How many levels of each side it covers.
pub(super) const LEVELS: usize = 10;

/// Computes checksums and remembers the last: most messages change nothing among the ten best.
#[derive(Debug, Default)]
pub(super) struct Checksum {
    levels: [[Level; LEVELS]; 2],
    counts: [usize; 2],
    value: Option<u32>,
}

impl Checksum {
    /// The checksum of `book`.
    #[inline]
    pub(super) fn of(&mut self, book: &Book) -> u32 {
        let mut levels = [[Level::default(); LEVELS]; 2];
        let counts = [book.top(Side::Ask, &mut levels[0]), book.top(Side::Bid, &mut levels[1])];
        match self.value {
            Some(value) if levels == self.levels && counts == self.counts => value,
            _ => {
                let value = crc32(&levels, counts);
                *self = Self {
                    levels,
                    counts,
                    value: Some(value),
                };
                value
            }
        }
    }
}

fn crc32(levels: &[[Level; LEVELS]; 2], counts: [usize; 2]) -> u32 {
    /// The most digits that a positive `i64` has, twice per level.
    const TEXT_BYTES: usize = 2 * LEVELS * 2 * 19;
    let mut text = [0; TEXT_BYTES];
    let mut len = 0;
    let mut digits = itoa::Buffer::new();
    for (side, count) in levels.iter().zip(counts) {
        for level in &side[..count] {
            for mantissa in [level.price.0, level.qty.0] {
                let token = digits.format(mantissa.unsigned_abs() & i64::MAX as u64).as_bytes();
                text[len..len + token.len()].copy_from_slice(token);
                len += token.len();
            }
        }
    }
    crc32fast::hash(&text[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::display;
    use crate::types::{Price, Qty};

    /// The venue's rule word by word, over the printed numbers, with CRC32 one bit at a time.
    fn judge(asks: &[(i64, i64)], bids: &[(i64, i64)]) -> u32 {
        let mut text = String::new();
        for (price, qty) in asks.iter().take(10).chain(bids.iter().take(10)) {
            for printed in [display(*price, 1).to_string(), display(*qty, 8).to_string()] {
                text.push_str(printed.replace('.', "").trim_start_matches('0'));
            }
        }
        let mut crc = u32::MAX;
        for byte in text.bytes() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        !crc
    }

    #[test]
    fn covers_the_ten_best_of_both_sides_and_follows_each_change() {
        let mut asks: Vec<(i64, i64)> = (0..12).map(|n| (630_050 + n * 3, 5_100 + n * 7_777_777)).collect();
        let bids: Vec<(i64, i64)> = (0..4).map(|n| (630_049 - n, 207_265_551 - n)).collect();
        let mut book = Book::new();
        let mut checksum = Checksum::default();
        assert_eq!(checksum.of(&book), judge(&[], &[]));
        for (side, levels) in [(Side::Ask, &asks), (Side::Bid, &bids)] {
            for &(price, qty) in levels {
                book.set(side, Price(price), Qty(qty));
            }
        }
        assert_eq!(checksum.of(&book), judge(&asks, &bids));
        assert_eq!(checksum.of(&book), judge(&asks, &bids), "remembered");
        for changed in 0..12 {
            let before = checksum.of(&book);
            asks[changed].1 += 1;
            book.set(Side::Ask, Price(asks[changed].0), Qty(asks[changed].1));
            assert_eq!(checksum.of(&book), judge(&asks, &bids), "level {changed}");
            assert_eq!(
                checksum.of(&book) == before,
                changed >= 10,
                "blind below the tenth level only"
            );
        }
        book.truncate(Side::Ask, 3);
        assert_eq!(checksum.of(&book), judge(&asks[..3], &bids));
    }
}
