//! The handles through which a thread writes its series: one handle, one writer, plain stores.
//!
//! A handle can be sent to another thread but neither shared nor copied, which is what makes a load and a store enough
//! where several writers would need a locked instruction. It keeps the mapping alive, so it can outlive its region.
//!
//! ```compile_fail
//! # use quantumflow_region::Counter;
//! let counter = Counter::detached();
//! std::thread::scope(|scope| {
//!     scope.spawn(|| counter.inc()); // a `&Counter` may not cross threads
//! });
//! ```
//!
//! A series that found no room gets a detached handle: it counts into memory that nobody reads, so that the code which
//! counts needs no branch for the case.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::histogram;
use crate::layout::{FLAG_RETIRED, Shape};
use crate::memory::{Block, Memory};
use crate::sync::Words;

/// What all handles have: their words, and the word that says whether they are still fed.
pub(crate) struct Handle {
    words: Block,
    /// The first word of the descriptor; `None` for a detached handle.
    descriptor: Option<Block>,
    /// Not `Sync`: two threads with one handle would lose counts.
    _one_thread: PhantomData<Cell<()>>,
}

impl Handle {
    pub(crate) fn new(words: Block, descriptor: Block) -> Self {
        Self {
            words,
            descriptor: Some(descriptor),
            _one_thread: PhantomData,
        }
    }

    fn detached(words: usize) -> Self {
        let words = Arc::new(Memory::heap(words))
            .block(0, words)
            .expect("the whole of a memory lies inside it");
        Self {
            words,
            descriptor: None,
            _one_thread: PhantomData,
        }
    }

    fn retire(self) {
        if let Some(descriptor) = &self.descriptor {
            // Only the owner of the handle writes this word after its registration.
            descriptor.store(0, descriptor.load(0) | u64::from(FLAG_RETIRED) << 32);
        }
    }
}

macro_rules! common {
    ($name:ident, $words:expr) => {
        impl $name {
            /// A handle that counts for nobody: for a series that could not be registered.
            pub fn detached() -> Self {
                Self(Handle::detached($words))
            }

            /// Says that the series will not be fed any more. Its cell is not given to another.
            pub fn retire(self) {
                self.0.retire();
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.get()).finish()
            }
        }
    };
}

/// Writes a series that only grows.
pub struct Counter(pub(crate) Handle);
common!(Counter, 1);

impl Counter {
    /// Counts one.
    #[inline(always)]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.words.bump(0, n);
    }

    /// Publishes a total that was counted elsewhere, such as in a local of the loop. It must never shrink.
    #[inline(always)]
    pub fn set_total(&self, total: u64) {
        debug_assert!(total >= self.get(), "a counter never shrinks");
        self.0.words.store(0, total);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.words.load(0)
    }
}

/// Writes an integer that goes up and down.
pub struct GaugeI64(pub(crate) Handle);
common!(GaugeI64, 1);

impl GaugeI64 {
    /// Sets it.
    #[inline(always)]
    pub fn set(&self, value: i64) {
        self.0.words.store(0, value as u64);
    }

    /// Adds to it; wraps at the ends of an `i64`.
    #[inline(always)]
    pub fn add(&self, n: i64) {
        self.0.words.bump(0, n as u64);
    }

    /// What it stands at.
    pub fn get(&self) -> i64 {
        self.0.words.load(0) as i64
    }
}

/// Writes a number that is not known (NaN) until it is first set.
pub struct GaugeF64(pub(crate) Handle);
common!(GaugeF64, 1);

impl GaugeF64 {
    /// Sets it.
    #[inline(always)]
    pub fn set(&self, value: f64) {
        self.0.words.store(0, value.to_bits());
    }

    /// Says that it is not known at present.
    pub fn set_unknown(&self) {
        self.set(f64::NAN);
    }

    /// What it stands at.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.words.load(0))
    }
}

/// Writes which of its metric's states holds.
pub struct State(pub(crate) Handle);
common!(State, 1);

impl State {
    /// Sets it to the state of that number.
    #[inline(always)]
    pub fn set(&self, state: u8) {
        self.0.words.store(0, u64::from(state));
    }

    /// The number of the state that holds.
    pub fn get(&self) -> u64 {
        self.0.words.load(0)
    }
}

/// Writes a point in time.
pub struct Timestamp(pub(crate) Handle);
common!(Timestamp, 1);

impl Timestamp {
    /// Sets it, in nanoseconds since the Unix epoch.
    #[inline(always)]
    pub fn set(&self, unix_ns: u64) {
        self.0.words.store(0, unix_ns);
    }

    /// The time it stands at, zero before the first.
    pub fn get(&self) -> u64 {
        self.0.words.load(0)
    }
}

/// Records values into a histogram, in the raw unit of its metric.
pub struct Histogram {
    handle: Handle,
    shape: Shape,
}

impl Histogram {
    pub(crate) fn new(handle: Handle, shape: Shape) -> Self {
        // What `record` relies on.
        assert!(
            handle.words.len() >= histogram::BUCKETS + shape.bucket_count(),
            "the block is too small"
        );
        Self { handle, shape }
    }

    /// A handle that records for nobody: for a series that could not be registered.
    pub fn detached(shape: Shape) -> Self {
        Self::new(Handle::detached(histogram::BUCKETS + shape.bucket_count()), shape)
    }

    /// Records one value. One above the range counts as the range's end, and as clipped.
    #[inline(always)]
    pub fn record(&self, value: u64) {
        // SAFETY: `histogram::record` touches the header's words and that of the bucket of a value not above the range,
        // whose index is less than `bucket_count` (tested for all shapes); `new` checked that the block has them.
        let words = unsafe { self.handle.words.unchecked() };
        histogram::record(&words, self.shape, value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.handle.words.load(histogram::END)
    }

    /// Says that the series will not be fed any more. Its block is not given to another.
    pub fn retire(self) {
        self.handle.retire();
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// Counts from any thread. Costs a locked instruction: for what happens rarely, such as a dropped log event.
#[derive(Clone)]
pub struct SharedCounter(Block);

impl SharedCounter {
    pub(crate) fn new(words: Block) -> Self {
        Self(words)
    }

    /// A handle that counts for nobody.
    pub fn detached() -> Self {
        Self(Handle::detached(1).words)
    }

    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(0, n);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(0)
    }
}

impl std::fmt::Debug for SharedCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedCounter").field(&self.get()).finish()
    }
}
