//! How far two clocks are apart, learnt from messages that travel one way.
//!
//! A message carries the venue's time; we know when it came. The difference is the offset between the two clocks plus
//! the way of the message, and no single message tells one from the other: a clock that is 1.27 s behind the venue's
//! makes every latency negative. But a way has a shortest length. Most messages wait somewhere, some do not, and those
//! few all show the same difference: the floor. What a message lies above the floor is the time that it waited.
//!
//! Looking at the least delayed samples is Cristian's idea (1989) and that of NTP's clock filter (RFC 5905, section 10);
//! one minimum for each stretch of time, so that old ones can be forgotten, is how LEDBAT keeps its base delay (RFC 6817).
//! As clocks drift apart by some microseconds per second, the floor is a line: the one below all minima from which they
//! lie the least in sum (Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay
//! measurements", 1999).
//!
//! - Messages are put into buckets of five seconds, of which the lowest message is kept for five minutes. At the end of
//!   a bucket the line is laid anew; until then it is prolonged. A message below it lowers it at once.
//! - One far below the line is a clock that stepped, or a way that became shorter: what was known is forgotten.
//! - A clock that steps the other way looks like a queue at first. Once every message of a minute has been far above the
//!   line it is taken for a step. A queue that stands for a minute without a gap is taken for one too: from one side the
//!   two cannot be told apart. Until then the delays are shown too long, never too short.
//! - "Far" is four times what the minima usually lie above the line, between 2 ms and 1 s: 1 s in the first minute, from
//!   which it falls by a quarter per bucket.
//! - A drift is told by half a window of buckets. Where messages come more than ten seconds apart the line stays level,
//!   and is the least difference of five minutes.
//!
//! The delay of the fastest message counts as nothing: the line is the offset of the clocks *plus* the shortest way. For
//! a host beside the venue that is some microseconds, for one across an ocean it is half the round trip.

mod floor;

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::UnixNanos;
use floor::{Line, Point};

/// Follows the floor of the differences between our clock and a venue's. One for each connection.
///
/// [`observe`](Self::observe) costs some nanoseconds; one message in five seconds pays for laying the line through at
/// most sixty points. Nothing is allocated after construction and no float is computed, so a replay has the same delays.
#[derive(Debug)]
pub struct ClockOffset {
    line: Line,
    /// Local time of the first message of the bucket that is being filled.
    bucket_start: i64,
    /// The lowest message of that bucket, and how far above the line it lies.
    lowest: Point,
    lowest_residual: i64,
    /// The lowest messages of the full buckets, oldest first.
    minima: VecDeque<Point>,
    /// How many of the last minima lie far above the line; while there are any the line is only prolonged.
    suspects: usize,
    /// What "far" is at the moment.
    step_threshold: i64,
    steps: u64,
    refused: u64,
}

