//! After the first messages a session allocates nothing, neither on a hot shape nor on the slow road.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use std::time::Duration;

use allocation_counter::measure;
use quantumflow_feeds::book::Level;
use quantumflow_feeds::capture::{TapKind, capture_tap};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::decimal::display;
use quantumflow_feeds::event::{BookUpdate, FeedEvent, Stamps, Trade};
use quantumflow_feeds::venue::{BookReader, Checkpoint, Outbox, Session, SessionConfig};
use quantumflow_feeds::{Side, Sink, SymbolId, UnixNanos, VenueId};
use venue_support::{
    BINANCE, BYBIT, COINBASE_ADVANCED, COINBASE_EXCHANGE, KRAKEN_25, OKX_2022, OKX_TODAY, USDM, frames, recordings,
};

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn on_book(&mut self, _: &BookUpdate<'_>, _: &Stamps) {
        self.0 += 1;
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {
        self.0 += 1;
    }
}

/// Runs the frames through a connection three times and returns the allocations of the third: snapshots that are read here
/// take turns in two books.
fn third_run(venue: VenueId, symbol: &str, frames: &[(UnixNanos, String)]) -> u64 {
    let mut session = Session::new(&SessionConfig::new(venue, [symbol])).unwrap();
    let (mut out, mut sink) = (Outbox::new(), Count::default());
    let (mut tap, mut drain) = capture_tap(1 << 20, 64);
    let mut run = || {
        session.on_open(UnixNanos(1), &mut sink, &mut out);
        for (time, frame) in frames {
            let mut stamps = Stamps {
                receive_time: *time,
                ..Stamps::default()
            };
            tap.record(TapKind::Frame, *time, frame.as_bytes());
            match frame.starts_with("{\"lastUpdateId\"") {
                true => {
                    session.on_snapshot(
                        SymbolId(0),
                        Ok(frame.as_bytes()),
                        &mut stamps,
                        NoClock,
                        &mut sink,
                        &mut out,
                    );
                }
                false => session.on_frame(frame.as_bytes(), &mut stamps, NoClock, &mut sink, &mut out),
            }
            session.on_timer(*time, &mut sink, &mut out);
            out.clear();
        }
        session.on_close(&mut sink);
    };
    run();
    run();
    let allocations = measure(run).count_total;
    assert!(sink.0 > 100);
    assert!(!drain.is_finished());
    allocations
}

/// What the recording of several instruments holds of one.
fn of_ether(frames: &[(UnixNanos, String)]) -> Vec<(UnixNanos, String)> {
    let is_ether = |(_, frame): &&(UnixNanos, String)| frame.contains("ETHUSDT");
    frames.iter().filter(is_ether).cloned().collect()
}

#[test]
fn no_allocation_on_the_hot_shapes() {
    let Some(binance) = recordings(&BINANCE[..1]) else {
        return;
    };
    assert_eq!(third_run(VenueId::BinanceSpot, "BTCUSDT", &frames(&binance, 10_000)), 0);
    let Some(kraken) = recordings(&KRAKEN_25) else { return };
    assert_eq!(third_run(VenueId::KrakenV2, "BTC/USD", &frames(&kraken, 3_000)), 0);
    let Some(usdm) = recordings(&USDM) else { return };
    assert_eq!(third_run(VenueId::BinanceUsdm, "BTCUSDT", &frames(&usdm, 10_000)), 0);
    let Some(bybit) = recordings(&BYBIT) else { return };
    assert_eq!(
        third_run(VenueId::BybitLinear, "ETHUSDT", &of_ether(&frames(&bybit, 4_000))),
        0
    );
    for name in [OKX_2022, OKX_TODAY] {
        let Some(okx) = recordings(&name) else { return };
        assert_eq!(third_run(VenueId::OkxV5, "BTC-USDT", &frames(&okx, 3_000)), 0);
    }
}

/// Most frames of these recordings are of products that are not asked for: the slow road says so, and allocates nothing
/// either.
#[test]
fn no_allocation_on_coinbase() {
    for (venue, name) in [
        (VenueId::CoinbaseAdvanced, &COINBASE_ADVANCED),
        (VenueId::CoinbaseExchange, &COINBASE_EXCHANGE),
    ] {
        let Some(paths) = recordings(name) else { return };
        let frames = frames(&paths, 6_000);
        assert_eq!(third_run(venue, "SKL-USD", &frames), 0, "{venue}");
    }
}

