//! Levels read with sixteen bytes at a time, on processors with SSSE3: every x86-64 server since 2008.
//!
//! A number of a known shape (so many digits before the point, so many behind it) is read by looking up what the shape
//! says of each byte: a template to take off, the most that may be left (nine for a digit, nothing for the point or for
//! a zero beyond the scale), and where each digit goes in a word of sixteen that ends with the last decimal of the
//! scale. One comparison proves all bytes, one shuffle drops the point and pads the zeros, and three multiplications
//! with sums turn digits into the mantissa, of the price and of the quantity together.
//!
//! The prices of a message nearly all have the same number of digits, so their shape is the last one: a bet that costs
//! no waiting. Quantities have the same number of decimals but not of digits before the point; that count is looked for
//! in the bytes and picks the shape from a table, which costs a few cycles and cannot be guessed wrong by the processor.

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_madd_epi16, _mm_maddubs_epi16, _mm_movemask_epi8, _mm_or_si128,
    _mm_packs_epi32, _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_setzero_si128,
    _mm_shuffle_epi8, _mm_subs_epu8, _mm_unpackhi_epi64, _mm_xor_si128,
};

use crate::decimal::Scaler;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side};
use crate::venue::message::Scalers;

use super::LevelText;

/// Why reading stopped.
pub(super) enum Stop<'a> {
    /// All levels are read; what is left behind the closing bracket.
    Last(&'a [u8]),
    /// A level is not of the shapes that are known. Its price starts the text.
    Surprise(&'a [u8]),
}

/// What a number of so many digits before and behind the point looks like. A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Shape {
    /// What is taken off each byte, by exclusive or.
    template: [u8; 16],
    /// The most that may be left of each byte.
    most: [u8; 16],
    /// Which byte is the digit at each place of sixteen; [`NO_DIGIT`] for a zero.
    digits: [u8; 16],
    /// The least mantissa: a number with more than one digit before the point does not start with zero.
    least: u64,
    /// Length of the text.
    len: usize,
}

impl Shape {
    /// No text has this shape.
    const NONE: Self = Self {
        template: [0; 16],
        most: [0; 16],
        digits: [NO_DIGIT; 16],
        least: u64::MAX,
        len: 0,
    };

    /// The shape of `whole_len` digits, a point and `fraction_len` digits; [`Self::NONE`] if it takes more bytes or
    /// digits than there is room for.
    fn new(whole_len: usize, fraction_len: usize, decimals: usize) -> Self {
        let len = whole_len + 1 + fraction_len;
        let places = whole_len + decimals;
        if whole_len == 0 || fraction_len == 0 || len > TEXT_BYTES || places > 16 {
            return Self::NONE;
        }
        let mut shape = Self {
            template: [0; 16],
            most: [u8::MAX; 16],
            digits: [NO_DIGIT; 16],
            least: 0,
            len,
        };
        shape.template[..len].fill(b'0');
        shape.most[..len].fill(0);
        shape.template[whole_len] = b'.';
        let kept = fraction_len.min(decimals);
        let whole = 0..whole_len;
        let fraction = whole_len + 1..whole_len + 1 + kept;
        for (place, byte) in (16 - places..).zip(whole.chain(fraction)) {
            shape.most[byte] = 9;
            shape.digits[place] = byte as u8;
        }
        if whole_len > 1 {
            shape.least = 10_u64.pow((places - 1) as u32);
        }
        shape
    }
}

/// The shapes that the numbers of one instrument have had, by digits before the point.
#[derive(Clone, Debug)]
struct Shapes {
    decimals: usize,
    by_whole_len: [Shape; 16],
    /// Digits before the point of the last number that was a surprise, and its length from the point on.
    whole_len: usize,
    tail_len: usize,
}

impl Shapes {
    fn new(scaler: Scaler) -> Self {
        Self {
            decimals: usize::from(scaler.decimals()),
            by_whole_len: [Shape::NONE; 16],
            whole_len: 0,
            tail_len: 0,
        }
    }

