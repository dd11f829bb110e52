//! The WebSocket decoder and encoder against each other, against the rules of RFC 6455, and against a decoder that is
//! too simple to be wrong: it has the whole stream in its hands and copies everything.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use proptest::prelude::*;
use quantumflow_feeds::ws::{
    Decoder, Encoder, Limits, MaskSource, Message, Opcode, Role, WsError, close_code, encode_close, encode_frame,
};

/// A message that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// Takes every message out; the error, if one ends it.
fn drain(decoder: &mut Decoder, into: &mut Vec<Owned>) -> Result<(), WsError> {
    while let Some(message) = decoder.next_message()? {
        into.push(message.into());
    }
    Ok(())
}

/// Feeds `stream` in pieces of the given lengths (the last one over and over), by both doors in turn.
fn decode_in_pieces(role: Role, limits: Limits, stream: &[u8], pieces: &[usize]) -> (Vec<Owned>, Result<(), WsError>) {
    let mut decoder = Decoder::new(role, limits);
    let mut messages = Vec::new();
    let mut rest = stream;
    let mut index = 0;
    while !rest.is_empty() {
        let piece = pieces
            .get(index)
            .or(pieces.last())
            .copied()
            .unwrap_or(usize::MAX)
            .clamp(1, rest.len());
        let taken = if index % 2 == 0 {
            decoder.append(&rest[..piece])
        } else {
            let space = decoder.space(1);
            let taken = piece.min(space.len());
            space[..taken].copy_from_slice(&rest[..taken]);
            decoder.commit(taken);
            taken
        };
        assert!(taken > 0, "a drained decoder always has room");
        rest = &rest[taken..];
        index += 1;
        if let Err(error) = drain(&mut decoder, &mut messages) {
            assert_eq!(decoder.next_message(), Err(error), "an error stays");
            return (messages, Err(error));
        }
        let ceiling = (limits.message_bytes_max + (64 << 10) + 256).max(limits.buffer_bytes);
        assert!(decoder.buffer_bytes() <= ceiling, "{} bytes", decoder.buffer_bytes());
    }
    (messages, Ok(()))
}

/// Decodes `stream` whole and split at every boundary; all must agree.
fn check(role: Role, limits: Limits, stream: &[u8], expected: &[Owned], end: Result<(), WsError>) {
    let at_once = decode_in_pieces(role, limits, stream, &[usize::MAX]);
    assert_eq!((at_once.0.as_slice(), at_once.1), (expected, end), "at once");
    for boundary in 1..stream.len() {
        let split = decode_in_pieces(role, limits, stream, &[boundary, usize::MAX]);
        assert_eq!((split.0.as_slice(), split.1), (expected, end), "split at {boundary}");
    }
    let single = decode_in_pieces(role, limits, stream, &[1]);
    assert_eq!((single.0.as_slice(), single.1), (expected, end), "byte by byte");
}

/// A small buffer, so that short tests meet compaction and growth.
fn small() -> Limits {
    Limits {
        buffer_bytes: 8,
        ..Limits::default()
    }
}

fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(fin, opcode, payload, None, &mut out);
    out
}

fn masked(fin: bool, opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(fin, opcode, payload, Some(mask), &mut out);
    out
}

#[test]
fn rfc_examples_decode() {
    // RFC 6455, 5.7.
    let hello = || vec![Owned::Text("Hello".into())];
    check(Role::Client, small(), b"\x81\x05Hello", &hello(), Ok(()));
    check(
        Role::Server,
        small(),
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        &hello(),
        Ok(()),
    );
    check(Role::Client, small(), b"\x01\x03Hel\x80\x02lo", &hello(), Ok(()));
    check(
        Role::Client,
        small(),
        b"\x89\x05Hello",
        &[Owned::Ping(b"Hello".into())],
        Ok(()),
    );
    check(
        Role::Server,
        small(),
        b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        &[Owned::Pong(b"Hello".into())],
        Ok(()),
    );
    let bytes = vec![0xAB; 256];
    let stream = [&[0x82, 0x7E, 0x01, 0x00], bytes.as_slice()].concat();
    check(Role::Client, small(), &stream, &[Owned::Binary(bytes)], Ok(()));
    let bytes = vec![0xCD; 65536];
    let stream = [&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], bytes.as_slice()].concat();
    let (messages, end) = decode_in_pieces(Role::Client, small(), &stream, &[1, 3, 6, 1000]);
    assert_eq!((messages, end), (vec![Owned::Binary(bytes)], Ok(())));
}

