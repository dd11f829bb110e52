//! A signal, and what lies where in a ring file, version 1.1. Little-endian, 64-bit hosts.
//!
//! ```text
//! 0        header page: RingHeader, immutable once the file has its name, CRC-32C as in a region
//! 4096     live page (word offsets in `ring_live`); the cursor has two cache lines to itself
//! 8192     symbols: SymbolEntry each, append-only; a signal's symbol_id is an index
//!          models:  ModelEntry each, append-only; a signal's model_id is an index
//!          slots:   slot_count (a power of two) of slot_stride bytes; signal n lies in slot n mod slot_count
//! ```
//!
//! A slot holds a [`Signal`] whose first word is not its sequence but a stamp: `2n + 1` while signal `n` is being
//! written, `2n + 2` once it is whole, 0 before the first. A reader that wants signal `n` reads the stamp, the words, the
//! stamp again. Smaller than `2n + 2`: not there yet. Equal both times: whole. Larger: overwritten, the reader was lapped.

use bytemuck::{Pod, Zeroable};

use crate::layout::{PAGE, pin_offsets};

/// First eight bytes of a ring file, read as a little-endian integer.
pub const RING_MAGIC: u64 = u64::from_le_bytes([0x91, b'Q', b'F', b'S', b'I', b'G', b'\r', b'\n']);

/// Minor version of the ring's format; its major version is the region's. Since 1.1 a signal has [`flags`](Signal::flags);
/// before they were zero.
pub const RING_VERSION_MINOR: u16 = 1;

/// One prediction with what a strategy needs to act on it, and to decide whether it may.
///
/// Times are nanoseconds since the Unix epoch, UTC. Prices and quantities are mantissas: the value is
/// `mantissa / 10^scale`, with the scale of the symbol's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Signal {
    /// Its number in the ring, from 0, without a hole. Set by the ring; what the publisher put here is ignored.
    pub sequence: u64,
    /// Whose book: index into the ring's symbols.
    pub symbol_id: u16,
    /// Which model: index into the ring's models.
    pub model_id: u16,
    /// The most probable class: 0 down, 1 flat, 2 up ([`SignalClass`]).
    pub class: u8,
    /// How far the book could be trusted: 0 verified, 1 unverified, 2 stale, 3 crossed, 4 resyncing.
    pub quality: u8,
    /// Bits: [`BEYOND_HORIZON`](Self::BEYOND_HORIZON); the others are zero, and for later versions.
    pub flags: u16,
    /// The venue's id of the book state that was used.
    pub update_id: u64,
    /// The venue's own time of that state; zero where it gives none.
    pub exchange_time_ns: u64,
    /// When its message was read from the socket.
    pub receive_time_ns: u64,
    /// When the signal was published.
    pub publish_time_ns: u64,
    /// Probabilities of down, flat, up.
    pub probabilities: [f32; 3],
    /// Probability of `class`, calibrated where the model is.
    pub confidence: f32,
    /// Best bid, price mantissa.
    pub bid_price: i64,
    /// What rests there, quantity mantissa.
    pub bid_qty: i64,
    /// Best ask, price mantissa.
    pub ask_price: i64,
    /// What rests there, quantity mantissa.
    pub ask_qty: i64,
    /// Hash of the model file. It tells a swapped model from its predecessor of the same name.
    pub model_hash: u64,
    /// From the kernel's receive timestamp (or the read, where there is none) to the publication, in nanoseconds.
    pub total_latency_ns: u64,
    /// The kernel's receive timestamp; zero where it gave none.
    pub kernel_time_ns: u64,
    /// Zero.
    pub reserved: u64,
}

/// Words of a [`Signal`].
pub(crate) const SIGNAL_WORDS: usize = size_of::<Signal>() / 8;

impl Signal {
    /// The bit of `flags` that is set where the model looked further into the book than the book is known: levels may
    /// have been missing there.
    pub const BEYOND_HORIZON: u16 = 1;

    /// Whether the model looked further into the book than the book is known.
    pub fn is_beyond_horizon(&self) -> bool {
        self.flags & Self::BEYOND_HORIZON != 0
    }

    /// The most probable class; `None` where the number means nothing.
    pub fn class(&self) -> Option<SignalClass> {
        SignalClass::from_wire(self.class)
    }
}

/// Where a model expects the price to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignalClass {
    /// Down.
    Down = 0,
    /// Neither.
    Flat = 1,
    /// Up.
    Up = 2,
}

impl SignalClass {
    /// The class of that number.
    pub fn from_wire(number: u8) -> Option<Self> {
        [Self::Down, Self::Flat, Self::Up]
            .into_iter()
            .find(|class| *class as u8 == number)
    }

    /// Its name in metrics and JSON.
    pub fn name(self) -> &'static str {
        crate::catalogue::CLASSES[self as usize]
    }
}

