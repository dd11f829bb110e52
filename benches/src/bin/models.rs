//! Ratios of this project's plans to the runtimes that users could take instead, for every model that is found.
//!
//! A signal is late by what its model takes. If a ratio here falls towards one, the reason to compile models ourselves
//! falls with it; if a difference grows, a model says something else than its author tested. All runtimes take turns on
//! the same rows. Each call is timed by itself, less what reading the clock takes; cold calls come after a walk through
//! more memory than the caches next to the core hold.
//!
//! ```text
//! scripts/models --help
//! ```

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use quantumflow_benches::report::{Machine, median, paired_ratio, percentile};
use quantumflow_benches::runtimes::onnxruntime::Onnxruntime;
use quantumflow_benches::runtimes::own::{Slid, Whole};
use quantumflow_benches::runtimes::tract::Tract;
use quantumflow_benches::runtimes::{Runtime, Subject, own_models, reference_models};
use serde::Serialize;

/// Compares our plans with tract and onnxruntime, in turns, and prints a table of ratios.
#[derive(Debug, Parser)]
#[command(after_help = "Example: scripts/models --only lstm_v1,tcn --milliseconds 2000 --json > models.json")]
struct Args {
    /// Folder of reference models: NAME.onnx, NAME.io.json and inputs in NAME.x.f32.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/models"))]
    models: PathBuf,
    /// Only models of these names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The library of onnxruntime. Without it, it is left out.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// For each model, runtime and temperature of the caches.
    #[arg(long, default_value_t = 500)]
    milliseconds: u64,
    /// Turns of each runtime in that time.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A library in C++, whose memory is its own affair.
const ONNXRUNTIME: &str = "onnxruntime";

/// One runtime with one model.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    runtime: &'static str,
    warm: Times,
    cold: Times,
    /// Of one call; `None` where the runtime does not allocate by this program's allocator, which counts.
    allocations: Option<u64>,
    /// Of an output, to onnxruntime's; `None` where that is not here.
    largest_difference: Option<f32>,
}

