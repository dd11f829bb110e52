//! Ratios of this project's receive path to the libraries that users could take instead.
//!
//! A signal is late by what the path before it takes. If a ratio here falls towards one, the reason to run this engine
//! falls with it. Run it on an idle machine; ratios are of rounds in which all engines took turns, and nothing is
//! asserted about time. What is asserted: every engine ends with the same book.
//!
//! ```text
//! cargo run --release -p quantumflow-benches --no-default-features --features peers --bin peers -- --help
//! ```

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use quantumflow_benches::depth::Wire;
use quantumflow_benches::meter::{Counting, allocations, thread_ns};
use quantumflow_benches::peers::loopback::{Pace, Sender};
use quantumflow_benches::peers::memory::{Feed, MemoryStream};
use quantumflow_benches::peers::parse::{OwnScanner, Parse, SerdeTyped, SimdTape, SimdTyped, SonicTyped};
use quantumflow_benches::peers::receive::{Boomnet, Fast, Own, OwnSession, Pipeline, Probe, Receive, Tungstenite};
use quantumflow_benches::peers::sockets::{Socket, async_socket, runtime};
use quantumflow_benches::report::{Machine, Row, median, paired_ratio, percentile, range};
use quantumflow_benches::rivals::{ArrayBook, DepthBook, TreeBook};
use quantumflow_feeds::Side;
use quantumflow_feeds::book::Book;

/// Compares the receive path with other libraries, in turns, and prints ratios.
#[derive(Debug, Parser)]
#[command(after_help = "Example: peers --only receive,parse --rounds 31 --json > peers.json")]
struct Args {
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Metric::value_variants().to_vec())]
    only: Vec<Metric>,
    /// Changes per side and message.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 200])]
    levels: Vec<usize>,
    /// Rounds in memory; over loopback a third of it.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// How numbers are printed on the wire.
    #[arg(long, value_enum, default_value = "futures")]
    wire: WireArg,
    /// Seed of the messages.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// User-space receive path from memory, and its allocations.
    Receive,
    /// Payload to changes.
    Parse,
    /// From the sender's clock before write to the book, open loop, p50 and p99.
    Wire,
    /// Messages per second when the sender does not wait.
    Burst,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WireArg {
    /// Two and three decimals, as on Binance's USD-M futures: 21 bytes a level.
    Futures,
    /// Eight decimals, as on Binance spot: 33 bytes a level.
    Spot,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let machine = Machine::read();
    let mut rows = Vec::new();
    for &levels in &args.levels {
        let wire = match args.wire {
            WireArg::Futures => Wire::Futures,
            WireArg::Spot => Wire::Spot,
        };
        // About 2 MB of frames: more than the caches next to the core, as a day of them is.
        let count = (50_000 / levels).clamp(400, 10_000);
        let feed = Rc::new(Feed::new(levels, count, wire, args.seed));
        eprintln!("L{levels}: {count} messages of {} bytes", feed.payload_bytes_mean());
        if args.only.contains(&Metric::Receive) {
            receive_path(&feed, args.rounds, &mut rows);
        }
        if args.only.contains(&Metric::Parse) {
            parse_only(&feed, args.rounds, &mut rows);
        }
        if args.only.contains(&Metric::Wire) {
            wire_to_book(&feed, args.rounds.div_ceil(3), &mut rows)?;
        }
        if args.only.contains(&Metric::Burst) {
            burst(&feed, args.rounds.div_ceil(3), &mut rows)?;
        }
    }
    if args.json {
        let report = serde_json::json!({
            "machine": machine, "rounds": args.rounds, "wire": format!("{:?}", args.wire), "seed": args.seed, "rows": rows,
        });
        println!("{report:#}");
    } else {
        print(&machine, &args, &rows);
    }
    Ok(())
}

/// The name of our engine in every table.
const OURS: &str = "quantumflow";

fn work<P: Parse, B: DepthBook>() -> Pipeline<P, B> {
    Pipeline::default()
}

