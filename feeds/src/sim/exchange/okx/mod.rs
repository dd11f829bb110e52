//! OKX, WebSocket API v5: books of 400 levels every 100 ms, trades, the answers to requests, and the REST book.
//!
//! A book subscription shows the 400 best levels of each side. A level that leaves that window is deleted on the wire and
//! one that comes into it is sent, so a client never cuts back; recorded sessions hold exactly 400 for that reason. Ids
//! are the market's own, and so irregular; what stands for a checksum is 0, as since June 2026. A window in which nothing
//! has changed for a minute is kept alive by a message without levels.

mod messages;

use simd_json::prelude::*;

use super::binance::refusal_by;
use super::{ClientKey, Clients, Dialect, Manners, Meta, RestReply, Target};
use crate::book::Level;
use crate::sim::fault::{Fault, FaultKind, Target as Struck};
use crate::sim::market::{Instrument, Market};
use crate::sim::stats::MessageKind;
use crate::sim::wire::parse;
use crate::types::{Side, UnixNanos};
use messages::{Changes, book_json, rest_json, trades_json};
pub(super) use messages::{acknowledge, is_ping, pong, refuse, rest_error, shutdown_message, unknown_instrument};

/// OKX over a market.
pub(in crate::sim) struct Okx {
    /// By instrument.
    windows: Vec<Window>,
    trades: Vec<Vec<ClientKey>>,
    /// A book from before anything that a stream says, for answers that are too old.
    first_books: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    /// From a change to the message that tells it.
    interval_ns: u64,
}

/// The best levels of one instrument as they were last told.
#[derive(Default)]
struct Window {
    bids: Vec<Level>,
    asks: Vec<Level>,
    seq_id: u64,
    told_at: UnixNanos,
    /// When what has changed since will be told.
    due: Option<UnixNanos>,
    subscribers: Vec<ClientKey>,
}

impl Window {
    fn refresh(&mut self, instrument: &Instrument, now: UnixNanos) {
        for (side, levels) in [(Side::Bid, &mut self.bids), (Side::Ask, &mut self.asks)] {
            levels.clear();
            levels.extend(instrument.levels(side).take(DEPTH));
        }
        self.seq_id = instrument.update_id();
        self.told_at = now;
        self.due = None;
    }
}

impl Okx {
    /// Books at the venue's pace, or every so many milliseconds; zero is one message per event.
    pub(in crate::sim) fn new(market: &Market, depth_interval_ms: Option<u64>) -> Self {
        let now = UnixNanos(0);
        let first_books = market.instruments().iter().map(|instrument| {
            let mut window = Window::default();
            window.refresh(instrument, now);
            rest_json(instrument, &window.bids, &window.asks, (window.seq_id, now), 0)
        });
        Self {
            windows: market.instruments().iter().map(|_| Window::default()).collect(),
            trades: vec![Vec::new(); market.instruments().len()],
            first_books: first_books.collect(),
            scratch: Vec::new(),
            interval_ns: depth_interval_ms.map_or(INTERVAL_NS, |ms| ms.saturating_mul(1_000_000)),
        }
    }

    fn request(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        if is_ping(text) {
            return pong(key, clients);
        }
        let Some(request) = parse(text) else {
            return refuse(key, "60012", &format!("Invalid request: {text}"), None, clients);
        };
        let id = request.get("id").and_then(|id| id.as_str());
        let op = request.get("op").and_then(|op| op.as_str()).unwrap_or("");
        let args = request.get("args").and_then(|args| args.as_array());
        let Some(args) = args.filter(|args| matches!(op, "subscribe" | "unsubscribe") && !args.is_empty()) else {
            return refuse(key, "60012", &format!("Invalid request: {text}"), id, clients);
        };
        for arg in args {
            let field = |name: &str| arg.get(name).and_then(|value| value.as_str()).unwrap_or("");
            let (channel, symbol) = (field("channel"), field("instId"));
            let index = market
                .index_of(symbol)
                .filter(|_| matches!(channel, "books" | "trades"));
            let Some(index) = index else {
                refuse(key, "60018", &unknown_instrument(channel, symbol), id, clients);
                continue;
            };
            if op == "unsubscribe" {
                self.leave(key, Some((channel, index)));
                acknowledge(key, op, channel, symbol, id, clients);
                continue;
            }
            match clients
                .faults
                .strike(Struck::Subscription, Some(index as u16), |_| true)
            {
                Some(Fault::RefuseSubscription) => {
                    refuse(key, "60018", &unknown_instrument(channel, symbol), id, clients);
                    continue;
                }
                Some(Fault::Mute) => clients.mute(key, index as u16),
                _ => {}
            }
            acknowledge(key, op, channel, symbol, id, clients);
            if channel == "trades" {
                if !self.trades[index].contains(&key) {
                    self.trades[index].push(key);
                }
            } else if !self.windows[index].subscribers.contains(&key) {
                self.join(key, index, market, clients);
            }
        }
    }

