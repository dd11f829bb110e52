//! Bybit v5, spot and linear: books by topic and depth, trades, pings.
//!
//! A book topic shows the best `depth` levels of each side at the venue's pace for that depth. What leaves the window is
//! deleted on the wire; depth 1 is a snapshot each time, repeated after three seconds without a change. Ids are of the
//! topic and go up by one from message to message, whoever listens. Field names, order and decimals follow recorded
//! sessions: linear prints fixed decimals, spot none that are zero.

mod messages;
#[cfg(test)]
mod tests;
mod topics;

use simd_json::prelude::*;

use super::{ClientKey, Clients, Dialect, DialectOptions, Manners, Meta, RestReply, Target};
use crate::sim::fault::{Fault, FaultKind, Target as Struck};
use crate::sim::market::Market;
use crate::sim::stats::MessageKind;
use crate::sim::wire::parse;
use crate::types::{UnixNanos, VenueId};
pub(super) use messages::{Answer, answer, invalid_op, not_json, pong};
use messages::{book_json, trades_json};
pub(super) use topics::Topic;
use topics::{BookTopic, DEPTHS};

/// Which of the venue's products, which differ in their wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Product {
    Spot,
    Linear,
}

impl Product {
    /// `None` for another venue.
    pub(super) fn of(venue: VenueId) -> Option<Self> {
        match venue {
            VenueId::BybitSpot => Some(Self::Spot),
            VenueId::BybitLinear => Some(Self::Linear),
            _ => None,
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Spot => "/v5/public/spot",
            Self::Linear => "/v5/public/linear",
        }
    }
}

/// Bybit v5 over a market.
pub(in crate::sim) struct Bybit {
    product: Product,
    /// Sends books at this pace, whatever their depth; zero is one message per event.
    interval_ms: Option<u64>,
    /// By instrument and depth, in the order of [`DEPTHS`].
    books: Vec<[BookTopic; DEPTHS.len()]>,
    /// By instrument: who listens.
    trades: Vec<Vec<ClientKey>>,
    scratch: Vec<u8>,
}

impl Bybit {
    pub(in crate::sim) fn new(product: Product, market: &Market, options: DialectOptions) -> Self {
        let count = market.instruments().len();
        Self {
            product,
            interval_ms: options.depth_interval_ms,
            books: (0..count).map(|_| DEPTHS.map(BookTopic::new)).collect(),
            trades: vec![Vec::new(); count],
            scratch: Vec::new(),
        }
    }

    fn request(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        let product = self.product;
        let Some(request) = parse(text) else {
            return not_json(product, key, clients);
        };
        let field = |name: &str| request.get(name).and_then(|value| value.as_str());
        let req_id = field("req_id");
        let op = match field("op") {
            Some("ping") => return pong(product, key, req_id, clients),
            Some(op @ ("subscribe" | "unsubscribe")) => op,
            op => return invalid_op(product, key, op, req_id, clients),
        };
        let names: Vec<&str> = request
            .get("args")
            .and_then(|args| args.as_array())
            .map(|args| args.iter().filter_map(|name| name.as_str()).collect())
            .unwrap_or_default();
        let refuse = |reason: &str, clients: &mut Clients| {
            let refusal = Answer::refused(op, reason, req_id);
            answer(product, key, &refusal, clients);
        };
        if product == Product::Spot && names.len() > SPOT_ARGS_MAX {
            return refuse("args size >10", clients);
        }
        // One topic that does not exist refuses the whole request.
        let mut topics = Vec::with_capacity(names.len());
        for name in names {
            let Some(topic) = Topic::find(name, |symbol| market.index_of(symbol)) else {
                return refuse(&format!("error:handler not found,topic:{name}"), clients);
            };
            if op == "subscribe" && self.listeners(&topic).contains(&key) {
                return refuse(&format!("error:already subscribed,topic:{name}"), clients);
            }
            if op == "subscribe" {
                let index = topic.index as u16;
                match clients.faults.strike(Struck::Subscription, Some(index), |_| true) {
                    Some(Fault::RefuseSubscription) => {
                        return refuse(&format!("error:handler not found,topic:{name}"), clients);
                    }
                    Some(Fault::Mute) => clients.mute(key, index),
                    _ => {}
                }
            }
            topics.push(topic);
        }
        answer(product, key, &Answer::accepted(op, req_id), clients);
        for topic in topics {
            let listeners = self.listeners(&topic);
            listeners.retain(|listener| *listener != key);
            if op == "subscribe" {
                listeners.push(key);
                if let Some(depth) = topic.depth {
                    self.greet(key, topic.index, depth, market, clients);
                }
            }
        }
    }

