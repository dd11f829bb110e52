//! A storm without sockets: what is said, byte for byte, depends on the seed and on the market alone.

use std::time::Duration;

use super::super::fault::{Chaos, Faults};
use super::super::load::LoadShape;
use super::super::market::MarketConfig;
use super::batch::Turn;
use super::*;

/// All that one client is told in some seconds of the venue's time; it comes again when its connection has ended.
fn session(venue: VenueId, seed: u64) -> (Vec<u8>, Vec<Turn>, [u64; FaultKind::ALL.len()]) {
    let (symbol, target, request) = match venue {
        VenueId::BinanceSpot => ("BTCUSDT", "/ws/btcusdt@depth/btcusdt@bookTicker", None),
        VenueId::BinanceUsdm => ("BTCUSDT", "/public/ws/btcusdt@depth@0ms/btcusdt@bookTicker", None),
        VenueId::KrakenV2 => {
            let request = r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":25}}"#;
            ("BTC/USD", "/v2", Some(request))
        }
        VenueId::BybitSpot | VenueId::BybitLinear => {
            let path = if venue == VenueId::BybitSpot {
                "/v5/public/spot"
            } else {
                "/v5/public/linear"
            };
            let request = r#"{"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT"]}"#;
            ("BTCUSDT", path, Some(request))
        }
        VenueId::OkxV5 => {
            let request = r#"{"id":"1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}"#;
            ("BTC-USDT", "/ws/v5/public", Some(request))
        }
        VenueId::CoinbaseAdvanced => {
            let request = r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}"#;
            ("BTC-USD", "/", Some(request))
        }
        VenueId::CoinbaseExchange => {
            let request = r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["level2_batch"]}"#;
            ("BTC-USD", "/", Some(request))
        }
    };
    let chaos = Chaos {
        calm_after: Some(Duration::from_secs(40)),
        ..Chaos::new(seed, 80.0)
    };
    let clients = Clients::new(Faults::new(&[], Some(&chaos), &[symbol.to_owned()]));
    let options = DialectOptions {
        depth_interval_ms: Some(0),
        enforce_limits: false,
    };
    let start = UnixNanos(1_785_641_751_660_084_000);
    let config = MarketConfig::preset(venue, &[symbol], 5);
    let natural = LoadShape::Natural { speed: 1.0 };
    let mut exchange = Generated::new(venue, &config, options, natural, clients, start);
    let (mut bytes, mut turns, mut key, mut now) = (Vec::new(), Vec::new(), None, start);
    while now < UnixNanos(start.0 + 60_000_000_000) {
        let client = *key.get_or_insert_with(|| {
            let key = exchange.connect(target, now).unwrap();
            if let Some(request) = request {
                exchange.receive(key, request, now);
            }
            key
        });
        let next = exchange.advance(now, false);
        let batch = exchange.clients().batch(client).unwrap();
        bytes.append(&mut batch.bytes);
        turns.extend(batch.turns.drain(..));
        batch.frames.clear();
        if batch.end.is_some() {
            exchange.disconnect(client);
            key = None;
        }
        now = next.max(UnixNanos(now.0 + 1));
    }
    assert!(exchange.clients().faults.is_spent(), "calm");
    let fired = *exchange.clients().faults.fired();
    (bytes, turns, fired)
}

#[test]
fn a_storm_says_the_same_bytes_for_the_same_seed() {
    for venue in VenueId::ALL {
        let first = session(venue, 1);
        assert!(first == session(venue, 1), "{venue}");
        assert!(first.0 != session(venue, 2).0, "{venue}");
        let kinds = first.2.iter().filter(|count| **count > 0).count();
        assert!(first.2.iter().sum::<u64>() > 40 && kinds > 7, "{venue}: {:?}", first.2);
        assert!(!first.1.is_empty(), "a stall or a slow wire");
    }
}
