//! Memory that other processes see, and the one way to touch it: whole words, atomically.
//!
//! No reference to mapped bytes is ever made. What other processes may write at any moment is neither `&T` nor `&[T]`
//! to the compiler; a [`Block`] is a base, a length and a share in the mapping, and hands out values.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::sync::Words;

/// A mapping, or memory of this process in the same shape.
pub(crate) struct Memory {
    /// Eight-byte aligned, valid for `bytes` until `backing` is dropped.
    base: NonNull<u64>,
    bytes: usize,
    /// Stores would fault: the mapping is read-only.
    read_only: bool,
    backing: Backing,
    /// Holds the advisory lock that says "the writer lives"; dropped with the last handle.
    _file: Option<File>,
}

enum Backing {
    Mapping(MmapRaw),
    // The cells are only ever reached through `base`; the box is here to be freed.
    Heap(#[expect(dead_code, reason = "owns the memory behind `base`")] Box<[UnsafeCell<u64>]>),
}

// SAFETY: every access through `base` is an atomic operation on an aligned word inside the backing, which lives as long
// as `self`; nothing else of `Memory` changes after construction.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `bytes` of `file` for writing, with every page present, and keeps the file (and with it its lock).
    pub(crate) fn map_writable(file: File, bytes: usize) -> io::Result<Self> {
        let mapping = MmapOptions::new().len(bytes).populate().map_raw(&file)?;
        Ok(Self::of_mapping(mapping, false, Some(file)))
    }

    /// Maps `bytes` of `file` for reading alone.
    pub(crate) fn map_read_only(file: &File, bytes: usize) -> io::Result<Self> {
        let mapping = MmapOptions::new().len(bytes).map_raw_read_only(file)?;
        Ok(Self::of_mapping(mapping, true, None))
    }

    /// Zeroed memory that no other process can see.
    pub(crate) fn anonymous(bytes: usize) -> io::Result<Self> {
        let mapping = MmapOptions::new().len(bytes).populate().map_anon()?;
        Ok(Self::of_mapping(MmapRaw::from(mapping), false, None))
    }

    /// `words` zeroed words of the heap: cells of a series that found no room in the region.
    pub(crate) fn heap(words: usize) -> Self {
        let cells: Box<[UnsafeCell<u64>]> = (0..words).map(|_| UnsafeCell::new(0)).collect();
        let base = NonNull::new(cells.as_ptr().cast::<u64>().cast_mut()).unwrap_or(NonNull::dangling());
        Self {
            base,
            bytes: words * 8,
            read_only: false,
            backing: Backing::Heap(cells),
            _file: None,
        }
    }

    fn of_mapping(mapping: MmapRaw, read_only: bool, file: Option<File>) -> Self {
        let bytes = mapping.len();
        let base = NonNull::new(mapping.as_mut_ptr().cast::<u64>()).expect("a mapping never starts at address zero");
        assert!(base.is_aligned(), "a mapping starts at a page");
        Self {
            base,
            bytes,
            read_only,
            backing: Backing::Mapping(mapping),
            _file: file,
        }
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asks the kernel never to page the memory out.
    pub(crate) fn lock_in_ram(&self) -> io::Result<()> {
        match &self.backing {
            Backing::Mapping(mapping) => mapping.lock(),
            Backing::Heap(_) => Ok(()),
        }
    }

    /// The `words` words at byte `offset`; `None` where they do not lie inside or are not aligned.
    pub(crate) fn block(self: &Arc<Self>, offset: usize, words: usize) -> Option<Block> {
        let end = words.checked_mul(8)?.checked_add(offset)?;
        if !offset.is_multiple_of(8) || end > self.bytes {
            return None;
        }
        // SAFETY: `offset <= end <= self.bytes`, so the pointer stays inside the backing (or one past its end).
        let base = unsafe { self.base.byte_add(offset) };
        Some(Block {
            base,
            words,
            memory: Arc::clone(self),
        })
    }
}

/// A run of words of a [`Memory`], which it keeps alive.
#[derive(Clone)]
pub(crate) struct Block {
    /// Aligned, valid for `words` words while `memory` lives: checked in [`Memory::block`].
    base: NonNull<u64>,
    words: usize,
    memory: Arc<Memory>,
}

// SAFETY: a `Block` is a pointer into a `Memory` that it keeps alive and that may be used from any thread.
unsafe impl Send for Block {}
// SAFETY: as for `Send`: all its operations are atomic.
unsafe impl Sync for Block {}

impl Block {
    /// How many words it has.
    pub(crate) fn len(&self) -> usize {
        self.words
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "word {index} of a block of {}", self.words);
        // SAFETY: `index < self.words`, so the address is aligned, inside the mapping, and lives as long as `self`; all
        // accesses to it, here and in other processes, are atomic and eight bytes wide.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(index)) }
    }

