//! A recording as a source: every client that subscribes gets the recorded frames from the beginning, byte for byte.
//!
//! What a recording cannot know is answered live: acknowledgements that carry an id of the client's, pongs and refusals.
//! Kraken's `status` and acknowledgements are played as recorded, the first when the client connects, the others when it
//! subscribes. A REST book that stands in the recording is what REST answers, and the stream waits at its
//! line until it has been asked for: the recording has it there because its client had it then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use simd_json::prelude::*;

use super::{ClientKey, Clients, Exchange, Manners, Meta, RestReply, Target, binance, bybit, coinbase, kraken, okx};
use crate::capture::{CaptureError, CaptureReader, Record};
use crate::sim::fault::{FaultKind, Target as Struck};
use crate::sim::stats::MessageKind;
use crate::sim::wire::parse;
use crate::types::{Line, UnixNanos, VenueId};

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlaybackPace {
    /// As it was received, so many times faster.
    Recorded {
        /// One is the recorded pace.
        speed: f64,
    },
    /// As fast as the client reads.
    Flood,
}

/// What a recording holds, found out before it is played.
#[derive(Debug, Default)]
pub(in crate::sim) struct Contents {
    pub(in crate::sim) symbols: Vec<String>,
    snapshots: Vec<Snapshot>,
    /// Kraken: what the recorder subscribed to, as `channel symbol`, and with which depth.
    acknowledged: BTreeMap<String, Option<u64>>,
}

#[derive(Debug)]
struct Snapshot {
    /// `None` where the recording does not say: then it is anybody's.
    symbol: Option<String>,
    body: Vec<u8>,
}

impl Contents {
    /// Reads the whole recording once. Bad lines are passed over here as they are when it is played.
    pub(in crate::sim) fn scan(venue: VenueId, files: &[PathBuf]) -> Result<Self, CaptureError> {
        let mut contents = Self::default();
        let mut reader = CaptureReader::open(files)?;
        let mut line = Line::First;
        while let Some(item) = next_item(&mut reader, venue, &mut line)? {
            let symbol = match item {
                Item::Frame { frame, .. } => {
                    let (kind, symbol) = classify(venue, &frame);
                    if venue == VenueId::KrakenV2 && kind == MessageKind::Acknowledgement {
                        contents.note_acknowledgement(&frame);
                    }
                    symbol.map(str::to_owned)
                }
                Item::Snapshot { symbol, body } => {
                    contents.snapshots.push(Snapshot {
                        symbol: symbol.clone(),
                        body,
                    });
                    symbol
                }
            };
            if let Some(symbol) = symbol.filter(|symbol| !contents.symbols.contains(symbol)) {
                contents.symbols.push(symbol);
            }
        }
        Ok(contents)
    }

    fn note_acknowledgement(&mut self, frame: &[u8]) {
        let value = std::str::from_utf8(frame).ok().and_then(parse);
        let Some(result) = value.as_ref().and_then(|value| value.get("result")) else {
            return;
        };
        let text = |name: &str| result.get(name).and_then(|value| value.as_str());
        if let (Some(channel), Some(symbol)) = (text("channel"), text("symbol")) {
            let depth = result.get("depth").and_then(|depth| depth.as_u64());
            self.acknowledged.insert(format!("{channel} {symbol}"), depth);
        }
    }

    fn index_of(&self, symbol: &str) -> Option<u16> {
        self.symbols
            .iter()
            .position(|name| name == symbol)
            .map(|index| index as u16)
    }
}

/// A recording behind a venue's protocol.
pub(in crate::sim) struct Playback {
    venue: VenueId,
    files: Vec<PathBuf>,
    pace: PlaybackPace,
    snapshot_timeout: Duration,
    contents: Contents,
    clients: Clients,
    players: Vec<Option<Player>>,
    /// REST books that were asked for.
    fetches: u64,
}

