//! From turns to tables, logs and a file that the next run compares with.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use quantumflow_benches::peers::exchange::Schedule;
use quantumflow_benches::report::{Machine, median, paired_ratio, percentile};
use quantumflow_benches::tape::Tape;
use serde::{Deserialize, Serialize};

use crate::OURS;
use crate::engines::ENGINES;
use crate::run::{Setting, Turn};

/// When messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As they came.
    Own(Duration),
    /// So many a second.
    Rate(u32, Duration),
    /// As many as lie in a socket at once, until the tape is over.
    Bursts,
}

/// Bytes of a burst: what a socket takes whose receiver does not read.
const BURST_BYTES: usize = 48 << 10;

impl Pace {
    fn name(self) -> String {
        match self {
            Self::Own(_) => "own pace".to_owned(),
            Self::Rate(rate, _) => format!("{rate}/s"),
            Self::Bursts => "bursts".to_owned(),
        }
    }

    fn schedule(self, tape: &Tape) -> Schedule {
        let times = &tape.times_ns[tape.prelude..];
        match self {
            Self::Own(length) => {
                let first = times.first().copied().unwrap_or(0);
                let times = times.iter().map(|time| time - first);
                Schedule::At(times.take_while(|time| u128::from(*time) < length.as_nanos()).collect())
            }
            Self::Rate(rate, length) => {
                let count = (f64::from(rate) * length.as_secs_f64()) as usize;
                let interval_ns = 1_000_000_000 / u64::from(rate.max(1));
                Schedule::At(
                    (0..times.len().min(count) as u64)
                        .map(|index| index * interval_ns)
                        .collect(),
                )
            }
            Self::Bursts => {
                let last = tape.ends.len();
                let mut ends = Vec::new();
                let mut from = tape.ends[tape.prelude - 1];
                for frame in tape.prelude..last {
                    let is_last = frame + 1 == last;
                    if is_last || tape.ends[frame + 1] - from > BURST_BYTES {
                        ends.push(frame + 1);
                        from = tape.ends[frame];
                    }
                }
                Schedule::Bursts(ends)
            }
        }
    }
}

/// A run: what `results.json` holds.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    #[serde(skip_deserializing)]
    pub(crate) machine: Option<Machine>,
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
}

/// A venue, with or without TLS, at a pace.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    venue: String,
    tls: bool,
    pace: String,
    messages: usize,
    engines: Vec<Figures>,
}

/// One engine: medians over the rounds.
#[derive(Debug, Deserialize, Serialize)]
struct Figures {
    engine: String,
    /// Of bursts: processor time for a message. Else percentiles of the latency: p50, p99, p99.9.
    values_ns: Vec<f64>,
    /// As many: the median of its ratios to ours in the same round.
    times_ours: Vec<f64>,
    /// Of bursts.
    messages_per_second: Option<f64>,
    allocations_per_message: f64,
    /// All rounds.
    #[serde(skip)]
    latency: Option<Histogram<u64>>,
}

const PERCENTILES: [f64; 3] = [0.5, 0.99, 0.999];

impl Case {
    /// Lets all have their turns.
    pub(crate) fn of(setting: &Setting, pace: &Pace, rounds: usize) -> Result<Self, Box<dyn Error>> {
        let tape = &setting.tape;
        let schedule = pace.schedule(tape);
        let mut turns: Vec<Vec<Turn>> = ENGINES.map(|_| Vec::new()).into();
        for round in 0..rounds {
            for turn in 0..ENGINES.len() {
                let index = (round + turn) % ENGINES.len();
                turns[index].push(setting.turn(ENGINES[index], &schedule)?);
            }
        }
        let values: Vec<Vec<Vec<f64>>> = turns.iter().map(|turns| values(turns)).collect();
        let engines = ENGINES
            .iter()
            .zip(&turns)
            .zip(&values)
            .map(|((engine, turns), own)| Figures {
                engine: engine.name().to_owned(),
                values_ns: own.iter().map(|rounds| median(rounds)).collect(),
                times_ours: own
                    .iter()
                    .zip(&values[OURS])
                    .map(|(own, ours)| paired_ratio(own, ours))
                    .collect(),
                messages_per_second: matches!(pace, Pace::Bursts).then(|| of_rounds(turns, |turn| turn.rate)),
                allocations_per_message: of_rounds(turns, |turn| turn.allocations),
                latency: histogram(turns),
            });
        Ok(Self {
            venue: tape.venue.name().to_owned(),
            tls: setting.tls,
            pace: pace.name(),
            messages: schedule.end(tape) - tape.prelude,
            engines: engines.collect(),
        })
    }

    fn is(&self, other: &Self) -> bool {
        (&self.venue, self.tls, &self.pace) == (&other.venue, other.tls, &other.pace)
    }

