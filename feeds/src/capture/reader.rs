//! Reads captures, ours and others', as records.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::decimal::scan_u64;
use crate::types::{Line, UnixNanos};

use super::{CaptureError, Compression, LINE_BYTES_MAX, LineProblem, index};

/// One record of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A text frame, as it was received.
    Frame {
        /// When.
        receive_time: UnixNanos,
        /// Its bytes; UTF-8.
        frame: &'a [u8],
    },
    /// The body of a REST reply.
    Snapshot {
        /// When it was received.
        receive_time: UnixNanos,
        /// Of which symbol, in the venue's spelling.
        symbol: &'a str,
        /// Its bytes; UTF-8.
        body: &'a [u8],
    },
    /// A frame that was sent.
    Sent {
        /// When.
        time: UnixNanos,
        /// What.
        text: &'a str,
    },
    /// The connection opened.
    Open {
        /// When.
        time: UnixNanos,
        /// To where.
        detail: &'a str,
    },
    /// The connection ended.
    Close {
        /// When.
        time: UnixNanos,
        /// Why.
        detail: &'a str,
    },
    /// What comes next is of another of the two lines that may carry a feed.
    Line {
        /// When.
        time: UnixNanos,
        /// Which one.
        line: Line,
    },
    /// The recorder lost frames here.
    Dropped {
        /// When it noticed.
        time: UnixNanos,
        /// How many, as text.
        count: &'a str,
    },
    /// Any other `#` line.
    Remark {
        /// The line behind the `#`.
        text: &'a str,
    },
}

impl Record<'_> {
    /// When it happened; remarks have no time.
    pub fn time(&self) -> Option<UnixNanos> {
        match *self {
            Self::Frame { receive_time: time, .. }
            | Self::Snapshot { receive_time: time, .. }
            | Self::Sent { time, .. }
            | Self::Open { time, .. }
            | Self::Close { time, .. }
            | Self::Line { time, .. }
            | Self::Dropped { time, .. } => Some(time),
            Self::Remark { .. } => None,
        }
    }
}

/// A file that ended in the middle of a line or of its compression: its recorder was killed. What was whole was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruncatedTail {
    /// Which file.
    pub path: PathBuf,
    /// The line that is not whole.
    pub line: u64,
    /// How many bytes of it there are.
    pub bytes: usize,
}

/// Reads the records of one capture, or of several that follow each other.
pub struct CaptureReader {
    /// The files to come, the next last.
    paths: Vec<PathBuf>,
    from: Option<UnixNanos>,
    current: Option<OpenFile>,
    line: Vec<u8>,
    /// The symbol of a `rest` line while its body is read.
    symbol: String,
    truncated: Vec<TruncatedTail>,
}

struct OpenFile {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    /// Lines that were read.
    line: u64,
}

