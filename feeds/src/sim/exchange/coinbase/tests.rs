//! A session on the simulator: its books are the market's, and what each feed can notice it does.

use super::super::{Clients, DialectOptions, Exchange, Generated};
use crate::clock::NoClock;
use crate::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use crate::sim::fault::{Fault, Faults, PlannedFault};
use crate::sim::load::LoadShape;
use crate::sim::market::MarketConfig;
use crate::types::{Quality, Side, SymbolId, UnixNanos, VenueId};
use crate::venue::{Outbox, Session, SessionConfig};
use crate::{Price, Qty, Sink};

const START: UnixNanos = UnixNanos(1_785_641_751_660_084_000);
const PRODUCTS: [&str; 2] = ["BTC-USD", "ETH-USD"];

#[derive(Default)]
struct Told {
    books: usize,
    trades: Vec<(SymbolId, Price, Qty, Side, u64)>,
    events: Vec<FeedEvent>,
}

impl Sink for Told {
    fn on_book(&mut self, _: &BookUpdate<'_>, _: &Stamps) {
        self.books += 1;
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        self.trades.push((
            trade.instrument.id,
            trade.price,
            trade.qty,
            trade.aggressor,
            trade.trade_id,
        ));
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.events.push(event);
    }
}

impl Told {
    fn resyncs(&self) -> Vec<ResyncReason> {
        let started = self.events.iter().filter_map(|event| match event {
            FeedEvent::ResyncStarted { reason, .. } if *reason != ResyncReason::Start => Some(*reason),
            _ => None,
        });
        started.collect()
    }
}

/// How many times each book was compared with the market's, and what the session told.
struct Outcome {
    equal: [usize; 2],
    different: [usize; 2],
    told: Told,
    quality: Quality,
    status: [bool; 2],
}

fn run(venue: VenueId, plan: &[PlannedFault], seconds: u64) -> Outcome {
    let names = PRODUCTS.map(str::to_owned);
    let mut exchange = Generated::new(
        venue,
        &MarketConfig::preset(venue, &PRODUCTS, 5),
        DialectOptions::default(),
        LoadShape::Natural { speed: 1.0 },
        Clients::new(Faults::new(plan, None, &names)),
        START,
    );
    let key = exchange.connect("/", START).unwrap();
    let mut session = Session::new(&SessionConfig::new(venue, PRODUCTS)).unwrap();
    let (mut out, mut told) = (Outbox::new(), Told::default());
    let (mut equal, mut different) = ([0; 2], [0; 2]);
    session.on_open(START, &mut told, &mut out);
    let mut now = START;
    while now.since(START) < seconds as i64 * 1_000_000_000 {
        for request in out.frames() {
            exchange.receive(key, request, now);
        }
        out.clear();
        let next = exchange.advance(now, false).max(now);
        let mut touched = false;
        let books_before = told.books;
        if let Some(batch) = exchange.clients().batch(key) {
            for frame in &batch.frames {
                let payload = &batch.bytes[frame.end - frame.payload_bytes..frame.end];
                let mut stamps = Stamps {
                    receive_time: now,
                    ..Stamps::default()
                };
                session.on_frame(payload, &mut stamps, NoClock, &mut told, &mut out);
                touched |= frame.kind == crate::sim::stats::MessageKind::BookUpdate;
            }
            batch.bytes.clear();
            batch.frames.clear();
        }
        session.on_timer(now, &mut told, &mut out);
        // A batch of Exchange ends with the market as it is now, for its own product; a step of Advanced Trade always.
        // Not each time: the comparison costs more than the stream.
        if touched && told.books / 4 != books_before / 4 {
            for index in 0..2 {
                let Some(book) = session.book(SymbolId(index as u16)) else {
                    continue;
                };
                let instrument = &exchange.market().instruments()[index];
                let config = instrument.config().scale;
                let scale = session.instruments()[index].scale;
                let price = 10_i64.pow(u32::from(config.price - scale.price));
                let qty = 10_i64.pow(u32::from(config.qty - scale.qty));
                let is_equal = [Side::Bid, Side::Ask].into_iter().all(|side| {
                    let ours = book.levels(side);
                    ours.map(|level| (level.price.0 * price, level.qty.0 * qty))
                        .eq(instrument.levels(side).map(|level| (level.price.0, level.qty.0)))
                });
                equal[index] += usize::from(is_equal);
                different[index] += usize::from(!is_equal);
            }
        }
        now = next;
    }
    Outcome {
        equal,
        different,
        quality: session.quality(SymbolId(0)),
        status: [0, 1].map(|symbol| session.book(SymbolId(symbol)).is_some()),
        told,
    }
}

