//! Writes the feature table that training reads, from a generated market or from a recorded session.
//!
//! ```text
//! cargo run --release -p quantumflow --example training_data -- \
//!     --venue binance --symbol BTCUSDT --seed 7 --seconds 3600 table.csv
//! cargo run --release -p quantumflow --example training_data -- \
//!     --venue binance --symbol BTCUSDT --capture session.gz table.csv
//! ```
//!
//! The market is generated as frames of the venue and goes through the venue's own session, so that what a model is
//! trained on has passed every line of code that it will meet in service.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use clap::Parser;
use quantumflow::features::FeatureTable;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::{CaptureReader, CaptureText, replay, unpaced};
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::venue::{Session, SessionConfig};

/// Writes a feature table for training.
#[derive(Parser)]
struct Arguments {
    /// `binance` or `kraken`.
    #[arg(long, default_value = "binance")]
    venue: String,
    /// The instrument in the venue's spelling, as BTCUSDT or BTC/USD.
    #[arg(long)]
    symbol: String,
    /// Recorded sessions that belong together, in order. Without one, a market is generated.
    #[arg(long)]
    capture: Vec<PathBuf>,
    /// Of the generated market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of the generated market, in its own time.
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Binance: milliseconds between book messages (100 or 1000), 0 for one per event.
    #[arg(long, default_value_t = 100)]
    interval_ms: u64,
    /// Levels of the venue's subscription or snapshot.
    #[arg(long)]
    depth: Option<u32>,
    /// How strongly order flow leads the price in the generated market; 0 is a market with nothing to learn.
    #[arg(long, default_value_t = 1.0)]
    signal: f64,
    /// Where to write.
    table: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let venue = VenueId::from_name(&arguments.venue).ok_or_else(|| format!("unknown venue {}", arguments.venue))?;
    let mut session = SessionConfig::new(venue, [&arguments.symbol]);
    if let Some(depth) = arguments.depth {
        session.depth = depth;
    }
    let mut session = Session::new(&session)?;
    let generated = arguments.table.with_extension("capture.zst");
    let captures = if arguments.capture.is_empty() {
        let length = CaptureLength::Seconds(arguments.seconds);
        let mut config = CaptureConfig::new(venue, &[&arguments.symbol], arguments.seed, length);
        config.depth_interval_ms = arguments.interval_ms;
        config.market.signal = arguments.signal;
        if let Some(depth) = arguments.depth {
            config.depth = depth as usize;
        }
        let mut text = CaptureText::create(&generated)?;
        market_capture(&config, &mut text)?;
        text.finish()?;
        vec![generated.clone()]
    } else {
        arguments.capture
    };
    let mut table = FeatureTable::new(BufWriter::new(File::create(&arguments.table)?), &arguments.symbol)?;
    let read = replay(&mut CaptureReader::open(&captures)?, &mut session, &mut table, unpaced)?;
    let summary = table.finish()?;
    if captures == [generated.as_path()] {
        fs::remove_file(generated)?;
    }
    println!(
        "{}: {} rows from {} book updates and {} trades in {} frames, {} segments",
        arguments.table.display(),
        summary.rows,
        summary.updates,
        summary.trades,
        read.frames,
        summary.segments
    );
    Ok(())
}
