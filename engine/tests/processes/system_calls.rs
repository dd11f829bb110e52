//! What the hot thread asks of the kernel once it is warm: its sockets, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{LoadShape, SimConfig, SimSource, SimTls, Simulator};
use tempfile::TempDir;

use crate::support::{Process, config, engine, region_dir, run, wait_for};

/// Reading and polling sockets, and answering on them.
const ALLOWED: [&str; 6] = [
    "recvmsg",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "write",
    "sendto",
];

#[test]
fn a_warm_hot_thread_makes_no_system_call_but_those_of_its_sockets() {
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let mut market = SimConfig::market(VenueId::BinanceSpot, &["BTCUSDT"], 3);
    let SimSource::Market { load, .. } = &mut market.source else {
        unreachable!("a market was asked for")
    };
    *load = LoadShape::Steady { rate: 2_000.0 };
    market.tls = SimTls::Own;
    // Often enough to be seen: the answer to a ping is a write.
    market.ping_interval = Duration::from_millis(500);
    let sim = Simulator::start(market).unwrap();
    let (dir, regions) = (TempDir::new().unwrap(), region_dir());
    let feed = "venue = \"binance\"\nsymbols = [\"BTCUSDT\"]\n";
    let config = config(dir.path(), regions.path(), &sim, "idle = \"spin\"", feed);
    let (process, region) = engine(&config, dir.path(), "engine");

    let hot = wait_for("a warm hot thread", || {
        let dump = run(&["region", "dump", "--json", region.to_str().unwrap()]);
        let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).ok()?;
        let predictions = dump["series"]
            .as_array()?
            .iter()
            .filter(|series| series["name"] == "hft_predictions_total");
        let predictions: f64 = predictions.filter_map(|series| series["value"].as_f64()).sum();
        let thread = dump["threads"]
            .as_array()?
            .iter()
            .find(|thread| thread["name"] == "hot-0")?;
        (predictions > 20.0).then(|| thread["tid"].as_u64()).flatten()
    });

    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-p", &hot.to_string(), "-o"]).arg(&trace);
    let mut strace = Process::start(&mut strace, dir.path(), "strace");
    thread::sleep(Duration::from_secs(3));
    strace.signal(Signal::SIGINT);
    strace.wait();
    assert!(process.id() > 0);

    let text = fs::read_to_string(&trace).unwrap_or_default();
    if text.is_empty() {
        eprintln!("skipped: strace may not attach here");
        return;
    }
    let mut calls: BTreeMap<&str, u32> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, _)) = line.split_once('(') {
            *calls.entry(name).or_default() += 1;
        }
    }
    println!("{calls:?}");
    assert!(
        calls.get("recvmsg") > Some(&100),
        "nothing was received while we looked: {calls:?}"
    );
    let others: Vec<_> = calls.keys().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(
        others.is_empty(),
        "system calls besides the sockets': {others:?} of {calls:?}"
    );
}
