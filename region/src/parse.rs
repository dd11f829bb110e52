//! From claims to facts: checks private copies of a region's header, descriptors and text.
//!
//! Nothing here touches shared memory. What it is given was copied once, so it cannot change between a check and its
//! use; what it returns holds only numbers that were checked against the file's length and the format's ceilings.

use std::collections::HashMap;
use std::sync::Arc;

use crate::crc::crc32c;
use crate::layout::{
    BYTE_ORDER_TAG, Descriptor, EventKindEntry, FLAG_RETIRED, Header, LabelRef, MAGIC, PAGE, Section, Shape,
    SubjectEntry, VERSION_MAJOR, WRITER_SHARED, compat, event_slot, limit, live, section, writer_block,
};
use crate::metric::{Agg, Kind, Unit, is_label_name, is_metric_name};

/// What is wrong with the bytes of a region or a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Too short to hold a header and a live page.
    #[error("file of {bytes} bytes is too short, at least {needed} are needed")]
    TooShort {
        /// Of the file.
        bytes: u64,
        /// Of the format.
        needed: u64,
    },
    /// Longer than a reader maps.
    #[error("file of {bytes} bytes is longer than the {most} that a reader accepts")]
    TooLong {
        /// Of the file.
        bytes: u64,
        /// The ceiling.
        most: u64,
    },
    /// Another kind of file.
    #[error("bad magic {0:#018x}: this is another kind of file")]
    Magic(u64),
    /// Written with another byte order.
    #[error("bad byte order tag {0:#010x}: written on a big-endian host, or damaged")]
    ByteOrder(u32),
    /// Of another major version.
    #[error("format version {major}.{minor} is not known, this program reads {VERSION_MAJOR}.x: use the newer program")]
    Version {
        /// Refused unless equal.
        major: u16,
        /// Informative.
        minor: u16,
    },
    /// A feature that changes the meaning of what this reader knows.
    #[error("the file needs features {0:#x} that this program does not know: use the newer program")]
    Incompatible(u64),
    /// The header is damaged.
    #[error("header checksum is {computed:#010x}, the file says {stored:#010x}: the header is damaged")]
    Checksum {
        /// Over the bytes there are.
        computed: u32,
        /// In the header.
        stored: u32,
    },
    /// A number of the header is out of bounds.
    #[error("{field} is {value}, which is out of bounds")]
    Field {
        /// Its name in the layout.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The table has no such section.
    #[error("section {0} is missing or appears twice")]
    Section(&'static str),
    /// A descriptor points outside its section, or says what cannot be.
    #[error("series {index}: {what}")]
    Series {
        /// Its place in DESC.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry of a table says what cannot be.
    #[error("{table} {index}: {what}")]
    Entry {
        /// Which table.
        table: &'static str,
        /// Its place there.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A count that only grows has shrunk, or passed its room.
    #[error("{what} went from {from} to {to}: the writer broke its word")]
    Count {
        /// Which count.
        what: &'static str,
        /// As seen before; the room there is, where that was exceeded.
        from: u64,
        /// As seen now.
        to: u64,
    },
}

/// A checked span of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) off: usize,
    pub(crate) len: usize,
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// What the header says, checked.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    pub(crate) desc: Span,
    pub(crate) strings: Span,
    pub(crate) labels: Span,
    pub(crate) live: Span,
    pub(crate) writer: Span,
    pub(crate) hist: Span,
    pub(crate) shared: Span,
    /// `None` in a file of version 1.0, and where the engine keeps none.
    pub(crate) events: Option<EventSections>,
    pub(crate) unknown_count: u32,
}

/// The sections of the flight recorder.
#[derive(Clone, Debug)]
pub(crate) struct EventSections {
    pub(crate) slots: Span,
    pub(crate) kinds: Span,
    pub(crate) subjects: Span,
    /// Slots of each thread, a power of two.
    pub(crate) per_writer: usize,
}

/// What a region says of the program that wrote it. Claims, for people: nothing is decided by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Name of the service.
    pub service: String,
    /// Version of its build.
    pub version: String,
    /// Revision of its build.
    pub revision: String,
    /// Different in every start.
    pub instance_id: u64,
    /// Process id in the writer's namespace.
    pub pid: u32,
    /// User id of the writer.
    pub uid: u32,
    /// Start, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Start, nanoseconds of CLOCK_BOOTTIME; zero when unknown.
    pub start_boottime_ns: u64,
    /// Start time of the process in clock ticks after boot; zero when unknown.
    pub pid_start_ticks: u64,
    /// The boot that it ran in; zeros when unknown.
    pub boot_id: [u8; 16],
    /// Hash of its catalogue.
    pub schema_hash: u64,
    /// Whether it is of a job: then its numbers stay true when it has ended in order.
    pub is_job: bool,
    /// Format version.
    pub format: (u16, u16),
    /// Bytes of the file.
    pub region_bytes: u64,
    /// Room for series.
    pub max_series: u32,
    /// Sections of types that this reader does not know.
    pub unknown_section_count: u32,
}

/// Checks a header page against the length of its file.
pub(crate) fn header(page: &[u8], file_len: u64) -> Result<(RegionInfo, Sections), FormatError> {
    let needed = 2 * PAGE as u64;
    if file_len < needed || page.len() < PAGE {
        return Err(FormatError::TooShort {
            bytes: file_len,
            needed,
        });
    }
    let head: Header = bytemuck::pod_read_unaligned(&page[..size_of::<Header>()]);
    check_start(page, head.magic == MAGIC, &StartFields::of_region(&head))?;
    if head.region_len != file_len {
        return Err(FormatError::Field {
            field: "region_len",
            value: head.region_len,
        });
    }
    let field = |field, value: u32, sound: bool| {
        if sound {
            Ok(())
        } else {
            Err(FormatError::Field {
                field,
                value: value.into(),
            })
        }
    };
    let stride = head.section_stride as usize;
    field(
        "section_count",
        head.section_count,
        head.section_count <= limit::SECTIONS,
    )?;
    field(
        "section_stride",
        head.section_stride,
        (32..=256).contains(&stride) && stride.is_multiple_of(8),
    )?;
    let table_end = size_of::<Header>() + head.section_count as usize * stride;
    field(
        "section_count",
        head.section_count,
        table_end <= head.header_len as usize,
    )?;
    let mut found = [None; section::SUBJECTS as usize + 1];
    let mut unknown_count = 0;
    for index in 0..head.section_count as usize {
        let at = size_of::<Header>() + index * stride;
        let section: Section = bytemuck::pod_read_unaligned(&page[at..at + size_of::<Section>()]);
        let Some(slot) = found.get_mut(section.kind as usize).filter(|_| section.kind > 0) else {
            unknown_count += 1;
            continue;
        };
        let what = "lies outside the file or is not aligned";
        let wrong = FormatError::Entry {
            table: "section",
            index,
            what,
        };
        let end = section.off.checked_add(section.len).ok_or_else(|| wrong.clone())?;
        let table = u64::from(section.stride) * u64::from(section.count);
        if end > file_len || section.off < PAGE as u64 || !section.off.is_multiple_of(64) || table > section.len {
            return Err(wrong);
        }
        let (stride, count) = (section.stride as usize, section.count as usize);
        let span = Span {
            off: section.off as usize,
            len: section.len as usize,
            stride,
            count,
        };
        if slot.replace(span).is_some() {
            return Err(FormatError::Entry {
                table: "section",
                index,
                what: "its type appears twice",
            });
        }
    }
    let take = |kind: u32, name| found[kind as usize].ok_or(FormatError::Section(name));
    let sections = Sections {
        desc: take(section::DESC, "DESC")?,
        strings: take(section::STRINGS, "STRINGS")?,
        labels: take(section::LABELS, "LABELS")?,
        live: take(section::LIVE, "LIVE")?,
        writer: take(section::WRITER, "WRITER")?,
        hist: take(section::HIST, "HIST")?,
        shared: found[section::SHARED as usize].unwrap_or_default(),
        events: None,
        unknown_count,
    };
    check_sections(&sections)?;
    let sections = Sections {
        events: event_sections(&found, sections.writer.count)?,
        ..sections
    };
    let info = RegionInfo {
        service: text_of(&head.service),
        version: text_of(&head.version),
        revision: text_of(&head.commit),
        instance_id: head.instance_id,
        pid: head.pid,
        uid: head.uid,
        start_unix_ns: head.start_unix_ns,
        start_boottime_ns: head.start_boottime_ns,
        pid_start_ticks: head.pid_start_ticks,
        boot_id: head.boot_id,
        schema_hash: head.schema_hash,
        is_job: head.feature_compat & compat::JOB != 0,
        format: (head.major, head.minor),
        region_bytes: file_len,
        max_series: head.max_desc,
        unknown_section_count: unknown_count,
    };
    Ok((info, sections))
}

/// The fields that the headers of regions and rings share, at the same offsets.
pub(crate) struct StartFields {
    pub(crate) magic: u64,
    pub(crate) byte_order: u32,
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) header_len: u32,
    pub(crate) crc32c: u32,
    pub(crate) feature_incompat: u64,
    pub(crate) least_len: usize,
}

