//! An engine without a market: a region whose numbers move as an engine's do, to look at the exporter, the live page and
//! dashboards without a feed. Its numbers are made up, from a seed; the region is a real one.
//!
//! ```text
//! cargo run -p quantumflow-exporter --example synthetic_engine -- --region-dir /dev/shm/quantumflow
//! ```

use std::error::Error;
use std::f64::consts::TAU;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use quantumflow_region::{
    Counter, GaugeF64, GaugeI64, Histogram, RegionOptions, RegionWriter, RegisterError, State, ThreadWriter, Timestamp,
    catalogue,
};

/// Writes a metrics region with made-up numbers that move.
#[derive(Parser)]
pub struct Options {
    /// Directory of the region; made where it does not exist.
    #[arg(long, value_name = "DIR")]
    region_dir: PathBuf,

    /// Name of the service: two with different names are two engines to the exporter.
    #[arg(long, default_value = "synthetic")]
    service: String,

    /// Name of the first exchange; a name with odd characters shows what a page makes of it.
    #[arg(long, default_value = "binance")]
    exchange: String,

    /// Books.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=500))]
    symbols: u16,

    /// End after so many seconds: in order, or as the next three options say.
    #[arg(long, value_name = "SECONDS")]
    end_after: Option<f64>,

    /// End by abort, as a crash does.
    #[arg(long)]
    crash: bool,

    /// Do not end, but let nothing move any more.
    #[arg(long, conflicts_with = "crash")]
    stall: bool,

    /// Do not end, but let the hot thread hang inside a round.
    #[arg(long, conflicts_with_all = ["crash", "stall"])]
    hang: bool,

    /// Start of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&Options::parse())
}

