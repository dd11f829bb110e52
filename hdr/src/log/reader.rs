//! Reads an interval log line by line, from us or from anyone else of the HdrHistogram family.
//!
//! A file may still be written to: a last line without its line end that makes no sense is passed over and told
//! ([`LogReader::is_cut`]). Anything else that makes no sense is an error with its line number. No line is kept after
//! the next is asked for, and none may be longer than [`LINE_BYTES_MAX`].

use std::fs::File;
use std::io::BufReader;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use super::codec::{DecodeError, decode};
use super::key;
use crate::time::parse_seconds;

/// Longest line. The largest histogram that is decoded needs less.
const LINE_BYTES_MAX: u64 = 24 << 20;

/// Why a log could not be read, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("failed to read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line makes no sense.
    #[error("{path}:{line} is not a line of an interval log")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: What,
    },
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// Longer than any sound line.
    #[error("it is longer than {LINE_BYTES_MAX} bytes: is this an .hlog file?")]
    TooLong,
    /// Not text.
    #[error("it is not UTF-8: is this an .hlog file?")]
    Encoding,
    /// Not `start,length,max,histogram`.
    #[error("expected [Tag=name,]start,length,max,histogram")]
    Fields,
    /// A field is no number of seconds.
    #[error("{field} is {text:?}, not a number of seconds")]
    Seconds {
        /// Which.
        field: &'static str,
        /// What it says.
        text: String,
    },
    /// The histogram.
    #[error(transparent)]
    Histogram(#[from] DecodeError),
}

/// What the comments before the lines said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When the log was begun, nanoseconds since the Unix epoch.
    pub start_unix_ns: Option<u64>,
    /// What the lines' times are relative to.
    pub base_unix_ns: Option<u64>,
    /// The tag that the lines without a tag repeat.
    pub untagged: Option<String>,
}

/// One line, its histogram still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its tag; none where the line has none.
    pub tag: Option<&'a str>,
    /// Start, nanoseconds since the Unix epoch where the log says when it was begun; else after its own zero.
    pub start_ns: u64,
    /// Length in nanoseconds.
    pub length_ns: u64,
    /// It has no tag, and the log says that such lines repeat those of a tag.
    pub is_repeat: bool,
    encoded: &'a str,
}

impl Line<'_> {
    /// Its end, on the same clock as its start.
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.length_ns)
    }

    /// Its histogram.
    pub fn histogram(&self) -> Result<Histogram<u64>, DecodeError> {
        decode(self.encoded)
    }
}

/// A log being read.
#[derive(Debug)]
pub struct LogReader<R> {
    input: R,
    path: PathBuf,
    buffer: Vec<u8>,
    line_number: u64,
    header: Header,
    is_cut: bool,
}

impl LogReader<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        Ok(Self::new(BufReader::new(file), path))
    }
}

impl<R: BufRead> LogReader<R> {
    /// Reads from anything; the path is what errors will call it.
    pub fn new(input: R, path: impl Into<PathBuf>) -> Self {
        Self {
            input,
            path: path.into(),
            buffer: Vec::new(),
            line_number: 0,
            header: Header::default(),
            is_cut: false,
        }
    }

    /// What its comments have said so far; those before the first line are known once that line was read.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the last line that was read, counted from one.
    pub fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Its name in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log ended inside a line, which was passed over: someone is writing to it, or died doing so.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Wraps what is wrong with the last line that was read.
    pub fn error(&self, source: impl Into<What>) -> ReadError {
        ReadError::Line {
            path: self.path.clone(),
            line: self.line_number,
            source: source.into(),
        }
    }

    /// The next line that holds a histogram; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        while self.fill()? {
            let is_whole = self.buffer.last() == Some(&b'\n');
            match parse(trim_end(&self.buffer), &mut self.header) {
                Ok(false) => continue,
                // Without a line end, a line that looks whole can still end inside its histogram.
                Ok(true) if is_whole || self.last_decodes() => {
                    return Ok(self.last());
                }
                Err(what) if is_whole => return Err(self.error(what)),
                _ => {
                    self.is_cut = true;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    fn last(&self) -> Option<Line<'_>> {
        let text = std::str::from_utf8(trim_end(&self.buffer)).ok()?;
        fields(text, &self.header).ok()
    }

    fn last_decodes(&self) -> bool {
        self.last().is_some_and(|line| line.histogram().is_ok())
    }

    /// Reads up to the next line end; false at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.clear();
        let io = |source| ReadError::Io {
            path: self.path.clone(),
            source,
        };
        let read = (&mut self.input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.buffer)
            .map_err(io)?;
        self.line_number += u64::from(read > 0);
        if read as u64 == LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
            return Err(self.error(What::TooLong));
        }
        Ok(read > 0)
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Takes in a comment; true where the line holds a histogram that must be read.
fn parse(line: &[u8], header: &mut Header) -> Result<bool, What> {
    let text = std::str::from_utf8(line).map_err(|_| What::Encoding)?;
    if text.starts_with('#') {
        take_comment(text, header);
        return Ok(false);
    }
    if text.trim().is_empty() || text.starts_with("\"StartTimestamp\"") {
        return Ok(false);
    }
    fields(text, header).map(|_| true)
}

fn take_comment(text: &str, header: &mut Header) {
    // The value ends at the first blank, comma or bracket: "1441812279.474 (seconds since epoch), Wed …]".
    let value_of = |key: &str| {
        let rest = text.strip_prefix(key)?.trim_start();
        rest.split([' ', ',', ']']).next()
    };
    if let Some(start) = value_of(key::START_TIME).and_then(parse_seconds) {
        header.start_unix_ns = Some(start);
    }
    if let Some(base) = value_of(key::BASE_TIME).and_then(parse_seconds) {
        header.base_unix_ns = Some(base);
    }
    if let Some(tag) = value_of(key::UNTAGGED) {
        header.untagged = Some(tag.to_owned());
    }
}

fn fields<'a>(text: &'a str, header: &Header) -> Result<Line<'a>, What> {
    let (tag, rest) = match text.strip_prefix("Tag=") {
        Some(rest) => rest
            .split_once(',')
            .map(|(tag, rest)| (Some(tag), rest))
            .ok_or(What::Fields)?,
        None => (None, text),
    };
    let mut fields = rest.split(',').map(str::trim);
    let mut next = || fields.next().ok_or(What::Fields);
    let (start, length, _max, encoded) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() || tag.is_some_and(|tag| tag.is_empty() || tag.chars().any(char::is_control)) {
        return Err(What::Fields);
    }
    let seconds = |field, text: &str| {
        let wrong = || What::Seconds {
            field,
            text: text.chars().take(40).collect(),
        };
        parse_seconds(text).ok_or_else(wrong)
    };
    let start_ns = seconds("start", start)?;
    Ok(Line {
        tag,
        start_ns: start_ns.saturating_add(base_of(header, start_ns)),
        length_ns: seconds("length", length)?,
        is_repeat: tag.is_none() && header.untagged.is_some(),
        encoded,
    })
}

/// What times are relative to. A log without a base that was begun long after its lines' times has lines relative to its
/// start; else they are absolute. This is the rule of HdrHistogram's own reader.
fn base_of(header: &Header, line_start_ns: u64) -> u64 {
    const YEAR_NS: u64 = 365 * 86_400 * 1_000_000_000;
    match (header.base_unix_ns, header.start_unix_ns) {
        (Some(base), _) => base,
        (None, Some(start)) if line_start_ns < start.saturating_sub(YEAR_NS) => start,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
