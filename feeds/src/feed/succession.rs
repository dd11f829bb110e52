//! When a feed needs a second line, and when it can let the first one go.
//!
//! ```text
//! one line:    carrier ── near its end, or told to leave ──▶ dial the other ── it carries every book ──▶ give the carrier up
//! two lines:   both, always; one that is near its end is given up while the other carries, and dialled anew
//! ```

use std::time::Duration;

use crate::types::{Line, UnixNanos};
use crate::venue::LineStanding;

/// How many lines a feed has, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePlan {
    /// Two lines at all times, of which the faster is heard.
    pub is_redundant: bool,
    /// A line is replaced at this age, before the venue ends it.
    pub life: Option<Duration>,
    /// A line that will end is replaced before it does, rather than after.
    pub makes_before_breaks: bool,
}

impl LinePlan {
    /// One line, replaced when it has ended.
    pub const SINGLE: Self = Self {
        is_redundant: false,
        life: None,
        makes_before_breaks: false,
    };
}

/// What is to be done about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStep {
    /// Dial it: it is to take over.
    Dial(Line),
    /// Give it up, as [`Lost::Succeeded`](super::Lost::Succeeded): the other line carries everything.
    GiveUp(Line),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Succession {
    plan: LinePlan,
    opened_at: [Option<UnixNanos>; 2],
    /// The venue has said that it will end the line.
    is_leaving: [bool; 2],
    /// The line that is dialled again when it is lost, where there is to be one.
    carrier: Line,
    /// The other one is on its way to take over.
    is_succeeding: bool,
}

impl Succession {
    pub(super) fn new(plan: LinePlan) -> Self {
        Self {
            plan,
            opened_at: [None; 2],
            is_leaving: [false; 2],
            carrier: Line::First,
            is_succeeding: false,
        }
    }

    pub(super) fn on_open(&mut self, line: Line, now: UnixNanos) {
        self.opened_at[line.index()] = Some(now);
        self.is_leaving[line.index()] = false;
    }

    pub(super) fn on_close(&mut self, line: Line) {
        self.opened_at[line.index()] = None;
        self.is_leaving[line.index()] = false;
        if self.is_succeeding && line == self.carrier {
            self.carrier = line.other();
            self.is_succeeding = false;
        }
    }

    /// The venue will end the line; whether that can wait for its successor.
    pub(super) fn leaves(&mut self, line: Line) -> bool {
        self.is_leaving[line.index()] = true;
        self.plan.makes_before_breaks
    }

    pub(super) fn is_wanted(&self, line: Line) -> bool {
        self.plan.is_redundant || line == self.carrier || self.is_succeeding
    }

    pub(super) fn next_step(&mut self, now: UnixNanos, standing: impl Fn(Line) -> LineStanding) -> Option<LineStep> {
        if self.plan.is_redundant {
            let ends = |line: &Line| self.is_near_end(*line, now) && self.has_taken_over(line.other(), now, &standing);
            return Line::ALL.into_iter().find(ends).map(LineStep::GiveUp);
        }
        let (carrier, successor) = (self.carrier, self.carrier.other());
        if self.is_succeeding {
            return self
                .has_taken_over(successor, now, &standing)
                .then_some(LineStep::GiveUp(carrier));
        }
        if !self.plan.makes_before_breaks || !self.is_near_end(carrier, now) {
            return None;
        }
        self.is_succeeding = true;
        Some(LineStep::Dial(successor))
    }

    fn is_near_end(&self, line: Line, now: UnixNanos) -> bool {
        let Some(opened_at) = self.opened_at[line.index()] else {
            return false;
        };
        let is_old = |life: Duration| u128::from(now.0.saturating_sub(opened_at.0)) > life.as_nanos();
        self.is_leaving[line.index()] || self.plan.life.is_some_and(is_old)
    }

    /// A book may be too quiet to show whether the new line carries it: nothing of it can be lost then.
    fn has_taken_over(&self, line: Line, now: UnixNanos, standing: impl Fn(Line) -> LineStanding) -> bool {
        let is_late = |opened_at: UnixNanos| u128::from(now.0.saturating_sub(opened_at.0)) > OVERLAP_MAX.as_nanos();
        match standing(line) {
            LineStanding::Joined => true,
            LineStanding::Heard => self.opened_at[line.index()].is_some_and(is_late),
            LineStanding::Unheard => false,
        }
    }
}

