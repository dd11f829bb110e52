//! Socket to signal, open loop: how late does a strategy hear of a message?
//!
//! A regression here is money: it is the delay between the moment when a venue's message should have left and the moment
//! when its signal lies in the ring. A server sends messages at fixed times over a real loopback socket, with TLS; the
//! engine's own hot loop reads, decrypts, parses, keeps the book, computes features, runs the model and publishes.
//! The clock of a message starts when it *should* have been sent. A stall of anybody's is paid by every message behind
//! it, as it would be in the market: there is no coordinated omission.
//!
//! Prints percentiles and writes an HdrHistogram interval log (V2): the tag `total` second by second, and one tag per
//! stage for the whole run. Values are nanoseconds.
//!
//! ```console
//! $ cargo run --release -p quantumflow-benches --bin end_to_end -- --rate 5000 --levels 10 --seconds 10 --hlog e2e.hlog
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Parser;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use quantumflow::cold::Models;
use quantumflow::config::ModelSource;
use quantumflow::hot::{
    ColdSide, FeedLine, FeedSlot, HotMetrics, Mailbox, MailboxSizes, Output, PredictSink, Prediction, Shard,
    SnapshotReply, SymbolOrigin,
};
use quantumflow::model::{self, Model, ModelSet};
use quantumflow::os::{self, TimeBase, TscClock};
use quantumflow_benches::depth::{self, DepthUpdate, Wire};
use quantumflow_benches::upgrade::upgrade;
use quantumflow_feeds::feed::{Feed, LinePlan};
use quantumflow_feeds::net::{
    DialOptions, Endpoint, IdleStrategy, Poller, TestCertificate, TlsClientConfig, TlsRoots, TlsServerConfig,
    TlsServerOptions, TlsServerStream, dial,
};
use quantumflow_feeds::venue::{BookReader, Session, SessionConfig};
use quantumflow_feeds::ws::{MaskSource, Opcode, encode_frame};
use quantumflow_feeds::{Clock, Ticks, VenueId};
use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, Snapshot, catalogue};

/// Socket to signal, open loop.
#[derive(Debug, Parser)]
struct Args {
    /// Messages per second, sent at fixed times
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Levels per side in each message
    #[arg(long, default_value_t = 10)]
    levels: usize,
    /// Length of the measured part
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Without TLS
    #[arg(long)]
    plain: bool,
    /// Processor of the hot thread; -1 leaves it to the scheduler
    #[arg(long, default_value_t = 1)]
    core: i32,
    /// Hand other models over every so many milliseconds while the messages come
    #[arg(long)]
    swap_every_ms: Option<u64>,
    /// Write the interval log here
    #[arg(long)]
    hlog: Option<PathBuf>,
}

/// Messages that are sent before the measured ones: the model's window, caches, branch predictors.
const WARM_UP_SECONDS: u32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let count = (args.rate * (args.seconds + WARM_UP_SECONDS)) as usize;
    eprintln!("making {count} messages of {} levels a side", args.levels);
    let updates = depth::updates(args.levels, count, 7);
    let plan = Arc::new(Plan::new(&updates, args.rate));
    let model = model::load_source(&ModelSource::Builtin("mlp_v1".to_owned()))?;

    let server = Server::bind(!args.plain)?;
    let mut hot = Hot::new(&server, &plan, &model)?;
    let stop = Arc::new(AtomicBool::new(false));
    let time = TimeBase::calibrate(Duration::from_millis(200));
    let started = SystemTime::now();

    let sender = {
        let plan = Arc::clone(&plan);
        let stream = server.accepted.join().map_err(|_| "the server did not come up")??;
        thread::spawn(move || send(stream, &plan, time))
    };
    let helper = hot.answer_snapshots(&updates[0], &stop);
    let swaps = args.swap_every_ms.map(|every_ms| {
        let set = ModelSet::from(Arc::clone(&model));
        hot.swap_models(set, Duration::from_millis(every_ms), &stop)
    });
    let engine = {
        let (stop, core) = (Arc::clone(&stop), usize::try_from(args.core).ok());
        let mut shard = hot.shard.take().ok_or("the shard is there")?;
        thread::spawn(move || {
            if core.is_some_and(|core| !os::pin_thread(core)) {
                eprintln!("the hot thread cannot be pinned");
            }
            shard.run(&stop).map(|()| shard.into_output())
        })
    };
    let sent = sender.join().map_err(|_| "the sender panicked")??;
    thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::Relaxed);
    let published = engine.join().map_err(|_| "the hot thread panicked")??;
    helper.join().map_err(|_| "the snapshot helper panicked")?;
    if let Some(swaps) = swaps {
        println!(
            "{} changes of models",
            swaps.join().map_err(|_| "the models thread panicked")?
        );
    }

    let first = (args.rate * WARM_UP_SECONDS) as usize;
    let run = Run::new(&plan, &sent, &published, first, args.rate, time)?;
    let snapshot = RegionReader::of(&hot.region)?.snapshot()?;
    run.print(&args, &snapshot);
    if let Some(path) = &args.hlog {
        run.write_log(path, started, &snapshot)?;
        println!("interval log in {}", path.display());
    }
    Ok(())
}

