//! A recorded session, written by our own capture, replays to the very same calls.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::time::Duration;

use quantumflow_feeds::UnixNanos;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::{
    CaptureOptions, CaptureReader, CaptureWriter, Compression, RealTime, replay, unpaced,
};
use quantumflow_feeds::venue::{Session, SessionConfig};
use venue_support::{BINANCE, Log, Rig, frames, recordings};

#[test]
fn a_live_session_and_its_capture_tell_the_same() {
    let Some(paths) = recordings(&BINANCE[..1]) else { return };
    let lines = frames(&paths, 3000);
    let folder = tempfile::tempdir().unwrap();
    let options = CaptureOptions {
        compression: Compression::Zstd,
        block_bytes: 64 << 10,
        ..CaptureOptions::default()
    };
    let mut writer = CaptureWriter::create(&folder.path().join("binance"), options).unwrap();

    // Live: two symbols, whose snapshots come late; a reconnection in the middle.
    let mut rig = Rig::binance(&["BTCUSDT", "ETHUSDT"]);
    writer.opened(lines[0].0, b"wss://example").unwrap();
    let snapshot = &lines
        .iter()
        .find(|(_, frame)| frame.starts_with("{\"lastUpdateId\""))
        .unwrap()
        .1;
    for (index, (time, frame)) in lines.iter().enumerate() {
        rig.now = *time;
        if index == 1500 {
            rig.session.on_close(&mut rig.log);
            writer.closed(*time, b"1006").unwrap();
            rig.session.on_open(*time, &mut rig.log, &mut rig.out);
            writer.opened(*time, b"wss://example").unwrap();
        }
        if frame.starts_with("{\"lastUpdateId\"") {
            continue;
        }
        for symbol in ["btcusdt", "ethusdt"] {
            let frame = frame
                .replace("btcusdt", symbol)
                .replace("BTCUSDT", &symbol.to_uppercase());
            rig.frame(&frame);
            writer.frame(*time, frame.as_bytes()).unwrap();
        }
        for (at, symbol, name) in [(40, 0, "BTCUSDT"), (300, 1, "ETHUSDT")] {
            if index == at {
                rig.snapshot(symbol, Ok(snapshot));
                writer.snapshot(*time, name, snapshot.as_bytes()).unwrap();
            }
        }
    }
    writer.flush().unwrap();
    let path = writer.path().unwrap().to_owned();

    let mut session = Session::new(&SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT", "ETHUSDT"])).unwrap();
    let mut log = Log::default();
    let mut paces = 0;
    let summary = replay(
        &mut CaptureReader::open([path]).unwrap(),
        &mut session,
        &mut log,
        |_| paces += 1,
    )
    .unwrap();
    assert_eq!(
        (summary.opens, summary.snapshots, summary.snapshots_unplaced),
        (2, 2, 0)
    );
    assert_eq!(paces, summary.frames + summary.snapshots);
    assert!(log.calls.iter().filter(|call| call.starts_with("book ")).count() > 200);
    let differs = log.calls.iter().zip(&rig.log.calls).position(|(a, b)| a != b);
    assert!(log.calls == rig.log.calls, "first difference at {differs:?}");
}

#[test]
fn a_reply_that_nobody_can_place_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.jsonl");
    let body = "{\"lastUpdateId\":1,\"bids\":[[\"1.0\",\"1.0\"]],\"asks\":[[\"2.0\",\"1.0\"]]}";
    std::fs::write(
        &path,
        format!("1 {body}\n# 2 rest XRPUSDT\n2 {body}\n# 3 rest BTCUSDT\n3 {body}\n"),
    )
    .unwrap();
    let mut session = Session::new(&SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT", "ETHUSDT"])).unwrap();
    let summary = replay(
        &mut CaptureReader::open([path]).unwrap(),
        &mut session,
        &mut Log::default(),
        unpaced,
    )
    .unwrap();
    assert_eq!(
        (summary.snapshots, summary.snapshots_unplaced, summary.frames),
        (1, 2, 0)
    );
}

#[test]
fn a_pace_waits_for_what_is_due() {
    let mut pace = RealTime::new(1000.0);
    let started = std::time::Instant::now();
    for ms in [0, 5_000, 10_000, 9_000] {
        pace.wait(UnixNanos(1_700_000_000_000_000_000 + ms * 1_000_000));
    }
    assert!(started.elapsed() >= Duration::from_millis(10));
}
