//! The poller: edges are remembered, budgets lose nothing, sleep ends when it must.

#![allow(clippy::unwrap_used, reason = "servers' threads unwrap as the tests do")]

mod net_support;

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use net_support::{PATIENCE, Server, TLS, Wire, clock, serve_websocket, text_frame};
use quantumflow_feeds::net::{Connection, ConnectionError, Drained, Flushed, IdleStrategy, Poller};
use quantumflow_feeds::ws::{Limits, Message, Protocol};

const SLEEPY: IdleStrategy = IdleStrategy::Wait {
    timeout: Duration::from_secs(5),
};

/// Sends `texts` when told to, and hangs up when the second sender is dropped.
fn speaker(wire: Wire, texts: Vec<String>) -> (Server<()>, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel::<()>();
    let server = serve_websocket(wire, move |mut line| {
        gone.recv().unwrap();
        let frames: Vec<u8> = texts.iter().flat_map(|text| text_frame(text)).collect();
        line.write_all(&frames).unwrap();
        let _ = gone.recv();
    });
    (server, go)
}

fn collect(connection: &mut Connection, texts: &mut Vec<String>) -> Result<(), ConnectionError> {
    while let Some(message) = connection.next_message()? {
        if let Message::Text(text) = message {
            texts.push(text.to_owned());
        }
    }
    Ok(())
}

#[test]
fn a_spent_budget_leaves_the_slot_ready_without_a_new_edge() {
    for wire in [Wire::Plain, TLS] {
        let sent: Vec<String> = (0..40).map(|i| format!("{i}:{}", "z".repeat(10_000))).collect();
        let (mut server, go) = speaker(wire, sent.clone());
        server.options.read_bytes_max = 16 * 1024;
        let mut poller = Poller::new(1, SLEEPY).unwrap();
        let mut connection = server.dial().unwrap();
        poller.add(0, &mut connection).unwrap();
        go.send(()).unwrap();
        let (clock, mut got, mut spent) = (clock(), Vec::new(), 0);
        let start = Instant::now();
        while got.len() < sent.len() {
            assert!(start.elapsed() < PATIENCE, "{} of {} texts came", got.len(), sent.len());
            poller.poll().unwrap();
            if !poller.is_readable(0) {
                continue;
            }
            let drained = poller
                .drain(0, &mut connection, &clock, 1, |connection, _| {
                    collect(connection, &mut got)
                })
                .unwrap();
            if drained == Drained::BudgetSpent {
                spent += 1;
                assert!(poller.is_readable(0));
                // If the poller forgot, this would sleep its five seconds.
                let before = Instant::now();
                assert!(poller.poll().unwrap().ready >= 1);
                assert!(before.elapsed() < Duration::from_secs(4));
            }
        }
        assert!(spent > 0, "the budget was never spent");
        assert_eq!(got, sent);
        drop(go);
        server.join();
    }
}

#[test]
fn the_end_that_comes_with_the_last_bytes_is_not_missed() {
    for wire in [Wire::Plain, TLS] {
        let (server, go) = speaker(wire, vec!["last words".into()]);
        let mut connection = server.dial().unwrap();
        let mut poller = Poller::new(1, SLEEPY).unwrap();
        poller.add(0, &mut connection).unwrap();
        let (clock, mut got) = (clock(), Vec::new());
        // Drain the readiness of the start.
        let drained = poller
            .drain(0, &mut connection, &clock, 8, |connection, _| {
                collect(connection, &mut got)
            })
            .unwrap();
        assert_eq!(drained, Drained::Empty);
        // Bytes and end are there before we look: one event tells of both.
        go.send(()).unwrap();
        drop(go);
        server.join();
        let start = Instant::now();
        let is_clean = loop {
            assert!(start.elapsed() < PATIENCE, "the end was missed");
            poller.poll().unwrap();
            if poller.is_readable(0) {
                let drained = poller
                    .drain(0, &mut connection, &clock, 8, |connection, _| {
                        collect(connection, &mut got)
                    })
                    .unwrap();
                if let Drained::Closed { is_clean } = drained {
                    break is_clean;
                }
            }
        };
        assert!(!is_clean);
        assert_eq!(got, ["last words"]);
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "the poller slept over the end"
        );
        poller.remove(0, &mut connection).unwrap();
    }
}

