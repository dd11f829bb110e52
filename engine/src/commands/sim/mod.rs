//! `quantumflow sim`: a venue on this machine.

mod trouble;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::CaptureText;
use quantumflow_feeds::sim::{
    CaptureConfig, CaptureLength, FaultKind, LoadShape, MessageKind, PlaybackPace, SimConfig, SimSource, SimStats,
    SimTls, Simulator, market_capture,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Failure, Outcome, parse_venue};
use trouble::TroubleArgs;

/// Be a venue: speak its real protocol on a local address, from a recording or a generated market.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow sim --venue kraken --rate 2000            a generated market over ws://, port chosen and printed
  quantumflow sim --venue binance --tls --ca-out ca.pem --capture btcusdt.gz --speed max
  quantumflow sim --venue kraken --chaos 5 --chaos-seed 7   five faults in a thousand messages; the same seed, the same faults
  quantumflow sim --write-capture market.zst --seconds 3600 --seed 7    no sockets: a capture of the generated market")]
pub(super) struct Args {
    /// Whose protocol, by the name that a configuration uses
    #[arg(long, value_parser = parse_venue, default_value = "binance")]
    venue: VenueId,
    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Speak TLS, with a certificate for localhost that is made on the spot
    #[arg(long)]
    tls: bool,
    /// Write the authority of that certificate here, for the client's ca_file
    #[arg(long, requires = "tls")]
    ca_out: Option<PathBuf>,
    /// Play this recording (repeatable; joined in order) instead of the generated market
    #[arg(long)]
    capture: Vec<PathBuf>,
    /// Pace of a recording or of the market's own times: 1, any factor, or max
    #[arg(long, default_value = "1", value_parser = parse_speed)]
    speed: Speed,
    /// Messages per second of the generated market, instead of its own times
    #[arg(long, conflicts_with = "capture")]
    rate: Option<f64>,
    /// Instruments of the generated market (repeatable); two well-known ones if not given
    #[arg(long)]
    symbol: Vec<String>,
    /// Seed of the generated market: the same seed, the same market
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How strongly order flow leads the price in the generated market; 0 leaves nothing to learn
    #[arg(long, default_value_t = 1.0, conflicts_with = "capture")]
    signal: f64,
    /// Levels per side of a written capture, where the venue has a choice
    #[arg(long, requires = "write_capture")]
    depth: Option<usize>,
    /// End after so many seconds (of the market's own time with --write-capture)
    #[arg(long)]
    seconds: Option<f64>,
    /// Write the generated market into this capture file instead of serving it; needs --seconds
    #[arg(long, requires = "seconds", conflicts_with_all = ["capture", "rate", "tls"])]
    write_capture: Option<PathBuf>,
    /// Binance, Bybit and OKX: milliseconds between two book updates; 0 sends every event by itself
    #[arg(long)]
    depth_interval_ms: Option<u64>,
    #[command(flatten)]
    trouble: TroubleArgs,
}

/// How fast recorded time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Speed {
    /// So many times faster than it was.
    Times(f64),
    /// As fast as it goes.
    Max,
}

pub(super) fn parse_speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed::Max),
        _ => match text.trim_end_matches('x').parse::<f64>() {
            Ok(factor) if factor > 0.0 && factor.is_finite() => Ok(Speed::Times(factor)),
            _ => Err("a factor above zero, or max".to_owned()),
        },
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    if let Some(path) = &args.write_capture {
        return write_capture(args, path);
    }
    let mut sim = Simulator::start(config(args)?).map_err(Failure::input)?;
    if let Some(path) = &args.ca_out {
        let pem = sim.authority_pem().unwrap_or_default();
        fs::write(path, pem).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    }
    writeln!(std::io::stdout(), "listening on {}", sim.ws_url())?;
    if !args.listen.ip().is_loopback() {
        eprintln!(
            "quantumflow: {} can be reached from other machines; this is a test tool",
            args.listen
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let deadline = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    while !stop.load(Ordering::Relaxed) && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        thread::sleep(Duration::from_millis(20));
    }
    summary(&sim.stop())
}

fn config(args: &Args) -> Result<SimConfig, Failure> {
    let mut config = if args.capture.is_empty() {
        let mut config = SimConfig::market(args.venue, &symbols(args), args.seed);
        if let SimSource::Market { load, market } = &mut config.source {
            market.signal = args.signal;
            let asked = args.trouble.load(args.seed).map_err(Failure::input)?;
            *load = asked.unwrap_or(match (args.rate, args.speed) {
                (Some(rate), _) => LoadShape::Steady { rate },
                (None, Speed::Times(speed)) => LoadShape::Natural { speed },
                (None, Speed::Max) => LoadShape::Flood,
            });
        }
        config
    } else {
        let mut config = SimConfig::playback(args.venue, args.capture.clone());
        if let SimSource::Playback { pace, .. } = &mut config.source {
            *pace = match args.speed {
                Speed::Times(speed) => PlaybackPace::Recorded { speed },
                Speed::Max => PlaybackPace::Flood,
            };
        }
        config
    };
    config.bind = args.listen;
    config.depth_interval_ms = args.depth_interval_ms;
    if args.tls {
        config.tls = SimTls::Own;
    }
    args.trouble.apply(&mut config).map_err(Failure::input)?;
    Ok(config)
}

/// What was sent, for whoever compares it with what an engine has counted.
fn summary(stats: &SimStats) -> Outcome {
    let mut out = std::io::stdout().lock();
    for kind in MessageKind::ALL {
        let sent = stats.sent(kind);
        if sent.messages > 0 {
            writeln!(
                out,
                "sent {:>10} {} ({} bytes)",
                sent.messages,
                kind.name(),
                sent.payload_bytes
            )?;
        }
    }
    for kind in FaultKind::ALL {
        let count = stats.faults_of(kind);
        if count > 0 {
            writeln!(out, "fault {count:>9} {}", kind.name())?;
        }
    }
    let all = stats.text_messages();
    Ok(writeln!(
        out,
        "sent {:>10} text messages ({} bytes)",
        all.messages, all.payload_bytes
    )?)
}

fn write_capture(args: &Args, path: &Path) -> Outcome {
    let length = CaptureLength::Seconds(args.seconds.unwrap_or_default());
    let mut config = CaptureConfig::new(args.venue, &symbols(args), args.seed, length);
    config.market.signal = args.signal;
    if let Some(depth) = args.depth {
        config.depth = depth;
    }
    if let Some(interval) = args.depth_interval_ms {
        config.depth_interval_ms = interval;
    }
    let mut out = CaptureText::create(path).map_err(Failure::input)?;
    let summary = market_capture(&config, &mut out).map_err(Failure::running)?;
    out.finish().map_err(Failure::running)?;
    Ok(writeln!(
        std::io::stdout(),
        "{}: {} messages, {} book updates, {} bytes before compression",
        path.display(),
        summary.messages,
        summary.book_updates,
        summary.bytes
    )?)
}

fn symbols(args: &Args) -> Vec<&str> {
    if args.symbol.is_empty() {
        args.venue.facts().symbols.to_vec()
    } else {
        args.symbol.iter().map(String::as_str).collect()
    }
}
