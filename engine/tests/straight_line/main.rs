//! The straight line over real sockets: a simulated venue, TLS, the hot thread and its cold helpers, in one process.

mod faults;
mod recordings;
mod rig;
