//! RFC 3339 to nanoseconds with integers only: `2026-08-02T03:35:51.660084Z`.

use crate::types::UnixNanos;

/// Reads the UTC time at the start of `bytes` and returns it and how many bytes it took. Up to nine digits of a second;
/// only `Z` as the zone, since no venue sends another; years 1970 to 2261.
pub(crate) fn scan_rfc3339(bytes: &[u8]) -> Option<(UnixNanos, usize)> {
    let head = bytes.first_chunk::<19>()?;
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    if separators != *b"--T::" {
        return None;
    }
    let two = |at: usize| -> Option<u64> {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| u64::from(tens) * 10 + u64::from(ones))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    // 60 is a leap second: it counts as the first of the next minute.
    let in_range =
        (1970..=2261).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    if !in_range || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let mut at = head.len();
    let mut nanos = 0;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        let mut unit = 1_000_000_000;
        for &digit in &bytes[at + 1..at + 1 + digits] {
            unit /= 10;
            nanos += u64::from(digit - b'0') * unit;
        }
        at += 1 + digits;
    }
    if bytes.get(at) != Some(&b'Z') {
        return None;
    }
    let seconds = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((UnixNanos(seconds * 1_000_000_000 + nanos), at + 1))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01. Leap days before a year are counted by the centuries' rule, days before a month by a table.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |before: u64| (before - 1) / 4 - (before - 1) / 100 + (before - 1) / 400;
    let leap_day_of_year = u64::from(month > 2 && is_leap(year));
    (year - 1970) * 365
        + (leap_days(year) - leap_days(1970))
        + BEFORE_MONTH[month as usize - 1]
        + leap_day_of_year
        + (day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let check = |text: &str, nanos: u64| {
            assert_eq!(
                scan_rfc3339(text.as_bytes()),
                Some((UnixNanos(nanos), text.len())),
                "{text}"
            );
        };
        check("1970-01-01T00:00:00Z", 0);
        check("2000-02-29T23:59:59.999999999Z", 951_868_799_999_999_999);
        check("2026-08-02T03:35:51.660084Z", 1_785_641_751_660_084_000);
        check("2100-03-01T00:00:00.5Z", 4_107_542_400_500_000_000);
    }

    #[test]
    fn counts_every_day_once() {
        let mut expected = 0;
        for year in 1970..=2261 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-08-02",
            "2026-08-02 03:35:51Z",
            "2026-08-02T03:35:51",
            "2026-08-02T03:35:51+02:00",
            "2026-08-02T03:35:51.Z",
            "2026-08-02T03:35:51.1234567890Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "1969-12-31T00:00:00Z",
            "2x26-01-01T00:00:00Z",
        ] {
            assert_eq!(scan_rfc3339(text.as_bytes()), None, "{text}");
        }
    }
}
