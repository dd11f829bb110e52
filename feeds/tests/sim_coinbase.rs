//! Coinbase's simulators over a socket: a session follows a generated market, and a recording byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use std::time::{Duration, Instant};

use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::Stamps;
use quantumflow_feeds::sim::{PlaybackPace, SimConfig, SimSource, Simulator};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{Quality, Side, SymbolId, UnixNanos, VenueId};
use sim_client::{Client, TextBook, json};
use venue_support::{COINBASE_ADVANCED, COINBASE_EXCHANGE, COINBASE_PRODUCTS, Log, frames, recordings};

/// The judge: text by price, in the words of either feed.
fn apply(book: &mut TextBook, text: &str) {
    let message = json(text);
    let event = if message["channel"] == "l2_data" {
        &message["events"][0]
    } else {
        &message
    };
    if event["type"] == "snapshot" {
        *book = TextBook::default();
    }
    let str = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for level in event["updates"].as_array().into_iter().flatten() {
        let is_bid = level["side"] == "bid";
        book.set(is_bid, &str(&level["price_level"]), &str(&level["new_quantity"]));
    }
    for change in event["changes"].as_array().into_iter().flatten() {
        book.set(change[0] == "buy", &str(&change[1]), &str(&change[2]));
    }
    if event["bids"].is_array() {
        book.apply(&event["bids"], &event["asks"]);
    }
}

#[test]
fn a_session_follows_a_generated_market_over_a_socket() {
    for (venue, quality) in [
        (VenueId::CoinbaseAdvanced, Quality::Verified),
        (VenueId::CoinbaseExchange, Quality::Unverified),
    ] {
        let sim = Simulator::start(SimConfig::market(venue, &["BTC-USD"], 3)).unwrap();
        let mut session = Session::new(&SessionConfig::new(venue, ["BTC-USD"])).unwrap();
        let mut client = Client::connect(&sim, session.websocket_path());
        let (mut out, mut log, mut judge) = (Outbox::new(), Log::default(), TextBook::default());
        session.on_open(UnixNanos(1), &mut log, &mut out);
        let (begin, mut updates) = (Instant::now(), 0);
        while updates < 60 && begin.elapsed() < Duration::from_secs(20) {
            out.frames().for_each(|request| client.send(request));
            out.clear();
            let text = client.text();
            let mut stamps = Stamps {
                receive_time: UnixNanos(1 + begin.elapsed().as_nanos() as u64),
                ..Stamps::default()
            };
            session.on_frame(text.as_bytes(), &mut stamps, NoClock, &mut log, &mut out);
            let is_book =
                text.contains("\"l2_data\"") || text.contains("\"snapshot\"") || text.contains("\"l2update\"");
            if !is_book {
                continue;
            }
            apply(&mut judge, &text);
            updates += 1;
            let book = session.book(SymbolId(0)).unwrap();
            let scale = session.instruments()[0].scale;
            // The wire has two decimals of a price.
            let price = 10_u64.pow(2 - u32::from(scale.price));
            let ours = |side| {
                book.levels(side)
                    .map(|level| level.price.0 as u64 * price)
                    .collect::<Vec<_>>()
            };
            assert!(ours(Side::Bid).iter().eq(judge.bids.keys().rev()), "{text}");
            assert!(ours(Side::Ask).iter().eq(judge.asks.keys()), "{text}");
        }
        assert!(updates >= 60, "{venue}: {updates}");
        assert_eq!(session.quality(SymbolId(0)), quality);
    }
}

#[test]
fn recordings_are_played_byte_for_byte_after_the_subscription() {
    for (venue, names) in [
        (VenueId::CoinbaseAdvanced, COINBASE_ADVANCED),
        (VenueId::CoinbaseExchange, COINBASE_EXCHANGE),
    ] {
        let Some(paths) = recordings(&names) else { return };
        let recorded = frames(&paths, 500);
        let source = SimSource::Playback {
            files: paths,
            pace: PlaybackPace::Flood,
            snapshot_timeout: Duration::from_secs(1),
        };
        let sim = Simulator::start(SimConfig {
            source,
            ..SimConfig::playback(venue, Vec::new())
        })
        .unwrap();
        let mut client = Client::connect(&sim, "/");
        client.send("{\"type\":\"subscribe\",\"product_ids\":[\"FOO-USD\"],\"channel\":\"level2\"}");
        assert!(client.text().contains("FOO-USD is not a valid product"));
        let mut session = Session::new(&SessionConfig::new(venue, COINBASE_PRODUCTS)).unwrap();
        let (mut out, mut log) = (Outbox::new(), Log::default());
        session.on_open(UnixNanos(1), &mut log, &mut out);
        out.frames().for_each(|request| client.send(request));
        for (_, frame) in &recorded {
            assert_eq!(&client.text(), frame);
        }
    }
}
