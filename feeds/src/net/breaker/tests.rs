//! The table of states, and any sequence of calls against what must always hold.

use allocation_counter::measure;
use proptest::prelude::*;

use super::*;
use crate::net::BackoffOptions;

const START: UnixNanos = UnixNanos(1_723_161_255_000_000_000);

/// Three failures within ten seconds; open for two seconds at first and sixteen at the most.
fn options() -> BreakerOptions {
    BreakerOptions {
        failures: 3,
        window: Duration::from_secs(10),
        cool_down: BackoffOptions {
            first: Duration::from_secs(2),
            max: Duration::from_secs(16),
            healthy_after: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(600),
        },
        trials: 1,
        trial_timeout: Duration::from_secs(5),
    }
}

fn breaker() -> Breaker {
    Breaker::new(options(), 1).unwrap()
}

/// `START` and so many milliseconds.
fn ms(ms: i64) -> UnixNanos {
    UnixNanos(START.0.checked_add_signed(ms * 1_000_000).unwrap())
}

/// A breaker that opened at `START`, and when its cool-down ends.
fn opened() -> (Breaker, UnixNanos) {
    let mut breaker = breaker();
    (0..3).for_each(|_| breaker.failed(START));
    match breaker.state() {
        BreakerState::Open { until } => (breaker, until),
        state => panic!("{state:?}"),
    }
}

/// One whose first trial went at the time that is returned.
fn half_open() -> (Breaker, UnixNanos) {
    let (mut breaker, until) = opened();
    assert_eq!(breaker.permits(until), Ok(()));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    (breaker, until)
}

fn later(time: UnixNanos, ms: u64) -> UnixNanos {
    UnixNanos(time.0 + ms * 1_000_000)
}

#[test]
fn every_state_answers_every_call() {
    type Call = fn(&mut Breaker, UnixNanos);
    let succeeded: Call = Breaker::succeeded;
    let failed: Call = Breaker::failed;
    let asked: Call = |breaker, now| _ = breaker.permits(now);
    let sent_away: Call = |breaker, now| breaker.told_to_stay_away(now, None);
    for (from, call, ms, to) in [
        ("closed", succeeded, 0, "closed"),
        ("closed", failed, 0, "closed"),
        ("closed", asked, 0, "closed"),
        ("closed", sent_away, 0, "open"),
        ("open", succeeded, 0, "open"),
        ("open", failed, 0, "open"),
        ("open", asked, 0, "open"),
        ("open", sent_away, 0, "open"),
        ("open", asked, 2_000, "half_open"),
        ("open", succeeded, 2_000, "open"),
        ("open", failed, 2_000, "open"),
        ("half_open", succeeded, 0, "closed"),
        ("half_open", failed, 0, "open"),
        ("half_open", asked, 0, "half_open"),
        ("half_open", asked, 4_999, "half_open"),
        ("half_open", asked, 5_000, "open"),
        ("half_open", succeeded, 9_000, "closed"),
        ("half_open", sent_away, 0, "open"),
    ] {
        let (mut breaker, now) = match from {
            "closed" => (breaker(), START),
            "open" => (opened().0, START),
            _ => half_open(),
        };
        assert_eq!(breaker.state().name(), from);
        call(&mut breaker, later(now, ms));
        assert_eq!(breaker.state().name(), to, "{from}, {ms} ms later");
    }
}

#[test]
fn names_and_codes_are_those_of_the_metric() {
    let states = [
        BreakerState::Closed,
        BreakerState::Open { until: START },
        BreakerState::HalfOpen,
    ];
    assert_eq!(states.map(BreakerState::name), ["closed", "open", "half_open"]);
    assert_eq!(states.map(BreakerState::code), [0, 1, 2]);
}

#[test]
fn failures_that_are_far_apart_do_not_open_it() {
    let mut breaker = breaker();
    for failure in 0..100 {
        breaker.failed(ms(failure * 5_001));
        assert_eq!(breaker.state(), BreakerState::Closed, "failure {failure}");
    }
    breaker.failed(ms(99 * 5_001 + 4_000));
    assert_eq!(breaker.state().name(), "open", "three within ten seconds");
}

#[test]
fn a_venue_that_shows_a_book_between_its_failures_is_not_forgiven() {
    let mut breaker = breaker();
    for time in [0, 1_000, 2_000] {
        assert_eq!(breaker.permits(ms(time)), Ok(()));
        breaker.succeeded(ms(time + 100));
        breaker.failed(ms(time + 900));
    }
    assert_eq!(breaker.state().name(), "open");
}

