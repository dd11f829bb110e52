//! The real binaries as their users run them: engine, exporter, Prometheus, signals and crashes.

mod lifecycle;
mod prometheus;
mod support;
mod system_calls;
