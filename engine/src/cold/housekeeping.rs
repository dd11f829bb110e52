//! Says what the hot thread cannot: the heartbeat, the log, and what the cold threads counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::net::{BreakerState, BreakerTotals};
use quantumflow_feeds::{SymbolId, VenueId};
use quantumflow_region::{
    Counter, EventKind, EventWriter, GaugeI64, LivePage, RegionWriter, RegisterError, SubjectId, ThreadWriter,
    catalogue,
};

use crate::hot::{ColdSide, HotEvent, HotNews, SymbolOrigin};
use crate::os::{boottime_ns, wall_clock};

/// How often the heartbeat is written and the log drained.
const EVERY: Duration = Duration::from_millis(50);

/// The thread's state.
#[derive(Debug)]
pub struct Housekeeping {
    live: LivePage,
    cold: ColdSide,
    symbols: Vec<SymbolOrigin>,
    /// Absent where the region has no block for it.
    thread: Option<ThreadWriter>,
    cells: Cells,
    events: EventWriter,
}

/// What this thread writes into the region.
#[derive(Debug)]
struct Cells {
    log_events_dropped: Counter,
    dial_failures: Vec<DialCells>,
    breakers: Vec<BreakerCells>,
    capture: Vec<CaptureCells>,
}

#[derive(Debug)]
struct BreakerCells {
    venue: VenueId,
    state: GaugeI64,
    failures: Counter,
    successes: Counter,
    /// In the order of [`TRANSITIONS`].
    transitions: [Counter; TRANSITIONS.len()],
}

/// The changes of state that a breaker makes.
const TRANSITIONS: [[&str; 2]; 4] = [
    ["closed", "open"],
    ["open", "half_open"],
    ["half_open", "open"],
    ["half_open", "closed"],
];

#[derive(Debug)]
struct DialCells {
    venue: VenueId,
    subject: SubjectId,
    failures: Counter,
    /// As of the last event.
    failures_before: u64,
}

#[derive(Debug)]
struct CaptureCells {
    venue: VenueId,
    subject: SubjectId,
    frames: Counter,
    bytes: Counter,
    dropped: Counter,
    /// As of the last event.
    dropped_before: u64,
}

/// What the cold threads have counted by now: gathered for each round by the caller of [`Housekeeping::run`].
#[derive(Clone, Debug, Default)]
pub struct ColdCounts {
    /// Failed dials, by venue.
    pub dial_failures: Vec<(VenueId, [u64; 1])>,
    /// The circuit breakers, by venue.
    pub breakers: Vec<(VenueId, BreakerState, BreakerTotals)>,
    /// Capture counts, by venue: frames, bytes, dropped frames.
    pub capture: Vec<(VenueId, [u64; 3])>,
}

