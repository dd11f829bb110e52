//! Every metric of the engine, declared once.
//!
//! To add one, add an entry to the list below: its constant, its kind and name, its labels, and the sentence that the
//! reader of a dashboard will see. The exporter needs no change: a region describes itself. The tests at the end hold
//! names to the rules: prefix `hft_`, base units, `_total` on counters and on nothing else.

use std::borrow::Cow;

use crate::layout::Shape;
use crate::metric::{Agg, Metric, Unit};

macro_rules! catalogue {
    ($($name:ident: $metric:expr, $help:literal;)*) => {
        $(#[doc = $help] pub static $name: Metric = $metric.help($help);)*

        /// Every metric of the catalogue, in its order.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

/// Where a message's time goes, from the kernel to the signal: the values of the label `stage`, in their order.
pub const STAGES: [&str; 10] = [
    "kernel", "read", "decrypt", "frame", "parse", "book", "features", "model", "publish", "total",
];

/// How far a book can be trusted: the names of the states of [`BOOK_QUALITY`], and of a signal's quality, by number.
pub const QUALITIES: [&str; 5] = ["verified", "unverified", "stale", "crossed", "resyncing"];

/// What came of holding a book against the venue's REST book: the values of the label `result` of [`BOOK_CHECKPOINTS`].
pub const CHECKPOINTS: [&str; 3] = ["match", "mismatch", "missed"];

/// What a model predicts: the values of the labels `prediction_class` and `signal`, and a signal's class, by number.
pub const CLASSES: [&str; 3] = ["down", "flat", "up"];

/// What a model is to the engine: the names of the states of [`MODEL_ROLE`], by number.
pub const MODEL_ROLES: [&str; 3] = ["retired", "champion", "shadow"];

/// How a training run ended: the values of the label `status` of [`TRAINING_RUNS`].
pub const TRAINING_STATUSES: [&str; 2] = ["success", "failure"];

/// What came of asking an engine for other models: the values of the label `result` of [`MODEL_SWAPS`].
pub const SWAPS: [&str; 4] = ["done", "superseded", "unchanged", "refused"];

/// Where in its loop a thread can be: the names of breadcrumbs, by number. After a crash, or while it hangs, this is the
/// work that it did not come back from.
pub const PLACES: [&str; 7] = ["rest", "connection", "snapshot", "poll", "read", "timer", "model"];

/// The name of a breadcrumb; the number itself where it has none.
pub fn place(breadcrumb: u32) -> Cow<'static, str> {
    match PLACES.get(breadcrumb as usize) {
        Some(name) => Cow::Borrowed(*name),
        None => Cow::Owned(breadcrumb.to_string()),
    }
}

const EXCHANGE: &[&str] = &["exchange"];
const EXCHANGE_SYMBOL: &[&str] = &["exchange", "symbol"];
const MODEL: &[&str] = &["model_name"];

catalogue! {
    // Feeds
    PRICE_UPDATES: Metric::counter("hft_price_updates_total").labels(EXCHANGE_SYMBOL),
        "Order book updates that were applied to a book.";
    TRADES_RECEIVED: Metric::counter("hft_trades_received_total").labels(EXCHANGE_SYMBOL),
        "Trades that the exchange reported.";
    FEED_MESSAGES: Metric::counter("hft_feed_messages_total").labels(EXCHANGE),
        "WebSocket messages that were received.";
    FEED_BYTES: Metric::counter("hft_feed_bytes_total").labels(EXCHANGE).unit(Unit::Bytes, 0),
        "Payload bytes of the WebSocket messages that were received.";
    FEED_FRAMES_REJECTED: Metric::counter("hft_feed_frames_rejected_total").labels(&["exchange", "reason"]),
        "Frames or messages that were refused, by the rule that they broke.";
    FEED_ERRORS: Metric::counter("hft_feed_errors_total").labels(&["exchange", "error_type"]),
        "Errors of a connection, by type.";
    FEED_RECONNECTIONS: Metric::counter("hft_feed_reconnections_total").labels(EXCHANGE),
        "Connections that were opened again after one was lost.";
    FEED_HEALTH: Metric::gauge_i64("hft_feed_health").labels(EXCHANGE).agg(Agg::Min),
        "Whether every feed of the exchange has a connection, 1 or 0.";
    FEED_CONNECTIONS: Metric::gauge_i64("hft_feed_connections").labels(EXCHANGE),
        "Connections to the exchange that are open.";
    FEED_SUCCESSIONS: Metric::counter("hft_feed_successions_total").labels(EXCHANGE),
        "Connections that were replaced by a successor before the exchange ended them.";
    FEED_REPEATS: Metric::counter("hft_feed_repeats_total").labels(&["exchange", "line"]),
        "Messages dropped because the other of two connections that carry the same had brought them, or was about to.";
    FEED_SUBSCRIPTIONS: Metric::gauge_i64("hft_feed_subscriptions").labels(EXCHANGE),
        "Channels that the exchange has confirmed.";
    FEED_LAG: Metric::gauge_i64("hft_feed_lag_seconds").labels(EXCHANGE).unit(Unit::Seconds, -9).agg(Agg::Max),
        "For how much longer than the fastest the last message was on its way, the clocks' difference taken off.";
    FEED_CLOCK_OFFSET: Metric::gauge_i64("hft_feed_clock_offset_seconds").labels(EXCHANGE).unit(Unit::Seconds, -9).agg(Agg::Last),
        "Local time less the exchange's own, with the shortest way of a message in it; negative where the local clock is behind.";
    FEED_CLOCK_DRIFT: Metric::gauge_i64("hft_feed_clock_drift_ratio").labels(EXCHANGE).unit(Unit::Ratio, -9).agg(Agg::Last),
        "How much faster the local clock runs than the exchange's.";
    FEED_CLOCK_STEPS: Metric::counter("hft_feed_clock_steps_total").labels(EXCHANGE),
        "Times that one of the two clocks was set, or the way became much shorter or longer.";
    FEED_LAST_MESSAGE: Metric::timestamp("hft_feed_last_message_timestamp_seconds").labels(EXCHANGE),
        "When the last message arrived.";
    BREAKER_STATE: Metric::gauge_i64("hft_circuit_breaker_state").labels(EXCHANGE).agg(Agg::Max),
        "Whether the exchange is dialled: 0 closed, 1 open (left alone), 2 half-open (on trial).";
    BREAKER_TRANSITIONS: Metric::counter("hft_circuit_breaker_transitions_total").labels(&["exchange", "from_state", "to_state"]),
        "Changes of the circuit breaker's state.";
    BREAKER_FAILURES: Metric::counter("hft_circuit_breaker_failures_total").labels(EXCHANGE),
        "Attempts that brought no book, and connections that were lost.";
    BREAKER_SUCCESSES: Metric::counter("hft_circuit_breaker_successes_total").labels(EXCHANGE),
        "Connections that brought a book.";

    // Books
    SNAPSHOTS_PROCESSED: Metric::counter("hft_snapshots_processed_total").labels(EXCHANGE_SYMBOL),
        "Whole books that were taken from the exchange.";
    BOOK_GAPS: Metric::counter("hft_book_gaps_total").labels(EXCHANGE_SYMBOL),
        "Times that the exchange's sequence skipped an update.";
    BOOK_RESYNCS: Metric::counter("hft_book_resyncs_total").labels(EXCHANGE_SYMBOL),
        "Times that a book was withdrawn and rebuilt from a snapshot.";
    BOOK_CHECKSUMS_VERIFIED: Metric::counter("hft_book_checksums_verified_total").labels(EXCHANGE_SYMBOL),
        "Checksums of the exchange that agreed with the book.";
    BOOK_CHECKSUM_FAILURES: Metric::counter("hft_book_checksum_failures_total").labels(EXCHANGE_SYMBOL),
        "Checksums of the exchange that disagreed with the book.";
    BOOK_CROSSED: Metric::counter("hft_book_crossed_total").labels(EXCHANGE_SYMBOL),
        "Times that the best bid was at or above the best ask.";
    BOOK_TOP_AGREEMENTS: Metric::counter("hft_book_top_agreements_total").labels(EXCHANGE_SYMBOL),
        "Times that the exchange's own best bid and ask agreed with the book at the same update id.";
    BOOK_TOP_DISAGREEMENTS: Metric::counter("hft_book_top_disagreements_total").labels(EXCHANGE_SYMBOL),
        "Times that the exchange's own best bid and ask disagreed with the book at the same update id.";
    BOOK_CHECKPOINTS: Metric::counter("hft_book_checkpoints_total").labels(&["exchange", "symbol", "result"]),
        "Times that the book was held against the exchange's REST book at the same update id: match, mismatch, or missed where the two had no id in common. The match rate is match / (match + mismatch).";
    BOOK_LEVELS: Metric::gauge_i64("hft_book_levels").labels(&["exchange", "symbol", "side"]).agg(Agg::Last),
        "Price levels that the book holds.";
    BOOK_QUALITY: Metric::state("hft_book_quality", &QUALITIES).labels(EXCHANGE_SYMBOL),
        "How far the book can be trusted at this moment.";
    BEST_BID: Metric::gauge_f64("hft_best_bid").labels(EXCHANGE_SYMBOL).unit(Unit::Price, 0),
        "Highest price that a buyer offers.";
    BEST_ASK: Metric::gauge_f64("hft_best_ask").labels(EXCHANGE_SYMBOL).unit(Unit::Price, 0),
        "Lowest price that a seller asks.";
    SPREAD: Metric::gauge_f64("hft_spread").labels(EXCHANGE_SYMBOL).unit(Unit::Price, 0),
        "Best ask less best bid.";

    // Features, models, signals
    FEATURES_COMPUTED: Metric::counter("hft_features_computed_total").labels(&["feature_type"]),
        "Feature values that were computed, by family.";
    FEATURES_BEYOND_HORIZON: Metric::counter("hft_features_beyond_horizon_total").labels(EXCHANGE_SYMBOL),
        "Feature rows in which the model looked further into the book than the book is known, where levels may be missing.";
    PREDICTIONS: Metric::counter("hft_predictions_total").labels(&["model_name", "prediction_class"]),
        "Predictions that a model made, by class.";
    PREDICTION_CONFIDENCE: Metric::histogram("hft_prediction_confidence", Shape::RATIO_PPM)
        .labels(MODEL).unit(Unit::Ratio, -6),
        "Probability that the model gave to the class it chose.";
    PREDICTION_LATENCY: Metric::latency("hft_prediction_latency_seconds").labels(MODEL),
        "Time that a model took for one prediction.";
    PREDICTION_FAILURES: Metric::counter("hft_prediction_failures_total").labels(MODEL),
        "Times that a model's answer was no distribution, so that there is no prediction.";
    MODEL_LOADED: Metric::gauge_i64("hft_model_loaded").labels(MODEL).agg(Agg::Min),
        "Whether the model is loaded and passed its checks, 1 or 0; 0 also for one that was replaced.";
    MODEL_ROLE: Metric::state("hft_model_role", &MODEL_ROLES).labels(MODEL),
        "What the model is to the engine: the champion, whose predictions are signals, a shadow, or retired.";
    MODEL_LOADED_AT: Metric::timestamp("hft_model_loaded_timestamp_seconds").labels(MODEL),
        "When the model of that name was handed to the hot thread.";
    MODEL_SWAPS: Metric::counter("hft_model_swaps_total").labels(&["result"]),
        "Times that the engine was asked for other models: done, superseded by the next, unchanged, or refused.";
    MODEL_SWAP_DURATION: Metric::gauge_f64("hft_model_swap_duration_seconds").unit(Unit::Seconds, 0).agg(Agg::Max),
        "Time that the last change of models took, from handing them over until every instrument predicted with them.";
    RANKING_SCORE: Metric::gauge_f64("hft_ranking_score").labels(EXCHANGE_SYMBOL).unit(Unit::Ratio, 0),
        "The champion's probability of up less that of down: what instruments are ranked by. Absent without a shown book or a prediction of the last minute.";
    RANKING_RANK: Metric::gauge_f64("hft_ranking_rank").labels(EXCHANGE_SYMBOL),
        "The instrument's place among all of the engine, 1 for the strongest predicted rise. Absent as the score is.";
    RANKING_SYMBOLS: Metric::gauge_i64("hft_ranking_symbols_processed"),
        "Instruments in the last ranking.";
    RANKING_DURATION: Metric::latency("hft_ranking_generation_duration_seconds"),
        "Time that making one ranking took, off the hot path.";
    TRADING_SIGNALS: Metric::counter("hft_trading_signals_total").labels(&["symbol", "signal"]),
        "Signals that were published, by direction.";
    SIGNALS_PUBLISHED: Metric::counter("hft_signals_published_total"),
        "Signals that were written to the signal ring.";
    SIGNALS_SUPPRESSED: Metric::counter("hft_signals_suppressed_total").labels(&["reason"]),
        "Predictions that were not published, by reason.";
    SIGNAL_RING_SLOTS: Metric::gauge_i64("hft_signal_ring_slots"),
        "Signals that the ring holds before a slow reader is lapped.";

    // Training
    TRAINING_RUNS: Metric::counter("hft_training_runs_total").labels(&["status"]),
        "Training runs that ended, by how: success or failure.";
    TRAINING_DURATION: Metric::gauge_f64("hft_training_duration_seconds").unit(Unit::Seconds, 0).agg(Agg::Max),
        "Time that the last training run took.";
    LAST_TRAINING: Metric::timestamp("hft_last_training_timestamp_seconds"),
        "When the last training run that succeeded ended.";
    TRAINING_RUNNING: Metric::gauge_i64("hft_training_running"),
        "Whether a training run is under way, 1 or 0.";

    // Time
    STAGE_LATENCY: Metric::latency("hft_stage_latency_seconds").labels(&["stage"]),
        "Time that a message spent in one stage of the path from the kernel to the published signal.";
    FEATURE_LATENCY: Metric::latency("hft_feature_latency_seconds"),
        "Time that the features of one book update took.";

    // The engine itself
    HOT_LOOP_ITERATIONS: Metric::counter("hft_hot_loop_iterations_total").agg(Agg::PerWriter),
        "Rounds of a hot thread's event loop.";
    HOT_LOOP_BUSY_ITERATIONS: Metric::counter("hft_hot_loop_busy_iterations_total").agg(Agg::PerWriter),
        "Rounds of a hot thread's event loop that found something to do.";
    QUEUE_DROPPED: Metric::counter("hft_queue_dropped_total").labels(&["queue"]),
        "Items that a hot thread dropped because the queue to a cold thread was full.";
    LOG_EVENTS_DROPPED: Metric::counter("hft_log_events_dropped_total"),
        "Log events that were dropped because the log could not keep up.";
    CAPTURE_FRAMES: Metric::counter("hft_capture_frames_total").labels(EXCHANGE),
        "Frames that were written to the capture.";
    CAPTURE_FRAMES_DROPPED: Metric::counter("hft_capture_frames_dropped_total").labels(EXCHANGE),
        "Frames that are missing in the capture because it could not keep up.";
    CAPTURE_BYTES: Metric::counter("hft_capture_bytes_total").labels(EXCHANGE).unit(Unit::Bytes, 0),
        "Bytes that were written to the capture, before compression.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::layout::limit;
    use crate::metric::{Kind, is_label_name, is_metric_name};

    fn check(metric: &Metric) -> Result<(), String> {
        let name = metric.name;
        let rule = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{name}: {what}")) };
        let suffix = |suffix: &str, wanted: bool| rule(name.ends_with(suffix) == wanted, suffix);
        rule(
            is_metric_name(name) && name == name.to_lowercase() && name.len() <= limit::NAME_BYTES,
            "not a name",
        )?;
        rule(name.starts_with("hft_"), "prefix")?;
        suffix("_total", metric.kind == Kind::Counter)?;
        suffix("_info", metric.kind == Kind::Info)?;
        suffix("_timestamp_seconds", metric.kind == Kind::Timestamp)?;
        let stem = name.trim_end_matches("_total");
        rule(
            stem.ends_with("_seconds") == (metric.unit == Unit::Seconds),
            "unit seconds",
        )?;
        rule(stem.ends_with("_bytes") == (metric.unit == Unit::Bytes), "unit bytes")?;
        let small = [
            "_ns", "_us", "_ms", "_nanos", "_millis", "_kb", "_mb", "_percent", "_count", "_sum", "_bucket",
        ];
        rule(
            !small.iter().any(|s| stem.ends_with(s)),
            "base units, and no suffix that Prometheus adds",
        )?;
        rule(
            metric.help.ends_with('.') && metric.help.len() <= limit::HELP_BYTES,
            "help is a sentence",
        )?;
        rule(
            metric.help.starts_with(char::is_uppercase) && metric.help.contains(' '),
            "help is a sentence",
        )?;
        rule(
            metric
                .labels
                .iter()
                .all(|l| is_label_name(l) && !["le", "quantile", "writer"].contains(l)),
            "labels",
        )?;
        rule(
            metric.labels.iter().collect::<HashSet<_>>().len() == metric.labels.len(),
            "a label twice",
        )?;
        rule(metric.labels.len() <= limit::LABELS, "too many labels")?;
        rule(metric.shape.is_some() == (metric.kind == Kind::Histogram), "shape")?;
        rule(metric.states.is_empty() == (metric.kind != Kind::State), "states")?;
        rule(metric.states.iter().all(|s| is_label_name(s)), "state names")?;
        rule((-18..=18).contains(&metric.scale), "scale")
    }

    #[test]
    fn every_metric_keeps_the_naming_rules() {
        let broken: Vec<String> = ALL.iter().filter_map(|metric| check(metric).err()).collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn no_name_is_declared_twice() {
        let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn the_rules_refuse_what_they_should() {
        let good = Metric::latency("hft_x_seconds").help("A sentence.");
        assert_eq!(check(&good), Ok(()));
        for bad in [
            Metric::latency("hft_x_ns").help("A sentence."),
            Metric::latency("hft_x").help("A sentence."),
            Metric::latency("x_seconds").help("A sentence."),
            Metric::latency("hft_x_seconds").help("no sentence"),
            Metric::counter("hft_x").help("A sentence."),
            Metric::gauge_i64("hft_x_total").help("A sentence."),
            Metric::counter("hft_x_total").labels(&["le"]).help("A sentence."),
            Metric::counter("hft_x_total").labels(&["a", "a"]).help("A sentence."),
            Metric::state("hft_x", &[]).help("A sentence."),
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
    }
}
