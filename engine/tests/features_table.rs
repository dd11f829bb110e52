//! The table that training reads: header, rows, segments, and what it says when it cannot be written.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;

use std::io::{self, Write};

use features_support::{Call, book_of, book_update, feed, instrument, trade};
use quantumflow::features::{
    Feature, FeatureEngine, FeatureTable, TableError, TableSummary, WARM_UP_UPDATES, registry::FEATURES,
};
use quantumflow_feeds::{Instrument, Sink, Stamps, SymbolId};

fn market() -> Vec<Call> {
    (0..900_i64)
        .map(|at| match at % 5 {
            4 => Call::Trade {
                time_ns: at as u64,
                price: 100 + at % 3,
                qty: 1 + at,
                buyer: at % 2 == 0,
            },
            _ => Call::Book {
                time_ns: at as u64,
                snapshot: at == 0 || at == 450,
                bids: vec![(100 - at % 2, 5 + at), (90, 7)],
                asks: vec![(101 + at % 3, 5), (110, 9 + at)],
            },
        })
        .collect()
}

fn write_table<W: Write>(out: W, symbol: &str) -> Result<TableSummary, TableError> {
    fill(FeatureTable::new(out, symbol)?)
}

fn fill<W: Write>(mut table: FeatureTable<W>) -> Result<TableSummary, TableError> {
    let instrument = instrument();
    let other = Instrument {
        id: SymbolId(1),
        symbol: "ETHUSDT".to_owned(),
        ..instrument.clone()
    };
    for call in market() {
        for instrument in [&instrument, &other] {
            match &call {
                Call::Book {
                    time_ns,
                    snapshot,
                    bids,
                    asks,
                } => {
                    let book = book_of(bids, asks);
                    table.on_book(&book_update(instrument, &book, *time_ns, *snapshot), &Stamps::default());
                }
                Call::Trade {
                    time_ns,
                    price,
                    qty,
                    buyer,
                } => {
                    table.on_trade(&trade(instrument, *time_ns, *price, *qty, *buyer), &Stamps::default());
                }
            }
        }
    }
    table.finish()
}

#[test]
fn rows_read_back_as_the_bits_of_the_engine() {
    check(&FEATURES.map(|def| def.feature), 340);
}

/// In the order of the registry, and from where these features are warm.
#[test]
fn a_table_of_some_features_has_their_columns_and_begins_when_they_are_warm() {
    check(&[Feature::QueueImbalance, Feature::Volatility100Bps], WARM_UP_UPDATES);
    check(&[Feature::SpreadTicks, Feature::Vpin50, Feature::Rsi14], 150);
}

fn check(features: &[Feature], warm_up_updates: u16) {
    let mut out = Vec::new();
    let asked = features.iter().rev().copied();
    let summary = fill(FeatureTable::of(&mut out, "BTCUSDT", asked).unwrap()).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let front = [
        "exchange_time_ns",
        "update_id",
        "segment",
        "bid",
        "ask",
        "beyond_horizon",
    ];
    assert_eq!(header[..6], front);
    let names: Vec<String> = features
        .iter()
        .map(|feature| feature.def())
        .map(|def| format!("{}:{}", def.name, def.version))
        .collect();
    assert_eq!(header[6..], names);

    let instrument = instrument();
    let mut engine = FeatureEngine::new();
    let mut rows = 0;
    for call in market() {
        let Some(expected) = feed(&mut engine, &instrument, &call) else {
            continue;
        };
        if engine.updates() < u32::from(warm_up_updates) {
            continue;
        }
        let Call::Book {
            time_ns, bids, asks, ..
        } = call
        else {
            unreachable!("a trade gives no row")
        };
        let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
        let segment = 1 + u64::from(time_ns >= 450);
        let front = [
            time_ns.to_string(),
            "0".to_owned(),
            segment.to_string(),
            bids[0].0.to_string(),
            asks[0].0.to_string(),
            "0".to_owned(),
        ];
        assert_eq!(fields[..6], front);
        let values: Vec<u32> = fields[6..]
            .iter()
            .map(|field| field.parse::<f32>().unwrap().to_bits())
            .collect();
        let expected: Vec<u32> = features
            .iter()
            .map(|&feature| expected[feature as usize].to_bits())
            .collect();
        assert_eq!(values, expected);
        rows += 1;
    }
    assert_eq!(lines.next(), None);
    assert_eq!(rows, 720 - 2 * (u64::from(warm_up_updates) - 1));
    assert_eq!(
        summary,
        TableSummary {
            rows,
            rows_beyond_horizon: 0,
            updates: 720,
            trades: 180,
            segments: 2,
            others: 900
        }
    );
}

#[test]
fn a_symbol_that_never_came_is_an_error() {
    let error = write_table(Vec::new(), "BTC/USD").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no book update of BTC/USD in the input (1800 calls"),
        "{error}"
    );
}

#[test]
fn an_output_that_is_full_is_an_error() {
    /// Takes so many bytes.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = write_table(Full(4_000), "BTCUSDT").unwrap_err();
    assert!(
        matches!(error, TableError::Write { rows, .. } if (1..20).contains(&rows)),
        "{error:?}"
    );
}
