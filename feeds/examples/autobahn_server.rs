//! The server under Autobahn's `fuzzingclient`: an echo server on loopback, one thread per connection.
//!
//! `scripts/autobahn` runs it: `autobahn_server <port>`; port 0 takes a free one. The first line tells the address.

mod autobahn_echo;

use std::{
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use autobahn_echo::{PATIENCE, echo};
use quantumflow_feeds::ws::{Limits, Protocol, ServerHandshake, write_response};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port] = arguments.as_slice() else {
        return Err("usage: autobahn_server <port>".into());
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(stream) {
                println!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut handshake = ServerHandshake::new();
    let mut received = [0; 4096];
    let mut answer = Vec::new();
    loop {
        let count = stream.read(&mut received)?;
        if count == 0 {
            return Ok(());
        }
        let request = match handshake.feed(&received[..count]) {
            Ok(None) => continue,
            Ok(Some(request)) => request,
            Err(error) => {
                let headers = [("Connection", "close"), ("Sec-WebSocket-Version", "13")];
                write_response(error.http_status(), &headers, error.to_string().as_bytes(), &mut answer);
                return Ok(stream.write_all(&answer)?);
            }
        };
        if request.write_accept(None, &mut answer) {
            stream.write_all(&answer)?;
            return Ok(echo(
                &mut stream,
                &mut Protocol::server(Limits::default()),
                handshake.leftover(),
            )?);
        }
        write_response(
            200,
            &[("Connection", "close")],
            b"a WebSocket echo server\n",
            &mut answer,
        );
        return Ok(stream.write_all(&answer)?);
    }
}
