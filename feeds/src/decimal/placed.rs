//! A whole number whose place in a text is known: no search for its end, and so nothing to wait for.

use super::{POWERS_OF_TEN, eight_digits, load, low_bytes};

/// Where a number of 1 to 16 digits stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PlacedU64 {
    /// Sixteen bytes from here on end with its last digit.
    at: usize,
    /// The bytes of the number in either word of those sixteen.
    high_bytes: u64,
    low_bytes: u64,
    /// A longer number does not start with zero.
    least: u64,
}

impl PlacedU64 {
    /// The number whose digits are `start..end`. `None` where it has more than 16 or none, or stands too near to the
    /// start of the text.
    pub(crate) fn new(start: usize, end: usize) -> Option<Self> {
        let digits = end.checked_sub(start).filter(|digits| (1..=16).contains(digits))?;
        Some(Self {
            at: end.checked_sub(16)?,
            high_bytes: !low_bytes(16 - (digits as u32).max(8)),
            low_bytes: !low_bytes(8 - (digits as u32).min(8)),
            least: if digits > 1 { POWERS_OF_TEN[digits - 1] } else { 0 },
        })
    }

    /// The value, which has no meaning unless all of it is digits; `None` for a leading zero or outside of `text`.
    #[inline(always)]
    pub(crate) fn read(&self, text: &[u8]) -> Option<u64> {
        let text = text.get(self.at..)?;
        let (high, low) = (load(text, 0)? & self.high_bytes, load(text, 8)? & self.low_bytes);
        let value = eight_digits(high) * 100_000_000 + eight_digits(low);
        (value >= self.least).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_search_reads() {
        for digits in 1..=16_u32 {
            let least = if digits == 1 { 0 } else { 10_u64.pow(digits - 1) };
            for value in [
                least,
                least + 1,
                10_u64.pow(digits) - 1,
                1_234_567_890_123_456 % 10_u64.pow(digits),
            ] {
                let text = format!(
                    "{{\"e\":\"depthUpdate\",\"E\":{value:0width$},\"s\"",
                    width = digits as usize
                );
                let (start, end) = (23, 23 + digits as usize);
                let expected = super::super::scan_u64(&text.as_bytes()[start..]).map(|(value, _)| value);
                let placed = PlacedU64::new(start, end).unwrap();
                assert_eq!(placed.read(text.as_bytes()), expected, "{text}");
                assert_eq!(placed.read(&text.as_bytes()[..end - 1]), None, "cut off: {text}");
            }
        }
    }

    #[test]
    fn a_place_has_a_number_of_one_to_sixteen_digits_behind_sixteen_bytes() {
        assert!(PlacedU64::new(20, 20).is_none());
        assert!(PlacedU64::new(21, 20).is_none());
        assert!(PlacedU64::new(20, 37).is_none());
        assert!(PlacedU64::new(10, 15).is_none());
        assert!(PlacedU64::new(10, 16).is_some());
    }
}
