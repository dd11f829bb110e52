//! Binance spot and futures: streams, requests on the socket, and the REST calls that a book builder needs.
//!
//! Field names, order and decimals follow recorded sessions; refusals follow the venue's documentation.

mod messages;
mod product;

use simd_json::prelude::*;

use super::{ClientKey, Clients, Dialect, Manners, Meta, RestReply, Target};
use crate::event::LevelChange;
use crate::sim::fault::{Fault, FaultKind, Target as Struck};
use crate::sim::market::Market;
use crate::sim::stats::MessageKind;
use crate::sim::wire::{parse, push_string, push_u64};
use crate::types::{Side, UnixNanos, VenueId};
use crate::ws::close_code;
use messages::{book_json, book_ticker_json, depth_update_json, exchange_info, trade_json};
pub(in crate::sim::exchange) use product::Product;

/// What may differ from the venue.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Options {
    /// Sends `@depth` streams at this pace, whatever their name says; zero is one message per event.
    pub(in crate::sim) depth_interval_ms: Option<u64>,
    /// Closes the connection of a client that sends more messages in a second than the venue allows.
    pub(in crate::sim) enforce_limits: bool,
}

/// A product of Binance over a market.
pub(in crate::sim) struct Binance {
    product: Product,
    options: Options,
    symbols: Vec<SymbolStreams>,
    clients: Vec<Option<Session>>,
    /// A book from before anything that a stream says, for answers that are too old.
    first_books: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    /// The minute of the venue's clock, and the weight of the REST requests in it.
    weight: (u64, u32),
}

/// What one connection asked for.
#[derive(Debug, Default)]
struct Session {
    is_combined: bool,
    streams: Vec<String>,
    /// When its last messages came.
    received: Vec<UnixNanos>,
}

/// Who listens to one instrument.
struct SymbolStreams {
    lower: String,
    ticker: Vec<Listener>,
    trade: Vec<Listener>,
    depth: Vec<DepthStream>,
    partial: Vec<PartialStream>,
}

#[derive(Debug)]
struct Listener {
    key: ClientKey,
    name: String,
}

/// The diffs of one pace.
struct DepthStream {
    interval_ms: u64,
    listeners: Vec<Listener>,
    /// The last id that was told.
    told: u64,
    pending: Vec<LevelChange>,
    /// The end of the window, set by its first change.
    due: Option<UnixNanos>,
}

struct PartialStream {
    depth: usize,
    interval_ms: u64,
    listeners: Vec<Listener>,
    due: UnixNanos,
}

/// A stream's name, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Depth { interval_ms: u64 },
    Partial { depth: usize, interval_ms: u64 },
    Ticker,
    Trade,
}

impl Binance {
    pub(in crate::sim) fn new(venue: VenueId, market: &Market, options: Options) -> Self {
        let product = Product::of(venue);
        let symbols = market.instruments().iter().map(|instrument| SymbolStreams {
            lower: instrument.config().symbol.to_lowercase(),
            ticker: Vec::new(),
            trade: Vec::new(),
            depth: Vec::new(),
            partial: Vec::new(),
        });
        let first_books = market
            .instruments()
            .iter()
            .map(|instrument| book_json(product, instrument, UnixNanos(0), 1_000, 0))
            .collect();
        Self {
            product,
            options,
            symbols: symbols.collect(),
            clients: Vec::new(),
            first_books,
            scratch: Vec::new(),
            weight: (0, 0),
        }
    }

