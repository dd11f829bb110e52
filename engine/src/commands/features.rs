//! `quantumflow features`: what the engine's own features are on a capture, for training.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use quantumflow_feeds::capture::{CaptureReader, replay, unpaced};

use super::replay::SessionArgs;
use super::{Failure, Outcome};
use crate::features::registry::FEATURES;
use crate::features::{Feature, FeatureDef, FeatureTable};
use crate::replay::ReplayPlan;

/// Write the features that the engine computes on a capture as CSV, for training.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: quantumflow features --venue binance --symbol BTCUSDT --out features.csv day1.gz day2.gz

Columns: exchange_time_ns, update_id, segment, bid, ask, beyond_horizon (1 where features looked further into the book than
it is known), then one per feature, headed name:version. Rows begin once all features of the table are warm.")]
pub(super) struct Args {
    /// The files of one feed, joined in this order (plain, .gz or .zst)
    #[arg(required = true)]
    capture: Vec<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    /// The features, by name, separated by commas; all that there are if not given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    features: Vec<String>,
    /// The CSV file; standard output if not given
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let [symbol] = args.session.symbol.as_slice() else {
        return Err(Failure::input("a table is of one instrument: give --symbol once"));
    };
    let plan = ReplayPlan {
        paths: args.capture.clone(),
        venue: args.session.venue,
        symbols: args.session.symbol.clone(),
        depth: args.session.depth,
        speed: None,
        signal_threshold: 0.0,
    };
    let features = features_of(&args.features).map_err(Failure::input)?;
    let out: Box<dyn Write> = match &args.out {
        Some(path) => {
            Box::new(File::create(path).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?)
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut table = FeatureTable::of(BufWriter::new(out), symbol, features).map_err(Failure::running)?;
    let mut session = plan.session().map_err(Failure::input)?;
    let mut reader = CaptureReader::open(&plan.paths).map_err(Failure::input)?;
    let read = replay(&mut reader, &mut session, &mut table, unpaced).map_err(Failure::input)?;
    let summary = table.finish().map_err(Failure::running)?;
    eprintln!(
        "{} frames, {} book updates, {} rows in {} pieces, {} of them looked further than the book is known",
        read.frames, summary.updates, summary.rows, summary.segments, summary.rows_beyond_horizon
    );
    Ok(())
}

fn features_of(names: &[String]) -> Result<Vec<Feature>, String> {
    if names.is_empty() {
        return Ok(FEATURES.iter().map(|def| def.feature).collect());
    }
    let named = |name: &String| Feature::from_name(name).ok_or_else(|| unknown(name));
    names.iter().map(named).collect()
}

fn unknown(name: &str) -> String {
    let distance = |def: &&FeatureDef| strsim::damerau_levenshtein(def.name, name);
    let nearest = FEATURES.iter().min_by_key(distance).map_or("", |def| def.name);
    format!(
        "there is no feature `{}` (nearest name: `{nearest}`)",
        name.escape_debug()
    )
}
