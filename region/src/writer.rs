//! The engine's side of a region: make it, hand each thread its block, register series.
//!
//! Registration takes a lock and may allocate; it belongs to start-up and to the rare moment when a symbol is added.
//! What it hands out ([`Counter`], [`Histogram`], …) does neither.
//!
//! ```
//! use quantumflow_region::{RegionOptions, RegionWriter, catalogue};
//!
//! let region = RegionWriter::private(&RegionOptions::new("engine", 1_700_000_000_000_000_000))?;
//! let mut hot = region.writer("hot-0")?;
//! let updates = hot.counter(&catalogue::PRICE_UPDATES, &["binance", "BTCUSDT"])?;
//! let parse = hot.histogram(&catalogue::STAGE_LATENCY, &["parse"])?;
//! hot.loop_begin();
//! updates.inc();
//! parse.record(412);
//! hot.loop_end();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Zeroable;

use crate::cells::{Counter, GaugeF64, GaugeI64, Handle, Histogram, SharedCounter, State, Timestamp};
use crate::event::SubjectId;
use crate::file::{CreateError, CreateReport, FileKind, FileOptions, NewFile};
use crate::layout::{Descriptor, LabelRef, WRITER_SHARED, fnv1a, limit, live, writer_block};
use crate::live::{LivePage, LoopCell};
use crate::memory::{Block, Memory};
use crate::metric::{Kind, Metric, is_label_name, is_metric_name};
use crate::plan::{DESC_BYTES, HIST_ALIGN, Plan, Span};
use crate::sync::Words;

/// How large a region is and what it says of its engine.
#[derive(Clone, Debug)]
pub struct RegionOptions {
    /// Name, rights and rules of the file.
    pub file: FileOptions,
    /// Bytes of the file; histograms (30 KiB each at two digits) get what the tables leave. The default is 5 MiB.
    pub bytes: usize,
    /// Room for series. The default is 4,096.
    pub max_series: u32,
    /// Room for their text, in bytes. The default is 256 KiB.
    pub string_bytes: u32,
    /// Blocks for writer threads. The default is 8.
    pub writer_count: u32,
    /// Cells that each thread has for its counters and gauges. The default is 4,080 (a block of 32 KiB).
    pub cells_per_writer: u32,
    /// How many of its last events each thread keeps: a power of two from 8 to 65,536, or 0 for a region without events.
    /// The default is 1,024 (64 KiB for each block).
    pub events_per_writer: u32,
    /// Room for the subjects of events. The default is 1,024.
    pub max_subjects: u32,
    /// Whether this is a job, whose numbers stay true when it has ended in order, and not a service at work.
    pub is_job: bool,
    /// Version of the build, up to 24 bytes.
    pub version: String,
    /// Revision of the build, up to 40 bytes.
    pub revision: String,
}

impl RegionOptions {
    /// The defaults for a service that starts at this time.
    pub fn new(service: impl Into<String>, start_unix_ns: u64) -> Self {
        Self {
            file: FileOptions::new(service, start_unix_ns),
            bytes: 5 << 20,
            max_series: 4096,
            string_bytes: 256 << 10,
            writer_count: 8,
            cells_per_writer: 4080,
            events_per_writer: 1024,
            max_subjects: 1024,
            is_job: false,
            version: String::new(),
            revision: String::new(),
        }
    }
}

