//! Made-up feeds whose truth is known, and plain searches through all that was seen.

use allocation_counter::measure;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::floor::DRIFT_MAX_PPB;
use super::*;

const START: i64 = 1_723_161_255_000_000_000;
const MS: i64 = 1_000_000;

/// A venue's messages: when they came, and their venue time.
struct Wire {
    rng: ChaCha8Rng,
    /// Local time of the next message.
    local: i64,
    /// Local minus exchange time of a message that takes no time, at `START`.
    offset: i64,
    drift_ppb: i64,
    /// The mean of the pauses, and of the waits above the shortest way.
    pause: i64,
    wait: i64,
}

impl Wire {
    fn new(seed: u64, offset: i64, drift_ppb: i64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            local: START,
            offset,
            drift_ppb,
            pause: 20 * MS,
            wait: MS / 2,
        }
    }

    /// The difference of a message that did not wait.
    fn truth(&self) -> i64 {
        self.offset + ((self.local - START) as i128 * self.drift_ppb as i128 / 1_000_000_000) as i64
    }

    /// An exponential wait: most are short, some are long.
    fn draw(&mut self, mean: i64) -> i64 {
        let uniform: f64 = self.rng.random_range(1e-9..1.0);
        (-uniform.ln() * mean as f64) as i64
    }

    /// The next message: local time, exchange time, its wait.
    fn next(&mut self) -> (UnixNanos, UnixNanos, i64) {
        let pause = self.draw(self.pause);
        self.local += 1 + pause;
        let wait = self.draw(self.wait);
        (at(self.local), at(self.local - self.truth() - wait), wait)
    }

    /// Feeds so many seconds and returns the worst error of the delays.
    fn feed(&mut self, tracker: &mut ClockOffset, seconds: i64) -> i64 {
        let (end, mut worst) = (self.local + seconds * SECOND_NS, 0);
        while self.local < end {
            let (local, exchange, wait) = self.next();
            let delay = tracker.observe(local, exchange).unwrap();
            assert!(
                tracker.offset_ns(local).unwrap() <= local.since(exchange),
                "the line is above a message"
            );
            worst = worst.max((delay as i64 - wait).abs());
        }
        worst
    }
}

fn at(time: i64) -> UnixNanos {
    UnixNanos(u64::try_from(time).unwrap())
}

/// How far the tracker is from the truth, in nanoseconds.
fn error(tracker: &ClockOffset, wire: &Wire) -> i64 {
    tracker.offset_ns(at(wire.local)).unwrap() - wire.truth()
}

#[test]
fn offset_and_drift_of_a_made_up_feed_are_found() {
    for (seed, offset, drift_ppb) in [
        (1, -1_270 * MS, -5_000),
        (2, -1_270 * MS, 5_000),
        (3, 0, 0),
        (4, 14 * 3_600 * SECOND_NS, 100_000),
        (5, 3 * MS, -100_000),
        (6, -80_000 * SECOND_NS, 20_000),
    ] {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(seed, offset, drift_ppb));
        wire.feed(&mut tracker, 400);
        for _ in 0..10 {
            let worst = wire.feed(&mut tracker, 60);
            assert!(worst < MS / 5, "seed {seed}: a delay is off by {worst} ns");
            let drift_error = tracker.drift_ppb() - drift_ppb;
            assert!(
                drift_error.abs() < 1_000,
                "seed {seed}: drift is off by {drift_error} ppb"
            );
            let error = error(&tracker, &wire);
            assert!(error.abs() < MS / 5, "seed {seed}: offset is off by {error} ns");
        }
        assert_eq!((tracker.steps(), tracker.refused()), (0, 0), "seed {seed}");
    }
}

#[test]
fn while_no_drift_is_known_the_offset_is_the_least_difference_of_all() {
    for seed in 0..50 {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(seed, -1_270 * MS, 0));
        let mut least = i64::MAX;
        while wire.local < START + DRIFT_BUCKETS as i64 * BUCKET_NS {
            let (local, exchange, _) = wire.next();
            let delay = tracker.observe(local, exchange).unwrap();
            least = least.min(local.since(exchange));
            assert_eq!(tracker.offset_ns(local), Some(least), "seed {seed}");
            assert_eq!(delay as i64, local.since(exchange) - least, "seed {seed}");
        }
    }
}

