//! `quantumflow training`: runs a training command and tells monitoring about it.
//!
//! A training run is a job: it ends, and what is to be known of it (how it ended, how long it took, when) has to outlive it.
//! So its region is marked as a job's, which the exporter goes on serving after the job has ended in order. The counts of
//! the runs before are taken over from the region of the last one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quantumflow_region::directory::{self, DEFAULT_DIR};
use quantumflow_region::{
    Counter, GaugeF64, GaugeI64, RegionOptions, RegionReader, RegionWriter, RegisterError, Snapshot, Timestamp, Value,
    catalogue, in_words,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Failure, Outcome};
use crate::{REVISION, os};

/// Run a training command and report it as metrics: runs by status, the last one's duration, when the last one succeeded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: quantumflow training -- scripts/train

The metrics (hft_training_*) lie in a region of their own beside the engine's;
the exporter serves them, also when the run is over. Fails as the command does.")]
pub(super) struct Args {
    /// The directory of regions
    #[arg(long, default_value = DEFAULT_DIR)]
    region_dir: PathBuf,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

/// The name of the region, and so the value of the label `engine`.
const SERVICE: &str = "training";
/// How often it is looked whether the command has ended; each look is a sign of life.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A few series and no histogram.
const REGION_BYTES: usize = 512 << 10;

pub(super) fn run(args: &Args) -> Outcome {
    let before = Totals::of_last_run(&args.region_dir);
    let mut options = RegionOptions::new(SERVICE, os::wall_clock().0);
    options.bytes = REGION_BYTES;
    (options.max_series, options.cells_per_writer, options.writer_count) = (64, 64, 1);
    (options.events_per_writer, options.max_subjects) = (0, 1);
    options.is_job = true;
    options.version = env!("CARGO_PKG_VERSION").to_owned();
    options.revision = REVISION.to_owned();
    options.file.keep_dead = 0;
    let region = RegionWriter::create(&args.region_dir, &options).or_else(|error| {
        // Metrics that nobody sees are no reason not to train.
        eprintln!("quantumflow: this run is not reported: {}", in_words(&error));
        RegionWriter::private(&options).map_err(Failure::input)
    })?;
    let cells = Cells::register(&region).map_err(Failure::input)?;
    cells.show(&before);

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (program, arguments) = args.command.split_first().ok_or_else(|| Failure::input("no command"))?;
    let started = Instant::now();
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.map_err(|error| Failure::input(format!("cannot start {program}: {error}")))?;
    cells.running.set(1);
    let status = watch(&mut child, &region, &stop)?;
    cells.running.set(0);
    cells.show(&before.and(status, started.elapsed()));
    region.close(status.code().map_or(1, i32::unsigned_abs));
    if status.success() {
        return Ok(());
    }
    Err(Failure::running(format!("{program}: {}", Ended(status))))
}

/// Waits for the end of the command, and hands on to it that we are asked to end.
fn watch(child: &mut Child, region: &RegionWriter, stop: &AtomicBool) -> Result<ExitStatus, Failure> {
    let live = region.live();
    let mut was_told = false;
    loop {
        let now = os::wall_clock();
        live.heartbeat(now.0, os::boottime_ns());
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::Relaxed) && !was_told {
            was_told = true;
            live.set_draining();
            let pid = i32::try_from(child.id()).map_err(Failure::running)?;
            // It may have ended in between.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// What is known of all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Totals {
    /// In the order of [`catalogue::TRAINING_STATUSES`].
    runs: [u64; catalogue::TRAINING_STATUSES.len()],
    last_duration_s: Option<f64>,
    last_success_ns: u64,
}

impl Totals {
    /// From the region of the run before; nothing where there is none that can be read.
    fn of_last_run(dir: &Path) -> Self {
        let entries = directory::regions(dir).unwrap_or_default();
        let last = entries.iter().find(|entry| entry.name.service == SERVICE);
        let snapshot = last.and_then(|entry| RegionReader::open(&entry.path).ok()?.snapshot().ok());
        snapshot.map_or_else(Self::default, |snapshot| Self::of(&snapshot))
    }

    fn of(snapshot: &Snapshot) -> Self {
        let total = |name, labels: &[(&str, &str)]| snapshot.total(name, labels);
        let runs = catalogue::TRAINING_STATUSES
            .map(|status| total(catalogue::TRAINING_RUNS.name, &[("status", status)]) as u64);
        let duration = snapshot
            .family(catalogue::TRAINING_DURATION.name)
            .find_map(|series| series.value.as_f64());
        let last_success = snapshot.family(catalogue::LAST_TRAINING.name);
        let last_success = last_success.filter_map(|series| match series.value {
            Value::Timestamp(unix_ns) => Some(unix_ns),
            _ => None,
        });
        Self {
            runs,
            last_duration_s: duration.filter(|seconds| seconds.is_finite()),
            last_success_ns: last_success.max().unwrap_or(0),
        }
    }

    /// With one run more.
    fn and(mut self, status: ExitStatus, took: Duration) -> Self {
        let [success, failure] = &mut self.runs;
        if status.success() {
            *success += 1;
            self.last_success_ns = os::wall_clock().0;
        } else {
            *failure += 1;
        }
        self.last_duration_s = Some(took.as_secs_f64());
        self
    }
}

struct Cells {
    runs: [Counter; catalogue::TRAINING_STATUSES.len()],
    duration: GaugeF64,
    last_success: Timestamp,
    running: GaugeI64,
}

impl Cells {
    fn register(region: &RegionWriter) -> Result<Self, RegisterError> {
        let thread = region.writer("training")?;
        let [success, failure] =
            catalogue::TRAINING_STATUSES.map(|status| thread.counter(&catalogue::TRAINING_RUNS, &[status]));
        Ok(Self {
            runs: [success?, failure?],
            duration: thread.gauge_f64(&catalogue::TRAINING_DURATION, &[])?,
            last_success: thread.timestamp(&catalogue::LAST_TRAINING, &[])?,
            running: thread.gauge_i64(&catalogue::TRAINING_RUNNING, &[])?,
        })
    }

    fn show(&self, totals: &Totals) {
        for (cell, runs) in self.runs.iter().zip(totals.runs) {
            cell.set_total(runs);
        }
        if let Some(seconds) = totals.last_duration_s {
            self.duration.set(seconds);
        }
        if totals.last_success_ns > 0 {
            self.last_success.set(totals.last_success_ns);
        }
    }
}

/// How a command ended, in words.
struct Ended(ExitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.code() {
            Some(code) => write!(f, "exit code {code}"),
            None => write!(f, "ended by a signal ({})", self.0),
        }
    }
}