impl Housekeeping {
    /// Registers what the cold threads count, in a block of its own.
    pub fn new(region: &RegionWriter, cold: ColdSide, symbols: Vec<SymbolOrigin>, captures: bool) -> Self {
        let mut venues: Vec<VenueId> = symbols.iter().map(|origin| origin.venue).collect();
        venues.sort_unstable_by_key(|venue| venue.name());
        venues.dedup();
        let unexported = |error: &RegisterError| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the cold threads' metrics or events are not exported");
        };
        let registered = region.writer("housekeeping").and_then(|thread| {
            let cells = Cells::register(&thread, &venues, captures)?;
            let events = thread.events()?;
            Ok((Some(thread), cells, events))
        });
        let (thread, cells, events) = registered.unwrap_or_else(|error| {
            unexported(&error);
            (None, Cells::detached(), EventWriter::detached())
        });
        Self {
            live: region.live(),
            cold,
            symbols,
            thread,
            cells,
            events,
        }
    }

    /// Beats, logs and publishes until `stop` is set; then says what is left to say.
    pub fn run(mut self, stop: &AtomicBool, counts: impl Fn() -> ColdCounts) {
        self.note(EventKind::EngineStarted, u64::from(std::process::id()), 1);
        if let Some(thread) = &self.thread {
            thread.adopt_current_thread();
        }
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            self.thread.as_mut().map(ThreadWriter::loop_begin);
            self.round(&counts());
            self.thread.as_mut().map(ThreadWriter::loop_end);
            if stopping {
                return self.note(EventKind::EngineStopping, 0, 0);
            }
            thread::sleep(EVERY);
        }
    }

    fn note(&self, kind: EventKind, a: u64, b: u64) {
        self.events.record(kind, SubjectId::NONE, wall_clock().0, a, b);
    }

    fn round(&mut self, counts: &ColdCounts) {
        let now = wall_clock();
        self.live.heartbeat(now.0, boottime_ns());
        self.cells.log_events_dropped.set_total(self.cold.dropped_events());
        self.cold.drop_spent_snapshots();
        while let Some(event) = self.cold.take_event() {
            self.log(&event);
        }
        for (venue, [total]) in &counts.dial_failures {
            if let Some(cells) = self.cells.dial_failures.iter_mut().find(|cells| cells.venue == *venue) {
                cells.failures.set_total(*total);
                if *total > cells.failures_before {
                    cells.failures_before = *total;
                    let code = EventKind::FeedLost.declaration().a.code("dial");
                    self.events.record(EventKind::FeedLost, cells.subject, now.0, code, 0);
                }
            }
        }
        for (venue, state, totals) in &counts.breakers {
            if let Some(cells) = self.cells.breakers.iter().find(|cells| cells.venue == *venue) {
                cells.state.set(i64::from(state.code()));
                cells.failures.set_total(totals.failures);
                cells.successes.set_total(totals.successes);
                let transitions = [
                    totals.closed_to_open,
                    totals.open_to_half_open,
                    totals.half_open_to_open,
                    totals.half_open_to_closed,
                ];
                for (cell, total) in cells.transitions.iter().zip(transitions) {
                    cell.set_total(total);
                }
            }
        }
        for (venue, [frames, bytes, dropped]) in &counts.capture {
            if let Some(cells) = self.cells.capture.iter_mut().find(|cells| cells.venue == *venue) {
                cells.frames.set_total(*frames);
                cells.bytes.set_total(*bytes);
                cells.dropped.set_total(*dropped);
                if *dropped > cells.dropped_before {
                    cells.dropped_before = *dropped;
                    let kind = EventKind::CaptureDropped;
                    self.events.record(kind, cells.subject, now.0, *dropped, 0);
                }
            }
        }
    }

    fn log(&self, event: &HotEvent) {
        let (feed, at_ns) = (event.feed, event.at.0);
        let name = |symbol: SymbolId| {
            let mut of_feed = self.symbols.iter().filter(|origin| origin.feed == feed);
            of_feed.nth(symbol.index()).map_or("?", |origin| origin.symbol.as_str())
        };
        match event.news {
            HotNews::Connected { line } => tracing::info!(feed, line = line.name(), at_ns, "session opened"),
            HotNews::Disconnected {
                line,
                reason,
                is_wanted: true,
            } => tracing::warn!(
                feed,
                line = line.name(),
                at_ns,
                reason,
                "connection lost, dialling again"
            ),
            HotNews::Disconnected { line, reason, .. } => {
                tracing::info!(feed, line = line.name(), at_ns, reason, "connection given up");
            }
            HotNews::Feed(news) => match news {
                FeedEvent::Subscribed { symbol } => tracing::info!(feed, at_ns, symbol = name(symbol), "subscribed"),
                FeedEvent::SubscriptionRefused { symbol } => {
                    tracing::error!(
                        feed,
                        at_ns,
                        symbol = symbol.map(name),
                        "the venue refused the subscription"
                    );
                }
                FeedEvent::SubscriptionMute { symbol } => {
                    tracing::error!(feed, at_ns, symbol = name(symbol), "subscribed, but nothing comes");
                }
                FeedEvent::BookStale { symbol, silent_ns } => {
                    tracing::warn!(
                        feed,
                        at_ns,
                        symbol = name(symbol),
                        silent_ms = silent_ns / 1_000_000,
                        "much longer silent than its market ever was"
                    );
                }
                FeedEvent::Rescaled { symbol, scale } => {
                    tracing::warn!(
                        feed,
                        at_ns,
                        symbol = name(symbol),
                        ?scale,
                        "finer numbers than before, book rescaled"
                    );
                }
                FeedEvent::ResyncStarted {
                    symbol,
                    reason: ResyncReason::Start,
                } => {
                    tracing::info!(feed, at_ns, symbol = name(symbol), "waiting for the first snapshot");
                }
                FeedEvent::ResyncStarted { symbol, reason } => {
                    tracing::warn!(
                        feed,
                        at_ns,
                        symbol = name(symbol),
                        ?reason,
                        "book withdrawn, resynchronising"
                    );
                }
                FeedEvent::ResyncFinished { symbol, update_id } => {
                    tracing::info!(feed, at_ns, symbol = name(symbol), update_id, "book shown");
                }
                FeedEvent::SnapshotRejected { symbol, reason } => {
                    tracing::warn!(
                        feed,
                        at_ns,
                        symbol = name(symbol),
                        ?reason,
                        "snapshot refused, asking again"
                    );
                }
                FeedEvent::BacklogOverflow { symbol } => {
                    tracing::warn!(
                        feed,
                        at_ns,
                        symbol = name(symbol),
                        "too much came before the snapshot, starting over"
                    );
                }
                FeedEvent::FrameRejected { reason } => tracing::warn!(feed, at_ns, ?reason, "message refused"),
                FeedEvent::ChecksumDead => tracing::warn!(
                    feed,
                    at_ns,
                    "the venue's checksum says nothing any more: the chain of ids alone proves its books"
                ),
                FeedEvent::CheckpointDiffers { symbol, difference } => tracing::error!(
                    feed,
                    at_ns,
                    symbol = name(symbol),
                    ?difference,
                    "the venue's REST book contradicts the shown one"
                ),
                FeedEvent::ServerShutdown => tracing::warn!(feed, at_ns, "the venue announced that it will disconnect"),
                other => tracing::debug!(feed, at_ns, event = ?other, "feed event"),
            },
        }
    }
}

