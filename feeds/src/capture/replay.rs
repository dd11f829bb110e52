//! A capture through the same session as live traffic.

use std::time::{Duration, Instant};

use crate::Sink;
use crate::clock::NoClock;
use crate::event::Stamps;
use crate::types::{Line, SymbolId, UnixNanos};
use crate::venue::{Outbox, Session};

use super::{CaptureError, CaptureReader, Record};

/// What a replay went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Frames given to the session.
    pub frames: u64,
    /// REST bodies given to the session.
    pub snapshots: u64,
    /// REST bodies of which nobody knew the symbol.
    pub snapshots_unplaced: u64,
    /// Connections.
    pub opens: u64,
    /// Frames that the recorder lost.
    pub dropped: u64,
    /// The time of the first frame.
    pub first_time: Option<UnixNanos>,
    /// The time of the last frame.
    pub last_time: Option<UnixNanos>,
}

/// Feeds the records of `reader` to `session`, whose calls go to `sink`. `pace` is called before each frame with its
/// receive time and may sleep: [`unpaced`], or [`RealTime::wait`].
///
/// What the session wants sent or fetched is ignored: the capture holds what happened then. A recording that does not
/// say `open` starts with its first frame, and a reply that is not marked as one is known by its shape
/// (`{"lastUpdateId"`) and given to the only symbol that waits for a snapshot. Timers do not run: they only ever speak of
/// silence.
///
/// # Errors
/// The first line that cannot be read, with its file and number.
pub fn replay<S: Sink>(
    reader: &mut CaptureReader,
    session: &mut Session,
    sink: &mut S,
    mut pace: impl FnMut(UnixNanos),
) -> Result<ReplaySummary, CaptureError> {
    let mut summary = ReplaySummary::default();
    let mut out = Outbox::new();
    let mut is_open = [false; 2];
    let mut line = Line::First;
    session.select(line);
    while let Some(record) = reader.next_record()? {
        let (receive_time, bytes, named) = match record {
            Record::Frame { receive_time, frame } => (receive_time, frame, None),
            Record::Snapshot {
                receive_time,
                symbol,
                body,
            } => (receive_time, body, Some(symbol)),
            Record::Open { time, .. } => {
                if is_open[line.index()] {
                    session.on_close(sink);
                }
                session.on_open(time, sink, &mut out);
                summary.opens += 1;
                is_open[line.index()] = true;
                out.clear();
                continue;
            }
            Record::Close { .. } => {
                if is_open[line.index()] {
                    session.on_close(sink);
                }
                is_open[line.index()] = false;
                continue;
            }
            Record::Line { line: next, .. } => {
                line = next;
                session.select(line);
                continue;
            }
            Record::Dropped { count, .. } => {
                summary.dropped += count.trim().parse::<u64>().unwrap_or(0);
                continue;
            }
            Record::Sent { .. } | Record::Remark { .. } => continue,
        };
        pace(receive_time);
        summary.first_time.get_or_insert(receive_time);
        summary.last_time = Some(receive_time);
        if is_open == [false; 2] {
            session.on_open(receive_time, sink, &mut out);
            summary.opens += 1;
            is_open[line.index()] = true;
        }
        let mut stamps = Stamps {
            receive_time,
            ..Stamps::default()
        };
        let is_reply =
            named.is_some() || (session.venue().facts().has_rest_snapshots && bytes.starts_with(REPLY_START));
        if !is_reply {
            summary.frames += 1;
            session.on_frame(bytes, &mut stamps, NoClock, sink, &mut out);
        } else if let Some(symbol) = place(session, named) {
            summary.snapshots += 1;
            session.on_snapshot(symbol, Ok(bytes), &mut stamps, NoClock, sink, &mut out);
        } else {
            summary.snapshots_unplaced += 1;
        }
        out.clear();
    }
    Ok(summary)
}

/// Whose snapshot it is.
fn place(session: &Session, named: Option<&str>) -> Option<SymbolId> {
    let instruments = session.instruments();
    if let Some(symbol) = named {
        return instruments
            .iter()
            .find(|instrument| instrument.symbol == symbol)
            .map(|instrument| instrument.id);
    }
    let mut waiting = instruments
        .iter()
        .map(|instrument| instrument.id)
        .filter(|id| session.awaits_snapshot(*id));
    match (waiting.next(), waiting.next(), instruments) {
        (Some(symbol), None, _) => Some(symbol),
        (None, _, [only]) => Some(only.id),
        _ => None,
    }
}

/// A pace that does not wait.
pub fn unpaced(_: UnixNanos) {}

/// Replays at the speed of the recording, or a multiple of it.
#[derive(Clone, Copy, Debug)]
pub struct RealTime {
    speed: f64,
    start: Option<(UnixNanos, Instant)>,
}

impl RealTime {
    /// `speed` times as fast as recorded; one that is not above zero counts as 1.
    pub fn new(speed: f64) -> Self {
        Self {
            speed: if speed > 0.0 { speed } else { 1.0 },
            start: None,
        }
    }

    /// Sleeps until `time` is due.
    pub fn wait(&mut self, time: UnixNanos) {
        let (first, started) = *self.start.get_or_insert_with(|| (time, Instant::now()));
        let recorded = Duration::from_nanos(time.0.saturating_sub(first.0));
        let due = recorded.div_f64(self.speed);
        if let Some(rest) = due.checked_sub(started.elapsed()) {
            std::thread::sleep(rest);
        }
    }
}

/// How the body of a depth snapshot starts.
const REPLY_START: &[u8] = b"{\"lastUpdateId\"";
