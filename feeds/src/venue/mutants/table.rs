//! The tables of the documentation against what happens.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Mistake;
use super::script::Script;
use super::trial::{Outcome, trial_of};
use crate::types::VenueId;
use crate::venue::SessionConfig;

/// One column of a table: a venue and what it was heard to say.
struct Column {
    head: &'static str,
    config: SessionConfig,
    scripts: Vec<Script>,
}

impl Column {
    /// A generated market, several times.
    fn simulated(venue: VenueId) -> Self {
        let config = SessionConfig::new(venue, [venue.facts().symbols[0]]);
        Self {
            head: venue.name(),
            scripts: SEEDS.map(|seed| Script::simulated(&config, seed)).collect(),
            config,
        }
    }

    fn outcomes(&self, mistake: Mistake) -> Vec<Outcome> {
        let trial = trial_of(self.config.venue);
        let outcomes = self.scripts.iter().map(|script| trial(&self.config, script, mistake));
        outcomes.flatten().collect()
    }

    /// Without a mistake nothing is wrong, and nothing alarms.
    fn check_control(&self) {
        for outcome in self.outcomes(Mistake::None) {
            assert_eq!((outcome.alarm, outcome.first_wrong), (None, None), "{}", self.head);
            assert!(
                outcome.shown > 90 && outcome.is_right_at_end,
                "{}: {outcome:?}",
                self.head
            );
        }
    }
}

/// What several trials of one mistake have shown, in the words of the tables.
fn cell(outcomes: &[Outcome]) -> String {
    let mut words: Vec<String> = Vec::new();
    let alarms: BTreeSet<&str> = outcomes.iter().filter_map(|outcome| outcome.alarm).collect();
    for alarm in alarms {
        let caught = || outcomes.iter().filter(|outcome| outcome.alarm == Some(alarm));
        let (least, most) = (caught().map(Outcome::wrong).min(), caught().map(Outcome::wrong).max());
        words.push(match (least.unwrap_or(0), most.unwrap_or(0)) {
            (_, 0) => alarm.to_owned(),
            (least, most) if least == most => format!("{alarm} (late, {most})"),
            (least, most) => format!("{alarm} (late, {least}–{most})"),
        });
    }
    let quiet = || outcomes.iter().filter(|outcome| outcome.alarm.is_none());
    let mut wrong = quiet().filter(|outcome| outcome.first_wrong.is_some()).peekable();
    if wrong.peek().is_some() {
        let heals = wrong.all(|outcome| outcome.is_right_at_end);
        words.push(format!("**nothing**{}", if heals { ", and it heals" } else { "" }));
    }
    if quiet().any(|outcome| outcome.first_wrong.is_none()) {
        words.push("same book".to_owned());
    }
    match words.is_empty() {
        true => "–".to_owned(),
        false => words.join(" or "),
    }
}

/// The lines of a table.
fn table(columns: &[Column]) -> String {
    let mut text = String::from("| mistake |");
    columns
        .iter()
        .for_each(|column| write!(text, " {} |", column.head).unwrap());
    text.push_str("\n| --- |");
    columns.iter().for_each(|_| text.push_str(" --- |"));
    for (mistake, words) in Mistake::ALL {
        write!(text, "\n| {words} |").unwrap();
        for column in columns {
            write!(text, " {} |", cell(&column.outcomes(mistake))).unwrap();
        }
    }
    text
}

/// The section of the documentation.
fn section() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/venues.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, behind) = text.split_once(&format!("\n## {TITLE}\n")).expect("the section");
    behind.split("\n## ").next().unwrap_or(behind).to_owned()
}

fn check(columns: &[Column]) -> String {
    columns.iter().for_each(Column::check_control);
    let table = table(columns);
    assert!(
        section().contains(&table),
        "docs/venues.md, \"{TITLE}\" should have:\n{table}\n"
    );
    table
}

/// The cells of a table, without the words of its rows.
fn cells(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table
        .lines()
        .skip(2)
        .map(|row| row.split('|').skip(2).map(str::trim).collect())
}

