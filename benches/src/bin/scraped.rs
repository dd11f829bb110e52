//! What being scraped costs: the engine's side, record by record, and the exporter's.
//!
//! A region as full as a large engine's (100 histograms, 5,000 series) is written by a pinned thread as fast as it goes,
//! and the time of every record is taken. Rounds with the real exporter scraping it once a second alternate with rounds
//! without, so that what the host does to both falls out of the ratios. The exporter's processor time for a scrape is
//! what the kernel accounted to its threads.
//!
//! ```console
//! $ cargo build --release -p quantumflow-exporter
//! $ cargo run --release -p quantumflow-benches --no-default-features --bin scraped -- --rounds 6 --seconds 10
//! ```

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use hdrhistogram::Histogram;
use quantumflow_region::{Counter, Metric, RegionOptions, RegionWriter, Shape, Unit};

/// What being scraped costs.
#[derive(Debug, Parser)]
struct Args {
    /// Pairs of rounds, with the scraper and without
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Length of a round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Scrapes per second
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Processor of the writer; -1 leaves it to the scheduler
    #[arg(long, default_value_t = 1)]
    core: i32,
    /// What the scraper accepts, as in the header of that name; Prometheus asks for OpenMetrics, or for protobuf where
    /// native histograms are on
    #[arg(long, default_value = "application/openmetrics-text;version=1.0.0")]
    accept: String,
    /// The exporter; beside this program if not given
    #[arg(long)]
    exporter: Option<PathBuf>,
}

static LATENCIES: Metric = Metric::latency("hft_bench_latency_seconds")
    .labels(&["number"])
    .help("A latency.");
static COUNTERS: Metric = Metric::counter("hft_bench_events_total")
    .labels(&["number"])
    .help("A count.");
static SIZES: Metric = Metric::gauge_i64("hft_bench_size_bytes")
    .labels(&["number"])
    .unit(Unit::Bytes, 0)
    .help("A size.");

const HISTOGRAMS: usize = 100;
const SERIES: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let dir = tempdir()?;
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut options = RegionOptions::new("bench", start.as_nanos() as u64);
    options.max_series = SERIES as u32 + 16;
    options.cells_per_writer = SERIES as u32 + 64;
    options.string_bytes = 1 << 20;
    options.bytes = HISTOGRAMS * Shape::LATENCY_NS.block_bytes().next_multiple_of(4096) + (8 << 20);
    let region = RegionWriter::create(&dir.0, &options)?;
    let writer = Writer::register(&region)?;
    // Housekeeping's beat: an engine in which nothing moves is not scraped.
    region.live().heartbeat(start.as_nanos() as u64, 1);

    let exporter = Exporter::start(&args, &dir.0)?;
    let stop = Arc::new(AtomicBool::new(false));
    println!(
        "{SERIES} series, {HISTOGRAMS} of them histograms; {} pairs of rounds of {} s; {} scrapes per second as {}",
        args.rounds, args.seconds, args.rate, args.accept
    );
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>12}   ratios p50, p99, p99.9",
        "", "p50 ns", "p99 ns", "p99.9 ns", "max ns"
    );
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut scrapes = Scrapes::default();
    let (mut writer, core) = (Some(writer), usize::try_from(args.core).ok());
    for _ in 0..args.rounds {
        let mut round = |with_scraper: bool| -> Result<Histogram<u64>, Box<dyn Error>> {
            stop.store(false, Ordering::Relaxed);
            let mut own = writer.take().ok_or("the writer came back")?;
            let flag = Arc::clone(&stop);
            let work = thread::spawn(move || {
                let pinned = core.is_none_or(|core| core_affinity::set_for_current(core_affinity::CoreId { id: core }));
                (own.work(&flag), own, pinned)
            });
            let end = Instant::now() + Duration::from_secs(args.seconds);
            while Instant::now() < end {
                if with_scraper {
                    scrapes.take(&exporter, &args.accept)?;
                }
                thread::sleep(
                    Duration::from_secs_f64(1.0 / args.rate).min(end.saturating_duration_since(Instant::now())),
                );
            }
            stop.store(true, Ordering::Relaxed);
            let (times, own, pinned) = work.join().map_err(|_| "the writer panicked")?;
            if !pinned {
                eprintln!("the writer cannot be pinned to this processor");
            }
            writer = Some(own);
            Ok(times)
        };
        let (without, with) = (round(false)?, round(true)?);
        let at = |times: &Histogram<u64>| [50.0, 99.0, 99.9].map(|percentile| times.value_at_percentile(percentile));
        let [before, after] = [at(&without), at(&with)];
        let own: Vec<f64> = after
            .iter()
            .zip(before)
            .map(|(with, without)| *with as f64 / without.max(1) as f64)
            .collect();
        own.iter().zip(&mut ratios).for_each(|(ratio, all)| all.push(*ratio));
        print_row("without", &without);
        print!(
            "{:>8} {:>10} {:>10} {:>10} {:>12}",
            "with",
            after[0],
            after[1],
            after[2],
            with.max()
        );
        println!("   {:.3} {:.3} {:.3}", own[0], own[1], own[2]);
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "\nmedian of the ratios with / without: p50 {:.3}, p99 {:.3}, p99.9 {:.3}",
        median(&mut ratios[0]),
        median(&mut ratios[1]),
        median(&mut ratios[2])
    );
    scrapes.print();
    Ok(())
}

