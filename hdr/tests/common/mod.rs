//! A run of an engine as the recorder sees it, and the command line run in this process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use clap::Parser;
use quantumflow_hdr::{Recorder, RecorderOptions, cli};
use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, Snapshot, catalogue};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// 2025-11-21T11:44:00Z.
pub const START: u64 = 1_763_725_440_000_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// The stages that the run records, and their usual latency in nanoseconds.
pub const STAGES: [(&str, f64); 5] = [
    ("decrypt", 900.0),
    ("parse", 1_400.0),
    ("book", 350.0),
    ("model", 9_000.0),
    ("total", 14_000.0),
];

/// What a run looks like.
#[derive(Clone, Copy)]
pub struct Run {
    pub seed: u64,
    pub seconds: u64,
    /// Messages a second.
    pub rate: u64,
    /// By how much the model is slower than usual.
    pub model_factor: f64,
}

pub const USUAL: Run = Run {
    seed: 1,
    seconds: 60,
    rate: 200,
    model_factor: 1.0,
};

/// Records a run into `dir`; returns the log and what the region held in the end.
pub fn record(dir: &Path, run: Run) -> (PathBuf, Snapshot) {
    let region = RegionWriter::private(&RegionOptions::new("engine", START)).unwrap();
    let thread = region.writer("hot-0").unwrap();
    let stages = STAGES.map(|(stage, _)| thread.histogram(&catalogue::STAGE_LATENCY, &[stage]).unwrap());
    let model = thread.histogram(&catalogue::PREDICTION_LATENCY, &["mlp_v1"]).unwrap();
    let mut reader = RegionReader::of(&region).unwrap();
    let mut options = RecorderOptions::new(dir, START);
    options.host = "colo-7".to_owned();
    let mut recorder = Recorder::new(options).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(run.seed);
    let mut log = None;
    for second in 1..=run.seconds {
        // Every twentieth second is a burst with a queue before the engine.
        let is_burst = second % 20 == 0;
        for _ in 0..run.rate * if is_burst { 4 } else { 1 } {
            for ((name, usual), histogram) in STAGES.iter().zip(&stages) {
                let factor = if *name == "model" { run.model_factor } else { 1.0 };
                let noise = -(1.0 - rng.random::<f64>()).ln() * 0.25;
                let queue = if is_burst && *name == "total" {
                    rng.random::<f64>() * 40.0
                } else {
                    0.0
                };
                let rare = if rng.random::<f64>() < 0.002 {
                    15.0 * rng.random::<f64>()
                } else {
                    0.0
                };
                histogram.record((usual * factor * (1.0 + noise + queue + rare)) as u64);
            }
            model.record((8_500.0 * run.model_factor * (1.0 + 0.1 * rng.random::<f64>())) as u64);
        }
        let snapshot = reader.snapshot().unwrap();
        let observed = recorder
            .observe(reader.info(), &snapshot, START + second * SECOND)
            .unwrap();
        log = observed.new_files.into_iter().next().or(log);
    }
    (log.unwrap(), reader.snapshot().unwrap())
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: cli::Args,
}

/// Standard output, remarks, and the error with its exit code.
pub struct Outcome {
    pub out: String,
    pub notes: String,
    pub error: Option<(String, u8)>,
}

/// Runs `hdr` with these arguments.
pub fn hdr(args: &[&str]) -> Outcome {
    let command = Command::try_parse_from([&["hdr"], args].concat());
    let command = command.unwrap_or_else(|error| panic!("{args:?}: {error}"));
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let result = cli::run(&command.args, &mut out, &mut notes);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let error = result.err().map(|error| (error.to_string(), error.exit_code()));
    Outcome {
        out: text(out),
        notes: text(notes),
        error,
    }
}

/// The same where it must succeed.
pub fn hdr_ok(args: &[&str]) -> Outcome {
    let outcome = hdr(args);
    assert!(outcome.error.is_none(), "{args:?}: {:?}", outcome.error);
    outcome
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
