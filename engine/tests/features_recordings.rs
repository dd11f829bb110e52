//! The feature engine against the slow one on whole sessions: a generated market of two venues, and recordings, which are
//! not part of the project; without them the test says so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;

use std::path::{Path, PathBuf};

use features_support::{Call, Levels, Reference};
use quantumflow::features::{BASE_FEATURES, FEATURE_COUNT, FeatureEngine, registry::FEATURES};
use quantumflow::replay::ReplayPlan;
use quantumflow_feeds::capture::{CaptureReader, CaptureText, replay, unpaced};
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::{BookUpdate, Scale, Side, Sink, Stamps, Trade, VenueId};

/// Rows between two that are compared: the slow engine looks at all that was for each.
const STRIDE: usize = 101;

/// Both engines behind one session.
#[derive(Default)]
struct Race {
    engine: FeatureEngine,
    reference: Reference,
    scale: Option<Scale>,
    rows: usize,
    compared: usize,
    /// Rows in which a feature was not 0.
    alive: Vec<usize>,
}

impl Sink for Race {
    fn on_book(&mut self, update: &BookUpdate<'_>, _stamps: &Stamps) {
        let levels = |side| -> Levels {
            let best = update.book.levels(side).take(12);
            best.map(|level| (level.price.0, level.qty.0)).collect()
        };
        // Other decimals are other numbers: both begin anew.
        let is_rescaled = self.scale.replace(update.instrument.scale) != Some(update.instrument.scale);
        let is_row = self.reference.take(&Call::Book {
            time_ns: update.exchange_time.0,
            snapshot: update.is_snapshot || is_rescaled,
            bids: levels(Side::Bid),
            asks: levels(Side::Ask),
        });
        let row = self.engine.on_book(update);
        assert_eq!(row.is_some(), is_row);
        let Some(row) = row else { return };
        self.rows += 1;
        if !self.rows.is_multiple_of(STRIDE) {
            return;
        }
        self.compared += 1;
        for (def, expected) in FEATURES.iter().zip(self.reference.row()) {
            let got = f64::from(row[def.feature as usize]);
            assert!(
                (got - expected).abs() <= 2.4e-7 * expected.abs() + 1e-9,
                "{} of row {}: {got} instead of {expected}",
                def.name,
                self.rows
            );
            self.alive[def.feature as usize] += usize::from(got != 0.0);
        }
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _stamps: &Stamps) {
        self.engine.on_trade(trade);
        self.reference.take(&Call::Trade {
            time_ns: trade.exchange_time.0,
            price: trade.price.0,
            qty: trade.qty.0,
            buyer: trade.aggressor == Side::Bid,
        });
    }
}

fn race(venue: VenueId, symbol: &str, depth: u32, path: PathBuf) -> Race {
    let plan = ReplayPlan {
        paths: vec![path],
        venue,
        symbols: vec![symbol.to_owned()],
        depth: Some(depth),
        speed: None,
        signal_threshold: 0.5,
    };
    let mut race = Race {
        alive: vec![0; FEATURE_COUNT],
        ..Race::default()
    };
    let mut reader = CaptureReader::open(&plan.paths).unwrap();
    replay(&mut reader, &mut plan.session().unwrap(), &mut race, unpaced).unwrap();
    println!("{venue} {symbol}: {} of {} rows compared", race.compared, race.rows);
    race
}

#[test]
fn generated_markets_give_the_rows_of_the_slow_engine() {
    for (venue, symbol, depth) in [
        (VenueId::BinanceSpot, "BTCUSDT", 1000),
        (VenueId::KrakenV2, "BTC/USD", 10),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("market.jsonl");
        let mut out = CaptureText::create(&path).unwrap();
        let mut config = CaptureConfig::new(venue, &[symbol], 5, CaptureLength::Events(5_000));
        config.depth_interval_ms = 0;
        market_capture(&config, &mut out).unwrap();
        out.finish().unwrap();
        let race = race(venue, symbol, depth, path);
        assert!(race.compared > 10);
        // A market that trades and moves has something to say to every feature.
        for def in &FEATURES[BASE_FEATURES..] {
            assert!(race.alive[def.feature as usize] > 0, "{}", def.name);
        }
    }
}

#[test]
fn recordings_give_the_rows_of_the_slow_engine() {
    for (venue, symbol, depth, name) in [
        (
            VenueId::BinanceSpot,
            "BTCUSDT",
            1000,
            "binance/spot/btcusdt_20240808.gz",
        ),
        (
            VenueId::KrakenV2,
            "BTC/USD",
            25,
            "kraken/kraken_v2_btcusd_sample.jsonl.gz",
        ),
    ] {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")).join(name);
        if !path.exists() {
            println!("skipped: no recording {}", path.display());
            continue;
        }
        assert!(race(venue, symbol, depth, path).compared > 3);
    }
}
