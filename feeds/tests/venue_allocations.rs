//! After the first messages a session allocates nothing, neither on a hot shape nor on the slow road.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use allocation_counter::measure;
use quantumflow_feeds::capture::{TapKind, capture_tap};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::{BookUpdate, Stamps, Trade};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{Sink, SymbolId, UnixNanos, VenueId};
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

/// Runs the frames through a connection twice and returns the allocations of the second time.
fn second_run(venue: VenueId, symbol: &str, frames: &[(UnixNanos, String)]) -> u64 {
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
    assert_eq!(
        second_run(VenueId::BinanceSpot, "BTCUSDT", &frames(&binance, 10_000)),
        0
    );
    let Some(kraken) = recordings(&KRAKEN_25) else { return };
    assert_eq!(second_run(VenueId::KrakenV2, "BTC/USD", &frames(&kraken, 3_000)), 0);
    let Some(usdm) = recordings(&USDM) else { return };
    assert_eq!(second_run(VenueId::BinanceUsdm, "BTCUSDT", &frames(&usdm, 10_000)), 0);
    let Some(bybit) = recordings(&BYBIT) else { return };
    assert_eq!(
        second_run(VenueId::BybitLinear, "ETHUSDT", &of_ether(&frames(&bybit, 4_000))),
        0
    );
    for name in [OKX_2022, OKX_TODAY] {
        let Some(okx) = recordings(&name) else { return };
        assert_eq!(second_run(VenueId::OkxV5, "BTC-USDT", &frames(&okx, 3_000)), 0);
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
        assert_eq!(second_run(venue, "SKL-USD", &frames), 0, "{venue}");
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
    assert_eq!(second_run(VenueId::BinanceSpot, "BTCUSDT", &frames_of_binance), 0);
    let Some(kraken) = recordings(&KRAKEN_25) else { return };
    assert_eq!(
        second_run(VenueId::KrakenV2, "BTC/USD", &spaced(frames(&kraken, 3_000))),
        0
    );
    let Some(bybit) = recordings(&BYBIT) else { return };
    let frames_of_bybit = spaced(of_ether(&frames(&bybit, 4_000)));
    assert_eq!(second_run(VenueId::BybitLinear, "ETHUSDT", &frames_of_bybit), 0);
    let Some(okx) = recordings(&OKX_TODAY) else { return };
    let okx = spaced(frames(&okx, 3_000));
    assert_eq!(second_run(VenueId::OkxV5, "BTC-USDT", &okx), 0);
}
