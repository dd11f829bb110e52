//! The signal ring: one thread publishes, any number of processes read, nobody waits for anybody.
//!
//! A reader that is slow is overtaken, finds out, and is told how many signals it missed; the writer never knows that it
//! exists. A signal that is handed out is whole. What lies where is drawn in [`signal`](crate::signal).

use std::path::Path;
use std::sync::Arc;

use bytemuck::Zeroable;

use crate::crc::crc32c;
use crate::file::{CreateError, CreateReport, FileKind, FileOptions, NewFile};
use crate::layout::{BYTE_ORDER_TAG, PAGE, VERSION_MAJOR};
use crate::live::EngineState;
use crate::memory::{Block, Memory};
use crate::parse::{FormatError, StartFields, check_start, text_of};
use crate::plan::padded;
use crate::reader::{MappedFile, ReadError};
use crate::signal::{
    ModelEntry, RING_MAGIC, RING_VERSION_MINOR, RingHeader, SIGNAL_WORDS, Signal, SymbolEntry, ring_live,
};
use crate::slot::{Slot, read_slot, write_slot};
use crate::snapshot::Liveness;
use crate::sync::{Words, fence_acquire};

/// How large a ring is.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Name, rights and rules of the file. With several hot threads, each has a ring and a service name of its own.
    pub file: FileOptions,
    /// How many signals it holds, a power of two from 8 to 2^22. The default is 8,192 (1 MiB).
    pub slot_count: u32,
    /// Room for symbols, up to 65,536. The default is 1,024.
    pub max_symbols: u32,
    /// Room for models, counting each one that is swapped in, up to 65,536. The default is 256.
    pub max_models: u32,
}

impl RingOptions {
    /// The defaults for a service that starts at this time.
    pub fn new(service: impl Into<String>, start_unix_ns: u64) -> Self {
        let file = FileOptions::new(service, start_unix_ns);
        Self {
            file,
            slot_count: 8192,
            max_symbols: 1024,
            max_models: 256,
        }
    }
}

/// Why a symbol or a model could not be added to a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A text does not fit its field.
    #[error("{what} {text:?} is empty, has control characters or is longer than {most} bytes")]
    Text {
        /// Which text.
        what: &'static str,
        /// The text.
        text: String,
        /// Room for it.
        most: usize,
    },
    /// Scales above 18 do not fit an `i64`.
    #[error("scales of {symbol} are {price_scale} and {qty_scale}: an i64 holds at most 18 decimals")]
    Scale {
        /// Of which symbol.
        symbol: String,
        /// Decimals of its prices.
        price_scale: u8,
        /// Decimals of its quantities.
        qty_scale: u8,
    },
    /// The table is full.
    #[error("no room for another of {most} {what}: raise `max_{what}` of the ring")]
    Full {
        /// `symbols` or `models`.
        what: &'static str,
        /// Room that there was.
        most: u32,
    },
}

/// What a reader knows of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSymbol {
    /// The venue.
    pub venue: String,
    /// The venue's own spelling.
    pub symbol: String,
    /// Decimals of a price mantissa.
    pub price_scale: u8,
    /// Decimals of a quantity mantissa.
    pub qty_scale: u8,
}

/// What a reader knows of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingModel {
    /// Its name.
    pub name: String,
    /// Hash of its file.
    pub hash: u64,
    /// How far ahead it looks, nanoseconds; zero where its horizon is no time.
    pub horizon_ns: u64,
    /// Names of the classes 0, 1, 2.
    pub classes: [String; 3],
}

/// Publishes signals. One thread owns it; dropping it marks the ring closed.
pub struct SignalWriter {
    slots: Block,
    mask: u64,
    /// Signals published. Kept here, never read back from the file.
    next: u64,
    live: Block,
    symbols: Block,
    models: Block,
    symbol_count: u32,
    model_count: u32,
    options: RingOptions,
    report: CreateReport,
    memory: Arc<Memory>,
}

impl SignalWriter {
    /// Makes a ring in `dir`, a directory on tmpfs that only the engine's user may write to.
    pub fn create(dir: &Path, options: &RingOptions) -> Result<Self, CreateError> {
        let header = plan(options)?;
        let file = NewFile::create(dir, &options.file, FileKind::Ring, header.file_len as usize)?;
        fill(&file.memory, &header);
        let (memory, report) = file.publish(&options.file)?;
        Ok(Self::over(memory, &header, options, report))
    }

