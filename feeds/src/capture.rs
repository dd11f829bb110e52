//! Recorded sessions: one line a frame, as received.
