//! Many connections on one hot thread, and many symbols on one connection: everything that is sent is counted, every book
//! is right, and nothing is missing in the region.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quantumflow::config::ModelSource;
use quantumflow::features::WARM_UP_UPDATES;
use quantumflow::model::{self, Model};
use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, SimConfig, SimSource, SimTls};
use quantumflow_region::{Snapshot, catalogue};

use crate::rig::{Rig, total};

/// A market of these symbols over TLS that comes to rest after a while.
fn venue(venue: VenueId, symbols: &[String], rate: f64, lasting: Duration) -> SimConfig {
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut config = SimConfig::market(venue, &symbols, 17);
    let SimSource::Market { market, load } = &mut config.source else {
        unreachable!("a market was asked for")
    };
    // The shallowest REST snapshot is a whole book, and cheap.
    market.symbols.iter_mut().for_each(|symbol| symbol.level_count = 60);
    *load = LoadShape::Step {
        before: rate,
        after: 0.0,
        at: lasting,
    };
    config.depth_interval_ms = Some(0);
    config.tls = SimTls::Own;
    config
}

fn model() -> Arc<Model> {
    model::load_source(&ModelSource::Builtin("mlp_v1".to_owned())).unwrap()
}

/// What stands in the configuration of such a feed.
fn feed(id: VenueId, symbols: &[String]) -> String {
    match id {
        VenueId::BinanceSpot | VenueId::BinanceUsdm => format!("symbols = {symbols:?}\ndepth = 100\n"),
        _ => format!("symbols = {symbols:?}\n"),
    }
}

/// Whether a book has moved so often, is shown, and is the best that its venue can prove.
fn is_right(snapshot: &Snapshot, id: VenueId, symbol: &str, updates: u16) -> bool {
    let labels = [("exchange", id.name()), ("symbol", symbol)];
    let best = if id == VenueId::CoinbaseExchange { 1.0 } else { 0.0 };
    total(snapshot, &catalogue::PRICE_UPDATES, &labels) >= f64::from(updates)
        && total(snapshot, &catalogue::BOOK_QUALITY, &labels) == best
}

/// Nothing went wrong and nothing is missing, all on one thread. Returns which instruments were predicted.
fn assert_health(mut rig: Rig) -> Vec<u32> {
    let snapshot = rig.snapshot();
    for fault in [
        &catalogue::BOOK_RESYNCS,
        &catalogue::BOOK_GAPS,
        &catalogue::FEED_FRAMES_REJECTED,
        &catalogue::FEED_RECONNECTIONS,
        &catalogue::QUEUE_DROPPED,
    ] {
        assert_eq!(total(&snapshot, fault, &[]), 0.0, "{}", fault.name);
    }
    let threads = snapshot.writers.iter().filter(|writer| writer.name.starts_with("hot"));
    assert_eq!(threads.count(), 1);
    let (bytes, _, snapshot) = rig.finish();
    assert_eq!(snapshot.engine.registrations_dropped, 0, "every series has its place");
    let signals = total(&snapshot, &catalogue::TRADING_SIGNALS, &[]);
    assert_eq!(
        signals, bytes.predictions as f64,
        "every signal is counted under its symbol"
    );
    bytes.of_symbol.keys().copied().collect()
}

/// Two symbols for each connection, in the venue's spelling. Three connections of a venue share none; venues do.
fn two_symbols(id: VenueId, connection: usize) -> [String; 2] {
    let bases = [["BTC", "ETH"], ["SOL", "XRP"], ["BNB", "DOGE"]][connection];
    bases.map(|base| match id {
        VenueId::KrakenV2 => format!("{base}/USD"),
        VenueId::OkxV5 => format!("{base}-USDT"),
        VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => format!("{base}-USD"),
        _ => format!("{base}USDT"),
    })
}

#[test]
fn twenty_connections_of_all_venues_share_one_hot_thread() {
    let venues = VenueId::ALL;
    let plan: Vec<(VenueId, [String; 2])> = (0..20)
        .map(|index| {
            let id = venues[index % venues.len()];
            (id, two_symbols(id, index / venues.len()))
        })
        .collect();
    let sims = plan.iter().map(|(id, symbols)| {
        let sim = venue(*id, symbols, 250.0, Duration::from_secs(8));
        (sim, feed(*id, symbols))
    });
    let mut rig = Rig::start_all(sims.collect(), Some(&model()));
    rig.wait_for("every book", |snapshot| {
        plan.iter().all(|(id, symbols)| {
            symbols
                .iter()
                .all(|symbol| is_right(snapshot, *id, symbol, WARM_UP_UPDATES))
        })
    });
    // Heartbeats go on when the markets rest; between two of them all is counted that was sent.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sent = rig.sent();
        let snapshot = rig.snapshot();
        let count = |id: VenueId| total(&snapshot, &catalogue::FEED_MESSAGES, &[("exchange", id.name())]) as u64;
        let sent = |id: VenueId| -> u64 {
            plan.iter()
                .zip(&sent)
                .filter(|((of, _), _)| *of == id)
                .map(|(_, n)| n)
                .sum()
        };
        let counts = venues.map(|id| (id, sent(id), count(id)));
        let is_busy = counts.iter().any(|(_, sent, _)| *sent < 500);
        if !is_busy && counts.iter().all(|(_, sent, counted)| sent == counted) {
            break;
        }
        assert!(Instant::now() < deadline, "(venue, sent, counted): {counts:?}");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        assert_health(rig),
        (0..40).collect::<Vec<_>>(),
        "every instrument is predicted"
    );
}

#[test]
fn two_hundred_symbols_of_one_connection_have_their_books_and_their_series() {
    let id = VenueId::BinanceSpot;
    let symbols: Vec<String> = (0..200).map(|index| format!("Q{index:03}USDT")).collect();
    let sim = venue(id, &symbols, 3_000.0, Duration::from_secs(8));
    let mut rig = Rig::start(sim, &feed(id, &symbols), Some(&model()));
    rig.wait_for("every book", |snapshot| {
        symbols.iter().all(|symbol| is_right(snapshot, id, symbol, 2))
    });
    rig.wait_for_all_that_was_sent();
    assert_health(rig);
}
