//! Other models without a restart, as an operator asks for them.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use quantumflow::features::Feature;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, SimConfig, SimSource, SimTls, Simulator};
use serde_json::json;
use tempfile::TempDir;

use crate::model_support::{Graph, contract};
use crate::support::{config, engine, exporter, get, metric, region_dir, run, wait_for};

const FEED: &str = "venue = \"binance\"\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\n";

/// Roles by number, as they are served.
const RETIRED: Option<f64> = Some(0.0);
const CHAMPION: Option<f64> = Some(1.0);
const SHADOW: Option<f64> = Some(2.0);

/// A linear model of one feature that the base has, or of one that nobody computes unasked.
fn write_model(path: &Path, name: &str, feature: Feature) {
    let graph = Graph {
        input: vec![1, 1],
        weights: vec![-1.0, 0.0, 1.0],
        ..Graph::linear()
    };
    let mut contract = contract();
    contract["name"] = json!(name);
    let def = feature.def();
    contract["features"] = json!([{"name": def.name, "version": def.version, "mean": 0.0, "scale": 1.0}]);
    fs::write(path, graph.file(Some(&contract))).unwrap();
}

#[test]
fn models_are_changed_by_a_signal_and_a_bad_file_changes_nothing() {
    let (dir, regions) = (TempDir::new().unwrap(), region_dir());
    let mut sim = SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT", "ETHUSDT"], 3);
    let SimSource::Market { load, .. } = &mut sim.source else {
        unreachable!("a market was asked for")
    };
    *load = LoadShape::Steady { rate: 1_000.0 };
    sim.depth_interval_ms = Some(0);
    sim.tls = SimTls::Own;
    let sim = Simulator::start(sim).unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(format!("{name}.onnx")));
    write_model(&first, "first", Feature::QueueImbalance);
    let models =
        |path: &Path, shadows: &str| format!("[model]\npath = \"{}\"\nshadows = [{shadows}]\n", path.display());
    let path = config(dir.path(), regions.path(), &sim, &models(&first, ""), FEED);
    let (_exporter, address) = exporter(regions.path(), dir.path());
    let (mut process, region) = engine(&path, dir.path(), "engine");
    let value = |name: &str, labels: &[&str]| metric(&get(address, "/metrics"), name, labels);
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| wait_for(what, || is_so().then_some(()));
    wait_until("predictions", &|| {
        value("hft_predictions_total", &["first"]) > Some(10.0)
    });
    wait_until("a ranking", &|| {
        value("hft_ranking_symbols_processed", &[]) == Some(2.0)
    });
    let mut ranks = ["BTCUSDT", "ETHUSDT"].map(|symbol| value("hft_ranking_rank", &[symbol]).unwrap());
    ranks.sort_by(f64::total_cmp);
    assert_eq!(ranks, [1.0, 2.0]);

    // The file is not there yet, and then it is no model.
    config(dir.path(), regions.path(), &sim, &models(&second, ""), FEED);
    process.signal(Signal::SIGHUP);
    wait_until("a refusal", &|| {
        value("hft_model_swaps_total", &["refused"]) == Some(1.0)
    });
    fs::write(&second, b"no model").unwrap();
    process.signal(Signal::SIGHUP);
    wait_until("a refusal", &|| {
        value("hft_model_swaps_total", &["refused"]) == Some(2.0)
    });
    let log = fs::read_to_string(dir.path().join("engine.err")).unwrap();
    assert!(
        log.contains("the models are refused, nothing has changed")
            && log.contains("second.onnx")
            && log.contains("not an ONNX model"),
        "{log}"
    );
    let before = value("hft_predictions_total", &["first"]);
    wait_until("predictions as before", &|| {
        value("hft_predictions_total", &["first"]) > before
    });
    assert_eq!(value("hft_model_role", &["first"]), CHAMPION);

    // A feature that needs the market's last second, beside the model of before.
    write_model(&second, "second", Feature::Ofi1T1s);
    let shadow = format!("\"{}\"", first.display());
    config(dir.path(), regions.path(), &sim, &models(&second, &shadow), FEED);
    process.signal(Signal::SIGHUP);
    wait_until("the change", &|| value("hft_model_swaps_total", &["done"]) == Some(1.0));
    assert_eq!(value("hft_model_role", &["second"]), CHAMPION);
    assert_eq!(value("hft_model_role", &["first"]), SHADOW);
    assert!(value("hft_model_swap_duration_seconds", &[]) > Some(0.0));
    let before = ["first", "second"].map(|name| value("hft_predictions_total", &[name]));
    wait_until("predictions of both", &|| {
        let now = ["first", "second"].map(|name| value("hft_predictions_total", &[name]));
        now.iter().zip(&before).all(|(now, before)| now > before)
    });
    assert_eq!(value("hft_model_loaded", &["first"]), Some(1.0));

    process.signal(Signal::SIGHUP);
    wait_until("no change", &|| {
        value("hft_model_swaps_total", &["unchanged"]) == Some(1.0)
    });

    config(dir.path(), regions.path(), &sim, &models(&second, ""), FEED);
    process.signal(Signal::SIGHUP);
    wait_until("the shadow's end", &|| value("hft_model_role", &["first"]) == RETIRED);
    assert_eq!(value("hft_model_loaded", &["first"]), Some(0.0));

    let events = run(&["region", "dump", region.to_str().unwrap()]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(
        events.contains("model_swapped second") && events.contains("model_refused"),
        "{events}"
    );
    let health = get(address, "/monitoring/health");
    assert!(
        health.contains("second") && !health.contains("\"unhealthy\""),
        "{health}"
    );
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
}

