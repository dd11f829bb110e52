//! The page that says how the engine is: state, heartbeat, and the last words of a panic.
//!
//! Housekeeping beats, the panic hook speaks; both may happen on any thread. Nothing here allocates or waits, so that it
//! works in a hook, in a process that has run out of memory, and with whatever lock held.

use std::fmt::{self, Write as _};

use crate::layout::{live, writer_block};
use crate::memory::Block;
use crate::sync::Words;

/// What the engine says of itself. Whether it still lives to say so is told by the lock on its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum EngineState {
    /// At work.
    Live = 1,
    /// Asked to stop: finishing what is under way.
    Draining = 2,
    /// Ended in order.
    Closed = 3,
    /// A thread panicked; the panic text says where.
    Panicked = 4,
}

impl EngineState {
    /// The state of that number.
    pub fn from_wire(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Live),
            2 => Some(Self::Draining),
            3 => Some(Self::Closed),
            4 => Some(Self::Panicked),
            _ => None,
        }
    }

    /// Its name in dumps and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
        }
    }
}

/// Writes the live page. Clone it into the housekeeping thread and into the panic hook.
#[derive(Clone)]
pub struct LivePage {
    page: Block,
}

impl LivePage {
    pub(crate) fn new(page: Block) -> Self {
        debug_assert_eq!(page.len(), live::WORDS);
        Self { page }
    }

    /// Says that housekeeping is alive. Call it about once a second, always from the same thread.
    pub fn heartbeat(&self, unix_ns: u64, boottime_ns: u64) {
        self.page.store(live::HEARTBEAT_UNIX_NS, unix_ns);
        self.page.store(live::HEARTBEAT_BOOTTIME_NS, boottime_ns);
        self.page.bump(live::HEARTBEATS, 1);
    }

    /// Says that the engine is finishing. Does not take back a panic.
    pub fn set_draining(&self) {
        self.page
            .claim(live::STATE, EngineState::Live as u64, EngineState::Draining as u64);
    }

    /// Says that the engine ended in order. Does not take back a panic.
    pub fn set_closed(&self, exit_code: u32) {
        let closed = EngineState::Closed as u64;
        let done = self.page.claim(live::STATE, EngineState::Live as u64, closed)
            || self.page.claim(live::STATE, EngineState::Draining as u64, closed);
        if done {
            self.page.store(live::EXIT_CODE, u64::from(exit_code));
        }
    }

    /// Says that a thread panicked, and why: pass the hook's `PanicHookInfo`, which prints itself. The first panic is
    /// kept; returns whether this one was it. Text beyond 2 KiB is cut.
    ///
    /// ```
    /// # use quantumflow_region::{RegionOptions, RegionWriter};
    /// let region = RegionWriter::private(&RegionOptions::new("engine", 1)).unwrap();
    /// let live = region.live();
    /// let previous = std::panic::take_hook();
    /// std::panic::set_hook(Box::new(move |panic| {
    ///     live.record_panic(panic);
    ///     previous(panic);
    /// }));
    /// ```
    pub fn record_panic(&self, text: &dyn fmt::Display) -> bool {
        let first = self.page.claim(live::PANIC_CLAIM, 0, 1);
        if first {
            let mut buffer = Text {
                bytes: [0; live::PANIC_TEXT_BYTES],
                len: 0,
            };
            // An error means that the text was cut or that its Display gave up: what there is, is kept.
            let _ = write!(buffer, "{text}");
            self.page.store_bytes(live::PANIC_TEXT, &buffer.bytes[..buffer.len]);
            // Release: pairs with the acquire fence in the reader, which then finds the text whole.
            self.page.store_release(live::PANIC_LEN, buffer.len as u64);
        }
        self.page.store_release(live::STATE, EngineState::Panicked as u64);
        first
    }

    /// The state as it stands.
    pub fn state(&self) -> Option<EngineState> {
        EngineState::from_wire(self.page.load(live::STATE))
    }
}

impl fmt::Debug for LivePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivePage")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A string on the stack that stops growing where it is full, between two characters.
struct Text {
    bytes: [u8; live::PANIC_TEXT_BYTES],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let cut = text.floor_char_boundary(room.min(text.len()));
        self.bytes[self.len..self.len + cut].copy_from_slice(&text.as_bytes()[..cut]);
        self.len += cut;
        if cut == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// What a writer thread says of itself between its series, at the top of its block.
pub(crate) struct LoopCell {
    pub(crate) block: Block,
    rounds: u64,
}

impl LoopCell {
    pub(crate) fn new(block: Block) -> Self {
        Self { block, rounds: 0 }
    }

    #[inline(always)]
    pub(crate) fn begin(&mut self) {
        self.rounds = self.rounds.wrapping_add(1);
        self.block.store(writer_block::LOOP_BEGIN, self.rounds);
        // Release: whoever sees a cell written in this round also sees that the round has begun.
        crate::sync::fence_release();
    }

    #[inline(always)]
    pub(crate) fn end(&mut self) {
        self.block.store_release(writer_block::LOOP_END, self.rounds);
    }

    #[inline(always)]
    pub(crate) fn breadcrumb(&self, place: u32) {
        self.block.store(writer_block::BREADCRUMB, u64::from(place));
    }

    pub(crate) fn set_thread(&self, tid: u32, cpu: Option<u32>) {
        let cpu = cpu.map_or(0, |cpu| cpu.saturating_add(1));
        self.block
            .store(writer_block::THREAD, u64::from(cpu) << 32 | u64::from(tid));
    }
}
