//! The text of Kraken's messages: answers, windows and what changed in them, trades, instruments.

use std::ops::Range;

use super::super::meddle::LevelSpots;
use super::super::{ClientKey, Clients, Meta};
use crate::book::Level;
use crate::sim::market::{Instrument, Market};
use crate::sim::stats::MessageKind;
use crate::sim::wire::{push_decimal, push_rfc3339, push_string, push_u64};
use crate::types::{Qty, Side, UnixNanos};

/// How the venue says that it will go away.
pub(in crate::sim::exchange) fn shutdown_message(_: UnixNanos, out: &mut Vec<u8>) {
    let data = "{\"channel\":\"status\",\"type\":\"update\",\"data\":[{\"version\":\"2.0.10\",\"system\":\
                \"maintenance\",\"api_version\":\"v2\",\"connection_id\":7204881492680171915}]}";
    out.extend_from_slice(data.as_bytes());
}

/// Answers a `ping` request.
pub(in crate::sim::exchange) fn pong(key: ClientKey, req_id: Option<&str>, clients: &mut Clients) {
    let mut body = b"{\"method\":\"pong\"".to_vec();
    push_req_id(&mut body, req_id);
    push_times(&mut body, clients.stamp());
    body.push(b'}');
    clients.push(key, Meta::new(MessageKind::MethodPong), &[&body]);
}

/// Refuses a request.
pub(in crate::sim::exchange) fn refuse(
    key: ClientKey,
    method: &str,
    error: &str,
    symbol: Option<&str>,
    req_id: Option<&str>,
    clients: &mut Clients,
) {
    let now = clients.stamp();
    answer(
        key,
        clients,
        &Answer {
            symbol,
            ..Answer::failure(method, error, now, req_id)
        },
    );
}

/// Accepts a request, with a result that is JSON already.
pub(in crate::sim::exchange) fn acknowledge(
    key: ClientKey,
    method: &str,
    result: &str,
    req_id: Option<&str>,
    clients: &mut Clients,
) {
    let now = clients.stamp();
    answer(
        key,
        clients,
        &Answer {
            result: Some(result),
            ..Answer::failure(method, "", now, req_id)
        },
    );
}

/// What is answered to a request.
pub(super) struct Answer<'a> {
    pub(super) method: &'a str,
    pub(super) result: Option<&'a str>,
    pub(super) error: &'a str,
    pub(super) symbol: Option<&'a str>,
    pub(super) req_id: Option<&'a str>,
    pub(super) now: UnixNanos,
}

impl<'a> Answer<'a> {
    pub(super) fn failure(method: &'a str, error: &'a str, now: UnixNanos, req_id: Option<&'a str>) -> Self {
        Self {
            method,
            result: None,
            error,
            symbol: None,
            req_id,
            now,
        }
    }
}

pub(super) fn answer(key: ClientKey, clients: &mut Clients, answer: &Answer<'_>) {
    let mut body = Vec::new();
    let kind = match answer.result {
        Some(result) => {
            body.extend_from_slice(b"{\"method\":");
            push_string(&mut body, answer.method);
            body.extend_from_slice(b",\"result\":");
            body.extend_from_slice(result.as_bytes());
            push_req_id(&mut body, answer.req_id);
            body.extend_from_slice(b",\"success\":true");
            MessageKind::Acknowledgement
        }
        None => {
            body.extend_from_slice(b"{\"error\":");
            push_string(&mut body, answer.error);
            body.extend_from_slice(b",\"method\":");
            push_string(&mut body, answer.method);
            push_req_id(&mut body, answer.req_id);
            body.extend_from_slice(b",\"success\":false");
            if let Some(symbol) = answer.symbol {
                body.extend_from_slice(b",\"symbol\":");
                push_string(&mut body, symbol);
            }
            MessageKind::Refusal
        }
    };
    push_times(&mut body, answer.now);
    body.push(b'}');
    clients.push(key, Meta::new(kind), &[&body]);
}

fn push_req_id(out: &mut Vec<u8>, req_id: Option<&str>) {
    if let Some(req_id) = req_id {
        out.extend_from_slice(b",\"req_id\":");
        out.extend_from_slice(req_id.as_bytes());
    }
}

fn push_times(out: &mut Vec<u8>, now: UnixNanos) {
    for (name, time) in [("time_in", now), ("time_out", UnixNanos(now.0 + 42_000))] {
        out.extend_from_slice(format!(",\"{name}\":\"").as_bytes());
        push_rfc3339(out, time);
        out.push(b'"');
    }
}

/// Appends a level, and returns where its price and its quantity stand.
pub(super) fn push_level(out: &mut Vec<u8>, instrument: &Instrument, level: Level) -> (Range<usize>, Range<usize>) {
    let scale = instrument.config().scale;
    out.extend_from_slice(b"{\"price\":");
    let start = out.len();
    push_decimal(out, level.price.0, scale.price);
    let price = start..out.len();
    out.extend_from_slice(b",\"qty\":");
    let start = out.len();
    push_decimal(out, level.qty.0, scale.qty);
    let qty = start..out.len();
    out.push(b'}');
    (price, qty)
}

pub(super) fn push_levels(out: &mut Vec<u8>, instrument: &Instrument, levels: &[Level]) {
    for (place, level) in levels.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_level(out, instrument, *level);
    }
}

