//! Shared-memory files: the metrics region and the signal ring.
//!
//! An engine writes both, other programs read them, each at its own pace and without the engine noticing. Both are files
//! on tmpfs with a fixed length, made whole before they get a name, held by a lock that the kernel releases when the
//! writer is gone, and readable after a crash.
//!
//! - A **region** ([`RegionWriter`], [`RegionReader`]) holds counters, gauges, states and HDR histograms and describes
//!   itself: a reader needs no catalogue. What may lie in it is declared in [`catalogue`]. Beside the metrics it keeps
//!   each thread's last events ([`EventWriter`], [`RegionReader::events`]), declared in [`event`].
//! - A **ring** ([`SignalWriter`], [`SignalReader`]) holds the last signals; every reader sees all of them or is told how
//!   many it missed. `include/quantumflow_signal.h` reads it from C and C++.
//!
//! Writers trust nobody's bytes and read none but their own. Readers map read-only and take every byte for a claim.

pub mod catalogue;
mod cells;
mod counts;
mod crc;
pub mod directory;
pub mod event;
mod event_reader;
mod event_ring;
mod event_writer;
mod file;
mod histogram;
pub mod layout;
mod live;
mod memory;
pub mod metric;
mod motion;
mod parse;
mod plan;
mod reader;
mod ring;
mod sigbus;
pub mod signal;
mod slot;
mod snapshot;
mod sync;
mod writer;

pub use cells::{Counter, GaugeF64, GaugeI64, Histogram, SharedCounter, State, Timestamp};
pub use event::{EventKind, SubjectId};
pub use event_reader::{Event, EventFieldMeta, EventMeta, ThreadEvents};
pub use event_writer::EventWriter;
pub use file::{CreateError, CreateReport, FileKind, FileName, FileOptions};
pub use histogram::HistogramSnapshot;
pub use layout::Shape;
pub use live::{EngineState, LivePage};
pub use metric::{Agg, Kind, Metric, Unit};
pub use motion::{Motion, STALL_AFTER, ThreadMotion};
pub use parse::{FormatError, RegionInfo, SeriesMeta};
pub use reader::{ReadError, RegionReader, in_words};
pub use ring::{Poll, RingError, RingInfo, RingModel, RingOptions, RingSymbol, SignalReader, SignalWriter};
pub use sigbus::{EXIT_CUT, exit_on_sigbus};
pub use signal::{Signal, SignalClass};
pub use snapshot::{EngineStatus, Liveness, Series, Snapshot, Unfinished, Value, WriterStatus};
pub use writer::{RegionOptions, RegionWriter, RegisterError, ThreadWriter};