    /// The same ring in memory of this process: for tests, and for an engine that cannot have a file.
    pub fn private(options: &RingOptions) -> Result<Self, CreateError> {
        let header = plan(options)?;
        let map = |source| CreateError::Io {
            what: "map",
            path: "private memory".into(),
            source,
        };
        let memory = Arc::new(Memory::anonymous(header.file_len as usize).map_err(map)?);
        fill(&memory, &header);
        Ok(Self::over(memory, &header, options, CreateReport::default()))
    }

    fn over(memory: Arc<Memory>, header: &RingHeader, options: &RingOptions, report: CreateReport) -> Self {
        let block = |off: u64, bytes: usize| {
            memory
                .block(off as usize, bytes / 8)
                .expect("the header was planned for a memory of this size")
        };
        Self {
            slots: block(header.slots_off, options.slot_count as usize * size_of::<Signal>()),
            mask: u64::from(options.slot_count) - 1,
            next: 0,
            live: block(header.live_off, PAGE),
            symbols: block(
                header.symbols_off,
                options.max_symbols as usize * size_of::<SymbolEntry>(),
            ),
            models: block(header.models_off, options.max_models as usize * size_of::<ModelEntry>()),
            symbol_count: 0,
            model_count: 0,
            options: options.clone(),
            report,
            memory,
        }
    }

    /// What happened when it was made.
    pub fn report(&self) -> &CreateReport {
        &self.report
    }

    /// Where it is; `None` for private memory.
    pub fn path(&self) -> Option<&Path> {
        self.report.path.as_deref()
    }

    /// Adds a symbol and returns the id that its signals carry. Allocates only to report an error.
    pub fn add_symbol(&mut self, venue: &str, symbol: &str, price_scale: u8, qty_scale: u8) -> Result<u16, RingError> {
        check_text("venue", venue, 16)?;
        check_text("symbol", symbol, 32)?;
        if price_scale > 18 || qty_scale > 18 {
            return Err(RingError::Scale {
                symbol: symbol.into(),
                price_scale,
                qty_scale,
            });
        }
        let id = self.symbol_count;
        if id >= self.options.max_symbols {
            return Err(RingError::Full {
                what: "symbols",
                most: id,
            });
        }
        let entry = SymbolEntry {
            venue: padded(venue),
            symbol: padded(symbol),
            price_scale,
            qty_scale,
            ..SymbolEntry::zeroed()
        };
        self.symbols
            .store_bytes(id as usize * size_of::<SymbolEntry>() / 8, bytemuck::bytes_of(&entry));
        self.symbol_count += 1;
        // Release: pairs with the acquire fence of a reader that finds this count.
        self.live
            .store_release(ring_live::SYMBOLS_COMMITTED, self.symbol_count.into());
        Ok(id as u16)
    }

    /// Adds a model and returns the id that its signals carry. A model that is swapped in is a new one. Allocates only
    /// to report an error.
    pub fn add_model(&mut self, name: &str, hash: u64, horizon_ns: u64, classes: [&str; 3]) -> Result<u16, RingError> {
        check_text("model", name, 48)?;
        for class in classes {
            check_text("class", class, 16)?;
        }
        let id = self.model_count;
        if id >= self.options.max_models {
            return Err(RingError::Full {
                what: "models",
                most: id,
            });
        }
        let classes = classes.map(padded);
        let entry = ModelEntry {
            name: padded(name),
            hash,
            horizon_ns,
            classes,
            ..ModelEntry::zeroed()
        };
        self.models
            .store_bytes(id as usize * size_of::<ModelEntry>() / 8, bytemuck::bytes_of(&entry));
        self.model_count += 1;
        // Release: as for symbols.
        self.live
            .store_release(ring_live::MODELS_COMMITTED, self.model_count.into());
        Ok(id as u16)
    }

    /// Publishes a signal and returns its sequence. Never waits, never allocates, never looks at a reader.
    #[inline]
    pub fn publish(&mut self, signal: &Signal) -> u64 {
        let sequence = self.next;
        let first = (sequence & self.mask) as usize * SIGNAL_WORDS;
        write_slot::<SIGNAL_WORDS>(&self.slots, first, sequence, bytemuck::cast_ref(signal));
        self.next = sequence.wrapping_add(1);
        // Release: pairs with the acquire fence after a reader's load of the cursor.
        self.live.store_release(ring_live::CURSOR, self.next);
        sequence
    }

    /// How many signals were published.
    pub fn published(&self) -> u64 {
        self.next
    }

    /// Says that the engine is alive although it has nothing to say.
    pub fn heartbeat(&self, unix_ns: u64) {
        self.live.store(ring_live::HEARTBEAT_UNIX_NS, unix_ns);
        self.live.bump(ring_live::HEARTBEATS, 1);
    }

