//! What venues do wrong, over a real socket: the engine says so, heals by itself, and shows no wrong book meanwhile.

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Fault, LoadShape, PlannedFault, SimConfig, SimSource, SimTls};
use quantumflow_region::{Snapshot, catalogue};

use crate::rig::{Rig, total};

const BINANCE: &str = "symbols = [\"BTCUSDT\", \"ETHUSDT\"]\n";
const KRAKEN: &str = "symbols = [\"BTC/USD\", \"ETH/USD\"]\ndepth = 10\n";

/// A generated market over TLS at a modest pace, with these faults.
fn venue(venue: VenueId, faults: Vec<PlannedFault>) -> SimConfig {
    let mut config = SimConfig::market(venue, &venue.facts().symbols, 11);
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = LoadShape::Steady { rate: 400.0 };
    }
    config.depth_interval_ms = Some(0);
    config.tls = SimTls::Own;
    config.faults = faults;
    config
}

fn start(id: VenueId, faults: Vec<PlannedFault>) -> Rig {
    let depth = if id == VenueId::KrakenV2 { "depth = 10\n" } else { "" };
    let feed = format!("symbols = {:?}\n{depth}", id.facts().symbols);
    Rig::start(venue(id, faults), &feed, None)
}

fn after(fault: Fault, chances: u64) -> PlannedFault {
    PlannedFault {
        after: chances,
        ..PlannedFault::new(fault)
    }
}

fn of(fault: Fault, symbol: &str, chances: u64) -> PlannedFault {
    PlannedFault {
        symbol: Some(symbol.to_owned()),
        ..after(fault, chances)
    }
}

fn errors(snapshot: &Snapshot, kind: &str) -> f64 {
    total(snapshot, &catalogue::FEED_ERRORS, &[("error_type", kind)])
}

fn quality(snapshot: &Snapshot, symbol: &str) -> f64 {
    total(snapshot, &catalogue::BOOK_QUALITY, &[("symbol", symbol)])
}

fn updates(snapshot: &Snapshot, symbol: &str) -> f64 {
    total(snapshot, &catalogue::PRICE_UPDATES, &[("symbol", symbol)])
}

/// Both books are shown as verified and move on: `count` updates each.
fn both_verified(snapshot: &Snapshot, id: VenueId, count: f64) -> bool {
    // Nothing proves a book of Coinbase Exchange.
    let best = if id == VenueId::CoinbaseExchange { 1.0 } else { 0.0 };
    let symbols = id.facts().symbols;
    symbols
        .iter()
        .all(|symbol| updates(snapshot, symbol) >= count && quality(snapshot, symbol) == best)
}

/// Some words of each event: its kind, its subject, what its numbers say.
fn words(events: &[String], places: &[usize]) -> Vec<String> {
    let of = |event: &String| {
        let all: Vec<&str> = event.split(' ').collect();
        places
            .iter()
            .filter_map(|&place| all.get(place).copied())
            .collect::<Vec<_>>()
            .join(" ")
    };
    events.iter().map(of).collect()
}

/// The fault strikes once, is counted as `kind`, the feed reconnects once, and both books come back.
#[track_caller]
fn loses_the_connection_once(id: VenueId, fault: Fault, kind: &str) {
    let mut rig = start(id, vec![after(fault, 60)]);
    rig.wait_for("the loss", |snapshot| errors(snapshot, kind) == 1.0);
    rig.wait_for("the reconnection", |snapshot| {
        total(snapshot, &catalogue::FEED_RECONNECTIONS, &[]) == 1.0 && both_verified(snapshot, id, 60.0)
    });
    let connections = rig.events(&format!("{id}#0"));
    let lost = format!("feed_lost reason={kind}");
    assert_eq!(
        words(&connections, &[0, 2]),
        ["feed_connected", &lost, "feed_connected"]
    );
    let (_, stats, snapshot) = rig.finish();
    assert_eq!(total(&snapshot, &catalogue::BOOK_GAPS, &[]), 0.0);
    assert_eq!(total(&snapshot, &catalogue::BOOK_CHECKSUM_FAILURES, &[]), 0.0);
    assert!(stats.text_messages().messages > 120);
}

#[test]
fn a_connection_cut_in_the_middle_of_a_frame_is_replaced() {
    loses_the_connection_once(VenueId::BinanceSpot, Fault::CutMidFrame, "cut");
    loses_the_connection_once(VenueId::KrakenV2, Fault::CutMidFrame, "cut");
}

#[test]
fn a_venue_that_closes_is_dialled_again() {
    let fault = Fault::Close {
        code: 1012,
        reason: "restart".to_owned(),
    };
    loses_the_connection_once(VenueId::BinanceSpot, fault, "closed");
}

