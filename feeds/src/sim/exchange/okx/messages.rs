//! The text of OKX's messages: answers, windows and what changed in them, trades, REST books.

use super::super::{ClientKey, Clients, Meta, RestReply};
use crate::book::Level;
use crate::sim::market::Instrument;
use crate::sim::stats::MessageKind;
use crate::sim::wire::{push_decimal, push_string, push_u64};
use crate::types::{Qty, Side, UnixNanos};

/// How the venue says that it will go away.
pub(in crate::sim::exchange) fn shutdown_message(_: UnixNanos, out: &mut Vec<u8>) {
    let data = "{\"event\":\"notice\",\"code\":\"64008\",\"msg\":\"The connection will soon be closed for a service \
                upgrade. Please reconnect.\",\"connId\":\"a4d3ae55\"}";
    out.extend_from_slice(data.as_bytes());
}

/// Whether a client asks for a sign of life, which is no JSON.
pub(in crate::sim::exchange) fn is_ping(text: &str) -> bool {
    text == "ping"
}

/// The sign of life.
pub(in crate::sim::exchange) fn pong(key: ClientKey, clients: &mut Clients) {
    clients.push(key, Meta::new(MessageKind::MethodPong), &[b"pong"]);
}

/// Refuses a request.
pub(in crate::sim::exchange) fn refuse(
    key: ClientKey,
    code: &str,
    message: &str,
    id: Option<&str>,
    clients: &mut Clients,
) {
    let mut body = b"{".to_vec();
    push_id(&mut body, id);
    body.extend_from_slice(format!("\"event\":\"error\",\"code\":\"{code}\",\"msg\":").as_bytes());
    push_string(&mut body, message);
    body.extend_from_slice(b",\"connId\":\"a4d3ae55\"}");
    clients.push(key, Meta::new(MessageKind::Refusal), &[&body]);
}

/// What the venue says of a channel that it does not have.
pub(in crate::sim::exchange) fn unknown_instrument(channel: &str, symbol: &str) -> String {
    format!(
        "Wrong URL or channel:{channel},instId:{symbol} doesn't exist. Please use the correct URL, channel and \
         parameters referring to API document."
    )
}

/// Accepts a subscription, or its end.
pub(in crate::sim::exchange) fn acknowledge(
    key: ClientKey,
    event: &str,
    channel: &str,
    symbol: &str,
    id: Option<&str>,
    clients: &mut Clients,
) {
    let mut body = b"{".to_vec();
    push_id(&mut body, id);
    body.extend_from_slice(format!("\"event\":\"{event}\",\"arg\":{{\"channel\":\"{channel}\",\"instId\":").as_bytes());
    push_string(&mut body, symbol);
    body.extend_from_slice(b"},\"connId\":\"a4d3ae55\"}");
    clients.push(key, Meta::new(MessageKind::Acknowledgement), &[&body]);
}

fn push_id(out: &mut Vec<u8>, id: Option<&str>) {
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        push_string(out, id);
        out.push(b',');
    }
}

/// The levels of a book message.
pub(super) enum Changes<'a> {
    /// All of them, and further ones until the list of asks has so many bytes.
    Whole {
        bids: &'a [Level],
        asks: &'a [Level],
        bytes_min: usize,
    },
    /// What makes the second of the first.
    Between {
        bids: (&'a [Level], &'a [Level]),
        asks: (&'a [Level], &'a [Level]),
    },
}

/// Writes a book message: a snapshot where there is no id before it. Whether it has levels.
pub(super) fn book_json(
    out: &mut Vec<u8>,
    instrument: &Instrument,
    changes: &Changes<'_>,
    (previous_id, seq_id): (Option<u64>, u64),
    now: UnixNanos,
) -> bool {
    out.clear();
    out.extend_from_slice(b"{\"arg\":{\"channel\":\"books\",\"instId\":");
    push_string(out, &instrument.config().symbol);
    out.extend_from_slice(match previous_id {
        None => b"},\"action\":\"snapshot\",\"data\":[{\"asks\":[".as_slice(),
        Some(_) => b"},\"action\":\"update\",\"data\":[{\"asks\":[",
    });
    let before = out.len();
    match changes {
        Changes::Whole { asks, bytes_min, .. } => push_levels(out, instrument, asks, *bytes_min),
        Changes::Between { asks, .. } => push_changes(out, instrument, Side::Ask, *asks),
    }
    let mut has_levels = out.len() > before;
    out.extend_from_slice(b"],\"bids\":[");
    let before = out.len();
    match changes {
        Changes::Whole { bids, .. } => push_levels(out, instrument, bids, 0),
        Changes::Between { bids, .. } => push_changes(out, instrument, Side::Bid, *bids),
    }
    has_levels |= out.len() > before;
    out.extend_from_slice(b"],\"ts\":\"");
    push_u64(out, now.0 / 1_000_000);
    out.extend_from_slice(b"\",\"checksum\":0,\"seqId\":");
    push_u64(out, seq_id);
    out.extend_from_slice(b",\"prevSeqId\":");
    match previous_id {
        None => out.extend_from_slice(b"-1"),
        Some(previous) => push_u64(out, previous),
    }
    out.extend_from_slice(b"}]}");
    has_levels
}

