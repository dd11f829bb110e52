//! Bars of the mid price, and the indicators on them.
//!
//! A bar closes with every tenth book update since the snapshot, and its close is the mid price then. Bars of updates
//! rather than of seconds: a bar then always has news in it, none has to be made up for a silence, and how many updates an
//! indicator needs is known beforehand. On a feed with a message every 100 ms a bar is a second.
//!
//! Windows of bars are summed in integers like all others (a close is twice the mid price, so whole); the exponential
//! averages are those of [`indicators`](super::indicators).

use super::indicators::{Ema, Macd, MacdValue, Rsi};
use super::window::{History, Sum, square};

/// Book updates in a bar.
const UPDATES_PER_BAR: u32 = 10;

/// Closes within the Bollinger bands.
const BANDS: usize = 20;

/// Moves within the volatility of bars.
const MOVES: usize = 30;

/// Columns of a row: twice the close, and its move since the bar before.
const CLOSE2: usize = 0;
const MOVE2: usize = 1;

/// The newest bars and what is known of all of them.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    updates: u32,
    bars: u32,
    rows: History<2, 32>,
    ema_12: Ema,
    ema_26: Ema,
    macd: Macd,
    rsi: Rsi,
    closes: Sum,
    squared_closes: Sum,
    squared_moves: Sum,
    /// Of each move with the one before it.
    products: Sum,
    values: BarValues,
}

/// What the newest closed bar left; everything in units of twice the price. 0 where there are not yet bars enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BarValues {
    pub(super) ema_12: f64,
    pub(super) ema_26: f64,
    pub(super) macd: MacdValue,
    pub(super) rsi: f64,
    /// Mean and population standard deviation of the last 20 closes.
    pub(super) band_middle: f64,
    pub(super) band_deviation: f64,
    /// The sum of the last 30 squared moves.
    pub(super) squared_moves: f64,
    /// The same without jumps: the bipower variation.
    pub(super) bipower: f64,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self {
            updates: 0,
            bars: 0,
            rows: History::new(),
            ema_12: Ema::new(12, 0),
            ema_26: Ema::new(26, 0),
            macd: Macd::new(),
            rsi: Rsi::default(),
            closes: Sum::default(),
            squared_closes: Sum::default(),
            squared_moves: Sum::default(),
            products: Sum::default(),
            values: BarValues::default(),
        }
    }

    pub(super) fn clear(&mut self) {
        (self.updates, self.bars) = (0, 0);
        self.rows.clear();
        self.ema_12.clear();
        self.ema_26.clear();
        self.macd.clear();
        self.rsi.clear();
        self.closes = Sum::default();
        self.squared_closes = Sum::default();
        self.squared_moves = Sum::default();
        self.products = Sum::default();
        self.values = BarValues::default();
    }

    /// Takes the mid price of the next update, doubled.
    pub(super) fn push(&mut self, mid2: i64) {
        self.updates += 1;
        if self.updates == UPDATES_PER_BAR {
            self.updates = 0;
            self.close(mid2);
        }
    }

    pub(super) fn values(&self) -> &BarValues {
        &self.values
    }

    fn close(&mut self, close2: i64) {
        let before = *self.rows.ago(0);
        let move2 = if self.bars == 0 { 0 } else { close2 - before[CLOSE2] };
        // A row that was never pushed is zeros, so windows that are not full come out right.
        let leaves2 = self.rows.ago(BANDS - 1)[CLOSE2];
        self.closes.slide(close2, leaves2);
        self.squared_closes.0 += square(close2) - square(leaves2);
        let (move_leaves2, next2) = (self.rows.ago(MOVES - 1)[MOVE2], self.rows.ago(MOVES - 2)[MOVE2]);
        self.squared_moves.0 += square(move2) - square(move_leaves2);
        self.products.0 += product(move2, before[MOVE2]) - product(next2, move_leaves2);
        self.rows.push([close2, move2]);

        let close = close2 as f64;
        let values = &mut self.values;
        values.ema_12 = self.ema_12.push(close).unwrap_or_default();
        values.ema_26 = self.ema_26.push(close).unwrap_or_default();
        values.macd = self.macd.push(close).unwrap_or_default();
        if self.bars > 0 {
            values.rsi = self.rsi.push(move2 as f64).unwrap_or_default();
        }
        values.squared_moves = self.squared_moves.to_f64();
        values.bipower = BIPOWER * self.products.to_f64();
        self.bars = self.bars.saturating_add(1);
        if self.bars >= BANDS as u32 {
            // n sum(x^2) - sum(x)^2 is exact: 400 squares below 2^118 fit the type.
            let n = BANDS as i128;
            let spread = Sum(n * self.squared_closes.0 - self.closes.0 * self.closes.0);
            values.band_middle = self.closes.to_f64() / BANDS as f64;
            values.band_deviation = spread.to_f64().sqrt() / BANDS as f64;
        }
    }
}

fn product(x: i64, y: i64) -> i128 {
    (i128::from(x) * i128::from(y)).abs()
}

/// `pi / 2`, what the product of two sizes of moves lacks to a squared one, and one product less than there are moves.
const BIPOWER: f64 = std::f64::consts::FRAC_PI_2 * MOVES as f64 / (MOVES - 1) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The stored closes are hundredths, so whole numbers here: ten updates each, the last of which is the close.
    #[test]
    fn bands_and_deviations_equal_those_of_ta_lib() {
        const VECTORS: &str = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/vectors/indicator_vectors.json"
        );
        let Ok(text) = std::fs::read_to_string(VECTORS) else {
            println!("skipped: {VECTORS} is not there");
            return;
        };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let mut bars = Bars::new();
        let mut checked = 0;
        for (bar, close) in vectors["close"].as_array().expect("a list").iter().enumerate() {
            let close = (close.as_f64().expect("a number") * 100.0).round() as i64;
            (1..10).for_each(|other| bars.push(close + other));
            bars.push(close);
            let values = bars.values();
            for (name, got) in [
                ("BB_mid", values.band_middle),
                ("BB_up", values.band_middle + 2.0 * values.band_deviation),
                ("BB_lo", values.band_middle - 2.0 * values.band_deviation),
                ("STDDEV20_pop", values.band_deviation),
                ("EMA12", values.ema_12),
                ("EMA26", values.ema_26),
                ("MACD", values.macd.line),
                ("MACD_signal", values.macd.signal),
            ] {
                let Some(stored) = vectors["talib"][name][bar].as_f64() else {
                    assert_eq!(got, 0.0, "{name} of bar {bar}");
                    continue;
                };
                // TA-Lib's own variance is a difference of two means of squares; ours is exact up to the root.
                assert!(
                    (got / 100.0 - stored).abs() < 1e-10,
                    "{name} of bar {bar}: {got} instead of {stored}"
                );
                checked += 1;
            }
        }
        assert!(checked > 2_900, "{checked}");
    }
}
