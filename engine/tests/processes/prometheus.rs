//! The whole chain on recorded sessions: simulator, TLS, engine, region, exporter, and a real Prometheus that scrapes it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{PlaybackPace, SimConfig, SimSource, SimTls, Simulator};
use tempfile::TempDir;

use crate::support::{Process, config, engine, exporter, get, region_dir, wait_for};

/// A recorded session and what Prometheus must know of it in the end.
struct Session {
    venue: VenueId,
    feed: &'static str,
    files: &'static [&'static str],
    expected: &'static [(&'static str, f64)],
}

const SESSIONS: [Session; 2] = [
    Session {
        venue: VenueId::BinanceSpot,
        feed: "venue = \"binance\"\nsymbols = [\"BTCUSDT\"]\ndepth = 1000\n",
        files: &["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"],
        expected: &[
            ("sum(hft_book_gaps_total)", 0.0),
            ("sum(hft_book_top_agreements_total)", 1_059.0),
            ("sum(hft_book_top_disagreements_total)", 0.0),
            ("sum(hft_feed_frames_rejected_total)", 0.0),
        ],
    },
    Session {
        venue: VenueId::KrakenV2,
        feed: "venue = \"kraken\"\nsymbols = [\"BTC/USD\"]\ndepth = 25\n",
        files: &["kraken/kraken_v2_btcusd_sample.jsonl.gz"],
        expected: &[
            ("sum(hft_book_checksums_verified_total)", 2_052.0),
            ("sum(hft_book_checksum_failures_total)", 0.0),
            ("sum(hft_book_gaps_total)", 0.0),
            ("sum(hft_feed_frames_rejected_total)", 0.0),
        ],
    },
];

#[test]
fn prometheus_knows_exactly_what_the_venue_sent() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        eprintln!("skipped: prometheus is not installed");
        return;
    }
    for session in &SESSIONS {
        check(session);
    }
}

fn check(session: &Session) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let files: Vec<PathBuf> = session.files.iter().map(|name| data.join(name)).collect();
    if let Some(missing) = files.iter().find(|path| !path.exists()) {
        eprintln!("skipped: no recording {}", missing.display());
        return;
    }
    let mut playback = SimConfig::playback(session.venue, files);
    if let SimSource::Playback { pace, .. } = &mut playback.source {
        *pace = PlaybackPace::Flood;
    }
    playback.tls = SimTls::Own;
    let sim = Simulator::start(playback).unwrap();
    let (dir, regions) = (TempDir::new().unwrap(), region_dir());
    let config = config(dir.path(), regions.path(), &sim, "", session.feed);
    let (_exporter, metrics) = exporter(regions.path(), dir.path());
    let (_prometheus, address) = prometheus(dir.path(), metrics);
    let (_engine, _) = engine(&config, dir.path(), "engine");

    // What was sent grows until the recording is over; then both sides agree and stay so.
    let (messages, bytes) = wait_for("all messages in Prometheus", || {
        let sent = sim.stats().text_messages();
        let known = query(address, "sum(hft_feed_messages_total)")?;
        (sent.messages > 300 && known == sent.messages as f64).then_some((sent.messages, sent.payload_bytes))
    });
    assert_eq!(query(address, "sum(hft_feed_bytes_total)"), Some(bytes as f64));
    for (expression, value) in session.expected {
        assert_eq!(
            query(address, expression),
            Some(*value),
            "{expression} after {messages} messages"
        );
    }
    assert_eq!(query(address, "hft_up"), Some(1.0));
    assert_eq!(query(address, "up"), Some(1.0));
    let predictions = query(address, "sum(hft_predictions_total)").expect("predictions");
    assert!(predictions > 100.0, "{predictions} predictions");
    let counted = query(address, "sum(hft_stage_latency_seconds_count{stage=\"publish\"})");
    assert_eq!(counted, Some(predictions), "every prediction has its latency");
}

/// A Prometheus that scrapes this exporter every second.
fn prometheus(dir: &Path, metrics: SocketAddr) -> (Process, SocketAddr) {
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: quantumflow\n  static_configs:\n  - targets: ['{metrics}']\n"
    );
    fs::write(&config, text).unwrap();
    // Prometheus cannot be told to take any free port and say which: the one that was free a moment ago will do.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()));
    command.arg(format!("--web.listen-address={address}"));
    let process = Process::start(&mut command, dir, "prometheus");
    wait_for("Prometheus", || {
        std::net::TcpStream::connect(address).is_ok().then_some(())
    });
    (process, address)
}

/// The value of an expression that has one series; `None` where it has none yet.
fn query(address: SocketAddr, expression: &str) -> Option<f64> {
    let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = get(address, &format!("/api/v1/query?query={escaped}"));
    let json = &body[body.find('{')?..=body.rfind('}')?];
    let answer: serde_json::Value = serde_json::from_str(json).ok()?;
    let result = answer["data"]["result"].as_array()?;
    assert!(result.len() <= 1, "{expression} has several series: {result:?}");
    result.first()?["value"][1].as_str()?.parse().ok()
}
