//! Writes an interval log: the header first, then a line per histogram, each whole or not at all.

use std::fmt::Write as _;
use std::io::{self, Write};

use hdrhistogram::Histogram;

use super::codec::{EncodeError, encode};
use super::key;
use crate::tag::Tag;
use crate::time::{MILLI_NS, rfc3339};

/// Why a line was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The histogram cannot be put into the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The file took no more.
    #[error("failed to write the log")]
    Io(#[from] io::Error),
}

/// What a log says of itself before its first line.
#[derive(Clone, Debug)]
pub struct LogHeader {
    /// When it begins, nanoseconds since the Unix epoch. Lines are written relative to it, in whole milliseconds.
    pub start_unix_ns: u64,
    /// By how much the largest value of a line is divided for the human eye; 1,000 shows microseconds where values are
    /// nanoseconds.
    pub max_value_divisor: f64,
    /// The tag whose lines are repeated without a tag.
    pub untagged: Option<Tag>,
    /// Free text, one comment line each. Line ends and control characters become blanks.
    pub comments: Vec<String>,
}

impl LogHeader {
    /// A header for latencies in nanoseconds, shown in microseconds.
    pub fn latencies(start_unix_ns: u64) -> Self {
        Self {
            start_unix_ns,
            max_value_divisor: 1000.0,
            untagged: None,
            comments: vec!["values are latencies in nanoseconds, Interval_Max is in microseconds".to_owned()],
        }
    }

    /// The lines before the first histogram.
    pub fn text(&self) -> String {
        let start = self.start_ms();
        let seconds = format!("{}.{:03} (seconds since epoch)", start / 1000, start % 1000);
        let mut text = format!(
            "{}\n{} {seconds}, {}]\n{} {seconds}]\n{} {:.3}]\n",
            key::VERSION,
            key::START_TIME,
            rfc3339(self.start_unix_ns),
            key::BASE_TIME,
            key::MAX_VALUE_DIVISOR,
            self.max_value_divisor,
        );
        if let Some(tag) = &self.untagged {
            let _ = writeln!(text, "{} {tag}]", key::UNTAGGED);
        }
        for comment in &self.comments {
            text.push_str(&comment_line(comment));
        }
        text.push_str(key::LEGEND);
        text.push('\n');
        text
    }

    /// One line. The interval is cut to whole milliseconds so that one ends where the next begins; what lies before the
    /// log's start is cut off. `max` is the largest value, where it is known better than the histogram's buckets do.
    pub fn line(
        &self,
        tag: Option<&Tag>,
        interval_unix_ns: (u64, u64),
        max: Option<u64>,
        histogram: &Histogram<u64>,
    ) -> Result<String, EncodeError> {
        let ms = |unix_ns: u64| (unix_ns / MILLI_NS).saturating_sub(self.start_ms());
        let (start, end) = (ms(interval_unix_ns.0), ms(interval_unix_ns.1));
        let length = end.saturating_sub(start);
        let max = max.unwrap_or_else(|| histogram.max()) as f64 / self.max_value_divisor;
        let mut line = String::new();
        if let Some(tag) = tag {
            let _ = write!(line, "Tag={tag},");
        }
        let (start, length) = ((start / 1000, start % 1000), (length / 1000, length % 1000));
        let encoded = encode(histogram)?;
        let _ = writeln!(
            line,
            "{}.{:03},{}.{:03},{max:.3},{encoded}",
            start.0, start.1, length.0, length.1
        );
        Ok(line)
    }

    fn start_ms(&self) -> u64 {
        self.start_unix_ns / MILLI_NS
    }
}

/// A text as a comment line that cannot be taken for anything else.
pub(crate) fn comment_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {plain}\n")
}

/// A log being written to anything.
#[derive(Debug)]
pub struct LogWriter<W> {
    header: LogHeader,
    out: W,
}

impl<W: Write> LogWriter<W> {
    /// Writes the header.
    pub fn begin(mut out: W, header: LogHeader) -> io::Result<Self> {
        out.write_all(header.text().as_bytes())?;
        Ok(Self { header, out })
    }

    /// Writes one line; the interval is its start and its end, nanoseconds since the Unix epoch.
    pub fn write(
        &mut self,
        tag: Option<&Tag>,
        interval_unix_ns: (u64, u64),
        histogram: &Histogram<u64>,
    ) -> Result<(), WriteError> {
        let line = self.header.line(tag, interval_unix_ns, None, histogram)?;
        Ok(self.out.write_all(line.as_bytes())?)
    }

    /// Flushes and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