impl CaptureReader {
    /// Reads `paths` one after the other. Files are opened when their turn comes, but must exist now.
    ///
    /// # Errors
    /// A file that does not exist or cannot be opened.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, CaptureError> {
        let mut paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        for path in &paths {
            File::open(path).map_err(|source| CaptureError::Open {
                path: path.clone(),
                source,
            })?;
        }
        paths.reverse();
        let (line, symbol) = (Vec::with_capacity(64 << 10), String::new());
        Ok(Self {
            paths,
            from: None,
            current: None,
            line,
            symbol,
            truncated: Vec::new(),
        })
    }

    /// The same from `from` on: what happened before is left out, and skipped by the index where there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>, from: UnixNanos) -> Result<Self, CaptureError> {
        Ok(Self {
            from: Some(from),
            ..Self::open(paths)?
        })
    }

    /// The next record; `None` at the end. After a [`CaptureError::BadLine`] the next call reads on behind it.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        // Found in a loop without the borrow that is returned, which the borrow checker would extend over all of it.
        let Some(found) = self.find()? else { return Ok(None) };
        let line = &self.line[..];
        let text = |start: usize| std::str::from_utf8(&line[start..]).unwrap_or_default();
        Ok(Some(match found {
            Found::Frame { receive_time, start } => Record::Frame {
                receive_time,
                frame: &line[start..],
            },
            Found::Snapshot { receive_time, start } => Record::Snapshot {
                receive_time,
                symbol: &self.symbol,
                body: &line[start..],
            },
            Found::Sent { time, start } => Record::Sent {
                time,
                text: text(start),
            },
            Found::Open { time, start } => Record::Open {
                time,
                detail: text(start),
            },
            Found::Close { time, start } => Record::Close {
                time,
                detail: text(start),
            },
            Found::Line { time, line } => Record::Line { time, line },
            Found::Dropped { time, start } => Record::Dropped {
                time,
                count: text(start),
            },
            Found::Remark => Record::Remark { text: text(1) },
        }))
    }

    /// The files that ended in the middle, so far.
    pub fn truncated(&self) -> &[TruncatedTail] {
        &self.truncated
    }

    fn find(&mut self) -> Result<Option<Found>, CaptureError> {
        let mut is_body = false;
        loop {
            if !self.next_line()? {
                return Ok(None);
            }
            if self.line.is_empty() {
                continue;
            }
            let found = match self.line[0] {
                b'#' => match remark(&self.line) {
                    Some((_, "rest", start)) => {
                        self.symbol.clear();
                        self.symbol
                            .push_str(std::str::from_utf8(&self.line[start..]).unwrap_or_default().trim());
                        is_body = true;
                        continue;
                    }
                    Some((time, "sent", start)) => Found::Sent { time, start },
                    Some((time, "open", start)) => Found::Open { time, start },
                    Some((time, "close", start)) => Found::Close { time, start },
                    Some((time, "dropped", start)) => Found::Dropped { time, start },
                    Some((time, "line", start)) => {
                        let name = std::str::from_utf8(&self.line[start..]).unwrap_or_default();
                        Line::from_name(name.trim()).map_or(Found::Remark, |line| Found::Line { time, line })
                    }
                    _ => Found::Remark,
                },
                _ => {
                    let (receive_time, start) = match frame_line(&self.line) {
                        Ok(found) => found,
                        Err(problem) => return Err(self.bad_line(problem)),
                    };
                    match is_body {
                        true => Found::Snapshot { receive_time, start },
                        false => Found::Frame { receive_time, start },
                    }
                }
            };
            let is_early = match (self.from, found.time()) {
                _ if matches!(found, Found::Line { .. }) => false, // it holds for what comes after it, too
                (Some(from), Some(time)) => time < from,
                _ => false,
            };
            if !is_early {
                return Ok(Some(found));
            }
            is_body = false;
        }
    }

    /// Reads the next whole line, without its end, into `self.line`; false at the end of the last file.
    fn next_line(&mut self) -> Result<bool, CaptureError> {
        loop {
            if self.current.is_none() {
                match self.paths.pop() {
                    Some(path) => self.current = Some(open(path, self.from)?),
                    None => return Ok(false),
                }
            }
            let Some(file) = &mut self.current else {
                return Ok(false);
            };
            self.line.clear();
            let ceiling = LINE_BYTES_MAX as u64 + 1;
            let read = (&mut file.source).take(ceiling).read_until(b'\n', &mut self.line);
            let cut_short = match &read {
                Ok(_) => self.line.last() != Some(&b'\n') && self.line.len() <= LINE_BYTES_MAX,
                Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
            };
            if cut_short {
                // Also a clean end: nothing was read.
                if !self.line.is_empty() || read.is_err() {
                    let (path, line) = (file.path.clone(), file.line.saturating_add(1));
                    self.truncated.push(TruncatedTail {
                        path,
                        line,
                        bytes: self.line.len(),
                    });
                }
                self.current = None;
                continue;
            }
            if let Err(source) = read {
                let (path, line) = (file.path.clone(), file.line.saturating_add(1));
                self.current = None; // a broken stream has no next line
                return Err(CaptureError::Read { path, line, source });
            }
            // The index, which may say anything, sets the first of these numbers.
            file.line = file.line.saturating_add(1);
            if self.line.last() != Some(&b'\n') {
                let line = file.line;
                if let Err(source) = skip_line(&mut file.source) {
                    let path = file.path.clone();
                    self.current = None;
                    return Err(CaptureError::Read { path, line, source });
                }
                return Err(self.bad_line(LineProblem::TooLong));
            }
            while let Some(b'\n' | b'\r') = self.line.last() {
                self.line.pop();
            }
            return Ok(true);
        }
    }

    fn bad_line(&self, problem: LineProblem) -> CaptureError {
        let (path, line) = self
            .current
            .as_ref()
            .map_or((PathBuf::new(), 0), |file| (file.path.clone(), file.line));
        CaptureError::BadLine { path, line, problem }
    }
}

