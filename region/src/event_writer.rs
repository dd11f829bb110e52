//! The engine's side of the flight recorder: subjects and kinds are registered once, events are a few plain stores.
//!
//! ```
//! use quantumflow_region::{EventKind, RegionOptions, RegionReader, RegionWriter};
//!
//! let region = RegionWriter::private(&RegionOptions::new("engine", 1_700_000_000_000_000_000))?;
//! let hot = region.writer("hot-0")?;
//! let book = hot.subject("binance/BTCUSDT")?;
//! let events = hot.events()?;
//! events.record(EventKind::SequenceGap, book, 1_700_000_000_500_000_000, 42, 44);
//!
//! let recorded = RegionReader::of(&region)?.events()?;
//! assert_eq!(recorded[0].events[0].to_string(), "sequence_gap binance/BTCUSDT expected_id=42 got_id=44");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::Cell;
use std::sync::Arc;

use crate::event::{EventField, EventKind, SubjectId};
use crate::event_ring::Ring;
use crate::layout::{EventFieldEntry, EventKindEntry, SubjectEntry, event_slot, limit, live, writer_block};
use crate::memory::{Block, Memory};
use crate::plan::Span;
use crate::sync::Words;
use crate::writer::{Core, RegionWriter, RegisterError, Registrar, ThreadWriter};

/// Records one thread's events. Like a handle of a series it can be sent to another thread, but not shared.
pub struct EventWriter {
    /// The thread's block, in which the cursor lies.
    thread: Block,
    slots: Block,
    /// Slots, a power of two.
    capacity: u64,
    /// Events recorded. Kept here, never read back from the file.
    next: Cell<u64>,
}

impl EventWriter {
    /// Records into memory that nobody reads: for a thread that could not get a ring.
    pub fn detached() -> Self {
        let memory = Arc::new(Memory::heap(writer_block::CELLS + event_slot::WORDS));
        let block = |first: usize, words| {
            memory
                .block(first * 8, words)
                .expect("the memory was made for both blocks")
        };
        Self::over(
            block(0, writer_block::CELLS),
            block(writer_block::CELLS, event_slot::WORDS),
            1,
        )
    }

    fn over(thread: Block, slots: Block, capacity: u64) -> Self {
        Self {
            thread,
            slots,
            capacity,
            next: Cell::new(0),
        }
    }

    /// Records one event; the oldest one makes room for it. What `a` and `b` are is declared by the kind. Never waits,
    /// never allocates, asks no clock.
    #[inline]
    pub fn record(&self, kind: EventKind, subject: SubjectId, unix_ns: u64, a: u64, b: u64) {
        let sequence = self.next.get();
        let kind_subject = u64::from(kind as u32) | u64::from(subject.0) << 32;
        // Word 0 is the stamp's.
        let event: [u64; event_slot::USED] = [0, unix_ns, kind_subject, a, b];
        self.ring().record(sequence, &event);
        self.next.set(sequence.wrapping_add(1));
    }

    /// How many events were recorded.
    pub fn recorded(&self) -> u64 {
        self.next.get()
    }

    #[inline(always)]
    fn ring(&self) -> Ring<'_, Block> {
        Ring {
            cursor: &self.thread,
            cursor_at: writer_block::EVENTS_RECORDED,
            slots: &self.slots,
            stride: event_slot::WORDS,
            capacity: self.capacity,
        }
    }
}

impl std::fmt::Debug for EventWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventWriter")
            .field("recorded", &self.recorded())
            .finish_non_exhaustive()
    }
}

impl ThreadWriter {
    /// The thread's flight recorder. There is one for each thread; the first call in a region also writes down what the
    /// kinds mean.
    pub fn events(&self) -> Result<EventWriter, RegisterError> {
        let core = &self.core;
        let mut registrar = core.registrar();
        let of = |registrar: &Registrar| format!("events of {}", registrar.writers[usize::from(self.index)].name);
        if core.plan.events_per_writer == 0 {
            return Err(core.full(of(&registrar), "events_per_writer"));
        }
        if registrar.writers[usize::from(self.index)].has_events {
            return Err(RegisterError::Duplicate(of(&registrar)));
        }
        core.register_event_kinds(&mut registrar)?;
        registrar.writers[usize::from(self.index)].has_events = true;
        let capacity = core.plan.events_per_writer as usize;
        let len = capacity * event_slot::WORDS * 8;
        let at = Span {
            off: core.plan.events.off + usize::from(self.index) * len,
            len,
        };
        let slots = core.plan.block(&core.memory, at);
        Ok(EventWriter::over(self.cell.block.clone(), slots, capacity as u64))
    }

