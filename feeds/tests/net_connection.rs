//! A connection over loopback, plain and encrypted, with servers that behave and servers that do not.

#![allow(clippy::unwrap_used, reason = "servers' threads unwrap as the tests do")]

mod net_support;

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net_support::{PATIENCE, Said, TLS, TLS12, Wire, clock, flush, next, serve, serve_websocket, text_frame};
use quantumflow_feeds::net::{Connection, ConnectionError, Flushed, ReadOutcome, TlsServerOptions};
use quantumflow_feeds::ws::{Limits, Message, Opcode, Protocol, SendError, WsError, close_code, encode_frame};

const SMALL_RECORDS: Wire = Wire::Tls(TlsServerOptions {
    record_bytes_max: Some(64),
    only_tls12: false,
});
const WIRES: [Wire; 4] = [Wire::Plain, TLS, TLS12, SMALL_RECORDS];

#[test]
fn connection_can_move_to_the_hot_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}

#[test]
fn echo_of_fragments_across_records() {
    for wire in WIRES {
        let server = serve_websocket(wire, |mut line| {
            let mut protocol = Protocol::server(Limits::default());
            while let Some(text) = line.read_text(&mut protocol) {
                // Back in three fragments with a ping between them, cut into odd writes.
                let bytes = text.as_bytes();
                let (one, two) = (bytes.len() / 3, bytes.len() / 2);
                let mut frames = Vec::new();
                encode_frame(false, Opcode::Text, &bytes[..one], None, &mut frames);
                encode_frame(true, Opcode::Ping, b"still there?", None, &mut frames);
                encode_frame(false, Opcode::Continuation, &bytes[one..two], None, &mut frames);
                encode_frame(true, Opcode::Continuation, &bytes[two..], None, &mut frames);
                for chunk in frames.chunks(777) {
                    line.write_all(chunk).unwrap();
                }
            }
        });
        let mut connection = server.dial().unwrap();
        assert_eq!(connection.tls_description().is_some(), wire != Wire::Plain);
        for length in [1, 100, 5_000, 20_000] {
            let text = "π".repeat(length);
            connection.send_text(&text).unwrap();
            assert_eq!(next(&mut connection).unwrap(), Said::Ping(b"still there?".to_vec()));
            assert_eq!(next(&mut connection).unwrap(), Said::Text(text));
        }
        drop(connection);
        server.join();
    }
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    for wire in [Wire::Plain, TLS] {
        let server = serve_websocket(wire, |mut line| {
            let mut frame = Vec::new();
            encode_frame(true, Opcode::Ping, b"1725000000000", None, &mut frame);
            line.write_all(&frame).unwrap();
            let mut protocol = Protocol::server(Limits::default());
            loop {
                match protocol.next_message().unwrap() {
                    Some(Message::Pong(payload)) => return payload.to_vec(),
                    Some(message) => panic!("{message:?}"),
                    None => {
                        let n = line.read(protocol.space(1024)).unwrap();
                        assert!(n > 0);
                        protocol.commit(n);
                    }
                }
            }
        });
        let mut connection = server.dial().unwrap();
        assert_eq!(next(&mut connection).unwrap(), Said::Ping(b"1725000000000".to_vec()));
        assert!(!connection.wants_write());
        assert_eq!(server.join(), b"1725000000000");
    }
}

#[test]
fn frames_that_come_with_the_upgrade_are_the_first_read() {
    for wire in [Wire::Plain, TLS] {
        let server = serve(wire, |mut line| {
            line.accept_websocket(&text_frame("{\"channel\":\"status\"}"));
            line // keeps it open
        });
        let mut connection = server.dial().unwrap();
        let line = server.join();
        let clock = clock();
        let ReadOutcome::Bytes(read) = connection.read(&clock).unwrap() else {
            panic!("nothing came")
        };
        if read.may_have_more && connection.next_message().unwrap().is_none() {
            // The frame was not in the handshake's read after all: then the next one has it.
            assert_eq!(
                next(&mut connection).unwrap(),
                Said::Text("{\"channel\":\"status\"}".into())
            );
        }
        drop(line);
    }
}

