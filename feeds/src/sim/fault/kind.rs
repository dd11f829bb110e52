//! The faults without their details: for counters, for weights, for command lines.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Fault, Target};

/// Which [`Fault`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is told at the fault of its name")]
pub enum FaultKind {
    SkipUpdate,
    DuplicateUpdate,
    ReorderUpdates,
    CorruptLevel,
    CorruptPrice,
    ResurrectLevel,
    SequenceRestart,
    RepeatSnapshot,
    CutMidFrame,
    Freeze,
    HalfOpen,
    Stall,
    SlowWire,
    OversizedFrame,
    MalformedMessage,
    Fragment,
    Close,
    ServerShutdown,
    ClockStep,
    HugeSnapshot,
    Mute,
    RefuseSubscription,
    RestStatus,
    RestTruncated,
    RestTooOld,
}

impl FaultKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::SkipUpdate,
        Self::DuplicateUpdate,
        Self::ReorderUpdates,
        Self::CorruptLevel,
        Self::CorruptPrice,
        Self::ResurrectLevel,
        Self::SequenceRestart,
        Self::RepeatSnapshot,
        Self::CutMidFrame,
        Self::Freeze,
        Self::HalfOpen,
        Self::Stall,
        Self::SlowWire,
        Self::OversizedFrame,
        Self::MalformedMessage,
        Self::Fragment,
        Self::Close,
        Self::ServerShutdown,
        Self::ClockStep,
        Self::HugeSnapshot,
        Self::Mute,
        Self::RefuseSubscription,
        Self::RestStatus,
        Self::RestTruncated,
        Self::RestTooOld,
    ];

    /// The name in tables and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::SkipUpdate => "skip-update",
            Self::DuplicateUpdate => "duplicate-update",
            Self::ReorderUpdates => "reorder-updates",
            Self::CorruptLevel => "corrupt-level",
            Self::CorruptPrice => "corrupt-price",
            Self::ResurrectLevel => "resurrect-level",
            Self::SequenceRestart => "sequence-restart",
            Self::RepeatSnapshot => "repeat-snapshot",
            Self::CutMidFrame => "cut-mid-frame",
            Self::Freeze => "freeze",
            Self::HalfOpen => "half-open",
            Self::Stall => "stall",
            Self::SlowWire => "slow-wire",
            Self::OversizedFrame => "oversized-frame",
            Self::MalformedMessage => "malformed-message",
            Self::Fragment => "fragment",
            Self::Close => "close",
            Self::ServerShutdown => "server-shutdown",
            Self::ClockStep => "clock-step",
            Self::HugeSnapshot => "huge-snapshot",
            Self::Mute => "mute",
            Self::RefuseSubscription => "refuse-subscription",
            Self::RestStatus => "rest-status",
            Self::RestTruncated => "rest-truncated",
            Self::RestTooOld => "rest-too-old",
        }
    }

    /// A fault of this kind with details of an ordinary day.
    pub fn typical(self) -> Fault {
        match self {
            Self::SkipUpdate => Fault::SkipUpdate,
            Self::DuplicateUpdate => Fault::DuplicateUpdate,
            Self::ReorderUpdates => Fault::ReorderUpdates,
            Self::CorruptLevel => Fault::CorruptLevel,
            Self::CorruptPrice => Fault::CorruptPrice,
            Self::ResurrectLevel => Fault::ResurrectLevel,
            Self::SequenceRestart => Fault::SequenceRestart,
            Self::RepeatSnapshot => Fault::RepeatSnapshot,
            Self::CutMidFrame => Fault::CutMidFrame,
            Self::Freeze => Fault::Freeze,
            Self::HalfOpen => Fault::HalfOpen,
            Self::Stall => Fault::Stall {
                lasting: Duration::from_millis(500),
            },
            Self::SlowWire => Fault::SlowWire {
                bytes_per_second: 1_000,
                lasting: Duration::from_secs(1),
            },
            Self::OversizedFrame => Fault::OversizedFrame {
                announced_bytes: 1 << 40,
            },
            Self::MalformedMessage => Fault::MalformedMessage,
            Self::Fragment => Fault::Fragment { pieces: 3 },
            Self::Close => Fault::Close {
                code: 1012,
                reason: "service restart".to_owned(),
            },
            Self::ServerShutdown => Fault::ServerShutdown,
            Self::ClockStep => Fault::ClockStep { milliseconds: 250 },
            Self::HugeSnapshot => Fault::HugeSnapshot { bytes: 4 << 20 },
            Self::Mute => Fault::Mute,
            Self::RefuseSubscription => Fault::RefuseSubscription,
            Self::RestStatus => Fault::RestStatus {
                status: 503,
                retry_after_seconds: Some(1),
            },
            Self::RestTruncated => Fault::RestTruncated { is_length_right: true },
            Self::RestTooOld => Fault::RestTooOld,
        }
    }

    pub(in crate::sim) fn target(self) -> Target {
        match self {
            Self::SkipUpdate
            | Self::DuplicateUpdate
            | Self::ReorderUpdates
            | Self::CorruptLevel
            | Self::CorruptPrice
            | Self::ResurrectLevel
            | Self::SequenceRestart
            | Self::RepeatSnapshot => Target::Update,
            Self::CutMidFrame
            | Self::Freeze
            | Self::HalfOpen
            | Self::Stall
            | Self::SlowWire
            | Self::OversizedFrame
            | Self::MalformedMessage
            | Self::Fragment
            | Self::Close
            | Self::ServerShutdown
            | Self::ClockStep => Target::Data,
            Self::HugeSnapshot => Target::Snapshot,
            Self::Mute | Self::RefuseSubscription => Target::Subscription,
            Self::RestStatus | Self::RestTruncated | Self::RestTooOld => Target::Rest,
        }
    }
}

