//! The table of what catches what.

use super::Mistake;
use super::script::Script;
use super::trial::{Bench, Outcome};
use crate::types::VenueId;
use crate::venue::SessionConfig;

/// What several trials of one mistake have shown, as the table says it.
fn cell(outcomes: &[Option<Outcome>]) -> String {
    let mut words: Vec<(&str, bool)> = Vec::new();
    for outcome in outcomes.iter().flatten() {
        let is_wrong = outcome.first_wrong.is_some();
        let word = match outcome.alarm {
            Some(alarm) => (alarm, is_wrong),
            None if is_wrong => ("nothing", false),
            None => ("same book", false),
        };
        match words.iter_mut().find(|(known, _)| *known == word.0) {
            Some((_, is_late)) => *is_late |= word.1,
            None => words.push(word),
        }
    }
    words.sort_unstable();
    let words = words
        .iter()
        .map(|(word, is_late)| format!("{word}{}", if *is_late { " late" } else { "" }));
    words.collect::<Vec<_>>().join(" or ")
}

#[test]
fn print() {
    let mut rows = vec![String::new(); Mistake::ALL.len()];
    for venue in VenueId::ALL {
        let config = SessionConfig::new(venue, [venue.facts().symbols[0]]);
        let bench = Bench::of(venue);
        let scripts: Vec<Script> = (1..=3).map(|seed| Script::simulated(&config, seed)).collect();
        for script in &scripts {
            println!("  control {:?}", (bench.trial)(&config, script, Mistake::None));
        }
        for ((mistake, _), row) in Mistake::ALL.iter().zip(&mut rows) {
            let outcomes: Vec<_> = scripts
                .iter()
                .map(|script| (bench.trial)(&config, script, *mistake))
                .collect();
            row.push_str(&format!("{} | ", cell(&outcomes)));
        }
    }
    println!("{:?}", VenueId::ALL);
    for ((_, words), row) in Mistake::ALL.iter().zip(rows) {
        println!("| {words} | {row}");
    }
}

const RECORDINGS: [(VenueId, &str, &str, Option<u32>); 9] = [
    (
        VenueId::BinanceSpot,
        "BTCUSDT",
        "binance/spot/btcusdt_20240808.gz",
        None,
    ),
    (
        VenueId::BinanceUsdm,
        "BTCUSDT",
        "binance/usdm/btcusdt_20240808.gz",
        None,
    ),
    (
        VenueId::KrakenV2,
        "BTC/USD",
        "kraken/kraken_v2_btcusd_l2.jsonl.gz",
        Some(10),
    ),
    (
        VenueId::KrakenV2,
        "BTC/USD",
        "kraken/kraken_v2_btcusd_sample.jsonl.gz",
        Some(25),
    ),
    (VenueId::OkxV5, "BTC-USDT", "okx/okx_v5_books_20220513.jsonl.gz", None),
    (
        VenueId::OkxV5,
        "BTC-USDT",
        "okx/reshaped_books_2026_seqid.jsonl.gz",
        None,
    ),
    (
        VenueId::BybitLinear,
        "ETHUSDT",
        "bybit/reshaped_v5_orderbook50.jsonl.gz",
        None,
    ),
    (
        VenueId::CoinbaseAdvanced,
        "SKL-USD",
        "coinbase/reshaped_advanced_l2_data.jsonl.gz",
        None,
    ),
    (
        VenueId::CoinbaseExchange,
        "SKL-USD",
        "coinbase/coinbase_exchange_level2_10pairs_20210417.jsonl.gz",
        None,
    ),
];

#[test]
fn recorded() {
    for (venue, symbol, path, depth) in RECORDINGS {
        let Some(script) = Script::recorded(path) else { return };
        let mut config = SessionConfig::new(venue, [symbol]);
        config.depth = depth.unwrap_or(config.depth);
        let bench = Bench::of(venue);
        println!("{path} control {:?}", (bench.trial)(&config, &script, Mistake::None));
        for (mistake, words) in Mistake::ALL {
            let outcome = (bench.trial)(&config, &script, mistake);
            println!("  {words}: {} {outcome:?}", cell(&[outcome]));
        }
    }
}
