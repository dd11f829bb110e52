//! The text of Binance's messages: diffs, tops, trades, whole books, instruments.

use std::ops::Range;

use super::super::meddle::LevelSpots;
use super::super::{RestReply, Target};
use super::product::Product;
use super::refusal;
use crate::book::Level;
use crate::event::LevelChange;
use crate::sim::market::{Instrument, Market, MarketTrade};
use crate::sim::wire::{push_decimal, push_u64};
use crate::types::{Qty, Side, UnixNanos};

/// Appends `["price","qty"]`, and returns where the two stand.
fn push_level(out: &mut Vec<u8>, instrument: &Instrument, level: Level) -> (Range<usize>, Range<usize>) {
    let scale = instrument.config().scale;
    out.extend_from_slice(b"[\"");
    let start = out.len();
    push_decimal(out, level.price.0, scale.price);
    let price = start..out.len();
    out.extend_from_slice(b"\",\"");
    let start = out.len();
    push_decimal(out, level.qty.0, scale.qty);
    let qty = start..out.len();
    out.extend_from_slice(b"\"]");
    (price, qty)
}

/// Appends a number behind its key and what stands in front of that.
fn push_field(out: &mut Vec<u8>, front: &str, number: u64) {
    out.extend_from_slice(front.as_bytes());
    push_u64(out, number);
}

/// Appends the spelling of an instrument, and that of its pair where the product says it.
fn push_symbol(out: &mut Vec<u8>, product: Product, instrument: &Instrument) {
    let symbol = instrument.config().symbol.as_bytes();
    out.extend_from_slice(b",\"s\":\"");
    out.extend_from_slice(symbol);
    if product == Product::Usdm {
        out.extend_from_slice(b"\",\"ps\":\"");
        out.extend_from_slice(symbol);
    }
    out.push(b'"');
}

/// Appends the end of a payload.
fn push_end(out: &mut Vec<u8>, product: Product) {
    out.extend_from_slice(match product {
        Product::Spot => b"}",
        Product::Usdm => b",\"st\":1}",
    });
}

/// Writes a diff of the updates behind `told` up to `last` into `out` and returns where its first levels stand.
pub(super) fn depth_update_json(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    time: UnixNanos,
    (told, last): (u64, u64),
    changes: &[LevelChange],
) -> LevelSpots {
    out.clear();
    push_field(out, "{\"e\":\"depthUpdate\",\"E\":", time.0 / 1_000_000);
    if product == Product::Usdm {
        push_field(out, ",\"T\":", time.0 / 1_000_000);
    }
    push_symbol(out, product, instrument);
    push_field(out, ",\"U\":", product.first_id(told));
    push_field(out, ",\"u\":", product.update_id(last));
    if product == Product::Usdm {
        push_field(out, ",\"pu\":", product.update_id(told));
    }
    let mut spots = LevelSpots::default();
    for (side, name) in [(Side::Bid, b"b"), (Side::Ask, b"a")] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":[");
        let mut is_first = true;
        for change in changes.iter().filter(|change| change.side == side) {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            let places = push_level(
                out,
                instrument,
                Level {
                    price: change.price,
                    qty: change.qty,
                },
            );
            spots.note(places, change.qty == Qty(0));
        }
        out.push(b']');
    }
    push_end(out, product);
    spots
}

pub(super) fn book_ticker_json(out: &mut Vec<u8>, product: Product, instrument: &Instrument, time: UnixNanos) {
    let scale = instrument.config().scale;
    out.clear();
    let front = match product {
        Product::Spot => "{\"u\":",
        Product::Usdm => "{\"e\":\"bookTicker\",\"u\":",
    };
    push_field(out, front, product.update_id(instrument.update_id()));
    push_symbol(out, product, instrument);
    for (side, price, qty) in [(Side::Bid, b'b', b'B'), (Side::Ask, b'a', b'A')] {
        let best = instrument.best(side);
        out.extend_from_slice(&[b',', b'"', price, b'"', b':', b'"']);
        push_decimal(out, best.price.0, scale.price);
        out.extend_from_slice(&[b'"', b',', b'"', qty, b'"', b':', b'"']);
        push_decimal(out, best.qty.0, scale.qty);
        out.push(b'"');
    }
    if product == Product::Usdm {
        push_field(out, ",\"T\":", time.0 / 1_000_000);
        push_field(out, ",\"E\":", time.0 / 1_000_000);
    }
    push_end(out, product);
}