    /// Says that the engine is finishing.
    pub fn set_draining(&self) {
        self.live.store(ring_live::STATE, EngineState::Draining as u64);
    }
}

impl Drop for SignalWriter {
    fn drop(&mut self) {
        let state = if std::thread::panicking() {
            EngineState::Panicked
        } else {
            EngineState::Closed
        };
        self.live.store_release(ring_live::STATE, state as u64);
    }
}

impl std::fmt::Debug for SignalWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalWriter")
            .field("report", &self.report)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Poll {
    /// The next signal.
    Signal(Signal),
    /// The next signal is not there yet.
    Empty,
    /// The writer has overtaken the reader, which goes on half a ring behind it.
    Lapped {
        /// How many signals are lost to this reader.
        missed: u64,
    },
}

/// Reads a ring at its own pace. Any number of readers may.
pub struct SignalReader {
    mapped: MappedFile,
    slots: Block,
    slot_words: usize,
    mask: u64,
    next: u64,
    live: Block,
    symbols: Table,
    models: Table,
    info: RingInfo,
}

struct Table {
    block: Block,
    stride_words: usize,
    cap: u64,
    committed: usize,
}

/// What a ring says of the program that writes it. Claims, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingInfo {
    /// Name of the service.
    pub service: String,
    /// The same as in the region of this start.
    pub instance_id: u64,
    /// Process id in the writer's namespace.
    pub pid: u32,
    /// Start, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// How many signals it holds.
    pub slot_count: u32,
    /// Format version.
    pub format: (u16, u16),
}

impl SignalReader {
    /// Opens a ring, living or dead. The first signal it gives is the next one to be published; see
    /// [`seek_oldest`](Self::seek_oldest).
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::over(MappedFile::open(path, RING_BYTES_MAX)?)
    }

    /// Reads a ring of this process, also one in private memory.
    pub fn of(writer: &SignalWriter) -> Result<Self, ReadError> {
        let path = writer.path().unwrap_or(Path::new("private memory")).to_path_buf();
        Self::over(MappedFile {
            path,
            file: None,
            memory: Arc::clone(&writer.memory),
        })
    }

    fn over(mapped: MappedFile) -> Result<Self, ReadError> {
        let header = check_header(&mapped.page(), mapped.memory.bytes()).map_err(|e| mapped.format_error(e))?;
        let block = |off: u64, stride: u32, count: u32| {
            let words = stride as usize / 8 * count as usize;
            let block = mapped.memory.block(off as usize, words);
            block.ok_or_else(|| {
                mapped.format_error(FormatError::Field {
                    field: "offset",
                    value: off,
                })
            })
        };
        let table = |off, stride, cap| {
            let block = block(off, stride, cap)?;
            Ok(Table {
                block,
                stride_words: stride as usize / 8,
                cap: cap.into(),
                committed: ring_live::SYMBOLS_COMMITTED,
            })
        };
        let RingHeader {
            slot_count,
            slot_stride,
            ..
        } = header;
        let mut reader = Self {
            slots: block(header.slots_off, slot_stride, slot_count)?,
            slot_words: slot_stride as usize / 8,
            mask: u64::from(slot_count) - 1,
            next: 0,
            live: block(header.live_off, PAGE as u32, 1)?,
            symbols: table(header.symbols_off, header.symbol_stride, header.symbol_cap)?,
            models: Table {
                committed: ring_live::MODELS_COMMITTED,
                ..table(header.models_off, header.model_stride, header.model_cap)?
            },
            info: RingInfo {
                service: text_of(&header.service),
                instance_id: header.instance_id,
                pid: header.pid,
                start_unix_ns: header.start_unix_ns,
                slot_count,
                format: (header.major, header.minor),
            },
            mapped,
        };
        reader.seek_newest();
        Ok(reader)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.mapped.path
    }

    /// What the header says.
    pub fn info(&self) -> &RingInfo {
        &self.info
    }

    /// The next signal, if it is there. Never waits.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an empty ring is not the end of it")]
    pub fn next(&mut self) -> Poll {
        let first = (self.next & self.mask) as usize * self.slot_words;
        match read_slot::<SIGNAL_WORDS>(&self.slots, first, self.next) {
            Slot::NotYet => Poll::Empty,
            Slot::Whole(mut words) => {
                words[0] = self.next;
                self.next = self.next.wrapping_add(1);
                Poll::Signal(bytemuck::cast(words))
            }
            Slot::Overwritten { published_least } => {
                // The stamp may be newer than the cursor that this thread can see.
                let published = self.published().max(published_least);
                // Half a ring of headroom: at the oldest slot the writer would be back at once.
                let resume = published
                    .saturating_sub(self.mask / 2 + 1)
                    .max(self.next.saturating_add(1));
                let missed = resume - self.next;
                self.next = resume;
                Poll::Lapped { missed }
            }
        }
    }

    /// How many signals were published.
    pub fn published(&self) -> u64 {
        let cursor = self.live.load(ring_live::CURSOR);
        fence_acquire();
        cursor
    }

    /// The sequence of the signal that [`next`](Self::next) will give.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Skips to the next signal to be published; returns how many were skipped.
    pub fn seek_newest(&mut self) -> u64 {
        let published = self.published();
        let skipped = published.saturating_sub(self.next);
        self.next = published;
        skipped
    }

    /// Goes back to the oldest signal of which there is a good chance to read it: all of them if the ring has not gone
    /// round yet or its writer is gone, else half a ring.
    pub fn seek_oldest(&mut self) {
        let published = self.published();
        let slots = self.mask + 1;
        let gone = self.mapped.is_locked().is_ok_and(|locked| !locked);
        let kept = if published <= slots || gone { slots } else { slots / 2 };
        self.next = published.saturating_sub(kept);
    }

    /// The symbol of that id; `None` where the ring has none (yet).
    pub fn symbol(&self, id: u16) -> Option<RingSymbol> {
        let entry: SymbolEntry = self.symbols.entry(&self.live, id)?;
        let SymbolEntry {
            price_scale, qty_scale, ..
        } = entry;
        let sound = price_scale <= 18 && qty_scale <= 18;
        let (venue, symbol) = (text_of(&entry.venue), text_of(&entry.symbol));
        sound.then_some(RingSymbol {
            venue,
            symbol,
            price_scale,
            qty_scale,
        })
    }

    /// The model of that id; `None` where the ring has none (yet).
    pub fn model(&self, id: u16) -> Option<RingModel> {
        let ModelEntry {
            name,
            hash,
            horizon_ns,
            classes,
            ..
        } = self.models.entry(&self.live, id)?;
        Some(RingModel {
            name: text_of(&name),
            hash,
            horizon_ns,
            classes: classes.map(|class| text_of(&class)),
        })
    }

    /// Whether the writer lives: by its lock, then by its own word.
    pub fn liveness(&self) -> Result<Liveness, ReadError> {
        let locked = self.mapped.is_locked()?;
        Ok(Liveness::of(
            locked,
            EngineState::from_wire(self.live.load(ring_live::STATE)),
        ))
    }

    /// Whether the path still leads to this file.
    pub fn is_current(&self) -> bool {
        self.mapped.is_current()
    }

    /// Unix time of the writer's last heartbeat, nanoseconds; zero before the first.
    pub fn heartbeat_unix_ns(&self) -> u64 {
        self.live.load(ring_live::HEARTBEAT_UNIX_NS)
    }
}

