//! A bet on the shape of the next number.
//!
//! Where a number ends says where the next one starts, and computing that is a chain of dependent loads that no processor
//! can overlap. The numbers of a book have nearly all the same number of digits, though. A [`ShapedScaler`] bets that the
//! next number has the shape of the last: one comparison checks the bet, and the loads no longer wait for each other.

use super::{HIGH_BITS, POINT, Scaler, WORD_DIGITS, digit_run, eight_digits, load, low_bytes, may_not_be_digits};

/// A [`Scaler`] that expects the next number to have as many digits before and after the point as the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShapedScaler {
    scaler: Scaler,
    whole_len: usize,
    fraction_len: usize,
    /// The bytes before the point, and the high bit of each.
    whole_bytes: u64,
    whole_marks: u64,
    /// The point, and the byte that it takes, in the word before it.
    point: u64,
    point_byte: u64,
    /// The least first digit: a longer number does not start with zero.
    first_least: u8,
    /// The bytes of the fraction, the high bit of each, and those bytes that must be zero.
    fraction_bytes: u64,
    fraction_marks: u64,
    finer_bytes: u64,
    /// Powers of two that move each part to its place. A multiplication is a shift whose distance may be a variable
    /// without the detour that processors take for one.
    whole_place: u64,
    fraction_place: u64,
    /// Both parts fit one word.
    is_joined: bool,
}

impl ShapedScaler {
    /// Expects `0.0` first.
    pub(crate) fn new(scaler: Scaler) -> Self {
        let mut shaped = Self {
            scaler,
            whole_len: 0,
            fraction_len: 0,
            whole_bytes: 0,
            whole_marks: 0,
            point: 0,
            point_byte: 0,
            first_least: 0,
            fraction_bytes: 0,
            fraction_marks: 0,
            finer_bytes: 0,
            whole_place: 0,
            fraction_place: 0,
            is_joined: false,
        };
        shaped.expect(1, 1);
        shaped
    }

    pub(crate) fn scaler(&self) -> Scaler {
        self.scaler
    }

