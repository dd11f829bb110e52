//! Decimal text to fixed point, without a float.
//!
//! A price such as `61737.63000000` becomes the mantissa `6173763` of a scale with two decimals. The rule is exact: a
//! digit that the scale cannot hold is [`DecimalError::FinerThanScale`] unless it is zero, a value that an `i64` cannot
//! hold is [`DecimalError::OutOfRange`], and nothing is ever rounded.
//!
//! This is the heart of a feed's parser. Venues send 5 to 20 bytes per number, so a [`Scaler`] reads the digits before
//! the point and those after it as one machine word each and turns eight digits into a number with a few multiplications
//! (SIMD within a register). What does not fit that shape goes through a byte loop with the same rules.

mod placed;
mod shaped;

use std::fmt;

use crate::types::Scale;

pub(crate) use placed::PlacedU64;
pub(crate) use shaped::ShapedScaler;

/// Why a text is not a number of the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point between them: a sign, an exponent, a leading zero, a letter, nothing at all.
    #[error("not a plain decimal number")]
    NotDecimal,
    /// A digit that is not zero lies beyond the decimals of the scale.
    #[error("more decimals than the scale holds")]
    FinerThanScale,
    /// The mantissa does not fit an `i64`.
    #[error("number too large for 64 bits at this scale")]
    OutOfRange,
}

/// How many decimals one number on the wire has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimals {
    /// Digits after the point as printed.
    pub wire: u8,
    /// Digits after the point up to the last that is not zero.
    pub significant: u8,
}

impl Decimals {
    /// The larger of both counts: what a set of numbers needs.
    pub fn max(self, other: Self) -> Self {
        Self {
            wire: self.wire.max(other.wire),
            significant: self.significant.max(other.significant),
        }
    }
}

/// Reads numbers at one number of decimals. Made once per instrument; small enough to be passed by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaler {
    decimals: u8,
    /// The bytes of a fraction's word that lie beyond the decimals.
    finer_bytes: u64,
    /// Moves the decimals of a fraction's word to its high bytes, which are the low digits.
    fraction_shift: u32,
    /// `10^decimals`.
    one: u64,
}

impl Scaler {
    /// A reader for `decimals` decimals; `None` above [`Scale::MAX_DECIMALS`].
    pub const fn new(decimals: u8) -> Option<Self> {
        if decimals > Scale::MAX_DECIMALS {
            return None;
        }
        let held = if decimals < WORD_DIGITS {
            decimals as u32
        } else {
            WORD_DIGITS as u32
        };
        Some(Self {
            decimals,
            finer_bytes: !low_bytes(held),
            // Without decimals every byte is finer, so what the shift does to them does not matter.
            fraction_shift: (64 - 8 * held) & 63,
            one: POWERS_OF_TEN[decimals as usize],
        })
    }

    /// How many decimals its mantissas carry.
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// Reads the number at the start of `bytes` and returns its mantissa and how many bytes it took. What follows the
    /// number is the caller's business.
    ///
    /// # Errors
    /// As [`DecimalError`] says.
    #[inline(always)]
    pub fn scan(self, bytes: &[u8]) -> Result<(i64, usize), DecimalError> {
        // The common shape: 1 to 7 digits, a point, 1 to 8 digits, and a word to read at either place.
        if let Some(whole) = load(bytes, 0) {
            // An eighth digit would take the place of the point and be refused there.
            let whole_bits = (not_digits(whole) | 1 << 63).trailing_zeros() & !7;
            let whole_len = (whole_bits / 8) as usize;
            let point = (whole >> whole_bits) & 0xff == POINT;
            let leading_zero = whole & 0xff == 0 && whole_len > 1;
            if point
                && whole_len > 0
                && !leading_zero
                && self.decimals <= WORD_DIGITS
                && let Some(fraction) = load(bytes, whole_len + 1)
            {
                let fraction_end = not_digits(fraction);
                let (fraction_len, fraction) = match fraction_end {
                    0 => (8, fraction),
                    _ => {
                        let before_end = (fraction_end & fraction_end.wrapping_neg()) / 0x80 - 1;
                        ((fraction_end.trailing_zeros() / 8) as usize, fraction & before_end)
                    }
                };
                let end = whole_len + 1 + fraction_len;
                let more = fraction_len == 8 && bytes.get(end).is_some_and(u8::is_ascii_digit);
                if fraction_len != 0 && !more {
                    if fraction & self.finer_bytes != 0 {
                        return Err(DecimalError::FinerThanScale);
                    }
                    let whole = whole << ((64 - whole_bits) & 63);
                    let fraction = fraction << self.fraction_shift;
                    return Ok((self.join(whole, whole_len, fraction), end));
                }
            }
        }
        self.scan_bytes(bytes)
    }

