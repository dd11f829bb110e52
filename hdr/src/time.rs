//! Points in time, as logs, file names and command lines write them.

use ::time::format_description::well_known::Rfc3339;
use ::time::{OffsetDateTime, PrimitiveDateTime};

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond: what the format resolves.
pub(crate) const MILLI_NS: u64 = 1_000_000;

/// A decimal number of seconds, not negative, in nanoseconds; digits below them are dropped.
pub(crate) fn parse_seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let part = &part[..part.len().min(9)];
    let fraction = if part.is_empty() {
        0
    } else {
        part.parse::<u64>().ok()? * 10u64.pow(9 - part.len() as u32)
    };
    whole.parse::<u64>().ok()?.checked_mul(SECOND_NS)?.checked_add(fraction)
}

/// A time of RFC 3339, in nanoseconds since the Unix epoch.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok()
}

/// Nanoseconds since the Unix epoch as RFC 3339 in whole seconds, UTC.
pub fn rfc3339(unix_ns: u64) -> String {
    let t = utc(unix_ns);
    let (date, time) = (t.date(), t.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The same without separators, for file names: `20261121T114500Z`. It sorts by time.
pub(crate) fn compact(unix_ns: u64) -> String {
    rfc3339(unix_ns).replace(['-', ':'], "")
}

/// Days since the Unix epoch, UTC.
pub(crate) fn day(unix_ns: u64) -> u64 {
    unix_ns / (86_400 * SECOND_NS)
}

fn utc(unix_ns: u64) -> PrimitiveDateTime {
    // The latest time in 64 bits is in the year 2554: always a date.
    let time = OffsetDateTime::from_unix_timestamp_nanos(unix_ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    PrimitiveDateTime::new(time.date(), time.time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_nanosecond() {
        for (text, ns) in [
            ("0", Some(0)),
            ("1763725440.123", Some(1_763_725_440_123_000_000)),
            ("1.", Some(SECOND_NS)),
            ("0.0000000019", Some(1)),
            ("", None),
            (".5", None),
            ("-1", None),
            ("1e3", None),
            ("99999999999999", None),
        ] {
            assert_eq!(parse_seconds(text), ns, "{text:?}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        let t = 1_763_725_440 * SECOND_NS;
        assert_eq!(rfc3339(t), "2025-11-21T11:44:00Z");
        assert_eq!(parse_rfc3339("2025-11-21T11:44:00Z"), Some(t));
        assert_eq!(parse_rfc3339("2025-11-21T12:44:00.5+01:00"), Some(t + SECOND_NS / 2));
        assert_eq!(compact(t), "20251121T114400Z");
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33Z");
    }
}
