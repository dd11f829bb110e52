//! Sums over the last so many rows, exact: add what enters, subtract what leaves.

/// The last `LEN` rows of `COLUMNS` integers. A row that was never pushed reads as zeros, which is what makes a sum
/// over a window that is not full yet come out right without a branch.
#[derive(Clone, Debug)]
pub(super) struct History<const COLUMNS: usize, const LEN: usize> {
    rows: Box<[[i64; COLUMNS]]>,
    pushed: usize,
}

impl<const COLUMNS: usize, const LEN: usize> History<COLUMNS, LEN> {
    const MASK: usize = {
        assert!(LEN.is_power_of_two(), "the index wraps with a mask");
        LEN - 1
    };

    pub(super) fn new() -> Self {
        Self {
            rows: vec![[0; COLUMNS]; LEN].into_boxed_slice(),
            pushed: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.fill([0; COLUMNS]);
        self.pushed = 0;
    }

    pub(super) fn push(&mut self, row: [i64; COLUMNS]) {
        self.rows[self.pushed & Self::MASK] = row;
        self.pushed = self.pushed.wrapping_add(1);
    }

    /// The row that was pushed `back` pushes before the newest one (0 is the newest).
    pub(super) fn ago(&self, back: usize) -> &[i64; COLUMNS] {
        debug_assert!(back < LEN, "the ring keeps {LEN} rows");
        &self.rows[self.pushed.wrapping_sub(1 + back) & Self::MASK]
    }
}

/// A running sum. 128 bits: a sum of any number of `i64` that a window holds fits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(pub(super) i128);

impl Sum {
    pub(super) fn slide(&mut self, enters: i64, leaves: i64) {
        self.0 += i128::from(enters) - i128::from(leaves);
    }

    /// The nearest `f64`, by one instruction where the sum fits 64 bits, which is always but for absurd quantities.
    pub(super) fn to_f64(self) -> f64 {
        match i64::try_from(self.0) {
            Ok(sum) => sum as f64,
            Err(_) => wide_to_f64(self.0),
        }
    }
}

/// Exact.
pub(super) fn square(x: i64) -> i128 {
    i128::from(x) * i128::from(x)
}

/// Out of line, or the compiler calls the library's conversion for every sum and picks afterwards.
#[cold]
#[inline(never)]
fn wide_to_f64(sum: i128) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_not_full_sums_what_there_is() {
        let mut history = History::<1, 8>::new();
        let mut sum = Sum::default();
        let mut sums = Vec::new();
        for value in 1..=20 {
            sum.slide(value, history.ago(2)[0]);
            history.push([value]);
            sums.push(sum.0);
        }
        let expected: Vec<i128> = (1..=20).map(|n: i128| (n.max(3) - 2..=n).sum()).collect();
        assert_eq!(sums, expected);
        history.clear();
        assert_eq!(history.ago(7), &[0]);
    }
}
