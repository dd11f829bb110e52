//! The text of Bybit's messages: answers, books and what changed in them, trades.

use super::Product;
use super::topics::BookTopic;
use crate::book::Level;
use crate::sim::exchange::{ClientKey, Clients, Meta};
use crate::sim::market::Instrument;
use crate::sim::stats::MessageKind;
use crate::sim::wire::{push_decimal, push_string, push_u64};
use crate::types::{Qty, Side, UnixNanos};

/// What is answered to a request.
pub(in crate::sim::exchange) struct Answer<'a> {
    op: &'a str,
    /// Why it is refused.
    reason: Option<&'a str>,
    req_id: Option<&'a str>,
}

impl<'a> Answer<'a> {
    pub(in crate::sim::exchange) fn accepted(op: &'a str, req_id: Option<&'a str>) -> Self {
        Self {
            op,
            reason: None,
            req_id,
        }
    }

    pub(in crate::sim::exchange) fn refused(op: &'a str, reason: &'a str, req_id: Option<&'a str>) -> Self {
        Self {
            op,
            reason: Some(reason),
            req_id,
        }
    }
}

/// Answers a request for subscriptions or for their end.
pub(in crate::sim::exchange) fn answer(product: Product, key: ClientKey, answer: &Answer<'_>, clients: &mut Clients) {
    let (kind, text) = match (answer.reason, product) {
        (Some(reason), _) => (MessageKind::Refusal, reason),
        (None, Product::Spot) => (MessageKind::Acknowledgement, answer.op),
        (None, Product::Linear) => (MessageKind::Acknowledgement, ""),
    };
    push(product, key, kind, text, Some(answer.op), answer.req_id, clients);
}

/// Answers a `ping` request.
pub(in crate::sim::exchange) fn pong(product: Product, key: ClientKey, req_id: Option<&str>, clients: &mut Clients) {
    push(
        product,
        key,
        MessageKind::MethodPong,
        "pong",
        Some("ping"),
        req_id,
        clients,
    );
}

/// Refuses a request that asks for something unknown.
pub(in crate::sim::exchange) fn invalid_op(
    product: Product,
    key: ClientKey,
    op: Option<&str>,
    req_id: Option<&str>,
    clients: &mut Clients,
) {
    push(
        product,
        key,
        MessageKind::Refusal,
        "error:invalid op",
        op,
        req_id,
        clients,
    );
}

/// Refuses what is no request.
pub(in crate::sim::exchange) fn not_json(product: Product, key: ClientKey, clients: &mut Clients) {
    let reason = "Failed to decode incoming data:readObjectStart: expect { or n";
    push(product, key, MessageKind::Refusal, reason, None, None, clients);
}

fn push(
    product: Product,
    key: ClientKey,
    kind: MessageKind,
    text: &str,
    op: Option<&str>,
    req_id: Option<&str>,
    clients: &mut Clients,
) {
    let is_success = kind != MessageKind::Refusal;
    let mut body = format!("{{\"success\":{is_success},\"ret_msg\":").into_bytes();
    push_string(&mut body, text);
    body.extend_from_slice(format!(",\"conn_id\":\"d9avt13c3kkqi46e1u9g-{key:05x}\"").as_bytes());
    // Linear writes an empty id where spot writes none.
    if req_id.is_some() || product == Product::Linear {
        body.extend_from_slice(b",\"req_id\":");
        push_string(&mut body, req_id.unwrap_or_default());
    }
    body.extend_from_slice(b",\"op\":");
    push_string(&mut body, op.unwrap_or_default());
    body.push(b'}');
    clients.push(key, Meta::new(kind), &[&body]);
}

/// The whole book of a topic; `huge` bytes of it at least, for a fault.
pub(super) fn book_json(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    topic: &BookTopic,
    now: UnixNanos,
    huge: usize,
) {
    open_book(out, product, instrument, topic, "snapshot", now);
    out.extend_from_slice(b",\"b\":[");
    push_levels(out, product, instrument, &topic.bids.levels);
    out.extend_from_slice(b"],\"a\":[");
    push_levels(out, product, instrument, &topic.asks.levels);
    let mut worst = topic.asks.levels.last().copied().unwrap_or_default();
    while out.len() < huge {
        worst.price.0 += instrument.config().tick.0;
        out.push(b',');
        push_level(out, product, instrument, worst);
    }
    close_book(out, instrument, topic, now);
}

/// The best levels of a topic's book, as REST tells it: the asks first, and the id of the topic.
pub(super) fn rest_json(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    topic: &BookTopic,
    limit: usize,
    now: UnixNanos,
) {
    let best = |levels: &[Level]| levels[..limit.min(levels.len())].to_vec();
    out.clear();
    out.extend_from_slice(b"{\"retCode\":0,\"retMsg\":\"OK\",\"result\":{\"s\":");
    push_string(out, &instrument.config().symbol);
    out.extend_from_slice(b",\"a\":[");
    push_levels(out, product, instrument, &best(&topic.asks.levels));
    out.extend_from_slice(b"],\"b\":[");
    push_levels(out, product, instrument, &best(&topic.bids.levels));
    let (ms, id, seq) = (now.0 / 1_000_000, topic.update_id, instrument.update_id());
    out.extend_from_slice(
        format!("],\"ts\":{ms},\"u\":{id},\"seq\":{seq},\"cts\":{ms}}},\"retExtInfo\":{{}},\"time\":{ms}}}").as_bytes(),
    );
}

