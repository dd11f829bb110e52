//! TLS without sockets: both ends in one thread, every byte passed by hand.

#![allow(clippy::unwrap_used, reason = "a helper of a test may unwrap as the test itself")]

use std::time::{Duration, SystemTime};

use quantumflow_feeds::net::{
    Decrypted, RecordBuffer, TestCertificate, TlsClient, TlsClientConfig, TlsConfigError, TlsError, TlsRoots,
    TlsServer, TlsServerConfig, TlsServerOptions,
};

/// A client and a server, and what is on the wire between them.
struct Pair {
    client: TlsClient,
    client_input: RecordBuffer,
    to_server: Vec<u8>,
    server: TlsServer,
    server_input: RecordBuffer,
    to_client: Vec<u8>,
}

impl Pair {
    fn new(certificate: &TestCertificate, options: &TlsServerOptions, host: &str) -> Self {
        let roots = TlsClientConfig::new(TlsRoots::Pem(certificate.authority_pem.as_bytes())).unwrap();
        let mut to_server = Vec::new();
        Self {
            client: TlsClient::new(&roots, host, &mut to_server).unwrap(),
            client_input: RecordBuffer::new(0),
            to_server,
            server: TlsServer::new(&server_config(certificate, options)).unwrap(),
            server_input: RecordBuffer::new(0),
            to_client: Vec::new(),
        }
    }

    fn connected(options: &TlsServerOptions) -> Self {
        let mut pair = Self::new(&certificate(), options, "localhost");
        pair.handshake(usize::MAX).unwrap();
        pair
    }

    /// Passes bytes to and fro, at most `step` at a time, until both ends are done. The client's error comes first.
    fn handshake(&mut self, step: usize) -> Result<(), TlsError> {
        while self.client.is_handshaking() || self.server.is_handshaking() || !self.to_client.is_empty() {
            let before = (self.to_client.len(), self.to_server.len());
            for chunk in std::mem::take(&mut self.to_server).chunks(step) {
                self.serve(chunk)?;
            }
            for chunk in std::mem::take(&mut self.to_client).chunks(step) {
                assert_eq!(self.receive(chunk)?.0, b"");
            }
            assert!(before != (0, 0), "the handshake stands still");
        }
        Ok(())
    }

    fn serve(&mut self, bytes: &[u8]) -> Result<Vec<u8>, TlsError> {
        fill(&mut self.server_input, bytes);
        let mut plain = Vec::new();
        self.server
            .decrypt(&mut self.server_input, &mut self.to_client, |bytes| {
                plain.extend_from_slice(bytes)
            })?;
        Ok(plain)
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(Vec<u8>, Decrypted), TlsError> {
        fill(&mut self.client_input, bytes);
        let mut plain = Vec::new();
        let client = &mut self.client;
        let decrypted = client.decrypt(&mut self.client_input, &mut self.to_server, |bytes| {
            plain.extend_from_slice(bytes)
        })?;
        assert_eq!(decrypted.plain_bytes, plain.len());
        Ok((plain, decrypted))
    }

    fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        assert!(self.to_client.is_empty());
        self.server.encrypt(plain, &mut self.to_client).unwrap();
        std::mem::take(&mut self.to_client)
    }
}

fn fill(input: &mut RecordBuffer, bytes: &[u8]) {
    input.space()[..bytes.len()].copy_from_slice(bytes);
    input.commit(bytes.len());
}

fn certificate() -> TestCertificate {
    TestCertificate::generate(["localhost", "127.0.0.1"], SystemTime::now()).unwrap()
}

fn server_config(certificate: &TestCertificate, options: &TlsServerOptions) -> TlsServerConfig {
    TlsServerConfig::new(
        certificate.certificate_pem.as_bytes(),
        certificate.key_pem.as_bytes(),
        options,
    )
    .unwrap()
}

const TLS13: TlsServerOptions = TlsServerOptions {
    record_bytes_max: None,
    only_tls12: false,
};
const TLS12: TlsServerOptions = TlsServerOptions {
    record_bytes_max: None,
    only_tls12: true,
};

#[test]
fn handshake_survives_any_cut_of_the_stream() {
    for options in [TLS13, TLS12] {
        for step in [1, 2, 3, 5, 7, 64, 1000] {
            let mut pair = Pair::new(&certificate(), &options, "localhost");
            pair.handshake(step).unwrap();
            let expected = if options.only_tls12 { "TLSv1_2" } else { "TLSv1_3" };
            assert!(
                pair.client.describe().starts_with(expected),
                "{}",
                pair.client.describe()
            );
        }
    }
}

