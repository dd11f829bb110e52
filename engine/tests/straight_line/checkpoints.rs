//! Shown books held against the venue's REST books, by a whole engine: what agrees is counted, what does not is withdrawn
//! and comes back, and a connection that is up but dead is replaced.

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Fault, LoadShape, PlannedFault, SimConfig, SimSource};
use quantumflow_region::{Snapshot, catalogue};

use crate::rig::{Rig, total};

fn venue(venue: VenueId, rate: f64, faults: Vec<PlannedFault>) -> SimConfig {
    let mut config = SimConfig::market(venue, &venue.facts().symbols, 11);
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = LoadShape::Steady { rate };
    }
    config.depth_interval_ms = Some(0);
    config.faults = faults;
    config
}

fn feed(id: VenueId, depth: u32) -> String {
    format!(
        "symbols = {:?}\ndepth = {depth}\ncheckpoint_interval_s = 5\n",
        id.facts().symbols
    )
}

fn checkpoints(snapshot: &Snapshot, symbol: &str, result: &str) -> f64 {
    let labels = [("symbol", symbol), ("result", result)];
    total(snapshot, &catalogue::BOOK_CHECKPOINTS, &labels)
}

fn is_verified(snapshot: &Snapshot, symbol: &str) -> bool {
    total(snapshot, &catalogue::BOOK_QUALITY, &[("symbol", symbol)]) == 0.0
}

#[test]
fn right_books_agree_and_are_counted() {
    let rows = [
        (VenueId::OkxV5, 400),
        (VenueId::BinanceUsdm, 1000),
        (VenueId::BybitLinear, 1000),
    ];
    for (id, depth) in rows {
        let mut rig = Rig::start(venue(id, 400.0, Vec::new()), &feed(id, depth), None);
        let symbols = id.facts().symbols;
        rig.wait_for("a checkpoint of each symbol", |snapshot| {
            symbols
                .iter()
                .all(|symbol| checkpoints(snapshot, symbol, "match") >= 1.0)
        });
        let snapshot = rig.snapshot();
        for symbol in symbols {
            assert_eq!(checkpoints(&snapshot, symbol, "mismatch"), 0.0, "{id} {symbol}");
        }
        assert_eq!(total(&snapshot, &catalogue::BOOK_RESYNCS, &[]), 0.0, "{id}");
        rig.finish();
    }
}

/// Levels that were below the seed and come up without a change of theirs are not in the book, which says how deep it is
/// known: it is not contradicted for what it never claimed.
#[test]
fn the_holes_of_a_book_that_was_seeded_with_few_levels_are_not_held_against_it() {
    let id = VenueId::BinanceSpot;
    let mut rig = Rig::start(venue(id, 4_000.0, Vec::new()), &feed(id, 100), None);
    rig.wait_for("two rounds", |snapshot| {
        let judged =
            |symbol: &&str| ["match", "mismatch", "missed"].map(|result| checkpoints(snapshot, symbol, result));
        let symbols = id.facts().symbols;
        symbols.iter().all(|symbol| judged(symbol).iter().sum::<f64>() >= 2.0)
    });
    let snapshot = rig.snapshot();
    for symbol in id.facts().symbols {
        assert_eq!(checkpoints(&snapshot, symbol, "mismatch"), 0.0, "{symbol}");
    }
    assert!(checkpoints(&snapshot, "BTCUSDT", "match") + checkpoints(&snapshot, "ETHUSDT", "match") > 0.0);
    assert_eq!(total(&snapshot, &catalogue::BOOK_RESYNCS, &[]), 0.0);
    rig.finish();
}

/// Of all venues Binance alone has no heartbeat that a session sees.
#[test]
fn a_connection_that_is_up_but_dead_is_replaced() {
    let id = VenueId::BinanceSpot;
    let freeze = PlannedFault {
        after: 3_000,
        ..PlannedFault::new(Fault::Freeze)
    };
    let mut rig = Rig::start(venue(id, 1_000.0, vec![freeze]), &feed(id, 1000), None);
    rig.wait_for("the silence", |snapshot| {
        total(snapshot, &catalogue::FEED_ERRORS, &[("error_type", "book_stale")]) >= 1.0
    });
    rig.wait_for("another connection", |snapshot| {
        let symbols = id.facts().symbols;
        total(snapshot, &catalogue::FEED_RECONNECTIONS, &[]) == 1.0
            && symbols.iter().all(|symbol| is_verified(snapshot, symbol))
    });
    let (_, _, snapshot) = rig.finish();
    let lost = total(&snapshot, &catalogue::FEED_ERRORS, &[("error_type", "silent")]);
    assert_eq!(lost, 1.0);
    let found: f64 = id
        .facts()
        .symbols
        .iter()
        .map(|symbol| checkpoints(&snapshot, symbol, "mismatch"))
        .sum();
    assert_eq!(found, 1.0);
}