/// Why a series or a writer thread could not be registered. The caller can go on with a detached handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// This thread already has a handle to the series; two would lose counts.
    #[error("series {0} is already registered by this writer")]
    Duplicate(String),
    /// The metric is of another kind than the handle.
    #[error("metric {metric} is a {is:?}, not a {asked:?}")]
    WrongKind {
        /// The metric.
        metric: &'static str,
        /// Its kind.
        is: Kind,
        /// What the caller asked for.
        asked: Kind,
    },
    /// Not one value for each label.
    #[error("metric {metric} has {expected} labels, got {got} values")]
    LabelCount {
        /// The metric.
        metric: &'static str,
        /// Labels that it declares.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A value that readers would refuse.
    #[error(
        "label {label} of metric {metric}: a value must have no control characters and at most {} bytes",
        limit::LABEL_BYTES
    )]
    LabelValue {
        /// The metric.
        metric: &'static str,
        /// The label.
        label: &'static str,
    },
    /// A declaration that readers would refuse.
    #[error("metric {0:?} is not declared as readers accept it: name, help, labels or shape are out of bounds")]
    Declaration(&'static str),
    /// A thread's name that readers would refuse.
    #[error(
        "writer name {name:?} is taken, empty, longer than {} bytes or has control characters",
        writer_block::NAME_BYTES
    )]
    WriterName {
        /// The name.
        name: String,
    },
    /// A subject of events that readers would refuse.
    #[error(
        "subject {text:?} is empty, longer than {} bytes or has control characters",
        limit::SUBJECT_BYTES
    )]
    Subject {
        /// The subject.
        text: String,
    },
    /// The region is full. Counted in `registrations_dropped`; make the named option larger.
    #[error("no room for {series}: raise `{option}` of the region")]
    Full {
        /// What found no room.
        series: String,
        /// The option of [`RegionOptions`] that limits it.
        option: &'static str,
    },
}

/// A region being written. Share it by reference or `Arc`; dropping it marks the region closed.
pub struct RegionWriter {
    pub(crate) core: Arc<Core>,
    report: CreateReport,
}

impl RegionWriter {
    /// Makes a region in `dir`, a directory on tmpfs that only the engine's user may write to.
    pub fn create(dir: &Path, options: &RegionOptions) -> Result<Self, CreateError> {
        let plan = Plan::of(options)?;
        let file = NewFile::create(dir, &options.file, FileKind::Region, options.bytes)?;
        plan.fill(&file.memory, options);
        let (memory, report) = file.publish(&options.file)?;
        Ok(Self::over(memory, plan, options, report))
    }

    /// The same region in memory of this process: for tests, and for an engine that cannot have a file.
    pub fn private(options: &RegionOptions) -> Result<Self, CreateError> {
        let plan = Plan::of(options)?;
        let map = |source| CreateError::Io {
            what: "map",
            path: "private memory".into(),
            source,
        };
        let memory = Arc::new(Memory::anonymous(options.bytes).map_err(map)?);
        let not_locked = memory.lock_in_ram().err().map(|error| error.to_string());
        plan.fill(&memory, options);
        Ok(Self::over(
            memory,
            plan,
            options,
            CreateReport {
                not_locked,
                ..Default::default()
            },
        ))
    }

    /// A region in `dir` or, where that fails, in private memory, with the reason: an engine must not stand still because
    /// its metrics cannot be seen. Fails only where the options themselves are wrong.
    pub fn create_or_private(dir: &Path, options: &RegionOptions) -> Result<(Self, Option<CreateError>), CreateError> {
        match Self::create(dir, options) {
            Ok(region) => Ok((region, None)),
            Err(error) => Ok((Self::private(options)?, Some(error))),
        }
    }