#[test]
fn no_remembered_message_is_far_below_the_line() {
    for seed in 0..5 {
        let mut wire = Wire::new(seed, 250 * MS, 30_000);
        let (mut tracker, mut seen) = (ClockOffset::new(), Vec::new());
        while wire.local < START + 900 * SECOND_NS {
            let (local, exchange, _) = wire.next();
            tracker.observe(local, exchange);
            seen.push((local, local.since(exchange)));
        }
        // All of the window, not only the minima: what the line may miss is a change of drift within one bucket.
        let lowest = seen
            .iter()
            .filter(|(local, _)| (local.0 as i64) > wire.local - WINDOW_NS + BUCKET_NS)
            .map(|(local, difference)| difference - tracker.offset_ns(*local).unwrap())
            .min()
            .unwrap();
        assert!((-20_000..=100_000).contains(&lowest), "seed {seed}: {lowest} ns");
    }
}

#[test]
fn a_step_downwards_is_seen_at_once() {
    for step in [-5 * MS, -300 * MS, -1_270 * MS, -3_600 * SECOND_NS] {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(9, 40 * MS, 8_000));
        wire.feed(&mut tracker, 400);
        let drift_ppb = tracker.drift_ppb();
        wire.offset += step;
        let (local, exchange, _) = wire.next();
        assert_eq!(tracker.observe(local, exchange), Some(0), "{step}");
        assert_eq!((tracker.steps(), tracker.is_settled()), (1, false), "{step}");
        assert_eq!(tracker.drift_ppb(), drift_ppb, "a clock that is set keeps its pace");
        wire.feed(&mut tracker, 5);
        assert!(error(&tracker, &wire).abs() < MS / 5, "{step}");
        wire.feed(&mut tracker, 600);
        assert!(error(&tracker, &wire).abs() < MS / 5, "{step}");
        assert_eq!(tracker.steps(), 1, "{step}");
    }
}

#[test]
fn a_step_upwards_is_seen_within_its_bound_and_not_before_a_minute() {
    // In its first minutes a tracker does not know yet what is far; a second is.
    for (seconds_before, steps) in [
        (70, &[1_270 * MS, 290 * SECOND_NS, 3_600 * SECOND_NS][..]),
        (400, &[5 * MS, 300 * MS, 1_270 * MS, 3_600 * SECOND_NS]),
    ] {
        for &step in steps {
            let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(10, -40 * MS, -8_000));
            wire.feed(&mut tracker, seconds_before);
            wire.offset += step;
            let stepped_at = wire.local;
            while tracker.steps() == 0 {
                let (local, exchange, wait) = wire.next();
                let delay = tracker.observe(local, exchange).unwrap() as i64;
                // Without a known drift the old line is prolonged level: what the clocks drift apart adds up.
                let error = delay - wait - if tracker.steps() == 0 { step } else { 0 };
                assert!(error.abs() < 3 * MS / 2, "{step}: {error}");
            }
            let passed = wire.local - stepped_at;
            let bound = ClockOffset::STEP_NOTICED_AFTER.as_nanos() as i64 + SECOND_NS;
            assert!((60 * SECOND_NS..bound).contains(&passed), "{step}: after {passed} ns");
            wire.feed(&mut tracker, 600);
            assert!(error(&tracker, &wire).abs() < MS / 5, "{step}");
            assert_eq!(tracker.steps(), 1, "{step}");
        }
    }
}

#[test]
fn a_queue_of_half_a_minute_is_a_delay_and_no_step() {
    let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(11, 0, 5_000));
    wire.feed(&mut tracker, 400);
    for _ in 0..5 {
        wire.offset += 200 * MS;
        let (local, exchange, wait) = wire.next();
        let delay = tracker.observe(local, exchange).unwrap() as i64;
        assert!((delay - wait - 200 * MS).abs() < MS / 5, "{delay}");
        wire.feed(&mut tracker, 30);
        assert!((error(&tracker, &wire) + 200 * MS).abs() < MS / 5);
        wire.offset -= 200 * MS;
        let worst = wire.feed(&mut tracker, 90);
        assert!(worst < MS / 5, "{worst}");
    }
    assert_eq!(tracker.steps(), 0);
}

