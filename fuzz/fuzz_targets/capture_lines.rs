//! Any bytes as a capture, plain or compressed, with or without an index: typed errors and an end; of a plain one
//! exactly the records that a reading line by line finds, also from a time on.
//!
//! Input: one byte for the kind, one for the length of the index (times four), the index, and the capture.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::UnixNanos;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::{CaptureError, CaptureReader, LineProblem, Record};
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_fuzz::scratch;

static PATHS: LazyLock<[PathBuf; 3]> = LazyLock::new(|| ["c.log", "c.log.gz", "c.log.zst"].map(scratch));

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let [kind, index_len, rest @ ..] = input else {
            return;
        };
        let (index, capture) = rest.split_at((usize::from(*index_len) * 4).min(rest.len()));
        let path = &PATHS[usize::from(kind % 3)];
        let index_path = PathBuf::from(format!("{}.idx", path.display()));
        fs::write(path, capture).expect("scratch can be written");
        let _ = fs::remove_file(&index_path);
        let all = read(CaptureReader::open([path]).expect("it is there"), capture.len());
        let from = UnixNanos(FROM);
        let late = read(CaptureReader::open_at([path], from).expect("it is there"), capture.len());
        if kind % 3 == 0 {
            let expected: Vec<_> = judge(capture);
            assert_eq!(all, expected);
            let is_late = |(time, _): &&(Option<u64>, String)| time.is_none_or(|time| time >= FROM);
            assert_eq!(late, expected.iter().filter(is_late).cloned().collect::<Vec<_>>());
        }
        if !index.is_empty() {
            fs::write(&index_path, index).expect("scratch can be written");
            for from in [0, FROM, u64::MAX] {
                let reader = CaptureReader::open_at([path], UnixNanos(from)).expect("it is there");
                let _ = read(reader, capture.len());
            }
        }
    }
);

/// All records and errors, with their times.
fn read(mut reader: CaptureReader, bytes: usize) -> Vec<(Option<u64>, String)> {
    let mut found = Vec::new();
    loop {
        let line = match reader.next_record() {
            Ok(None) => break,
            Ok(Some(record)) => (record.time().map(|time| time.0), show(&record)),
            Err(CaptureError::BadLine { problem, .. }) => (None, format!("{problem:?}")),
            Err(error @ (CaptureError::Read { .. } | CaptureError::Open { .. })) => (None, error.to_string()),
            Err(error) => panic!("an error of another trade: {error}"),
        };
        found.push(line);
        // Compression makes at most some thousand bytes of one.
        assert!(found.len() <= (bytes + 16) * 70_000, "no end");
    }
    assert!(reader.truncated().len() <= 1);
    found
}

fn show(record: &Record<'_>) -> String {
    let (word, symbol, text) = match *record {
        Record::Frame { frame, .. } => ("frame", "", std::str::from_utf8(frame).expect("frames are UTF-8")),
        Record::Snapshot { symbol, body, .. } => ("body", symbol, std::str::from_utf8(body).expect("bodies are UTF-8")),
        Record::Sent { text, .. } => ("sent", "", text),
        Record::Open { detail, .. } => ("open", "", detail),
        Record::Close { detail, .. } => ("close", "", detail),
        Record::Dropped { count, .. } => ("dropped", "", count),
        Record::Line { line, .. } => ("line", "", line.name()),
        Record::Remark { text } => ("remark", "", text),
    };
    format!("{word} {symbol} {text}")
}

/// The same by splitting the whole text.
fn judge(capture: &[u8]) -> Vec<(Option<u64>, String)> {
    let mut found = Vec::new();
    let mut body_of: Option<String> = None;
    let mut lines: Vec<&[u8]> = capture.split(|byte| *byte == b'\n').collect();
    lines.pop(); // empty, or without its end
    for line in lines {
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        let line = &line[..end];
        if line.is_empty() {
            continue;
        }
        let text = std::str::from_utf8(line);
        if line[0] == b'#' {
            let text = text.unwrap_or("#");
            let stamped = text.strip_prefix("# ").and_then(|rest| {
                let (time, rest) = rest.split_once(' ')?;
                let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                Some((number(time)?, word, rest))
            });
            match stamped {
                Some((_, "rest", symbol)) => {
                    body_of = Some(symbol.trim().to_owned());
                    continue;
                }
                Some((time, word @ ("sent" | "open" | "close" | "dropped"), rest)) => {
                    found.push((Some(time), format!("{word}  {rest}")));
                }
                _ => found.push((None, format!("remark  {}", &text[1..]))),
            }
            body_of = None;
            continue;
        }
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let time = std::str::from_utf8(&line[..digits]).ok().and_then(number);
        let record = match (time, line.get(digits)) {
            (None, _) => Err(LineProblem::NoTime),
            (Some(_), None) => Err(LineProblem::NoFrame),
            (Some(_), Some(byte)) if *byte != b' ' => Err(LineProblem::NoTime),
            (Some(_), Some(_)) if line.len() == digits + 1 => Err(LineProblem::NoFrame),
            (Some(time), Some(_)) => std::str::from_utf8(&line[digits + 1..])
                .map(|frame| (time, frame))
                .map_err(|_| LineProblem::NotText),
        };
        found.push(match record {
            Ok((time, frame)) => match body_of.take() {
                Some(symbol) => (Some(time), format!("body {symbol} {frame}")),
                None => (Some(time), format!("frame  {frame}")),
            },
            Err(problem) => (None, format!("{problem:?}")),
        });
        body_of = None;
    }
    found
}

/// A whole number as the format has it.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn seeds() -> Vec<Vec<u8>> {
    let mut config = CaptureConfig::new(VenueId::BinanceSpot, &["BTCUSDT"], 1, CaptureLength::Events(3));
    config.market.symbols[0].level_count = 3;
    config.depth_interval_ms = 0;
    let mut market = Vec::new();
    market_capture(&config, &mut market).expect("a market can be written to memory");
    let index = b"1767571200000000000 0 300 18446744073709551615\n1767571200040000000 12 300 9\n\n\n\n\n";
    let lines =
        b"# 1767571200000000000 open x\n# 5 rest A \n6 {}\n7 \n8\n# 9 dropped 12\nx\n10 [\xff]\n# 1 close\n1 tail";
    let indexed = |kind: u8, capture: &[u8]| {
        let index = &index[..index.len() / 4 * 4];
        [&[kind, (index.len() / 4) as u8], index, capture].concat()
    };
    vec![
        [&[0, 0], &lines[..]].concat(),
        [&[0, 0], &market[..]].concat(),
        indexed(0, lines),
        indexed(0, &market),
        // An empty member of gzip, an empty frame of Zstandard.
        indexed(1, b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"),
        indexed(2, b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51"),
    ]
}

/// A time in the middle of the seeds.
const FROM: u64 = 1_767_571_200_050_000_000;