/// What is sent, and when.
struct Plan {
    frames: Vec<Vec<u8>>,
    last_ids: Vec<u64>,
    interval: Duration,
}

impl Plan {
    fn new(updates: &[DepthUpdate], rate: u32) -> Self {
        let frame = |update: &DepthUpdate| {
            let mut frame = Vec::new();
            encode_frame(
                true,
                Opcode::Text,
                depth::json(update, Wire::Spot).as_bytes(),
                None,
                &mut frame,
            );
            frame
        };
        Self {
            frames: updates.iter().map(frame).collect(),
            last_ids: updates.iter().map(|update| update.last_id).collect(),
            interval: Duration::from_secs(1) / rate,
        }
    }
}

/// The venue's end, before and after its client has come.
struct Server {
    address: std::net::SocketAddr,
    authority_pem: Option<String>,
    accepted: thread::JoinHandle<std::io::Result<Stream>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsServerStream<TcpStream>>),
}

impl Stream {
    fn both(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Server {
    fn bind(with_tls: bool) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut authority_pem = None;
        let mut tls = None;
        if with_tls {
            let certificate = TestCertificate::generate(["localhost", "127.0.0.1"], SystemTime::now())?;
            let (chain, key) = (certificate.certificate_pem.as_bytes(), certificate.key_pem.as_bytes());
            tls = Some(TlsServerConfig::new(chain, key, &TlsServerOptions::default())?);
            authority_pem = Some(certificate.authority_pem);
        }
        let accepted = thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut stream = match &tls {
                Some(tls) => Stream::Tls(Box::new(TlsServerStream::accept(tls, stream)?)),
                None => Stream::Plain(stream),
            };
            upgrade(stream.both())?;
            Ok(stream)
        });
        Ok(Self {
            address,
            authority_pem,
            accepted,
        })
    }

    fn endpoint(&self, path: &str) -> String {
        let scheme = if self.authority_pem.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.address)
    }
}

/// Sends every frame at its time, spinning in between, and returns when each should have been sent. The first ones wait
/// for the engine to have its snapshot.
fn send(mut stream: Stream, plan: &Plan, time: TimeBase) -> std::io::Result<Vec<Ticks>> {
    let stream = stream.both();
    let interval = time.ticks_in(plan.interval);
    let start = TscClock.ticks().0 + time.ticks_in(Duration::from_millis(300));
    let mut due = Vec::with_capacity(plan.frames.len());
    for (index, frame) in plan.frames.iter().enumerate() {
        let at = Ticks(start + interval * index as u64);
        while TscClock.ticks() < at {
            std::hint::spin_loop();
        }
        stream.write_all(frame)?;
        due.push(at);
    }
    stream.flush()?;
    Ok(due)
}

/// The engine's end.
struct Hot {
    shard: Option<Shard<Published, ()>>,
    models: Option<Models>,
    cold: ColdSide,
    region: RegionWriter,
}

/// When each signal was published. All memory is reserved before the run.
struct Published(Vec<(u64, Ticks)>);

