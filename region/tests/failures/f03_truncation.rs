//! F3: a page that was cut off a mapped file is a SIGBUS for the reader. Nothing of ours ever shortens a file, and a reader
//! looks at its length before each pass. Who cuts it after that look ends the reader: it says why, ends at once, and when
//! it is started again it gets an error it can report.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use quantumflow_region::{EXIT_CUT, FormatError, ReadError, RegionReader, RegionWriter, catalogue, exit_on_sigbus};

use crate::common::{engine, options, shm};

#[test]
fn f03_a_file_that_was_cut_is_an_error_at_the_next_look() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let mut reader = RegionReader::open(region.path().unwrap()).unwrap();
    let bytes = reader.info().region_bytes;
    let file = fs::File::options().write(true).open(region.path().unwrap()).unwrap();
    file.set_len(8192).unwrap();
    let is_cut = |error| matches!(error, ReadError::Truncated { to: 8192, from, .. } if from == bytes);
    assert!(is_cut(reader.snapshot().unwrap_err()));
    assert!(is_cut(reader.events().unwrap_err()));
    assert!(RegionReader::open(region.path().unwrap()).is_err());
    // Else the drop of the region, which marks it closed, would be a SIGBUS for this test.
    file.set_len(bytes).unwrap();
}

#[test]
fn f03_a_reader_whose_file_is_cut_in_the_middle_of_a_pass_says_why_it_ends() {
    let (mut told, mut killed) = (0, 0);
    for _ in 0..40 {
        let dir = shm();
        let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
        let hot = region.writer("hot").unwrap();
        for i in 0..80 {
            hot.histogram(&catalogue::STAGE_LATENCY, &[&format!("stage {i}")])
                .unwrap();
        }
        let mut child = engine::program("read", dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        engine::wait_ready(&mut child);
        let path = region.path().unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.set_len(16384).unwrap();
        let status = child.wait().unwrap();
        let mut words = String::new();
        child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        if status.code() == Some(EXIT_CUT) {
            assert!(
                words.contains("was cut while it was read"),
                "it died without a word: {words:?}"
            );
            killed += 1;
        } else {
            assert!(words.contains("Truncated"), "{status:?} {words}");
            told += 1;
        }
        // A supervisor starts it again.
        let again = RegionReader::open(path).unwrap_err();
        let is_named = |source: &FormatError| {
            matches!(
                source,
                FormatError::Field {
                    field: "region_len",
                    ..
                }
            )
        };
        assert!(
            matches!(&again, ReadError::Format { source, .. } if is_named(source)),
            "{again:?}"
        );
        file.set_len(bytes).unwrap();
        if killed > 0 && told > 0 {
            break;
        }
    }
    println!("{told} readers got an error, {killed} ended by SIGBUS and said so");
    assert!(killed > 0, "no reader was cut in the middle of a pass");
}

/// A reader that takes one snapshot after the other until one fails.
pub(crate) fn read_for_ever(dir: &Path) {
    exit_on_sigbus().unwrap();
    let path = &quantumflow_region::directory::regions(dir).unwrap()[0].path;
    let mut reader = RegionReader::open(path).unwrap();
    reader.snapshot().unwrap();
    engine::ready();
    loop {
        reader.snapshot().unwrap();
    }
}