impl Fault {
    /// Which it is.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::SkipUpdate => FaultKind::SkipUpdate,
            Self::DuplicateUpdate => FaultKind::DuplicateUpdate,
            Self::ReorderUpdates => FaultKind::ReorderUpdates,
            Self::CorruptLevel => FaultKind::CorruptLevel,
            Self::CorruptPrice => FaultKind::CorruptPrice,
            Self::ResurrectLevel => FaultKind::ResurrectLevel,
            Self::SequenceRestart => FaultKind::SequenceRestart,
            Self::RepeatSnapshot => FaultKind::RepeatSnapshot,
            Self::CutMidFrame => FaultKind::CutMidFrame,
            Self::Freeze => FaultKind::Freeze,
            Self::HalfOpen => FaultKind::HalfOpen,
            Self::Stall { .. } => FaultKind::Stall,
            Self::SlowWire { .. } => FaultKind::SlowWire,
            Self::OversizedFrame { .. } => FaultKind::OversizedFrame,
            Self::MalformedMessage => FaultKind::MalformedMessage,
            Self::Fragment { .. } => FaultKind::Fragment,
            Self::Close { .. } => FaultKind::Close,
            Self::ServerShutdown => FaultKind::ServerShutdown,
            Self::ClockStep { .. } => FaultKind::ClockStep,
            Self::HugeSnapshot { .. } => FaultKind::HugeSnapshot,
            Self::Mute => FaultKind::Mute,
            Self::RefuseSubscription => FaultKind::RefuseSubscription,
            Self::RestStatus { .. } => FaultKind::RestStatus,
            Self::RestTruncated { .. } => FaultKind::RestTruncated,
            Self::RestTooOld => FaultKind::RestTooOld,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {name:?}; the faults are {}", FaultKind::ALL.map(FaultKind::name).join(", "))]
pub struct UnknownFaultKind {
    /// As it was given.
    pub name: String,
}

impl FromStr for FaultKind {
    type Err = UnknownFaultKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownFaultKind { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_names_and_typical_faults_belong_together() {
        for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(kind.typical().kind(), kind);
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "stal".parse::<FaultKind>().unwrap_err().to_string();
        assert!(error.contains("\"stal\"") && error.contains(", stall,"), "{error}");
    }
}