    /// A new subscriber gets the window that the others have.
    fn join(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let window = &mut self.windows[index];
        if window.subscribers.is_empty() {
            window.refresh(instrument, clients.now);
        }
        window.subscribers.push(key);
        let huge = match clients.faults.strike(Struck::Snapshot, Some(index as u16), |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        self.show(key, index, huge, market, clients);
    }

    /// The window as it was last told, whole.
    fn show(&mut self, key: ClientKey, index: usize, bytes_min: usize, market: &Market, clients: &mut Clients) {
        let window = &self.windows[index];
        let changes = Changes::Whole {
            bids: &window.bids,
            asks: &window.asks,
            bytes_min,
        };
        let ids = (None, window.seq_id);
        let instrument = &market.instruments()[index];
        book_json(&mut self.scratch, instrument, &changes, ids, clients.stamp());
        clients.push(key, Meta::of(MessageKind::BookSnapshot, index), &[&self.scratch]);
    }

    fn leave(&mut self, key: ClientKey, only: Option<(&str, usize)>) {
        for index in 0..self.windows.len() {
            if only.is_none_or(|only| only == ("trades", index)) {
                self.trades[index].retain(|subscriber| *subscriber != key);
            }
            if only.is_none_or(|only| only == ("books", index)) {
                let window = &mut self.windows[index];
                window.subscribers.retain(|subscriber| *subscriber != key);
                if window.subscribers.is_empty() {
                    window.due = None;
                }
            }
        }
    }

    /// Tells what has changed in a window, or that nothing has.
    fn flush(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let window = &mut self.windows[index];
        let is_keep_alive = window.due.is_none();
        let (bids, asks) = (std::mem::take(&mut window.bids), std::mem::take(&mut window.asks));
        let (previous_id, told_at) = (window.seq_id, window.told_at);
        window.refresh(instrument, clients.now);
        if is_keep_alive {
            window.seq_id = previous_id;
        }
        let changes = Changes::Between {
            bids: (&bids, &window.bids),
            asks: (&asks, &window.asks),
        };
        let ids = (Some(previous_id), window.seq_id);
        let has_levels = book_json(&mut self.scratch, instrument, &changes, ids, clients.stamp());
        if has_levels || is_keep_alive {
            for key in &window.subscribers {
                clients.push(*key, Meta::of(MessageKind::BookUpdate, index), &[&self.scratch]);
            }
        } else {
            // What has changed lies beyond the window; its ids are a part of the next step.
            (window.seq_id, window.told_at) = (previous_id, told_at);
        }
    }

    fn book_reply(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        let index = target.query("instId").and_then(|symbol| market.index_of(symbol));
        let Some(index) = index else {
            return rest_error(200, "51001", NO_INSTRUMENT);
        };
        let depth = target.query("sz").map_or(Some(1), |depth| depth.parse().ok());
        let Some(depth) = depth.filter(|depth| (1..=DEPTH).contains(depth)) else {
            return rest_error(200, "51000", "Parameter sz error");
        };
        let symbol = Some(index as u16);
        let fault = clients.faults.strike(Struck::Rest, symbol, |_| true);
        if let Some(reply) = fault.as_ref().and_then(refusal_by) {
            return reply;
        }
        let huge = match clients.faults.strike(Struck::Snapshot, symbol, |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        let instrument = &market.instruments()[index];
        let window = &mut self.windows[index];
        if window.subscribers.is_empty() {
            window.refresh(instrument, clients.now);
        }
        let (bids, asks) = (
            &window.bids[..depth.min(window.bids.len())],
            &window.asks[..depth.min(window.asks.len())],
        );
        let body = match fault {
            Some(Fault::RestTooOld) => self.first_books[index].clone(),
            _ => rest_json(instrument, bids, asks, (window.seq_id, clients.stamp()), huge),
        };
        let mut reply = RestReply::json(200, body);
        reply.snapshot_of = symbol;
        reply.cut_by(fault.as_ref());
        reply
    }

    /// When each window with an audience speaks next.
    fn deadlines(&self) -> impl Iterator<Item = (usize, UnixNanos)> + '_ {
        let has_audience = |(_, window): &(usize, &Window)| !window.subscribers.is_empty();
        let windows = self.windows.iter().enumerate().filter(has_audience);
        windows.map(|(index, window)| {
            let keep_alive = UnixNanos(window.told_at.0 + KEEP_ALIVE_NS);
            (index, window.due.unwrap_or(keep_alive))
        })
    }
}

impl Dialect for Okx {
    fn manners(&self) -> Manners {
        Manners {
            shutdown_message,
            // Since the checksum is dead, nothing here could notice a wrong level.
            unplayable: &[
                FaultKind::CorruptLevel,
                FaultKind::CorruptPrice,
                FaultKind::ResurrectLevel,
            ],
        }
    }

