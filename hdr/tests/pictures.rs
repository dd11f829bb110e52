//! Pictures show what they should, on a machine without fonts too.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;

use common::{Run, USUAL, hdr, hdr_ok, record, text};

/// Width, height and the pixels of a PNG with three bytes a pixel and unfiltered rows.
fn pixels(path: &Path) -> (usize, usize, Vec<u8>) {
    let png = fs::read(path).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    let (width, height, length) = (number(16), number(20), number(33));
    assert_eq!((&png[37..41], &png[24..29]), (&b"IDAT"[..], &[8u8, 2, 0, 0, 0][..]));
    assert_eq!(number(41 + length) as u32, crc32fast::hash(&png[37..41 + length]));
    let mut rows = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&png[41..41 + length]), &mut rows).unwrap();
    assert_eq!(rows.len(), height * (1 + 3 * width));
    let pixels = rows.chunks(1 + 3 * width).flat_map(|row| row[1..].to_vec()).collect();
    (width, height, pixels)
}

fn dark_pixels(path: &Path, (left, top): (usize, usize), (right, bottom): (usize, usize)) -> usize {
    let (width, _, pixels) = pixels(path);
    let is_dark = |x: usize, y: usize| pixels[3 * (y * width + x)..][..3].iter().all(|channel| *channel < 0x70);
    (top..bottom)
        .flat_map(|y| (left..right).map(move |x| (x, y)))
        .filter(|(x, y)| is_dark(*x, *y))
        .count()
}

#[test]
fn percentile_curves_have_a_legend_and_labelled_axes() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let logs = tempfile::tempdir().unwrap();
    let (log, _) = record(logs.path(), USUAL);
    let (svg, png) = (dir.join("stages.svg"), dir.join("stages.png"));
    let outcome = hdr_ok(&["plot", text(&log), "--out", text(&svg), "--out", text(&png)]);
    assert_eq!(outcome.out.lines().count(), 2);
    let drawn = fs::read_to_string(&svg).unwrap();
    for label in [
        "Latency by percentile",
        "99.9 %",
        "stage=total",
        "prediction_latency:model_name=mlp_v1",
        "10 µs",
    ] {
        assert!(drawn.contains(label), "{label}");
    }
    // One curve and its key for each of the six tags.
    assert_eq!(
        drawn.matches("<polyline").count(),
        drawn.matches("stroke-width=\"2\"").count() + drawn.matches("stroke-width=\"1\"").count()
    );
    assert_eq!(drawn.matches("stroke-width=\"2\"").count(), 12);
    // The title's letters are there, in pixels.
    assert!(dark_pixels(&png, (90, 10), (400, 50)) > 300);
}

#[test]
fn two_runs_can_be_laid_over_each_other() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let logs = tempfile::tempdir().unwrap();
    let (a, b) = (logs.path().join("before"), logs.path().join("after"));
    record(&a, USUAL);
    record(
        &b,
        Run {
            seed: 2,
            model_factor: 1.5,
            ..USUAL
        },
    );
    let (svg, png) = (dir.join("overlay.svg"), dir.join("overlay.png"));
    let args = [
        "plot",
        text(&a),
        text(&b),
        "--overlay",
        "--tag",
        "stage=model",
        "--tag",
        "stage=total",
        "--linear",
    ];
    hdr_ok(&[&args[..], &["--out", text(&svg), "--out", text(&png)]].concat());
    let drawn = fs::read_to_string(&svg).unwrap();
    for label in [
        "before stage=model",
        "after stage=model",
        "before stage=total",
        "after stage=total",
    ] {
        assert!(drawn.contains(label), "{label}");
    }
}

#[test]
fn a_heat_map_shows_the_bursts() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let logs = tempfile::tempdir().unwrap();
    let (log, _) = record(logs.path(), Run { seconds: 300, ..USUAL });
    let (svg, png) = (dir.join("heatmap.svg"), dir.join("heatmap.png"));
    hdr_ok(&["heatmap", text(&log), "--out", text(&svg), "--out", text(&png)]);
    let drawn = fs::read_to_string(&svg).unwrap();
    for label in [
        "Latency over time, stage=total",
        "11:45",
        "p99",
        "max",
        "Time, UTC, from 2025-11-21 11:44:00",
    ] {
        assert!(drawn.contains(label), "{label}");
    }
    assert!(dark_pixels(&png, (90, 10), (400, 50)) > 300);
}

#[test]
fn what_cannot_be_drawn_is_said_before_anything_is_read() {
    let outcome = hdr(&["plot", "missing.hlog", "--out", "picture.gif"]);
    let (error, code) = outcome.error.unwrap();
    assert_eq!((error.as_str(), code), ("picture.gif: pictures are .svg or .png", 3));
}