/// Writes until the end that the options name.
///
/// # Errors
/// A directory or a region that cannot be made.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&options.region_dir)?;
    let mut region_options = RegionOptions::new(&options.service, unix_ns());
    region_options.version = env!("CARGO_PKG_VERSION").into();
    let region = RegionWriter::create(&options.region_dir, &region_options)?;
    let mut market = Market::new(&region, options)?;
    println!("writing {}", region.path().unwrap_or(&options.region_dir).display());
    let began = Instant::now();
    let mut beaten = None;
    loop {
        let seconds = began.elapsed().as_secs_f64();
        if options.end_after.is_some_and(|end| seconds >= end) {
            if options.crash {
                std::process::abort();
            }
            if options.stall {
                thread::sleep(Duration::from_secs(u64::MAX));
            }
            if !options.hang {
                region.close(0);
                return Ok(());
            }
            market.hang();
        } else {
            market.round(seconds);
        }
        if beaten != Some(seconds as u64) {
            beaten = Some(seconds as u64);
            region.live().heartbeat(unix_ns(), (seconds * 1e9) as u64);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

struct Market {
    hot: ThreadWriter,
    cold: ThreadWriter,
    random: Random,
    loops: Counter,
    busy_loops: Counter,
    feeds: Vec<Feed>,
    books: Vec<Book>,
    stages: Vec<Histogram>,
    features: Histogram,
    model_latency: Histogram,
    confidence: Histogram,
    predictions: [Counter; 3],
    published: Counter,
    dropped: Counter,
    is_hung: bool,
}

struct Feed {
    health: GaugeI64,
    subscriptions: GaugeI64,
    messages: Counter,
    bytes: Counter,
    lag: GaugeI64,
    last: Timestamp,
}

struct Book {
    feed: usize,
    updates: Counter,
    gaps: Counter,
    resyncs: Counter,
    quality: State,
    bid: GaugeF64,
    ask: GaugeF64,
    spread: GaugeF64,
    levels: [GaugeI64; 2],
    /// Best bid, in ticks of a cent.
    ticks: f64,
}

/// Typical time of each stage in nanoseconds, in the catalogue's order.
const STAGE_NS: [f64; catalogue::STAGES.len()] = [
    6_000.0, 900.0, 700.0, 60.0, 420.0, 210.0, 380.0, 2_100.0, 90.0, 11_500.0,
];
const MODEL: &str = "lstm_v1";
/// Symbols, from the first on and around again with a number.
const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT"];

impl Market {
    fn new(region: &RegionWriter, options: &Options) -> Result<Self, RegisterError> {
        let hot = region.writer("hot-0")?;
        let cold = region.writer("housekeeping")?;
        hot.adopt_current_thread();
        let exchanges = [options.exchange.as_str(), "coinbase", "kraken"];
        let feeds = exchanges
            .iter()
            .map(|exchange| Feed::new(&hot, exchange))
            .collect::<Result<Vec<_>, _>>()?;
        let books = (0..usize::from(options.symbols)).map(|place| Book::new(&hot, &exchanges, place));
        let of_class = |class| hot.counter(&catalogue::PREDICTIONS, &[MODEL, class]);
        let [down, flat, up] = catalogue::CLASSES.map(of_class);
        hot.gauge_i64(&catalogue::MODEL_LOADED, &[MODEL])?.set(1);
        cold.counter(&catalogue::LOG_EVENTS_DROPPED, &[])?;
        let of_stage = |stage: &&str| hot.histogram(&catalogue::STAGE_LATENCY, &[stage]);
        Ok(Self {
            loops: hot.counter(&catalogue::HOT_LOOP_ITERATIONS, &[])?,
            busy_loops: hot.counter(&catalogue::HOT_LOOP_BUSY_ITERATIONS, &[])?,
            feeds,
            books: books.collect::<Result<_, _>>()?,
            stages: catalogue::STAGES.iter().map(of_stage).collect::<Result<_, _>>()?,
            features: hot.histogram(&catalogue::FEATURE_LATENCY, &[])?,
            model_latency: hot.histogram(&catalogue::PREDICTION_LATENCY, &[MODEL])?,
            confidence: hot.histogram(&catalogue::PREDICTION_CONFIDENCE, &[MODEL])?,
            predictions: [down?, flat?, up?],
            published: hot.counter(&catalogue::SIGNALS_PUBLISHED, &[])?,
            dropped: hot.counter(&catalogue::QUEUE_DROPPED, &["capture"])?,
            random: Random(options.seed | 1),
            hot,
            cold,
            is_hung: false,
        })
    }

    /// A hundredth of a second of a market that breathes over half a minute.
    fn round(&mut self, seconds: f64) {
        self.hot.loop_begin();
        self.cold.loop_begin();
        let tide = 1.0 + 0.6 * (seconds * TAU / 30.0).sin();
        let events = (12.0 * tide * (0.5 + self.random.share())) as u64;
        self.loops.add(20_000);
        self.busy_loops.add(events);
        for _ in 0..events {
            let place = (self.random.share() * self.books.len() as f64) as usize;
            self.event(place, tide);
        }
        for book in &mut self.books {
            book.faults(&mut self.random);
        }
        if self.random.share() < 0.001 {
            self.dropped.inc();
        }
        self.cold.loop_end();
        self.hot.loop_end();
    }

    fn event(&mut self, place: usize, tide: f64) {
        let random = &mut self.random;
        let book = &mut self.books[place];
        book.update(random);
        self.feeds[book.feed].message(random);
        for (histogram, typical) in self.stages.iter().zip(STAGE_NS) {
            histogram.record(random.latency_ns(typical * tide));
        }
        self.features.record(random.latency_ns(350.0));
        self.model_latency.record(random.latency_ns(2_000.0));
        let confidence = 0.34 + 0.6 * random.share() * random.share();
        self.confidence.record((confidence * 1e6) as u64);
        let class = (random.share() * 3.0) as usize;
        self.predictions[class.min(2)].inc();
        self.published.add(u64::from(confidence > 0.5));
    }

    /// A round that begins and does not end.
    fn hang(&mut self) {
        if !self.is_hung {
            self.hot.loop_begin();
            self.hot.breadcrumb(7);
            self.is_hung = true;
        }
    }
}

impl Feed {
    fn new(hot: &ThreadWriter, exchange: &str) -> Result<Self, RegisterError> {
        hot.counter(&catalogue::FEED_RECONNECTIONS, &[exchange])?;
        hot.counter(&catalogue::FEED_ERRORS, &[exchange, "closed"])?;
        let feed = Self {
            health: hot.gauge_i64(&catalogue::FEED_HEALTH, &[exchange])?,
            subscriptions: hot.gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &[exchange])?,
            messages: hot.counter(&catalogue::FEED_MESSAGES, &[exchange])?,
            bytes: hot.counter(&catalogue::FEED_BYTES, &[exchange])?,
            lag: hot.gauge_i64(&catalogue::FEED_LAG, &[exchange])?,
            last: hot.timestamp(&catalogue::FEED_LAST_MESSAGE, &[exchange])?,
        };
        feed.health.set(1);
        feed.subscriptions.set(4);
        Ok(feed)
    }

    fn message(&self, random: &mut Random) {
        self.messages.inc();
        self.bytes.add(180 + (random.share() * 400.0) as u64);
        self.lag.set((2.1e6 + random.share() * 4e5) as i64);
        self.last.set(unix_ns());
    }
}

impl Book {
    fn new(hot: &ThreadWriter, exchanges: &[&str], place: usize) -> Result<Self, RegisterError> {
        let feed = place % exchanges.len();
        let round = place / SYMBOLS.len();
        let symbol = SYMBOLS[place % SYMBOLS.len()];
        let symbol = if round == 0 {
            symbol.to_owned()
        } else {
            format!("{symbol}{round}")
        };
        let labels = [exchanges[feed], symbol.as_str()];
        let levels = |side| hot.gauge_i64(&catalogue::BOOK_LEVELS, &[labels[0], labels[1], side]);
        Ok(Self {
            feed,
            updates: hot.counter(&catalogue::PRICE_UPDATES, &labels)?,
            gaps: hot.counter(&catalogue::BOOK_GAPS, &labels)?,
            resyncs: hot.counter(&catalogue::BOOK_RESYNCS, &labels)?,
            quality: hot.state(&catalogue::BOOK_QUALITY, &labels, 0)?,
            bid: hot.gauge_f64(&catalogue::BEST_BID, &labels)?,
            ask: hot.gauge_f64(&catalogue::BEST_ASK, &labels)?,
            spread: hot.gauge_f64(&catalogue::SPREAD, &labels)?,
            levels: [levels("bid")?, levels("ask")?],
            ticks: 6_500_000.0 / f64::powi(4.0, (place % SYMBOLS.len()) as i32),
        })
    }

    fn update(&mut self, random: &mut Random) {
        self.updates.inc();
        self.ticks = (self.ticks + (random.share() * 7.0).floor() - 3.0).max(100.0);
        let spread = 1.0 + (random.share() * 4.0).floor();
        self.bid.set(self.ticks.floor() / 100.0);
        self.ask.set((self.ticks.floor() + spread) / 100.0);
        self.spread.set(spread / 100.0);
        self.levels[0].set(900 + (random.share() * 100.0) as i64);
        self.levels[1].set(900 + (random.share() * 100.0) as i64);
    }

    /// Now and then a gap, and a moment later the new book.
    fn faults(&mut self, random: &mut Random) {
        let resyncing = 4;
        if self.quality.get() == u64::from(resyncing) {
            if random.share() < 0.02 {
                self.quality.set(0);
            }
        } else if random.share() < 0.000_1 {
            self.gaps.inc();
            self.resyncs.inc();
            self.quality.set(resyncing);
        }
    }
}

/// xorshift64*: enough for numbers that only have to look alive.
struct Random(u64);

impl Random {
    /// From 0 up to 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around `typical`, with the long tail that latencies have.
    fn latency_ns(&mut self, typical: f64) -> u64 {
        let tail = if self.share() < 0.004 { 8.0 * self.share() } else { 0.0 };
        (typical * (0.85 + 0.3 * self.share() + tail)) as u64
    }
}
