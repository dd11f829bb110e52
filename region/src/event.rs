//! What an engine notes in its flight recorder: every kind of event, declared once.
//!
//! An event is a time, a kind, a subject (a book, a connection, a model) and two numbers whose meaning the kind declares.
//! To add a kind, add an entry to the list below. Readers need no change: a region carries this table with it. Where a
//! number is a code, its names stand in the table as well, so that nobody needs to know this file to read the event.

use crate::metric::Unit;

/// One of the two numbers of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventField {
    /// Its name, unit last; empty where the kind does not use the number.
    pub name: &'static str,
    /// Its base unit.
    pub unit: Unit,
    /// Power of ten from the number to the base unit.
    pub scale: i8,
    /// Names of the codes from zero on, where it is a code.
    pub codes: &'static [&'static str],
}

impl EventField {
    const fn new(name: &'static str, unit: Unit, scale: i8, codes: &'static [&'static str]) -> Self {
        Self {
            name,
            unit,
            scale,
            codes,
        }
    }

    /// The code of that name; what the table does not know gets the first number without a name.
    pub fn code(&self, name: &str) -> u64 {
        let at = self.codes.iter().position(|code| *code == name);
        at.unwrap_or(self.codes.len()) as u64
    }
}

const UNUSED: EventField = EventField::new("", Unit::None, 0, &[]);

const fn number(name: &'static str) -> EventField {
    EventField::new(name, Unit::None, 0, &[])
}

const fn nanoseconds(name: &'static str) -> EventField {
    EventField::new(name, Unit::Seconds, -9, &[])
}

const fn code(name: &'static str, codes: &'static [&'static str]) -> EventField {
    EventField::new(name, Unit::None, 0, codes)
}

/// What a kind of event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDeclaration {
    /// Its name, in snake case.
    pub name: &'static str,
    /// One sentence for whoever reads the list after a crash.
    pub help: &'static str,
    /// The first number.
    pub a: EventField,
    /// The second.
    pub b: EventField,
}

/// Why a connection was lost: the reasons of the feeds, and `dial` for one that was never made.
pub const LOSSES: [&str; 11] = [
    "closed",
    "cut",
    "io",
    "tls",
    "protocol",
    "send",
    "server_shutdown",
    "silent",
    "not_acknowledged",
    "dial",
    "succeeded",
];

/// Why a book was withdrawn.
pub const RESYNCS: [&str; 9] = [
    "start",
    "sequence_gap",
    "checksum_mismatch",
    "crossed",
    "top_disagrees",
    "malformed",
    "disconnected",
    "silent",
    "checkpoint_differs",
];

macro_rules! kinds {
    ($($variant:ident, $name:literal, $a:expr, $b:expr, $help:literal;)*) => {
        /// A kind of event. Its number means something only together with the table in the same file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum EventKind { $(#[doc = $help] $variant,)* }

        impl EventKind {
            /// Every kind, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What it is.
            pub const fn declaration(self) -> &'static EventDeclaration {
                match self {
                    $(Self::$variant => const { &EventDeclaration { name: $name, help: $help, a: $a, b: $b } },)*
                }
            }
        }
    };
}

kinds! {
    EngineStarted, "engine_started", number("pid"), number("hot_threads"),
        "The engine went to work.";
    EngineStopping, "engine_stopping", UNUSED, UNUSED,
        "The engine was asked to stop.";
    FeedConnected, "feed_connected", UNUSED, UNUSED,
        "A connection to the venue was made.";
    FeedLost, "feed_lost", code("reason", &LOSSES), nanoseconds("connected_ns"),
        "A connection to the venue was lost.";
    FeedRefused, "feed_refused", UNUSED, UNUSED,
        "The venue refused a subscription.";
    SequenceGap, "sequence_gap", number("expected_id"), number("got_id"),
        "The venue skipped update ids of a book.";
    ResyncStarted, "resync_started", code("reason", &RESYNCS), number("update_id"),
        "A book was withdrawn and waits for a snapshot; the id is the last one it had.";
    ResyncFinished, "resync_finished", nanoseconds("duration_ns"), number("update_id"),
        "A book is shown again, from this id on.";
    ChecksumFailed, "checksum_failed", number("expected"), number("got"),
        "The venue's checksum disagreed with the book.";
    QueueFull, "queue_full", number("dropped_total"), number("capacity"),
        "A queue to a cold thread was full, and an item was dropped; noted at the 1st, 2nd, 4th … drop.";
    CaptureDropped, "capture_dropped", number("dropped_frames_total"), UNUSED,
        "Frames are missing in the capture because it could not keep up.";
    SlowLoop, "slow_loop", nanoseconds("duration_ns"), number("messages"),
        "The slowest round of a hot loop in a second that had one of more than a millisecond.";
    ModelError, "model_error", number("failures_total"), number("update_id"),
        "A model failed to predict from the book at this id; noted at the 1st, 2nd, 4th … failure.";
    BookStale, "book_stale", nanoseconds("silent_ns"), UNUSED,
        "Nothing has come of a shown book for much longer than its market is ever silent.";
    ModelSwapped, "model_swapped", nanoseconds("duration_ns"), number("generation"),
        "Every instrument predicts with this model now; the number counts the lineups since the start.";
    ModelRefused, "model_refused", UNUSED, UNUSED,
        "The engine was asked for other models and could not load them: nothing has changed.";
}

/// What an event is about: a text that was registered with the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubjectId(pub(crate) u32);

impl SubjectId {
    /// The engine or the thread itself.
    pub const NONE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::layout::limit;
    use crate::metric::is_label_name;

    #[test]
    fn every_kind_keeps_the_rules() {
        let mut names = HashSet::new();
        for (number, kind) in EventKind::ALL.iter().enumerate() {
            let EventDeclaration { name, help, a, b } = *kind.declaration();
            assert_eq!(*kind as usize, number, "{name}: numbers are places in the table");
            assert!(names.insert(name), "{name} is declared twice");
            assert!(is_label_name(name) && name == name.to_lowercase(), "{name}: snake case");
            assert!(help.ends_with('.') && help.starts_with(char::is_uppercase) && help.contains(' '));
            assert!(help.len() <= limit::HELP_BYTES && name.len() <= limit::NAME_BYTES);
            assert!(a.name.is_empty() || a.name != b.name, "{name}: two numbers of one name");
            assert!(
                !a.name.is_empty() || b.name.is_empty(),
                "{name}: the first number first"
            );
            for field in [a, b] {
                assert!(
                    field.name.is_empty() || is_label_name(field.name),
                    "{name}: {}",
                    field.name
                );
                assert_eq!(
                    field.name.ends_with("_ns"),
                    field.unit == Unit::Seconds,
                    "{name}: unit last"
                );
                assert!(field.codes.iter().all(|code| is_label_name(code)), "{name}: codes");
                assert!(field.codes.join("|").len() <= limit::HELP_BYTES);
            }
        }
        assert!(EventKind::ALL.len() <= limit::EVENT_KINDS as usize);
    }

    #[test]
    fn a_code_is_found_by_its_name() {
        let reason = EventKind::FeedLost.declaration().a;
        assert_eq!(reason.code("closed"), 0);
        assert_eq!(reason.code("dial"), 9);
        assert_eq!(reason.code("no such reason"), 11, "a number without a name");
    }
}