    /// The mantissa of `whole_len` digits before the point and of the decimals, each in the high bytes of its word, as
    /// digit values with zeros below.
    ///
    /// The first digit is the lowest byte of a word, so zeros in the low bytes are leading zeros, and decimals that the
    /// wire left out are zero bytes above, which are zero digits: no branch on how many there were.
    #[inline(always)]
    fn join(self, whole: u64, whole_len: usize, fraction: u64) -> i64 {
        if whole_len + usize::from(self.decimals) <= usize::from(WORD_DIGITS) {
            // Both parts fit one word: half the multiplications.
            return eight_digits(whole >> (8 * u32::from(self.decimals)) | fraction) as i64;
        }
        // Below 10^7 * 10^8 + 10^8, so it fits.
        (eight_digits(whole) * self.one + eight_digits(fraction)) as i64
    }

    /// The same rules, byte by byte: long numbers, whole numbers, numbers at the very end of a buffer.
    #[cold]
    #[inline(never)]
    fn scan_bytes(self, bytes: &[u8]) -> Result<(i64, usize), DecimalError> {
        let (whole_len, fraction_len) = shape(bytes)?;
        let whole = &bytes[..whole_len];
        let fraction = if fraction_len == 0 {
            &[][..]
        } else {
            &bytes[whole_len + 1..whole_len + 1 + fraction_len]
        };
        let held = fraction.len().min(usize::from(self.decimals));
        if fraction[held..].iter().any(|&digit| digit != b'0') {
            return Err(DecimalError::FinerThanScale);
        }
        let mut mantissa: i64 = 0;
        for &digit in whole.iter().chain(&fraction[..held]) {
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|shifted| shifted.checked_add(i64::from(digit - b'0')))
                .ok_or(DecimalError::OutOfRange)?;
        }
        let absent = usize::from(self.decimals) - held;
        let mantissa = mantissa
            .checked_mul(POWERS_OF_TEN[absent] as i64)
            .ok_or(DecimalError::OutOfRange)?;
        Ok((
            mantissa,
            whole_len + if fraction_len == 0 { 0 } else { 1 + fraction_len },
        ))
    }
}

/// Reads the whole of `text` as a number with `decimals` decimals.
///
/// # Errors
/// As [`DecimalError`] says; a scale above [`Scale::MAX_DECIMALS`] is [`DecimalError::OutOfRange`].
pub fn parse(text: &[u8], decimals: u8) -> Result<i64, DecimalError> {
    let scaler = Scaler::new(decimals).ok_or(DecimalError::OutOfRange)?;
    match scaler.scan(text) {
        Ok((mantissa, len)) if len == text.len() => Ok(mantissa),
        Ok(_) => Err(DecimalError::NotDecimal),
        // What follows the number may be worse than the number.
        Err(error) => self::decimals(text).and(Err(error)),
    }
}

/// Counts the decimals of `text`, the whole of which must be a number. Counts above 255 are given as 255.
///
/// # Errors
/// [`DecimalError::NotDecimal`].
pub fn decimals(text: &[u8]) -> Result<Decimals, DecimalError> {
    let (whole_len, fraction_len) = shape(text)?;
    if fraction_len == 0 {
        return if whole_len == text.len() {
            Ok(Decimals::default())
        } else {
            Err(DecimalError::NotDecimal)
        };
    }
    let fraction = &text[whole_len + 1..];
    if fraction.len() != fraction_len {
        return Err(DecimalError::NotDecimal);
    }
    let significant = fraction
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(0, |last| last + 1);
    let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    Ok(Decimals {
        wire: count(fraction_len),
        significant: count(significant),
    })
}

/// Reads the whole number at the start of `bytes`: update ids, times, checksums. Returns it and how many bytes it took;
/// `None` where there is none, where it has a leading zero, or where it does not fit.
#[inline(always)]
pub fn scan_u64(bytes: &[u8]) -> Option<(u64, usize)> {
    if let Some(high) = load(bytes, 0) {
        let high_len = digit_run(high);
        let leading_zero = high & 0xff == 0 && high_len > 1;
        if high_len != 0 && !leading_zero {
            let value = eight_digits(high << (64 - 8 * high_len));
            if high_len < 8 {
                return Some((value, high_len));
            }
            if let Some(low) = load(bytes, 8) {
                match digit_run(low) {
                    0 => return Some((value, 8)),
                    8 => {} // 16 digits and perhaps more
                    low_len => {
                        let low = eight_digits(low << (64 - 8 * low_len));
                        return Some((value * POWERS_OF_TEN[low_len] + low, 8 + low_len));
                    }
                }
            }
        }
    }
    scan_u64_bytes(bytes)
}

