//! What a session wants done by those who own sockets and threads.

use crate::types::{Line, SymbolId, UnixNanos};

/// A list of wishes that a session adds to and its caller empties after every call.
///
/// Frames go out on the line that they are for, at once and in order; snapshot requests go to a cold thread, which
/// answers through [`Session::on_snapshot`](super::Session::on_snapshot); a reconnect wish means: close, then open again
/// with the usual back-off. Keeps its memory.
#[derive(Debug)]
pub struct Outbox {
    text: String,
    /// Where each frame ends in `text`, and where it goes.
    frames: Vec<(usize, Line)>,
    snapshots: Vec<SnapshotRequest>,
    /// By line.
    reconnects: [Option<ReconnectReason>; 2],
    /// Where the next frame goes.
    line: Line,
}

/// Asks for the REST snapshot of a book, at [`Session::rest_path`](super::Session::rest_path).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Whose book.
    pub symbol: SymbolId,
    /// How many requests of this wait went before it.
    pub attempt: u32,
    /// Not to be sent earlier: the back-off after a failure, and the venue's budget of requests. By the clock that the
    /// session is given.
    pub not_before: UnixNanos,
    /// What it is for.
    pub purpose: SnapshotPurpose,
}

/// What a REST snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPurpose {
    /// The book waits for it: all of it, for [`Session::on_snapshot`](super::Session::on_snapshot).
    Book,
    /// The book that is shown is held against it: from [`Session::checkpoint_path`](super::Session::checkpoint_path),
    /// read by a [`BookReader`](super::BookReader), for
    /// [`Session::on_checkpoint`](super::Session::on_checkpoint).
    Checkpoint,
}

/// Why a session wants its connection opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconnectReason {
    /// The venue announced that it will close.
    ServerShutdown,
    /// Nothing at all has come for longer than the venue stays silent, heartbeats included.
    Silent,
    /// Subscriptions stayed without an answer.
    NotAcknowledged,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty outbox with room for what a session usually says.
    pub fn new() -> Self {
        Self {
            text: String::with_capacity(16 << 10),
            frames: Vec::with_capacity(64),
            snapshots: Vec::with_capacity(64),
            reconnects: [None; 2],
            line: Line::First,
        }
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.snapshots.is_empty() && self.reconnects == [None; 2]
    }

    /// Text frames to be sent, in order.
    pub fn frames(&self) -> impl Iterator<Item = &str> {
        self.frames_by_line().map(|(_, frame)| frame)
    }

    /// The same, each with the line that it is for.
    pub fn frames_by_line(&self) -> impl Iterator<Item = (Line, &str)> {
        let mut start = 0;
        self.frames.iter().map(move |&(end, line)| {
            let frame = &self.text[start..end];
            start = end;
            (line, frame)
        })
    }

    /// Snapshots to be fetched.
    pub fn snapshot_requests(&self) -> &[SnapshotRequest] {
        &self.snapshots
    }

    /// Whether a connection should be opened anew, and why.
    pub fn reconnect(&self) -> Option<ReconnectReason> {
        self.reconnects[0].or(self.reconnects[1])
    }

    /// Whether the connection of that line should be.
    pub fn reconnect_of(&self, line: Line) -> Option<ReconnectReason> {
        self.reconnects[line.index()]
    }

    /// Forgets everything: it has been done.
    pub fn clear(&mut self) {
        self.text.clear();
        self.frames.clear();
        self.snapshots.clear();
        self.reconnects = [None; 2];
    }

    /// Says where the frames go that are added from now on.
    pub(crate) fn aim(&mut self, line: Line) {
        self.line = line;
    }

    /// Adds one text frame that `write` writes.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.frames.push((self.text.len(), self.line));
    }

    pub(crate) fn fetch(&mut self, request: SnapshotRequest) {
        self.snapshots.push(request);
    }

    /// The first reason is the cause; later ones follow from it.
    pub(crate) fn want_reconnect(&mut self, line: Line, reason: ReconnectReason) {
        self.reconnects[line.index()].get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_written() {
        let mut outbox = Outbox::new();
        outbox.send(|text| text.push_str("one"));
        outbox.send(|_| ());
        outbox.aim(Line::Second);
        outbox.send(|text| text.push_str("three"));
        outbox.want_reconnect(Line::Second, ReconnectReason::Silent);
        outbox.want_reconnect(Line::Second, ReconnectReason::ServerShutdown);
        let frames = [(Line::First, "one"), (Line::First, ""), (Line::Second, "three")];
        assert_eq!(outbox.frames_by_line().collect::<Vec<_>>(), frames);
        assert_eq!(outbox.reconnect(), Some(ReconnectReason::Silent));
        assert_eq!(outbox.reconnect_of(Line::First), None);
        outbox.clear();
        assert!(outbox.is_empty());
    }
}
