//! F17: a slot that is reused mixes what two series counted. Nothing is reused within an instance: a retired series keeps its
//! cell, a new one gets its own until there is none.

use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, RegisterError, Value, catalogue};

use crate::common::options;

/// Symbols come and go while a reader looks on; old handles go on counting into their own cells.
#[test]
fn f17_symbols_that_come_and_go_never_share_a_cell() {
    let small = RegionOptions {
        max_series: 500,
        ..options("engine", 1)
    };
    let region = RegionWriter::private(&small).unwrap();
    let hot = region.writer("hot").unwrap();
    let mut reader = RegionReader::of(&region).unwrap();
    let mut kept = Vec::new();
    let mut refused = 0;
    for round in 0..600_u64 {
        match hot.counter(&catalogue::PRICE_UPDATES, &["binance", &format!("S{round}")]) {
            // Every other one is retired at once, the rest go on.
            Ok(counter) => {
                counter.add(round * 1000);
                if round.is_multiple_of(2) {
                    counter.retire();
                } else {
                    kept.push(counter);
                }
            }
            Err(RegisterError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        kept.iter().for_each(|counter| counter.inc());
        if round % 50 == 0 || round == 599 {
            let snapshot = reader.snapshot().unwrap();
            assert_eq!(snapshot.series.len() as u64, (round + 1).min(500));
            for series in &snapshot.series {
                let symbol: u64 = series.meta.label("symbol").unwrap()[1..].parse().unwrap();
                let is_retired = symbol.is_multiple_of(2);
                let since = if is_retired { 0 } else { round - symbol + 1 };
                assert_eq!(
                    series.value,
                    Value::Counter(symbol * 1000 + since),
                    "S{symbol} in round {round}"
                );
                assert_eq!(series.retired, is_retired);
            }
        }
    }
    assert_eq!((refused, region.registrations_dropped()), (100, 100));
}

#[test]
fn f17_a_retired_series_says_so_and_its_cell_is_not_reused() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let mut reader = RegionReader::of(&region).unwrap();
    let old = hot.gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &["binance"]).unwrap();
    old.set(5);
    assert!(!reader.snapshot().unwrap().series[0].retired);
    old.retire();
    hot.gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &["kraken"])
        .unwrap()
        .set(9);
    let snapshot = reader.snapshot().unwrap();
    let shown: Vec<_> = snapshot.series.iter().map(|s| (s.retired, s.value.clone())).collect();
    assert_eq!(shown, [(true, Value::GaugeI64(5)), (false, Value::GaugeI64(9))]);
    let again = hot.gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &["binance"]).map(drop);
    assert!(
        matches!(again, Err(RegisterError::Duplicate(_))),
        "a retired series does not come back: {again:?}"
    );
}
