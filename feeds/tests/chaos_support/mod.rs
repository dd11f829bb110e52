//! One venue in a storm: the simulator, a feed on real sockets beside it, and a judge as its sink.
//!
//! The client is what an engine is made of: [`dial`], [`Backoff`], [`Poller`], [`Feed`], and a thread that fetches REST
//! books with [`RestClient`]. Only its clock is not the world's: it runs [`HASTE`] times as fast, so that time-outs of
//! seconds pass in tenths of them.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on fails; the module is private to it"
)]

mod judge;
mod storm;
mod truth;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::SnapshotFault;
use quantumflow_feeds::feed::{Feed, LinePlan, LineSlot};
use quantumflow_feeds::net::{
    Backoff, BackoffOptions, DialOptions, IdleStrategy, Poller, RestClient, RestError, RestOptions, dial,
};
use quantumflow_feeds::sim::{Chaos, LoadShape, MarketConfig, SimConfig, SimHandle, SimSource, SimStats, Simulator};
use quantumflow_feeds::venue::{BookReader, RestSnapshot, Session, SessionConfig, SnapshotRequest};
use quantumflow_feeds::ws::MaskSource;
use quantumflow_feeds::{Line, Quality, SymbolId, UnixNanos, VenueId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use judge::Tally;
use judge::{Judge, Proof};
use storm::restarts;
pub use storm::{hidden_storm, storm};

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub venue: VenueId,
    pub stats: SimStats,
    pub tally: Tally,
    /// Connections that were lost, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    pub took: Duration,
}

/// Lets one venue rage until so many faults have struck, then calms it, and holds the client to the truth all the while.
///
/// # Errors
/// What was wrong, and when.
pub fn ride(venue: VenueId, storm: Chaos, faults: u64) -> Result<Report, String> {
    let mut client = Client::start(venue, storm);
    let result = client.ride(faults);
    let report = client.finish();
    match result {
        Ok(()) => Ok(report),
        Err(words) => Err(format!("{words}\n{}\n{:?}", report.stats, report.tally)),
    }
}

/// A clock that runs faster than the world's.
#[derive(Clone, Copy)]
struct HastyClock {
    origin: Instant,
    start: UnixNanos,
    haste: u32,
}

impl HastyClock {
    fn new(start: UnixNanos, haste: u32) -> Self {
        Self {
            origin: Instant::now(),
            start,
            haste,
        }
    }

    fn now(&self) -> UnixNanos {
        UnixNanos(self.start.0 + self.origin.elapsed().as_nanos() as u64 * u64::from(self.haste))
    }
}

type SnapshotReply = (SymbolId, Result<RestSnapshot, SnapshotFault>);

struct Client {
    venue: VenueId,
    sim: Rc<SimHandle>,
    feed: Feed,
    judge: Judge,
    poller: Poller,
    clock: HastyClock,
    backoff: Backoff,
    rng: ChaCha8Rng,
    dial_at: Instant,
    dialled_at: Instant,
    next_tick: Instant,
    orders: Option<Sender<SnapshotRequest>>,
    replies: Receiver<SnapshotReply>,
    fetcher: Option<JoinHandle<()>>,
    lost: BTreeMap<&'static str, u64>,
    started: Instant,
}

impl Client {
    fn start(venue: VenueId, storm: Chaos) -> Self {
        let seed = storm.seed;
        let symbols = symbols(venue);
        let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
        let mut market = MarketConfig::preset(venue, &names, seed);
        for symbol in &mut market.symbols {
            // Below what a REST book holds, so that every book is whole; above the windows of the other venues.
            symbol.level_count = 500;
        }
        let sim = Simulator::start(SimConfig {
            source: SimSource::Market {
                market: market.clone(),
                load: LoadShape::Natural { speed: 1.5 },
            },
            depth_interval_ms: Some(0),
            // The client's minute is the venue's six seconds.
            enforce_limits: false,
            faults: restarts(venue, &names, seed),
            chaos: Some(storm),
            ..SimConfig::market(venue, &names, seed)
        });
        let sim = Rc::new(sim.unwrap());
        let mut config = SessionConfig::new(venue, symbols);
        if venue == VenueId::BinanceSpot {
            config.depth = 1_000; // all levels of these books, and less of the budget
        }
        config.connection_silence = config
            .connection_silence
            .map(|silence| silence.min(Duration::from_secs(10)));
        // What is known of a silence after a minute of any market, these would have to learn in seconds.
        config.book_silence = Duration::from_secs(5);
        config.subscription_timeout = Duration::from_secs(5);
        let session = Session::new(&config).unwrap();
        let clock = HastyClock::new(START, HASTE);
        let instruments = session.instruments().iter();
        let urls = instruments
            .filter_map(|instrument| session.rest_path(instrument.id))
            .map(|path| format!("{}{path}", sim.rest_url()))
            .collect();
        let (orders, taken) = channel();
        let (delivered, replies) = channel();
        let fetcher = thread::spawn(move || fetch(venue, urls, clock, &taken, &delivered));
        let now = Instant::now();
        Self {
            venue,
            judge: Judge::new(Rc::clone(&sim), &market, Proof::of(venue)),
            sim,
            feed: Feed::new(session, LinePlan::SINGLE),
            poller: Poller::new(1, IdleStrategy::Wait { timeout: LOOK_EVERY }).unwrap(),
            clock,
            backoff: Backoff::new(BackoffOptions {
                first: Duration::from_millis(20),
                max: Duration::from_millis(100),
                ..BackoffOptions::default()
            }),
            rng: ChaCha8Rng::seed_from_u64(seed),
            dial_at: now,
            dialled_at: now,
            next_tick: now,
            orders: Some(orders),
            replies,
            fetcher: Some(fetcher),
            lost: BTreeMap::new(),
            started: now,
        }
    }