    // A restart of the ids needs nothing: the next update says an id below the one that was told last, as after the
    // venue's maintenance.

    fn repeat_snapshot(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        if self.windows[index].subscribers.contains(&key) {
            self.show(key, index, 0, market, clients);
        }
    }

    fn connected(&mut self, _: ClientKey, target: Target<'_>, _: &Market, _: &mut Clients) -> Result<(), u16> {
        match target.path() {
            PATH => Ok(()),
            _ => Err(404),
        }
    }

    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        self.request(key, text, market, clients);
    }

    fn disconnected(&mut self, key: ClientKey) {
        self.leave(key, None);
    }

    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        if !self.trades[index].is_empty() && !instrument.last_step().trades.is_empty() {
            trades_json(&mut self.scratch, instrument, clients.stamp());
            for key in &self.trades[index] {
                clients.push(*key, Meta::of(MessageKind::Trade, index), &[&self.scratch]);
            }
        }
        let window = &mut self.windows[index];
        let is_due = window.due.is_none() && !window.subscribers.is_empty();
        if is_due && !instrument.last_step().changes.is_empty() {
            window.due = Some(UnixNanos(clients.now.0.saturating_add(self.interval_ns)));
            if self.interval_ns == 0 {
                self.flush(index, market, clients);
            }
        }
    }

    fn next_deadline(&self, _: &Clients) -> Option<UnixNanos> {
        self.deadlines().map(|(_, due)| due).min()
    }

    fn tick(&mut self, market: &Market, clients: &mut Clients) {
        let now = clients.now;
        let due: Vec<usize> = self
            .deadlines()
            .filter(|(_, due)| *due <= now)
            .map(|(index, _)| index)
            .collect();
        for index in due {
            self.flush(index, market, clients);
        }
    }

    fn rest(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        match target.path() {
            REST_BOOK_PATH => self.book_reply(target, market, clients),
            "/api/v5/public/time" => {
                let ms = clients.stamp().0 / 1_000_000;
                RestReply::json(
                    200,
                    format!("{{\"code\":\"0\",\"data\":[{{\"ts\":\"{ms}\"}}],\"msg\":\"\"}}"),
                )
            }
            _ => rest_error(404, "404", "Not Found"),
        }
    }
}

/// Where the public channels are.
pub(super) const PATH: &str = "/ws/v5/public";
/// Where the REST books are.
pub(super) const REST_BOOK_PATH: &str = "/api/v5/market/books";
/// What REST says of an instrument that it does not have.
pub(super) const NO_INSTRUMENT: &str = "Instrument ID, Instrument ID code, or Spread ID doesn't exist.";
/// Levels per side of the channel `books`.
const DEPTH: usize = 400;
/// The pace of that channel.
const INTERVAL_NS: u64 = 100_000_000;
/// Silence after which a window says that nothing has changed.
const KEEP_ALIVE_NS: u64 = 60_000_000_000;
