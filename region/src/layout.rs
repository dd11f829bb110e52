//! What lies where in a region file, version 1.1. Little-endian, 64-bit hosts.
//!
//! ```text
//! 0        header page: Header (256 B), then the section table; immutable once the file has its name,
//!          CRC-32C over header_len bytes (with the crc field as zero)
//! 4096     LIVE     one page, written by housekeeping and by the panic hook       (word offsets in `live`)
//! 8192     DESC     max_desc descriptors of 64 B, append-only
//!          STRINGS  names, helps, label names and values; each starts at a word, none ends in a terminator
//!          LABELS   16 B each: a label's name and value in STRINGS; the labels of a series lie together, by name
//!          WRITER   one block per thread, a page or more apart                    (word offsets in `writer_block`)
//!          SHARED   cells with several writers (fetch_add)
//!          EVENT_KINDS  since 1.1: what the events in this file mean, append-only
//!          SUBJECTS     since 1.1: what they are about, append-only
//!          EVENTS       since 1.1: one ring of slots per thread, in the order of WRITER (word offsets in `event_slot`)
//!          HIST     histogram blocks, 128 B apart                                 (word offsets in `histogram`)
//! ```
//!
//! The three sections of the events are there together or not at all. A thread's ring has `count` of EVENTS divided by
//! `count` of WRITER slots, a power of two; event n lies in slot n modulo that.
//!
//! Every word that changes after the file has its name is eight bytes wide, aligned, and written and read as one. The
//! format's rules for readers: an unknown bit in `feature_incompat` or another `major` means "do not read"; unknown bits
//! in `feature_compat`, unknown section types and unknown metric kinds are skipped and counted; strides come from the
//! file, a later minor version may append fields to an entry.

use bytemuck::{Pod, Zeroable};

/// First eight bytes of a region file, read as a little-endian integer. The first byte is no text, and the line ending at
/// the end is the first victim of a transfer that "helps".
pub const MAGIC: u64 = u64::from_le_bytes([0x91, b'Q', b'F', b'M', b'E', b'T', b'\r', b'\n']);
/// As a little-endian writer stores it.
pub const BYTE_ORDER_TAG: u32 = 0x0A0B_0C0D;
/// Readers refuse another one.
pub const VERSION_MAJOR: u16 = 1;
/// Grows when fields or sections are added at the end.
pub const VERSION_MINOR: u16 = 1;
/// Everything large starts at a page.
pub const PAGE: usize = 4096;

