//! Makes connections ready, off the hot thread, and drops the dead ones.
//!
//! A dial blocks for as long as DNS, TCP, TLS and the upgrade take, so each has a short-lived thread of its own: one
//! venue's outage must not keep another venue's feed from coming back. A feed is dialled until it is there; the pauses
//! grow with jitter, a venue's Retry-After is obeyed, and a venue whose connections all end without a book is left alone
//! for a while, by its [`Breakers`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quantumflow_feeds::net::{Backoff, BackoffOptions, Connection, DialError, DialOptions, Endpoint, dial};
use quantumflow_feeds::ws::MaskSource;
use quantumflow_feeds::{Line, VenueId};

use super::{Breakers, LOOK_EVERY};
use crate::hot::{ColdSide, FeedLine, LineOrder};
use crate::os::wall_clock;

/// Where and how one feed is dialled.
#[derive(Clone, Debug)]
pub struct DialTarget {
    /// Both of its lines are dialled from the start; otherwise the second waits until it is wanted.
    pub is_redundant: bool,
    /// Whose it is.
    pub venue: VenueId,
    /// Its address, with the path of the venue's session.
    pub endpoint: Endpoint,
    /// Its trust, limits and socket options.
    pub options: DialOptions,
}

/// How many dials failed, by feed: read by the housekeeping thread.
#[derive(Clone, Debug)]
pub struct DialFailures(Arc<[AtomicU64]>);

