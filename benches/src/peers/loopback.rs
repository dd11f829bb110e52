//! A sender on a thread of its own: frames over loopback TCP, paced or as fast as the socket takes them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the sender sends.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// One frame at each multiple of this, whether or not the one before was read: an open loop.
    Every(Duration),
    /// As fast as the socket takes them.
    Burst,
}

/// A sender that waits for its one connection.
#[derive(Debug)]
pub struct Sender {
    /// Where to connect.
    pub address: SocketAddr,
    /// Nanoseconds since the given start at which each frame was handed to the kernel.
    pub sent_ns: Arc<[AtomicU64]>,
    thread: JoinHandle<io::Result<()>>,
}

impl Sender {
    /// Listens on a free port of the loopback interface, and sends `bytes`, cut at `ends`, to who connects.
    ///
    /// # Errors
    /// No socket.
    pub fn new(bytes: Arc<[u8]>, ends: Arc<[usize]>, pace: Pace, start: Instant) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let sent_ns: Arc<[AtomicU64]> = ends.iter().map(|_| AtomicU64::new(0)).collect();
        let times = Arc::clone(&sent_ns);
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let Pace::Every(interval) = pace else {
                return stream.write_all(&bytes);
            };
            let mut due = Instant::now() + Duration::from_millis(5);
            let mut from = 0;
            for (&end, time) in ends.iter().zip(&*times) {
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
                // Release: pairs with the receiver's Acquire.
                time.store(start.elapsed().as_nanos() as u64, Ordering::Release);
                stream.write_all(&bytes[from..end])?;
                from = end;
                due += interval;
            }
            Ok(())
        });
        Ok(Self {
            address,
            sent_ns,
            thread,
        })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What the sender met.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .map_err(|_| io::Error::other("the sender panicked"))?
    }
}