/// Page 0, without the section table.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`BYTE_ORDER_TAG`].
    pub byte_order: u32,
    /// [`VERSION_MAJOR`].
    pub major: u16,
    /// [`VERSION_MINOR`].
    pub minor: u16,
    /// Bytes of the header with its section table.
    pub header_len: u32,
    /// CRC-32C of those bytes, this field as zero.
    pub crc32c: u32,
    /// Bytes of the file, fixed for its life.
    pub region_len: u64,
    /// Bits that a reader must know.
    pub feature_incompat: u64,
    /// Bits that a reader may ignore.
    pub feature_compat: u64,
    /// FNV-1a of the writer's catalogue: equal schemas have equal hashes.
    pub schema_hash: u64,
    /// Different in every start of an engine.
    pub instance_id: u64,
    /// The writer's process id in its own namespace. For people only: the lock decides who lives.
    pub pid: u32,
    /// The writer's user id.
    pub uid: u32,
    /// Start time of the process in clock ticks after boot (`/proc/self/stat`, field 22); zero when unknown.
    pub pid_start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`; zeros when unknown.
    pub boot_id: [u8; 16],
    /// Start of the instance, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Start of the instance, nanoseconds of CLOCK_BOOTTIME; zero when unknown.
    pub start_boottime_ns: u64,
    /// Rate of the tick source, zero where no value is stored in ticks.
    pub ticks_per_s: u64,
    /// 0: no value is in ticks. 1: the processor's time-stamp counter.
    pub tick_source: u32,
    /// Zero.
    pub reserved_0: u32,
    /// Revision of the build, padded with zeros.
    pub commit: [u8; 40],
    /// Version of the build, padded with zeros.
    pub version: [u8; 24],
    /// Room for descriptors.
    pub max_desc: u32,
    /// Bytes from one descriptor to the next.
    pub desc_stride: u32,
    /// Room for strings, in bytes.
    pub string_cap: u32,
    /// Blocks for writer threads.
    pub writer_count: u32,
    /// Entries of the section table, which follows this struct.
    pub section_count: u32,
    /// Bytes from one entry to the next.
    pub section_stride: u32,
    /// Offset of the LIVE page, also in the section table.
    pub live_page_off: u32,
    /// Zero.
    pub reserved_1: u32,
    /// Name of the service, padded with zeros.
    pub service: [u8; 32],
}

/// One entry of the section table.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Section {
    /// A [`section`] number.
    pub kind: u32,
    /// Zero.
    pub flags: u32,
    /// Where it starts.
    pub off: u64,
    /// Its bytes.
    pub len: u64,
    /// Bytes from one entry to the next, where it is a table.
    pub stride: u32,
    /// Entries, where it is a table.
    pub count: u32,
}

/// Bits of [`Header::feature_compat`].
pub mod compat {
    /// The writer is a job and not a service: what it counted stays true when it has ended in order.
    pub const JOB: u64 = 1;
}

/// Numbers of the section types.
pub mod section {
    /// Descriptors.
    pub const DESC: u32 = 1;
    /// Text.
    pub const STRINGS: u32 = 2;
    /// Pairs of references into STRINGS.
    pub const LABELS: u32 = 3;
    /// State and heartbeat.
    pub const LIVE: u32 = 4;
    /// Cells of one thread each.
    pub const WRITER: u32 = 5;
    /// Histograms.
    pub const HIST: u32 = 6;
    /// Cells of several threads.
    pub const SHARED: u32 = 7;
    /// Rings of the last events, one per thread. Since 1.1.
    pub const EVENTS: u32 = 8;
    /// What the kinds of those events are. Since 1.1.
    pub const EVENT_KINDS: u32 = 9;
    /// What those events are about. Since 1.1.
    pub const SUBJECTS: u32 = 10;
}

/// One series: a metric with one set of label values, written by one thread.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Descriptor {
    /// A [`Kind`](crate::Kind).
    pub kind: u8,
    /// A [`Unit`](crate::Unit).
    pub unit: u8,
    /// An [`Agg`](crate::Agg).
    pub agg: u8,
    /// Power of ten from the stored value to the unit: -9 for nanoseconds of a metric in seconds.
    pub scale: i8,
    /// [`FLAG_RETIRED`]. Changes in place, in one store of this word.
    pub flags: u32,
    /// The name in STRINGS.
    pub name_off: u32,
    /// The help in STRINGS.
    pub help_off: u32,
    /// Bytes of the name.
    pub name_len: u16,
    /// Bytes of the help.
    pub help_len: u16,
    /// How many labels.
    pub label_count: u16,
    /// Index of the writer's block, [`WRITER_SHARED`] for a cell of SHARED.
    pub writer: u16,
    /// Index of the first label in LABELS.
    pub labels_index: u32,
    /// Histograms: [`Shape::precision`].
    pub hist_precision: u8,
    /// Histograms: [`Shape::max_pow`].
    pub hist_max_pow: u8,
    /// Histograms: bytes of a count, 8.
    pub hist_width: u8,
    /// Zero.
    pub reserved_0: u8,
    /// Where in the file the cell or the histogram block lies.
    pub value_off: u64,
    /// FNV-1a of name and labels. A convenience: identity is the text.
    pub series_id: u64,
    /// When it was registered, by the last heartbeat of housekeeping.
    pub created_unix_ns: u64,
    /// States: their names in STRINGS, joined by `|`.
    pub states_off: u32,
    /// Bytes of the names of the states.
    pub states_len: u16,
    /// Zero.
    pub reserved_1: u16,
}

/// In [`Descriptor::flags`]: the series is no longer fed; gauges of it should not be shown.
pub const FLAG_RETIRED: u32 = 1;
/// In [`Descriptor::writer`]: the cell lies in SHARED.
pub const WRITER_SHARED: u16 = u16::MAX;

/// One label of a series.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LabelRef {
    /// The label's name in STRINGS.
    pub name_off: u32,
    /// Bytes of the name.
    pub name_len: u16,
    /// Bytes of the value.
    pub value_len: u16,
    /// The label's value in STRINGS.
    pub value_off: u32,
    /// Zero.
    pub reserved: u32,
}

/// One kind of event. Its place in EVENT_KINDS is the number that an event carries.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventKindEntry {
    /// The name in STRINGS.
    pub name_off: u32,
    /// The help in STRINGS.
    pub help_off: u32,
    /// Bytes of the name.
    pub name_len: u16,
    /// Bytes of the help.
    pub help_len: u16,
    /// Zero.
    pub reserved: u32,
    /// The two numbers of an event.
    pub fields: [EventFieldEntry; 2],
}

/// What one of an event's two numbers is.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventFieldEntry {
    /// The name in STRINGS.
    pub name_off: u32,
    /// The names of the codes in STRINGS, joined by `|`; none where it is no code.
    pub codes_off: u32,
    /// Bytes of the name; zero: the number is not used.
    pub name_len: u16,
    /// Bytes of the codes.
    pub codes_len: u16,
    /// A [`Unit`](crate::Unit).
    pub unit: u8,
    /// Power of ten from the number to the unit.
    pub scale: i8,
    /// Zero.
    pub reserved: u16,
}

/// What an event is about. Its place in SUBJECTS plus one is the number that an event carries; zero is the engine.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SubjectEntry {
    /// The text in STRINGS.
    pub text_off: u32,
    /// Its bytes.
    pub text_len: u16,
    /// Zero.
    pub reserved: u16,
}

/// Word offsets in a slot of EVENTS.
pub mod event_slot {
    /// `2n + 1` while event n is being written, `2n + 2` once it is whole, 0 before the first.
    pub const STAMP: usize = 0;
    /// When, nanoseconds since the Unix epoch.
    pub const UNIX_NS: usize = 1;
    /// The kind's number in the low half, the subject's in the high half.
    pub const KIND_SUBJECT: usize = 2;
    /// The first number.
    pub const A: usize = 3;
    /// The second.
    pub const B: usize = 4;
    /// Words that an event has; a reader needs no more.
    pub const USED: usize = 5;
    /// Words from one slot to the next in files of this version: one event, one cache line.
    pub const WORDS: usize = 8;
}

/// Word offsets in the LIVE page.
pub mod live {
    /// A [`State`](crate::State).
    pub const STATE: usize = 0;
    /// Beats of housekeeping.
    pub const HEARTBEATS: usize = 1;
    /// Unix time of the last beat, ns.
    pub const HEARTBEAT_UNIX_NS: usize = 2;
    /// CLOCK_BOOTTIME of the last beat, ns.
    pub const HEARTBEAT_BOOTTIME_NS: usize = 3;
    /// Descriptors that may be read; stored with release after they were filled.
    pub const DESC_COMMITTED: usize = 4;
    /// Bytes of STRINGS in use.
    pub const STRING_USED: usize = 5;
    /// Entries of LABELS in use.
    pub const LABELS_USED: usize = 6;
    /// Series that found no room.
    pub const REGISTRATIONS_DROPPED: usize = 7;
    /// Bytes of HIST in use.
    pub const HIST_USED: usize = 8;
    /// Bytes of the panic text; stored with release after the text.
    pub const PANIC_LEN: usize = 9;
    /// Zero until a panicking thread takes the text for itself.
    pub const PANIC_CLAIM: usize = 10;
    /// Why the engine ended: exit code, or 128 + signal. Meaningful in state closed.
    pub const EXIT_CODE: usize = 11;
    /// Entries of EVENT_KINDS that may be read; stored with release after they were filled. Since 1.1.
    pub const EVENT_KINDS_COMMITTED: usize = 12;
    /// Entries of SUBJECTS that may be read; stored with release after they were filled. Since 1.1.
    pub const SUBJECTS_COMMITTED: usize = 13;
    /// The panic text.
    pub const PANIC_TEXT: usize = 64;
    /// Room for the panic text, in bytes.
    pub const PANIC_TEXT_BYTES: usize = 2048;
    /// Words of the page.
    pub const WORDS: usize = 512;
}

/// Word offsets in a writer thread's block.
pub mod writer_block {
    /// Rounds of the event loop begun.
    pub const LOOP_BEGIN: usize = 0;
    /// Rounds finished. Equal to begun: at rest between rounds; behind and not moving: stuck inside one.
    pub const LOOP_END: usize = 1;
    /// Thread id in the low half, cpu + 1 in the high half; zero when unknown.
    pub const THREAD: usize = 2;
    /// The last place that the thread said it was at.
    pub const BREADCRUMB: usize = 3;
    /// Bytes of the name; zero: the block is free. Stored with release after the name.
    pub const NAME_LEN: usize = 4;
    /// The name.
    pub const NAME: usize = 5;
    /// Room for the name, in bytes.
    pub const NAME_BYTES: usize = 40;
    /// Events that the thread has recorded; stored with release after the event. Since 1.1.
    pub const EVENTS_RECORDED: usize = 10;
    /// The first cell.
    pub const CELLS: usize = 16;
}

/// How a histogram's values map to its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// 1 to 12, and less than `max_pow`: nobody can make another, and the indices computed from it rely on that.
    pub(crate) precision: u8,
    /// Up to 63.
    pub(crate) max_pow: u8,
}

impl Shape {
    /// Latencies in nanoseconds, up to 68.7 s, each within 0.78 %.
    pub const LATENCY_NS: Self = Self {
        precision: 7,
        max_pow: 36,
    };
    /// A share of one in millionths, each within 0.78 %.
    pub const RATIO_PPM: Self = Self {
        precision: 7,
        max_pow: 20,
    };

    /// Each doubling has `2^precision` buckets: 7 is HdrHistogram's two significant digits, 10 its three. Values up to
    /// `2^max_pow - 1` are told apart. `None` unless `1 <= precision <= 12` and `precision < max_pow <= 63`.
    pub const fn new(precision: u8, max_pow: u8) -> Option<Self> {
        if precision == 0 || precision > 12 || max_pow <= precision || max_pow > 63 {
            return None;
        }
        Some(Self { precision, max_pow })
    }

    /// Each doubling has two to the power of this many buckets.
    pub const fn precision(self) -> u8 {
        self.precision
    }

    /// Values below two to the power of this are told apart.
    pub const fn max_pow(self) -> u8 {
        self.max_pow
    }

    /// Bytes of the block in HIST.
    pub const fn block_bytes(self) -> usize {
        (crate::histogram::BUCKETS + self.bucket_count()) * 8
    }
}

/// Ceilings that a reader puts on what a file claims.
pub mod limit {
    /// Bytes of a region file.
    pub const REGION_BYTES: u64 = 1 << 30;
    /// Sections.
    pub const SECTIONS: u32 = 64;
    /// Descriptors.
    pub const DESCRIPTORS: u32 = 100_000;
    /// Bytes of STRINGS.
    pub const STRING_BYTES: u64 = 64 << 20;
    /// Bytes of a metric's name or a label's name.
    pub const NAME_BYTES: usize = 200;
    /// Bytes of a help text.
    pub const HELP_BYTES: usize = 1024;
    /// Bytes of a label's value.
    pub const LABEL_BYTES: usize = 1024;
    /// Labels of a series.
    pub const LABELS: usize = 16;
    /// Writer threads.
    pub const WRITERS: u32 = 1024;
    /// Kinds of events.
    pub const EVENT_KINDS: u32 = 256;
    /// Subjects of events.
    pub const SUBJECTS: u32 = 65_536;
    /// Bytes of a subject.
    pub const SUBJECT_BYTES: usize = 200;
    /// Slots of EVENTS, all threads together.
    pub const EVENTS: u32 = 1 << 20;
}

/// 64-bit FNV-1a over the parts, each closed by a byte that occurs in no name or label.
pub(crate) fn fnv1a<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    parts.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, part| {
        step(part.iter().fold(hash, |h, &b| step(h, b)), 0xFF)
    })
}

macro_rules! pin_offsets {
    ($type:ty, $size:literal: $($field:ident = $offset:literal),* $(,)?) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(std::mem::offset_of!($type, $field) == $offset);)*
        };
    };
}

pub(crate) use pin_offsets;

pin_offsets!(Header, 256: magic = 0, byte_order = 8, major = 12, minor = 14, header_len = 16, crc32c = 20,
    region_len = 24, feature_incompat = 32, feature_compat = 40, schema_hash = 48, instance_id = 56, pid = 64, uid = 68,
    pid_start_ticks = 72, boot_id = 80, start_unix_ns = 96, start_boottime_ns = 104, ticks_per_s = 112,
    tick_source = 120, commit = 128, version = 168, max_desc = 192, desc_stride = 196, string_cap = 200,
    writer_count = 204, section_count = 208, section_stride = 212, live_page_off = 216, service = 224);
pin_offsets!(Section, 32: kind = 0, flags = 4, off = 8, len = 16, stride = 24, count = 28);
pin_offsets!(Descriptor, 64: kind = 0, unit = 1, agg = 2, scale = 3, flags = 4, name_off = 8, help_off = 12,
    name_len = 16, help_len = 18, label_count = 20, writer = 22, labels_index = 24, hist_precision = 28,
    hist_max_pow = 29, hist_width = 30, value_off = 32, series_id = 40, created_unix_ns = 48, states_off = 56,
    states_len = 60);
pin_offsets!(LabelRef, 16: name_off = 0, name_len = 4, value_len = 6, value_off = 8);
pin_offsets!(EventKindEntry, 48: name_off = 0, help_off = 4, name_len = 8, help_len = 10, fields = 16);
pin_offsets!(EventFieldEntry, 16: name_off = 0, codes_off = 4, name_len = 8, codes_len = 10, unit = 12, scale = 13);
pin_offsets!(SubjectEntry, 8: text_off = 0, text_len = 4);
const _: () = {
    assert!(
        cfg!(target_endian = "little"),
        "the format is little-endian and read without conversion"
    );
    assert!(size_of::<usize>() == 8, "offsets of the format need 64 bits");
    assert!(live::PANIC_TEXT * 8 + live::PANIC_TEXT_BYTES <= PAGE && live::WORDS * 8 == PAGE);
    assert!(writer_block::NAME * 8 + writer_block::NAME_BYTES <= writer_block::EVENTS_RECORDED * 8);
    assert!(writer_block::EVENTS_RECORDED < writer_block::CELLS && event_slot::USED <= event_slot::WORDS);
    assert!(Shape::LATENCY_NS.bucket_count() == 3840 && Shape::LATENCY_NS.block_bytes() == 30 * 1024 + 64);
    assert!(
        Shape {
            precision: 5,
            max_pow: 36
        }
        .bucket_count()
            == 1024
    );
    assert!(
        Shape {
            precision: 10,
            max_pow: 36
        }
        .bucket_count()
            == 27_648
    );
};
