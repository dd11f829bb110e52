//! How an engine is, as far as can be told from outside.

use quantumflow_region::Liveness;

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// At work.
    Live,
    /// Finishing; its values still change.
    Draining,
    /// It holds its file and nothing in it moves.
    Stalled,
    /// A thread panicked.
    Panicked,
    /// Gone without a word.
    Crashed,
    /// Ended in order.
    Closed,
    /// A job that ended in order: what it counted stays true.
    Done,
    /// There is a region, and it cannot be read.
    Unreadable,
    /// There is no region.
    Absent,
}

impl Condition {
    /// Every condition that a region can be in; [`Absent`](Self::Absent) is the want of one.
    pub const OF_REGIONS: [Self; 8] = [
        Self::Live,
        Self::Draining,
        Self::Stalled,
        Self::Panicked,
        Self::Crashed,
        Self::Closed,
        Self::Done,
        Self::Unreadable,
    ];

    /// Its name as a label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
            Self::Panicked => "panicked",
            Self::Crashed => "crashed",
            Self::Closed => "closed",
            Self::Done => "done",
            Self::Unreadable => "unreadable",
            Self::Absent => "absent",
        }
    }

    /// Whether the region's values are present ones.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Live | Self::Draining | Self::Done)
    }

    /// Whether the engine still has its file, at work or not.
    pub(super) fn is_held(self) -> bool {
        self.is_up() || self == Self::Stalled
    }

    pub(super) fn of(liveness: Liveness, is_job: bool) -> Self {
        match liveness {
            Liveness::Closed if is_job => Self::Done,
            Liveness::Live => Self::Live,
            Liveness::Draining => Self::Draining,
            Liveness::Closed => Self::Closed,
            Liveness::Panicked => Self::Panicked,
            Liveness::Crashed => Self::Crashed,
        }
    }
}
