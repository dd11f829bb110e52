//! The other side of the flight recorder: what the last events were, in the words that the file itself brings along.
//!
//! Reads living and dead regions alike. Kinds, subjects and texts are copied once and checked as everything else is; an
//! event whose numbers point outside the tables is shown as of an unknown kind or without a subject, not refused: after a
//! crash the other thousand are still worth reading.

use std::fmt;
use std::sync::Arc;

use crate::event_ring::{Ring, RingCopy};
use crate::layout::{EventFieldEntry, EventKindEntry, SubjectEntry, event_slot, limit, live, writer_block};
use crate::memory::Block;
use crate::metric::{Unit, is_label_name};
use crate::parse::{EventSections, FormatError, Interned, Span, Texts};
use crate::reader::{ReadError, RegionReader, bounded, writer_name};
use crate::sync::{Words, fence_acquire};

/// The last events of one thread.
#[derive(Clone, Debug)]
pub struct ThreadEvents {
    /// The thread's name.
    pub writer: Arc<str>,
    /// Events that it recorded since its start.
    pub recorded: u64,
    /// How many of them are no longer there, because later ones took their place.
    pub overwritten: u64,
    /// It was inside a record. In the region of a dead engine: it died there.
    pub is_recording: bool,
    /// Those that are left, oldest first.
    pub events: Vec<Event>,
}

/// One event. Its `Display` is `kind subject name=value name=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number in the thread, from 0, without a hole: who reads again goes on after the last that was seen.
    pub sequence: u64,
    /// When, nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// What happened.
    pub kind: Arc<EventMeta>,
    /// What it happened to; `None` where that is the engine itself.
    pub subject: Option<Arc<str>>,
    /// The first number.
    pub a: u64,
    /// The second.
    pub b: u64,
}

/// What a kind of event is, as the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMeta {
    /// Its name, in snake case.
    pub name: Arc<str>,
    /// Its sentence.
    pub help: Arc<str>,
    /// What the first number is; `None` where it is not used.
    pub a: Option<EventFieldMeta>,
    /// What the second number is.
    pub b: Option<EventFieldMeta>,
}

/// What one of an event's numbers is, as the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFieldMeta {
    /// Its name, unit last.
    pub name: Arc<str>,
    /// Its base unit.
    pub unit: Unit,
    /// Power of ten from the number to the base unit.
    pub scale: i8,
    /// Names of the codes from zero on, where it is a code.
    pub codes: Vec<String>,
}

impl EventFieldMeta {
    /// The name of this value, where it is a code that has one.
    pub fn code(&self, value: u64) -> Option<&str> {
        usize::try_from(value)
            .ok()
            .and_then(|at| self.codes.get(at))
            .map(String::as_str)
    }
}

impl Event {
    /// The numbers that the kind uses, with what they are.
    pub fn fields(&self) -> impl Iterator<Item = (&EventFieldMeta, u64)> {
        let pairs = [(&self.kind.a, self.a), (&self.kind.b, self.b)];
        pairs
            .into_iter()
            .filter_map(|(field, value)| Some((field.as_ref()?, value)))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name)?;
        if let Some(subject) = &self.subject {
            write!(f, " {subject}")?;
        }
        for (field, value) in self.fields() {
            match field.code(value) {
                Some(code) => write!(f, " {}={code}", field.name)?,
                None => write!(f, " {}={value}", field.name)?,
            }
        }
        Ok(())
    }
}

impl RegionReader {
    /// The last events of every thread, in one pass that never waits; empty where the engine keeps none, as before
    /// version 1.1. Copies the region's texts each time: for a person who looks, not for every scrape.
    pub fn events(&self) -> Result<Vec<ThreadEvents>, ReadError> {
        self.mapped.check_length()?;
        let Some(sections) = &self.sections.events else {
            return Ok(Vec::new());
        };
        let meanings = self.meanings(sections).map_err(|e| self.mapped.format_error(e))?;
        let writer = &self.sections.writer;
        let threads = (0..writer.count).map_while(|index| {
            let thread = self.block(writer, index, writer_block::CELLS)?;
            // Blocks are given out in order: the first free one ends them.
            let name = writer_name(&thread)?;
            let slots = Span {
                off: sections.slots.off + index * sections.per_writer * sections.slots.stride,
                ..sections.slots
            };
            let slots = self.block(&slots, 0, sections.per_writer * slots.stride / 8)?;
            Some(self.thread(name.into(), &thread, &slots, sections, &meanings))
        });
        threads.collect()
    }

    fn thread(
        &self,
        writer: Arc<str>,
        thread: &Block,
        slots: &Block,
        sections: &EventSections,
        meanings: &Meanings,
    ) -> Result<ThreadEvents, ReadError> {
        let ring = Ring {
            cursor: thread,
            cursor_at: writer_block::EVENTS_RECORDED,
            slots,
            stride: sections.slots.stride / 8,
            capacity: sections.per_writer as u64,
        };
        let RingCopy {
            recorded,
            is_recording,
            events,
        } = ring.read::<{ event_slot::USED }>();
        if recorded > RECORDED_MAX {
            return Err(self.mapped.format_error(FormatError::Count {
                what: "events recorded",
                from: RECORDED_MAX,
                to: recorded,
            }));
        }
        Ok(ThreadEvents {
            writer,
            recorded,
            overwritten: recorded.saturating_sub(events.len() as u64),
            is_recording,
            events: events
                .iter()
                .map(|(sequence, words)| meanings.event(*sequence, words))
                .collect(),
        })
    }