    fn over(memory: Arc<Memory>, plan: Plan, options: &RegionOptions, report: CreateReport) -> Self {
        let registrar = Registrar {
            strings: HashMap::new(),
            seen: HashSet::new(),
            writers: Vec::new(),
            desc_count: 0,
            string_used: 0,
            labels_used: 0,
            hist_used: 0,
            shared_used: 0,
            subjects: HashMap::new(),
            has_event_kinds: false,
        };
        let live = plan.block(&memory, plan.live);
        let start_unix_ns = options.file.start_unix_ns;
        Self {
            core: Arc::new(Core {
                memory,
                plan,
                live,
                start_unix_ns,
                registrar: Mutex::new(registrar),
            }),
            report,
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

    /// The block of one thread. `name` becomes the label `writer` of series that are kept apart by thread.
    pub fn writer(&self, name: &str) -> Result<ThreadWriter, RegisterError> {
        let core = &self.core;
        let mut registrar = core.registrar();
        let bad = name.is_empty() || name.len() > writer_block::NAME_BYTES || name.chars().any(char::is_control);
        if bad || registrar.writers.iter().any(|writer| writer.name == name) {
            return Err(RegisterError::WriterName { name: name.to_owned() });
        }
        let index = registrar.writers.len();
        if index >= core.plan.writer_count as usize {
            return Err(core.full(format!("writer {name}"), "writer_count"));
        }
        let stride = core.plan.writer_stride;
        let block = core.plan.block(
            &core.memory,
            Span {
                off: core.plan.writer.off + index * stride,
                len: stride,
            },
        );
        block.store_bytes(writer_block::NAME, name.as_bytes());
        // Release: pairs with the acquire fence of a reader that finds the block in use.
        block.store_release(writer_block::NAME_LEN, name.len() as u64);
        registrar.writers.push(WriterState {
            name: name.to_owned(),
            cells_used: 0,
            has_events: false,
        });
        Ok(ThreadWriter {
            core: Arc::clone(core),
            index: index as u16,
            cell: LoopCell::new(block),
            _one_thread: PhantomData,
        })
    }

    /// A counter with any number of writers. For rare events only: counting costs a locked instruction.
    pub fn shared_counter(&self, metric: &'static Metric, values: &[&str]) -> Result<SharedCounter, RegisterError> {
        let (words, _) = self.core.register(WRITER_SHARED, metric, Kind::Counter, values, 0)?;
        Ok(SharedCounter::new(words))
    }

    /// The live page, for housekeeping and for the panic hook.
    pub fn live(&self) -> LivePage {
        LivePage::new(self.core.live.clone())
    }

    /// How many series and threads found no room.
    pub fn registrations_dropped(&self) -> u64 {
        self.core.live.load(live::REGISTRATIONS_DROPPED)
    }

    /// Marks the region closed with this exit code. Handles that still exist go on writing to where nobody looks.
    pub fn close(self, exit_code: u32) {
        self.live().set_closed(exit_code);
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.core.memory
    }
}

impl Drop for RegionWriter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.live().record_panic(&"unwound by a panic that no hook recorded");
        }
        self.live().set_closed(0);
    }
}

impl std::fmt::Debug for RegionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegionWriter")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// One thread's block: registers its series and shows where its loop is. Send it to the thread that will use it.
pub struct ThreadWriter {
    pub(crate) core: Arc<Core>,
    pub(crate) index: u16,
    pub(crate) cell: LoopCell,
    /// Not `Sync`: the block has one writer.
    _one_thread: PhantomData<Cell<()>>,
}

impl ThreadWriter {
    /// Registers a counter. `values` are those of the metric's labels, in their order.
    pub fn counter(&self, metric: &'static Metric, values: &[&str]) -> Result<Counter, RegisterError> {
        self.cell(metric, Kind::Counter, values, 0).map(Counter)
    }

    /// Registers an integer gauge, zero at first.
    pub fn gauge_i64(&self, metric: &'static Metric, values: &[&str]) -> Result<GaugeI64, RegisterError> {
        self.cell(metric, Kind::GaugeI64, values, 0).map(GaugeI64)
    }

    /// Registers a floating-point gauge, NaN at first.
    pub fn gauge_f64(&self, metric: &'static Metric, values: &[&str]) -> Result<GaugeF64, RegisterError> {
        self.cell(metric, Kind::GaugeF64, values, f64::NAN.to_bits())
            .map(GaugeF64)
    }

    /// Registers a state, at first the one of that number.
    pub fn state(&self, metric: &'static Metric, values: &[&str], first: u8) -> Result<State, RegisterError> {
        self.cell(metric, Kind::State, values, u64::from(first)).map(State)
    }

