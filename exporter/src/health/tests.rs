use quantumflow_region::{GaugeI64, catalogue as cat};

use super::*;
use crate::fixture::{Engine, down};

/// The present, in nanoseconds since 1970.
const NOW: u64 = 1_800_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// An engine with two feeds, two books and a model, all as they should be.
struct Sound {
    engine: Engine,
    /// Of binance and of kraken.
    feed_health: Vec<GaugeI64>,
}

impl Sound {
    fn new() -> Self {
        let engine = Engine::new(1);
        let hot = &engine.hot;
        let mut feed_health = Vec::new();
        for exchange in ["binance", "kraken"] {
            let health = hot.gauge_i64(&cat::FEED_HEALTH, &[exchange]).unwrap();
            health.set(1);
            feed_health.push(health);
            hot.timestamp(&cat::FEED_LAST_MESSAGE, &[exchange])
                .unwrap()
                .set(NOW - SECOND);
            hot.state(&cat::BOOK_QUALITY, &[exchange, "BTC"], 0).unwrap();
        }
        hot.gauge_i64(&cat::MODEL_LOADED, &["lstm"]).unwrap().set(1);
        hot.counter(&cat::HOT_LOOP_ITERATIONS, &[]).unwrap();
        Self { engine, feed_health }
    }

    /// Looks, lets something happen, looks again twelve seconds later, and judges.
    fn after(&mut self, happen: impl FnOnce(&Engine)) -> Report {
        let earlier = earlier(&self.engine.sight(), 12);
        happen(&self.engine);
        judge(&self.engine.sight(), Some(&earlier), NOW)
    }
}

fn earlier(sight: &Sight, seconds: u64) -> Earlier {
    Earlier {
        instance_id: sight.view.region.as_ref().unwrap().info.instance_id,
        snapshot: Arc::clone(&sight.pass.as_ref().unwrap().snapshot),
        age: Duration::from_secs(seconds),
    }
}

/// What is not healthy, as `kind name: status: reason`.
fn complaints(report: &Report) -> Vec<String> {
    let wrong = report.components.iter().filter(|c| c.status != Status::Healthy);
    wrong
        .map(|c| {
            assert!(c.look_at.is_some_and(|text| !text.is_empty()), "{c:?}");
            format!("{:?} {}: {:?}: {}", c.kind, c.name, c.status, c.reason)
        })
        .collect()
}

fn check(report: &Report, status: Status, expected: &[&str]) {
    let complaints = complaints(report);
    assert_eq!(
        (report.status, complaints.len()),
        (status, expected.len()),
        "{complaints:#?}"
    );
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(
            complaint.starts_with(expected),
            "{complaint:?} should begin with {expected:?}"
        );
    }
}

#[test]
fn a_sound_engine_is_healthy_at_the_first_look_and_later() {
    let mut sound = Sound::new();
    check(&judge(&sound.engine.sight(), None, NOW), Status::Healthy, &[]);
    let report = sound.after(|_| {});
    check(&report, Status::Healthy, &[]);
    let kinds: Vec<Kind> = report.components.iter().map(|c| c.kind).collect();
    let all = [
        Kind::Engine,
        Kind::Threads,
        Kind::Feed,
        Kind::Feed,
        Kind::Book,
        Kind::Book,
        Kind::Model,
        Kind::Signals,
        Kind::Queues,
        Kind::Region,
    ];
    assert_eq!(kinds, all);
}

#[test]
fn every_condition_of_the_process_has_its_verdict() {
    for (condition, status) in [
        (Condition::Draining, Status::Degraded),
        (Condition::Stalled, Status::Unhealthy),
        (Condition::Panicked, Status::Unhealthy),
        (Condition::Crashed, Status::Unhealthy),
        (Condition::Closed, Status::Unhealthy),
        (Condition::Unreadable, Status::Unhealthy),
        (Condition::Absent, Status::Unhealthy),
    ] {
        let report = judge(&down(condition, Some("because")), None, NOW);
        let expected = format!("Engine : {status:?}: {}: because", condition.name());
        check(&report, status, &[&expected]);
    }
    check(&judge(&down(Condition::Live, None), None, NOW), Status::Healthy, &[]);
}