    fn listeners(&mut self, topic: &Topic) -> &mut Vec<ClientKey> {
        match topic.depth {
            Some(depth) => &mut self.books[topic.index][depth].listeners,
            None => &mut self.trades[topic.index],
        }
    }

    /// The snapshot of a new subscription: what the others know, so that the next delta continues it for all.
    fn greet(&mut self, key: ClientKey, index: usize, depth: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let topic = &mut self.books[index][depth];
        if topic.listeners.len() == 1 {
            topic.wake(instrument, clients.now);
        }
        let huge = match clients.faults.strike(Struck::Snapshot, Some(index as u16), |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        book_json(
            &mut self.scratch,
            self.product,
            instrument,
            topic,
            clients.stamp(),
            huge,
        );
        clients.push(key, Meta::of(MessageKind::BookSnapshot, index), &[&self.scratch]);
    }

    /// The book of the deepest topic: its ids are what REST tells.
    fn book_reply(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        let refuse = |reason: &str| {
            let ms = clients.stamp().0 / 1_000_000;
            let body = format!(
                "{{\"retCode\":10001,\"retMsg\":\"{reason}\",\"result\":{{}},\"retExtInfo\":{{}},\"time\":{ms}}}"
            );
            RestReply::json(200, body)
        };
        let category = match self.product {
            Product::Spot => "spot",
            Product::Linear => "linear",
        };
        if target.query("category") != Some(category) {
            return refuse("params error: Category is invalid");
        }
        let Some(index) = target.query("symbol").and_then(|symbol| market.index_of(symbol)) else {
            return refuse("params error: symbol invalid");
        };
        let deepest = DEPTHS.len() - 1;
        let limit = target
            .query("limit")
            .map_or(Some(REST_LEVELS), |limit| limit.parse().ok());
        let Some(limit) = limit.filter(|limit| (1..=DEPTHS[deepest]).contains(limit)) else {
            return refuse("params error: limit invalid");
        };
        let instrument = &market.instruments()[index];
        let topic = &mut self.books[index][deepest];
        if topic.listeners.is_empty() {
            topic.wake(instrument, clients.now);
        }
        messages::rest_json(
            &mut self.scratch,
            self.product,
            instrument,
            topic,
            limit,
            clients.stamp(),
        );
        RestReply::json(200, self.scratch.clone())
    }

    /// Tells what has changed in a topic, or what is the same, to those who listen.
    fn tell(&mut self, index: usize, depth: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let topic = &mut self.books[index][depth];
        topic.due = None;
        let has_changed = topic.update(instrument);
        let kind = if topic.is_top() {
            let repeats = clients.now.since(topic.told_at) >= REPEAT_NS as i64;
            if !has_changed && !repeats {
                return;
            }
            topic.update_id += u64::from(has_changed);
            book_json(&mut self.scratch, self.product, instrument, topic, clients.stamp(), 0);
            MessageKind::BookSnapshot
        } else {
            if !has_changed {
                return;
            }
            topic.update_id += 1;
            messages::delta_json(&mut self.scratch, self.product, instrument, topic, clients.stamp());
            MessageKind::BookUpdate
        };
        topic.told_at = clients.now;
        for key in &topic.listeners {
            clients.push(*key, Meta::of(kind, index), &[&self.scratch]);
        }
    }
}

impl Dialect for Bybit {
    fn manners(&self) -> Manners {
        Manners {
            // It says nothing before it goes, has no REST book here, and no word by which a wrong level could be noticed.
            unplayable: &[
                FaultKind::ServerShutdown,
                FaultKind::CorruptLevel,
                FaultKind::CorruptPrice,
                FaultKind::ResurrectLevel,
                FaultKind::RestStatus,
                FaultKind::RestTruncated,
                FaultKind::RestTooOld,
            ],
            ..Manners::default()
        }
    }

