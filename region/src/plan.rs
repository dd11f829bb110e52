//! Where everything lies in a region about to be made, and what its header says.

use std::sync::Arc;

use bytemuck::Zeroable;

use crate::catalogue;
use crate::crc::crc32c;
use crate::event::EventKind;
use crate::file::CreateError;
use crate::layout::{
    BYTE_ORDER_TAG, Descriptor, EventKindEntry, Header, LabelRef, MAGIC, PAGE, Section, SubjectEntry, VERSION_MAJOR,
    VERSION_MINOR, compat, event_slot, fnv1a, limit, live, section, writer_block,
};
use crate::live::EngineState;
use crate::memory::{Block, Memory};
use crate::sync::Words;
use crate::writer::RegionOptions;

pub(crate) const DESC_BYTES: usize = size_of::<Descriptor>();
/// Two lines: the prefetcher fetches them in pairs.
pub(crate) const HIST_ALIGN: usize = 128;

/// A part of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) off: usize,
    pub(crate) len: usize,
}

/// Where everything lies, worked out once from the options.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) live: Span,
    pub(crate) desc: Span,
    pub(crate) strings: Span,
    pub(crate) labels: Span,
    pub(crate) writer: Span,
    pub(crate) shared: Span,
    /// The three sections of the events are empty where the options ask for none.
    pub(crate) event_kinds: Span,
    pub(crate) subjects: Span,
    pub(crate) events: Span,
    pub(crate) hist: Span,
    pub(crate) events_per_writer: u32,
    pub(crate) max_subjects: u32,
    pub(crate) max_desc: u32,
    pub(crate) writer_count: u32,
    pub(crate) writer_stride: usize,
}

