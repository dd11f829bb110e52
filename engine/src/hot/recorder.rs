//! The flight recorder of a hot thread: what happens on it goes into the region, where it outlives the engine.
//!
//! The log says the same at more length, but by way of a queue, a thread and a file: of the last seconds before a crash
//! it may know nothing. An event here is a few stores that are done before the next instruction runs.

use quantumflow_feeds::event::ResyncReason;
use quantumflow_feeds::{FeedEvent, SymbolId, UnixNanos};
use quantumflow_region::{EventKind, EventWriter, SubjectId, ThreadWriter};

use super::mailbox::{HotEvent, HotNews};
use super::predict::SymbolOrigin;

/// Events of one hot thread.
#[derive(Debug)]
pub(super) struct FlightRecorder {
    events: EventWriter,
    /// By feed.
    feeds: Vec<Lasting>,
    /// By place in the shard.
    symbols: Vec<Lasting>,
}

/// What an event can be about, and since when it is as it is.
#[derive(Clone, Copy, Debug)]
struct Lasting {
    subject: SubjectId,
    since: UnixNanos,
}

impl FlightRecorder {
    /// The recorder of `thread`; what finds no room in the region is recorded for nobody.
    pub(super) fn register(thread: &ThreadWriter, symbols: &[SymbolOrigin]) -> Self {
        let subject = |text: &str| super::metrics::kept(thread.subject(text), || SubjectId::NONE);
        let lasting = |text: String| Lasting {
            subject: subject(&text),
            since: UnixNanos::default(),
        };
        let feed_count = symbols.iter().map(|origin| usize::from(origin.feed) + 1).max();
        let feed = |feed| symbols.iter().find(|origin| usize::from(origin.feed) == feed);
        Self {
            events: super::metrics::kept(thread.events(), EventWriter::detached),
            feeds: (0..feed_count.unwrap_or(0))
                .map(|index| {
                    lasting(format!(
                        "{}#{index}",
                        feed(index).map_or("", |origin| origin.venue.name())
                    ))
                })
                .collect(),
            symbols: symbols
                .iter()
                .map(|origin| lasting(format!("{}/{}", origin.venue.name(), origin.symbol)))
                .collect(),
        }
    }

    /// Records what is worth knowing after a crash. `base` is where the feed's instruments begin.
    pub(super) fn note(&mut self, base: usize, event: &HotEvent) {
        let at = event.at;
        let feed = usize::from(event.feed);
        match event.news {
            HotNews::Connected { .. } => {
                if let Some(lasting) = self.feeds.get_mut(feed) {
                    lasting.since = at;
                    self.events
                        .record(EventKind::FeedConnected, lasting.subject, at.0, 0, 0);
                }
            }
            HotNews::Disconnected { reason, .. } => {
                if let Some(lasting) = self.feeds.get(feed) {
                    let code = EventKind::FeedLost.declaration().a.code(reason);
                    let lasted_ns = at.since(lasting.since).max(0) as u64;
                    self.events
                        .record(EventKind::FeedLost, lasting.subject, at.0, code, lasted_ns);
                }
            }
            HotNews::Feed(news) => self.note_feed(base, feed, at, news),
        }
    }

    fn note_feed(&mut self, base: usize, feed: usize, at: UnixNanos, news: FeedEvent) {
        let place = |symbol: SymbolId| base + symbol.index();
        match news {
            FeedEvent::ResyncStarted { symbol, reason } => self.withdrawn(place(symbol), at, reason),
            FeedEvent::ResyncFinished { symbol, update_id } => {
                if let Some(book) = self.symbols.get(place(symbol)) {
                    let lasted_ns = at.since(book.since).max(0) as u64;
                    self.events
                        .record(EventKind::ResyncFinished, book.subject, at.0, lasted_ns, update_id);
                }
            }
            FeedEvent::BookStale { symbol, silent_ns } => {
                if let Some(book) = self.symbols.get(place(symbol)) {
                    self.events
                        .record(EventKind::BookStale, book.subject, at.0, silent_ns, 0);
                }
            }
            FeedEvent::SubscriptionRefused { symbol } => {
                let of_feed = self.feeds.get(feed);
                let subject = symbol.map_or(of_feed, |symbol| self.symbols.get(place(symbol)));
                let subject = subject.map_or(SubjectId::NONE, |lasting| lasting.subject);
                self.events.record(EventKind::FeedRefused, subject, at.0, 0, 0);
            }
            _ => {}
        }
    }

