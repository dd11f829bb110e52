//! `quantumflow models bench`: how long a prediction takes on this host.
//!
//! Rows differ from call to call, so that no branch is learnt by heart. Warm is one prediction after another; cold is with
//! as much other memory walked in between as a busy host's other work would.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use quantumflow_feeds::Clock;
use serde_json::json;

use super::super::{Failure, Outcome};
use super::load;
use crate::features::FEATURE_COUNT;
use crate::model::{Model, Prediction};
use crate::os::{TimeBase, TscClock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX files, or builtin:NAME
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// How long each model is timed
    #[arg(long, default_value_t = 2.0, value_parser = parse_seconds)]
    seconds: f64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, 0.01 to 600".to_owned()),
    }
}

/// Memory that is walked before a cold prediction: more than a core's own caches.
const COLD_BYTES: usize = 8 << 20;
/// Warm predictions that share two readings of the clock, which takes as long as a small model.
const BATCH: usize = 8;
const ROWS: usize = 512;

pub(super) fn run(args: &Args) -> Outcome {
    let mut out = std::io::stdout().lock();
    let time = TimeBase::calibrate(Duration::from_millis(100));
    let models = args.models.iter().map(|name| load(name).map_err(Failure::input));
    let models = models.collect::<Result<Vec<_>, _>>()?;
    if !args.json {
        writeln!(
            out,
            "{:<24} {:>9} {:>9} {:>9} {:>9}   {:>9} {:>9}  (nanoseconds)",
            "model", "warm p50", "p90", "p99", "p99.9", "cold p50", "p99"
        )?;
    }
    for (name, model) in args.models.iter().zip(models) {
        let [warm, cold] = [false, true].map(|is_cold| {
            let part = if is_cold { 0.4 } else { 0.6 };
            timed(&model, is_cold, Duration::from_secs_f64(args.seconds * part), time)
        });
        if args.json {
            let of = |times: &Times| {
                json!({
                    "predictions": times.0.len(), "p50_ns": times.at(0.5), "p90_ns": times.at(0.9),
                    "p99_ns": times.at(0.99), "p99.9_ns": times.at(0.999),
                })
            };
            writeln!(out, "{}", json!({"model": name, "warm": of(&warm), "cold": of(&cold)}))?;
        } else {
            writeln!(
                out,
                "{name:<24} {:>9.0} {:>9.0} {:>9.0} {:>9.0}   {:>9.0} {:>9.0}",
                warm.at(0.5),
                warm.at(0.9),
                warm.at(0.99),
                warm.at(0.999),
                cold.at(0.5),
                cold.at(0.99)
            )?;
        }
    }
    Ok(())
}

/// Nanoseconds of single predictions, in order.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, part: f64) -> f64 {
        let last = self.0.len() - 1;
        self.0[((self.0.len() as f64 * part) as usize).min(last)]
    }
}

fn timed(model: &std::sync::Arc<Model>, is_cold: bool, length: Duration, time: TimeBase) -> Times {
    let rows: Vec<[f32; FEATURE_COUNT]> = (0..ROWS)
        .map(|row| std::array::from_fn(|column| ((row * 31 + column * 17) % 23) as f32 / 11.0 - 1.0))
        .collect();
    let mut predictor = model.warm_predictor();
    let mut prediction = Prediction::default();
    let mut at = 0;
    let mut predict = || {
        at = (at + 1) % ROWS;
        // Rows of noise: an answer that is none takes as long as one that is.
        let _ = black_box(predictor.predict(black_box(&rows[at]), &mut prediction));
    };
    (0..model.contract().window).for_each(|_| predict());
    let mut other_work = vec![1_u8; if is_cold { COLD_BYTES } else { 0 }];
    let batch = if is_cold { 1 } else { BATCH };
    let mut times = Vec::new();
    let end = Instant::now() + length;
    while times.is_empty() || Instant::now() < end {
        for line in other_work.chunks_mut(64) {
            line[0] = line[0].wrapping_add(1);
        }
        black_box(&mut other_work);
        let started = TscClock.ticks();
        (0..batch).for_each(|_| predict());
        let ended = TscClock.ticks();
        times.push(time.nanos(ended.since(started)) as f64 / batch as f64);
    }
    times.sort_by(f64::total_cmp);
    Times(times)
}
