//! The sidecar that turns an engine's metrics region into Prometheus metrics.
//!
//! It is a process of its own: it maps the region read-only, takes every byte of it for a claim, and can neither slow
//! the engine down nor crash it. From the bottom up:
//!
//! - [`source`] finds the newest region, judges whether its engine lives, and copies its values at a bearable rate;
//! - [`engine`] and [`process`] turn that into metric families, by way of [`family`], which lets nothing through that
//!   would spoil a scrape, and [`ladder`], which picks the buckets of a histogram that are shown;
//! - [`exposition`] writes families as text; [`app`] has an answer for each path; [`http`] has the sockets, and [`web`]
//!   TLS and passwords;
//! - [`sandbox`] gives up what serving does not need; [`activation`], [`cli`] and [`run`] are the command.

#![forbid(unsafe_code)]

pub mod activation;
pub mod app;
pub mod cli;
pub mod engine;
pub mod exposition;
pub mod family;
pub mod http;
pub mod ladder;
pub mod process;
pub mod run;
pub mod sandbox;
pub mod source;
pub mod web;
