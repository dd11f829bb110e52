use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

fn sample() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, (1 << 36) - 1, 2).unwrap();
    for (value, count) in [(0, 3), (1, 1), (412, 9), (41_983, 5), (7_000_000_000, 1)] {
        histogram.record_n(value, count).unwrap();
    }
    histogram
}

/// The uncompressed V2 bytes with these fields.
fn v2(digits: u32, lowest: u64, highest: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(COOKIE_V2.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(digits.to_be_bytes());
    bytes.extend(lowest.to_be_bytes());
    bytes.extend(highest.to_be_bytes());
    bytes.extend(1f64.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(bytes).unwrap();
    let body = zlib.finish().unwrap();
    let mut all = COOKIE_V2_DEFLATED.to_be_bytes().to_vec();
    all.extend((body.len() as u32).to_be_bytes());
    all.extend(body);
    all
}

fn decode_bytes(bytes: &[u8]) -> Result<Histogram<u64>, DecodeError> {
    decode(&STANDARD.encode(bytes))
}

#[test]
fn what_is_encoded_is_decoded() {
    let histogram = sample();
    assert_eq!(decode(&encode(&histogram).unwrap()).unwrap(), histogram);
    let empty = Histogram::<u64>::new_with_bounds(1, 1000, 2).unwrap();
    assert_eq!(decode(&encode(&empty).unwrap()).unwrap(), empty);
}

#[test]
fn the_number_of_buckets_is_what_the_library_allocates() {
    for (digits, lowest, highest) in [
        (0, 1, 2),
        (1, 1, 100),
        (2, 1, (1 << 36) - 1),
        (2, 1, 1 << 36),
        (3, 1, 3_600_000_000),
        (3, 1000, 3_600_000_000),
        (5, 1, 1 << 30),
        (2, 1, u64::MAX / 2),
        (1, 7, 15),
    ] {
        let library = Histogram::<u64>::new_with_bounds(lowest, highest, digits)
            .unwrap()
            .distinct_values() as u64;
        assert_eq!(
            bucket_count(digits.into(), lowest, highest),
            Ok(library),
            "{digits} {lowest} {highest}"
        );
    }
}

#[test]
fn claims_beyond_reason_are_refused() {
    let too_large = |bytes: &[u8]| matches!(decode_bytes(bytes), Err(DecodeError::TooLarge { .. }));
    let damaged = |bytes: &[u8]| matches!(decode_bytes(bytes), Err(DecodeError::Damaged(_)));
    assert!(too_large(&v2(5, 1, u64::MAX / 2, &[])));
    assert!(too_large(&deflated(&vec![0; INFLATED_MAX as usize + 1])));
    // One count of 2^54.
    assert!(too_large(&v2(
        2,
        1,
        1000,
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]
    )));
    for bad in [(6, 1, 1000), (2, 0, 1000), (2, 600, 1000), (u32::MAX, 1, 1000)] {
        assert!(damaged(&v2(bad.0, bad.1, bad.2, &[])), "{bad:?}");
    }
    // Empty buckets beyond the end, once by i64::MIN of them.
    assert!(damaged(&v2(2, 1, 1000, &[0xff, 0x7f])));
    assert!(damaged(&v2(2, 1, 1000, &[0xff; 9])));
    assert_eq!(decode_bytes(&v2(2, 1, 1000, &[0x80])), Err(DecodeError::Short));
    assert_eq!(
        decode_bytes(&[0x1c, 0x84, 0x93, 0x08]),
        Err(DecodeError::Cookie(0x1c84_9308))
    );
    assert_eq!(decode_bytes(&[]), Err(DecodeError::Short));
    assert!(matches!(decode("???"), Err(DecodeError::Base64(_))));
}

proptest! {
    #[test]
    fn no_bytes_can_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_bytes(&bytes);
        let _ = decode_bytes(&deflated(&bytes));
        let _ = decode_bytes(&v2(2, 1, 100_000, &bytes));
        let _ = decode_bytes(&deflated(&v2(3, 1, 1 << 40, &bytes)));
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_a_histogram(at in 0usize..200, flip in 1u8..) {
        let mut bytes = STANDARD.decode(encode(&sample()).unwrap()).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = decode_bytes(&bytes);
    }

    #[test]
    fn any_counts_survive(values in prop::collection::vec((0u64..1 << 36, 1u64..1 << 20), 0..50)) {
        let mut histogram = Histogram::new_with_bounds(1, (1 << 36) - 1, 2).unwrap();
        for (value, count) in values {
            histogram.record_n(value, count).unwrap();
        }
        prop_assert_eq!(decode(&encode(&histogram).unwrap()).unwrap(), histogram);
    }
}
