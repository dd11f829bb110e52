//! When to stop asking a venue at all.
//!
//! A [`Backoff`] spaces the attempts of one connection. It knows nothing of the others to the same venue, nor of the
//! requests for snapshots, and it starts small after each connection that lived. A venue in trouble accepts connections
//! and sends nothing, or drops all of them every few seconds; every attempt costs the address some of its allowance, and
//! a ban outlasts the trouble. So one breaker counts the failures of everything that goes to a venue:
//!
//! ```text
//!            failures within a window,                    the cool-down is over
//!            or the venue said to stay away               and somebody asks
//!  Closed ───────────────────────────────────▶ Open ──────────────────────────▶ HalfOpen
//!    ▲                                           ▲                                │   │
//!    │                                           └────────────────────────────────┘   │
//!    │                                              a trial failed, or gave no answer │
//!    └────────────────────────────────────────────────────────────────────────────────┘
//!                                     a trial succeeded
//! ```
//!
//! The cool-down is drawn by a [`Backoff`]: half of it is random, it doubles from one opening to the next up to a
//! ceiling, and it starts small again after the breaker was closed for long.
//!
//! **What to report.** A success is data of a book: the first that a connection's session shows, a snapshot that parsed.
//! Not a TCP connection, a handshake or an acknowledged subscription; a venue's front stands while what is behind it has
//! fallen. A failure is an attempt that ends without it: refused, timed out, dropped before the first book, an error in
//! place of a snapshot. A connection that is dropped later is a failure too, unless we closed it. Each attempt that was
//! permitted is reported once; one that is forgotten counts as failed after [`BreakerOptions::trial_timeout`], so that a
//! thread that died cannot keep a venue away for ever.
//!
//! One thread owns a breaker: the one that dials.

mod options;

use std::collections::VecDeque;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::backoff::Backoff;
use crate::types::UnixNanos;
pub use options::{BreakerOptions, BreakerOptionsError};

/// A venue's circuit breaker. Pure: the time comes in as an argument, randomness as a seed.
///
/// It counts time as it passes and not by the date: a wall clock that is set back holds nobody up, one that is put
/// forward ends a cool-down at the worst. Nothing is allocated after construction.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    backoff: Backoff,
    rng: ChaCha8Rng,
    state: State,
    /// When the latest failures came, oldest first; at most as many as open the breaker.
    failures: VecDeque<Duration>,
    /// The latest time that was seen, and how much has passed since the first.
    now: Option<UnixNanos>,
    elapsed: Duration,
    totals: BreakerTotals,
}

/// A state, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything may go.
    Closed,
    /// Nothing may go.
    Open {
        /// From when on a trial may. The state stays the same until somebody asks for it.
        until: UnixNanos,
    },
    /// A few trials may go, and decide.
    HalfOpen,
}