impl Output for Published {
    #[inline]
    fn publish(&mut self, prediction: &Prediction<'_>) {
        self.0.push((prediction.update.update_id, TscClock.ticks()));
    }
}

impl Hot {
    fn new(server: &Server, plan: &Plan, model: &Arc<Model>) -> Result<Self, Box<dyn Error>> {
        let venue = VenueId::BinanceSpot;
        let session = Session::new(&SessionConfig::new(venue, ["BTCUSDT"]))?;
        let origins = [SymbolOrigin {
            feed: 0,
            venue,
            symbol: "BTCUSDT".to_owned(),
        }];
        let endpoint: Endpoint = server.endpoint(session.websocket_path()).parse()?;
        let tls = match &server.authority_pem {
            Some(pem) => Some(TlsClientConfig::new(TlsRoots::Pem(pem.as_bytes()))?),
            None => None,
        };
        let connection = dial(
            &endpoint,
            &DialOptions {
                tls,
                ..DialOptions::default()
            },
            MaskSource::from_os()?,
        )?;
        let mut options = RegionOptions::new("bench", 1);
        options.bytes = 8 << 20;
        let region = RegionWriter::private(&options)?;
        let metrics = HotMetrics::register(region.writer("hot-0")?, &origins);
        let (mailbox, cold) = Mailbox::new(MailboxSizes {
            feeds: 1,
            symbols: 1,
            events: 64,
        });
        cold.deliver_connection(FeedLine::at_slot(0), Box::new(connection))
            .map_err(|_| "the mailbox is empty")?;
        let output = Published(Vec::with_capacity(plan.frames.len()));
        let time = TimeBase::calibrate(Duration::from_millis(100));
        let mut models = Models::new(&region, origins.len());
        let lineup = models.lineup(&ModelSet::from(Arc::clone(model)), 0.5)?;
        let sink = PredictSink::new(&origins, Some(lineup), output, metrics, mailbox, time);
        let poller = Poller::new(FeedLine::slots(1), IdleStrategy::Spin)?;
        let shard = Shard::new(
            vec![FeedSlot::new(Feed::new(session, LinePlan::SINGLE), ())],
            poller,
            sink,
        );
        Ok(Self {
            shard: Some(shard),
            models: Some(models),
            cold,
            region,
        })
    }

    /// Hands the same models over again and again, each time made anew; returns how often all had changed over.
    fn swap_models(&mut self, set: ModelSet, every: Duration, stop: &Arc<AtomicBool>) -> thread::JoinHandle<u32> {
        let (cold, stop, models) = (self.cold.clone(), Arc::clone(stop), self.models.take());
        thread::spawn(move || {
            let mut done = 0;
            let Some(mut models) = models else { return done };
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(every);
                if let Ok(lineup) = models.lineup(&set, 0.5) {
                    // Too early where the hot thread has not taken the last one.
                    let _ = cold.deliver_lineup(Box::new(lineup));
                }
                while let Some(spent) = cold.take_spent_lineup() {
                    done += u32::from(spent.waiting() == 0);
                }
            }
            done
        })
    }

    /// Answers the session's orders: one deep level a side, right before the first message.
    fn answer_snapshots(&self, first: &DepthUpdate, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
        let (cold, stop, id) = (self.cold.clone(), Arc::clone(stop), first.first_id - 1);
        thread::spawn(move || {
            let body = format!(r#"{{"lastUpdateId":{id},"bids":[["1.25","1.001"]],"asks":[["999999.25","1.001"]]}}"#);
            let mut reader = BookReader::new(VenueId::BinanceSpot);
            while !stop.load(Ordering::Relaxed) {
                if let Some(order) = cold.take_snapshot_order() {
                    let _ = cold.deliver_snapshot(SnapshotReply {
                        feed: order.feed,
                        symbol: order.symbol,
                        snapshot: Ok(Box::new(reader.snapshot(body.clone().into_bytes()))),
                    });
                }
                cold.drop_spent_snapshots();
                thread::sleep(Duration::from_millis(1));
            }
        })
    }
}