pub(super) fn trade_json(
    out: &mut Vec<u8>,
    product: Product,
    instrument: &Instrument,
    trade: &MarketTrade,
    time: UnixNanos,
) {
    let scale = instrument.config().scale;
    let time_ms = time.0 / 1_000_000;
    out.clear();
    push_field(out, "{\"e\":\"trade\",\"E\":", time_ms);
    if product == Product::Usdm {
        push_field(out, ",\"T\":", time_ms);
    }
    out.extend_from_slice(b",\"s\":\"");
    out.extend_from_slice(instrument.config().symbol.as_bytes());
    push_field(out, "\",\"t\":", trade.trade_id);
    out.extend_from_slice(b",\"p\":\"");
    push_decimal(out, trade.price.0, scale.price);
    out.extend_from_slice(b"\",\"q\":\"");
    push_decimal(out, trade.qty.0, scale.qty);
    match product {
        Product::Spot => push_field(out, "\",\"T\":", time_ms),
        Product::Usdm => out.extend_from_slice(b"\",\"X\":\"MARKET\""),
    }
    // m: the buyer was the maker.
    let is_buyer_maker = trade.aggressor == Side::Ask;
    out.extend_from_slice(if is_buyer_maker {
        b",\"m\":true"
    } else {
        b",\"m\":false"
    });
    if product == Product::Spot {
        out.extend_from_slice(b",\"M\":true");
    }
    push_end(out, product);
}

/// A whole book as REST and partial-depth streams send it, of `limit` levels a side, blown up to `bytes_min` with asks
/// far away.
pub(super) fn book_json(
    product: Product,
    instrument: &Instrument,
    time: UnixNanos,
    limit: usize,
    bytes_min: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 40 * limit);
    let last_update_id = product.update_id(instrument.update_id());
    push_field(&mut out, "{\"lastUpdateId\":", last_update_id);
    if product == Product::Usdm {
        push_field(&mut out, ",\"E\":", time.0 / 1_000_000);
        push_field(&mut out, ",\"T\":", time.0 / 1_000_000);
    }
    for (side, name) in [(Side::Bid, "bids"), (Side::Ask, "asks")] {
        out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
        let mut worst = instrument.best(side);
        for (place, level) in instrument.levels(side).take(limit).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push_level(&mut out, instrument, level);
            worst = level;
        }
        while side == Side::Ask && out.len() < bytes_min {
            worst.price.0 += instrument.config().tick.0;
            out.push(b',');
            push_level(&mut out, instrument, worst);
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

pub(super) fn exchange_info(product: Product, target: Target<'_>, market: &Market, now: UnixNanos) -> RestReply {
    let wanted = target.query("symbol");
    if wanted.is_some_and(|symbol| market.index_of(symbol).is_none()) {
        return refusal(400, -1121, "Invalid symbol.");
    }
    let mut body = format!(
        "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\
         \"MINUTE\",\"intervalNum\":1,\"limit\":{}}}],\"exchangeFilters\":[],\"symbols\":[",
        now.0 / 1_000_000,
        product.weight_per_minute_max()
    )
    .into_bytes();
    let mut is_first = true;
    for instrument in market.instruments() {
        let config = instrument.config();
        if wanted.is_some_and(|symbol| symbol != config.symbol) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            body.push(b',');
        }
        let quote = ["USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR"]
            .into_iter()
            .find(|quote| config.symbol.len() > quote.len() && config.symbol.ends_with(quote))
            .unwrap_or("");
        let base = &config.symbol[..config.symbol.len() - quote.len()];
        let (mut tick, mut lot) = (Vec::new(), Vec::new());
        push_decimal(&mut tick, config.tick.0, config.scale.price);
        push_decimal(&mut lot, config.lot.0, config.scale.qty);
        let (tick, lot) = (String::from_utf8_lossy(&tick), String::from_utf8_lossy(&lot));
        body.extend_from_slice(
            format!(
                "{{\"symbol\":\"{}\",\"status\":\"TRADING\",\"baseAsset\":\"{base}\",\"baseAssetPrecision\":{},\
                 \"quoteAsset\":\"{quote}\",\"quotePrecision\":{},\"quoteAssetPrecision\":{},\"orderTypes\":[\"LIMIT\",\
                 \"MARKET\"],\"isSpotTradingAllowed\":true,\"filters\":[{{\"filterType\":\"PRICE_FILTER\",\
                 \"minPrice\":\"{tick}\",\"maxPrice\":\"1000000.00000000\",\"tickSize\":\"{tick}\"}},{{\"filterType\":\
                 \"LOT_SIZE\",\"minQty\":\"{lot}\",\"maxQty\":\"9000000.00000000\",\"stepSize\":\"{lot}\"}}],\
                 \"permissions\":[\"SPOT\"]}}",
                config.symbol, config.scale.qty, config.scale.price, config.scale.price
            )
            .as_bytes(),
        );
    }
    body.extend_from_slice(b"]}");
    RestReply::json(200, body)
}
