//! The text of Coinbase's messages, in the words of either feed.

use super::super::{ClientKey, Clients, Meta};
use crate::book::Level;
use crate::event::LevelChange;
use crate::sim::market::{Instrument, Market, MarketTrade};
use crate::sim::stats::MessageKind;
use crate::sim::wire::{push_decimal, push_rfc3339, push_string, push_u64};
use crate::types::{Price, Qty, Side, UnixNanos, VenueId};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    Advanced,
    Exchange,
}

/// Appends what Advanced Trade puts in front of the events of a frame.
pub(super) fn push_envelope(out: &mut Vec<u8>, channel: &str, now: UnixNanos, sequence: u64) {
    out.extend_from_slice(format!("{{\"channel\":\"{channel}\",\"client_id\":\"\",\"timestamp\":\"").as_bytes());
    push_rfc3339(out, now);
    out.extend_from_slice(b"\",\"sequence_num\":");
    push_u64(out, sequence);
    out.extend_from_slice(b",\"events\":");
}

/// Refuses a request. Advanced Trade does not number that.
pub(in crate::sim::exchange) fn refuse(key: ClientKey, venue: VenueId, reason: &str, clients: &mut Clients) {
    let mut body = b"{\"type\":\"error\",\"message\":".to_vec();
    if venue == VenueId::CoinbaseExchange {
        body.extend_from_slice(b"\"Failed to subscribe\",\"reason\":");
    }
    push_string(&mut body, reason);
    body.push(b'}');
    clients.push(key, Meta::new(MessageKind::Refusal), &[&body]);
}

impl Feed {
    pub(super) fn venue(self) -> VenueId {
        match self {
            Self::Advanced => VenueId::CoinbaseAdvanced,
            Self::Exchange => VenueId::CoinbaseExchange,
        }
    }

    /// What a client listens to, after each of its requests.
    pub(super) fn subscriptions(self, books: &[&str], trades: &[&str]) -> Vec<u8> {
        let list = |names: &[&str]| format!("[\"{}\"]", names.join("\",\"")).replace("[\"\"]", "[]");
        let (books, trades) = (list(books), list(trades));
        let text = match self {
            Self::Advanced => {
                format!("[{{\"subscriptions\":{{\"level2\":{books},\"market_trades\":{trades}}}}}]}}")
            }
            Self::Exchange => format!(
                "{{\"type\":\"subscriptions\",\"channels\":[{{\"name\":\"level2_batch\",\"product_ids\":{books}}},\
                 {{\"name\":\"matches\",\"product_ids\":{trades}}}]}}"
            ),
        };
        text.into_bytes()
    }