/// Appends what changed in a window and brings the window up to date: first what went, then what came or changed, each
/// from the best on. `spots` takes the places of levels that the checksum covers.
pub(super) fn update_view(
    out: &mut Vec<u8>,
    instrument: &Instrument,
    side: Side,
    depth: usize,
    view: &mut Vec<Level>,
    now: &mut Vec<Level>,
    spots: &mut LevelSpots,
) -> bool {
    now.clear();
    now.extend(instrument.levels(side).take(depth));
    let before = |a: &Level, b: &Level| match side {
        Side::Bid => a.price > b.price,
        Side::Ask => a.price < b.price,
    };
    let mut has_changes = false;
    let mut separate = |out: &mut Vec<u8>| {
        if std::mem::replace(&mut has_changes, true) {
            out.push(b',');
        }
    };
    // What was pushed out by better levels is the client's to truncate.
    let worst = now.get(depth - 1);
    let mut at = 0;
    for (rank, old) in view.iter().enumerate() {
        while now.get(at).is_some_and(|level| before(level, old)) {
            at += 1;
        }
        let is_gone = now.get(at).is_none_or(|level| level.price != old.price);
        if is_gone && worst.is_none_or(|worst| before(old, worst)) {
            separate(out);
            let deleted = Level {
                price: old.price,
                qty: Qty(0),
            };
            let places = push_level(out, instrument, deleted);
            if rank < CHECKSUM_LEVELS {
                spots.note(places, true);
            }
        }
    }
    let mut at = 0;
    for (rank, level) in now.iter().enumerate() {
        while view.get(at).is_some_and(|old| before(old, level)) {
            at += 1;
        }
        if view.get(at) != Some(level) {
            separate(out);
            let places = push_level(out, instrument, *level);
            if rank < CHECKSUM_LEVELS {
                spots.note(places, false);
            }
        }
    }
    std::mem::swap(view, now);
    has_changes
}

/// Appends checksum and time, and closes the message.
pub(super) fn push_proof(out: &mut Vec<u8>, instrument: &Instrument, now: UnixNanos) {
    out.extend_from_slice(b",\"checksum\":");
    push_u64(out, u64::from(checksum(instrument)));
    out.extend_from_slice(b",\"timestamp\":\"");
    push_rfc3339(out, now);
    out.extend_from_slice(b"\"}]}");
}

/// The venue's rule: ten asks, then ten bids, each from the best on; of each the price and then the quantity, without
/// the point and without leading zeros. Without its point a fixed number of decimals is the mantissa itself.
fn checksum(instrument: &Instrument) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut digits = itoa::Buffer::new();
    for side in [Side::Ask, Side::Bid] {
        for level in instrument.levels(side).take(CHECKSUM_LEVELS) {
            hasher.update(digits.format(level.price.0).as_bytes());
            hasher.update(digits.format(level.qty.0).as_bytes());
        }
    }
    hasher.finalize()
}

pub(super) fn trades_json(out: &mut Vec<u8>, instrument: &Instrument, now: UnixNanos) {
    let scale = instrument.config().scale;
    out.clear();
    out.extend_from_slice(b"{\"channel\":\"trade\",\"type\":\"update\",\"data\":[");
    for (place, trade) in instrument.last_step().trades.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"symbol\":");
        push_string(out, &instrument.config().symbol);
        out.extend_from_slice(match trade.aggressor {
            Side::Bid => b",\"side\":\"buy\",\"price\":".as_slice(),
            Side::Ask => b",\"side\":\"sell\",\"price\":".as_slice(),
        });
        push_decimal(out, trade.price.0, scale.price);
        out.extend_from_slice(b",\"qty\":");
        push_decimal(out, trade.qty.0, scale.qty);
        out.extend_from_slice(b",\"ord_type\":\"market\",\"trade_id\":");
        push_u64(out, trade.trade_id);
        out.extend_from_slice(b",\"timestamp\":\"");
        push_rfc3339(out, now);
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"]}");
}

pub(super) fn instruments_json(market: &Market) -> Vec<u8> {
    let mut out = b"{\"channel\":\"instrument\",\"type\":\"snapshot\",\"data\":{\"assets\":[],\"pairs\":[".to_vec();
    for (place, instrument) in market.instruments().iter().enumerate() {
        let config = instrument.config();
        if place > 0 {
            out.push(b',');
        }
        let (base, quote) = config.symbol.split_once('/').unwrap_or((&config.symbol, ""));
        out.extend_from_slice(
            format!(
                "{{\"symbol\":\"{}\",\"base\":\"{base}\",\"quote\":\"{quote}\",\"status\":\"online\",\"qty_precision\":{},\
                 \"qty_increment\":",
                config.symbol, config.scale.qty
            )
            .as_bytes(),
        );
        push_decimal(&mut out, config.lot.0, config.scale.qty);
        out.extend_from_slice(format!(",\"price_precision\":{},\"price_increment\":", config.scale.price).as_bytes());
        push_decimal(&mut out, config.tick.0, config.scale.price);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}}");
    out
}

/// Levels of each side that the checksum covers.
const CHECKSUM_LEVELS: usize = 10;
