//! The client under Autobahn's `fuzzingserver`: every case is a connection, every message is sent back.
//!
//! `scripts/autobahn` runs it: `autobahn_client <port> <agent name>`.

mod autobahn_echo;

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
};

use autobahn_echo::{PATIENCE, echo};
use quantumflow_feeds::ws::{ClientHandshake, Limits, MaskSource, Message, Protocol, UpgradeRequest};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, agent] = arguments.as_slice() else {
        return Err("usage: autobahn_client <port> <agent name>".into());
    };
    let port: u16 = port.parse()?;

    let case_count = case_count(port)?;
    println!("{case_count} cases");
    for case in 1..=case_count {
        let (mut stream, mut protocol, leftover) = connect(port, &format!("/runCase?case={case}&agent={agent}"))?;
        if let Err(error) = echo(&mut stream, &mut protocol, &leftover) {
            println!("case {case}: {error}");
        }
    }
    let (mut stream, mut protocol, leftover) = connect(port, &format!("/updateReports?agent={agent}"))?;
    echo(&mut stream, &mut protocol, &leftover)?;
    Ok(())
}

/// The server says it in the first message.
fn case_count(port: u16) -> Result<u32, Box<dyn Error>> {
    let (mut stream, mut protocol, leftover) = connect(port, "/getCaseCount")?;
    let _all = protocol.append(&leftover);
    loop {
        if let Some(Message::Text(text)) = protocol.next_message()? {
            return Ok(text.parse()?);
        }
        let received = stream.read(protocol.space(4096))?;
        if received == 0 {
            return Err("server closed before it told the case count".into());
        }
        protocol.commit(received);
    }
}

fn connect(port: u16, target: &str) -> Result<(TcpStream, Protocol, Vec<u8>), Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;

    let mut masks = MaskSource::from_os()?;
    let request = UpgradeRequest {
        host: "127.0.0.1",
        port,
        is_tls: false,
        target,
        headers: &[],
        subprotocols: &[],
    };
    let mut head = Vec::new();
    let mut handshake = ClientHandshake::new(&request, masks.next_handshake_key(), &mut head)?;
    stream.write_all(&head)?;
    let mut received = [0; 4096];
    loop {
        let count = stream.read(&mut received)?;
        if count == 0 {
            return Err(handshake.give_up().into());
        }
        if handshake.feed(&received[..count])?.is_some() {
            let leftover = handshake.leftover().to_vec();
            return Ok((stream, Protocol::client(Limits::default(), masks), leftover));
        }
    }
}
