//! Kraken spot, WebSocket API v2: book with checksum, trades, instruments, heartbeats.
//!
//! A book subscription shows the best `depth` levels of each side. A level that is pushed out of that window is not
//! deleted on the wire, a level that comes into it is sent: the client truncates, then checks. Field names, order and
//! decimals follow recorded sessions.

mod messages;

use simd_json::prelude::*;

use super::meddle::LevelSpots;
use super::{ClientKey, Clients, Dialect, Manners, Meta, RestReply, Target};
use crate::sim::fault::{Fault, FaultKind, Target as Struck};
use crate::sim::market::Market;
use crate::sim::stats::MessageKind;
use crate::sim::wire::{parse, push_rfc3339, push_string};
use messages::{Answer, answer, instruments_json, push_level, push_levels, push_proof, trades_json, update_view};

use crate::book::Level;
use crate::types::{Side, UnixNanos};
pub(super) use messages::{acknowledge, pong, refuse, shutdown_message};

/// Kraken v2 over a market.
pub(in crate::sim) struct Kraken {
    clients: Vec<Option<Session>>,
    /// By instrument: one view for each depth that somebody listens to.
    views: Vec<Vec<View>>,
    trades: Vec<Vec<ClientKey>>,
    scratch: Vec<u8>,
    levels: Vec<Level>,
    opened: u64,
}

#[derive(Debug, Default)]
struct Session {
    opened: UnixNanos,
    has_subscribed: bool,
}

/// The window of one depth, as its subscribers know it.
struct View {
    depth: usize,
    bids: Vec<Level>,
    asks: Vec<Level>,
    subscribers: Vec<ClientKey>,
}

impl Kraken {
    pub(in crate::sim) fn new(market: &Market) -> Self {
        let count = market.instruments().len();
        Self {
            clients: Vec::new(),
            views: (0..count).map(|_| Vec::new()).collect(),
            trades: vec![Vec::new(); count],
            scratch: Vec::new(),
            levels: Vec::new(),
            opened: 0,
        }
    }