    /// Reads the number that `rest` starts with and `behind`, which must follow it, and returns the mantissa and what is
    /// left behind both. `None` for any error.
    #[inline(always)]
    pub(crate) fn scan<'a>(&mut self, rest: &'a [u8], behind: &[u8]) -> Option<(i64, &'a [u8])> {
        assert!(behind.len() <= BEHIND_BYTES, "a text of the code's own");
        // One check of the length covers every access below: a number of the expected shape ends within the window.
        // The masks change nothing and let the compiler see that.
        let Some(window) = rest.first_chunk::<WINDOW_BYTES>() else {
            return self.scan_near_end(rest, behind);
        };
        let fraction_at = (self.whole_len & 7) + 1;
        let next = fraction_at + (self.fraction_len & 15);
        match self.expected(load_window(window, 0), load_window(window, fraction_at)) {
            Some(mantissa) if window[next..next + behind.len()] == *behind => {
                Some((mantissa, rest.get(next + behind.len()..)?))
            }
            _ => self.scan_surprise(rest, behind),
        }
    }

    /// The same where a window would reach beyond the frame: the last numbers of each, and most of a short one.
    #[inline]
    fn scan_near_end<'a>(&mut self, rest: &'a [u8], behind: &[u8]) -> Option<(i64, &'a [u8])> {
        let fraction_at = self.whole_len + 1;
        let next = fraction_at + self.fraction_len;
        if let (Some(whole), Some(fraction)) = (load(rest, 0), load(rest, fraction_at))
            && let Some(mantissa) = self.expected(whole, fraction)
            && let Some(rest) = rest.get(next..).and_then(|rest| rest.strip_prefix(behind))
        {
            return Some((mantissa, rest));
        }
        self.scan_surprise(rest, behind)
    }

    /// The mantissa of a number whose words before and behind the point are these, if it has the expected shape.
    #[inline(always)]
    fn expected(&self, whole: u64, fraction: u64) -> Option<i64> {
        // Everything that is not as expected leaves a bit.
        let surprise = (may_not_be_digits(whole) & self.whole_marks)
            | ((whole ^ self.point) & self.point_byte)
            | (may_not_be_digits(fraction) & self.fraction_marks)
            | (fraction & self.finer_bytes);
        if surprise != 0 || (whole as u8) < self.first_least {
            return None;
        }
        let whole = (whole & self.whole_bytes).wrapping_mul(self.whole_place);
        let fraction = (fraction & self.fraction_bytes).wrapping_mul(self.fraction_place);
        let mantissa = match self.is_joined {
            true => eight_digits(whole | fraction),
            false => eight_digits(whole) * self.scaler.one + eight_digits(fraction),
        };
        Some(mantissa as i64)
    }

    /// A number of another shape, which is expected from here on.
    #[inline(never)]
    fn scan_surprise<'a>(&mut self, rest: &'a [u8], behind: &[u8]) -> Option<(i64, &'a [u8])> {
        let (mantissa, len) = self.scaler.scan(rest).ok()?;
        let whole_len = digit_run(load(rest, 0).unwrap_or(0));
        let fraction_len = len.wrapping_sub(whole_len + 1);
        if (1..=7).contains(&whole_len) && (1..=8).contains(&fraction_len) {
            self.expect(whole_len, fraction_len);
        }
        Some((mantissa, rest.get(len..)?.strip_prefix(behind)?))
    }

    /// Prepares for `whole_len` (1 to 7) digits before the point and `fraction_len` (1 to 8) behind it.
    fn expect(&mut self, whole_len: usize, fraction_len: usize) {
        let decimals = usize::from(self.scaler.decimals);
        let digits = whole_len + decimals;
        self.whole_len = whole_len;
        self.fraction_len = fraction_len;
        self.whole_bytes = low_bytes(whole_len as u32);
        self.whole_marks = HIGH_BITS & self.whole_bytes;
        // More decimals than a word holds: no byte is that point, so every number is a surprise.
        self.point = if decimals <= 8 {
            POINT << (8 * whole_len)
        } else {
            u64::MAX
        };
        self.point_byte = 0xff << (8 * whole_len);
        self.first_least = u8::from(whole_len > 1);
        self.fraction_bytes = low_bytes(fraction_len as u32);
        self.fraction_marks = HIGH_BITS & self.fraction_bytes;
        self.finer_bytes = self.scaler.finer_bytes & self.fraction_bytes;
        self.is_joined = digits <= usize::from(WORD_DIGITS);
        self.whole_place = 1 << (64 - 8 * if self.is_joined { digits } else { whole_len });
        self.fraction_place = 1 << self.scaler.fraction_shift;
    }
}

#[inline(always)]
fn load_window(window: &[u8; WINDOW_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&window[at..at + 8]);
    u64::from_le_bytes(word) ^ 0x3030_3030_3030_3030
}

/// The longest number of a [`ShapedScaler`] as its masks see it (7 digits, the point, 15), and what follows it.
const WINDOW_BYTES: usize = 7 + 1 + 15 + BEHIND_BYTES;

/// The longest text that is checked together with a number.
const BEHIND_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bet_on_the_shape_changes_no_result(
            texts in proptest::collection::vec("[0-9]{1,9}(\\.[0-9]{0,6}[0-9]?0{0,4})?x?", 1..12),
            decimals in 0_u8..=18,
        ) {
            let scaler = Scaler::new(decimals).unwrap();
            let mut shaped = ShapedScaler::new(scaler);
            let frame = texts.join("\",") + "\",";
            let mut rest = frame.as_bytes();
            for text in &texts {
                let plain = scaler.scan(rest).ok().and_then(|(m, len)| Some((m, rest[len..].strip_prefix(b"\",")?)));
                prop_assert_eq!(shaped.scan(rest, b"\","), plain, "{} at {}", text, decimals);
                rest = &rest[text.len() + 2..];
            }
        }
    }
}
