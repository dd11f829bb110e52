//! Writes captures: blocks that can be read each by itself, an index beside them, a new file now and then.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::types::{Line, UnixNanos};

use super::index::{self, Block};
use super::{CaptureError, Compression};

/// How a capture is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureOptions {
    /// How the files are compressed.
    pub compression: Compression,
    /// Text per block: what a reader has to unpack to find one line, and what a crash can lose.
    pub block_bytes: usize,
    /// A new file is started when one has so many bytes on disk.
    pub rotate_bytes: u64,
    /// A new file is started when one spans so much time.
    pub rotate_after: Duration,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd,
            block_bytes: 1 << 20,
            rotate_bytes: 1 << 30,
            rotate_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// Writes the records of one connection. Belongs to a cold thread: it compresses and it waits for the disk.
///
/// Files are named `<prefix>-<time of the first record, ns>.jsonl[.zst|.gz]`, so that they sort by time. A block is
/// written when it is full, on [`flush`](Self::flush), and when the writer is dropped.
pub struct CaptureWriter {
    prefix: PathBuf,
    options: CaptureOptions,
    file: Option<CurrentFile>,
    /// The block at hand.
    text: Vec<u8>,
    packed: Vec<u8>,
    first_time: UnixNanos,
    line_count: u64,
    replaced_line_breaks: u64,
    /// The line that the records are of.
    current: Line,
}

struct CurrentFile {
    path: PathBuf,
    file: File,
    index: File,
    bytes: u64,
    first_time: UnixNanos,
}

impl CaptureWriter {
    /// A writer of files that start with `prefix`; its folder is created if need be. No file is made before there is
    /// something to write.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(prefix: &Path, options: CaptureOptions) -> Result<Self, CaptureError> {
        if let Some(folder) = prefix.parent() {
            std::fs::create_dir_all(folder).map_err(|source| CaptureError::Write {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            text: Vec::with_capacity(options.block_bytes + (64 << 10)),
            packed: Vec::new(),
            options,
            file: None,
            first_time: UnixNanos(0),
            line_count: 0,
            replaced_line_breaks: 0,
            current: Line::First,
        })
    }

    /// A frame that was received.
    ///
    /// # Errors
    /// The disk; so for all methods. What could not be written is lost, and the next block is tried afresh.
    pub fn frame(&mut self, receive_time: UnixNanos, frame: &[u8]) -> Result<(), CaptureError> {
        self.line(receive_time, "", frame);
        self.flush_if_full()
    }

