use std::io::Cursor;

use super::*;
use crate::log::{LogHeader, LogWriter, encode};
use crate::tag::Tag;
use crate::time::SECOND_NS;

const START: u64 = 1_763_725_440_123_000_000;

fn histogram(values: &[u64]) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 2).unwrap();
    for value in values {
        histogram.record(*value).unwrap();
    }
    histogram
}

fn reader(text: &[u8]) -> LogReader<Cursor<Vec<u8>>> {
    LogReader::new(Cursor::new(text.to_vec()), "test.hlog")
}

/// Tag, start and count.
type Seen = (Option<String>, u64, u64);

/// Every line, and whether the last was cut; or the first error.
fn lines(text: &[u8]) -> Result<(Vec<Seen>, bool), String> {
    let mut reader = reader(text);
    let mut all = Vec::new();
    loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                let read = (
                    line.tag.map(str::to_owned),
                    line.start_ns,
                    line.histogram().unwrap().len(),
                );
                all.push(read);
            }
            Ok(None) => return Ok((all, reader.is_cut())),
            Err(error) => return Err(format!("{error}: {}", std::error::Error::source(&error).unwrap())),
        }
    }
}

fn log() -> Vec<u8> {
    let mut header = LogHeader::latencies(START);
    header.untagged = Some(Tag::end_to_end());
    header.comments.push("engine x\n#[BaseTime: 1.0]".to_owned());
    let mut log = LogWriter::begin(Vec::new(), header).unwrap();
    let tag = Tag::new("stage=decrypt").unwrap();
    log.write(None, (START, START + SECOND_NS), &histogram(&[1, 2, 3]))
        .unwrap();
    log.write(Some(&tag), (START + SECOND_NS, START + 2 * SECOND_NS), &histogram(&[4]))
        .unwrap();
    log.finish().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let text = log();
    let expected = vec![
        (None, START, 3),
        (Some("stage=decrypt".to_owned()), START + SECOND_NS, 1),
    ];
    assert_eq!(lines(&text), Ok((expected, false)));
    let mut reader = reader(&text);
    reader.next_line().unwrap();
    let header = Header {
        start_unix_ns: Some(START),
        base_unix_ns: Some(START),
        untagged: Some("stage=total".to_owned()),
    };
    assert_eq!(reader.header(), &header);
}

#[test]
fn a_log_cut_at_any_byte_gives_its_whole_lines() {
    let text = log();
    let (whole, _) = lines(&text).unwrap();
    for cut in 0..text.len() {
        let (read, is_cut) = lines(&text[..cut]).unwrap();
        assert!(whole.starts_with(&read), "cut at {cut}");
        let ends = text[..cut].last().is_none_or(|b| *b == b'\n');
        // A line that only lacks its line end is whole: its checksum says so.
        assert!(!(ends && is_cut), "cut at {cut}");
    }
    assert_eq!(lines(&text[..text.len() - 1]), Ok((whole, false)));
    assert!(lines(&text[..text.len() - 5]).unwrap().1);
}

#[test]
fn a_damaged_line_is_named() {
    let encoded = encode(&histogram(&[1])).unwrap();
    for (line, expected) in [
        ("0.0,1.0,1.0\n".to_owned(), "expected [Tag=name,]"),
        (format!("Tag=,0.0,1.0,1.0,{encoded}\n"), "expected [Tag=name,]"),
        (format!("Tag=a,b,0.0,1.0,1.0,{encoded}\n"), "expected [Tag=name,]"),
        (format!("-1.0,1.0,1.0,{encoded}\n"), "start is \"-1.0\""),
        (format!("0.0,soon,1.0,{encoded}\n"), "length is \"soon\""),
        ("<html>\n".to_owned(), "expected [Tag=name,]"),
        ("\u{fffd}\n".to_owned(), "expected [Tag=name,]"),
    ] {
        let error = lines(format!("#c\n\n{line}0.0,1.0,1.0,{encoded}\n").as_bytes()).unwrap_err();
        assert!(
            error.starts_with("test.hlog:3 is not a line of an interval log"),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
    assert!(lines(b"\xff\xfe\n0,1,1,A\n").unwrap_err().contains("not UTF-8"));
}

#[test]
fn times_are_relative_to_the_base_or_the_start_or_absolute() {
    let encoded = encode(&histogram(&[1])).unwrap();
    let start_of = |header: &str, time: &str| {
        let (lines, _) = lines(format!("{header}{time},1.000,1.0,{encoded}\r\n").as_bytes()).unwrap();
        lines[0].1
    };
    let start = "#[StartTime: 1763725440.500 (seconds since epoch), Fri Nov 21 11:44:00 UTC 2025]\n";
    assert_eq!(
        start_of("#[BaseTime: 100.5 (seconds since epoch)]\n", "1.25"),
        101_750_000_000
    );
    assert_eq!(start_of(start, "1.25"), 1_763_725_441_750_000_000);
    assert_eq!(start_of(start, "1763725441.000"), 1_763_725_441_000_000_000);
    assert_eq!(start_of("", "1.25"), 1_250_000_000);
}

#[test]
fn an_endless_line_is_refused() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let mut reader = LogReader::new(BufReader::new(Endless), "endless");
    let error = reader.next_line().unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Line {
                source: What::TooLong,
                ..
            }
        ),
        "{error}"
    );
}
