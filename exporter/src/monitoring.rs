//! The JSON documents for people and scripts: health, system information, and the metrics once more.
//!
//! - `/monitoring/health`: the verdict of [`health`] on every engine; 200 for healthy and degraded, 503
//!   for unhealthy, so that a check which only sees the status code acts on what must not wait;
//! - `/monitoring/health/readiness`: 200 when a region is mapped and understood, else 503;
//! - `/monitoring/health/liveness`: 200 while this process answers. It says nothing of an engine: restarting the
//!   exporter mends no engine, and takes away the one who can tell what became of it;
//! - `/monitoring/system/info`: the host, the exporter, the engines;
//! - `/metrics.json`: every series ([`json`]).

mod baseline;
mod system;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::engine::{REVISION, VERSION};
use crate::health::{self, Component, Report, Status};
use crate::http::Response;
use crate::json;
use crate::source::{Host, Sight, Source};
use baseline::Baselines;

/// Paths that are answered here.
pub const PATHS: [&str; 5] = [
    "/monitoring/health",
    "/monitoring/health/readiness",
    "/monitoring/health/liveness",
    "/monitoring/system/info",
    "/metrics.json",
];

/// Answers the paths of [`PATHS`].
pub struct Monitoring {
    source: Arc<Source>,
    baselines: Mutex<Baselines>,
}

/// The verdict on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// That of the worst engine; unhealthy where there is none.
    pub status: Status,
    /// Why there is no engine, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The exporter itself.
    pub exporter: Component,
    /// By name.
    pub engines: Vec<EngineReport>,
}

/// The verdict on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineReport {
    /// Its name.
    pub engine: String,
    /// How it is, as the label `state` of `hft_engine_state` says it.
    pub state: &'static str,
    /// The verdict.
    #[serde(flatten)]
    pub report: Report,
}

impl Monitoring {
    /// Tells of what `source` finds.
    pub fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            baselines: Mutex::default(),
        }
    }

    /// To be called about once a second: every few calls it remembers where the engines stand, so that the first question
    /// for their health already knows what grew.
    pub fn observe(&self) {
        if self.baselines().is_due(Instant::now()) {
            let host = self.source.scrape();
            self.baselines().remember(&host, Instant::now());
        }
    }

    /// The answer to a path of [`PATHS`].
    pub fn answer(&self, path: &str) -> Option<Response> {
        Some(match path {
            "/monitoring/health" => {
                let host = self.source.scrape();
                let report = self.judge(&host);
                document(if report.status == Status::Unhealthy { 503 } else { 200 }, &report)
            }
            "/monitoring/health/readiness" => readiness(&self.source.look()),
            "/monitoring/health/liveness" => document(200, &Alive { status: "alive" }),
            "/monitoring/system/info" => document(200, &system::Info::of(&self.source.look())),
            "/metrics.json" => metrics(&self.source.scrape()),
            _ => return None,
        })
    }

    /// Judges what was seen just now, against what [`observe`](Self::observe) remembers.
    pub fn judge(&self, host: &Host) -> HostReport {
        let now = Instant::now();
        let mut baselines = self.baselines();
        let engines: Vec<EngineReport> = host
            .engines
            .iter()
            .map(|sight| EngineReport {
                engine: sight.engine.to_string(),
                state: sight.view.condition.name(),
                report: health::judge(sight, baselines.of(sight, now).as_ref(), unix_ns()),
            })
            .collect();
        baselines.remember(host, now);
        HostReport {
            status: engines
                .iter()
                .map(|e| e.report.status)
                .max()
                .unwrap_or(Status::Unhealthy),
            reason: host.reason.clone(),
            exporter: exporter(host),
            engines,
        }
    }

    fn baselines(&self) -> MutexGuard<'_, Baselines> {
        // After a panic the worst that is left here is an old baseline, which says its age.
        self.baselines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    engines: Vec<Ready<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Ready<'a> {
    engine: &'a str,
    state: &'static str,
    mapped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn readiness(host: &Host) -> Response {
    let of = |sight: &'_ Sight| sight.view.region.is_some();
    let ready = host.engines.iter().any(of);
    let engines = host.engines.iter().map(|sight| Ready {
        engine: &sight.engine,
        state: sight.view.condition.name(),
        mapped: of(sight),
        reason: sight.view.reason.as_deref(),
    });
    let answer = Readiness {
        status: if ready { "ready" } else { "not_ready" },
        engines: engines.collect(),
        reason: host.reason.as_deref(),
    };
    document(if ready { 200 } else { 503 }, &answer)
}

#[derive(Serialize)]
struct Metrics<'a> {
    time_unix_seconds: f64,
    exporter: Build,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    engines: Vec<json::Engine<'a>>,
}

/// A program's build.
#[derive(Serialize)]
pub(crate) struct Build {
    version: &'static str,
    revision: &'static str,
}

impl Build {
    /// Of this program.
    pub(crate) const EXPORTER: Self = Self {
        version: VERSION,
        revision: REVISION,
    };
}

fn metrics(host: &Host) -> Response {
    document(
        200,
        &Metrics {
            time_unix_seconds: json::seconds(unix_ns()),
            exporter: Build::EXPORTER,
            reason: host.reason.as_deref(),
            engines: host.engines.iter().map(json::Engine::of).collect(),
        },
    )
}

/// The exporter answers, or there would be no answer; what can be wrong with it is that its copies take too long.
fn exporter(host: &Host) -> Component {
    let passes = host.engines.iter().filter_map(|sight| sight.pass.as_ref());
    let slowest = passes.map(|pass| pass.took).max().unwrap_or_default();
    let slow = slowest >= PASS_SLOW;
    Component {
        kind: health::Kind::Exporter,
        name: String::new(),
        status: if slow { Status::Degraded } else { Status::Healthy },
        reason: format!(
            "version {VERSION}, revision {REVISION}, slowest pass {} µs",
            slowest.as_micros()
        ),
        look_at: slow.then_some("the exporter's share of a core: its unit's CPUQuota, the host's load"),
    }
}

/// A pass takes some hundred microseconds; one that takes this long was kept from its core.
const PASS_SLOW: Duration = Duration::from_millis(50);

fn document(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut body) => {
            body.push(b'\n');
            Response {
                status,
                content_type: JSON,
                headers: Vec::new(),
                body,
            }
        }
        Err(error) => Response::text(500, format!("failed to encode the answer: {error}\n")),
    }
}

/// Content type of the documents.
const JSON: &str = "application/json";

/// The time by the host's clock, which the engine's time stamps are from, too.
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
