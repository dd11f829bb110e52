//! A session of ours on the simulator shows the market's truth, and the venue's words are its own.

use super::*;
use crate::book::Level;
use crate::clock::NoClock;
use crate::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use crate::sim::exchange::{Exchange, Generated};
use crate::sim::fault::{Faults, PlannedFault};
use crate::sim::load::LoadShape;
use crate::sim::market::MarketConfig;
use crate::types::{Quality, Scale, Side, SymbolId};
use crate::venue::{Outbox, Session, SessionConfig};
use crate::{Sink, VenueId};

const START: UnixNanos = UnixNanos(1_785_641_751_660_000_000);
const SYMBOLS: [&str; 2] = ["BTCUSDT", "SOLUSDT"];

fn exchange(venue: VenueId, interval_ms: Option<u64>, plan: &[PlannedFault], market: &MarketConfig) -> Generated {
    let names = SYMBOLS.map(str::to_owned);
    let clients = Clients::new(Faults::new(plan, None, &names));
    let options = DialectOptions {
        depth_interval_ms: interval_ms,
        ..DialectOptions::default()
    };
    Generated::new(
        venue,
        market,
        options,
        LoadShape::Natural { speed: 1.0 },
        clients,
        START,
    )
}

fn take(exchange: &mut Generated, key: ClientKey) -> Vec<String> {
    let batch = exchange.clients().batch(key).unwrap();
    let text = |frame: &super::super::Frame| {
        String::from_utf8(batch.bytes[frame.end - frame.payload_bytes..frame.end].to_vec()).unwrap()
    };
    let texts = batch.frames.iter().map(text).collect();
    batch.bytes.clear();
    batch.frames.clear();
    texts
}

#[derive(Default)]
struct Told {
    books: [usize; 2],
    /// The symbols of the books that were told since this was last emptied.
    fresh: Vec<SymbolId>,
    trades: usize,
    last_trade: [Option<u64>; 2],
    events: Vec<FeedEvent>,
}