    fn withdrawn(&mut self, place: usize, at: UnixNanos, reason: ResyncReason) {
        let Some(book) = self.symbols.get_mut(place) else {
            return;
        };
        book.since = at;
        let record = |kind, a, b| self.events.record(kind, book.subject, at.0, a, b);
        let update_id = match reason {
            ResyncReason::SequenceGap { expected, got } => {
                record(EventKind::SequenceGap, expected, got);
                expected.saturating_sub(1)
            }
            ResyncReason::ChecksumMismatch { expected, got } => {
                record(EventKind::ChecksumFailed, u64::from(expected), u64::from(got));
                0
            }
            ResyncReason::TopDisagrees { update_id } | ResyncReason::CheckpointDiffers { update_id } => update_id,
            ResyncReason::Start
            | ResyncReason::Crossed
            | ResyncReason::Malformed
            | ResyncReason::Silent
            | ResyncReason::Disconnected => 0,
        };
        let code = EventKind::ResyncStarted.declaration().a.code(reason.name());
        record(EventKind::ResyncStarted, code, update_id);
    }

    /// A model could not predict from the book at this id; so many times by now.
    #[cold]
    pub(super) fn model_failed(&self, model: SubjectId, failures: u64, at: UnixNanos, update_id: u64) {
        // A model that fails always would leave nothing else in the ring.
        if failures.is_power_of_two() {
            self.events
                .record(EventKind::ModelError, model, at.0, failures, update_id);
        }
    }

    /// The last instrument has changed over to a new champion.
    #[cold]
    pub(super) fn model_swapped(&self, model: SubjectId, at: UnixNanos, duration_ns: u64, generation: u16) {
        self.events
            .record(EventKind::ModelSwapped, model, at.0, duration_ns, u64::from(generation));
    }

    /// One round of the loop took long.
    #[cold]
    pub(super) fn slow_loop(&self, at: UnixNanos, duration_ns: u64, messages: u64) {
        self.events
            .record(EventKind::SlowLoop, SubjectId::NONE, at.0, duration_ns, messages);
    }

    /// Something for a cold thread found its queue full; `dropped` of them by now.
    #[cold]
    pub(super) fn queue_full(&self, at: UnixNanos, dropped: u64, capacity: u64) {
        if dropped.is_power_of_two() {
            self.events
                .record(EventKind::QueueFull, SubjectId::NONE, at.0, dropped, capacity);
        }
    }
}

#[cfg(test)]
mod tests {
    use quantumflow_feeds::feed::Lost;
    use quantumflow_region::event::{LOSSES, RESYNCS};

    use super::*;

    #[test]
    fn every_reason_has_a_code_in_the_region() {
        for reason in Lost::REASONS {
            assert!(LOSSES.contains(&reason), "{reason}");
        }
        let (expected, got) = (0, 0);
        for reason in [
            ResyncReason::Start,
            ResyncReason::SequenceGap { expected, got },
            ResyncReason::ChecksumMismatch { expected: 0, got: 0 },
            ResyncReason::Crossed,
            ResyncReason::TopDisagrees { update_id: 0 },
            ResyncReason::CheckpointDiffers { update_id: 0 },
            ResyncReason::Malformed,
            ResyncReason::Silent,
            ResyncReason::Disconnected,
        ] {
            assert!(RESYNCS.contains(&reason.name()), "{reason:?}");
        }
    }
}
