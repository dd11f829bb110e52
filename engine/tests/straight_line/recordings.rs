//! Recorded sessions over the socket, from the file, and in pieces: the same books, and the same bytes of features and
//! predictions.

use std::path::PathBuf;
use std::sync::Arc;

use quantumflow::config::ModelSource;
use quantumflow::model::{self, Model};
use quantumflow::replay::{ReplayPlan, Replayed};
use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::{CaptureReader, CaptureText, Record};
use quantumflow_feeds::sim::{
    CaptureConfig, CaptureLength, PlaybackPace, SimConfig, SimSource, SimTls, market_capture,
};
use quantumflow_feeds::ws::{Decoder, Limits, Message, Opcode, Role, encode_frame};
use quantumflow_region::catalogue;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rig::{Bytes, Rig, recording, total};

/// A session that was recorded, and what is known of it.
struct Session {
    venue: VenueId,
    symbol: &'static str,
    depth: u32,
    paths: Vec<PathBuf>,
}

impl Session {
    fn plan(&self, paths: &[PathBuf]) -> ReplayPlan {
        ReplayPlan {
            paths: paths.to_vec(),
            venue: self.venue,
            symbols: vec![self.symbol.to_owned()],
            depth: Some(self.depth),
            speed: None,
            signal_threshold: 0.5,
        }
    }

    fn replay(&self, model: &Arc<Model>) -> (Bytes, Replayed) {
        self.plan(&self.paths)
            .run(Some(model), Bytes::default())
            .expect("the capture replays")
    }

    /// Plays it through a simulator behind TLS into an engine, as fast as both can.
    fn live(&self, model: &Arc<Model>, predictions: u64) -> Bytes {
        let mut config = SimConfig::playback(self.venue, self.paths.clone());
        if let SimSource::Playback { pace, .. } = &mut config.source {
            *pace = PlaybackPace::Flood;
        }
        config.tls = SimTls::Own;
        let feed = format!("symbols = [\"{}\"]\ndepth = {}\n", self.symbol, self.depth);
        let mut rig = Rig::start(config, &feed, Some(model));
        rig.wait_for("the last prediction", |snapshot| {
            total(snapshot, &catalogue::PREDICTIONS, &[]) >= predictions as f64
        });
        rig.wait_for_all_that_was_sent();
        let (bytes, stats, snapshot) = rig.finish();
        assert_eq!(
            total(&snapshot, &catalogue::FEED_MESSAGES, &[]),
            stats.text_messages().messages as f64
        );
        assert_eq!(
            total(&snapshot, &catalogue::FEED_BYTES, &[]),
            stats.text_messages().payload_bytes as f64
        );
        assert_eq!(total(&snapshot, &catalogue::BOOK_GAPS, &[]), 0.0);
        assert_eq!(total(&snapshot, &catalogue::FEED_RECONNECTIONS, &[]), 0.0);
        bytes
    }

    /// The same capture once more, after each frame went through a WebSocket in random fragments and the bytes came in
    /// random pieces.
    fn in_pieces(&self, model: &Arc<Model>, seed: u64) -> Bytes {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pieces.jsonl");
        let mut out = CaptureText::create(&path).unwrap();
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let mut reader = CaptureReader::open(&self.paths).unwrap();
        let mut wire = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            use std::io::Write as _;
            match record {
                Record::Frame { receive_time, frame } => {
                    wire.clear();
                    fragment(frame, &mut dice, &mut wire);
                    let mut rest = &wire[..];
                    while !rest.is_empty() {
                        let (piece, behind) = rest.split_at(dice.random_range(1..=rest.len()));
                        assert_eq!(decoder.append(piece), piece.len());
                        rest = behind;
                        while let Some(message) = decoder.next_message().expect("our own frames are good") {
                            let Message::Text(text) = message else {
                                panic!("only text was sent")
                            };
                            writeln!(out, "{} {text}", receive_time.0).unwrap();
                        }
                    }
                }
                Record::Snapshot {
                    receive_time,
                    symbol,
                    body,
                } => {
                    writeln!(
                        out,
                        "# {0} rest {symbol}\n{0} {1}",
                        receive_time.0,
                        std::str::from_utf8(body).unwrap()
                    )
                    .unwrap();
                }
                _ => {}
            }
        }
        out.finish().unwrap();
        self.plan(&[path])
            .run(Some(model), Bytes::default())
            .expect("the pieces replay")
            .0
    }
}

/// One text message in up to five frames.
fn fragment(payload: &[u8], dice: &mut ChaCha8Rng, wire: &mut Vec<u8>) {
    let mut rest = payload;
    let mut opcode = Opcode::Text;
    for _ in 0..dice.random_range(0..=4) {
        let (piece, behind) = rest.split_at(dice.random_range(0..=rest.len()));
        encode_frame(false, opcode, piece, None, wire);
        (rest, opcode) = (behind, Opcode::Continuation);
    }
    encode_frame(true, opcode, rest, None, wire);
}

