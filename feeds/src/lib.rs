//! From a venue's socket to a book that is right.
//!
//! Bytes go one way: [`net`] reads and decrypts, [`ws`] cuts frames out of the bytes, [`venue`] turns a frame into book
//! changes by the venue's own rules and owns the [`book`], and the caller's [`Sink`] is told what happened. Every part
//! that decides something is sans-I/O: time, randomness and bytes come in as arguments, so that a live session, a
//! [`capture`] replayed and a test are the same program.
//!
//! Nothing here knows of features, models or cores.

// Denied, not forbidden: one call in `venue/levels/shuffle.rs` of what the processor was asked about first.
#![deny(unsafe_code)]

pub mod book;
pub mod capture;
pub mod clock;
pub mod decimal;
pub mod event;
pub mod feed;
pub mod net;
pub mod offset;
pub mod sim;
pub mod types;
pub mod venue;
pub mod ws;

pub use clock::{Clock, Ticks};
pub use event::{BookUpdate, FeedEvent, LevelChange, Sink, Stamps, TopOfBook, Trade};
pub use offset::ClockOffset;
pub use types::{Instrument, Line, Price, Qty, Quality, Scale, Side, SymbolId, UnixNanos, VenueId};
