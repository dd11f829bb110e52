//! Any bytes, cut anywhere, in both roles: no panic, no more memory than the ceiling, and the cuts change nothing.
//!
//! Input: one byte for the role and the buffer, a count of pieces, their lengths, and the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::ws::{Decoder, Limits, Message, Role, WsError};

/// What came out, as text, and how it ended.
type Outcome = (Vec<String>, Option<WsError>);

fuzz_target!(|input: &[u8]| {
    let [choice, piece_count, rest @ ..] = input else {
        return;
    };
    let (pieces, stream) = rest.split_at(rest.len().min(usize::from(*piece_count)));
    let role = if choice & 1 == 0 { Role::Client } else { Role::Server };
    let limits = Limits {
        frame_bytes_max: 2000,
        message_bytes_max: 3000,
        buffer_bytes: usize::from(choice >> 1),
        ..Limits::default()
    };
    let at_once = decode(role, limits, stream, &[]);
    assert_eq!(
        decode(role, limits, stream, pieces),
        at_once,
        "the pieces changed the messages"
    );
});

fn decode(role: Role, limits: Limits, stream: &[u8], pieces: &[u8]) -> Outcome {
    let mut decoder = Decoder::new(role, limits);
    let mut messages = Vec::new();
    let mut rest = stream;
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let piece = lengths
            .next()
            .map_or(rest.len(), |&length| usize::from(length).clamp(1, rest.len()));
        let taken = decoder.append(&rest[..piece]);
        assert!(taken > 0, "a drained decoder has room");
        rest = &rest[taken..];
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => {
                    check(&message, &limits);
                    messages.push(format!("{message:?}"));
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(
            decoder.buffer_bytes() <= limits.message_bytes_max + (65 << 10),
            "the buffer grew over its ceiling"
        );
        assert!(decoder.position() <= stream.len() as u64);
    }
    (messages, None)
}

fn check(message: &Message<'_>, limits: &Limits) {
    match message {
        Message::Text(text) => {
            assert!(text.len() <= limits.message_bytes_max);
            assert!(std::str::from_utf8(text.as_bytes()).is_ok());
        }
        Message::Binary(bytes) => assert!(bytes.len() <= limits.message_bytes_max),
        Message::Ping(bytes) | Message::Pong(bytes) => assert!(bytes.len() <= 125),
        Message::Close { reason, .. } => assert!(reason.len() <= 123),
    }
}
