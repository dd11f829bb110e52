//! Which rows rest on more of a book than is known of it.
//!
//! A book is known down to its horizon (see the books of `quantumflow-feeds`). A feature that looks at ten levels when
//! seven are known may take the eleventh for the eighth; and one that sums over fifty updates keeps that for fifty
//! updates. So a row is marked while a book that it still remembers was known to fewer levels than some feature looks at.

use super::registry::{Feature, REACH_MAX};

/// Follows the books of one instrument and tells which rows are to be marked.
///
/// How long a feature remembers a book is its warm-up, turned round: as many clean updates as it needs to begin, it needs
/// to be clean again. So neither an interruption of the rows nor a snapshot has to be told: who waits for the warm-up of
/// these features ([`warm_up_of`](super::warm_up_of)) sees no row before every mark from before has gone out.
#[derive(Clone, Debug)]
pub struct HorizonWatch {
    /// For a book that is known to `n` levels: how many rows from it on are marked.
    rows_marked: [u32; REACH_MAX + 1],
    /// Rows that are still to be marked.
    rows_left: u32,
}

impl HorizonWatch {
    /// A watch for one who looks at the last `window` rows of these features.
    pub fn new(features: impl IntoIterator<Item = Feature>, window: usize) -> Self {
        let behind = u32::try_from(window.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut rows_marked = [0; REACH_MAX + 1];
        for def in features.into_iter().map(Feature::def) {
            let rows = u32::from(def.warm_up_updates).saturating_add(behind);
            // All that are known to fewer levels than it looks at.
            for marked in &mut rows_marked[..usize::from(def.reach_levels)] {
                *marked = rows.max(*marked);
            }
        }
        Self {
            rows_marked,
            rows_left: 0,
        }
    }

    /// Takes a book update, after which the book is known to so many levels
    /// ([`FeatureEngine::known_levels`](super::FeatureEngine::known_levels)), and tells whether its row is marked.
    #[inline]
    pub fn observe(&mut self, known_levels: usize) -> bool {
        let rows = self.rows_marked[known_levels.min(REACH_MAX)];
        self.rows_left = self.rows_left.saturating_sub(1).max(rows);
        self.rows_left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::registry::FEATURES;

    /// How many rows of the ones that follow are marked when a book is known to so many levels, and then all again.
    fn marked(watch: &mut HorizonWatch, known_levels: usize) -> usize {
        let first = usize::from(watch.observe(known_levels));
        first + (0..2000).take_while(|_| watch.observe(REACH_MAX)).count()
    }

    #[test]
    fn a_mark_stays_as_long_as_the_book_is_remembered() {
        for (features, window, known_levels, rows) in [
            (&[Feature::Imbalance10][..], 1, 10, 0),
            (&[Feature::Imbalance10], 1, 9, 1),
            (&[Feature::Imbalance10], 1, 0, 1),
            (&[Feature::Imbalance10], 20, 9, 20),
            (&[Feature::Imbalance5], 1, 5, 0),
            (&[Feature::Imbalance5], 1, 4, 1),
            (&[Feature::Imbalance5, Feature::OfiTo10W50], 1, 9, 51),
            (&[Feature::Imbalance5, Feature::Volatility100Bps], 1, 1, 1),
            (&[Feature::Imbalance5, Feature::Volatility100Bps], 1, 0, 101),
            (&[Feature::OfiTo5W50], 5, 4, 55),
            (&[Feature::TradeImbalance10s], 5, 0, 0),
            (&[Feature::Slope10], 1, 9, 1),
            (&[Feature::Slope10, Feature::MacdBps], 1, 9, 1),
            (&[Feature::Slope10, Feature::MacdBps], 1, 0, 340),
            (&[Feature::OfiTo10T5s, Feature::Ofi1T1s], 1, 9, 257),
            (&[Feature::Ofi1T1s], 1, 5, 0),
            (&[], 1, 0, 0),
        ] {
            let mut watch = HorizonWatch::new(features.iter().copied(), window);
            for round in 0..2 {
                let got = marked(&mut watch, known_levels);
                assert_eq!(got, rows, "{features:?} over {window} rows, round {round}");
            }
        }
    }

    #[test]
    fn a_shallow_doubt_does_not_shorten_a_deep_one() {
        let mut watch = HorizonWatch::new([Feature::Imbalance10, Feature::Volatility100Bps], 1);
        assert!(watch.observe(0));
        assert_eq!(marked(&mut watch, 9), 100);
    }

    #[test]
    fn every_feature_of_the_book_has_a_reach_and_no_other() {
        use crate::features::FeatureGroup::TradeFlow;
        for def in &FEATURES {
            let has_reach = def.group != TradeFlow || def.unit.contains("mid price");
            assert_eq!(def.reach_levels > 0, has_reach, "{}", def.name);
        }
    }
}
