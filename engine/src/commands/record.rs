//! `quantumflow record`: what a venue sends, as capture files, without features or a model.
//!
//! The books are kept all the same: a recording that could not be replayed without a gap is found out while it is made.

use std::path::PathBuf;

use super::run::Process;
use super::{Failure, Outcome};
use crate::{config, log};

/// Write what a venue sends to capture files, without features or a model.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quantumflow record engine.toml --dir captures")]
pub(super) struct Args {
    /// The configuration; its feeds are what is recorded
    config: PathBuf,
    /// Where the captures go; the configuration's capture.dir if not given
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut config = config::load(&args.config).map_err(Failure::input)?;
    if let Some(dir) = &args.dir {
        let buffer_bytes = config.capture.as_ref().map_or(32 << 20, |capture| capture.buffer_bytes);
        config.capture = Some(config::CaptureConfig {
            dir: dir.clone(),
            buffer_bytes,
        });
    }
    let Some(capture) = &config.capture else {
        return Err(Failure::input(
            "nowhere to write to: give --dir, or set capture.dir in the configuration",
        ));
    };
    std::fs::create_dir_all(&capture.dir)
        .map_err(|error| Failure::input(format!("{}: {error}", capture.dir.display())))?;
    log::start(&config.log).map_err(|error| Failure::input(format!("cannot open the log: {error}")))?;
    Process::start(&config)?.work(&config, None, ())
}