/// One client's way through the recording.
struct Player {
    reader: CaptureReader,
    /// The line of the recording that the next record is of.
    line: Line,
    next: Option<Item>,
    is_playing: bool,
    /// The recording's time and ours that belong together; shifted by every wait.
    origin: Option<(UnixNanos, UnixNanos)>,
    /// REST books passed, and those asked for before this client came.
    snapshots_passed: usize,
    fetches_before: u64,
    held_since: Option<UnixNanos>,
}

/// What is played.
enum Item {
    Frame { time: UnixNanos, frame: Vec<u8> },
    Snapshot { symbol: Option<String>, body: Vec<u8> },
}

/// What a player waits for.
enum Wait {
    Until(UnixNanos),
    /// Nothing of its own.
    Idle,
    /// More could be said at once.
    Busy,
}

impl Playback {
    pub(in crate::sim) fn new(
        venue: VenueId,
        files: Vec<PathBuf>,
        pace: PlaybackPace,
        snapshot_timeout: Duration,
        contents: Contents,
        mut clients: Clients,
    ) -> Self {
        clients.mind(Manners {
            shutdown_message: match venue {
                VenueId::BinanceSpot | VenueId::BinanceUsdm => binance::shutdown_message,
                VenueId::KrakenV2 => kraken::shutdown_message,
                VenueId::BybitSpot | VenueId::BybitLinear | VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => {
                    Manners::default().shutdown_message
                }
                VenueId::OkxV5 => okx::shutdown_message,
            },
            unplayable: UNPLAYABLE,
        });
        Self {
            venue,
            files,
            pace,
            snapshot_timeout,
            contents,
            clients,
            players: Vec::new(),
            fetches: 0,
        }
    }

    fn play(&mut self, key: ClientKey, now: UnixNanos, is_throttled: bool) -> Wait {
        let Some(player) = self
            .players
            .get_mut(key)
            .and_then(Option::as_mut)
            .filter(|player| player.is_playing)
        else {
            return Wait::Idle;
        };
        for _ in 0..FRAMES_PER_CALL {
            let Some(item) = &player.next else { return Wait::Idle };
            match item {
                Item::Snapshot { .. } => {
                    // The recorder had its answer here, so this client must have one too.
                    let since = *player.held_since.get_or_insert(now);
                    let timeout = UnixNanos(since.0 + self.snapshot_timeout.as_nanos() as u64);
                    let has_fetched = self.fetches - player.fetches_before > player.snapshots_passed as u64;
                    if !has_fetched && now < timeout {
                        return Wait::Until(timeout);
                    }
                    player.held_since = None;
                    player.snapshots_passed += 1;
                    if let Some(origin) = &mut player.origin {
                        origin.1.0 += now.since(since).max(0) as u64;
                    }
                }
                Item::Frame { time, frame } => {
                    match self.pace {
                        PlaybackPace::Recorded { speed } => {
                            let (recorded, ours) = *player.origin.get_or_insert((*time, now));
                            let since = time.since(recorded).max(0) as f64 / speed;
                            let due = UnixNanos(ours.0 + since as u64);
                            if due > now {
                                return Wait::Until(due);
                            }
                        }
                        PlaybackPace::Flood if is_throttled => return Wait::Until(UnixNanos(now.0 + THROTTLED_NS)),
                        PlaybackPace::Flood => {}
                    }
                    let (kind, symbol) = classify(self.venue, frame);
                    // Where they carry an id of the recorder's, clients are answered live; elsewhere they name what they
                    // are about, and on Coinbase they are counted among the frames.
                    let is_played = matches!(
                        self.venue,
                        VenueId::KrakenV2 | VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange
                    );
                    let is_answer = !is_played
                        && matches!(
                            kind,
                            MessageKind::Acknowledgement | MessageKind::Refusal | MessageKind::MethodPong
                        );
                    if !is_answer {
                        let symbol = symbol.and_then(|symbol| self.contents.index_of(symbol));
                        let meta = Meta {
                            symbol,
                            ..Meta::new(kind)
                        };
                        self.clients.push(key, meta, &[frame]);
                    }
                }
            }
            player.advance(self.venue);
        }
        Wait::Busy
    }

