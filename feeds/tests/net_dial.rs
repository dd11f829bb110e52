//! Dialling: every way in which it can fail has a name.

#![allow(clippy::unwrap_used, reason = "servers' threads unwrap as the tests do")]

mod net_support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use net_support::{Said, TLS, Wire, certificate, client_config, next, serve, serve_raw, serve_websocket, text_frame};
use quantumflow_feeds::net::{
    Applied, DialError, DialOptions, DialStep, Endpoint, TcpOptions, TlsClientConfig, TlsError, TlsRoots, dial,
};
use quantumflow_feeds::ws::{HandshakeError, MaskSource};

fn masks() -> MaskSource {
    MaskSource::from_seed([1; 32])
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

#[test]
fn a_name_with_several_addresses_is_tried_until_one_answers() {
    // `localhost` is ::1 and 127.0.0.1 on most systems; only one of them listens.
    let server = serve_websocket(TLS, |mut line| line.write_all(&text_frame("hello")).unwrap());
    let endpoint = endpoint(&format!("wss://localhost:{}/ws", server.endpoint.port()));
    let mut connection = dial(&endpoint, &server.options, masks()).unwrap();
    assert_eq!(next(&mut connection).unwrap(), Said::Text("hello".into()));
    server.join();
}

#[test]
fn options_reach_the_socket() {
    let mut server = serve_websocket(Wire::Plain, drop);
    server.options.tcp = TcpOptions {
        recv_buffer_bytes: Some(128 * 1024),
        kernel_stamps: false,
        ..TcpOptions::default()
    };
    let connection = server.dial().unwrap();
    assert!(connection.tcp_applied().recv_buffer_bytes >= 128 * 1024);
    assert_eq!(connection.tcp_applied().kernel_stamps, Applied::NotAsked);
    assert_eq!(connection.peer_addr().unwrap().port(), server.endpoint.port());
    server.join();
}

#[test]
fn the_request_names_host_path_and_headers() {
    let mut server = serve_raw(|mut stream| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        while !bytes.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8(bytes).unwrap()
    });
    server.options.headers = vec![("User-Agent".into(), "quantumflow/test".into())];
    let streams: Vec<_> = (0..200).map(|i| format!("symbol{i}usdt@depth@100ms")).collect();
    let path = format!("/stream?streams={}", streams.join("/"));
    let endpoint = endpoint(&format!("ws://{}{path}", server.endpoint.host_header()));
    assert!(matches!(
        dial(&endpoint, &server.options, masks()),
        Err(DialError::Closed {
            step: DialStep::Upgrade
        })
    ));
    let request = server.join();
    assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
    assert!(
        request.contains(&format!("Host: {}\r\n", endpoint.host_header())),
        "{request}"
    );
    assert!(request.contains("User-Agent: quantumflow/test\r\n"), "{request}");
}

