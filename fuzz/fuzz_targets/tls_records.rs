//! Any bytes from a server, and an honest server whose bytes were damaged on the way: no panic, and what comes out is
//! never anything else than what the server said.
//!
//! Input: one byte for the kind and the version, one for the length of the pieces, then raw bytes or wounds.

#![no_main]

use std::sync::LazyLock;
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::net::{
    RecordBuffer, TestCertificate, TlsClient, TlsClientConfig, TlsError, TlsRoots, TlsServer, TlsServerConfig,
    TlsServerOptions,
};
use quantumflow_fuzz::wounds;

struct Setup {
    client: TlsClientConfig,
    /// TLS 1.3 and TLS 1.2.
    servers: [TlsServerConfig; 2],
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let certificate = TestCertificate::generate(["localhost"], SystemTime::now()).expect("a certificate");
    let roots = TlsRoots::Pem(certificate.authority_pem.as_bytes());
    let server = |only_tls12| {
        let options = TlsServerOptions {
            record_bytes_max: Some(512),
            only_tls12,
        };
        let (chain, key) = (certificate.certificate_pem.as_bytes(), certificate.key_pem.as_bytes());
        TlsServerConfig::new(chain, key, &options).expect("a good pair")
    };
    Setup {
        client: TlsClientConfig::new(roots).expect("a good authority"),
        servers: [server(false), server(true)],
    }
});

/// A client that is given bytes in pieces.
struct Client {
    tls: TlsClient,
    input: RecordBuffer,
    out: Vec<u8>,
    plain: Vec<u8>,
    piece: usize,
}

impl Client {
    fn new(piece: usize) -> Self {
        let mut out = Vec::new();
        Self {
            tls: TlsClient::new(&SETUP.client, "localhost", &mut out).expect("a good name"),
            input: RecordBuffer::new(0),
            out,
            plain: Vec::new(),
            piece,
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        for piece in bytes.chunks(self.piece) {
            let space = self.input.space();
            assert!(space.len() >= piece.len(), "no room after a success");
            space[..piece.len()].copy_from_slice(piece);
            self.input.commit(piece.len());
            let plain = &mut self.plain;
            let before = plain.len();
            let done = self
                .tls
                .decrypt(&mut self.input, &mut self.out, |bytes| plain.extend_from_slice(bytes))?;
            assert_eq!(done.plain_bytes, self.plain.len() - before);
        }
        Ok(())
    }
}

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let [kind, piece, rest @ ..] = input else {
            return;
        };
        let mut client = Client::new(usize::from(*piece) * 8 + 1);
        if kind & 1 == 0 {
            let _ = client.receive(rest);
            assert!(client.tls.is_handshaking() && client.plain.is_empty(), "bytes without a key cannot say anything");
            return;
        }
        let mut server = TlsServer::new(&SETUP.servers[usize::from(kind >> 1 & 1)]).expect("a good server");
        let mut server_input = RecordBuffer::new(0);
        let said: Vec<u8> = (0..1500_u32).map(|n| n as u8).collect();
        let (mut has_said, mut wounded) = (false, false);
        // Each flight of the server is hurt by a part of the wounds: so many of them in the first, the rest behind.
        let (early, late) = rest.split_at((usize::from(kind >> 2) * wounds::WOUND_BYTES).min(rest.len()));
        let mut parts = [early, late].into_iter();
        for _ in 0..6 {
            let mut flight = Vec::new();
            let mut sent = client.out.as_slice();
            while !sent.is_empty() {
                let space = server_input.space();
                let len = sent.len().min(space.len());
                assert!(len > 0);
                space[..len].copy_from_slice(&sent[..len]);
                server_input.commit(len);
                sent = &sent[len..];
                // A damaged handshake ends with an alert of the client.
                if server.decrypt(&mut server_input, &mut flight, |_| {}).is_err() {
                    return;
                }
            }
            client.out.clear();
            if !server.is_handshaking() && !has_said {
                has_said = true;
                server.encrypt(&said, &mut flight).expect("the handshake is done");
            }
            if flight.is_empty() {
                break;
            }
            for wound in wounds::wounds(parts.next().unwrap_or_default(), flight.len().max(8)) {
                for (at, &byte) in (wound.at..flight.len()).zip(wound.bytes()) {
                    wounded |= flight[at] != byte;
                    flight[at] = byte;
                }
            }
            let result = client.receive(&flight);
            assert!(said.starts_with(&client.plain), "something else came out than was said");
            match result {
                Ok(()) => {}
                Err(error) => {
                    assert!(wounded, "a whole flight was refused: {error}");
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
        assert!(wounded || client.plain == said, "a whole flight was lost");
    }
);

fn seeds() -> Vec<Vec<u8>> {
    // Headers of the records of RFC 8446, section 5.1, and wounds at the places where lengths stand.
    let header = |kind: u8, version: u8, len: u8| vec![0, 30, kind, 3, version, 0, len];
    let mut seeds: Vec<_> = [20, 21, 22, 23]
        .map(|kind| [header(kind, 3, 2), vec![2, 40]].concat())
        .to_vec();
    seeds.push([header(22, 3, 8), vec![2, 0, 0, 4, 3, 3, 0, 0]].concat());
    for kind in [1, 3, 5, 7] {
        seeds.push(vec![kind, 255]);
        seeds.push(
            [
                vec![kind, 3],
                wounds::input(&[(3, &[0x40, 0]), (9, &[7]), (200, &[1, 2, 3])]),
            ]
            .concat(),
        );
    }
    seeds
}