    fn begin(&mut self, key: ClientKey) {
        if let Some(player) = self.players.get_mut(key).and_then(Option::as_mut) {
            player.is_playing = true;
        }
    }

    fn binance_request(&mut self, key: ClientKey, text: &str) {
        let Some(request) = parse(text) else {
            return binance::refuse(
                key,
                3,
                "Invalid JSON: expected value at line 1 column 1",
                None,
                &mut self.clients,
            );
        };
        let id = request.get("id").map(|id| id.encode());
        let result = match request.get("method").and_then(|method| method.as_str()) {
            Some("SUBSCRIBE" | "UNSUBSCRIBE") => "null",
            Some("LIST_SUBSCRIPTIONS") => "[]",
            _ => {
                let reason = "Invalid request: unknown method";
                return binance::refuse(key, 2, reason, id.as_deref(), &mut self.clients);
            }
        };
        let body = format!("{{\"result\":{result},\"id\":{}}}", id.as_deref().unwrap_or("null"));
        self.clients
            .push(key, Meta::new(MessageKind::Acknowledgement), &[body.as_bytes()]);
        self.begin(key);
    }

    fn kraken_request(&mut self, key: ClientKey, text: &str) {
        let Some(request) = parse(text) else {
            return kraken::refuse(key, "", "Malformed request", None, None, &mut self.clients);
        };
        let req_id = request.get("req_id").map(|id| id.encode());
        let req_id = req_id.as_deref();
        let method = request.get("method").and_then(|method| method.as_str()).unwrap_or("");
        if method == "ping" {
            return kraken::pong(key, req_id, &mut self.clients);
        }
        // The recorder's own unsubscriptions come as they were recorded.
        if method != "subscribe" {
            return;
        }
        let params = request.get("params");
        let channel = params
            .and_then(|params| params.get("channel"))
            .and_then(|channel| channel.as_str())
            .unwrap_or("");
        let depth = params
            .and_then(|params| params.get("depth"))
            .map_or(Some(10), |depth| depth.as_u64());
        let symbols = params
            .and_then(|params| params.get("symbol"))
            .and_then(|symbols| symbols.as_array());
        for symbol in symbols.into_iter().flatten().filter_map(|symbol| symbol.as_str()) {
            match self.contents.acknowledged.get(&format!("{channel} {symbol}")) {
                // The acknowledgement comes with the recording.
                Some(recorded) if recorded.is_none() || *recorded == depth => self.begin(key),
                Some(_) => {
                    let reason = "Subscription depth not supported";
                    kraken::refuse(key, method, reason, Some(symbol), req_id, &mut self.clients);
                }
                None if self.contents.index_of(symbol).is_none() => {
                    let reason = format!("Currency pair not supported {symbol}");
                    kraken::refuse(key, method, &reason, Some(symbol), req_id, &mut self.clients);
                }
                // A channel that the recorder did not ask for, or a recording without acknowledgements.
                None => {
                    let mut result = format!("{{\"channel\":\"{channel}\"");
                    if let (Some(depth), "book") = (depth, channel) {
                        result.push_str(&format!(",\"depth\":{depth}"));
                    }
                    result.push_str(&format!(",\"snapshot\":true,\"symbol\":\"{symbol}\"}}"));
                    kraken::acknowledge(key, method, &result, req_id, &mut self.clients);
                    if self.contents.acknowledged.is_empty() {
                        self.begin(key);
                    }
                }
            }
        }
    }