#[test]
fn a_quiet_feed_is_followed_too() {
    // One message in twenty seconds, each after a wait of eight milliseconds on average.
    for seed in 0..20 {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(seed, 700 * MS, 2_000));
        (wire.pause, wire.wait) = (20 * SECOND_NS, 8 * MS);
        for _ in 0..60 {
            wire.feed(&mut tracker, 180);
            let error = error(&tracker, &wire);
            assert!(error.abs() < 8 * MS, "seed {seed}: {error}");
        }
        assert_eq!(tracker.steps(), 0, "seed {seed}");
        wire.offset += 10 * SECOND_NS;
        wire.feed(&mut tracker, 900);
        let error = error(&tracker, &wire);
        assert!(error.abs() < 24 * MS, "seed {seed}: {error} after a step");
        // In two parts if the buckets just before it happened to be high.
        assert!((1..=2).contains(&tracker.steps()), "seed {seed}");
    }
}

#[test]
fn a_time_that_cannot_be_one_is_refused_and_changes_nothing() {
    let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(12, -1_270 * MS, 0));
    assert_eq!(tracker.offset_ns(at(START)), None);
    assert_eq!(tracker.one_way_delay_ns(at(START), at(START)), None);
    wire.feed(&mut tracker, 100);
    let offset = tracker.offset_ns(at(wire.local));
    let now = at(wire.local);
    let absurd = [
        0,
        1,
        1_723_161_255,
        now.0 - 86_500_000_000_000,
        now.0 + 86_500_000_000_000,
        1 << 63,
        u64::MAX,
    ];
    for time in absurd.map(UnixNanos) {
        assert_eq!(tracker.observe(now, time), None, "{time:?}");
        assert_eq!(tracker.observe(time, now), None, "{time:?}");
        assert_eq!(tracker.one_way_delay_ns(now, time), None, "{time:?}");
    }
    assert_eq!(tracker.observe(UnixNanos(0), UnixNanos(0)), None);
    assert_eq!(tracker.offset_ns(now), offset);
    assert_eq!((tracker.refused(), tracker.steps()), (2 * absurd.len() as u64 + 1, 0));
}

#[test]
fn one_time_from_the_future_is_outlived() {
    // An hour ahead, which may be a clock: believed at once, and given up when a minute of messages contradicts it.
    for seconds_before in [0, 90, 400] {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(13, 0, 0));
        wire.feed(&mut tracker, seconds_before);
        tracker.observe(at(wire.local), at(wire.local + 3_600 * SECOND_NS));
        wire.feed(&mut tracker, 70);
        assert!(error(&tracker, &wire).abs() < MS / 5, "{}", error(&tracker, &wire));
        let worst = wire.feed(&mut tracker, 600);
        assert!(worst < MS / 5, "{worst}");
    }
}

#[test]
fn old_trades_at_the_beginning_are_no_steps() {
    let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(14, 0, 0));
    for age in [40_000, 4_000, 400, 40, 4] {
        tracker.observe(at(START), at(START - age * SECOND_NS));
    }
    let worst = wire.feed(&mut tracker, 100);
    assert!(worst < 3 * MS && error(&tracker, &wire).abs() < MS / 5, "{worst}");
    assert_eq!(tracker.steps(), 0);
}

#[test]
fn a_silence_is_no_step_and_a_clock_set_during_it_is() {
    for (step, steps) in [(0, 0), (3_600 * SECOND_NS, 1), (-3_600 * SECOND_NS, 1)] {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(15, 0, 0));
        wire.feed(&mut tracker, 400);
        wire.local += 3_000 * SECOND_NS;
        wire.offset += step;
        wire.feed(&mut tracker, 100);
        assert_eq!(tracker.steps(), steps, "{step}");
        assert!(error(&tracker, &wire).abs() < MS / 5, "{step}");
    }
}

#[test]
fn a_local_clock_that_is_set_is_followed_whichever_way() {
    // Unlike a step of the venue's, this moves both the time of arrival and the difference.
    for (step, seconds) in [
        (-SECOND_NS, 5),
        (-3 * SECOND_NS, 5),
        (-60 * SECOND_NS, 5),
        (-3_600 * SECOND_NS, 5),
        (SECOND_NS, 70),
        (60 * SECOND_NS, 70),
        (3_600 * SECOND_NS, 5),
    ] {
        let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(16, 0, 0));
        wire.feed(&mut tracker, 400);
        wire.local += step;
        wire.offset += step;
        wire.feed(&mut tracker, seconds);
        assert_eq!(tracker.steps(), 1, "{step}");
        assert!(
            error(&tracker, &wire).abs() < MS / 2,
            "{step}: {}",
            error(&tracker, &wire)
        );
        wire.feed(&mut tracker, 600);
        assert_eq!(tracker.steps(), 1, "{step}");
    }
}