impl ClockOffset {
    /// How long messages are gathered before the line is laid anew.
    pub const BUCKET: Duration = Duration::from_nanos(BUCKET_NS as u64);
    /// How long a minimum is remembered.
    pub const WINDOW: Duration = Duration::from_nanos(WINDOW_NS as u64);
    /// The longest that a step upwards stays unnoticed while each bucket has a message: the bucket in which it happened,
    /// and a minute of others. A feed with longer pauses learns of it within [`WINDOW`](Self::WINDOW) and two of its pauses.
    /// Twice as long if messages stood in a queue just before the step, which is then noticed in two parts.
    pub const STEP_NOTICED_AFTER: Duration = Duration::from_nanos((STEP_BUCKETS as i64 + 1) as u64 * BUCKET_NS as u64);

    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            line: Line::default(),
            bucket_start: NEVER,
            lowest: Point::default(),
            lowest_residual: 0,
            minima: VecDeque::with_capacity(BUCKETS + 1),
            suspects: 0,
            step_threshold: STEP_MAX_NS,
            steps: 0,
            refused: 0,
        }
    }

    /// Takes the times of a message: when it came by the local clock, and when it was sent by the venue's own.
    ///
    /// Returns for how many nanoseconds longer it was on its way than the fastest message, or `None` if one of the times
    /// cannot be one: zero, after the year 2262, or more than a day from the other.
    #[inline]
    pub fn observe(&mut self, local: UnixNanos, exchange: UnixNanos) -> Option<u64> {
        let Some(point) = point(local, exchange) else {
            self.refused += 1;
            return None;
        };
        // Less than a bucket before or behind the start of this one. Where nothing has started yet, never.
        let place = point.local.wrapping_sub(self.bucket_start).wrapping_add(BUCKET_NS);
        if place as u64 >= 2 * BUCKET_NS as u64 {
            self.turn(point);
        }
        let residual = point.difference - self.line.at(point.local);
        if residual < self.lowest_residual {
            self.lower(point, residual);
        }
        Some(residual.max(0).unsigned_abs())
    }

    /// What [`observe`](Self::observe) would return if the message were not below the floor; learns nothing. `None` also
    /// before the first message.
    pub fn one_way_delay_ns(&self, local: UnixNanos, exchange: UnixNanos) -> Option<u64> {
        let point = point(local, exchange).filter(|_| self.bucket_start != NEVER)?;
        Some((point.difference - self.line.at(point.local)).max(0).unsigned_abs())
    }

    /// Local time minus the venue's, in nanoseconds, at the local time `now`: negative where our clock is behind. It
    /// contains the shortest way of a message. `None` before the first.
    pub fn offset_ns(&self, now: UnixNanos) -> Option<i64> {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        (self.bucket_start != NEVER).then(|| self.line.at(now))
    }

    /// How fast our clock runs against the venue's: nanoseconds gained per second, parts per billion. Zero until half a
    /// window has been seen; within ±500,000 (a computer's clock is off by less than 100,000).
    pub fn drift_ppb(&self) -> i64 {
        self.line.drift_ppb
    }

    /// Whether a minute of messages stands behind the line. Before that, and after a step, it is young.
    pub fn is_settled(&self) -> bool {
        self.minima.len() >= STEP_BUCKETS
    }

    /// How often one of the clocks, or the way, was seen to change by a jump.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Messages whose times could not be times.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The message is the lowest of its bucket.
    #[cold]
    fn lower(&mut self, point: Point, residual: i64) {
        if residual < -self.step_threshold {
            // In its first bucket a tracker has nothing to have stepped from: venues send old trades on subscription.
            self.steps += u64::from(!self.minima.is_empty());
            return self.begin(point);
        }
        self.line.difference += residual.min(0);
        self.lowest_residual = residual.max(0);
        self.lowest = Point {
            // A local clock that went back by less than a bucket: the minima stay in the order of time.
            local: point.local.max(self.bucket_start),
            ..point
        };
    }

    /// The message is not of this bucket.
    #[cold]
    fn turn(&mut self, point: Point) {
        if self.bucket_start == NEVER {
            return self.begin(point);
        }
        let passed = point.local - self.bucket_start;
        if passed < 0 {
            // Nobody but somebody who sets a clock moves it back by this much.
            self.steps += 1;
            return self.begin(point);
        }
        if passed > WINDOW_NS {
            // A silence, after which all is old. Or a clock that was put forward, then the difference has moved too.
            let moved = (point.difference - self.line.at(point.local)).unsigned_abs();
            self.steps += u64::from(moved > WINDOW_NS as u64 / 2);
            return self.begin(point);
        }
        self.close();
        self.bucket_start = point.local;
        self.lowest = point;
        // Above whatever comes, so that the bucket's first message is its lowest so far.
        self.lowest_residual = i64::MAX;
    }

    /// The bucket is full: its minimum joins the others, and the line is laid anew.
    fn close(&mut self) {
        self.minima.push_back(self.lowest);
        let oldest = self.lowest.local - WINDOW_NS;
        while self.minima.len() > BUCKETS || self.minima.front().is_some_and(|point| point.local < oldest) {
            self.minima.pop_front();
        }
        if self.lowest_residual > self.step_threshold {
            self.suspects = (self.suspects + 1).min(self.minima.len());
            if self.suspects < STEP_BUCKETS.min(self.minima.len()) {
                return;
            }
            self.steps += 1;
            self.minima.drain(..self.minima.len() - self.suspects);
            self.suspects = 0;
            // The drift of before still holds, setting a clock does not change its pace; and if some messages of the
            // minute came before the step, it would be taken for a drift.
            self.line = Line::below(self.minima.make_contiguous(), self.line.drift_ppb);
            return;
        }
        self.suspects = 0;
        self.lay();
    }

    /// Lays the line below all minima.
    fn lay(&mut self) {
        let points = self.minima.make_contiguous();
        // Of fewer, what happened to the first and the last would look like a drift.
        if points.len() >= DRIFT_BUCKETS {
            self.line.drift_ppb = floor::drift_ppb(points);
        }
        self.line = Line::below(points, self.line.drift_ppb);
        if points.len() >= STEP_BUCKETS {
            let spread = self.line.median_residual(points).saturating_mul(4);
            // It falls slowly: minima that happen to lie close together must not make the next ones look far away.
            let fallen = self.step_threshold - self.step_threshold / 4;
            self.step_threshold = spread.max(fallen).clamp(STEP_MIN_NS, STEP_MAX_NS);
        }
    }

    /// Starts over from one message. The drift and what "far" is are properties of clocks and ways: they stay.
    fn begin(&mut self, point: Point) {
        self.line.anchor = point.local;
        self.line.difference = point.difference;
        self.bucket_start = point.local;
        self.lowest = point;
        self.lowest_residual = 0;
        self.minima.clear();
        self.suspects = 0;
    }
}