    fn bybit_request(&mut self, product: bybit::Product, key: ClientKey, text: &str) {
        let Some(request) = parse(text) else {
            return bybit::not_json(product, key, &mut self.clients);
        };
        let field = |name: &str| request.get(name).and_then(|value| value.as_str());
        let req_id = field("req_id");
        let op = match field("op") {
            Some("ping") => return bybit::pong(product, key, req_id, &mut self.clients),
            Some(op @ ("subscribe" | "unsubscribe")) => op,
            op => return bybit::invalid_op(product, key, op, req_id, &mut self.clients),
        };
        let names = request.get("args").and_then(|args| args.as_array());
        let index_of = |symbol: &str| self.contents.index_of(symbol).map(usize::from);
        let unknown = names
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str())
            .find(|name| bybit::Topic::find(name, index_of).is_none());
        match unknown {
            Some(name) => {
                let reason = format!("error:handler not found,topic:{name}");
                let refusal = bybit::Answer::refused(op, &reason, req_id);
                bybit::answer(product, key, &refusal, &mut self.clients);
            }
            None => {
                bybit::answer(product, key, &bybit::Answer::accepted(op, req_id), &mut self.clients);
                self.begin(key);
            }
        }
    }

    fn okx_request(&mut self, key: ClientKey, text: &str) {
        let clients = &mut self.clients;
        if okx::is_ping(text) {
            return okx::pong(key, clients);
        }
        let request = parse(text);
        let field = |name: &str| request.as_ref().and_then(|request| request.get(name));
        let id = field("id").and_then(|id| id.as_str());
        let op = field("op").and_then(|op| op.as_str()).unwrap_or("");
        let args = field("args").and_then(|args| args.as_array());
        let Some(args) = args.filter(|_| matches!(op, "subscribe" | "unsubscribe")) else {
            return okx::refuse(key, "60012", &format!("Invalid request: {text}"), id, clients);
        };
        let mut has_accepted = false;
        for arg in args {
            let field = |name: &str| arg.get(name).and_then(|value| value.as_str()).unwrap_or("");
            let (channel, symbol) = (field("channel"), field("instId"));
            if self.contents.index_of(symbol).is_some() {
                okx::acknowledge(key, op, channel, symbol, id, clients);
                has_accepted = true;
            } else {
                okx::refuse(key, "60018", &okx::unknown_instrument(channel, symbol), id, clients);
            }
        }
        if has_accepted && op == "subscribe" {
            self.begin(key);
        }
    }

    /// Answers and snapshots come with the recording: what is left is to refuse what it does not have.
    fn coinbase_request(&mut self, key: ClientKey, text: &str) {
        let request = parse(text);
        let kind = request.as_ref().and_then(|request| request.get("type"));
        let (Some(request), Some("subscribe" | "unsubscribe")) = (&request, kind.and_then(|kind| kind.as_str())) else {
            let reason = "subscribe or unsubscribe required";
            return coinbase::refuse(key, self.venue, reason, &mut self.clients);
        };
        let products = request.get("product_ids").and_then(|products| products.as_array());
        let products = products.into_iter().flatten().filter_map(|product| product.as_str());
        for product in products {
            if self.contents.index_of(product).is_none() {
                let reason = format!("{product} is not a valid product");
                return coinbase::refuse(key, self.venue, &reason, &mut self.clients);
            }
        }
        self.begin(key);
    }

    /// The book that the recording's client was given next, seen from where the players are.
    fn snapshot_for(&self, symbol: &str) -> Option<&Snapshot> {
        let passed = self
            .players
            .iter()
            .flatten()
            .map(|player| player.snapshots_passed)
            .max()
            .unwrap_or(0);
        let fits = |snapshot: &&Snapshot| snapshot.symbol.as_deref().is_none_or(|name| name == symbol);
        let snapshots: &[Snapshot] = &self.contents.snapshots;
        let coming = snapshots.iter().skip(passed).find(fits);
        coming.or_else(|| snapshots.iter().rfind(fits))
    }
}

impl Player {
    /// Reads the next item; at the end, or where the file cannot be read any further, there is none.
    fn advance(&mut self, venue: VenueId) {
        self.next = next_item(&mut self.reader, venue, &mut self.line).ok().flatten();
    }
}

