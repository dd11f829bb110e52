//! A small client that blocks: sockets of the standard library, the WebSocket codec, TLS in memory. It knows nothing of
//! the simulator.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes it and uses its own part"
)]

pub mod busy;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use quantumflow_feeds::net::{RecordBuffer, TlsClient, TlsClientConfig, TlsRoots};
use quantumflow_feeds::sim::SimHandle;
use quantumflow_feeds::ws::{ClientHandshake, Limits, MaskSource, Message, Protocol, UpgradeRequest, WsError};

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Ping(Vec<u8>),
    Close(Option<u16>, String),
    /// The TCP connection ended without a close frame.
    End,
    /// Nothing for the length of the time-out.
    Silence,
    /// The server broke the protocol.
    Broken(WsError),
}

pub struct Client {
    stream: TcpStream,
    tls: Option<(TlsClient, RecordBuffer)>,
    protocol: Protocol,
    pub answers_pings: bool,
}

impl Client {
    /// Opens a WebSocket.
    pub fn connect(sim: &SimHandle, target: &str) -> Self {
        Self::try_connect(sim, target).unwrap()
    }

    pub fn try_connect(sim: &SimHandle, target: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(sim.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut tls = match sim.authority_pem() {
            Some(pem) => {
                let config = TlsClientConfig::new(TlsRoots::Pem(pem.as_bytes())).unwrap();
                let mut hello = Vec::new();
                let client = TlsClient::new(&config, "localhost", &mut hello).unwrap();
                stream.write_all(&hello)?;
                Some((client, RecordBuffer::new(0)))
            }
            None => None,
        };
        while tls.as_ref().is_some_and(|(client, _)| client.is_handshaking()) {
            read_plain(&mut stream, &mut tls)?;
        }
        let request = UpgradeRequest {
            host: "localhost",
            port: sim.addr.port(),
            is_tls: tls.is_some(),
            target,
            headers: &[],
            subprotocols: &[],
        };
        let mut head = Vec::new();
        let mut handshake = ClientHandshake::new(&request, [9; 16], &mut head).unwrap();
        write_plain(&mut stream, &mut tls, &head)?;
        let mut bytes = Vec::new();
        while handshake.feed(&bytes).map_err(io::Error::other)?.is_none() {
            bytes = read_plain(&mut stream, &mut tls)?;
            if bytes.is_empty() {
                return Err(io::Error::other(handshake.give_up()));
            }
        }
        let limits = Limits::default();
        let mut protocol = Protocol::client(limits, MaskSource::from_seed([1; 32]));
        assert_eq!(protocol.append(handshake.leftover()), handshake.leftover().len());
        Ok(Self {
            stream,
            tls,
            protocol,
            answers_pings: true,
        })
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// How long [`next`](Self::next) waits.
    pub fn patience(&mut self, duration: Duration) {
        self.stream.set_read_timeout(Some(duration)).unwrap();
    }

    pub fn send(&mut self, text: &str) {
        self.protocol.send_text(text).unwrap();
        self.flush();
    }

    /// The next thing that comes, pings included.
    pub fn next(&mut self) -> Got {
        loop {
            match self.protocol.next_message() {
                Ok(Some(Message::Text(text))) => return Got::Text(text.to_owned()),
                Ok(Some(Message::Ping(payload))) => {
                    let payload = payload.to_vec();
                    match self.answers_pings {
                        true => self.flush(),
                        false => self.protocol.sent(self.protocol.outgoing().len()),
                    }
                    return Got::Ping(payload);
                }
                Ok(Some(Message::Close { code, reason })) => {
                    let got = Got::Close(code, reason.to_owned());
                    self.flush();
                    return got;
                }
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) => return Got::Broken(error),
            }
            let bytes = match read_plain(&mut self.stream, &mut self.tls) {
                Ok(bytes) if bytes.is_empty() => return Got::End,
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Got::Silence;
                }
                Err(_) => return Got::End,
            };
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let taken = self.protocol.append(rest);
                rest = &rest[taken..];
                assert!(taken > 0, "a message over the client's own ceiling");
            }
        }
    }

    /// The next text; panics on anything else but pings.
    pub fn text(&mut self) -> String {
        loop {
            match self.next() {
                Got::Text(text) => return text,
                Got::Ping(_) => {}
                other => panic!("expected a text message, got {other:?}"),
            }
        }
    }

    /// Says good-bye and waits for the server to hang up, reading what still comes.
    pub fn close(mut self) -> Vec<String> {
        self.protocol.close(1000, "");
        self.flush();
        let mut texts = Vec::new();
        loop {
            match self.next() {
                Got::Text(text) => texts.push(text),
                Got::Ping(_) => {}
                _ => return texts,
            }
        }
    }

    fn flush(&mut self) {
        let outgoing = self.protocol.outgoing().to_vec();
        self.protocol.sent(outgoing.len());
        // A server that has hung up is found out by the next read.
        let _ = write_plain(&mut self.stream, &mut self.tls, &outgoing);
    }
}

