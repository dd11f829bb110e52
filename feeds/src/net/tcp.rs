//! A non-blocking TCP socket whose every read says when the kernel took the bytes.
//!
//! One `recvmsg` per read, straight into the caller's memory, with the software receive stamp (`SO_TIMESTAMPING`) in its
//! control message. A stamp that is taken below the socket is the only honest start of a wire-to-signal measurement: it
//! includes the time that the bytes waited for us. It can be had under TLS only because the reading is done here and
//! not by the TLS library.
//!
//! What the kernel may refuse (a busy poll without the privilege, a buffer above the system's limit) is asked for and
//! reported in [`TcpApplied`], never assumed.

use std::io::{self, ErrorKind, IoSliceMut, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, TimestampingFlag,
    Timestamps, cmsg_space, getsockopt, recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::types::UnixNanos;

/// A connected (or connecting) TCP stream. Never blocks.
#[derive(Debug)]
pub struct TcpSocket {
    stream: mio::net::TcpStream,
    control: ControlBuffer,
    applied: TcpApplied,
}

/// What is asked of the kernel for a socket. `TCP_NODELAY` is always on: a pong or a subscription must not wait for an
/// acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// `SO_RCVBUF` in bytes; `None` leaves the kernel's automatic size, which is right for most.
    pub recv_buffer_bytes: Option<usize>,
    /// `SO_BUSY_POLL` in microseconds: a read that finds nothing polls the network card that long. Needs `CAP_NET_ADMIN`
    /// and a driver that takes part.
    pub busy_poll_us: Option<u32>,
    /// Whether reads carry the kernel's receive stamp.
    pub kernel_stamps: bool,
}

/// What the kernel made of [`TcpOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpApplied {
    /// `SO_RCVBUF` as the kernel reports it; twice what was asked, since it counts its own bookkeeping.
    pub recv_buffer_bytes: usize,
    /// Whether busy polling is on.
    pub busy_poll: Applied,
    /// Whether receive stamps are on. A read may still carry none.
    pub kernel_stamps: Applied,
}

/// The fate of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Not asked for.
    NotAsked,
    /// In effect.
    Yes,
    /// Refused with this `errno`.
    Refused(i32),
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpRead {
    /// So many bytes are at the front of the buffer.
    Bytes {
        /// How many, at least one.
        n: usize,
        /// When the kernel took the last segment of them.
        kernel: Option<UnixNanos>,
    },
    /// Nothing has come.
    WouldBlock,
    /// The peer sends no more.
    Eof,
}

impl TcpSocket {
    /// Starts to connect. The socket becomes writable when that is decided; [`TcpSocket::connect_result`] says how.
    pub fn connect(address: SocketAddr, options: &TcpOptions) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
        let stream = std::net::TcpStream::from(fd);
        // Before the connect: the window scale that a larger buffer needs is agreed in the first segment.
        let socket = Self::from_stream(stream, options)?;
        match nix::sys::socket::connect(socket.stream.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes over a stream, makes it non-blocking and applies the options.
    pub fn from_stream(stream: std::net::TcpStream, options: &TcpOptions) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        if let Some(bytes) = options.recv_buffer_bytes {
            setsockopt(&stream, sockopt::RcvBuf, &bytes)?;
        }
        let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
        let applied = TcpApplied {
            recv_buffer_bytes: getsockopt(&stream, sockopt::RcvBuf)?,
            busy_poll: Applied::of(options.busy_poll_us.map(|us| set_busy_poll(&stream, us))),
            kernel_stamps: Applied::of(
                options
                    .kernel_stamps
                    .then(|| setsockopt(&stream, sockopt::Timestamping, &flags)),
            ),
        };
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            control: ControlBuffer::default(),
            applied,
        })
    }

    /// What the kernel made of the options.
    pub fn applied(&self) -> TcpApplied {
        self.applied
    }

    /// Whether the connect has succeeded: `false` while it is undecided.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connect_result(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Reads once into `buffer`, which must not be empty. Allocates nothing.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> io::Result<TcpRead> {
        debug_assert!(!buffer.is_empty(), "a read of nothing looks like the end of the stream");
        let fd = self.stream.as_raw_fd();
        loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let control = &mut self.control.0[..];
            match recvmsg::<()>(fd, &mut parts, Some(control), MsgFlags::MSG_DONTWAIT) {
                Ok(message) if message.bytes == 0 => return Ok(TcpRead::Eof),
                Ok(message) => {
                    let kernel = message
                        .cmsgs()
                        .ok()
                        .and_then(|mut messages| messages.find_map(software_stamp));
                    return Ok(TcpRead::Bytes {
                        n: message.bytes,
                        kernel,
                    });
                }
                Err(Errno::EAGAIN) => return Ok(TcpRead::WouldBlock),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes what the kernel takes of `bytes`; `None` when it takes nothing now.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.write(bytes) {
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the peer that no more bytes will come from here.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Source for TcpSocket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream.deregister(registry)
    }
}

impl Default for TcpOptions {
    /// Kernel stamps on, everything else as the system has it.
    fn default() -> Self {
        Self {
            recv_buffer_bytes: None,
            busy_poll_us: None,
            kernel_stamps: true,
        }
    }
}

impl Applied {
    fn of(result: Option<nix::Result<()>>) -> Self {
        match result {
            None => Self::NotAsked,
            Some(Ok(())) => Self::Yes,
            Some(Err(errno)) => Self::Refused(errno as i32),
        }
    }
}

fn set_busy_poll(stream: &std::net::TcpStream, us: u32) -> nix::Result<()> {
    let us = usize::try_from(us).map_err(|_| Errno::EINVAL)?;
    setsockopt(stream, option::BusyPoll, &us)?;
    match getsockopt(stream, option::BusyPoll)? == us {
        true => Ok(()),
        false => Err(Errno::ENOPROTOOPT),
    }
}

fn software_stamp(message: ControlMessageOwned) -> Option<UnixNanos> {
    match message {
        ControlMessageOwned::ScmTimestampsns(Timestamps { system, .. }) => unix_nanos(system),
        _ => None,
    }
}

/// Zero means that no stamp was taken.
fn unix_nanos(time: TimeSpec) -> Option<UnixNanos> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanos = u64::try_from(time.tv_nsec()).ok()?;
    let total = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    (total != 0).then_some(UnixNanos(total))
}

/// Room for one `SCM_TIMESTAMPING` message, aligned as the kernel's header wants it.
#[derive(Debug)]
#[repr(align(8))]
struct ControlBuffer([u8; cmsg_space::<Timestamps>()]);

impl Default for ControlBuffer {
    fn default() -> Self {
        Self([0; cmsg_space::<Timestamps>()])
    }
}

/// Socket options that nix does not list, made with its own macro.
mod option {
    use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// Microseconds that a read polls the device queue before it gives up (`socket(7)`).
        BusyPoll,
        Both,
        libc::SOL_SOCKET,
        libc::SO_BUSY_POLL,
        usize
    );
}
