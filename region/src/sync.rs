//! The only operations that touch a shared word, so that a model checker can take their place.
//!
//! The protocols of this crate (a histogram's begin/end, a ring slot's stamp) are written over [`Words`], not over an
//! address. In a program the words are those of a mapping ([`Block`](crate::memory::Block)); under `cfg(loom)` they can
//! be loom's atomics, and the same lines of code are explored in every order.
//!
//! Readers map read-only. There Rust promises only relaxed loads of at most eight bytes, so no reader ever asks for
//! more: it loads relaxed and orders with a fence.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{Ordering, fence};

/// A run of 64-bit words that one thread writes and any number of threads or processes read.
pub(crate) trait Words {
    /// The word at `index`, relaxed.
    fn load(&self, index: usize) -> u64;

    /// Writes the word at `index`, relaxed. Only its one writer may call this.
    fn store(&self, index: usize, value: u64);

    /// Writes the word at `index` after everything that this thread wrote before. Only its one writer may call this.
    fn store_release(&self, index: usize, value: u64);

    /// One writer's `+= n`: a load and a store, no locked instruction.
    #[inline(always)]
    fn bump(&self, index: usize, n: u64) {
        self.store(index, self.load(index).wrapping_add(n));
    }
}

/// What this thread loads after the fence is at least as new as what the writer had stored before the store-release
/// (or release fence and store) that a load before the fence has seen.
#[inline(always)]
pub(crate) fn fence_acquire() {
    fence(Ordering::Acquire);
}

/// A reader that sees a store made after this fence also sees, past its own acquire fence, every store made before it.
#[inline(always)]
pub(crate) fn fence_release() {
    fence(Ordering::Release);
}

/// Words for the model checker. The models are the modules `loom_model` beside what they check; run them with
/// `RUSTFLAGS="--cfg loom" cargo test -p quantumflow-region --release --lib loom`.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};

    use super::Words;

    /// A block of the model checker's atomics.
    #[derive(Clone)]
    pub(crate) struct Cells(Arc<Vec<AtomicU64>>);

    impl Cells {
        pub(crate) fn new(words: usize) -> Self {
            Self(Arc::new((0..words).map(|_| AtomicU64::new(0)).collect()))
        }
    }

    impl Words for Cells {
        fn load(&self, index: usize) -> u64 {
            self.0[index].load(Ordering::Relaxed)
        }

        fn store(&self, index: usize, value: u64) {
            self.0[index].store(value, Ordering::Relaxed);
        }

        fn store_release(&self, index: usize, value: u64) {
            self.0[index].store(value, Ordering::Release);
        }
    }
}