impl Default for ClockOffset {
    fn default() -> Self {
        Self::new()
    }
}

/// A message as a point of the plane, if its times can be times.
#[inline]
fn point(local: UnixNanos, exchange: UnixNanos) -> Option<Point> {
    let local = i64::try_from(local.0).ok().filter(|&time| time > 0)?;
    let exchange = i64::try_from(exchange.0).ok().filter(|&time| time > 0)?;
    let difference = local - exchange;
    (difference.abs() <= DIFFERENCE_MAX_NS).then_some(Point { local, difference })
}

const SECOND_NS: i64 = 1_000_000_000;

/// No local time, and half the number line away from all of them: none wraps around to it.
const NEVER: i64 = -(1 << 62);

/// Long enough that nearly every bucket of a busy feed has a message that did not wait, short enough that a drift of
/// 100 ppm makes half a millisecond of it.
const BUCKET_NS: i64 = 5 * SECOND_NS;

/// The most buckets that are remembered.
const BUCKETS: usize = 60;
const WINDOW_NS: i64 = BUCKETS as i64 * BUCKET_NS;

/// So many minima tell a drift: half a window of a busy feed. For a quiet one the line stays level; its own waits hide
/// what the clocks drift apart in five minutes.
const DRIFT_BUCKETS: usize = BUCKETS / 2;

/// So many buckets in a row above the line are a step: longer than the queues that a burst leaves behind.
const STEP_BUCKETS: usize = 12;

/// Less is never a step: venues round their times to a millisecond, and a quiet one's minima lie that far apart.
const STEP_MIN_NS: i64 = 2_000_000;

/// More is always one, and before a minute has been seen only that.
const STEP_MAX_NS: i64 = SECOND_NS;

/// A host on local time instead of UTC is off by up to 14 hours and can still be measured. A difference of more than a
/// day is no clock but a wrong field, a wrong unit or a zero.
const DIFFERENCE_MAX_NS: i64 = 86_400 * SECOND_NS;

#[cfg(test)]
mod tests;