impl Exchange for Playback {
    fn connect(&mut self, target: &str, now: UnixNanos) -> Result<ClientKey, u16> {
        self.clients.now = now;
        let (is_subscribed, is_combined) = match self.venue {
            VenueId::BinanceSpot | VenueId::BinanceUsdm => {
                let (is_combined, names) =
                    binance::streams_of(binance::Product::of(self.venue), Target(target)).ok_or(404u16)?;
                (!names.is_empty(), is_combined)
            }
            VenueId::KrakenV2 if Target(target).path() == "/v2" => (false, false),
            VenueId::BybitSpot | VenueId::BybitLinear
                if bybit::Product::of(self.venue).is_some_and(|product| product.path() == Target(target).path()) =>
            {
                (false, false)
            }
            VenueId::OkxV5 if Target(target).path() == okx::PATH => (false, false),
            VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange if Target(target).path() == "/" => (false, false),
            VenueId::KrakenV2
            | VenueId::BybitSpot
            | VenueId::BybitLinear
            | VenueId::OkxV5
            | VenueId::CoinbaseAdvanced
            | VenueId::CoinbaseExchange => return Err(404),
        };
        let reader = CaptureReader::open(&self.files).map_err(|_| 503u16)?;
        let mut player = Player {
            reader,
            line: Line::First,
            next: None,
            is_playing: is_subscribed,
            origin: None,
            snapshots_passed: 0,
            fetches_before: self.fetches,
            held_since: None,
        };
        player.advance(self.venue);
        let key = self.clients.connect();
        if is_combined {
            self.clients.combine(key);
        }
        // What the venue says before it is asked.
        while let Some(Item::Frame { frame, .. }) = &player.next {
            let (kind, _) = classify(self.venue, frame);
            if self.venue != VenueId::KrakenV2 || kind != MessageKind::Status {
                break;
            }
            self.clients.push(key, Meta::new(kind), &[frame]);
            player.advance(self.venue);
        }
        if self.players.len() <= key {
            self.players.resize_with(key + 1, || None);
        }
        self.players[key] = Some(player);
        Ok(key)
    }

    fn receive(&mut self, key: ClientKey, text: &str, now: UnixNanos) {
        self.clients.now = now;
        match self.venue {
            VenueId::BinanceSpot | VenueId::BinanceUsdm => self.binance_request(key, text),
            VenueId::KrakenV2 => self.kraken_request(key, text),
            VenueId::BybitSpot => self.bybit_request(bybit::Product::Spot, key, text),
            VenueId::BybitLinear => self.bybit_request(bybit::Product::Linear, key, text),
            VenueId::OkxV5 => self.okx_request(key, text),
            VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => self.coinbase_request(key, text),
        }
    }

    fn disconnect(&mut self, key: ClientKey) {
        if let Some(slot) = self.players.get_mut(key) {
            *slot = None;
        }
        self.clients.disconnect(key);
    }

    fn rest(&mut self, target: &str, now: UnixNanos) -> RestReply {
        self.clients.now = now;
        let target = Target(target);
        let call = target.path().strip_prefix(binance::Product::of(self.venue).rest_root());
        let symbol = match (self.venue, target.path(), call) {
            (VenueId::BinanceSpot | VenueId::BinanceUsdm, _, Some("/depth")) => target.query("symbol"),
            (VenueId::OkxV5, okx::REST_BOOK_PATH, _) => Some(target.query("instId").unwrap_or("")),
            (_, _, Some("/ping")) => return RestReply::json(200, "{}"),
            (_, _, Some("/time")) => {
                return RestReply::json(200, format!("{{\"serverTime\":{}}}", now.0 / 1_000_000));
            }
            _ => return RestReply::json(404, "{\"code\":-1000,\"msg\":\"Not Found\"}"),
        };
        let Some(symbol) = symbol else {
            let reason = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.";
            return binance::refusal(400, -1102, reason);
        };
        let index = self.contents.index_of(symbol);
        let Some(body) = self
            .snapshot_for(symbol)
            .filter(|_| index.is_some())
            .map(|found| found.body.clone())
        else {
            return match self.venue {
                VenueId::OkxV5 => okx::rest_error(200, "51001", okx::NO_INSTRUMENT),
                _ => binance::refusal(400, -1121, "Invalid symbol."),
            };
        };
        let fault = self.clients.faults.strike(Struck::Rest, index, |_| true);
        if let Some(reply) = fault.as_ref().and_then(binance::refusal_by) {
            return reply;
        }
        let mut reply = RestReply::json(200, body);
        reply.snapshot_of = index;
        reply.cut_by(fault.as_ref());
        self.fetches += u64::from(fault.is_none());
        reply
    }