#[test]
fn reads_are_stamped_in_the_order_of_the_stages() {
    for wire in [Wire::Plain, TLS] {
        let (go, gone) = mpsc::channel::<()>();
        let server = serve_websocket(wire, move |mut line| {
            while gone.recv().is_ok() {
                line.write_all(&text_frame("tick")).unwrap();
            }
        });
        let mut connection = server.dial().unwrap();
        let clock = clock();
        let mut last = quantumflow_feeds::Ticks(0);
        let mut stamped = 0;
        for _ in 0..300 {
            go.send(()).unwrap();
            let read = loop {
                if let ReadOutcome::Bytes(read) = connection.read(&clock).unwrap() {
                    break read;
                }
            };
            assert!(last <= read.read && read.read <= read.decrypted, "{read:?}");
            assert_eq!(connection.last_read(), Some(read.read));
            last = read.decrypted;
            if let Some(kernel) = read.kernel {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
                assert!(kernel.0 <= now && now - kernel.0 < 10_000_000_000);
                stamped += 1;
            }
            while connection.next_message().unwrap().is_some() {}
            if stamped == 0 {
                std::thread::sleep(Duration::from_millis(2)); // the kernel switches its stamping on in the background
            }
        }
        match stamped {
            0 => println!("skipped: the kernel gives no stamps: {:?}", connection.tcp_applied()),
            _ => assert_eq!(connection.totals().reads - connection.totals().unstamped_reads, stamped),
        }
        drop(go);
        server.join();
    }
}

#[test]
fn a_line_cut_inside_a_frame_delivers_nothing_of_it() {
    for wire in [Wire::Plain, TLS] {
        let server = serve_websocket(wire, |mut line| {
            line.write_all(&text_frame("whole")).unwrap();
            let frame = text_frame(&"x".repeat(1000));
            line.write_all(&frame[..500]).unwrap();
        });
        let mut connection = server.dial().unwrap();
        assert_eq!(next(&mut connection).unwrap(), Said::Text("whole".into()));
        assert_eq!(next(&mut connection).unwrap(), Said::End(false));
        server.join();
    }
}

#[test]
fn a_close_from_the_server_is_echoed_and_clean() {
    for wire in [Wire::Plain, TLS, TLS12] {
        let server = serve_websocket(wire, |mut line| {
            let mut protocol = Protocol::server(Limits::default());
            protocol.close(close_code::SERVICE_RESTART, "maintenance");
            line.write_all(protocol.outgoing()).unwrap();
            let answer = read_close(&mut line, &mut protocol);
            // The client says goodbye at every layer before we hang up.
            assert_eq!(line.read(&mut [0; 16]).unwrap(), 0);
            answer
        });
        let mut connection = server.dial().unwrap();
        assert_eq!(
            next(&mut connection).unwrap(),
            Said::Close(Some(close_code::SERVICE_RESTART))
        );
        assert!(!connection.is_open());
        assert_eq!(connection.send_text("late"), Err(SendError::Closing));
        assert_eq!(next(&mut connection).unwrap(), Said::End(true));
        assert_eq!(server.join(), Some(close_code::SERVICE_RESTART));
    }
}

#[test]
fn a_close_from_us_waits_for_the_servers() {
    for wire in [Wire::Plain, TLS] {
        let server = serve_websocket(wire, |mut line| {
            let mut protocol = Protocol::server(Limits::default());
            // What was on its way before the close arrives is still delivered.
            line.write_all(&text_frame("last")).unwrap();
            let code = read_close(&mut line, &mut protocol);
            line.write_all(protocol.outgoing()).unwrap();
            code
        });
        let mut connection = server.dial().unwrap();
        connection.close(close_code::NORMAL, "done");
        flush(&mut connection);
        assert_eq!(next(&mut connection).unwrap(), Said::Text("last".into()));
        assert_eq!(next(&mut connection).unwrap(), Said::Close(Some(close_code::NORMAL)));
        assert_eq!(next(&mut connection).unwrap(), Said::End(true));
        assert_eq!(server.join(), Some(close_code::NORMAL));
    }
}

