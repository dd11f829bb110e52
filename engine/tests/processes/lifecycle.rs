//! How engines end, and what others see of it.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, SimConfig, SimHandle, SimSource, SimTls, Simulator};
use tempfile::TempDir;

use crate::support::{config, engine, exporter, get, metric, region_dir, run, wait_for};

const FEED: &str = "venue = \"binance\"\nsymbols = [\"BTCUSDT\"]\n";

fn simulator() -> SimHandle {
    let mut config = SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 3);
    let SimSource::Market { load, .. } = &mut config.source else {
        unreachable!("a market was asked for")
    };
    *load = LoadShape::Steady { rate: 500.0 };
    config.depth_interval_ms = Some(0);
    config.tls = SimTls::Own;
    Simulator::start(config).unwrap()
}

#[test]
fn a_killed_engine_is_down_at_the_next_scrape_and_its_region_can_still_be_read() {
    let (dir, regions, sim) = (TempDir::new().unwrap(), region_dir(), simulator());
    let config = config(dir.path(), regions.path(), &sim, "", FEED);
    let (_exporter, address) = exporter(regions.path(), dir.path());
    assert_eq!(
        metric(&get(address, "/metrics"), "hft_up", &[]),
        Some(0.0),
        "nobody is there yet"
    );

    let (mut first, region) = engine(&config, dir.path(), "first");
    let alive = wait_for("predictions", || {
        let text = get(address, "/metrics");
        (metric(&text, "hft_predictions_total", &[]) > Some(10.0)).then_some(text)
    });
    assert_eq!(metric(&alive, "hft_up", &[]), Some(1.0));

    first.signal(Signal::SIGKILL);
    assert_eq!(first.wait(), None);
    let dead = get(address, "/metrics");
    assert_eq!(metric(&dead, "hft_up", &[]), Some(0.0));
    assert_eq!(
        metric(&dead, "hft_predictions_total", &[]),
        None,
        "old numbers are not shown as live"
    );
    assert_eq!(metric(&dead, "hft_engine_state", &["crashed"]), Some(1.0));

    let dump = run(&["region", "dump", region.to_str().unwrap()]);
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.contains("state      crashed"), "{dump}");
    assert!(dump.contains("hft_predictions_total"), "{dump}");

    let (mut second, _) = engine(&config, dir.path(), "second");
    wait_for("the next engine", || {
        let text = get(address, "/metrics");
        (metric(&text, "hft_up", &[]) == Some(1.0)).then_some(())
    });
    let kept = PathBuf::from(format!("{}.dead", region.display()));
    assert!(kept.exists(), "the dead region was put away, not thrown away");
    let dump = run(&["region", "dump", "--json", kept.to_str().unwrap()]);
    let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).expect("JSON");
    assert_eq!(dump["state"], "crashed");

    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait(), Some(0));
    assert_eq!(
        metric(&get(address, "/metrics"), "hft_engine_state", &["closed"]),
        Some(1.0)
    );
}

#[test]
fn ctrl_c_ends_an_engine_in_order() {
    let (dir, regions, sim) = (TempDir::new().unwrap(), region_dir(), simulator());
    let config = config(dir.path(), regions.path(), &sim, "", FEED);
    let (mut process, region) = engine(&config, dir.path(), "engine");
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait(), Some(0));
    let shown = run(&["region", "show", region.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("state      closed"));
    for line in fs::read_to_string(dir.path().join("engine.err")).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_wrong_configuration_has_its_own_exit_code_and_says_where() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("engine.toml");
    fs::write(&path, "[engine]\ncoer = 1\n").unwrap();
    for command in ["check", "run"] {
        let output = run(&[command, path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            message.contains("line 2") && message.contains("did you mean `core`?"),
            "{message}"
        );
    }
    assert_eq!(run(&["check"]).status.code(), Some(2));
}

#[test]
fn a_recording_replays_to_the_same_books() {
    let (dir, regions, mut sim) = (TempDir::new().unwrap(), region_dir(), simulator());
    let config = config(dir.path(), regions.path(), &sim, "", FEED);
    let captures = dir.path().join("captures");
    let mut recorder = crate::support::Process::start(
        crate::support::quantumflow()
            .arg("record")
            .arg(&config)
            .arg("--dir")
            .arg(&captures),
        dir.path(),
        "recorder",
    );
    recorder.wait_for_line("running, metrics region ");
    wait_for("messages", || {
        (sim.stats().text_messages().messages > 1_000).then_some(())
    });
    recorder.signal(Signal::SIGINT);
    assert_eq!(recorder.wait(), Some(0));
    sim.stop();
    let capture = wait_for("the capture", || {
        let files = fs::read_dir(&captures).unwrap().map(|file| file.unwrap().path());
        files
            .into_iter()
            .find(|path| path.extension().is_some_and(|kind| kind == "zst"))
    });
    let output = run(&[
        "replay",
        "--venue",
        "binance",
        "--symbol",
        "BTCUSDT",
        "--json",
        capture.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["snapshots"], 1);
    assert_eq!(summary["gaps"], 0);
    assert_eq!(summary["top_disagreements"], 0);
    assert!(summary["book_updates"].as_u64() > Some(100), "{summary}");
}