fn mlp() -> Arc<Model> {
    model::load_source(&ModelSource::Builtin("mlp_v1".to_owned())).expect("the built-in model loads")
}

#[track_caller]
fn the_same_bytes_in_every_way(session: &Session) -> Replayed {
    let model = mlp();
    let (replayed_bytes, replayed) = session.replay(&model);
    assert!(
        replayed_bytes.predictions > 100,
        "only {} predictions",
        replayed_bytes.predictions
    );
    // Not assert_eq: a difference in megabytes is nothing to print.
    assert!(session.replay(&model).0 == replayed_bytes, "two replays differ");
    for seed in [1, 2] {
        assert!(
            session.in_pieces(&model, seed) == replayed_bytes,
            "in pieces of seed {seed} it differs"
        );
    }
    let live = session.live(&model, replayed_bytes.predictions);
    assert_eq!(live.predictions, replayed_bytes.predictions);
    assert!(live == replayed_bytes, "live and replayed differ");
    replayed
}

#[test]
fn binance_btcusdt_has_no_gap_agrees_with_every_book_ticker_and_is_the_same_in_every_way() {
    let files = ["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"];
    let Some(paths) = files.into_iter().map(recording).collect() else {
        return;
    };
    let mut session = Session {
        venue: VenueId::BinanceSpot,
        symbol: "BTCUSDT",
        depth: 1000,
        paths,
    };
    let joined = the_same_bytes_in_every_way(&session).counted;
    session.paths.truncate(1);
    let first = session.replay(&mlp()).1.counted;
    for (counted, agreements) in [(first, 560.0), (joined, 1_059.0)] {
        assert_eq!(total(&counted, &catalogue::BOOK_GAPS, &[]), 0.0);
        assert_eq!(total(&counted, &catalogue::BOOK_TOP_AGREEMENTS, &[]), agreements);
        assert_eq!(total(&counted, &catalogue::BOOK_TOP_DISAGREEMENTS, &[]), 0.0);
    }
}

#[test]
fn every_kraken_checksum_verifies_and_it_is_the_same_in_every_way() {
    for (name, depth, checksums) in [
        ("kraken_v2_btcusd_l2", 10, 301.0),
        ("kraken_v2_btcusd_sample", 25, 2_052.0),
    ] {
        let Some(path) = recording(&format!("kraken/{name}.jsonl.gz")) else {
            return;
        };
        let session = Session {
            venue: VenueId::KrakenV2,
            symbol: "BTC/USD",
            depth,
            paths: vec![path],
        };
        let counted = the_same_bytes_in_every_way(&session).counted;
        assert_eq!(
            total(&counted, &catalogue::BOOK_CHECKSUMS_VERIFIED, &[]),
            checksums,
            "{name}"
        );
        assert_eq!(total(&counted, &catalogue::BOOK_CHECKSUM_FAILURES, &[]), 0.0, "{name}");
    }
}

#[test]
fn a_generated_market_is_the_same_in_every_way() {
    for (venue, symbol, depth) in [
        (VenueId::BinanceSpot, "BTCUSDT", 5000),
        (VenueId::KrakenV2, "BTC/USD", 10),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("market.jsonl.zst");
        let mut out = CaptureText::create(&path).unwrap();
        let mut config = CaptureConfig::new(venue, &[symbol], 9, CaptureLength::Events(6_000));
        config.depth_interval_ms = 0;
        let summary = market_capture(&config, &mut out).unwrap();
        out.finish().unwrap();
        assert!(summary.book_updates > 1_000);
        the_same_bytes_in_every_way(&Session {
            venue,
            symbol,
            depth,
            paths: vec![path],
        });
    }
}

/// The comparison can fail: another threshold, other bytes.
#[test]
fn another_threshold_gives_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("market.jsonl");
    let mut out = CaptureText::create(&path).unwrap();
    let mut config = CaptureConfig::new(VenueId::BinanceSpot, &["BTCUSDT"], 9, CaptureLength::Events(6_000));
    config.depth_interval_ms = 0;
    market_capture(&config, &mut out).unwrap();
    out.finish().unwrap();
    let session = Session {
        venue: VenueId::BinanceSpot,
        symbol: "BTCUSDT",
        depth: 5000,
        paths: vec![path],
    };
    let model = mlp();
    let mut plan = session.plan(&session.paths);
    let (low, _) = plan.run(Some(&model), Bytes::default()).unwrap();
    plan.signal_threshold = 1.0;
    let (high, _) = plan.run(Some(&model), Bytes::default()).unwrap();
    assert_eq!(low.predictions, high.predictions);
    assert!(low != high);
}
