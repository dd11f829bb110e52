//! Other libraries beside ours, on the same messages, in turns.
//!
//! A number of nanoseconds belongs to a machine and an hour; a ratio of two programs that took turns on it belongs to
//! the programs. Every engine here reads the same frames, ends with the same book (asserted), and differs only in its
//! libraries. All are used as their own documentation shows, with their buffers kept where they can be kept.

pub mod exchange;
pub mod loopback;
pub mod memory;
#[cfg(feature = "engine")]
pub mod own;
pub mod parse;
pub mod receive;
pub mod sockets;
pub mod venues;