    fn subscribe(&mut self, key: ClientKey, name: &str, market: &Market, now: UnixNanos) {
        let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) else {
            return;
        };
        if session.streams.iter().any(|stream| stream == name) {
            return;
        }
        session.streams.push(name.to_owned());
        // The venue acknowledges streams that do not exist, and stays silent.
        let Some((lower, stream)) = parse_stream(self.product, name) else {
            return;
        };
        let Some(index) = self.symbols.iter().position(|symbol| symbol.lower == lower) else {
            return;
        };
        let symbol = &mut self.symbols[index];
        let listener = Listener {
            key,
            name: name.to_owned(),
        };
        match stream {
            Stream::Ticker => symbol.ticker.push(listener),
            Stream::Trade => symbol.trade.push(listener),
            Stream::Depth { interval_ms } => {
                let interval_ms = self.options.depth_interval_ms.unwrap_or(interval_ms);
                match symbol.depth.iter_mut().find(|depth| depth.interval_ms == interval_ms) {
                    Some(depth) => depth.listeners.push(listener),
                    None => symbol.depth.push(DepthStream {
                        interval_ms,
                        listeners: vec![listener],
                        told: market.instruments()[index].update_id(),
                        pending: Vec::new(),
                        due: None,
                    }),
                }
            }
            Stream::Partial { depth, interval_ms } => {
                let same = |partial: &&mut PartialStream| (partial.depth, partial.interval_ms) == (depth, interval_ms);
                match symbol.partial.iter_mut().find(same) {
                    Some(partial) => partial.listeners.push(listener),
                    None => {
                        let due = next_boundary(now, interval_ms);
                        symbol.partial.push(PartialStream {
                            depth,
                            interval_ms,
                            listeners: vec![listener],
                            due,
                        });
                    }
                }
            }
        }
    }

    fn unsubscribe(&mut self, key: ClientKey, name: Option<&str>) {
        let leaves = |listener: &Listener| listener.key == key && name.is_none_or(|name| listener.name == name);
        for symbol in &mut self.symbols {
            symbol.ticker.retain(|listener| !leaves(listener));
            symbol.trade.retain(|listener| !leaves(listener));
            for depth in &mut symbol.depth {
                depth.listeners.retain(|listener| !leaves(listener));
            }
            for partial in &mut symbol.partial {
                partial.listeners.retain(|listener| !leaves(listener));
            }
            // A pace that nobody listens to is forgotten: it would gather changes for ever.
            symbol.depth.retain(|depth| !depth.listeners.is_empty());
            symbol.partial.retain(|partial| !partial.listeners.is_empty());
        }
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) {
            session.streams.retain(|stream| name.is_some_and(|name| stream != name));
        }
    }

    /// Sends `data` to each listener, wrapped for those that asked for it. `data` comes back as it was.
    fn send(&self, listeners: &[Listener], meta: &Meta, data: &mut Vec<u8>, clients: &mut Clients) {
        // The brace that closes the wrapping stands behind the payload, so that one buffer serves both.
        data.push(b'}');
        let raw = &data[..data.len() - 1];
        for listener in listeners {
            let session = self.clients.get(listener.key).and_then(Option::as_ref);
            if session.is_some_and(|session| session.is_combined) {
                let parts: [&[u8]; 4] = [b"{\"stream\":\"", listener.name.as_bytes(), b"\",\"data\":", data];
                clients.push(listener.key, meta.clone(), &parts);
            } else {
                clients.push(listener.key, meta.clone(), &[raw]);
            }
        }
        data.pop();
    }

    fn flush_depth(&mut self, index: usize, stream: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let depth = &mut self.symbols[index].depth[stream];
        depth.due = None;
        let last = instrument.update_id();
        if depth.pending.is_empty() || last == depth.told {
            return;
        }
        // The last word about each price, bids from the best down, asks from the best up.
        let mut changes = std::mem::take(&mut depth.pending);
        changes.reverse();
        changes.sort_by_key(|change| match change.side {
            Side::Bid => (0, -change.price.0),
            Side::Ask => (1, change.price.0),
        });
        changes.dedup_by_key(|change| (change.side, change.price));
        let told = std::mem::replace(&mut depth.told, last);
        let mut data = std::mem::take(&mut self.scratch);
        let spots = depth_update_json(
            &mut data,
            self.product,
            instrument,
            clients.stamp(),
            (told, last),
            &changes,
        );
        let meta = Meta {
            spots,
            ..Meta::of(MessageKind::BookUpdate, index)
        };
        self.send(&self.symbols[index].depth[stream].listeners, &meta, &mut data, clients);
        self.scratch = data;
        changes.clear();
        self.symbols[index].depth[stream].pending = changes;
    }

    fn request(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        let Some(request) = parse(text) else {
            return refuse(key, 3, "Invalid JSON: expected value at line 1 column 1", None, clients);
        };
        let id = request.get("id").map(|id| id.encode());
        let names: Vec<String> = request
            .get("params")
            .and_then(|params| params.as_array())
            .map(|names| {
                names
                    .iter()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default();
        let Some(method) = request.get("method").and_then(|method| method.as_str()) else {
            return refuse(
                key,
                2,
                "Invalid request: missing field `method`",
                id.as_deref(),
                clients,
            );
        };
        let mut result = "null".to_owned();
        match method {
            "SUBSCRIBE" => {
                if names.is_empty() {
                    return refuse(
                        key,
                        2,
                        "Invalid request: missing field `params`",
                        id.as_deref(),
                        clients,
                    );
                }
                for name in &names {
                    match self.subscription_fault(name, clients) {
                        Some(Fault::RefuseSubscription) => {
                            return refuse(key, 2, "Invalid request: unknown stream", id.as_deref(), clients);
                        }
                        Some(Fault::Mute) => {
                            if let Some(index) = self.symbol_of(name) {
                                clients.mute(key, index as u16);
                            }
                        }
                        _ => {}
                    }
                    self.subscribe(key, name, market, clients.now);
                }
            }
            "UNSUBSCRIBE" => names.iter().for_each(|name| self.unsubscribe(key, Some(name))),
            "LIST_SUBSCRIPTIONS" => {
                let session = self.clients.get(key).and_then(Option::as_ref);
                let mut list = Vec::from(*b"[");
                for (place, name) in session.map_or(&[][..], |session| &session.streams).iter().enumerate() {
                    if place > 0 {
                        list.push(b',');
                    }
                    push_string(&mut list, name);
                }
                list.push(b']');
                result = String::from_utf8_lossy(&list).into_owned();
            }
            other => {
                let reason = format!("Invalid request: unknown variant {other}, expected one of SUBSCRIBE, ...");
                return refuse(key, 2, &reason, id.as_deref(), clients);
            }
        }
        let body = format!("{{\"result\":{result},\"id\":{}}}", id.as_deref().unwrap_or("null"));
        clients.push(key, Meta::new(MessageKind::Acknowledgement), &[body.as_bytes()]);
    }

    fn symbol_of(&self, stream: &str) -> Option<usize> {
        let (lower, _) = parse_stream(self.product, stream)?;
        self.symbols.iter().position(|symbol| symbol.lower == lower)
    }

    fn subscription_fault(&self, stream: &str, clients: &mut Clients) -> Option<Fault> {
        let symbol = self.symbol_of(stream).map(|index| index as u16);
        clients.faults.strike(Struck::Subscription, symbol, |_| true)
    }

    fn depth_reply(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        let Some(symbol) = target.query("symbol").filter(|symbol| !symbol.is_empty()) else {
            let reason = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.";
            return refusal(400, -1102, reason);
        };
        let limit = match target.query("limit").map(str::parse::<usize>).transpose() {
            Ok(limit) => limit,
            Err(_) => {
                let reason = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.";
                return refusal(400, -1100, reason);
            }
        };
        let Some((limit, weight)) = self.product.book_limit(limit) else {
            return refusal(400, -1130, "Data sent for parameter 'limit' is not valid.");
        };
        let Some(index) = market.index_of(symbol) else {
            return refusal(400, -1121, "Invalid symbol.");
        };
        let minute = clients.now.0 / 60_000_000_000;
        if self.weight.0 != minute {
            self.weight = (minute, 0);
        }
        self.weight.1 += weight;
        let weight_max = self.product.weight_per_minute_max();
        if self.options.enforce_limits && self.weight.1 > weight_max {
            let reason =
                format!("Too much request weight used; current limit is {weight_max} request weight per 1 MINUTE.");
            let mut reply = refusal(429, -1003, &reason);
            let seconds = 60 - clients.now.0 / 1_000_000_000 % 60;
            reply.headers.push(("Retry-After", seconds.to_string()));
            return reply;
        }
        let symbol = Some(index as u16);
        let fault = clients.faults.strike(Struck::Rest, symbol, |_| true);
        if let Some(reply) = fault.as_ref().and_then(refusal_by) {
            return reply;
        }
        let huge = match clients.faults.strike(Struck::Snapshot, symbol, |_| true) {
            Some(Fault::HugeSnapshot { bytes }) => bytes,
            _ => 0,
        };
        let body = match fault {
            Some(Fault::RestTooOld) => self.first_books[index].clone(),
            _ => book_json(self.product, &market.instruments()[index], clients.stamp(), limit, huge),
        };
        let mut reply = RestReply::json(200, body);
        reply.headers.push(("x-mbx-used-weight-1m", self.weight.1.to_string()));
        reply.snapshot_of = symbol;
        reply.cut_by(fault.as_ref());
        reply
    }
}

impl Dialect for Binance {
    fn manners(&self) -> Manners {
        Manners {
            shutdown_message,
            unplayable: &[FaultKind::RepeatSnapshot],
        }
    }

    fn connected(
        &mut self,
        key: ClientKey,
        target: Target<'_>,
        market: &Market,
        clients: &mut Clients,
    ) -> Result<(), u16> {
        // Times in microseconds are not simulated: refuse rather than answer in milliseconds.
        if target
            .query("timeUnit")
            .is_some_and(|unit| !unit.eq_ignore_ascii_case("millisecond"))
        {
            return Err(400);
        }
        let (is_combined, names) = streams_of(self.product, target).ok_or(404u16)?;
        if self.options.enforce_limits && target.0.len() > ADDRESS_BYTES_MAX {
            return Err(414);
        }
        if is_combined {
            clients.combine(key);
        }
        if self.clients.len() <= key {
            self.clients.resize_with(key + 1, || None);
        }
        self.clients[key] = Some(Session {
            is_combined,
            ..Session::default()
        });
        for name in names {
            self.subscribe(key, name, market, clients.now);
        }
        Ok(())
    }

    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients) {
        let now = clients.now;
        if let Some(session) = self.clients.get_mut(key).and_then(Option::as_mut) {
            session.received.retain(|time| now.since(*time) < 1_000_000_000);
            session.received.push(now);
            if self.options.enforce_limits && session.received.len() > self.product.messages_per_second_max() {
                return clients.close(key, close_code::POLICY_VIOLATION, "Too many requests");
            }
        }
        if self.options.enforce_limits && text.len() > REQUEST_BYTES_MAX {
            return; // the venue says nothing
        }
        self.request(key, text, market, clients);
        let session = self.clients.get(key).and_then(Option::as_ref);
        if self.options.enforce_limits && session.is_some_and(|session| session.streams.len() > STREAMS_MAX) {
            clients.close(key, close_code::POLICY_VIOLATION, "Too many streams");
        }
    }

    fn disconnected(&mut self, key: ClientKey) {
        self.unsubscribe(key, None);
        if let Some(slot) = self.clients.get_mut(key) {
            *slot = None;
        }
    }

    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        let step = instrument.last_step();
        let mut data = std::mem::take(&mut self.scratch);
        if step.touch_changed && !self.symbols[index].ticker.is_empty() {
            book_ticker_json(&mut data, self.product, instrument, clients.stamp());
            self.send(
                &self.symbols[index].ticker,
                &Meta::of(MessageKind::BookTicker, index),
                &mut data,
                clients,
            );
        }
        if !self.symbols[index].trade.is_empty() {
            for trade in &step.trades {
                trade_json(&mut data, self.product, instrument, trade, clients.stamp());
                self.send(
                    &self.symbols[index].trade,
                    &Meta::of(MessageKind::Trade, index),
                    &mut data,
                    clients,
                );
            }
        }
        self.scratch = data;
        for stream in 0..self.symbols[index].depth.len() {
            let depth = &mut self.symbols[index].depth[stream];
            depth.pending.extend_from_slice(&step.changes);
            if depth.interval_ms == 0 {
                self.flush_depth(index, stream, market, clients);
            } else if depth.due.is_none() {
                depth.due = Some(next_boundary(clients.now, depth.interval_ms));
            }
        }
    }

    fn next_deadline(&self, _: &Clients) -> Option<UnixNanos> {
        let depth = self
            .symbols
            .iter()
            .flat_map(|symbol| &symbol.depth)
            .filter_map(|depth| depth.due);
        let partial = self
            .symbols
            .iter()
            .flat_map(|symbol| &symbol.partial)
            .map(|partial| partial.due);
        depth.chain(partial).min()
    }

    fn tick(&mut self, market: &Market, clients: &mut Clients) {
        for index in 0..self.symbols.len() {
            for stream in 0..self.symbols[index].depth.len() {
                if self.symbols[index].depth[stream]
                    .due
                    .is_some_and(|due| due <= clients.now)
                {
                    self.flush_depth(index, stream, market, clients);
                }
            }
            for stream in 0..self.symbols[index].partial.len() {
                let partial = &mut self.symbols[index].partial[stream];
                if partial.due > clients.now {
                    continue;
                }
                partial.due = next_boundary(clients.now, partial.interval_ms);
                let mut data = book_json(
                    self.product,
                    &market.instruments()[index],
                    clients.stamp(),
                    partial.depth,
                    0,
                );
                let meta = Meta::of(MessageKind::BookSnapshot, index);
                self.send(
                    &self.symbols[index].partial[stream].listeners,
                    &meta,
                    &mut data,
                    clients,
                );
            }
        }
    }

    fn rest(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply {
        match target.path().strip_prefix(self.product.rest_root()) {
            Some("/depth") => self.depth_reply(target, market, clients),
            Some("/ping") => RestReply::json(200, "{}"),
            Some("/time") => RestReply::json(200, format!("{{\"serverTime\":{}}}", clients.stamp().0 / 1_000_000)),
            Some("/exchangeInfo") => exchange_info(self.product, target, market, clients.stamp()),
            _ => RestReply::json(404, "{\"code\":-1000,\"msg\":\"Not Found\"}"),
        }
    }

    fn sequence_restarted(&mut self, _: ClientKey, index: usize, market: &Market, clients: &mut Clients) {
        let instrument = &market.instruments()[index];
        for depth in &mut self.symbols[index].depth {
            depth.told = instrument.update_id();
        }
        // The first book stays older than anything on the stream.
        self.first_books[index] = book_json(self.product, instrument, clients.stamp(), 1_000, 0);
    }
}