#[test]
fn nothing_is_allocated_after_construction() {
    let (mut tracker, mut wire) = (ClockOffset::new(), Wire::new(17, 0, 5_000));
    let allocations = measure(|| {
        wire.feed(&mut tracker, 900);
        wire.offset += SECOND_NS;
        wire.feed(&mut tracker, 400);
        wire.offset -= SECOND_NS;
        wire.feed(&mut tracker, 400);
    });
    assert_eq!((allocations.count_total, tracker.steps()), (0, 2));
}

/// Tries the line through every two points and keeps the one that is below all points with the least sum of distances,
/// in floating point.
fn slope_by_trial(points: &[Point]) -> f64 {
    let at = |point: &Point| ((point.local - START) as f64 / 1e9, point.difference as f64);
    let mut best = (f64::INFINITY, 0.0);
    for (index, from) in points.iter().enumerate() {
        for to in &points[index + 1..] {
            let ((x, y), (x2, y2)) = (at(from), at(to));
            let slope = (y2 - y) / (x2 - x);
            let residuals = points.iter().map(at).map(|(px, py)| py - y - slope * (px - x));
            if residuals.clone().all(|residual| residual > -0.01) {
                let sum = residuals.sum();
                best = if sum < best.0 { (sum, slope) } else { best };
            }
        }
    }
    best.1
}

proptest! {
    #[test]
    fn the_line_is_the_best_of_all_lines(
        points in prop::collection::vec((BUCKET_NS..3 * BUCKET_NS, -2_000_000..2_000_000_i64), 2..=BUCKETS)
    ) {
        let mut local = START;
        let points: Vec<Point> = points
            .into_iter()
            .map(|(gap, difference)| {
                local += gap;
                Point { local, difference }
            })
            .take_while(|point| point.local <= START + WINDOW_NS)
            .collect();
        let drift_ppb = floor::drift_ppb(&points);
        let expected = slope_by_trial(&points).clamp(-DRIFT_MAX_PPB as f64, DRIFT_MAX_PPB as f64);
        // The sum can be the same for two edges, if their corner is at the mean: then both are the best.
        let line = Line::below(&points, drift_ppb);
        let sum = |line: &Line| points.iter().map(|point| point.difference - line.at(point.local)).sum::<i64>();
        let other = Line::below(&points, expected.round() as i64);
        // A ppb that was rounded away is 300 ns for each of sixty points.
        prop_assert!((sum(&line) - sum(&other)).abs() <= 20_000, "{drift_ppb} and {expected}");
        let mut residuals: Vec<i64> = points.iter().map(|point| point.difference - line.at(point.local)).collect();
        residuals.sort_unstable();
        prop_assert_eq!(residuals[0], 0, "below all and touching one");
        prop_assert_eq!(line.median_residual(&points), residuals[residuals.len() / 2]);
    }

    #[test]
    fn any_two_times_are_survived(times in prop::collection::vec((any_time(), any_time()), 0..200)) {
        let mut tracker = ClockOffset::new();
        for (local, exchange) in times {
            let delay = tracker.observe(local, exchange);
            if delay.is_some() {
                prop_assert!(tracker.offset_ns(local).unwrap() <= local.since(exchange));
                prop_assert_eq!(tracker.one_way_delay_ns(local, exchange), delay);
            }
            prop_assert!(tracker.drift_ppb().abs() <= DRIFT_MAX_PPB);
            tracker.offset_ns(UnixNanos(0));
            tracker.offset_ns(UnixNanos(u64::MAX));
        }
    }
}

/// Sensible times, far ones, and the ends of the number line.
fn any_time() -> impl Strategy<Value = UnixNanos> {
    prop_oneof![
        4 => (0..1_000 * SECOND_NS).prop_map(|time| at(START + time)),
        2 => (-100_000..100_000_i64).prop_map(|seconds| at(START + seconds * SECOND_NS)),
        1 => any::<u64>().prop_map(UnixNanos),
        1 => prop_oneof![Just(0), Just(1), Just(i64::MAX as u64), Just(1 << 63), Just(u64::MAX)].prop_map(UnixNanos),
    ]
}
