//! Two hundred symbols on one connection: every book becomes live over a real socket, and is the simulator's own when
//! its market has come to rest. The simulator keeps the venues' limits: addresses, messages, subscriptions, REST weight.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use quantumflow_feeds::feed::{Feed, LinePlan, LineSlot};
use quantumflow_feeds::net::{DialOptions, Endpoint, IdleStrategy, Poller, RestClient, RestOptions, dial};
use quantumflow_feeds::sim::{LoadShape, MessageKind, SimConfig, SimHandle, SimSource, Simulator};
use quantumflow_feeds::venue::{BookReader, Session, SessionConfig, SnapshotRequest};
use quantumflow_feeds::ws::MaskSource;
use quantumflow_feeds::{Line, Side, Sink, SymbolId, UnixNanos, VenueId};
use serde_json::Value;
use sim_client::{Client, get, json};
use venue_support::Rig;

const SYMBOLS: usize = 200;

/// Names as the venue spells them; the market makes pairs around 100 of them.
fn names(venue: VenueId) -> Vec<String> {
    let letter = |index: usize| char::from(b'A' + (index % 26) as u8);
    let base = |index: usize| format!("Q{}{}", letter(index / 26), letter(index));
    (0..SYMBOLS)
        .map(|index| match venue {
            VenueId::KrakenV2 => format!("{}/USD", base(index)),
            VenueId::OkxV5 => format!("{}-USDT", base(index)),
            _ => format!("{}USDT", base(index)),
        })
        .collect()
}

/// A market of all of them that comes to rest after a while. Its books are shallow: the shallowest snapshot is a whole one.
fn start(venue: VenueId, lasting: Duration) -> SimHandle {
    let names = names(venue);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = SimConfig::market(venue, &names, 29);
    let SimSource::Market { market, load } = &mut config.source else {
        unreachable!("a market was asked for")
    };
    market.symbols.iter_mut().for_each(|symbol| symbol.level_count = 40);
    *load = LoadShape::Step {
        before: 4_000.0,
        after: 0.0,
        at: lasting,
    };
    Simulator::start(config).unwrap()
}

/// What the session said.
#[derive(Default)]
struct Heard {
    books: Vec<u64>,
    trades: u64,
    subscribed: Vec<u32>,
    /// Everything that a healthy venue gives no reason for.
    trouble: Vec<FeedEvent>,
}

impl Sink for Heard {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        self.books[update.instrument.id.index()] += 1;
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {
        self.trades += 1;
    }

    fn on_event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Subscribed { symbol } => self.subscribed[symbol.index()] += 1,
            FeedEvent::ResyncStarted {
                reason: ResyncReason::Start,
                ..
            }
            | FeedEvent::ResyncFinished { .. }
            | FeedEvent::ChecksumVerified { .. }
            | FeedEvent::ChecksumDead
            | FeedEvent::Control
            | FeedEvent::Outdated { .. } => {}
            trouble => self.trouble.push(trouble),
        }
    }
}

/// A feed on its connection, with its snapshots fetched in between.
struct Wire {
    sim: SimHandle,
    feed: Feed,
    poller: Poller,
    heard: Heard,
    rest: RestClient,
    orders: Vec<SnapshotRequest>,
    /// When each snapshot was asked for.
    fetched: Vec<UnixNanos>,
    frames: u64,
    last_frame: Instant,
}

impl Wire {
    fn open(config: &SessionConfig, sim: SimHandle) -> Self {
        let session = Session::new(config).unwrap();
        let endpoint: Endpoint = format!("{}{}", sim.ws_url(), session.websocket_path()).parse().unwrap();
        let connection = dial(&endpoint, &DialOptions::default(), MaskSource::from_seed([3; 32])).unwrap();
        let mut poller = Poller::new(
            1,
            IdleStrategy::Wait {
                timeout: Duration::from_millis(5),
            },
        )
        .unwrap();
        let mut connection = Box::new(connection);
        poller.add(0, &mut connection).unwrap();
        let mut line = Self {
            sim,
            feed: Feed::new(session, LinePlan::SINGLE),
            poller,
            heard: Heard {
                books: vec![0; SYMBOLS],
                subscribed: vec![0; SYMBOLS],
                ..Heard::default()
            },
            rest: RestClient::new(&RestOptions::default()).unwrap(),
            orders: Vec::new(),
            fetched: Vec::new(),
            frames: 0,
            last_frame: Instant::now(),
        };
        line.feed
            .attach(Line::First, connection, now(), &mut (), &mut line.heard);
        line.settle();
        line
    }

