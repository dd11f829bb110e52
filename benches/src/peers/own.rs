//! Ours as the engine runs it: its poller and connection, the venue's session with all its checks, and, to the signal,
//! features, model and metrics on the engine's own hot loop.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quantumflow::cold::Models;
use quantumflow::hot::{
    ColdSide, FeedLine, FeedSlot, HotMetrics, Mailbox, MailboxSizes, Output, PredictSink, Prediction, Shard,
    SnapshotReply, SymbolOrigin,
};
use quantumflow::model::{Model, ModelSet};
use quantumflow::os::{TimeBase, TscClock};
use quantumflow_feeds::feed::{Feed, LinePlan, LineSlot, Tap};
use quantumflow_feeds::net::{
    Connection, DialOptions, Endpoint, IdleStrategy, Poller, TlsClientConfig, TlsRoots, dial,
};
use quantumflow_feeds::venue::{BookReader, RestSnapshot, Session, SnapshotRequest};
use quantumflow_feeds::ws::MaskSource;
use quantumflow_feeds::{
    BookUpdate, Clock as _, FeedEvent, Line, Side, Sink, Stamps, SymbolId, Ticks, Trade, UnixNanos,
};
use quantumflow_region::{RegionOptions, RegionWriter};

use super::receive::{Probe, Receive};
use crate::tape::{Tape, top};

/// Where the venue is, and who vouches for it.
#[derive(Clone, Copy, Debug)]
pub struct Venue<'a> {
    /// Its socket.
    pub address: SocketAddr,
    /// Its authority, with TLS.
    pub authority_pem: Option<&'a str>,
}

fn connect(venue: Venue<'_>, session: &Session) -> Result<Connection, Box<dyn Error>> {
    let scheme = if venue.authority_pem.is_some() { "wss" } else { "ws" };
    let endpoint: Endpoint = format!("{scheme}://{}{}", venue.address, session.websocket_path()).parse()?;
    let tls = match venue.authority_pem {
        Some(pem) => Some(TlsClientConfig::new(TlsRoots::Pem(pem.as_bytes()))?),
        None => None,
    };
    let options = DialOptions {
        tls,
        ..DialOptions::default()
    };
    Ok(dial(&endpoint, &options, MaskSource::from_os()?)?)
}

fn snapshot(tape: &Tape) -> Option<RestSnapshot> {
    let body = tape.snapshot.clone()?;
    Some(BookReader::new(tape.venue).snapshot(body))
}

/// What stands between a bench and waiting for ever.
fn in_time(started: Instant) -> Result<(), &'static str> {
    match started.elapsed() < Duration::from_secs(10) {
        true => Ok(()),
        false => Err("no book, or no signal, came of the first messages within ten seconds"),
    }
}

/// Counts the messages as they are given to the session.
#[derive(Clone, Debug, Default)]
struct Messages(Arc<AtomicUsize>);

impl Messages {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tap for Messages {
    #[inline]
    fn frame(&mut self, _: UnixNanos, _: &[u8]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes the time of each message that has had its effect.
#[derive(Debug, Default)]
struct Watch {
    messages: Messages,
    /// Messages when there was an effect last.
    seen: usize,
    probe: Option<Probe>,
}

impl Watch {
    #[inline]
    fn effect(&mut self) {
        let messages = self.messages.count();
        if messages == self.seen {
            return;
        }
        self.seen = messages;
        if let Some(probe) = &mut self.probe {
            probe.applied(messages - 1);
        }
    }
}

/// To the book.
pub struct OwnBook {
    feed: Feed,
    poller: Poller,
    sink: BookSink,
    messages: Messages,
    snapshot: Option<RestSnapshot>,
    time: TimeBase,
}

#[derive(Debug, Default)]
struct BookSink {
    watch: Watch,
    trouble: Option<FeedEvent>,
    books: usize,
}

impl Sink for BookSink {
    #[inline]
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        std::hint::black_box(update.book.best(Side::Bid));
        self.books += 1;
        self.watch.effect();
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        if matches!(
            event,
            FeedEvent::FrameRejected { .. } | FeedEvent::BacklogOverflow { .. } | FeedEvent::SubscriptionRefused { .. }
        ) {
            self.trouble = Some(event);
        }
    }
}

impl OwnBook {
    /// Connects.
    ///
    /// # Errors
    /// The venue is not there.
    pub fn new(tape: &Tape, venue: Venue<'_>) -> Result<Self, Box<dyn Error>> {
        let session = Session::new(&tape.session)?;
        let mut connection = Box::new(connect(venue, &session)?);
        let mut poller = Poller::new(1, IdleStrategy::Spin)?;
        poller.add(0, &mut connection)?;
        let messages = Messages::default();
        let mut sink = BookSink::default();
        sink.watch.messages = messages.clone();
        let mut feed = Feed::new(session, LinePlan::SINGLE);
        let time = TimeBase::calibrate(Duration::from_millis(20));
        feed.attach(Line::First, connection, time.at(TscClock.ticks()), &mut (), &mut sink);
        Ok(Self {
            feed,
            poller,
            sink,
            messages,
            snapshot: snapshot(tape),
            time,
        })
    }

    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let Self {
            feed,
            poller,
            sink,
            messages,
            time,
            ..
        } = self;
        let time = *time;
        let wall = |ticks: Ticks| time.at(ticks);
        if poller.poll()?.ready > 0 && poller.is_readable(0) {
            feed.poll(LineSlot::ONLY, poller, TscClock, wall, messages, sink)
                .map_err(|(_, lost)| lost)?;
        }
        let mut wanted: Option<SnapshotRequest> = None;
        feed.settle(|| time.at(TscClock.ticks()), &mut (), |request| wanted = Some(request))
            .map_err(|(_, lost)| lost)?;
        if wanted.is_some()
            && let Some(snapshot) = &mut self.snapshot
        {
            let now = time.at(TscClock.ticks());
            self.feed
                .snapshot(SymbolId(0), Ok(snapshot), now, TscClock, &mut (), &mut self.sink);
        }
        match self.sink.trouble.take() {
            Some(trouble) => Err(format!("the session is in trouble: {trouble:?}").into()),
            None => Ok(()),
        }
    }

