//! `quantumflow region`: what a metrics region says, of a running engine or a dead one.
//!
//! Every action prints text for people, or JSON with `--json`. What a file claims and this program does not know (a later
//! format, an unknown section, an unknown event) is said, not passed over.

mod diff;
mod dump;
mod filter;
mod header;
mod json;
mod list;
mod show;
mod watch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quantumflow_region::{ReadError, RegionReader};

use crate::{Error, engines};
use filter::Filter;
pub(crate) use show::{in_order as events_in_order, in_words as event_in_words};

/// Read a metrics region, of a running engine or a dead one.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where the regions live
    #[arg(long, global = true, default_value = quantumflow_region::directory::DEFAULT_DIR)]
    region_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

const HELP: &str = "\
Examples:
  quantumflow region                      the regions of the default directory
  quantumflow region show                 the newest: who, how, where its threads are
  quantumflow region dump x.met.dead      every series and event of a dead one, too
  quantumflow region dump --metric gaps --label symbol=BTCUSDT
  quantumflow region diff --seconds 10    what moves in the newest in ten seconds
  quantumflow region diff a.met b.met     what is different between two files
  quantumflow region watch --metric gaps  what there is of it, once a second";

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// List the regions of the directory, newest first
    List,
    /// Who wrote it, how it is, where its threads were, its last events
    Show(FileArgs),
    /// The same, and every series
    Dump(DumpArgs),
    /// What changed between two files, or within some seconds in one
    Diff(DiffArgs),
    /// The series that pass a filter again and again, or without one what moves
    Watch(WatchArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct FileArgs {
    /// The file; the newest region of the directory if not given
    file: Option<PathBuf>,
    /// How many of the last events to print
    #[arg(long, default_value_t = 20, value_name = "N")]
    events: usize,
}

#[derive(Clone, Debug, clap::Args)]
struct DumpArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Debug, clap::Args)]
struct DiffArgs {
    /// The earlier file, or the only one; the newest region of the directory if not given
    before: Option<PathBuf>,
    /// The later file
    after: Option<PathBuf>,
    /// Time between two looks at one file
    #[arg(long, default_value_t = 1.0, value_parser = seconds, conflicts_with = "after")]
    seconds: f64,
    /// Also what did not change
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Debug, clap::Args)]
struct WatchArgs {
    /// The file; the newest region of the directory if not given
    file: Option<PathBuf>,
    /// Time between two looks
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
    /// End after so many looks
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Without a filter, too, what does not move
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

/// At least a tenth, because a look makes the engine's cores fetch back what was read; at most a day.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("from 0.1 to 86400 seconds".to_owned())
    }
}

/// Does what the command line asks, to standard output.
pub fn run(args: &Args) -> Result<(), Error> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    run_to(args, out)?;
    Ok(out.flush()?)
}

fn run_to(args: &Args, out: &mut impl Write) -> Result<(), Error> {
    let (dir, json) = (&*args.region_dir, args.json);
    match args.action.as_ref().unwrap_or(&Action::List) {
        Action::List => list::run(dir, json, out),
        Action::Show(args) => dump::run(dir, args, None, json, out),
        Action::Dump(args) => dump::run(dir, &args.file, Some(&args.filter), json, out),
        Action::Diff(args) => diff::run(dir, args, json, out),
        Action::Watch(args) => watch::run(dir, args, json, out),
    }
}

/// The file that was named, or the newest of the directory.
fn chosen(dir: &Path, file: Option<&PathBuf>) -> Result<PathBuf, Error> {
    file.map_or_else(|| engines::newest(dir), |file| Ok(file.clone()))
}

fn open(dir: &Path, file: Option<&PathBuf>) -> Result<RegionReader, Error> {
    Ok(RegionReader::open(&chosen(dir, file)?)?)
}

/// Whether the error says that the file is of a format that this program does not know, rather than broken.
fn is_foreign(error: &ReadError) -> bool {
    use quantumflow_region::FormatError::{Incompatible, Version};
    matches!(
        error,
        ReadError::Format {
            source: Version { .. } | Incompatible(_),
            ..
        }
    )
}
