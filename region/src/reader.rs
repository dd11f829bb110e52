//! The other side of a region: maps it read-only, believes nothing, never waits.
//!
//! A snapshot is one pass. Nothing that the engine does or fails to do (go on, stop, die inside a record) can hold it up;
//! how far a histogram moved meanwhile is told as its uncertainty. Each pass makes the writer fetch back the lines that
//! were read, so ten passes a second are plenty.
//!
//! The engine never shortens a file. Who finds one cut at the next look gets an error; someone who cuts it between the check
//! and the read ends the reader with SIGBUS. That someone has the engine's rights; the reader says what happened if it was
//! told to ([`exit_on_sigbus`](crate::exit_on_sigbus)), and a supervisor restarts it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{is_locked, open_read_only};
use crate::histogram::{HistogramSnapshot, read_settled};
use crate::layout::{Descriptor, PAGE, limit, live, writer_block};
use crate::live::EngineState;
use crate::memory::{Block, Memory};
use crate::metric::{Agg, Kind};
use crate::parse::{self, FormatError, Interned, Labels, RegionInfo, Sections, SeriesMeta, Span, Texts, is_retired};
use crate::snapshot::{EngineStatus, Liveness, Series, Snapshot, Unfinished, Value, WriterStatus};
use crate::sync::{Words, fence_acquire};
use crate::writer::RegionWriter;

/// Why a shared file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A call to the operating system failed.
    #[error("failed to {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not one that a reader should trust.
    #[error("{path} is not trusted: {why}")]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        why: String,
    },
    /// The bytes are not a region or a ring that this program understands.
    #[error("{path} is not readable")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// The file is shorter than when it was mapped.
    #[error("{path} was cut from {from} to {to} bytes while it was mapped: open it again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// When it was mapped.
        from: u64,
        /// Now.
        to: u64,
    },
}

/// An error with its causes, in one line: how programs that read regions report one.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A region being read.
pub struct RegionReader {
    pub(crate) mapped: MappedFile,
    info: RegionInfo,
    pub(crate) sections: Sections,
    pub(crate) live: Block,
    index: Index,
}

/// The descriptors that were checked so far.
#[derive(Default)]
struct Index {
    committed: usize,
    hist_bytes: usize,
    unknown: u32,
    /// Every series by what makes it one: its text, and the thread where threads are kept apart.
    groups: Vec<Group>,
    by_identity: HashMap<Identity, usize>,
    /// Where each metric's name was first described, for all others must agree.
    first_of_name: HashMap<Arc<str>, usize>,
    writer_names: HashMap<usize, Arc<str>>,
    interned: Interned,
}

/// Name, labels, and the thread where threads are kept apart.
type Identity = (Arc<str>, Labels, Option<usize>);

struct Group {
    meta: Arc<SeriesMeta>,
    members: Vec<Member>,
}

struct Member {
    descriptor: Block,
    words: Block,
    /// Index of the thread's block; `None` for a cell of several threads.
    writer: Option<usize>,
}

