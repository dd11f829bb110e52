//! What an endpoint does by itself: answer pings, close once and properly, tell the peer which rule it broke.

use quantumflow_feeds::ws::{
    Limits, MaskSource, Message, Opcode, Protocol, SendError, WsError, close_code, encode_close, encode_frame,
};

fn client() -> Protocol {
    Protocol::client(Limits::default(), MaskSource::from_seed([3; 32]))
}

fn server() -> Protocol {
    Protocol::server(Limits::default())
}

/// Carries everything queued at `from` over to `to`.
fn carry(from: &mut Protocol, to: &mut Protocol) {
    let count = from.outgoing().len();
    assert_eq!(to.append(from.outgoing()), count);
    from.sent(count);
}

#[test]
fn a_ping_is_answered_with_its_payload_and_shown() {
    let (mut client, mut server) = (client(), server());
    server.send_ping(b"1700000000").unwrap();
    server.send_text("update").unwrap();
    carry(&mut server, &mut client);
    assert_eq!(client.next_message(), Ok(Some(Message::Ping(b"1700000000"))));
    assert_eq!(client.next_message(), Ok(Some(Message::Text("update"))));
    assert_eq!(client.next_message(), Ok(None));
    carry(&mut client, &mut server);
    assert_eq!(server.next_message(), Ok(Some(Message::Pong(b"1700000000"))));
    assert_eq!(server.next_message(), Ok(None));
    assert!(client.is_open() && server.is_open());
}

#[test]
fn an_unasked_pong_is_shown_and_not_answered() {
    let (mut client, mut server) = (client(), server());
    client.send_pong(b"alive").unwrap();
    carry(&mut client, &mut server);
    assert_eq!(server.next_message(), Ok(Some(Message::Pong(b"alive"))));
    assert_eq!(server.outgoing(), b"");
}

#[test]
fn a_close_is_echoed_once_and_ends_both_sides() {
    let (mut client, mut server) = (client(), server());
    client.close(close_code::GOING_AWAY, "restart");
    client.close(close_code::NORMAL, "ignored");
    assert_eq!(client.send_text("late"), Err(SendError::Closing));
    server.send_text("crossing").unwrap();
    carry(&mut server, &mut client);
    assert_eq!(
        client.next_message(),
        Ok(Some(Message::Text("crossing"))),
        "data still comes until the peer's close"
    );
    carry(&mut client, &mut server);
    assert!(!client.is_finished());

    assert_eq!(
        server.next_message(),
        Ok(Some(Message::Close {
            code: Some(1001),
            reason: "restart"
        }))
    );
    assert_eq!(server.send_binary(b"late"), Err(SendError::Closing));
    assert!(!server.is_finished(), "the echo is not written yet");
    carry(&mut server, &mut client);
    assert!(server.is_finished());
    assert_eq!(server.next_message(), Ok(None));

    assert_eq!(
        client.next_message(),
        Ok(Some(Message::Close {
            code: Some(1001),
            reason: ""
        }))
    );
    assert_eq!(client.outgoing(), b"", "the echo is not echoed");
    assert!(client.is_finished());
}

#[test]
fn an_empty_close_is_echoed_empty() {
    let mut client = client();
    assert_eq!(client.append(b"\x88\x00"), 2);
    assert_eq!(
        client.next_message(),
        Ok(Some(Message::Close { code: None, reason: "" }))
    );
    let mut server = server();
    carry(&mut client, &mut server);
    assert_eq!(
        server.next_message(),
        Ok(Some(Message::Close { code: None, reason: "" }))
    );
}

#[test]
fn a_ping_behind_our_close_is_not_answered() {
    let (mut client, mut server) = (client(), server());
    client.close(close_code::NORMAL, "");
    let queued = client.outgoing().len();
    server.send_ping(b"still there?").unwrap();
    carry(&mut server, &mut client);
    assert_eq!(client.next_message(), Ok(Some(Message::Ping(b"still there?"))));
    assert_eq!(client.outgoing().len(), queued);
}

