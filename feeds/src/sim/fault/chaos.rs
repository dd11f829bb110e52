//! Faults over a whole run, drawn from a seed.
//!
//! Each data message costs one draw, and a fault costs a second one. So the faults depend on the seed and on the number
//! of the message alone: the same messages meet the same faults.

use std::time::Duration;

use super::{Fault, FaultKind};
use crate::sim::market::Dice;
use crate::types::UnixNanos;

/// A storm of faults. Those that the venue, or a recording, cannot play are left out of the mix.
///
/// A fault that cannot strike the message at which it was drawn waits for the first one, or the first request, that it
/// can; of a kind one waits at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    /// The same seed and the same messages give the same faults.
    pub seed: u64,
    /// How many faults are drawn in a thousand data messages, over all clients, on average.
    pub faults_per_thousand: f64,
    /// What may happen, with its weight among the rest.
    pub mix: Vec<(Fault, u32)>,
    /// Nothing more goes wrong after so many data messages: the venue is healthy and its clock right again.
    pub calm_after_messages: Option<u64>,
    /// Nothing more goes wrong so long after the first data message.
    pub calm_after: Option<Duration>,
}

impl Chaos {
    /// A storm without an end, of all that a client can recover from by itself: no refused and no muted subscription, and
    /// nothing of an unusual size.
    pub fn new(seed: u64, faults_per_thousand: f64) -> Self {
        let mix = TYPICAL_MIX.map(|(kind, weight)| (kind.typical(), weight));
        Self {
            seed,
            faults_per_thousand,
            mix: mix.into(),
            calm_after_messages: None,
            calm_after: None,
        }
    }

    /// Why it cannot be played, if it cannot.
    pub(in crate::sim) fn problem(&self) -> Option<&'static str> {
        if !(0.0..=1_000.0).contains(&self.faults_per_thousand) {
            return Some("the faults of a chaos are between 0 and 1000 per thousand messages");
        }
        let is_empty = self.mix.iter().all(|(_, weight)| *weight == 0);
        (is_empty && self.faults_per_thousand > 0.0)
            .then_some("the mix of a chaos needs a fault with a weight above zero")
    }
}

/// A [`Chaos`] on its way.
#[derive(Debug)]
pub(super) struct Storm {
    chaos: Chaos,
    dice: Dice,
    weights: u64,
    messages: u64,
    first: Option<UnixNanos>,
}

impl Storm {
    pub(super) fn new(chaos: &Chaos) -> Self {
        let mut storm = Self {
            dice: Dice::new(chaos.seed, DICE_STREAM),
            chaos: chaos.clone(),
            weights: 0,
            messages: 0,
            first: None,
        };
        storm.without(&[]);
        storm
    }

    pub(super) fn without(&mut self, unplayable: &[FaultKind]) {
        self.chaos
            .mix
            .retain(|(fault, weight)| *weight > 0 && !unplayable.contains(&fault.kind()));
        self.weights = self.chaos.mix.iter().map(|(_, weight)| u64::from(*weight)).sum();
    }

    /// Whether nothing comes any more, at a message of this time.
    pub(super) fn is_over(&mut self, now: UnixNanos) -> bool {
        let elapsed_ns = now.since(*self.first.get_or_insert(now)).max(0) as u128;
        self.chaos
            .calm_after_messages
            .is_some_and(|count| self.messages >= count)
            || self
                .chaos
                .calm_after
                .is_some_and(|after| elapsed_ns >= after.as_nanos())
    }

    /// The fault of the next message.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        self.messages += 1;
        if !self.dice.chance(self.chaos.faults_per_thousand / 1_000.0) || self.weights == 0 {
            return None;
        }
        let mut rest = self.dice.below(self.weights as usize) as u64;
        let chosen = self.chaos.mix.iter().find(|(_, weight)| {
            let is_here = rest < u64::from(*weight);
            rest = rest.saturating_sub(u64::from(*weight));
            is_here
        });
        chosen.map(|(fault, _)| fault.clone())
    }
}