    /// Registers a timestamp, not known (zero) at first.
    pub fn timestamp(&self, metric: &'static Metric, values: &[&str]) -> Result<Timestamp, RegisterError> {
        self.cell(metric, Kind::Timestamp, values, 0).map(Timestamp)
    }

    /// Registers a statement: what it says stands in its labels.
    pub fn info(&self, metric: &'static Metric, values: &[&str]) -> Result<(), RegisterError> {
        self.cell(metric, Kind::Info, values, 1).map(drop)
    }

    /// Registers a histogram.
    pub fn histogram(&self, metric: &'static Metric, values: &[&str]) -> Result<Histogram, RegisterError> {
        let handle = self.cell(metric, Kind::Histogram, values, 0)?;
        let shape = metric.shape.ok_or(RegisterError::Declaration(metric.name))?;
        Ok(Histogram::new(handle, shape))
    }

    fn cell(&self, metric: &'static Metric, kind: Kind, values: &[&str], first: u64) -> Result<Handle, RegisterError> {
        let (words, descriptor) = self.core.register(self.index, metric, kind, values, first)?;
        Ok(Handle::new(words, descriptor))
    }

    /// Top of the event loop.
    #[inline(always)]
    pub fn loop_begin(&mut self) {
        self.cell.begin();
    }

    /// Bottom of the event loop, before it rests.
    #[inline(always)]
    pub fn loop_end(&mut self) {
        self.cell.end();
    }

    /// Leaves a number that says where the thread is: read after a crash or a stall.
    #[inline(always)]
    pub fn breadcrumb(&self, place: u32) {
        self.cell.breadcrumb(place);
    }

    /// Notes which thread this is and on which cpu it runs. Call it on the thread itself, after pinning it.
    pub fn adopt_current_thread(&self) {
        let tid = u32::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
        let cpu = nix::sched::sched_getcpu().ok().and_then(|cpu| u32::try_from(cpu).ok());
        self.cell.set_thread(tid, cpu);
    }
}

impl std::fmt::Debug for ThreadWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadWriter")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// What a region and its threads share: the memory, and the one place where registrations queue up.
pub(crate) struct Core {
    pub(crate) memory: Arc<Memory>,
    pub(crate) plan: Plan,
    pub(crate) live: Block,
    start_unix_ns: u64,
    /// Also serialises all stores to DESC, STRINGS, LABELS, EVENT_KINDS and SUBJECTS.
    registrar: Mutex<Registrar>,
}

pub(crate) struct Registrar {
    /// Where a text already stands in STRINGS.
    strings: HashMap<String, u32>,
    seen: HashSet<(u16, String)>,
    pub(crate) writers: Vec<WriterState>,
    desc_count: u32,
    pub(crate) string_used: usize,
    labels_used: usize,
    hist_used: usize,
    shared_used: usize,
    pub(crate) subjects: HashMap<String, SubjectId>,
    pub(crate) has_event_kinds: bool,
}

pub(crate) struct WriterState {
    pub(crate) name: String,
    cells_used: usize,
    /// Its event ring was handed out.
    pub(crate) has_events: bool,
}

impl Core {
    pub(crate) fn registrar(&self) -> MutexGuard<'_, Registrar> {
        // A panic while registering leaves at worst some room unused: nothing is committed before it is whole.
        self.registrar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn full(&self, series: String, option: &'static str) -> RegisterError {
        self.live.fetch_add(live::REGISTRATIONS_DROPPED, 1);
        RegisterError::Full { series, option }
    }