    /// From here on, numbers with as many digits before the point as the one that `text` starts with have its shape.
    fn learn(&mut self, text: &[u8]) {
        let run = |text: &[u8]| text.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        let whole_len = run(text);
        let fraction_len = text.get(whole_len + 1..).map_or(0, run);
        if let Some(shape) = self.by_whole_len.get_mut(whole_len) {
            *shape = Shape::new(whole_len, fraction_len, self.decimals);
            self.whole_len = whole_len;
            self.tail_len = 1 + fraction_len;
        }
    }
}

/// The shapes that the levels of one instrument have had.
#[derive(Clone, Debug)]
pub(super) struct LevelShapes {
    price: Shapes,
    qty: Shapes,
}

impl LevelShapes {
    /// Knows no shape yet; `None` where the processor cannot shuffle.
    pub(super) fn new(scalers: Scalers) -> Option<Self> {
        std::arch::is_x86_feature_detected!("ssse3").then(|| Self {
            price: Shapes::new(scalers.price),
            qty: Shapes::new(scalers.qty),
        })
    }

    /// Takes the shapes of the level whose price `level` starts with.
    #[inline(never)]
    pub(super) fn learn<T: LevelText>(&mut self, level: &[u8]) {
        self.price.learn(level);
        if let Some(at) = level.iter().take(32).position(|byte| *byte == T::BETWEEN[0])
            && let Some(qty) = level.get(at + T::BETWEEN.len()..)
        {
            self.qty.learn(qty);
        }
    }

    /// Reads levels and appends them to `changes` for as long as they have known shapes. `rest` starts with a price.
    #[expect(
        unsafe_code,
        reason = "a safe function may need a processor feature; `new` has proven it"
    )]
    #[inline(always)]
    pub(super) fn read<'a, T: LevelText>(
        &self,
        rest: &'a [u8],
        side: Side,
        changes: &mut Vec<LevelChange>,
    ) -> Stop<'a> {
        let mut near_end = rest;
        // Most messages with one level have no window: not worth a call.
        if rest.len() >= WINDOW_BYTES {
            // SAFETY: `new` gave a `LevelShapes` only because the processor has SSSE3.
            match unsafe { self.read_shuffled::<T, false>(rest, side, changes) } {
                Stop::Surprise(left) if left.len() < WINDOW_BYTES => near_end = left,
                stop => return stop,
            }
        }
        // SAFETY: as above.
        unsafe { self.read_shuffled::<T, true>(near_end, side, changes) }
    }

    /// Made twice: with a window for each level, in which no access needs a check, up to the first level without one;
    /// and for what is left near the end of a frame, which is all of a message with one level.
    #[target_feature(enable = "ssse3")]
    fn read_shuffled<'a, T: LevelText, const NEAR_END: bool>(
        &self,
        mut rest: &'a [u8],
        side: Side,
        changes: &mut Vec<LevelChange>,
    ) -> Stop<'a> {
        const { assert!(3 * TEXT_BYTES + T::BETWEEN.len() + T::NEXT.len() <= WINDOW_BYTES) };
        const { assert!(T::LAST.len() <= T::NEXT.len()) };
        let price_shape = &self.price.by_whole_len[self.price.whole_len & 15];
        loop {
            let text = match rest.first_chunk::<WINDOW_BYTES>() {
                _ if NEAR_END => rest,
                Some(window) => window,
                None => return Stop::Surprise(rest),
            };
            let qty_at = (price_shape.len & TEXT_BYTES) + T::BETWEEN.len();
            let (Some(price_text), Some(qty_text)) = (load::<NEAR_END>(text, 0), load::<NEAR_END>(text, qty_at)) else {
                return Stop::Surprise(rest);
            };
            let qty_whole_len = whole_len(qty_text) & 15;
            let qty_shape = &self.qty.by_whole_len[qty_whole_len];
            // Not the shape's length: the next level waits for this sum, and not for the table.
            let qty_len = qty_whole_len + (self.qty.tail_len & 15);
            let end = qty_at + qty_len;

            let price_left = _mm_xor_si128(price_text, vector(&price_shape.template));
            let qty_left = _mm_xor_si128(qty_text, vector(&qty_shape.template));
            let too_much = _mm_or_si128(
                _mm_subs_epu8(price_left, vector(&price_shape.most)),
                _mm_subs_epu8(qty_left, vector(&qty_shape.most)),
            );
            let all_fit = _mm_movemask_epi8(_mm_cmpeq_epi8(too_much, _mm_setzero_si128())) == 0xffff;
            let (price, qty) = mantissas(
                _mm_shuffle_epi8(price_left, vector(&price_shape.digits)),
                _mm_shuffle_epi8(qty_left, vector(&qty_shape.digits)),
            );
            let stands = |at: usize, literal: &[u8]| text.get(at..at + literal.len()) == Some(literal);
            if !all_fit
                || qty_len != qty_shape.len
                || price < price_shape.least
                || qty < qty_shape.least
                || !stands(qty_at - T::BETWEEN.len(), T::BETWEEN)
            {
                return Stop::Surprise(rest);
            }
            let is_last = !stands(end, T::NEXT);
            if is_last && !stands(end, T::LAST) {
                return Stop::Surprise(rest);
            }
            changes.push(LevelChange {
                side,
                price: Price(price as i64),
                qty: Qty(qty as i64),
            });
            if is_last {
                return Stop::Last(&rest[end + T::LAST.len()..]);
            }
            rest = &rest[end + T::NEXT.len()..];
        }
    }
}