/// What the last update of a topic changed.
pub(super) fn delta_json(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    topic: &BookTopic,
    now: UnixNanos,
) {
    open_book(out, product, instrument, topic, "delta", now);
    out.extend_from_slice(b",\"b\":[");
    push_levels(out, product, instrument, &topic.bids.changes);
    out.extend_from_slice(b"],\"a\":[");
    push_levels(out, product, instrument, &topic.asks.changes);
    close_book(out, instrument, topic, now);
}

/// The trades of the last step.
pub(super) fn trades_json(out: &mut Vec<u8>, product: Product, instrument: &Instrument, now: UnixNanos) {
    let symbol = &instrument.config().symbol;
    let scale = instrument.config().scale;
    open(out, product, &format!("publicTrade.{symbol}"), "snapshot", now);
    out.push(b'[');
    let time_ms = now.0 / 1_000_000;
    let seq = instrument.update_id();
    for (place, trade) in instrument.last_step().trades.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let side = match trade.aggressor {
            Side::Bid => "Buy",
            Side::Ask => "Sell",
        };
        match product {
            Product::Spot => {
                out.extend_from_slice(format!("{{\"i\":\"{}\",\"T\":{time_ms},\"p\":\"", trade.trade_id).as_bytes());
                push_number(out, product, trade.price.0, scale.price);
                out.extend_from_slice(b"\",\"v\":\"");
                push_number(out, product, trade.qty.0, scale.qty);
                out.extend_from_slice(format!("\",\"S\":\"{side}\",\"seq\":{seq},\"s\":").as_bytes());
                push_string(out, symbol);
                out.extend_from_slice(b",\"BT\":false,\"RPI\":false}");
            }
            Product::Linear => {
                out.extend_from_slice(format!("{{\"T\":{time_ms},\"s\":").as_bytes());
                push_string(out, symbol);
                out.extend_from_slice(format!(",\"S\":\"{side}\",\"v\":\"").as_bytes());
                push_number(out, product, trade.qty.0, scale.qty);
                out.extend_from_slice(b"\",\"p\":\"");
                push_number(out, product, trade.price.0, scale.price);
                let tick = match trade.aggressor {
                    Side::Bid => "PlusTick",
                    Side::Ask => "MinusTick",
                };
                let uuid = uuid(trade.trade_id);
                out.extend_from_slice(
                    format!("\",\"L\":\"{tick}\",\"i\":\"{uuid}\",\"BT\":false,\"RPI\":false,\"seq\":{seq}}}")
                        .as_bytes(),
                );
            }
        }
    }
    out.extend_from_slice(b"]}");
}

/// A UUID whose first sixteen digits are the number.
fn uuid(number: u64) -> String {
    let (high, low) = (number >> 32, number & 0xffff_ffff);
    format!("{high:08x}-{:04x}-{:04x}-8000-{number:012x}", low >> 16, low & 0xffff)
}

/// The envelope up to its data. The products have two of its keys in another order.
fn open(out: &mut Vec<u8>, product: Product, topic: &str, kind: &str, now: UnixNanos) {
    let ms = now.0 / 1_000_000;
    out.clear();
    let text = match product {
        Product::Spot => format!("{{\"topic\":\"{topic}\",\"ts\":{ms},\"type\":\"{kind}\",\"data\":"),
        Product::Linear => format!("{{\"topic\":\"{topic}\",\"type\":\"{kind}\",\"ts\":{ms},\"data\":"),
    };
    out.extend_from_slice(text.as_bytes());
}

fn open_book(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    topic: &BookTopic,
    kind: &str,
    now: UnixNanos,
) {
    let symbol = &instrument.config().symbol;
    open(out, product, &format!("orderbook.{}.{symbol}", topic.depth), kind, now);
    out.extend_from_slice(b"{\"s\":");
    push_string(out, symbol);
}

fn close_book(out: &mut Vec<u8>, instrument: &Instrument, topic: &BookTopic, now: UnixNanos) {
    out.extend_from_slice(b"],\"u\":");
    push_u64(out, topic.update_id);
    out.extend_from_slice(b",\"seq\":");
    push_u64(out, instrument.update_id());
    out.extend_from_slice(b"},\"cts\":");
    push_u64(out, now.0 / 1_000_000);
    out.push(b'}');
}

fn push_levels(out: &mut Vec<u8>, product: Product, instrument: &Instrument, levels: &[Level]) {
    for (place, level) in levels.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_level(out, product, instrument, *level);
    }
}

fn push_level(out: &mut Vec<u8>, product: Product, instrument: &Instrument, level: Level) {
    let scale = instrument.config().scale;
    out.extend_from_slice(b"[\"");
    push_number(out, product, level.price.0, scale.price);
    out.extend_from_slice(b"\",\"");
    match level.qty {
        Qty(0) => out.push(b'0'),
        Qty(qty) => push_number(out, product, qty, scale.qty),
    }
    out.extend_from_slice(b"\"]");
}

/// A number as the product prints it: spot leaves out the decimals that are zero.
fn push_number(out: &mut Vec<u8>, product: Product, mantissa: i64, decimals: u8) {
    let start = out.len();
    push_decimal(out, mantissa, decimals);
    if product == Product::Linear || decimals == 0 {
        return;
    }
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
    debug_assert!(out.len() > start, "at least one digit stands before the point");
}