#[cold]
#[inline(never)]
fn scan_u64_bytes(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || (len > 1 && bytes[0] == b'0') {
        return None;
    }
    let mut value: u64 = 0;
    for &digit in &bytes[..len] {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some((value, len))
}

/// Shows a mantissa as the number it stands for, with all its decimals: `display(6173763, 2)` is `61737.63`.
pub fn display(mantissa: i64, decimals: u8) -> impl fmt::Display {
    Shown {
        mantissa,
        decimals: decimals.min(Scale::MAX_DECIMALS),
    }
}

struct Shown {
    mantissa: i64,
    decimals: u8,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = POWERS_OF_TEN[usize::from(self.decimals)];
        let (magnitude, sign) = (self.mantissa.unsigned_abs(), if self.mantissa < 0 { "-" } else { "" });
        write!(f, "{sign}{}", magnitude / one)?;
        if self.decimals > 0 {
            write!(f, ".{:0width$}", magnitude % one, width = usize::from(self.decimals))?;
        }
        Ok(())
    }
}

/// `10^decimals`; `None` above [`Scale::MAX_DECIMALS`].
pub fn power_of_ten(decimals: u8) -> Option<i64> {
    POWERS_OF_TEN.get(usize::from(decimals)).map(|&power| power as i64)
}

/// How many digits stand before and after the point of the number at the start of `bytes`; no point, no digits after.
fn shape(bytes: &[u8]) -> Result<(usize, usize), DecimalError> {
    let run = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole_len = run(bytes);
    if whole_len == 0 || (whole_len > 1 && bytes[0] == b'0') {
        return Err(DecimalError::NotDecimal);
    }
    if bytes.get(whole_len) != Some(&b'.') {
        return Ok((whole_len, 0));
    }
    match run(&bytes[whole_len + 1..]) {
        0 => Err(DecimalError::NotDecimal),
        fraction_len => Ok((whole_len, fraction_len)),
    }
}

/// Eight bytes at `at` as a little-endian word with `'0'` taken off each: digits become their values.
#[inline(always)]
fn load(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word) ^ 0x3030_3030_3030_3030)
}

/// How many of the low bytes of `word` are digit values, up to the first that is not.
#[inline(always)]
fn digit_run(word: u64) -> usize {
    (not_digits(word).trailing_zeros() / 8) as usize
}

/// The high bit of the first byte that is not a digit value, and perhaps of some behind it; zero if all are.
#[inline(always)]
fn not_digits(word: u64) -> u64 {
    may_not_be_digits(word) & HIGH_BITS
}

/// [`not_digits`] in the high bits, noise below.
#[inline(always)]
fn may_not_be_digits(word: u64) -> u64 {
    // 9 + 0x76 is the largest sum without the high bit. A carry out of a byte above it reaches only bytes that come
    // later in the text, behind the first that is not a digit.
    word.wrapping_add(0x7676_7676_7676_7676) | word
}

const fn low_bytes(count: u32) -> u64 {
    if count >= 8 { u64::MAX } else { (1 << (8 * count)) - 1 }
}

/// The number of eight digit values, the first in the lowest byte: pairs, then fours, then eight.
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// A point with `'0'` taken off, as [`load`] gives it.
const POINT: u64 = (b'.' ^ b'0') as u64;

/// The digits that one word holds.
const WORD_DIGITS: u8 = 8;

