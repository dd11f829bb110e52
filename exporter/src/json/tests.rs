use quantumflow_region::{Metric, catalogue as cat};
use serde_json::{Value as Json, json};

use super::*;
use crate::fixture::{self, down};
use crate::source::Condition;

static FLAVOUR: Metric = Metric::info("hft_flavour_info")
    .labels(&["flavour"])
    .help("A statement.");

fn shown(engine: &mut fixture::Engine) -> Json {
    serde_json::to_value(Engine::of(&engine.sight())).unwrap()
}

fn series<'a>(engine: &'a Json, name: &str) -> &'a Json {
    let mut all = engine["series"].as_array().unwrap().iter();
    all.find(|series| series["name"] == name).unwrap()
}

#[test]
fn every_kind_has_its_shape_in_base_units() {
    let mut engine = fixture::Engine::new(7_500_000_000);
    let hot = &engine.hot;
    hot.counter(&cat::PRICE_UPDATES, &["x", "BTC\"<"]).unwrap().add(3);
    hot.gauge_i64(&cat::FEED_LAG, &["x"]).unwrap().set(-2_500_000);
    hot.gauge_f64(&cat::BEST_BID, &["x", "BTC"]).unwrap().set(0.5);
    hot.gauge_f64(&cat::BEST_ASK, &["x", "BTC"]).unwrap().set_unknown();
    hot.state(&cat::BOOK_QUALITY, &["x", "BTC"], 4).unwrap();
    hot.timestamp(&cat::FEED_LAST_MESSAGE, &["x"])
        .unwrap()
        .set(1_500_000_000);
    hot.timestamp(&cat::FEED_LAST_MESSAGE, &["y"]).unwrap();
    hot.info(&FLAVOUR, &["plain"]).unwrap();
    let shown = shown(&mut engine);
    let (labels, unit) = (json!({"exchange": "x", "symbol": "BTC\"<"}), "none");
    let expected =
        json!({"name": "hft_price_updates_total", "labels": labels, "kind": "counter", "unit": unit, "value": 3});
    assert_eq!(series(&shown, "hft_price_updates_total"), &expected);
    assert_eq!(series(&shown, "hft_feed_lag_seconds")["value"], json!(-0.0025));
    assert_eq!(series(&shown, "hft_best_bid")["value"], json!(0.5));
    assert_eq!(series(&shown, "hft_best_ask")["value"], Json::Null, "not known");
    let quality = series(&shown, "hft_book_quality");
    assert_eq!((&quality["value"], &quality["state"]), (&json!(4), &json!("resyncing")));
    let all = shown["series"].as_array().unwrap().iter();
    let times = all.filter(|series| series["name"] == "hft_feed_last_message_timestamp_seconds");
    let times: Vec<&Json> = times.map(|series| &series["value"]).collect();
    assert_eq!(times, [&json!(1.5), &Json::Null], "the second has not come");
    assert_eq!(series(&shown, "hft_flavour_info")["value"], json!(1.0));
    assert_eq!(shown["process"]["start_unix_seconds"], json!(7.5));
    assert_eq!(
        (&shown["state"], &shown["pass_seconds"]),
        (&json!("live"), &json!(0.0002))
    );
}

#[test]
fn a_histogram_is_what_is_asked_of_it() {
    let mut engine = fixture::Engine::new(1);
    let latency = engine.hot.histogram(&cat::FEATURE_LATENCY, &[]).unwrap();
    let shown_empty = shown(&mut engine);
    let empty = series(&shown_empty, "hft_feature_latency_seconds");
    assert_eq!((&empty["count"], &empty["max"]), (&json!(0), &Json::Null));
    assert_eq!(empty["percentiles"]["p99"], Json::Null);
    for ns in 1..=100 {
        latency.record(ns);
    }
    let shown = shown(&mut engine);
    let full = series(&shown, "hft_feature_latency_seconds");
    assert_eq!(
        (&full["count"], &full["sum"], &full["max"]),
        (&json!(100), &json!(5050e-9), &json!(100e-9))
    );
    assert_eq!(full["mean"], json!(50.5e-9));
    let percentiles = json!({"p50": 50e-9, "p90": 90e-9, "p99": 99e-9, "p99.9": 100e-9, "p99.99": 100e-9});
    assert_eq!(full["percentiles"], percentiles);
}

#[test]
fn a_count_that_a_double_cannot_hold_is_text() {
    let largest = 1_u64 << 53;
    assert_eq!(
        serde_json::to_value(Count(largest)).unwrap(),
        json!(9007199254740992_u64)
    );
    assert_eq!(
        serde_json::to_value(Count(largest + 1)).unwrap(),
        json!("9007199254740993")
    );
    assert_eq!(
        serde_json::to_value(Count(u64::MAX)).unwrap(),
        json!("18446744073709551615")
    );
}

#[test]
fn a_retired_gauge_has_no_value_and_a_retired_counter_keeps_its_total() {
    let mut engine = fixture::Engine::new(1);
    let gauge = engine.hot.gauge_f64(&cat::BEST_BID, &["x", "BTC"]).unwrap();
    gauge.set(5.0);
    gauge.retire();
    let counter = engine.hot.counter(&cat::BOOK_GAPS, &["x", "BTC"]).unwrap();
    counter.add(5);
    counter.retire();
    let shown = shown(&mut engine);
    let (gauge, counter) = (series(&shown, "hft_best_bid"), series(&shown, "hft_book_gaps_total"));
    assert_eq!((&gauge["retired"], &gauge["value"]), (&json!(true), &Json::Null));
    assert_eq!((&counter["retired"], &counter["value"]), (&json!(true), &json!(5)));
}

#[test]
fn an_engine_that_is_not_up_has_a_state_and_no_series() {
    let sight = down(Condition::Crashed, Some("killed"));
    let shown = serde_json::to_value(Engine::of(&sight)).unwrap();
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&json!("crashed"), &json!("killed"))
    );
    assert_eq!((&shown["series"], &shown["process"]), (&json!([]), &Json::Null));
}