    fn ride(&mut self, faults: u64) -> Result<(), String> {
        // Some faults take a second: an engine has to wait before it gives a silent connection up.
        let patience = Duration::from_secs(30) + Duration::from_millis(400) * faults as u32;
        let sim = Rc::clone(&self.sim);
        self.until("the storm rages on", patience, |_| sim.stats().faults_fired >= faults)?;
        sim.calm();
        if Proof::of(self.venue).quality == Quality::Unverified {
            // Nothing but another connection mends what nothing can detect.
            self.give_up("renewed");
        }
        let ids: Vec<SymbolId> = (0..SYMBOLS as u16).map(SymbolId).collect();
        let before: Vec<u64> = ids.iter().map(|id| self.judge.books(*id)).collect();
        self.until("a book has not come back", Duration::from_secs(30), |client| {
            let is_back = |(id, before): (&SymbolId, &u64)| {
                client.feed.session().book(*id).is_some() && client.judge.books(*id) > before + BOOKS_AFTER_THE_STORM
            };
            ids.iter().zip(&before).all(is_back)
        })?;
        // A market that stands still looks like a feed that has died: the client is given time to find it does not.
        self.clock = HastyClock::new(self.clock.now(), 1);
        sim.halt_market();
        let (mut events, mut stands_since) = (0, Instant::now());
        self.until("a book is not the market's last", Duration::from_secs(10), |client| {
            if std::mem::replace(&mut events, sim.stats().market_events) != events {
                stands_since = Instant::now();
            }
            // Until it has heard of the halt it goes on.
            stands_since.elapsed() > STANDSTILL && ids.iter().all(|id| client.is_at(*id, events))
        })
    }

    fn is_at(&mut self, symbol: SymbolId, events: u64) -> bool {
        let session = self.feed.session();
        let is_proven = session.quality(symbol) == Proof::of(self.venue).quality;
        let instrument = &session.instruments()[symbol.index()];
        session
            .book(symbol)
            .is_some_and(|book| is_proven && self.judge.is_at(instrument, book, events))
    }

    /// Goes on until it `is_done`, or something is wrong.
    fn until(
        &mut self,
        failure: &str,
        patience: Duration,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            self.turn();
            if let Some(wrong) = self.judge.tally.wrong.take() {
                return Err(wrong);
            }
            if Instant::now() >= self.next_tick {
                self.tick();
                if is_done(self) {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(format!("{failure}: {}", self.standing()));
            }
        }
    }

    /// One round of what a hot thread does.
    fn turn(&mut self) {
        if !self.feed.is_connected() && Instant::now() >= self.dial_at {
            self.connect();
        }
        while let Ok((symbol, mut snapshot)) = self.replies.try_recv() {
            let snapshot = snapshot.as_mut().map_err(|fault| *fault);
            self.feed
                .snapshot(symbol, snapshot, self.clock.now(), NoClock, &mut (), &mut self.judge);
            self.settle();
        }
        self.poller.poll().unwrap();
        if self.poller.is_readable(0) {
            let clock = self.clock;
            let polled = self.feed.poll(
                LineSlot::ONLY,
                &mut self.poller,
                NoClock,
                |_| clock.now(),
                &mut (),
                &mut self.judge,
            );
            match polled {
                Ok(_) => self.settle(),
                Err((_, lost)) => self.give_up(lost.reason()),
            }
        }
        if self.poller.take_writable(0) {
            self.settle();
        }
    }

