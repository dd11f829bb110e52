//! The HTTP upgrade of both sides, against the rules of RFC 6455, 4, and against each other.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use std::time::Duration;

use proptest::prelude::*;
use quantumflow_feeds::ws::{
    Accepted, ClientHandshake, HandshakeError, Request, ServerHandshake, UpgradeRequest, handshake::HEAD_BYTES_MAX,
    write_response,
};

/// The key of RFC 6455, 1.3, whose answer is known.
const RFC_KEY: [u8; 16] = *b"the sample nonce";
const RFC_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const PLAIN: UpgradeRequest<'static> = UpgradeRequest {
    host: "stream.example.com",
    port: 443,
    is_tls: true,
    target: "/stream",
    headers: &[],
    subprotocols: &[],
};

fn start(request: &UpgradeRequest<'_>) -> (ClientHandshake, String) {
    let mut out = Vec::new();
    let handshake = ClientHandshake::new(request, RFC_KEY, &mut out).unwrap();
    (handshake, String::from_utf8(out).unwrap())
}

/// A good answer with `more` header lines.
fn answer(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {RFC_ACCEPT}\r\n{more}\r\n"
    )
}

/// Feeds `answer` at once and split at every boundary; all must agree. Returns the result and the leftover.
fn feed(request: &UpgradeRequest<'_>, answer: &[u8]) -> (Result<Option<Accepted>, HandshakeError>, Vec<u8>) {
    let run = |pieces: &[&[u8]]| {
        let (mut handshake, _) = start(request);
        let mut result = Ok(None);
        for piece in pieces {
            result = handshake.feed(piece);
            if result.is_err() {
                break;
            }
        }
        (result, handshake.leftover().to_vec())
    };
    let at_once = run(&[answer]);
    for boundary in 0..answer.len() {
        assert_eq!(
            run(&[&answer[..boundary], &answer[boundary..]]),
            at_once,
            "split at {boundary}"
        );
    }
    let single: Vec<&[u8]> = answer.chunks(1).collect();
    assert_eq!(run(&single), at_once, "byte by byte");
    at_once
}

#[test]
fn the_request_is_what_the_standard_asks_for() {
    let (_, head) = start(&PLAIN);
    assert_eq!(
        head,
        "GET /stream HTTP/1.1\r\nHost: stream.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let request = UpgradeRequest {
        headers: &[("User-Agent", "quantumflow/0.1"), ("Origin", "https://example.com")],
        subprotocols: &["v2.feed", "v1.feed"],
        ..PLAIN
    };
    let (_, head) = start(&request);
    assert!(head.ends_with(
        "Sec-WebSocket-Protocol: v2.feed, v1.feed\r\nUser-Agent: quantumflow/0.1\r\nOrigin: https://example.com\r\n\r\n"
    ));
}

#[test]
fn host_carries_every_port_but_the_default_one() {
    let rows = [
        ("a.example", 443, true, "a.example"),
        ("a.example", 9443, true, "a.example:9443"),
        ("a.example", 80, true, "a.example:80"),
        ("a.example", 80, false, "a.example"),
        ("127.0.0.1", 19001, false, "127.0.0.1:19001"),
        ("::1", 8080, false, "[::1]:8080"),
        ("[::1]", 80, false, "[::1]"),
    ];
    for (host, port, is_tls, expected) in rows {
        let (_, head) = start(&UpgradeRequest {
            host,
            port,
            is_tls,
            ..PLAIN
        });
        assert!(head.contains(&format!("\r\nHost: {expected}\r\n")), "{head}");
    }
}

#[test]
fn a_path_may_be_longer_than_any_buffer() {
    let streams: Vec<String> = (0..2000)
        .map(|index| format!("symbol{index}usdt@depth@100ms"))
        .collect();
    let target = format!("/stream?streams={}", streams.join("/"));
    assert!(target.len() > 40_000);
    let (mut handshake, head) = start(&UpgradeRequest {
        target: &target,
        ..PLAIN
    });
    assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")));
    assert!(handshake.feed(answer("").as_bytes()).unwrap().is_some());
}

