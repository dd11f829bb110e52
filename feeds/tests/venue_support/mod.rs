//! What the tests of sessions, captures and replays share: the recordings, and a sink that remembers.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use quantumflow_feeds::capture::{CaptureReader, Record};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::{BookUpdate, FeedEvent, SnapshotFault, Stamps, TopOfBook, Trade};
use quantumflow_feeds::venue::{BookReader, Outbox, Session, SessionConfig, SnapshotPurpose};
use quantumflow_feeds::{Line, Side, Sink, SymbolId, UnixNanos, VenueId};

/// The recordings of those names, or `None` with a printed word where they are absent.
pub fn recordings(names: &[&str]) -> Option<Vec<PathBuf>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    match paths.iter().find(|path| !path.exists()) {
        None => Some(paths),
        Some(absent) => {
            println!("skipped: no recording at {}", absent.display());
            None
        }
    }
}

pub const BINANCE: [&str; 2] = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"];
pub const BYBIT: [&str; 1] = ["bybit/reshaped_v5_orderbook50.jsonl.gz"];
pub const USDM: [&str; 1] = ["binance/usdm/btcusdt_20240808.gz"];
pub const KRAKEN_10: [&str; 1] = ["kraken/kraken_v2_btcusd_l2.jsonl.gz"];
pub const KRAKEN_25: [&str; 1] = ["kraken/kraken_v2_btcusd_sample.jsonl.gz"];
pub const OKX_2022: [&str; 1] = ["okx/okx_v5_books_20220513.jsonl.gz"];
pub const OKX_TODAY: [&str; 1] = ["okx/reshaped_books_2026_seqid.jsonl.gz"];
pub const COINBASE_ADVANCED: [&str; 1] = ["coinbase/reshaped_advanced_l2_data.jsonl.gz"];
pub const COINBASE_EXCHANGE: [&str; 1] = ["coinbase/coinbase_exchange_level2_10pairs_20210417.jsonl.gz"];
/// Of both recordings.
pub const COINBASE_PRODUCTS: [&str; 10] = [
    "SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC", "YFI-BTC", "DASH-BTC", "NU-GBP", "CRV-EUR", "SKL-GBP",
];

/// The frames of recordings with their times, up to `limit`.
pub fn frames(paths: &[PathBuf], limit: usize) -> Vec<(UnixNanos, String)> {
    let mut reader = CaptureReader::open(paths).unwrap();
    let mut frames = Vec::new();
    while frames.len() < limit {
        match reader.next_record().unwrap() {
            Some(Record::Frame { receive_time, frame }) => {
                frames.push((receive_time, String::from_utf8(frame.to_vec()).unwrap()));
            }
            Some(_) => {}
            None => break,
        }
    }
    frames
}

/// Every call of a session, without its stamps: a line each, the book as a hash of all its levels.
#[derive(Default)]
pub struct Log {
    pub calls: Vec<String>,
    pub events: Vec<FeedEvent>,
}

impl Sink for Log {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let mut hasher = DefaultHasher::new();
        for side in [Side::Bid, Side::Ask] {
            update
                .book
                .levels(side)
                .for_each(|level| (level.price, level.qty).hash(&mut hasher));
        }
        let BookUpdate {
            instrument,
            update_id,
            exchange_time,
            quality,
            is_snapshot,
            changes,
            ..
        } = update;
        self.calls.push(format!(
            "book {instrument:?} {update_id} {exchange_time:?} {quality:?} {is_snapshot} {changes:?} {:x}",
            hasher.finish()
        ));
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        self.calls.push(format!("{trade:?}"));
    }

    fn on_top(&mut self, top: &TopOfBook<'_>, _: &Stamps) {
        self.calls.push(format!("{top:?}"));
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.calls.push(format!("{event:?}"));
        self.events.push(event);
    }
}

impl Log {
    /// The calls about one symbol of several.
    pub fn count(&self, is_it: impl Fn(&FeedEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is_it(event)).count()
    }
}