impl Plan {
    pub(crate) fn of(options: &RegionOptions) -> Result<Self, CreateError> {
        let within = |what, value: u64, low: u64, high: u64, limits| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(CreateError::OutOfLimits { what, value, limits })
            }
        };
        let RegionOptions {
            bytes,
            max_series,
            string_bytes,
            writer_count,
            cells_per_writer,
            events_per_writer,
            max_subjects,
            ..
        } = *options;
        within("bytes", bytes as u64, 1, limit::REGION_BYTES, "up to 1 GiB")?;
        within(
            "max_series",
            max_series.into(),
            1,
            limit::DESCRIPTORS.into(),
            "1 to 100,000",
        )?;
        within(
            "string_bytes",
            string_bytes.into(),
            1,
            limit::STRING_BYTES,
            "1 to 64 MiB",
        )?;
        within(
            "writer_count",
            writer_count.into(),
            1,
            limit::WRITERS.into(),
            "1 to 1,024",
        )?;
        within(
            "cells_per_writer",
            cells_per_writer.into(),
            1,
            limit::DESCRIPTORS.into(),
            "1 to 100,000",
        )?;
        if events_per_writer > 0 {
            let limits = "0, or 8 to 65,536 and 1,048,576 for all threads together";
            let all = u64::from(events_per_writer) * u64::from(writer_count);
            within("events_per_writer", events_per_writer.into(), 8, 1 << 16, limits)?;
            within(
                "events_per_writer times writer_count",
                all,
                8,
                limit::EVENTS.into(),
                limits,
            )?;
            within(
                "max_subjects",
                max_subjects.into(),
                1,
                limit::SUBJECTS.into(),
                "1 to 65,536",
            )?;
            if !events_per_writer.is_power_of_two() {
                return Err(CreateError::OutOfLimits {
                    what: "events_per_writer",
                    value: events_per_writer.into(),
                    limits: "a power of two, or 0 for none",
                });
            }
        }
        within("version length", options.version.len() as u64, 0, 24, "up to 24 bytes")?;
        within(
            "revision length",
            options.revision.len() as u64,
            0,
            40,
            "up to 40 bytes",
        )?;
        if !bytes.is_multiple_of(PAGE) {
            return Err(CreateError::OutOfLimits {
                what: "bytes",
                value: bytes as u64,
                limits: "whole pages of 4,096",
            });
        }
        let mut next = PAGE;
        let mut take = |len: usize| {
            let span = Span {
                off: next,
                len: len.next_multiple_of(PAGE),
            };
            next = span.off + span.len;
            span
        };
        let writer_stride = (writer_block::CELLS * 8 + cells_per_writer as usize * 8).next_multiple_of(PAGE);
        let with_events = |bytes: usize| if events_per_writer > 0 { bytes } else { 0 };
        let mut plan = Self {
            live: take(PAGE),
            desc: take(max_series as usize * DESC_BYTES),
            strings: take(string_bytes as usize),
            labels: take(max_series as usize * LABELS_PER_SERIES * size_of::<LabelRef>()),
            writer: take(writer_count as usize * writer_stride),
            shared: take(PAGE),
            event_kinds: take(with_events(PAGE)),
            subjects: take(with_events(max_subjects as usize * size_of::<SubjectEntry>())),
            events: take(writer_count as usize * events_per_writer as usize * event_slot::WORDS * 8),
            hist: Span { off: 0, len: 0 },
            events_per_writer,
            max_subjects,
            max_desc: max_series,
            writer_count,
            writer_stride,
        };
        if next > bytes {
            return Err(CreateError::TooSmall { bytes, needed: next });
        }
        plan.hist = Span {
            off: next,
            len: bytes - next,
        };
        Ok(plan)
    }

    pub(crate) fn block(&self, memory: &Arc<Memory>, span: Span) -> Block {
        memory
            .block(span.off, span.len / 8)
            .expect("the plan was made for a memory of this size")
    }

    /// Writes the header and the live page into zeroed memory.
    pub(crate) fn fill(&self, memory: &Arc<Memory>, options: &RegionOptions) {
        let mut sections = vec![
            (section::LIVE, self.live, PAGE, 1),
            (section::DESC, self.desc, DESC_BYTES, self.max_desc as usize),
            (section::STRINGS, self.strings, 1, self.strings.len),
            (
                section::LABELS,
                self.labels,
                size_of::<LabelRef>(),
                self.labels.len / size_of::<LabelRef>(),
            ),
            (
                section::WRITER,
                self.writer,
                self.writer_stride,
                self.writer_count as usize,
            ),
            (section::SHARED, self.shared, 8, self.shared.len / 8),
            (section::HIST, self.hist, HIST_ALIGN, self.hist.len / HIST_ALIGN),
        ];
        if self.events_per_writer > 0 {
            let slots = self.events_per_writer as usize * self.writer_count as usize;
            let subjects = self.max_subjects as usize;
            sections.extend([
                (section::EVENTS, self.events, event_slot::WORDS * 8, slots),
                (
                    section::EVENT_KINDS,
                    self.event_kinds,
                    size_of::<EventKindEntry>(),
                    EVENT_KINDS_ROOM,
                ),
                (section::SUBJECTS, self.subjects, size_of::<SubjectEntry>(), subjects),
            ]);
        }
        let sections: Vec<Section> = sections
            .into_iter()
            .map(|(kind, span, stride, count)| Section {
                kind,
                flags: 0,
                off: span.off as u64,
                len: span.len as u64,
                stride: stride as u32,
                count: count as u32,
            })
            .collect();
        let process = Process::current();
        let mut header = Header {
            magic: MAGIC,
            byte_order: BYTE_ORDER_TAG,
            major: VERSION_MAJOR,
            minor: VERSION_MINOR,
            header_len: (size_of::<Header>() + size_of_val(&*sections)) as u32,
            region_len: memory.bytes() as u64,
            feature_compat: if options.is_job { compat::JOB } else { 0 },
            schema_hash: schema_hash(),
            instance_id: options.file.instance_id,
            pid: std::process::id(),
            uid: nix::unistd::geteuid().as_raw(),
            pid_start_ticks: process.start_ticks,
            boot_id: process.boot_id,
            start_unix_ns: options.file.start_unix_ns,
            start_boottime_ns: process.boottime_ns,
            commit: padded(&options.revision),
            version: padded(&options.version),
            max_desc: self.max_desc,
            desc_stride: DESC_BYTES as u32,
            string_cap: self.strings.len as u32,
            writer_count: self.writer_count,
            section_count: sections.len() as u32,
            section_stride: size_of::<Section>() as u32,
            live_page_off: self.live.off as u32,
            service: padded(&options.file.service),
            ..Header::zeroed()
        };
        let mut bytes = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&sections)].concat();
        header.crc32c = crc32c(&bytes);
        bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        self.block(memory, Span { off: 0, len: PAGE }).store_bytes(0, &bytes);
        self.block(memory, self.live)
            .store_release(live::STATE, EngineState::Live as u64);
    }
}

/// Kinds of events that the EVENT_KINDS section holds: a page of them.
const EVENT_KINDS_ROOM: usize = PAGE / size_of::<EventKindEntry>();
const _: () = assert!(EventKind::ALL.len() <= EVENT_KINDS_ROOM && EVENT_KINDS_ROOM <= limit::EVENT_KINDS as usize);

/// Labels that the LABELS section holds per series on average.
const LABELS_PER_SERIES: usize = 3;

fn schema_hash() -> u64 {
    let texts = catalogue::ALL.iter().map(|metric| format!("{metric:?}"));
    fnv1a(texts.collect::<Vec<_>>().iter().map(|text| text.as_bytes()))
}

/// The first `N` bytes of a text, zeros after it.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let len = text.len().min(N);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    bytes
}

/// What the operating system says of this process; zeros where it does not.
struct Process {
    start_ticks: u64,
    boot_id: [u8; 16],
    boottime_ns: u64,
}

impl Process {
    fn current() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name in parentheses and may hold anything; the 22nd is the 20th after it.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let start_ticks = after_name
            .split_ascii_whitespace()
            .nth(19)
            .and_then(|f| f.parse().ok())
            .unwrap_or(0);
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
        let boot_id = u128::from_str_radix(&hex, 16).map_or([0; 16], u128::to_be_bytes);
        let boottime = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        let boottime_ns = boottime.map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
        Self {
            start_ticks,
            boot_id,
            boottime_ns,
        }
    }
}