/// How many bytes stand before the first point; some number below 32 where there is none.
#[inline]
#[target_feature(enable = "ssse3")]
fn whole_len(text: __m128i) -> usize {
    let points = _mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(b'.' as i8)));
    (points as u32 | 1 << 16).trailing_zeros() as usize
}

/// The numbers of sixteen digits each.
#[inline]
#[target_feature(enable = "ssse3")]
fn mantissas(first: __m128i, second: __m128i) -> (u64, u64) {
    // Two, then four digits to a number; no sum leaves its 16 signed bits.
    let twos = |digits| _mm_maddubs_epi16(digits, _mm_set1_epi16(10 | 1 << 8));
    let fours = |digits| _mm_madd_epi16(twos(digits), _mm_set1_epi32(100 | 1 << 16));
    let fours = _mm_packs_epi32(fours(first), fours(second));
    let eights = _mm_madd_epi16(fours, _mm_set1_epi32(10_000 | 1 << 16));
    let sixteen = |eights: i64| (eights as u64 & 0xffff_ffff) * 100_000_000 + (eights as u64 >> 32);
    (
        sixteen(_mm_cvtsi128_si64(eights)),
        sixteen(_mm_cvtsi128_si64(_mm_unpackhi_epi64(eights, eights))),
    )
}

/// Sixteen bytes at `at`. Near the end, those that `text` does not have are zeros, which no number has; `None` where
/// `text` ends before `at`, or is shorter than a vector.
#[inline]
#[target_feature(enable = "ssse3")]
fn load<const NEAR_END: bool>(text: &[u8], at: usize) -> Option<__m128i> {
    if !NEAR_END {
        return Some(vector(text[at..at + 16].first_chunk()?));
    }
    let last_at = text.len().checked_sub(16)?;
    let from = at.min(last_at);
    let shift = SHIFTS.get(at - from..)?.first_chunk()?;
    Some(_mm_shuffle_epi8(vector(text[from..].first_chunk()?), vector(shift)))
}

#[inline]
#[target_feature(enable = "ssse3")]
fn vector(bytes: &[u8; 16]) -> __m128i {
    let bytes = u128::from_le_bytes(*bytes);
    _mm_set_epi64x((bytes >> 64) as i64, bytes as i64)
}

/// The shuffle's index that gives zero.
const NO_DIGIT: u8 = 0x80;

/// Indices of a shuffle that moves bytes down, by as many places as are skipped here, and zeros in behind them.
const SHIFTS: [u8; 32] = {
    let mut shifts = [NO_DIGIT; 32];
    let mut at = 0;
    while at < 16 {
        shifts[at] = at as u8;
        at += 1;
    }
    shifts
};

/// The longest text of a number. One less than a vector, so that it is a mask too.
const TEXT_BYTES: usize = 15;

/// The longest level, with what stands around its numbers.
const WINDOW_BYTES: usize = 64;