/// How long two lines stand side by side at the most where one is to take over.
const OVERLAP_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const PLAN: LinePlan = LinePlan {
        is_redundant: false,
        life: Some(HOUR),
        makes_before_breaks: true,
    };

    fn at(seconds: u64) -> UnixNanos {
        UnixNanos(seconds * 1_000_000_000)
    }

    /// One line, an hour and a second old, whose successor was asked for.
    fn succeeding() -> Succession {
        let mut lines = Succession::new(PLAN);
        lines.on_open(Line::First, at(0));
        let unheard = |_| LineStanding::Unheard;
        assert_eq!(lines.next_step(at(3600), unheard), None);
        assert_eq!(lines.next_step(at(3601), unheard), Some(LineStep::Dial(Line::Second)));
        assert_eq!(lines.next_step(at(3602), unheard), None, "it is asked for once");
        lines
    }

    #[test]
    fn an_old_line_goes_when_its_successor_carries_everything() {
        let mut lines = succeeding();
        lines.on_open(Line::Second, at(3603));
        assert_eq!(lines.next_step(at(3604), |_| LineStanding::Heard), None);
        let step = lines.next_step(at(3605), |_| LineStanding::Joined);
        assert_eq!(step, Some(LineStep::GiveUp(Line::First)));
        lines.on_close(Line::First);
        assert!(!lines.is_wanted(Line::First) && lines.is_wanted(Line::Second));
        assert_eq!(lines.next_step(at(3606), |_| LineStanding::Unheard), None);
        // And so on, the other way round.
        let step = lines.next_step(at(7204), |_| LineStanding::Unheard);
        assert_eq!(step, Some(LineStep::Dial(Line::First)));
    }

    #[test]
    fn a_quiet_book_does_not_hold_the_succession_up_but_a_mute_line_does() {
        let mut lines = succeeding();
        lines.on_open(Line::Second, at(3603));
        assert_eq!(lines.next_step(at(3623), |_| LineStanding::Heard), None);
        assert_eq!(lines.next_step(at(9999), |_| LineStanding::Unheard), None);
        let step = lines.next_step(at(3624), |_| LineStanding::Heard);
        assert_eq!(step, Some(LineStep::GiveUp(Line::First)));
    }

    #[test]
    fn a_line_that_ends_before_its_successor_is_there_is_not_dialled_again() {
        let mut lines = succeeding();
        assert!(lines.is_wanted(Line::First));
        lines.on_close(Line::First);
        assert!(!lines.is_wanted(Line::First) && lines.is_wanted(Line::Second));
        lines.on_open(Line::Second, at(3610));
        assert_eq!(lines.next_step(at(3611), |_| LineStanding::Unheard), None);
    }

    #[test]
    fn a_successor_that_is_lost_is_dialled_again() {
        let mut lines = succeeding();
        lines.on_open(Line::Second, at(3603));
        lines.on_close(Line::Second);
        assert!(lines.is_wanted(Line::Second) && lines.is_wanted(Line::First));
    }

    #[test]
    fn a_line_that_the_venue_will_end_has_a_successor_at_once() {
        let mut lines = Succession::new(PLAN);
        lines.on_open(Line::First, at(0));
        assert!(lines.leaves(Line::First));
        let step = lines.next_step(at(1), |_| LineStanding::Unheard);
        assert_eq!(step, Some(LineStep::Dial(Line::Second)));
        let mut single = Succession::new(LinePlan::SINGLE);
        single.on_open(Line::First, at(0));
        assert!(!single.leaves(Line::First), "it is replaced when it has ended");
        assert_eq!(single.next_step(at(1), |_| LineStanding::Unheard), None);
    }

    #[test]
    fn of_two_lines_for_good_one_at_a_time_is_renewed() {
        let mut lines = Succession::new(LinePlan {
            is_redundant: true,
            ..PLAN
        });
        lines.on_open(Line::First, at(0));
        lines.on_open(Line::Second, at(0));
        let step = lines.next_step(at(3601), |_| LineStanding::Joined);
        assert_eq!(step, Some(LineStep::GiveUp(Line::First)));
        lines.on_close(Line::First);
        assert!(lines.is_wanted(Line::First));
        lines.on_open(Line::First, at(3602));
        assert_eq!(lines.next_step(at(3603), |_| LineStanding::Unheard), None);
        let step = lines.next_step(at(3604), |_| LineStanding::Joined);
        assert_eq!(step, Some(LineStep::GiveUp(Line::Second)));
    }
}