/// What was measured.
struct Run {
    /// By second of the run.
    seconds: Vec<Histogram<u64>>,
    total: Histogram<u64>,
    missing: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that the library accepts")
}

impl Run {
    fn new(
        plan: &Plan,
        due: &[Ticks],
        published: &Published,
        first: usize,
        rate: u32,
        time: TimeBase,
    ) -> Result<Self, Box<dyn Error>> {
        let mut run = Self {
            seconds: Vec::new(),
            total: histogram(),
            missing: 0,
        };
        let mut signals = published.0.iter().peekable();
        for (index, (id, due)) in plan.last_ids.iter().zip(due).enumerate().skip(first) {
            while signals.next_if(|(other, _)| other < id).is_some() {}
            let second = (index - first) / rate as usize;
            if run.seconds.len() <= second {
                run.seconds.resize_with(second + 1, histogram);
            }
            match signals.next_if(|(other, _)| other == id) {
                Some((_, at)) => {
                    let latency_ns = time.nanos(at.since(*due)).max(1);
                    run.seconds[second].saturating_record(latency_ns);
                    run.total.saturating_record(latency_ns);
                }
                None => run.missing += 1,
            }
        }
        if run.total.is_empty() {
            return Err("no signal came of any message".into());
        }
        Ok(run)
    }

    fn print(&self, args: &Args, snapshot: &Snapshot) {
        let tls = if args.plain { "plain TCP" } else { "TLS 1.3" };
        println!(
            "{}, {} cores",
            machine(),
            thread::available_parallelism().map_or(0, usize::from)
        );
        println!(
            "open loop, {} messages/s of {} levels a side over {tls}, {} signals, {} messages without one\n",
            args.rate,
            args.levels,
            self.total.len(),
            self.missing
        );
        println!(
            "{:<12} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "us", "p50", "p90", "p99", "p99.9", "max"
        );
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(self.total.value_at_quantile(quantile));
        println!(
            "{:<12} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>10.2}   from the moment it should have been sent",
            "to signal",
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            us(self.total.max())
        );
        for stage in catalogue::STAGES {
            let Some(of) = snapshot.histogram(catalogue::STAGE_LATENCY.name, &[("stage", stage)]) else {
                continue;
            };
            let at = |percentile| us(of.value_at_percentile(percentile));
            println!(
                "{stage:<12} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>10.2}",
                at(50.0),
                at(90.0),
                at(99.0),
                at(99.9),
                us(of.max())
            );
        }
    }

    fn write_log(&self, path: &Path, started: SystemTime, snapshot: &Snapshot) -> Result<(), Box<dyn Error>> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment("[Histogram log format version 1.3]");
        builder
            .add_comment("latencies in nanoseconds; the tag `total` from the moment a message should have been sent");
        builder
            .with_start_time(started)
            .with_base_time(started)
            .with_max_value_divisor(1_000_000.0);
        let mut log = builder.begin_log_with(&mut file, &mut serializer)?;
        log.write_comment(
            "legend: \"Tag\",\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
        )?;
        let total = Tag::new("total").ok_or("a tag without a comma")?;
        let second = Duration::from_secs(1);
        for (index, histogram) in self.seconds.iter().enumerate() {
            log.write_histogram(
                histogram,
                second * (WARM_UP_SECONDS + index as u32),
                second,
                Some(total),
            )
            .map_err(|error| format!("{error:?}"))?;
        }
        for stage in catalogue::STAGES {
            let Some(of) = snapshot.histogram(catalogue::STAGE_LATENCY.name, &[("stage", stage)]) else {
                continue;
            };
            let mut copy = histogram();
            for (value, count) in of.buckets() {
                copy.saturating_record_n(value.max(1), count);
            }
            let length = second * (WARM_UP_SECONDS + self.seconds.len() as u32);
            log.write_histogram(&copy, Duration::ZERO, length, Tag::new(stage))
                .map_err(|error| format!("{error:?}"))?;
        }
        drop(log);
        Ok(file.flush()?)
    }
}

/// The processor's name, for the reader of the numbers.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown processor", |(_, name)| name.trim()).to_owned()
}