    /// Adds from any thread. The rare words with several writers only: the instruction is locked.
    pub(crate) fn fetch_add(&self, index: usize, n: u64) -> u64 {
        debug_assert!(!self.memory.read_only);
        self.word(index).fetch_add(n, Ordering::Relaxed)
    }

    /// Turns `from` into `to` and says whether this caller did it.
    pub(crate) fn claim(&self, index: usize, from: u64, to: u64) -> bool {
        debug_assert!(!self.memory.read_only);
        self.word(index)
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Writes `bytes` as words from `index` on; the rest of the last word becomes zero.
    pub(crate) fn store_bytes(&self, index: usize, bytes: &[u8]) {
        for (i, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(index + i, u64::from_le_bytes(word));
        }
    }

    /// A private copy of `words` words from `index` on.
    pub(crate) fn copy(&self, index: usize, words: usize) -> Vec<u64> {
        (index..index + words).map(|i| self.load(i)).collect()
    }

    /// A private copy of `bytes` bytes from word `index` on.
    pub(crate) fn copy_bytes(&self, index: usize, bytes: usize) -> Vec<u8> {
        let mut copy: Vec<u8> = self
            .copy(index, bytes.div_ceil(8))
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        copy.truncate(bytes);
        copy
    }
}

/// A block without the check of every index: for a protocol that is known never to leave its block.
#[derive(Clone, Copy)]
pub(crate) struct Unchecked<'a> {
    base: NonNull<u64>,
    words: usize,
    _block: PhantomData<&'a Block>,
}

impl Block {
    /// The same words, each access saving a comparison.
    ///
    /// # Safety
    ///
    /// - Whatever the result is used for, every index must be less than [`len`](Self::len).
    #[inline(always)]
    pub(crate) unsafe fn unchecked(&self) -> Unchecked<'_> {
        debug_assert!(!self.memory.read_only);
        Unchecked {
            base: self.base,
            words: self.words,
            _block: PhantomData,
        }
    }
}

impl Unchecked<'_> {
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < self.words, "word {index} of a block of {}", self.words);
        // SAFETY: `index < self.words` is the obligation of `Block::unchecked`; the rest as in `Block::word`.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(index)) }
    }
}

impl Words for Unchecked<'_> {
    #[inline(always)]
    fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    fn store_release(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }
}

impl Words for Block {
    #[inline(always)]
    fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn store(&self, index: usize, value: u64) {
        debug_assert!(!self.memory.read_only);
        self.word(index).store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    fn store_release(&self, index: usize, value: u64) {
        debug_assert!(!self.memory.read_only);
        self.word(index).store(value, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_outside_its_memory_is_refused() {
        let memory = Arc::new(Memory::heap(4));
        assert!(memory.block(0, 4).is_some());
        assert!(memory.block(32, 0).is_some());
        assert!(memory.block(8, 4).is_none());
        assert!(memory.block(4, 1).is_none(), "not aligned");
        assert!(memory.block(usize::MAX - 7, 1).is_none());
        assert!(memory.block(8, usize::MAX).is_none());
    }

    #[test]
    fn bytes_survive_the_way_through_words() {
        let memory = Arc::new(Memory::anonymous(4096).unwrap());
        let block = memory.block(64, 8).unwrap();
        block.store(3, u64::MAX);
        block.store_bytes(1, b"quantumflow and more");
        assert_eq!(block.copy_bytes(1, 20), b"quantumflow and more");
        assert_eq!(block.load(3) >> 32, 0, "the tail of the last word is cleared");
    }
}