#[test]
fn control_frames_between_fragments_come_in_the_order_of_the_wire() {
    let stream = [
        frame(false, Opcode::Text, "κό".as_bytes()),
        frame(true, Opcode::Ping, b"one"),
        frame(false, Opcode::Continuation, b""),
        frame(true, Opcode::Pong, b""),
        frame(true, Opcode::Continuation, "σμε".as_bytes()),
        frame(true, Opcode::Text, b"next"),
    ]
    .concat();
    let expected = [
        Owned::Ping(b"one".into()),
        Owned::Pong(vec![]),
        Owned::Text("κόσμε".into()),
        Owned::Text("next".into()),
    ];
    check(Role::Client, small(), &stream, &expected, Ok(()));
}

#[test]
fn nothing_follows_a_close() {
    let mut stream = frame(true, Opcode::Text, b"last");
    encode_close(Some(close_code::GOING_AWAY), "maintenance", None, &mut stream);
    stream.extend(frame(true, Opcode::Text, b"too late"));
    stream.extend(b"\xff\xff\xff not even a frame");
    let expected = [
        Owned::Text("last".into()),
        Owned::Close(Some(1001), "maintenance".into()),
    ];
    check(Role::Client, small(), &stream, &expected, Ok(()));
}

#[test]
fn close_may_be_empty_or_without_reason() {
    check(
        Role::Client,
        small(),
        b"\x88\x00",
        &[Owned::Close(None, String::new())],
        Ok(()),
    );
    check(
        Role::Client,
        small(),
        b"\x88\x02\x03\xe8",
        &[Owned::Close(Some(1000), String::new())],
        Ok(()),
    );
}

#[test]
fn every_broken_rule_is_its_own_error_with_its_close_code() {
    use WsError::*;
    let protocol = close_code::PROTOCOL_ERROR;
    let rows: Vec<(Role, Vec<u8>, WsError, u16)> = vec![
        (Role::Client, b"\xc1\x00".into(), ReservedBits { bits: 0b100 }, protocol),
        (Role::Client, b"\xa1\x00".into(), ReservedBits { bits: 0b010 }, protocol),
        (Role::Client, b"\x91\x00".into(), ReservedBits { bits: 0b001 }, protocol),
        (Role::Client, b"\x83\x00".into(), ReservedOpcode { opcode: 3 }, protocol),
        (Role::Client, b"\x87\x00".into(), ReservedOpcode { opcode: 7 }, protocol),
        (
            Role::Client,
            b"\x8b\x00".into(),
            ReservedOpcode { opcode: 11 },
            protocol,
        ),
        (
            Role::Client,
            b"\x8f\x00".into(),
            ReservedOpcode { opcode: 15 },
            protocol,
        ),
        (
            Role::Client,
            masked(true, Opcode::Text, b"x", [1, 2, 3, 4]),
            Masked,
            protocol,
        ),
        (Role::Server, frame(true, Opcode::Text, b"x"), Unmasked, protocol),
        (
            Role::Client,
            b"\x81\x7e\x00\x7d".into(),
            NonMinimalLength {
                length: 125,
                encoded_bits: 16,
            },
            protocol,
        ),
        (
            Role::Client,
            b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff".into(),
            NonMinimalLength {
                length: 65535,
                encoded_bits: 64,
            },
            protocol,
        ),
        (
            Role::Client,
            b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00".into(),
            LengthTopBit { length: 1 << 63 },
            protocol,
        ),
        (
            Role::Client,
            b"\x09\x00".into(),
            FragmentedControl { opcode: Opcode::Ping },
            protocol,
        ),
        (
            Role::Client,
            b"\x0a\x00".into(),
            FragmentedControl { opcode: Opcode::Pong },
            protocol,
        ),
        (
            Role::Client,
            b"\x08\x00".into(),
            FragmentedControl { opcode: Opcode::Close },
            protocol,
        ),
        (
            Role::Client,
            b"\x89\x7e".into(),
            ControlTooLong { opcode: Opcode::Ping },
            protocol,
        ),
        (
            Role::Client,
            b"\x88\x7f".into(),
            ControlTooLong { opcode: Opcode::Close },
            protocol,
        ),
        (Role::Client, b"\x80\x00".into(), UnexpectedContinuation, protocol),
        (Role::Client, b"\x00\x00".into(), UnexpectedContinuation, protocol),
        (Role::Client, b"\x00\x05".into(), UnexpectedContinuation, protocol),
        (
            Role::Client,
            b"\x01\x00\x81\x00".into(),
            ExpectedContinuation { opcode: Opcode::Text },
            protocol,
        ),
        (
            Role::Client,
            b"\x01\x01a\x02\x05".into(),
            ExpectedContinuation { opcode: Opcode::Binary },
            protocol,
        ),
        (Role::Client, b"\x88\x01\x03".into(), TruncatedCloseCode, protocol),
        (
            Role::Client,
            b"\x88\x03\x03\xe8\xff".into(),
            InvalidCloseReason,
            close_code::INVALID_PAYLOAD,
        ),
        (
            Role::Client,
            b"\x81\x02a\xff".into(),
            InvalidUtf8 { offset: 1 },
            close_code::INVALID_PAYLOAD,
        ),
        (
            Role::Client,
            b"\x81\x02a\xce".into(),
            InvalidUtf8 { offset: 1 },
            close_code::INVALID_PAYLOAD,
        ),
        (
            Role::Client,
            b"\x01\x02a\xce\x80\x01b".into(),
            InvalidUtf8 { offset: 1 },
            close_code::INVALID_PAYLOAD,
        ),
        (
            Role::Client,
            b"\x01\x02a\xce\x80\x00".into(),
            InvalidUtf8 { offset: 1 },
            close_code::INVALID_PAYLOAD,
        ),
    ];
    for (role, stream, error, code) in rows {
        check(role, small(), &stream, &[], Err(error));
        assert_eq!(error.close_code(), code, "{error}");
        let good = match role {
            Role::Client => frame(true, Opcode::Text, b"good"),
            Role::Server => masked(true, Opcode::Text, b"good", [9, 8, 7, 6]),
        };
        let behind_a_good_one = [good, stream].concat();
        check(
            role,
            small(),
            &behind_a_good_one,
            &[Owned::Text("good".into())],
            Err(error),
        );
    }
}

