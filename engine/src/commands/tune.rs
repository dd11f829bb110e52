//! `quantumflow tune`: looks at the host and says what costs latency on it.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::{Failure, Outcome};
use crate::config;
use crate::tune::{self, CpuList, Host, InvalidCpuList, Target};

/// Look at the host: what costs latency here, and how to change it. Changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow tune --config engine.toml      for the engine of this configuration
  quantumflow tune --core 3 --json           for a hot thread on core 3, for programs
  scripts/tune-host --core 3                 the commands that would set what can be set now

Without --config the engine's defaults are assumed. docs/tuning.md says what each finding rests on.
The exit code is 0 whatever is found; 2 is a wrong command line, 3 a wrong configuration.")]
pub(super) struct Args {
    /// The engine's configuration: its core, how it waits, where its region lies
    #[arg(long)]
    config: Option<PathBuf>,
    /// The core of the hot thread, or of several engines, as 3 or 2-3,8; goes before the configuration's
    #[arg(long, value_name = "N", value_parser = parse_cores)]
    core: Option<CpuList>,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "settings")]
    json: bool,
    /// Print only the files that can be set now: file, present and wanted value, with tabs between; and advice after `#`
    #[arg(long)]
    settings: bool,
    /// Look at the host whose /proc, /sys, /dev and /etc are below this directory, as a container that maps its host's
    #[arg(long, default_value = "/", value_name = "DIR")]
    root: PathBuf,
}

fn parse_cores(text: &str) -> Result<CpuList, InvalidCpuList> {
    text.parse().and_then(|cores: CpuList| match cores.is_empty() {
        false => Ok(cores),
        true => Err(InvalidCpuList),
    })
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = match &args.config {
        Some(path) => config::load(path),
        None => config::default(),
    };
    let target = Target::new(&config.map_err(Failure::input)?, args.core.clone());
    let host = Host::below(&args.root);
    let findings = tune::survey(&host, &target);
    let mut out = BufWriter::new(std::io::stdout().lock());
    match (args.json, args.settings) {
        (true, _) => tune::print_json(&findings, &host, &target, &mut out)?,
        (_, true) => tune::print_settings(&findings, &mut out)?,
        _ => tune::print_table(&findings, &host, &target, &mut out)?,
    }
    Ok(out.flush()?)
}