    /// A subject for events, such as `binance/BTCUSDT`; the same text gives the same subject, in every thread.
    pub fn subject(&self, text: &str) -> Result<SubjectId, RegisterError> {
        self.core.register_subject(text)
    }
}

impl RegionWriter {
    /// A subject for events, such as `binance/BTCUSDT`; the same text gives the same subject, in every thread.
    pub fn subject(&self, text: &str) -> Result<SubjectId, RegisterError> {
        self.core.register_subject(text)
    }
}

impl Core {
    fn register_subject(&self, text: &str) -> Result<SubjectId, RegisterError> {
        if text.is_empty() || text.len() > limit::SUBJECT_BYTES || text.chars().any(char::is_control) {
            return Err(RegisterError::Subject { text: text.to_owned() });
        }
        let mut registrar = self.registrar();
        if let Some(&subject) = registrar.subjects.get(text) {
            return Ok(subject);
        }
        let full = |option| self.full(format!("subject {text}"), option);
        let index = registrar.subjects.len();
        if self.plan.events_per_writer == 0 {
            return Err(full("events_per_writer"));
        }
        if index >= self.plan.max_subjects as usize {
            return Err(full("max_subjects"));
        }
        if !self.has_room_for(&registrar, [text]) {
            return Err(full("string_bytes"));
        }
        let entry = SubjectEntry {
            text_off: self.intern(&mut registrar, text),
            text_len: text.len() as u16,
            reserved: 0,
        };
        self.append(self.plan.subjects, index, &entry);
        let subject = SubjectId(index as u32 + 1);
        registrar.subjects.insert(text.to_owned(), subject);
        self.live.store(live::STRING_USED, registrar.string_used as u64);
        // Release: pairs with the acquire fence of a reader that finds this count.
        self.live
            .store_release(live::SUBJECTS_COMMITTED, registrar.subjects.len() as u64);
        Ok(subject)
    }

    /// Writes down every kind, once.
    fn register_event_kinds(&self, registrar: &mut Registrar) -> Result<(), RegisterError> {
        if registrar.has_event_kinds {
            return Ok(());
        }
        let declarations = EventKind::ALL.iter().map(|kind| kind.declaration());
        let codes: Vec<[String; 2]> = declarations
            .clone()
            .map(|kind| [kind.a, kind.b].map(|field| field.codes.join("|")))
            .collect();
        let own = declarations
            .clone()
            .flat_map(|kind| [kind.name, kind.help, kind.a.name, kind.b.name]);
        let texts = own.chain(codes.iter().flatten().map(String::as_str));
        if !self.has_room_for(registrar, texts) {
            return Err(self.full("what the events mean".into(), "string_bytes"));
        }
        for (index, kind) in declarations.enumerate() {
            let field = |registrar: &mut Registrar, field: EventField, codes: &str| EventFieldEntry {
                name_off: self.intern(registrar, field.name),
                codes_off: self.intern(registrar, codes),
                name_len: field.name.len() as u16,
                codes_len: codes.len() as u16,
                unit: field.unit as u8,
                scale: field.scale,
                reserved: 0,
            };
            let [a, b] = &codes[index];
            let entry = EventKindEntry {
                name_off: self.intern(registrar, kind.name),
                help_off: self.intern(registrar, kind.help),
                name_len: kind.name.len() as u16,
                help_len: kind.help.len() as u16,
                reserved: 0,
                fields: [field(registrar, kind.a, a), field(registrar, kind.b, b)],
            };
            self.append(self.plan.event_kinds, index, &entry);
        }
        registrar.has_event_kinds = true;
        self.live.store(live::STRING_USED, registrar.string_used as u64);
        // Release: pairs with the acquire fence of a reader that finds this count.
        self.live
            .store_release(live::EVENT_KINDS_COMMITTED, EventKind::ALL.len() as u64);
        Ok(())
    }

    /// Writes an entry of a table that has room for it.
    fn append<T: bytemuck::Pod>(&self, table: Span, index: usize, entry: &T) {
        let at = Span {
            off: table.off + index * size_of::<T>(),
            len: size_of::<T>(),
        };
        self.plan
            .block(&self.memory, at)
            .store_bytes(0, bytemuck::bytes_of(entry));
    }
}
