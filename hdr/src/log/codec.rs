//! A histogram as the text of a line, and back, without believing the text.
//!
//! A few hundred bytes can claim a histogram of gigabytes, deflate to gigabytes, or hold counts that overflow. The
//! claims are checked before the `hdrhistogram` crate sees the bytes.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializeError, V2DeflateSerializer};

/// Why a text is no histogram that this program takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not base64.
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// It ends too early.
    #[error("the histogram is cut short")]
    Short,
    /// The first bytes are those of an older encoding, of a histogram of floating-point values, or of nothing known.
    #[error("encoding {0:#010x} is not HdrHistogram V2; write the log with a current HdrHistogram")]
    Cookie(u32),
    /// The compressed bytes are damaged.
    #[error("the histogram does not inflate: {0}")]
    Deflate(String),
    /// It is larger than any sound one.
    #[error("the histogram is too large: {what} {value}, at most {most} is read")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// How large.
        value: u64,
        /// The ceiling.
        most: u64,
    },
    /// The fields contradict each other.
    #[error("the histogram is damaged: {0}")]
    Damaged(String),
}

/// Why a histogram could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("a histogram cannot be encoded: {0}")]
pub struct EncodeError(String);

/// Inflated bytes of one histogram.
const INFLATED_MAX: u64 = 16 << 20;
/// Buckets of one histogram: five digits up to 2^46. 32 MiB in memory.
pub(crate) const BUCKETS_MAX: u64 = 4 << 20;
/// Values in one histogram: beyond, a count is no longer exact in the floating-point numbers of percentiles.
pub(crate) const COUNT_MAX: u64 = 1 << 53;

const COOKIE_V2: u32 = 0x1c84_9313;
const COOKIE_V2_DEFLATED: u32 = 0x1c84_9314;
/// Bytes before the counts: cookie, payload length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;

/// The deflated V2 encoding, in base64.
pub fn encode(histogram: &Histogram<u64>) -> Result<String, EncodeError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error: V2DeflateSerializeError| EncodeError(error.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// The histogram of a line's last field.
pub fn decode(text: &str) -> Result<Histogram<u64>, DecodeError> {
    let mut bytes = STANDARD.decode(text)?;
    if field_u32(&bytes, 0)? == COOKIE_V2_DEFLATED {
        bytes = inflate(&bytes)?;
    }
    let cookie = field_u32(&bytes, 0)?;
    if cookie != COOKIE_V2 {
        return Err(DecodeError::Cookie(cookie));
    }
    let payload = bytes.get(HEADER_BYTES..).ok_or(DecodeError::Short)?;
    let payload_len = field_u32(&bytes, 4)? as usize;
    let payload = payload.get(..payload_len).ok_or(DecodeError::Short)?;
    let buckets = bucket_count(field_u32(&bytes, 12)?, field_u64(&bytes, 16)?, field_u64(&bytes, 24)?)?;
    check_counts(payload, buckets)?;
    let damaged = |error: hdrhistogram::serialization::DeserializeError| DecodeError::Damaged(error.to_string());
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(damaged)
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let deflated_len = field_u32(bytes, 4)? as usize;
    let deflated = bytes[8..].get(..deflated_len).ok_or(DecodeError::Short)?;
    let mut inflated = Vec::new();
    ZlibDecoder::new(deflated)
        .take(INFLATED_MAX + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| DecodeError::Deflate(error.to_string()))?;
    at_most("bytes", inflated.len() as u64, INFLATED_MAX)?;
    Ok(inflated)
}

/// How many buckets the library would allocate, by the rules of the format.
fn bucket_count(digits: u32, lowest: u64, highest: u64) -> Result<u64, DecodeError> {
    if digits > 5 || lowest == 0 || highest / 2 < lowest {
        let claim = format!("{digits} digits from {lowest} to {highest}");
        return Err(DecodeError::Damaged(claim));
    }
    let sub_buckets = (2 * 10u64.pow(digits)).next_power_of_two();
    let unit = lowest.ilog2();
    // Doublings above the linear part.
    let doublings = (highest.ilog2() + 1).saturating_sub(unit + sub_buckets.ilog2());
    let buckets = u64::from(doublings + 2) * (sub_buckets / 2);
    at_most("buckets", buckets, BUCKETS_MAX)?;
    Ok(buckets)
}

/// Walks over the counts as the library will: runs of empty buckets must stay inside the histogram, and all the counts
/// together must be a number that can be computed with.
fn check_counts(payload: &[u8], buckets: u64) -> Result<(), DecodeError> {
    let (mut rest, mut index, mut total) = (payload, 0u64, 0u64);
    while !rest.is_empty() {
        let word = leb128(&mut rest).ok_or(DecodeError::Short)?;
        // Zig-zag: odd words are negative, and mean that many empty buckets.
        let magnitude = (word >> 1) + (word & 1);
        if word & 1 == 1 {
            index = index.saturating_add(magnitude);
        } else {
            index += 1;
            total = total.saturating_add(magnitude);
        }
        if index > buckets {
            return Err(DecodeError::Damaged(format!("more than its {buckets} buckets")));
        }
    }
    at_most("count", total, COUNT_MAX)
}

/// LEB128 in at most nine bytes; the ninth holds eight bits.
fn leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut word = 0u64;
    for index in 0..9 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == 8 {
            return Some(word | u64::from(byte) << 56);
        }
        word |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(word)
}

fn at_most(what: &'static str, value: u64, most: u64) -> Result<(), DecodeError> {
    if value > most {
        Err(DecodeError::TooLarge { what, value, most })
    } else {
        Ok(())
    }
}

fn field_u32(bytes: &[u8], at: usize) -> Result<u32, DecodeError> {
    let field = bytes.get(at..at + 4).and_then(|field| field.try_into().ok());
    field.map(u32::from_be_bytes).ok_or(DecodeError::Short)
}

fn field_u64(bytes: &[u8], at: usize) -> Result<u64, DecodeError> {
    let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
    field.map(u64::from_be_bytes).ok_or(DecodeError::Short)
}

#[cfg(test)]
mod tests;