    /// The body of a REST reply.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn snapshot(&mut self, receive_time: UnixNanos, symbol: &str, body: &[u8]) -> Result<(), CaptureError> {
        // Both lines stay in one block, and so in one file.
        self.line(receive_time, "rest", symbol.as_bytes());
        self.line(receive_time, "", body);
        self.flush_if_full()
    }

    /// A frame that was sent.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn sent(&mut self, time: UnixNanos, text: &[u8]) -> Result<(), CaptureError> {
        self.line(time, "sent", text);
        self.flush_if_full()
    }

    /// The connection opened.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn opened(&mut self, time: UnixNanos, detail: &[u8]) -> Result<(), CaptureError> {
        self.line(time, "open", detail);
        self.flush_if_full()
    }

    /// The connection ended.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn closed(&mut self, time: UnixNanos, detail: &[u8]) -> Result<(), CaptureError> {
        self.line(time, "close", detail);
        self.flush_if_full()
    }

    /// What comes next is of this line of the feed.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn turn_to(&mut self, time: UnixNanos, line: Line) -> Result<(), CaptureError> {
        self.current = Line::First; // a block that begins here says it once
        self.line(time, "line", line.name().as_bytes());
        self.current = line;
        self.flush_if_full()
    }

    /// `count` records were lost before this point.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn dropped(&mut self, time: UnixNanos, count: u64) -> Result<(), CaptureError> {
        self.line(time, "dropped", count.to_string().as_bytes());
        self.flush_if_full()
    }

    /// Writes what is there as a block of its own. Often called on a quiet feed it costs compression.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let result = self.write_block();
        if result.is_err() {
            // Where a block ends is not known any more; a new file starts clean.
            self.file = None;
        }
        self.text.clear();
        self.line_count = 0;
        result
    }

    /// The file that is being written.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// How many line breaks within frames were replaced by spaces.
    pub fn replaced_line_breaks(&self) -> u64 {
        self.replaced_line_breaks
    }

    fn line(&mut self, time: UnixNanos, word: &str, content: &[u8]) {
        if self.text.is_empty() {
            self.first_time = time;
            // Each block can be read by itself.
            if self.current != Line::First {
                let name = self.current.name().as_bytes();
                self.put(time, "line", name);
            }
        }
        self.put(time, word, content);
    }

    fn put(&mut self, time: UnixNanos, word: &str, content: &[u8]) {
        let mut digits = itoa::Buffer::new();
        if !word.is_empty() {
            self.text.extend_from_slice(b"# ");
        }
        self.text.extend_from_slice(digits.format(time.0).as_bytes());
        self.text.push(b' ');
        if !word.is_empty() {
            self.text.extend_from_slice(word.as_bytes());
            self.text.push(b' ');
        }
        let start = self.text.len();
        self.text.extend_from_slice(content);
        for byte in &mut self.text[start..] {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
                self.replaced_line_breaks += 1;
            }
        }
        self.text.push(b'\n');
        self.line_count += 1;
    }

    fn flush_if_full(&mut self) -> Result<(), CaptureError> {
        if self.text.len() >= self.options.block_bytes {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn write_block(&mut self) -> Result<(), CaptureError> {
        let spans = |file: &CurrentFile| Duration::from_nanos(self.first_time.0.saturating_sub(file.first_time.0));
        if self
            .file
            .as_ref()
            .is_some_and(|file| file.bytes >= self.options.rotate_bytes || spans(file) >= self.options.rotate_after)
        {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(start_file(&self.prefix, self.options.compression, self.first_time)?),
        };
        let block = Block {
            first_time: self.first_time,
            offset: file.bytes,
            text_bytes: self.text.len() as u64,
            line_count: self.line_count,
        };
        let written = pack(&self.text, self.options.compression, &mut self.packed).and_then(|()| {
            let bytes = if self.options.compression == Compression::Plain {
                &self.text
            } else {
                &self.packed
            };
            file.file.write_all(bytes)?;
            file.bytes += bytes.len() as u64;
            // The index last: it never points at what is not there.
            let mut line = String::new();
            block.write(&mut line);
            file.index.write_all(line.as_bytes())
        });
        written.map_err(|source| CaptureError::Write {
            path: file.path.clone(),
            source,
        })
    }
}

impl Drop for CaptureWriter {
    fn drop(&mut self) {
        // Nobody is left to be told; who wants to know calls `flush` first.
        let _ = self.flush();
    }
}

fn start_file(prefix: &Path, compression: Compression, first_time: UnixNanos) -> Result<CurrentFile, CaptureError> {
    let mut name = prefix.as_os_str().to_owned();
    name.push(format!("-{:020}.jsonl{}", first_time.0, compression.extension()));
    let path = PathBuf::from(name);
    let create = |path: &Path| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| CaptureError::Open {
                path: path.to_owned(),
                source,
            })
    };
    let file = create(&path)?;
    let index = create(&index::path_of(&path))?;
    Ok(CurrentFile {
        path,
        file,
        index,
        bytes: 0,
        first_time,
    })
}

fn pack(text: &[u8], compression: Compression, packed: &mut Vec<u8>) -> io::Result<()> {
    packed.clear();
    match compression {
        Compression::Plain => Ok(()),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut *packed, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(text)?;
            encoder.finish().map(drop)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(&mut *packed, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.write_all(text)?;
            encoder.finish().map(drop)
        }
    }
}

const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;
