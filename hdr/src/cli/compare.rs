//! `quantumflow hdr compare`: which stage got slower from one run to another.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Error;
use super::input::Filter;
use crate::compare::{Change, Verdict, compare};
use crate::select::{Tags, display_tag};

/// Which stage got slower from one run to another, the worst first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A change is called slower or faster where the 99 % bounds of the two percentiles do not overlap, and only such a change
can fail --fail-above. The bounds take values for independent; latencies come in bursts, so repeat short runs.
Example: quantumflow hdr compare baseline.hlog candidate.hlog --fail-above 10%")]
pub(super) struct Args {
    /// The run to compare with: a log, or a directory of logs
    a: PathBuf,
    /// The run that is judged
    b: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// Percentiles to compare
    #[arg(long, value_delimiter = ',', default_value = "50,90,99,99.9", value_parser = parse_percentile)]
    percentiles: Vec<f64>,
    /// Exit with code 4 where a percentile is clearly slower by more than this
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_above: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_percentile(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..100.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to below 100".to_owned())
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text
        .trim_end_matches('%')
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a percentage, as 10%".to_owned())
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let a = args.filter.gather(std::slice::from_ref(&args.a), notes)?;
    let b = args.filter.gather(std::slice::from_ref(&args.b), notes)?;
    let mut changes = Vec::new();
    for (tag, of_a) in a.sorted() {
        let both = b.get(tag).filter(|of_b| !of_a.is_empty() && !of_b.is_empty());
        let Some(of_b) = both else { continue };
        changes.extend(
            args.percentiles
                .iter()
                .map(|percentile| (tag, compare(of_a, of_b, *percentile))),
        );
    }
    if changes.is_empty() {
        return Err(Error::input("the two runs have no tag with values in common"));
    }
    changes.sort_by(|(_, x), (_, y)| y.percent.total_cmp(&x.percent));
    remark_lonely("first", &a, &b, notes)?;
    remark_lonely("second", &b, &a, notes)?;
    let us = args.filter.value_unit.to_ns() / 1e3;
    if args.json {
        print_json(&changes, us * 1e3, out)?;
    } else {
        print_table(&changes, us, (&a, &b), out)?;
    }
    judge(&changes, args.fail_above)
}

fn judge(changes: &[(&str, Change)], fail_above: Option<f64>) -> Result<(), Error> {
    let Some(percent) = fail_above else { return Ok(()) };
    let is_slower = |change: &Change| change.verdict == Verdict::Clear && change.percent > percent;
    let mut slower = changes.iter().filter(|(_, change)| is_slower(change));
    let Some((tag, worst)) = slower.next() else {
        return Ok(());
    };
    let worst = format!("{} p{} by {:.1}%", display_tag(tag), worst.percentile, worst.percent);
    Err(Error::Slower {
        percent,
        worst,
        count: 1 + slower.count(),
    })
}

fn remark_lonely(which: &str, run: &Tags, other: &Tags, notes: &mut dyn Write) -> Result<(), Error> {
    let lonely: Vec<_> = run
        .sorted()
        .into_iter()
        .filter(|(tag, _)| other.get(tag).is_none())
        .collect();
    if !lonely.is_empty() {
        let names: Vec<_> = lonely.iter().map(|(tag, _)| display_tag(tag)).collect();
        writeln!(notes, "only in the {which} run: {}", names.join(", "))?;
    }
    Ok(())
}

fn print_table(changes: &[(&str, Change)], us: f64, runs: (&Tags, &Tags), out: &mut dyn Write) -> Result<(), Error> {
    let width = changes.iter().map(|(tag, _)| display_tag(tag).len()).max().unwrap_or(0);
    writeln!(
        out,
        "{:<width$} {:>7} {:>12} {:>12} {:>10}",
        "us", "", "A", "B", "change"
    )?;
    for (tag, change) in changes {
        let remark = match change.verdict {
            Verdict::Clear if change.percent > 0.0 => "slower".to_owned(),
            Verdict::Clear => "faster".to_owned(),
            Verdict::Noise => "within noise".to_owned(),
            Verdict::TooFew => {
                let count = |tags: &Tags| tags.get(tag).map_or(0, |histogram| histogram.len());
                format!("too few values ({} and {})", count(runs.0), count(runs.1))
            }
        };
        let percentile = format!("p{}", change.percentile);
        let (a, b) = (change.a as f64 * us, change.b as f64 * us);
        let percent = change.percent;
        let tag = display_tag(tag);
        writeln!(
            out,
            "{tag:<width$} {percentile:>7} {a:>12.3} {b:>12.3} {percent:>+9.1}%  {remark}"
        )?;
    }
    Ok(())
}

fn print_json(changes: &[(&str, Change)], ns: f64, out: &mut dyn Write) -> Result<(), Error> {
    let rows = changes.iter().map(|(tag, change)| {
        json!({ "tag": tag, "percentile": change.percentile, "a_ns": change.a as f64 * ns,
                "b_ns": change.b as f64 * ns, "change_percent": change.percent, "verdict": change.verdict.name() })
    });
    let text = serde_json::to_string_pretty(&rows.collect::<Vec<_>>()).map_err(Error::running)?;
    Ok(writeln!(out, "{text}")?)
}