/// A REST book, with further asks until it has so many bytes.
pub(super) fn rest_json(
    instrument: &Instrument,
    bids: &[Level],
    asks: &[Level],
    (seq_id, now): (u64, UnixNanos),
    bytes_min: usize,
) -> Vec<u8> {
    let mut out = b"{\"code\":\"0\",\"msg\":\"\",\"data\":[{\"asks\":[".to_vec();
    push_levels(&mut out, instrument, asks, bytes_min);
    out.extend_from_slice(b"],\"bids\":[");
    push_levels(&mut out, instrument, bids, 0);
    out.extend_from_slice(b"],\"ts\":\"");
    push_u64(&mut out, now.0 / 1_000_000);
    out.extend_from_slice(b"\",\"seqId\":");
    push_u64(&mut out, seq_id);
    out.extend_from_slice(b"}]}");
    out
}

/// An error of the REST API, which has the status of a success.
pub(in crate::sim::exchange) fn rest_error(status: u16, code: &str, message: &str) -> RestReply {
    RestReply::json(
        status,
        format!("{{\"code\":\"{code}\",\"data\":[],\"msg\":\"{message}\"}}"),
    )
}

fn push_levels(out: &mut Vec<u8>, instrument: &Instrument, levels: &[Level], bytes_min: usize) {
    let start = out.len();
    for level in levels {
        push_level(out, instrument, *level);
    }
    let mut worst = levels.last().copied().unwrap_or_default();
    while out.len() - start < bytes_min {
        worst.price.0 += instrument.config().tick.0;
        push_level(out, instrument, worst);
    }
    if out.len() > start {
        out.pop();
    }
}

/// What went or came or changed, in the order of prices from the best on.
fn push_changes(out: &mut Vec<u8>, instrument: &Instrument, side: Side, (before, now): (&[Level], &[Level])) {
    let start = out.len();
    let rank = |level: &Level| match side {
        Side::Bid => -level.price.0,
        Side::Ask => level.price.0,
    };
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let (old, new) = (
            before.peek().map(|level| rank(level)),
            now.peek().map(|level| rank(level)),
        );
        let (is_old, is_new) = match (old, new) {
            (None, None) => break,
            (Some(old), Some(new)) => (old <= new, new <= old),
            (old, new) => (old.is_some(), new.is_some()),
        };
        let old = if is_old { before.next() } else { None };
        match (old, if is_new { now.next() } else { None }) {
            (old, Some(new)) if old != Some(new) => push_level(out, instrument, *new),
            (Some(old), None) => push_level(out, instrument, Level { qty: Qty(0), ..*old }),
            _ => {}
        }
    }
    if out.len() > start {
        out.pop();
    }
}

/// A level and a comma. The count of its orders is made up.
fn push_level(out: &mut Vec<u8>, instrument: &Instrument, level: Level) {
    let scale = instrument.config().scale;
    out.extend_from_slice(b"[\"");
    push_trimmed(out, level.price.0, scale.price);
    out.extend_from_slice(b"\",\"");
    push_trimmed(out, level.qty.0, scale.qty);
    out.extend_from_slice(b"\",\"0\",\"");
    push_u64(
        out,
        if level.qty == Qty(0) {
            0
        } else {
            1 + level.price.0.unsigned_abs() % 12
        },
    );
    out.extend_from_slice(b"\"],");
}

/// A number without trailing zeros, as this venue prints all of them.
fn push_trimmed(out: &mut Vec<u8>, mantissa: i64, decimals: u8) {
    let start = out.len();
    push_decimal(out, mantissa, decimals);
    if out[start..].contains(&b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
}

pub(super) fn trades_json(out: &mut Vec<u8>, instrument: &Instrument, now: UnixNanos) {
    let config = instrument.config();
    out.clear();
    out.extend_from_slice(b"{\"arg\":{\"channel\":\"trades\",\"instId\":");
    push_string(out, &config.symbol);
    out.extend_from_slice(b"},\"data\":[");
    for trade in &instrument.last_step().trades {
        out.extend_from_slice(b"{\"instId\":");
        push_string(out, &config.symbol);
        out.extend_from_slice(b",\"tradeId\":\"");
        push_u64(out, trade.trade_id);
        out.extend_from_slice(b"\",\"px\":\"");
        push_trimmed(out, trade.price.0, config.scale.price);
        out.extend_from_slice(b"\",\"sz\":\"");
        push_trimmed(out, trade.qty.0, config.scale.qty);
        out.extend_from_slice(match trade.aggressor {
            Side::Bid => b"\",\"side\":\"buy\",\"ts\":\"".as_slice(),
            Side::Ask => b"\",\"side\":\"sell\",\"ts\":\"",
        });
        push_u64(out, now.0 / 1_000_000);
        out.extend_from_slice(b"\",\"count\":\"1\"},");
    }
    out.pop();
    out.extend_from_slice(b"]}");
}
