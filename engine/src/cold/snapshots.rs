//! Fetches REST snapshots for sessions that wait for one, and makes books of them, off the hot path.
//!
//! Orders are carried out one after another: a venue's REST budget is small, and whoever asks for ten books at once is
//! the first to be refused. Whether a book continues what came since is for the session to decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::event::SnapshotFault;
use quantumflow_feeds::net::{RestClient, RestError};
use quantumflow_feeds::venue::BookReader;

use super::{Breakers, LOOK_EVERY};
use crate::hot::{ColdSide, SnapshotOrder, SnapshotReply};
use crate::os::wall_clock;

/// What is needed to fetch the snapshots, or the checkpoints, of one feed.
#[derive(Debug)]
pub struct SnapshotSource {
    /// Whose they are.
    pub venue: VenueId,
    /// The client, with the feed's own trust.
    pub client: RestClient,
    /// The full address for each instrument.
    pub urls: Vec<String>,
}

impl SnapshotSource {
    /// With what reads its books.
    pub(super) fn with_reader(self) -> (Self, BookReader) {
        let reader = BookReader::new(self.venue);
        (self, reader)
    }
}

/// Orders whose time has not come.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<SnapshotOrder>);

impl Waiting {
    /// Takes over what was ordered since; an order whose time has come.
    pub(super) fn next_due(&mut self, ordered: impl FnMut() -> Option<SnapshotOrder>) -> Option<SnapshotOrder> {
        self.0.extend(std::iter::from_fn(ordered));
        let now = wall_clock();
        let due = self.0.iter().position(|order| order.not_before <= now)?;
        Some(self.0.swap_remove(due))
    }
}

/// The thread's state.
#[derive(Debug)]
pub struct SnapshotFetcher {
    sources: Vec<(SnapshotSource, BookReader)>,
    cold: ColdSide,
    waiting: Waiting,
    breakers: Breakers,
}

impl SnapshotFetcher {
    /// One source per feed, in the order of the configuration. `breakers` are told what the venues answer.
    pub fn new(sources: Vec<SnapshotSource>, cold: ColdSide, breakers: Breakers) -> Self {
        Self {
            sources: sources.into_iter().map(SnapshotSource::with_reader).collect(),
            cold,
            waiting: Waiting::default(),
            breakers,
        }
    }

    /// Works until `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match self.waiting.next_due(|| self.cold.take_snapshot_order()) {
                Some(order) => self.carry_out(order, stop),
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn carry_out(&mut self, order: SnapshotOrder, stop: &AtomicBool) {
        let SnapshotOrder {
            feed, symbol, attempt, ..
        } = order;
        let source = self.sources.get_mut(usize::from(feed));
        let Some((source, reader, url)) =
            source.and_then(|(source, reader)| Some((&*source, reader, source.urls.get(symbol.index())?)))
        else {
            tracing::error!(
                feed,
                symbol = symbol.0,
                "a snapshot was ordered for an instrument that is not configured"
            );
            return;
        };
        let snapshot = match source.client.get(url) {
            Ok(body) => {
                tracing::debug!(url, bytes = body.len(), attempt, "snapshot fetched");
                Ok(Box::new(reader.snapshot(body)))
            }
            Err(error) => {
                tracing::warn!(
                    url,
                    attempt,
                    error = &error as &dyn std::error::Error,
                    "snapshot not fetched"
                );
                match error {
                    RestError::RateLimited { retry_after, .. } => {
                        self.breakers.told_to_stay_away(source.venue, retry_after);
                    }
                    _ => self.breakers.failed(source.venue),
                }
                Err(fault(&error))
            }
        };
        let mut reply = SnapshotReply { feed, symbol, snapshot };
        while let Err(back) = self.cold.deliver_snapshot(reply) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            reply = back;
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// A body that came but is not whole is the venue's fault; everything else is the way to it.
pub(super) fn fault(error: &RestError) -> SnapshotFault {
    match error {
        RestError::Truncated { .. } | RestError::BodyTooLarge { .. } => SnapshotFault::Malformed,
        _ => SnapshotFault::Unavailable,
    }
}