#[derive(Debug, Serialize)]
struct Times {
    p50_ns: f64,
    p99_ns: f64,
    /// By our runtimes: the median over the rounds of the ratio to theirs. None for ours.
    ratios: Vec<(&'static str, f64)>,
}

/// Our runtimes: whose ratios to the others are printed.
const OURS: [&str; 2] = [WHOLE, SLID];
const WHOLE: &str = "plan";
/// Where the window is more than a row, what a stream of rows takes.
const SLID: &str = "plan, slid";

/// More than what lies next to a core, less than what all cores share.
const WALK_BYTES: usize = 8 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let onnxruntime = args.onnxruntime.as_deref().map(Onnxruntime::open).transpose()?;
    let mut subjects = own_models(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/models")))?;
    if args.models.is_dir() {
        subjects.extend(reference_models(&args.models)?);
    } else {
        eprintln!("skipped: no reference models at {}", args.models.display());
    }
    subjects.retain(|subject| args.only.is_empty() || args.only.contains(&subject.name));
    let machine = Machine::read();
    let mut rows = Vec::new();
    for subject in &subjects {
        eprintln!("{}", subject.name);
        compare(subject, onnxruntime, &args, &mut rows)?;
    }
    if args.json {
        let version = onnxruntime.map(|library| library.version());
        let report = serde_json::json!({ "machine": machine, "onnxruntime": version, "rows": rows });
        println!("{report:#}");
    } else {
        print(&machine, onnxruntime, &rows);
    }
    Ok(())
}

type Engine = (&'static str, Box<dyn Runtime>);

fn compare(
    subject: &Subject,
    onnxruntime: Option<Onnxruntime>,
    args: &Args,
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let own = Whole::new(subject).map_err(|error| format!("{}: {error}", subject.name))?;
    let output_len = own.output_len();
    let mut engines: Vec<Engine> = vec![(WHOLE, Box::new(own))];
    if subject.stream.window > 1 {
        engines.push((SLID, Box::new(Slid::new(subject)?)));
    }
    match Tract::new(subject, output_len) {
        Ok(tract) => engines.push(("tract", Box::new(tract))),
        Err(error) => eprintln!("{}: tract refuses it: {error}", subject.name),
    }
    if let Some(library) = onnxruntime {
        let session = library.session(subject, output_len);
        engines.push((
            ONNXRUNTIME,
            Box::new(session.map_err(|error| format!("{}: onnxruntime: {error}", subject.name))?),
        ));
    }
    let differences = differences(subject, &mut engines, onnxruntime.is_some());
    let allocations: Vec<Option<u64>> = engines
        .iter_mut()
        .map(|(name, engine)| {
            let counted = allocation_counter::measure(|| {
                black_box(engine.answer(&subject.stream, 0));
            });
            (*name != ONNXRUNTIME).then_some(counted.count_total)
        })
        .collect();
    let mut warm = timed(subject, &mut engines, args, &mut []).into_iter();
    let mut cold = timed(subject, &mut engines, args, &mut vec![1; WALK_BYTES]).into_iter();
    for (index, (runtime, _)) in engines.iter().enumerate() {
        let (Some(warm), Some(cold)) = (warm.next(), cold.next()) else {
            break;
        };
        rows.push(Row {
            model: subject.name.clone(),
            runtime,
            warm,
            cold,
            allocations: allocations[index],
            largest_difference: differences.get(index).copied(),
        });
    }
    Ok(())
}

/// The largest difference of each engine's outputs to the last one's, over all windows.
fn differences(subject: &Subject, engines: &mut [Engine], has_judge: bool) -> Vec<f32> {
    let mut largest = vec![0.0_f32; engines.len()];
    let Some(((_, judge), others)) = engines.split_last_mut().filter(|_| has_judge) else {
        return Vec::new();
    };
    let started = Instant::now();
    for at in 0..subject.stream.len() {
        let truth = judge.answer(&subject.stream, at);
        for ((_, engine), largest) in others.iter_mut().zip(&mut largest) {
            for (own, truth) in engine.answer(&subject.stream, at).iter().zip(truth) {
                let is_same = own == truth || (own.is_nan() && truth.is_nan());
                let difference = if is_same { 0.0 } else { (own - truth).abs() };
                *largest = if difference.is_nan() {
                    f32::INFINITY
                } else {
                    largest.max(difference)
                };
            }
        }
        // Slow ones are compared on fewer windows.
        if started.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    largest
}

/// All engines in turns, for as long as each may take. `walk`: what is walked through before each call.
fn timed(subject: &Subject, engines: &mut [Engine], args: &Args, walk: &mut [u8]) -> Vec<Times> {
    let clock_ns = clock_ns();
    let turn = Duration::from_millis(args.milliseconds) / args.rounds.max(1) as u32;
    let mut samples: Vec<Vec<u64>> = vec![Vec::new(); engines.len()];
    let mut medians: Vec<Vec<f64>> = vec![Vec::new(); engines.len()];
    let mut at = vec![0; engines.len()];
    for round in 0..args.rounds {
        for place in 0..engines.len() {
            let index = (round + place) % engines.len();
            let engine = &mut engines[index].1;
            let mut own = Vec::new();
            let began = Instant::now();
            while own.is_empty() || began.elapsed() < turn {
                for line in walk.iter_mut().step_by(64) {
                    *line = line.wrapping_add(1);
                }
                let start = Instant::now();
                black_box(engine.answer(&subject.stream, black_box(at[index])));
                own.push((start.elapsed().as_nanos() as u64).saturating_sub(clock_ns));
                at[index] = (at[index] + 1) % subject.stream.len();
            }
            // The first call of a turn finds the caches as the engine before has left them.
            if own.len() > 10 && walk.is_empty() {
                own.remove(0);
            }
            own.sort_unstable();
            medians[index].push(percentile(&own, 0.5));
            samples[index].extend(own);
        }
    }
    let ours: Vec<usize> = OURS
        .iter()
        .filter_map(|name| engines.iter().position(|engine| engine.0 == *name))
        .collect();
    (0..engines.len())
        .map(|index| {
            samples[index].sort_unstable();
            let ratio = |own: &usize| (engines[*own].0, paired_ratio(&medians[index], &medians[*own]));
            Times {
                p50_ns: percentile(&samples[index], 0.5),
                p99_ns: percentile(&samples[index], 0.99),
                ratios: match ours.contains(&index) {
                    true => Vec::new(),
                    false => ours.iter().map(ratio).collect(),
                },
            }
        })
        .collect()
}

/// What reading the clock twice takes.
fn clock_ns() -> u64 {
    let reading = |_| {
        let start = Instant::now();
        black_box(start).elapsed().as_nanos() as f64
    };
    median(&(0..10_001).map(reading).collect::<Vec<f64>>()) as u64
}

fn print(machine: &Machine, onnxruntime: Option<Onnxruntime>, rows: &[Row]) {
    println!(
        "{}, {} cores, Linux {}, load {:.1}; {}; nanoseconds\n",
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.load,
        onnxruntime.map_or("no onnxruntime".to_owned(), |library| format!("{library:?}")),
    );
    println!("| model | runtime | p50 | p99 | cold p50 | cold p99 | times slower | cold | allocations | difference |");
    println!("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |");
    for row in rows {
        let ratios = |times: &Times| {
            let shown: Vec<String> = times.ratios.iter().map(|(_, ratio)| format!("{ratio:.1}")).collect();
            shown.join(" / ")
        };
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} |",
            row.model,
            row.runtime,
            row.warm.p50_ns,
            row.warm.p99_ns,
            row.cold.p50_ns,
            row.cold.p99_ns,
            ratios(&row.warm),
            ratios(&row.cold),
            row.allocations.map_or("?".to_owned(), |count| count.to_string()),
            row.largest_difference
                .map_or("".to_owned(), |difference| format!("{difference:.0e}")),
        );
    }
}