#[test]
fn a_venue_that_keeps_cutting_is_left_alone_and_tried_again() {
    let cut = PlannedFault {
        times: 5,
        ..after(Fault::CutMidFrame, 20)
    };
    let mut rig = start(VenueId::KrakenV2, vec![cut]);
    let state = |snapshot: &Snapshot| total(snapshot, &catalogue::BREAKER_STATE, &[]);
    rig.wait_for("the breaker to open", |snapshot| state(snapshot) == 1.0);
    rig.wait_for("the venue to be trusted again", |snapshot| {
        state(snapshot) == 0.0 && both_verified(snapshot, VenueId::KrakenV2, 60.0)
    });
    let (_, _, snapshot) = rig.finish();
    for (from, to) in [("closed", "open"), ("open", "half_open"), ("half_open", "closed")] {
        let labels = [("from_state", from), ("to_state", to)];
        let count = total(&snapshot, &catalogue::BREAKER_TRANSITIONS, &labels);
        assert_eq!(count, 1.0, "{from} to {to}");
    }
    assert_eq!(total(&snapshot, &catalogue::BREAKER_FAILURES, &[]), 5.0);
    assert_eq!(
        errors(&snapshot, "cut"),
        5.0,
        "no sixth attempt before the breaker let it through"
    );
}

/// The books of `id` are shown without a break from the first snapshot on.
fn no_book_was_withdrawn(snapshot: &Snapshot) -> bool {
    total(snapshot, &catalogue::BOOK_RESYNCS, &[]) == 0.0 && total(snapshot, &catalogue::BOOK_GAPS, &[]) == 0.0
}

#[test]
fn a_connection_that_the_venue_will_end_has_a_successor_before() {
    for id in [VenueId::BinanceSpot, VenueId::OkxV5] {
        let mut rig = start(id, vec![after(Fault::ServerShutdown, 60)]);
        rig.wait_for("the succession", |snapshot| {
            total(snapshot, &catalogue::FEED_SUCCESSIONS, &[]) == 1.0
        });
        rig.wait_for("both books to go on", |snapshot| both_verified(snapshot, id, 120.0));
        let connections = words(&rig.events(&format!("{id}#0")), &[0, 2]);
        assert_eq!(connections.len(), 3, "{connections:?}");
        assert!(connections[1].starts_with("feed_connected"), "{connections:?}");
        assert_eq!(connections[2], "feed_lost reason=succeeded");
        let snapshot = rig.snapshot();
        assert!(no_book_was_withdrawn(&snapshot), "{id}");
        assert_eq!(total(&snapshot, &catalogue::FEED_RECONNECTIONS, &[]), 0.0);
        assert!(total(&snapshot, &catalogue::FEED_REPEATS, &[]) > 0.0, "{id}");
        rig.finish();
    }
}

#[test]
fn an_old_connection_has_a_successor_before_the_venue_ends_it() {
    let id = VenueId::BinanceSpot;
    let feed = format!("symbols = {:?}\nconnection_life_s = 10\n", id.facts().symbols);
    let mut rig = Rig::start(venue(id, Vec::new()), &feed, None);
    rig.wait_for("the succession", |snapshot| {
        total(snapshot, &catalogue::FEED_SUCCESSIONS, &[]) == 1.0
            && total(snapshot, &catalogue::FEED_CONNECTIONS, &[]) == 1.0
    });
    let snapshot = rig.snapshot();
    assert!(no_book_was_withdrawn(&snapshot));
    assert!(both_verified(&snapshot, id, 1_000.0));
    rig.finish();
}

#[test]
fn of_two_connections_either_may_be_cut() {
    for id in [VenueId::BinanceSpot, VenueId::BybitSpot] {
        let feed = format!("symbols = {:?}\nredundant = true\n", id.facts().symbols);
        // So far apart that the first one is there again: cut together they would take the books with them.
        let cuts = [400, 5_000].map(|chances| after(Fault::CutMidFrame, chances));
        let mut rig = Rig::start(venue(id, cuts.to_vec()), &feed, None);
        rig.wait_for("both cuts", |snapshot| errors(snapshot, "cut") == 2.0);
        rig.wait_for("both connections", |snapshot| {
            total(snapshot, &catalogue::FEED_CONNECTIONS, &[]) == 2.0 && both_verified(snapshot, id, 600.0)
        });
        let snapshot = rig.snapshot();
        assert!(no_book_was_withdrawn(&snapshot), "{id}");
        assert_eq!(total(&snapshot, &catalogue::FEED_RECONNECTIONS, &[]), 2.0);
        for line in ["1", "2"] {
            let repeats = total(&snapshot, &catalogue::FEED_REPEATS, &[("line", line)]);
            assert!(repeats > 0.0, "{id}: line {line} was never second");
        }
        rig.finish();
    }
}