#[test]
fn records_split_at_every_byte_decrypt_to_the_same_text() {
    for options in [TLS13, TLS12] {
        let mut pair = Pair::connected(&options);
        let (first, second) = (b"{\"e\":\"depthUpdate\"}".as_slice(), b"{\"u\":42}".as_slice());
        let mut cut = 0;
        loop {
            let mut wire = pair.encrypt(first);
            wire.extend(pair.encrypt(second));
            if cut > wire.len() {
                break;
            }
            let (mut plain, _) = pair.receive(&wire[..cut]).unwrap();
            plain.extend(pair.receive(&wire[cut..]).unwrap().0);
            assert_eq!(plain, [first, second].concat(), "cut at byte {cut}");
            assert_eq!(pair.client_input.pending(), 0);
            cut += 1;
        }
        assert!(cut > 60, "only {cut} cuts were tried");
    }
}

#[test]
fn one_message_over_many_records_comes_in_order() {
    let mut pair = Pair::connected(&TlsServerOptions {
        record_bytes_max: Some(64),
        ..TLS13
    });
    let message: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let wire = pair.encrypt(&message);
    assert!(
        wire.len() > message.len() + 5 * (message.len() / 64),
        "the server did not fragment"
    );
    for step in [1_400, 16_384, 40_000] {
        let mut plain = Vec::new();
        let wire = match step {
            1_400 => wire.clone(),
            _ => pair.encrypt(&message),
        };
        for chunk in wire.chunks(step) {
            plain.extend(pair.receive(chunk).unwrap().0);
        }
        assert_eq!(plain, message);
    }
}

#[test]
fn client_speaks_and_the_server_understands() {
    let mut pair = Pair::connected(&TLS13);
    let message = vec![7u8; 50_000];
    pair.client.encrypt(&message, &mut pair.to_server).unwrap();
    let wire = std::mem::take(&mut pair.to_server);
    let plain: Vec<u8> = wire
        .chunks(10_000)
        .flat_map(|chunk| pair.serve(chunk).unwrap())
        .collect();
    assert_eq!(plain, message);
}

#[test]
fn key_updates_are_answered_with_the_next_record() {
    let mut pair = Pair::connected(&TLS13);
    for round in 0..3u8 {
        pair.server.update_keys(&mut pair.to_client).unwrap();
        let update = std::mem::take(&mut pair.to_client);
        assert_eq!(pair.receive(&update).unwrap().0, b"");
        let wire = pair.encrypt(&[round; 10]);
        assert_eq!(pair.receive(&wire).unwrap().0, [round; 10]);
        pair.client.encrypt(b"pong", &mut pair.to_server).unwrap();
        let wire = std::mem::take(&mut pair.to_server);
        assert_eq!(pair.serve(&wire).unwrap(), b"pong");
    }
}

#[test]
fn nothing_after_close_notify_is_delivered() {
    let mut pair = Pair::connected(&TLS13);
    let mut wire = pair.encrypt(b"last");
    pair.server.close(&mut wire).unwrap();
    wire.extend(b"\x17\x03\x03\x00\x10garbage garbage!");
    let (plain, decrypted) = pair.receive(&wire).unwrap();
    assert_eq!(plain, b"last");
    assert!(decrypted.peer_closed);

    pair.client.close(&mut pair.to_server).unwrap();
    assert!(!pair.to_server.is_empty());
    assert!(pair.client.encrypt(b"late", &mut pair.to_server).is_err());
}

#[test]
fn a_changed_byte_ends_the_connection_with_an_alert() {
    let mut pair = Pair::connected(&TLS13);
    let mut wire = pair.encrypt(b"price 100");
    *wire.last_mut().unwrap() ^= 1;
    let error = pair.receive(&wire).unwrap_err();
    assert!(matches!(error, TlsError::Protocol { .. }), "{error}");
    assert!(!pair.to_server.is_empty(), "the peer is not told");
    let alert = std::mem::take(&mut pair.to_server);
    let seen = pair.serve(&alert).unwrap_err();
    assert_eq!(
        seen,
        TlsError::Alert {
            alert: "BadRecordMac".into()
        }
    );
    let wire = pair.encrypt_lenient(b"more");
    assert_eq!(pair.receive(&wire).unwrap_err(), error, "an error is final");
}

impl Pair {
    /// As `encrypt`, for a server that may have been told to stop.
    fn encrypt_lenient(&mut self, plain: &[u8]) -> Vec<u8> {
        let _ = self.server.encrypt(plain, &mut self.to_client);
        std::mem::take(&mut self.to_client)
    }
}

#[test]
fn an_oversized_record_is_refused_before_it_is_read() {
    let mut pair = Pair::connected(&TLS13);
    let error = pair.receive(b"\x17\x03\x03\xff\xff").unwrap_err();
    assert!(matches!(error, TlsError::Protocol { .. }), "{error}");
}

