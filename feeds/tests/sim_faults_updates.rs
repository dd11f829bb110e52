//! Faults that make a venue's words wrong: each shows on the wire as what it says, and nothing else is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::collections::BTreeMap;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Fault, FaultKind, PlannedFault};
use serde_json::Value;
use sim_client::busy::{diffs, kraken_book, start};
use sim_client::{Client, TextBook, get, json};

/// The next diffs as `(first id, last id)`, in the order of the wire.
fn id_ranges(client: &mut Client, count: usize) -> Vec<(u64, u64)> {
    let range = |_| {
        let diff = json(&client.text());
        (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap())
    };
    (0..count).map(range).collect()
}

/// The places at which a range does not follow on the one before.
fn breaks(ranges: &[(u64, u64)]) -> Vec<usize> {
    let follows = |pair: &[(u64, u64)]| pair[1].0 == pair[0].1 + 1;
    (1..ranges.len()).filter(|at| !follows(&ranges[at - 1..=*at])).collect()
}

#[test]
fn a_duplicate_comes_twice_and_the_chain_goes_on() {
    let plan = vec![PlannedFault::new(Fault::DuplicateUpdate).after(5)];
    let sim = start(VenueId::BinanceSpot, plan);
    let mut ranges = id_ranges(&mut diffs(&sim), 60);
    assert_eq!(ranges[5], ranges[6]);
    ranges.remove(6);
    assert_eq!(breaks(&ranges), [0; 0]);
    assert_eq!(sim.stats().faults_of(FaultKind::DuplicateUpdate), 1);
}

#[test]
fn reordered_updates_change_places_and_none_is_lost() {
    let plan = vec![
        PlannedFault::new(Fault::ReorderUpdates)
            .symbol("BTCUSDT")
            .after(5)
            .times(2),
    ];
    let sim = start(VenueId::BinanceSpot, plan);
    let mut client = Client::connect(&sim, "/stream?streams=btcusdt@depth/ethusdt@depth");
    let mut ranges: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    while ranges.get("BTCUSDT").is_none_or(|ranges| ranges.len() < 40) || ranges.len() < 2 {
        let diff = json(&client.text())["data"].clone();
        let range = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        ranges
            .entry(diff["s"].as_str().unwrap().to_owned())
            .or_default()
            .push(range);
    }
    assert_eq!(breaks(&ranges["ETHUSDT"]), [0; 0], "the other instrument");
    let got = &mut ranges.get_mut("BTCUSDT").unwrap()[..];
    // Updates 5 and 7 of the venue each come behind their successor.
    assert_eq!(breaks(got), [5, 6, 7, 8, 9]);
    got.swap(5, 6);
    got.swap(7, 8);
    assert_eq!(breaks(got), [0; 0]);
}

/// The levels of a diff, both sides.
fn levels(diff: &Value) -> Vec<(String, String)> {
    let sides = ["b", "a"].map(|side| diff[side].as_array().unwrap().clone());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    sides
        .iter()
        .flatten()
        .map(|level| (text(&level[0]), text(&level[1])))
        .collect()
}

/// The one level in which what a struck client hears differs from what a client beside it hears.
fn difference(fault: Fault) -> ((String, String), (String, String)) {
    // Chances are counted over all clients: by then both listen.
    let sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(fault).after(300)]);
    let mut clients = [diffs(&sim), diffs(&sim)];
    let mut heard = [BTreeMap::new(), BTreeMap::new()];
    // Once it has struck, both go on until they have heard all that was said before.
    let mut rounds_left = 10;
    while rounds_left > 0 {
        rounds_left -= u32::from(sim.stats().faults_fired > 0);
        for (client, heard) in clients.iter_mut().zip(&mut heard) {
            for _ in 0..100 {
                let diff = json(&client.text());
                heard.insert(diff["u"].as_u64().unwrap(), levels(&diff));
            }
        }
    }
    let [one, other] = heard.each_mut();
    one.retain(|id, _| other.contains_key(id));
    assert!(one.len() > 100, "only {} heard by both", one.len());
    let mut differences = Vec::new();
    for (id, levels) in one {
        assert_eq!(levels.len(), other[id].len());
        let pairs = levels.iter().zip(&other[id]);
        differences.extend(
            pairs
                .filter(|(one, other)| one != other)
                .map(|(one, other)| (one.clone(), other.clone())),
        );
    }
    assert_eq!(differences.len(), 1, "{differences:?}");
    differences.remove(0)
}

#[test]
fn a_corrupted_price_a_corrupted_quantity_and_a_level_that_stays_differ_in_one_number() {
    let digits_apart = |one: &str, other: &str| {
        one.bytes()
            .zip(other.bytes())
            .filter(|(one, other)| one != other)
            .count()
    };
    let is_zero = |number: &str| number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let (one, other) = difference(Fault::CorruptPrice);
    assert_eq!(
        (digits_apart(&one.0, &other.0), &one.1),
        (1, &other.1),
        "{one:?} {other:?}"
    );
    assert!(
        !is_zero(&one.1) && one.0.ends_with("000000"),
        "a price of the venue's tick: {one:?}"
    );
    assert!(other.0.ends_with("000000"), "{other:?}");
    let (one, other) = difference(Fault::CorruptLevel);
    assert_eq!(
        (&one.0, digits_apart(&one.1, &other.1)),
        (&other.0, 1),
        "{one:?} {other:?}"
    );
    assert!(!is_zero(&one.1) && !is_zero(&other.1));
    let (one, other) = difference(Fault::ResurrectLevel);
    assert_eq!(one.0, other.0);
    assert!(is_zero(&one.1) != is_zero(&other.1), "{one:?} {other:?}");
}

