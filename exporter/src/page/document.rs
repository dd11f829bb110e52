//! What the page shows, as one JSON document per tick.
//!
//! Per-second numbers and interval percentiles are those between two ticks; where there is no earlier tick they are
//! `null`. Times are whole nanoseconds, prices and ratios are in their base units. The page knows the catalogue's metrics;
//! what else a region holds is at `/metrics.json`.

mod engine;
mod latency;

use std::time::Instant;

use serde::Serialize;

use crate::monitoring::HostReport;
use crate::source::Host;
use engine::Engine;

/// What was seen, and when by the clock of this process.
pub struct Seen {
    /// When.
    pub at: Instant,
    /// What.
    pub host: Host,
}

/// One tick.
#[derive(Serialize)]
pub struct Document<'a> {
    tick: u64,
    unix_ms: u64,
    /// The interval that per-second numbers are over.
    interval_ms: Option<u64>,
    /// Of the host.
    status: crate::health::Status,
    reason: Option<&'a str>,
    engines: Vec<Engine<'a>>,
}

impl<'a> Document<'a> {
    /// Of what was `seen`, with what was seen `earlier` as the start of the interval.
    pub fn of(tick: u64, unix_ms: u64, seen: &'a Seen, earlier: Option<&'a Seen>, report: &'a HostReport) -> Self {
        let interval = earlier.map(|earlier| seen.at.saturating_duration_since(earlier.at));
        let engines = seen.host.engines.iter().zip(&report.engines).map(|(sight, report)| {
            let before = earlier.and_then(|earlier| {
                let mut engines = earlier.host.engines.iter();
                engines.find(|other| other.engine == sight.engine && engine::same_start(other, sight))
            });
            Engine::of(sight, before.zip(interval), report)
        });
        Self {
            tick,
            unix_ms,
            interval_ms: interval.and_then(|interval| u64::try_from(interval.as_millis()).ok()),
            status: report.status,
            reason: seen.host.reason.as_deref(),
            engines: engines.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
