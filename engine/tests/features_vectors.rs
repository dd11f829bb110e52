//! The feature engine against stored values: 400 updates of a ten-level book and 77 trades, with features computed from
//! their definitions by an independent program. The file is not part of the project; without it the test says so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;

use features_support::{Call, Levels, feed, instrument};
use quantumflow::features::{Feature, FeatureEngine, FeatureVector};
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/feature_vectors.json");

#[test]
fn rows_equal_the_stored_vectors() {
    let Ok(text) = std::fs::read_to_string(VECTORS) else {
        println!("skipped: {VECTORS} is not there");
        return;
    };
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let rows = rows_of(&vectors);
    assert_eq!(rows.iter().flatten().count(), 300);

    let stored = |name: &str, at: usize| vectors["features"][name][at].as_f64().unwrap();
    // What is a ratio of integers is equal to the nearest f32; where a price is subtracted from one of its own size,
    // to what is left of an f64.
    for (at, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        let value = |feature: Feature| row[feature as usize];
        assert_eq!(value(Feature::SpreadTicks), stored("spread_ticks", at) as f32);
        for (feature, name) in [
            (Feature::QueueImbalance, "queue_imb"),
            (Feature::QueueImbalance, "obi_1"),
            (Feature::Imbalance3, "obi_3"),
            (Feature::Imbalance5, "obi_5"),
            (Feature::Imbalance10, "obi_10"),
        ] {
            assert_eq!(value(feature), stored(name, at) as f32, "{name} of update {at}");
        }
        let close = |feature: Feature, expected: f64, tolerance: f64| {
            let got = f64::from(value(feature));
            assert!(
                (got - expected).abs() <= tolerance * expected.abs().max(1.0),
                "{feature:?} of update {at}: {got} instead of {expected}"
            );
        };
        close(Feature::ImbalanceExp10, stored("obi_exp05", at), 1e-7);
        let mid = stored("mid_x2_ticks", at) / 2.0;
        close(Feature::MicropriceTicks, stored("wmid_ticks", at) - mid, 1e-7);
        close(Feature::Slope10, stored("slope_ns2006", at), 1e-7);
        // The stored average begins at 0 and is not divided by its weight; its returns are logarithmic.
        let weight = 1.0 - 0.97_f64.powi(at as i32);
        close(
            Feature::VolatilityEwmBps,
            1e4 * (stored("ewma_var_l097", at) / weight).sqrt(),
            1e-3,
        );
        // The stored one sums squares of logarithmic returns, ours squares of moves over the last mid price.
        close(Feature::Volatility100Bps, 1e4 * stored("rv_win100", at).sqrt(), 1e-3);

        let queue_of_5 = |window: usize| mean_queue(&vectors, at, 5, window);
        let flow = |level: usize, window: usize| -> f64 {
            let rows = vectors["features"]["mlofi_e_levels"].as_array().unwrap();
            rows[at + 1 - window..=at]
                .iter()
                .map(|row| row[level].as_f64().unwrap())
                .sum()
        };
        assert_eq!(value(Feature::Ofi1Last), (stored("ofi_e", at) / queue_of_5(10)) as f32);
        for (level, feature) in [
            Feature::Ofi1W10,
            Feature::Ofi2W10,
            Feature::Ofi3W10,
            Feature::Ofi4W10,
            Feature::Ofi5W10,
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(value(feature), (flow(level, 10) / queue_of_5(10)) as f32);
        }
        assert_eq!(
            value(Feature::Ofi1W50),
            vectors["features"]["ofi_norm5_win50"][at][0].as_f64().unwrap() as f32
        );
        assert_eq!(
            value(Feature::Ofi1W50),
            (stored("ofi_win50", at) / queue_of_5(50)) as f32
        );
        let to_5: f64 = (0..5).map(|level| flow(level, 50)).sum();
        assert_eq!(value(Feature::OfiTo5W50), (to_5 / queue_of_5(50)) as f32);
        let to_10: f64 = (0..10).map(|level| flow(level, 10)).sum();
        assert_eq!(
            value(Feature::OfiTo10W10),
            (to_10 / mean_queue(&vectors, at, 10, 10)) as f32
        );
    }

    let trades = vectors["trades_event_priceTicks_lots_sign"].as_array().unwrap();
    let mut checked = 0;
    for (index, trade) in trades.iter().enumerate() {
        let at = trade[0].as_u64().unwrap() as usize;
        // The row of an update speaks of all trades up to it: the stored value is that of the last one.
        let is_last = trades
            .get(index + 1)
            .is_none_or(|next| next[0].as_u64().unwrap() as usize > at);
        let (true, Some(row)) = (is_last, rows[at]) else {
            continue;
        };
        checked += 1;
        assert_eq!(
            row[Feature::TradeImbalance20 as usize],
            stored("tfi_win20trades", index) as f32
        );
        let mid = stored("mid_x2_ticks", at) / 2.0;
        let expected = 1e4 * (stored("vwap_win20trades_ticks", index) - mid) / mid;
        assert!((f64::from(row[Feature::Vwap20Bps as usize]) - expected).abs() < 1e-7 * expected.abs().max(1.0));
    }
    assert!(checked > 30, "only {checked} trades met a row");
}

/// The rows of the stored book, each update after the trades of the same event.
fn rows_of(vectors: &Value) -> Vec<Option<FeatureVector>> {
    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let (bids, asks) = (vectors["bid"].as_array().unwrap(), vectors["ask"].as_array().unwrap());
    let trades = vectors["trades_event_priceTicks_lots_sign"].as_array().unwrap();
    let mut rows = Vec::new();
    for at in 0..bids.len() {
        let time_ns = (at as u64 + 1) * 1_000_000;
        for trade in trades.iter().filter(|trade| trade[0].as_u64().unwrap() as usize == at) {
            let (price, qty) = (trade[1].as_i64().unwrap(), trade[2].as_i64().unwrap());
            feed(
                &mut engine,
                &instrument,
                &Call::Trade {
                    time_ns,
                    price,
                    qty,
                    buyer: trade[3].as_i64().unwrap() > 0,
                },
            );
        }
        let call = Call::Book {
            time_ns,
            snapshot: at == 0,
            bids: levels(&bids[at]),
            asks: levels(&asks[at]),
        };
        rows.push(feed(&mut engine, &instrument, &call));
    }
    rows
}

fn levels(side: &Value) -> Levels {
    side.as_array()
        .unwrap()
        .iter()
        .map(|level| (level[0].as_i64().unwrap(), level[1].as_i64().unwrap()))
        .collect()
}

fn mean_queue(vectors: &Value, at: usize, level_count: usize, window: usize) -> f64 {
    let mut sum = 0;
    for update in at + 1 - window..=at {
        for side in ["bid", "ask"] {
            sum += levels(&vectors[side][update])
                .iter()
                .take(level_count)
                .map(|level| level.1)
                .sum::<i64>();
        }
    }
    sum as f64 / (2 * level_count * window) as f64
}
