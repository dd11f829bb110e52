//! From what was seen of an engine to a verdict: healthy, degraded or unhealthy, by component, each with its reason and
//! with what to look at next.
//!
//! Nothing here reads a file, a clock or a socket: a verdict is a function of one [`Sight`], of an [`Earlier`] one that
//! shows what grew in between, and of the time. The rules, from the components to the whole:
//!
//! - Components of one kind (feeds, books, models) stand for each other: one of them down makes the engine degraded,
//!   all of them down make it unhealthy. An exchange that is reconnecting is no reason to take a host out of service.
//! - A kind of which there is one (the engine's process, its threads) is as bad as it is.
//! - A counter of faults (drops, failed checksums) degrades while it grows, and not for ever after.
//!
//! An engine that is not up has one component, its process: what its other numbers were is in the region, not here.

use std::sync::Arc;
use std::time::Duration;

use quantumflow_region::{Metric, Series, Snapshot, Value, catalogue};
use serde::Serialize;

use crate::index::Index;
use crate::source::{Condition, Pass, Sight, View};

/// How well something does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should.
    Healthy,
    /// In part, or with losses: somebody should look at it in working hours.
    Degraded,
    /// Not: somebody should look at it now.
    Unhealthy,
}

/// What a component is part of. Components of one kind stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The engine's process.
    Engine,
    /// Its threads.
    Threads,
    /// The connections to an exchange.
    Feed,
    /// The book of a symbol.
    Book,
    /// A model.
    Model,
    /// Signals on their way to the ring.
    Signals,
    /// Queues between threads, the log and the capture.
    Queues,
    /// The metrics region itself.
    Region,
    /// This program.
    Exporter,
}

/// The verdict on one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// What it is part of.
    pub kind: Kind,
    /// Which one, where there may be several: an exchange, `exchange/symbol`, a model.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// Why, in words.
    pub reason: String,
    /// Where to go on, unless it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_at: Option<&'static str>,
}

/// The verdict on one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of the whole.
    pub status: Status,
    /// Of its parts, those of a kind together.
    pub components: Vec<Component>,
}

/// What was seen of the same engine before.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The start that it was seen in: counters of another start say nothing.
    pub instance_id: u64,
    /// What was seen.
    pub snapshot: Arc<Snapshot>,
    /// How long ago.
    pub age: Duration,
}

/// A feed that is connected and brings nothing for this long is reported. Every exchange sends something more often: a
/// pong, a heartbeat, or a market.
pub const FEED_SILENT_AFTER: Duration = Duration::from_secs(15);
/// Housekeeping beats once a second; that it hangs alone is said after this long.
pub const HEARTBEAT_LATE_AFTER: Duration = Duration::from_secs(5);

/// Judges what was seen of an engine at `now_unix_ns`, against what was seen `earlier`.
pub fn judge(sight: &Sight, earlier: Option<&Earlier>, now_unix_ns: u64) -> Report {
    let view = &sight.view;
    let mut components = vec![process(view)];
    if let Some(pass) = &sight.pass {
        let instance_id = view.region.as_ref().map(|region| region.info.instance_id);
        let earlier = earlier.filter(|earlier| Some(earlier.instance_id) == instance_id);
        let judged = Judged {
            now: Index::of(&pass.snapshot),
            snapshot: &pass.snapshot,
            earlier: earlier.map(|earlier| (Index::of(&earlier.snapshot), earlier)),
            now_unix_ns,
        };
        components.push(judged.threads(view));
        components.extend(judged.feeds());
        components.extend(judged.books());
        components.extend(judged.models());
        components.push(judged.signals());
        components.push(judged.queues());
        components.push(judged.region(pass));
    }
    Report {
        status: of_all(&components),
        components,
    }
}

/// The status of a whole: kinds count, not components.
fn of_all(components: &[Component]) -> Status {
    let of_kind = |kind: Kind| {
        let of_kind = || components.iter().filter(|c| c.kind == kind).map(|c| c.status);
        let worst = of_kind().max().unwrap_or(Status::Healthy);
        let all_down = of_kind().all(|status| status == Status::Unhealthy);
        if worst == Status::Unhealthy && !all_down {
            Status::Degraded
        } else {
            worst
        }
    };
    components
        .iter()
        .map(|c| of_kind(c.kind))
        .max()
        .unwrap_or(Status::Healthy)
}

