//! A tick a second, made once and given to everybody who looks.
//!
//! There is no thread for it: whoever first finds the next tick due makes it, those who wait with him share it, and where
//! nobody looks nothing is made. A client that reads slowly gets the newest tick when it comes back, and keeps nobody
//! else waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::document::{Document, Seen};
use crate::http::{Answer, Response, Stream};
use crate::monitoring::Monitoring;
use crate::source::Source;

/// Time from one tick to the next. Rates on the page are over this interval.
pub const TICK: Duration = Duration::from_secs(1);
/// What was seen longer ago than this is no start of an interval: nobody was looking in between.
const INTERVAL_MAX: Duration = Duration::from_secs(5);

/// The newest tick, shared by all who follow.
pub struct Live {
    source: Arc<Source>,
    monitoring: Arc<Monitoring>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    number: u64,
    made: Option<Instant>,
    event: Arc<[u8]>,
    seen: Option<Seen>,
}

impl Live {
    /// Tells of what `source` finds.
    pub fn new(source: Arc<Source>, monitoring: Arc<Monitoring>) -> Self {
        Self {
            source,
            monitoring,
            state: Mutex::default(),
        }
    }

    /// The first tick whose number is not `known`, as an event with its number. Waits for it, not longer than a tick.
    fn after(&self, known: Option<u64>) -> (u64, Arc<[u8]>) {
        loop {
            let mut state = self.state();
            let now = Instant::now();
            let due = state.made.map_or(now, |made| made + TICK);
            if now >= due {
                self.make(&mut state, now);
            }
            if Some(state.number) != known {
                return (state.number, Arc::clone(&state.event));
            }
            drop(state);
            thread::sleep(due.saturating_duration_since(now));
        }
    }

    fn make(&self, state: &mut State, now: Instant) {
        let host = self.source.scrape();
        let report = self.monitoring.judge(&host);
        let seen = Seen {
            at: Instant::now(),
            host,
        };
        let interval = |earlier: &&Seen| seen.at.saturating_duration_since(earlier.at) <= INTERVAL_MAX;
        let earlier = state.seen.as_ref().filter(interval);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        state.number += 1;
        let document = Document::of(state.number, unix_ms, &seen, earlier, &report);
        state.event = event(state.number, &document).into();
        state.made = Some(now);
        state.seen = Some(seen);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // After a panic the worst that is left here is an old tick, which the next one replaces.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event of the stream: its number, and the document on one line.
fn event(number: u64, document: &Document<'_>) -> Vec<u8> {
    // Escapes every control character inside of strings: the document cannot break the line.
    match serde_json::to_string(document) {
        Ok(json) => format!("id: {number}\ndata: {json}\n\n").into_bytes(),
        Err(error) => format!(": failed to encode the tick: {error}\n\n").into_bytes(),
    }
}

/// The answer to one who wants to follow.
pub fn follow(live: &Arc<Live>) -> Answer {
    let head = Response {
        content_type: "text/event-stream",
        ..Response::text(200, "")
    };
    // A proxy that buffers would turn a live page into a late one.
    let head = head.with_header("X-Accel-Buffering", "no");
    let events = Events {
        live: Arc::clone(live),
        known: None,
    };
    Answer::Stream(head, Box::new(events))
}

/// One client's place in the stream.
struct Events {
    live: Arc<Live>,
    known: Option<u64>,
}

impl Stream for Events {
    fn next(&mut self) -> Option<Vec<u8>> {
        let (number, event) = self.live.after(self.known);
        let mut bytes = Vec::with_capacity(event.len() + RETRY.len());
        if self.known.is_none() {
            bytes.extend_from_slice(RETRY);
        }
        bytes.extend_from_slice(&event);
        self.known = Some(number);
        Some(bytes)
    }
}

/// Asks a browser that lost the stream to come back after this long.
const RETRY: &[u8] = b"retry: 2000\n";

#[cfg(test)]
mod tests;