    /// Reads until so many messages were worked off, and the book stands.
    ///
    /// # Errors
    /// The connection is over.
    pub fn stand(&mut self, messages: usize) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        while self.messages.count() < messages || self.sink.books == 0 {
            self.turn()?;
            in_time(started)?;
        }
        Ok(())
    }

    /// The best bid and ask.
    pub fn top(&self) -> [Option<(i64, i64)>; 2] {
        top(self.feed.session())
    }
}

impl Receive for OwnBook {
    fn receive(&mut self, target: usize) -> usize {
        while self.messages.count() < target {
            self.turn().expect("a frame of ours");
        }
        self.messages.count()
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        let [bid, ask] = self.top();
        match side {
            Side::Bid => bid.into_iter().collect(),
            Side::Ask => ask.into_iter().collect(),
        }
    }

    fn set_probe(&mut self, probe: Probe) {
        self.sink.watch.probe = Some(probe);
    }

    fn take_probe(&mut self) -> Option<Probe> {
        self.sink.watch.probe.take()
    }
}

/// To the signal: the engine's hot loop with a model.
pub struct OwnSignal {
    /// There until its output is taken.
    shard: Option<Shard<Signals, Messages>>,
    cold: ColdSide,
    messages: Messages,
    signals: Arc<AtomicUsize>,
    snapshot: Option<RestSnapshot>,
    /// What the metrics lie in.
    _region: RegionWriter,
}

/// What becomes of the predictions.
#[derive(Debug)]
struct Signals {
    watch: Watch,
    count: Arc<AtomicUsize>,
}

impl Output for Signals {
    #[inline]
    fn publish(&mut self, prediction: &Prediction<'_>) {
        std::hint::black_box(prediction.signal);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.watch.effect();
    }
}

impl OwnSignal {
    /// Connects.
    ///
    /// # Errors
    /// The venue is not there.
    pub fn new(
        tape: &Tape,
        venue: Venue<'_>,
        model: &Arc<Model>,
        probe: Option<Probe>,
    ) -> Result<Self, Box<dyn Error>> {
        let session = Session::new(&tape.session)?;
        let connection = connect(venue, &session)?;
        let origins = [SymbolOrigin {
            feed: 0,
            venue: tape.venue,
            symbol: tape.symbol.clone(),
        }];
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
        let (messages, signals) = (Messages::default(), Arc::new(AtomicUsize::new(0)));
        let output = Signals {
            watch: Watch {
                messages: messages.clone(),
                seen: 0,
                probe,
            },
            count: Arc::clone(&signals),
        };
        let lineup = Models::new(&region, 1).lineup(&ModelSet::from(Arc::clone(model)), 0.5)?;
        let time = TimeBase::calibrate(Duration::from_millis(20));
        let sink = PredictSink::new(&origins, Some(lineup), output, metrics, mailbox, time);
        let poller = Poller::new(FeedLine::slots(1), IdleStrategy::Spin)?;
        let feed = FeedSlot::new(Feed::new(session, LinePlan::SINGLE), messages.clone());
        Ok(Self {
            shard: Some(Shard::new(vec![feed], poller, sink)),
            cold,
            messages,
            signals,
            snapshot: snapshot(tape),
            _region: region,
        })
    }

    /// Reads until so many messages were worked off, and signals come.
    ///
    /// # Errors
    /// Nothing can be polled.
    pub fn stand(&mut self, messages: usize) -> Result<(), Box<dyn Error>> {
        let shard = self.shard.as_mut().ok_or("its output was taken")?;
        let started = Instant::now();
        while self.messages.count() < messages || self.signals.load(Ordering::Relaxed) == 0 {
            shard.turn()?;
            in_time(started)?;
            if let Some(order) = self.cold.take_snapshot_order() {
                let snapshot = self.snapshot.take().ok_or("the venue has no snapshots")?;
                self.cold
                    .deliver_snapshot(SnapshotReply {
                        feed: order.feed,
                        symbol: order.symbol,
                        snapshot: Ok(Box::new(snapshot)),
                    })
                    .map_err(|_| "the mailbox is empty")?;
            }
        }
        Ok(())
    }
}

impl Receive for OwnSignal {
    fn receive(&mut self, target: usize) -> usize {
        while self.messages.count() < target {
            let shard = self.shard.as_mut().expect("its output was not taken");
            shard.turn().expect("a socket can be polled");
        }
        self.messages.count()
    }

    fn levels(&self, _: Side) -> Vec<(i64, i64)> {
        Vec::new()
    }

    fn set_probe(&mut self, _: Probe) {}

    fn take_probe(&mut self) -> Option<Probe> {
        self.shard.take()?.into_output().watch.probe
    }
}