#[test]
fn plain_text_from_the_server_is_not_tls() {
    let mut pair = Pair::new(&certificate(), &TLS13, "localhost");
    let error = pair.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
    assert!(matches!(error, TlsError::Protocol { .. }), "{error}");
}

#[test]
fn a_handshake_of_tiny_records_cannot_fill_memory() {
    // A handshake message of 60,000 bytes, one byte per record: the records must be kept until it is whole.
    let mut pair = Pair::new(&certificate(), &TLS13, "localhost");
    pair.receive(b"\x16\x03\x03\x00\x04\x02\x00\xea\x60").unwrap();
    let error = (0..60_000).find_map(|_| {
        let room = pair.client_input.space().len();
        assert!(room > 0, "no room and no error");
        let record = b"\x16\x03\x03\x00\x01\x00";
        pair.receive(&record[..room.min(record.len())]).err()
    });
    assert_eq!(
        error,
        Some(TlsError::MessageTooLarge {
            bytes: RecordBuffer::BYTES_MIN
        })
    );
}

#[test]
fn wrong_certificates_are_refused_by_name_and_reason() {
    let refusal = |certificate: &TestCertificate, host: &str, roots: TlsRoots<'_>| {
        let mut pair = Pair::new(certificate, &TLS13, host);
        let roots = TlsClientConfig::new(roots).unwrap();
        pair.to_server.clear();
        pair.client = TlsClient::new(&roots, host, &mut pair.to_server).unwrap();
        let error = pair.handshake(usize::MAX).unwrap_err();
        assert!(
            matches!(&error, TlsError::Certificate { host: named, .. } if named == host),
            "{error}"
        );
        let alert = std::mem::take(&mut pair.to_server);
        assert!(
            matches!(pair.serve(&alert), Err(TlsError::Alert { .. })),
            "the server is not told"
        );
        error.to_string()
    };
    let good = certificate();
    let authority = TlsRoots::Pem(good.authority_pem.as_bytes());
    let text = refusal(&good, "example.com", authority);
    assert!(
        text.contains("certificate of example.com") && text.contains("localhost"),
        "{text}"
    );

    let text = refusal(&good, "localhost", TlsRoots::Mozilla);
    assert!(
        text.contains("certificate of localhost") && text.contains("UnknownIssuer"),
        "{text}"
    );

    // Another authority of the same name: only the signature tells.
    let impostor = certificate();
    let text = refusal(&impostor, "localhost", authority);
    assert!(text.contains("BadSignature"), "{text}");

    let long_ago = SystemTime::now() - Duration::from_secs(90 * 24 * 60 * 60);
    let old = TestCertificate::generate(["localhost"], long_ago).unwrap();
    let text = refusal(&old, "localhost", TlsRoots::Pem(old.authority_pem.as_bytes()));
    assert!(text.contains("expired"), "{text}");
}

#[test]
fn addresses_are_checked_against_the_certificate_too() {
    let mut pair = Pair::new(&certificate(), &TLS13, "127.0.0.1");
    pair.handshake(usize::MAX).unwrap();
    let mut pair = Pair::new(&certificate(), &TLS13, "127.0.0.2");
    assert!(matches!(pair.handshake(usize::MAX), Err(TlsError::Certificate { .. })));
}

#[test]
fn unusable_configurations_are_named() {
    let roots = |pem: &str| TlsClientConfig::new(TlsRoots::Pem(pem.as_bytes())).unwrap_err();
    assert_eq!(roots(""), TlsConfigError::NoCertificate);
    assert_eq!(roots("no pem"), TlsConfigError::NoCertificate);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(roots(broken), TlsConfigError::Certificate { .. }));

    let (one, other) = (certificate(), certificate());
    let server = |certificate: &str, key: &str, options: &TlsServerOptions| {
        TlsServerConfig::new(certificate.as_bytes(), key.as_bytes(), options).map(drop)
    };
    assert!(matches!(
        server(&one.certificate_pem, "", &TLS13),
        Err(TlsConfigError::Key { .. })
    ));
    assert!(matches!(
        server("", &one.key_pem, &TLS13),
        Err(TlsConfigError::NoCertificate)
    ));
    assert!(matches!(
        server(&one.certificate_pem, &other.key_pem, &TLS13),
        Err(TlsConfigError::Rejected { .. })
    ));

    assert!(matches!(
        TlsClient::new(
            &TlsClientConfig::new(TlsRoots::Mozilla).unwrap(),
            "a b",
            &mut Vec::new()
        ),
        Err(TlsError::ServerName { .. })
    ));
}