#[test]
fn the_documentation_says_what_catches_which_mistake() {
    let mut columns = Vec::from(VENUES.map(Column::simulated));
    let table = check(&columns);
    for ((mistake, words), cells) in Mistake::ALL.iter().zip(cells(&table)) {
        for (column, cell) in columns.iter().zip(cells) {
            // A mistake that changes nothing proves nothing.
            let is_harmless = HARMLESS.contains(&(column.config.venue, *mistake));
            assert_eq!(cell.contains("same book"), is_harmless, "{}: {words}", column.head);
        }
    }
    // What nothing catches has its reason.
    for (place, column) in columns.iter().enumerate() {
        let is_blind = cells(&table).any(|cells| cells[place].contains("nothing"));
        let section = section();
        let mut reasons = section
            .lines()
            .filter_map(|line| line.strip_prefix("- ")?.split_once(':'));
        let has_reason = reasons.any(|(venues, _)| venues.contains(&format!("`{}`", column.head)));
        assert_eq!(
            is_blind, has_reason,
            "why nothing catches some mistakes on {}",
            column.head
        );
    }
    // One set of rules, two products.
    columns.retain(|column| column.config.venue == VenueId::BybitSpot);
    let spot = self::table(&columns);
    let linear = self::table(&[Column::simulated(VenueId::BybitLinear)]);
    assert_eq!(linear.replace("bybit_linear", "bybit"), spot);
}

#[test]
fn recordings_show_what_the_documentation_says_of_them() {
    let mut columns = Vec::new();
    for (head, venue, symbol, depth, path) in RECORDINGS {
        let Some(script) = Script::recorded(path) else { return };
        let mut config = SessionConfig::new(venue, [symbol]);
        config.depth = depth.unwrap_or(config.depth);
        columns.push(Column {
            head,
            config,
            scripts: vec![script],
        });
    }
    check(&columns);
}

const TITLE: &str = "What catches which mistake";

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

const VENUES: [VenueId; 7] = [
    VenueId::BinanceSpot,
    VenueId::BinanceUsdm,
    VenueId::KrakenV2,
    VenueId::OkxV5,
    VenueId::BybitSpot,
    VenueId::CoinbaseAdvanced,
    VenueId::CoinbaseExchange,
];

/// The venue itself deletes what leaves the window of a depth.
const HARMLESS: [(VenueId, Mistake); 1] = [(VenueId::BybitSpot, Mistake::NeverCut)];

const RECORDINGS: [(&str, VenueId, &str, Option<u32>, &str); 9] = [
    (
        "binance",
        VenueId::BinanceSpot,
        "BTCUSDT",
        None,
        "binance/spot/btcusdt_20240808.gz",
    ),
    (
        "binance_usdm",
        VenueId::BinanceUsdm,
        "BTCUSDT",
        None,
        "binance/usdm/btcusdt_20240808.gz",
    ),
    (
        "kraken, 10",
        VenueId::KrakenV2,
        "BTC/USD",
        Some(10),
        "kraken/kraken_v2_btcusd_l2.jsonl.gz",
    ),
    (
        "kraken, 25",
        VenueId::KrakenV2,
        "BTC/USD",
        Some(25),
        "kraken/kraken_v2_btcusd_sample.jsonl.gz",
    ),
    (
        "okx, 2022",
        VenueId::OkxV5,
        "BTC-USDT",
        None,
        "okx/okx_v5_books_20220513.jsonl.gz",
    ),
    (
        "okx",
        VenueId::OkxV5,
        "BTC-USDT",
        None,
        "okx/reshaped_books_2026_seqid.jsonl.gz",
    ),
    (
        "bybit_linear",
        VenueId::BybitLinear,
        "ETHUSDT",
        None,
        "bybit/reshaped_v5_orderbook50.jsonl.gz",
    ),
    (
        "coinbase",
        VenueId::CoinbaseAdvanced,
        "SKL-USD",
        None,
        "coinbase/reshaped_advanced_l2_data.jsonl.gz",
    ),
    (
        "coinbase_exchange",
        VenueId::CoinbaseExchange,
        "SKL-USD",
        None,
        "coinbase/coinbase_exchange_level2_10pairs_20210417.jsonl.gz",
    ),
];
