//! The text of the venues' messages: numbers at fixed decimals, times, and requests read back.

use simd_json::prelude::*;

use crate::types::UnixNanos;

/// Appends `mantissa / 10^decimals` with exactly so many decimals, as the venues print it.
pub(super) fn push_decimal(out: &mut Vec<u8>, mantissa: i64, decimals: u8) {
    if mantissa < 0 {
        out.push(b'-');
    }
    let decimals = usize::from(decimals);
    let mut digits = [b'0'; 40];
    let mut at = digits.len();
    let mut rest = mantissa.unsigned_abs();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // At least one digit before the point; the array holds zeros in front.
    let at = at.min(digits.len() - decimals - 1);
    let point = digits.len() - decimals;
    out.extend_from_slice(&digits[at..point]);
    if decimals > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

/// Appends a number.
pub(super) fn push_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a time like `2026-08-01T02:53:53.646219Z`.
pub(super) fn push_rfc3339(out: &mut Vec<u8>, time: UnixNanos) {
    let (seconds, micros) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000 / 1_000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a date: eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut field = |at: std::ops::Range<usize>, mut number: u64| {
        for digit in text[at].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    field(0..4, year);
    field(5..7, month);
    field(8..10, day);
    field(11..13, second_of_day / 3_600);
    field(14..16, second_of_day / 60 % 60);
    field(17..19, second_of_day % 60);
    field(20..26, micros);
    out.extend_from_slice(&text);
}

/// Appends a string of ours as JSON. What came from a peer and is echoed goes through here too.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            control if (control as u32) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", control as u32).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// A request of a client as a JSON value; `None` where it is not JSON.
pub(super) fn parse(text: &str) -> Option<simd_json::OwnedValue> {
    let mut bytes = text.as_bytes().to_vec();
    simd_json::to_owned_value(&mut bytes)
        .ok()
        .filter(|value| value.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(mantissa: i64, decimals: u8) -> String {
        let mut out = Vec::new();
        push_decimal(&mut out, mantissa, decimals);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_fixed() {
        for (mantissa, decimals, text) in [
            (0, 8, "0.00000000"),
            (5, 1, "0.5"),
            (10, 1, "1.0"),
            (6_183_763_000_000, 8, "61837.63000000"),
            (42, 0, "42"),
            (0, 0, "0"),
            (-15, 1, "-1.5"),
            (i64::MAX, 18, "9.223372036854775807"),
        ] {
            assert_eq!(decimal(mantissa, decimals), text);
        }
    }

    #[test]
    fn times_are_dates() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_785_641_751_660_084_999, "2026-08-02T03:35:51.660084Z"),
            (1_798_761_599_999_999_000, "2026-12-31T23:59:59.999999Z"),
        ] {
            let mut out = Vec::new();
            push_rfc3339(&mut out, UnixNanos(time));
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn an_echo_cannot_break_out_of_its_string() {
        let mut out = Vec::new();
        push_string(&mut out, "a\"b\\c\n\u{1}é");
        let read: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(read, "a\"b\\c\n\u{1}é");
    }
}