#[test]
fn one_of_several_that_is_down_degrades_and_all_of_them_are_unhealthy() {
    let mut sound = Sound::new();
    sound.feed_health[0].set(0);
    let report = sound.after(|_| {});
    check(
        &report,
        Status::Degraded,
        &["Feed binance: Unhealthy: not every connection"],
    );
    sound.feed_health[1].set(0);
    check(
        &sound.after(|_| {}),
        Status::Unhealthy,
        &["Feed binance", "Feed kraken"],
    );
}

#[test]
fn a_feed_that_is_silent_degrades_after_its_time_and_a_clock_ahead_of_ours_does_not() {
    for (last, expected) in [
        (NOW - 14 * SECOND, None),
        (NOW + 5 * SECOND, None),
        (
            NOW - 15 * SECOND,
            Some("Feed x: Degraded: connected, and silent for 15 s"),
        ),
        (0, Some("Feed x: Degraded: connected, and no message")),
    ] {
        let mut engine = Engine::new(1);
        engine.hot.gauge_i64(&cat::FEED_HEALTH, &["x"]).unwrap().set(1);
        engine.hot.timestamp(&cat::FEED_LAST_MESSAGE, &["x"]).unwrap().set(last);
        let report = judge(&engine.sight(), None, NOW);
        let status = if expected.is_some() {
            Status::Degraded
        } else {
            Status::Healthy
        };
        check(&report, status, expected.as_slice());
    }
}

#[test]
fn a_book_that_is_rebuilt_degrades_and_one_that_stays_down_is_unhealthy() {
    for (number, name) in [(2, "stale"), (3, "crossed"), (4, "resyncing")] {
        let mut engine = Engine::new(1);
        let quality = engine.hot.state(&cat::BOOK_QUALITY, &["x", "BTC"], 1).unwrap();
        let before = earlier(&engine.sight(), 12);
        quality.set(number);
        let report = judge(&engine.sight(), Some(&before), NOW);
        check(&report, Status::Degraded, &[&format!("Book x/BTC: Degraded: {name}")]);
        let before = earlier(&engine.sight(), 12);
        let report = judge(&engine.sight(), Some(&before), NOW);
        check(&report, Status::Unhealthy, &["Book x/BTC: Unhealthy"]);
        assert!(complaints(&report)[0].ends_with("not usable 12 s ago either"));
    }
}

