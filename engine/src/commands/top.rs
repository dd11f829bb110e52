//! `quantumflow top`: a running engine in a terminal, from its region alone.
//!
//! Rates are over the last second, latencies over the whole run; a region that stops moving is said to have stopped, its
//! last numbers are not shown as live.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use quantumflow_region::{Liveness, RegionReader, Snapshot, catalogue};
use serde_json::json;

use super::{Failure, Outcome, region};

/// Watch a running engine: rates, stage latencies, predictions, books.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quantumflow top --once --json | jq .totals")]
pub(super) struct Args {
    /// Where the regions live
    #[arg(long, default_value = super::REGION_DIR)]
    region_dir: PathBuf,
    /// Print once, with the rates of half a second, and end
    #[arg(long)]
    once: bool,
    /// Print JSON, one object a round
    #[arg(long)]
    json: bool,
    /// End after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let started = Instant::now();
    let mut watched = wait_for_region(args)?;
    let mut before: Option<(Instant, Snapshot)> = None;
    let every = Duration::from_millis(if args.once { 500 } else { 1000 });
    let mut lines_drawn = 0;
    loop {
        let snapshot = watched.snapshot().map_err(Failure::running)?;
        let liveness = watched.liveness().map_err(Failure::running)?;
        let now = Instant::now();
        if let Some((then, earlier)) = &before {
            let view = View {
                earlier,
                latest: &snapshot,
                seconds: (now - *then).as_secs_f64(),
                liveness,
            };
            lines_drawn = print(&view, args, lines_drawn)?;
            if args.once {
                return Ok(());
            }
        }
        before = Some((now, snapshot));
        if args
            .seconds
            .is_some_and(|seconds| started.elapsed() + every > Duration::from_secs(seconds))
        {
            return Ok(());
        }
        thread::sleep(every);
        if !liveness.is_running() {
            // The engine is gone: another may have come.
            if let Ok(path) = region::newest(&args.region_dir)
                && path != watched.path()
            {
                watched = RegionReader::open(&path).map_err(Failure::running)?;
                before = None;
            }
        }
    }
}

/// An engine that was started at the same moment as we needs a little time.
fn wait_for_region(args: &Args) -> Result<RegionReader, Failure> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let opened =
            region::newest(&args.region_dir).and_then(|path| RegionReader::open(&path).map_err(Failure::input));
        match opened {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}

fn print(view: &View<'_>, args: &Args, lines_drawn: usize) -> io::Result<usize> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", view.json())?;
        return Ok(0);
    }
    let mut text = Vec::new();
    view.write(&mut text)?;
    if lines_drawn > 0 && out.is_terminal() {
        // Up over what was drawn, and clear to the end: the table stays in place, and above it the scrollback is intact.
        write!(out, "\x1b[{lines_drawn}A\x1b[J")?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count())
}

/// Two snapshots and what lies between them.
struct View<'a> {
    earlier: &'a Snapshot,
    latest: &'a Snapshot,
    seconds: f64,
    liveness: Liveness,
}

impl View<'_> {
    fn now(&self, metric: &quantumflow_region::Metric, labels: &[(&str, &str)]) -> u64 {
        self.latest.total(metric.name, labels) as u64
    }

    fn rate(&self, metric: &quantumflow_region::Metric, labels: &[(&str, &str)]) -> f64 {
        let before = self.earlier.total(metric.name, labels) as u64;
        self.now(metric, labels).saturating_sub(before) as f64 / self.seconds
    }

    fn gauge(&self, metric: &quantumflow_region::Metric, labels: &[(&str, &str)]) -> f64 {
        self.latest
            .find(metric.name, labels)
            .and_then(|series| series.value.as_f64())
            .unwrap_or(f64::NAN)
    }

    /// Exchange and symbol of every book.
    fn books(&self) -> Vec<(&str, &str)> {
        let family = self.latest.family(catalogue::BOOK_QUALITY.name);
        family
            .filter_map(|series| Some((series.meta.label("exchange")?, series.meta.label("symbol")?)))
            .collect()
    }

    fn quality(&self, labels: &[(&str, &str)]) -> &'static str {
        let state = self.gauge(&catalogue::BOOK_QUALITY, labels);
        catalogue::QUALITIES.get(state as usize).copied().unwrap_or("?")
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.liveness.is_running() {
            writeln!(out, "engine {}: what follows is its last word\n", self.liveness.name())?;
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
            let Some(histogram) = self
                .latest
                .histogram(catalogue::STAGE_LATENCY.name, &[("stage", stage)])
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
                "{exchange:<9} {symbol:<13} {quality:<12} {:>10} {:>15} {:>11} {:>10} {:>5} {:>8}",
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

    fn json(&self) -> serde_json::Value {
        let stages: serde_json::Map<_, _> = catalogue::STAGES.iter().filter_map(|stage| {
            let histogram = self.latest.histogram(catalogue::STAGE_LATENCY.name, &[("stage", stage)])?;
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
            "engine": self.liveness.name(),
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