#[test]
fn the_cool_down_doubles_to_its_ceiling_and_half_of_it_is_random() {
    let mut firsts = Vec::new();
    for seed in 0..200 {
        let mut breaker = Breaker::new(options(), seed).unwrap();
        (0..3).for_each(|_| breaker.failed(START));
        let mut now = START;
        for ceiling_ms in [2_000, 4_000, 8_000, 16_000, 16_000, 16_000] {
            let Wait { until } = breaker.permits(now).unwrap_err();
            let wait_ms = until.since(now) / 1_000_000;
            assert!(
                (ceiling_ms / 2..=ceiling_ms).contains(&wait_ms),
                "seed {seed}: {wait_ms} ms"
            );
            firsts.extend((ceiling_ms == 2_000).then_some(until));
            assert_eq!(breaker.permits(UnixNanos(until.0 - 1)), Err(Wait { until }));
            assert_eq!(breaker.permits(until), Ok(()));
            now = until;
            breaker.failed(now);
        }
        assert_eq!(breaker.totals().openings(), 7);
    }
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 190, "two hundred breakers do not come back together");
}

#[test]
fn a_breaker_that_was_closed_for_long_starts_small_again() {
    for (closed_ms, most_ms) in [(30_000, 4_000), (60_000, 2_000)] {
        let (mut breaker, mut now) = half_open();
        breaker.succeeded(now);
        now = later(now, closed_ms);
        (0..3).for_each(|_| breaker.failed(now));
        let Wait { until } = breaker.permits(now).unwrap_err();
        let wait_ms = until.since(now) / 1_000_000;
        assert!((most_ms / 2..=most_ms).contains(&wait_ms), "{wait_ms} ms");
    }
}

#[test]
fn a_venue_that_says_how_long_is_believed_up_to_the_ceiling() {
    for (asked, seconds) in [(120, 120), (100_000, 600)] {
        let mut breaker = breaker();
        breaker.told_to_stay_away(START, Some(Duration::from_secs(asked)));
        let Wait { until } = breaker.permits(START).unwrap_err();
        assert!((seconds + 1..=seconds + 2).contains(&(until.since(START) / 1_000_000_000)));
        // A shorter word does not shorten it.
        breaker.told_to_stay_away(START, Some(Duration::from_secs(1)));
        assert_eq!(breaker.permits(START), Err(Wait { until }));
        assert_eq!((breaker.totals().openings(), breaker.totals().failures), (1, 2));
    }
}

#[test]
fn a_trial_that_nobody_reports_has_failed() {
    let (mut breaker, now) = half_open();
    let deadline = later(now, 5_000);
    assert_eq!(breaker.permits(now), Err(Wait { until: deadline }));
    let Wait { until } = breaker.permits(deadline).unwrap_err();
    assert!(until > deadline);
    assert_eq!(breaker.totals().half_open_to_open, 1);
    assert_eq!(breaker.permits(until), Ok(()), "and the next may go");
    breaker.succeeded(until);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn several_trials_may_go_where_several_are_allowed() {
    let mut breaker = Breaker::new(BreakerOptions { trials: 3, ..options() }, 1).unwrap();
    breaker.told_to_stay_away(START, None);
    let now = breaker.permits(START).unwrap_err().until;
    assert_eq!(
        [(); 5].map(|()| breaker.permits(now).is_ok()),
        [true, true, true, false, false]
    );
    breaker.succeeded(now);
    // The one that came back first has decided; the others are the first failures of a closed breaker.
    breaker.failed(now);
    breaker.failed(now);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_clock_that_is_set_back_holds_nobody_up() {
    let (mut breaker, until) = opened();
    let left = until.since(START) as u64;
    let set = ms(-3_600_000);
    assert_eq!(
        breaker.permits(set),
        Err(Wait {
            until: UnixNanos(set.0 + left)
        })
    );
    assert_eq!(breaker.permits(UnixNanos(set.0 + left)), Ok(()));
}

#[test]
fn callers_that_overtake_each_other_do_not_make_time_pass() {
    let (mut breaker, until) = opened();
    for _ in 0..100 {
        assert_eq!(breaker.permits(ms(500)), Err(Wait { until }));
        assert_eq!(breaker.permits(ms(0)), Err(Wait { until }));
    }
}

#[test]
fn absurd_options_are_refused_by_name() {
    type Change = fn(&mut BreakerOptions);
    let day = Duration::from_secs(86_400);
    let changes: [(Change, &str); 12] = [
        (|options| options.failures = 0, "failures is 0; choose 1 to 1000"),
        (
            |options| options.failures = u32::MAX,
            "failures is 4294967295; choose 1 to 1000",
        ),
        (
            |options| options.window = Duration::ZERO,
            "window is 0ns; choose 1s to 86400s",
        ),
        (|options| options.window = Duration::MAX, "window is "),
        (
            |options| options.cool_down.first = Duration::ZERO,
            "cool_down.first is 0ns",
        ),
        (
            |options| options.cool_down.max = Duration::from_secs(1),
            "cool_down.max is 1s; choose 2s to 86400s",
        ),
        (|options| options.cool_down.max = Duration::MAX, "cool_down.max is "),
        (
            |options| options.cool_down.healthy_after = Duration::ZERO,
            "cool_down.healthy_after is 0ns",
        ),
        (
            |options| options.cool_down.retry_after_max = Duration::MAX,
            "cool_down.retry_after_max is ",
        ),
        (|options| options.trials = 0, "trials is 0; choose 1 to 16"),
        (
            |options| options.trial_timeout = Duration::ZERO,
            "trial_timeout is 0ns; choose 1s to 600s",
        ),
        (|options| options.trial_timeout = Duration::MAX, "trial_timeout is "),
    ];
    for (change, expected) in changes {
        let mut options = options();
        change(&mut options);
        let error = Breaker::new(options, 1).unwrap_err().to_string();
        assert!(error.starts_with(&format!("circuit breaker: {expected}")), "{error}");
    }
    assert_eq!(BreakerOptions::default().check(), Ok(()));
    let mut longest = options();
    (longest.window, longest.cool_down.first, longest.cool_down.max) = (day, day, day);
    assert_eq!(longest.check(), Ok(()));
}

#[test]
fn nothing_is_allocated_after_construction() {
    let mut breaker = breaker();
    let allocations = measure(|| {
        for step in 0..1_000 {
            _ = breaker.permits(ms(step * 700));
            match step % 7 {
                0 => breaker.succeeded(ms(step * 700)),
                _ => breaker.failed(ms(step * 700)),
            }
        }
    });
    assert!(breaker.totals().openings() > 10);
    assert_eq!(allocations.count_total, 0);
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Ask,
    Succeed,
    Fail,
    SendAway(Option<Duration>),
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        5 => Just(Call::Ask),
        1 => Just(Call::Succeed),
        4 => Just(Call::Fail),
        1 => prop::option::of(any::<u64>().prop_map(Duration::from_secs)).prop_map(Call::SendAway),
    ]
}

/// Mostly forward, by less than a cool-down or a window; sometimes far, in either direction.
fn any_pause_ms() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0..4_000_i64, 1 => -5_000..0_i64, 1 => -4_000_000..4_000_000_i64]
}

