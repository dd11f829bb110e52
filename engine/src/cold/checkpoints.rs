//! Fetches the REST books that shown ones are held against, and reads them here, off the hot path.
//!
//! A thread of its own: a checkpoint can wait, and a snapshot that a book waits for must not wait behind it. A venue that
//! is left alone by its breaker is not asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use quantumflow_feeds::event::SnapshotFault;
use quantumflow_feeds::net::RestError;
use quantumflow_feeds::venue::{BookReader, Checkpoint};

use super::snapshots::Waiting;
use super::{Breakers, LOOK_EVERY, SnapshotSource};
use crate::hot::{CheckpointReply, ColdSide, SnapshotOrder};

/// The thread's state.
#[derive(Debug)]
pub struct CheckpointFetcher {
    sources: Vec<(SnapshotSource, BookReader)>,
    cold: ColdSide,
    waiting: Waiting,
    breakers: Breakers,
}

impl CheckpointFetcher {
    /// One source per feed, in the order of the configuration; without addresses where a feed has no checkpoints.
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
            match self.waiting.next_due(|| self.cold.take_checkpoint_order()) {
                Some(SnapshotOrder { feed, symbol, .. }) => {
                    let book = self.fetch(usize::from(feed), symbol);
                    // A session that gets no answer gives the order up.
                    let _ = self.cold.deliver_checkpoint(CheckpointReply { feed, symbol, book });
                }
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn fetch(&mut self, feed: usize, symbol: quantumflow_feeds::SymbolId) -> Result<Checkpoint, SnapshotFault> {
        let source = self.sources.get_mut(feed);
        let Some((source, reader)) = source.filter(|(source, _)| self.breakers.is_closed(source.venue)) else {
            return Err(SnapshotFault::Unavailable);
        };
        let url = source.urls.get(symbol.index()).ok_or(SnapshotFault::Unavailable)?;
        let body = source.client.get(url).map_err(|error| {
            tracing::warn!(
                url,
                error = &error as &dyn std::error::Error,
                "no book to hold the shown one against"
            );
            if let RestError::RateLimited { retry_after, .. } = &error {
                self.breakers.told_to_stay_away(source.venue, *retry_after);
            }
            super::snapshots::fault(&error)
        })?;
        reader.checkpoint(symbol, &body).inspect_err(|_| {
            tracing::warn!(
                url,
                bytes = body.len(),
                "no book to hold the shown one against: the reply is none"
            );
        })
    }
}