impl RegionReader {
    /// Opens a region, living or dead.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let mapped = MappedFile::open(path, limit::REGION_BYTES)?;
        Self::over(mapped)
    }

    /// Reads a region of this process, also one in private memory.
    pub fn of(region: &RegionWriter) -> Result<Self, ReadError> {
        let path = region.path().unwrap_or(Path::new("private memory")).to_path_buf();
        Self::over(MappedFile {
            path,
            file: None,
            memory: Arc::clone(region.memory()),
        })
    }

    fn over(mapped: MappedFile) -> Result<Self, ReadError> {
        let page = mapped.page();
        let (info, sections) =
            parse::header(&page, mapped.memory.bytes() as u64).map_err(|e| mapped.format_error(e))?;
        let live = mapped.memory.block(sections.live.off, live::WORDS);
        let live = live.ok_or_else(|| mapped.format_error(FormatError::Section("LIVE")))?;
        let mut reader = Self {
            mapped,
            info,
            sections,
            live,
            index: Index::default(),
        };
        reader.refresh()?;
        Ok(reader)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.mapped.path
    }

    /// What the header says.
    pub fn info(&self) -> &RegionInfo {
        &self.info
    }

    /// Whether the engine lives: by its lock, then by its own word.
    pub fn liveness(&self) -> Result<Liveness, ReadError> {
        // The state lies in a page of the file.
        self.mapped.check_length()?;
        let locked = self.mapped.is_locked()?;
        Ok(Liveness::of(locked, self.engine_state()))
    }

    /// Whether the path still leads to this file. A file that was retired or replaced keeps its last values.
    pub fn is_current(&self) -> bool {
        self.mapped.is_current()
    }

    /// The state that the engine claims.
    pub fn engine_state(&self) -> Option<EngineState> {
        EngineState::from_wire(self.live.load(live::STATE))
    }

    /// One pass over everything. Takes about 2 µs per histogram and allocates the result.
    pub fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.mapped.check_length()?;
        self.refresh()?;
        let mut begun = Vec::new();
        let series = self.index.groups.iter().map(|group| group.read(&mut begun)).collect();
        let writers = self.writers();
        let unfinished = begun.into_iter().map(|(series, writer, records)| Unfinished {
            series,
            writer: writer
                .and_then(|index| writers.get(index))
                .map_or_else(|| "".into(), |status| Arc::clone(&status.name)),
            records,
        });
        Ok(Snapshot {
            series,
            unfinished: unfinished.collect(),
            writers,
            engine: self.engine(),
            unknown_series_count: self.index.unknown,
            unknown_section_count: self.sections.unknown_count,
        })
    }

    /// Checks the descriptors that were added since the last look.
    fn refresh(&mut self) -> Result<(), ReadError> {
        self.refresh_index().map_err(|error| self.mapped.format_error(error))
    }

    fn refresh_index(&mut self) -> Result<(), FormatError> {
        let known = self.index.committed;
        let committed = self.live.load(live::DESC_COMMITTED);
        if committed == known as u64 {
            return Ok(());
        }
        // Acquire: pairs with the release store of the count. All that the new descriptors refer to can be read below.
        fence_acquire();
        let Sections {
            desc, strings, labels, ..
        } = &self.sections;
        let committed = bounded("desc_committed", committed, desc.count)?;
        if committed < known {
            return Err(FormatError::Count {
                what: "desc_committed",
                from: known as u64,
                to: committed as u64,
            });
        }
        let string_used = bounded("string_used", self.live.load(live::STRING_USED), strings.len)?;
        let labels_used = bounded("labels_used", self.live.load(live::LABELS_USED), labels.count)?;
        // The one look at the shared bytes. From here on only these copies are believed.
        let strings = self.copy(strings, string_used);
        let labels = self.copy(labels, labels_used * labels.stride);
        let descriptors = self.copy(
            &Span {
                off: desc.off + known * desc.stride,
                ..*desc
            },
            (committed - known) * desc.stride,
        );
        // Taken out for the loop, in which the index itself grows.
        let mut interned = std::mem::take(&mut self.index.interned);
        let mut texts = Texts {
            sections: &self.sections,
            strings: &strings,
            labels: &labels,
            interned: &mut interned,
        };
        for (i, bytes) in descriptors.chunks_exact(desc.stride).enumerate() {
            let index = known + i;
            match texts.series(bytes, index)? {
                Some(parsed) => self.index.add(parsed, index, &self.sections, &self.mapped.memory)?,
                None => self.index.unknown += 1,
            }
            self.index.committed = index + 1;
        }
        self.index.interned = interned;
        Ok(())
    }

    /// The first `words` words of an entry of a table.
    pub(crate) fn block(&self, table: &Span, index: usize, words: usize) -> Option<Block> {
        self.mapped.memory.block(table.off + index * table.stride, words)
    }

    pub(crate) fn copy(&self, span: &Span, bytes: usize) -> Vec<u8> {
        let words = bytes.div_ceil(8);
        let block = self
            .mapped
            .memory
            .block(span.off, words)
            .expect("spans were checked against the file's length");
        block.copy_bytes(0, bytes)
    }

    fn writers(&self) -> Vec<WriterStatus> {
        let writer = &self.sections.writer;
        let blocks = (0..writer.count).map_while(|index| {
            let block = self.block(writer, index, writer_block::CELLS)?;
            // Blocks are given out in order: the first free one ends them.
            let name = writer_name(&block)?;
            let thread = block.load(writer_block::THREAD);
            let loop_end = block.load(writer_block::LOOP_END);
            fence_acquire();
            let loop_begin = block.load(writer_block::LOOP_BEGIN);
            Some(WriterStatus {
                name: name.into(),
                tid: thread as u32,
                cpu: ((thread >> 32) as u32).checked_sub(1),
                loop_begin,
                loop_end,
                breadcrumb: block.load(writer_block::BREADCRUMB) as u32,
            })
        });
        blocks.collect()
    }

    fn engine(&self) -> EngineStatus {
        let load = |word| self.live.load(word);
        let panic_len = usize::try_from(load(live::PANIC_LEN))
            .unwrap_or(usize::MAX)
            .min(live::PANIC_TEXT_BYTES);
        fence_acquire();
        let panic_text = (panic_len > 0).then(|| {
            let bytes = self.live.copy_bytes(live::PANIC_TEXT, panic_len);
            // Line ends are kept, the rest of the control characters could steer a terminal.
            let printable = |c: char| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c };
            String::from_utf8_lossy(&bytes).chars().map(printable).collect()
        });
        EngineStatus {
            state: self.engine_state(),
            heartbeats: load(live::HEARTBEATS),
            heartbeat_unix_ns: load(live::HEARTBEAT_UNIX_NS),
            heartbeat_boottime_ns: load(live::HEARTBEAT_BOOTTIME_NS),
            registrations_dropped: load(live::REGISTRATIONS_DROPPED),
            hist_used_bytes: load(live::HIST_USED),
            exit_code: load(live::EXIT_CODE),
            panic_text,
        }
    }
}

