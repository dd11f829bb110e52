//! `quantumflow models explain`: what a model looks at, what it predicts, and how it is run.

use std::io::Write;

use serde_json::json;

use super::super::{Failure, Outcome};
use super::{Files, in_short, label, load, of_model};
use crate::features::{Feature, warm_up_of};
use crate::model::Model;
use crate::model::plan::StepSummary;

pub(super) fn run(files: &Files) -> Outcome {
    let mut out = std::io::stdout().lock();
    for name in &files.models {
        let model = load(name).map_err(Failure::input)?;
        if files.json {
            writeln!(out, "{}", as_json(name, &model))?;
        } else {
            write!(out, "{}", in_words(name, &model))?;
        }
    }
    Ok(())
}

fn in_words(name: &str, model: &Model) -> String {
    let contract = model.contract();
    let mut text = format!("{name}: {}\n", in_short(model));
    let mut line = |part: String| {
        text.push_str(&part);
        text.push('\n');
    };
    line(format!("  hash       {:016x}", model.hash()));
    line(format!("  checked    {}", model.judgement()));
    line(format!("  predicts   {}", label(contract)));
    let warm_up = usize::from(warm_up_of(model.features())) + contract.window - 1;
    line(format!("  speaks     after {warm_up} updates of a book in one piece"));
    for (key, value) in &contract.training {
        line(format!("  training   {key}: {value}"));
    }
    let steps = model.plan().describe();
    let weights: usize = steps.iter().map(|step| step.weights).sum();
    line(format!(
        "  runs       {} steps, {weights} parameters, {} bytes for each instrument:",
        steps.len(),
        model.plan().memory_bytes()
    ));
    for step in &steps {
        line(format!("    {:<8} {:<44} {}", step.kernel, step.detail, amount(step)));
    }
    line(format!(
        "  looks at   (value - mean) / scale, kept within {:.4}, of these, at {} {}:",
        contract.clip,
        contract.window,
        if contract.window == 1 { "row" } else { "rows" }
    ));
    line(format!(
        "    {:<28} {:>12} {:>12} {:>8}  unit",
        "feature", "mean", "scale", "warm-up"
    ));
    for (column, feature) in contract.features.iter().zip(model.features()) {
        let def = feature.def();
        line(format!(
            "    {:<28} {:>12.6} {:>12.6} {:>8}  {}",
            format!("{}:{}", column.name, column.version),
            column.mean,
            column.scale,
            def.warm_up_updates,
            def.unit
        ));
    }
    text
}

/// How much is done for a prediction: for the first of a window, and for the next ones where they need less.
fn amount(step: &StepSummary) -> String {
    match step.slide < step.alone {
        true => format!("{} {}, {} with each further row", step.alone, step.unit, step.slide),
        false => format!("{} {}", step.alone, step.unit),
    }
}

fn as_json(name: &str, model: &Model) -> serde_json::Value {
    let contract = model.contract();
    let columns = contract.features.iter().zip(model.features().map(Feature::def));
    let columns: Vec<_> = columns
        .map(|(column, def)| {
            json!({
                "name": column.name, "version": column.version, "mean": column.mean, "scale": column.scale,
                "unit": def.unit, "warm_up_updates": def.warm_up_updates,
            })
        })
        .collect();
    let mut value = of_model(name, model);
    value["columns"] = json!(columns);
    value["clip"] = json!(contract.clip);
    value["label"] = json!(label(contract));
    value["memory_bytes"] = json!(model.plan().memory_bytes());
    let steps = model.plan().describe().into_iter().map(|step| {
        json!({
            "kernel": step.kernel, "detail": step.detail, "unit": step.unit, "alone": step.alone,
            "slide": step.slide, "weights": step.weights,
        })
    });
    value["steps"] = steps.collect();
    value
}