impl StartFields {
    fn of_region(head: &Header) -> Self {
        let Header {
            magic,
            byte_order,
            major,
            minor,
            header_len,
            crc32c,
            feature_incompat,
            ..
        } = *head;
        Self {
            magic,
            byte_order,
            major,
            minor,
            header_len,
            crc32c,
            feature_incompat,
            least_len: size_of::<Header>(),
        }
    }
}

/// Magic, byte order, version, checksum, features: in the order in which they make sense of each other.
pub(crate) fn check_start(page: &[u8], magic_fits: bool, start: &StartFields) -> Result<(), FormatError> {
    if !magic_fits {
        return Err(FormatError::Magic(start.magic));
    }
    if start.byte_order != BYTE_ORDER_TAG {
        return Err(FormatError::ByteOrder(start.byte_order));
    }
    if start.major != VERSION_MAJOR {
        return Err(FormatError::Version {
            major: start.major,
            minor: start.minor,
        });
    }
    let header_len = start.header_len as usize;
    if header_len < start.least_len || header_len > PAGE || header_len > page.len() {
        return Err(FormatError::Field {
            field: "header_len",
            value: header_len as u64,
        });
    }
    let mut bytes = page[..header_len].to_vec();
    bytes[20..24].fill(0);
    let computed = crc32c(&bytes);
    if computed != start.crc32c {
        return Err(FormatError::Checksum {
            computed,
            stored: start.crc32c,
        });
    }
    if start.feature_incompat != 0 {
        return Err(FormatError::Incompatible(start.feature_incompat));
    }
    Ok(())
}