impl DialFailures {
    /// Failures of that feed since the start.
    pub fn of(&self, feed: usize) -> u64 {
        self.0.get(feed).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// The thread's state.
#[derive(Debug)]
pub struct Dialler {
    /// By [`FeedLine::slot`].
    lines: Vec<DialLine>,
    cold: ColdSide,
    failures: DialFailures,
    breakers: Breakers,
}

/// What is known of one line of a feed.
#[derive(Debug)]
struct DialLine {
    target: DialTarget,
    backoff: Backoff,
    state: DialState,
}

#[derive(Debug)]
enum DialState {
    /// Nobody wants it.
    Idle,
    /// The shard has a connection since then. It is of use once more books were shown than before it.
    Connected {
        since: Instant,
        books_before: u64,
        is_of_use: bool,
    },
    /// The next dial is not before then.
    Waiting { until: Instant },
    /// A thread dials.
    Dialling(JoinHandle<Result<Box<Connection>, DialError>>),
    /// Ready, but the shard has not taken it over yet.
    Ready(Box<Connection>),
}

impl Dialler {
    /// One target per feed, in the order of the configuration. Every feed is dialled at once. `breakers` has one for each
    /// venue.
    pub fn new(targets: Vec<DialTarget>, cold: ColdSide, breakers: Breakers) -> Self {
        let failures = DialFailures(targets.iter().map(|_| AtomicU64::new(0)).collect());
        let line = |target: &DialTarget, line| DialLine {
            target: target.clone(),
            backoff: Backoff::new(BackoffOptions::default()),
            state: if line == Line::First || target.is_redundant {
                DialState::Waiting { until: Instant::now() }
            } else {
                DialState::Idle
            },
        };
        let lines = targets
            .iter()
            .flat_map(|target| Line::ALL.map(|which| line(target, which)));
        Self {
            lines: lines.collect(),
            cold,
            failures,
            breakers,
        }
    }

    /// The counters that the housekeeping thread publishes.
    pub fn failures(&self) -> DialFailures {
        self.failures.clone()
    }

    /// Works until `stop` is set. A dial that is still under way then is left to its own deadline.
    pub fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            while let Some(LineOrder { at, old, dial }) = self.cold.take_line_order() {
                drop(old);
                self.take_order(at, dial);
            }
            for slot in 0..self.lines.len() {
                self.advance(FeedLine::at_slot(slot));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The shard has lost the connection of a line, has given it up, or wants one that it has not had. After a loss the
    /// venue's other clients have probably lost theirs, too, so that even the first dial waits a little.
    fn take_order(&mut self, at: FeedLine, dial: bool) {
        let Some(line) = self.lines.get_mut(at.slot()) else {
            return;
        };
        let now = Instant::now();
        line.state = match (&line.state, dial) {
            (DialState::Connected { since, .. }, true) => {
                self.breakers.failed(line.target.venue);
                let pause = line.backoff.next_delay(since.elapsed(), None, &mut rand::rng());
                DialState::Waiting { until: now + pause }
            }
            (DialState::Idle, true) => DialState::Waiting { until: now },
            (_, false) => DialState::Idle,
            // It is on its way.
            (_, true) => return,
        };
    }

    fn advance(&mut self, at: FeedLine) {
        let line = &mut self.lines[at.slot()];
        let address = line.target.endpoint.clone();
        let (index, venue) = (usize::from(at.feed), line.target.venue);
        line.state = match std::mem::replace(&mut line.state, DialState::Idle) {
            DialState::Waiting { until } if until <= Instant::now() => match self.breakers.permits(venue) {
                Ok(()) => start_dial(index, &line.target),
                Err(wait) => {
                    let pause = Duration::from_nanos(wait.until.0.saturating_sub(wall_clock().0));
                    tracing::warn!(feed = index, %venue, pause_ms = pause.as_millis() as u64, "the venue is left alone");
                    DialState::Waiting {
                        until: Instant::now() + pause,
                    }
                }
            },
            DialState::Dialling(dial) if dial.is_finished() => match dial.join() {
                Ok(Ok(connection)) => {
                    let tls = connection.tls_description();
                    let applied = connection.tcp_applied();
                    tracing::info!(feed = index, line = at.line.name(), %address, tls, kernel_stamps = ?applied.kernel_stamps, "connected");
                    DialState::Ready(connection)
                }
                Ok(Err(error)) => {
                    self.failures.0[index].fetch_add(1, Ordering::Relaxed);
                    match error.retry_after() {
                        Some(_) => self.breakers.told_to_stay_away(venue, error.retry_after()),
                        None => self.breakers.failed(venue),
                    }
                    let pause = line
                        .backoff
                        .next_delay(Duration::ZERO, error.retry_after(), &mut rand::rng());
                    let pause_ms = pause.as_millis() as u64;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(feed = index, %address, pause_ms, error, "cannot connect, trying again");
                    DialState::Waiting {
                        until: Instant::now() + pause,
                    }
                }
                Err(panic) => std::panic::resume_unwind(panic),
            },
            DialState::Ready(connection) => match self.cold.deliver_connection(at, connection) {
                Ok(()) => DialState::Connected {
                    since: Instant::now(),
                    books_before: self.cold.books_shown(at),
                    is_of_use: false,
                },
                Err(back) => DialState::Ready(back),
            },
            DialState::Connected {
                since,
                books_before,
                is_of_use: false,
            } if self.cold.books_shown(at) != books_before => {
                self.breakers.succeeded(venue);
                DialState::Connected {
                    since,
                    books_before,
                    is_of_use: true,
                }
            }
            unchanged => unchanged,
        };
    }
}

fn start_dial(index: usize, target: &DialTarget) -> DialState {
    match spawn_dial(index, target.clone()) {
        Ok(dial) => DialState::Dialling(dial),
        Err(error) => {
            tracing::error!(feed = index, %error, "cannot start a thread to dial with");
            DialState::Waiting {
                until: Instant::now() + Duration::from_secs(1),
            }
        }
    }
}

fn spawn_dial(index: usize, target: DialTarget) -> io::Result<JoinHandle<Result<Box<Connection>, DialError>>> {
    let masks = MaskSource::from_os().map_err(io::Error::other)?;
    let work = move || dial(&target.endpoint, &target.options, masks).map(Box::new);
    thread::Builder::new().name(format!("dial-{index}")).spawn(work)
}
