//! The plan of a run, and how it is played.

use super::chaos::Storm;
use super::{Chaos, Fault, FaultKind, Target};
use crate::types::UnixNanos;

/// A fault with its place in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// What happens.
    pub fault: Fault,
    /// Only to this instrument, in the venue's spelling; `None` to any.
    pub symbol: Option<String>,
    /// How many chances pass first.
    pub after: u64,
    /// How many chances in a row are struck.
    pub times: u32,
}

impl PlannedFault {
    /// Strikes the first chance, once.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            symbol: None,
            after: 0,
            times: 1,
        }
    }

    /// Only this instrument.
    pub fn symbol(self, symbol: &str) -> Self {
        Self {
            symbol: Some(symbol.to_owned()),
            ..self
        }
    }

    /// Lets so many chances pass first.
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// Strikes so many chances in a row.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

/// The plan as it is being played, and the storm beside it.
#[derive(Debug)]
pub(in crate::sim) struct Faults {
    armed: Vec<Armed>,
    storm: Option<Storm>,
    /// What this source of messages cannot play: never struck, never drawn.
    unplayable: &'static [FaultKind],
    fired: [u64; FaultKind::ALL.len()],
    /// The sum of the clock's steps: planned, drawn.
    clock_steps_ms: [i64; 2],
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    target: Target,
    symbol: Option<u16>,
    /// Chances that still pass, then chances that are struck.
    after: u64,
    times: u32,
    is_drawn: bool,
}

impl Faults {
    /// Nothing goes wrong.
    pub(in crate::sim) fn none() -> Self {
        Self::new(&[], None, &[])
    }

    /// The plan, with symbols as places in `symbols`; a fault of an unknown symbol never strikes.
    pub(in crate::sim) fn new(plan: &[PlannedFault], chaos: Option<&Chaos>, symbols: &[String]) -> Self {
        let place = |name: &String| {
            let index = symbols.iter().position(|symbol| symbol == name);
            index.map_or(u16::MAX, |index| index as u16)
        };
        let armed = plan.iter().map(|plan| Armed {
            target: plan.fault.kind().target(),
            symbol: plan.symbol.as_ref().map(place),
            after: plan.after,
            times: plan.times,
            is_drawn: false,
            fault: plan.fault.clone(),
        });
        Self {
            armed: armed.filter(|armed| armed.times > 0).collect(),
            storm: chaos.map(Storm::new),
            unplayable: &[],
            fired: [0; FaultKind::ALL.len()],
            clock_steps_ms: [0; 2],
        }
    }

    /// Says what this source of messages cannot play, before the first message.
    pub(in crate::sim) fn without(&mut self, unplayable: &'static [FaultKind]) {
        self.unplayable = unplayable;
        if let Some(storm) = &mut self.storm {
            storm.without(unplayable);
        }
    }

    /// Nothing is left to go wrong.
    pub(in crate::sim) fn is_spent(&self) -> bool {
        self.armed.is_empty() && self.storm.is_none()
    }

    /// Nothing more goes wrong, and the clock is right.
    pub(in crate::sim) fn calm(&mut self) {
        self.end_storm();
        self.armed.clear();
        self.clock_steps_ms = [0; 2];
    }

    /// The storm is over, and what it had drawn and not played is forgotten.
    fn end_storm(&mut self) {
        self.storm = None;
        self.armed.retain(|armed| !armed.is_drawn);
        self.clock_steps_ms[1] = 0;
    }

    /// How many have struck, by kind.
    pub(in crate::sim) fn fired(&self) -> &[u64; FaultKind::ALL.len()] {
        &self.fired
    }

    /// How far the venue's clock has been set forward.
    pub(in crate::sim) fn clock_offset_ms(&self) -> i64 {
        let [planned, drawn] = self.clock_steps_ms;
        planned.saturating_add(drawn)
    }

    /// A data message comes, at `now`: the storm may draw a fault, which strikes the first message or request that it can.
    pub(in crate::sim) fn draw(&mut self, now: UnixNanos) {
        let Some(storm) = &mut self.storm else { return };
        if storm.is_over(now) {
            self.end_storm();
            return;
        }
        let Some(fault) = storm.draw() else { return };
        // One of a kind waits at a time: a client that never asks for a book would gather refusals for ever.
        if self
            .armed
            .iter()
            .any(|armed| armed.is_drawn && armed.fault.kind() == fault.kind())
        {
            return;
        }
        self.armed.push(Armed {
            target: fault.kind().target(),
            symbol: None,
            after: 0,
            times: 1,
            is_drawn: true,
            fault,
        });
    }

    /// One chance comes; the first fault whose turn it is strikes. `can` refuses faults that cannot strike this very
    /// message, which is then no chance for them.
    pub(in crate::sim) fn strike(
        &mut self,
        target: Target,
        symbol: Option<u16>,
        can: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let mut struck = None;
        for (place, armed) in self.armed.iter_mut().enumerate() {
            let fits = armed.target == target && (armed.symbol.is_none() || armed.symbol == symbol);
            if !fits || self.unplayable.contains(&armed.fault.kind()) || !can(&armed.fault) {
                continue;
            }
            if armed.after > 0 {
                armed.after -= 1;
            } else if struck.is_none() {
                armed.times -= 1;
                struck = Some(place);
            }
        }
        let armed = &self.armed[struck?];
        let (fault, is_drawn) = (armed.fault.clone(), armed.is_drawn);
        self.fired[fault.kind() as usize] += 1;
        if let Fault::ClockStep { milliseconds } = fault {
            let sum = &mut self.clock_steps_ms[usize::from(is_drawn)];
            *sum = sum.saturating_add(milliseconds);
        }
        self.armed.retain(|armed| armed.times > 0);
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lets_chances_pass_strikes_and_is_spent() {
        let plan = [
            PlannedFault::new(Fault::SkipUpdate).symbol("B").after(1).times(2),
            PlannedFault::new(Fault::Freeze).symbol("missing"),
        ];
        let mut faults = Faults::new(&plan, None, &["A".to_owned(), "B".to_owned()]);
        let mut strike = |symbol| faults.strike(Target::Update, Some(symbol), |_| true).is_some();
        assert_eq!(
            [0, 1, 1, 0, 1, 1].map(&mut strike),
            [false, false, true, false, true, false]
        );
        assert_eq!(faults.fired()[FaultKind::SkipUpdate as usize], 2);
        assert!(
            !faults.is_spent(),
            "the fault of a symbol that does not exist never strikes"
        );
    }

    #[test]
    fn what_cannot_be_played_never_strikes() {
        let plan = [PlannedFault::new(Fault::SequenceRestart)];
        let mut faults = Faults::new(&plan, None, &[]);
        faults.without(&[FaultKind::SequenceRestart]);
        assert_eq!(faults.strike(Target::Update, None, |_| true), None);
        faults.without(&[]);
        assert_eq!(
            faults.strike(Target::Update, None, |_| true),
            Some(Fault::SequenceRestart)
        );
    }
}
