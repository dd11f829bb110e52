//! Whatever a peer sends: no panic, and no shown book that is out of order or crossed.

#![allow(clippy::unwrap_used)] // helpers of tests

mod venue_support;

use proptest::prelude::*;
use quantumflow_feeds::venue::SessionConfig;
use quantumflow_feeds::{Side, SymbolId, VenueId};
use venue_support::{
    BINANCE, BYBIT, COINBASE_ADVANCED, COINBASE_EXCHANGE, KRAKEN_10, OKX_TODAY, Rig, USDM, frames, recordings,
};

fn mutate(frame: &str, edits: &[(prop::sample::Index, u8, u8)]) -> String {
    let mut bytes = frame.as_bytes().to_vec();
    for (at, what, byte) in edits {
        let at = at.index(bytes.len());
        match what {
            // Mostly digits: they pass the parsers and reach the books.
            0 => bytes[at] = b'0' + byte % 10,
            1 => bytes.truncate(at + 1),
            2 => bytes.insert(at, b"0123456789\",[]{}:."[usize::from(*byte) % 18]),
            _ => bytes[at] = byte & 0x7f,
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 1..4)
}

fn check(rig: &Rig) {
    if let Some(book) = rig.session.book(SymbolId(0)) {
        assert!(!book.is_crossed());
        assert!(book.levels(Side::Bid).is_sorted_by(|a, b| a.price > b.price));
        assert!(book.levels(Side::Ask).is_sorted_by(|a, b| a.price < b.price));
        assert!(
            [Side::Bid, Side::Ask]
                .iter()
                .all(|side| book.levels(*side).all(|level| level.qty.0 > 0))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sessions_survive_mutants(
        binance_edits in proptest::collection::vec((0_usize..120, edits()), 1..6),
        kraken_edits in proptest::collection::vec((0_usize..120, edits()), 1..6),
        bybit_edits in proptest::collection::vec((0_usize..120, edits()), 1..6),
        okx_edits in proptest::collection::vec((0_usize..120, edits()), 1..6),
    ) {
        let (Some(binance), Some(kraken)) = (recordings(&BINANCE[..1]), recordings(&KRAKEN_10)) else { return Ok(()) };
        let Some(usdm) = recordings(&USDM) else { return Ok(()) };
        for (mut rig, recording) in [(Rig::binance(&["BTCUSDT"]), &binance), (Rig::usdm(&["BTCUSDT"]), &usdm)] {
            let mut lines = frames(recording, 120);
            for (at, edits) in &binance_edits {
                lines[*at].1 = mutate(&lines[*at].1, edits);
            }
            for (_, frame) in &lines {
                match frame.starts_with("{\"lastUpdateId\"") {
                    true => rig.snapshot(0, Ok(frame)),
                    false => rig.frame(frame),
                }
                rig.wait_ms(100);
                check(&rig);
            }
        }
        let mut rig = Rig::kraken(&["BTC/USD"]);
        let mut lines = frames(&kraken, 120);
        for (at, edits) in &kraken_edits {
            lines[*at].1 = mutate(&lines[*at].1, edits);
        }
        for (_, frame) in &lines {
            rig.frame(frame);
            rig.wait_ms(100);
            check(&rig);
        }
        let Some(bybit) = recordings(&BYBIT) else { return Ok(()) };
        let mut rig = Rig::open(&SessionConfig::new(VenueId::BybitLinear, ["ETHUSDT"]));
        let lines = frames(&bybit, 1_200);
        let mut lines: Vec<_> = lines.into_iter().filter(|(_, frame)| frame.contains("ETHUSDT")).take(120).collect();
        for (at, edits) in &bybit_edits {
            lines[*at].1 = mutate(&lines[*at].1, edits);
        }
        for (_, frame) in &lines {
            rig.frame(frame);
            rig.wait_ms(100);
            check(&rig);
        }
        let Some(okx) = recordings(&OKX_TODAY) else { return Ok(()) };
        let mut rig = Rig::okx(&["BTC-USDT", "UNI-USD-SWAP"]);
        let mut lines = frames(&okx, 120);
        for (at, edits) in &okx_edits {
            lines[*at].1 = mutate(&lines[*at].1, edits);
        }
        for (_, frame) in &lines {
            rig.frame(frame);
            rig.wait_ms(100);
            check(&rig);
        }
    }

    #[test]
    fn coinbase_sessions_survive_mutants(
        mutations in proptest::collection::vec((0_usize..120, edits()), 1..6),
        venue in prop::sample::select(vec![VenueId::CoinbaseAdvanced, VenueId::CoinbaseExchange]),
    ) {
        let names = if venue == VenueId::CoinbaseAdvanced { COINBASE_ADVANCED } else { COINBASE_EXCHANGE };
        let Some(paths) = recordings(&names) else { return Ok(()) };
        let mut rig = Rig::open(&SessionConfig::new(venue, ["SKL-BTC", "SKL-USD"]));
        let mut lines = frames(&paths, 120);
        for (at, edits) in &mutations {
            lines[*at].1 = mutate(&lines[*at].1, edits);
        }
        for (_, frame) in &lines {
            rig.frame(frame);
            rig.wait_ms(100);
            check(&rig);
        }
    }
}
