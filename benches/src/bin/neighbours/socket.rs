//! A feed on a real socket, open loop: from the moment when a message should have been sent to its book.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quantumflow_benches::upgrade::upgrade;
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::feed::{Feed, LinePlan, LineSlot};
use quantumflow_feeds::net::{DialOptions, Endpoint, IdleStrategy, Poller, dial};
use quantumflow_feeds::venue::{BookReader, RestSnapshot, Session, SessionConfig, SnapshotRequest};
use quantumflow_feeds::ws::{MaskSource, Opcode, encode_frame};
use quantumflow_feeds::{BookUpdate, FeedEvent, Line, Sink, Stamps, SymbolId, Trade, UnixNanos, VenueId};

use crate::Args;
use crate::load::Load;
use crate::report::Round;

pub(crate) fn round(args: &Args, load: &Arc<Load>, is_troubled: bool) -> Result<Round, Box<dyn Error>> {
    let mut config = SessionConfig::new(VenueId::BinanceSpot, load.names.iter().cloned());
    config.depth = args.depth;
    config.rest_weight_per_minute = args.weight.unwrap_or(config.rest_weight_per_minute);
    let session = Session::new(&config)?;

    let start = Instant::now() + Duration::from_secs(1);
    let said = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint: Endpoint = format!("ws://{}{}", listener.local_addr()?, session.websocket_path()).parse()?;
    let venue = {
        let (load, said) = (Arc::clone(load), Arc::clone(&said));
        thread::spawn(move || send(&listener, &load, is_troubled, &said, start))
    };
    let (orders, wanted) = mpsc::channel();
    let (replies, fetched) = mpsc::channel();
    let rest = {
        let load = Arc::clone(load);
        thread::spawn(move || answer(&load, &said, &wanted, &replies))
    };

    let mut poller = Poller::new(1, IdleStrategy::Spin)?;
    let mut connection = Box::new(dial(&endpoint, &DialOptions::default(), MaskSource::from_os()?)?);
    poller.add(0, &mut connection)?;
    let mut line = Wire {
        feed: Feed::new(session, LinePlan::SINGLE),
        ear: Ear::new(load, start),
        orders,
    };
    line.feed.attach(Line::First, connection, now(), &mut (), &mut line.ear);
    for symbol in 0..load.names.len() {
        let mut snapshot = BookReader::new(VenueId::BinanceSpot).snapshot(load.first_snapshot().into());
        line.feed.snapshot(
            SymbolId(symbol as u16),
            Ok(&mut snapshot),
            now(),
            NoClock,
            &mut (),
            &mut line.ear,
        );
    }
    line.settle()?;
    let mut next_tick = start;
    loop {
        if poller.poll()?.ready > 0 && poller.is_readable(0) {
            let polled = line
                .feed
                .poll(LineSlot::ONLY, &mut poller, NoClock, |_| now(), &mut (), &mut line.ear);
            if polled.is_err() {
                break; // the last message was read: the venue has hung up
            }
            line.settle()?;
        }
        if let Ok(mut snapshot) = fetched.try_recv() {
            let started = Instant::now();
            line.feed
                .snapshot(SymbolId(0), Ok(&mut snapshot), now(), NoClock, &mut (), &mut line.ear);
            line.ear
                .round
                .snapshots
                .saturating_record(started.elapsed().as_nanos() as u64);
            line.settle()?;
        }
        if Instant::now() >= next_tick {
            next_tick += Duration::from_millis(10);
            line.feed.tick(now(), &mut line.ear);
            line.settle()?;
        }
    }
    let Wire { ear, feed, orders } = line;
    drop((feed, orders));
    venue.join().map_err(|_| "the venue panicked")??;
    rest.join().map_err(|_| "the REST thread panicked")?;
    Ok(ear.round)
}

/// Sends every message at its time, but those that are lost. `said` is how many diffs of the troubled symbol there are.
fn send(listener: &TcpListener, load: &Load, is_troubled: bool, said: &AtomicUsize, start: Instant) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    upgrade(&mut stream)?;
    let mut bytes = Vec::new();
    for arrival in &load.arrivals {
        bytes.clear();
        encode_frame(true, Opcode::Text, arrival.frame.as_bytes(), None, &mut bytes);
        let due = start + Duration::from_nanos(arrival.at_ns);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        if !(is_troubled && load.is_lost(arrival)) {
            stream.write_all(&bytes)?;
        }
        if arrival.symbol == 0 {
            said.store(arrival.place + 1, Ordering::Relaxed);
        }
    }
    // The reader empties its socket before it hears of the end.
    thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// Answers requests for the troubled symbol's book when their time has come, until nobody can ask any more.
fn answer(load: &Load, said: &AtomicUsize, wanted: &Receiver<SnapshotRequest>, replies: &Sender<RestSnapshot>) {
    let mut reader = BookReader::new(VenueId::BinanceSpot);
    let mut book = load.book();
    for request in wanted {
        let wait_ns = request.not_before.since(now()).max(0) as u64;
        thread::sleep(Duration::from_nanos(wait_ns));
        book.catch_up(&load.troubled[..said.load(Ordering::Relaxed)]);
        if replies.send(reader.snapshot(book.snapshot().into())).is_err() {
            return;
        }
    }
}

struct Wire {
    feed: Feed,
    ear: Ear,
    orders: Sender<SnapshotRequest>,
}

impl Wire {
    fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        let orders = &self.orders;
        let order = |request| {
            // A receiver that is gone shows when its thread is joined.
            let _ = orders.send(request);
        };
        self.feed.settle(now, &mut (), order).map_err(|(_, lost)| lost.into())
    }
}

/// Measures what it hears of the healthy symbols.
struct Ear {
    round: Round,
    /// When each diff should have been sent, by symbol.
    due: Vec<Vec<Instant>>,
    /// How many of them were heard, and up to which id.
    heard: Vec<usize>,
    last_ids: Vec<Vec<u64>>,
    measured_from: Instant,
}

impl Ear {
    fn new(load: &Load, start: Instant) -> Self {
        let mut due = vec![Vec::new(); load.names.len()];
        let mut last_ids = vec![Vec::new(); load.names.len()];
        for arrival in &load.arrivals {
            due[arrival.symbol].push(start + Duration::from_nanos(arrival.at_ns));
            last_ids[arrival.symbol].push(arrival.last_id);
        }
        Self {
            round: Round::default(),
            heard: vec![0; due.len()],
            due,
            last_ids,
            measured_from: start + WARM_UP,
        }
    }
}

impl Sink for Ear {
    #[inline]
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let symbol = update.instrument.id.index();
        if symbol == 0 {
            return;
        }
        let place = self.heard[symbol];
        assert_eq!(
            self.last_ids[symbol][place], update.update_id,
            "every diff of a healthy symbol moves its book"
        );
        self.heard[symbol] += 1;
        let due = self.due[symbol][place];
        if due > self.measured_from {
            self.round.healthy.saturating_record(due.elapsed().as_nanos() as u64);
        }
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        if let FeedEvent::ResyncStarted {
            symbol: SymbolId(0), ..
        } = event
        {
            self.round.resyncs += 1;
        }
    }
}

fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(since.as_nanos() as u64)
}

/// Of each round, not measured.
const WARM_UP: Duration = Duration::from_secs(1);