#[test]
fn a_session_on_advanced_trade_has_the_markets_books_at_every_update() {
    let outcome = run(VenueId::CoinbaseAdvanced, &[], 6);
    assert!(outcome.told.books > 500, "{}", outcome.told.books);
    assert!(outcome.equal.iter().all(|count| *count > 100), "{:?}", outcome.equal);
    assert_eq!(outcome.different, [0, 0]);
    assert_eq!(outcome.told.resyncs(), []);
    assert_eq!(outcome.quality, Quality::Verified);
    let ids: Vec<u64> = outcome
        .told
        .trades
        .iter()
        .filter(|trade| trade.0.0 == 0)
        .map(|trade| trade.4)
        .collect();
    assert!(
        ids.len() > 10 && ids.is_sorted_by(|a, b| a + 1 == *b),
        "each trade once, the past not"
    );
}

#[test]
fn a_session_on_exchange_has_the_markets_books_at_the_end_of_a_batch() {
    let outcome = run(VenueId::CoinbaseExchange, &[], 6);
    // Between batches the market is ahead.
    assert!(outcome.equal.iter().all(|count| *count > 10), "{:?}", outcome.equal);
    assert_eq!(outcome.told.resyncs(), []);
    assert_eq!(outcome.quality, Quality::Unverified);
    assert!(outcome.told.trades.len() > 10);
}

#[test]
fn a_skipped_update_is_a_gap_for_all_books_on_advanced_trade_and_nothing_on_exchange() {
    let skip = PlannedFault {
        after: 100,
        ..PlannedFault::new(Fault::SkipUpdate)
    };
    let outcome = run(VenueId::CoinbaseAdvanced, std::slice::from_ref(&skip), 6);
    let resyncs = outcome.told.resyncs();
    assert!(
        matches!(
            resyncs[..],
            [ResyncReason::SequenceGap { expected, got }, ResyncReason::SequenceGap { .. }] if got == expected + 1
        ),
        "{resyncs:?}"
    );
    assert_eq!(
        (outcome.different, outcome.status),
        ([0, 0], [true, true]),
        "healed by new snapshots"
    );

    let outcome = run(VenueId::CoinbaseExchange, &[skip], 6);
    let reasons = outcome.told.resyncs();
    assert!(
        reasons.iter().all(|reason| *reason == ResyncReason::Crossed),
        "only a crossed book tells: {reasons:?}"
    );
}

#[test]
fn refused_and_mute_subscriptions_come_back() {
    for venue in [VenueId::CoinbaseAdvanced, VenueId::CoinbaseExchange] {
        let mute = PlannedFault {
            symbol: Some("ETH-USD".to_owned()),
            ..PlannedFault::new(Fault::Mute)
        };
        let outcome = run(venue, &[mute], 12);
        let is_mute = |event: &FeedEvent| *event == FeedEvent::SubscriptionMute { symbol: SymbolId(1) };
        assert!(outcome.told.events.iter().any(is_mute), "{venue}");
        // What was not sent was not numbered.
        assert_eq!(
            (outcome.told.resyncs(), outcome.status),
            (vec![], [true, true]),
            "{venue}"
        );
        let refuse = PlannedFault {
            symbol: Some("ETH-USD".to_owned()),
            ..PlannedFault::new(Fault::RefuseSubscription)
        };
        let outcome = run(venue, &[refuse], 12);
        let refused = FeedEvent::SubscriptionRefused {
            symbol: Some(SymbolId(1)),
        };
        assert!(outcome.told.events.contains(&refused), "{venue}");
        assert!(outcome.status[0], "{venue}: the other is asked for alone");
    }
}

#[test]
fn who_subscribes_to_nothing_is_hung_up_on() {
    let mut exchange = Generated::new(
        VenueId::CoinbaseAdvanced,
        &MarketConfig::preset(VenueId::CoinbaseAdvanced, &PRODUCTS, 5),
        DialectOptions::default(),
        LoadShape::Natural { speed: 1.0 },
        Clients::new(Faults::new(&[], None, &[])),
        START,
    );
    let key = exchange.connect("/", START).unwrap();
    exchange.receive(key, "{\"type\":\"hello\"}", START);
    exchange.advance(UnixNanos(START.0 + 4_900_000_000), false);
    let batch = exchange.clients().batch(key).unwrap();
    let text = String::from_utf8_lossy(&batch.bytes).into_owned();
    assert!(
        text.ends_with("{\"type\":\"error\",\"message\":\"subscribe or unsubscribe required\"}"),
        "{text}"
    );
    assert_eq!(batch.end, None);
    exchange.advance(UnixNanos(START.0 + 5_100_000_000), false);
    assert!(exchange.clients().batch(key).unwrap().end.is_some());
}
