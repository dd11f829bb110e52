//! `quantumflow region`: what a metrics region says, of a running engine or a dead one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quantumflow_region::{RegionReader, Snapshot, Value, directory};
use serde_json::json;

use super::{Failure, Outcome};

/// Read a metrics region, of a running engine or a dead one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow region                                    list the regions of the default directory
  quantumflow region show /dev/shm/quantumflow/x.met    who wrote it, how it is, where its threads were
  quantumflow region dump /dev/shm/quantumflow/x.dead   every series as well")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where the regions live
    #[arg(long, global = true, default_value = super::REGION_DIR)]
    region_dir: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the regions of the directory, newest first
    List,
    /// Who wrote it, how it is, where its threads were
    Show(FileArgs),
    /// The same, and every series
    Dump(FileArgs),
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The file; the newest region of the directory if not given
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &args.action {
        None | Some(Action::List) => list(&args.region_dir, &mut out)?,
        Some(Action::Show(file)) => print(&args.region_dir, file, false, &mut out)?,
        Some(Action::Dump(file)) => print(&args.region_dir, file, true, &mut out)?,
    }
    Ok(out.flush()?)
}

fn list(dir: &Path, out: &mut impl Write) -> Outcome {
    let entries = directory::list(dir).map_err(|error| Failure::input(format!("{}: {error}", dir.display())))?;
    let mut any = false;
    for entry in entries.iter().filter(|entry| {
        entry
            .path
            .extension()
            .is_some_and(|kind| kind == "met" || kind == "dead")
    }) {
        // A ring that was retired is dead, too, but no region.
        match RegionReader::open(&entry.path).and_then(|reader| reader.liveness()) {
            Ok(liveness) => writeln!(
                out,
                "{:<9} pid {:<8} {}",
                liveness.name(),
                entry.name.pid,
                entry.path.display()
            )?,
            Err(_) if entry.name.dead => continue,
            Err(error) => writeln!(
                out,
                "{:<9} pid {:<8} {} ({error})",
                "unreadable",
                entry.name.pid,
                entry.path.display()
            )?,
        }
        any = true;
    }
    if !any {
        writeln!(out, "no regions in {}", dir.display())?;
    }
    Ok(())
}

fn print(dir: &Path, args: &FileArgs, with_series: bool, out: &mut impl Write) -> Outcome {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => newest(dir)?,
    };
    let mut reader = RegionReader::open(&path).map_err(Failure::input)?;
    let snapshot = reader.snapshot().map_err(Failure::input)?;
    let liveness = reader.liveness().map_err(Failure::input)?.name();
    if args.json {
        let text = serde_json::to_string_pretty(&as_json(&reader, liveness, &snapshot, with_series))
            .map_err(Failure::running)?;
        return Ok(writeln!(out, "{text}")?);
    }
    show(&reader, liveness, &snapshot, out)?;
    if with_series {
        dump(&snapshot, out)?;
    }
    Ok(())
}

/// The newest region of a directory, or the failure that says that there is none.
pub(super) fn newest(dir: &Path) -> Result<PathBuf, Failure> {
    let entries = directory::regions(dir).map_err(|error| Failure::input(format!("{}: {error}", dir.display())))?;
    let newest = entries.into_iter().next();
    newest
        .map(|entry| entry.path)
        .ok_or_else(|| Failure::input(format!("no region in {}: is an engine running?", dir.display())))
}

fn show(reader: &RegionReader, liveness: &str, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let info = reader.info();
    writeln!(out, "file       {}", reader.path().display())?;
    writeln!(
        out,
        "engine     {} {} ({}), pid {}",
        info.service, info.version, info.revision, info.pid
    )?;
    writeln!(out, "state      {liveness}")?;
    if let Some(text) = &snapshot.engine.panic_text {
        writeln!(out, "panic      {}", text.replace('\n', "\n           "))?;
    }
    writeln!(
        out,
        "started    {} ns, last heartbeat {} ns",
        info.start_unix_ns, snapshot.engine.heartbeat_unix_ns
    )?;
    writeln!(
        out,
        "series     {} ({} found no room)",
        snapshot.series.len(),
        snapshot.engine.registrations_dropped
    )?;
    for writer in &snapshot.writers {
        let place = match writer.loop_begin.wrapping_sub(writer.loop_end) {
            0 => "between rounds".to_owned(),
            _ => format!("inside round {} (breadcrumb {})", writer.loop_begin, writer.breadcrumb),
        };
        let cpu = writer.cpu.map_or(String::new(), |cpu| format!(", cpu {cpu}"));
        writeln!(
            out,
            "thread     {:<14} tid {}{cpu}: {} rounds, {place}",
            writer.name, writer.tid, writer.loop_end
        )?;
    }
    Ok(())
}

fn dump(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let mut last = "";
    for series in &snapshot.series {
        if *series.meta.name != *last {
            last = &series.meta.name;
            writeln!(out, "\n# {} {}", series.meta.name, series.meta.help)?;
        }
        let labels: Vec<_> = series
            .meta
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        writeln!(out, "{}{labels} {}", series.meta.name, describe(series))?;
    }
    Ok(())
}

fn describe(series: &quantumflow_region::Series) -> String {
    match &series.value {
        Value::Histogram(histogram) => {
            let at = |percentile| series.meta.to_base(histogram.value_at_percentile(percentile) as f64);
            let max = series.meta.to_base(histogram.max() as f64);
            format!(
                "count {} p50 {:e} p99 {:e} p99.9 {:e} max {max:e}",
                histogram.count(),
                at(50.0),
                at(99.0),
                at(99.9)
            )
        }
        Value::State(state) => {
            let name = series.meta.states.get(*state as usize).map_or("?", String::as_str);
            format!("{state} ({name})")
        }
        Value::GaugeF64(value) => value.to_string(),
        value => value
            .as_f64()
            .map_or(String::new(), |raw| series.meta.to_base(raw).to_string()),
    }
}

fn as_json(reader: &RegionReader, liveness: &str, snapshot: &Snapshot, with_series: bool) -> serde_json::Value {
    let info = reader.info();
    let writers = snapshot.writers.iter().map(|writer| {
        json!({ "name": &*writer.name, "tid": writer.tid, "cpu": writer.cpu, "loop_begin": writer.loop_begin,
                "loop_end": writer.loop_end, "breadcrumb": writer.breadcrumb })
    });
    let mut all = json!({
        "file": reader.path(), "service": info.service, "version": info.version, "revision": info.revision,
        "pid": info.pid, "state": liveness, "start_unix_ns": info.start_unix_ns,
        "heartbeat_unix_ns": snapshot.engine.heartbeat_unix_ns, "panic": snapshot.engine.panic_text,
        "threads": writers.collect::<Vec<_>>(),
    });
    if with_series {
        let series = snapshot.series.iter().map(|series| {
            let labels: serde_json::Map<_, _> = series
                .meta
                .labels
                .iter()
                .map(|(name, value)| (name.to_string(), json!(&**value)))
                .collect();
            let value = match &series.value {
                Value::Histogram(histogram) => json!({
                    "count": histogram.count(), "sum": histogram.sum(), "max": histogram.max(),
                    "p50": histogram.value_at_percentile(50.0), "p99": histogram.value_at_percentile(99.0),
                    "p999": histogram.value_at_percentile(99.9), "scale": series.meta.scale,
                }),
                // NaN, for what is not known, becomes null.
                value => json!(value.as_f64().map(|raw| series.meta.to_base(raw))),
            };
            json!({ "name": &*series.meta.name, "labels": labels, "value": value })
        });
        all["series"] = series.collect();
    }
    all
}