    /// Time has passed: the session is told, and what it shows is looked at.
    fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK_EVERY;
        self.feed.tick(self.clock.now(), &mut self.judge);
        self.settle();
        let session = self.feed.session();
        for instrument in session.instruments() {
            self.judge.look(instrument, session.book(instrument.id));
        }
    }

    fn settle(&mut self) {
        let (clock, orders) = (self.clock, self.orders.as_ref());
        let settled = self.feed.settle(
            || clock.now(),
            &mut (),
            |request| orders.unwrap().send(request).unwrap(),
        );
        if let Err((_, lost)) = settled {
            self.give_up(lost.reason());
        }
    }

    fn connect(&mut self) {
        let path = self.feed.session().websocket_path();
        let endpoint = format!("{}{path}", self.sim.ws_url()).parse().unwrap();
        self.dialled_at = Instant::now();
        match dial(&endpoint, &DialOptions::default(), MaskSource::from_os().unwrap()) {
            Ok(connection) => {
                let mut connection = Box::new(connection);
                self.poller.add(0, &mut connection).unwrap();
                self.feed
                    .attach(Line::First, connection, self.clock.now(), &mut (), &mut self.judge);
                self.settle();
            }
            Err(_) => self.wait("not_dialled"),
        }
    }

    /// The connection is over.
    fn give_up(&mut self, reason: &'static str) {
        if let Some(mut connection) = self
            .feed
            .detach(Line::First, self.clock.now(), &mut (), &mut self.judge)
        {
            self.poller.remove(0, &mut connection).unwrap();
            self.wait(reason);
        }
    }

    fn wait(&mut self, reason: &'static str) {
        *self.lost.entry(reason).or_default() += 1;
        let lived = self.dialled_at.elapsed();
        self.dial_at = Instant::now() + self.backoff.next_delay(lived, None, &mut self.rng);
    }

    /// How everything stands, for the words of a failure.
    fn standing(&self) -> String {
        let session = self.feed.session();
        let events = self.sim.stats().market_events;
        let books = session.instruments().iter().map(|instrument| {
            let difference = session.book(instrument.id).map_or_else(
                || "not shown".to_owned(),
                |book| self.judge.difference(instrument, book),
            );
            format!(
                "  {}: {:?}, {difference}\n",
                instrument.symbol,
                session.quality(instrument.id)
            )
        });
        format!(
            "after {events} events, connected: {}, lost: {:?}\n{}{}",
            self.feed.is_connected(),
            self.lost,
            books.collect::<String>(),
            self.judge.last_events()
        )
    }

    fn finish(mut self) -> Report {
        self.feed
            .detach(Line::First, self.clock.now(), &mut (), &mut self.judge);
        self.orders = None;
        let fetched = self.fetcher.take().map(JoinHandle::join);
        assert!(matches!(fetched, Some(Ok(()))), "the fetching thread panicked");
        Report {
            venue: self.venue,
            stats: self.sim.stats(),
            tally: self.judge.tally,
            lost: self.lost,
            took: self.started.elapsed(),
        }
    }
}

/// The thread that fetches books, one after the other, none before its time.
fn fetch(
    venue: VenueId,
    urls: Vec<String>,
    clock: HastyClock,
    orders: &Receiver<SnapshotRequest>,
    replies: &Sender<SnapshotReply>,
) {
    let mut reader = BookReader::new(venue);
    let client = RestClient::new(&RestOptions::default()).unwrap();
    let mut waiting: Vec<SnapshotRequest> = Vec::new();
    loop {
        match orders.recv_timeout(LOOK_EVERY) {
            Ok(order) => waiting.push(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = clock.now();
        let Some(due) = waiting.iter().position(|order| order.not_before <= now) else {
            continue;
        };
        let symbol = waiting.swap_remove(due).symbol;
        let fetched = client.get(&urls[symbol.index()]).map_err(|error| match error {
            RestError::Truncated { .. } | RestError::BodyTooLarge { .. } => SnapshotFault::Malformed,
            _ => SnapshotFault::Unavailable,
        });
        if replies
            .send((symbol, fetched.map(|body| reader.snapshot(body))))
            .is_err()
        {
            return;
        }
    }
}

fn symbols(venue: VenueId) -> Vec<String> {
    let (quote, between) = match venue {
        VenueId::KrakenV2 => ("USD", "/"),
        VenueId::OkxV5 => ("USDT", "-"),
        VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => ("USD", "-"),
        _ => ("USDT", ""),
    };
    // Different decimals of prices and quantities.
    let bases: [&str; SYMBOLS] = ["BTC", "SOL", "DOGE"];
    bases.iter().map(|base| format!("{base}{between}{quote}")).collect()
}

/// How many seconds of the client pass in one of the world.
const HASTE: u32 = 10;
/// When the client's clock begins.
const START: UnixNanos = UnixNanos(1_785_000_000_000_000_000);
const SYMBOLS: usize = 3;
/// What each symbol has to show once the storm is over.
const BOOKS_AFTER_THE_STORM: u64 = 30;
/// After so long without an event the market has been halted.
const STANDSTILL: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(1);
const TICK_EVERY: Duration = Duration::from_millis(10);
