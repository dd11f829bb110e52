//! The straight line over real sockets: a simulated venue, TLS, the hot thread and its cold helpers, in one process.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod checkpoints;
mod faults;
mod recordings;
mod rig;
mod scale;
