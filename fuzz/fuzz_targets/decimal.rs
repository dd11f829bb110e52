//! Any text at every scale: exactly what arithmetic in 128 bits says of it, wherever in a buffer it ends.
//!
//! Input: one byte for the decimals, one for what follows the text, and the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::Scale;
use quantumflow_feeds::decimal::{self, DecimalError, Scaler};

fuzz_target!(
    init: quantumflow_fuzz::plant(SEEDS),
    |input: &[u8]| {
        let [decimals, tail, text @ ..] = input else {
            return;
        };
        let decimals = decimals % (Scale::MAX_DECIMALS + 1);
        let scaler = Scaler::new(decimals).expect("a scale that exists");

        let expected = judge(text, decimals);
        assert_eq!(scaler.scan(text), expected, "at {decimals}");
        let whole = match expected {
            Ok((mantissa, len)) if len == text.len() => Ok(mantissa),
            Ok(_) => Err(DecimalError::NotDecimal),
            Err(_) if !is_number(text) => Err(DecimalError::NotDecimal),
            Err(error) => Err(error),
        };
        assert_eq!(decimal::parse(text, decimals), whole, "at {decimals}");
        assert_eq!(decimal::parse(text, Scale::MAX_DECIMALS + 1), Err(DecimalError::OutOfRange));
        assert_eq!(decimal::decimals(text).is_ok(), is_number(text));
        if let (Ok(mantissa), Ok(count)) = (whole, decimal::decimals(text)) {
            assert!(count.significant <= decimals && count.significant <= count.wire);
            let shown = decimal::display(mantissa, decimals).to_string();
            assert_eq!(decimal::parse(shown.as_bytes(), decimals), Ok(mantissa));
        }

        // What follows in the buffer changes nothing, but decides which road is taken.
        let tail = TAILS[usize::from(tail % 4)];
        let longer = [text, tail].concat();
        assert_eq!(scaler.scan(&longer), expected, "at {decimals}, in a buffer");
        assert_eq!(decimal::scan_u64(text), judge_u64(text));
        assert_eq!(decimal::scan_u64(&longer), judge_u64(text));
    }
);

/// The number at the start of `text`, all its digits as one `i128`, and how many bytes it has.
fn judge(text: &[u8], decimals: u8) -> Result<(i64, usize), DecimalError> {
    let (whole, fraction) = split(text).ok_or(DecimalError::NotDecimal)?;
    let len = whole.len() + if fraction.is_empty() { 0 } else { 1 + fraction.len() };
    let (held, finer) = fraction.split_at(fraction.len().min(usize::from(decimals)));
    if finer.iter().any(|digit| *digit != b'0') {
        return Err(DecimalError::FinerThanScale);
    }
    let zeros = vec![b'0'; usize::from(decimals) - held.len()];
    let mut value: i128 = 0;
    for digit in whole.iter().chain(held).chain(&zeros) {
        // Once it is too large for an i64 it stays so.
        value = (value * 10 + i128::from(digit - b'0')).min(1 << 100);
    }
    Ok((i64::try_from(value).map_err(|_| DecimalError::OutOfRange)?, len))
}

fn judge_u64(text: &[u8]) -> Option<(u64, usize)> {
    let len = digits(text);
    if len == 0 || (len > 1 && text[0] == b'0') {
        return None;
    }
    let value = text[..len].iter().fold(0_u128, |value, digit| {
        (value * 10 + u128::from(digit - b'0')).min(1 << 100)
    });
    Some((u64::try_from(value).ok()?, len))
}

fn is_number(text: &[u8]) -> bool {
    split(text).is_some_and(|(whole, fraction)| match fraction.len() {
        0 => whole.len() == text.len(),
        len => whole.len() + 1 + len == text.len(),
    })
}

/// The digits before the point and those after it; `None` where no number starts.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return None;
    }
    match rest.strip_prefix(b".") {
        Some(rest) => Some((whole, &rest[..digits(rest)])).filter(|(_, fraction)| !fraction.is_empty()),
        None => Some((whole, b"")),
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

const TAILS: [&[u8]; 4] = [
    b"\"],[\"0.5\",",
    b",\"x\":99999999",
    b"}]}}        ",
    b"\xff\xff\xff\xff\xff\xff\xff\xff/",
];

const SEEDS: [&[u8]; 7] = [
    b"\x02\x0061737.63000000",
    b"\x08\x010.00000001",
    b"\x08\x0292233720368.54775807",
    b"\x12\x039.223372036854775808",
    b"\x00\x0018446744073709551615",
    b"\x00\x0118446744073709551616.0",
    b"\x07\x0000.5e7",
];
