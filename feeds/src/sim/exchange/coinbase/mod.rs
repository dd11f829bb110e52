//! Coinbase's two feeds over a market: Advanced Trade, which numbers every frame of a connection, and Exchange, whose
//! `level2_batch` gathers the changes of 50 milliseconds and proves nothing.
//!
//! Field names and their order follow recorded sessions and the documentation. So do a client that subscribes to nothing
//! and is hung up on after five seconds, and a message that is refused whole for one wrong product; the words of
//! Advanced Trade's refusals, but for "subscribe or unsubscribe required", are our own.

mod messages;
#[cfg(test)]
mod tests;

use simd_json::OwnedValue;
use simd_json::prelude::*;

use super::{ClientKey, Clients, Dialect, Manners, Meta, RestReply, Target};
use crate::event::LevelChange;
use crate::sim::fault::{Fault, FaultKind, Target as Struck};
use crate::sim::market::{Market, MarketTrade};
use crate::sim::stats::MessageKind;
use crate::sim::wire::parse;
use crate::types::{UnixNanos, VenueId};
use messages::Feed;
pub(super) use messages::refuse;

/// Either feed over a market.
pub(in crate::sim) struct Coinbase {
    feed: Feed,
    clients: Vec<Option<Session>>,
    /// By instrument: who listens to what.
    books: Vec<Vec<ClientKey>>,
    trades: Vec<Vec<ClientKey>>,
    last_trades: Vec<Option<(MarketTrade, UnixNanos)>>,
    batches: Vec<Batch>,
    scratch: Vec<u8>,
}

#[derive(Debug, Default)]
struct Session {
    opened: UnixNanos,
    has_subscribed: bool,
    /// Advanced Trade: the number of the next frame.
    sequence: u64,
    heartbeats: u64,
    /// Set once heartbeats were asked for.
    next_heartbeat: Option<UnixNanos>,
    /// Exchange: of which products.
    heartbeat_of: Vec<usize>,
}

/// Exchange: changes that wait for the end of their 50 milliseconds.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<LevelChange>,
    due: Option<UnixNanos>,
}

impl Coinbase {
    pub(in crate::sim) fn new(venue: VenueId, market: &Market) -> Self {
        let count = market.instruments().len();
        Self {
            feed: match venue {
                VenueId::CoinbaseExchange => Feed::Exchange,
                _ => Feed::Advanced,
            },
            clients: Vec::new(),
            books: vec![Vec::new(); count],
            trades: vec![Vec::new(); count],
            last_trades: vec![None; count],
            batches: (0..count).map(|_| Batch::default()).collect(),
            scratch: Vec::new(),
        }
    }