/// The flight recorder's sections by type, all three or none.
fn event_sections(found: &[Option<Span>], writer_count: usize) -> Result<Option<EventSections>, FormatError> {
    let at = |kind: u32| found[kind as usize];
    let (Some(slots), Some(kinds), Some(subjects)) =
        (at(section::EVENTS), at(section::EVENT_KINDS), at(section::SUBJECTS))
    else {
        let any = [section::EVENTS, section::EVENT_KINDS, section::SUBJECTS]
            .map(at)
            .iter()
            .any(Option::is_some);
        return if any {
            Err(FormatError::Section("EVENTS, EVENT_KINDS or SUBJECTS"))
        } else {
            Ok(None)
        };
    };
    let check = |field, value: usize, sound: bool| {
        if sound {
            Ok(())
        } else {
            Err(FormatError::Field {
                field,
                value: value as u64,
            })
        }
    };
    let strided = |span: &Span, least: usize| (least..=1024).contains(&span.stride) && span.stride.is_multiple_of(8);
    check("EVENTS stride", slots.stride, strided(&slots, event_slot::USED * 8))?;
    check("EVENTS count", slots.count, slots.count <= limit::EVENTS as usize)?;
    let per_writer = slots.count.checked_div(writer_count).unwrap_or(0);
    let is_even = per_writer.is_power_of_two() && per_writer * writer_count == slots.count;
    check("EVENTS count", slots.count, is_even)?;
    check(
        "EVENT_KINDS stride",
        kinds.stride,
        strided(&kinds, size_of::<EventKindEntry>()),
    )?;
    check(
        "EVENT_KINDS count",
        kinds.count,
        kinds.count <= limit::EVENT_KINDS as usize,
    )?;
    check(
        "SUBJECTS stride",
        subjects.stride,
        strided(&subjects, size_of::<SubjectEntry>()),
    )?;
    check(
        "SUBJECTS count",
        subjects.count,
        subjects.count <= limit::SUBJECTS as usize,
    )?;
    Ok(Some(EventSections {
        slots,
        kinds,
        subjects,
        per_writer,
    }))
}

