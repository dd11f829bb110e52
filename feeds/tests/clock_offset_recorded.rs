//! The offset between the clocks of a recorder and a venue that nobody told us.
//!
//! The recorder of these files ran 1.27 s behind Binance: a plain "now minus exchange time" is negative throughout.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::ops::RangeInclusive;

use quantumflow_feeds::{ClockOffset, UnixNanos};
use venue_support::{BINANCE, frames, recordings};

/// The messages of recordings that carry the venue's time, as `"E":<milliseconds>`.
fn times(names: &[&str]) -> Option<Vec<(UnixNanos, UnixNanos)>> {
    let exchange_time = |frame: &str| {
        let (_, rest) = frame.split_once("\"E\":")?;
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        UnixNanos::from_millis(digits.parse().ok()?)
    };
    let frames = frames(&recordings(names)?, usize::MAX);
    Some(
        frames
            .iter()
            .filter_map(|(local, frame)| Some((*local, exchange_time(frame)?)))
            .collect(),
    )
}

/// Offset in milliseconds and drift in ppb, at the end; the offset all along.
fn check(names: &[&str], offset_ms: RangeInclusive<f64>, drift_ppb: RangeInclusive<i64>) {
    let Some(times) = times(names) else { return };
    let mut tracker = ClockOffset::new();
    let (mut delays, mut offsets) = (Vec::with_capacity(times.len()), Vec::with_capacity(times.len()));
    for &(local, exchange) in &times {
        let delay = tracker.observe(local, exchange).expect("a sensible time");
        let (offset, difference) = (tracker.offset_ns(local).unwrap(), local.since(exchange));
        assert!(difference < 0, "the recorder is behind");
        assert!(offset <= difference, "a delay would be negative at {local:?}");
        assert_eq!(delay, (difference - offset) as u64);
        delays.push(delay);
        offsets.push(offset as f64 / 1e6);
    }
    delays.sort_unstable();
    let delay_ms = |quantile: f64| delays[(quantile * (delays.len() - 1) as f64) as usize] as f64 / 1e6;
    let (first, last) = (offsets[offsets.len() / 20], offsets[offsets.len() - 1]);
    println!(
        "{names:?}: {} messages, offset {first:.3} ms early and {last:.3} ms at the end, drift {} ppb, delays above the \
         floor p50 {:.3} p99 {:.3} max {:.3} ms",
        times.len(),
        tracker.drift_ppb(),
        delay_ms(0.5),
        delay_ms(0.99),
        delay_ms(1.0),
    );
    assert!(
        offsets[offsets.len() / 20..]
            .iter()
            .all(|offset| offset_ms.contains(offset))
    );
    assert!(drift_ppb.contains(&tracker.drift_ppb()), "{}", tracker.drift_ppb());
    assert_eq!((tracker.steps(), tracker.refused()), (0, 0));
    assert!(tracker.is_settled());
    // The plain reading of the last minute of the recording: no message of it is below the line.
    let (end, _) = times[times.len() - 1];
    let late = times.iter().filter(|(local, _)| end.since(*local) < 60_000_000_000);
    let gap = late.map(|(local, exchange)| local.since(*exchange) - tracker.offset_ns(*local).unwrap());
    let gap = gap.min().unwrap();
    assert!(
        (0..1_000_000).contains(&gap),
        "{gap} ns between the line and the lowest message"
    );
}

#[test]
fn spot_is_followed_through_eleven_minutes() {
    check(&BINANCE, -1_277.0..=-1_273.0, -7_000..=-3_000);
}

#[test]
fn the_first_spot_file_alone_gives_the_same() {
    check(&BINANCE[..1], -1_275.4..=-1_273.0, -7_000..=-3_000);
}

#[test]
fn futures_have_the_same_drift_on_another_way() {
    check(
        &["binance/usdm/btcusdt_20240808.gz"],
        -1_272.7..=-1_270.5,
        -7_000..=-3_000,
    );
}