type MemoryEngine = (&'static str, fn(MemoryStream, u64) -> Box<dyn Receive>);

/// Engines on a stream in memory; the last is ours.
const MEMORY_ENGINES: [MemoryEngine; 6] = [
    ("tokio-tungstenite, serde_json typed, BTreeMap", |stream, _| {
        Box::new(Tungstenite::new(runtime(), stream, work::<SerdeTyped, TreeBook>()))
    }),
    ("fastwebsockets, simd-json typed, BTreeMap", |stream, _| {
        Box::new(Fast::new(runtime(), stream, work::<SimdTyped, TreeBook>()))
    }),
    ("boomnet, sonic-rs typed, BTreeMap", |stream, _| {
        Box::new(Boomnet::new(stream, work::<SonicTyped, TreeBook>()))
    }),
    ("boomnet, simd-json tape, sorted array", |stream, _| {
        Box::new(Boomnet::new(stream, work::<SimdTape, ArrayBook>()))
    }),
    ("quantumflow, whole session", |stream, snapshot_id| {
        Box::new(OwnSession::new(stream, snapshot_id))
    }),
    (OURS, |stream, _| Box::new(Own::new(stream, work::<OwnScanner, Book>()))),
];

fn receive_path(feed: &Rc<Feed>, rounds: usize, rows: &mut Vec<Row>) {
    let warm = feed.len() / 5;
    let mut ns = vec![Vec::new(); MEMORY_ENGINES.len()];
    let mut counts = vec![Vec::new(); MEMORY_ENGINES.len()];
    for round in 0..rounds {
        for turn in 0..MEMORY_ENGINES.len() {
            let index = (round + turn) % MEMORY_ENGINES.len();
            let mut engine = MEMORY_ENGINES[index].1(MemoryStream::new(Rc::clone(feed)), feed.snapshot_id);
            let measured = feed.len() - engine.receive(warm);
            let (ns_before, allocations_before) = (thread_ns(), allocations());
            engine.receive(feed.len());
            let (ns_after, allocations_after) = (thread_ns(), allocations());
            assert_same_book(engine.as_ref(), feed, MEMORY_ENGINES[index].0);
            ns[index].push((ns_after - ns_before) as f64 / measured as f64);
            counts[index].push((allocations_after - allocations_before) as f64 / measured as f64);
        }
    }
    let names: Vec<String> = MEMORY_ENGINES.iter().map(|engine| engine.0.to_owned()).collect();
    push_rows(
        rows,
        "receive_path",
        feed.levels,
        "ns/msg",
        &names,
        &ns,
        Ratio::TimesFasterByTime,
    );
    push_rows(rows, "allocations", feed.levels, "1/msg", &names, &counts, Ratio::None);
}

fn parse_only(feed: &Feed, rounds: usize, rows: &mut Vec<Row>) {
    let mut names = Vec::new();
    let mut ns = vec![Vec::new(); 5];
    let mut parsers: Vec<(&str, Pass<'_>)> = vec![
        parser::<SerdeTyped>(feed),
        parser::<SimdTyped>(feed),
        parser::<SimdTape>(feed),
        parser::<SonicTyped>(feed),
        parser::<OwnScanner>(feed),
    ];
    let sums: Vec<i64> = parsers.iter_mut().map(|parser| parser.1()).collect();
    assert!(sums.iter().all(|&sum| sum == sums[0]), "the parsers disagree: {sums:?}");
    for round in 0..rounds {
        for turn in 0..parsers.len() {
            let index = (round + turn) % parsers.len();
            let before = thread_ns();
            black_box(parsers[index].1());
            ns[index].push((thread_ns() - before) as f64 / feed.len() as f64);
        }
    }
    names.extend(parsers.iter().map(|parser| parser.0.to_owned()));
    let ours = names.len() - 1;
    names[ours] = OURS.to_owned();
    push_rows(
        rows,
        "parse",
        feed.levels,
        "ns/msg",
        &names,
        &ns,
        Ratio::TimesFasterByTime,
    );
    let bytes = feed.payload_bytes_mean() as f64;
    let rates: Vec<Vec<f64>> = ns.iter().map(|ns| ns.iter().map(|ns| bytes / ns).collect()).collect();
    push_rows(rows, "parse_rate", feed.levels, "GB/s", &names, &rates, Ratio::None);
}

/// Parses all payloads and returns a sum over all numbers.
type Pass<'a> = Box<dyn FnMut() -> i64 + 'a>;

/// A pass over all payloads that ends with a sum over all numbers.
fn parser<P: Parse + 'static>(feed: &Feed) -> (&'static str, Pass<'_>) {
    let mut parser = P::default();
    let pass = move || {
        let mut sum = 0_i64;
        for index in 0..feed.len() {
            parser.parse(black_box(feed.payload(index)), |side, price, quantity| {
                sum = sum.wrapping_mul(3).wrapping_add(price ^ quantity ^ side as i64);
            });
        }
        sum
    };
    (P::NAME, Box::new(pass))
}