    /// Appends a whole book, padded with the worst asks to `huge` bytes.
    pub(super) fn push_snapshot(self, out: &mut Vec<u8>, instrument: &Instrument, now: UnixNanos, huge: usize) {
        let change = |side, level: Level| LevelChange {
            side,
            price: level.price,
            qty: level.qty,
        };
        let mut worst = instrument.levels(Side::Ask).last().unwrap_or_default();
        let tick = instrument.config().tick.0;
        match self {
            Self::Advanced => {
                self.push_event(out, instrument, "snapshot", ",\"updates\":[");
                let sides = [Side::Bid, Side::Ask];
                let levels = sides.into_iter().flat_map(|side| {
                    let levels = instrument.levels(side);
                    levels.map(move |level| change(side, level))
                });
                for (place, level) in levels.enumerate() {
                    separate(out, place);
                    self.push_change(out, instrument, &level, now);
                }
                while out.len() < huge {
                    worst.price.0 += tick;
                    out.push(b',');
                    self.push_change(out, instrument, &change(Side::Ask, worst), now);
                }
                out.extend_from_slice(b"]}]}");
            }
            Self::Exchange => {
                self.push_event(out, instrument, "snapshot", "");
                for (side, key) in [(Side::Bid, ",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
                    out.extend_from_slice(key.as_bytes());
                    for (place, level) in instrument.levels(side).enumerate() {
                        separate(out, place);
                        push_pair(out, instrument, level.price, level.qty, "[\"");
                    }
                }
                while out.len() < huge {
                    worst.price.0 += tick;
                    out.push(b',');
                    push_pair(out, instrument, worst.price, worst.qty, "[\"");
                }
                out.extend_from_slice(b"]}");
            }
        }
    }

    pub(super) fn push_update(
        self,
        out: &mut Vec<u8>,
        instrument: &Instrument,
        changes: &[LevelChange],
        now: UnixNanos,
    ) {
        match self {
            Self::Advanced => self.push_event(out, instrument, "update", ",\"updates\":["),
            Self::Exchange => self.push_event(out, instrument, "l2update", ",\"changes\":["),
        }
        for (place, change) in changes.iter().enumerate() {
            separate(out, place);
            self.push_change(out, instrument, change, now);
        }
        match self {
            Self::Advanced => out.extend_from_slice(b"]}]}"),
            Self::Exchange => {
                out.extend_from_slice(b"],\"time\":\"");
                push_rfc3339(out, now);
                out.extend_from_slice(b"\"}");
            }
        }
    }

    /// Appends the start of an event about a book.
    fn push_event(self, out: &mut Vec<u8>, instrument: &Instrument, kind: &str, list: &str) {
        let bracket = if self == Self::Advanced { "[" } else { "" };
        out.extend_from_slice(format!("{bracket}{{\"type\":\"{kind}\",\"product_id\":").as_bytes());
        push_string(out, &instrument.config().symbol);
        out.extend_from_slice(list.as_bytes());
    }

    fn push_change(self, out: &mut Vec<u8>, instrument: &Instrument, change: &LevelChange, now: UnixNanos) {
        let scale = instrument.config().scale;
        match self {
            Self::Advanced => {
                out.extend_from_slice(match change.side {
                    Side::Bid => b"{\"side\":\"bid\",\"event_time\":\"".as_slice(),
                    Side::Ask => b"{\"side\":\"offer\",\"event_time\":\"".as_slice(),
                });
                push_rfc3339(out, now);
                out.extend_from_slice(b"\",\"price_level\":\"");
                push_decimal(out, change.price.0, scale.price);
                out.extend_from_slice(b"\",\"new_quantity\":\"");
                match change.qty.0 {
                    0 => out.push(b'0'),
                    qty => push_decimal(out, qty, scale.qty),
                }
                out.extend_from_slice(b"\"}");
            }
            Self::Exchange => {
                let open = match change.side {
                    Side::Bid => "[\"buy\",\"",
                    Side::Ask => "[\"sell\",\"",
                };
                push_pair(out, instrument, change.price, change.qty, open);
            }
        }
    }

    /// Appends trades: several for Advanced Trade, one for Exchange. Both print the maker's side.
    pub(super) fn push_trades(
        self,
        out: &mut Vec<u8>,
        instrument: &Instrument,
        trades: &[MarketTrade],
        time: UnixNanos,
        is_past: bool,
    ) {
        let scale = instrument.config().scale;
        let symbol = &instrument.config().symbol;
        let field = |out: &mut Vec<u8>, key: &str, mantissa: i64, decimals: u8| {
            out.extend_from_slice(key.as_bytes());
            push_decimal(out, mantissa, decimals);
        };
        match self {
            Self::Advanced => {
                let kind = if is_past { "snapshot" } else { "update" };
                out.extend_from_slice(format!("[{{\"type\":\"{kind}\",\"trades\":[").as_bytes());
                for (place, trade) in trades.iter().enumerate() {
                    separate(out, place);
                    let id = trade.trade_id;
                    let maker = if trade.aggressor == Side::Bid { "SELL" } else { "BUY" };
                    out.extend_from_slice(format!("{{\"trade_id\":\"{id}\",\"product_id\":\"{symbol}\"").as_bytes());
                    field(out, ",\"price\":\"", trade.price.0, scale.price);
                    field(out, "\",\"size\":\"", trade.qty.0, scale.qty);
                    out.extend_from_slice(format!("\",\"side\":\"{maker}\",\"time\":\"").as_bytes());
                    push_rfc3339(out, time);
                    out.extend_from_slice(b"\"}");
                }
                out.extend_from_slice(b"]}]}");
            }
            Self::Exchange => {
                let kind = if is_past { "last_match" } else { "match" };
                for trade in trades {
                    let id = trade.trade_id;
                    let maker = if trade.aggressor == Side::Bid { "sell" } else { "buy" };
                    let orders = [id << 1, id << 1 | 1].map(|order| format!("00000000-0000-4000-8000-{order:012x}"));
                    out.extend_from_slice(
                        format!(
                            "{{\"type\":\"{kind}\",\"trade_id\":{id},\"maker_order_id\":\"{}\",\"taker_order_id\":\"{}\",\
                             \"side\":\"{maker}\"",
                            orders[0], orders[1]
                        )
                        .as_bytes(),
                    );
                    field(out, ",\"size\":\"", trade.qty.0, scale.qty);
                    field(out, "\",\"price\":\"", trade.price.0, scale.price);
                    let sequence = instrument.update_id();
                    out.extend_from_slice(
                        format!("\",\"product_id\":\"{symbol}\",\"sequence\":{sequence},\"time\":\"").as_bytes(),
                    );
                    push_rfc3339(out, time);
                    out.extend_from_slice(b"\"}");
                }
            }
        }
    }

    /// What is due each second: one frame of Advanced Trade, one for each product of Exchange.
    pub(super) fn heartbeats(self, products: &[usize], count: u64, now: UnixNanos, market: &Market) -> Vec<Vec<u8>> {
        let mut time = Vec::new();
        push_rfc3339(&mut time, now);
        let time = String::from_utf8_lossy(&time);
        match self {
            Self::Advanced => {
                vec![format!("[{{\"current_time\":\"{time}\",\"heartbeat_counter\":\"{count}\"}}]}}").into_bytes()]
            }
            Self::Exchange => {
                let beat = |index: &usize| {
                    let instrument = &market.instruments()[*index];
                    format!(
                        "{{\"type\":\"heartbeat\",\"last_trade_id\":0,\"product_id\":\"{}\",\"sequence\":{},\
                         \"time\":\"{time}\"}}",
                        instrument.config().symbol,
                        instrument.update_id()
                    )
                    .into_bytes()
                };
                products.iter().map(beat).collect()
            }
        }
    }
}

/// Appends `price","quantity"]` behind `open`.
fn push_pair(out: &mut Vec<u8>, instrument: &Instrument, price: Price, qty: Qty, open: &str) {
    let scale = instrument.config().scale;
    out.extend_from_slice(open.as_bytes());
    push_decimal(out, price.0, scale.price);
    out.extend_from_slice(b"\",\"");
    push_decimal(out, qty.0, scale.qty);
    out.extend_from_slice(b"\"]");
}

fn separate(out: &mut Vec<u8>, place: usize) {
    if place > 0 {
        out.push(b',');
    }
}
