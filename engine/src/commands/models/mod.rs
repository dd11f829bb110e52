//! `quantumflow models`: what a model file is, whether the engine takes it, and what it costs.

mod bench;
mod explain;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, Outcome};
use crate::config::ModelSource;
use crate::features::warm_up_of;
use crate::model::{self, Contract, Judgement, LabelVariant, Model, SourceError};

/// Look at model files: are they taken, what do they look at, what do they cost.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow models check new.onnx            is it taken? Exit code 3 if not
  quantumflow models bench builtin:mlp_v1      how long does it take on this host?
  quantumflow models explain new.onnx          what does it look at, and how is it run?

A running engine takes other models over with SIGHUP: see the [model] section of `quantumflow check --print-default`.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The models that are compiled into this command
    List,
    /// Load models as the engine would, and say what is wrong with those that it refuses
    Check(Files),
    /// Time predictions of models on this host: one thread, one row after another
    Bench(bench::Args),
    /// Say what a model looks at, what it predicts, and how it is run
    Explain(Files),
}

#[derive(Debug, clap::Args)]
struct Files {
    /// ONNX files, or builtin:NAME
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::List => list(),
        Command::Check(files) => check(files),
        Command::Bench(args) => bench::run(args),
        Command::Explain(files) => explain::run(files),
    }
}

fn load(name: &str) -> Result<Arc<Model>, SourceError> {
    model::load_source(&ModelSource::from(name))
}

fn list() -> Outcome {
    let mut out = std::io::stdout().lock();
    for name in model::builtin_names() {
        let name = format!("builtin:{name}");
        let model = load(&name).map_err(Failure::input)?;
        writeln!(out, "{name:<24} {}", in_short(&model))?;
    }
    Ok(())
}

fn check(files: &Files) -> Outcome {
    let mut out = std::io::stdout().lock();
    let mut refused = None;
    for name in &files.models {
        match load(name) {
            Ok(model) if files.json => writeln!(out, "{}", of_model(name, &model))?,
            Ok(model) => {
                writeln!(out, "{name}: good")?;
                writeln!(out, "  {}", in_short(&model))?;
                writeln!(out, "  hash {:016x}, {}", model.hash(), model.judgement())?;
            }
            Err(error) => {
                if files.json {
                    writeln!(
                        out,
                        "{}",
                        json!({"model": name, "is_good": false, "errors": chain(&error)})
                    )?;
                } else {
                    writeln!(out, "{name}: refused")?;
                    for text in chain(&error) {
                        writeln!(out, "  {text}")?;
                    }
                }
                refused = Some(error);
            }
        }
    }
    match refused {
        None => Ok(()),
        Some(error) if files.models.len() == 1 => Err(Failure::input(error)),
        Some(_) => Err(Failure::input("some of these models are refused")),
    }
}

/// Name, version, what it looks at, what it predicts.
fn in_short(model: &Model) -> String {
    let contract = model.contract();
    let rows = match contract.window {
        1 => String::new(),
        window => format!(" over {window} rows"),
    };
    format!(
        "{} {}: {} features{rows}, {}",
        contract.name,
        contract.version,
        contract.features.len(),
        label(contract)
    )
}

/// What its classes mean, in words.
fn label(contract: &Contract) -> String {
    let rule = &contract.label;
    let horizon = rule.horizon_updates;
    let later = match rule.variant {
        LabelVariant::Plain => format!("the mid price {horizon} updates later"),
        LabelVariant::Fi2010 => format!("the mean mid price of the next {horizon} updates"),
        LabelVariant::Tlob => format!(
            "the mean mid price around {horizon} updates later (over {} updates, against the last {0})",
            rule.smooth_updates
        ),
    };
    format!(
        "up or down where {later} is off by more than {:.4} bps",
        rule.alpha * 1e4
    )
}

fn of_model(name: &str, model: &Model) -> Value {
    let contract = model.contract();
    let (judged, largest_difference, why_not) = match model.judgement() {
        Judgement::Confirmed { largest_difference } => (true, Some(largest_difference), None),
        Judgement::Unjudged { reason } => (false, None, Some(reason)),
    };
    json!({
        "model": name, "is_good": true, "name": contract.name, "version": contract.version,
        "hash": format!("{:016x}", model.hash()),
        "features": contract.features.len(), "window": contract.window,
        "warm_up_updates": usize::from(warm_up_of(model.features())) + contract.window - 1,
        "is_confirmed": judged, "largest_difference": largest_difference, "why_not_confirmed": why_not,
        "training": contract.training,
    })
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}
