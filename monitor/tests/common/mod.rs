//! An engine made of nothing but a region: what the tests of this crate share.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part"
)]

use std::path::Path;

use quantumflow_region::{
    Counter, EventKind, EventWriter, GaugeF64, GaugeI64, Histogram, RegionOptions, RegionWriter, State, SubjectId,
    ThreadWriter, Timestamp, catalogue,
};

/// A directory on tmpfs, gone at the end of the test.
pub fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need /dev/shm")
}

/// When it says that it started: 2023-11-14T22:13:20Z.
pub const START: u64 = 1_700_000_000_000_000_000;

/// Its region and what it counts with.
pub struct Engine {
    pub region: RegionWriter,
    pub hot: ThreadWriter,
    pub cold: ThreadWriter,
    pub events: EventWriter,
    pub book: SubjectId,
    pub messages: Counter,
    pub updates: Counter,
    pub gaps: Counter,
    pub up: Counter,
    pub flat: Counter,
    pub parse: Histogram,
    pub total: Histogram,
    pub confidence: Histogram,
    pub bid: GaugeF64,
    pub ask: GaugeF64,
    pub spread: GaugeF64,
    pub quality: State,
    pub health: GaugeI64,
    pub last: Timestamp,
    beats: u64,
}

/// The options of the region, small so that a dozen of them fit a small /dev/shm.
pub fn options(start_unix_ns: u64) -> RegionOptions {
    let mut options = RegionOptions::new("engine", start_unix_ns);
    options.bytes = 1 << 20;
    options.max_series = 512;
    options.string_bytes = 64 << 10;
    options.writer_count = 2;
    options.cells_per_writer = 496;
    options.events_per_writer = 64;
    options.version = "0.1.0".into();
    options.revision = "abc123".into();
    options
}

impl Engine {
    pub fn start(dir: &Path) -> Self {
        Self::start_at(dir, START)
    }

    pub fn start_at(dir: &Path, start_unix_ns: u64) -> Self {
        Self::over(RegionWriter::create(dir, &options(start_unix_ns)).unwrap())
    }

    fn over(region: RegionWriter) -> Self {
        let (hot, cold) = (region.writer("hot-0").unwrap(), region.writer("housekeeping").unwrap());
        let (venue, book) = (&["binance"][..], &["binance", "BTCUSDT"][..]);
        let count = |class| hot.counter(&catalogue::PREDICTIONS, &["mlp_v1", class]).unwrap();
        let engine = Self {
            events: hot.events().unwrap(),
            book: hot.subject("binance/BTCUSDT").unwrap(),
            messages: hot.counter(&catalogue::FEED_MESSAGES, venue).unwrap(),
            updates: hot.counter(&catalogue::PRICE_UPDATES, book).unwrap(),
            gaps: hot.counter(&catalogue::BOOK_GAPS, book).unwrap(),
            up: count("up"),
            flat: count("flat"),
            parse: hot.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap(),
            total: hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap(),
            confidence: hot.histogram(&catalogue::PREDICTION_CONFIDENCE, &["mlp_v1"]).unwrap(),
            bid: hot.gauge_f64(&catalogue::BEST_BID, book).unwrap(),
            ask: hot.gauge_f64(&catalogue::BEST_ASK, book).unwrap(),
            spread: hot.gauge_f64(&catalogue::SPREAD, book).unwrap(),
            quality: hot.state(&catalogue::BOOK_QUALITY, book, 4).unwrap(),
            health: hot.gauge_i64(&catalogue::FEED_HEALTH, venue).unwrap(),
            last: hot.timestamp(&catalogue::FEED_LAST_MESSAGE, venue).unwrap(),
            hot,
            cold,
            region,
            beats: 0,
        };
        for side in ["bid", "ask"] {
            let book = ["binance", "BTCUSDT", side];
            engine.hot.gauge_i64(&catalogue::BOOK_LEVELS, &book).unwrap().set(400);
        }
        engine
            .hot
            .gauge_i64(&catalogue::MODEL_LOADED, &["mlp_v1"])
            .unwrap()
            .set(1);
        engine
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.region.path().unwrap().to_path_buf()
    }

    /// One second of work: a thousand messages, ten predictions, a beat.
    pub fn work(&mut self) {
        self.beats += 1;
        let unix_ns = START + self.beats * 1_000_000_000;
        self.hot.loop_begin();
        self.messages.add(1_000);
        self.updates.add(900);
        self.up.add(3);
        self.flat.add(7);
        for i in 0..100 {
            self.parse.record(400 + i);
            self.total.record(4_000 + 10 * i);
        }
        self.confidence.record(612_000);
        self.quality.set(0);
        self.health.set(1);
        self.bid.set(50_000.25);
        self.ask.set(50_000.5);
        self.spread.set(0.25);
        self.last.set(unix_ns);
        self.hot.loop_end();
        self.cold.loop_begin();
        self.region.live().heartbeat(unix_ns, self.beats);
        self.cold.loop_end();
    }

    /// A sequence gap, counted and noted.
    pub fn gap(&mut self) {
        self.gaps.inc();
        self.events
            .record(EventKind::SequenceGap, self.book, START + 1_500_000_000, 42, 44);
    }
}