const POWERS_OF_TEN: [u64; 19] = {
    let mut powers = [1_u64; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious reading: all digits as one `i128`, then the decimals trimmed or padded one at a time.
    fn judge(text: &str, decimals: u8) -> Result<i64, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError::NotDecimal),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(DecimalError::NotDecimal);
        }
        let mut fraction = fraction.to_owned();
        while fraction.len() > usize::from(decimals) {
            if fraction.pop() != Some('0') {
                return Err(DecimalError::FinerThanScale);
            }
        }
        while fraction.len() < usize::from(decimals) {
            fraction.push('0');
        }
        let all: i128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| DecimalError::OutOfRange)?;
        i64::try_from(all).map_err(|_| DecimalError::OutOfRange)
    }

    #[test]
    fn rows() {
        use DecimalError::{FinerThanScale, NotDecimal, OutOfRange};
        let check = |text: &str, decimals, expected| {
            assert_eq!(parse(text.as_bytes(), decimals), expected, "{text} at {decimals}");
            assert_eq!(judge(text, decimals), expected, "judge of {text} at {decimals}");
        };
        check("61737.63000000", 2, Ok(6_173_763));
        check("61737.63000000", 1, Err(FinerThanScale));
        check("61737.63000000", 8, Ok(6_173_763_000_000));
        check("0.00000000", 0, Ok(0));
        check("0.00000001", 8, Ok(1));
        check("0.000000010", 8, Ok(1));
        check("0.000000011", 8, Err(FinerThanScale));
        check("63004.9", 1, Ok(630_049));
        check("63004.9", 8, Ok(6_300_490_000_000));
        check("63004", 1, Ok(630_040));
        check("12345678.5", 1, Ok(123_456_785));
        check("9223372036854775807", 0, Ok(i64::MAX));
        check("9223372036854775808", 0, Err(OutOfRange));
        check("92233720368547758.07", 2, Ok(i64::MAX));
        check("92233720368547758.08", 2, Err(OutOfRange));
        check("9.2", 18, Ok(9_200_000_000_000_000_000));
        check("9.3", 18, Err(OutOfRange));
        for text in [
            "", ".", "1.", ".5", "-1", "+1", "1e5", "01.5", "00", "1.2.3", " 1", "1 ", "1,5", "NaN", "1.5x", "٣",
        ] {
            check(text, 4, Err(NotDecimal));
        }
    }

    #[test]
    fn a_number_ends_where_its_digits_end() {
        let scaler = Scaler::new(2).unwrap();
        assert_eq!(scaler.scan(b"61737.63000000\",\"0.1\"]"), Ok((6_173_763, 14)));
        assert_eq!(scaler.scan(b"61737.6,"), Ok((6_173_760, 7)));
        assert_eq!(scaler.scan(b"7}"), Ok((700, 1)));
        assert_eq!(scaler.scan(b"0.0100000000000000"), Ok((1, 18)));
    }

    #[test]
    fn decimals_are_counted_as_printed_and_as_significant() {
        let check = |text: &str, wire, significant| {
            assert_eq!(decimals(text.as_bytes()), Ok(Decimals { wire, significant }), "{text}");
        };
        check("61737.63000000", 8, 2);
        check("0.00000000", 8, 0);
        check("63004.9", 1, 1);
        check("63004", 0, 0);
        check("0.00000001", 8, 8);
        assert_eq!(decimals(b"1.5x"), Err(DecimalError::NotDecimal));
        assert_eq!(decimals(b"15x"), Err(DecimalError::NotDecimal));
    }

    #[test]
    fn whole_numbers() {
        let check = |text: &str, expected| assert_eq!(scan_u64(text.as_bytes()), expected, "{text}");
        check("0,", Some((0, 1)));
        check("01,", None);
        check("50093239189,\"u\":50093239202", Some((50_093_239_189, 11)));
        check("12345678,\"u\":1", Some((12_345_678, 8)));
        check("1234567812345678,\"u\":1", Some((1_234_567_812_345_678, 16)));
        check("18446744073709551615", Some((u64::MAX, 20)));
        check("18446744073709551616", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn shown_as_printed() {
        assert_eq!(display(6_173_763, 2).to_string(), "61737.63");
        assert_eq!(display(-5, 3).to_string(), "-0.005");
        assert_eq!(display(7, 0).to_string(), "7");
        assert_eq!(display(i64::MIN, 18).to_string(), "-9.223372036854775808");
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_reading(text in "[0-9]{1,12}(\\.[0-9]{0,12}0{0,4})?", decimals in 0_u8..=18) {
            prop_assert_eq!(parse(text.as_bytes(), decimals), judge(&text, decimals));
        }

        #[test]
        fn agrees_on_any_bytes_of_the_alphabet(text in "[0-9./:e-]{0,24}", decimals in 0_u8..=18, tail in "[\",}x]{0,12}") {
            let expected = judge(&text, decimals);
            prop_assert_eq!(parse(text.as_bytes(), decimals), expected);
            // Whatever follows in the buffer changes nothing, but the judge of a prefix is a prefix.
            if let Ok(mantissa) = expected {
                let longer = format!("{text}{tail}");
                let scanned = Scaler::new(decimals).unwrap().scan(longer.as_bytes());
                prop_assert_eq!(scanned, Ok((mantissa, text.len())));
            }
        }

        #[test]
        fn display_and_parse_are_inverse(mantissa in 0..=i64::MAX, decimals in 0_u8..=18) {
            prop_assert_eq!(parse(display(mantissa, decimals).to_string().as_bytes(), decimals), Ok(mantissa));
        }

        #[test]
        fn whole_numbers_agree_with_the_standard_library(value: u64, tail in "[\",}]{0,12}") {
            let text = format!("{value}{tail}");
            prop_assert_eq!(scan_u64(text.as_bytes()), Some((value, text.len() - tail.len())));
        }
    }
}
