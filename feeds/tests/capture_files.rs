//! Captures on disk: what is written is read again, from the middle, after a crash, and nothing bad passes unseen.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quantumflow_feeds::UnixNanos;
use quantumflow_feeds::capture::{
    CaptureError, CaptureOptions, CaptureReader, CaptureWriter, Compression, LineProblem, Record, TapKind, capture_tap,
};

const ALL: [Compression; 3] = [Compression::Plain, Compression::Gzip, Compression::Zstd];

fn options(compression: Compression) -> CaptureOptions {
    CaptureOptions {
        compression,
        block_bytes: 1 << 10,
        rotate_bytes: 1 << 30,
        rotate_after: Duration::from_secs(3600),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "idx"))
        .collect();
    files.sort();
    files
}

fn read(reader: &mut CaptureReader) -> Vec<String> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(format!("{record:?}"));
    }
    records
}

fn frame(n: u64) -> String {
    format!("{{\"n\":{n},\"padding\":\"{}\"}}", "x".repeat((n % 97) as usize))
}

/// Five hundred frames, one per microsecond, among other records.
fn write_some(folder: &Path, options: CaptureOptions) -> Vec<String> {
    let mut writer = CaptureWriter::create(&folder.join("binance-0"), options).unwrap();
    let mut expected = Vec::new();
    let mut expect = |record: Record<'_>| expected.push(format!("{record:?}"));
    let time = |n: u64| UnixNanos(1_723_161_253_000_000_000 + n * 1_000);
    writer.opened(time(0), b"wss://example/stream").unwrap();
    expect(Record::Open {
        time: time(0),
        detail: "wss://example/stream",
    });
    for n in 0..500 {
        if n == 100 {
            writer.sent(time(n), b"{\"method\":\"ping\"}").unwrap();
            expect(Record::Sent {
                time: time(n),
                text: "{\"method\":\"ping\"}",
            });
            writer
                .snapshot(time(n), "BTCUSDT", b"{\"lastUpdateId\":\r\n1}")
                .unwrap();
            let body = b"{\"lastUpdateId\":  1}";
            expect(Record::Snapshot {
                receive_time: time(n),
                symbol: "BTCUSDT",
                body,
            });
            writer.dropped(time(n), 12).unwrap();
            expect(Record::Dropped {
                time: time(n),
                count: "12",
            });
        }
        writer.frame(time(n), frame(n).as_bytes()).unwrap();
        expect(Record::Frame {
            receive_time: time(n),
            frame: frame(n).as_bytes(),
        });
    }
    writer.closed(time(500), b"1001 going away").unwrap();
    expect(Record::Close {
        time: time(500),
        detail: "1001 going away",
    });
    assert_eq!(writer.replaced_line_breaks(), 2);
    writer.flush().unwrap();
    expected
}

#[test]
fn what_was_written_is_read_again() {
    for compression in ALL {
        let folder = tempfile::tempdir().unwrap();
        let expected = write_some(folder.path(), options(compression));
        let files = files(folder.path());
        assert_eq!(files.len(), 1);
        assert_eq!(Compression::of(&files[0]), compression);
        let mut reader = CaptureReader::open(&files).unwrap();
        assert_eq!(read(&mut reader), expected);
        assert!(reader.truncated().is_empty());
    }
}

#[test]
fn files_rotate_by_size_and_by_time_and_join_again() {
    for compression in ALL {
        let by_size = CaptureOptions {
            rotate_bytes: 3_000,
            ..options(compression)
        };
        let by_time = CaptureOptions {
            rotate_after: Duration::from_micros(150),
            ..options(compression)
        };
        for options in [by_size, by_time] {
            let folder = tempfile::tempdir().unwrap();
            let expected = write_some(folder.path(), options);
            let files = files(folder.path());
            assert!(files.len() > 2, "{compression:?}: {} files", files.len());
            assert_eq!(
                read(&mut CaptureReader::open(&files).unwrap()),
                expected,
                "{compression:?}"
            );
        }
    }
}

#[test]
fn reading_from_the_middle_gives_the_same_with_and_without_an_index() {
    for compression in ALL {
        let folder = tempfile::tempdir().unwrap();
        let options = CaptureOptions {
            rotate_bytes: 9_000,
            ..options(compression)
        };
        let expected = write_some(folder.path(), options);
        let files = files(folder.path());
        for after in [0_u64, 1, 99, 100, 101, 250, 499, 500, 501] {
            let from = UnixNanos(1_723_161_253_000_000_000 + after * 1_000);
            let time = |record: &str| -> u64 {
                let digits = &record[record.find("UnixNanos(").unwrap() + 10..];
                digits[..digits.find(')').unwrap()].parse().unwrap()
            };
            let wanted: Vec<_> = expected
                .iter()
                .filter(|record| time(record) >= from.0)
                .cloned()
                .collect();
            assert_eq!(
                read(&mut CaptureReader::open_at(&files, from).unwrap()),
                wanted,
                "{compression:?} {after}"
            );
        }
        // An index that cannot be believed is not used.
        let from = UnixNanos(1_723_161_253_000_250_000);
        let wanted = read(&mut CaptureReader::open_at(&files, from).unwrap());
        for index in [
            "",
            "nonsense\n",
            "0 7 1 1\n",
            "0 0 1 1\n0 99999999999 1 1\n",
            "1 0 1 1\n0 5 1 1\n",
        ] {
            for file in &files {
                std::fs::write(format!("{}.idx", file.display()), index).unwrap();
            }
            assert_eq!(
                read(&mut CaptureReader::open_at(&files, from).unwrap()),
                wanted,
                "{compression:?} {index:?}"
            );
        }
    }
}