#[test]
fn faults_degrade_while_they_grow_and_not_for_ever_after() {
    let faults: [(&'static Metric, &[&str], &str); 9] = [
        (
            &cat::BOOK_GAPS,
            &["kraken", "BTC"],
            "Book kraken/BTC: Degraded: verified; in the last 12 s: sequence gaps 3",
        ),
        (&cat::BOOK_CHECKSUM_FAILURES, &["kraken", "BTC"], "Book kraken/BTC"),
        (&cat::BOOK_TOP_DISAGREEMENTS, &["kraken", "BTC"], "Book kraken/BTC"),
        (
            &cat::PREDICTION_FAILURES,
            &["lstm"],
            "Model lstm: Degraded: loaded; 3 predictions failed",
        ),
        (
            &cat::SIGNALS_SUPPRESSED,
            &["model_failed"],
            "Signals : Degraded: a model failed 3",
        ),
        (
            &cat::QUEUE_DROPPED,
            &["capture"],
            "Queues : Degraded: dropped in the last 12 s: queued items 3",
        ),
        (&cat::LOG_EVENTS_DROPPED, &[], "Queues"),
        (&cat::CAPTURE_FRAMES_DROPPED, &["kraken"], "Queues"),
        (&cat::BOOK_CROSSED, &["kraken", "BTC"], "Book kraken/BTC"),
    ];
    for (metric, labels, expected) in faults {
        let mut sound = Sound::new();
        let report = sound.after(|engine| engine.hot.counter(metric, labels).unwrap().add(3));
        check(&report, Status::Degraded, &[expected]);
        check(&sound.after(|_| {}), Status::Healthy, &[]);
    }
}

#[test]
fn counters_of_another_start_are_not_compared_with() {
    let mut old = Engine::new(1);
    let before = earlier(&old.sight(), 12);
    let mut new = Engine::new(2);
    new.hot.counter(&cat::LOG_EVENTS_DROPPED, &[]).unwrap().add(100);
    check(&judge(&new.sight(), Some(&before), NOW), Status::Healthy, &[]);
}

#[test]
fn threads_that_hang_or_are_gone_are_unhealthy_and_cold_ones_may_rest() {
    let mut sound = Sound::new();
    let verdict = |sound: &mut Sound, stuck: &[&str], idle: &[&str]| {
        let mut sight = sound.engine.sight();
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        (sight.view.stuck, sight.view.idle) = (names(stuck), names(idle));
        judge(&sight, None, NOW)
    };
    check(
        &verdict(&mut sound, &["hot-0"], &[]),
        Status::Unhealthy,
        &["Threads : Unhealthy: hang inside"],
    );
    check(&verdict(&mut sound, &[], &["housekeeping"]), Status::Healthy, &[]);
    let expected = "Threads : Unhealthy: begin no round any more: hot-0";
    check(
        &verdict(&mut sound, &[], &["housekeeping", "hot-0"]),
        Status::Unhealthy,
        &[expected],
    );
}

#[test]
fn housekeeping_that_hangs_alone_degrades() {
    let mut sound = Sound::new();
    let still = |sound: &mut Sound, age| {
        let sight = sound.engine.sight();
        judge(&sight, Some(&earlier(&sight, age)), NOW)
    };
    check(&still(&mut sound, 4), Status::Healthy, &[]);
    check(
        &still(&mut sound, 5),
        Status::Degraded,
        &["Threads : Degraded: housekeeping has not reported for 5 s"],
    );
    check(&sound.after(|_| {}), Status::Healthy, &[]);
}

#[test]
fn a_model_that_was_replaced_is_no_trouble() {
    let Sound { mut engine, .. } = Sound::new();
    engine.hot.gauge_i64(&cat::MODEL_LOADED, &["old"]).unwrap().set(0);
    engine.hot.state(&cat::MODEL_ROLE, &["old"], 0).unwrap();
    engine.hot.state(&cat::MODEL_ROLE, &["lstm"], 1).unwrap();
    let report = judge(&engine.sight(), None, NOW);
    let models = report
        .components
        .iter()
        .filter(|component| component.kind == Kind::Model);
    let names: Vec<&str> = models.map(|model| &*model.name).collect();
    assert_eq!(names, ["lstm"]);
}

#[test]
fn a_model_that_is_not_loaded_and_signals_that_do_not_come_are_told() {
    let mut engine = Engine::new(1);
    engine.hot.gauge_i64(&cat::MODEL_LOADED, &["lstm"]).unwrap().set(0);
    check(
        &judge(&engine.sight(), None, NOW),
        Status::Unhealthy,
        &["Model lstm: Unhealthy"],
    );
    let predict = |engine: &Engine| engine.hot.counter(&cat::PREDICTIONS, &["lstm", "up"]).unwrap().add(9);
    check(&Sound::new().after(predict), Status::Healthy, &[]);
    let with_ring = |engine: &Engine| {
        engine.hot.gauge_i64(&cat::SIGNAL_RING_SLOTS, &[]).unwrap().set(1024);
        predict(engine);
    };
    check(
        &Sound::new().after(with_ring),
        Status::Degraded,
        &["Signals : Degraded: 9 predictions and no signal"],
    );
}
