//! Any bytes as the answer to a client's upgrade, and as requests to a server: no panic, bounded memory, and where the
//! bytes are cut changes nothing.
//!
//! Input: one byte for the side, one for the length of the pieces, and the stream. A stream that begins with `+` is put
//! behind a right status line, so that the headers get their share of the noise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::ws::{
    Accepted, ClientHandshake, HandshakeError, Request, ServerHandshake, UpgradeRequest, handshake::HEAD_BYTES_MAX,
};

fuzz_target!(|input: &[u8]| {
    let [side, piece, stream @ ..] = input else {
        return;
    };
    let piece = usize::from(*piece).max(1);
    let is_client = side & 1 == 0;
    let stream = match stream.split_first() {
        Some((b'+', rest)) if is_client => [ACCEPT, rest].concat(),
        Some((b'+', rest)) => [b"GET /ws HTTP/1.1\r\nHost: a\r\n", rest].concat(),
        _ => stream.to_vec(),
    };
    if is_client {
        assert_eq!(client(&stream, usize::MAX), client(&stream, piece));
    } else {
        assert_eq!(server(&stream, usize::MAX), server(&stream, piece));
    }
});

/// The right answer to a key of zeros, but for the empty line.
const ACCEPT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n";

fn client(stream: &[u8], piece: usize) -> Result<Option<(Accepted, Vec<u8>)>, HandshakeError> {
    let request = UpgradeRequest {
        host: "a",
        port: 80,
        is_tls: false,
        target: "/",
        headers: &[],
        subprotocols: &["v1"],
    };
    let mut out = Vec::new();
    let mut handshake = ClientHandshake::new(&request, [0; 16], &mut out).expect("a plain request");
    let mut accepted = None;
    for piece in stream.chunks(piece) {
        accepted = handshake.feed(piece)?;
    }
    if accepted.is_none() {
        let _report = handshake.give_up().to_string();
    }
    Ok(accepted.map(|accepted| (accepted, handshake.leftover().to_vec())))
}

fn server(stream: &[u8], piece: usize) -> (Vec<Request>, Option<HandshakeError>) {
    let mut handshake = ServerHandshake::new();
    let mut requests = Vec::new();
    for piece in stream.chunks(piece) {
        let mut next = handshake.feed(piece);
        loop {
            match next {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
            next = handshake.feed(b"");
        }
        assert!(handshake.leftover().len() <= HEAD_BYTES_MAX);
    }
    let mut out = Vec::new();
    for request in &requests {
        assert_eq!(request.write_accept(None, &mut out), request.is_websocket());
    }
    (requests, None)
}
