//! The log of one service: which file is open, what it says of its engine, and the lines of a series in it.

use hdrhistogram::Histogram;
use quantumflow_region::{HistogramSnapshot, RegionInfo};

use crate::convert;
use crate::log::{LogHeader, comment_line};
use crate::recorder::{Observed, RecordError, RecorderOptions};
use crate::rotate::{OpenFile, Rotation};
use crate::tag::Tag;
use crate::time::rfc3339;

/// What a series gained in an interval.
pub(crate) struct Gain {
    pub(crate) tag: Tag,
    /// The histogram as it stands now.
    pub(crate) copy: HistogramSnapshot,
    /// What was added in the interval.
    pub(crate) delta: HistogramSnapshot,
    /// Start and end, nanoseconds since the Unix epoch.
    pub(crate) interval: (u64, u64),
}

/// One engine's lines of one interval, on their way to the file.
pub(crate) struct Page<'a> {
    pub(crate) info: &'a RegionInfo,
    pub(crate) host: &'a str,
    /// The earliest start of its lines.
    pub(crate) start_unix_ns: u64,
    pub(crate) now_unix_ns: u64,
}

/// The files of one service.
#[derive(Debug)]
pub(crate) struct Files {
    rotation: Rotation,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: OpenFile,
    header: LogHeader,
    /// The engine that the file last named.
    instance_id: u64,
}

impl Files {
    pub(crate) fn new(options: &RecorderOptions, service: &str) -> Self {
        // A region's service is a sound file name; what is none, in a hostile region, becomes one.
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        };
        let rotation = Rotation {
            dir: options.dir.clone(),
            service: service.chars().map(allowed).take(64).collect(),
            file_bytes_max: options.file_bytes_max,
            files_kept: options.files_kept,
        };
        Self { rotation, open: None }
    }

    /// Writes a series' line, and the same without a tag where it is the end-to-end latency: both or none.
    pub(crate) fn write(&mut self, page: &Page<'_>, gain: &Gain, observed: &mut Observed) -> Result<(), RecordError> {
        let Ok(histogram) = convert::to_hdr(&gain.delta) else {
            // A range of one or two values: no latency.
            return Ok(());
        };
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(page, observed)?,
        };
        let mut text = open.lines(page, gain, &histogram)?;
        if self.rotation.is_over(&open.file, page.now_unix_ns, text.len()) {
            open = self.begin(page, observed)?;
            text = open.lines(page, gain, &histogram)?;
        }
        let wrote = open.file.write_line(&text);
        let open = self.open.insert(open);
        wrote.map_err(|source| RecordError::Write {
            path: open.file.path.clone(),
            source,
        })?;
        open.instance_id = page.info.instance_id;
        observed.line_count += text.lines().filter(|line| !line.starts_with('#')).count() as u32;
        Ok(())
    }

    fn begin(&self, page: &Page<'_>, observed: &mut Observed) -> Result<Open, RecordError> {
        let header = page.header();
        let file = self.rotation.open(page.now_unix_ns, &header.text());
        let file = file.map_err(|source| RecordError::Write {
            path: self.rotation.dir.clone(),
            source,
        })?;
        observed.new_files.push(file.path.clone());
        Ok(Open {
            file,
            header,
            instance_id: page.info.instance_id,
        })
    }
}

impl Open {
    fn lines(&self, page: &Page<'_>, gain: &Gain, histogram: &Histogram<u64>) -> Result<String, RecordError> {
        let mut text = String::new();
        if self.instance_id != page.info.instance_id {
            text.push_str(&comment_line(&page.engine()));
        }
        let untagged = gain.tag.is_end_to_end().then_some(None);
        let tagged = (gain.delta.count() > 0).then_some(Some(&gain.tag));
        for tag in untagged.into_iter().chain(tagged) {
            let line = self.header.line(tag, gain.interval, Some(gain.delta.max()), histogram);
            text.push_str(&line.map_err(|source| RecordError::Encode {
                tag: gain.tag.clone(),
                source,
            })?);
        }
        Ok(text)
    }
}

impl Page<'_> {
    fn header(&self) -> LogHeader {
        let mut header = LogHeader::latencies(self.start_unix_ns);
        header.untagged = Some(Tag::end_to_end());
        header.comments.push(self.engine());
        if !self.host.is_empty() {
            header.comments.push(format!("host {}", self.host));
        }
        header
    }

    fn engine(&self) -> String {
        let info = self.info;
        format!(
            "engine {} {} ({}), pid {}, instance {:016x}, started {}",
            info.service,
            info.version,
            info.revision,
            info.pid,
            info.instance_id,
            rfc3339(info.start_unix_ns)
        )
    }
}
