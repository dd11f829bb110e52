//! What a session wants done by those who own sockets and threads.

use crate::types::{SymbolId, UnixNanos};

/// A list of wishes that a session adds to and its caller empties after every call.
///
/// Frames go out on the session's own connection, at once and in order; snapshot requests go to a cold thread, which
/// answers through [`Session::on_snapshot`](super::Session::on_snapshot); a reconnect wish means: close, then open again
/// with the usual back-off. Keeps its memory.
#[derive(Debug)]
pub struct Outbox {
    text: String,
    /// Where each frame ends in `text`.
    frame_ends: Vec<usize>,
    snapshots: Vec<SnapshotRequest>,
    reconnect: Option<ReconnectReason>,
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
    /// read by a [`CheckpointReader`](super::CheckpointReader), for
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
            frame_ends: Vec::with_capacity(64),
            snapshots: Vec::with_capacity(64),
            reconnect: None,
        }
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frame_ends.is_empty() && self.snapshots.is_empty() && self.reconnect.is_none()
    }

    /// Text frames to be sent, in order.
    pub fn frames(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.frame_ends.iter().map(move |&end| {
            let frame = &self.text[start..end];
            start = end;
            frame
        })
    }

    /// Snapshots to be fetched.
    pub fn snapshot_requests(&self) -> &[SnapshotRequest] {
        &self.snapshots
    }

    /// Whether the connection should be opened anew, and why.
    pub fn reconnect(&self) -> Option<ReconnectReason> {
        self.reconnect
    }

    /// Forgets everything: it has been done.
    pub fn clear(&mut self) {
        self.text.clear();
        self.frame_ends.clear();
        self.snapshots.clear();
        self.reconnect = None;
    }

    /// Adds one text frame that `write` writes.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.frame_ends.push(self.text.len());
    }

    pub(crate) fn fetch(&mut self, request: SnapshotRequest) {
        self.snapshots.push(request);
    }

    /// The first reason is the cause; later ones follow from it.
    pub(crate) fn want_reconnect(&mut self, reason: ReconnectReason) {
        self.reconnect.get_or_insert(reason);
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
        outbox.send(|text| text.push_str("three"));
        outbox.want_reconnect(ReconnectReason::Silent);
        outbox.want_reconnect(ReconnectReason::ServerShutdown);
        assert_eq!(outbox.frames().collect::<Vec<_>>(), ["one", "", "three"]);
        assert_eq!(outbox.reconnect(), Some(ReconnectReason::Silent));
        outbox.clear();
        assert!(outbox.is_empty());
    }
}