impl std::fmt::Debug for RegionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegionReader")
            .field("path", &self.mapped.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Index {
    fn add(
        &mut self,
        parsed: parse::Parsed,
        index: usize,
        sections: &Sections,
        memory: &Arc<Memory>,
    ) -> Result<(), FormatError> {
        let wrong = |what| FormatError::Series { index, what };
        let mut meta = parsed.meta;
        // Blocks do not overlap in a sound file; without this a small one could ask for gigabytes of copies.
        self.hist_bytes += meta.shape.map_or(0, |shape| shape.block_bytes());
        if self.hist_bytes > sections.hist.len {
            return Err(wrong("the histograms overlap"));
        }
        let own_thread = if meta.agg == Agg::PerWriter {
            parsed.writer
        } else {
            None
        };
        if let Some(writer) = own_thread {
            let name = self
                .writer_name(writer, sections, memory)
                .ok_or(wrong("its writer has no name"))?;
            let at = meta.labels.partition_point(|(label, _)| &**label < "writer");
            if meta.labels.get(at).is_some_and(|(label, _)| &**label == "writer") {
                return Err(wrong("it has a label `writer` of its own"));
            }
            meta.labels.insert(at, ("writer".into(), name));
        }
        let words = meta.shape.map_or(1, |shape| shape.block_bytes() / 8);
        let words = memory
            .block(parsed.value_off, words)
            .ok_or(wrong("its value lies outside the file"))?;
        let at = sections.desc.off + index * sections.desc.stride;
        let descriptor = memory
            .block(at, size_of::<Descriptor>() / 8)
            .ok_or(wrong("it lies outside the file"))?;
        let member = Member {
            descriptor,
            words,
            writer: parsed.writer,
        };

        let identity = (Arc::clone(&meta.name), meta.labels.clone(), own_thread);
        match self.by_identity.get(&identity) {
            Some(&group) => {
                if !self.groups[group].meta.agrees_with(&meta) {
                    return Err(wrong("another series of its name is of another kind, unit or shape"));
                }
                self.groups[group].members.push(member);
            }
            None => {
                let group = self.groups.len();
                let first = *self.first_of_name.entry(Arc::clone(&meta.name)).or_insert(group);
                if first != group && !self.groups[first].meta.agrees_with(&meta) {
                    return Err(wrong("another series of its name is of another kind, unit or shape"));
                }
                self.by_identity.insert(identity, group);
                self.groups.push(Group {
                    meta: Arc::new(meta),
                    members: vec![member],
                });
            }
        }
        Ok(())
    }

    fn writer_name(&mut self, index: usize, sections: &Sections, memory: &Arc<Memory>) -> Option<Arc<str>> {
        if let Some(name) = self.writer_names.get(&index) {
            return Some(Arc::clone(name));
        }
        let off = sections.writer.off + index * sections.writer.stride;
        let name: Arc<str> = writer_name(&memory.block(off, writer_block::CELLS)?)?.into();
        self.writer_names.insert(index, Arc::clone(&name));
        Some(name)
    }
}

/// A count of the live page that must not exceed the room there is.
pub(crate) fn bounded(what: &'static str, used: u64, room: usize) -> Result<usize, FormatError> {
    match usize::try_from(used) {
        Ok(used) if used <= room => Ok(used),
        _ => Err(FormatError::Count {
            what,
            from: room as u64,
            to: used,
        }),
    }
}

/// The name in a writer's block; `None` where it is free or the name is no text.
pub(crate) fn writer_name(block: &Block) -> Option<String> {
    let len = usize::try_from(block.load(writer_block::NAME_LEN)).ok()?;
    fence_acquire();
    if len == 0 || len > writer_block::NAME_BYTES {
        return None;
    }
    String::from_utf8(block.copy_bytes(writer_block::NAME, len))
        .ok()
        .filter(|name| !name.chars().any(char::is_control))
}

/// A histogram inside a record: whose, and how many records had begun and not ended.
type Begun = (Arc<SeriesMeta>, Option<usize>, u64);

impl Group {
    fn read(&self, begun: &mut Vec<Begun>) -> Series {
        let mut values = self.members.iter().map(|member| {
            let value = member.read(&self.meta);
            let records = value.histogram().map_or(0, HistogramSnapshot::uncertainty);
            if records > 0 {
                begun.push((Arc::clone(&self.meta), member.writer, records));
            }
            value
        });
        let mut value = values.next().unwrap_or(Value::Info);
        for other in values {
            value.combine(other, self.meta.agg);
        }
        let retired = self.members.iter().all(|member| is_retired(member.descriptor.load(0)));
        Series {
            meta: Arc::clone(&self.meta),
            value,
            retired,
        }
    }
}

impl Member {
    fn read(&self, meta: &SeriesMeta) -> Value {
        match (meta.kind, meta.shape) {
            (Kind::Histogram, Some(shape)) => Value::Histogram(read_settled(&self.words, shape)),
            (kind, _) => Value::of_word(kind, self.words.load(0)),
        }
    }
}

/// A shared file mapped for reading, with the checks that regions and rings share.
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    /// `None` for memory of this process.
    pub(crate) file: Option<File>,
    pub(crate) memory: Arc<Memory>,
}