/// An address that always worked.
const ADDRESS_BYTES_MAX: usize = 8_004;
/// A message from a client that is read.
const REQUEST_BYTES_MAX: usize = 4_088;
/// Streams of a connection.
const STREAMS_MAX: usize = 1_024;

/// How the venue says that it will go away.
pub(in crate::sim::exchange) fn shutdown_message(now: UnixNanos, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"e\":\"serverShutdown\",\"E\":");
    push_u64(out, now.0 / 1_000_000);
    out.push(b'}');
}

/// Whether a WebSocket address wraps its messages, and the streams that it names; `None` where there is no WebSocket.
pub(in crate::sim::exchange) fn streams_of(product: Product, target: Target<'_>) -> Option<(bool, Vec<&str>)> {
    let path = target.path().strip_prefix(product.route())?;
    let (is_combined, names) = match path.strip_prefix("/ws") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (false, rest),
        _ if path == "/stream" => (true, target.query("streams").unwrap_or("")),
        _ => return None,
    };
    Some((is_combined, names.split('/').filter(|name| !name.is_empty()).collect()))
}

/// What a fault answers instead of a book.
pub(in crate::sim::exchange) fn refusal_by(fault: &Fault) -> Option<RestReply> {
    let Fault::RestStatus {
        status,
        retry_after_seconds,
    } = fault
    else {
        return None;
    };
    let mut reply = refusal(*status, -1003, "Way too many requests; IP banned for a while.");
    if let Some(seconds) = retry_after_seconds {
        reply.headers.push(("Retry-After", seconds.to_string()));
    }
    Some(reply)
}

