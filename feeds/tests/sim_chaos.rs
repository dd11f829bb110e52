//! A storm of faults over sockets: the same for the same seed, counted by kind, and calm in the end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::time::{Duration, Instant};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Chaos, Fault, FaultKind, SimConfig, SimError, SimHandle, SimStats, Simulator};
use serde_json::Value;
use sim_client::busy::{config, kraken_book};
use sim_client::{Client, Got, TextBook, json};

fn storm(venue: VenueId, chaos: Chaos) -> SimHandle {
    let config = SimConfig {
        chaos: Some(chaos),
        enforce_limits: false,
        ..config(venue, Vec::new())
    };
    Simulator::start(config).unwrap()
}

/// What a client of one stream makes of its first messages, in letters: a good one, a gap, a duplicate, noise.
fn signature(seed: u64, length: usize) -> String {
    let mix = vec![
        (Fault::SkipUpdate, 2),
        (Fault::DuplicateUpdate, 1),
        (Fault::MalformedMessage, 1),
        (Fault::RestTooOld, 1),
    ];
    let sim = storm(
        VenueId::BinanceSpot,
        Chaos {
            mix,
            ..Chaos::new(seed, 100.0)
        },
    );
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    let mut last = None;
    let mut letter = || {
        let Ok(diff) = serde_json::from_str::<Value>(&client.text()) else {
            return '!';
        };
        let (first, id) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        match last.replace(id) {
            Some(last) if id == last => '=',
            Some(last) if first != last + 1 => '_',
            _ => '.',
        }
    };
    (0..length).map(|_| letter()).collect()
}

#[test]
fn the_same_seed_strikes_the_same_messages() {
    let first = signature(5, 400);
    assert_eq!(first, signature(5, 400));
    assert_ne!(first, signature(6, 400));
    for letter in ['_', '=', '!'] {
        assert!(first.contains(letter), "{first}");
    }
}

/// How a client that starts over after every trouble fares until the venue has been healthy for a while.
fn survive(sim: &SimHandle, mut connect: impl FnMut(&SimHandle) -> Client, is_good: impl Fn(&mut Book, &str) -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    let mut healthy = 0;
    while healthy < HEALTHY {
        let mut client = connect(sim);
        client.patience(Duration::from_millis(400));
        let mut book = Book::default();
        healthy = 0;
        while healthy < HEALTHY {
            assert!(Instant::now() < end, "the storm does not end: {}", sim.stats());
            match client.next() {
                Got::Text(text) if is_good(&mut book, &text) => healthy += 1,
                Got::Text(_) => break,
                Got::Ping(_) => {}
                _ => break,
            }
        }
    }
}

#[derive(Default)]
struct Book {
    last_id: Option<u64>,
    levels: TextBook,
}

/// Messages without a fault after which a client believes in calm.
const HEALTHY: usize = 1_000;

/// Some dozens of faults, most of them of the kinds that end a connection or break a chain.
fn whole_mix(seed: u64) -> Chaos {
    let chaos = Chaos::new(seed, 15.0);
    let mix = chaos.mix.iter().cloned().map(|(fault, weight)| match fault {
        Fault::Stall { .. } => (
            Fault::Stall {
                lasting: Duration::from_millis(80),
            },
            weight,
        ),
        Fault::SlowWire { .. } => {
            let (bytes_per_second, lasting) = (2_000, Duration::from_millis(200));
            (
                Fault::SlowWire {
                    bytes_per_second,
                    lasting,
                },
                weight,
            )
        }
        other => (other, weight),
    });
    Chaos {
        mix: mix.collect(),
        calm_after_messages: Some(2_500),
        ..chaos
    }
}

fn assert_many_kinds(stats: &SimStats, cannot: &[FaultKind]) {
    let struck: Vec<FaultKind> = FaultKind::ALL
        .into_iter()
        .filter(|kind| stats.faults_of(*kind) > 0)
        .collect();
    let sum: u64 = FaultKind::ALL.into_iter().map(|kind| stats.faults_of(kind)).sum();
    assert_eq!(stats.faults_fired, sum);
    assert!(sum > 15 && struck.len() >= 8, "{stats}");
    assert!(struck.iter().all(|kind| !cannot.contains(kind)), "{stats}");
    assert!(stats.to_string().contains(struck[0].name()));
}

#[test]
fn a_binance_client_that_starts_over_finds_calm_and_a_right_clock() {
    let sim = storm(VenueId::BinanceSpot, whole_mix(11));
    survive(
        &sim,
        |sim| Client::connect(sim, "/ws/btcusdt@depth"),
        |book, text| {
            let Ok(diff) = serde_json::from_str::<Value>(text) else {
                return false;
            };
            let (Some(first), Some(id)) = (diff["U"].as_u64(), diff["u"].as_u64()) else {
                return false;
            };
            book.last_id.replace(id).is_none_or(|last| first == last + 1)
        },
    );
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    let text = client.text();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let age_ms = now - json(&text)["E"].as_i64().unwrap();
    assert!((-100..5_000).contains(&age_ms), "the clock is off by {age_ms} ms");
    let rest_is_never_asked = [FaultKind::RestStatus, FaultKind::RestTruncated, FaultKind::RestTooOld];
    assert_many_kinds(
        &sim.stats(),
        &[&rest_is_never_asked[..], &[FaultKind::RepeatSnapshot]].concat(),
    );
}

#[test]
fn a_kraken_client_that_starts_over_finds_calm_and_right_checksums() {
    let sim = storm(VenueId::KrakenV2, whole_mix(12));
    survive(
        &sim,
        |sim| kraken_book(sim, 10),
        |book, text| {
            let Ok(message) = serde_json::from_str::<Value>(text) else {
                return false;
            };
            if message["channel"] != "book" {
                return message["data"][0]["system"] != "maintenance";
            }
            if message["type"] == "snapshot" {
                book.levels = TextBook::default();
            }
            book.levels.apply_kraken(text);
            book.levels.truncate(10);
            message["data"][0]["checksum"] == book.levels.kraken_checksum()
        },
    );
    assert_many_kinds(&sim.stats(), &[FaultKind::SequenceRestart, FaultKind::RestStatus]);
}

#[test]
fn a_venue_is_calmed_and_its_market_halted_on_demand() {
    let chaos = Chaos {
        mix: vec![(Fault::SkipUpdate, 1)],
        ..Chaos::new(5, 500.0)
    };
    let sim = storm(VenueId::BinanceSpot, chaos);
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    client.patience(Duration::from_millis(400));
    while sim.stats().faults_fired < 20 {
        client.text();
    }
    sim.calm();
    let mut whole = 0;
    let mut last = None;
    // Of a storm in which every other update is lost, so many in a row are none.
    while whole < 200 {
        let diff = json(&client.text());
        let (first, id) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        let follows = last.replace(id).is_some_and(|last| first == last + 1);
        whole = if follows { whole + 1 } else { 0 };
    }
    sim.halt_market();
    while matches!(client.next(), Got::Text(_)) {}
    let events = sim.stats().market_events;
    assert!(events > 200);
    assert_eq!(client.next(), Got::Silence, "the connection lives on");
    assert_eq!(sim.stats().market_events, events);
}

#[test]
fn a_storm_that_cannot_be_is_refused_at_the_start() {
    let chaos = Some(Chaos::new(1, -3.0));
    let config = SimConfig {
        chaos,
        ..config(VenueId::BinanceSpot, Vec::new())
    };
    let error = Simulator::start(config).unwrap_err();
    assert!(
        matches!(&error, SimError::Config { reason } if reason.contains("1000")),
        "{error}"
    );
}
