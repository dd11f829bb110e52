//! One look at a region, as text or JSON: with its series (`dump`) or without (`show`).

use std::io::{self, Write};
use std::path::Path;

use quantumflow_region::{Liveness, ReadError, RegionReader, Series, Snapshot, ThreadEvents, Value};

use super::filter::Filter;
use super::header::FirstPage;
use super::{FileArgs, chosen, is_foreign, json, show};
use crate::Error;
use crate::text::{clean, labels, state_name};

/// What one look found.
pub(super) struct Found {
    pub(super) reader: RegionReader,
    pub(super) liveness: Liveness,
    pub(super) snapshot: Snapshot,
    pub(super) events: Vec<ThreadEvents>,
    pub(super) first_page: Option<FirstPage>,
}

impl Found {
    fn at(path: &Path) -> Result<Self, ReadError> {
        let mut reader = RegionReader::open(path)?;
        // Liveness first: an engine that ends meanwhile is then shown as living with its last values, not the reverse.
        let liveness = reader.liveness()?;
        let snapshot = reader.snapshot()?;
        let events = reader.events()?;
        // It could be opened and read a moment ago. If it is gone by now, its first page is no loss.
        let first_page = FirstPage::read(path).ok().flatten();
        Ok(Self {
            reader,
            liveness,
            snapshot,
            events,
            first_page,
        })
    }
}

/// With a filter, the series that pass it as well.
pub(super) fn run(
    dir: &Path,
    args: &FileArgs,
    filter: Option<&Filter>,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Error> {
    let path = chosen(dir, args.file.as_ref())?;
    let found = match Found::at(&path) {
        Ok(found) => found,
        Err(error) => {
            if is_foreign(&error) {
                foreign(&path, as_json, out)?;
            }
            return Err(error.into());
        }
    };
    if as_json {
        writeln!(out, "{:#}", json::of(&found, args.events, filter))?;
        return Ok(());
    }
    show::write(&found, args.events, out)?;
    if let Some(filter) = filter {
        series(filter.of(&found.snapshot), out)?;
    }
    Ok(())
}

/// A later format: what its header says is all that can be told.
fn foreign(path: &Path, as_json: bool, out: &mut impl Write) -> io::Result<()> {
    let Some(page) = FirstPage::read(path).ok().flatten() else {
        return Ok(());
    };
    let file = path.to_string_lossy();
    if as_json {
        writeln!(
            out,
            "{:#}",
            serde_json::json!({ "file": file, "state": "unreadable", "format": page.json() })
        )?;
    } else {
        writeln!(out, "file       {}", clean(&file))?;
        page.write(out)?;
    }
    out.flush()
}

/// Series by metric, each metric under its help.
fn series<'a>(series: impl Iterator<Item = &'a Series>, out: &mut impl Write) -> io::Result<()> {
    let mut last = "";
    for series in series {
        if *series.meta.name != *last {
            last = &series.meta.name;
            writeln!(out, "\n# {} {}", series.meta.name, clean(&series.meta.help))?;
        }
        let labels = labels(&series.meta);
        let labels = if labels.is_empty() {
            labels
        } else {
            format!("{{{labels}}}")
        };
        let retired = if series.retired { " (retired)" } else { "" };
        writeln!(out, "{}{labels} {}{retired}", series.meta.name, describe(series))?;
    }
    Ok(())
}

/// The exact value in the base unit.
pub(super) fn describe(series: &Series) -> String {
    let meta = &series.meta;
    match &series.value {
        Value::Histogram(histogram) => {
            let at = |percentile| meta.to_base(histogram.value_at_percentile(percentile) as f64);
            let max = meta.to_base(histogram.max() as f64);
            let (count, clipped) = (histogram.count(), histogram.clipped());
            let clipped = if clipped > 0 {
                format!(" clipped {clipped}")
            } else {
                String::new()
            };
            format!(
                "count {count} p50 {:e} p99 {:e} p99.9 {:e} max {max:e}{clipped}",
                at(50.0),
                at(99.0),
                at(99.9)
            )
        }
        Value::State(state) => format!("{state} ({})", state_name(meta, *state)),
        Value::Counter(n) if meta.scale == 0 => n.to_string(),
        Value::GaugeI64(n) if meta.scale == 0 => n.to_string(),
        Value::Timestamp(raw) if meta.scale == -9 => format!("{raw} ns ({})", crate::text::rfc3339(*raw)),
        value => value
            .as_f64()
            .map_or(String::new(), |raw| meta.to_base(raw).to_string()),
    }
}