    /// Sends the rest of a message, behind what Advanced Trade puts in front of each.
    fn tell(&mut self, key: ClientKey, meta: Meta, channel: &str, body: &[u8], clients: &mut Clients) {
        let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) else {
            return;
        };
        match self.feed {
            Feed::Advanced => {
                let mut head = Vec::with_capacity(128);
                messages::push_envelope(&mut head, channel, clients.stamp(), session.sequence);
                session.sequence += 1;
                clients.push(key, meta, &[&head, body]);
            }
            Feed::Exchange => clients.push(key, meta, &[body]),
        }
    }

    fn tell_all(&mut self, keys: &[ClientKey], meta: &Meta, channel: &str, body: &[u8], clients: &mut Clients) {
        for key in keys {
            self.tell(*key, meta.clone(), channel, body, clients);
        }
    }

    /// The channels and products that a request names, or why it is refused.
    fn wanted(&self, request: &OwnedValue, market: &Market) -> Result<(Vec<Channel>, Vec<usize>), String> {
        let names: Vec<&str> = match self.feed {
            Feed::Advanced => request
                .get("channel")
                .and_then(|name| name.as_str())
                .into_iter()
                .collect(),
            Feed::Exchange => texts(request, "channels"),
        };
        if names.is_empty() {
            return Err("channel required".to_owned());
        }
        let channels = names
            .iter()
            .map(|name| Channel::of(self.feed, name).ok_or_else(|| format!("{name} is not a valid channel")))
            .collect::<Result<Vec<_>, _>>()?;
        let products = texts(request, "product_ids")
            .into_iter()
            .map(|name| {
                market
                    .index_of(name)
                    .ok_or_else(|| format!("{name} is not a valid product"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if products.is_empty() && channels != [Channel::Heartbeats] {
            return Err("product_ids required".to_owned());
        }
        Ok((channels, products))
    }

    fn subscribe(
        &mut self,
        key: ClientKey,
        channels: &[Channel],
        products: &[usize],
        market: &Market,
        clients: &mut Clients,
    ) {
        let mut heard = Vec::new();
        for &index in products {
            match clients
                .faults
                .strike(Struck::Subscription, Some(index as u16), |_| true)
            {
                Some(Fault::RefuseSubscription) => {
                    let name = &market.instruments()[index].config().symbol;
                    refuse(
                        key,
                        self.feed.venue(),
                        &format!("{name} is not a valid product"),
                        clients,
                    );
                    return;
                }
                // Accepted, and then nothing: no frame, so no number either.
                Some(Fault::Mute) => {}
                _ => heard.push(index),
            }
        }
        let now = clients.now;
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut)
            && channels.contains(&Channel::Heartbeats)
        {
            session.next_heartbeat.get_or_insert(UnixNanos(now.0 + HEARTBEAT_NS));
            session.heartbeat_of.extend(&heard);
        }
        // A snapshot was seen before its answer on Advanced Trade, behind it on Exchange.
        if self.feed == Feed::Exchange {
            self.answer(key, market, clients);
        }
        for &index in &heard {
            if channels.contains(&Channel::Books) {
                if !self.books[index].contains(&key) {
                    self.books[index].push(key);
                }
                self.snapshot(key, index, market, clients);
            }
            if channels.contains(&Channel::Trades) {
                if !self.trades[index].contains(&key) {
                    self.trades[index].push(key);
                }
                if let Some((trade, time)) = self.last_trades[index] {
                    let mut out = Vec::new();
                    let instrument = &market.instruments()[index];
                    self.feed.push_trades(&mut out, instrument, &[trade], time, true);
                    let meta = Meta::of(MessageKind::Trade, index);
                    self.tell(key, meta, "market_trades", &out, clients);
                }
            }
        }
        if self.feed == Feed::Advanced {
            self.answer(key, market, clients);
        }
    }

    fn answer(&mut self, key: ClientKey, market: &Market, clients: &mut Clients) {
        let of = |listeners: &[Vec<ClientKey>]| -> Vec<&str> {
            let indices = (0..listeners.len()).filter(|index| listeners[*index].contains(&key));
            indices
                .map(|index| market.instruments()[index].config().symbol.as_str())
                .collect()
        };
        let body = self.feed.subscriptions(&of(&self.books), &of(&self.trades));
        let meta = Meta::new(MessageKind::Acknowledgement);
        self.tell(key, meta, "subscriptions", &body, clients);
    }

    fn snapshot(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let huge = match clients.faults.strike(Struck::Snapshot, Some(index as u16), |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let instrument = &market.instruments()[index];
        self.feed.push_snapshot(&mut out, instrument, clients.stamp(), huge);
        let meta = Meta::of(MessageKind::BookSnapshot, index);
        self.tell(key, meta, "l2_data", &out, clients);
        self.scratch = out;
    }

    fn update(&mut self, index: usize, changes: &[LevelChange], market: &Market, clients: &mut Clients) {
        if changes.is_empty() || self.books[index].is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let instrument = &market.instruments()[index];
        self.feed.push_update(&mut out, instrument, changes, clients.stamp());
        let keys = std::mem::take(&mut self.books[index]);
        let meta = Meta::of(MessageKind::BookUpdate, index);
        self.tell_all(&keys, &meta, "l2_data", &out, clients);
        self.books[index] = keys;
        self.scratch = out;
    }

    fn leave(&mut self, key: ClientKey, channels: &[Channel], products: &[usize]) {
        for &index in products {
            for (channel, listeners) in [(Channel::Books, &mut self.books), (Channel::Trades, &mut self.trades)] {
                if channels.contains(&channel) {
                    listeners[index].retain(|listener| *listener != key);
                }
            }
        }
    }
}

impl Dialect for Coinbase {
    fn manners(&self) -> Manners {
        Manners {
            // Neither feed says that it goes, has a REST book here, or a word by which a wrong level could be noticed.
            unplayable: match self.feed {
                Feed::Advanced => &UNPLAYABLE,
                Feed::Exchange => &UNPLAYABLE_ON_EXCHANGE,
            },
            ..Manners::default()
        }
    }

    fn sequence_restarted(&mut self, key: ClientKey, _: usize, _: &Market, _: &mut Clients) {
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) {
            session.sequence = 0;
        }
    }

    fn repeat_snapshot(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        if self.books[index].contains(&key) {
            self.snapshot(key, index, market, clients);
        }
    }

    fn connected(&mut self, key: ClientKey, target: Target<'_>, _: &Market, clients: &mut Clients) -> Result<(), u16> {
        if target.path() != "/" {
            return Err(404);
        }
        if self.clients.len() <= key {
            self.clients.resize_with(key + 1, || None);
        }
        self.clients[key] = Some(Session {
            opened: clients.now,
            ..Session::default()
        });
        Ok(())
    }

    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        let venue = self.feed.venue();
        let request = parse(text);
        let kind = request.as_ref().and_then(|request| request.get("type"));
        let (Some(request), Some(verb @ ("subscribe" | "unsubscribe"))) =
            (&request, kind.and_then(|kind| kind.as_str()))
        else {
            return refuse(key, venue, "subscribe or unsubscribe required", clients);
        };
        // Also where it is refused: the venue has heard from the client.
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) {
            session.has_subscribed = true;
        }
        match self.wanted(request, market) {
            Err(reason) => refuse(key, venue, &reason, clients),
            Ok((channels, products)) if verb == "subscribe" => {
                self.subscribe(key, &channels, &products, market, clients);
            }
            Ok((channels, products)) => {
                self.leave(key, &channels, &products);
                self.answer(key, market, clients);
            }
        }
    }

    fn disconnected(&mut self, key: ClientKey) {
        for listeners in self.books.iter_mut().chain(&mut self.trades) {
            listeners.retain(|listener| *listener != key);
        }
        if let Some(slot) = self.clients.get_mut(key) {
            *slot = None;
        }
    }

    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let step = instrument.last_step();
        if let Some(last) = step.trades.last() {
            self.last_trades[index] = Some((*last, clients.stamp()));
            let keys = std::mem::take(&mut self.trades[index]);
            let mut out = std::mem::take(&mut self.scratch);
            let meta = Meta::of(MessageKind::Trade, index);
            // Exchange tells each trade in a message of its own.
            let per_message = match self.feed {
                Feed::Advanced => step.trades.len(),
                Feed::Exchange => 1,
            };
            for trades in step.trades.chunks(per_message) {
                out.clear();
                self.feed
                    .push_trades(&mut out, instrument, trades, clients.stamp(), false);
                self.tell_all(&keys, &meta, "market_trades", &out, clients);
            }
            self.scratch = out;
            self.trades[index] = keys;
        }
        match self.feed {
            Feed::Advanced => self.update(index, &step.changes, market, clients),
            Feed::Exchange if self.books[index].is_empty() => {}
            Feed::Exchange => {
                let batch = &mut self.batches[index];
                batch.due.get_or_insert(UnixNanos(clients.now.0 + BATCH_NS));
                for change in &step.changes {
                    let is_same = |old: &LevelChange| (old.side, old.price) == (change.side, change.price);
                    batch.changes.retain(|old| !is_same(old));
                    batch.changes.push(*change);
                }
            }
        }
    }

    fn next_deadline(&self, _: &Clients) -> Option<UnixNanos> {
        let sessions = self
            .clients
            .iter()
            .flatten()
            .filter_map(|session| match session.has_subscribed {
                true => session.next_heartbeat,
                false => Some(UnixNanos(session.opened.0 + FIRST_REQUEST_NS)),
            });
        sessions.chain(self.batches.iter().filter_map(|batch| batch.due)).min()
    }

    fn tick(&mut self, market: &Market, clients: &mut Clients) {
        let now = clients.now;
        for index in 0..self.batches.len() {
            if self.batches[index].due.is_some_and(|due| due <= now) {
                let mut batch = std::mem::take(&mut self.batches[index]);
                self.update(index, &batch.changes, market, clients);
                batch.changes.clear();
                batch.due = None;
                self.batches[index] = batch;
            }
        }
        for key in 0..self.clients.len() {
            let Some(session) = self.clients[key].as_mut() else {
                continue;
            };
            if !session.has_subscribed && now.since(session.opened) >= FIRST_REQUEST_NS as i64 {
                // Said once, also where a fault has silenced the connection.
                session.has_subscribed = true;
                clients.close(key, 1008, "no subscribe message");
                continue;
            }
            let Some(due) = session.next_heartbeat.filter(|due| *due <= now) else {
                continue;
            };
            session.next_heartbeat = Some(UnixNanos(due.0 + HEARTBEAT_NS));
            session.heartbeats += 1;
            let count = session.heartbeats;
            let products = session.heartbeat_of.clone();
            for body in self.feed.heartbeats(&products, count, clients.stamp(), market) {
                self.tell(key, Meta::new(MessageKind::Heartbeat), "heartbeats", &body, clients);
            }
        }
    }

    fn rest(&mut self, _: Target<'_>, _: &Market, _: &mut Clients) -> RestReply {
        RestReply::json(404, "{\"message\":\"NotFound\"}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Books,
    Trades,
    Heartbeats,
}

impl Channel {
    fn of(feed: Feed, name: &str) -> Option<Self> {
        match (feed, name) {
            (Feed::Advanced, "level2") | (Feed::Exchange, "level2_batch") => Some(Self::Books),
            (Feed::Advanced, "market_trades") | (Feed::Exchange, "matches") => Some(Self::Trades),
            (Feed::Advanced, "heartbeats") | (Feed::Exchange, "heartbeat") => Some(Self::Heartbeats),
            _ => None,
        }
    }
}

fn texts<'a>(request: &'a OwnedValue, name: &str) -> Vec<&'a str> {
    let list = request.get(name).and_then(|list| list.as_array());
    list.into_iter().flatten().filter_map(|text| text.as_str()).collect()
}

/// One heartbeat per second, whatever else is said.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Who has subscribed to nothing by then is hung up on.
const FIRST_REQUEST_NS: u64 = 5_000_000_000;
/// What `level2_batch` gathers.
const BATCH_NS: u64 = 50_000_000;

const UNPLAYABLE: [FaultKind; 7] = [
    FaultKind::ServerShutdown,
    FaultKind::CorruptLevel,
    FaultKind::CorruptPrice,
    FaultKind::ResurrectLevel,
    FaultKind::RestStatus,
    FaultKind::RestTruncated,
    FaultKind::RestTooOld,
];

const UNPLAYABLE_ON_EXCHANGE: [FaultKind; 8] = [
    FaultKind::ServerShutdown,
    FaultKind::CorruptLevel,
    FaultKind::CorruptPrice,
    FaultKind::ResurrectLevel,
    FaultKind::SequenceRestart,
    FaultKind::RestStatus,
    FaultKind::RestTruncated,
    FaultKind::RestTooOld,
];