fn check_sections(sections: &Sections) -> Result<(), FormatError> {
    let Sections {
        desc,
        strings,
        labels,
        live: live_page,
        writer,
        ..
    } = sections;
    let check = |field, value: usize, sound: bool| {
        if sound {
            Ok(())
        } else {
            Err(FormatError::Field {
                field,
                value: value as u64,
            })
        }
    };
    let strided = |span: &Span, least: usize| span.stride >= least && span.stride.is_multiple_of(8);
    check(
        "DESC stride",
        desc.stride,
        strided(desc, size_of::<Descriptor>()) && desc.stride <= 1024,
    )?;
    check("DESC count", desc.count, desc.count <= limit::DESCRIPTORS as usize)?;
    check(
        "STRINGS length",
        strings.len,
        strings.len as u64 <= limit::STRING_BYTES && strings.len.is_multiple_of(8),
    )?;
    check(
        "LABELS stride",
        labels.stride,
        strided(labels, size_of::<LabelRef>()) && labels.stride <= 256,
    )?;
    check(
        "LABELS count",
        labels.count,
        labels.count <= limit::DESCRIPTORS as usize * limit::LABELS,
    )?;
    check("LIVE length", live_page.len, live_page.len >= live::WORDS * 8)?;
    check("WRITER stride", writer.stride, strided(writer, writer_block::CELLS * 8))?;
    check("WRITER count", writer.count, writer.count <= limit::WRITERS as usize)
}

/// Labels and their values.
pub(crate) type Labels = Vec<(Arc<str>, Arc<str>)>;

/// What a series is: everything that the file says of it but its value.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesMeta {
    /// The metric's name.
    pub name: Arc<str>,
    /// The metric's sentence.
    pub help: Arc<str>,
    /// What the value is.
    pub kind: Kind,
    /// The base unit.
    pub unit: Unit,
    /// How the values of several threads became one.
    pub agg: Agg,
    /// Power of ten from the raw value to the base unit.
    pub scale: i8,
    /// Names of the states, by number.
    pub states: Arc<[String]>,
    /// Labels and their values, sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Hash of name and labels.
    pub series_id: u64,
    /// When the first thread registered it, nanoseconds since the Unix epoch, to about a second.
    pub created_unix_ns: u64,
    /// Buckets of a histogram.
    pub shape: Option<Shape>,
}

impl SeriesMeta {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| &**label == name)
            .map(|(_, value)| &**value)
    }

    /// A raw value in the base unit.
    pub fn to_base(&self, raw: f64) -> f64 {
        crate::metric::to_base(raw, self.scale)
    }

    /// Whether two threads' series can be one.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        (self.kind, self.unit, self.agg, self.scale, self.shape)
            == (other.kind, other.unit, other.agg, other.scale, other.shape)
    }
}

/// A descriptor that passed.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) meta: SeriesMeta,
    /// Index of the writer's block; `None` for SHARED.
    pub(crate) writer: Option<usize>,
    pub(crate) value_off: usize,
}

/// Texts that were checked, shared by all series of a reader.
#[derive(Default)]
pub(crate) struct Interned {
    texts: HashMap<(u32, u16), Arc<str>>,
    bytes: usize,
}

/// The private copies that descriptors refer to.
pub(crate) struct Texts<'a> {
    pub(crate) sections: &'a Sections,
    /// STRINGS up to what is in use.
    pub(crate) strings: &'a [u8],
    /// LABELS up to what is in use, whole strides.
    pub(crate) labels: &'a [u8],
    /// What was checked before.
    pub(crate) interned: &'a mut Interned,
}

