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

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use flate2::read::MultiGzDecoder;
use quantumflow::features::FeatureTable;
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{Stamps, UnixNanos, VenueId};

/// Writes a feature table for training.
#[derive(Parser)]
struct Arguments {
    /// `binance` or `kraken`.
    #[arg(long, default_value = "binance")]
    venue: String,
    /// The instrument in the venue's spelling, as BTCUSDT or BTC/USD.
    #[arg(long)]
    symbol: String,
    /// Recorded sessions that belong together, in order: lines of `<receive time, ns> <frame>`, gzip where the name ends in `.gz`. Without one, a market is generated.
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
    let mut replay = Replay {
        session: Session::new(&session)?,
        outbox: Outbox::default(),
        table: FeatureTable::new(BufWriter::new(File::create(&arguments.table)?), &arguments.symbol)?,
        partial: Vec::new(),
        open: false,
        lines: 0,
    };
    if arguments.capture.is_empty() {
        let length = CaptureLength::Seconds(arguments.seconds);
        let mut config = CaptureConfig::new(venue, &[&arguments.symbol], arguments.seed, length);
        config.depth_interval_ms = arguments.interval_ms;
        config.market.signal = arguments.signal;
        if let Some(depth) = arguments.depth {
            config.depth = depth as usize;
        }
        market_capture(&config, &mut replay)?;
    }
    for path in &arguments.capture {
        let file = File::open(path).map_err(|error| format!("open {}: {error}", path.display()))?;
        let mut reader: Box<dyn BufRead> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(BufReader::new(MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        };
        io::copy(&mut reader, &mut replay).map_err(|error| format!("read {}: {error}", path.display()))?;
    }
    let lines = replay.lines;
    let summary = replay.table.finish()?;
    println!(
        "{}: {} rows from {} book updates and {} trades in {} lines, {} segments",
        arguments.table.display(),
        summary.rows,
        summary.updates,
        summary.trades,
        lines,
        summary.segments
    );
    Ok(())
}

/// Takes the bytes of a capture and lets its frames into a session.
struct Replay<W> {
    session: Session,
    outbox: Outbox,
    table: FeatureTable<W>,
    partial: Vec<u8>,
    open: bool,
    lines: u64,
}

impl<W: Write> Replay<W> {
    fn line(&mut self, line: &[u8]) {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else {
            return;
        };
        let Ok(time) = std::str::from_utf8(&line[..space]).unwrap_or_default().parse() else {
            return;
        };
        let receive_time = UnixNanos(time);
        let frame = &line[space + 1..];
        if !self.open {
            self.open = true;
            self.session.on_open(receive_time, &mut self.table, &mut self.outbox);
        }
        let mut stamps = Stamps {
            receive_time,
            ..Stamps::default()
        };
        self.lines += 1;
        // A REST book stands among the frames; those of the stream are wrapped in their stream's name.
        let waits = self
            .session
            .awaits_snapshot()
            .filter(|_| frame.starts_with(b"{\"lastUpdateId\""));
        match waits {
            Some(symbol) => {
                self.session.on_snapshot(
                    symbol,
                    Ok(frame),
                    &mut stamps,
                    NoClock,
                    &mut self.table,
                    &mut self.outbox,
                );
            }
            None if std::str::from_utf8(frame).is_ok() => {
                self.session
                    .on_frame(frame, &mut stamps, NoClock, &mut self.table, &mut self.outbox);
            }
            None => {}
        }
        self.outbox.clear();
    }
}

impl<W: Write> Write for Replay<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.last() == Some(&b'\n') {
                let mut line = std::mem::take(&mut self.partial);
                if line[0] != b'#' {
                    self.line(line.trim_ascii_end());
                }
                line.clear();
                self.partial = line;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