fn write_plain(stream: &mut TcpStream, tls: &mut Option<(TlsClient, RecordBuffer)>, bytes: &[u8]) -> io::Result<()> {
    match tls {
        None => stream.write_all(bytes),
        Some((client, _)) => {
            let mut records = Vec::new();
            client.encrypt(bytes, &mut records).map_err(io::Error::other)?;
            stream.write_all(&records)
        }
    }
}

/// Plain bytes, at least one; none at the end of the stream (or while TLS shakes hands).
fn read_plain(stream: &mut TcpStream, tls: &mut Option<(TlsClient, RecordBuffer)>) -> io::Result<Vec<u8>> {
    let Some((client, input)) = tls else {
        let mut buffer = vec![0; 64 << 10];
        let count = stream.read(&mut buffer)?;
        buffer.truncate(count);
        return Ok(buffer);
    };
    loop {
        let was_handshaking = client.is_handshaking();
        let count = stream.read(input.space())?;
        if count == 0 {
            return match was_handshaking {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(Vec::new()),
            };
        }
        input.commit(count);
        let (mut plain, mut records) = (Vec::new(), Vec::new());
        let result = client.decrypt(input, &mut records, |bytes| plain.extend_from_slice(bytes));
        stream.write_all(&records)?;
        let peer_closed = result.map_err(io::Error::other)?.peer_closed;
        if !plain.is_empty() || peer_closed || was_handshaking {
            return Ok(plain);
        }
    }
}

/// A plain HTTP GET, to the end of the connection: status, head, body. `Connection: close` is the client's to enforce.
pub fn get(addr: SocketAddr, target: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    loop {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let body_len = head_end.map(|end| bytes.len() - end - 4);
        let announced = head_end.and_then(|end| content_length(&bytes[..end]));
        let count = match announced.is_some() && body_len >= announced {
            true => 0,
            false => stream.read(&mut buffer).unwrap_or(0),
        };
        if count == 0 {
            let end = head_end.expect("a whole head");
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status = head[9..12].parse().unwrap();
            return (status, head, bytes[end + 4..].to_vec());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

pub fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head);
    head.lines()
        .find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())
}

/// A book of text: quantities by price, as the wire has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextBook {
    pub bids: BTreeMap<u64, (String, String)>,
    pub asks: BTreeMap<u64, (String, String)>,
}

impl TextBook {
    /// Binance: `[["price","qty"],…]`.
    pub fn apply(&mut self, bids: &serde_json::Value, asks: &serde_json::Value) {
        for (is_bid, levels) in [(true, bids), (false, asks)] {
            for level in levels.as_array().unwrap() {
                self.set(is_bid, level[0].as_str().unwrap(), level[1].as_str().unwrap());
            }
        }
    }

    /// Kraken: the text between the brackets of `"bids":[…]`, numbers kept as text.
    pub fn apply_kraken(&mut self, message: &str) {
        for (is_bid, key) in [(true, "\"bids\":["), (false, "\"asks\":[")] {
            let list = message.split_once(key).unwrap().1.split_once(']').unwrap().0;
            for level in list.split('}').filter_map(|level| level.split_once("\"price\":")) {
                let (price, qty) = level.1.split_once(",\"qty\":").unwrap();
                self.set(is_bid, price, qty);
            }
        }
    }

    pub fn set(&mut self, is_bid: bool, price: &str, qty: &str) {
        let side = if is_bid { &mut self.bids } else { &mut self.asks };
        let key = price.replace('.', "").parse().unwrap();
        match qty.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            true => side.remove(&key),
            false => side.insert(key, (price.to_owned(), qty.to_owned())),
        };
    }

    pub fn truncate(&mut self, depth: usize) {
        while self.bids.len() > depth {
            self.bids.pop_first();
        }
        while self.asks.len() > depth {
            self.asks.pop_last();
        }
    }

    pub fn is_crossed(&self) -> bool {
        let best = (self.bids.keys().next_back(), self.asks.keys().next());
        matches!(best, (Some(bid), Some(ask)) if bid >= ask)
    }

    /// Kraken's checksum, from the wire's text, a bit at a time.
    pub fn kraken_checksum(&self) -> u32 {
        let levels = self.asks.values().take(10).chain(self.bids.values().rev().take(10));
        let mut crc = u32::MAX;
        for (price, qty) in levels {
            for number in [price, qty] {
                for byte in number.replace('.', "").trim_start_matches('0').bytes() {
                    crc ^= u32::from(byte);
                    for _ in 0..8 {
                        crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
                    }
                }
            }
        }
        !crc
    }
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