#[test]
fn an_announced_length_beyond_the_ceiling_ends_the_connection_before_any_memory_is_taken() {
    let fault = || Fault::OversizedFrame {
        announced_bytes: 1 << 40,
    };
    loses_the_connection_once(VenueId::BinanceSpot, fault(), "protocol");
    loses_the_connection_once(VenueId::KrakenV2, fault(), "protocol");
}

#[test]
fn a_gap_in_the_sequence_resyncs_that_symbol_alone() {
    let mut rig = start(VenueId::BinanceSpot, vec![of(Fault::SkipUpdate, "BTCUSDT", 40)]);
    let btc = [("symbol", "BTCUSDT")];
    rig.wait_for("the gap", |snapshot| {
        total(snapshot, &catalogue::BOOK_GAPS, &btc) == 1.0
    });
    rig.wait_for("the new snapshot", |snapshot| {
        total(snapshot, &catalogue::SNAPSHOTS_PROCESSED, &btc) == 2.0
            && both_verified(snapshot, VenueId::BinanceSpot, 100.0)
    });
    let kinds: Vec<String> = words(&rig.events("binance/BTCUSDT"), &[0]);
    let first = ["resync_started", "resync_finished"];
    let then = ["sequence_gap", "resync_started", "resync_finished"];
    assert_eq!(
        kinds,
        [&first[..], &then].concat(),
        "the flight recorder tells the story"
    );
    assert_eq!(words(&rig.events("binance/ETHUSDT"), &[0]), first);
    let (_, _, snapshot) = rig.finish();
    let eth = [("symbol", "ETHUSDT")];
    assert_eq!(
        total(&snapshot, &catalogue::SNAPSHOTS_PROCESSED, &eth),
        1.0,
        "the other book was left alone"
    );
    assert_eq!(
        total(&snapshot, &catalogue::FEED_RECONNECTIONS, &[]),
        0.0,
        "and so was the connection"
    );
    assert_eq!(total(&snapshot, &catalogue::BOOK_TOP_DISAGREEMENTS, &[]), 0.0);
}

#[test]
fn a_corrupted_level_fails_the_checksum_and_resyncs_that_symbol_alone() {
    let mut rig = start(VenueId::KrakenV2, vec![of(Fault::CorruptLevel, "BTC/USD", 40)]);
    let btc = [("symbol", "BTC/USD")];
    rig.wait_for("the failure", |snapshot| {
        total(snapshot, &catalogue::BOOK_CHECKSUM_FAILURES, &btc) == 1.0
    });
    rig.wait_for("the new snapshot", |snapshot| {
        total(snapshot, &catalogue::SNAPSHOTS_PROCESSED, &btc) == 2.0
            && both_verified(snapshot, VenueId::KrakenV2, 100.0)
    });
    let events = rig.events("kraken/BTC/USD");
    let failed = events
        .iter()
        .position(|event| event.starts_with("checksum_failed"))
        .expect("the failure is recorded");
    let next = words(&events[failed + 1..=failed + 1], &[0, 2]);
    assert_eq!(next, ["resync_started reason=checksum_mismatch"]);
    let (_, _, snapshot) = rig.finish();
    let eth = [("symbol", "ETH/USD")];
    assert_eq!(
        total(&snapshot, &catalogue::SNAPSHOTS_PROCESSED, &eth),
        1.0,
        "the other book was left alone"
    );
    assert_eq!(total(&snapshot, &catalogue::BOOK_CHECKSUM_FAILURES, &[]), 1.0);
    let shown = updates(&snapshot, "BTC/USD") + updates(&snapshot, "ETH/USD");
    let verified = total(&snapshot, &catalogue::BOOK_CHECKSUMS_VERIFIED, &[]);
    assert_eq!(shown, verified, "every state that was shown had its checksum verified");
}

#[test]
fn a_truncated_rest_body_is_refused_and_fetched_again() {
    for is_length_right in [true, false] {
        let mut rig = start(
            VenueId::BinanceSpot,
            vec![of(Fault::RestTruncated { is_length_right }, "BTCUSDT", 0)],
        );
        rig.wait_for("the refusal", |snapshot| errors(snapshot, "snapshot_rejected") == 1.0);
        rig.wait_for("both books", |snapshot| {
            both_verified(snapshot, VenueId::BinanceSpot, 50.0)
        });
        let (_, _, snapshot) = rig.finish();
        assert_eq!(total(&snapshot, &catalogue::BOOK_GAPS, &[]), 0.0);
        assert_eq!(
            total(&snapshot, &catalogue::BOOK_TOP_DISAGREEMENTS, &[]),
            0.0,
            "no book was shown from half a body"
        );
    }
}

