//! `quantumflow check`: says what is wrong with a configuration, without starting anything.

use std::io::Write;
use std::path::PathBuf;

use super::{Failure, Outcome};
use crate::config;
use crate::model::ModelSet;

/// Check a configuration without starting anything, or print the default one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quantumflow check --print-default > engine.toml && quantumflow check engine.toml")]
pub(super) struct Args {
    /// The configuration to check
    #[arg(required_unless_present = "print_default")]
    config: Option<PathBuf>,
    /// Print the default configuration: every setting, its meaning and its default
    #[arg(long)]
    print_default: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut out = std::io::stdout().lock();
    if args.print_default {
        return Ok(out.write_all(config::DEFAULT_TOML.as_bytes())?);
    }
    let Some(path) = &args.config else { return Ok(()) };
    let config = config::load(path).map_err(Failure::input)?;
    let models = ModelSet::load(&config.model).map_err(Failure::input)?;
    writeln!(out, "{}: good", path.display())?;
    for (place, model) in models.all().enumerate() {
        let contract = model.contract();
        writeln!(
            out,
            "  {} {} ({} features, hash {:016x}; {})",
            if place == 0 { "model " } else { "shadow" },
            contract.name,
            contract.features.len(),
            model.hash(),
            model.judgement()
        )?;
    }
    for feed in &config.feeds {
        writeln!(
            out,
            "  feed   {} {} at {}",
            feed.venue,
            feed.symbols.join(" "),
            feed.url
        )?;
        if let Some(path) = &feed.ca_file {
            std::fs::metadata(path)
                .map_err(|error| Failure::input(format!("feed ca_file {}: {error}", path.display())))?;
        }
    }
    Ok(())
}