    fn advance(&mut self, now: UnixNanos, is_throttled: bool) -> UnixNanos {
        self.clients.now = now;
        let mut next = UnixNanos(now.0 + IDLE_NS);
        for key in 0..self.players.len() {
            match self.play(key, now, is_throttled) {
                Wait::Until(time) => next = next.min(time),
                Wait::Busy => next = now,
                Wait::Idle => {}
            }
        }
        next
    }

    fn clients(&mut self) -> &mut Clients {
        &mut self.clients
    }
}

/// The next frame or REST book; what else stands in a recording is not for clients. Of two lines that carry the same the
/// first one is played.
fn next_item(reader: &mut CaptureReader, venue: VenueId, line: &mut Line) -> Result<Option<Item>, CaptureError> {
    loop {
        match reader.next_record() {
            Ok(None) => return Ok(None),
            Ok(Some(Record::Line { line: next, .. })) => *line = next,
            Ok(Some(Record::Frame { .. })) if *line != Line::First => {}
            // Other recorders write a REST body as a line like any other.
            Ok(Some(Record::Frame { frame, .. })) if is_binance(venue) && frame.starts_with(b"{\"lastUpdateId\":") => {
                return Ok(Some(Item::Snapshot {
                    symbol: None,
                    body: frame.to_vec(),
                }));
            }
            Ok(Some(Record::Frame { receive_time, frame })) => {
                return Ok(Some(Item::Frame {
                    time: receive_time,
                    frame: frame.to_vec(),
                }));
            }
            Ok(Some(Record::Snapshot { symbol, body, .. })) => {
                return Ok(Some(Item::Snapshot {
                    symbol: Some(symbol.to_owned()),
                    body: body.to_vec(),
                }));
            }
            Ok(Some(_)) | Err(CaptureError::BadLine { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_binance(venue: VenueId) -> bool {
    matches!(venue, VenueId::BinanceSpot | VenueId::BinanceUsdm)
}

/// What a recorded frame is, from its beginning, and whose.
fn classify(venue: VenueId, frame: &[u8]) -> (MessageKind, Option<&str>) {
    let mut head = &frame[..frame.len().min(HEAD_BYTES)];
    while std::str::from_utf8(head).is_err() {
        head = &head[..head.len() - 1];
    }
    let head = std::str::from_utf8(head).unwrap_or_default();
    let value = |key: &str| head.split_once(key).and_then(|(_, rest)| rest.split('"').next());
    match venue {
        VenueId::BinanceSpot | VenueId::BinanceUsdm => {
            let kind = match value("\"e\":\"") {
                Some("depthUpdate") => MessageKind::BookUpdate,
                Some("bookTicker") => MessageKind::BookTicker,
                Some("trade" | "aggTrade") => MessageKind::Trade,
                Some("serverShutdown") => MessageKind::Status,
                Some(_) => MessageKind::Other,
                None if head.contains("\"lastUpdateId\":") => MessageKind::BookSnapshot,
                None if head.contains("\"result\":") => MessageKind::Acknowledgement,
                None if head.contains("\"error\":") => MessageKind::Refusal,
                None if head.contains("\"B\":\"") => MessageKind::BookTicker,
                None => MessageKind::Other,
            };
            (kind, value("\"s\":\""))
        }
        VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => {
            // Advanced Trade's channel says what an event is about, Exchange has a type for each.
            let kind = match (value("\"channel\":\""), value("\"type\":\"")) {
                (Some("l2_data"), Some("update")) | (None, Some("l2update")) => MessageKind::BookUpdate,
                (Some("l2_data") | None, Some("snapshot")) => MessageKind::BookSnapshot,
                (Some("market_trades"), _) | (None, Some("match" | "last_match")) => MessageKind::Trade,
                (Some("subscriptions"), _) | (None, Some("subscriptions")) => MessageKind::Acknowledgement,
                (Some("heartbeats"), _) | (None, Some("heartbeat")) => MessageKind::Heartbeat,
                (_, Some("error")) => MessageKind::Refusal,
                _ => MessageKind::Other,
            };
            (kind, value("\"product_id\":\""))
        }
        VenueId::KrakenV2 => {
            let is_snapshot = head.contains("\"type\":\"snapshot\"");
            let kind = match value("\"channel\":\"") {
                _ if head.contains("\"success\":true") || head.contains("\"result\":") => MessageKind::Acknowledgement,
                _ if head.contains("\"success\":false") || head.contains("\"error\":") => MessageKind::Refusal,
                _ if head.contains("\"method\":\"pong\"") => MessageKind::MethodPong,
                Some("book") if is_snapshot => MessageKind::BookSnapshot,
                Some("book") => MessageKind::BookUpdate,
                Some("trade") => MessageKind::Trade,
                Some("heartbeat") => MessageKind::Heartbeat,
                Some("status") => MessageKind::Status,
                _ => MessageKind::Other,
            };
            (kind, value("\"symbol\":\""))
        }
        VenueId::BybitSpot | VenueId::BybitLinear => {
            let topic = value("\"topic\":\"").unwrap_or_default();
            let kind = match topic.split('.').next() {
                _ if value("\"op\":\"").is_some_and(|op| op == "ping" || op == "pong") => MessageKind::MethodPong,
                _ if head.contains("\"success\":true") => MessageKind::Acknowledgement,
                _ if head.contains("\"success\":false") => MessageKind::Refusal,
                Some("orderbook") if head.contains("\"type\":\"snapshot\"") => MessageKind::BookSnapshot,
                Some("orderbook") => MessageKind::BookUpdate,
                Some("publicTrade") => MessageKind::Trade,
                _ => MessageKind::Other,
            };
            (kind, topic.rsplit_once('.').map(|(_, symbol)| symbol))
        }
        VenueId::OkxV5 => {
            let kind = match (value("\"event\":\""), value("\"channel\":\"")) {
                (Some("subscribe" | "unsubscribe"), _) => MessageKind::Acknowledgement,
                (Some("error"), _) => MessageKind::Refusal,
                (Some("notice"), _) => MessageKind::Status,
                (None, Some("books")) if head.contains("\"action\":\"snapshot\"") => MessageKind::BookSnapshot,
                (None, Some("books")) => MessageKind::BookUpdate,
                (None, Some("trades")) => MessageKind::Trade,
                (None, None) if head == "pong" => MessageKind::MethodPong,
                _ => MessageKind::Other,
            };
            (kind, value("\"instId\":\""))
        }
    }
}

/// A recording says what it says, when it is asked as it was asked: its bytes, its ids and its clock are not ours.
const UNPLAYABLE: &[FaultKind] = &[
    FaultKind::CorruptLevel,
    FaultKind::CorruptPrice,
    FaultKind::ResurrectLevel,
    FaultKind::SequenceRestart,
    FaultKind::RepeatSnapshot,
    FaultKind::ClockStep,
    FaultKind::HugeSnapshot,
    FaultKind::Mute,
    FaultKind::RefuseSubscription,
    FaultKind::RestTooOld,
];
/// How much of a frame is looked at to tell what it is.
const HEAD_BYTES: usize = 256;
/// A call to `advance` plays no more of a client's frames than this.
const FRAMES_PER_CALL: usize = 2_000;
/// How long a source without anything due sleeps.
const IDLE_NS: u64 = 50_000_000;
/// How often a flood looks whether it may go on.
const THROTTLED_NS: u64 = 300_000;
