//! What the page shows of one engine.

use std::borrow::Cow;
use std::time::Duration;

use quantumflow_region::{Metric, Value, catalogue};
use serde::Serialize;

use super::latency::{self, Latency};
use crate::health::{Component, Status, state_name};
use crate::index::Index;
use crate::json::{Count, Process};
use crate::monitoring::EngineReport;
use crate::source::Sight;

#[derive(Serialize)]
pub(super) struct Engine<'a> {
    engine: &'a str,
    state: &'static str,
    /// Whether its numbers are those of the moment.
    is_up: bool,
    reason: Option<&'a str>,
    process: Option<Process<'a>>,
    status: Status,
    components: &'a [Component],
    /// `null` when it is not up: the page keeps the last ones, and shows that they are old.
    numbers: Option<Numbers<'a>>,
}

/// Whether two looks saw the same start of an engine: counters of another one are no start of an interval.
pub(super) fn same_start(one: &Sight, other: &Sight) -> bool {
    let instance = |sight: &Sight| sight.view.region.as_ref().map(|region| region.info.instance_id);
    instance(one).is_some() && instance(one) == instance(other)
}

impl<'a> Engine<'a> {
    pub(super) fn of(sight: &'a Sight, before: Option<(&'a Sight, Duration)>, report: &'a EngineReport) -> Self {
        let before = before.and_then(|(sight, interval)| Some((sight.pass.as_ref()?, interval)));
        let numbers = sight.pass.as_ref().map(|pass| {
            let interval = before.map(|(pass, interval)| (Index::of(&pass.snapshot), interval.as_secs_f64()));
            let between = Between {
                now: Index::of(&pass.snapshot),
                before: interval.as_ref().map(|(index, _)| index),
                seconds: interval.as_ref().map(|(_, seconds)| *seconds),
            };
            between.numbers(sight)
        });
        Self {
            engine: &sight.engine,
            state: sight.view.condition.name(),
            is_up: sight.view.condition.is_up(),
            reason: sight.view.reason.as_deref(),
            process: Process::of(sight),
            status: report.report.status,
            components: &report.report.components,
            numbers,
        }
    }
}

#[derive(Serialize)]
struct Numbers<'a> {
    messages: Rate,
    updates: Rate,
    predictions: Rate,
    signals: Rate,
    bytes: Rate,
    latencies: Vec<Latency>,
    feeds: Vec<Feed<'a>>,
    books: Vec<Book<'a>>,
    models: Vec<Model<'a>>,
    threads: Vec<Thread<'a>>,
    losses: Vec<Loss>,
}

/// A counter.
#[derive(Serialize)]
struct Rate {
    per_second: Option<f64>,
    total: Count,
}

#[derive(Serialize)]
struct Feed<'a> {
    exchange: &'a str,
    is_connected: bool,
    subscriptions: Option<f64>,
    messages: Rate,
    lag_ns: Option<f64>,
    /// Unix time, milliseconds; the page counts the age.
    last_message_unix_ms: Option<u64>,
    reconnections: Count,
    errors: Count,
}

#[derive(Serialize)]
struct Book<'a> {
    exchange: &'a str,
    symbol: &'a str,
    quality: &'a str,
    bid: Option<f64>,
    ask: Option<f64>,
    spread: Option<f64>,
    bid_levels: Option<f64>,
    ask_levels: Option<f64>,
    updates: Rate,
    gaps: Count,
    resyncs: Count,
    checksum_failures: Count,
}

#[derive(Serialize)]
struct Model<'a> {
    model: &'a str,
    is_loaded: bool,
    /// Champion, shadow or retired, where the engine says so.
    role: Option<&'a str>,
    /// Down, flat, up.
    classes: [Rate; 3],
    /// Records of the interval in bins of 5 %, from 0 to 1.
    confidence: Option<[u64; CONFIDENCE_BINS]>,
}