proptest! {
    #[test]
    fn what_must_always_hold(
        calls in prop::collection::vec((any_call(), any_pause_ms()), 0..300),
        trials in 1..=16_u32,
        seed: u64,
    ) {
        let mut breaker = Breaker::new(BreakerOptions { trials, ..options() }, seed).unwrap();
        let (mut now_ms, mut went) = (1_000_000_000_i64, 0);
        for (call, pause_ms) in calls {
            now_ms = (now_ms + pause_ms).max(0);
            let (now, before) = (ms(now_ms), breaker.state());
            let mut permitted = false;
            match call {
                Call::Ask => match breaker.permits(now) {
                    Ok(()) => permitted = true,
                    // The longest word that is believed, a cool-down behind it, and a second between callers.
                    Err(Wait { until }) => prop_assert!(until.since(now) <= 617_000_000_000),
                },
                Call::Succeed => breaker.succeeded(now),
                Call::Fail => breaker.failed(now),
                Call::SendAway(retry_after) => breaker.told_to_stay_away(now, retry_after),
            }
            let state = breaker.state();
            went = if state == BreakerState::HalfOpen { went + u32::from(permitted) } else { 0 };
            prop_assert!(went <= trials, "{} attempts while half-open", went);
            prop_assert!(!permitted || state.name() != "open", "an attempt went while open");
            match (before.name(), state.name()) {
                (from, "closed") if from != "closed" => {
                    prop_assert!(from == "half_open" && matches!(call, Call::Succeed), "closed by {:?}", call);
                }
                (from, "half_open") if from != "half_open" => {
                    prop_assert!(from == "open" && permitted, "half-open by {:?}", call);
                }
                _ => {}
            }
            let totals = breaker.totals();
            prop_assert_eq!(totals.open_to_half_open, totals.half_open_to_open + totals.half_open_to_closed
                + u64::from(state == BreakerState::HalfOpen));
            prop_assert_eq!(totals.openings(), totals.open_to_half_open + u64::from(state.name() == "open"));
        }
        // And whatever happened, who waits as told goes: behind a trial without an answer and another cool-down at most.
        let mut now = ms(now_ms);
        let goes = (0..3).any(|_| match breaker.permits(now) {
            Ok(()) => true,
            Err(Wait { until }) => {
                now = until;
                false
            }
        });
        prop_assert!(goes, "{:?}", breaker);
    }

    /// Against a list of all failures, as long as it is closed.
    #[test]
    fn it_opens_at_the_failure_that_is_one_too_many_in_a_window(
        pauses_ms in prop::collection::vec(0..8_000_i64, 1..100), limit in 1..8_u32,
    ) {
        let mut breaker = Breaker::new(BreakerOptions { failures: limit, ..options() }, 1).unwrap();
        let (mut now_ms, mut all) = (0, Vec::new());
        for pause_ms in pauses_ms {
            now_ms += pause_ms;
            breaker.failed(ms(now_ms));
            all.push(now_ms);
            let recent = all.iter().filter(|&&failure| now_ms - failure <= 10_000).count();
            prop_assert_eq!(breaker.state().name() == "open", recent >= limit as usize);
            if recent >= limit as usize {
                break;
            }
        }
    }
}
