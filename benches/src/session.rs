//! A Binance session that is live on the generator's messages: its snapshot has one deep level a side.

use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{BookUpdate, FeedEvent, Sink, Stamps, SymbolId, Trade, UnixNanos, VenueId};

/// Counts what it is told.
#[derive(Clone, Debug, Default)]
pub struct CountingSink {
    /// Calls of `on_book`.
    pub books: usize,
    /// Best bid of the last one, so that it was looked at.
    pub best_bid: i64,
    /// Events other than the beginning of a session, the last of each run kept for the message of a failed assertion.
    pub trouble: Option<FeedEvent>,
}

impl Sink for CountingSink {
    #[inline]
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        self.books += 1;
        self.best_bid = update
            .book
            .best(quantumflow_feeds::Side::Bid)
            .map_or(0, |level| level.price.0);
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        if !matches!(
            event,
            FeedEvent::Subscribed { .. } | FeedEvent::ResyncStarted { .. } | FeedEvent::ResyncFinished { .. }
        ) {
            self.trouble = Some(event);
        }
    }
}

/// Price of the one bid of the snapshot, in cents; further from the market than the generator walks.
pub const SNAPSHOT_BID: i64 = 125;
/// Price of its one ask.
pub const SNAPSHOT_ASK: i64 = 99_999_925;

/// A session of BTCUSDT that waits for the diff behind `snapshot_id`.
pub fn live(snapshot_id: u64) -> (Session, CountingSink) {
    let mut config = SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT"]);
    config.backlog_bytes = 1 << 20;
    let mut session = Session::new(&config).expect("a valid configuration");
    let mut sink = CountingSink::default();
    let mut out = Outbox::new();
    session.on_open(UnixNanos(1), &mut sink, &mut out);
    let body = format!(r#"{{"lastUpdateId":{snapshot_id},"bids":[["1.25","1.001"]],"asks":[["999999.25","1.001"]]}}"#);
    let mut stamps = Stamps::default();
    session.on_snapshot(
        SymbolId(0),
        Ok(body.as_bytes()),
        &mut stamps,
        NoClock,
        &mut sink,
        &mut out,
    );
    (session, sink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depth::{self, Wire};
    use crate::rivals::{DepthBook, TreeBook};
    use quantumflow_feeds::Side;

    #[test]
    fn a_session_shows_every_message_of_the_generator() {
        for wire in [Wire::Futures, Wire::Spot] {
            let messages = depth::updates(20, 500, 9);
            let (mut session, mut sink) = live(messages[0].first_id - 1);
            let mut judge = TreeBook::default();
            judge.set(Side::Bid, SNAPSHOT_BID, 100_100_000);
            judge.set(Side::Ask, SNAPSHOT_ASK, 100_100_000);
            let mut out = Outbox::new();
            let before = sink.books;
            for message in &messages {
                let frame = depth::json(message, wire);
                session.on_frame(frame.as_bytes(), &mut Stamps::default(), NoClock, &mut sink, &mut out);
                message
                    .bids
                    .iter()
                    .for_each(|&(price, quantity)| judge.set(Side::Bid, price, quantity));
                message
                    .asks
                    .iter()
                    .for_each(|&(price, quantity)| judge.set(Side::Ask, price, quantity));
            }
            assert_eq!(sink.trouble, None);
            // The snapshot itself is shown with, or before, the first diff.
            assert!(
                sink.books - before >= messages.len(),
                "{} of {}",
                sink.books - before,
                messages.len()
            );
            let scale = session.instruments()[0].scale;
            let book = session.book(SymbolId(0)).unwrap();
            for side in [Side::Bid, Side::Ask] {
                let levels: Vec<(i64, i64)> = book
                    .levels(side)
                    .map(|level| {
                        let price = level.price.0 * 100 / 10_i64.pow(scale.price.into());
                        (price, level.qty.0 * 10_i64.pow(8 - u32::from(scale.qty)))
                    })
                    .collect();
                assert_eq!(levels, judge.levels(side), "{side:?} at {scale:?}");
            }
        }
    }
}
