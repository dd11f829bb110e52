//! `quantumflow hdr record`: follows the engines of a directory and writes their logs.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::Error;
use crate::follow::{Follower, Tick};
use crate::recorder::{Recorder, RecorderOptions};

/// Write what the engines of a directory gain in each interval to log files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Follows every engine of the directory, through restarts, until Ctrl-C or SIGTERM. Each service has its own files,
<service>.<time>.hlog; a new one each day (UTC) and at --file-mb, the oldest beyond --keep are removed.
Example: quantumflow hdr record --interval 10s --out /var/log/quantumflow/hdr")]
pub(super) struct Args {
    /// Where the regions live
    #[arg(long, default_value = quantumflow_region::directory::DEFAULT_DIR)]
    region_dir: PathBuf,
    /// Where the logs go
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Length of an interval, as 1s, 500ms or 1m; from 100ms on, for each look costs the engine some cache misses
    #[arg(long, default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Record only this metric, for example hft_stage_latency_seconds; may be given several times
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Size of a file in MiB at which a new one is begun
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    file_mb: u64,
    /// Files to keep for each service
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keep: u32,
}

/// How often the wait for the next interval looks for a signal to stop.
const WAIT_MAX: Duration = Duration::from_millis(50);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    let parts = units
        .iter()
        .find_map(|(unit, ms)| Some((text.strip_suffix(unit)?.parse::<u64>().ok()?, *ms)));
    let ms = parts
        .and_then(|(number, ms)| number.checked_mul(ms))
        .filter(|ms| (100..=3_600_000).contains(ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| "expected 100ms to 60m, as 500ms, 1s or 2m".to_owned())
}

fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let mut options = RecorderOptions::new(&args.out, now_unix_ns());
    options.metrics = args.metrics.clone();
    options.host = fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned();
    options.file_bytes_max = args.file_mb << 20;
    options.files_kept = args.keep as usize;
    let mut recorder = Recorder::new(options).map_err(Error::input)?;
    let mut follower = Follower::new(&args.region_dir);

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let start = Instant::now();
    let end = args.seconds.map(|seconds| start + Duration::from_secs(seconds));
    let mut next = start;
    let mut voice = Voice {
        is_failing: false,
        is_alone: false,
    };
    loop {
        let tick = follower.tick(&mut recorder, now_unix_ns);
        let tick = tick.map_err(|error| Error::input(format!("{}: {error}", args.region_dir.display())))?;
        voice.tell(&tick, args, out, notes)?;
        let is_last = stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
        if is_last {
            break;
        }
        // A round that took longer than an interval skips the ones it missed: the next line covers them.
        next = (next + args.interval).max(Instant::now());
        let until = end.map_or(next, |end| next.min(end));
        while !stop.load(Ordering::Relaxed) && Instant::now() < until {
            thread::sleep(WAIT_MAX.min(until.saturating_duration_since(Instant::now())));
        }
    }
    let totals = recorder.totals();
    writeln!(
        out,
        "{} lines in {} files, {} engines",
        totals.lines, totals.files, totals.instances
    )?;
    Ok(())
}

/// Tells what changed, and keeps quiet while it lasts.
struct Voice {
    is_failing: bool,
    is_alone: bool,
}

impl Voice {
    fn tell(&mut self, tick: &Tick, args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
        for path in &tick.written.new_files {
            writeln!(out, "writing {}", path.display())?;
        }
        for path in &tick.begun {
            writeln!(notes, "following {}", path.display())?;
        }
        for path in &tick.ended {
            writeln!(notes, "{} ended", path.display())?;
        }
        let is_alone = tick.running == 0;
        if is_alone && !self.is_alone {
            writeln!(
                notes,
                "no engine is running in {}: waiting for one",
                args.region_dir.display()
            )?;
        }
        let unreadable = tick.unreadable.iter().map(|error| error as &dyn std::error::Error);
        let unwritten = tick.unwritten.iter().map(|error| error as &dyn std::error::Error);
        let mut errors = unreadable.chain(unwritten).peekable();
        let is_failing = errors.peek().is_some();
        if is_failing && !self.is_failing {
            for error in errors {
                writeln!(notes, "{error}{}", because(error))?;
            }
            writeln!(
                notes,
                "trying again every interval; what is not written now is in the next line that is"
            )?;
        }
        if self.is_failing && !is_failing {
            writeln!(notes, "all is well again")?;
        }
        (self.is_alone, self.is_failing) = (is_alone, is_failing);
        Ok(out.flush()?)
    }
}

fn because(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