/// A record as places in the line.
#[derive(Clone, Copy)]
enum Found {
    Frame { receive_time: UnixNanos, start: usize },
    Snapshot { receive_time: UnixNanos, start: usize },
    Sent { time: UnixNanos, start: usize },
    Open { time: UnixNanos, start: usize },
    Close { time: UnixNanos, start: usize },
    Dropped { time: UnixNanos, start: usize },
    Line { time: UnixNanos, line: Line },
    Remark,
}

impl Found {
    fn time(&self) -> Option<UnixNanos> {
        match *self {
            Self::Frame { receive_time: time, .. }
            | Self::Snapshot { receive_time: time, .. }
            | Self::Sent { time, .. }
            | Self::Open { time, .. }
            | Self::Close { time, .. }
            | Self::Line { time, .. }
            | Self::Dropped { time, .. } => Some(time),
            Self::Remark => None,
        }
    }
}

fn open(path: PathBuf, from: Option<UnixNanos>) -> Result<OpenFile, CaptureError> {
    let (offset, line) = from.map_or((0, 0), |from| index::start_for(&path, from));
    let opened = (|| -> io::Result<Box<dyn BufRead + Send>> {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        let file = BufReader::with_capacity(READ_BYTES, file);
        Ok(match Compression::of(&path) {
            Compression::Plain => Box::new(file),
            Compression::Gzip => Box::new(BufReader::with_capacity(
                READ_BYTES,
                flate2::bufread::MultiGzDecoder::new(file),
            )),
            Compression::Zstd => Box::new(BufReader::with_capacity(READ_BYTES, zstd::Decoder::with_buffer(file)?)),
        })
    })();
    match opened {
        Ok(source) => Ok(OpenFile { path, source, line }),
        Err(source) => Err(CaptureError::Open { path, source }),
    }
}

/// Takes `# <ns> <word> <rest>` apart: the time, the word, and where the rest starts.
fn remark(line: &[u8]) -> Option<(UnixNanos, &str, usize)> {
    std::str::from_utf8(line).ok()?;
    let (time, len) = scan_u64(line.strip_prefix(b"# ")?)?;
    let word_start = 2 + len + 1;
    if line.get(word_start - 1) != Some(&b' ') {
        return None;
    }
    let word_len = line[word_start..].iter().take_while(|byte| **byte != b' ').count();
    let word = std::str::from_utf8(&line[word_start..word_start + word_len]).ok()?;
    Some((UnixNanos(time), word, (word_start + word_len + 1).min(line.len())))
}

fn frame_line(line: &[u8]) -> Result<(UnixNanos, usize), LineProblem> {
    let (time, len) = scan_u64(line).ok_or(LineProblem::NoTime)?;
    match line.get(len) {
        None => return Err(LineProblem::NoFrame),
        Some(b' ') => {}
        Some(_) => return Err(LineProblem::NoTime),
    }
    let frame = &line[len + 1..];
    if frame.is_empty() {
        return Err(LineProblem::NoFrame);
    }
    // Sessions are promised UTF-8, by a WebSocket as by a file.
    simdutf8::basic::from_utf8(frame).map_err(|_| LineProblem::NotText)?;
    Ok((UnixNanos(time), len + 1))
}

fn skip_line(source: &mut (impl BufRead + ?Sized)) -> io::Result<()> {
    loop {
        let buffer = match source.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                source.consume(end + 1);
                return Ok(());
            }
            None => {
                let len = buffer.len();
                source.consume(len);
            }
        }
    }
}

const READ_BYTES: usize = 256 << 10;
