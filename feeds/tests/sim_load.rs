//! Loads with a structure of their own: replayed bursts and self-exciting arrivals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;

use std::path::Path;
use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{
    HawkesConfig, LoadShape, SimConfig, SimError, SimSource, Simulator, arrival_times, densest_window,
};
use sim_client::{Client, json};

fn config(shape: LoadShape) -> SimConfig {
    let mut config = SimConfig {
        depth_interval_ms: Some(0),
        ..SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 1)
    };
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = shape;
    }
    config
}

/// The venue's times of the next messages, in milliseconds.
fn times(shape: LoadShape, count: usize) -> Vec<u64> {
    let sim = Simulator::start(config(shape)).unwrap();
    let mut client = Client::connect(&sim, "/ws/btcusdt@depth");
    (0..count)
        .map(|_| json(&client.text())["E"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_replayed_burst_comes_whole_and_again() {
    let burst: Vec<u64> = (0..60).map(|place| place * 50_000).collect();
    let every = Duration::from_millis(300);
    let shape = LoadShape::Replay {
        offsets_ns: burst.into(),
        every,
    };
    let times = times(shape, 250);
    let starts: Vec<usize> = (1..times.len()).filter(|at| times[*at] - times[at - 1] > 150).collect();
    // The first may have begun before the client came.
    assert!(starts.len() >= 3 && starts[0] <= 60, "{starts:?}");
    for pair in starts.windows(2) {
        assert_eq!(pair[1] - pair[0], 60, "{starts:?}");
        let round_ms = times[pair[1]] - times[pair[0]];
        assert!((250..600).contains(&round_ms), "a round of {round_ms} ms");
    }
}

#[test]
fn self_exciting_arrivals_cluster_over_the_wire() {
    let hawkes = |branching_ratio: f64| {
        LoadShape::Hawkes(HawkesConfig {
            base_rate: 800.0 * (1.0 - branching_ratio),
            branching_ratio,
            decay_per_second: 400.0,
            seed: 7,
        })
    };
    // Variance over mean of the counts in windows of 20 ms, for the same mean rate.
    let dispersion = |shape| {
        let times = times(shape, 1_600);
        let mut counts = vec![0.0; ((times[1_599] - times[0]) / 20) as usize];
        for time in &times {
            if let Some(count) = counts.get_mut(((time - times[0]) / 20) as usize) {
                *count += 1.0;
            }
        }
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64 / mean
    };
    let (excited, plain) = (dispersion(hawkes(0.9)), dispersion(hawkes(0.0)));
    assert!(
        excited > 6.0 && plain < excited / 2.0,
        "{excited}, and {plain} without excitement"
    );
}

#[test]
fn loads_that_cannot_be_kept_are_refused_at_the_start() {
    let explosion = HawkesConfig {
        base_rate: 10.0,
        branching_ratio: 1.0,
        decay_per_second: 10.0,
        seed: 1,
    };
    let empty = LoadShape::Replay {
        offsets_ns: [].into(),
        every: Duration::from_secs(1),
    };
    for shape in [LoadShape::Hawkes(explosion), empty] {
        let error = Simulator::start(config(shape)).unwrap_err();
        assert!(matches!(error, SimError::Config { .. }), "{error}");
    }
}

#[test]
fn the_worst_moment_of_a_recording_is_a_burst_to_replay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/binance");
    // Counted by another program, on the same files.
    for (file, most) in [
        ("usdm/btcusdt_20240808.gz", [182, 648, 1_457]),
        ("spot/btcusdt_20240808.gz", [161, 612, 838]),
    ] {
        let path = folder.join(file);
        if !path.exists() {
            println!("skipped: no recording at {}", path.display());
            continue;
        }
        let times = arrival_times([&path]).unwrap();
        for (window_ms, most) in [1, 10, 100].into_iter().zip(most) {
            let offsets_ns = densest_window(&times, window_ms * 1_000_000);
            assert_eq!(offsets_ns.len(), most, "{file}, {window_ms} ms");
        }
    }
}