    fn request(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        let now = clients.stamp();
        let Some(request) = parse(text) else {
            return answer(key, clients, &Answer::failure("", "Malformed request", now, None));
        };
        let req_id = request.get("req_id").map(|id| id.encode());
        let req_id = req_id.as_deref();
        let method = request.get("method").and_then(|method| method.as_str()).unwrap_or("");
        if method == "ping" {
            return pong(key, req_id, clients);
        }
        if method != "subscribe" && method != "unsubscribe" {
            return answer(
                key,
                clients,
                &Answer::failure(method, "Unsupported method", now, req_id),
            );
        }
        let Some(params) = request.get("params") else {
            return answer(key, clients, &Answer::failure(method, "Missing params", now, req_id));
        };
        let channel = params.get("channel").and_then(|channel| channel.as_str()).unwrap_or("");
        let depth = params
            .get("depth")
            .map_or(Some(10), |depth| depth.as_u64())
            .unwrap_or(0) as usize;
        let wants_snapshot = params
            .get("snapshot")
            .and_then(|snapshot| snapshot.as_bool())
            .unwrap_or(channel != "trade");
        if channel == "instrument" {
            let result = format!("{{\"channel\":\"instrument\",\"snapshot\":{wants_snapshot}}}");
            answer(
                key,
                clients,
                &Answer {
                    result: Some(&result),
                    ..Answer::failure(method, "", now, req_id)
                },
            );
            self.note_subscription(key);
            if method == "subscribe" && wants_snapshot {
                let body = instruments_json(market);
                clients.push(key, Meta::new(MessageKind::Other), &[&body]);
            }
            return;
        }
        if !matches!(channel, "book" | "trade") {
            return answer(
                key,
                clients,
                &Answer::failure(method, "Unsupported channel", now, req_id),
            );
        }
        let symbols: Vec<String> = params
            .get("symbol")
            .and_then(|symbols| symbols.as_array())
            .map(|symbols| {
                symbols
                    .iter()
                    .filter_map(|symbol| symbol.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default();
        if symbols.is_empty() {
            return answer(key, clients, &Answer::failure(method, "Missing symbol", now, req_id));
        }
        for symbol in &symbols {
            let failure = |reason| Answer {
                symbol: Some(symbol),
                ..Answer::failure(method, reason, now, req_id)
            };
            let Some(index) = market.index_of(symbol) else {
                let reason = format!("Currency pair not supported {symbol}");
                answer(key, clients, &failure(&reason));
                continue;
            };
            if channel == "book" && !DEPTHS.contains(&depth) {
                answer(key, clients, &failure("Subscription depth not supported"));
                continue;
            }
            if method == "unsubscribe" {
                self.leave(key, Some((channel, index)));
            } else {
                match clients
                    .faults
                    .strike(Struck::Subscription, Some(index as u16), |_| true)
                {
                    Some(Fault::RefuseSubscription) => {
                        answer(
                            key,
                            clients,
                            &failure("Currency pair not in cancel_only, limit_only or online mode"),
                        );
                        continue;
                    }
                    Some(Fault::Mute) => clients.mute(key, index as u16),
                    _ => {}
                }
                if !self.join(key, channel, index, depth, market) {
                    answer(key, clients, &failure("Already subscribed"));
                    continue;
                }
            }
            self.note_subscription(key);
            let mut result = format!("{{\"channel\":\"{channel}\"");
            if channel == "book" {
                result.push_str(&format!(",\"depth\":{depth}"));
            }
            if method == "subscribe" || channel == "book" {
                result.push_str(&format!(",\"snapshot\":{wants_snapshot}"));
            }
            result.push_str(&format!(",\"symbol\":\"{symbol}\"}}"));
            answer(
                key,
                clients,
                &Answer {
                    result: Some(&result),
                    ..failure("")
                },
            );
            if method == "subscribe" && channel == "book" && wants_snapshot {
                self.snapshot(key, index, depth, market, clients);
            }
        }
    }

    fn note_subscription(&mut self, key: ClientKey) {
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) {
            session.has_subscribed = true;
        }
    }

    /// False if it has joined before.
    fn join(&mut self, key: ClientKey, channel: &str, index: usize, depth: usize, market: &Market) -> bool {
        if channel == "trade" {
            let is_new = !self.trades[index].contains(&key);
            if is_new {
                self.trades[index].push(key);
            }
            return is_new;
        }
        if self.views[index].iter().any(|view| view.subscribers.contains(&key)) {
            return false;
        }
        match self.views[index].iter_mut().find(|view| view.depth == depth) {
            Some(view) => view.subscribers.push(key),
            None => {
                let instrument = &market.instruments()[index];
                self.views[index].push(View {
                    depth,
                    bids: instrument.levels(Side::Bid).take(depth).collect(),
                    asks: instrument.levels(Side::Ask).take(depth).collect(),
                    subscribers: vec![key],
                });
            }
        }
        true
    }

    fn leave(&mut self, key: ClientKey, only: Option<(&str, usize)>) {
        for index in 0..self.views.len() {
            if only.is_none_or(|only| only == ("trade", index)) {
                self.trades[index].retain(|subscriber| *subscriber != key);
            }
            if only.is_none_or(|only| only == ("book", index)) {
                for view in &mut self.views[index] {
                    view.subscribers.retain(|subscriber| *subscriber != key);
                }
                self.views[index].retain(|view| !view.subscribers.is_empty());
            }
        }
    }

    fn snapshot(&mut self, key: ClientKey, index: usize, depth: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let Some(view) = self.views[index].iter().find(|view| view.depth == depth) else {
            return;
        };
        let huge = match clients.faults.strike(Struck::Snapshot, Some(index as u16), |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        out.extend_from_slice(b"{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{\"symbol\":");
        push_string(&mut out, &instrument.config().symbol);
        out.extend_from_slice(b",\"bids\":[");
        push_levels(&mut out, instrument, &view.bids);
        out.extend_from_slice(b"],\"asks\":[");
        push_levels(&mut out, instrument, &view.asks);
        let mut worst = view.asks.last().copied().unwrap_or_default();
        while out.len() < huge {
            worst.price.0 += instrument.config().tick.0;
            out.push(b',');
            push_level(&mut out, instrument, worst);
        }
        out.push(b']');
        push_proof(&mut out, instrument, clients.stamp());
        clients.push(key, Meta::of(MessageKind::BookSnapshot, index), &[&out]);
        self.scratch = out;
    }
}

impl Dialect for Kraken {
    fn manners(&self) -> Manners {
        Manners {
            shutdown_message,
            unplayable: &[
                FaultKind::SequenceRestart,
                FaultKind::RestStatus,
                FaultKind::RestTruncated,
                FaultKind::RestTooOld,
            ],
        }
    }

    fn connected(&mut self, key: ClientKey, target: Target<'_>, _: &Market, clients: &mut Clients) -> Result<(), u16> {
        if target.path() != "/v2" {
            return Err(404);
        }
        if self.clients.len() <= key {
            self.clients.resize_with(key + 1, || None);
        }
        self.clients[key] = Some(Session {
            opened: clients.now,
            has_subscribed: false,
        });
        self.opened += 1;
        let connection_id = 7_204_881_492_680_171_000 + self.opened;
        let status = format!(
            "{{\"channel\":\"status\",\"type\":\"update\",\"data\":[{{\"version\":\"2.0.10\",\"system\":\"online\",\
             \"api_version\":\"v2\",\"connection_id\":{connection_id}}}]}}"
        );
        clients.push(key, Meta::new(MessageKind::Status), &[status.as_bytes()]);
        Ok(())
    }

    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        self.request(key, text, market, clients);
    }

    fn disconnected(&mut self, key: ClientKey) {
        self.leave(key, None);
        if let Some(slot) = self.clients.get_mut(key) {
            *slot = None;
        }
    }

    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let step = instrument.last_step();
        let mut out = std::mem::take(&mut self.scratch);
        if !self.trades[index].is_empty() && !step.trades.is_empty() {
            trades_json(&mut out, instrument, clients.stamp());
            for key in &self.trades[index] {
                clients.push(*key, Meta::of(MessageKind::Trade, index), &[&out]);
            }
        }
        for view in &mut self.views[index] {
            let touches = |change: &crate::event::LevelChange| {
                let (levels, is_better): (_, fn(_, _) -> bool) = match change.side {
                    Side::Bid => (&view.bids, |price, worst| price >= worst),
                    Side::Ask => (&view.asks, |price, worst| price <= worst),
                };
                levels.len() < view.depth || levels.last().is_none_or(|worst| is_better(change.price, worst.price))
            };
            if !step.changes.iter().any(touches) {
                continue;
            }
            out.clear();
            out.extend_from_slice(b"{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":");
            push_string(&mut out, &instrument.config().symbol);
            let mut spots = LevelSpots::default();
            let mut has_changes = false;
            for (side, list) in [(Side::Bid, b",\"bids\":["), (Side::Ask, b",\"asks\":[")] {
                out.extend_from_slice(list);
                let levels = if side == Side::Bid {
                    &mut view.bids
                } else {
                    &mut view.asks
                };
                has_changes |= update_view(
                    &mut out,
                    instrument,
                    side,
                    view.depth,
                    levels,
                    &mut self.levels,
                    &mut spots,
                );
                out.push(b']');
            }
            push_proof(&mut out, instrument, clients.stamp());
            if !has_changes {
                continue;
            }
            for key in &view.subscribers {
                let meta = Meta {
                    spots: spots.clone(),
                    ..Meta::of(MessageKind::BookUpdate, index)
                };
                clients.push(*key, meta, &[&out]);
            }
        }
        self.scratch = out;
    }

    fn next_deadline(&self, clients: &Clients) -> Option<UnixNanos> {
        self.heartbeats(clients).map(|(_, due)| due).min()
    }

    fn tick(&mut self, _: &Market, clients: &mut Clients) {
        let due: Vec<ClientKey> = self
            .heartbeats(clients)
            .filter(|(_, due)| *due <= clients.now)
            .map(|(key, _)| key)
            .collect();
        for key in due {
            clients.push(
                key,
                Meta::new(MessageKind::Heartbeat),
                &[b"{\"channel\":\"heartbeat\"}"],
            );
            // A connection that a fault has silenced would be due for ever.
            if clients.last_message(key) != Some(clients.now)
                && let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut)
            {
                session.has_subscribed = false;
            }
        }
    }

    fn rest(&mut self, target: Target<'_>, _: &Market, clients: &mut Clients) -> RestReply {
        match target.path() {
            "/0/public/Time" => {
                let seconds = clients.stamp().0 / 1_000_000_000;
                RestReply::json(200, format!("{{\"error\":[],\"result\":{{\"unixtime\":{seconds}}}}}"))
            }
            "/0/public/SystemStatus" => {
                let mut body = b"{\"error\":[],\"result\":{\"status\":\"online\",\"timestamp\":\"".to_vec();
                push_rfc3339(&mut body, clients.stamp());
                body.extend_from_slice(b"\"}}");
                RestReply::json(200, body)
            }
            _ => RestReply::json(404, "{\"error\":[\"EGeneral:Unknown method\"]}"),
        }
    }

    fn repeat_snapshot(&mut self, key: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let view = self.views[index].iter().find(|view| view.subscribers.contains(&key));
        if let Some(depth) = view.map(|view| view.depth) {
            self.snapshot(key, index, depth, market, clients);
        }
    }
}

impl Kraken {
    /// Who gets a heartbeat, and when, unless something else is said first.
    fn heartbeats<'a>(&'a self, clients: &'a Clients) -> impl Iterator<Item = (ClientKey, UnixNanos)> + 'a {
        self.clients.iter().enumerate().filter_map(|(key, session)| {
            let session = session.as_ref().filter(|session| session.has_subscribed)?;
            let last = clients.last_message(key)?.max(session.opened);
            Some((key, UnixNanos(last.0 + HEARTBEAT_NS)))
        })
    }
}

/// The depths that the venue accepts.
const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1_000];
/// Silence after which a heartbeat comes.
const HEARTBEAT_NS: u64 = 1_000_000_000;
