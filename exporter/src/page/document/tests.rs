use std::time::Duration;

use quantumflow_region::catalogue as cat;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Engine, down};
use crate::health::{self, Status};
use crate::monitoring::Monitoring;
use crate::source::{Condition, Sight, Source};

fn seen(sight: Sight, at: Instant) -> Seen {
    let host = Host {
        engines: vec![sight],
        ..Host::default()
    };
    Seen { at, host }
}

fn shown(seen: &Seen, earlier: Option<&Seen>) -> Value {
    let monitoring = Monitoring::new(Source::new("/nonexistent").into());
    let report = monitoring.judge(&seen.host);
    serde_json::to_value(Document::of(7, 1_000, seen, earlier, &report)).unwrap()
}

#[test]
fn rates_percentiles_and_confidence_are_those_between_two_ticks() {
    let mut engine = Engine::new(1);
    let hot = &engine.hot;
    let messages = hot.counter(&cat::FEED_MESSAGES, &["x"]).unwrap();
    let total = hot.histogram(&cat::STAGE_LATENCY, &["total"]).unwrap();
    let confidence = hot.histogram(&cat::PREDICTION_CONFIDENCE, &["m"]).unwrap();
    hot.gauge_i64(&cat::MODEL_LOADED, &["m"]).unwrap().set(1);
    messages.add(100);
    total.record(1_000_000);
    let began = Instant::now();
    let first = seen(engine.sight(), began);
    let document = shown(&first, None);
    let numbers = &document["engines"][0]["numbers"];
    assert_eq!(numbers["messages"], json!({"per_second": null, "total": 100}));
    assert_eq!(numbers["latencies"][0]["interval"], Value::Null);

    messages.add(50);
    (1..=100).for_each(|ns| total.record(ns));
    for ppm in [0, 49_000, 500_001, 999_999] {
        confidence.record(ppm);
    }
    let second = seen(engine.sight(), began + Duration::from_millis(500));
    let document = shown(&second, Some(&first));
    assert_eq!((&document["tick"], &document["interval_ms"]), (&json!(7), &json!(500)));
    let numbers = &document["engines"][0]["numbers"];
    assert_eq!(numbers["messages"], json!({"per_second": 100.0, "total": 150}));
    let row = &numbers["latencies"][0];
    assert_eq!(row["name"], "total");
    let interval = json!({"count": 100, "p50_ns": 50, "p99_ns": 99, "p999_ns": 100, "max_ns": 100});
    assert_eq!(row["interval"], interval);
    assert_eq!(
        (&row["run"]["count"], &row["run"]["max_ns"]),
        (&json!(101), &json!(1_000_000))
    );
    let bins: Vec<u64> = serde_json::from_value(numbers["models"][0]["confidence"].clone()).unwrap();
    assert_eq!((bins.len(), bins[0], bins[10], bins[19]), (20, 2, 1, 1));
}

#[test]
fn books_and_feeds_are_shown_with_what_is_known_of_them() {
    let mut engine = Engine::new(1);
    let hot = &engine.hot;
    hot.gauge_i64(&cat::FEED_HEALTH, &["x"]).unwrap();
    hot.state(&cat::BOOK_QUALITY, &["x", "BTC"], 2).unwrap();
    hot.gauge_f64(&cat::BEST_BID, &["x", "BTC"]).unwrap().set(64_000.5);
    hot.gauge_f64(&cat::BEST_ASK, &["x", "BTC"]).unwrap().set_unknown();
    let document = shown(&seen(engine.sight(), Instant::now()), None);
    let numbers = &document["engines"][0]["numbers"];
    let book = &numbers["books"][0];
    assert_eq!(
        (&book["quality"], &book["bid"], &book["ask"]),
        (&json!("stale"), &json!(64_000.5), &Value::Null)
    );
    let feed = &numbers["feeds"][0];
    assert_eq!(
        (&feed["is_connected"], &feed["last_message_unix_ms"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(numbers["threads"][0]["name"], "hot-0");
}

#[test]
fn an_engine_that_is_down_or_has_started_anew_has_no_interval() {
    let began = Instant::now();
    let mut old = Engine::new(1);
    old.hot.counter(&cat::FEED_MESSAGES, &["x"]).unwrap().add(1_000);
    let mut new = Engine::new(2);
    new.hot.counter(&cat::FEED_MESSAGES, &["x"]).unwrap().add(10);
    let first = seen(old.sight(), began);
    let second = seen(new.sight(), began + Duration::from_secs(1));
    let document = shown(&second, Some(&first));
    assert_eq!(document["engines"][0]["numbers"]["messages"]["per_second"], Value::Null);

    let third = seen(down(Condition::Crashed, Some("gone")), began + Duration::from_secs(2));
    let document = shown(&third, Some(&second));
    let engine = &document["engines"][0];
    assert_eq!((&engine["is_up"], &engine["state"]), (&json!(false), &json!("crashed")));
    assert_eq!(
        (&engine["numbers"], &document["status"]),
        (&Value::Null, &json!("unhealthy"))
    );
    assert_eq!(health::judge(&third.host.engines[0], None, 0).status, Status::Unhealthy);
}
