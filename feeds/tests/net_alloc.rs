//! The hot thread's promise: once warm, a connection allocates nothing, TLS included.
//!
//! Allocations are counted per thread, so the server's thread and the cold steps do not disturb.

#![allow(clippy::unwrap_used, reason = "servers' threads unwrap as the tests do")]

mod net_support;

use std::io::Write;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use net_support::{PATIENCE, TLS, TLS12, Wire, clock, serve_websocket, text_frame};
use quantumflow_feeds::net::{Connection, ConnectionError, IdleStrategy, Poller};
use quantumflow_feeds::ws::{Limits, Message, Opcode, Protocol, encode_frame};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each read is answered.
    Answer,
    /// As fast as the frames come.
    Race,
    /// Slower than the frames come.
    Lag,
}

/// What the hot thread does, until `frames` texts have come. Returns how many bytes they had.
fn run(poller: &mut Poller, connection: &mut Connection, frames: usize, mode: Mode) -> usize {
    let clock = clock();
    let patience = Instant::now();
    let (mut texts, mut bytes) = (0, 0);
    while texts < frames {
        if mode == Mode::Lag {
            std::thread::sleep(Duration::from_micros(200)); // the socket fills up: every read is a full one
        }
        poller.poll().unwrap();
        if poller.take_writable(0) {
            connection.flush().unwrap();
        }
        if poller.is_readable(0) {
            poller
                .drain(0, connection, &clock, 16, |connection, _| {
                    while let Some(message) = connection.next_message()? {
                        if let Message::Text(text) = message {
                            texts += 1;
                            bytes += text.len();
                        }
                    }
                    if mode == Mode::Answer {
                        connection
                            .send_text("next")
                            .map_err(|error| panic!("{error}"))
                            .unwrap_or(());
                    }
                    connection.flush()?;
                    Ok::<(), ConnectionError>(())
                })
                .unwrap();
        }
        assert!(patience.elapsed() < PATIENCE, "{texts} of {frames} frames came");
    }
    bytes
}

#[test]
fn counter_counts() {
    let counted = measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(counted.count_total, 1);
}

/// Frames one by one, each answered before the next comes: the latency case.
#[test]
fn one_frame_per_read_allocates_nothing() {
    const WARM_UP: usize = 500;
    const FRAMES: usize = 20_000;
    for wire in [Wire::Plain, TLS, TLS12] {
        let server = serve_websocket(wire, |mut line| {
            let frame = text_frame(&"d".repeat(563));
            let mut ping = Vec::new();
            encode_frame(true, Opcode::Ping, b"keep alive", None, &mut ping);
            let mut protocol = Protocol::server(Limits::default());
            for index in 0..WARM_UP + FRAMES {
                if index % 100 == 0 {
                    line.write_all(&[ping.as_slice(), &frame].concat()).unwrap();
                } else {
                    line.write_all(&frame).unwrap();
                }
                assert_eq!(line.read_text(&mut protocol).as_deref(), Some("next"));
            }
            line // keeps it open until the counts were taken
        });
        let mut connection = server.dial().unwrap();
        let mut poller = Poller::new(1, IdleStrategy::Wait { timeout: PATIENCE }).unwrap();
        poller.add(0, &mut connection).unwrap();
        run(&mut poller, &mut connection, WARM_UP, Mode::Answer);
        let reads = connection.totals().reads;
        let mut bytes = 0;
        let allocated = measure(|| bytes = run(&mut poller, &mut connection, FRAMES, Mode::Answer)).count_total;
        let reads = connection.totals().reads - reads;
        assert_eq!(bytes, FRAMES * 563);
        println!(
            "{wire:?}: {allocated} allocations, {:.3} reads per message, {}",
            reads as f64 / FRAMES as f64,
            connection.tls_description().unwrap_or_default(),
        );
        assert_eq!(allocated, 0, "{wire:?}");
        assert!(reads <= 2 * FRAMES as u64, "{reads} reads for {FRAMES} messages");
        drop(connection);
        server.join();
    }
}

/// As fast as the server can, of many sizes, so that frames and records are cut by reads anywhere.
#[test]
fn a_burst_allocates_nothing() {
    const FRAMES: usize = 20_000;
    for wire in [Wire::Plain, TLS, TLS12] {
        let sizes = |index: usize| [183, 563, 2_249, 8_571, 20_000][index % 5];
        let server = serve_websocket(wire, move |mut line| {
            let frames: Vec<_> = (0..5).map(|index| text_frame(&"b".repeat(sizes(index)))).collect();
            for index in 0..2 * FRAMES {
                line.write_all(&frames[index % 5]).unwrap();
            }
            line
        });
        let mut connection = server.dial().unwrap();
        let mut poller = Poller::new(1, IdleStrategy::Wait { timeout: PATIENCE }).unwrap();
        poller.add(0, &mut connection).unwrap();
        run(&mut poller, &mut connection, 1_000, Mode::Race);
        let totals = connection.totals();
        let burst = || {
            run(&mut poller, &mut connection, FRAMES / 2, Mode::Race);
            run(&mut poller, &mut connection, FRAMES / 2, Mode::Lag);
        };
        let allocated = measure(burst).count_total;
        let now = connection.totals();
        println!(
            "{wire:?}: {allocated} allocations, {:.3} reads per message",
            (now.reads - totals.reads) as f64 / (now.messages - totals.messages) as f64
        );
        assert_eq!(allocated, 0, "{wire:?}");
        let _ = run(
            &mut poller,
            &mut connection,
            2 * FRAMES - now.messages as usize,
            Mode::Race,
        );
        drop(connection);
        server.join();
    }
}
