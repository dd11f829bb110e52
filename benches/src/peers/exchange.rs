//! The venue's end of a run: a thread that sends a tape over loopback, with or without TLS.
//!
//! First the prelude. Then it waits until the receiver says that its book stands, and sends the rest: each frame at its
//! time, whether or not the ones before it were read, or in bursts that lie in the socket before they are read. Times are
//! those at which a frame *should* have left: what holds up the sender is paid by the messages behind it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quantumflow_feeds::net::{TlsServerConfig, TlsServerStream};

use crate::tape::Tape;
use crate::upgrade::upgrade;

/// When the frames behind the prelude are sent.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Each at its time, nanoseconds after the first.
    At(Vec<u64>),
    /// Up to each of these frames at once, and the next when the receiver has read that.
    Bursts(Vec<usize>),
}

impl Schedule {
    /// The frame behind the last one.
    pub fn end(&self, tape: &Tape) -> usize {
        match self {
            Self::At(times) => tape.prelude + times.len(),
            Self::Bursts(ends) => ends.last().copied().unwrap_or(tape.prelude),
        }
    }
}

/// What the two ends tell each other.
#[derive(Debug)]
pub struct Talk {
    /// The clock of both.
    pub start: Instant,
    /// By frame: nanoseconds since `start` at which it should have been sent.
    pub sent_ns: Arc<[AtomicU64]>,
    /// The receiver's book stands.
    pub is_ready: AtomicBool,
    /// Frames that were written.
    pub written: AtomicUsize,
    /// Frames that the receiver has worked off.
    pub read: AtomicUsize,
    /// The receiver has given up.
    pub is_over: AtomicBool,
}

/// A venue that waits for its one client.
#[derive(Debug)]
pub struct Exchange {
    /// Where to connect.
    pub address: SocketAddr,
    /// What it says of its progress.
    pub talk: Arc<Talk>,
    thread: JoinHandle<io::Result<()>>,
}

/// How it is to be.
#[derive(Clone)]
pub struct ExchangeOptions {
    /// With TLS.
    pub tls: Option<TlsServerConfig>,
    /// Whether the client asks for a WebSocket, or begins with one.
    pub has_handshake: bool,
    /// The processor of its thread.
    pub core: Option<usize>,
}

impl Exchange {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// No socket.
    pub fn open(tape: Arc<Tape>, schedule: Schedule, options: ExchangeOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let talk = Arc::new(Talk {
            start: Instant::now(),
            sent_ns: tape.ends.iter().map(|_| AtomicU64::new(0)).collect(),
            is_ready: AtomicBool::new(false),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let own = Arc::clone(&talk);
        let thread = std::thread::spawn(move || {
            if let Some(core) = options.core {
                core_affinity::set_for_current(core_affinity::CoreId { id: core });
            }
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut stream: Box<dyn ReadWrite> = match &options.tls {
                Some(tls) => Box::new(TlsServerStream::accept(tls, stream)?),
                None => Box::new(stream),
            };
            if options.has_handshake {
                upgrade(&mut *stream)?;
            }
            send(&mut *stream, &tape, &schedule, &own)
        });
        Ok(Self { address, talk, thread })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What the thread met.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .map_err(|_| io::Error::other("the venue's thread panicked"))?
    }
}

/// Between two frames of the prelude.
const PRELUDE_INTERVAL: Duration = Duration::from_micros(50);

trait ReadWrite: Read + Write {}
impl ReadWrite for TcpStream {}
impl ReadWrite for TlsServerStream<TcpStream> {}

fn send(stream: &mut dyn ReadWrite, tape: &Tape, schedule: &Schedule, talk: &Talk) -> io::Result<()> {
    let mut write = |frames: Range<usize>| {
        let end = frames.end;
        // A frame at a time, as a venue does it: one TLS record each.
        for frame in frames {
            stream.write_all(tape.frames(frame..frame + 1))?;
        }
        stream.flush()?;
        // Release: who sees the count finds the bytes in the socket.
        talk.written.store(end, Ordering::Release);
        Ok::<(), io::Error>(())
    };
    // Not at once: a session that waits for its REST book would take all of it as one change.
    for frame in 0..tape.prelude {
        write(frame..frame + 1)?;
        let next = Instant::now() + PRELUDE_INTERVAL;
        wait(talk, || Instant::now() >= next);
    }
    if !wait(talk, || talk.is_ready.load(Ordering::Acquire)) {
        return Ok(());
    }
    match schedule {
        Schedule::At(times) => {
            let first = talk.start.elapsed() + Duration::from_millis(5);
            for (frame, time_ns) in (tape.prelude..).zip(times) {
                let due_ns = first.as_nanos() as u64 + time_ns;
                // Release: pairs with the receiver's Acquire.
                talk.sent_ns[frame].store(due_ns, Ordering::Release);
                while (talk.start.elapsed().as_nanos() as u64) < due_ns {
                    std::hint::spin_loop();
                }
                write(frame..frame + 1)?;
            }
        }
        Schedule::Bursts(ends) => {
            let mut from = tape.prelude;
            for &end in ends {
                write(from..end)?;
                if !wait(talk, || talk.read.load(Ordering::Acquire) >= end) {
                    return Ok(());
                }
                from = end;
            }
        }
    }
    // The client hangs up first: what lies in its socket is not lost to a reset.
    wait(talk, || talk.is_over.load(Ordering::Acquire));
    Ok(())
}

/// False where the receiver has given up.
fn wait(talk: &Talk, is_so: impl Fn() -> bool) -> bool {
    while !is_so() {
        if talk.is_over.load(Ordering::Acquire) {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}