    /// A table; `before`: an earlier run.
    pub(crate) fn print(&self, before: Option<&Report>) {
        let before = before.and_then(|report| report.cases.iter().find(|case| case.is(self)));
        let tls = if self.tls { "TLS 1.3" } else { "plain TCP" };
        println!("\n{}, {tls}, {}, {} messages\n", self.venue, self.pace, self.messages);
        let is_burst = self.engines.iter().any(|of| of.messages_per_second.is_some());
        if is_burst {
            println!("| engine | CPU ns a message | messages/s | times ours | before | allocations a message |");
            println!("| --- | --: | --: | --: | --: | --: |");
        } else {
            println!("| engine | p50 us | p99 us | p99.9 us | times ours | | | before | allocations a message |");
            println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: |");
        }
        for of in &self.engines {
            let last = before.and_then(|case| case.engines.iter().find(|other| other.engine == of.engine));
            let last = last.and_then(|other| other.times_ours.first());
            let last = last.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let ratios: Vec<String> = of.times_ours.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let ratios = ratios.join(" | ");
            match of.messages_per_second {
                Some(rate) => println!(
                    "| {} | {:.0} | {rate:.0} | {ratios} | {last} | {:.2} |",
                    of.engine, of.values_ns[0], of.allocations_per_message
                ),
                None => {
                    let us: Vec<String> = of.values_ns.iter().map(|ns| format!("{:.2}", ns / 1e3)).collect();
                    println!(
                        "| {} | {} | {ratios} | {last} | {:.2} |",
                        of.engine,
                        us.join(" | "),
                        of.allocations_per_message
                    );
                }
            }
        }
    }
}

/// By figure, by round.
fn values(turns: &[Turn]) -> Vec<Vec<f64>> {
    if turns.iter().all(|turn| turn.latency_ns.is_empty()) {
        return vec![turns.iter().map(|turn| turn.cpu_ns).collect()];
    }
    let sorted = turns.iter().map(|turn| {
        let mut sorted = turn.latency_ns.clone();
        sorted.sort_unstable();
        sorted
    });
    let sorted: Vec<Vec<u64>> = sorted.collect();
    let of = |share: &f64| sorted.iter().map(|sorted| percentile(sorted, *share)).collect();
    PERCENTILES.iter().map(of).collect()
}

fn of_rounds(turns: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(of).collect::<Vec<_>>())
}

fn histogram(turns: &[Turn]) -> Option<Histogram<u64>> {
    let mut all = Histogram::new_with_bounds(1, 60_000_000_000, 3).ok()?;
    for latency_ns in turns.iter().flat_map(|turn| &turn.latency_ns) {
        all.saturating_record((*latency_ns).max(1));
    }
    (!all.is_empty()).then_some(all)
}

impl Report {
    /// How many times ours the fastest other engine is, over all venues.
    pub(crate) fn print_summary(&self) {
        if let Some(machine) = &self.machine {
            println!(
                "\n{}, {} cores, Linux {}, load {:.1}; {} turns of {} s; times ours, median [worst – best] over the venues",
                machine.cpu, machine.cores, machine.kernel, machine.load, self.rounds, self.seconds
            );
        }
        println!(
            "\n| what | TLS | {} |",
            ENGINES[..OURS]
                .iter()
                .map(|engine| engine.name())
                .collect::<Vec<_>>()
                .join(" | ")
        );
        println!("| --- | --- |{}", " --: |".repeat(OURS));
        let mut paces: Vec<(&str, bool)> = self.cases.iter().map(|case| (case.pace.as_str(), case.tls)).collect();
        paces.sort_unstable();
        paces.dedup();
        for (pace, tls) in paces {
            let of: Vec<&Case> = self
                .cases
                .iter()
                .filter(|case| (case.pace.as_str(), case.tls) == (pace, tls))
                .collect();
            let figures = of.first().map_or(0, |case| case.engines[0].times_ours.len());
            for figure in 0..figures {
                let what = match figures {
                    1 => "CPU",
                    _ => ["p50", "p99", "p99.9"][figure],
                };
                let cells = (0..OURS).map(|engine| {
                    let ratios: Vec<f64> = of.iter().map(|case| case.engines[engine].times_ours[figure]).collect();
                    let (low, high) = ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), ratio| {
                        (low.min(*ratio), high.max(*ratio))
                    });
                    format!("{:.2} [{low:.2} – {high:.2}]", median(&ratios))
                });
                let cells: Vec<String> = cells.collect();
                println!(
                    "| {pace}, {what} | {} | {} |",
                    if tls { "yes" } else { "no" },
                    cells.join(" | ")
                );
            }
        }
    }
}

/// An interval log: a line for each engine and case, tagged `ENGINE/TRANSPORT/PACE`.
pub(crate) fn write_log(path: &Path, cases: &[Case]) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Histogram log format version 1.3]");
    builder.add_comment("latencies in nanoseconds, from the moment a message should have been sent");
    let now = SystemTime::now();
    builder
        .with_start_time(now)
        .with_base_time(now)
        .with_max_value_divisor(1_000_000.0);
    let mut log = builder.begin_log_with(&mut file, &mut serializer)?;
    log.write_comment(
        "legend: \"Tag\",\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
    )?;
    for case in cases {
        for (engine, of) in ENGINES.iter().zip(&case.engines) {
            let Some(latency) = &of.latency else { continue };
            let tls = if case.tls { "tls" } else { "plain" };
            let tag = format!("{}/{tls}/{}", engine.tag(), case.pace.replace(' ', "-"));
            let tag = Tag::new(&tag).ok_or("a tag without a comma")?;
            log.write_histogram(latency, Duration::ZERO, Duration::from_secs(1), Some(tag))
                .map_err(|error| format!("{error:?}"))?;
        }
    }
    drop(log);
    Ok(file.flush()?)
}