fn print_row(name: &str, times: &Histogram<u64>) {
    let at = |percentile| times.value_at_percentile(percentile);
    println!(
        "{name:>8} {:>10} {:>10} {:>10} {:>12}",
        at(50.0),
        at(99.0),
        at(99.9),
        times.max()
    );
}

/// The hot thread of a large engine, reduced to its records.
struct Writer {
    histograms: Vec<quantumflow_region::Histogram>,
    counters: Vec<Counter>,
    thread: quantumflow_region::ThreadWriter,
}

impl Writer {
    fn register(region: &RegionWriter) -> Result<Self, Box<dyn Error>> {
        let thread = region.writer("hot-0")?;
        let names: Vec<String> = (0..SERIES).map(|number| format!("{number}")).collect();
        let histograms = names[..HISTOGRAMS]
            .iter()
            .map(|name| thread.histogram(&LATENCIES, &[name]));
        let histograms = histograms.collect::<Result<_, _>>()?;
        let half = (HISTOGRAMS + SERIES) / 2;
        let counters = names[HISTOGRAMS..half]
            .iter()
            .map(|name| thread.counter(&COUNTERS, &[name]));
        let counters = counters.collect::<Result<_, _>>()?;
        for name in &names[half..] {
            thread.gauge_i64(&SIZES, &[name])?.set(7);
        }
        Ok(Self {
            histograms,
            counters,
            thread,
        })
    }

    /// Records until `stop` and takes the time of each record: one histogram and one counter.
    fn work(&mut self, stop: &AtomicBool) -> Histogram<u64> {
        let mut times = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds in order");
        let mut step = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            self.thread.loop_begin();
            for _ in 0..64 {
                step = step
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let place = (step >> 33) as usize;
                let latency_ns = 500 + (step >> 40) % 4_000;
                let started = Instant::now();
                self.histograms[place % self.histograms.len()].record(latency_ns);
                self.counters[place % self.counters.len()].inc();
                times.saturating_record(started.elapsed().as_nanos() as u64);
            }
            self.thread.loop_end();
        }
        times
    }
}

/// The exporter as its own process, as it runs beside an engine.
struct Exporter {
    process: Child,
    address: String,
}

impl Exporter {
    fn start(args: &Args, dir: &Path) -> Result<Self, Box<dyn Error>> {
        let beside = std::env::current_exe()?.with_file_name("quantumflow-exporter");
        let program = args.exporter.clone().unwrap_or(beside);
        let mut process = Command::new(&program)
            .args(["--web.listen-address", "127.0.0.1:0", "--region-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}; build the exporter first", program.display()))?;
        let output = process.stdout.take().ok_or("a pipe was asked for")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.ok_or_else(|| format!("the exporter said {line:?} instead of its address"))?;
        Ok(Self {
            address: address.to_owned(),
            process,
        })
    }

    /// Nanoseconds on a processor, of all threads that are alive.
    fn cpu_ns(&self) -> io::Result<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                total += text
                    .split(' ')
                    .next()
                    .and_then(|ns| ns.parse::<u64>().ok())
                    .unwrap_or(0);
            }
        }
        Ok(total)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The connection of a scraper, which stays open as Prometheus' does, and what its scrapes cost.
#[derive(Default)]
struct Scrapes {
    stream: Option<TcpStream>,
    cpu_ns: Vec<u64>,
    body_bytes: usize,
}

impl Scrapes {
    fn take(&mut self, exporter: &Exporter, accept: &str) -> Result<(), Box<dyn Error>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(&exporter.address)?),
        };
        let before = exporter.cpu_ns()?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\n\r\n"
        )?;
        let mut answer = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            answer.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        self.body_bytes = length;
        self.cpu_ns.push(exporter.cpu_ns()?.saturating_sub(before));
        Ok(())
    }

    fn print(&mut self) {
        self.cpu_ns.sort_unstable();
        if let (Some(median), Some(most)) = (self.cpu_ns.get(self.cpu_ns.len() / 2), self.cpu_ns.last()) {
            println!(
                "a scrape of {} bytes costs the exporter {:.2} ms of processor time (median of {}; most {:.2})",
                self.body_bytes,
                *median as f64 / 1e6,
                self.cpu_ns.len(),
                *most as f64 / 1e6
            );
        }
    }
}

/// A directory on tmpfs that goes away.
struct Directory(PathBuf);

fn tempdir() -> io::Result<Directory> {
    let dir = PathBuf::from(format!("/dev/shm/quantumflow-bench-{}", std::process::id()));
    fs::create_dir(&dir)?;
    Ok(Directory(dir))
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