/// Reads until the peer's close frame; its code.
fn read_close(line: &mut impl Read, protocol: &mut Protocol) -> Option<u16> {
    loop {
        match protocol.next_message().unwrap() {
            Some(Message::Close { code, .. }) => return code,
            Some(_) => {}
            None => {
                let n = line.read(protocol.space(1024)).unwrap();
                assert!(n > 0, "the client left without a close frame");
                protocol.commit(n);
            }
        }
    }
}

#[test]
fn a_tls_goodbye_ends_the_connection_cleanly() {
    let server = serve_websocket(TLS, |mut line| {
        let net_support::Line::Tls(stream) = &mut line else {
            panic!("no TLS")
        };
        stream.close().unwrap();
        line // the TCP stream stays open
    });
    let mut connection = server.dial().unwrap();
    assert_eq!(next(&mut connection).unwrap(), Said::End(true));
    drop(server.join());
}

#[test]
fn new_keys_in_mid_stream_change_nothing() {
    let server = serve_websocket(TLS, |mut line| {
        let mut protocol = Protocol::server(Limits::default());
        for round in 0..5 {
            let net_support::Line::Tls(stream) = &mut line else {
                panic!("no TLS")
            };
            stream.update_keys().unwrap();
            line.write_all(&text_frame(&format!("round {round}"))).unwrap();
            assert_eq!(line.read_text(&mut protocol), Some(format!("answer {round}")));
        }
    });
    let mut connection = server.dial().unwrap();
    for round in 0..5 {
        assert_eq!(next(&mut connection).unwrap(), Said::Text(format!("round {round}")));
        connection.send_text(&format!("answer {round}")).unwrap();
        flush(&mut connection);
    }
    server.join();
}

#[test]
fn an_announced_length_over_the_ceiling_is_refused_before_it_comes() {
    for wire in [Wire::Plain, TLS] {
        let mut server = serve_websocket(wire, |mut line| {
            let mut header = vec![0x82, 127];
            header.extend((1u64 << 40).to_be_bytes());
            line.write_all(&header).unwrap();
            let mut protocol = Protocol::server(Limits::default());
            read_close(&mut line, &mut protocol)
        });
        server.options.limits = Limits {
            frame_bytes_max: 1 << 20,
            message_bytes_max: 1 << 20,
            ..Limits::default()
        };
        let mut connection = server.dial().unwrap();
        let error = next(&mut connection).unwrap_err();
        assert!(
            matches!(error, ConnectionError::Ws(WsError::FrameTooLong { length, .. }) if length == 1 << 40),
            "{error}"
        );
        flush(&mut connection); // the close frame that says why
        assert_eq!(server.join(), Some(close_code::MESSAGE_TOO_BIG));
    }
}

#[test]
fn a_frame_of_four_megabytes_passes() {
    for wire in WIRES {
        let text: String = (0..4 << 20).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
        let frame = text_frame(&text);
        let server = serve_websocket(wire, move |mut line| line.write_all(&frame).unwrap());
        let mut connection = server.dial().unwrap();
        let Said::Text(got) = next(&mut connection).unwrap() else {
            panic!("no text")
        };
        assert!(got == text, "the text differs");
        println!("{wire:?}: {} reads for 4 MiB", connection.totals().reads);
        server.join();
    }
}

