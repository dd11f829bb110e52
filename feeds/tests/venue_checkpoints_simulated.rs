//! Checkpoints on the simulator, over sockets: books of every venue that has them agree; a wrong level that nothing else
//! can see is found, and heals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sim_client;
mod venue_support;

use std::time::Duration;

use quantumflow_feeds::event::{CheckpointMiss, FeedEvent, ResyncReason};
use quantumflow_feeds::sim::{Fault, LoadShape, PlannedFault, SimConfig, SimHandle, SimSource, Simulator};
use quantumflow_feeds::venue::{SessionConfig, SnapshotPurpose};
use quantumflow_feeds::{SymbolId, VenueId};
use sim_client::{Client, get};
use venue_support::Rig;

/// A session and its connection. Its time is a fifth of a second for every message, so that checkpoints are often due.
struct Follower<'a> {
    sim: &'a SimHandle,
    rig: Rig,
    client: Client,
}

impl<'a> Follower<'a> {
    fn open(sim: &'a SimHandle, config: &SessionConfig) -> Self {
        let rig = Rig::open(config);
        let client = Client::connect(sim, rig.session.websocket_path());
        Self { sim, rig, client }
    }

    /// Does what the session wants done, and gives it the next message.
    fn step(&mut self) {
        let requests = self.rig.out.snapshot_requests().to_vec();
        for frame in self.rig.sent() {
            self.client.send(&frame);
        }
        for request in requests {
            let session = &self.rig.session;
            let path = match request.purpose {
                SnapshotPurpose::Book => session.rest_path(request.symbol),
                SnapshotPurpose::Checkpoint => session.checkpoint_path(request.symbol),
            };
            let (status, _, body) = get(self.sim.addr, path.unwrap());
            assert_eq!(status, 200);
            let body = String::from_utf8(body).unwrap();
            match request.purpose {
                SnapshotPurpose::Book => self.rig.snapshot(request.symbol.0, Ok(&body)),
                SnapshotPurpose::Checkpoint => self.rig.checkpoint(request.symbol.0, Ok(&body)),
            }
        }
        let text = self.client.text();
        self.rig.frame(&text);
        self.rig.wait_ms(200);
    }

    fn count(&self, is_it: impl Fn(&FeedEvent) -> bool) -> usize {
        self.rig.log.count(is_it)
    }

    fn matches(&self) -> usize {
        self.count(|event| matches!(event, FeedEvent::CheckpointMatched { .. }))
    }

    fn differences(&self) -> usize {
        self.count(|event| matches!(event, FeedEvent::CheckpointDiffers { .. }))
    }
}

fn simulator(venue: VenueId, faults: Vec<PlannedFault>) -> SimHandle {
    let mut config = SimConfig {
        faults,
        depth_interval_ms: Some(10),
        ..SimConfig::market(venue, &venue.facts().symbols, 11)
    };
    if let SimSource::Market { load, .. } = &mut config.source {
        *load = LoadShape::Natural { speed: 4.0 };
    }
    Simulator::start(config).unwrap()
}

fn config(venue: VenueId) -> SessionConfig {
    let depth = match venue {
        VenueId::BybitSpot | VenueId::BybitLinear => 1000,
        _ => venue.facts().default_depth,
    };
    SessionConfig {
        depth,
        tops: false, // so that the book has no other witness
        trades: false,
        checkpoint_interval: Some(Duration::from_secs(2)),
        book_silence: Duration::from_secs(3_600),
        connection_silence: None,
        ..SessionConfig::new(venue, venue.facts().symbols)
    }
}

#[test]
fn right_books_agree_with_rest_on_every_venue_that_has_it() {
    for venue in [
        VenueId::BinanceSpot,
        VenueId::BinanceUsdm,
        VenueId::OkxV5,
        VenueId::BybitSpot,
        VenueId::BybitLinear,
    ] {
        let sim = simulator(venue, Vec::new());
        let mut follower = Follower::open(&sim, &config(venue));
        while follower.matches() < 6 {
            follower.step();
        }
        assert_eq!(follower.differences(), 0, "{venue}: {:?}", follower.rig.log.events);
        for symbol in [SymbolId(0), SymbolId(1)] {
            let is_of =
                |event: &FeedEvent| matches!(event, FeedEvent::CheckpointMatched { symbol: of, .. } if *of == symbol);
            assert!(follower.count(is_of) >= 2, "{venue}");
        }
        let unanswered = |event: &FeedEvent| {
            matches!(
                event,
                FeedEvent::CheckpointMissed {
                    reason: CheckpointMiss::Malformed | CheckpointMiss::Unavailable,
                    ..
                }
            )
        };
        assert_eq!(follower.count(unanswered), 0, "{venue}");
    }
}

#[test]
fn a_wrong_level_that_nothing_else_sees_is_found_and_heals() {
    for venue in [VenueId::BinanceSpot, VenueId::BinanceUsdm] {
        let wrong = PlannedFault {
            times: 40,
            ..PlannedFault::new(Fault::CorruptLevel).symbol("BTCUSDT").after(20)
        };
        let sim = simulator(venue, vec![wrong]);
        let mut follower = Follower::open(&sim, &config(venue));
        while follower.differences() == 0 {
            follower.step();
        }
        let withdrawn = |event: &FeedEvent| {
            matches!(
                event,
                FeedEvent::ResyncStarted {
                    symbol: SymbolId(0),
                    reason: ResyncReason::CheckpointDiffers { .. }
                }
            )
        };
        assert_eq!(follower.count(withdrawn), 1);
        assert!(!follower.rig.is_shown(0) && follower.rig.is_shown(1));
        // The faults end, and so do the differences.
        let is_btc = |event: &FeedEvent| {
            matches!(
                event,
                FeedEvent::CheckpointMatched {
                    symbol: SymbolId(0),
                    ..
                } | FeedEvent::CheckpointDiffers {
                    symbol: SymbolId(0),
                    ..
                }
            )
        };
        let last_four = |follower: &Follower<'_>| {
            let events = follower.rig.log.events.iter().filter(|event| is_btc(event));
            let last: Vec<_> = events.rev().take(4).copied().collect();
            last.len() == 4
                && last
                    .iter()
                    .all(|event| matches!(event, FeedEvent::CheckpointMatched { .. }))
        };
        while !last_four(&follower) {
            follower.step();
        }
        let others = |event: &FeedEvent| {
            matches!(event, FeedEvent::ResyncStarted { reason, .. }
                if !matches!(reason, ResyncReason::Start | ResyncReason::CheckpointDiffers { .. }))
        };
        assert_eq!(follower.count(others), 0, "nothing else has seen it");
        let of_the_other = |event: &FeedEvent| {
            matches!(
                event,
                FeedEvent::CheckpointDiffers {
                    symbol: SymbolId(1),
                    ..
                }
            )
        };
        assert_eq!(follower.count(of_the_other), 0);
    }
}
