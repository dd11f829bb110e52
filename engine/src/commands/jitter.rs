//! `quantumflow jitter`: measures how often and for how long the host takes a core away.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::value_parser;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Failure, Outcome};
use crate::jitter::report::Report;
use crate::jitter::witness::Moment;
use crate::jitter::{Plan, Steals, measure};
use crate::os::{self, TimeBase, TscClock};
use crate::tune::Host;

/// Measure how often, and for how long, the host takes a core away from a thread that only spins
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow jitter --core 3                                    ten seconds on core 3
  quantumflow jitter --core 3 --seconds 600 --hlog core3.hlog    the same with a log
  quantumflow hdr heatmap core3.hlog --out core3.svg             a picture of it

It keeps the core busy while it runs: not on the core of an engine at work. Ctrl-C ends it early, with
a report. Beside the steals stands what the kernel counted on the core in the same time, with the
check of `quantumflow tune` that says how to keep it away.")]
pub(super) struct Args {
    /// The core to measure; without it, the one that the command happens to run on
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// For how long; takes 30 KiB of memory for each second
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// From where on a gap between two readings of the counter is a steal
    #[arg(long, default_value_t = 1000, value_name = "NS", value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    threshold_ns: u64,
    /// Write an interval log, a line for each second, for `quantumflow hdr`
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long the counter's rate is measured against the clock of the system.
const CALIBRATION: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Args) -> Outcome {
    let core = match args.core {
        Some(core) => core,
        None => nix::sched::sched_getcpu().map_err(Failure::running)?,
    };
    if !os::pin_thread(core) {
        let host = Host::below("/");
        let online = host
            .online()
            .map_or_else(|error| error.to_string(), |cores| cores.to_string());
        return Err(Failure::input(format!(
            "cannot pin a thread to core {core}: it is not online (those are: {online}), or a cpuset forbids it"
        )));
    }
    // Before the measurement, so that a wrong path does not cost it.
    let log = match &args.hlog {
        Some(path) => {
            let file = File::create(path);
            Some(file.map_err(|error| Failure::input(format!("cannot write {}: {error}", path.display())))?)
        }
        None => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let plan = Plan {
        seconds: args.seconds,
        threshold_ns: args.threshold_ns,
    };
    let mut base = TimeBase::calibrate(CALIBRATION);
    let host = Host::below("/");
    let mut steals = Steals::new(&plan);
    base.anchor();
    let before = Moment::now(&host, core);
    measure(TscClock, &base, &plan, &stop, &mut steals);
    let counted = Moment::now(&host, core).since(&before, core);

    let report = Report {
        core,
        plan: &plan,
        base: &base,
        steals: &steals,
        counted: &counted,
    };
    if let Some(log) = log {
        report.write_log(BufWriter::new(log)).map_err(Failure::running)?;
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.json {
        true => report.print_json(&mut out)?,
        false => report.print(&mut out)?,
    }
    Ok(out.flush()?)
}