/// Lost and wrong updates are common beside the loss of a connection.
const TYPICAL_MIX: [(FaultKind, u32); 21] = [
    (FaultKind::SkipUpdate, 4),
    (FaultKind::DuplicateUpdate, 2),
    (FaultKind::ReorderUpdates, 2),
    (FaultKind::CorruptLevel, 2),
    (FaultKind::CorruptPrice, 1),
    (FaultKind::ResurrectLevel, 1),
    (FaultKind::SequenceRestart, 1),
    (FaultKind::RepeatSnapshot, 1),
    (FaultKind::CutMidFrame, 1),
    (FaultKind::Freeze, 1),
    (FaultKind::HalfOpen, 1),
    (FaultKind::Stall, 2),
    (FaultKind::SlowWire, 1),
    (FaultKind::MalformedMessage, 1),
    (FaultKind::Fragment, 2),
    (FaultKind::Close, 1),
    (FaultKind::ServerShutdown, 1),
    (FaultKind::ClockStep, 1),
    (FaultKind::RestStatus, 1),
    (FaultKind::RestTruncated, 1),
    (FaultKind::RestTooOld, 1),
];
/// Apart from the draws of any instrument.
const DICE_STREAM: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::super::{Faults, Target};
    use super::*;

    /// The faults that strike a run of book updates, with the numbers of the messages.
    fn strikes(chaos: &Chaos, messages: u64, unplayable: &'static [FaultKind]) -> Vec<(u64, FaultKind)> {
        let mut faults = Faults::new(&[], Some(chaos), &[]);
        faults.without(unplayable);
        let mut struck = Vec::new();
        for message in 0..messages {
            faults.draw(UnixNanos(message * 1_000_000));
            let strike = [Target::Update, Target::Data].map(|target| faults.strike(target, None, |_| true));
            struck.extend(strike.into_iter().flatten().map(|fault| (message, fault.kind())));
        }
        struck
    }

    #[test]
    fn a_seed_is_a_storm() {
        let chaos = Chaos::new(7, 20.0);
        let first = strikes(&chaos, 5_000, &[]);
        assert_eq!(first, strikes(&chaos, 5_000, &[]));
        assert_ne!(
            first,
            strikes(
                &Chaos {
                    seed: 8,
                    ..chaos.clone()
                },
                5_000,
                &[]
            )
        );
        // 20 in 1000 over 5000 messages are 100, of which three of 29 by weight never meet a REST request.
        assert!((65..125).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn the_mix_keeps_its_weights_without_what_cannot_be_played() {
        let mix = vec![
            (Fault::SkipUpdate, 3),
            (Fault::Freeze, 1),
            (Fault::SequenceRestart, 50),
            (Fault::Mute, 0),
        ];
        let chaos = Chaos {
            mix,
            ..Chaos::new(3, 500.0)
        };
        let struck = strikes(&chaos, 8_000, &[FaultKind::SequenceRestart]);
        let of = |kind| struck.iter().filter(|(_, struck)| *struck == kind).count();
        let (skips, freezes) = (of(FaultKind::SkipUpdate), of(FaultKind::Freeze));
        assert_eq!(skips + freezes, struck.len());
        // Four thousand draws, a quarter freezes: four deviations are 110.
        assert!(
            struck.len().abs_diff(4_000) < 200 && freezes.abs_diff(1_000) < 120,
            "{skips} {freezes}"
        );
    }

    #[test]
    fn calm_comes_by_count_or_by_time_and_sets_the_clock_right() {
        let mix = vec![(Fault::ClockStep { milliseconds: 40 }, 1)];
        let storm = Chaos {
            mix,
            ..Chaos::new(1, 1_000.0)
        };
        for calm in [
            Chaos {
                calm_after_messages: Some(30),
                ..storm.clone()
            },
            Chaos {
                calm_after: Some(Duration::from_millis(30)),
                ..storm.clone()
            },
        ] {
            let struck = strikes(&calm, 100, &[]);
            assert_eq!((struck.len(), struck.last()), (30, Some(&(29, FaultKind::ClockStep))));
            let mut faults = Faults::new(&[], Some(&calm), &[]);
            for message in 0..=30 {
                faults.draw(UnixNanos(message * 1_000_000));
                let offset_ms = faults.clock_offset_ms();
                assert_eq!(offset_ms, if message < 30 { 40 * message as i64 } else { 0 });
                faults.strike(Target::Data, None, |_| true);
            }
            assert!(faults.is_spent());
        }
    }

    #[test]
    fn a_storm_that_cannot_be_is_refused() {
        assert_eq!(Chaos::new(1, 5.0).problem(), None);
        for rate in [-1.0, f64::NAN, 1_001.0] {
            assert!(Chaos::new(1, rate).problem().is_some(), "{rate}");
        }
        let mix = vec![(Fault::Freeze, 0)];
        assert!(
            Chaos {
                mix,
                ..Chaos::new(1, 1.0)
            }
            .problem()
            .is_some()
        );
    }
}
