//! From a payload to changes in cents and 10^-8: the libraries, each as it is meant to be used, and our scanner.

use quantumflow_feeds::event::LevelChange;
use quantumflow_feeds::venue::Wire as _;
use quantumflow_feeds::venue::binance::Parser;
use quantumflow_feeds::venue::message::{Message, Print};
use quantumflow_feeds::{Scale, Side, SymbolId};
use serde::Deserialize;
use simd_json::base::ValueIntoString;
use simd_json::{Buffers, Tape};

/// Turns a payload into calls of `each(side, price, quantity)`.
pub trait Parse: Default {
    /// Libraries and types, for the table.
    const NAME: &'static str;

    /// Reads one payload.
    fn parse(&mut self, payload: &[u8], each: impl FnMut(Side, i64, i64));

    /// Reads one payload that may be overwritten, for parsers that work in place.
    #[inline]
    fn parse_mut(&mut self, payload: &mut [u8], each: impl FnMut(Side, i64, i64)) {
        self.parse(payload, each);
    }
}

/// The envelope, borrowed from the payload.
#[derive(Debug, Deserialize)]
pub struct Combined<'a> {
    /// Stream name.
    #[serde(borrow)]
    pub stream: &'a str,
    /// The message.
    #[serde(borrow)]
    pub data: Depth<'a>,
}

/// The message, borrowed from the payload.
#[derive(Debug, Deserialize)]
pub struct Depth<'a> {
    /// Event.
    #[serde(rename = "e")]
    pub event: &'a str,
    /// Event time.
    #[serde(rename = "E")]
    pub time: u64,
    /// Symbol.
    #[serde(rename = "s")]
    pub symbol: &'a str,
    /// First update id.
    #[serde(rename = "U")]
    pub first_id: u64,
    /// Last update id.
    #[serde(rename = "u")]
    pub last_id: u64,
    /// Bids, price and quantity.
    #[serde(rename = "b", borrow)]
    pub bids: Vec<(&'a str, &'a str)>,
    /// Asks, price and quantity.
    #[serde(rename = "a", borrow)]
    pub asks: Vec<(&'a str, &'a str)>,
}

impl Depth<'_> {
    #[inline]
    fn each(&self, mut each: impl FnMut(Side, i64, i64)) {
        for (price, quantity) in &self.bids {
            each(Side::Bid, fixed(price, 2), fixed(quantity, 8));
        }
        for (price, quantity) in &self.asks {
            each(Side::Ask, fixed(price, 2), fixed(quantity, 8));
        }
    }
}

/// serde_json into borrowed structs.
#[derive(Debug, Default)]
pub struct SerdeTyped;

impl Parse for SerdeTyped {
    const NAME: &'static str = "serde_json typed &str";

    #[inline]
    fn parse(&mut self, payload: &[u8], each: impl FnMut(Side, i64, i64)) {
        let message: Combined = serde_json::from_slice(payload).expect("the generator's JSON");
        message.data.each(each);
    }
}

/// sonic-rs into borrowed structs.
#[derive(Debug, Default)]
pub struct SonicTyped;

impl Parse for SonicTyped {
    const NAME: &'static str = "sonic-rs typed &str";

    #[inline]
    fn parse(&mut self, payload: &[u8], each: impl FnMut(Side, i64, i64)) {
        let message: Combined = sonic_rs::from_slice(payload).expect("the generator's JSON");
        message.data.each(each);
    }
}

/// simd-json into borrowed structs, buffers kept.
#[derive(Default)]
pub struct SimdTyped {
    buffers: Buffers,
    scratch: Vec<u8>,
}

impl Parse for SimdTyped {
    const NAME: &'static str = "simd-json typed &str";

    #[inline]
    fn parse(&mut self, payload: &[u8], each: impl FnMut(Side, i64, i64)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(payload);
        self.parse_mut(&mut scratch, each);
        self.scratch = scratch;
    }

    #[inline]
    fn parse_mut(&mut self, payload: &mut [u8], each: impl FnMut(Side, i64, i64)) {
        let message: Combined =
            simd_json::serde::from_slice_with_buffers(payload, &mut self.buffers).expect("the generator's JSON");
        message.data.each(each);
    }
}

