//! Sockets that systemd has opened for this process (`sd_listen_fds(3)`).
//!
//! The port is then open before the exporter runs and while it restarts, and a low one needs no privilege here.

use std::env;
use std::net::TcpListener;

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};

/// Why the sockets cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// Nobody handed any over.
    #[error(
        "--web.systemd-socket: no sockets were handed over ({0} is not set): start through a .socket unit, or by \
         systemd-socket-activate"
    )]
    Missing(&'static str),
    /// They are another process's.
    #[error("--web.systemd-socket: the sockets were handed to process {0} (LISTEN_PID), not to this one")]
    OtherProcess(String),
    /// Their number makes no sense.
    #[error("--web.systemd-socket: LISTEN_FDS is {0:?}; expected a number from 1 to {SOCKETS_MAX}")]
    Count(String),
    /// One is of a kind that Prometheus cannot scrape.
    #[error("--web.systemd-socket: descriptor {fd} is not a listening TCP socket (ListenStream= with a port)")]
    Kind {
        /// Its number.
        fd: usize,
        /// Why not, where the system says more.
        #[source]
        source: Option<std::io::Error>,
    },
}

/// Most sockets that are taken over.
pub const SOCKETS_MAX: usize = 64;
/// `SD_LISTEN_FDS_START`.
const FIRST_FD: usize = 3;

/// Takes all of them, in their order. Works once.
///
/// # Errors
/// There are none, or one that cannot be served.
pub fn listeners() -> Result<Vec<TcpListener>, ActivationError> {
    let variable = |name| env::var(name).map_err(|_| ActivationError::Missing(name));
    let (pid, count) = (variable("LISTEN_PID")?, variable("LISTEN_FDS")?);
    if pid.parse() != Ok(std::process::id()) {
        return Err(ActivationError::OtherProcess(pid));
    }
    let number = count.parse().ok().filter(|number| (1..=SOCKETS_MAX).contains(number));
    let number = number.ok_or(ActivationError::Count(count))?;
    let mut handed = ListenFd::from_env();
    let listener = |index: usize| {
        let fd = FIRST_FD + index;
        let kind = |source| ActivationError::Kind { fd, source };
        let listener = handed.take_tcp_listener(index).map_err(|error| kind(Some(error)))?;
        let listener = listener.ok_or_else(|| kind(None))?;
        match getsockopt(&listener, AcceptConn) {
            Ok(true) => Ok(listener),
            Ok(false) => Err(kind(None)),
            Err(errno) => Err(kind(Some(errno.into()))),
        }
    };
    (0..number).map(listener).collect()
}