    /// Returns the series' words and its descriptor's.
    fn register(
        &self,
        writer: u16,
        metric: &'static Metric,
        kind: Kind,
        values: &[&str],
        first: u64,
    ) -> Result<(Block, Block), RegisterError> {
        check_declaration(metric, kind)?;
        let labels = labels_of(metric, values)?;
        let identity = identity_of(metric.name, &labels);
        let mut registrar = self.registrar();
        if registrar.seen.contains(&(writer, identity.clone())) {
            return Err(RegisterError::Duplicate(identity));
        }
        let room = self.find_room(&registrar, writer, metric, &labels);
        let value = room.map_err(|option| self.full(identity.clone(), option))?;
        let words = self.plan.block(&self.memory, value);

        // From here on nothing can fail. The cell is ready before a reader can find it.
        if kind == Kind::Histogram {
            registrar.hist_used = (value.off + value.len - self.plan.hist.off).next_multiple_of(HIST_ALIGN);
        } else {
            words.store(0, first);
            match registrar.writers.get_mut(usize::from(writer)) {
                Some(state) => state.cells_used += 1,
                None => registrar.shared_used += 1,
            }
        }
        let labels_index = registrar.labels_used as u32;
        for (name, text) in &labels {
            let label = LabelRef {
                name_off: self.intern(&mut registrar, name),
                name_len: name.len() as u16,
                value_len: text.len() as u16,
                value_off: self.intern(&mut registrar, text),
                reserved: 0,
            };
            let at = Span {
                off: self.plan.labels.off + registrar.labels_used * size_of::<LabelRef>(),
                len: 16,
            };
            self.plan
                .block(&self.memory, at)
                .store_bytes(0, bytemuck::bytes_of(&label));
            registrar.labels_used += 1;
        }
        let states = metric.states.join("|");
        let beat = self.live.load(live::HEARTBEAT_UNIX_NS);
        let descriptor = Descriptor {
            kind: kind as u8,
            unit: metric.unit as u8,
            agg: metric.agg as u8,
            scale: metric.scale,
            name_off: self.intern(&mut registrar, metric.name),
            help_off: self.intern(&mut registrar, metric.help),
            name_len: metric.name.len() as u16,
            help_len: metric.help.len() as u16,
            label_count: labels.len() as u16,
            writer,
            labels_index,
            hist_precision: metric.shape.map_or(0, |shape| shape.precision),
            hist_max_pow: metric.shape.map_or(0, |shape| shape.max_pow),
            hist_width: if metric.shape.is_some() { 8 } else { 0 },
            value_off: value.off as u64,
            series_id: fnv1a([identity.as_bytes()]),
            created_unix_ns: if beat == 0 { self.start_unix_ns } else { beat },
            states_off: self.intern(&mut registrar, &states),
            states_len: states.len() as u16,
            ..Descriptor::zeroed()
        };
        let at = Span {
            off: self.plan.desc.off + registrar.desc_count as usize * DESC_BYTES,
            len: DESC_BYTES,
        };
        let slot = self.plan.block(&self.memory, at);
        slot.store_bytes(0, bytemuck::bytes_of(&descriptor));
        registrar.desc_count += 1;
        registrar.seen.insert((writer, identity));
        self.live.store(live::STRING_USED, registrar.string_used as u64);
        self.live.store(live::LABELS_USED, registrar.labels_used as u64);
        self.live.store(live::HIST_USED, registrar.hist_used as u64);
        // Release: pairs with the acquire fence in the reader, which may then read all that this descriptor refers to.
        self.live
            .store_release(live::DESC_COMMITTED, u64::from(registrar.desc_count));
        Ok((words, slot))
    }