#[test]
fn a_burst_on_one_connection_does_not_starve_another() {
    let loud: Vec<String> = (0..200).map(|i| format!("{i}:{}", "l".repeat(10_000))).collect();
    let (mut server_0, go_0) = speaker(Wire::Plain, loud.clone());
    server_0.options.read_bytes_max = 16 * 1024;
    let (server_1, go_1) = speaker(Wire::Plain, vec!["quiet".into()]);
    let mut connections = [server_0.dial().unwrap(), server_1.dial().unwrap()];
    let mut poller = Poller::new(2, SLEEPY).unwrap();
    for (slot, connection) in connections.iter_mut().enumerate() {
        poller.add(slot, connection).unwrap();
    }
    go_1.send(()).unwrap();
    go_0.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(50)); // both have much to read
    let (clock, mut got) = (clock(), [Vec::new(), Vec::new()]);
    let (start, mut loud_at_quiet) = (Instant::now(), None);
    while got[0].len() < loud.len() || got[1].is_empty() {
        assert!(start.elapsed() < PATIENCE);
        poller.poll().unwrap();
        for slot in 0..poller.slots() {
            if poller.is_readable(slot) {
                poller
                    .drain(slot, &mut connections[slot], &clock, 2, |connection, _| {
                        collect(connection, &mut got[slot])
                    })
                    .unwrap();
            }
        }
        if !got[1].is_empty() && loud_at_quiet.is_none() {
            loud_at_quiet = Some(got[0].len());
        }
    }
    assert!(
        loud_at_quiet < Some(loud.len()),
        "the quiet one waited for the whole burst"
    );
    assert_eq!(got[0], loud);
    drop((go_0, go_1));
    server_0.join();
    server_1.join();
}

#[test]
fn a_full_socket_reports_when_it_takes_bytes_again() {
    let (start, started) = mpsc::channel::<()>();
    let server = serve_websocket(Wire::Plain, move |mut line| {
        started.recv().unwrap();
        let mut protocol = Protocol::server(Limits::default());
        let mut bytes = 0;
        while let Some(text) = line.read_text(&mut protocol) {
            if text == "end" {
                break;
            }
            bytes += text.len();
        }
        bytes
    });
    let mut connection = server.dial().unwrap();
    let mut poller = Poller::new(1, SLEEPY).unwrap();
    poller.add(0, &mut connection).unwrap();
    poller.take_writable(0);
    let mut sent = 0;
    let text = "w".repeat(100_000);
    while connection.flush().unwrap() == Flushed::Done {
        connection.send_text(&text).unwrap();
        sent += text.len();
    }
    start.send(()).unwrap();
    let patience = Instant::now();
    connection.send_text("end").unwrap();
    while connection.wants_write() {
        assert!(patience.elapsed() < PATIENCE);
        poller.mark_empty(0);
        poller.poll().unwrap();
        if poller.take_writable(0) {
            connection.flush().unwrap();
        }
    }
    assert_eq!(server.join(), sent);
}

#[test]
fn another_thread_ends_the_sleep() {
    let mut poller = Poller::new(
        1,
        IdleStrategy::Wait {
            timeout: Duration::from_secs(60),
        },
    )
    .unwrap();
    let waker = poller.waker();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        waker.wake().unwrap();
    });
    let start = Instant::now();
    let polled = poller.poll().unwrap();
    assert!(polled.is_woken && polled.ready == 0, "{polled:?}");
    assert!(start.elapsed() < Duration::from_secs(50));
    thread.join().unwrap();
    // A wake before the sleep counts, too.
    poller.waker().wake().unwrap();
    assert!(poller.poll().unwrap().is_woken);
}

#[test]
fn idle_strategies_spin_first_and_sleep_then() {
    let timeout = Duration::from_millis(30);
    let mut poller = Poller::new(1, IdleStrategy::SpinThenWait { spins: 3, timeout }).unwrap();
    let start = Instant::now();
    for _ in 0..4 {
        assert_eq!(poller.poll().unwrap().ready, 0);
    }
    assert!(start.elapsed() >= timeout, "the fourth poll did not sleep");
    // News start the spinning again.
    poller.waker().wake().unwrap();
    assert!(poller.poll().unwrap().is_woken);
    let mut poller = Poller::new(0, IdleStrategy::Wait { timeout }).unwrap();
    let start = Instant::now();
    poller.poll().unwrap();
    assert!(start.elapsed() >= timeout);
    let mut poller = Poller::new(0, IdleStrategy::Spin).unwrap();
    for _ in 0..1000 {
        assert_eq!(poller.poll().unwrap(), Default::default());
    }
}

#[test]
fn slots_are_checked_and_can_be_used_again() {
    let mut poller = Poller::new(1, IdleStrategy::Spin).unwrap();
    for round in 0..3 {
        let (server, go) = speaker(Wire::Plain, vec![format!("round {round}")]);
        let mut connection = server.dial().unwrap();
        assert_eq!(
            poller.add(1, &mut connection).unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput
        );
        poller.add(0, &mut connection).unwrap();
        go.send(()).unwrap();
        let (clock, mut got, start) = (clock(), Vec::new(), Instant::now());
        while got.is_empty() {
            assert!(start.elapsed() < PATIENCE);
            poller.poll().unwrap();
            poller
                .drain(0, &mut connection, &clock, 8, |connection, _| {
                    collect(connection, &mut got)
                })
                .unwrap();
        }
        assert_eq!(got, [format!("round {round}")]);
        poller.remove(0, &mut connection).unwrap();
        assert!(!poller.is_readable(0));
        drop(connection);
        drop(go);
        server.join();
        assert_eq!(poller.poll().unwrap().ready, 0);
    }
}