#[test]
fn close_codes_of_the_registry_pass_and_no_others() {
    for code in 0..=u16::MAX {
        let mut stream = Vec::new();
        encode_close(Some(code), "", None, &mut stream);
        let (messages, end) = decode_in_pieces(Role::Client, small(), &stream, &[usize::MAX]);
        let registered = (1000..=1003).contains(&code) || (1007..=1014).contains(&code);
        if registered || (3000..=4999).contains(&code) {
            assert_eq!((messages, end), (vec![Owned::Close(Some(code), String::new())], Ok(())));
        } else {
            assert_eq!((messages, end), (vec![], Err(WsError::InvalidCloseCode { code })));
        }
    }
}

#[test]
fn ceilings_refuse_with_the_header() {
    let limits = Limits {
        frame_bytes_max: 300,
        message_bytes_max: 500,
        buffer_bytes: 64,
        ..Limits::default()
    };
    let check = |stream: &[u8], error: WsError| {
        let mut decoder = Decoder::new(Role::Client, limits);
        let taken = decoder.append(stream);
        assert_eq!(taken, stream.len());
        assert_eq!(decoder.next_message(), Err(error));
        assert_eq!(error.close_code(), close_code::MESSAGE_TOO_BIG);
        assert!(decoder.buffer_bytes() < 1024, "an announcement alone allocates nothing");
    };
    check(
        b"\x81\x7e\x01\x2d",
        WsError::FrameTooLong {
            length: 301,
            limit: 300,
        },
    );
    let length = i64::MAX as u64;
    check(
        b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
        WsError::FrameTooLong { length, limit: 300 },
    );
    let mut fragments = frame(false, Opcode::Binary, &[0; 300]);
    fragments.extend(b"\x00\x7e\x00\xc9");
    check(
        &fragments,
        WsError::MessageTooLong {
            length: 501,
            limit: 500,
        },
    );

    let exact = [
        frame(false, Opcode::Binary, &[1; 300]),
        frame(true, Opcode::Continuation, &[2; 200]),
    ]
    .concat();
    let (messages, end) = decode_in_pieces(Role::Client, limits, &exact, &[7]);
    assert_eq!(
        (messages, end),
        (vec![Owned::Binary([vec![1; 300], vec![2; 200]].concat())], Ok(()))
    );

    let limits = Limits {
        message_bytes_max: 200,
        ..limits
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    assert_eq!(decoder.append(b"\x82\x7e\x01\x00"), 4);
    assert_eq!(
        decoder.next_message(),
        Err(WsError::MessageTooLong {
            length: 256,
            limit: 200
        })
    );
}

#[test]
fn absurd_limits_do_not_overflow() {
    let limits = Limits {
        frame_bytes_max: usize::MAX,
        message_bytes_max: usize::MAX,
        ..small()
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    assert_eq!(decoder.append(b"\x02\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc"), 13);
    assert_eq!(decoder.next_message(), Ok(None));
    assert!(decoder.space(1).len() < 1 << 20);
}

#[test]
fn a_large_message_grows_the_buffer_once_and_small_ones_stay_at_its_front() {
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    let snapshot = "1".repeat(5_000_000);
    let stream = frame(true, Opcode::Text, snapshot.as_bytes());
    for piece in stream.chunks(4096) {
        assert_eq!(decoder.next_message(), Ok(None));
        assert_eq!(decoder.append(piece), piece.len());
    }
    assert_eq!(decoder.next_message(), Ok(Some(Message::Text(&snapshot))));
    let grown = decoder.buffer_bytes();
    assert!(grown <= 10_000_000, "{grown}");

    // Each read ends inside a frame, as reads of a busy feed do.
    let update = frame(true, Opcode::Text, &[b'u'; 700]);
    let updates = update.repeat(4000);
    let mut count = 0;
    let mut room_min = usize::MAX;
    for piece in updates.chunks(1000) {
        let space = decoder.space(4096);
        room_min = room_min.min(space.len());
        space[..piece.len()].copy_from_slice(piece);
        decoder.commit(piece.len());
        while let Some(message) = decoder.next_message().unwrap() {
            assert_eq!(message, Message::Text(&"u".repeat(700)));
            count += 1;
        }
    }
    assert_eq!(count, 4000);
    assert_eq!(decoder.buffer_bytes(), grown);
    assert!(
        grown - room_min < 64 << 10,
        "unread bytes wandered {} bytes into the buffer",
        grown - room_min
    );
    assert_eq!(decoder.position(), (stream.len() + updates.len()) as u64);
}

#[test]
fn a_drained_decoder_always_has_room_even_at_its_ceiling() {
    // The tightest case: the longest message, in fragments, with control frames that come in pieces.
    let limits = Limits {
        frame_bytes_max: 5000,
        message_bytes_max: 5000,
        buffer_bytes: 16,
        ..Limits::default()
    };
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for index in 0..50u8 {
        let opcode = if index == 0 {
            Opcode::Binary
        } else {
            Opcode::Continuation
        };
        stream.extend(masked(false, opcode, &[index; 100], [index, 1, 2, 3]));
        stream.extend(masked(true, Opcode::Ping, &[index; 125], [3, index, 2, 1]));
        expected.push(Owned::Ping(vec![index; 125]));
    }
    stream.extend(masked(true, Opcode::Continuation, b"", [0; 4]));
    expected.push(Owned::Binary((0..50).flat_map(|index| [index; 100]).collect()));
    for pieces in [&[1][..], &[13, 64, 7], &[usize::MAX]] {
        let (messages, end) = decode_in_pieces(Role::Server, limits, &stream, pieces);
        assert_eq!((messages.as_slice(), end), (expected.as_slice(), Ok(())));
    }
}

#[test]
fn append_without_draining_stops_at_the_ceiling() {
    let limits = Limits {
        frame_bytes_max: 1000,
        message_bytes_max: 1000,
        buffer_bytes: 16,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    let stream = frame(true, Opcode::Binary, &[7; 998]).repeat(200);
    let taken = decoder.append(&stream);
    assert_eq!(taken, 1000 + (64 << 10) + 256);
    assert_eq!(decoder.append(&stream[taken..]), 0);
    let mut messages = Vec::new();
    drain(&mut decoder, &mut messages).unwrap();
    let mut rest = &stream[taken..];
    while !rest.is_empty() {
        let taken = decoder.append(rest);
        assert!(taken > 0);
        rest = &rest[taken..];
        drain(&mut decoder, &mut messages).unwrap();
    }
    assert_eq!(messages, vec![Owned::Binary(vec![7; 998]); 200]);
}

#[test]
fn reset_forgets_the_stream_and_keeps_the_buffer() {
    let mut decoder = Decoder::new(Role::Client, small());
    assert_eq!(decoder.append(&frame(false, Opcode::Text, &[b'a'; 3000])), 3004);
    assert_eq!(decoder.append(b"\xff\xff"), 2);
    assert!(decoder.next_message().is_err());
    let grown = decoder.buffer_bytes();
    decoder.reset();
    assert_eq!(
        (decoder.position(), decoder.unread_bytes(), decoder.is_inside_message()),
        (0, 0, false)
    );
    assert_eq!(decoder.append(b"\x81\x02ok"), 4);
    assert_eq!(decoder.next_message(), Ok(Some(Message::Text("ok"))));
    assert_eq!(decoder.buffer_bytes(), grown);
}

#[test]
#[should_panic(expected = "committed more")]
fn commit_checks_its_caller() {
    let mut decoder = Decoder::new(Role::Client, small());
    let room = decoder.space(1).len();
    decoder.commit(room + 1);
}

#[test]
fn encoder_uses_the_shortest_length() {
    for (length, header) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (65535, vec![0x82, 126, 0xFF, 0xFF]),
        (65536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let encoded = frame(true, Opcode::Binary, &vec![5; length]);
        assert_eq!(encoded[..header.len()], header);
        assert_eq!(encoded.len(), header.len() + length);
    }
}

#[test]
fn control_payloads_over_125_bytes_are_not_encoded() {
    let mut out = Vec::new();
    let mut encoder = Encoder::server();
    assert!(encoder.ping(&[0; 125], &mut out).is_ok());
    let length = out.len();
    assert_eq!(encoder.ping(&[0; 126], &mut out).unwrap_err().length, 126);
    assert_eq!(encoder.pong(&[0; 126], &mut out).unwrap_err().length, 126);
    assert_eq!(out.len(), length);
}

#[test]
fn a_long_close_reason_is_cut_between_characters() {
    let mut out = Vec::new();
    encode_close(Some(1000), &"ü".repeat(100), None, &mut out);
    let expected = [Owned::Close(Some(1000), "ü".repeat(61))];
    assert_eq!(
        decode_in_pieces(Role::Client, small(), &out, &[9]),
        (expected.to_vec(), Ok(()))
    );
}

#[test]
fn masks_differ_from_frame_to_frame_and_repeat_with_the_seed() {
    let masks = |mut source: MaskSource| [(); 64].map(|()| source.next_mask());
    let seeded = masks(MaskSource::from_seed([1; 32]));
    assert_eq!(seeded, masks(MaskSource::from_seed([1; 32])));
    assert_ne!(seeded, masks(MaskSource::from_seed([2; 32])));
    let mut distinct = seeded.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), seeded.len());
    assert_ne!(
        masks(MaskSource::from_os().unwrap()),
        masks(MaskSource::from_os().unwrap())
    );
    assert_eq!(
        format!("{:?}", MaskSource::from_seed([1; 32])),
        "MaskSource { .. }",
        "no state in logs"
    );
}

/// A message and how it goes over the wire.
#[derive(Clone, Debug)]
struct Sent {
    message: Owned,
    /// Where the payload is cut into fragments, as fractions of 65536.
    cuts: Vec<u16>,
    /// Control frames, one after each fragment but the last.
    between: Vec<Owned>,
}

fn control() -> impl Strategy<Value = Owned> {
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    (any::<bool>(), payload).prop_map(|(is_ping, bytes)| {
        if is_ping {
            Owned::Ping(bytes)
        } else {
            Owned::Pong(bytes)
        }
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = prop_oneof![
        4 => "[ -~]{0,40}",
        2 => ".{0,60}",
        1 => (".{1,4}", 1..400usize).prop_map(|(piece, count)| piece.repeat(count)),
    ];
    let message = prop_oneof![
        4 => text.prop_map(Owned::Text),
        2 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
        1 => (any::<u8>(), 60_000..70_000usize).prop_map(|(byte, count)| Owned::Binary(vec![byte; count])),
        2 => control(),
    ];
    let cuts = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(any::<u16>(), 0..5)];
    (message, cuts, prop::collection::vec(control(), 0..5)).prop_map(|(message, cuts, between)| Sent {
        message,
        cuts,
        between,
    })
}

fn write(fin: bool, opcode: Opcode, payload: &[u8], masks: &mut Option<MaskSource>, stream: &mut Vec<u8>) {
    encode_frame(fin, opcode, payload, masks.as_mut().map(MaskSource::next_mask), stream);
}

fn write_control(control: &Owned, masks: &mut Option<MaskSource>, stream: &mut Vec<u8>) {
    match control {
        Owned::Ping(payload) => write(true, Opcode::Ping, payload, masks, stream),
        Owned::Pong(payload) => write(true, Opcode::Pong, payload, masks, stream),
        other => panic!("not a control frame: {other:?}"),
    }
}

/// The stream of these messages, and what a receiver must see.
fn stream_of(messages: &[Sent], mut masks: Option<MaskSource>) -> (Vec<u8>, Vec<Owned>) {
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for Sent { message, cuts, between } in messages {
        let (opcode, payload) = match message {
            Owned::Text(text) => (Opcode::Text, text.as_bytes()),
            Owned::Binary(bytes) => (Opcode::Binary, bytes.as_slice()),
            control => {
                write_control(control, &mut masks, &mut stream);
                expected.push(control.clone());
                continue;
            }
        };
        let mut borders: Vec<usize> = cuts
            .iter()
            .map(|&cut| payload.len() * usize::from(cut) / 65536)
            .collect();
        borders.sort_unstable();
        borders.push(payload.len());
        let mut from = 0;
        for (index, &to) in borders.iter().enumerate() {
            let opcode = if index == 0 { opcode } else { Opcode::Continuation };
            let is_last = index + 1 == borders.len();
            write(is_last, opcode, &payload[from..to], &mut masks, &mut stream);
            if let Some(control) = between.get(index).filter(|_| !is_last) {
                write_control(control, &mut masks, &mut stream);
                expected.push(control.clone());
            }
            from = to;
        }
        expected.push(message.clone());
    }
    (stream, expected)
}

/// The judge: decodes a valid stream that is there as a whole, with copies of everything.
fn decode_simply(mut stream: &[u8]) -> Vec<Owned> {
    let mut messages = Vec::new();
    let mut open: Option<(u8, Vec<u8>)> = None;
    while !stream.is_empty() {
        let (fin, opcode) = (stream[0] >> 7 == 1, stream[0] & 15);
        let is_masked = stream[1] >> 7 == 1;
        let (length, mut at) = match stream[1] & 127 {
            126 => (u16::from_be_bytes(stream[2..4].try_into().unwrap()) as usize, 4),
            127 => (u64::from_be_bytes(stream[2..10].try_into().unwrap()) as usize, 10),
            short => (short as usize, 2),
        };
        let mut mask = [0; 4];
        if is_masked {
            mask.copy_from_slice(&stream[at..at + 4]);
            at += 4;
        }
        let payload: Vec<u8> = (0..length).map(|index| stream[at + index] ^ mask[index % 4]).collect();
        stream = &stream[at + length..];
        match opcode {
            9 => messages.push(Owned::Ping(payload)),
            10 => messages.push(Owned::Pong(payload)),
            opcode => {
                let (kind, mut bytes) = open.take().unwrap_or((opcode, vec![]));
                bytes.extend(payload);
                match (fin, kind) {
                    (false, kind) => open = Some((kind, bytes)),
                    (true, 1) => messages.push(Owned::Text(String::from_utf8(bytes).unwrap())),
                    (true, _) => messages.push(Owned::Binary(bytes)),
                }
            }
        }
    }
    messages
}

fn roles() -> impl Strategy<Value = (Role, Option<MaskSource>)> {
    prop_oneof![
        Just((Role::Client, None)),
        any::<[u8; 32]>().prop_map(|seed| (Role::Server, Some(MaskSource::from_seed(seed)))),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1..20usize, 1..50),
        prop::collection::vec(1..5000usize, 1..50),
        Just(vec![usize::MAX]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_messages_in_any_pieces_come_out_as_they_went_in(
        messages in prop::collection::vec(sent(), 0..12),
        (role, masks) in roles(),
        pieces in pieces(),
        buffer_bytes in prop_oneof![Just(0usize), 1..300usize, Just(64 << 10)],
    ) {
        let (stream, expected) = stream_of(&messages, masks);
        prop_assert_eq!(&decode_simply(&stream), &expected);
        let limits = Limits { buffer_bytes, ..Limits::default() };
        prop_assert_eq!(decode_in_pieces(role, limits, &stream, &pieces), (expected, Ok(())));
    }

    /// What a stream means does not depend on how it is cut, even when it means nothing.
    #[test]
    fn a_damaged_stream_ends_alike_in_any_pieces(
        messages in prop::collection::vec(sent(), 1..6),
        (role, masks) in roles(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in pieces(),
    ) {
        let (mut stream, _) = stream_of(&messages, masks);
        for (index, byte) in damage {
            let index = index.index(stream.len());
            stream[index] = byte;
        }
        let limits = Limits { frame_bytes_max: 65_000, message_bytes_max: 66_000, buffer_bytes: 32, ..Limits::default() };
        let at_once = decode_in_pieces(role, limits, &stream, &[usize::MAX]);
        prop_assert_eq!(decode_in_pieces(role, limits, &stream, &pieces), at_once);
    }

    /// The decoder fails with the very byte that makes the text impossible, though the frame announces more: neither
    /// earlier nor later than `std` would.
    #[test]
    fn bad_text_is_refused_with_the_first_bad_byte(
        text in prop::collection::vec(
            prop_oneof![
                prop::sample::select(b"a\x7f\x80\xbf\xc0\xc2\xdf\xe0\x9f\xa0\xed\xee\xef\xf0\x8f\x90\xf4\xf5\xff".to_vec()),
                any::<u8>(),
            ],
            1..12,
        ),
        prefix in "[a-zκόσμε€😀]{0,40}",
        cut in any::<prop::sample::Index>(),
        is_masked in any::<bool>(),
    ) {
        let text = [prefix.as_bytes(), &text].concat();
        let cut = cut.index(text.len());
        let mask = is_masked.then_some([0xA5, 0x5A, 0x12, 0x34]);
        // Two fragments; the second announces more than comes.
        let mut stream = Vec::new();
        encode_frame(false, Opcode::Text, &text[..cut], mask, &mut stream);
        let second = stream.len();
        encode_frame(true, Opcode::Continuation, &[&text[cut..], &[b'.'; 50]].concat(), mask, &mut stream);
        let second_header = stream.len() - second - (text.len() - cut) - 50;

        let mut decoder = Decoder::new(if is_masked { Role::Server } else { Role::Client }, small());
        for (index, byte) in stream[..stream.len() - 50].iter().enumerate() {
            prop_assert_eq!(decoder.append(&[*byte]), 1);
            let received = if index < second {
                (index + 1).saturating_sub(second - cut)
            } else {
                cut + (index + 1 - second).saturating_sub(second_header)
            };
            match std::str::from_utf8(&text[..received]) {
                Err(error) if error.error_len().is_some() => {
                    let expected = WsError::InvalidUtf8 { offset: error.valid_up_to() };
                    prop_assert_eq!(decoder.next_message(), Err(expected), "after byte {}", index);
                    return Ok(());
                }
                _ => prop_assert_eq!(decoder.next_message(), Ok(None), "after byte {}", index),
            }
        }
    }

    /// Whatever comes: no panic, no more memory than the ceiling, no message over the limits.
    #[test]
    fn noise_is_harmless(stream in prop::collection::vec(any::<u8>(), 0..600), pieces in pieces(), is_server in any::<bool>()) {
        let limits = Limits { frame_bytes_max: 1000, message_bytes_max: 1500, buffer_bytes: 16, ..Limits::default() };
        let role = if is_server { Role::Server } else { Role::Client };
        let (messages, _) = decode_in_pieces(role, limits, &stream, &pieces);
        for message in messages {
            match message {
                Owned::Text(text) => prop_assert!(text.len() <= 1500),
                Owned::Binary(bytes) => prop_assert!(bytes.len() <= 1500),
                Owned::Ping(bytes) | Owned::Pong(bytes) => prop_assert!(bytes.len() <= 125),
                Owned::Close(_, reason) => prop_assert!(reason.len() <= 123),
            }
        }
    }
}