#[derive(Serialize)]
struct Thread<'a> {
    name: &'a str,
    tid: u32,
    cpu: Option<u32>,
    is_stuck: bool,
    /// It has begun no round for some seconds, as cold threads may.
    is_idle: bool,
    rounds: Rate,
    /// Share of the rounds that found something to do.
    busy_ratio: Option<f64>,
    /// A number that the thread leaves where it is: of use when it hangs.
    place: Cow<'static, str>,
}

/// Something that was lost, by what it was.
#[derive(Serialize)]
struct Loss {
    name: String,
    lost: Rate,
}

const CONFIDENCE_BINS: usize = 20;

/// Two looks at an engine, or one.
struct Between<'a, 'b> {
    now: Index<'a>,
    before: Option<&'b Index<'b>>,
    seconds: Option<f64>,
}

type Labels<'l> = &'l [(&'l str, &'l str)];

impl<'a> Between<'a, '_> {
    fn numbers(&self, sight: &'a Sight) -> Numbers<'a> {
        Numbers {
            messages: self.rate(&catalogue::FEED_MESSAGES, &[]),
            updates: self.rate(&catalogue::PRICE_UPDATES, &[]),
            predictions: self.rate(&catalogue::PREDICTIONS, &[]),
            signals: self.rate(&catalogue::SIGNALS_PUBLISHED, &[]),
            bytes: self.rate(&catalogue::FEED_BYTES, &[]),
            latencies: latency::all(&self.now, self.before),
            feeds: self.feeds(),
            books: self.books(),
            models: self.models(),
            threads: self.threads(sight),
            losses: self.losses(),
        }
    }

    fn rate(&self, metric: &Metric, labels: Labels<'_>) -> Rate {
        let now = self.now.total(metric, labels);
        let before = self.before.map(|before| before.total(metric, labels));
        let growth = before.map(|before| (now - before).max(0.0));
        Rate {
            per_second: growth.zip(self.seconds).map(|(growth, seconds)| growth / seconds),
            total: Count(now as u64),
        }
    }

    fn total(&self, metric: &Metric, labels: Labels<'_>) -> Count {
        Count(self.now.total(metric, labels) as u64)
    }

    fn feeds(&self) -> Vec<Feed<'a>> {
        let feeds = self.now.family(&catalogue::FEED_HEALTH).filter_map(|series| {
            let exchange = series.meta.label("exchange")?;
            let labels: Labels<'_> = &[("exchange", exchange)];
            let last = self.now.find(&catalogue::FEED_LAST_MESSAGE, labels);
            Some(Feed {
                exchange,
                is_connected: series.value.as_f64() == Some(1.0),
                subscriptions: self.now.value(&catalogue::FEED_SUBSCRIPTIONS, labels),
                messages: self.rate(&catalogue::FEED_MESSAGES, labels),
                lag_ns: self.now.value(&catalogue::FEED_LAG, labels),
                last_message_unix_ms: match last.map(|series| &series.value) {
                    Some(Value::Timestamp(ns @ 1..)) => Some(ns / 1_000_000),
                    _ => None,
                },
                reconnections: self.total(&catalogue::FEED_RECONNECTIONS, labels),
                errors: self.total(&catalogue::FEED_ERRORS, labels),
            })
        });
        feeds.collect()
    }

    fn books(&self) -> Vec<Book<'a>> {
        let books = self.now.family(&catalogue::BOOK_QUALITY).filter_map(|series| {
            let (exchange, symbol) = (series.meta.label("exchange")?, series.meta.label("symbol")?);
            let labels: Labels<'_> = &[("exchange", exchange), ("symbol", symbol)];
            let levels = |side| {
                let labels: Labels<'_> = &[("exchange", exchange), ("symbol", symbol), ("side", side)];
                self.now.value(&catalogue::BOOK_LEVELS, labels)
            };
            Some(Book {
                exchange,
                symbol,
                quality: state_name(series),
                bid: self.now.value(&catalogue::BEST_BID, labels),
                ask: self.now.value(&catalogue::BEST_ASK, labels),
                spread: self.now.value(&catalogue::SPREAD, labels),
                bid_levels: levels("bid"),
                ask_levels: levels("ask"),
                updates: self.rate(&catalogue::PRICE_UPDATES, labels),
                gaps: self.total(&catalogue::BOOK_GAPS, labels),
                resyncs: self.total(&catalogue::BOOK_RESYNCS, labels),
                checksum_failures: self.total(&catalogue::BOOK_CHECKSUM_FAILURES, labels),
            })
        });
        books.collect()
    }

    fn models(&self) -> Vec<Model<'a>> {
        let models = self.now.family(&catalogue::MODEL_LOADED).filter_map(|series| {
            let model = series.meta.label("model_name")?;
            let class = |class| {
                let labels: Labels<'_> = &[("model_name", model), ("prediction_class", class)];
                self.rate(&catalogue::PREDICTIONS, labels)
            };
            Some(Model {
                model,
                is_loaded: series.value.as_f64() == Some(1.0),
                role: self
                    .now
                    .find(&catalogue::MODEL_ROLE, &[("model_name", model)])
                    .map(state_name),
                classes: catalogue::CLASSES.map(class),
                confidence: self.confidence(model),
            })
        });
        models.collect()
    }

    fn confidence(&self, model: &str) -> Option<[u64; CONFIDENCE_BINS]> {
        let (metric, labels) = (&catalogue::PREDICTION_CONFIDENCE, &[("model_name", model)]);
        let (series, histogram) = self.now.histogram(metric, labels)?;
        let interval = latency::interval(metric, labels, histogram, self.before)?;
        let mut bins = [0; CONFIDENCE_BINS];
        for (bound, count) in interval.buckets() {
            let ratio = series.meta.to_base(bound as f64);
            // The cast is bounded on both sides, and so is the index.
            let bin = (ratio * CONFIDENCE_BINS as f64) as usize;
            bins[bin.min(CONFIDENCE_BINS - 1)] += count;
        }
        Some(bins)
    }

    fn threads(&self, sight: &'a Sight) -> Vec<Thread<'a>> {
        let writers = sight.pass.iter().flat_map(|pass| &pass.snapshot.writers);
        let threads = writers.map(|writer| {
            let labels: Labels<'_> = &[("writer", &writer.name)];
            let rounds = self.rate(&catalogue::HOT_LOOP_ITERATIONS, labels);
            let busy = self.rate(&catalogue::HOT_LOOP_BUSY_ITERATIONS, labels).per_second;
            let of = |busy: f64, all: f64| (all > 0.0).then(|| busy / all);
            Thread {
                name: &writer.name,
                tid: writer.tid,
                cpu: writer.cpu,
                is_stuck: sight.view.stuck.contains(&writer.name),
                is_idle: sight.view.idle.contains(&writer.name),
                busy_ratio: busy.zip(rounds.per_second).and_then(|(busy, all)| of(busy, all)),
                rounds,
                place: catalogue::place(writer.breadcrumb),
            }
        });
        threads.collect()
    }

    fn losses(&self) -> Vec<Loss> {
        let queues = self.now.family(&catalogue::QUEUE_DROPPED).filter_map(|series| {
            let queue = series.meta.label("queue")?;
            Some(Loss {
                name: format!("queue {queue}"),
                lost: self.rate(&catalogue::QUEUE_DROPPED, &[("queue", queue)]),
            })
        });
        let others = [
            ("frames refused", &catalogue::FEED_FRAMES_REJECTED),
            ("log events", &catalogue::LOG_EVENTS_DROPPED),
            ("captured frames", &catalogue::CAPTURE_FRAMES_DROPPED),
            ("signals suppressed", &catalogue::SIGNALS_SUPPRESSED),
        ];
        let others = others.into_iter().filter_map(|(name, metric)| {
            self.now.family(metric).next()?;
            Some(Loss {
                name: name.into(),
                lost: self.rate(metric, &[]),
            })
        });
        queues.chain(others).collect()
    }
}