#[test]
fn a_broken_rule_is_answered_with_its_code_once() {
    let rows: [(&[u8], u16); 3] = [
        (b"\x83\x00", close_code::PROTOCOL_ERROR),
        (b"\x81\x01\xff", close_code::INVALID_PAYLOAD),
        (b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", close_code::MESSAGE_TOO_BIG),
    ];
    for (bytes, code) in rows {
        let (mut client, mut server) = (client(), server());
        assert_eq!(client.append(bytes), bytes.len());
        let error = client.next_message().unwrap_err();
        assert_eq!(error.close_code(), code);
        assert_eq!(client.next_message(), Err(error));
        assert_eq!(client.send_text("late"), Err(SendError::Closing));
        carry(&mut client, &mut server);
        assert!(client.is_finished());
        assert_eq!(
            server.next_message(),
            Ok(Some(Message::Close {
                code: Some(code),
                reason: ""
            }))
        );
        assert_eq!(server.next_message(), Ok(None));
    }
}

#[test]
fn a_fault_behind_our_close_adds_nothing() {
    let mut client = client();
    client.close(close_code::NORMAL, "");
    let queued = client.outgoing().len();
    assert_eq!(client.append(b"\x83\x00"), 2);
    assert_eq!(client.next_message(), Err(WsError::ReservedOpcode { opcode: 3 }));
    assert_eq!(client.outgoing().len(), queued);
}

#[test]
fn a_peer_that_pings_without_reading_does_not_fill_memory() {
    let mut server = server();
    let mut ping = Vec::new();
    encode_frame(true, Opcode::Ping, &[7; 125], Some([1, 2, 3, 4]), &mut ping);
    let mut pings = 0u64;
    for _ in 0..10_000 {
        assert_eq!(server.append(&ping), ping.len());
        while server.next_message().unwrap().is_some() {
            pings += 1;
        }
    }
    assert_eq!(pings, 10_000);
    let queued = server.outgoing().len();
    assert!(queued <= (64 << 10) + 127, "{queued}");
    assert_eq!(server.pongs_skipped(), 10_000 - queued as u64 / 127);
    // Once it reads, it is answered again.
    server.sent(queued);
    assert_eq!(server.append(&ping), ping.len());
    assert_eq!(server.next_message(), Ok(Some(Message::Ping(&[7; 125]))));
    assert_eq!(server.outgoing().len(), 127);
}

#[test]
fn the_outgoing_queue_has_a_ceiling() {
    let limits = Limits {
        outgoing_bytes_max: 1000,
        ..Limits::default()
    };
    let mut server = Protocol::server(limits);
    server.send_binary(&[1; 900]).unwrap();
    let queued = server.outgoing().len();
    assert_eq!(
        server.send_text(&"x".repeat(100)),
        Err(SendError::QueueFull {
            bytes: queued + 114,
            limit: 1000
        })
    );
    assert_eq!(server.outgoing().len(), queued);
    assert!(matches!(server.send_ping(&[0; 126]), Err(SendError::QueueFull { .. })));
    server.sent(queued);
    server.send_text(&"x".repeat(100)).unwrap();
    assert!(matches!(server.send_ping(&[0; 126]), Err(SendError::ControlTooLong(_))));
}

#[test]
fn partial_writes_lose_nothing_and_do_not_pile_up() {
    let (mut client, mut server) = (client(), server());
    let mut received = 0;
    for index in 0..3000u32 {
        server.send_text(&format!("{index:0500}")).unwrap();
        // The socket takes a little less than is written, and catches up now and then.
        let mut count = if index % 100 == 99 { usize::MAX } else { 490 };
        count = count.min(server.outgoing().len());
        assert_eq!(client.append(&server.outgoing()[..count]), count);
        server.sent(count);
        while let Some(message) = client.next_message().unwrap() {
            assert_eq!(message, Message::Text(&format!("{received:0500}")));
            received += 1;
        }
    }
    assert_eq!(received, 3000);
    assert_eq!(server.outgoing(), b"");
    assert!(
        server.outgoing_mut().capacity() < 64 << 10,
        "{}",
        server.outgoing_mut().capacity()
    );
}

#[test]
fn reset_is_a_new_connection() {
    let mut client = client();
    client.send_text("half sent").unwrap();
    client.sent(3);
    let mut close = Vec::new();
    encode_close(Some(close_code::SERVICE_RESTART), "", None, &mut close);
    assert_eq!(client.append(&close), close.len());
    assert!(client.next_message().unwrap().is_some());
    assert!(!client.is_open());
    client.reset();
    assert!(client.is_open() && !client.is_finished());
    assert_eq!(client.outgoing(), b"");
    let mut server = server();
    client.send_text("again").unwrap();
    carry(&mut client, &mut server);
    assert_eq!(server.next_message(), Ok(Some(Message::Text("again"))));
}

#[test]
fn a_simulator_can_fragment_and_misbehave() {
    let (mut client, mut server) = (client(), server());
    encode_frame(false, Opcode::Text, b"frag", None, server.outgoing_mut());
    encode_frame(true, Opcode::Continuation, b"ments", None, server.outgoing_mut());
    encode_frame(true, Opcode::Continuation, b"!", None, server.outgoing_mut());
    carry(&mut server, &mut client);
    assert_eq!(client.next_message(), Ok(Some(Message::Text("fragments"))));
    assert_eq!(client.next_message(), Err(WsError::UnexpectedContinuation));
}