    /// Kinds and subjects, from one copy of what is committed.
    fn meanings(&self, sections: &EventSections) -> Result<Meanings, FormatError> {
        let kinds = self.live.load(live::EVENT_KINDS_COMMITTED);
        let subjects = self.live.load(live::SUBJECTS_COMMITTED);
        // Acquire: pairs with the release stores of the counts. All that the entries refer to can be read below.
        fence_acquire();
        let kinds = bounded("event_kinds_committed", kinds, sections.kinds.count)?;
        let subjects = bounded("subjects_committed", subjects, sections.subjects.count)?;
        let strings = &self.sections.strings;
        let string_used = bounded("string_used", self.live.load(live::STRING_USED), strings.len)?;
        let strings = self.copy(strings, string_used);
        let kinds = self.copy(&sections.kinds, kinds * sections.kinds.stride);
        let subjects = self.copy(&sections.subjects, subjects * sections.subjects.stride);
        let mut texts = Texts {
            sections: &self.sections,
            strings: &strings,
            labels: &[],
            interned: &mut Interned::default(),
        };
        let kinds = kinds
            .chunks_exact(sections.kinds.stride)
            .enumerate()
            .map(|(index, bytes)| {
                let entry: EventKindEntry = bytemuck::pod_read_unaligned(&bytes[..size_of::<EventKindEntry>()]);
                let wrong = |what| FormatError::Entry {
                    table: "event kind",
                    index,
                    what,
                };
                kind(&mut texts, &entry).map(Arc::new).map_err(wrong)
            });
        let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        let subjects = subjects
            .chunks_exact(sections.subjects.stride)
            .enumerate()
            .map(|(index, bytes)| {
                let entry: SubjectEntry = bytemuck::pod_read_unaligned(&bytes[..size_of::<SubjectEntry>()]);
                let wrong = |what| FormatError::Entry {
                    table: "subject",
                    index,
                    what,
                };
                texts
                    .get(entry.text_off, entry.text_len, limit::SUBJECT_BYTES)
                    .map_err(wrong)
            });
        let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
        Ok(Meanings { kinds, subjects })
    }
}

/// What the numbers in the slots mean.
struct Meanings {
    kinds: Vec<Arc<EventMeta>>,
    subjects: Vec<Arc<str>>,
}

impl Meanings {
    fn event(&self, sequence: u64, words: &[u64; event_slot::USED]) -> Event {
        let kind_subject = words[event_slot::KIND_SUBJECT];
        let (kind, subject) = (kind_subject as u32 as usize, (kind_subject >> 32) as usize);
        Event {
            sequence,
            unix_ns: words[event_slot::UNIX_NS],
            kind: self.kinds.get(kind).map_or_else(EventMeta::unknown, Arc::clone),
            subject: subject.checked_sub(1).and_then(|at| self.subjects.get(at)).cloned(),
            a: words[event_slot::A],
            b: words[event_slot::B],
        }
    }
}

impl EventMeta {
    fn unknown() -> Arc<Self> {
        let number = |name: &str| {
            Some(EventFieldMeta {
                name: name.into(),
                unit: Unit::None,
                scale: 0,
                codes: Vec::new(),
            })
        };
        Arc::new(Self {
            name: "unknown".into(),
            help: "The file does not say what this event is.".into(),
            a: number("a"),
            b: number("b"),
        })
    }
}

fn kind(texts: &mut Texts<'_>, entry: &EventKindEntry) -> Result<EventMeta, &'static str> {
    let name = texts.get(entry.name_off, entry.name_len, limit::NAME_BYTES)?;
    if !is_label_name(&name) {
        return Err("its name is not in snake case");
    }
    let help = texts.get(entry.help_off, entry.help_len, limit::HELP_BYTES)?;
    let [a, b] = entry.fields;
    let (a, b) = (field(texts, &a)?, field(texts, &b)?);
    Ok(EventMeta { name, help, a, b })
}

fn field(texts: &mut Texts<'_>, entry: &EventFieldEntry) -> Result<Option<EventFieldMeta>, &'static str> {
    if entry.name_len == 0 {
        return Ok(None);
    }
    let name = texts.get(entry.name_off, entry.name_len, limit::NAME_BYTES)?;
    if !is_label_name(&name) {
        return Err("a number's name is not in snake case");
    }
    if !(-18..=18).contains(&entry.scale) {
        return Err("a number's scale is out of bounds");
    }
    let codes = texts.get(entry.codes_off, entry.codes_len, limit::HELP_BYTES)?;
    let codes = codes
        .split('|')
        .filter(|code| !code.is_empty())
        .map(str::to_owned)
        .collect();
    Ok(Some(EventFieldMeta {
        name,
        // A later minor version may add units: the number is shown without.
        unit: Unit::from_wire(entry.unit).unwrap_or(Unit::None),
        scale: entry.scale,
        codes,
    }))
}

/// More events than any engine records, and few enough that a stamp has room for them.
const RECORDED_MAX: u64 = 1 << 62;