fn process(view: &View) -> Component {
    let (status, look_at) = match view.condition {
        Condition::Live | Condition::Done => (Status::Healthy, ""),
        Condition::Draining => (
            Status::Degraded,
            "who asked the engine to stop: its log, and the service manager's",
        ),
        Condition::Stalled => (
            Status::Unhealthy,
            "whether the process is stopped or starved: its state in ps, the host's load",
        ),
        Condition::Panicked => (
            Status::Unhealthy,
            "the panic's text: quantumflow region show, or the engine's log",
        ),
        Condition::Crashed => (
            Status::Unhealthy,
            "the kernel's log for a kill (out of memory), and the service manager's for a signal",
        ),
        Condition::Closed => (
            Status::Unhealthy,
            "whether the engine should run, and its exit code: quantumflow region show",
        ),
        Condition::Unreadable => (
            Status::Unhealthy,
            "versions of engine and exporter, and the permissions of the region's file",
        ),
        Condition::Absent => (
            Status::Unhealthy,
            "whether the engine was started, and that --region-dir is its directory",
        ),
    };
    let reason = match &view.reason {
        Some(reason) => format!("{}: {reason}", view.condition.name()),
        None => view.condition.name().to_owned(),
    };
    component(Kind::Engine, "", status, reason, look_at)
}

fn component(
    kind: Kind,
    name: impl Into<String>,
    status: Status,
    reason: impl Into<String>,
    look_at: &'static str,
) -> Component {
    Component {
        kind,
        name: name.into(),
        status,
        reason: reason.into(),
        look_at: (status != Status::Healthy).then_some(look_at),
    }
}

/// A snapshot under judgement.
struct Judged<'a> {
    now: Index<'a>,
    snapshot: &'a Snapshot,
    earlier: Option<(Index<'a>, &'a Earlier)>,
    now_unix_ns: u64,
}