/// A session, open, with its outbox and a log.
pub struct Rig {
    pub session: Session,
    pub out: Outbox,
    pub log: Log,
    pub now: UnixNanos,
}

impl Rig {
    pub fn open(config: &SessionConfig) -> Self {
        let mut rig = Self {
            session: Session::new(config).unwrap(),
            out: Outbox::new(),
            log: Log::default(),
            now: UnixNanos(1_700_000_000_000_000_000),
        };
        rig.session.on_open(rig.now, &mut rig.log, &mut rig.out);
        rig
    }

    pub fn binance(symbols: &[&str]) -> Self {
        Self::open(&SessionConfig::new(VenueId::BinanceSpot, symbols.iter().copied()))
    }

    pub fn usdm(symbols: &[&str]) -> Self {
        Self::open(&SessionConfig::new(VenueId::BinanceUsdm, symbols.iter().copied()))
    }

    pub fn kraken(symbols: &[&str]) -> Self {
        let config = SessionConfig::new(VenueId::KrakenV2, symbols.iter().copied());
        Self::open(&SessionConfig { depth: 10, ..config })
    }

    pub fn okx(symbols: &[&str]) -> Self {
        Self::open(&SessionConfig::new(VenueId::OkxV5, symbols.iter().copied()))
    }

    pub fn frame(&mut self, frame: &str) {
        let mut stamps = Stamps {
            receive_time: self.now,
            ..Stamps::default()
        };
        self.session
            .on_frame(frame.as_bytes(), &mut stamps, NoClock, &mut self.log, &mut self.out);
    }

    /// A second connection opens.
    pub fn open_line(&mut self, line: Line) {
        self.session.select(line);
        self.session.on_open(self.now, &mut self.log, &mut self.out);
    }

    pub fn close_line(&mut self, line: Line) {
        self.session.select(line);
        self.session.on_close(&mut self.log);
    }

    pub fn frame_on(&mut self, line: Line, frame: &str) {
        self.session.select(line);
        self.frame(frame);
    }

    pub fn snapshot(&mut self, symbol: u16, reply: Result<&str, SnapshotFault>) {
        let mut stamps = Stamps {
            receive_time: self.now,
            ..Stamps::default()
        };
        let mut reply = reply.and_then(|body| BookReader::new(self.session.venue()).snapshot(body.into()).book);
        self.session.on_rest_book(
            SymbolId(symbol),
            reply.as_mut().map_err(|fault| *fault),
            &mut stamps,
            NoClock,
            &mut self.log,
            &mut self.out,
        );
    }

    /// Gives the session a REST body to hold the shown book against.
    pub fn checkpoint(&mut self, symbol: u16, reply: Result<&str, SnapshotFault>) {
        let symbol = SymbolId(symbol);
        let read = |body: &str| BookReader::new(self.session.venue()).checkpoint(symbol, body.as_bytes());
        let reply = reply.and_then(read);
        let reply = reply.as_ref().map_err(|fault| *fault);
        self.session
            .on_checkpoint(symbol, reply, self.now, &mut self.log, &mut self.out);
    }

    /// The symbols that the outbox wants checkpoints of; it is emptied.
    pub fn checkpoints_ordered(&mut self) -> Vec<u16> {
        let all = self.out.snapshot_requests().iter();
        let checkpoints = all.filter(|request| request.purpose == SnapshotPurpose::Checkpoint);
        let symbols = checkpoints.map(|request| request.symbol.0).collect();
        self.out.clear();
        symbols
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = UnixNanos(self.now.0 + ms * 1_000_000);
        self.session.on_timer(self.now, &mut self.log, &mut self.out);
    }

    pub fn is_shown(&self, symbol: u16) -> bool {
        self.session.book(SymbolId(symbol)).is_some()
    }

    /// The requests of the outbox, which is emptied.
    pub fn sent(&mut self) -> Vec<String> {
        let frames = self.out.frames().map(str::to_owned).collect();
        self.out.clear();
        frames
    }
}