#[test]
fn no_allocation_on_the_slow_road() {
    let spaced = |mut frames: Vec<(UnixNanos, String)>| {
        frames
            .iter_mut()
            .for_each(|(_, frame)| *frame = frame.replacen('{', "{ ", 1));
        frames
    };
    let Some(binance) = recordings(&BINANCE[..1]) else {
        return;
    };
    let mut frames_of_binance = spaced(frames(&binance, 3_000));
    for (_, frame) in &mut frames_of_binance {
        *frame = frame.replace("{ \"lastUpdateId\"", "{\"lastUpdateId\" ");
    }
    assert_eq!(third_run(VenueId::BinanceSpot, "BTCUSDT", &frames_of_binance), 0);
    let Some(kraken) = recordings(&KRAKEN_25) else { return };
    assert_eq!(
        third_run(VenueId::KrakenV2, "BTC/USD", &spaced(frames(&kraken, 3_000))),
        0
    );
    let Some(bybit) = recordings(&BYBIT) else { return };
    let frames_of_bybit = spaced(of_ether(&frames(&bybit, 4_000)));
    assert_eq!(third_run(VenueId::BybitLinear, "ETHUSDT", &frames_of_bybit), 0);
    let Some(okx) = recordings(&OKX_TODAY) else { return };
    let okx = spaced(frames(&okx, 3_000));
    assert_eq!(third_run(VenueId::OkxV5, "BTC-USDT", &okx), 0);
}

/// The symbol is looked at all the time: what its messages change is remembered, and what REST would have said a few
/// messages ago, or will say in a few, is compared.
#[test]
fn no_allocation_while_books_are_held_against_rest() {
    let rows = [(VenueId::BinanceSpot, &BINANCE[..1]), (VenueId::BinanceUsdm, &USDM)];
    for (venue, names) in rows {
        let Some(paths) = recordings(names) else { return };
        let frames = frames(&paths, 10_000);
        let mut session = Session::new(&SessionConfig {
            checkpoint_interval: Some(Duration::from_secs(1)),
            ..SessionConfig::new(venue, ["BTCUSDT"])
        })
        .unwrap();
        let mut sink = Checked {
            reader: Some(BookReader::new(venue)),
            ..Checked::default()
        };
        let mut out = Outbox::new();
        let mut hours = 0;
        let mut run = |sink: &mut Checked| {
            sink.book_count = 0;
            hours += 1; // time does not go back
            let later = |time: UnixNanos| UnixNanos(time.0 + hours * 3_600_000_000_000);
            session.on_open(later(frames[0].0), sink, &mut out);
            for (time, frame) in &frames {
                let time = later(*time);
                let mut stamps = Stamps {
                    receive_time: time,
                    ..Stamps::default()
                };
                let (symbol, body) = (SymbolId(0), frame.as_bytes());
                match frame.starts_with("{\"lastUpdateId\"") {
                    true => session.on_snapshot(symbol, Ok(body), &mut stamps, NoClock, sink, &mut out),
                    false => session.on_frame(body, &mut stamps, NoClock, sink, &mut out),
                }
                session.on_timer(time, sink, &mut out);
                out.clear();
                let (count, turn) = (sink.book_count, sink.book_count % 20);
                let other = if turn < 10 {
                    count.checked_sub(3)
                } else {
                    Some(count + 3)
                };
                let is_known = sink.reader.is_none() && turn.is_multiple_of(10);
                if let Some(checkpoint) = other.and_then(|other| sink.checkpoints.get(other)).filter(|_| is_known) {
                    let checkpoint = *checkpoint;
                    session.on_checkpoint(symbol, Ok(&checkpoint), time, sink, &mut out);
                }
            }
            session.on_close(sink);
        };
        run(&mut sink);
        sink.reader = None;
        run(&mut sink);
        assert_eq!(measure(|| run(&mut sink)).count_total, 0, "{venue}");
        assert!(
            sink.matched > 3 && sink.differing == 0,
            "{venue}: {} {}",
            sink.matched,
            sink.differing
        );
    }
}

#[derive(Default)]
struct Checked {
    /// While there is one, what REST would say is made of every book.
    reader: Option<BookReader>,
    checkpoints: Vec<Checkpoint>,
    book_count: usize,
    matched: u64,
    differing: u64,
}

impl Sink for Checked {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        self.book_count += 1;
        let Some(reader) = &mut self.reader else { return };
        let scale = update.instrument.scale;
        let side = |side| {
            let levels = update.book.levels(side).take(Checkpoint::LEVELS);
            let text = |level: Level| {
                let (price, qty) = (display(level.price.0, scale.price), display(level.qty.0, scale.qty));
                format!("[\"{price}\",\"{qty}\"]")
            };
            levels.map(text).collect::<Vec<_>>().join(",")
        };
        let (id, bids, asks) = (update.update_id, side(Side::Bid), side(Side::Ask));
        let body = format!("{{\"lastUpdateId\":{id},\"bids\":[{bids}],\"asks\":[{asks}]}}");
        self.checkpoints
            .push(reader.checkpoint(SymbolId(0), body.as_bytes()).unwrap());
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        self.matched += u64::from(matches!(event, FeedEvent::CheckpointMatched { .. }));
        self.differing += u64::from(matches!(event, FeedEvent::CheckpointDiffers { .. }));
    }
}
