//! What both Autobahn testees do: send every message back, until the WebSocket is closed.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use quantumflow_feeds::ws::{Message, Protocol, SendError};

/// How long a silent peer is waited for. The suite chops some messages with seconds between the pieces.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes until the close handshake is over or the peer broke a rule, and hangs up in good order.
pub(crate) fn echo(stream: &mut TcpStream, protocol: &mut Protocol, leftover: &[u8]) -> io::Result<()> {
    let mut echoed = Vec::new();
    let taken = protocol.append(leftover);
    assert_eq!(
        taken,
        leftover.len(),
        "a handshake's leftover fits into the first buffer"
    );
    loop {
        take_messages(protocol, &mut echoed)?;
        while !protocol.outgoing().is_empty() {
            let written = stream.write(protocol.outgoing())?;
            protocol.sent(written);
        }
        if protocol.is_finished() {
            return hang_up(stream);
        }
        let received = match stream.read(protocol.space(16 << 10)) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        protocol.commit(received);
    }
}

fn take_messages(protocol: &mut Protocol, echoed: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let is_text = match protocol.next_message() {
            Ok(Some(Message::Text(text))) => {
                echoed.clear();
                echoed.extend_from_slice(text.as_bytes());
                true
            }
            Ok(Some(Message::Binary(bytes))) => {
                echoed.clear();
                echoed.extend_from_slice(bytes);
                false
            }
            Ok(Some(_)) => continue,
            // The close frame that says so is queued.
            Ok(None) | Err(_) => return Ok(()),
        };
        let sent = if is_text {
            protocol.send_text(std::str::from_utf8(echoed).map_err(io::Error::other)?)
        } else {
            protocol.send_binary(echoed)
        };
        match sent {
            Ok(()) | Err(SendError::Closing) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Reads to the end before closing: a socket that is closed with unread bytes resets the connection, and the reset can
/// overtake the close frame.
fn hang_up(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut rest = [0; 16 << 10];
    while matches!(stream.read(&mut rest), Ok(1..)) {}
    Ok(())
}
