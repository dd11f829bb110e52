//! The index beside a capture: a line per block, `<first time ns> <offset> <bytes of text> <lines>`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::types::UnixNanos;

/// One block of a capture, readable by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The time of its first line.
    pub(super) first_time: UnixNanos,
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Its length without compression.
    pub(super) text_bytes: u64,
    /// How many lines it has.
    pub(super) line_count: u64,
}

impl Block {
    pub(super) fn write(&self, out: &mut String) {
        let Self {
            first_time,
            offset,
            text_bytes,
            line_count,
        } = self;
        let _ = writeln!(out, "{} {offset} {text_bytes} {line_count}", first_time.0);
    }

    fn read(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let block = Self {
            first_time: UnixNanos(next()?),
            offset: next()?,
            text_bytes: next()?,
            line_count: next()?,
        };
        numbers.next().is_none().then_some(block)
    }
}

/// Where the index of a capture lies.
pub(super) fn path_of(capture: &Path) -> PathBuf {
    let mut path = capture.as_os_str().to_owned();
    path.push(".idx");
    path.into()
}

/// Where to start reading `capture` for everything from `from` on: the offset, and how many lines lie before it. The
/// start of the file where there is no index, or none that can be believed: reading all is slow, never wrong.
pub(super) fn start_for(capture: &Path, from: UnixNanos) -> (u64, u64) {
    let file_bytes = std::fs::metadata(capture).map_or(0, |metadata| metadata.len());
    let text = match std::fs::metadata(path_of(capture)) {
        Ok(metadata) if metadata.len() <= INDEX_BYTES_MAX => std::fs::read_to_string(path_of(capture)),
        _ => return (0, 0),
    };
    let mut start = (0, 0);
    let mut lines_before = 0_u64;
    let mut last: Option<Block> = None;
    for line in text.unwrap_or_default().split_inclusive('\n') {
        // A line that was cut short by a crash ends the index.
        let Some(block) = line.strip_suffix('\n').and_then(Block::read) else {
            break;
        };
        let follows = last.is_none_or(|last| block.offset > last.offset && block.first_time >= last.first_time);
        if !follows || (last.is_none() && block.offset != 0) || block.offset >= file_bytes {
            return (0, 0);
        }
        if block.first_time <= from {
            start = (block.offset, lines_before);
        }
        lines_before = lines_before.saturating_add(block.line_count);
        last = Some(block);
    }
    start
}

/// An index line has about 50 bytes; a day of the busiest feed has some ten thousand blocks.
const INDEX_BYTES_MAX: u64 = 64 << 20;