    fn turn(&mut self) {
        let wall = |_| now();
        self.poller.poll().unwrap();
        if self.poller.is_readable(0) {
            let polled = self.feed.poll(
                LineSlot::ONLY,
                &mut self.poller,
                NoClock,
                wall,
                &mut (),
                &mut self.heard,
            );
            let progress = polled.unwrap_or_else(|(_, lost)| panic!("the connection was lost: {lost}"));
            self.frames += progress.frames;
            if progress.frames > 0 {
                self.last_frame = Instant::now();
            }
            self.settle();
        }
        self.feed.tick(now(), &mut self.heard);
        self.settle();
        while let Some(due) = self.orders.iter().position(|order| order.not_before <= now()) {
            let order = self.orders.swap_remove(due);
            let path = self.feed.session().rest_path(order.symbol).unwrap();
            self.fetched.push(now());
            let body = self.rest.get(&format!("{}{path}", self.sim.rest_url()));
            let body = body.unwrap_or_else(|error| panic!("snapshot {}: {error}", self.fetched.len()));
            let mut snapshot = BookReader::new(self.feed.session().venue()).snapshot(body);
            self.feed.snapshot(
                order.symbol,
                Ok(&mut snapshot),
                now(),
                NoClock,
                &mut (),
                &mut self.heard,
            );
            self.settle();
        }
    }

    fn settle(&mut self) {
        let Self { feed, orders, .. } = self;
        feed.settle(now, &mut (), |order| orders.push(order))
            .unwrap_or_else(|(_, lost)| panic!("the connection was lost: {lost}"));
    }

    fn live(&self) -> usize {
        let is_live = |symbol: &usize| self.feed.session().book(SymbolId(*symbol as u16)).is_some();
        (0..SYMBOLS).filter(is_live).count()
    }

    /// Until all books are live, and after that until the market has come to rest.
    fn run(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while self.live() < SYMBOLS || self.last_frame.elapsed() < Duration::from_millis(400) {
            self.turn();
            assert!(
                Instant::now() < deadline,
                "{} of {SYMBOLS} books, {:?}",
                self.live(),
                self.heard.trouble
            );
        }
    }

    /// The book of a symbol: price to quantity, bids and asks.
    fn book(&self, symbol: usize) -> [BTreeMap<i64, i64>; 2] {
        let book = self.feed.session().book(SymbolId(symbol as u16)).unwrap();
        [Side::Bid, Side::Ask].map(|side| book.levels(side).map(|level| (level.price.0, level.qty.0)).collect())
    }

    /// What was wrong on the way: nothing.
    fn assert_health(&self) {
        assert_eq!(self.heard.trouble, []);
        assert!(self.heard.subscribed.iter().all(|count| *count > 0));
        let least = self.heard.books.iter().min().unwrap();
        assert!(*least >= 2, "every book has had updates: {:?}", self.heard.books);
        assert!(self.heard.trades > 100);
        assert_eq!(
            self.frames,
            self.sim.stats().text_messages().messages,
            "messages read and sent"
        );
    }

    /// The same book, read from the venue's JSON.
    fn truth(&self, symbol: usize, sides: [&Value; 2]) -> [BTreeMap<i64, i64>; 2] {
        let scale = self.feed.instruments()[symbol].scale;
        let number = |value: &Value, decimals: u8| {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
            (number * 10_f64.powi(decimals.into())).round() as i64
        };
        let part = |level: &Value, at: usize, key: &str| match level.get(key) {
            Some(value) => value.clone(),
            None => level[at].clone(),
        };
        sides.map(|levels| {
            let level = |level: &Value| {
                let price = number(&part(level, 0, "price"), scale.price);
                (price, number(&part(level, 1, "qty"), scale.qty))
            };
            levels.as_array().unwrap().iter().map(level).collect()
        })
    }
}

fn now() -> UnixNanos {
    UnixNanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}

fn config(venue: VenueId) -> SessionConfig {
    SessionConfig {
        backlog_bytes: 256 << 10,
        ..SessionConfig::new(venue, names(venue))
    }
}

#[test]
fn binance_books_are_spliced_within_the_budget_and_end_as_the_venues() {
    // A snapshot costs 5 and 158 ms: 190 at once, then one by one.
    let config = SessionConfig {
        depth: 100,
        rest_weight_per_minute: 1_900,
        ..config(VenueId::BinanceSpot)
    };
    let session = Session::new(&config).unwrap();
    assert!(
        session.websocket_path().len() < 8_004,
        "an address that the venue takes"
    );
    drop(session);
    let mut line = Wire::open(&config, start(VenueId::BinanceSpot, Duration::from_secs(7)));
    line.run();
    line.assert_health();
    assert!(
        line.sim.stats().messages_received >= 1,
        "what has no room in the address is asked for by message"
    );
    for (index, name) in names(config.venue).iter().enumerate() {
        let (status, _, body) = get(line.sim.addr, &format!("/api/v3/depth?symbol={name}&limit=500"));
        assert_eq!(status, 200);
        let body = json(std::str::from_utf8(&body).unwrap());
        assert_eq!(
            line.book(index),
            line.truth(index, [&body["bids"], &body["asks"]]),
            "{name}"
        );
    }
    // Any stretch of time costs no more than its share and the burst of half a minute.
    assert!(line.fetched.len() >= SYMBOLS);
    for (first, from) in line.fetched.iter().enumerate() {
        for (last, until) in line.fetched.iter().enumerate().skip(first) {
            let cost = 5.0 * (last - first + 1) as f64;
            let share = 1_900.0 * (until.since(*from) as f64 / 60e9 + 0.5);
            assert!(cost <= share + 5.0, "{cost} from request {first} to {last}");
        }
    }
}