impl std::fmt::Debug for SignalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalReader")
            .field("path", &self.mapped.path)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Table {
    fn entry<T: bytemuck::AnyBitPattern>(&self, live: &Block, id: u16) -> Option<T> {
        let committed = live.load(self.committed);
        // Acquire: pairs with the release store of the count.
        fence_acquire();
        if u64::from(id) >= committed.min(self.cap) {
            return None;
        }
        let bytes = self
            .block
            .copy_bytes(usize::from(id) * self.stride_words, size_of::<T>());
        Some(bytemuck::pod_read_unaligned(&bytes))
    }
}

fn check_text(what: &'static str, text: &str, most: usize) -> Result<(), RingError> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(RingError::Text {
            what,
            text: text.into(),
            most,
        });
    }
    Ok(())
}

/// Bytes of a ring file that a reader maps at most.
const RING_BYTES_MAX: u64 = 1 << 30;

fn plan(options: &RingOptions) -> Result<RingHeader, CreateError> {
    let within = |what, value: u32, low: u32, high: u32, limits| {
        let fits = (low..=high).contains(&value);
        if fits {
            Ok(())
        } else {
            Err(CreateError::OutOfLimits {
                what,
                value: value.into(),
                limits,
            })
        }
    };
    let RingOptions {
        slot_count,
        max_symbols,
        max_models,
        ..
    } = *options;
    within("slot_count", slot_count, 8, 1 << 22, "8 to 4,194,304")?;
    within("max_symbols", max_symbols, 1, 1 << 16, "1 to 65,536")?;
    within("max_models", max_models, 1, 1 << 16, "1 to 65,536")?;
    if !slot_count.is_power_of_two() {
        let value = slot_count.into();
        return Err(CreateError::OutOfLimits {
            what: "slot_count",
            value,
            limits: "a power of two",
        });
    }
    let pages = |count: u32, size: usize| (count as usize * size).next_multiple_of(PAGE) as u64;
    let symbols_off = 2 * PAGE as u64;
    let models_off = symbols_off + pages(max_symbols, size_of::<SymbolEntry>());
    let slots_off = models_off + pages(max_models, size_of::<ModelEntry>());
    Ok(RingHeader {
        magic: RING_MAGIC,
        byte_order: BYTE_ORDER_TAG,
        major: VERSION_MAJOR,
        minor: RING_VERSION_MINOR,
        header_len: size_of::<RingHeader>() as u32,
        file_len: slots_off + pages(slot_count, size_of::<Signal>()),
        instance_id: options.file.instance_id,
        pid: std::process::id(),
        uid: nix::unistd::geteuid().as_raw(),
        start_unix_ns: options.file.start_unix_ns,
        slot_count,
        slot_stride: size_of::<Signal>() as u32,
        signal_len: size_of::<Signal>() as u32,
        symbol_cap: max_symbols,
        symbol_stride: size_of::<SymbolEntry>() as u32,
        model_cap: max_models,
        model_stride: size_of::<ModelEntry>() as u32,
        live_off: PAGE as u64,
        symbols_off,
        models_off,
        slots_off,
        service: padded(&options.file.service),
        ..RingHeader::zeroed()
    })
}