/// simd-json into a tape, buffers and tape kept.
pub struct SimdTape {
    buffers: Buffers,
    scratch: Vec<u8>,
    tape: Option<Tape<'static>>,
}

impl Default for SimdTape {
    fn default() -> Self {
        Self {
            buffers: Buffers::default(),
            scratch: Vec::new(),
            tape: Some(Tape::null()),
        }
    }
}

impl Parse for SimdTape {
    const NAME: &'static str = "simd-json tape";

    #[inline]
    fn parse(&mut self, payload: &[u8], each: impl FnMut(Side, i64, i64)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(payload);
        self.parse_mut(&mut scratch, each);
        self.scratch = scratch;
    }

    #[inline]
    fn parse_mut(&mut self, payload: &mut [u8], mut each: impl FnMut(Side, i64, i64)) {
        let mut tape = self.tape.take().expect("put back below").reset();
        simd_json::fill_tape(payload, &mut self.buffers, &mut tape).expect("the generator's JSON");
        let root = tape.as_value();
        let data = root.get("data").expect("the generator's shape");
        for (side, name) in [(Side::Bid, "b"), (Side::Ask, "a")] {
            for level in data.get_array(name).expect("an array of levels").iter() {
                let level = level.as_array().expect("a pair");
                let text = |at: usize| level.get(at).and_then(ValueIntoString::into_string).expect("a string");
                each(side, fixed(text(0), 2), fixed(text(1), 8));
            }
        }
        self.tape = Some(tape.reset());
    }
}

/// The project's scanner, which writes the changes into a list of the session's.
pub struct OwnScanner {
    parser: Parser,
    changes: Vec<LevelChange>,
    prints: Vec<Print>,
}

impl Default for OwnScanner {
    fn default() -> Self {
        let mut parser = Parser::new(["BTCUSDT"].into_iter());
        assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 8 }));
        Self {
            parser,
            changes: Vec::with_capacity(1 << 12),
            prints: Vec::new(),
        }
    }
}

impl Parse for OwnScanner {
    const NAME: &'static str = "quantumflow scanner";

    #[inline]
    fn parse(&mut self, payload: &[u8], mut each: impl FnMut(Side, i64, i64)) {
        let message = self
            .parser
            .parse(payload, &mut self.changes, &mut self.prints)
            .expect("the generator's shape");
        assert!(matches!(message, Message::Book(_)));
        for change in &self.changes {
            each(change.side, change.price.0, change.qty.0);
        }
    }
}

/// Decimal text to fixed point, as short as it can be written and as fast as the libraries' users would have it.
#[inline]
pub fn fixed(text: &str, decimals: i32) -> i64 {
    let mut mantissa = 0_i64;
    let mut left = decimals;
    let mut step = 0;
    for byte in text.bytes() {
        match byte {
            b'.' => step = 1,
            digit if left > 0 || step == 0 => {
                mantissa = mantissa * 10 + i64::from(digit - b'0');
                left -= step;
            }
            _ => {} // padding zeros
        }
    }
    mantissa * 10_i64.pow(left as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depth::{self, Wire};

    fn check<P: Parse>(wire: Wire) {
        let mut parser = P::default();
        for message in depth::updates(7, 200, 5) {
            let payload = depth::json(&message, wire).into_bytes();
            let (mut bids, mut asks) = (Vec::new(), Vec::new());
            parser.parse(&payload, |side, price, quantity| match side {
                Side::Bid => bids.push((price, quantity)),
                Side::Ask => asks.push((price, quantity)),
            });
            assert_eq!((bids, asks), (message.bids, message.asks), "{}", P::NAME);
        }
    }

    #[test]
    fn every_parser_reads_what_the_generator_wrote() {
        for wire in [Wire::Futures, Wire::Spot] {
            check::<SerdeTyped>(wire);
            check::<SonicTyped>(wire);
            check::<SimdTyped>(wire);
            check::<SimdTape>(wire);
            check::<OwnScanner>(wire);
        }
    }
}
