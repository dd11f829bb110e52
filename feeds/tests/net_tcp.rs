//! The TCP socket over loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quantumflow_feeds::net::{Applied, TcpOptions, TcpRead, TcpSocket};

fn unix_now_ns() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos(),
    )
    .unwrap_or(u64::MAX)
}

/// Polls until something comes: the tests' sockets are local and quick.
fn recv(socket: &mut TcpSocket, buffer: &mut [u8]) -> std::io::Result<TcpRead> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match socket.recv(buffer)? {
            TcpRead::WouldBlock if Instant::now() < deadline => std::thread::yield_now(),
            read => return Ok(read),
        }
    }
}

fn connected(listener: &TcpListener, options: &TcpOptions) -> TcpSocket {
    let address = listener.local_addr().expect("it is bound");
    let socket = TcpSocket::connect(address, options).expect("loopback connects");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.connect_result().expect("loopback connects") {
        assert!(Instant::now() < deadline, "connect takes too long");
        std::thread::yield_now();
    }
    socket
}

#[test]
fn reads_carry_the_time_at_which_the_kernel_took_the_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = connected(&listener, &TcpOptions::default());
    let (mut peer, _) = listener.accept().unwrap();
    let mut buffer = [0; 64];
    assert_eq!(socket.recv(&mut buffer).unwrap(), TcpRead::WouldBlock);
    if socket.applied().kernel_stamps != Applied::Yes {
        println!("skipped: the kernel gives no stamps: {:?}", socket.applied());
        return;
    }
    // The kernel switches its stamping on in the background when the first socket asks, so the first packets may come
    // without. Once one is stamped, all are.
    let mut last = 0;
    for round in 0..500 {
        let before = unix_now_ns();
        peer.write_all(b"hello").unwrap();
        let read = recv(&mut socket, &mut buffer).unwrap();
        let after = unix_now_ns();
        match read {
            TcpRead::Bytes {
                n: 5,
                kernel: Some(stamp),
            } => {
                assert!(
                    before <= stamp.0 && stamp.0 <= after,
                    "{before} <= {} <= {after}",
                    stamp.0
                );
                assert!(stamp.0 >= last);
                last = stamp.0;
            }
            TcpRead::Bytes { n: 5, kernel: None } if last == 0 => std::thread::sleep(Duration::from_millis(2)),
            read => panic!("{read:?} in round {round}"),
        }
    }
    assert!(last > 0, "no stamp at all");
}

#[test]
fn a_stamp_is_older_than_the_read_by_the_time_the_bytes_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = connected(&listener, &TcpOptions::default());
    let (mut peer, _) = listener.accept().unwrap();
    let mut buffer = [0; 64];
    let mut is_stamped = false;
    for _ in 0..500 {
        peer.write_all(b"x").unwrap();
        is_stamped |= matches!(
            recv(&mut socket, &mut buffer).unwrap(),
            TcpRead::Bytes { kernel: Some(_), .. }
        );
        if is_stamped {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if !is_stamped {
        println!("skipped: the kernel gives no stamps: {:?}", socket.applied());
        return;
    }

    peer.write_all(b"waiting").unwrap();
    std::thread::sleep(Duration::from_millis(30));
    match recv(&mut socket, &mut buffer).unwrap() {
        TcpRead::Bytes {
            n: 7,
            kernel: Some(stamp),
        } => {
            let waited_ns = unix_now_ns() - stamp.0;
            assert!(waited_ns >= 25_000_000, "{waited_ns} ns are less than it waited");
        }
        read => panic!("{read:?}"),
    }
}

#[test]
fn stamps_that_are_not_asked_for_do_not_come() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = TcpOptions {
        kernel_stamps: false,
        ..TcpOptions::default()
    };
    let mut socket = connected(&listener, &options);
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(socket.applied().kernel_stamps, Applied::NotAsked);
    for _ in 0..3 {
        peer.write_all(b"abc").unwrap();
        assert_eq!(
            recv(&mut socket, &mut [0; 8]).unwrap(),
            TcpRead::Bytes { n: 3, kernel: None }
        );
    }
}

#[test]
fn the_end_of_the_stream_is_told_from_nothing_yet() {
    let listener = TcpListener::bind("[::1]:0")
        .or_else(|_| TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let mut socket = connected(&listener, &TcpOptions::default());
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap(), TcpRead::WouldBlock);
    peer.write_all(b"ab").unwrap();
    drop(peer);
    assert!(matches!(
        recv(&mut socket, &mut [0; 8]).unwrap(),
        TcpRead::Bytes { n: 2, .. }
    ));
    assert_eq!(recv(&mut socket, &mut [0; 8]).unwrap(), TcpRead::Eof);
}

#[test]
fn a_full_peer_makes_send_take_part_and_then_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = connected(&listener, &TcpOptions::default());
    let (mut peer, _) = listener.accept().unwrap();
    let block = vec![0x5a; 1 << 20];
    let mut sent = 0;
    while let Some(n) = socket.send(&block).unwrap() {
        sent += n;
        assert!(sent < 1 << 30, "a peer that does not read takes a gigabyte");
    }
    let mut received = vec![0; sent];
    peer.read_exact(&mut received).unwrap();
    assert!(received.iter().all(|&b| b == 0x5a));
}

#[test]
fn a_closed_port_refuses() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = match TcpSocket::connect(address, &TcpOptions::default()) {
        Err(error) => error,
        Ok(socket) => loop {
            match socket.connect_result() {
                Ok(true) => panic!("connected to a closed port"),
                Ok(false) => assert!(Instant::now() < deadline),
                Err(error) => break error,
            }
        },
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn options_report_what_took_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = TcpOptions {
        recv_buffer_bytes: Some(64 * 1024),
        busy_poll_us: Some(50),
        kernel_stamps: true,
    };
    let applied = connected(&listener, &asked).applied();
    assert!(applied.recv_buffer_bytes >= 64 * 1024, "{applied:?}");
    // Needs a privilege: either answer is right, silence is not.
    assert_ne!(applied.busy_poll, Applied::NotAsked);
    println!("applied: {applied:?}");
    let default = connected(&listener, &TcpOptions::default()).applied();
    assert_eq!(default.busy_poll, Applied::NotAsked);
}