fn fill(memory: &Arc<Memory>, header: &RingHeader) {
    let mut header = *header;
    header.crc32c = crc32c(bytemuck::bytes_of(&header));
    let pages = memory.block(0, 2 * PAGE / 8).expect("a ring is at least two pages");
    pages.store_bytes(0, bytemuck::bytes_of(&header));
    pages.store_release(PAGE / 8 + ring_live::STATE, EngineState::Live as u64);
}

fn check_header(page: &[u8], file_len: usize) -> Result<RingHeader, FormatError> {
    let head: RingHeader = bytemuck::pod_read_unaligned(&page[..size_of::<RingHeader>()]);
    let RingHeader {
        magic,
        byte_order,
        major,
        minor,
        header_len,
        crc32c,
        feature_incompat,
        ..
    } = head;
    let least_len = size_of::<RingHeader>();
    let start = StartFields {
        magic,
        byte_order,
        major,
        minor,
        header_len,
        crc32c,
        feature_incompat,
        least_len,
    };
    check_start(page, magic == RING_MAGIC, &start)?;
    let check = |field, value: u64, sound: bool| {
        if sound {
            Ok(())
        } else {
            Err(FormatError::Field { field, value })
        }
    };
    let strided = |stride: u32, least: usize| stride as usize >= least && stride.is_multiple_of(8) && stride <= 4096;
    check("file_len", head.file_len, head.file_len == file_len as u64)?;
    let slots_sound = head.slot_count.is_power_of_two() && (8..=1 << 22).contains(&head.slot_count);
    check("slot_count", head.slot_count.into(), slots_sound)?;
    check(
        "slot_stride",
        head.slot_stride.into(),
        strided(head.slot_stride, size_of::<Signal>()),
    )?;
    let signal_sound = head.signal_len as usize >= size_of::<Signal>() && head.signal_len <= head.slot_stride;
    check("signal_len", head.signal_len.into(), signal_sound)?;
    check(
        "symbol_stride",
        head.symbol_stride.into(),
        strided(head.symbol_stride, size_of::<SymbolEntry>()),
    )?;
    check("symbol_cap", head.symbol_cap.into(), head.symbol_cap <= 1 << 16)?;
    check(
        "model_stride",
        head.model_stride.into(),
        strided(head.model_stride, size_of::<ModelEntry>()),
    )?;
    check("model_cap", head.model_cap.into(), head.model_cap <= 1 << 16)?;
    let inside = |off: u64, stride: u32, count: u32| {
        let bytes = u64::from(stride) * u64::from(count);
        off >= PAGE as u64 && off.is_multiple_of(8) && off.checked_add(bytes).is_some_and(|end| end <= file_len as u64)
    };
    check("live_off", head.live_off, inside(head.live_off, PAGE as u32, 1))?;
    check(
        "symbols_off",
        head.symbols_off,
        inside(head.symbols_off, head.symbol_stride, head.symbol_cap),
    )?;
    check(
        "models_off",
        head.models_off,
        inside(head.models_off, head.model_stride, head.model_cap),
    )?;
    check(
        "slots_off",
        head.slots_off,
        inside(head.slots_off, head.slot_stride, head.slot_count),
    )?;
    Ok(head)
}