#[test]
fn a_closed_port_is_refused_by_address() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    match dial(&endpoint(&format!("ws://{address}/")), &DialOptions::default(), masks()).unwrap_err() {
        DialError::Connect {
            address: named,
            tried: 1,
            source,
        } => {
            assert_eq!(named, address);
            assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_name_that_does_not_exist_is_named() {
    let options = DialOptions {
        timeout: Duration::from_secs(3),
        ..DialOptions::default()
    };
    match dial(&endpoint("ws://no-such-host.invalid/"), &options, masks()).unwrap_err() {
        DialError::Resolve { host, .. } => assert_eq!(host, "no-such-host.invalid"),
        // A resolver that cannot be reached lets the time pass.
        DialError::Timeout { step, .. } => assert_eq!(step, DialStep::Resolve),
        error => panic!("{error:?}"),
    }
}

#[test]
fn tls_needs_authorities() {
    let result = dial(&endpoint("wss://localhost:1/"), &DialOptions::default(), masks());
    assert!(matches!(result, Err(DialError::NoTlsConfig)));
}

#[test]
fn a_silent_server_times_out_at_the_step_it_is_silent_in() {
    for (scheme, step) in [("wss", DialStep::Tls), ("ws", DialStep::Upgrade)] {
        let (hang_up, hung_up) = mpsc::channel::<()>();
        let server = serve_raw(move |stream| {
            let _ = hung_up.recv();
            drop(stream);
        });
        let timeout = Duration::from_millis(200);
        let options = DialOptions {
            timeout,
            tls: Some(client_config(&certificate())),
            ..server.options.clone()
        };
        let endpoint = endpoint(&format!("{scheme}://{}/", server.endpoint.host_header()));
        let start = Instant::now();
        match dial(&endpoint, &options, masks()).unwrap_err() {
            DialError::Timeout {
                step: at,
                timeout: given,
            } => assert_eq!((at, given), (step, timeout)),
            error => panic!("{error:?}"),
        }
        assert!(start.elapsed() >= timeout);
        drop(hang_up);
        server.join();
    }
}

#[test]
fn a_server_that_hangs_up_is_told_from_one_that_is_silent() {
    for (scheme, step) in [("wss", DialStep::Tls), ("ws", DialStep::Upgrade)] {
        let server = serve_raw(|mut stream| stream.read(&mut [0; 4096]).map(drop));
        let options = DialOptions {
            tls: Some(client_config(&certificate())),
            ..server.options.clone()
        };
        let endpoint = endpoint(&format!("{scheme}://{}/", server.endpoint.host_header()));
        match dial(&endpoint, &options, masks()).unwrap_err() {
            DialError::Closed { step: at } | DialError::Io { step: at, .. } => assert_eq!(at, step),
            error => panic!("{error:?}"),
        }
        server.join().unwrap();
    }
}

#[test]
fn a_wrong_certificate_is_refused_by_host_and_reason() {
    let server = serve_raw(|stream| {
        let certificate = certificate();
        let config = net_support::server_config(&certificate, &Default::default());
        quantumflow_feeds::net::TlsServerStream::accept(&config, stream)
            .unwrap_err()
            .to_string()
    });
    let options = DialOptions {
        tls: Some(TlsClientConfig::new(TlsRoots::Mozilla).unwrap()),
        ..server.options.clone()
    };
    let endpoint = endpoint(&format!("wss://localhost:{}/", server.endpoint.port()));
    match dial(&endpoint, &options, masks()).unwrap_err() {
        DialError::Tls(error @ TlsError::Certificate { .. }) => {
            let text = error.to_string();
            assert!(text.contains("localhost") && text.contains("UnknownIssuer"), "{text}");
        }
        error => panic!("{error:?}"),
    }
    let seen = server.join();
    assert!(
        seen.contains("UnknownCa") || seen.contains("UnknownCA"),
        "the server saw: {seen}"
    );
}

#[test]
fn a_plain_server_behind_a_wss_address_is_no_tls() {
    let server = serve_raw(|mut stream| {
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let options = DialOptions {
        tls: Some(client_config(&certificate())),
        ..server.options.clone()
    };
    let endpoint = endpoint(&format!("wss://localhost:{}/", server.endpoint.port()));
    let error = dial(&endpoint, &options, masks()).unwrap_err();
    assert!(matches!(error, DialError::Tls(TlsError::Protocol { .. })), "{error:?}");
    server.join();
}

/// Answers the upgrade with `answer` and hangs up.
fn answer(wire: Wire, answer: &'static str) -> DialError {
    let server = serve(wire, move |mut line| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        while !bytes.ends_with(b"\r\n\r\n") {
            let n = line.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..n]);
        }
        line.write_all(answer.as_bytes()).unwrap();
    });
    let error = server.dial().unwrap_err();
    server.join();
    error
}

#[test]
fn a_rate_limit_says_how_long_to_stay_away() {
    for wire in [Wire::Plain, TLS] {
        let error = answer(
            wire,
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 9\r\n\r\nslow down",
        );
        assert_eq!(error.http_status(), Some(429));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
        let DialError::Upgrade(cause) = error else {
            panic!("{error:?}")
        };
        assert!(cause.to_string().contains("slow down"), "{cause}");
    }
}

#[test]
fn a_refusal_whose_body_never_comes_is_still_a_refusal() {
    let error = answer(
        Wire::Plain,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5000\r\n\r\nmaint",
    );
    assert_eq!(error.http_status(), Some(503));
}

#[test]
fn an_answer_without_proof_is_not_a_websocket() {
    let error = answer(
        Wire::Plain,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
    );
    assert!(
        matches!(error, DialError::Upgrade(HandshakeError::WrongAccept { .. })),
        "{error:?}"
    );
}
