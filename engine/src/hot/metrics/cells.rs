//! The cells of a symbol, a venue and a model, and how they are registered.

use quantumflow_feeds::event::FrameFault;
use quantumflow_feeds::feed::Lost;
use quantumflow_feeds::{Line, Quality, Scale, VenueId};
use quantumflow_region::{
    Counter, GaugeF64, GaugeI64, Histogram, Metric, RegisterError, Shape, State, SubjectId, ThreadWriter, Timestamp,
    catalogue,
};

use super::super::predict::SymbolOrigin;
use crate::model;

#[derive(Debug)]
pub(super) struct SymbolCells {
    pub(super) updates: Counter,
    pub(super) trades: Counter,
    pub(super) snapshots: Counter,
    pub(super) gaps: Counter,
    pub(super) resyncs: Counter,
    pub(super) checksums: Counter,
    pub(super) checksum_failures: Counter,
    pub(super) crossed: Counter,
    pub(super) top_agreements: Counter,
    pub(super) top_disagreements: Counter,
    /// In the order of [`catalogue::CHECKPOINTS`].
    pub(super) checkpoints: [Counter; catalogue::CHECKPOINTS.len()],
    pub(super) levels: [GaugeI64; 2],
    pub(super) quality: State,
    pub(super) rows_beyond_horizon: Counter,
    pub(super) best_bid: GaugeF64,
    pub(super) best_ask: GaugeF64,
    pub(super) spread: GaugeF64,
    /// Which of [`HotMetrics`](super::HotMetrics)'s signals.
    pub(super) signals: usize,
    pub(super) scale: Scale,
    /// What a mantissa is divided by at that scale: a division rounds to the number that was printed.
    pub(super) price_unit: f64,
}

#[derive(Debug)]
pub(super) struct VenueCells {
    pub(super) messages: Counter,
    pub(super) bytes: Counter,
    pub(super) rejected: [Counter; REJECTIONS.len()],
    pub(super) errors: Vec<(&'static str, Counter)>,
    pub(super) reconnections: Counter,
    pub(super) successions: Counter,
    /// By line.
    pub(super) repeats: [Counter; 2],
    pub(super) connections: GaugeI64,
    pub(super) health: GaugeI64,
    pub(super) subscriptions: GaugeI64,
    pub(super) lag: GaugeI64,
    pub(super) clock_offset: GaugeI64,
    pub(super) clock_drift: GaugeI64,
    pub(super) clock_steps: Counter,
    pub(super) last_message: Timestamp,
    pub(super) feeds: i64,
    pub(super) connected: i64,
}

/// The cells of the models of one name. Made on a cold thread, written by the hot one.
#[derive(Debug)]
pub struct ModelCells {
    pub(super) predictions: [Counter; 3],
    pub(super) confidence: Histogram,
    pub(super) latency: Histogram,
    pub(super) failures: Counter,
    pub(super) failures_total: u64,
    pub(super) subject: SubjectId,
}

pub(super) const REJECTIONS: [&str; 4] = ["malformed", "number_out_of_range", "unknown_symbol", "binary"];

/// The error types of a feed, beside the reasons for which a connection is lost.
pub(super) const OTHER_ERROR_TYPES: [&str; 6] = [
    "subscription_refused",
    "subscription_mute",
    "snapshot_rejected",
    "backlog_overflow",
    "book_stale",
    "checksum_dead",
];

impl ModelCells {
    /// The cells of a name in a block of the region.
    pub fn register(thread: &ThreadWriter, name: &str) -> Self {
        Self {
            predictions: catalogue::CLASSES.map(|class| counter(thread, &catalogue::PREDICTIONS, &[name, class])),
            confidence: histogram(thread, &catalogue::PREDICTION_CONFIDENCE, &[name]),
            latency: histogram(thread, &catalogue::PREDICTION_LATENCY, &[name]),
            failures: counter(thread, &catalogue::PREDICTION_FAILURES, &[name]),
            failures_total: 0,
            subject: kept(thread.subject(name), || SubjectId::NONE),
        }
    }

    /// Cells that nobody sees.
    pub fn detached() -> Self {
        let histogram = |metric: &Metric| Histogram::detached(metric.shape.unwrap_or(Shape::LATENCY_NS));
        Self {
            predictions: catalogue::CLASSES.map(|_| Counter::detached()),
            confidence: histogram(&catalogue::PREDICTION_CONFIDENCE),
            latency: histogram(&catalogue::PREDICTION_LATENCY),
            failures: Counter::detached(),
            failures_total: 0,
            subject: SubjectId::NONE,
        }
    }