impl Texts<'_> {
    /// The text at `off`, if it is one and not longer than `most`.
    pub(crate) fn get(&mut self, off: u32, len: u16, most: usize) -> Result<Arc<str>, &'static str> {
        if let Some(text) = self.interned.texts.get(&(off, len)) {
            return if text.len() <= most {
                Ok(Arc::clone(text))
            } else {
                Err("a text is too long")
            };
        }
        let (start, len_bytes) = (off as usize, usize::from(len));
        if len_bytes > most {
            return Err("a text is too long");
        }
        let end = start.checked_add(len_bytes).ok_or("a text lies outside STRINGS")?;
        let bytes = self.strings.get(start..end).ok_or("a text lies outside STRINGS")?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
        if text.chars().any(char::is_control) {
            return Err("a text has control characters");
        }
        // Texts do not overlap in a sound file; without this a small one could ask for gigabytes of copies.
        self.interned.bytes += len_bytes;
        if self.interned.bytes > self.sections.strings.len {
            return Err("the texts overlap");
        }
        let text: Arc<str> = text.into();
        self.interned.texts.insert((off, len), Arc::clone(&text));
        Ok(text)
    }

    /// Checks one descriptor; `Ok(None)` where it is of a kind that this reader does not know.
    pub(crate) fn series(&mut self, bytes: &[u8], index: usize) -> Result<Option<Parsed>, FormatError> {
        let descriptor: Descriptor = bytemuck::pod_read_unaligned(&bytes[..size_of::<Descriptor>()]);
        self.checked(&descriptor)
            .map_err(|what| FormatError::Series { index, what })
    }

    fn checked(&mut self, d: &Descriptor) -> Result<Option<Parsed>, &'static str> {
        let (Some(kind), Some(unit), Some(agg)) =
            (Kind::from_wire(d.kind), Unit::from_wire(d.unit), Agg::from_wire(d.agg))
        else {
            return Ok(None);
        };
        if !(-18..=18).contains(&d.scale) {
            return Err("its scale is out of bounds");
        }
        let name = self.get(d.name_off, d.name_len, limit::NAME_BYTES)?;
        if !is_metric_name(&name) {
            return Err("its name is not one that Prometheus takes");
        }
        let help = self.get(d.help_off, d.help_len, limit::HELP_BYTES)?;
        let states = self.get(d.states_off, d.states_len, limit::HELP_BYTES)?;
        let states = if states.is_empty() {
            Arc::from([])
        } else {
            states.split('|').map(str::to_owned).collect()
        };
        let labels = self.labels_of(d)?;
        let shape = match kind {
            Kind::Histogram if d.hist_width != 8 => return Err("its buckets are not 8 bytes wide"),
            Kind::Histogram => {
                Some(Shape::new(d.hist_precision, d.hist_max_pow).ok_or("its histogram's shape is out of bounds")?)
            }
            _ => None,
        };
        let value_off = self.value_off(d, shape)?;
        let (series_id, created_unix_ns, scale) = (d.series_id, d.created_unix_ns, d.scale);
        let writer = (d.writer != WRITER_SHARED).then_some(usize::from(d.writer));
        let meta = SeriesMeta {
            name,
            help,
            kind,
            unit,
            agg,
            scale,
            states,
            labels,
            series_id,
            created_unix_ns,
            shape,
        };
        Ok(Some(Parsed {
            meta,
            writer,
            value_off,
        }))
    }

    fn labels_of(&mut self, d: &Descriptor) -> Result<Labels, &'static str> {
        let count = usize::from(d.label_count);
        if count > limit::LABELS {
            return Err("it has too many labels");
        }
        let stride = self.sections.labels.stride;
        let mut labels: Labels = Vec::with_capacity(count);
        for index in d.labels_index as usize..d.labels_index as usize + count {
            let outside = "its labels lie outside LABELS";
            let start = index.checked_mul(stride).ok_or(outside)?;
            let bytes = self
                .labels
                .get(start..)
                .and_then(|b| b.get(..size_of::<LabelRef>()))
                .ok_or(outside)?;
            let label: LabelRef = bytemuck::pod_read_unaligned(bytes);
            let name = self.get(label.name_off, label.name_len, limit::NAME_BYTES)?;
            let value = self.get(label.value_off, label.value_len, limit::LABEL_BYTES)?;
            if !is_label_name(&name) {
                return Err("a label's name is not one that Prometheus takes");
            }
            if labels.last().is_some_and(|(last, _)| *last >= name) {
                return Err("its labels are not sorted, or one appears twice");
            }
            labels.push((name, value));
        }
        Ok(labels)
    }

    fn value_off(&self, d: &Descriptor, shape: Option<Shape>) -> Result<usize, &'static str> {
        let off = usize::try_from(d.value_off).map_err(|_| "its value lies outside the file")?;
        if !off.is_multiple_of(8) {
            return Err("its value is not aligned");
        }
        let Sections {
            writer, hist, shared, ..
        } = self.sections;
        if d.writer != WRITER_SHARED && usize::from(d.writer) >= writer.count {
            return Err("its writer does not exist");
        }
        let (start, end, bytes) = match shape {
            Some(shape) => (hist.off, hist.off + hist.len, shape.block_bytes()),
            None if d.writer == WRITER_SHARED => (shared.off, shared.off + shared.len, 8),
            None => {
                let block = writer.off + usize::from(d.writer) * writer.stride;
                (block + writer_block::CELLS * 8, block + writer.stride, 8)
            }
        };
        if off < start || off.checked_add(bytes).is_none_or(|value_end| value_end > end) {
            return Err("its value lies outside its section");
        }
        Ok(off)
    }
}

/// Whether a descriptor's first word says that the series is no longer fed.
pub(crate) fn is_retired(first_word: u64) -> bool {
    (first_word >> 32) as u32 & FLAG_RETIRED != 0
}

/// The text before the first zero; what is not UTF-8 or not printable in it is replaced.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len])
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}
