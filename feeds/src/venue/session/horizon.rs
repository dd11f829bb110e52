//! Where a REST snapshot ends because no more was asked for.

use crate::book::Book;
use crate::types::Side;
use crate::venue::SessionConfig;

/// Tells a side that was cut from one that has no more levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotDepth {
    /// Levels of a side that are asked for.
    asked: usize,
    /// Whether the venue has snapshots of that depth.
    is_depth: fn(u32) -> bool,
}

impl SnapshotDepth {
    pub(super) fn new(config: &SessionConfig) -> Self {
        Self {
            asked: config.depth as usize,
            is_depth: config.venue.facts().has_depth,
        }
    }

    /// Sets the horizon of both sides of a book that is a fresh snapshot, each at its worst level where it was cut.
    #[cold]
    pub(super) fn mark(self, book: &mut Book) {
        let counts = [book.level_count(Side::Bid), book.level_count(Side::Ask)];
        for (side, count) in [Side::Bid, Side::Ask].into_iter().zip(counts) {
            if self.is_cut(count, counts)
                && let Some(worst) = book.worst(side)
            {
                book.set_horizon(side, worst.price);
            }
        }
    }

    /// As many levels as were asked for; or both sides the same number, one that the venue has: a recording is replayed
    /// with a greater depth than its own.
    fn is_cut(self, count: usize, counts: [usize; 2]) -> bool {
        let is_even = counts[0] == counts[1];
        count >= self.asked || (is_even && u32::try_from(count).is_ok_and(self.is_depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::VenueId;

    #[test]
    fn a_side_with_fewer_levels_than_were_asked_for_is_whole() {
        let config = SessionConfig::new(VenueId::BinanceSpot, ["BTCUSDT"]);
        let depth = SnapshotDepth::new(&SessionConfig { depth: 1000, ..config });
        for (count, other, is_cut) in [
            (1000, 1000, true),
            (1000, 400, true),
            (1001, 1000, true),
            (999, 1000, false),
            (400, 1000, false),
            (3, 3, false),
            (0, 0, false),
            // The venue has no such depth as 99, but 100 is one.
            (99, 99, false),
            (100, 100, true),
        ] {
            assert_eq!(depth.is_cut(count, [count, other]), is_cut, "{count} beside {other}");
        }
    }
}