#[test]
fn nothing_can_break_out_of_its_line() {
    let bad = |request: UpgradeRequest<'_>| {
        let mut out = Vec::new();
        let error = ClientHandshake::new(&request, RFC_KEY, &mut out).unwrap_err();
        assert!(out.is_empty());
        error
    };
    let invalid = |error| matches!(error, HandshakeError::InvalidRequest { .. });
    for host in ["", "a b", "a\r\nX: y", "a/b", "user@a"] {
        assert!(invalid(bad(UpgradeRequest { host, ..PLAIN })), "{host:?}");
    }
    for target in ["", "stream", "/a b", "/a\r\nX: y", "/ü", "/\0"] {
        assert!(invalid(bad(UpgradeRequest { target, ..PLAIN })), "{target:?}");
    }
    for header in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("a", "x\r\ny"),
        ("a", "x\ny"),
        ("a", "\0"),
    ] {
        assert!(
            invalid(bad(UpgradeRequest {
                headers: &[header],
                ..PLAIN
            })),
            "{header:?}"
        );
    }
    for subprotocol in ["", "a,b", "a b"] {
        assert!(
            invalid(bad(UpgradeRequest {
                subprotocols: &[subprotocol],
                ..PLAIN
            })),
            "{subprotocol:?}"
        );
    }
    for name in [
        "host",
        "UPGRADE",
        "Connection",
        "sec-websocket-key",
        "Sec-WebSocket-Extensions",
    ] {
        let error = bad(UpgradeRequest {
            headers: &[(name, "x")],
            ..PLAIN
        });
        assert_eq!(error, HandshakeError::ReservedHeader { name: name.into() });
    }
}

#[test]
fn a_right_answer_is_accepted_and_the_first_frames_are_kept() {
    let (result, leftover) = feed(&PLAIN, answer("").as_bytes());
    assert_eq!(result, Ok(Some(Accepted { subprotocol: None })));
    assert_eq!(leftover, b"");

    let bytes = [answer("Server: x\r\n").as_bytes(), b"\x81\x02hi\n\n\r\n"].concat();
    let (result, leftover) = feed(&PLAIN, &bytes);
    assert_eq!(result, Ok(Some(Accepted { subprotocol: None })));
    assert_eq!(leftover, b"\x81\x02hi\n\n\r\n");

    let answer = format!(
        "HTTP/1.1 101 \r\nUPGRADE: WebSocket\r\nconnection: keep-alive, uPGRADE\r\nsec-websocket-accept:{RFC_ACCEPT}  \r\n\r\n"
    );
    assert_eq!(
        feed(&PLAIN, answer.as_bytes()).0,
        Ok(Some(Accepted { subprotocol: None }))
    );
}

#[test]
fn a_subprotocol_must_have_been_offered() {
    let request = UpgradeRequest {
        subprotocols: &["v2.feed", "v1.feed"],
        ..PLAIN
    };
    let choose = |request: &UpgradeRequest<'_>, name: &str| {
        feed(
            request,
            answer(&format!("Sec-WebSocket-Protocol: {name}\r\n")).as_bytes(),
        )
        .0
    };
    let accepted = Accepted {
        subprotocol: Some("v1.feed".into()),
    };
    assert_eq!(choose(&request, "v1.feed"), Ok(Some(accepted)));
    assert_eq!(
        feed(&request, answer("").as_bytes()).0,
        Ok(Some(Accepted { subprotocol: None }))
    );
    let unoffered = |name: &str| Err(HandshakeError::UnofferedSubprotocol(name.into()));
    assert_eq!(choose(&request, "v3.feed"), unoffered("v3.feed"));
    assert_eq!(choose(&request, "V1.FEED"), unoffered("V1.FEED"));
    assert_eq!(choose(&request, "v2.feed, v1.feed"), unoffered("v1.feed"));
    assert_eq!(choose(&PLAIN, "v1.feed"), unoffered("v1.feed"));
}

