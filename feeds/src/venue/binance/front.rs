//! The front of a diff, from its first byte to its first level, compared as a whole.
//!
//! All diffs of an instrument start with the same text around three numbers, and the numbers keep their count of digits
//! for months. A [`DiffFront`] remembers the text and where the numbers stand, so one pass over sixteen bytes at a time
//! proves it all, and no place has to wait until the number before it has ended. It accepts nothing that the scanner
//! would not read in the same way: a front that is not exactly as remembered is the scanner's.

use crate::decimal::PlacedU64;

/// The numbers of a front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrontNumbers {
    /// `E`
    pub(super) event_time_ms: u64,
    /// `U`
    pub(super) first_id: u64,
    /// `u`
    pub(super) last_id: u64,
}

/// What the fronts of one instrument's diffs look like.
#[derive(Clone, Debug, Default)]
pub(super) struct DiffFront {
    bytes: [Bytes; FRONT_BYTES_MAX / 16],
    /// Up to behind the bracket that opens the bids; zero before a front is known.
    len: usize,
    event_time_ms: PlacedU64,
    first_id: PlacedU64,
    last_id: PlacedU64,
    is_wrapped: bool,
}

/// What sixteen bytes may be.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Bytes {
    /// What is taken off each, by exclusive or.
    template: [u8; 16],
    /// The most that may be left: nothing of text, nine of a digit.
    most: [u8; 16],
}

impl DiffFront {
    /// Remembers `front`, which the scanner has read: up to behind the bracket that opens the bids.
    #[cold]
    #[inline(never)]
    pub(super) fn learn(&mut self, front: &[u8]) {
        *self = Self::of(front).unwrap_or_default();
    }

    /// `None` where it has more bytes or digits than there is room for.
    fn of(front: &[u8]) -> Option<Self> {
        let last_id = digits_before(front, front.len().checked_sub(BEHIND_LAST_ID)?)?;
        let first_id = digits_before(front, last_id.0.checked_sub(BEHIND_FIRST_ID)?)?;
        let symbol_end = first_id.0.checked_sub(BEHIND_SYMBOL)?;
        let symbol = 1 + front.get(..symbol_end)?.iter().rposition(|&byte| byte == b'"')?;
        let event_time = digits_before(front, symbol.checked_sub(BEHIND_EVENT_TIME)?)?;

        let mut known = Self {
            bytes: [Bytes {
                template: [0; 16],
                most: [u8::MAX; 16],
            }; FRONT_BYTES_MAX / 16],
            len: front.len(),
            event_time_ms: PlacedU64::new(event_time.0, event_time.1)?,
            first_id: PlacedU64::new(first_id.0, first_id.1)?,
            last_id: PlacedU64::new(last_id.0, last_id.1)?,
            is_wrapped: front.starts_with(b"{\"stream\":"),
        };
        for (at, &byte) in front.iter().enumerate() {
            let is_digit = [event_time, first_id, last_id]
                .iter()
                .any(|&(start, end)| (start..end).contains(&at));
            let of = known.bytes.get_mut(at / 16)?;
            (of.template[at % 16], of.most[at % 16]) = if is_digit { (b'0', 9) } else { (byte, 0) };
        }
        Some(known)
    }

    /// Length of the front that is known: where the levels start.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether the front that is known opens `{"stream":…,"data":…}`.
    pub(super) fn is_wrapped(&self) -> bool {
        self.is_wrapped
    }

    /// The numbers of a frame that starts with the front that is known.
    #[inline]
    pub(super) fn read(&self, frame: &[u8]) -> Option<FrontNumbers> {
        let (bytes, _) = frame.get(..self.len.next_multiple_of(16))?.as_chunks::<16>();
        // Another symbol or another kind of message shows early. Nothing is known of a front without bytes.
        let (early, late) = bytes.split_at_checked(EARLY)?;
        if !fit(early, &self.bytes[..EARLY]) || !fit(late, &self.bytes[EARLY..]) {
            return None;
        }
        Some(FrontNumbers {
            event_time_ms: self.event_time_ms.read(frame)?,
            first_id: self.first_id.read(frame)?,
            last_id: self.last_id.read(frame)?,
        })
    }
}

#[inline(always)]
fn fit(bytes: &[[u8; 16]], known: &[Bytes]) -> bool {
    let mut too_much = [0; 16];
    for (bytes, known) in bytes.iter().zip(known) {
        for at in 0..16 {
            too_much[at] |= (bytes[at] ^ known.template[at]).saturating_sub(known.most[at]);
        }
    }
    too_much == [0; 16]
}

/// Where the digits that end at `end` start and end.
fn digits_before(text: &[u8], end: usize) -> Option<(usize, usize)> {
    let digits = text.get(..end)?.iter().rev().take_while(|byte| byte.is_ascii_digit());
    Some((end - digits.count(), end))
}

/// What stands between the parts of a front, in bytes.
const BEHIND_EVENT_TIME: usize = b",\"s\":\"".len();
const BEHIND_SYMBOL: usize = b"\",\"U\":".len();
const BEHIND_FIRST_ID: usize = b",\"u\":".len();
const BEHIND_LAST_ID: usize = b",\"b\":[".len();

/// How many times sixteen bytes are compared before the others.
const EARLY: usize = 2;

/// The longest front that is remembered. With `BTCUSDT` and the wrapper it has 127 bytes.
const FRONT_BYTES_MAX: usize = 160;