impl Sink for Told {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        assert_eq!(update.quality, Quality::Verified);
        self.books[update.instrument.id.index()] += 1;
        self.fresh.push(update.instrument.id);
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        let last = self.last_trade[trade.instrument.id.index()].replace(trade.trade_id);
        assert!(last.is_none_or(|last| trade.trade_id == last + 1));
        self.trades += 1;
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

/// Seconds of a session on the simulator; every book that it tells is held against the market.
fn follow(venue: VenueId, depth: u32, interval_ms: Option<u64>, plan: &[PlannedFault]) -> Told {
    let mut exchange = exchange(venue, interval_ms, plan, &MarketConfig::preset(venue, &SYMBOLS, 5));
    let config = SessionConfig {
        depth,
        ..SessionConfig::new(venue, SYMBOLS)
    };
    let mut session = Session::new(&config).unwrap();
    let (mut out, mut told) = (Outbox::new(), Told::default());
    let key = exchange.connect(session.websocket_path(), START).unwrap();
    session.on_open(START, &mut told, &mut out);
    let mut now = START;
    while now.since(START) < 6_000_000_000 {
        for request in out.frames() {
            exchange.receive(key, request, now);
        }
        out.clear();
        // What is answered is of the market as it is, before it moves on.
        for moves in [false, true] {
            if moves {
                now = exchange.advance(now, false).max(now);
            }
            for text in take(&mut exchange, key) {
                let mut stamps = Stamps {
                    receive_time: now,
                    ..Stamps::default()
                };
                session.on_frame(text.as_bytes(), &mut stamps, NoClock, &mut told, &mut out);
            }
            for symbol in std::mem::take(&mut told.fresh) {
                let truth = &exchange.market().instruments()[symbol.index()];
                let scale = session.instruments()[symbol.index()].scale;
                let Some(book) = session.book(symbol) else { continue };
                for side in [Side::Bid, Side::Ask] {
                    let shown = book.levels(side);
                    let expected = truth.levels(side).take(depth as usize);
                    let widen = |level: &Level, scale: Scale| widened(level.price.0, level.qty.0, scale);
                    let shown: Vec<_> = shown.map(|level| widen(&level, scale)).collect();
                    let expected: Vec<_> = expected.map(|level| widen(&level, truth.config().scale)).collect();
                    assert_eq!(shown, expected, "{side:?} of {symbol:?}, depth {depth}");
                }
            }
        }
        session.on_timer(now, &mut told, &mut out);
    }
    told
}

/// With twelve decimals each.
fn widened(price: i64, qty: i64, scale: Scale) -> (i128, i128) {
    let widen = |mantissa: i64, decimals: u8| i128::from(mantissa) * 10_i128.pow(12 - u32::from(decimals));
    (widen(price, scale.price), widen(qty, scale.qty))
}

fn gaps(told: &Told) -> Vec<SymbolId> {
    let gap = |event: &FeedEvent| match event {
        FeedEvent::ResyncStarted {
            symbol,
            reason: ResyncReason::SequenceGap { .. },
        } => Some(*symbol),
        _ => None,
    };
    told.events.iter().filter_map(gap).collect()
}

#[test]
fn a_session_shows_the_markets_truth_at_every_depth_and_pace() {
    for venue in [VenueId::BybitSpot, VenueId::BybitLinear] {
        for depth in [1, 50, 200, 1000] {
            for interval_ms in [None, Some(0)] {
                let told = follow(venue, depth, interval_ms, &[]);
                assert!(gaps(&told).is_empty());
                let rejected = |event: &&FeedEvent| matches!(event, FeedEvent::FrameRejected { .. });
                assert_eq!(told.events.iter().filter(rejected).count(), 0);
                assert!(told.books.iter().all(|books| *books > 20), "{:?}", told.books);
                assert!(told.trades > 30, "{}", told.trades);
            }
        }
    }
}

#[test]
fn a_skipped_delta_is_found_and_healed_for_its_symbol_alone() {
    let skip = PlannedFault::new(Fault::SkipUpdate).symbol("SOLUSDT").after(30);
    let told = follow(VenueId::BybitLinear, 50, Some(0), &[skip]);
    assert_eq!(gaps(&told), [SymbolId(1)]);
    let finished = |event: &&FeedEvent| matches!(event, FeedEvent::ResyncFinished { .. });
    assert_eq!(told.events.iter().filter(finished).count(), 3);
    assert!(told.books[1] > 60, "{:?}", told.books);
}

#[test]
fn the_top_is_repeated_with_its_id_when_nothing_moves() {
    let mut market = MarketConfig::preset(VenueId::BybitSpot, &SYMBOLS, 5);
    for symbol in &mut market.symbols {
        symbol.events_per_second = 0.01;
    }
    let mut exchange = exchange(VenueId::BybitSpot, None, &[], &market);
    let key = exchange.connect("/v5/public/spot", START).unwrap();
    let ask = "{\"op\":\"subscribe\",\"args\":[\"orderbook.1.BTCUSDT\",\"orderbook.50.BTCUSDT\"]}";
    exchange.receive(key, ask, START);
    let greeting = take(&mut exchange, key);
    assert_eq!(greeting.len(), 3, "{greeting:?}");
    let mut now = START;
    let mut repeats = Vec::new();
    while now.since(START) < 10_000_000_000 {
        now = exchange.advance(now, false).max(now);
        repeats.extend(take(&mut exchange, key));
    }
    let id = |text: &str| {
        text.split_once("\"u\":")
            .unwrap()
            .1
            .split(',')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(repeats.len(), 3, "after three, six and nine seconds: {repeats:?}");
    for repeat in &repeats {
        assert!(
            repeat.starts_with("{\"topic\":\"orderbook.1.BTCUSDT\",\"ts\":"),
            "{repeat}"
        );
        assert_eq!(id(repeat), id(&greeting[1]));
    }
}

#[test]
fn it_answers_and_refuses_in_the_venues_words() {
    let market = MarketConfig::preset(VenueId::BybitSpot, &SYMBOLS, 5);
    for (venue, id_of_none, subscribed) in [
        (VenueId::BybitSpot, "", "subscribe"),
        (VenueId::BybitLinear, ",\"req_id\":\"\"", ""),
    ] {
        let mut exchange = exchange(venue, None, &[], &market);
        let product = Product::of(venue).unwrap();
        assert_eq!(exchange.connect("/v5/public/option", START), Err(404));
        let key = exchange.connect(product.path(), START).unwrap();
        assert!(take(&mut exchange, key).is_empty(), "the venue waits to be asked");
        let mut say = |request: &str| {
            exchange.receive(key, request, START);
            let texts = take(&mut exchange, key);
            texts[0].replace("\"conn_id\":\"d9avt13c3kkqi46e1u9g-00000\"", "\"conn_id\":\"_\"")
        };
        let answer = |success: bool, text: &str, id: &str, op: &str| {
            format!("{{\"success\":{success},\"ret_msg\":\"{text}\",\"conn_id\":\"_\"{id},\"op\":\"{op}\"}}")
        };
        assert_eq!(say("{\"op\":\"ping\"}"), answer(true, "pong", id_of_none, "ping"));
        let id = ",\"req_id\":\"x\"";
        assert_eq!(
            say("{\"req_id\":\"x\",\"op\":\"subscribe\",\"args\":[\"publicTrade.BTCUSDT\"]}"),
            answer(true, subscribed, id, "subscribe")
        );
        // One topic that is refused takes the others of its request with it.
        for (topic, reason) in [
            ("orderbook.50.NOPEUSDT", "error:handler not found"),
            ("orderbook.25.BTCUSDT", "error:handler not found"),
            ("orderbook.50.btcusdt", "error:handler not found"),
            ("publicTrade.BTCUSDT", "error:already subscribed"),
        ] {
            let request =
                format!("{{\"req_id\":\"x\",\"op\":\"subscribe\",\"args\":[\"orderbook.50.SOLUSDT\",\"{topic}\"]}}");
            assert_eq!(
                say(&request),
                answer(false, &format!("{reason},topic:{topic}"), id, "subscribe")
            );
        }
        let eleven = ["\"publicTrade.SOLUSDT\""; 11].join(",");
        let request = format!("{{\"req_id\":\"x\",\"op\":\"subscribe\",\"args\":[{eleven}]}}");
        let expected = match product {
            Product::Spot => answer(false, "args size >10", id, "subscribe"),
            Product::Linear => answer(true, "", id, "subscribe"),
        };
        assert_eq!(say(&request), expected);
        assert_eq!(
            say("{\"req_id\":\"x\",\"op\":\"dance\"}"),
            answer(false, "error:invalid op", id, "dance")
        );
        assert!(say("hello").starts_with("{\"success\":false,\"ret_msg\":\"Failed to decode incoming data"));
        exchange.receive(key, "{\"op\":\"subscribe\",\"args\":[\"orderbook.50.SOLUSDT\"]}", START);
        let texts = take(&mut exchange, key);
        assert!(
            texts[1].starts_with("{\"topic\":\"orderbook.50.SOLUSDT\","),
            "{texts:?}"
        );
        assert!(texts[1].contains("\"type\":\"snapshot\""));
    }
}
