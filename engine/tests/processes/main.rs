//! The real binaries as their users run them: engine, exporter, Prometheus, signals and crashes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod lifecycle;
#[path = "../model_support/mod.rs"]
mod model_support;
mod models;
mod prometheus;
mod support;
mod system_calls;
mod training;
mod tune;