impl Judged<'_> {
    fn threads(&self, view: &View) -> Component {
        let late = self.earlier.as_ref().filter(|(_, earlier)| {
            let beats = (earlier.snapshot.engine.heartbeats, self.snapshot.engine.heartbeats);
            earlier.age >= HEARTBEAT_LATE_AFTER && beats.0 == beats.1
        });
        let make = |status, reason, look_at| component(Kind::Threads, "", status, reason, look_at);
        if !view.stuck.is_empty() {
            let reason = format!("hang inside a round of their loop: {}", view.stuck.join(", "));
            return make(
                Status::Unhealthy,
                reason,
                "where the thread is: gdb -p, or /proc/PID/task/TID/stack",
            );
        }
        let is_hot = |name: &&str| {
            self.now
                .find(&catalogue::HOT_LOOP_ITERATIONS, &[("writer", name)])
                .is_some()
        };
        let stopped: Vec<&str> = view.idle.iter().map(|name| &**name).filter(is_hot).collect();
        if !stopped.is_empty() {
            // A hot thread never waits between two rounds.
            let reason = format!("begin no round any more: {}", stopped.join(", "));
            return make(
                Status::Unhealthy,
                reason,
                "whether the thread still exists: ls /proc/PID/task, the engine's log",
            );
        }
        if let Some((_, earlier)) = late {
            let reason = format!("housekeeping has not reported for {} s", earlier.age.as_secs());
            return make(
                Status::Degraded,
                reason,
                "the engine's log; hft_heartbeat_timestamp_seconds",
            );
        }
        make(Status::Healthy, format!("{} at work", self.snapshot.writers.len()), "")
    }

    fn feeds(&self) -> impl Iterator<Item = Component> {
        self.now.family(&catalogue::FEED_HEALTH).filter_map(|series| {
            let exchange = series.meta.label("exchange")?;
            let labels = [("exchange", exchange)];
            let make = |status, reason: String, look_at| Some(component(Kind::Feed, exchange, status, reason, look_at));
            if series.value.as_f64() != Some(1.0) {
                let lost = self.grown(&catalogue::FEED_RECONNECTIONS, &labels);
                let reason = format!("not every connection is up; {lost} reconnections {}", self.window());
                return make(
                    Status::Unhealthy,
                    reason,
                    "hft_feed_errors_total by error_type, and the exchange's status page",
                );
            }
            let last = self.now.find(&catalogue::FEED_LAST_MESSAGE, &labels);
            let Some(Value::Timestamp(last @ 1..)) = last.map(|series| &series.value) else {
                return make(
                    Status::Degraded,
                    "connected, and no message has come".into(),
                    "hft_feed_subscriptions",
                );
            };
            let silent = Duration::from_nanos(self.now_unix_ns.saturating_sub(*last));
            if silent >= FEED_SILENT_AFTER {
                let reason = format!("connected, and silent for {} s", silent.as_secs());
                return make(
                    Status::Degraded,
                    reason,
                    "hft_feed_subscriptions, hft_feed_errors_total by error_type",
                );
            }
            make(Status::Healthy, "connected and fresh".into(), "")
        })
    }

    fn books(&self) -> impl Iterator<Item = Component> {
        self.now.family(&catalogue::BOOK_QUALITY).filter_map(|series| {
            let (exchange, symbol) = (series.meta.label("exchange")?, series.meta.label("symbol")?);
            let labels = [("exchange", exchange), ("symbol", symbol)];
            let make = |status, reason, look_at| {
                Some(component(
                    Kind::Book,
                    format!("{exchange}/{symbol}"),
                    status,
                    reason,
                    look_at,
                ))
            };
            let quality = state_name(series);
            if !is_usable(series) {
                let before = self.earlier.as_ref().and_then(|(index, earlier)| {
                    let same = index.find(&catalogue::BOOK_QUALITY, &labels)?;
                    (!is_usable(same)).then_some(earlier.age)
                });
                // A book is rebuilt within a second or two: only one that was not usable before, either, is lost.
                let (status, reason) = match before {
                    Some(age) => (
                        Status::Unhealthy,
                        format!("{quality}, and not usable {} s ago either", age.as_secs()),
                    ),
                    None => (Status::Degraded, quality.to_owned()),
                };
                return make(
                    status,
                    reason,
                    "hft_book_resyncs_total, hft_book_gaps_total and the exchange's feed",
                );
            }
            let faults = [
                ("sequence gaps", &catalogue::BOOK_GAPS),
                ("failed checksums", &catalogue::BOOK_CHECKSUM_FAILURES),
                (
                    "disagreements with the exchange's top",
                    &catalogue::BOOK_TOP_DISAGREEMENTS,
                ),
                ("times crossed", &catalogue::BOOK_CROSSED),
            ];
            let grown = faults.map(|(what, metric)| (what, self.grown(metric, &labels)));
            match in_words(&grown) {
                Some(faults) => make(
                    Status::Degraded,
                    format!("{quality}; {}: {faults}", self.window()),
                    "hft_book_gaps_total, hft_book_checksum_failures_total; packet loss on the feed's interface",
                ),
                None => make(Status::Healthy, quality.to_owned(), ""),
            }
        })
    }

    fn models(&self) -> impl Iterator<Item = Component> {
        self.now.family(&catalogue::MODEL_LOADED).filter_map(|series| {
            let name = series.meta.label("model_name")?;
            let role = self
                .now
                .find(&catalogue::MODEL_ROLE, &[("model_name", name)])
                .map(state_name);
            if role == Some("retired") {
                return None; // replaced on purpose
            }
            let make = |status, reason: String, look_at| Some(component(Kind::Model, name, status, reason, look_at));
            if series.value.as_f64() != Some(1.0) {
                let look_at = "the engine's log for why the model was refused";
                return make(Status::Unhealthy, "not loaded, or it failed its checks".into(), look_at);
            }
            let failures = self.grown(&catalogue::PREDICTION_FAILURES, &[("model_name", name)]);
            if failures > 0 {
                let reason = format!("loaded; {failures} predictions failed {}", self.window());
                return make(
                    Status::Degraded,
                    reason,
                    "hft_prediction_failures_total, and quantumflow models check with its file",
                );
            }
            make(Status::Healthy, "loaded".into(), "")
        })
    }

    fn signals(&self) -> Component {
        let make = |status, reason, look_at| component(Kind::Signals, "", status, reason, look_at);
        let failed = self.grown(&catalogue::SIGNALS_SUPPRESSED, &[("reason", "model_failed")]);
        if failed > 0 {
            let reason = format!("a model failed {failed} times {}", self.window());
            return make(
                Status::Degraded,
                reason,
                "hft_signals_suppressed_total by reason, the engine's log",
            );
        }
        let predicted = self.grown(&catalogue::PREDICTIONS, &[]);
        let published = self.grown(&catalogue::SIGNALS_PUBLISHED, &[]);
        let suppressed = self.grown(&catalogue::SIGNALS_SUPPRESSED, &[]);
        let has_ring = self.now.total(&catalogue::SIGNAL_RING_SLOTS, &[]) > 0.0;
        if has_ring && predicted > 0 && published + suppressed == 0 {
            let reason = format!("{predicted} predictions and no signal {}", self.window());
            return make(
                Status::Degraded,
                reason,
                "the signal ring: quantumflow signals, space in its directory",
            );
        }
        make(Status::Healthy, format!("{published} published {}", self.window()), "")
    }

    fn queues(&self) -> Component {
        let lost = [
            ("queued items", &catalogue::QUEUE_DROPPED),
            ("log events", &catalogue::LOG_EVENTS_DROPPED),
            ("captured frames", &catalogue::CAPTURE_FRAMES_DROPPED),
        ];
        let grown = lost.map(|(what, metric)| (what, self.grown(metric, &[])));
        let make = |status, reason, look_at| component(Kind::Queues, "", status, reason, look_at);
        match in_words(&grown) {
            Some(lost) => make(
                Status::Degraded,
                format!("dropped {}: {lost}", self.window()),
                "hft_queue_dropped_total by queue; whether the cold threads' cores or the disk are busy",
            ),
            None => make(Status::Healthy, format!("nothing dropped {}", self.window()), ""),
        }
    }

    fn region(&self, pass: &Pass) -> Component {
        let dropped = self.snapshot.engine.registrations_dropped;
        let unknown = u64::from(self.snapshot.unknown_series_count) + u64::from(self.snapshot.unknown_section_count);
        if dropped > 0 {
            let reason = format!("{dropped} series or threads found no room");
            let look_at = "the region's size in the engine's configuration";
            return component(Kind::Region, "", Status::Degraded, reason, look_at);
        }
        let series = self.snapshot.series.len();
        let mut reason = format!("{series} series, read in {} µs", pass.took.as_micros());
        if unknown > 0 {
            // What an older exporter does not know, it leaves out: by design, and no fault of the engine.
            reason.push_str(&format!(
                "; {unknown} entries are of a newer format than this exporter's"
            ));
        }
        component(Kind::Region, "", Status::Healthy, reason, "")
    }

    /// By how much a counter grew since the earlier look; zero where there was none.
    fn grown(&self, metric: &Metric, labels: &[(&str, &str)]) -> u64 {
        let Some((earlier, _)) = &self.earlier else { return 0 };
        let growth = self.now.total(metric, labels) - earlier.total(metric, labels);
        // The cast is bounded: what shrank did not grow.
        growth as u64
    }

    fn window(&self) -> String {
        match &self.earlier {
            Some((_, earlier)) => format!("in the last {:.0} s", earlier.age.as_secs_f64().max(1.0)),
            None => "(there is no earlier look to compare with)".into(),
        }
    }
}

/// The name of the state that a series is in.
pub fn state_name(series: &Series) -> &str {
    let Value::State(number) = series.value else {
        return "unknown";
    };
    let names = &series.meta.states;
    usize::try_from(number)
        .ok()
        .and_then(|number| names.get(number))
        .map_or("unknown", String::as_str)
}

/// Whether a book of this quality may be traded on.
fn is_usable(quality: &Series) -> bool {
    matches!(state_name(quality), "verified" | "unverified")
}

/// `sequence gaps 2, times crossed 1`; `None` where all are zero.
fn in_words(counts: &[(&str, u64)]) -> Option<String> {
    let counted = counts.iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> = counted.map(|(what, count)| format!("{what} {count}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests;