impl MappedFile {
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<Self, ReadError> {
        let io = |what| {
            move |source| ReadError::Io {
                what,
                path: path.to_path_buf(),
                source,
            }
        };
        let file = open_read_only(path).map_err(io("open"))?;
        let metadata = file.metadata().map_err(io("stat"))?;
        let refuse = |why: String| {
            Err(ReadError::Untrusted {
                path: path.to_path_buf(),
                why,
            })
        };
        if !metadata.is_file() {
            return refuse("it is not a regular file".into());
        }
        if metadata.nlink() != 1 {
            return refuse(format!("it has {} names; a shared file has one", metadata.nlink()));
        }
        if metadata.mode() & 0o002 != 0 {
            return refuse("everyone may write to it; chmod o-w".into());
        }
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let owner = fs::metadata(parent).map_err(io("stat the directory of"))?.uid();
        let me = nix::unistd::geteuid().as_raw();
        if ![owner, me, 0].contains(&metadata.uid()) {
            let uid = metadata.uid();
            return refuse(format!(
                "user {uid} owns it, but user {owner} owns the directory; chown it if that is right"
            ));
        }
        let bytes = metadata.len();
        let format = |source| {
            Err(ReadError::Format {
                path: path.to_path_buf(),
                source,
            })
        };
        if bytes < 2 * PAGE as u64 {
            return format(FormatError::TooShort {
                bytes,
                needed: 2 * PAGE as u64,
            });
        }
        if bytes > bytes_max {
            return format(FormatError::TooLong { bytes, most: bytes_max });
        }
        let memory = Arc::new(Memory::map_read_only(&file, bytes as usize).map_err(io("map"))?);
        Ok(Self {
            path: path.to_path_buf(),
            file: Some(file),
            memory,
        })
    }

    /// A private copy of the header page.
    pub(crate) fn page(&self) -> Vec<u8> {
        let page = self.memory.block(0, PAGE / 8).expect("a mapping is at least two pages");
        page.copy_bytes(0, PAGE)
    }

    pub(crate) fn format_error(&self, source: FormatError) -> ReadError {
        ReadError::Format {
            path: self.path.clone(),
            source,
        }
    }

    pub(crate) fn is_locked(&self) -> Result<bool, ReadError> {
        let Some(file) = &self.file else { return Ok(true) };
        is_locked(file).map_err(|source| ReadError::Io {
            what: "ask for the lock of",
            path: self.path.clone(),
            source,
        })
    }

    pub(crate) fn is_current(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(mapped), Ok(named)) => identity(mapped) == identity(named),
            _ => false,
        }
    }

    /// A page beyond the end of a file that was cut would be a SIGBUS.
    pub(crate) fn check_length(&self) -> Result<(), ReadError> {
        let Some(file) = &self.file else { return Ok(()) };
        let io = |source| ReadError::Io {
            what: "stat",
            path: self.path.clone(),
            source,
        };
        let (from, to) = (self.memory.bytes() as u64, file.metadata().map_err(io)?.len());
        if to < from {
            Err(ReadError::Truncated {
                path: self.path.clone(),
                from,
                to,
            })
        } else {
            Ok(())
        }
    }
}
