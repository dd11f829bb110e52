//! Faults of the connection itself: what a client's socket sees of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Fault, PlannedFault, SimTls, Simulator};
use sim_client::busy::{config, diffs, start, until_trouble};
use sim_client::{Client, Got, json};

/// How much a client can send to a server that says nothing any more, up to a bound beyond all buffers.
fn bytes_taken(fault: Fault) -> usize {
    let sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(fault).after(3)]);
    let mut client = diffs(&sim);
    let (texts, trouble) = until_trouble(&mut client, 100);
    assert_eq!((texts.len(), trouble), (3, Some(Got::Silence)));
    client.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    client.patience(Duration::from_millis(300));
    assert_eq!(client.next(), Got::Silence, "neither an answer nor an end");
    let mut stream = client.into_stream();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let chunk = vec![0u8; 64 << 10];
    let mut taken = 0;
    while taken < BEYOND_BUFFERS {
        match stream.write(&chunk) {
            Ok(count) => taken += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(sim.stats().messages_received, 0);
    taken
}

const BEYOND_BUFFERS: usize = 64 << 20;

#[test]
fn a_half_open_connection_swallows_what_a_frozen_one_lets_pile_up() {
    assert!(bytes_taken(Fault::HalfOpen) >= BEYOND_BUFFERS);
    assert!(bytes_taken(Fault::Freeze) < BEYOND_BUFFERS);
}

#[test]
fn a_half_open_connection_ends_with_its_client_and_does_not_hold_the_simulator() {
    for tls in [SimTls::Off, SimTls::Own] {
        let plan = vec![PlannedFault::new(Fault::HalfOpen).after(2).times(2)];
        let mut config = config(VenueId::BinanceSpot, plan);
        config.tls = tls;
        let mut sim = Simulator::start(config).unwrap();
        let mut gone = diffs(&sim);
        gone.patience(Duration::from_millis(200));
        assert_eq!(until_trouble(&mut gone, 10).1, Some(Got::Silence));
        drop(gone);
        let begin = Instant::now();
        while sim.stats().connections_open > 0 {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "the connection outlives its client"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut kept = diffs(&sim);
        kept.patience(Duration::from_millis(200));
        assert_eq!(until_trouble(&mut kept, 10).1, Some(Got::Silence));
        assert_eq!(sim.stop().connections_open, 0);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_stall_keeps_everything_back_and_then_it_all_comes() {
    for tls in [SimTls::Off, SimTls::Own] {
        let lasting = Duration::from_millis(600);
        let plan = vec![PlannedFault::new(Fault::Stall { lasting }).after(20)];
        let mut config = config(VenueId::BinanceSpot, plan);
        config.tls = tls;
        let sim = Simulator::start(config).unwrap();
        let mut client = diffs(&sim);
        let mut ids = Vec::new();
        let mut read = || {
            let before = Instant::now();
            let diff = json(&client.text());
            ids.push((diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap()));
            (before.elapsed(), now_ms() - diff["E"].as_i64().unwrap())
        };
        for _ in 0..20 {
            read();
        }
        let (waited, age_ms) = read();
        assert!(
            waited > lasting / 2 && age_ms >= 590,
            "waited {waited:?} for a message of {age_ms} ms"
        );
        // What gathered comes without waits, and the stream catches up with its venue.
        let mut gathered = 0;
        while read().1 > 100 {
            gathered += 1;
        }
        assert!(gathered > 200, "{gathered}");
        assert!(ids.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1), "nothing is lost");
        assert_eq!(sim.stats().faults_fired, 1);
    }
}

#[test]
fn a_slow_wire_trickles_byte_by_byte_and_then_flows() {
    let (bytes_per_second, lasting) = (400, Duration::from_millis(1_500));
    let plan = vec![PlannedFault::new(Fault::SlowWire {
        bytes_per_second,
        lasting,
    })];
    let sim = start(VenueId::BinanceSpot, plan);
    let begin = Instant::now();
    let mut stream = diffs(&sim).into_stream();
    let (mut bytes, mut reads) = (0, 0);
    let mut buffer = [0; 1 << 16];
    while begin.elapsed() < Duration::from_millis(1_000) {
        bytes += stream.read(&mut buffer).unwrap();
        reads += 1;
    }
    // A loaded machine can only be slower, and reads what has gathered at once.
    assert!((1..=401).contains(&bytes), "{bytes} bytes in a second");
    assert!(reads * 8 > bytes, "{bytes} bytes in {reads} reads");
    let end = Instant::now() + Duration::from_secs(5);
    while bytes < 50_000 {
        assert!(Instant::now() < end, "still slow: {bytes} bytes");
        bytes += stream.read(&mut buffer).unwrap();
    }
}

#[test]
fn a_slow_wire_under_tls_loses_nothing() {
    let plan = vec![
        PlannedFault::new(Fault::SlowWire {
            bytes_per_second: 2_000,
            lasting: Duration::from_millis(400),
        })
        .after(5),
    ];
    let mut config = config(VenueId::BinanceSpot, plan);
    config.tls = SimTls::Own;
    let sim = Simulator::start(config).unwrap();
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    let mut last = None;
    for _ in 0..500 {
        let diff = json(&client.text());
        let (first, id) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        assert!(last.is_none_or(|last| first == last + 1));
        last = Some(id);
    }
    assert_eq!(sim.stats().faults_fired, 1);
}

#[test]
fn a_market_that_only_deaf_clients_hear_keeps_its_pace() {
    let sim = start(VenueId::BinanceSpot, vec![PlannedFault::new(Fault::HalfOpen).after(10)]);
    let mut client = diffs(&sim);
    client.patience(Duration::from_millis(600));
    assert_eq!(until_trouble(&mut client, 100).1, Some(Got::Silence));
    // A thousand messages a second, of one instrument in two: a second of it, not what the machine can do.
    let events = sim.stats().market_events;
    assert!(events < 20_000, "{events}");
}
