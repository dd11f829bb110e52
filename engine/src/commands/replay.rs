//! `quantumflow replay`: a capture through the engine's own code.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use quantumflow_feeds::VenueId;
use quantumflow_region::catalogue;
use serde_json::json;

use super::sim::{Speed, parse_speed};
use super::{Failure, Outcome, parse_venue};
use crate::config::ModelSource;
use crate::hot::{Output, Prediction};
use crate::model;
use crate::replay::ReplayPlan;

/// Run a capture through the same code as a live session and print what came out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow replay --venue binance --symbol BTCUSDT day1.gz day2.gz
  quantumflow replay --venue kraken --symbol BTC/USD --depth 25 --predictions out.jsonl capture.zst")]
pub(super) struct Args {
    /// The files of one feed, joined in this order (plain, .gz or .zst)
    #[arg(required = true)]
    capture: Vec<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    /// The model: an ONNX file, or one that is compiled in: builtin:logistic_v1, mlp_v1, lstm_v1, tcn_v1, gbdt_v1, ensemble_v1
    #[arg(long, default_value = "builtin:mlp_v1")]
    model: String,
    /// Pace: 1 as recorded, any factor, or max
    #[arg(long, default_value = "max", value_parser = parse_speed)]
    speed: Speed,
    /// Write every prediction to this file, one JSON object a line
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What a session must be told about a capture.
#[derive(Debug, clap::Args)]
pub(super) struct SessionArgs {
    /// Whose protocol, by the name that a configuration uses
    #[arg(long, value_parser = parse_venue)]
    pub(super) venue: VenueId,
    /// An instrument, in the venue's spelling (repeatable)
    #[arg(long, required = true)]
    pub(super) symbol: Vec<String>,
    /// Levels per side, as they were subscribed
    #[arg(long)]
    pub(super) depth: Option<u32>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let source = ModelSource::from(args.model.as_str());
    let model = model::load_source(&source).map_err(Failure::input)?;
    let plan = ReplayPlan {
        paths: args.capture.clone(),
        venue: args.session.venue,
        symbols: args.session.symbol.clone(),
        depth: args.session.depth,
        speed: match args.speed {
            Speed::Times(factor) => Some(factor),
            Speed::Max => None,
        },
        signal_threshold: 0.5,
    };
    let file = match &args.predictions {
        Some(path) => {
            let file = File::create(path).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
            Some(BufWriter::new(file))
        }
        None => None,
    };
    let started = Instant::now();
    let (lines, replayed) = plan
        .run(Some(&model), Lines { file, failed: None })
        .map_err(Failure::input)?;
    let seconds = started.elapsed().as_secs_f64();
    lines.finish()?;

    let total = |metric: &quantumflow_region::Metric| replayed.counted.total(metric.name, &[]) as u64;
    let of_class = |class| {
        replayed
            .counted
            .total(catalogue::PREDICTIONS.name, &[("prediction_class", class)]) as u64
    };
    let classes = catalogue::CLASSES.map(of_class);
    let mut out = std::io::stdout().lock();
    if args.json {
        let [down, flat, up] = classes;
        let summary = json!({
            "frames": replayed.capture.frames, "snapshots": replayed.capture.snapshots, "seconds": seconds,
            "book_updates": total(&catalogue::PRICE_UPDATES), "trades": total(&catalogue::TRADES_RECEIVED),
            "gaps": total(&catalogue::BOOK_GAPS), "resyncs": total(&catalogue::BOOK_RESYNCS),
            "checksums_verified": total(&catalogue::BOOK_CHECKSUMS_VERIFIED),
            "checksum_failures": total(&catalogue::BOOK_CHECKSUM_FAILURES),
            "top_agreements": total(&catalogue::BOOK_TOP_AGREEMENTS),
            "top_disagreements": total(&catalogue::BOOK_TOP_DISAGREEMENTS),
            "rows_beyond_horizon": total(&catalogue::FEATURES_BEYOND_HORIZON),
            "predictions": { "down": down, "flat": flat, "up": up },
        });
        return Ok(writeln!(out, "{summary:#}")?);
    }
    let frames = replayed.capture.frames;
    writeln!(
        out,
        "{frames} frames in {seconds:.2} s ({:.0} a second)",
        frames as f64 / seconds
    )?;
    writeln!(
        out,
        "books        {} updates, {} trades",
        total(&catalogue::PRICE_UPDATES),
        total(&catalogue::TRADES_RECEIVED)
    )?;
    writeln!(
        out,
        "trust        {} gaps, {} resyncs",
        total(&catalogue::BOOK_GAPS),
        total(&catalogue::BOOK_RESYNCS)
    )?;
    writeln!(
        out,
        "             {} checksums right, {} wrong; best bid and ask {} times right, {} times wrong",
        total(&catalogue::BOOK_CHECKSUMS_VERIFIED),
        total(&catalogue::BOOK_CHECKSUM_FAILURES),
        total(&catalogue::BOOK_TOP_AGREEMENTS),
        total(&catalogue::BOOK_TOP_DISAGREEMENTS),
    )?;
    match total(&catalogue::FEATURES_BEYOND_HORIZON) {
        0 => {}
        rows => writeln!(
            out,
            "             {rows} feature rows looked further into a book than it is known"
        )?,
    }
    let [down, flat, up] = classes;
    Ok(writeln!(out, "predictions  down {down}, flat {flat}, up {up}")?)
}

/// Predictions as JSON lines. An error is kept until the end: an output cannot fail.
struct Lines {
    file: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
}

impl Lines {
    fn finish(self) -> Outcome {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        if let Some(mut file) = self.file {
            file.flush()?;
        }
        Ok(())
    }
}

impl Output for Lines {
    fn publish(&mut self, prediction: &Prediction<'_>) {
        let (Some(file), None) = (&mut self.file, &self.failed) else {
            return;
        };
        let update = prediction.update;
        let line = json!({
            "exchange_time_ns": update.exchange_time.0, "update_id": update.update_id,
            "symbol": update.instrument.symbol, "quality": update.quality.name(),
            "beyond_horizon": prediction.beyond_horizon,
            "class": prediction.model.class.name(), "signal": prediction.signal.name(),
            "confidence": prediction.model.confidence, "probabilities": prediction.model.probabilities,
        });
        self.failed = writeln!(file, "{line}").err();
    }
}
