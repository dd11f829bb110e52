//! The generated market as a source: steps it at the pace of a load shape and lets the dialect tell the clients.

use super::meddle::Ask;
use super::{ClientKey, Clients, Dialect, DialectOptions, Exchange, RestReply, Target, dialect};
use crate::sim::load::{LoadShape, Pacer};
use crate::sim::market::{Market, MarketConfig};
use crate::types::{UnixNanos, VenueId};

/// A generated market behind a venue's protocol.
pub(in crate::sim) struct Generated {
    market: Market,
    dialect: Box<dyn Dialect>,
    clients: Clients,
    pacer: Pacer,
    /// The venue's time at which the load began, and the market's.
    start: UnixNanos,
    market_start: UnixNanos,
    /// Messages sent, as the load shape counts them.
    sent: f64,
    events: u64,
}

impl Generated {
    /// A market that has lived a while when the first client comes, at `start` by the venue's clock.
    pub(in crate::sim) fn new(
        venue: VenueId,
        config: &MarketConfig,
        options: DialectOptions,
        load: LoadShape,
        mut clients: Clients,
        start: UnixNanos,
    ) -> Self {
        let mut market = Market::new(config);
        // The dialect keeps the first books, for answers that are older than any stream.
        let dialect = dialect(venue, &market, options);
        clients.mind(dialect.manners());
        market.warm_up();
        let market_start = market.next().map_or(config.start_time, |(time, _)| time);
        Self {
            market,
            dialect,
            clients,
            pacer: Pacer::new(load),
            start,
            market_start,
            sent: 0.0,
            events: 0,
        }
    }

    #[cfg(test)]
    pub(in crate::sim) fn market(&self) -> &Market {
        &self.market
    }

    /// The venue's time of a time of the market.
    fn venue_time(&self, time: UnixNanos, speed: f64) -> UnixNanos {
        UnixNanos(self.start.0 + (time.since(self.market_start).max(0) as f64 / speed) as u64)
    }

    /// Lets the clock run to `time`, with all that falls due on the way.
    fn run_clock(&mut self, time: UnixNanos) {
        while let Some(due) = self.dialect.next_deadline(&self.clients).filter(|due| *due <= time) {
            self.clients.now = self.clients.now.max(due);
            self.dialect.tick(&self.market, &mut self.clients);
            self.play_asks();
        }
        self.clients.now = self.clients.now.max(time);
    }

    fn step(&mut self) {
        if let Some(index) = self.market.step() {
            self.events += 1;
            self.dialect.stepped(index, &self.market, &mut self.clients);
            self.play_asks();
        }
    }

    /// Does what faults want of the venue: behind the messages that they struck, before the next.
    fn play_asks(&mut self) {
        while let Some(ask) = self.clients.take_ask() {
            let (market, clients) = (&mut self.market, &mut self.clients);
            match ask {
                Ask::RestartSequence { key, symbol } => {
                    let index = usize::from(symbol);
                    market.restart_ids(index);
                    self.dialect.sequence_restarted(key, index, market, clients);
                }
                Ask::RepeatSnapshot { key, symbol } => {
                    self.dialect.repeat_snapshot(key, usize::from(symbol), market, clients);
                }
            }
        }
    }
}

impl Exchange for Generated {
    fn connect(&mut self, target: &str, now: UnixNanos) -> Result<ClientKey, u16> {
        self.run_clock(now);
        let key = self.clients.connect();
        let result = self
            .dialect
            .connected(key, Target(target), &self.market, &mut self.clients);
        result.map(|()| key).inspect_err(|_| self.clients.disconnect(key))
    }

    fn receive(&mut self, key: ClientKey, text: &str, now: UnixNanos) {
        self.run_clock(now);
        self.dialect.received(key, text, &self.market, &mut self.clients);
    }

    fn disconnect(&mut self, key: ClientKey) {
        self.dialect.disconnected(key);
        self.clients.disconnect(key);
    }

    fn rest(&mut self, target: &str, now: UnixNanos) -> RestReply {
        self.run_clock(now);
        self.dialect.rest(Target(target), &self.market, &mut self.clients)
    }

    fn advance(&mut self, now: UnixNanos, is_throttled: bool) -> UnixNanos {
        let mut next = UnixNanos(now.0 + IDLE_NS);
        match *self.pacer.shape() {
            LoadShape::Natural { speed } => {
                for _ in 0..EVENTS_PER_CALL {
                    let Some((time, _)) = self.market.next() else { break };
                    let due = self.venue_time(time, speed);
                    next = due;
                    if due > now {
                        break;
                    }
                    self.run_clock(due);
                    self.step();
                }
            }
            LoadShape::Flood => {
                self.run_clock(now);
                if is_throttled || self.clients.is_empty() {
                    next = UnixNanos(now.0 + THROTTLED_NS);
                } else {
                    for _ in 0..EVENTS_PER_CALL {
                        self.step();
                    }
                    self.sent += self.clients.end_round() as f64;
                    next = now;
                }
            }
            _ => {
                let elapsed = std::time::Duration::from_nanos(now.since(self.start).max(0) as u64);
                let due = self.pacer.due(elapsed);
                for _ in 0..EVENTS_PER_CALL {
                    if self.sent >= due {
                        break;
                    }
                    self.run_clock(now);
                    self.step();
                    self.sent += self.clients.end_round() as f64;
                }
                next = match self.sent >= due {
                    true => UnixNanos(self.start.0 + self.pacer.next_after(elapsed, self.sent).as_nanos() as u64),
                    false => now,
                };
            }
        }
        // Deadlines between events: windows that end, heartbeats.
        if next > now {
            self.run_clock(now);
        }
        match self.dialect.next_deadline(&self.clients) {
            Some(due) => next.min(due),
            None => next,
        }
    }

    fn clients(&mut self) -> &mut Clients {
        &mut self.clients
    }

    fn halt(&mut self) {
        self.pacer = Pacer::new(LoadShape::Steady { rate: 0.0 });
    }

    fn market_events(&self) -> u64 {
        self.events
    }
}

/// A call to `advance` handles no more than this, so that requests are heard in between.
const EVENTS_PER_CALL: usize = 2_000;
/// How long a source without events sleeps.
const IDLE_NS: u64 = 50_000_000;
/// How often a flood looks whether it may go on.
const THROTTLED_NS: u64 = 300_000;
