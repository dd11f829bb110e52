//! The counts of a histogram's buckets, in as little memory as what was recorded asks for.
//!
//! A histogram has thousands of buckets, and what one latency does fills a few dozen that lie close together. A copy keeps
//! those from the first to the last that holds something, so that a copy of a hundred histograms is kilobytes that stay
//! in the cache, not megabytes that are mapped and unmapped every time.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Index of the first bucket that holds something; zero where none does.
    first: usize,
    /// From there to the last that holds something.
    held: Vec<u64>,
}

impl Counts {
    /// From every bucket's count, in order.
    pub(crate) fn collect(all: impl Iterator<Item = u64>) -> Self {
        let mut counts = Self::default();
        let mut zeros = 0;
        for (index, count) in all.enumerate() {
            if count == 0 {
                zeros += 1;
                continue;
            }
            if counts.held.is_empty() {
                counts.first = index;
            } else {
                counts.held.resize(counts.held.len() + zeros, 0);
            }
            counts.held.push(count);
            zeros = 0;
        }
        counts
    }

    /// One bucket's count.
    pub(crate) fn get(&self, index: usize) -> u64 {
        let place = index.checked_sub(self.first);
        place.and_then(|place| self.held.get(place)).copied().unwrap_or(0)
    }

    /// The buckets that hold something, in rising order: `(index, count)`.
    pub(crate) fn held(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let all = self.held.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(place, &count)| (self.first + place, count))
    }

    pub(crate) fn sum(&self) -> u64 {
        self.held.iter().fold(0, |total: u64, &n| total.saturating_add(n))
    }

    /// The index after the last bucket that holds something.
    pub(crate) fn end(&self) -> usize {
        self.first + self.held.len()
    }

    /// What came on top of `earlier`; `None` where a bucket has shrunk.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Self> {
        if earlier.held().any(|(index, then)| self.get(index) < then) {
            return None;
        }
        let all = 0..self.end();
        Some(Self::collect(all.map(|index| self.get(index) - earlier.get(index))))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let all = 0..self.end().max(other.end());
        *self = Self::collect(all.map(|index| self.get(index).saturating_add(other.get(index))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mostly empty, as histograms are.
    fn buckets() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![6 => Just(0), 1 => 1..5_u64, 1 => Just(u64::MAX)], 0..40)
    }

    fn at(all: &[u64], index: usize) -> u64 {
        all.get(index).copied().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn they_are_those_of_a_plain_vector(one in buckets(), other in buckets()) {
            let (a, b) = (Counts::collect(one.iter().copied()), Counts::collect(other.iter().copied()));
            let held: Vec<_> = one.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
            prop_assert_eq!(a.held().collect::<Vec<_>>(), held);
            prop_assert!((0..50).all(|index| a.get(index) == at(&one, index)));
            prop_assert_eq!(a.sum(), one.iter().fold(0, |sum: u64, &n| sum.saturating_add(n)));

            let mut sum = a.clone();
            sum.add(&b);
            let sums = (0..40).map(|index| at(&one, index).saturating_add(at(&other, index)));
            prop_assert_eq!(&sum, &Counts::collect(sums));

            let differences: Option<Vec<u64>> = (0..40).map(|i| at(&one, i).checked_sub(at(&other, i))).collect();
            prop_assert_eq!(a.since(&b), differences.map(|all| Counts::collect(all.into_iter())));
            let grown = sum.since(&b).unwrap();
            prop_assert!(grown.held().all(|(index, n)| n == sum.get(index) - at(&other, index)));
        }
    }
}
