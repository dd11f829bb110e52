//! Metrics regions for people: a monitor in the terminal, and what a region says, alive or dead.
//!
//! Everything here comes from the region alone, which is mapped read-only: the engine does not notice. From the bottom up:
//!
//! - [`session`] follows one region: copies at a bearable rate, judges whether the engine lives, keeps what the averages
//!   need; [`engines`] finds the regions of a directory;
//! - [`text`] makes numbers, times and foreign text fit for a terminal;
//! - [`top`] is `quantumflow top`, [`region`] is `quantumflow region`. Both are an `Args` for clap and a `run`.

#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
pub mod engines;
mod error;
mod history;
pub mod region;
pub mod session;
pub mod text;
pub mod top;

pub use error::Error;