#[test]
fn the_index_saves_reading_what_lies_before() {
    let folder = tempfile::tempdir().unwrap();
    write_some(folder.path(), options(Compression::Plain));
    let files = files(folder.path());
    // Break everything before the last block: a reader that starts there does not notice, and knows its line.
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let index = std::fs::read_to_string(format!("{}.idx", files[0].display())).unwrap();
    let last: Vec<u64> = index
        .lines()
        .last()
        .unwrap()
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    bytes[..last[1] as usize].fill(b'!');
    let end = bytes.len();
    bytes[end - 2] = 0xff;
    bytes.extend_from_slice(b"no time\n");
    std::fs::write(&files[0], &bytes).unwrap();
    let mut reader = CaptureReader::open_at(&files, UnixNanos(last[0])).unwrap();
    let error = loop {
        match reader.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the last line is bad"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains(":507: expected `<receive time"), "{error}");
}

#[test]
fn a_file_cut_anywhere_gives_its_whole_lines_and_a_word() {
    for compression in ALL {
        let folder = tempfile::tempdir().unwrap();
        let expected = write_some(folder.path(), options(compression));
        let whole = std::fs::read(&files(folder.path())[0]).unwrap();
        let extension = ["jsonl", "jsonl.gz", "jsonl.zst"][ALL.iter().position(|c| *c == compression).unwrap()];
        let cut_file = folder.path().join(format!("cut.{extension}"));
        let step = whole.len() / 40;
        for end in (1..whole.len()).step_by(step).chain([whole.len() - 1]) {
            std::fs::write(&cut_file, &whole[..end]).unwrap();
            let mut reader = CaptureReader::open([&cut_file]).unwrap();
            let records = read(&mut reader);
            assert_eq!(records, expected[..records.len()], "{compression:?} cut at {end}");
            let lost = expected.len() - records.len();
            assert!(
                lost > 0 || !reader.truncated().is_empty(),
                "{compression:?} cut at {end}"
            );
            if compression == Compression::Plain && whole[end - 1] != b'\n' {
                assert_eq!(reader.truncated().len(), 1, "cut at {end}");
                assert!(reader.truncated()[0].bytes > 0);
            }
        }
    }
}

#[test]
fn bad_lines_are_refused_by_file_and_line_and_the_next_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"1 {\"a\":1}\n\n# a remark\n# 7 unknown thing\r\n{\"a\":2}\n12\n12 \n99999999999999999999999 {}\n3 \xff\xfe\n4\t{}\n")
        .unwrap();
    file.write_all(b"5 ").unwrap();
    file.write_all(&vec![b'x'; 17 << 20]).unwrap();
    file.write_all(b"\n6 {\"last\":true}\n").unwrap();
    drop(file);
    let mut reader = CaptureReader::open([&path]).unwrap();
    let mut found = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => found.push(format!("{record:?}")),
            Ok(None) => break,
            Err(CaptureError::BadLine {
                line,
                problem,
                path: of,
            }) => {
                assert_eq!(of, path);
                found.push(format!("{line} {problem:?}"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    let bad = |line: u64, problem: LineProblem| format!("{line} {problem:?}");
    let good = |time: u64, frame: &str| {
        format!(
            "{:?}",
            Record::Frame {
                receive_time: UnixNanos(time),
                frame: frame.as_bytes()
            }
        )
    };
    assert_eq!(
        found,
        [
            good(1, "{\"a\":1}"),
            format!("{:?}", Record::Remark { text: " a remark" }),
            format!(
                "{:?}",
                Record::Remark {
                    text: " 7 unknown thing"
                }
            ),
            bad(5, LineProblem::NoTime),
            bad(6, LineProblem::NoFrame),
            bad(7, LineProblem::NoFrame),
            bad(8, LineProblem::NoTime),
            bad(9, LineProblem::NotText),
            bad(10, LineProblem::NoTime),
            bad(11, LineProblem::TooLong),
            good(6, "{\"last\":true}"),
        ]
    );
}

#[test]
fn broken_compression_is_an_error_and_an_absent_file_is_one_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gz", "a.zst"] {
        let path = folder.path().join(name);
        std::fs::write(&path, b"this is not compressed at all, whatever the name says").unwrap();
        let mut reader = CaptureReader::open([&path]).unwrap();
        assert!(
            matches!(reader.next_record(), Err(CaptureError::Read { line: 1, .. })),
            "{name}"
        );
        assert!(matches!(reader.next_record(), Ok(None)), "{name}: and then the end");
    }
    let absent = folder.path().join("absent.gz");
    assert!(matches!(CaptureReader::open([&absent]), Err(CaptureError::Open { path, .. }) if path == absent));
}

#[test]
fn other_tools_read_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    write_some(folder.path(), options(Compression::Zstd));
    let mut text = String::new();
    let file = std::fs::File::open(&files(folder.path())[0]).unwrap();
    zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("# 1723161253000000000 open wss://example/stream"));
    assert_eq!(lines.next(), Some("1723161253000000000 {\"n\":0,\"padding\":\"\"}"));
}

#[test]
fn a_tap_never_waits_and_marks_what_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tap, mut drain) = capture_tap(4 << 10, 2);
    let mut writer = CaptureWriter::create(&folder.path().join("tap"), options(Compression::Plain)).unwrap();
    let body = [b'y'; 487];
    let mut kept = 0;
    for n in 0..100 {
        kept += u64::from(tap.record(TapKind::Frame, UnixNanos(n), &body));
    }
    // Eight records of 500 bytes fill a chunk; two chunks go around and one is being filled.
    assert_eq!((kept, tap.dropped()), (24, 76));
    assert!(
        !tap.record(TapKind::Frame, UnixNanos(100), &[0; 5000]),
        "larger than a chunk"
    );
    assert_eq!(drain.drain(&mut writer).unwrap(), 16);
    assert!(tap.record(TapKind::Sent, UnixNanos(101), b"hello"));
    assert!(!drain.is_finished());
    drop(tap);
    assert!(drain.is_finished());
    assert_eq!(
        drain.drain(&mut writer).unwrap(),
        10,
        "eight frames, the mark, the last"
    );
    writer.flush().unwrap();
    let records = read(&mut CaptureReader::open(files(folder.path())).unwrap());
    assert_eq!(records.len(), 26);
    assert_eq!(
        records[24],
        format!(
            "{:?}",
            Record::Dropped {
                time: UnixNanos(101),
                count: "77"
            }
        )
    );
    assert_eq!(
        records[25],
        format!(
            "{:?}",
            Record::Sent {
                time: UnixNanos(101),
                text: "hello"
            }
        )
    );
}

#[test]
fn a_tap_hands_everything_over_to_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (mut tap, mut drain) = capture_tap(8 << 10, 4);
    let mut writer = CaptureWriter::create(&folder.path().join("tap"), options(Compression::Zstd)).unwrap();
    let cold = std::thread::spawn(move || {
        let mut count = 0;
        while !drain.is_finished() {
            count += drain.drain(&mut writer).unwrap();
            std::thread::yield_now();
        }
        count + drain.drain(&mut writer).unwrap()
    });
    let mut kept = Vec::new();
    for n in 0..20_000_u64 {
        if tap.record(TapKind::Frame, UnixNanos(n), frame(n).as_bytes()) {
            kept.push(n);
        }
    }
    let dropped = tap.dropped();
    drop(tap);
    assert!(cold.join().unwrap() >= kept.len() as u64);
    let mut reader = CaptureReader::open(files(folder.path())).unwrap();
    let (mut frames, mut marked) = (Vec::new(), 0);
    while let Some(record) = reader.next_record().unwrap() {
        match record {
            Record::Frame {
                receive_time,
                frame: bytes,
            } => {
                assert_eq!(bytes, frame(receive_time.0).as_bytes());
                frames.push(receive_time.0);
            }
            Record::Dropped { count, .. } => marked += count.parse::<u64>().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(frames, kept);
    assert_eq!((marked, kept.len() as u64 + dropped), (dropped, 20_000));
}

/// Found by fuzzing: the numbers of lines behind such a start overflowed.
#[test]
fn an_index_of_absurd_line_counts_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.log");
    std::fs::write(&file, "1 {}\n5 []\nno time\n6 {}\n").unwrap();
    std::fs::write(
        folder.path().join("c.log.idx"),
        format!("1 0 5 {}\n5 5 5 1\n", u64::MAX),
    )
    .unwrap();
    let mut reader = CaptureReader::open_at([&file], UnixNanos(5)).unwrap();
    let mut times = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => times.extend(record.time()),
            Ok(None) => break,
            Err(error) => assert!(error.to_string().contains("bad line"), "{error}"),
        }
    }
    assert_eq!(times, [UnixNanos(5), UnixNanos(6)]);
}