impl BreakerState {
    /// The name in logs and metrics labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The value of a metric: 0 closed, 1 open, 2 half-open.
    pub fn code(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open { .. } => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// The attempt must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the venue's circuit breaker lets nothing through until {} ns UTC", until.0)]
pub struct Wait {
    /// When to ask again.
    pub until: UnixNanos,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerTotals {
    /// Successes that were reported.
    pub successes: u64,
    /// Failures that were reported, and trials without an answer.
    pub failures: u64,
    /// Attempts that were told to wait.
    pub refused: u64,
    /// Too many failures, or the venue said to stay away.
    pub closed_to_open: u64,
    /// A first trial went.
    pub open_to_half_open: u64,
    /// A trial failed.
    pub half_open_to_open: u64,
    /// A trial succeeded.
    pub half_open_to_closed: u64,
}

impl BreakerTotals {
    /// How often it opened.
    pub fn openings(&self) -> u64 {
        self.closed_to_open + self.half_open_to_open
    }
}

/// The same with the times that have passed since the first call.
#[derive(Clone, Copy, Debug)]
enum State {
    Closed { since: Duration },
    Open { until: Duration },
    HalfOpen { trials: u32, deadline: Duration },
}

impl Breaker {
    /// A closed one. Breakers with different seeds come back at different times; the same seed makes the same waits.
    pub fn new(options: BreakerOptions, seed: u64) -> Result<Self, BreakerOptionsError> {
        options.check()?;
        Ok(Self {
            options,
            backoff: Backoff::new(options.cool_down),
            rng: ChaCha8Rng::seed_from_u64(seed),
            state: State::Closed { since: Duration::ZERO },
            failures: VecDeque::with_capacity(options.failures as usize),
            now: None,
            elapsed: Duration::ZERO,
            totals: BreakerTotals::default(),
        })
    }

    /// Whether an attempt may go now. Who is permitted goes, and reports the end with [`succeeded`](Self::succeeded),
    /// [`failed`](Self::failed) or [`told_to_stay_away`](Self::told_to_stay_away).
    pub fn permits(&mut self, now: UnixNanos) -> Result<(), Wait> {
        self.advance(now);
        match self.state {
            State::HalfOpen { deadline, .. } if deadline <= self.elapsed => {
                self.totals.failures += 1;
                self.open(None);
            }
            State::Open { until } if until <= self.elapsed => {
                self.totals.open_to_half_open += 1;
                self.state = State::HalfOpen {
                    trials: 0,
                    deadline: self.elapsed,
                };
            }
            _ => {}
        }
        match &mut self.state {
            State::Closed { .. } => return Ok(()),
            State::HalfOpen { trials, deadline } if *trials < self.options.trials => {
                *trials += 1;
                *deadline = self.elapsed.saturating_add(self.options.trial_timeout);
                return Ok(());
            }
            _ => {}
        }
        self.totals.refused += 1;
        Err(Wait { until: self.until() })
    }

    /// Data of a book came.
    ///
    /// While half-open this closes the breaker. While closed it forgives nothing: a venue that shows a book between two
    /// failures fails as often. While open it is late, and changes nothing.
    pub fn succeeded(&mut self, now: UnixNanos) {
        self.advance(now);
        self.totals.successes += 1;
        if let State::HalfOpen { .. } = self.state {
            self.totals.half_open_to_closed += 1;
            self.state = State::Closed { since: self.elapsed };
        }
    }

    /// An attempt ended without data of a book, or a connection was lost. While open it is late, and changes nothing.
    pub fn failed(&mut self, now: UnixNanos) {
        self.advance(now);
        self.totals.failures += 1;
        match self.state {
            State::Closed { .. } => {
                if self.failures.len() == self.options.failures as usize {
                    self.failures.pop_front();
                }
                self.failures.push_back(self.elapsed);
                let is_full = self.failures.len() == self.options.failures as usize;
                if is_full && self.elapsed - self.failures[0] <= self.options.window {
                    self.open(None);
                }
            }
            State::HalfOpen { .. } => self.open(None),
            State::Open { .. } => {}
        }
    }

    /// The venue itself said to stay away: 429, 418, 503 with a `Retry-After`. Opens at once, whatever came before, for
    /// the cool-down on top of what was asked for; while open it can only make the wait longer.
    pub fn told_to_stay_away(&mut self, now: UnixNanos, retry_after: Option<Duration>) {
        self.advance(now);
        self.totals.failures += 1;
        self.open(retry_after);
    }

    /// The state that the last call left.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open { until: self.until() },
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// What has happened since the start.
    pub fn totals(&self) -> BreakerTotals {
        self.totals
    }

    fn open(&mut self, retry_after: Option<Duration>) {
        let lived = match self.state {
            State::Closed { since } => self.elapsed - since,
            _ => Duration::ZERO,
        };
        let delay = self.backoff.next_delay(lived, retry_after, &mut self.rng);
        let mut until = self.elapsed.saturating_add(delay);
        match self.state {
            State::Closed { .. } => self.totals.closed_to_open += 1,
            State::HalfOpen { .. } => self.totals.half_open_to_open += 1,
            State::Open { until: before } => until = until.max(before),
        }
        self.failures.clear();
        self.state = State::Open { until };
    }

    /// When something changes by itself, on the caller's clock.
    fn until(&self) -> UnixNanos {
        let at = match self.state {
            State::Closed { .. } => self.elapsed,
            State::Open { until } => until,
            State::HalfOpen { deadline, .. } => deadline,
        };
        let left = u64::try_from(at.saturating_sub(self.elapsed).as_nanos()).unwrap_or(u64::MAX);
        UnixNanos(self.now.unwrap_or_default().0.saturating_add(left))
    }

    fn advance(&mut self, now: UnixNanos) {
        let before = *self.now.get_or_insert(now);
        let passed = Duration::from_nanos(now.0.saturating_sub(before.0));
        self.elapsed = self.elapsed.saturating_add(passed);
        // Callers that read their clocks at nearly the same time may come in any order; that is no clock set back.
        if now > before || before.0 - now.0 > CALLERS_APART_NS {
            self.now = Some(now);
        }
    }
}

/// How far behind the latest time that was seen a caller may be without having a new clock.
const CALLERS_APART_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
