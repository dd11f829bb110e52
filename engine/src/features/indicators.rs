//! The indicators of chart readers, one value at a time, as TA-Lib defines them.
//!
//! Libraries agree on the recursions and differ in how they begin: TA-Lib starts an average from the plain mean of its
//! first values, others from the first value alone, and an RSI is points apart for dozens of bars. The choice here is
//! TA-Lib's throughout, and its values are what the tests compare with.

/// An exponential average with smoothing `2 / (period + 1)`, begun from the plain mean of `period` values.
#[derive(Clone, Debug)]
pub(super) struct Ema {
    period: u32,
    /// Values that are let go by before the first one that counts.
    skip: u32,
    seen: u32,
    value: f64,
}

impl Ema {
    pub(super) fn new(period: u32, skip: u32) -> Self {
        Self {
            period,
            skip,
            seen: 0,
            value: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.period, self.skip);
    }

    /// Takes the next value and returns the average, `None` until there are enough.
    pub(super) fn push(&mut self, x: f64) -> Option<f64> {
        let first = self.skip;
        let last = self.skip + self.period;
        if self.seen < last {
            self.seen += 1;
            if self.seen > first {
                self.value += x;
            }
            if self.seen < last {
                return None;
            }
            self.value /= f64::from(self.period);
        } else {
            self.value += (x - self.value) * (2.0 / f64::from(self.period + 1));
        }
        Some(self.value)
    }
}

/// The difference of a fast and a slow average, its own average (the signal), and what lies between (the histogram).
#[derive(Clone, Debug)]
pub(super) struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

/// A value of [`Macd`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MacdValue {
    pub(super) line: f64,
    pub(super) signal: f64,
}

impl Macd {
    /// Periods 12, 26 and 9. The fast average begins from the 12 values that end where the slow one begins.
    pub(super) fn new() -> Self {
        Self {
            fast: Ema::new(12, 26 - 12),
            slow: Ema::new(26, 0),
            signal: Ema::new(9, 0),
        }
    }

    pub(super) fn clear(&mut self) {
        self.fast.clear();
        self.slow.clear();
        self.signal.clear();
    }

    /// `None` until there is a signal, with the 34th value.
    pub(super) fn push(&mut self, x: f64) -> Option<MacdValue> {
        let (fast, slow) = (self.fast.push(x), self.slow.push(x));
        let line = fast? - slow?;
        let signal = self.signal.push(line)?;
        Some(MacdValue { line, signal })
    }
}

/// Wilder's relative strength over 14 moves.
#[derive(Clone, Debug, Default)]
pub(super) struct Rsi {
    moves: u32,
    gain: f64,
    loss: f64,
}

impl Rsi {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the next move of the price and returns the index less its middle, -1..1; `None` until there are 14 moves. 0
    /// where nothing moved at all, which TA-Lib counts as all loss.
    pub(super) fn push(&mut self, change: f64) -> Option<f64> {
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        if self.moves < RSI_PERIOD {
            self.moves += 1;
            self.gain += gain;
            self.loss += loss;
            if self.moves < RSI_PERIOD {
                return None;
            }
            self.gain /= f64::from(RSI_PERIOD);
            self.loss /= f64::from(RSI_PERIOD);
        } else {
            let kept = f64::from(RSI_PERIOD - 1);
            self.gain = (self.gain * kept + gain) / f64::from(RSI_PERIOD);
            self.loss = (self.loss * kept + loss) / f64::from(RSI_PERIOD);
        }
        let sum = self.gain + self.loss;
        Some(if sum == 0.0 { 0.0 } else { (self.gain - self.loss) / sum })
    }
}

const RSI_PERIOD: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const VECTORS: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/vectors/indicator_vectors.json"
    );

    /// Compares with one of TA-Lib's series: the same bars without a value, and the same values.
    fn check(vectors: &Value, name: &str, got: &[Option<f64>]) {
        let stored = vectors["talib"][name].as_array().expect("a list");
        assert_eq!(stored.len(), got.len());
        for (bar, (stored, got)) in stored.iter().zip(got).enumerate() {
            match (stored.as_f64(), got) {
                (None, None) => {}
                (Some(stored), Some(got)) => {
                    assert!(
                        (stored - got).abs() <= 1e-12 * stored.abs().max(1.0),
                        "{name} of bar {bar}: {got}, not {stored}"
                    );
                }
                (stored, got) => panic!("{name} of bar {bar}: {got:?}, not {stored:?}"),
            }
        }
    }

    #[test]
    fn values_equal_those_of_ta_lib() {
        let Ok(text) = std::fs::read_to_string(VECTORS) else {
            println!("skipped: {VECTORS} is not there");
            return;
        };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let closes: Vec<f64> = vectors["close"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|close| close.as_f64().expect("a number"))
            .collect();
        for (name, period) in [("EMA12", 12), ("EMA26", 26)] {
            let mut ema = Ema::new(period, 0);
            check(&vectors, name, &closes.iter().map(|&x| ema.push(x)).collect::<Vec<_>>());
        }
        let mut macd = Macd::new();
        let values: Vec<_> = closes.iter().map(|&x| macd.push(x)).collect();
        let column = |pick: fn(MacdValue) -> f64| values.iter().map(|value| value.map(pick)).collect::<Vec<_>>();
        check(&vectors, "MACD", &column(|value| value.line));
        check(&vectors, "MACD_signal", &column(|value| value.signal));
        check(&vectors, "MACD_hist", &column(|value| value.line - value.signal));

        let mut rsi = Rsi::default();
        let moves = closes.windows(2).map(|pair| rsi.push(pair[1] - pair[0]));
        let of_100 = moves.map(|value| value.map(|value| 50.0 * (value + 1.0)));
        check(
            &vectors,
            "RSI14",
            &std::iter::once(None).chain(of_100).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn an_average_begins_from_the_mean_of_its_first_values() {
        let mut ema = Ema::new(3, 1);
        let values: Vec<_> = [100.0, 1.0, 2.0, 6.0, 5.0].into_iter().map(|x| ema.push(x)).collect();
        assert_eq!(values, [None, None, None, Some(3.0), Some(4.0)]);
        ema.clear();
        assert_eq!(ema.push(7.0), None);
    }

    #[test]
    fn strength_is_one_sided_where_moves_are_and_nothing_where_there_are_none() {
        for (change, expected) in [(1.0, 1.0), (-0.5, -1.0), (0.0, 0.0)] {
            let mut rsi = Rsi::default();
            let last = (0..40).map(|_| rsi.push(change)).last();
            assert_eq!(last, Some(Some(expected)));
        }
    }
}