pub(in crate::sim::exchange) fn refuse(
    key: ClientKey,
    code: i32,
    reason: &str,
    id: Option<&str>,
    clients: &mut Clients,
) {
    let mut body = format!("{{\"error\":{{\"code\":{code},\"msg\":").into_bytes();
    push_string(&mut body, reason);
    body.extend_from_slice(b"},\"id\":");
    body.extend_from_slice(id.unwrap_or("null").as_bytes());
    body.push(b'}');
    clients.push(key, Meta::new(MessageKind::Refusal), &[&body]);
}

pub(in crate::sim::exchange) fn refusal(status: u16, code: i32, reason: &str) -> RestReply {
    let mut body = format!("{{\"code\":{code},\"msg\":").into_bytes();
    push_string(&mut body, reason);
    body.push(b'}');
    RestReply::json(status, body)
}

/// The end of the window that a time lies in, at a pace.
fn next_boundary(now: UnixNanos, interval_ms: u64) -> UnixNanos {
    let interval_ns = interval_ms.max(1) * 1_000_000;
    UnixNanos((now.0 / interval_ns + 1) * interval_ns)
}

fn parse_stream(product: Product, name: &str) -> Option<(&str, Stream)> {
    let (symbol, kind) = name.split_once('@')?;
    let (kind, interval_ms) = match kind.split_once('@') {
        None => (kind, product.usual_interval_ms()),
        Some((kind, pace)) => (kind, pace.strip_suffix("ms")?.parse().ok()?),
    };
    if !product.has_interval(interval_ms) {
        return None;
    }
    let stream = match kind {
        "depth" => Stream::Depth { interval_ms },
        // The futures' have another shape.
        "depth5" | "depth10" | "depth20" if product == Product::Spot => Stream::Partial {
            depth: kind[5..].parse().ok()?,
            interval_ms,
        },
        "bookTicker" => Stream::Ticker,
        "trade" => Stream::Trade,
        _ => return None,
    };
    Some((symbol, stream))
}