#[test]
fn model_files_are_checked_timed_and_explained() {
    let dir = TempDir::new().unwrap();
    let [good, bad] = ["good", "bad"].map(|name| dir.path().join(format!("{name}.onnx")));
    write_model(&good, "good_v1", Feature::Vpin50);
    fs::write(&bad, b"no model").unwrap();
    let [good, bad] = [good.to_str().unwrap(), bad.to_str().unwrap()];
    let models = |arguments: &[&str]| {
        let output = run(&[&["models"], arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = models(&["check", good]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("good_v1 1.0.0: 1 features") && text.contains("confirmed by tract"),
        "{text}"
    );
    let (code, text) = models(&["check", good, bad, "builtin:none", "--json"]);
    assert_eq!(code, Some(3));
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let are_good = lines.iter().map(|line| line["is_good"].as_bool().unwrap());
    assert_eq!(are_good.collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(
        lines[0]["warm_up_updates"],
        Feature::Vpin50.def().warm_up_updates.max(101)
    );

    let (code, text) = models(&["explain", good]);
    assert_eq!(code, Some(0));
    let def = Feature::Vpin50.def();
    assert!(
        text.contains(&format!("{}:{}", def.name, def.version)) && text.contains(def.unit),
        "{text}"
    );
    let (code, text) = models(&["bench", good, "--seconds", "0.1", "--json"]);
    assert_eq!(code, Some(0));
    let times: serde_json::Value = serde_json::from_str(&text).unwrap();
    for kind in ["warm", "cold"] {
        let of = |at: &str| times[kind][at].as_f64().unwrap();
        assert!(0.0 < of("p50_ns") && of("p50_ns") <= of("p99.9_ns"), "{text}");
    }
    let (code, text) = models(&["list"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("builtin:mlp_v1"), "{text}");
}

/// The rows that models are checked on when they are loaded are those that the engine makes of its generated market.
#[test]
fn the_recorded_rows_of_the_self_check_are_the_engines_own() {
    let dir = TempDir::new().unwrap();
    let [market, table] = ["market.jsonl.zst", "table.csv"].map(|name| dir.path().join(name).display().to_string());
    let feed = ["--venue", "binance", "--symbol", "BTCUSDT"];
    let sim = [
        &["sim", "--write-capture", &market, "--seed", "7", "--seconds", "60"],
        &feed[..],
    ]
    .concat();
    let features = [&["features", "--depth", "5000", &market, "--out", &table], &feed[..]].concat();
    for arguments in [sim, features] {
        let output = run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let written = fs::read_to_string(&table).unwrap();
    let kept = include_str!("../../src/model/recorded_rows.csv");
    assert_eq!(written.lines().next(), kept.lines().next());
    let rows = kept.lines().count() - 1;
    assert!(written.lines().count() > rows);
    for (own, kept) in written.lines().rev().zip(kept.lines().rev()).take(rows) {
        for (own, kept) in own.split(',').zip(kept.split(',')) {
            let [own, kept] = [own, kept].map(|text| text.parse::<f64>().unwrap());
            // Logarithms are the system's.
            assert!(
                (own - kept).abs() <= 1e-4 * (1.0 + kept.abs()),
                "{own} instead of {kept}"
            );
        }
    }
}
