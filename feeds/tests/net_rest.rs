//! REST: a body is whole or an error.

#![allow(clippy::unwrap_used, reason = "servers' threads unwrap as the tests do")]

mod net_support;

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use net_support::{PATIENCE, certificate, server_config};
use quantumflow_feeds::net::{RestClient, RestError, RestOptions, TlsServerStream};

/// One answer of a plain HTTP server to one GET.
fn get(answer: Vec<u8>, options: &RestOptions) -> Result<Vec<u8>, RestError> {
    let server = net_support::serve_raw(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&answer); // a client that has seen enough hangs up
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 1024]);
    });
    let url = format!("http://{}/api/v3/depth?symbol=BTCUSDT", server.endpoint.host_header());
    let result = RestClient::new(options).unwrap().get(&url);
    server.join();
    result
}

fn read_request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while !bytes.ends_with(b"\r\n\r\n") {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0);
        bytes.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8(bytes).unwrap()
}

fn with_length(head: &str, announced: usize, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 {head}\r\nContent-Length: {announced}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const SNAPSHOT: &[u8] = br#"{"lastUpdateId":1,"bids":[["64000.10","0.5"]],"asks":[]}"#;

#[test]
fn whole_bodies_come_in_every_framing() {
    let options = RestOptions::default();
    assert_eq!(
        get(with_length("200 OK", SNAPSHOT.len(), SNAPSHOT), &options).unwrap(),
        SNAPSHOT
    );

    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in SNAPSHOT.chunks(10) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    let cut_after = chunked.len();
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(get(chunked.clone(), &options).unwrap(), SNAPSHOT);

    let zipped = gzip(SNAPSHOT);
    let head = "200 OK\r\nContent-Encoding: gzip";
    assert_eq!(
        get(with_length(head, zipped.len(), &zipped), &options).unwrap(),
        SNAPSHOT
    );

    // And cut short in every framing.
    chunked.truncate(cut_after);
    let error = get(chunked, &options).unwrap_err();
    assert!(matches!(error, RestError::Truncated { .. }), "{error:?}");
    for cut in [0, 1, SNAPSHOT.len() / 2, SNAPSHOT.len() - 1] {
        let error = get(with_length("200 OK", SNAPSHOT.len(), &SNAPSHOT[..cut]), &options).unwrap_err();
        match error {
            RestError::Truncated { received, expected } => {
                assert_eq!((received, expected), (cut as u64, Some(SNAPSHOT.len() as u64)));
            }
            error => panic!("cut at {cut}: {error:?}"),
        }
    }
    for cut in [5, zipped.len() / 2, zipped.len() - 9, zipped.len() - 1] {
        let error = get(with_length(head, zipped.len(), &zipped[..cut]), &options).unwrap_err();
        assert!(
            matches!(error, RestError::Truncated { .. } | RestError::Request(_)),
            "cut at {cut}: {error:?}"
        );
        // Even where the server's length agrees with the cut: the trailer is missing.
        let error = get(with_length(head, cut, &zipped[..cut]), &options).unwrap_err();
        assert!(
            matches!(error, RestError::Truncated { .. } | RestError::Request(_)),
            "cut at {cut}: {error:?}"
        );
    }
}

#[test]
fn the_ceiling_holds_announced_or_not_and_after_decompression() {
    let options = RestOptions {
        body_bytes_max: 1000,
        ..RestOptions::default()
    };
    let body = vec![b'7'; 1001];
    let is_refused = |answer| {
        let error = get(answer, &options).unwrap_err();
        assert!(matches!(error, RestError::BodyTooLarge { limit: 1000 }), "{error:?}");
    };
    is_refused(with_length("200 OK", body.len(), &body));
    is_refused(with_length("200 OK", 1 << 40, &body));
    is_refused([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &body].concat());
    let bomb = gzip(&vec![0; 10 << 20]);
    is_refused(with_length("200 OK\r\nContent-Encoding: gzip", bomb.len(), &bomb));
    assert_eq!(
        get(with_length("200 OK", 1000, &body[..1000]), &options).unwrap().len(),
        1000
    );
}

#[test]
fn rate_limits_say_how_long_to_wait() {
    for status in [429, 418] {
        let head = format!("{status} Stop\r\nRetry-After: 30");
        let error = get(with_length(&head, 2, b"{}"), &RestOptions::default()).unwrap_err();
        assert!(
            matches!(error, RestError::RateLimited { status: s, .. } if s == status),
            "{error:?}"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    }
    let error = get(with_length("429 Stop", 0, b""), &RestOptions::default()).unwrap_err();
    assert_eq!(error.retry_after(), None);
}

#[test]
fn other_statuses_show_the_beginning_of_the_body() {
    let body = br#"{"code":-1121,"msg":"Invalid symbol."}"#;
    match get(
        with_length("400 Bad Request", body.len(), body),
        &RestOptions::default(),
    )
    .unwrap_err()
    {
        RestError::Status {
            status: 400, excerpt, ..
        } => assert!(excerpt.contains("Invalid symbol"), "{excerpt}"),
        error => panic!("{error:?}"),
    }
    let moved = "302 Found\r\nLocation: http://127.0.0.1:1/elsewhere";
    let error = get(with_length(moved, 0, b""), &RestOptions::default()).unwrap_err();
    assert!(matches!(error, RestError::Status { status: 302, .. }), "{error:?}");
}

#[test]
fn a_silent_server_times_out() {
    let server = net_support::serve_raw(|mut stream| {
        read_request(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .unwrap();
        let _ = stream.read(&mut [0; 16]); // until the client gives up
    });
    let timeout = Duration::from_millis(200);
    let options = RestOptions {
        timeout,
        ..RestOptions::default()
    };
    let client = RestClient::new(&options).unwrap();
    let error = client
        .get(&format!("http://{}/", server.endpoint.host_header()))
        .unwrap_err();
    assert!(
        matches!(error, RestError::Timeout { timeout: given } if given == timeout),
        "{error:?}"
    );
    drop(client);
    server.join();
}

#[test]
fn own_authorities_are_trusted_and_others_are_not() {
    let certificate = certificate();
    for is_trusted in [true, false] {
        let config = server_config(&certificate, &Default::default());
        let server = net_support::serve_raw(move |stream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let Ok(mut stream) = TlsServerStream::accept(&config, stream) else {
                return;
            };
            read_request(&mut stream);
            stream
                .write_all(&with_length("200 OK", SNAPSHOT.len(), SNAPSHOT))
                .unwrap();
            stream.close().unwrap();
        });
        let roots_pem = is_trusted.then(|| certificate.authority_pem.clone().into_bytes());
        let client = RestClient::new(&RestOptions {
            roots_pem,
            ..RestOptions::default()
        })
        .unwrap();
        let result = client.get(&format!("https://localhost:{}/depth", server.endpoint.port()));
        match result {
            Ok(body) => assert!(is_trusted && body == SNAPSHOT),
            Err(RestError::Request(cause)) => {
                assert!(!is_trusted, "{cause}");
                assert!(cause.to_string().contains("UnknownIssuer"), "{cause}");
            }
            Err(error) => panic!("{error:?}"),
        }
        server.join();
    }
}

#[test]
fn slips_in_the_configuration_are_named() {
    let options = RestOptions {
        roots_pem: Some(b"nothing".to_vec()),
        ..RestOptions::default()
    };
    assert!(matches!(RestClient::new(&options), Err(RestError::Roots { .. })));
    let client = RestClient::new(&RestOptions::default()).unwrap();
    for url in ["depth", "ftp://host/", ""] {
        let error = client.get(url).unwrap_err();
        assert!(
            matches!(error, RestError::Url { .. } | RestError::Request(_)),
            "{url:?}: {error:?}"
        );
    }
}
