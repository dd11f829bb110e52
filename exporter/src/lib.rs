//! The sidecar that turns the metrics regions of a host's engines into Prometheus metrics.
//!
//! It is a process of its own: it maps regions read-only, takes every byte of them for a claim, and can neither slow
//! an engine down nor crash it. From the bottom up:
//!
//! - [`source`] finds the regions, judges whether their engines live, and copies their values at a bearable rate;
//! - [`engine`] and [`process`] turn that into metric families, by way of [`family`], which lets nothing through that
//!   would spoil a scrape, and [`ladder`] and [`native`], which pick the buckets of a histogram that are shown;
//!   [`select`] knows which of them a scrape asks for;
//! - [`health`] judges an engine, [`json`] and [`monitoring`] tell people and scripts of it, [`page`] shows it live;
//! - [`exposition`] writes families in three formats; [`app`] has an answer for each path; [`http`] has the sockets, and
//!   [`web`] TLS and passwords;
//! - [`sandbox`] gives up what serving does not need; [`activation`], [`cli`] and [`run`] are the command.

#![forbid(unsafe_code)]

pub mod activation;
pub mod app;
pub mod cli;
pub mod engine;
pub mod exposition;
pub mod family;
#[cfg(test)]
mod fixture;
pub mod health;
pub mod http;
pub mod index;
pub mod json;
pub mod ladder;
pub mod monitoring;
pub mod native;
pub mod page;
pub mod process;
pub mod run;
pub mod sandbox;
pub mod select;
pub mod source;
pub mod web;