/// Page 0 of a ring file. The fields up to `feature_compat` lie where a region has them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct RingHeader {
    /// [`RING_MAGIC`].
    pub magic: u64,
    /// [`BYTE_ORDER_TAG`](crate::layout::BYTE_ORDER_TAG).
    pub byte_order: u32,
    /// Readers refuse another one than 1.
    pub major: u16,
    /// Grows when fields are added at the end of entries.
    pub minor: u16,
    /// Bytes of the header.
    pub header_len: u32,
    /// CRC-32C of those bytes, this field as zero.
    pub crc32c: u32,
    /// Bytes of the file.
    pub file_len: u64,
    /// Bits that a reader must know.
    pub feature_incompat: u64,
    /// Bits that a reader may ignore.
    pub feature_compat: u64,
    /// The same as in the region of this start.
    pub instance_id: u64,
    /// The writer's process id in its own namespace.
    pub pid: u32,
    /// The writer's user id.
    pub uid: u32,
    /// Start of the instance, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// A power of two.
    pub slot_count: u32,
    /// Bytes from one slot to the next.
    pub slot_stride: u32,
    /// Bytes of a signal in a slot.
    pub signal_len: u32,
    /// Room for symbols.
    pub symbol_cap: u32,
    /// Bytes from one symbol to the next.
    pub symbol_stride: u32,
    /// Room for models.
    pub model_cap: u32,
    /// Bytes from one model to the next.
    pub model_stride: u32,
    /// Zero.
    pub reserved_0: u32,
    /// Where the live page lies.
    pub live_off: u64,
    /// Where the symbols lie.
    pub symbols_off: u64,
    /// Where the models lie.
    pub models_off: u64,
    /// Where the slots lie.
    pub slots_off: u64,
    /// Name of the service, padded with zeros.
    pub service: [u8; 32],
    /// Zero.
    pub reserved_1: [u64; 11],
}

/// A symbol that signals are about. Texts are padded with zeros.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SymbolEntry {
    /// The venue: `binance`.
    pub venue: [u8; 16],
    /// The venue's own spelling: `BTCUSDT`.
    pub symbol: [u8; 32],
    /// Decimals of a price mantissa.
    pub price_scale: u8,
    /// Decimals of a quantity mantissa.
    pub qty_scale: u8,
    /// Zero.
    pub reserved: [u8; 14],
}

/// A model that makes signals. Texts are padded with zeros.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ModelEntry {
    /// Its name: `lstm_v1`.
    pub name: [u8; 48],
    /// Hash of its file.
    pub hash: u64,
    /// How far ahead it looks, nanoseconds; zero where its horizon is no time.
    pub horizon_ns: u64,
    /// Names of the classes 0, 1, 2.
    pub classes: [[u8; 16]; 3],
    /// Zero.
    pub reserved: [u64; 2],
}

/// Word offsets in the live page of a ring.
pub mod ring_live {
    /// An [`EngineState`](crate::EngineState).
    pub const STATE: usize = 0;
    /// Beats of housekeeping.
    pub const HEARTBEATS: usize = 1;
    /// Unix time of the last beat, ns.
    pub const HEARTBEAT_UNIX_NS: usize = 2;
    /// Symbols that may be read; stored with release after they were filled.
    pub const SYMBOLS_COMMITTED: usize = 3;
    /// Models that may be read; stored with release after they were filled.
    pub const MODELS_COMMITTED: usize = 4;
    /// Signals published; stored with release after each.
    pub const CURSOR: usize = 16;
    /// Words of the page.
    pub const WORDS: usize = 512;
}

pin_offsets!(Signal, 128: sequence = 0, symbol_id = 8, model_id = 10, class = 12, quality = 13, flags = 14,
    update_id = 16, exchange_time_ns = 24, receive_time_ns = 32, publish_time_ns = 40, probabilities = 48,
    confidence = 60, bid_price = 64, bid_qty = 72, ask_price = 80, ask_qty = 88, model_hash = 96,
    total_latency_ns = 104, kernel_time_ns = 112, reserved = 120);
pin_offsets!(RingHeader, 256: magic = 0, byte_order = 8, major = 12, minor = 14, header_len = 16, crc32c = 20,
    file_len = 24, feature_incompat = 32, feature_compat = 40, instance_id = 48, pid = 56, uid = 60,
    start_unix_ns = 64, slot_count = 72, slot_stride = 76, signal_len = 80, symbol_cap = 84, symbol_stride = 88,
    model_cap = 92, model_stride = 96, live_off = 104, symbols_off = 112, models_off = 120, slots_off = 128,
    service = 136, reserved_1 = 168);
pin_offsets!(SymbolEntry, 64: venue = 0, symbol = 16, price_scale = 48, qty_scale = 49, reserved = 50);
pin_offsets!(ModelEntry, 128: name = 0, hash = 48, horizon_ns = 56, classes = 64, reserved = 112);
const _: () = assert!(ring_live::WORDS * 8 == PAGE);
