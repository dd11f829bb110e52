//! Sockets that somebody else has opened, as systemd hands them over.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
mod web_support;

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::{Client, shm, signal_process, wait};
use web_support::Running;

/// An exporter with `socket` as descriptor 3. A shell moves it there, and becomes the exporter with its own process id.
fn activated(dir: &Path, socket: impl Into<OwnedFd>, environment: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("exec 3<&0 0</dev/null; {environment} exec \"$0\" \"$@\""));
    command
        .arg(env!("CARGO_BIN_EXE_quantumflow-exporter"))
        .arg("--region-dir")
        .arg(dir)
        .arg("--web.systemd-socket");
    command.stdin(socket.into());
    command
}

const ONE: &str = "LISTEN_PID=$$ LISTEN_FDS=1";

#[test]
fn a_socket_is_served_and_outlives_the_exporter() {
    let dir = shm();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..2 {
        let mut exporter = Running::start(&mut activated(dir.path(), listener.try_clone().unwrap(), ONE), 1);
        assert_eq!(exporter.addresses, [address]);
        assert_eq!(Client::connect(address).get("/metrics").status, 200);
        signal_process(exporter.child.id(), "TERM");
        assert!(wait(&mut exporter.child).success());
        assert!(
            TcpStream::connect(address).is_ok(),
            "the port stays open while nobody serves it"
        );
    }
}

#[test]
fn what_cannot_be_taken_over_is_said_on_one_line() {
    let dir = shm();
    let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
    for (socket, environment, expected) in [
        (tcp(), "", "LISTEN_PID is not set"),
        (tcp(), "LISTEN_PID=$$", "LISTEN_FDS is not set"),
        (tcp(), "LISTEN_PID=1 LISTEN_FDS=1", "handed to process 1 (LISTEN_PID)"),
        (tcp(), "LISTEN_PID=$$ LISTEN_FDS=0", "LISTEN_FDS is \"0\""),
        (
            tcp(),
            "LISTEN_PID=$$ LISTEN_FDS=4000000000",
            "LISTEN_FDS is \"4000000000\"",
        ),
        (tcp(), "LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS is \"-1\""),
        (
            tcp(),
            "LISTEN_PID=$$ LISTEN_FDS=2",
            "descriptor 4 is not a listening TCP socket",
        ),
        (connected.into(), ONE, "descriptor 3 is not a listening TCP socket"),
        (unix.into(), ONE, "descriptor 3 is not a listening TCP socket"),
        (
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            ONE,
            "descriptor 3 is not a listening TCP socket",
        ),
    ] {
        let output: Output = activated(dir.path(), socket, environment).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), error.lines().count()),
            (Some(1), 1),
            "{environment}: {error}"
        );
        assert!(
            error.contains("--web.systemd-socket: ") && error.contains(expected),
            "{environment}: {error}"
        );
    }
}

#[test]
fn systemd_s_own_tool_hands_over_several() {
    let dir = shm();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses: Vec<SocketAddr> = vec![free(), free()];
    let mut command = Command::new("systemd-socket-activate");
    for address in &addresses {
        command.args(["-l", &address.to_string()]);
    }
    command
        .arg(env!("CARGO_BIN_EXE_quantumflow-exporter"))
        .arg("--region-dir")
        .arg(dir.path());
    command.arg("--web.systemd-socket");
    if let Err(error) = Command::new("systemd-socket-activate").arg("--version").output() {
        return println!("skipped: systemd-socket-activate: {error}");
    }
    // It waits for the first client before it starts anything.
    let knock = {
        let address = addresses[0];
        std::thread::spawn(move || {
            for _ in 0..200 {
                if let Ok(stream) = TcpStream::connect(address) {
                    return stream;
                }
                std::thread::sleep(Duration::from_millis(25));
            }
            panic!("nobody listens on {address}");
        })
    };
    let exporter = Running::start(&mut command, 2);
    assert_eq!(exporter.addresses, addresses);
    drop(knock.join().unwrap());
    for address in addresses {
        assert_eq!(Client::connect(address).get("/metrics").status, 200);
    }
}