impl Cells {
    fn register(thread: &ThreadWriter, venues: &[VenueId], captures: bool) -> Result<Self, RegisterError> {
        let mut cells = Self {
            log_events_dropped: thread.counter(&catalogue::LOG_EVENTS_DROPPED, &[])?,
            ..Self::detached()
        };
        for venue in venues {
            let name = venue.name();
            cells.dial_failures.push(DialCells {
                venue: *venue,
                subject: thread.subject(name)?,
                failures: thread.counter(&catalogue::FEED_ERRORS, &[name, "dial"])?,
                failures_before: 0,
            });
            let counter = |metric| thread.counter(metric, &[name]);
            let [a, b, c, d] =
                TRANSITIONS.map(|[from, to]| thread.counter(&catalogue::BREAKER_TRANSITIONS, &[name, from, to]));
            cells.breakers.push(BreakerCells {
                venue: *venue,
                state: thread.gauge_i64(&catalogue::BREAKER_STATE, &[name])?,
                failures: counter(&catalogue::BREAKER_FAILURES)?,
                successes: counter(&catalogue::BREAKER_SUCCESSES)?,
                transitions: [a?, b?, c?, d?],
            });
            if captures {
                cells.capture.push(CaptureCells {
                    venue: *venue,
                    subject: thread.subject(name)?,
                    frames: thread.counter(&catalogue::CAPTURE_FRAMES, &[name])?,
                    bytes: thread.counter(&catalogue::CAPTURE_BYTES, &[name])?,
                    dropped: thread.counter(&catalogue::CAPTURE_FRAMES_DROPPED, &[name])?,
                    dropped_before: 0,
                });
            }
        }
        Ok(cells)
    }

    fn detached() -> Self {
        Self {
            log_events_dropped: Counter::detached(),
            dial_failures: Vec::new(),
            breakers: Vec::new(),
            capture: Vec::new(),
        }
    }
}
