//! The server's end of a WebSocket handshake, for a bench that is the venue.

use std::io::{self, ErrorKind, Read, Write};

use quantumflow_feeds::ws::ServerHandshake;

/// Reads the client's request and accepts it.
///
/// # Errors
/// The client went away, or wants no WebSocket.
pub fn upgrade(stream: &mut (impl Read + Write + ?Sized)) -> io::Result<()> {
    let mut handshake = ServerHandshake::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(request) = handshake.feed(&buffer[..n]).map_err(io::Error::other)? {
            let mut answer = Vec::new();
            if !request.write_accept(None, &mut answer) {
                return Err(io::Error::other("the client wants no WebSocket"));
            }
            return stream.write_all(&answer);
        }
    }
}
