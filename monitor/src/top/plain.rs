//! The monitor without a screen: a table for people, an object for scripts.
//!
//! Rates are over the last round, latencies over the whole run.

use std::io::{self, Write};

use quantumflow_region::{Metric, catalogue};
use serde_json::json;

use crate::session::Session;
use crate::text::clean;

/// What the last two looks at an engine say.
pub(super) struct View<'a> {
    pub(super) session: &'a Session,
}

impl View<'_> {
    fn now(&self, metric: &Metric, labels: &[(&str, &str)]) -> u64 {
        self.session.latest().snapshot.total(metric.name, labels) as u64
    }

    /// Zero for an engine that is gone: its state stands beside it.
    fn rate(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        self.session.rates_with(metric, labels).now.unwrap_or(0.0)
    }

    fn gauge(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        let series = self.session.series(metric, labels);
        series.and_then(|series| series.value.as_f64()).unwrap_or(f64::NAN)
    }

    /// Exchange and symbol of every book.
    fn books(&self) -> Vec<(&str, &str)> {
        let family = self.session.latest().snapshot.family(catalogue::BOOK_QUALITY.name);
        family
            .filter_map(|series| Some((series.meta.label("exchange")?, series.meta.label("symbol")?)))
            .collect()
    }

    fn quality(&self, labels: &[(&str, &str)]) -> &'static str {
        let state = self.gauge(&catalogue::BOOK_QUALITY, labels);
        let known = state.is_finite().then_some(state as usize);
        known
            .and_then(|state| catalogue::QUALITIES.get(state))
            .copied()
            .unwrap_or("?")
    }

    /// The table.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let condition = self.session.condition();
        if !condition.is_up() {
            writeln!(
                out,
                "engine {}: {}; what follows is its last word\n",
                condition.name(),
                condition.why()
            )?;
        }
        writeln!(
            out,
            "{:>10.0} messages/s  {:>10.0} book updates/s  {:>10.0} predictions/s  {:>8.2} MB/s",
            self.rate(&catalogue::FEED_MESSAGES, &[]),
            self.rate(&catalogue::PRICE_UPDATES, &[]),
            self.rate(&catalogue::PREDICTIONS, &[]),
            self.rate(&catalogue::FEED_BYTES, &[]) / 1e6,
        )?;
        writeln!(
            out,
            "\nstage         count      p50 us      p99 us    p99.9 us      max us"
        )?;
        for stage in catalogue::STAGES {
            let stage_label = [("stage", stage)];
            let Some(histogram) = self
                .session
                .latest()
                .snapshot
                .histogram(catalogue::STAGE_LATENCY.name, &stage_label)
            else {
                continue;
            };
            let us = |ns: u64| ns as f64 / 1e3;
            writeln!(
                out,
                "{stage:<9} {:>9} {:>11.2} {:>11.2} {:>11.2} {:>11.2}",
                histogram.count(),
                us(histogram.value_at_percentile(50.0)),
                us(histogram.value_at_percentile(99.0)),
                us(histogram.value_at_percentile(99.9)),
                us(histogram.max()),
            )?;
        }
        let [down, flat, up] =
            catalogue::CLASSES.map(|class| self.now(&catalogue::PREDICTIONS, &[("prediction_class", class)]));
        writeln!(out, "\npredictions   down {down}   flat {flat}   up {up}")?;
        writeln!(
            out,
            "\nvenue     symbol        quality             bid             ask      levels    updates  gaps  crc bad"
        )?;
        for (exchange, symbol) in self.books() {
            let labels = &[("exchange", exchange), ("symbol", symbol)][..];
            let quality = self.quality(labels);
            let price = |metric| match self.gauge(metric, labels) {
                price if price.is_nan() => "-".to_owned(),
                price => format!("{price}"),
            };
            writeln!(
                out,
                "{:<9} {:<13} {quality:<12} {:>10} {:>15} {:>11} {:>10} {:>5} {:>8}",
                clean(exchange),
                clean(symbol),
                price(&catalogue::BEST_BID),
                price(&catalogue::BEST_ASK),
                self.now(&catalogue::BOOK_LEVELS, labels),
                self.now(&catalogue::PRICE_UPDATES, labels),
                self.now(&catalogue::BOOK_GAPS, labels),
                self.now(&catalogue::BOOK_CHECKSUM_FAILURES, labels),
            )?;
        }
        Ok(())
    }

    /// The object.
    pub(super) fn json(&self) -> serde_json::Value {
        let stages: serde_json::Map<_, _> = catalogue::STAGES.iter().filter_map(|stage| {
            let histogram = self.session.latest().snapshot.histogram(catalogue::STAGE_LATENCY.name, &[("stage", stage)])?;
            let at = |percentile| histogram.value_at_percentile(percentile);
            Some(((*stage).to_owned(), json!({
                "count": histogram.count(), "p50_ns": at(50.0), "p99_ns": at(99.0), "p999_ns": at(99.9), "max_ns": histogram.max(),
            })))
        }).collect();
        let books: Vec<_> = self.books().into_iter().map(|(exchange, symbol)| {
            let labels = &[("exchange", exchange), ("symbol", symbol)][..];
            json!({
                "exchange": exchange, "symbol": symbol, "quality": self.quality(labels),
                "best_bid": self.gauge(&catalogue::BEST_BID, labels), "best_ask": self.gauge(&catalogue::BEST_ASK, labels),
            })
        }).collect();
        let classes: serde_json::Map<_, _> = catalogue::CLASSES
            .iter()
            .map(|class| {
                (
                    (*class).to_owned(),
                    json!(self.now(&catalogue::PREDICTIONS, &[("prediction_class", class)])),
                )
            })
            .collect();
        json!({
            "engine": self.session.condition().name(),
            "rates": {
                "messages_per_second": self.rate(&catalogue::FEED_MESSAGES, &[]),
                "book_updates_per_second": self.rate(&catalogue::PRICE_UPDATES, &[]),
                "predictions_per_second": self.rate(&catalogue::PREDICTIONS, &[]),
            },
            "totals": {
                "messages": self.now(&catalogue::FEED_MESSAGES, &[]),
                "book_updates": self.now(&catalogue::PRICE_UPDATES, &[]),
                "predictions": self.now(&catalogue::PREDICTIONS, &[]),
                "gaps": self.now(&catalogue::BOOK_GAPS, &[]),
                "resyncs": self.now(&catalogue::BOOK_RESYNCS, &[]),
                "checksum_failures": self.now(&catalogue::BOOK_CHECKSUM_FAILURES, &[]),
                "checksums_verified": self.now(&catalogue::BOOK_CHECKSUMS_VERIFIED, &[]),
                "crossed": self.now(&catalogue::BOOK_CROSSED, &[]),
                "top_agreements": self.now(&catalogue::BOOK_TOP_AGREEMENTS, &[]),
                "top_disagreements": self.now(&catalogue::BOOK_TOP_DISAGREEMENTS, &[]),
            },
            "predictions": classes,
            "stages": stages,
            "books": books,
        })
    }
}
