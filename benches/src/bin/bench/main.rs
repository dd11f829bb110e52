//! From a venue's socket to the book and to the signal, beside what a user would take instead, on the same bytes.
//!
//! Who asks whether this engine is fast wants to know it for their venue, with TLS, at the pace of a market and in a
//! burst, and against the libraries that they know. So each venue's messages, from a generated market or a capture, are
//! sent over loopback by a thread of its own, in an open loop: a message's clock starts when it *should* have left. All
//! engines take turns at the same bytes. What is asserted: every book ends alike. What is printed: ratios of the same run;
//! one number of nanoseconds belongs to a machine and an hour.
//!
//! scripts/bench runs it and draws the percentiles.

mod engines;
mod report;
mod run;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use quantumflow::config::ModelSource;
use quantumflow::model;
use quantumflow_benches::meter::Counting;
use quantumflow_benches::report::Machine;
use quantumflow_benches::tape::{Tape, bitcoin};
use quantumflow_feeds::VenueId;
use quantumflow_feeds::venue::SessionConfig;

use engines::ENGINES;
use report::{Case, Pace, Report};
use run::Setting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Socket to book and socket to signal, beside other libraries, in turns.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  bench --out results                                        every venue, with and without TLS
  bench --venue okx --capture okx=books.jsonl.gz --tls yes   a recording of yours, at its own pace and others")]
struct Args {
    /// Venues; all if not given.
    #[arg(long, value_delimiter = ',')]
    venue: Vec<String>,
    /// A capture instead of the generated market, VENUE=FILE (repeatable; joined in order).
    #[arg(long, value_parser = capture)]
    capture: Vec<(String, PathBuf)>,
    /// The instrument of the captures, as the venue spells it; BTC against dollars if not given.
    #[arg(long)]
    symbol: Option<String>,
    /// With TLS, without, or both.
    #[arg(long, value_enum, default_value = "both")]
    tls: Tls,
    /// Messages per second of the runs at a fixed rate.
    #[arg(long, value_delimiter = ',', default_values_t = [5_000])]
    rate: Vec<u32>,
    /// Length of each run.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Turns of each engine.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The model of the runs to the signal: a built-in name.
    #[arg(long, default_value = "mlp_v1")]
    model: String,
    /// Processor of the receiver, then that of the sender.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 0])]
    cores: Vec<usize>,
    /// Seed of the generated markets.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Write results.json and a latency log (.hlog) for each venue here, and compare with the results.json that lies there.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    Yes,
    No,
    Both,
}

fn capture(text: &str) -> Result<(String, PathBuf), String> {
    let (venue, path) = text.split_once('=').ok_or("write VENUE=FILE")?;
    Ok((venue.to_owned(), path.into()))
}

/// Messages of a tape at the least.
const FRAMES_MIN: usize = 4_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let model = model::load_source(&ModelSource::Builtin(args.model.clone()))?;
    let before = args
        .out
        .as_deref()
        .and_then(|folder| fs::read(folder.join(RESULTS)).ok());
    let before: Option<Report> = before.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut report = Report {
        machine: Some(Machine::read()),
        seconds: args.seconds,
        rounds: args.rounds,
        cases: Vec::new(),
    };
    for venue in venues(&args)? {
        let tape = Arc::new(tape(&args, venue)?);
        eprintln!(
            "{venue}: {} messages of {} bytes, {} of the book",
            tape.measured(),
            tape.bytes.len() / tape.ends.len().max(1),
            tape.is_book[tape.prelude..].iter().filter(|is_book| **is_book).count()
        );
        let mut cases = Vec::new();
        for tls in [false, true] {
            if args.tls == if tls { Tls::No } else { Tls::Yes } {
                continue;
            }
            let setting = Setting {
                tape: Arc::clone(&tape),
                model: Arc::clone(&model),
                tls,
                receiver_core: args.cores.first().copied(),
                sender_core: args.cores.get(1).copied(),
            };
            for pace in paces(&args) {
                cases.push(Case::of(&setting, &pace, args.rounds)?);
            }
        }
        for case in &cases {
            case.print(before.as_ref());
        }
        if let Some(folder) = &args.out {
            fs::create_dir_all(folder)?;
            report::write_log(&folder.join(format!("{venue}.hlog")), &cases)?;
        }
        report.cases.extend(cases);
    }
    report.print_summary();
    if let Some(folder) = &args.out {
        save(folder, &report)?;
    }
    Ok(())
}

const RESULTS: &str = "results.json";

fn save(folder: &Path, report: &Report) -> Result<(), Box<dyn Error>> {
    let path = folder.join(RESULTS);
    fs::write(&path, serde_json::to_vec_pretty(report)?)?;
    println!("\nresults in {}", path.display());
    Ok(())
}

fn venues(args: &Args) -> Result<Vec<VenueId>, String> {
    if args.venue.is_empty() {
        return Ok(VenueId::ALL.to_vec());
    }
    let venue = |name: &String| {
        let names = VenueId::ALL.map(VenueId::name).join(", ");
        VenueId::from_name(name).ok_or_else(|| format!("no venue `{name}`; there are {names}"))
    };
    args.venue.iter().map(venue).collect()
}

fn tape(args: &Args, venue: VenueId) -> Result<Tape, Box<dyn Error>> {
    let fastest = args.rate.iter().copied().max().unwrap_or(0);
    let frames = ((f64::from(fastest) * args.seconds) as usize).max(FRAMES_MIN);
    let captures = args.capture.iter().filter(|(name, _)| name == venue.name());
    let paths: Vec<PathBuf> = captures.map(|(_, path)| path.clone()).collect();
    if paths.is_empty() {
        return Tape::of_market(venue, args.seed, frames);
    }
    let symbol = args.symbol.as_deref().unwrap_or(bitcoin(venue));
    Tape::of_capture(SessionConfig::new(venue, [symbol]), paths, frames)
}

/// Its own pace, fixed ones, and bursts.
fn paces(args: &Args) -> Vec<Pace> {
    let length = Duration::from_secs_f64(args.seconds);
    let mut paces = vec![Pace::Own(length)];
    paces.extend(args.rate.iter().map(|rate| Pace::Rate(*rate, length)));
    paces.push(Pace::Bursts);
    paces
}

/// Ours, to the book: what the others are compared with.
const OURS: usize = ENGINES.len() - 2;