#[test]
fn a_wrong_answer_is_refused_for_what_is_wrong() {
    let good = answer("");
    let accept_line = format!("Sec-WebSocket-Accept: {RFC_ACCEPT}\r\n");
    let wrong_accept = |got: &str| HandshakeError::WrongAccept {
        expected: RFC_ACCEPT.into(),
        got: got.into(),
    };
    let rows = [
        (
            good.replace("Upgrade: websocket\r\n", ""),
            HandshakeError::MissingUpgrade,
        ),
        (good.replace("websocket", "h2c"), HandshakeError::MissingUpgrade),
        (
            good.replace("Connection: Upgrade\r\n", ""),
            HandshakeError::MissingConnection,
        ),
        (
            good.replace("Connection: Upgrade", "Connection: close"),
            HandshakeError::MissingConnection,
        ),
        (good.replace("HTTP/1.1", "HTTP/1.0"), HandshakeError::OldHttp),
        (good.replace(&accept_line, ""), wrong_accept("")),
        (
            good.replace(RFC_ACCEPT, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            wrong_accept("S3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ),
        (answer("Sec-WebSocket-Accept: AAAA\r\n"), wrong_accept("AAAA")),
        (
            answer("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"),
            HandshakeError::UnofferedExtension("permessage-deflate; client_no_context_takeover".into()),
        ),
    ];
    for (answer, error) in rows {
        assert_eq!(feed(&PLAIN, answer.as_bytes()), (Err(error), vec![]), "{answer}");
    }
}

#[test]
fn what_is_not_http_is_told_from_its_first_bytes() {
    for garbage in [
        "\x16\x03\x01\x02",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail\r\n",
        "HTTP/2.0 101\r\n\r\n",
    ] {
        let (mut handshake, _) = start(&PLAIN);
        assert!(
            matches!(handshake.feed(garbage.as_bytes()), Err(HandshakeError::Malformed(_))),
            "{garbage:?}"
        );
    }
    let (mut handshake, _) = start(&PLAIN);
    assert!(matches!(
        handshake.feed(b"HTTP/1.1 101 x\r\nbad header\r\n\r\n"),
        Err(HandshakeError::Malformed(_))
    ));
    let many = answer(&"A: b\r\n".repeat(100));
    let (mut handshake, _) = start(&PLAIN);
    assert_eq!(
        handshake.feed(many.as_bytes()),
        Err(HandshakeError::Malformed(httparse::Error::TooManyHeaders))
    );
}

#[test]
fn a_head_has_a_ceiling() {
    let too_long = HandshakeError::HeadTooLong { limit: HEAD_BYTES_MAX };
    let (mut handshake, _) = start(&PLAIN);
    assert_eq!(handshake.feed(b"HTTP/1.1 101 Switching\r\nX: "), Ok(None));
    let mut fed = 0;
    let error = loop {
        fed += 100;
        match handshake.feed(&[b'x'; 100]) {
            Ok(None) => assert!(fed <= HEAD_BYTES_MAX),
            Ok(Some(_)) => panic!("accepted"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, too_long);

    // Also when it comes at once, with its end.
    let (mut handshake, _) = start(&PLAIN);
    let long = answer(&format!("X: {}\r\n", "x".repeat(HEAD_BYTES_MAX)));
    assert_eq!(handshake.feed(long.as_bytes()), Err(too_long.clone()));

    let mut server = ServerHandshake::new();
    let error = std::iter::repeat_n(b"GET /xxxxxxxx", 2000).find_map(|piece| server.feed(piece).err());
    assert_eq!(error, Some(too_long));
}

#[test]
fn a_refusal_says_why_and_when_to_come_back() {
    let body = r#"{"code":-1003,"msg":"Too many requests"}"#;
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (result, leftover) = feed(&PLAIN, answer.as_bytes());
    let Err(HandshakeError::Refused(refusal)) = &result else {
        panic!("{result:?}");
    };
    assert_eq!((refusal.status, refusal.reason.as_str()), (429, "Too Many Requests"));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(120)));
    assert_eq!(refusal.excerpt, body);
    assert_eq!(leftover, b"");
    assert_eq!(
        result.unwrap_err().to_string(),
        format!("server answered HTTP 429 Too Many Requests, retry after 120 s: {body}")
    );
}

#[test]
fn a_refusals_body_is_cut_and_made_printable() {
    let answer = [
        b"HTTP/1.1 451\r\nContent-Length: 100000\r\n\r\n".as_slice(),
        b"<p>\x1b[2J\n\xff",
        &[b'x'; 900],
    ]
    .concat();
    let (mut handshake, _) = start(&PLAIN);
    let Err(HandshakeError::Refused(refusal)) = handshake.feed(&answer) else {
        panic!("not refused");
    };
    assert!(
        refusal.excerpt.starts_with("<p> [2J \u{fffd}xxx"),
        "{}",
        refusal.excerpt
    );
    assert_eq!(refusal.excerpt.chars().count(), 512);
    assert_eq!(
        (refusal.status, refusal.reason.as_str(), refusal.retry_after),
        (451, "", None)
    );
}

#[test]
fn a_refusal_without_a_length_waits_for_the_end_or_for_patience() {
    let (mut handshake, _) = start(&PLAIN);
    let head = b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/ws\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n";
    assert_eq!(handshake.feed(head), Ok(None));
    assert_eq!(handshake.feed(b"moved"), Ok(None));
    let HandshakeError::Refused(refusal) = handshake.give_up() else {
        panic!("not refused");
    };
    assert_eq!(
        (refusal.status, refusal.excerpt.as_str(), refusal.retry_after),
        (302, "moved", None)
    );
    assert_eq!(refusal.location.as_deref(), Some("https://elsewhere.example/ws"));

    // Statuses that have no body are reported at once.
    for status in [100, 204, 304] {
        let (mut handshake, _) = start(&PLAIN);
        let result = handshake.feed(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes());
        assert!(matches!(result, Err(HandshakeError::Refused(_))), "{result:?}");
    }
}

#[test]
fn a_connection_that_ends_early_says_how_far_it_came() {
    let (mut handshake, _) = start(&PLAIN);
    assert_eq!(handshake.give_up(), HandshakeError::ClosedEarly { received_bytes: 0 });
    assert_eq!(handshake.feed(b"HTTP/1.1 1"), Ok(None));
    assert_eq!(handshake.give_up(), HandshakeError::ClosedEarly { received_bytes: 10 });
}

fn requests(bytes: &[u8]) -> Result<Vec<Request>, HandshakeError> {
    let run = |pieces: &[&[u8]]| {
        let mut server = ServerHandshake::new();
        let mut requests = Vec::new();
        for piece in pieces {
            let mut next = server.feed(piece)?;
            while let Some(request) = next {
                requests.push(request);
                next = server.feed(b"")?;
            }
        }
        Ok(requests)
    };
    let at_once = run(&[bytes]);
    for boundary in 0..bytes.len() {
        assert_eq!(
            run(&[&bytes[..boundary], &bytes[boundary..]]),
            at_once,
            "split at {boundary}"
        );
    }
    at_once
}

#[test]
fn plain_requests_are_served_on_the_same_connection() {
    let bytes =
        b"\r\n\r\nGET /api/v3/depth?symbol=BTCUSDT&limit=1000 HTTP/1.1\r\nHost: localhost\r\nX-Key: abc\r\n\r\n\n\
        HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let requests = requests(bytes).unwrap();
    let [first, second] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!((first.method.as_str(), first.path()), ("GET", "/api/v3/depth"));
    assert_eq!(first.query(), "symbol=BTCUSDT&limit=1000");
    assert_eq!(
        (first.query_value("limit"), first.query_value("lim")),
        (Some("1000"), None)
    );
    assert_eq!((first.header("x-key"), first.header("missing")), (Some("abc"), None));
    assert!(!first.is_websocket());
    let mut out = Vec::new();
    assert!(!first.write_accept(None, &mut out));
    assert!(out.is_empty());
    assert_eq!(
        (second.method.as_str(), second.path(), second.query()),
        ("HEAD", "/", "")
    );

    write_response(200, &[("Content-Type", "application/json")], b"{}", &mut out);
    assert_eq!(
        out,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    );
}

#[test]
fn wrong_requests_have_their_status() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(requests(upgrade.as_bytes()).unwrap()[0].is_websocket());
    let rows = [
        (
            upgrade.replace("GET", "POST"),
            HandshakeError::UpgradeByWrongMethod("POST".into()),
            405,
        ),
        (upgrade.replace("HTTP/1.1", "HTTP/1.0"), HandshakeError::OldHttp, 505),
        (
            upgrade.replace("keep-alive, Upgrade", "keep-alive"),
            HandshakeError::MissingConnection,
            400,
        ),
        (
            upgrade.replace("Version: 13", "Version: 8"),
            HandshakeError::UnsupportedVersion("8".into()),
            426,
        ),
        (
            upgrade.replace("Sec-WebSocket-Version: 13\r\n", ""),
            HandshakeError::UnsupportedVersion(String::new()),
            426,
        ),
        (
            upgrade.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            HandshakeError::InvalidKey,
            400,
        ),
        (
            upgrade.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64"),
            HandshakeError::InvalidKey,
            400,
        ),
        (
            upgrade.replace("Sec-WebSocket-Key", "X"),
            HandshakeError::InvalidKey,
            400,
        ),
        (
            upgrade.replace(
                "Host: a\r\n",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: a\r\n",
            ),
            HandshakeError::InvalidKey,
            400,
        ),
        (
            upgrade.replace("Host: a\r\n", ""),
            HandshakeError::WrongHost { count: 0 },
            400,
        ),
        (
            upgrade.replace("Host: a\r\n", "Host: a\r\nHost: b\r\n"),
            HandshakeError::WrongHost { count: 2 },
            400,
        ),
        (
            upgrade.replace("Host: a\r\n", "Host: a\r\nContent-Length: 3\r\n"),
            HandshakeError::UnexpectedBody,
            413,
        ),
        (
            upgrade.replace("Host: a\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n"),
            HandshakeError::UnexpectedBody,
            413,
        ),
        (
            upgrade.replace("Host: a", "Host a"),
            HandshakeError::Malformed(httparse::Error::HeaderName),
            400,
        ),
    ];
    for (request, error, status) in rows {
        assert_eq!(error.http_status(), status);
        assert_eq!(requests(request.as_bytes()), Err(error), "{request}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever key the client draws, client and server agree, and the first frames reach their decoder.
    #[test]
    fn client_and_server_agree(
        key in any::<[u8; 16]>(),
        target in "/[!-~]{0,80}",
        chosen in prop::option::of(0..2usize),
        cut in any::<prop::sample::Index>(),
        first_frames in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let offered = ["v2.feed", "v1.feed"];
        let request = UpgradeRequest { target: &target, subprotocols: &offered, ..PLAIN };
        let mut wire = Vec::new();
        let mut client = ClientHandshake::new(&request, key, &mut wire).unwrap();

        let mut server = ServerHandshake::new();
        let cut_request = cut.index(wire.len());
        prop_assert_eq!(server.feed(&wire[..cut_request]).unwrap(), None);
        let seen = server.feed(&wire[cut_request..]).unwrap().unwrap();
        prop_assert_eq!(&seen.target, &target);
        prop_assert_eq!(seen.subprotocols().collect::<Vec<_>>(), offered);
        let subprotocol = chosen.map(|index| offered[index]);
        let mut answer = Vec::new();
        prop_assert!(seen.write_accept(subprotocol, &mut answer));
        answer.extend(&first_frames);

        let cut_answer = cut.index(answer.len());
        let early = client.feed(&answer[..cut_answer]).unwrap();
        let accepted = client.feed(&answer[cut_answer..]).unwrap();
        let expected = Accepted { subprotocol: subprotocol.map(str::to_owned) };
        prop_assert!(early.is_none() || early.as_ref() == Some(&expected));
        prop_assert_eq!(accepted, Some(expected));
        prop_assert_eq!(client.leftover(), first_frames.as_slice());
    }
}