#[test]
fn a_peer_that_does_not_read_fills_the_queue_and_no_more() {
    for wire in [Wire::Plain, TLS] {
        let (start, started) = mpsc::channel::<()>();
        let mut server = serve_websocket(wire, move |mut line| {
            started.recv_timeout(PATIENCE).unwrap();
            let mut protocol = Protocol::server(Limits::default());
            let mut texts = Vec::new();
            while let Some(text) = line.read_text(&mut protocol) {
                let is_last = text == "last";
                texts.push(text);
                if is_last {
                    break;
                }
            }
            texts
        });
        server.options.limits = Limits {
            outgoing_bytes_max: 1 << 20,
            ..Limits::default()
        };
        let mut connection = server.dial().unwrap();
        let mut sent = Vec::new();
        let error = loop {
            let text = format!("{}:{}", sent.len(), "x".repeat(30_000));
            match connection.send_text(&text) {
                Ok(()) => sent.push(text),
                Err(error) => break error,
            }
            connection.flush().unwrap();
            assert!(sent.len() < 100_000, "the queue has no end");
        };
        assert!(
            matches!(error, SendError::QueueFull { limit, .. } if limit == 1 << 20),
            "{error}"
        );
        assert_eq!(connection.flush().unwrap(), Flushed::Pending);
        assert!(connection.wants_write());

        start.send(()).unwrap();
        flush(&mut connection);
        connection.send_text("last").unwrap();
        flush(&mut connection);
        sent.push("last".into());
        assert!(server.join() == sent, "what arrived is not what was sent");
    }
}

#[test]
fn messages_left_in_the_decoder_are_an_error_and_not_more_memory() {
    for wire in [Wire::Plain, TLS] {
        let (hang_up, hung_up) = mpsc::channel::<()>();
        let mut server = serve_websocket(wire, move |mut line| {
            let block = text_frame(&"y".repeat(10_000)).repeat(10);
            let mut sent = 0;
            while hung_up.try_recv().is_err() && sent < 100 << 20 && line.write_all(&block).is_ok() {
                sent += block.len();
            }
        });
        server.options.limits = Limits {
            frame_bytes_max: 1 << 20,
            message_bytes_max: 1 << 20,
            ..Limits::default()
        };
        let mut connection = server.dial().unwrap();
        let clock = clock();
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            assert!(Instant::now() < deadline);
            match connection.read(&clock) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ConnectionError::Undrained), "{error}");
        assert!(connection.totals().read_bytes < 2 << 20);
        hang_up.send(()).unwrap();
        drop(connection);
        server.join();
    }
}

#[test]
fn a_broken_record_names_tls_and_tells_the_server() {
    let (go, gone) = mpsc::channel::<()>();
    let server = serve_websocket(TLS, move |line| {
        gone.recv().unwrap();
        // Below TLS, straight onto the socket.
        line.tcp()
            .write_all(b"\x17\x03\x03\x00\x20this is not what was agreed upon")
            .unwrap();
        let mut line = line;
        line.read(&mut [0; 64]).unwrap_err().to_string()
    });
    let mut connection = server.dial().unwrap();
    go.send(()).unwrap();
    let error = next(&mut connection).unwrap_err();
    assert!(matches!(error, ConnectionError::Tls(_)), "{error}");
    let seen = server.join();
    assert!(seen.contains("BadRecordMac"), "{seen}");
}

#[test]
fn silence_is_measured_on_the_callers_clock() {
    use quantumflow_feeds::Ticks;
    let (go, gone) = mpsc::channel::<()>();
    let server = serve_websocket(Wire::Plain, move |mut line| {
        gone.recv().unwrap();
        line.write_all(&text_frame("x")).unwrap();
    });
    let mut connection = server.dial().unwrap();
    assert!(!connection.is_idle(Ticks(100), Ticks(90), 10));
    assert!(connection.is_idle(Ticks(101), Ticks(90), 10));
    go.send(()).unwrap();
    assert_eq!(next(&mut connection).unwrap(), Said::Text("x".into()));
    let last = connection.last_read().unwrap();
    assert!(!connection.is_idle(Ticks(last.0 + 10), Ticks(0), 10));
    assert!(connection.is_idle(Ticks(last.0 + 11), Ticks(0), 10));
    server.join();
}