    /// Where the value can lie, if there is room for all that belongs to the series; else the option to raise.
    fn find_room(
        &self,
        registrar: &Registrar,
        writer: u16,
        metric: &Metric,
        labels: &[(&str, &str)],
    ) -> Result<Span, &'static str> {
        let plan = &self.plan;
        let states = metric.states.join("|");
        let own = [metric.name, metric.help, states.as_str()];
        let texts = own
            .into_iter()
            .chain(labels.iter().flat_map(|(name, value)| [*name, *value]));
        if registrar.desc_count >= plan.max_desc {
            return Err("max_series");
        }
        if !self.has_room_for(registrar, texts) {
            return Err("string_bytes");
        }
        if (registrar.labels_used + labels.len()) * size_of::<LabelRef>() > plan.labels.len {
            return Err("max_series");
        }
        if let Some(shape) = metric.shape {
            if registrar.hist_used + shape.block_bytes() > plan.hist.len {
                return Err("bytes");
            }
            return Ok(Span {
                off: plan.hist.off + registrar.hist_used,
                len: shape.block_bytes(),
            });
        }
        let (off, used, end) = match registrar.writers.get(usize::from(writer)) {
            Some(state) => {
                let block = plan.writer.off + usize::from(writer) * plan.writer_stride;
                (
                    block + writer_block::CELLS * 8,
                    state.cells_used,
                    block + plan.writer_stride,
                )
            }
            None => (
                plan.shared.off,
                registrar.shared_used,
                plan.shared.off + plan.shared.len,
            ),
        };
        let off = off + used * 8;
        if off + 8 > end {
            Err("cells_per_writer")
        } else {
            Ok(Span { off, len: 8 })
        }
    }

    /// Whether STRINGS can take these texts. One that occurs twice and is new counts twice: on the safe side.
    pub(crate) fn has_room_for<'a>(&self, registrar: &Registrar, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let new_text = texts.into_iter().filter(|text| !registrar.strings.contains_key(*text));
        let text_bytes: usize = new_text.map(|text| text.len().next_multiple_of(8)).sum();
        registrar.string_used + text_bytes <= self.plan.strings.len
    }

    /// Where `text` stands in STRINGS, which has room for it.
    pub(crate) fn intern(&self, registrar: &mut Registrar, text: &str) -> u32 {
        if let Some(&off) = registrar.strings.get(text) {
            return off;
        }
        let off = registrar.string_used;
        let len = text.len().next_multiple_of(8);
        let at = Span {
            off: self.plan.strings.off + off,
            len,
        };
        self.plan.block(&self.memory, at).store_bytes(0, text.as_bytes());
        registrar.string_used += len;
        registrar.strings.insert(text.to_owned(), off as u32);
        off as u32
    }
}

fn check_declaration(metric: &'static Metric, asked: Kind) -> Result<(), RegisterError> {
    if metric.kind != asked {
        return Err(RegisterError::WrongKind {
            metric: metric.name,
            is: metric.kind,
            asked,
        });
    }
    let sound = is_metric_name(metric.name)
        && metric.name.len() <= limit::NAME_BYTES
        && metric.help.len() <= limit::HELP_BYTES
        && !metric.help.chars().any(char::is_control)
        && metric.labels.len() <= limit::LABELS
        && metric
            .labels
            .iter()
            .all(|label| is_label_name(label) && label.len() <= limit::NAME_BYTES)
        && metric.states.iter().map(|state| state.len() + 1).sum::<usize>() <= limit::HELP_BYTES
        && metric.states.iter().all(|state| is_label_name(state))
        && metric.shape.is_some() == (asked == Kind::Histogram);
    if sound {
        Ok(())
    } else {
        Err(RegisterError::Declaration(metric.name))
    }
}

/// Names and values, sorted by name.
fn labels_of<'a>(metric: &'static Metric, values: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, RegisterError> {
    if values.len() != metric.labels.len() {
        let (expected, got) = (metric.labels.len(), values.len());
        return Err(RegisterError::LabelCount {
            metric: metric.name,
            expected,
            got,
        });
    }
    let mut labels: Vec<(&'a str, &'a str)> = Vec::with_capacity(values.len());
    for (&label, &value) in metric.labels.iter().zip(values) {
        if value.len() > limit::LABEL_BYTES || value.chars().any(char::is_control) {
            return Err(RegisterError::LabelValue {
                metric: metric.name,
                label,
            });
        }
        labels.push((label, value));
    }
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(RegisterError::Declaration(metric.name));
    }
    Ok(labels)
}

/// `name{label="value",…}`, values quoted so that no two series share it.
fn identity_of(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}