#[test]
fn a_snapshot_older_than_the_stream_is_fetched_again() {
    let mut rig = start(
        VenueId::BinanceSpot,
        vec![PlannedFault {
            times: 2,
            ..of(Fault::RestTooOld, "ETHUSDT", 0)
        }],
    );
    rig.wait_for("two refusals", |snapshot| errors(snapshot, "snapshot_rejected") == 2.0);
    rig.wait_for("both books", |snapshot| {
        both_verified(snapshot, VenueId::BinanceSpot, 50.0)
    });
    rig.finish();
}

#[test]
fn a_subscription_that_was_acknowledged_and_stays_mute_is_told() {
    let config = venue(VenueId::KrakenV2, vec![of(Fault::Mute, "BTC/USD", 0)]);
    let mut rig = Rig::start(config, &format!("{KRAKEN}subscription_timeout_s = 1\n"), None);
    rig.wait_for("the finding", |snapshot| errors(snapshot, "subscription_mute") >= 1.0);
    let snapshot = rig.snapshot();
    assert_eq!(quality(&snapshot, "BTC/USD"), 4.0, "heartbeats are no book");
    assert_eq!(quality(&snapshot, "ETH/USD"), 0.0);
    rig.finish();
}

#[test]
fn a_refused_subscription_is_told() {
    let mut rig = start(VenueId::KrakenV2, vec![of(Fault::RefuseSubscription, "BTC/USD", 0)]);
    rig.wait_for("the refusal", |snapshot| {
        errors(snapshot, "subscription_refused") >= 1.0
    });
    rig.finish();
}

#[test]
fn a_wrong_certificate_is_refused() {
    for tls in [SimTls::WrongName, SimTls::UnknownAuthority] {
        let mut config = venue(VenueId::BinanceSpot, Vec::new());
        config.tls = tls;
        let mut rig = Rig::start(config, BINANCE, None);
        rig.wait_for("the refusal", |snapshot| errors(snapshot, "dial") >= 1.0);
        assert_eq!(rig.total(&catalogue::FEED_MESSAGES, &[]), 0.0);
        assert_eq!(rig.total(&catalogue::FEED_HEALTH, &[]), 0.0);
        let (_, stats, _) = rig.finish();
        assert_eq!(stats.text_messages().messages, 0, "nothing was said to a stranger");
    }
}

#[test]
fn a_snapshot_of_four_megabytes_is_taken() {
    for id in VenueId::ALL {
        let symbol = id.facts().symbols[0];
        let mut rig = start(id, vec![of(Fault::HugeSnapshot { bytes: 4 << 20 }, symbol, 0)]);
        rig.wait_for("both books", |snapshot| both_verified(snapshot, id, 30.0));
        let (_, _, snapshot) = rig.finish();
        assert_eq!(total(&snapshot, &catalogue::BOOK_CHECKSUM_FAILURES, &[]), 0.0);
        assert_eq!(total(&snapshot, &catalogue::FEED_RECONNECTIONS, &[]), 0.0);
    }
}

#[test]
fn fragments_and_nonsense_between_messages_change_nothing() {
    let faults = || {
        vec![
            after(Fault::Fragment { pieces: 4 }, 30),
            after(Fault::MalformedMessage, 50),
        ]
    };
    let nonsense = [("reason", "malformed")];
    let mut rig = start(VenueId::BinanceSpot, faults());
    rig.wait_for("both books", |snapshot| {
        both_verified(snapshot, VenueId::BinanceSpot, 100.0)
    });
    assert_eq!(rig.total(&catalogue::FEED_FRAMES_REJECTED, &nonsense), 1.0);
    assert_eq!(
        rig.total(&catalogue::BOOK_RESYNCS, &[]),
        0.0,
        "a lost update would show as a gap"
    );
    rig.finish();

    // Kraken numbers nothing and its checksum sees ten levels: what could not be read may have been anybody's update.
    let mut rig = start(VenueId::KrakenV2, faults());
    rig.wait_for("both books", |snapshot| {
        both_verified(snapshot, VenueId::KrakenV2, 100.0)
    });
    assert_eq!(rig.total(&catalogue::FEED_FRAMES_REJECTED, &nonsense), 1.0);
    assert_eq!(rig.total(&catalogue::BOOK_RESYNCS, &[]), 2.0);
    assert_eq!(rig.total(&catalogue::FEED_RECONNECTIONS, &[]), 0.0);
    rig.finish();
}