    #[inline]
    pub(super) fn predicted(&self, prediction: &model::Prediction) {
        self.predictions[prediction.class as usize].inc();
        self.confidence.record((f64::from(prediction.confidence) * 1e6) as u64);
    }
}

impl SymbolCells {
    pub(super) fn register(thread: &mut ThreadWriter, origin: &SymbolOrigin, signals: usize) -> Self {
        let labels: &[&str] = &[origin.venue.name(), &origin.symbol];
        let count = |metric| counter(thread, metric, labels);
        let cells = (
            [
                count(&catalogue::PRICE_UPDATES),
                count(&catalogue::TRADES_RECEIVED),
                count(&catalogue::SNAPSHOTS_PROCESSED),
            ],
            [
                count(&catalogue::BOOK_GAPS),
                count(&catalogue::BOOK_RESYNCS),
                count(&catalogue::BOOK_CROSSED),
            ],
            [
                count(&catalogue::BOOK_CHECKSUMS_VERIFIED),
                count(&catalogue::BOOK_CHECKSUM_FAILURES),
            ],
            [
                count(&catalogue::BOOK_TOP_AGREEMENTS),
                count(&catalogue::BOOK_TOP_DISAGREEMENTS),
            ],
        );
        let rows_beyond_horizon = count(&catalogue::FEATURES_BEYOND_HORIZON);
        let ([updates, trades, snapshots], [gaps, resyncs, crossed], [checksums, checksum_failures], tops) = cells;
        let [top_agreements, top_disagreements] = tops;
        let price = |metric| {
            let gauge = kept(thread.gauge_f64(metric, labels), GaugeF64::detached);
            gauge.set_unknown();
            gauge
        };
        let [best_bid, best_ask, spread] = [
            price(&catalogue::BEST_BID),
            price(&catalogue::BEST_ASK),
            price(&catalogue::SPREAD),
        ];
        let resyncing = Quality::Resyncing as u8;
        let quality = kept(
            thread.state(&catalogue::BOOK_QUALITY, labels, resyncing),
            State::detached,
        );
        let levels = ["bid", "ask"].map(|side| {
            kept(
                thread.gauge_i64(&catalogue::BOOK_LEVELS, &[labels[0], labels[1], side]),
                GaugeI64::detached,
            )
        });
        let checkpoints = catalogue::CHECKPOINTS
            .map(|result| counter(thread, &catalogue::BOOK_CHECKPOINTS, &[labels[0], labels[1], result]));
        Self {
            updates,
            trades,
            snapshots,
            gaps,
            resyncs,
            checksums,
            checksum_failures,
            crossed,
            top_agreements,
            top_disagreements,
            checkpoints,
            levels,
            quality,
            rows_beyond_horizon,
            best_bid,
            best_ask,
            spread,
            signals,
            scale: Scale::default(),
            price_unit: 1.0,
        }
    }
}

impl VenueCells {
    pub(super) fn register(thread: &mut ThreadWriter, venue: VenueId, feeds: i64) -> Self {
        // A venue that this shard does not speak has no series.
        let mut thread = (feeds > 0).then_some(thread);
        let name = venue.name();
        let mut count = |metric, labels: &[&str]| match &mut thread {
            Some(thread) => counter(thread, metric, labels),
            None => Counter::detached(),
        };
        let messages = count(&catalogue::FEED_MESSAGES, &[name]);
        let bytes = count(&catalogue::FEED_BYTES, &[name]);
        let rejected = REJECTIONS.map(|reason| count(&catalogue::FEED_FRAMES_REJECTED, &[name, reason]));
        let kinds = Lost::REASONS
            .into_iter()
            .filter(|reason| *reason != Lost::Succeeded.reason());
        let kinds = kinds.chain(OTHER_ERROR_TYPES);
        let errors = kinds
            .map(|kind| (kind, count(&catalogue::FEED_ERRORS, &[name, kind])))
            .collect();
        let reconnections = count(&catalogue::FEED_RECONNECTIONS, &[name]);
        let clock_steps = count(&catalogue::FEED_CLOCK_STEPS, &[name]);
        let successions = count(&catalogue::FEED_SUCCESSIONS, &[name]);
        let repeats = Line::ALL.map(|line| count(&catalogue::FEED_REPEATS, &[name, line.name()]));
        let mut gauge = |metric| match &mut thread {
            Some(thread) => kept(thread.gauge_i64(metric, &[name]), GaugeI64::detached),
            None => GaugeI64::detached(),
        };
        let health = gauge(&catalogue::FEED_HEALTH);
        let connections = gauge(&catalogue::FEED_CONNECTIONS);
        let subscriptions = gauge(&catalogue::FEED_SUBSCRIPTIONS);
        let lag = gauge(&catalogue::FEED_LAG);
        let clock_offset = gauge(&catalogue::FEED_CLOCK_OFFSET);
        let clock_drift = gauge(&catalogue::FEED_CLOCK_DRIFT);
        let last_message = match &mut thread {
            Some(thread) => kept(
                thread.timestamp(&catalogue::FEED_LAST_MESSAGE, &[name]),
                Timestamp::detached,
            ),
            None => Timestamp::detached(),
        };
        Self {
            messages,
            bytes,
            rejected,
            errors,
            reconnections,
            successions,
            repeats,
            connections,
            health,
            subscriptions,
            lag,
            clock_offset,
            clock_drift,
            clock_steps,
            last_message,
            feeds,
            connected: 0,
        }
    }

    pub(super) fn error(&self, kind: &str) {
        let known = self.errors.iter().find(|(name, _)| *name == kind);
        debug_assert!(known.is_some(), "{kind} has no counter");
        if let Some((_, count)) = known {
            count.inc();
        }
    }
}

pub(super) fn rejection(fault: FrameFault) -> usize {
    match fault {
        FrameFault::Malformed => 0,
        FrameFault::NumberOutOfRange => 1,
        FrameFault::UnknownSymbol => 2,
        FrameFault::Binary => 3,
    }
}

pub(super) fn counter(thread: &ThreadWriter, metric: &'static Metric, labels: &[&str]) -> Counter {
    kept(thread.counter(metric, labels), Counter::detached)
}

pub(super) fn histogram(thread: &ThreadWriter, metric: &'static Metric, labels: &[&str]) -> Histogram {
    kept(thread.histogram(metric, labels), || {
        Histogram::detached(metric.shape.unwrap_or(Shape::LATENCY_NS))
    })
}

/// The handle, or a detached one where the region is full: the engine runs without that series and says so.
pub(in super::super) fn kept<T>(registered: Result<T, RegisterError>, detached: impl FnOnce() -> T) -> T {
    registered.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "something is missing in the region"
        );
        detached()
    })
}