#[test]
fn okx_books_come_in_the_stream_and_end_as_the_venues() {
    let config = config(VenueId::OkxV5);
    let mut line = Wire::open(&config, start(config.venue, Duration::from_secs(4)));
    line.run();
    line.assert_health();
    assert_eq!(line.fetched, [], "no book needed REST");
    for (index, name) in names(config.venue).iter().enumerate() {
        let (status, _, body) = get(line.sim.addr, &format!("/api/v5/market/books?instId={name}&sz=400"));
        assert_eq!(status, 200);
        let body = json(std::str::from_utf8(&body).unwrap());
        let book = &body["data"][0];
        assert_eq!(
            line.book(index),
            line.truth(index, [&book["bids"], &book["asks"]]),
            "{name}"
        );
    }
}

#[test]
fn kraken_books_come_in_the_stream_and_end_as_the_venues() {
    let config = config(VenueId::KrakenV2);
    let mut line = Wire::open(&config, start(config.venue, Duration::from_secs(4)));
    line.run();
    // Heartbeats go on, so that what was read is counted before anyone else listens.
    line.assert_health();
    let list: Vec<String> = names(config.venue).iter().map(|name| format!("{name:?}")).collect();
    let symbols = list.join(",");
    let mut client = Client::connect(&line.sim, "/v2");
    client.send(&format!(
        r#"{{"method":"subscribe","params":{{"channel":"book","symbol":[{symbols}],"depth":25}}}}"#
    ));
    assert_truth_of_snapshots(&line, &mut client, |message| {
        (message["channel"] == "book").then(|| (message["data"][0]["symbol"].clone(), ["bids", "asks"], "data"))
    });
}

#[test]
fn bybit_books_come_in_the_stream_and_end_as_the_venues() {
    let config = config(VenueId::BybitSpot);
    let mut line = Wire::open(&config, start(config.venue, Duration::from_secs(4)));
    line.run();
    line.assert_health();
    assert_eq!(
        line.sim.stats().sent(MessageKind::Refusal).messages,
        0,
        "no request of more than ten topics"
    );
    let mut client = Client::connect(&line.sim, "/v5/public/spot");
    for names in names(config.venue).chunks(10) {
        let topics: Vec<String> = names.iter().map(|name| format!("\"orderbook.50.{name}\"")).collect();
        client.send(&format!(r#"{{"op":"subscribe","args":[{}]}}"#, topics.join(",")));
    }
    assert_truth_of_snapshots(&line, &mut client, |message| {
        (message["type"] == "snapshot").then(|| (message["data"]["s"].clone(), ["b", "a"], "data"))
    });
}

/// Compares every book with the snapshot that another client is sent. `pick` finds in a message whose it is, and the keys
/// of its sides.
fn assert_truth_of_snapshots(
    line: &Wire,
    client: &mut Client,
    pick: impl Fn(&Value) -> Option<(Value, [&'static str; 2], &'static str)>,
) {
    let names = names(line.feed.session().venue());
    let mut seen = [false; SYMBOLS];
    while seen.contains(&false) {
        let message = json(&client.text());
        let Some((symbol, sides, data)) = pick(&message) else {
            continue;
        };
        let index = names.iter().position(|name| symbol == name.as_str()).unwrap();
        let data = if message[data].is_array() {
            &message[data][0]
        } else {
            &message[data]
        };
        let sides = sides.map(|side| &data[side]);
        assert_eq!(line.book(index), line.truth(index, sides), "{symbol}");
        seen[index] = true;
    }
}

#[test]
fn at_the_defaults_the_books_of_two_hundred_symbols_take_sixteen_minutes_and_those_of_a_thousand_levels_three() {
    for (depth, expected_seconds) in [(5_000, 970), (1_000, 170), (500, 70), (100, 0)] {
        let config = SessionConfig {
            depth,
            ..config(VenueId::BinanceSpot)
        };
        let mut rig = Rig::open(&config);
        rig.out.clear();
        let mut requests = Vec::new();
        for name in names(VenueId::BinanceSpot) {
            let stream = name.to_lowercase();
            rig.frame(&format!(
                r#"{{"stream":"{stream}@depth@100ms","data":{{"e":"depthUpdate","E":1700000000000,"s":"{name}","U":7,"u":9,"b":[["1.00","2.0"]],"a":[]}}}}"#
            ));
            requests.extend_from_slice(rig.out.snapshot_requests());
            rig.out.clear();
        }
        assert_eq!(requests.len(), SYMBOLS);
        let last = requests.iter().map(|request| request.not_before).max().unwrap();
        assert_eq!(last.since(rig.now) / 1_000_000_000, expected_seconds, "depth {depth}");
    }
}
