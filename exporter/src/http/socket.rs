//! A TCP connection whose reads and writes end at a deadline, however many of them there are.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::connection::Transport;

/// A borrowed connection with its deadlines. A layer above may turn one read into many; all of them together get the
/// time that was set.
pub struct Socket<'a> {
    stream: &'a TcpStream,
    read_by: Instant,
    write_by: Instant,
}

/// What can be told of the other side without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It has sent nothing that was not read.
    Nothing,
    /// It has sent something.
    Bytes,
    /// It has closed the connection, or the connection is broken.
    End,
}

impl<'a> Socket<'a> {
    /// `limit` from now for the first reads and writes.
    pub fn new(stream: &'a TcpStream, limit: Duration) -> Self {
        let by = Instant::now() + limit;
        Self {
            stream,
            read_by: by,
            write_by: by,
        }
    }

    /// The first byte that the client has sent, left where it is; `None` at the end.
    pub fn first_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        self.stream.set_read_timeout(Some(left(self.read_by)?))?;
        Ok((self.stream.peek(&mut byte)? == 1).then_some(byte[0]))
    }

    /// What the client has sent and nobody has read.
    pub fn pending(&self) -> Pending {
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(self.stream.as_raw_fd(), &mut [0], peek) {
            Ok(1..) => Pending::Bytes,
            Err(Errno::EAGAIN | Errno::EINTR) => Pending::Nothing,
            Ok(0) | Err(_) => Pending::End,
        }
    }
}

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.read_by)?))?;
        self.stream.read(into)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.write_by)?))?;
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.write_by)?))?;
        self.stream.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket<'_> {
    fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.read_by = Instant::now() + limit;
        Ok(())
    }

    fn set_write_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.write_by = Instant::now() + limit;
        Ok(())
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn client_left(&mut self) -> bool {
        self.pending() == Pending::End
    }
}

/// The time until `deadline`; never zero, which would mean for ever.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}