    fn connected(&mut self, _: ClientKey, target: Target<'_>, _: &Market, _: &mut Clients) -> Result<(), u16> {
        match target.path() == self.product.path() {
            true => Ok(()),
            false => Err(404),
        }
    }

    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        self.request(key, text, market, clients);
    }

    fn disconnected(&mut self, key: ClientKey) {
        let books = self.books.iter_mut().flatten().map(|topic| &mut topic.listeners);
        for listeners in books.chain(&mut self.trades) {
            listeners.retain(|listener| *listener != key);
        }
    }

    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        if !self.trades[index].is_empty() && !instrument.last_step().trades.is_empty() {
            trades_json(&mut self.scratch, self.product, instrument, clients.stamp());
            for key in &self.trades[index] {
                clients.push(*key, Meta::of(MessageKind::Trade, index), &[&self.scratch]);
            }
        }
        for depth in 0..DEPTHS.len() {
            let topic = &mut self.books[index][depth];
            if topic.listeners.is_empty() {
                continue;
            }
            let interval_ns = self.interval_ms.unwrap_or(topic.interval_ms()) * 1_000_000;
            let due = *topic.due.get_or_insert(UnixNanos(topic.told_at.0 + interval_ns));
            if due <= clients.now {
                self.tell(index, depth, market, clients);
            }
        }
    }

    fn next_deadline(&self, _: &Clients) -> Option<UnixNanos> {
        self.books.iter().flatten().filter_map(BookTopic::deadline).min()
    }

    fn tick(&mut self, market: &Market, clients: &mut Clients) {
        for index in 0..self.books.len() {
            for depth in 0..DEPTHS.len() {
                if self.books[index][depth]
                    .deadline()
                    .is_some_and(|due| due <= clients.now)
                {
                    self.tell(index, depth, market, clients);
                }
            }
        }
    }

    /// The service behind the topics was started anew: ids begin with one, which a snapshot has.
    fn sequence_restarted(&mut self, _: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        for topic in &mut self.books[index] {
            topic.restart(instrument, clients.now);
            book_json(&mut self.scratch, self.product, instrument, topic, clients.stamp(), 0);
            for key in &topic.listeners {
                clients.push(*key, Meta::of(MessageKind::BookSnapshot, index), &[&self.scratch]);
            }
        }
    }

    fn repeat_snapshot(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        for topic in self.books[index].iter().filter(|topic| topic.listeners.contains(&key)) {
            book_json(&mut self.scratch, self.product, instrument, topic, clients.stamp(), 0);
            clients.push(key, Meta::of(MessageKind::BookSnapshot, index), &[&self.scratch]);
        }
    }

    fn rest(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        match target.path() {
            REST_BOOK_PATH => self.book_reply(target, market, clients),
            "/v5/market/time" => {
                let now = clients.stamp();
                let (seconds, ms) = (now.0 / 1_000_000_000, now.0 / 1_000_000);
                let body = format!(
                    "{{\"retCode\":0,\"retMsg\":\"OK\",\"result\":{{\"timeSecond\":\"{seconds}\",\"timeNano\":\"{}\"}},\
                     \"retExtInfo\":{{}},\"time\":{ms}}}",
                    now.0
                );
                RestReply::json(200, body)
            }
            _ => RestReply::json(404, ""),
        }
    }
}

/// Where the REST books are.
const REST_BOOK_PATH: &str = "/v5/market/orderbook";
/// Levels of a REST book where none are asked for; the most are those of the deepest topic.
const REST_LEVELS: usize = 25;
/// Topics of one request on spot.
const SPOT_ARGS_MAX: usize = 10;
/// Depth 1 is said again after so long without a change.
const REPEAT_NS: u64 = 3_000_000_000;
