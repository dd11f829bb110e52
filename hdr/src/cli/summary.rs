//! `quantumflow hdr summary`: percentiles per tag.

use std::io::Write;

use serde_json::{Map, Value};

use super::Error;
use super::input::Input;
use crate::distribution::Percentiles;
use crate::select::display_tag;

/// Percentiles per tag
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quantumflow hdr summary logs --tag stage=total --from 3600 --to 7200")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let tags = args.input.filter.gather(&args.input.logs, notes)?;
    let to_ns = args.input.filter.value_unit.to_ns();
    let rows: Vec<_> = tags
        .sorted()
        .into_iter()
        .map(|(tag, histogram)| (tag, Percentiles::of(histogram)))
        .collect();
    if args.json {
        let all: Map<String, Value> = rows
            .iter()
            .map(|(tag, row)| ((*tag).to_owned(), row.to_json(to_ns)))
            .collect();
        let text = serde_json::to_string_pretty(&all).map_err(Error::running)?;
        return Ok(writeln!(out, "{text}")?);
    }
    let width = rows
        .iter()
        .map(|(tag, _)| display_tag(tag).len())
        .max()
        .unwrap_or(0)
        .max("us".len());
    write!(out, "{:<width$} {:>11}", "us", "count")?;
    for title in ["min", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"] {
        write!(out, " {title:>10}")?;
    }
    writeln!(out)?;
    let us = to_ns / 1e3;
    for (tag, row) in &rows {
        write!(out, "{:<width$} {:>11}", display_tag(tag), row.count)?;
        let exact = [&[row.min], &row.at[..], &[row.max]].concat();
        for value in exact.iter().map(|value| *value as f64).chain([row.mean]) {
            write!(out, " {:>10.3}", value * us)?;
        }
        writeln!(out)?;
    }
    Ok(())
}
