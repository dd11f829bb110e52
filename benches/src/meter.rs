//! What a thread has used: its processor time, and its allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use nix::time::{ClockId, clock_gettime};

/// Processor time of this thread: what the neighbours do is not in it, but for the caches they share.
pub fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has this clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Allocations of this thread, in a program whose global allocator is [`Counting`].
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Counts the allocations of each thread on their way to the system's allocator.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged, which keeps the contract; a counter beside it cannot break it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: `pointer` came from `System` with this `layout`; the caller's promises about `size` are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this `layout`, because every allocation above did.
        unsafe { System.dealloc(pointer, layout) }
    }
}