#[test]
fn krakens_checksum_tells_a_wrong_price_and_a_level_that_stays() {
    for fault in [Fault::CorruptPrice, Fault::ResurrectLevel] {
        let sim = start(VenueId::KrakenV2, vec![PlannedFault::new(fault.clone()).after(10)]);
        let mut client = kraken_book(&sim, 100);
        client.text();
        let mut book = TextBook::default();
        let mut is_wrong = Vec::new();
        while sim.stats().faults_fired == 0 || is_wrong.len() < 200 {
            let text = client.text();
            book.apply_kraken(&text);
            book.truncate(100);
            is_wrong.push(json(&text)["data"][0]["checksum"] != book.kraken_checksum());
        }
        let first = is_wrong.iter().position(|is_wrong| *is_wrong);
        assert!(first.is_some_and(|at| at > 10), "{fault:?} at {first:?}");
    }
}

#[test]
fn a_restarted_sequence_begins_with_one_everywhere_but_for_the_other_instrument() {
    let plan = vec![
        PlannedFault::new(Fault::SequenceRestart).symbol("BTCUSDT").after(10),
        PlannedFault::new(Fault::RestTooOld),
    ];
    let sim = start(VenueId::BinanceSpot, plan);
    let (mut client, mut other) = (diffs(&sim), Client::connect(&sim, "/ws/ethusdt@depth"));
    let ranges = id_ranges(&mut client, 60);
    let restart = breaks(&ranges);
    assert_eq!(restart, [11], "the update that was struck still has its id");
    assert!(
        ranges[10].1 > 1_000_000_000 && ranges[11].0 == 1,
        "{:?}",
        &ranges[10..12]
    );
    assert_eq!(breaks(&id_ranges(&mut other, 60)), [0; 0]);
    let last_update_id = || {
        let (status, _, body) = get(sim.addr, "/api/v3/depth?symbol=BTCUSDT&limit=5000");
        assert_eq!(status, 200);
        json(std::str::from_utf8(&body).unwrap())["lastUpdateId"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(last_update_id(), 0, "too old is older than the new stream");
    let id = last_update_id();
    assert!(id >= ranges[59].1 && id < 1_000_000, "{id} after {:?}", ranges[59]);
}

#[test]
fn a_repeated_snapshot_is_the_book_as_it_stands() {
    let plan = vec![PlannedFault::new(Fault::RepeatSnapshot).symbol("BTC/USD").after(20)];
    let sim = start(VenueId::KrakenV2, plan);
    let mut client = kraken_book(&sim, 25);
    client.text();
    let mut book = TextBook::default();
    let mut snapshots = Vec::new();
    for index in 0..120 {
        let text = client.text();
        let before = book.clone();
        if text.contains("\"type\":\"snapshot\"") {
            book = TextBook::default();
            snapshots.push(index);
        }
        book.apply_kraken(&text);
        book.truncate(25);
        assert_eq!(json(&text)["data"][0]["checksum"], book.kraken_checksum());
        assert!(
            index == 0 || !text.contains("\"type\":\"snapshot\"") || book == before,
            "another book at {index}"
        );
    }
    assert_eq!(snapshots, [0, 22], "behind the update that was struck");
    // Binance has no such thing: the fault is not played.
    let sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(Fault::RepeatSnapshot)]);
    assert_eq!(breaks(&id_ranges(&mut diffs(&sim), 50)), [0; 0]);
    assert_eq!(sim.stats().faults_fired, 0);
}

#[test]
fn a_step_of_the_clock_stays_and_the_next_one_adds_to_it() {
    let step = |milliseconds, after| PlannedFault::new(Fault::ClockStep { milliseconds }).after(after);
    let sim = start(VenueId::BinanceSpot, vec![step(-5_000, 9), step(60_000, 29)]);
    let mut client = diffs(&sim);
    let times: Vec<i64> = (0..60).map(|_| json(&client.text())["E"].as_i64().unwrap()).collect();
    let jumps: Vec<(usize, i64)> = (1..60)
        .map(|at| (at, times[at] - times[at - 1]))
        .filter(|(_, jump)| !(0..2_000).contains(jump))
        .collect();
    assert_eq!(jumps.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [10, 30]);
    assert!(
        (-5_000..-3_000).contains(&jumps[0].1) && (60_000..62_000).contains(&jumps[1].1),
        "{jumps:?}"
    );
    let server_time = json(std::str::from_utf8(&get(sim.addr, "/api/v3/time").2).unwrap())["serverTime"].clone();
    assert!(
        (0..5_000).contains(&(server_time.as_i64().unwrap() - times[59])),
        "REST has the same clock"
    );

    let sim = start(VenueId::KrakenV2, vec![step(-86_400_000 * 400, 9)]);
    let mut client = kraken_book(&sim, 10);
    client.text();
    let year = |text: &str| {
        json(text)["data"][0]["timestamp"].as_str().unwrap()[..4]
            .parse::<i64>()
            .unwrap()
    };
    let years: Vec<i64> = (0..20).map(|_| year(&client.text())).collect();
    assert!(
        years[9] > years[10] && years[..10].iter().all(|year| *year == years[0]),
        "{years:?}"
    );
    assert!(years[10..].iter().all(|year| *year == years[10]), "{years:?}");
}