type SocketEngine = (&'static str, fn(std::net::SocketAddr) -> io::Result<Box<dyn Receive>>);

/// Engines on a socket; the last is ours.
const SOCKET_ENGINES: [SocketEngine; 4] = [
    ("tokio-tungstenite, serde_json typed, BTreeMap", |address| {
        let runtime = runtime();
        let stream = runtime.block_on(async_socket(address))?;
        Ok(Box::new(Tungstenite::new(
            runtime,
            stream,
            work::<SerdeTyped, TreeBook>(),
        )))
    }),
    ("fastwebsockets, simd-json typed, BTreeMap", |address| {
        let runtime = runtime();
        let stream = runtime.block_on(async_socket(address))?;
        Ok(Box::new(Fast::new(runtime, stream, work::<SimdTyped, TreeBook>())))
    }),
    ("boomnet, sonic-rs typed, BTreeMap, spinning", |address| {
        Ok(Box::new(Boomnet::new(
            Socket::connect(address)?,
            work::<SonicTyped, TreeBook>(),
        )))
    }),
    (OURS, |address| {
        Ok(Box::new(Own::new(
            Socket::connect(address)?,
            work::<OwnScanner, Book>(),
        )))
    }),
];

fn wire_to_book(feed: &Feed, rounds: usize, rows: &mut Vec<Row>) -> io::Result<()> {
    let count = feed.len().min(2_000);
    let interval = Duration::from_micros(if feed.levels >= 200 { 500 } else { 250 });
    let mut p50 = vec![Vec::new(); SOCKET_ENGINES.len()];
    let mut p99 = vec![Vec::new(); SOCKET_ENGINES.len()];
    for round in 0..rounds {
        for turn in 0..SOCKET_ENGINES.len() {
            let index = (round + turn) % SOCKET_ENGINES.len();
            let start = Instant::now();
            let (bytes, ends) = head(feed, count);
            let sender = Sender::new(bytes, ends, Pace::Every(interval), start)?;
            let mut engine = SOCKET_ENGINES[index].1(sender.address)?;
            let sent_ns = Arc::clone(&sender.sent_ns);
            engine.set_probe(Probe {
                start,
                sent_ns,
                latency_ns: Vec::with_capacity(count),
                from: 0,
            });
            engine.receive(count);
            sender.join()?;
            let mut latencies = engine.take_probe().map(|probe| probe.latency_ns).unwrap_or_default();
            latencies.drain(..count / 10); // warm-up
            latencies.sort_unstable();
            p50[index].push(percentile(&latencies, 0.5) / 1_000.0);
            p99[index].push(percentile(&latencies, 0.99) / 1_000.0);
        }
    }
    let names: Vec<String> = SOCKET_ENGINES.iter().map(|engine| engine.0.to_owned()).collect();
    push_rows(rows, "wire_to_book_p50", feed.levels, "us", &names, &p50, Ratio::OfPeer);
    push_rows(rows, "wire_to_book_p99", feed.levels, "us", &names, &p99, Ratio::OfPeer);
    Ok(())
}

fn burst(feed: &Feed, rounds: usize, rows: &mut Vec<Row>) -> io::Result<()> {
    let warm = feed.len() / 5;
    let (bytes, ends) = head(feed, feed.len());
    let mut rate = vec![Vec::new(); SOCKET_ENGINES.len()];
    for round in 0..rounds {
        for turn in 0..SOCKET_ENGINES.len() {
            let index = (round + turn) % SOCKET_ENGINES.len();
            let start = Instant::now();
            let sender = Sender::new(Arc::clone(&bytes), Arc::clone(&ends), Pace::Burst, start)?;
            let mut engine = SOCKET_ENGINES[index].1(sender.address)?;
            let measured = feed.len() - engine.receive(warm);
            let before = Instant::now();
            engine.receive(feed.len());
            let seconds = before.elapsed().as_secs_f64();
            sender.join()?;
            assert_same_book(engine.as_ref(), feed, SOCKET_ENGINES[index].0);
            rate[index].push(measured as f64 / seconds);
        }
    }
    let names: Vec<String> = SOCKET_ENGINES.iter().map(|engine| engine.0.to_owned()).collect();
    push_rows(
        rows,
        "burst",
        feed.levels,
        "msg/s",
        &names,
        &rate,
        Ratio::TimesFasterByRate,
    );
    Ok(())
}

/// The first `count` frames.
fn head(feed: &Feed, count: usize) -> (Arc<[u8]>, Arc<[usize]>) {
    let ends: Arc<[usize]> = feed.ends[..count].into();
    let bytes: Arc<[u8]> = feed.bytes[..ends.last().copied().unwrap_or(0)].into();
    (bytes, ends)
}

fn assert_same_book(engine: &dyn Receive, feed: &Feed, name: &str) {
    for (side, expected) in [Side::Bid, Side::Ask].into_iter().zip(&feed.book) {
        assert!(
            engine.levels(side) == *expected,
            "{name} ended with another book on the {side:?} side"
        );
    }
}

/// What to write beside a peer.
#[derive(Clone, Copy)]
enum Ratio {
    TimesFasterByTime,
    TimesFasterByRate,
    OfPeer,
    None,
}

/// Adds a row per engine; the last one is ours.
fn push_rows(
    rows: &mut Vec<Row>,
    metric: &'static str,
    levels: usize,
    unit: &'static str,
    names: &[String],
    values: &[Vec<f64>],
    ratio: Ratio,
) {
    let ours = values.len() - 1;
    for (index, (name, of_engine)) in names.iter().zip(values).enumerate() {
        let (peer, own) = (of_engine.as_slice(), values[ours].as_slice());
        let (value, ratio_is) = match ratio {
            Ratio::TimesFasterByTime => (Some(paired_ratio(peer, own)), "times faster"),
            Ratio::TimesFasterByRate => (Some(paired_ratio(own, peer)), "times faster"),
            Ratio::OfPeer => (Some(paired_ratio(own, peer)), "of peer"),
            Ratio::None => (None, ""),
        };
        rows.push(Row {
            metric,
            levels,
            engine: name.clone(),
            unit,
            median: median(of_engine),
            range: range(of_engine),
            ratio: value.filter(|_| index != ours),
            ratio_is,
        });
    }
}

fn print(machine: &Machine, args: &Args, rows: &[Row]) {
    println!(
        "{}, {} cores, Linux {}, built for {}, load {:.1}; {} rounds in turns, seed {}, {:?} numbers",
        machine.cpu,
        machine.cores,
        machine.kernel,
        if machine.target_features.is_empty() {
            "baseline".to_owned()
        } else {
            machine.target_features.join("+")
        },
        machine.load,
        args.rounds,
        args.seed,
        args.wire,
    );
    let mut heading = ("", 0);
    for row in rows {
        if heading != (row.metric, row.levels) {
            heading = (row.metric, row.levels);
            println!("\n{} L{} ({})", row.metric, row.levels, row.unit);
        }
        let ratio = row
            .ratio
            .map_or(String::new(), |ratio| format!("{ratio:>6.2} {}", row.ratio_is));
        let digits = if row.median >= 100.0 { 0 } else { 2 };
        println!(
            "  {:<48} {:>11.digits$}  [{:.digits$} – {:.digits$}]  {ratio}",
            row.engine, row.median, row.range[0], row.range[1]
        );
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
